// The arithmetic of mma and wgmma: exact sums of products of 8-bit integers.
#pragma once
#include <cstdint>
#include <cstring>

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace ptxrun {

// Four consecutive bytes of a register as 16-bit numbers, which hold s8 and u8 alike.
inline void widen4(uint32_t bytes, bool is_signed_operand, int16_t *out)
{
#ifdef __AVX2__
    const __m128i v = _mm_cvtsi32_si128((int)bytes);
    _mm_storel_epi64((__m128i *)out,
                     is_signed_operand ? _mm_cvtepi8_epi16(v) : _mm_cvtepu8_epi16(v));
#else
    for (int e = 0; e < 4; e++) {
        const uint8_t byte = (uint8_t)(bytes >> 8 * e);
        out[e] = is_signed_operand ? (int8_t)byte : (int16_t)byte;
    }
#endif
}

// A is [rows][kK]. B holds pairs of k for 8 columns, [kK / 2][8][2]: one vector instruction
// multiplies a pair of A with the pairs of all columns.
template <int kK> struct ColumnPairs {
    alignas(32) int16_t v[kK / 2][8][2];
    void set4(int column, int k, uint32_t bytes, bool is_signed_operand)
    {
        int16_t wide[4];
        widen4(bytes, is_signed_operand, wide);
        memcpy(v[k / 2][column], wide, 4);
        memcpy(v[k / 2 + 1][column], wide + 2, 4);
    }
};

// product[row][column] = sum over k. No sum of kK <= 32 products can overflow.
template <int kRows, int kK>
inline void multiply(const int16_t (&a)[kRows][kK], const ColumnPairs<kK> &b, int32_t (*product)[8])
{
    for (int m = 0; m < kRows; m++) {
#ifdef __AVX2__
        __m256i sum = _mm256_setzero_si256();
        for (int k = 0; k < kK; k += 2) {
            int32_t pair;
            memcpy(&pair, &a[m][k], 4);
            sum = _mm256_add_epi32(
                sum, _mm256_madd_epi16(_mm256_set1_epi32(pair), *(const __m256i *)b.v[k / 2]));
        }
        _mm256_storeu_si256((__m256i *)product[m], sum);
#else
        for (int n = 0; n < 8; n++) {
            int32_t sum = 0;
            for (int k = 0; k < kK; k++) {
                sum += a[m][k] * b.v[k / 2][n][k % 2];
            }
            product[m][n] = sum;
        }
#endif
    }
}

} // namespace ptxrun
