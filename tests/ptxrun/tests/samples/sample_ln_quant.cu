// LayerNorm over N, then dynamic per-row INT8 quantisation.  One warp per row, 4 rows a block;
// statistics by warp shuffles.
#include "sample_kernels.h"
#include "sample_ptx.h"
__device__ __forceinline__ float warp_sum(float v)
{
#pragma unroll
    for (int o = 16; o; o >>= 1) {
        v = __fadd_rn(v, __shfl_xor_sync(0xffffffffu, v, o));
    }
    return v;
}
__device__ __forceinline__ float warp_max(float v)
{
#pragma unroll
    for (int o = 16; o; o >>= 1) {
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, o));
    }
    return v;
}
__global__ void __launch_bounds__(128)
    ln_quant_kernel(const __half *__restrict__ x, const float *__restrict__ g,
                    const float *__restrict__ b, int8_t *__restrict__ q, float *__restrict__ scale,
                    int M, int N, float eps)
{
    extern __shared__ __align__(128) float sm[]; // 4 rows of N floats
    const int lane = threadIdx.x & 31, w = threadIdx.x >> 5, row = blockIdx.x * 4 + w;
    if (row >= M)
        return;
    float *y = sm + (size_t)w * N;
    const __half2 *xr = reinterpret_cast<const __half2 *>(x + (size_t)row * N);
    float s = 0.f;
    for (int i = lane; i < N / 2; i += 32) {
        float2 v = __half22float2(xr[i]);
        y[2 * i] = v.x;
        y[2 * i + 1] = v.y;
        s = __fadd_rn(s, __fadd_rn(v.x, v.y));
    }
    float mean = __fdiv_rn(warp_sum(s), (float)N);
    float ss = 0.f;
    for (int i = lane; i < N / 2; i += 32) {
        float a = __fsub_rn(y[2 * i], mean), c = __fsub_rn(y[2 * i + 1], mean);
        ss = __fmaf_rn(a, a, ss);
        ss = __fmaf_rn(c, c, ss);
    }
    float var = __fdiv_rn(warp_sum(ss), (float)N),
          rstd = __frcp_rn(__fsqrt_rn(__fadd_rn(var, eps)));
    float mx = 0.f;
    for (int i = lane; i < N / 2; i += 32)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int j = 2 * i + e;
            float v = __fmaf_rn(__fmul_rn(__fsub_rn(y[j], mean), rstd), g[j], b[j]);
            y[j] = v;
            mx = fmaxf(mx, fabsf(v));
        }
    mx = warp_max(mx);
    float inv = mx > 0.f ? __fdiv_rn(127.f, mx) : 0.f;
    if (lane == 0)
        scale[row] = __fdiv_rn(mx, 127.f);
#ifndef BUG_NO_SYNCWARP
    __syncwarp();
#endif
    for (int i = lane; i < N / 4;
         i += 32) { // other lanes' elements: the __syncwarp above is needed
        unsigned p = 0;
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int v = __float2int_rn(__fmul_rn(y[4 * i + e], inv));
            v = max(-127, min(127, v));
            p |= (unsigned)(v & 255) << (8 * e);
        }
        reinterpret_cast<unsigned *>(q + (size_t)row * N)[i] = p;
    }
}
cudaError_t ln_quant(const __half *x, const float *g, const float *b, int8_t *q, float *scale,
                     int M, int N, float eps, cudaStream_t st)
{
    ln_quant_kernel<<<(M + 3) / 4, 128, (size_t)4 * N * sizeof(float), st>>>(x, g, b, q, scale, M,
                                                                             N, eps);
    return cudaGetLastError();
}
