// Helpers of the small test programs.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#define CK(x)                                                                                      \
    do {                                                                                           \
        cudaError_t e_ = (x);                                                                      \
        if (e_) {                                                                                  \
            printf("%s:%d %s -> %s\n", __FILE__, __LINE__, #x, cudaGetErrorString(e_));            \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int g_failed = 0, g_passed = 0;
static void report(const char *name, size_t wrong, size_t total)
{
    printf("%s %s: %zu of %zu wrong\n", wrong ? "FAIL" : "ok  ", name, wrong, total);
    (wrong ? g_failed : g_passed)++;
}
static inline void expect(const char *name, bool ok)
{
    report(name, !ok, 1);
}
static inline uint32_t rnd()
{
    static uint32_t s = 12345;
    s ^= s << 13, s ^= s >> 17, s ^= s << 5;
    return s;
}
template <class T> T *upload(const std::vector<T> &v)
{
    T *p;
    CK(cudaMalloc((void **)&p, v.size() * sizeof(T)));
    CK(cudaMemcpy(p, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice));
    return p;
}
template <class T> std::vector<T> download(const T *p, size_t n)
{
    std::vector<T> v(n);
    CK(cudaDeviceSynchronize());
    CK(cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
}
static int finish()
{
    printf("%d passed, %d failed\n", g_passed, g_failed);
    return g_failed != 0;
}
