// LOAD: what the two loaders share: fetching a tensor by its name parts.
#ifndef OCT_GPT2_LOAD_H
#define OCT_GPT2_LOAD_H

#include "model/gpt2_model.h"
#include "model/safetensors.h"

#include <jansson.h>

#define GPT2_NAME_BYTES 128 // a tensor name with its layer's number

// Fills the tensors of a float checkpoint into `model`, whose config is set.
oct_status gpt2_load_f32(gpt2_model *model, safetensors *st);

// Reads `octet` and `quantization_config` of config.json (`root`) into model->recipe and what
// follows from it: which inputs are dynamic or asymmetric. Messages begin with the key. Errors:
// OCT_ERR_FORMAT.
oct_status gpt2_load_recipe(gpt2_model *model, const json_t *root);

// Fills the tensors of a quantized directory; the recipe has been read.
oct_status gpt2_load_w8a8(gpt2_model *model, safetensors *st);

// "transformer." where the file's names have it, else ""; an error where wte.weight has neither.
oct_status gpt2_find_prefix(const char **out, const safetensors *st);

#endif
