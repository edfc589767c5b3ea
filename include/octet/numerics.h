// numerics.h: the numerics contract: requantization, exp2, attention probabilities and merges,
// GELU, ln, row sums, sampling numbers and hashes, written once for gcc and nvcc (docs/NUMERICS.md
// is its text).
//
// Each function is a fixed sequence of IEEE binary32 add, mul, fma, div, sqrt, compare/select and
// integer operations, so plain C, AVX-512 and PTX give the same bits. No libm, no approximate
// instruction. Build with -ffp-contract=off (gcc, clang), with -ftz=false -prec-div=true
// -prec-sqrt=true --fmad=false (nvcc); FTZ and DAZ off in every thread.
//
// Bounds were measured over *every* float of the range named; test_numerics_functions.c repeats
// them, strided where that takes long. Counts: "GPU n" SASS instructions per element (sm_80, sm_90,
// sm_100; nvcc 13.0) without loads and stores, "AVX n" AVX-512 instructions per 16 elements, "PTX
// n" the arithmetic instructions of nvcc's PTX where no SASS was read. Whole kernels, per element:
//   GELU + requantize, half in, packed byte out   GPU 13.75 (9.5 by fma.rn.f32x2 on sm_100), AVX 16
//   score s32 -> p as two u8 limbs, with its sum  GPU 12.5, the row maximum 0.5 more, AVX 16
//   LayerNorm + requantize, C = 768               GPU 10 (one warp a row), AVX 10
//   dequantizing epilogue s32 -> half             GPU 2.5; row factor 1, zero point 1 more; AVX 5
#ifndef OCT_NUMERICS_H
#define OCT_NUMERICS_H

#include <stdint.h>

#include "octet/numerics_primitives.h"

#define OCT_LOG2E 0x1.715476p+0f

// An absmax below this counts as 127, a range below it has step 1.
#define OCT_TINY 0x1p-100f

// ---- requantization, steps (NUMERICS.md sections 1, 2) ------------------------------------------

// (s32) rint(clampf(y, lo - z, hi - z)) + z, the code of y (the reciprocal step is already in y);
// NaN gives lo. One clamp in float does it all, since lo - z and hi - z are integers and rint is
// monotone; |lo - z| and |hi - z| <= 2^22. Symmetric: z = 0, [-127, 127]; asymmetric: [-128, 127].
OCT_FN int32_t oct_requant(float y, int32_t z, int32_t lo, int32_t hi)
{
    float t = oct_clampf(y, (float)(lo - z), (float)(hi - z));
    return (int32_t)(oct_bits(oct_add(t, OCT_MAGIC)) - OCT_MAGIC_BITS) + z;
}

// The same with the bounds made once a row (lo_minus_z = lo - z); the low byte of the result is the
// code. GPU 4; packing four bytes by PRMT takes 0.75 more.
OCT_FN uint32_t oct_requant_raw(float y, int32_t z, float lo_minus_z, float hi_minus_z)
{
    return oct_bits(oct_add(oct_clampf(y, lo_minus_z, hi_minus_z), OCT_MAGIC)) + (uint32_t)z;
}

// An absmax as it may be divided: below 2^-100 it counts as 127, so its step is 1 and 127 / a is
// finite.
OCT_FN float oct_absmax_or_127(float absmax)
{
    return absmax < OCT_TINY ? 127.0f : absmax;
}

// The step of codes in [-127, 127] for values in lo..hi: max(-min(0, lo), max(0, hi)) / 127.
OCT_FN float oct_step_symmetric(float lo, float hi)
{
    float below = lo < 0.0f ? -lo : 0.0f;
    float above = hi > 0.0f ? hi : 0.0f;
    return oct_div(oct_absmax_or_127(below > above ? below : above), 127.0f);
}

// The step and zero point of codes in [-128, 127] for values in lo..hi widened to hold 0: (hi - lo)
// / 255 and clamp(rint(-128 - lo / step), -128, 127); a range below 2^-100 has step 1. hi - lo must
// be finite.
OCT_FN float oct_step_asymmetric(float lo, float hi, int32_t *z)
{
    float below = lo < 0.0f ? lo : 0.0f;
    float above = hi > 0.0f ? hi : 0.0f;
    float range = oct_sub(above, below);
    float step = range < OCT_TINY ? 1.0f : oct_div(range, 255.0f);
    float zero = oct_rint(oct_sub(-128.0f, oct_div(below, step)));
    *z = (int32_t)oct_clampf(zero, -128.0f, 127.0f);
    return step;
}

// ---- exp2, two degrees of one scheme (sections 4, 5) --------------------------------------------

// n = rint(e), f = e - n (exact), a polynomial of 2^f on [-1/2, 1/2], n added to the exponent
// field.

// 2^e for e <= 0: exactly 2^e at integers, 0 below -126 (no subnormal results), never above 1,
// never NaN for finite e. Relative error <= 1.3421 * 2^-24 over all floats in [-126, 0]. GPU 14.
// For chunk merges and sampling weights.
OCT_FN float oct_exp2_neg(float e)
{
    float x = oct_max(e, -126.0f);
    float t = oct_add(x, OCT_MAGIC);
    float f = oct_sub(x, oct_sub(t, OCT_MAGIC));
    float p = oct_fma(0x1.41a6fcp-13f, f, 0x1.5f44f0p-10f);
    p = oct_fma(p, f, 0x1.3b2dfep-7f);
    p = oct_fma(p, f, 0x1.c6aed6p-5f);
    p = oct_fma(p, f, 0x1.ebfbdap-3f);
    p = oct_fma(p, f, 0x1.62e430p-1f);
    p = oct_fma(p, f, 1.0f);
    p = oct_float(oct_bits(p) + (oct_bits(t) << 23));
    return e < -126.0f ? 0.0f : p;
}

// 2^e for |e| <= 126: exp2_neg(e - c) times 2^c, c = ceil(e). Relative error <= 1.474 * 2^-24 over
// all floats in [-60, 60]. For column factors (section 8), never in a forward pass. PTX 25.
OCT_FN float oct_ex2(float e)
{
    float n = oct_rint(e);
    float c = n < e ? oct_add(n, 1.0f) : n;
    return oct_mul(oct_exp2_neg(oct_sub(e, c)), oct_float((uint32_t)(127 + (int32_t)c) << 23));
}

// rint(65535 * 2^(d * c)), d = s - m <= 0 exact, c > 0: an attention probability in 16 bits, in the
// low half of the result. The high half is 0x4B00 (the whole is the float 2^23 + p), so sums need
// no mask: subtract count * 0x4B000000 once. n and f = d * c - n by one fma each, degree 4
// (relative error 3.6e-6), the last fma rounds once: p is at most 1 off (in 2.6 % of arguments),
// 65535 at d = 0, 0 where d * c <= -17. d_min = -18 / c, once a row; whatever has -126 <= d_min * c
// <= -17 gives the same bits. GPU 10.
OCT_FN uint32_t oct_prob16_raw(float d, float c, float d_min)
{
    float x = oct_max(d, d_min);
    float t = oct_fma(x, c, OCT_MAGIC);
    float f = oct_fma(x, c, -oct_sub(t, OCT_MAGIC));
    float p = oct_fma(0x1.40910ep-7f, f, 0x1.ca9018p-5f);
    p = oct_fma(p, f, 0x1.ebf1b4p-3f);
    p = oct_fma(p, f, 0x1.62dfcap-1f);
    p = oct_fma(p, f, 1.0f);
    p = oct_float(oct_bits(p) + (oct_bits(t) << 23));
    return oct_bits(oct_fma(p, 65535.0f, 0x1p23f));
}

// The probability alone, 0..65535.
OCT_FN uint32_t oct_prob16(float d, float c, float d_min)
{
    return oct_prob16_raw(d, c, d_min) & 0xFFFFu;
}

// (f32)(s - m) without a conversion: a score's accumulator that starts at OCT_MAGIC_BITS holds, as
// bits, the float 1.5 * 2^23 + s while |s| <= 2^22 (|q.k| <= 127 * 127 * D, so D <= 260); maxima
// are taken on the biased integers. Exact. GPU 1.
OCT_FN float oct_score_diff(int32_t s_biased, int32_t m_biased)
{
    return oct_sub(oct_float((uint32_t)s_biased), oct_float((uint32_t)m_biased));
}

// ---- attention: merging chunks of 128 keys (section 5) ------------------------------------------

// What the chunks seen so far have in common for one query row and head. All zeros = no chunk yet
// (a chunk has l >= 65535, since its maximum has that weight).
typedef struct oct_softmax_state {
    int32_t m; // largest score
    float l;   // sum of p over the keys, relative to m
} oct_softmax_state;

// Adds a chunk (m, l) to the state, chunks in ascending position; c = (a / 127) * log2e is the
// row's score factor: M' = max(M, m), A = exp2_neg((f32)(M - M') * c), B = exp2_neg((f32)(m - M') *
// c), L = fma(L, A, (f32) l * B). A and B are for oct_merge_element. The first chunk gets A = 0, B
// = 1, which sets L and every O (from 0).
OCT_FN void oct_merge_chunk(oct_softmax_state *state, int32_t m, int32_t l, float c, float *a,
                            float *b)
{
    int empty = state->l == 0.0f;
    int32_t top = empty || m > state->m ? m : state->m;
    *a = empty ? 0.0f : oct_exp2_neg(oct_mul((float)(state->m - top), c));
    *b = empty ? 1.0f : oct_exp2_neg(oct_mul((float)(m - top), c));
    state->m = top;
    state->l = oct_fma(state->l, *a, oct_mul((float)l, *b));
}

// One element of the output: O = fma(O, A, (f32) o * B), o = sum of p * v over the chunk. PTX 3.
OCT_FN float oct_merge_element(float sum, int32_t o, float a, float b)
{
    return oct_fma(sum, a, oct_mul((float)o, b));
}

// ---- GELU of the integer path (section 4); its argument is a half -------------------------------

// max(x, 0) - a * P(a)^4, a = min(|x|, 4.375), P(a)^4 = Phi(-a). No division, no overflow,
// gelu(+-0) = +0; beyond the clamp max(x, 0) - tail; falling, then rising, without a glitch, over
// all halves.
OCT_FN float oct_gelu_tail(float x, float a, float p)
{
    p = oct_mul(p, p);
    p = oct_mul(p, p);
    return oct_fma(-a, p, oct_max(x, 0.0f));
}

// The tanh form: absolute error <= 2.16e-5 (at 2.939), tail 1.07e-6, minimum -0.170024 at -0.75244.
// GPU 10, AVX 10 (vrangeps takes the minimum of absolute values).
OCT_FN float oct_gelu_new16(float x)
{
    float a = oct_min(oct_abs(x), 4.375f);
    float p = oct_fma(-0x1.990d92p-12f, a, 0x1.0f9f9cp-9f);
    p = oct_fma(p, a, 0x1.4534b0p-7f);
    p = oct_fma(p, a, -0x1.c50c80p-5f);
    p = oct_fma(p, a, -0x1.535452p-3f);
    p = oct_fma(p, a, 0x1.ae68f0p-1f);
    return oct_gelu_tail(x, a, p);
}

// The exact (erf) form: absolute error <= 2.52e-5 (at 4.160), tail 6.27e-6, minimum -0.169959 at
// -0.75147. GPU 10, AVX 10.
OCT_FN float oct_gelu_erf16(float x)
{
    float a = oct_min(oct_abs(x), 4.375f);
    float p = oct_fma(-0x1.01d262p-11f, a, 0x1.746d64p-9f);
    p = oct_fma(p, a, 0x1.169a42p-7f);
    p = oct_fma(p, a, -0x1.bf8542p-5f);
    p = oct_fma(p, a, -0x1.537598p-3f);
    p = oct_fma(p, a, 0x1.ae66c0p-1f);
    return oct_gelu_tail(x, a, p);
}

// ---- exp, GELU, ln of the FP32 path (section 7) -------------------------------------------------

// e^x for x <= 0; 1 at 0, 0 below -87.25. Error <= 0.883 ulp over all floats in [-87.25, 0]. GPU
// 16.
OCT_FN float oct_exp_neg(float x)
{
    float y = oct_max(x, -87.25f);
    float t = oct_fma(y, OCT_LOG2E, OCT_MAGIC);
    float n = oct_sub(t, OCT_MAGIC);
    float r = oct_fma(n, -0x1.62e430p-1f, y);
    r = oct_fma(n, 0x1.05c610p-29f, r);
    float p = oct_fma(0x1.6a2430p-10f, r, 0x1.1239e4p-7f);
    p = oct_fma(p, r, 0x1.5558f2p-5f);
    p = oct_fma(p, r, 0x1.555492p-3f);
    p = oct_fma(p, r, 0x1.fffffcp-2f);
    p = oct_fma(p, r, 1.0f);
    p = oct_fma(p, r, 1.0f);
    p = oct_float(oct_bits(p) + (oct_bits(t) << 23));
    return x < -87.25f ? 0.0f : p;
}

// Both GELUs are max(x, 0) - a * Phi(-a), a = min(|x|, 16): no cancellation on either side of 0.

// Tanh form, Phi(-a) = E / (1 + E), E = exp(-2 sqrt(2 / pi) (a + 0.044715 a^3)). Absolute error <=
// 1.39e-7 for |x| <= 4; <= 1.93 ulp for x > 0, 19.2 ulp in [-4, 0) (absolute error is the measure
// of that small tail). GPU 33.
OCT_FN float oct_gelu_new(float x)
{
    float a = oct_min(oct_abs(x), 16.0f);
    float u = oct_mul(a, oct_fma(0x1.2444f2p-4f, oct_mul(a, a), 0x1.988454p+0f));
    float e = oct_exp_neg(-u);
    return oct_sub(oct_max(x, 0.0f), oct_div(oct_mul(a, e), oct_add(1.0f, e)));
}

// Exact form, Phi(-a) = exp(-a * a / 2) * Q((a - 3) / (a + 3)), the rounding error of a * a put
// back. Absolute error <= 1.28e-7 for |x| <= 4; <= 4.4 ulp for x >= -4, 8.4 ulp down to -12.8. GPU
// 47.
OCT_FN float oct_gelu_erf(float x)
{
    float a = oct_min(oct_abs(x), 16.0f);
    float h = oct_mul(a, a);
    float l = oct_fma(a, a, -h);
    float e = oct_exp_neg(oct_mul(-0.5f, h));
    e = oct_fma(e, oct_mul(-0.5f, l), e);
    float t = oct_div(oct_sub(a, 3.0f), oct_add(a, 3.0f));
    float q = oct_fma(0x1.c3e6f8p-15f, t, 0x1.e4cdaep-14f);
    q = oct_fma(q, t, -0x1.64568ap-12f);
    q = oct_fma(q, t, -0x1.01e6d0p-10f);
    q = oct_fma(q, t, 0x1.7cbae4p-9f);
    q = oct_fma(q, t, 0x1.91df58p-8f);
    q = oct_fma(q, t, -0x1.7a945ep-5f);
    q = oct_fma(q, t, 0x1.f8bad0p-4f);
    q = oct_fma(q, t, -0x1.a6b66ap-3f);
    q = oct_fma(q, t, 0x1.f1b89cp-4f);
    return oct_sub(oct_max(x, 0.0f), oct_mul(a, oct_mul(e, q)));
}

// ln(x) for positive normal x = m * 2^k, m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f):
// ln(1 + f) = f - (f*f/2 - s * (f*f/2 + R(s*s))). Error <= 0.840 ulp over all floats in [2^-40,
// 2^40]; exactly 0 at 1. GPU 30.
OCT_FN float oct_ln(float x)
{
    uint32_t b = oct_bits(x) - 0x3F3504F3u;
    float k = (float)((int32_t)b >> 23);
    float f = oct_sub(oct_float((b & 0x7FFFFFu) + 0x3F3504F3u), 1.0f);
    float s = oct_div(f, oct_add(2.0f, f));
    float z = oct_mul(s, s);
    float r = oct_fma(0x1.e2f6fcp-3f, z, 0x1.2438d4p-2f);
    r = oct_fma(r, z, 0x1.999a7ap-2f);
    r = oct_fma(r, z, 0x1.555554p-1f);
    r = oct_mul(r, z);
    float hf = oct_mul(oct_mul(0.5f, f), f);
    float low = oct_fma(s, oct_add(hf, r), oct_mul(k, -0x1.05c610p-29f));
    return oct_fma(k, 0x1.62e430p-1f, oct_sub(f, oct_sub(hf, low)));
}

// log2(x) = ln(x) * log2e, positive normal x. Error <= 1.829 ulp over [2^-40, 2^40].
OCT_FN float oct_lg2(float x)
{
    return oct_mul(oct_ln(x), OCT_LOG2E);
}

// ---- LayerNorm (section 4) ----------------------------------------------------------------------

// 1 / sqrt(var + eps), each operation rounded. GPU about 16 a row (MUFU gives seeds, fma steps
// round).
OCT_FN float oct_rstd(float var, float eps)
{
    return oct_rcp(oct_sqrt(oct_add(var, eps)));
}

// The sum of 128 accumulators, which it overwrites: fours first, then halves.
OCT_FN float oct_row_tree(float s[128])
{
    for (int32_t i = 0; i < 32; i++) {
        s[i] = oct_add(oct_add(s[4 * i], s[4 * i + 1]), oct_add(s[4 * i + 2], s[4 * i + 3]));
    }
    for (int32_t h = 16; h >= 1; h /= 2) {
        for (int32_t i = 0; i < h; i++) {
            s[i] = oct_add(s[i], s[i + h]);
        }
    }
    return s[0];
}

// The sum of x[0..n): accumulator j adds elements j, j + 128, ... ascending from 0, then
// oct_row_tree.
OCT_FN float oct_row_sum(const float *x, int32_t n)
{
    float s[128] = {0};
    for (int32_t i = 0; i < n; i += 128) {
        int32_t here = n - i < 128 ? n - i : 128;
        for (int32_t j = 0; j < here; j++) {
            s[j] = oct_add(s[j], x[i + j]);
        }
    }
    return oct_row_tree(s);
}

// The sum of (x[i] - mean)^2 in the same order: d = x - mean rounded, then s = fma(d, d, s).
OCT_FN float oct_row_sum_sq_dev(const float *x, int32_t n, float mean)
{
    float s[128] = {0};
    for (int32_t i = 0; i < n; i += 128) {
        int32_t here = n - i < 128 ? n - i : 128;
        for (int32_t j = 0; j < here; j++) {
            float d = oct_sub(x[i + j], mean);
            s[j] = oct_fma(d, d, s[j]);
        }
    }
    return oct_row_tree(s);
}

// ---- sampling and scores (section 6) ------------------------------------------------------------

// The weight of a token, rint(2^30 * 2^((logit - max) * log2e_over_t)): 2^30 for the largest logit.
// log2e_over_t = OCT_LOG2E / T, one division. logit = -infinity gives 0. PTX 18.
OCT_FN uint32_t oct_sample_weight(float logit, float max, float log2e_over_t)
{
    float e = oct_mul(oct_sub(logit, max), log2e_over_t);
    return oct_rint_u32(oct_mul(0x1p30f, oct_exp2_neg(e)));
}

// The high 64 bits of a * b.
OCT_FN uint64_t oct_mulhi64(uint64_t a, uint64_t b)
{
    return OCT_PICK((uint64_t)(((unsigned __int128)a * b) >> 64), __umul64hi(a, b));
}

// Philox4x32-10 of Random123: 128 random bits that depend on key and counter alone.
OCT_FN void oct_philox4x32(uint32_t key0, uint32_t key1, const uint32_t ctr[4], uint32_t out[4])
{
    uint32_t x0 = ctr[0];
    uint32_t x1 = ctr[1];
    uint32_t x2 = ctr[2];
    uint32_t x3 = ctr[3];
    for (int32_t round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(p1 >> 32) ^ x1 ^ key0;
        x1 = (uint32_t)p1;
        x2 = (uint32_t)(p0 >> 32) ^ x3 ^ key1;
        x3 = (uint32_t)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

// -ln of the target's probability, f32; sum = the u64 sum of all weights at T = 1.
OCT_FN float oct_nll(float max, float logit, uint64_t sum)
{
    return oct_add(oct_sub(max, logit), oct_ln(oct_mul((float)sum, 0x1p-30f)));
}

// ---- hashes (sections 1, 9); all modulo 2^64 ----------------------------------------------------

// The finalizer of splitmix64.
OCT_FN uint64_t oct_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

// One logit's share of its row's hash h_i (shares are added); bits = oct_bits(logit n).
OCT_FN uint64_t oct_hash_logit(uint32_t n, uint32_t bits)
{
    return oct_mix((uint64_t)n << 32 | bits);
}

// One row's share of the text's hash H (shares are added); i counts scored rows from 0 through the
// text.
OCT_FN uint64_t oct_hash_row(uint64_t h_i, uint64_t i)
{
    return oct_mix(h_i + (i + 1) * 0x9E3779B97F4A7C15u);
}

#endif
