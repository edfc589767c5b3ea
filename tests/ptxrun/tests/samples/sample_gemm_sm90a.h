// Hopper form: one producer warp (TMA) + one consumer warpgroup (wgmma m64n64k32 s8), two stages of
// 64x128 + 64x128 bytes.
#include <cuda.h>
#include "sample_ptx.h"
namespace h {
__device__ __forceinline__ unsigned s32(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}
__device__ __forceinline__ void mbar_init(uint64_t *b, unsigned n)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(s32(b)), "r"(n));
}
__device__ __forceinline__ void fence_init()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void arrive(uint64_t *b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(s32(b)) : "memory");
}
__device__ __forceinline__ void arrive_tx(uint64_t *b, unsigned n)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(s32(b)), "r"(n)
                 : "memory");
}
__device__ __forceinline__ void wait(uint64_t *b, unsigned par)
{
    asm volatile(
        "{\n.reg .pred p;\nL_%=:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra "
        "L_%=;\n}" ::"r"(s32(b)),
        "r"(par)
        : "memory");
}
__device__ __forceinline__ void tma2d(void *d, const CUtensorMap *m, int x, int y, uint64_t *b)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, "
                 "{%2, %3}], [%4];" ::"r"(s32(d)),
                 "l"(m), "r"(x), "r"(y), "r"(s32(b))
                 : "memory");
}
__device__ __forceinline__ uint64_t desc(const void *p)
{
    return (uint64_t)((s32(p) & 0x3FFFF) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
__device__ __forceinline__ void wg_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wg_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wg_wait0()
{
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}
__device__ __forceinline__ void wgmma64(int (&d)[32], uint64_t a, uint64_t b, int sc)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, "
                 "0;\nwgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%"
                 "22,%23,%24,%"
                 "25,%26,%27,%28,%29,%30,%31}, %32, %33, p;\n}"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]), "+r"(d[4]), "+r"(d[5]),
                   "+r"(d[6]), "+r"(d[7]), "+r"(d[8]), "+r"(d[9]), "+r"(d[10]), "+r"(d[11]),
                   "+r"(d[12]), "+r"(d[13]), "+r"(d[14]), "+r"(d[15]), "+r"(d[16]), "+r"(d[17]),
                   "+r"(d[18]), "+r"(d[19]), "+r"(d[20]), "+r"(d[21]), "+r"(d[22]), "+r"(d[23]),
                   "+r"(d[24]), "+r"(d[25]), "+r"(d[26]), "+r"(d[27]), "+r"(d[28]), "+r"(d[29]),
                   "+r"(d[30]), "+r"(d[31])
                 : "l"(a), "l"(b), "r"(sc));
}
} // namespace h
__global__ void __launch_bounds__(160)
    gemm90(const __grid_constant__ CUtensorMap mx, const __grid_constant__ CUtensorMap mw,
           int *__restrict__ C, int M, int N, int K)
{
    __shared__ __align__(1024) int8_t As[2][64 * 128];
    __shared__ __align__(1024) int8_t Bs[2][64 * 128];
    __shared__ __align__(128) uint64_t full[2];
    __shared__ __align__(128) uint64_t empty[2];
    const int tid = threadIdx.x, KT = (K + 127) / 128, m0 = blockIdx.y * 64, n0 = blockIdx.x * 64;
    if (tid == 0) {
        for (int i = 0; i < 2; i++) {
            h::mbar_init(&full[i], 1);
            h::mbar_init(&empty[i], 128);
        }
        h::fence_init();
    }
    __syncthreads();
    if (tid >= 128) { // producer
        if (tid == 128)
            for (int k = 0; k < KT; k++) {
                int s = k & 1;
                if (k >= 2)
                    h::wait(&empty[s], ((k >> 1) - 1) & 1);
                h::arrive_tx(&full[s], 2 * 64 * 128);
                h::tma2d(As[s], &mx, k * 128, m0, &full[s]);
                h::tma2d(Bs[s], &mw, k * 128, n0, &full[s]);
            }
        return;
    }
    int d[32];
#pragma unroll
    for (int i = 0; i < 32; i++)
        d[i] = 0;
    for (int k = 0; k < KT; k++) {
        int s = k & 1;
#ifndef BUG90_NOWAIT
        h::wait(&full[s], (k >> 1) & 1);
#endif
        h::wg_fence();
#pragma unroll
        for (int kk = 0; kk < 4; kk++)
            h::wgmma64(d, h::desc(As[s] + kk * 32), h::desc(Bs[s] + kk * 32), 1);
        h::wg_commit();
#ifdef BUG90_EARLY_RELEASE
        h::arrive(&empty[s]);
        h::wg_wait0();
#else
        h::wg_wait0();
        h::arrive(&empty[s]);
#endif
    }
    const int w = tid >> 5, lane = tid & 31;
#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int r = m0 + w * 16 + (lane >> 2) + (e >> 1) * 8,
                n = n0 + j * 8 + (lane & 3) * 2 + (e & 1);
            if (r < M && n < N)
                C[(size_t)r * N + n] = d[j * 4 + e];
        }
}
