// wgmma m64n16k32 with u8 x s8 on tiles written by the threads themselves, two k steps.
#include "cuda_test.h"

constexpr int M = 64, N = 16, K = 64;
__device__ unsigned swizzled(int row, int k)
{
    const unsigned at = row * 128 + k;
    return at ^ (at >> 7 & 7) << 4;
}
__global__ void __launch_bounds__(128) wgmma_n16(const uint8_t *a, const int8_t *b, int *d)
{
    __shared__ __align__(1024) uint8_t sa[M * 128], sb[N * 128];
    for (int i = threadIdx.x; i < M * K; i += 128)
        sa[swizzled(i / K, i % K)] = a[i];
    for (int i = threadIdx.x; i < N * K; i += 128)
        sb[swizzled(i / K, i % K)] = (uint8_t)b[i];
    asm volatile("fence.proxy.async;" ::: "memory");
    __syncthreads();
    auto descriptor = [](const void *p) { // 1024 bytes between groups of 8 rows, 128-byte swizzle
        const unsigned at = (unsigned)__cvta_generic_to_shared(p);
        return (uint64_t)(at >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
    };
    int r[8];
    for (int &v : r)
        v = 1000; // overwritten: the first step has scale-d = 0
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    for (int step = 0; step < 2; step++) {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %10, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n16k32.s32.u8.s8 {%0,%1,%2,%3,%4,%5,%6,%7}, "
                     "%8, %9, p;\n}"
                     : "+r"(r[0]), "+r"(r[1]), "+r"(r[2]), "+r"(r[3]), "+r"(r[4]), "+r"(r[5]),
                       "+r"(r[6]), "+r"(r[7])
                     : "l"(descriptor(sa + step * 32)), "l"(descriptor(sb + step * 32)), "r"(step));
    }
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int v = 0; v < 8; v++) {
        const int row = warp * 16 + lane / 4 + (v / 2 % 2) * 8;
        d[row * N + v / 4 * 8 + lane % 4 * 2 + v % 2] = r[v];
    }
}

int main()
{
    std::vector<uint8_t> a(M * K);
    std::vector<int8_t> b(N * K);
    for (auto &v : a)
        v = (uint8_t)rnd();
    for (auto &v : b)
        v = (int8_t)rnd();
    int *d;
    CK(cudaMalloc((void **)&d, M * N * 4));
    wgmma_n16<<<1, 128>>>(upload(a), upload(b), d);
    auto got = download(d, M * N);
    size_t wrong = 0;
    for (int m = 0; m < M; m++) {
        for (int n = 0; n < N; n++) {
            int s = 0;
            for (int k = 0; k < K; k++)
                s += (int)a[m * K + k] * b[n * K + k];
            wrong += got[m * N + n] != s;
        }
    }
    report("wgmma m64n16k32 u8 s8", wrong, M * N);
    return finish();
}
