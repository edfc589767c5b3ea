// Y[M,N] (f16) = dequant( X[M,K] (s8, per-row scale) * W[N,K]^T (s8, per-column scale) ) + bias;
// also the raw s32. Block tile 64x64x64, 4 warps of 32x32, cp.async double buffering, ldmatrix,
// mma.m16n8k32.s8.
#include "sample_kernels.h"
#include "sample_ptx.h"
constexpr int BM = 64, BN = 64, BK = 64;
// 64-byte rows as four 16-byte chunks; XOR-swizzle keeps ldmatrix free of bank conflicts
__device__ __forceinline__ int sw(int row, int chunk)
{
    return row * BK + ((chunk ^ ((row >> 1) & 3)) << 4);
}
__global__ void __launch_bounds__(128)
    gemm_w8a8_kernel(const int8_t *__restrict__ X, const int8_t *__restrict__ W,
                     const float *__restrict__ sx, const float *__restrict__ sw_,
                     const float *__restrict__ bias, __half *__restrict__ Y,
                     int *__restrict__ acc_out, int M, int N, int K)
{
    __shared__ __align__(128) int8_t As[2][BM * BK];
    __shared__ __align__(128) int8_t Bs[2][BN * BK];
    const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN, wm = (warp >> 1) * 32,
              wn = (warp & 1) * 32;
    int c[2][4][4];
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                c[i][j][e] = 0;
    auto load = [&](int st, int k0) {
#pragma unroll
        for (int it = 0; it < 2; it++) {
            int id = tid + it * 128, row = id >> 2, ch = id & 3;
            ptx::cp_async16(&As[st][sw(row, ch)],
                            X + (size_t)(m0 + row < M ? m0 + row : 0) * K + k0 + ch * 16,
                            m0 + row < M);
            ptx::cp_async16(&Bs[st][sw(row, ch)],
                            W + (size_t)(n0 + row < N ? n0 + row : 0) * K + k0 + ch * 16,
                            n0 + row < N);
        }
        ptx::cp_async_commit();
    };
    const int KT = K / BK;
    load(0, 0);
    for (int kt = 0; kt < KT; kt++) {
        if (kt + 1 < KT) {
            load((kt + 1) & 1, (kt + 1) * BK);
            ptx::cp_async_wait<1>();
        } else {
#ifdef BUG_WAIT
            ptx::cp_async_wait<1>();
#else
            ptx::cp_async_wait<0>();
#endif
        }
#ifndef BUG_NO_SYNC1
        __syncthreads();
#endif
        const int8_t *A = As[kt & 1];
        const int8_t *B = Bs[kt & 1];
#pragma unroll
        for (int ks = 0; ks < 2; ks++) { // two k32 steps
            uint32_t a[2][4], b[2][4];
#ifdef GEMM_TILED
            const void *rows[4] = {
                A + sw(wm + (lane & 15), ks * 2 + (lane >> 4)),
                A + sw(wm + 16 + (lane & 15), ks * 2 + (lane >> 4)),
                B + sw(wn + (lane & 7) + ((lane >> 4) << 3), ks * 2 + ((lane >> 3) & 1)),
                B + sw(wn + 16 + (lane & 7) + ((lane >> 4) << 3), ks * 2 + ((lane >> 3) & 1))};
            uint32_t f[4][4];
            ptx::ldmatrix_x4_n<4>(f, rows);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                a[0][e] = f[0][e];
                a[1][e] = f[1][e];
                b[0][e] = f[2][e];
                b[1][e] = f[3][e];
            }
            ptx::mma_s8_tile<2, 4>(c, a, b);
#else
#pragma unroll
            for (int i = 0; i < 2; i++) // A: matrices (rows 0-7,k0-15) (rows 8-15,k0-15) (rows
                                        // 0-7,k16-31) (rows 8-15,k16-31)
                ptx::ldmatrix_x4(a[i], A + sw(wm + i * 16 + (lane & 15), ks * 2 + (lane >> 4)));
#pragma unroll
            for (int j = 0; j < 2; j++) // B: n0-7 k0-15, n0-7 k16-31, n8-15 k0-15, n8-15 k16-31
                ptx::ldmatrix_x4(b[j], B + sw(wn + j * 16 + (lane & 7) + ((lane >> 4) << 3),
                                              ks * 2 + ((lane >> 3) & 1)));
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    uint32_t bb[2] = {b[j >> 1][(j & 1) * 2], b[j >> 1][(j & 1) * 2 + 1]};
                    ptx::mma_s8_16832(c[i][j], a[i], bb, c[i][j]);
                }
#endif
        }
#ifndef BUG_NO_SYNC2
        __syncthreads();
#endif
    }
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                int r = m0 + wm + i * 16 + (lane >> 2) + h * 8,
                    n = n0 + wn + j * 8 + (lane & 3) * 2;
                if (r < M && n < N) {
                    float s = sx[r];
                    float y0 = __fadd_rn(
                        __fmul_rn(__fmul_rn(__int2float_rn(c[i][j][h * 2]), s), sw_[n]), bias[n]);
                    float y1 = __fadd_rn(
                        __fmul_rn(__fmul_rn(__int2float_rn(c[i][j][h * 2 + 1]), s), sw_[n + 1]),
                        bias[n + 1]);
                    *reinterpret_cast<__half2 *>(Y + (size_t)r * N + n) = __floats2half2_rn(y0, y1);
                    if (acc_out)
                        *reinterpret_cast<int2 *>(acc_out + (size_t)r * N + n) =
                            make_int2(c[i][j][h * 2], c[i][j][h * 2 + 1]);
                }
            }
}
cudaError_t gemm_w8a8(const int8_t *X, const int8_t *W, const float *sx, const float *sw_,
                      const float *bias, __half *Y, int *acc, int M, int N, int K, cudaStream_t st)
{
    gemm_w8a8_kernel<<<dim3((N + BN - 1) / BN, (M + BM - 1) / BM), 128, 0, st>>>(
        X, W, sx, sw_, bias, Y, acc, M, N, K);
    return cudaGetLastError();
}
