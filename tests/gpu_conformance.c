// tests: prints, for every PTX wrapper, warp intrinsic and function of numerics.h, its hash on this
// device and whether plain C gives the same; then one hash over all. First task of gpu_check; runs
// on ptxrun as on a GPU, where both must print the same text.
// Usage: gpu_conformance [INPUTS]; 4,194,304 by default. Exit 1: a part differs; 77: no device.
#include "kernels/conformance.h"
#include "octet/numerics.h"

#include <cuda_runtime_api.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

// The hash of one part on the device.
static cudaError_t run_part(int part, uint32_t inputs, uint64_t *sum, void *scratch, uint64_t *got)
{
    cudaError_t error = cudaMemset(sum, 0, sizeof *sum);
    if (error == cudaSuccess) {
        error = (cudaError_t)oct_launch_conformance(part, inputs, sum, scratch, NULL);
    }
    return error == cudaSuccess ? cudaMemcpy(got, sum, sizeof *got, cudaMemcpyDeviceToHost) : error;
}

int main(int argc, char **argv)
{
    uint32_t inputs = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1u << 22;
    int n_devices = 0;
    if (cudaGetDeviceCount(&n_devices) != cudaSuccess || n_devices == 0) {
        printf("gpu_conformance: no CUDA device, skipped\n");
        return 77;
    }
    void *memory;
    cudaError_t error = cudaMalloc(&memory, OCT_CONFORMANCE_SCRATCH_BYTES + sizeof(uint64_t));
    uint64_t *sum = (uint64_t *)((char *)memory + OCT_CONFORMANCE_SCRATCH_BYTES), total = 0;
    int n_wrong = 0;
    for (int part = 0; error == cudaSuccess && part < oct_conformance_parts(); part++) {
        uint64_t got = 0;
        error = run_part(part, inputs, sum, memory, &got);
        bool equal = error == cudaSuccess && got == oct_conformance_expected(part, inputs);
        printf("%-16s %9" PRIu32 " %016" PRIx64 " %s\n", oct_conformance_name(part),
               oct_conformance_inputs(part, inputs), got, equal ? "ok" : "WRONG");
        n_wrong += !equal;
        total += oct_mix(got + (uint64_t)part);
    }
    if (error != cudaSuccess) {
        printf("gpu_conformance: %s\n", cudaGetErrorString(error));
        return 1;
    }
    printf("all              %9" PRIu32 " %016" PRIx64 " %s\n", inputs, total,
           n_wrong == 0 ? "ok" : "WRONG");
    return n_wrong != 0;
}
