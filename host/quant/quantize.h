// CALIBRATE, QUANTIZE: the whole way from an FP32 model in memory to an INT8 one (oct_quantize adds
// the directories).
#ifndef OCT_QUANTIZE_H
#define OCT_QUANTIZE_H

#include "model/gpt2_model.h"
#include "octet/octet.h"

// How the calibration text is run. No field changes a bit of the result; tests vary them.
typedef struct quant_tuning {
    int32_t max_rows;     // rows of a step; 0 = the default
    const int32_t *order; // [sequences] a permutation of the sequences, NULL = ascending
} quant_tuning;

// Calibrates `fp32` on ids[n_ids] and quantizes it by `options` (NULL = defaults; out_dir, force
// not used). *out and *statistics (may be NULL: not wanted) are owned by the caller
// (gpt2_model_close, free); the new model does not depend on `fp32`. tuning and result may be NULL;
// result's total_seconds covers this call. Errors: OCT_ERR_ARG, OCT_ERR_FORMAT (activations that
// are not finite), OCT_ERR_NOMEM, OCT_ERR_DEVICE, OCT_ERR_CANCELLED.
oct_status quant_quantize_model(const gpt2_model *fp32, oct_device *device, const int32_t *ids,
                                size_t n_ids, const oct_quantize_options *options,
                                const quant_tuning *tuning, gpt2_model **out, char **statistics,
                                oct_quantize_result *result);

#endif
