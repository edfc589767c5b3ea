// QUANTIZE: the folds that change no result: 1/sqrt(D) and 1/(layer + 1) into q's weights, the key
// bias dropped, the value bias moved behind attention (NUMERICS.md section 8, step 1).
#ifndef OCT_FOLD_H
#define OCT_FOLD_H

#include "model/gpt2_model.h"

// The folded model of an FP32 one: attention_scale 1 (and a config that says so), new c_attn and a
// new bias of attn.c_proj in an arena of its own; everything else is borrowed from `source`, which
// must outlive it. *out is owned by the caller (gpt2_model_close). Errors: OCT_ERR_ARG (not FP32),
// OCT_ERR_NOMEM.
oct_status fold_model(gpt2_model **out, const gpt2_model *source);

#endif
