// Allocation, copies and symbols. Every copy is checked against the allocations it touches.
#include <cstring>
#include <memory>

#include "rt_state.h"
#include "run_options.h"

namespace ptxrun {
namespace {

cudaError_t allocate(void **out, size_t size, HeapKind kind)
{
    ApiLock lock;
    if (!out) {
        return result(cudaErrorInvalidValue);
    }
    g_counters.allocations++;
    *out = nullptr;
    if (options().fail_alloc && --g_options.fail_alloc == 0) {
        return result(cudaErrorMemoryAllocation);
    }
    *out = size ? heap_allocate(size, kind) : nullptr;
    return result(!size || *out ? cudaSuccess : cudaErrorMemoryAllocation);
}

bool is_device(const void *p)
{
    const HeapBlock *b = heap_find((uint64_t)p);
    return b && b->kind != HeapKind::Pinned;
}
bool is_pageable(const void *p)
{
    return heap_find((uint64_t)p) == nullptr;
}

// A pointer that must be (or is) device memory has to lie inside one allocation entirely.
bool range_ok(const void *p, size_t size, bool must_be_device)
{
    if (heap_find((uint64_t)p)) {
        return heap_contains((uint64_t)p, size);
    }
    return !must_be_device;
}

struct Copy2D {
    void *dst;
    size_t dst_pitch;
    const void *src;
    size_t src_pitch, width, height;
};
void run_copy(const Copy2D &c)
{
    if (c.width == c.dst_pitch && c.width == c.src_pitch) {
        memmove(c.dst, c.src, c.width * c.height);
        return;
    }
    for (size_t y = 0; y < c.height; y++) {
        memmove((char *)c.dst + y * c.dst_pitch, (const char *)c.src + y * c.src_pitch, c.width);
    }
}

// Counted when it is carried out, so that a graph's copies count at each replay.
void count_copy(const Copy2D &c)
{
    g_counters.copies++;
    (is_device(c.dst) ? g_counters.bytes_to_device : g_counters.bytes_from_device) +=
        c.width * c.height;
}
void count_and_run(const Copy2D &c)
{
    count_copy(c);
    run_copy(c);
}

cudaError_t copy(const Copy2D &c, cudaMemcpyKind kind, cudaStream_t stream, bool async)
{
    ApiLock lock;
    if (!c.width || !c.height) {
        return cudaSuccess;
    }
    if (c.width > c.dst_pitch || c.width > c.src_pitch) {
        return result(cudaErrorInvalidPitchValue);
    }
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    const size_t dst_bytes = (c.height - 1) * c.dst_pitch + c.width;
    const size_t src_bytes = (c.height - 1) * c.src_pitch + c.width;
    if (!range_ok(c.dst, dst_bytes, to_device) || !range_ok(c.src, src_bytes, from_device)) {
        return result(cudaErrorInvalidValue);
    }
    if ((kind == cudaMemcpyDeviceToHost && is_device(c.dst) && !is_device(c.src)) ||
        (kind == cudaMemcpyHostToDevice && is_device(c.src) && !is_device(c.dst))) {
        return result(cudaErrorInvalidValue);
    }
    g_counters.synchronizations += !async;
    if (!async || is_capturing(stream) || !options().lazy_streams) {
        cudaError_t e = submit(stream, [c] { count_and_run(c); });
        return result(e || async ? e : synchronize(stream));
    }
    // As on the device: a pageable source is read before the call returns, a pageable destination
    // is written before it returns; only pinned memory is touched later.
    if (is_pageable(c.src)) {
        auto staged = std::make_shared<std::vector<char>>(c.width * c.height);
        run_copy({staged->data(), c.width, c.src, c.src_pitch, c.width, c.height});
        return result(submit(stream, [c, staged] {
            count_copy(c);
            run_copy({c.dst, c.dst_pitch, staged->data(), c.width, c.width, c.height});
        }));
    }
    cudaError_t e = submit(stream, [c] { count_and_run(c); });
    return result(e || !is_pageable(c.dst) ? e : synchronize(stream));
}

cudaError_t set(void *dst, size_t pitch, int value, size_t width, size_t height,
                cudaStream_t stream, bool async)
{
    ApiLock lock;
    if (!width || !height) {
        return cudaSuccess;
    }
    if (!range_ok(dst, (height - 1) * pitch + width, true)) {
        return result(cudaErrorInvalidValue);
    }
    cudaError_t e = submit(stream, [=] {
        for (size_t y = 0; y < height; y++) {
            memset((char *)dst + y * pitch, value, width);
        }
    });
    return result(e || async ? e : synchronize(stream));
}

cudaError_t copy_symbol(const void *symbol, const void *host, void *out, size_t count,
                        size_t offset, cudaMemcpyKind kind, cudaStream_t stream, bool async)
{
    const Variable *v = find_symbol(symbol);
    if (!v) {
        return result(cudaErrorInvalidSymbol);
    }
    if (offset + count > v->size) {
        return result(cudaErrorInvalidValue);
    }
    void *place = (void *)(v->address + offset);
    if (out) {
        return copy({out, count, place, count, count, 1}, kind, stream, async);
    }
    return copy({place, count, host, count, count, 1}, kind, stream, async);
}

} // namespace
} // namespace ptxrun

using namespace ptxrun;

PTXRUN_API cudaError_t cudaMalloc(void **p, size_t n)
{
    return allocate(p, n, HeapKind::Device);
}
PTXRUN_API cudaError_t cudaMallocManaged(void **p, size_t n, unsigned)
{
    return allocate(p, n, HeapKind::Managed);
}
PTXRUN_API cudaError_t cudaMallocHost(void **p, size_t n)
{
    return allocate(p, n, HeapKind::Pinned);
}
PTXRUN_API cudaError_t cudaHostAlloc(void **p, size_t n, unsigned)
{
    return allocate(p, n, HeapKind::Pinned);
}
PTXRUN_API cudaError_t cudaMallocAsync(void **p, size_t n, cudaStream_t)
{
    return allocate(p, n, HeapKind::Device);
}
PTXRUN_API cudaError_t cudaMallocPitch(void **p, size_t *pitch, size_t width, size_t height)
{
    *pitch = (width + 511) / 512 * 512;
    return allocate(p, *pitch * height, HeapKind::Device);
}
PTXRUN_API cudaError_t cudaFree(void *p)
{
    ApiLock lock;
    synchronize_all();
    return result(!p || heap_free(p, HeapKind::Device) ? cudaSuccess : cudaErrorInvalidValue);
}
PTXRUN_API cudaError_t cudaFreeHost(void *p)
{
    ApiLock lock;
    synchronize_all();
    return result(!p || heap_free(p, HeapKind::Pinned) ? cudaSuccess : cudaErrorInvalidValue);
}
PTXRUN_API cudaError_t cudaFreeAsync(void *p, cudaStream_t stream)
{
    ApiLock lock;
    return result(submit(stream, [p] {
        if (p && !heap_free(p, HeapKind::Device)) {
            fatal("cudaFreeAsync of an unknown pointer");
        }
    }));
}
PTXRUN_API cudaError_t cudaHostRegister(void *p, size_t n, unsigned)
{
    ApiLock lock;
    return result(heap_register(p, n) ? cudaSuccess : cudaErrorInvalidValue);
}
PTXRUN_API cudaError_t cudaHostUnregister(void *p)
{
    ApiLock lock;
    return result(heap_unregister(p) ? cudaSuccess : cudaErrorInvalidValue);
}
PTXRUN_API cudaError_t cudaHostGetDevicePointer(void **out, void *p, unsigned)
{
    *out = p;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    ApiLock lock;
    *total = options().memory << 20;
    *free_bytes = *total - std::min(*total, heap_device_bytes());
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *out, const void *p)
{
    ApiLock lock;
    *out = {};
    const HeapBlock *b = heap_find((uint64_t)p);
    out->type = !b                             ? cudaMemoryTypeUnregistered
                : b->kind == HeapKind::Pinned  ? cudaMemoryTypeHost
                : b->kind == HeapKind::Managed ? cudaMemoryTypeManaged
                                               : cudaMemoryTypeDevice;
    out->devicePointer = b ? (void *)p : nullptr;
    out->hostPointer = b && b->kind != HeapKind::Device ? (void *)p : nullptr;
    return cudaSuccess;
}

PTXRUN_API cudaError_t cudaMemcpy(void *d, const void *s, size_t n, cudaMemcpyKind kind)
{
    return copy({d, n, s, n, n, 1}, kind, nullptr, false);
}
PTXRUN_API cudaError_t cudaMemcpyAsync(void *d, const void *s, size_t n, cudaMemcpyKind kind,
                                       cudaStream_t stream)
{
    return copy({d, n, s, n, n, 1}, kind, stream, true);
}
PTXRUN_API cudaError_t cudaMemcpy2D(void *d, size_t dp, const void *s, size_t sp, size_t w,
                                    size_t h, cudaMemcpyKind kind)
{
    return copy({d, dp, s, sp, w, h}, kind, nullptr, false);
}
PTXRUN_API cudaError_t cudaMemcpy2DAsync(void *d, size_t dp, const void *s, size_t sp, size_t w,
                                         size_t h, cudaMemcpyKind kind, cudaStream_t stream)
{
    return copy({d, dp, s, sp, w, h}, kind, stream, true);
}
PTXRUN_API cudaError_t cudaMemset(void *d, int v, size_t n)
{
    return set(d, n, v, n, 1, nullptr, false);
}
PTXRUN_API cudaError_t cudaMemsetAsync(void *d, int v, size_t n, cudaStream_t stream)
{
    return set(d, n, v, n, 1, stream, true);
}
PTXRUN_API cudaError_t cudaMemset2D(void *d, size_t pitch, int v, size_t w, size_t h)
{
    return set(d, pitch, v, w, h, nullptr, false);
}
PTXRUN_API cudaError_t cudaMemset2DAsync(void *d, size_t pitch, int v, size_t w, size_t h,
                                         cudaStream_t stream)
{
    return set(d, pitch, v, w, h, stream, true);
}
PTXRUN_API cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *s, size_t n,
                                          size_t offset, cudaMemcpyKind kind)
{
    return copy_symbol(symbol, s, nullptr, n, offset, kind, nullptr, false);
}
PTXRUN_API cudaError_t cudaMemcpyToSymbolAsync(const void *symbol, const void *s, size_t n,
                                               size_t offset, cudaMemcpyKind kind,
                                               cudaStream_t stream)
{
    return copy_symbol(symbol, s, nullptr, n, offset, kind, stream, true);
}
PTXRUN_API cudaError_t cudaMemcpyFromSymbol(void *d, const void *symbol, size_t n, size_t offset,
                                            cudaMemcpyKind kind)
{
    return copy_symbol(symbol, nullptr, d, n, offset, kind, nullptr, false);
}
PTXRUN_API cudaError_t cudaGetSymbolAddress(void **p, const void *symbol)
{
    ApiLock lock;
    const Variable *v = find_symbol(symbol);
    if (!v) {
        return result(cudaErrorInvalidSymbol);
    }
    *p = (void *)v->address;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaGetSymbolSize(size_t *n, const void *symbol)
{
    ApiLock lock;
    const Variable *v = find_symbol(symbol);
    if (!v) {
        return result(cudaErrorInvalidSymbol);
    }
    *n = v->size;
    return cudaSuccess;
}
