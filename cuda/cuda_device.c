// CUDA backend: device, memory, copies; every error named with its call.
#include "cuda_device.h"

#include "kernels/launch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_MAJOR 8 // sm_80: mma.m16n8k32 and cp.async

// Scratch made once: split-K sums of 64 rows by 51,200 columns in 8 splits need 105 MB; the picks
// keep below this.
#define PARTIAL_BYTES ((size_t)16 << 20)
#define ATTEND_BYTES  ((size_t)32 << 20)

oct_status cuda_fail(const oct_host *host, oct_status code, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return host->fail(code, text);
}

oct_status cuda_status(const oct_host *host, cudaError_t error, const char *call)
{
    (void)cudaGetLastError(); // an error that is not sticky is reported once, here
    oct_status code = error == cudaErrorMemoryAllocation ? OCT_ERR_NOMEM : OCT_ERR_DEVICE;
    return cuda_fail(host, code, "%s: %s (%s)", call, cudaGetErrorString(error),
                     cudaGetErrorName(error));
}

static oct_status device_info(oct_device *device, oct_device_info *out)
{
    const cuda_device *cuda = cuda_of(device);
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", device->table->name);
    snprintf(out->processor, sizeof out->processor, "%.90s", cuda->properties.name);
    snprintf(out->isa, sizeof out->isa, "sm_%d%d", cuda->properties.major, cuda->properties.minor);
    out->memory_bytes = cuda->properties.totalGlobalMem;
    return OCT_OK;
}

static oct_status device_alloc(oct_device *device, size_t bytes, oct_buf *out)
{
    cuda_device *cuda = cuda_of(device);
    void *p = NULL;
    cudaError_t error = cudaMalloc(&p, bytes > 0 ? bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        return cuda_fail(cuda->host, OCT_ERR_NOMEM, "out of memory: %zu bytes on %s", bytes,
                         cuda->properties.name);
    }
    OCT_CUDA(cuda->host, error);
    error = cudaMemsetAsync(p, 0, bytes, cuda->stream);
    if (error != cudaSuccess) {
        (void)cudaFree(p);
        return cuda_status(cuda->host, error, "cudaMemsetAsync");
    }
    *out = (oct_buf){p, 0};
    return OCT_OK;
}

static void device_free(oct_device *device, oct_buf buf)
{
    (void)device;
    if (buf.mem != NULL) {
        (void)cudaFree(buf.mem); // a failure here was reported by the work that caused it
    }
}

static oct_status device_upload(oct_device *device, oct_buf dst, const void *src, size_t bytes)
{
    cuda_device *cuda = cuda_of(device);
    // Pageable memory: the runtime stages it before it returns, so that src may be reused.
    OCT_CUDA(cuda->host,
             cudaMemcpyAsync(cuda_ptr(dst), src, bytes, cudaMemcpyHostToDevice, cuda->stream));
    return OCT_OK;
}

static oct_status device_download(oct_device *device, void *dst, oct_buf src, size_t bytes)
{
    cuda_device *cuda = cuda_of(device);
    OCT_CUDA(cuda->host,
             cudaMemcpyAsync(dst, cuda_ptr(src), bytes, cudaMemcpyDeviceToHost, cuda->stream));
    OCT_CUDA(cuda->host, cudaStreamSynchronize(cuda->stream));
    return OCT_OK;
}

static oct_status device_copy(oct_device *device, oct_buf dst, oct_buf src, size_t bytes)
{
    cuda_device *cuda = cuda_of(device);
    OCT_CUDA(cuda->host, cudaMemcpyAsync(cuda_ptr(dst), cuda_ptr(src), bytes,
                                         cudaMemcpyDeviceToDevice, cuda->stream));
    return OCT_OK;
}

static oct_status device_zero(oct_device *device, oct_buf dst, size_t bytes)
{
    cuda_device *cuda = cuda_of(device);
    OCT_CUDA(cuda->host, cudaMemsetAsync(cuda_ptr(dst), 0, bytes, cuda->stream));
    return OCT_OK;
}

static oct_status device_sync(oct_device *device)
{
    cuda_device *cuda = cuda_of(device);
    OCT_CUDA(cuda->host, cudaStreamSynchronize(cuda->stream));
    return OCT_OK;
}

static void device_close(oct_device *device)
{
    if (device == NULL) {
        return;
    }
    cuda_device *cuda = cuda_of(device);
    (void)cudaFree(cuda->partial);
    (void)cudaFree(cuda->attend_scratch);
    if (cuda->stream != NULL) {
        (void)cudaStreamDestroy(cuda->stream);
    }
    free(cuda);
}

static const oct_device_table table = {
    .abi = OCT_BACKEND_ABI,
    .size = sizeof(oct_device_table),
    .name = OCT_CUDA_NAME,
    .info = device_info,
    .alloc = device_alloc,
    .free = device_free,
    .upload = device_upload,
    .download = device_download,
    .copy = device_copy,
    .zero = device_zero,
    .sync = device_sync,
    .close = device_close,
};

static oct_status open_stream(cuda_device *cuda)
{
    OCT_CUDA(cuda->host, cudaSetDevice(cuda->ordinal));
    OCT_CUDA(cuda->host, cudaGetDeviceProperties(&cuda->properties, cuda->ordinal));
    if (cuda->properties.major < MIN_MAJOR) {
        return cuda_fail(cuda->host, OCT_ERR_DEVICE,
                         "%s: expected compute capability %d.0 or later, it has %d.%d",
                         cuda->properties.name, MIN_MAJOR, cuda->properties.major,
                         cuda->properties.minor);
    }
    OCT_CUDA(cuda->host, cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking));
    cuda->partial_bytes = PARTIAL_BYTES;
    cuda->attend_bytes = ATTEND_BYTES;
    OCT_CUDA(cuda->host, cudaMalloc((void **)&cuda->partial, cuda->partial_bytes));
    OCT_CUDA(cuda->host, cudaMalloc(&cuda->attend_scratch, cuda->attend_bytes));
    OCT_CUDA(cuda->host, cudaMemsetAsync(cuda->partial, 0, cuda->partial_bytes, cuda->stream));
    OCT_CUDA(cuda->host,
             cudaMemsetAsync(cuda->attend_scratch, 0, cuda->attend_bytes, cuda->stream));
    return OCT_OK;
}

oct_status oct_backend_open(oct_device **out, const oct_host *host, int32_t ordinal)
{
    *out = NULL;
    if (host->abi != OCT_BACKEND_ABI || host->size != sizeof *host) {
        return host->fail(OCT_ERR_DEVICE, "the plug-in was built for another version of Octet");
    }
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        return cuda_fail(host, OCT_ERR_DEVICE, "%s",
                         error == cudaErrorInsufficientDriver ? "no driver, or one too old"
                                                              : cudaGetErrorString(error));
    }
    if (ordinal < 0 || ordinal >= count) {
        return cuda_fail(host, OCT_ERR_DEVICE, "expected device %d, found %d devices", ordinal,
                         count);
    }
    cuda_device *cuda = calloc(1, sizeof *cuda);
    if (cuda == NULL) {
        return cuda_fail(host, OCT_ERR_NOMEM, "out of memory: device object");
    }
    cuda->base.table = &table;
    cuda->base.ops = &cuda_ops;
    cuda->host = host;
    cuda->ordinal = ordinal;
    oct_status status = open_stream(cuda);
    if (status != OCT_OK) {
        device_close(&cuda->base);
        return status;
    }
    *out = &cuda->base;
    return OCT_OK;
}
