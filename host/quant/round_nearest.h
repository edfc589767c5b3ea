// QUANTIZE: weights to INT8 by rounding to nearest, one step per output channel (NUMERICS.md
// section 2).
#ifndef OCT_ROUND_NEAREST_H
#define OCT_ROUND_NEAREST_H

#include "base/thread_team.h"

// w' = w[n][k] * cs[k] (one f32 product; cs NULL = all 1), step[n] = max_k |w'| / 127 (1 where that
// maximum is below 2^-100), codes[n][k] = clamp(rint(w' / step), -127, 127). colsum[n], where not
// NULL, = the sum of the row's codes. Rows are shared out over the team; the result does not depend
// on it.
void round_nearest(oct_team *team, const float *w, const float *cs, int32_t n, int32_t k,
                   int8_t *codes, float *step, int32_t *colsum);

#endif
