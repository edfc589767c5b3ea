// The CPU backend: the inner products of op linear on blocks of CPU_ROWS rows by one panel of 16
// columns. The plain C forms are the oracle; the others give its bits: integer sums in any order,
// float sums in the oracle's order.
#ifndef OCT_CPU_DOT_H
#define OCT_CPU_DOT_H

#include "cpu/cpu_device.h"
#include "octet/numerics.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512VNNI__)
#define CPU_ROWS 12 // accumulators of 16 columns: 12 zmm of 32
#elif defined(__AVX2__)
#define CPU_ROWS 4 // 4 rows by 16 columns: 8 ymm (F32) or 16 ymm in two halves (INT8)
#else
#define CPU_ROWS 4
#endif

// Section 3: acc[r][j] = sum over k of x[r][k] * w[j][k], exact in s32. x: rows of stride bytes,
// zero behind k; panel: [K64/4][16][4].
static inline void dot_i8_rows(const int8_t *x, size_t stride, int32_t rows, const int8_t *panel,
                               int32_t k64, int32_t acc[CPU_ROWS][CPU_PANEL]);

// Section 7: y[r][j] = the fma chain of x[r][k] * w[j][k] in ascending k from 0. panel: [K][16].
static inline void dot_f32_rows(const float *x, size_t stride, int32_t rows, const float *panel,
                                int32_t k_total, float y[CPU_ROWS][CPU_PANEL]);

#if defined(__AVX512VNNI__)

// u8 x s8 products: x + 128 is the unsigned side; 128 * (sum of the column) comes off at the end,
// again by a product.
static inline __attribute__((always_inline)) void dot_i8_n(const int8_t *x, size_t stride,
                                                           int32_t rows, const int8_t *panel,
                                                           int32_t k64,
                                                           int32_t acc[CPU_ROWS][CPU_PANEL])
{
    __m512i a[CPU_ROWS], sums = _mm512_setzero_si512();
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    for (int32_t r = 0; r < rows; r++) {
        a[r] = _mm512_setzero_si512();
    }
    for (int32_t k = 0; k < k64; k += 4) {
        __m512i w = _mm512_loadu_si512(panel + (size_t)k * CPU_PANEL);
        sums = _mm512_dpbusd_epi32(sums, flip, w); // 128 * w
        for (int32_t r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + (size_t)r * stride + k, sizeof four);
            a[r] = _mm512_dpbusd_epi32(a[r], _mm512_xor_si512(_mm512_set1_epi32(four), flip), w);
        }
    }
    for (int32_t r = 0; r < rows; r++) {
        _mm512_storeu_si512(acc[r], _mm512_sub_epi32(a[r], sums));
    }
}

static inline __attribute__((always_inline)) void dot_f32_n(const float *x, size_t stride,
                                                            int32_t rows, const float *panel,
                                                            int32_t k_total,
                                                            float y[CPU_ROWS][CPU_PANEL])
{
    __m512 a[CPU_ROWS];
    for (int32_t r = 0; r < rows; r++) {
        a[r] = _mm512_setzero_ps();
    }
    for (int32_t k = 0; k < k_total; k++) {
        __m512 w = _mm512_loadu_ps(panel + (size_t)k * CPU_PANEL);
        for (int32_t r = 0; r < rows; r++) {
            a[r] = _mm512_fmadd_ps(_mm512_set1_ps(x[(size_t)r * stride + (size_t)k]), w, a[r]);
        }
    }
    for (int32_t r = 0; r < rows; r++) {
        _mm512_storeu_ps(y[r], a[r]);
    }
}

#elif defined(__AVX2__)

// s8 widened to s16, pairs summed by pmaddwd (pmaddubsw would saturate). One 8-column half of the
// panel at a time: each column keeps two partial sums side by side.
static inline __attribute__((always_inline)) void dot_i8_n(const int8_t *x, size_t stride,
                                                           int32_t rows, const int8_t *panel,
                                                           int32_t k64,
                                                           int32_t acc[CPU_ROWS][CPU_PANEL])
{
    for (int32_t half = 0; half < 2; half++) {
        __m256i a[CPU_ROWS][2];
        for (int32_t r = 0; r < rows; r++) {
            a[r][0] = a[r][1] = _mm256_setzero_si256();
        }
        for (int32_t k = 0; k < k64; k += 4) {
            const int8_t *p = panel + (size_t)k * CPU_PANEL + (size_t)half * 32;
            __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
            __m256i w1 =
                _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p + 16)));
            for (int32_t r = 0; r < rows; r++) {
                int32_t four;
                memcpy(&four, x + (size_t)r * stride + k, sizeof four);
                __m256i v = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
                a[r][0] = _mm256_add_epi32(a[r][0], _mm256_madd_epi16(v, w0));
                a[r][1] = _mm256_add_epi32(a[r][1], _mm256_madd_epi16(v, w1));
            }
        }
        for (int32_t r = 0; r < rows; r++) {
            __m256i pairs = _mm256_hadd_epi32(a[r][0], a[r][1]); // columns 0 1 4 5 2 3 6 7
            __m256i ordered = _mm256_permute4x64_epi64(pairs, 0xD8);
            _mm256_storeu_si256((__m256i *)(void *)&acc[r][half * 8], ordered);
        }
    }
}

static inline __attribute__((always_inline)) void dot_f32_n(const float *x, size_t stride,
                                                            int32_t rows, const float *panel,
                                                            int32_t k_total,
                                                            float y[CPU_ROWS][CPU_PANEL])
{
    __m256 a[CPU_ROWS][2];
    for (int32_t r = 0; r < rows; r++) {
        a[r][0] = a[r][1] = _mm256_setzero_ps();
    }
    for (int32_t k = 0; k < k_total; k++) {
        __m256 w0 = _mm256_loadu_ps(panel + (size_t)k * CPU_PANEL);
        __m256 w1 = _mm256_loadu_ps(panel + (size_t)k * CPU_PANEL + 8);
        for (int32_t r = 0; r < rows; r++) {
            __m256 v = _mm256_set1_ps(x[(size_t)r * stride + (size_t)k]);
            a[r][0] = _mm256_fmadd_ps(v, w0, a[r][0]);
            a[r][1] = _mm256_fmadd_ps(v, w1, a[r][1]);
        }
    }
    for (int32_t r = 0; r < rows; r++) {
        _mm256_storeu_ps(y[r], a[r][0]);
        _mm256_storeu_ps(y[r] + 8, a[r][1]);
    }
}

#else

static inline void dot_i8_n(const int8_t *x, size_t stride, int32_t rows, const int8_t *panel,
                            int32_t k64, int32_t acc[CPU_ROWS][CPU_PANEL])
{
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t j = 0; j < CPU_PANEL; j++) {
            int32_t sum = 0;
            for (int32_t k = 0; k < k64; k++) {
                sum += x[(size_t)r * stride + (size_t)k] * panel[cpu_packed_i8(j, k, k64)];
            }
            acc[r][j] = sum;
        }
    }
}

static inline void dot_f32_n(const float *x, size_t stride, int32_t rows, const float *panel,
                             int32_t k_total, float y[CPU_ROWS][CPU_PANEL])
{
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t j = 0; j < CPU_PANEL; j++) {
            float sum = 0.0f;
            for (int32_t k = 0; k < k_total; k++) {
                sum = oct_fma(x[(size_t)r * stride + (size_t)k],
                              panel[cpu_packed_f32(j, k, k_total)], sum);
            }
            y[r][j] = sum;
        }
    }
}

#endif

// With a full block the number of rows is a constant, so that the accumulators stay in registers.
static inline void dot_i8_rows(const int8_t *x, size_t stride, int32_t rows, const int8_t *panel,
                               int32_t k64, int32_t acc[CPU_ROWS][CPU_PANEL])
{
    switch (rows) {
    case CPU_ROWS:
        dot_i8_n(x, stride, CPU_ROWS, panel, k64, acc);
        break;
    case 1:
        dot_i8_n(x, stride, 1, panel, k64, acc);
        break;
    default:
        for (int32_t r = 0; r < rows; r++) {
            dot_i8_n(x + (size_t)r * stride, stride, 1, panel, k64, &acc[r]);
        }
    }
}

static inline void dot_f32_rows(const float *x, size_t stride, int32_t rows, const float *panel,
                                int32_t k_total, float y[CPU_ROWS][CPU_PANEL])
{
    switch (rows) {
    case CPU_ROWS:
        dot_f32_n(x, stride, CPU_ROWS, panel, k_total, y);
        break;
    case 1:
        dot_f32_n(x, stride, 1, panel, k_total, y);
        break;
    default:
        for (int32_t r = 0; r < rows; r++) {
            dot_f32_n(x + (size_t)r * stride, stride, 1, panel, k_total, &y[r]);
        }
    }
}

#endif
