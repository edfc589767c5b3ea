// CALIBRATE: the places of a model that calibration looks at: the input of every linear, and k and
// v.
//
// Sites 0 .. 4L are the inputs of the linears, in the order of gpt2_recipe.alpha: c_attn,
// attn.c_proj, c_fc, mlp.c_proj of layer 0, of layer 1, ..., lm_head. Behind them stand k and v of
// layer 0, of layer 1, ...
#ifndef OCT_QUANT_SITES_H
#define OCT_QUANT_SITES_H

#include "model/gpt2_model.h"

// The first five are the bits of OCT_KIND_*: 1u << kind.
typedef enum site_kind {
    SITE_C_ATTN = 0,
    SITE_ATTN_C_PROJ = 1,
    SITE_C_FC = 2,
    SITE_MLP_C_PROJ = 3,
    SITE_LM_HEAD = 4,
    SITE_K = 5,
    SITE_V = 6,
} site_kind;

typedef struct quant_site {
    site_kind kind;
    int32_t layer; // -1 for lm_head
    int32_t cols;  // C, or F for the input of mlp.c_proj
    char name[48]; // "h.0.mlp.c_proj.input", "h.0.attn.k", "lm_head.input"
} quant_site;

// 4L + 1.
int32_t site_linear_count(const gpt2_config *config);

// 6L + 1.
int32_t site_count(const gpt2_config *config);

// The site at `index`, 0 <= index < site_count.
quant_site site_at(const gpt2_config *config, int32_t index);

// The index of a site; `layer` is not used for lm_head.
int32_t site_find(const gpt2_config *config, site_kind kind, int32_t layer);

// The linear that reads site `index`; borrowed from the model.
const gpt2_linear *site_linear(const gpt2_model *model, int32_t index);

#endif
