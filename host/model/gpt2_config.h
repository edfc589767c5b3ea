// LOAD: the architecture of a GPT-2 model as its config.json states it; every field is honoured or
// refused by name.
#ifndef OCT_GPT2_CONFIG_H
#define OCT_GPT2_CONFIG_H

#include "octet/types.h"

#include <stdbool.h>

typedef struct gpt2_config {
    int32_t n_layer;     // L, 1 to 1024
    int32_t n_head;      // H, divides n_embd
    int32_t n_embd;      // C
    int32_t d_head;      // D = C / H, 8 to 128
    int32_t n_inner;     // F; null in the file = 4 * C
    int32_t n_positions; // P, the context
    int32_t vocab_size;  // V
    oct_activation activation;
    float layer_norm_epsilon;
    bool scale_attn_weights;              // scores / sqrt(D)
    bool scale_attn_by_inverse_layer_idx; // scores / (layer + 1)
    bool tie_word_embeddings;             // lm_head.weight = wte.weight
    int32_t bos_token_id, eos_token_id;   // -1 where the file has none
} gpt2_config;

// The factor of q.k in layer `layer` of the unfolded FP32 model: 1, / sqrtf(D), / (layer + 1), each
// where the config asks for it (NUMERICS.md section 7).
float gpt2_attention_scale(const gpt2_config *config, int32_t layer);

// Reads `dir`/config.json. Refuses by name what cannot be honoured: another model_type, an unknown
// activation_function, add_cross_attention, head widths outside 8..128, n_embd % n_head != 0, sizes
// that are absent, not integers, not positive or overflow. Errors: OCT_ERR_IO, OCT_ERR_FORMAT.
oct_status gpt2_config_read(gpt2_config *out, const char *dir);

#endif
