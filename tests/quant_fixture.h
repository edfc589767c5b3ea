// tests: small FP32 models and texts to quantize, and bit-exact comparison of quantized models.
#ifndef OCT_QUANT_FIXTURE_H
#define OCT_QUANT_FIXTURE_H

#include "model_maker.h"
#include "quant/quantize.h"

// A random FP32 model: 3 layers, C = 48 (3 heads of 16), F = 192, 32 positions, 101 ids. `config`
// NULL = that one.
gpt2_model *fixture_model(const gpt2_config *config, uint64_t seed);
gpt2_config fixture_config(void);

// Random ids below vocab_size (free).
int32_t *fixture_ids(size_t n, int32_t vocab_size, uint64_t seed);

// isa NULL = the best.
oct_device *fixture_device(int32_t n_threads, const char *isa);

// Quantizes or fails the test.
gpt2_model *fixture_quantize(const gpt2_model *fp32, oct_device *device, const int32_t *ids,
                             size_t n_ids, const oct_quantize_options *options,
                             const quant_tuning *tuning, char **statistics);

// Every array, step and word of the recipe, to the bit.
void assert_models_equal(const gpt2_model *got, const gpt2_model *want);

// logits [n][V] of a sequence from position 0 (free).
float *fixture_logits(const gpt2_model *model, oct_device *device, const int32_t *ids, int32_t n);

// Against an FP32 model on the same ids.
oct_perplexity_result fixture_perplexity(const gpt2_model *model, const gpt2_model *baseline,
                                         oct_device *device, const int32_t *ids, size_t n_ids);

#endif
