// Decode attention for one query token: split-K over the INT8 KV cache, head size 64.  Block =
// (head, split), 128 threads. The last block of a head to finish (atomic counter) merges the
// splits.
#include "sample_exp.h"
#include "sample_kernels.h"
#include "sample_ptx.h"
constexpr int D = 64, CH = 64; // CH = keys a split handles at most
__global__ void __launch_bounds__(128)
    attn_decode_kernel(const int8_t *__restrict__ q, const float *__restrict__ sq,
                       const int8_t *__restrict__ k, const float *__restrict__ sk,
                       const int8_t *__restrict__ v, const float *__restrict__ sv,
                       __half *__restrict__ o, float *__restrict__ part, int *__restrict__ counters,
                       int *__restrict__ dbg, int T, int per)
{
    __shared__ __align__(128) float p[CH];
    __shared__ __align__(128) float red[4];
    __shared__ __align__(128) float acc[2][D];
    __shared__ __align__(128) int last;
    const int h = blockIdx.x, sp = blockIdx.y, S = gridDim.y, tid = threadIdx.x, lane = tid & 31,
              w = tid >> 5;
    const int t0 = sp * per, n = min(per, T - t0);
    // scores: 4 lanes a key, 16 bytes each
    const int4 qv = reinterpret_cast<const int4 *>(q + h * D)[lane & 3];
    float mx = -3.0e38f;
    for (int base = 0; base < per; base += 32) {
        int t = base + w * 8 + (lane >> 2);
        int s = 0;
        if (t < n) {
            int4 kv = reinterpret_cast<const int4 *>(k + ((size_t)h * T + t0 + t) * D)[lane & 3];
            s = __dp4a(qv.x, kv.x, s);
            s = __dp4a(qv.y, kv.y, s);
            s = __dp4a(qv.z, kv.z, s);
            s = __dp4a(qv.w, kv.w, s);
        }
        s += __shfl_xor_sync(0xffffffffu, s, 1);
        s += __shfl_xor_sync(0xffffffffu, s, 2);
        if (t < n) {
            float f = __fmul_rn(__fmul_rn(__fmul_rn((float)s, sq[h]), sk[(size_t)h * T + t0 + t]),
                                0.125f);
            if ((lane & 3) == 0) {
                p[t] = f;
                if (dbg)
                    dbg[(size_t)h * T + t0 + t] = s;
            }
            mx = fmaxf(mx, f);
        }
    }
#pragma unroll
    for (int d = 16; d; d >>= 1)
        mx = fmaxf(mx, __shfl_xor_sync(0xffffffffu, mx, d));
    if (lane == 0)
        red[w] = mx;
    __syncthreads();
    mx = fmaxf(fmaxf(red[0], red[1]), fmaxf(red[2], red[3]));
#ifndef BUG_ATTN_RACE
    __syncthreads();
#endif
    float e = 0.f;
    for (int t = tid; t < n; t += 128) {
        float x = det_exp(__fsub_rn(p[t], mx));
        e = __fadd_rn(e, x);
        p[t] = __fmul_rn(x, sv[(size_t)h * T + t0 + t]);
    }
#pragma unroll
    for (int d = 16; d; d >>= 1)
        e = __fadd_rn(e, __shfl_xor_sync(0xffffffffu, e, d));
    if (lane == 0)
        red[w] = e;
    __syncthreads();
    float sum = __fadd_rn(__fadd_rn(red[0], red[1]), __fadd_rn(red[2], red[3]));
    const int d = tid & 63, hf = tid >> 6;
    float a = 0.f;
    for (int t = hf; t < n; t += 2)
        a = __fmaf_rn(p[t], (float)v[((size_t)h * T + t0 + t) * D + d], a);
    acc[hf][d] = a;
    __syncthreads();
    float *pp = part + ((size_t)h * S + sp) * (D + 2);
    if (tid < D)
        pp[tid] = __fadd_rn(acc[0][tid], acc[1][tid]);
    if (tid == 0) {
        pp[D] = mx;
        pp[D + 1] = sum;
    }
    __threadfence();
    __syncthreads();
    if (tid == 0) {
        int c = atomicAdd(&counters[h], 1);
        last = c == S - 1;
        if (last)
            counters[h] = 0;
    }
    __syncthreads();
    if (!last)
        return;
    __threadfence();
    if (tid < D) { // merge in split order: deterministic
        const volatile float *P = part + (size_t)h * S * (D + 2);
        float m = -3.0e38f;
        for (int i = 0; i < S; i++)
            m = fmaxf(m, P[i * (D + 2) + D]);
        float num = 0.f, den = 0.f;
        for (int i = 0; i < S; i++) {
            float c = det_exp(__fsub_rn(P[i * (D + 2) + D], m));
            num = __fmaf_rn(P[i * (D + 2) + tid], c, num);
            den = __fmaf_rn(P[i * (D + 2) + D + 1], c, den);
        }
        o[h * D + tid] = __float2half_rn(__fdiv_rn(num, den));
    }
}
cudaError_t attn_decode(const int8_t *q, const float *sq, const int8_t *k, const float *sk,
                        const int8_t *v, const float *sv, __half *o, float *part, int *counters,
                        int *dbg, int H, int T, int splits, cudaStream_t st)
{
    int per = (T + splits - 1) / splits;
    if (per > CH)
        return cudaErrorInvalidValue;
    attn_decode_kernel<<<dim3(H, splits), 128, 0, st>>>(q, sq, k, sk, v, sv, o, part, counters, dbg,
                                                        T, per);
    return cudaGetLastError();
}
