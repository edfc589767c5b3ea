// tests: plants the outliers that only large GPT-2s grow into a small trained FP32 model
// as GPT-2 has them. The planted model is its own FP32 reference.
#ifndef OCT_PLANT_H
#define OCT_PLANT_H

#include "model/gpt2_model.h"
#include "octet/backend.h"

// What to plant; bits.
#define PLANT_VO 1u // four value channels a layer times 20, undone in attn.c_proj: exact
#define PLANT_ROGUE                                                                                \
    2u // three channels of every LayerNorm times 25, undone in what they feed: exact
#define PLANT_MASSIVE 4u // position 0 carries +1500, -750, -750 from block 1 to the last but one
#define PLANT_GELU    8u // four neurons a block take 20 times their input and give a 20th: approximate
#define PLANT_RARE    16u // one rare token writes 100 into a channel in use, between the same blocks

typedef struct plant_variant {
    const char *name;
    unsigned kinds;
} plant_variant;

// Plain, each kind alone, the first four together.
#define PLANT_VARIANTS 7
extern const plant_variant plant_variants[PLANT_VARIANTS];

// ids [n_ids]: text of the model's own kind, to see which neurons lend themselves and which token
// is rare (a few thousand tokens are enough). `device` runs the model over it. *out owns all its
// memory (gpt2_model_close).
oct_status plant_model(gpt2_model **out, const gpt2_model *source, oct_device *device,
                       unsigned kinds, const int32_t *ids, size_t n_ids);

// The token that PLANT_RARE chooses: the least frequent one of those that make up a 4,000th of the
// text (and occur at least 3 times), the lowest of those; -1 where there is none.
int32_t plant_rare_token(const int32_t *ids, size_t n_ids, int32_t vocab_size);

// Writes an FP32 model as a checkpoint directory, with config.json and the tokenizer of source_dir.
// The directory must not exist.
oct_status plant_write(const gpt2_model *model, const char *source_dir, const char *out_dir);

#endif
