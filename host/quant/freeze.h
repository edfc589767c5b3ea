// QUANTIZE: builds the INT8 model: codes, steps, and every multiplier that runs, each made by one
// division and rounded once (NUMERICS.md section 1). Nothing is measured here.
#ifndef OCT_FREEZE_H
#define OCT_FREEZE_H

#include "base/thread_team.h"
#include "quant/observer.h"

// What calibration decided about a linear.
typedef struct freeze_decision {
    const char *alpha;           // "none", "0.7", ...; copied
    const float *column_factors; // [k] or NULL: all 1; copied
    gpt2_input input;            // steps and zero points of its input
} freeze_decision;

// decisions [4L + 1] by site; kv [2L]: ranges of k and v of layer 0, of layer 1, ... over all
// sequences; recipe: its alphas are taken from the decisions. The new model owns everything and
// outlives `folded`. *out is owned by the caller (gpt2_model_close). Errors: OCT_ERR_NOMEM.
oct_status freeze_model(gpt2_model **out, oct_team *team, const gpt2_model *folded,
                        const freeze_decision *decisions, const site_ranges *kv,
                        const gpt2_recipe *recipe);

#endif
