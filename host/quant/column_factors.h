// QUANTIZE: column factors cs[k]: the input of a linear is divided by them and its weights
// multiplied, at no run-time cost (NUMERICS.md section 8, step 3).
#ifndef OCT_COLUMN_FACTORS_H
#define OCT_COLUMN_FACTORS_H

#include "quant/observer.h"

// absmax[k] = max |w[n][k]| over all n; w [n][k].
void column_factors_weight_absmax(const float *w, int32_t n, int32_t k, float *absmax);

// absmax[k] of an input channel over all positions, 0 included: both steps share one set of
// weights.
void column_factors_input_absmax(const site_ranges *ranges, int32_t k, float *absmax);

// cs[k] = ex2(clampf(alpha * lg2(ax) - (1 - alpha) * lg2(aw), -60, 60)), every operation rounded,
// no fma; ax and aw first raised to 1e-4 of their median; 1 where either is then below 2^-100.
// scratch [k]; none may alias.
void column_factors_compute(const float *ax, const float *aw, int32_t k, float alpha, float *cs,
                            float *scratch);

// The range of all channels divided by cs (NULL: all 1): min over k of min[k] / cs[k], likewise
// max.
void column_factors_range(const float *min, const float *max, const float *cs, int32_t k, float *lo,
                          float *hi);

#endif
