// QUANTIZE: steps and zero points of a linear's input from its range (NUMERICS.md section 2).
#ifndef OCT_INPUT_STEPS_H
#define OCT_INPUT_STEPS_H

#include "quant/observer.h"

typedef struct input_range {
    float lo, hi; // positions >= 1, or all without a separate step for position 0; lo <= 0 <= hi
    float lo_0, hi_0; // position 0
} input_range;

// The range of the input after division by cs (NULL: all 1). Values at positions >= 1 are clipped
// to [-amax, amax], position 0 is not. position_0 false: lo, hi hold both.
input_range input_range_find(const site_ranges *ranges, const float *cs, int32_t k, float amax,
                             bool position_0);

// The frozen coding of an input with that range.
gpt2_input input_steps_static(const input_range *range, bool asymmetric, bool position_0);

// Dynamic rows: step 1, no zero point.
gpt2_input input_steps_dynamic(void);

// (f32)(1 / ((double) step * c)): a multiplier that takes a value of a column with factor c to
// codes.
float input_reciprocal(float step, float c);

// (f32)(v / ((double) step * c)): gamma, beta and v_step become multipliers so.
float input_quotient(float v, float step, float c);

#endif
