// Kernels of the conformance program: one PTX wrapper each.
#include "sample_ptx.h"
__global__ void __launch_bounds__(32)
    conf_mma(const uint32_t *A, const uint32_t *Bq, const int *C, int *Dp, int trials, int tile)
{
    int l = threadIdx.x;
    for (int t = 0; t < trials; t++) {
        uint32_t a[4], b[2];
        int c[4], d[4];
        for (int i = 0; i < 4; i++) {
            a[i] = A[(t * 32 + l) * 4 + i];
            c[i] = C[(t * 32 + l) * 4 + i];
        }
        for (int i = 0; i < 2; i++)
            b[i] = Bq[(t * 32 + l) * 2 + i];
        if (tile) {
            int cc[1][2][4];
            uint32_t aa[1][4], bb[1][4];
            for (int i = 0; i < 4; i++) {
                cc[0][0][i] = c[i];
                cc[0][1][i] = c[i];
                aa[0][i] = a[i];
            }
            bb[0][0] = b[0];
            bb[0][1] = b[1];
            bb[0][2] = b[1];
            bb[0][3] = b[0];
            ptx::mma_s8_tile<1, 2>(cc, aa, bb);
            for (int i = 0; i < 4; i++)
                d[i] = cc[0][0][i];
        } else
            ptx::mma_s8_16832(d, a, b, c);
        for (int i = 0; i < 4; i++)
            Dp[(t * 32 + l) * 4 + i] = d[i];
    }
}
__global__ void __launch_bounds__(32)
    conf_ldm(const uint32_t *img, const int *row, uint32_t *out, int trials)
{
    __shared__ __align__(128) int8_t S[4096];
    int l = threadIdx.x;
    for (int i = l; i < 1024; i += 32)
        reinterpret_cast<uint32_t *>(S)[i] = img[i];
    __syncthreads();
    for (int t = 0; t < trials; t++) {
        uint32_t r[4];
        ptx::ldmatrix_x4(r, S + row[t * 32 + l] * 16);
        for (int i = 0; i < 4; i++)
            out[(t * 32 + l) * 4 + i] = r[i];
    }
}
__global__ void __launch_bounds__(32) conf_cp(const int8_t *src, int8_t *out)
{ // zero fill, group order
    __shared__ __align__(128) int8_t S[2][512];
    int l = threadIdx.x;
    ptx::cp_async16(&S[0][l * 16], src + l * 16, l % 3 != 0);
    ptx::cp_async_commit();
    ptx::cp_async16(&S[1][l * 16], src + 512 + (31 - l) * 16, l % 5 != 0);
    ptx::cp_async_commit();
    ptx::cp_async_wait<1>();
    __syncthreads();
    for (int i = 0; i < 16; i++)
        out[l * 16 + i] = S[0][((l + 7) & 31) * 16 + i];
    ptx::cp_async_wait<0>();
    __syncthreads();
    for (int i = 0; i < 16; i++)
        out[512 + l * 16 + i] = S[1][((l + 9) & 31) * 16 + i];
}
__global__ void __launch_bounds__(32) conf_misc(const uint32_t *x, uint32_t *o)
{
    int l = threadIdx.x;
    uint32_t a = x[l], b = x[32 + l], c = x[64 + l];
    int k = 0;
    o[k++ * 32 + l] = __shfl_xor_sync(~0u, a, 5);
    o[k++ * 32 + l] = __dp4a((int)a, (int)b, (int)c);
    float f = __uint_as_float((a & 0x807fffffu) | ((100 + a % 60) << 23)),
          g = __uint_as_float((b & 0x807fffffu) | ((100 + b % 60) << 23)),
          h = __uint_as_float((c & 0x807fffffu) | ((100 + c % 60) << 23));
    o[k++ * 32 + l] = __float_as_uint(__fmaf_rn(f, g, h));
    o[k++ * 32 + l] = __float_as_uint(__fdiv_rn(f, g));
    o[k++ * 32 + l] = __float_as_uint(__fsqrt_rn(fabsf(f)));
    o[k++ * 32 + l] = __float_as_uint(__frcp_rn(f));
    o[k++ * 32 + l] = (uint32_t)__float2int_rn(f * 1e-3f);
    float hf = __uint_as_float((a & 0x807fffffu) | ((95 + a % 50) << 23));
    __half q = __float2half_rn(hf);
    o[k++ * 32 + l] = *reinterpret_cast<unsigned short *>(&q);
    o[k++ * 32 + l] = __float_as_uint(__half2float(q));
    __half2 q2 = __floats2half2_rn(hf, -hf);
    o[k++ * 32 + l] = *reinterpret_cast<uint32_t *>(&q2);
    o[k++ * 32 + l] = __float_as_uint(fmaxf(f, g));
}
cudaError_t L_mma(const uint32_t *A, const uint32_t *B, const int *C, int *D, int t, int tile)
{
    conf_mma<<<1, 32>>>(A, B, C, D, t, tile);
    return cudaGetLastError();
}
cudaError_t L_ldm(const uint32_t *i, const int *r, uint32_t *o, int t)
{
    conf_ldm<<<1, 32>>>(i, r, o, t);
    return cudaGetLastError();
}
cudaError_t L_cp(const int8_t *s, int8_t *o)
{
    conf_cp<<<1, 32>>>(s, o);
    return cudaGetLastError();
}
cudaError_t L_misc(const uint32_t *x, uint32_t *o)
{
    conf_misc<<<1, 32>>>(x, o);
    return cudaGetLastError();
}
