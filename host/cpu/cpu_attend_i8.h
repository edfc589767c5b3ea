// The CPU backend: integer attention of one query row and head over the paged INT8 cache
// (NUMERICS.md section 5). The plain C forms of the two products are the oracle; the others give
// the same integers.
#ifndef OCT_CPU_ATTEND_I8_H
#define OCT_CPU_ATTEND_I8_H

#include "cpu/cpu_device.h"
#include "octet/numerics.h"

#include <string.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define CPU_D_MAX 528 // D <= 520 is checked when a model is loaded; padded to 16

#if defined(__AVX512VNNI__)

// s[j] = sum over d of q[d] * k[j][d]; (k + 128) is the unsigned side, 128 * sum(q) comes off.
static inline void scores_i8(const int8_t *q, const int8_t *k, int32_t n, int32_t dp, int32_t *s)
{
    int32_t q_sum = 0;
    for (int32_t d = 0; d < dp; d++) {
        q_sum += q[d];
    }
    for (int32_t j = 0; j < n; j++) {
        __m512i a = _mm512_setzero_si512();
        const int8_t *row = k + (size_t)j * (size_t)dp;
        for (int32_t d = 0; d < dp; d += 64) {
            __mmask64 mask = dp - d >= 64 ? ~0ull : (1ull << (dp - d)) - 1;
            __m512i u = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, row + d),
                                         _mm512_set1_epi8((char)0x80));
            a = _mm512_dpbusd_epi32(a, u, _mm512_maskz_loadu_epi8(mask, q + d));
        }
        s[j] = _mm512_reduce_add_epi32(a) - 128 * q_sum;
    }
}

// o[d] += sum over 4 tokens a group of p * v, in two limbs joined as 256 * hi + lo. v:
// [groups][dp][4].
static inline void weigh_i8(const uint32_t *p, const int8_t *v, int32_t n_groups, int32_t dp,
                            int32_t *o)
{
    for (int32_t d = 0; d < dp; d += 16) {
        __m512i hi = _mm512_setzero_si512(), lo = _mm512_setzero_si512();
        for (int32_t g = 0; g < n_groups; g++) {
            const uint32_t *w = p + 4 * g;
            uint32_t low = (w[0] & 255u) | (w[1] & 255u) << 8 | (w[2] & 255u) << 16 | w[3] << 24;
            uint32_t high = w[0] >> 8 | w[1] >> 8 << 8 | w[2] >> 8 << 16 | w[3] >> 8 << 24;
            __m512i x = _mm512_loadu_si512(v + ((size_t)g * (size_t)dp + (size_t)d) * 4);
            lo = _mm512_dpbusd_epi32(lo, _mm512_set1_epi32((int32_t)low), x);
            hi = _mm512_dpbusd_epi32(hi, _mm512_set1_epi32((int32_t)high), x);
        }
        __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(hi, 8), lo);
        _mm512_storeu_si512(o + d, _mm512_add_epi32(_mm512_loadu_si512(o + d), sum));
    }
}

#elif defined(__AVX2__)

static inline void scores_i8(const int8_t *q, const int8_t *k, int32_t n, int32_t dp, int32_t *s)
{
    for (int32_t j = 0; j < n; j++) {
        const int8_t *row = k + (size_t)j * (size_t)dp;
        __m256i a = _mm256_setzero_si256();
        for (int32_t d = 0; d < dp; d += 16) {
            __m256i x =
                _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(row + d)));
            __m256i y =
                _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(q + d)));
            a = _mm256_add_epi32(a, _mm256_madd_epi16(x, y));
        }
        __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
        b = _mm_hadd_epi32(b, b);
        b = _mm_hadd_epi32(b, b);
        s[j] = _mm_cvtsi128_si32(b);
    }
}

// p up to 65535 does not fit s16: its two bytes are two s16 limbs.
static inline void weigh_i8(const uint32_t *p, const int8_t *v, int32_t n_groups, int32_t dp,
                            int32_t *o)
{
    for (int32_t d = 0; d < dp; d += 4) {
        __m256i hi = _mm256_setzero_si256(), lo = _mm256_setzero_si256();
        for (int32_t g = 0; g < n_groups; g++) {
            __m128i w = _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * g));
            __m128i low = _mm_and_si128(w, _mm_set1_epi32(255)), high = _mm_srli_epi32(w, 8);
            __m256i w_lo = _mm256_broadcastq_epi64(_mm_packs_epi32(low, low));
            __m256i w_hi = _mm256_broadcastq_epi64(_mm_packs_epi32(high, high));
            const int8_t *at = v + ((size_t)g * (size_t)dp + (size_t)d) * 4;
            __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at));
            lo = _mm256_add_epi32(lo, _mm256_madd_epi16(w_lo, x));
            hi = _mm256_add_epi32(hi, _mm256_madd_epi16(w_hi, x));
        }
        __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(hi, 8), lo); // two partial sums a column
        __m256i pairs = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum, sum), 0xD8);
        __m128i *out = (__m128i *)(void *)(o + d);
        _mm_storeu_si128(out, _mm_add_epi32(_mm_loadu_si128(out), _mm256_castsi256_si128(pairs)));
    }
}

#else

static inline void scores_i8(const int8_t *q, const int8_t *k, int32_t n, int32_t dp, int32_t *s)
{
    for (int32_t j = 0; j < n; j++) {
        s[j] = 0;
        for (int32_t d = 0; d < dp; d++) {
            s[j] += q[d] * k[(size_t)j * (size_t)dp + (size_t)d];
        }
    }
}

static inline void weigh_i8(const uint32_t *p, const int8_t *v, int32_t n_groups, int32_t dp,
                            int32_t *o)
{
    for (int32_t d = 0; d < dp; d++) {
        for (int32_t j = 0; j < 4 * n_groups; j++) {
            size_t at = ((size_t)(j / 4) * (size_t)dp + (size_t)d) * 4 + (size_t)(j % 4);
            o[d] += (int32_t)p[j] * v[at]; // exact: 65535 * 127 * 128 < 2^31
        }
    }
}

#endif

// The running result of one query row and head.
typedef struct attend_i8 {
    oct_softmax_state state;
    float O[CPU_D_MAX]; // [Dp] in units of v's codes
} attend_i8;

// One chunk of n <= 128 visible keys: k[2], v[2] are the blocks of its two pages (the second may be
// unused).
static inline void attend_chunk(attend_i8 *out, const int8_t *q, float c, const int8_t *const k[2],
                                const int8_t *const v[2], int32_t n, int32_t dp)
{
    int32_t s[OCT_CHUNK_KEYS], o[CPU_D_MAX];
    uint32_t p[OCT_CHUNK_KEYS];
    oct_assert(n > 0);
    int32_t first = n < OCT_PAGE_TOKENS ? n : OCT_PAGE_TOKENS;
    // s_j = sum_d q[d] * k_j[d]; m = max s_j over the visible keys.
    scores_i8(q, k[0], first, dp, s);
    if (n > first) {
        scores_i8(q, k[1], n - first, dp, s + first);
    }
    int32_t m = s[0];
    for (int32_t j = 1; j < n; j++) {
        m = s[j] > m ? s[j] : m;
    }
    // p_j = prob16((f32)(s_j - m), c); l = sum p_j.
    float d_min = oct_div(-18.0f, c);
    int32_t l = 0;
    for (int32_t j = 0; j < n; j++) {
        p[j] = oct_prob16((float)(s[j] - m), c, d_min);
        l += (int32_t)p[j];
    }
    for (int32_t j = n; j < (n + 3) / 4 * 4; j++) {
        p[j] = 0; // the rest of the last group of 4 is not visible
    }
    // o[d] = sum p_j * v_j[d].
    memset(o, 0, (size_t)dp * sizeof o[0]);
    weigh_i8(p, v[0], (first + 3) / 4, dp, o);
    if (n > first) {
        weigh_i8(p + first, v[1], (n - first + 3) / 4, dp, o);
    }
    float a, b;
    oct_merge_chunk(&out->state, m, l, c, &a, &b);
    for (int32_t d = 0; d < dp; d++) {
        out->O[d] = oct_merge_element(out->O[d], o[d], a, b);
    }
}

// q'[d] = (f32) q16[d] * k_step[d]; a = max |q'|; q[d] = requant(q'[d] * (127 / a)). Returns c = (a
// / 127) * log2e.
static inline float quantize_q(const uint16_t *q16, const float *k_step, int32_t d_head, int32_t dp,
                               int8_t *q)
{
    float scaled[CPU_D_MAX];
    uint32_t top = 0;
    for (int32_t d = 0; d < d_head; d++) {
        scaled[d] = oct_mul(oct_half_to_float(q16[d]), k_step[d]);
        uint32_t bits = oct_bits(scaled[d]) & 0x7FFFFFFFu;
        top = bits > top ? bits : top;
    }
    float a = oct_absmax_or_127(oct_float(top)), r = oct_div(127.0f, a);
    for (int32_t d = 0; d < d_head; d++) {
        q[d] = (int8_t)oct_requant(oct_mul(scaled[d], r), 0, -127, 127);
    }
    memset(q + d_head, 0, (size_t)(dp - d_head));
    return oct_mul(oct_div(a, 127.0f), OCT_LOG2E);
}

#endif
