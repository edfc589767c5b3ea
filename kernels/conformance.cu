// The conformance program's kernels: instructions and functions on pseudo-random inputs, one hash
// each; the same from plain C on the host (conformance.h).
//
// Computes:      sum over results of mix(place of the result, its bits), modulo 2^64
// Shapes:        sum: one u64; scratch: 8 KiB, the source of cp.async
// Grid:          functions: 256 blocks of 256 threads; instructions: one block of one warp a trial
// Shared memory: 4 KiB (instructions)
// Bound:         none: it is run once on a machine
// Numerics:      integer sums, free of order; NUMERICS.md for what the functions must give
// Limits:        sm_80 and later
#include "conformance_probes.cuh"

static const uint32_t INPUTS_PER_TRIAL = 256;
static const int THREADS = 256;

static __device__ void add_warp(uint64_t *sum, uint64_t x)
{
    for (int h = 16; h >= 1; h /= 2) {
        x += __shfl_xor_sync(ALL_LANES, x, h);
    }
    if (threadIdx.x % 32 == 0) {
        atomicAdd((unsigned long long *)sum, (unsigned long long)x);
    }
}

static __global__ void fill_kernel(uint32_t *source)
{
    for (int i = (int)threadIdx.x; i < SOURCE_CELLS; i += THREADS) {
        source[i] = word(0, 33, i);
    }
}

typedef void probe_fn(lane_words &out, uint32_t trial, int lane, uint32_t *cells,
                      const uint32_t *source);

template <probe_fn *PROBE>
static __global__ void __launch_bounds__(32) probe_kernel(uint64_t *sum, const uint32_t *source)
{
    __shared__ __align__(16) uint32_t cells[CELLS];
    int lane = (int)threadIdx.x;
    lane_words out = {0};
    PROBE(out, blockIdx.x, lane, cells, source);
    uint64_t total = 0;
    for (int i = 0; i < WORDS; i++) {
        total += share(blockIdx.x, lane * WORDS + i, out[i]);
    }
    add_warp(sum, total);
}

static __global__ void __launch_bounds__(THREADS)
    numerics_kernel(int32_t function, uint32_t inputs, uint64_t *sum)
{
    uint64_t total = 0;
    for (uint32_t i = blockIdx.x * THREADS + threadIdx.x; i < inputs; i += gridDim.x * THREADS) {
        total += share(i, function, numerics_word(function, i));
    }
    add_warp(sum, total);
}

static const char *const names[] = {
#define NAME(name) #name,
    NUMERICS_LIST(NAME) PROBE_LIST(NAME)
#undef NAME
};

typedef void expect_fn(lane_words *out, uint32_t trial);
static expect_fn *const expectations[] = {
#define EXPECT(name) expect_##name,
    PROBE_LIST(EXPECT)
#undef EXPECT
};

extern "C" int oct_conformance_parts(void)
{
    return (int)(sizeof names / sizeof names[0]);
}

extern "C" const char *oct_conformance_name(int part)
{
    return names[part];
}

extern "C" uint32_t oct_conformance_inputs(int part, uint32_t inputs)
{
    return part < NUMERICS_COUNT ? inputs : inputs / INPUTS_PER_TRIAL + 1;
}

extern "C" int oct_launch_conformance(int part, uint32_t inputs, uint64_t *sum, void *scratch,
                                      launch_stream stream)
{
    uint32_t *source = (uint32_t *)scratch;
    uint32_t count = oct_conformance_inputs(part, inputs);
    if (part < 0 || part >= oct_conformance_parts()) {
        return LAUNCH_ERR_SHAPE;
    }
    if (part < NUMERICS_COUNT) {
        numerics_kernel<<<256, THREADS, 0, stream>>>(part, count, sum);
        return (int)cudaGetLastError();
    }
    fill_kernel<<<1, THREADS, 0, stream>>>(source);
    int probe = NUMERICS_COUNT;
#define LAUNCH(name)                                                                               \
    if (part == probe++) {                                                                         \
        probe_kernel<probe_##name><<<count, 32, 0, stream>>>(sum, source);                         \
    }
    PROBE_LIST(LAUNCH)
#undef LAUNCH
    return (int)cudaGetLastError();
}

extern "C" uint64_t oct_conformance_expected(int part, uint32_t inputs)
{
    uint32_t count = oct_conformance_inputs(part, inputs);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (part < NUMERICS_COUNT) {
            sum += share(i, part, numerics_word(part, i));
            continue;
        }
        lane_words out[32] = {{0}};
        expectations[part - NUMERICS_COUNT](out, i);
        for (int place = 0; place < 32 * WORDS; place++) {
            sum += share(i, place, out[place / WORDS][place % WORDS]);
        }
    }
    return sum;
}
