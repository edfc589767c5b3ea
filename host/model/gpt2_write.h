// LOAD: the parts of gpt2_model_write.
#ifndef OCT_GPT2_WRITE_H
#define OCT_GPT2_WRITE_H

#include "model/gpt2_model.h"

// Writes `path`, a new config.json: source_dir's with what quantization adds. Errors: as
// gpt2_model_write.
oct_status gpt2_write_config(const gpt2_model *model, const char *source_dir, const char *path);

// Writes `path`, a new model.safetensors. Errors: OCT_ERR_IO, OCT_ERR_NOMEM, OCT_ERR_ARG (a tensor
// is missing).
oct_status gpt2_write_tensors(const gpt2_model *model, const char *path);

#endif
