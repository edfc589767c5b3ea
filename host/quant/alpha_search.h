// QUANTIZE: which alpha of the list serves a linear best, judged by the error of its output
// (NUMERICS.md section 8, step 4).
//
// Both the quantized product and its FP32 reference run on the device; codes and errors are made on
// the host, threads sharing rows only. The result depends on nothing but the model and the text.
#ifndef OCT_ALPHA_SEARCH_H
#define OCT_ALPHA_SEARCH_H

#include "base/thread_team.h"
#include "quant/observer.h"
#include "quant/recipe.h"

// Buffers for the largest linear of a model: on the host and on the device its weights as codes,
// and on the host its reference output for all rows (4 * rows * V bytes for lm_head).
typedef struct alpha_search alpha_search;

typedef struct alpha_task {
    const gpt2_linear *linear;   // folded FP32 weights, on the host
    const oct_linear *reference; // the same on the device; its bias is not used
    const site_ranges *ranges;   // of its input, from the sequences with even index
    const float *rows; // [n_rows][k] inputs from the others, ascending (sequence, position)
    bool dynamic, asymmetric, position_0;
} alpha_task;

typedef struct alpha_result {
    int32_t chosen;              // index into recipe_alphas
    double error[RECIPE_ALPHAS]; // E of each
} alpha_result;

// Rows of the search: at least 1. *out is owned by the caller; device, team and model must outlive
// it. Errors: OCT_ERR_NOMEM, OCT_ERR_DEVICE.
oct_status alpha_search_open(alpha_search **out, oct_device *device, oct_team *team,
                             const gpt2_model *folded, int32_t n_rows);

// Accepts NULL.
void alpha_search_close(alpha_search *search);

oct_status alpha_search_run(alpha_search *search, const alpha_task *task, alpha_result *out);

#endif
