// LOAD: float tensors of a file as f32, exactly; refuses NaN and infinity.
#ifndef OCT_WIDEN_H
#define OCT_WIDEN_H

#include "model/safetensors.h"

// An element of an F16 or BF16 tensor as f32; exact.
float widen_f16(uint16_t bits);
float widen_bf16(uint16_t bits);

// Requires every element of a float tensor to be finite; the message names file, tensor and index.
// Errors: OCT_ERR_FORMAT.
oct_status widen_check_finite(const safetensors_tensor *tensor);

// out[i] = tensor[i]. F32, F16 or BF16.
void widen_copy(float *out, const safetensors_tensor *tensor);

// A tensor [rows][columns] becomes out [columns][rows].
void widen_transpose(float *out, const safetensors_tensor *tensor, size_t rows, size_t columns);

#endif
