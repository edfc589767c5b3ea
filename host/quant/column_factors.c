// QUANTIZE: the formula of the column factors.
#include "quant/column_factors.h"

#include "octet/numerics.h"

#include <stdlib.h>
#include <string.h>

void column_factors_weight_absmax(const float *w, int32_t n, int32_t k, float *absmax)
{
    memset(absmax, 0, (size_t)k * sizeof *absmax);
    for (int32_t i = 0; i < n; i++) {
        const float *row = w + (size_t)i * (size_t)k;
        for (int32_t j = 0; j < k; j++) {
            float a = oct_abs(row[j]);
            absmax[j] = a > absmax[j] ? a : absmax[j];
        }
    }
}

void column_factors_input_absmax(const site_ranges *ranges, int32_t k, float *absmax)
{
    for (int32_t j = 0; j < k; j++) {
        float low = ranges->min_0[j] < ranges->min[j] ? ranges->min_0[j] : ranges->min[j];
        float high = ranges->max_0[j] > ranges->max[j] ? ranges->max_0[j] : ranges->max[j];
        absmax[j] = -low > high ? -low : high; // 0 is in every range
    }
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

// 1e-4f * element (k - 1) / 2, from 0, of the values sorted ascending: dead channels get no absurd
// factor.
static float floor_of(const float *values, int32_t k, float *scratch)
{
    memcpy(scratch, values, (size_t)k * sizeof *values);
    qsort(scratch, (size_t)k, sizeof *scratch, compare_floats);
    return oct_mul(1e-4f, scratch[(k - 1) / 2]);
}

void column_factors_compute(const float *ax, const float *aw, int32_t k, float alpha, float *cs,
                            float *scratch)
{
    float x_floor = floor_of(ax, k, scratch);
    float w_floor = floor_of(aw, k, scratch);
    float rest = oct_sub(1.0f, alpha);
    for (int32_t j = 0; j < k; j++) {
        float x = oct_max(ax[j], x_floor);
        float w = oct_max(aw[j], w_floor);
        if (x < OCT_TINY || w < OCT_TINY) {
            cs[j] = 1.0f;
            continue;
        }
        float e = oct_sub(oct_mul(alpha, oct_lg2(x)), oct_mul(rest, oct_lg2(w)));
        cs[j] = oct_ex2(oct_clampf(e, -60.0f, 60.0f));
    }
}

void column_factors_range(const float *min, const float *max, const float *cs, int32_t k, float *lo,
                          float *hi)
{
    *lo = 0.0f;
    *hi = 0.0f;
    for (int32_t j = 0; j < k; j++) {
        float low = cs != NULL ? oct_div(min[j], cs[j]) : min[j];
        float high = cs != NULL ? oct_div(max[j], cs[j]) : max[j];
        *lo = low < *lo ? low : *lo;
        *hi = high > *hi ? high : *hi;
    }
}
