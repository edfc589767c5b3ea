// tests: makes random small GPT-2 models: float checkpoints on disk as Hugging Face saves them, and
// quantized models in memory. The same seed gives the same model.
#ifndef OCT_MODEL_MAKER_H
#define OCT_MODEL_MAKER_H

#include "model/gpt2_model.h"

#include <math.h>

// The value of a binary16, straight from its definition.
static inline float model_maker_half(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float magnitude = exponent == 0    ? ldexpf((float)fraction, -24)
                      : exponent != 31 ? ldexpf((float)(1024 + fraction), exponent - 25)
                      : fraction == 0  ? INFINITY
                                       : NAN;
    return bits >> 15 == 0 ? magnitude : -magnitude;
}

typedef struct model_maker_options {
    bool prefix_transformer; // names begin with "transformer."
    bool untied_head;        // lm_head.weight of its own, tie_word_embeddings false
    bool head_bias;          // lm_head.bias
    bool mask_buffers; // h.i.attn.bias and h.i.attn.masked_bias, as early checkpoints have them
    oct_dtype dtype;   // of all tensors: F32 (0), F16 or BF16
    int n_shards;      // 0 or 1: one file; else shards with an index
} model_maker_options;

// A config with the usual values: gelu_new, epsilon 1e-5, scaled attention, tied head, F = 4 C, no
// special ids.
gpt2_config model_maker_config(int32_t n_layer, int32_t n_head, int32_t n_embd, int32_t n_positions,
                               int32_t vocab_size);

// Writes config.json and the weights into the existing folder `dir`; options NULL = all zero.
// Weights are normal with deviation 1/sqrt(K), gamma 1 +- 0.2, biases +- 0.1, so that activations
// are lively.
oct_status model_maker_write(const gpt2_config *config, uint64_t seed, const char *dir,
                             const model_maker_options *options);

typedef struct model_maker_w8a8_options {
    bool dynamic;           // scheme w8a8-dynamic
    bool no_zero_point;     // mlp.c_proj's input symmetric
    bool no_position_0;     // one step for all positions
    bool no_column_factors; // alpha "none" everywhere; a tied head then shares wte
    bool head_bias;
} model_maker_w8a8_options;

// A quantized model with random codes and plausible steps whose multipliers obey NUMERICS.md
// section 1; options NULL = all false. *out is owned (gpt2_model_close).
oct_status model_maker_w8a8(gpt2_model **out, const gpt2_config *config, uint64_t seed,
                            const model_maker_w8a8_options *options);

#endif
