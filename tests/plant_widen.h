// tests: a deep copy of an FP32 model, with room for planted channels and neurons where that is
// wanted.
#ifndef OCT_PLANT_WIDEN_H
#define OCT_PLANT_WIDEN_H

#include "model/gpt2_model.h"

#define PLANT_SPARE_NEURONS 16

// Everything in an arena of its own, the head untied. `widen`: the residual stream is centred
// (LayerNorm ignores a row's mean), one head of zeros and D channels of zeros are added (gamma of
// old channels times sqrt(C / (C + D)), of new ones 1; epsilon times C / (C + D)), and
// PLANT_SPARE_NEURONS neurons of zeros: the same function, in exact arithmetic. *out is owned
// (gpt2_model_close).
oct_status plant_copy(gpt2_model **out, const gpt2_model *source, bool widen);

// The arrays of a model that plant_copy made may be written.
static inline float *plant_floats(const float *values)
{
    return (float *)values;
}

#endif
