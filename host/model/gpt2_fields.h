// LOAD: the tensors of a quantized directory, listed once: the loader and the writer both walk this
// list, so that they cannot disagree about a name, a shape or when a tensor is present
// (gpt2_fields.c section 6).
#ifndef OCT_GPT2_FIELDS_H
#define OCT_GPT2_FIELDS_H

#include "model/gpt2_model.h"
#include "model/safetensors.h"

// What every element must be.
typedef enum gpt2_rule {
    GPT2_RULE_FINITE,     // any finite number
    GPT2_RULE_STEP,       // finite and above 0
    GPT2_RULE_MULTIPLIER, // finite and at least 0 (a product of two steps may underflow)
    GPT2_RULE_CODE,       // -127 to 127
    GPT2_RULE_ZERO_POINT, // -128 to 127
} gpt2_rule;

// One tensor and the place in the model where its values live: exactly one of f32, i8, scalar[0]
// and zero is set.
typedef struct gpt2_field {
    const char *name; // as in the file, without "transformer."; borrowed for the call
    oct_dtype dtype;  // F32 or I8
    int n_dims;       // 1 or 2
    int64_t shape[2];
    gpt2_rule rule;
    bool optional;     // may be absent: its pointer is then NULL
    const float **f32; // the model's pointer to the elements
    const int8_t **i8; // likewise
    float *scalar[2];  // shape [1] or [2]: the elements are struct fields
    int32_t *zero;     // shape [1]: a zero point
} gpt2_field;

typedef oct_status gpt2_field_fn(void *user, const gpt2_field *field);

// Calls fn for every tensor that a model with this config, recipe, inputs (dynamic, asymmetric) and
// head_is_wte has; stops at the first failure and returns it. The model is changed only by what fn
// writes.
oct_status gpt2_fields_walk(gpt2_model *model, gpt2_field_fn *fn, void *user);

// The linears in the order of recipe.alpha: index = 4 * layer + {0 c_attn, 1 attn.c_proj, 2 c_fc, 3
// mlp.c_proj}; 4 * n_layer is lm_head.
gpt2_linear *gpt2_linear_at(gpt2_model *model, int32_t index);

// Its name ("h.0.attn.c_attn", "lm_head") into name[bytes]; returns name.
const char *gpt2_linear_name(char *name, size_t bytes, const gpt2_config *config, int32_t index);

// Checks every element; the message names file, tensor and index. Errors: OCT_ERR_FORMAT.
oct_status gpt2_check_rule(const safetensors_tensor *tensor, gpt2_rule rule);

// Checks what must hold between the parts of a quantized model beyond each tensor's own rule: row
// factors are the quotients of the steps, inputs follow the recipe, alpha "none" means no column
// factors, K <= 66311. Used by the loader on what came from a file and by the writer on what it is
// given. Errors: `code`.
oct_status gpt2_check_consistent(gpt2_model *model, oct_status code);

#endif
