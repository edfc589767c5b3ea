// CUDA backend: the device object, and how CUDA errors become statuses.
#ifndef OCT_CUDA_DEVICE_H
#define OCT_CUDA_DEVICE_H

#include "octet/backend.h"

#include <cuda_runtime_api.h>

typedef struct cuda_device {
    oct_device base;      // first: an oct_device * is a cuda_device *
    const oct_host *host; // borrowed
    int ordinal;
    cudaStream_t stream; // all ops and copies, in order
    struct cudaDeviceProp properties;
    int32_t *partial; // split-K sums and counters of the decode product; zeroed counters
    size_t partial_bytes;
    void *attend_scratch; // (m, l, o) of the decode attention's splits
    size_t attend_bytes;
} cuda_device;

static inline cuda_device *cuda_of(oct_device *device)
{
    return (cuda_device *)device;
}

// The device address of a buffer; NULL where it is absent.
static inline void *cuda_ptr(oct_buf buf)
{
    return buf.mem == NULL ? NULL : (char *)buf.mem + buf.offset;
}

// Records the text of a failure with the host program.
oct_status cuda_fail(const oct_host *host, oct_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Converts a CUDA error of `call`: clears the sticky error, out of memory becomes OCT_ERR_NOMEM.
oct_status cuda_status(const oct_host *host, cudaError_t error, const char *call);

// Returns from the calling function if a CUDA call fails.
#define OCT_CUDA(host, call)                                                                       \
    do {                                                                                           \
        cudaError_t oct_cuda_error_ = (call);                                                      \
        if (oct_cuda_error_ != cudaSuccess) {                                                      \
            return cuda_status((host), oct_cuda_error_, #call);                                    \
        }                                                                                          \
    } while (0)

// The table of ops (cuda_ops.c).
extern const oct_ops cuda_ops;

// The plug-in's one exported symbol (backend.h).
__attribute__((visibility("default"))) oct_status
oct_backend_open(oct_device **out, const oct_host *host, int32_t ordinal);

#endif
