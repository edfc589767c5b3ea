// types.h: names that every part of Octet shares: status codes, element types, shape letters,
// device buffers.
//
// Shape letters: T tokens (rows) in this step, S cached length, C width (n_embd), H heads, D head
// width, F MLP width, V vocabulary, L layers, P positions (the context). M, N, K only inside a
// matrix product.
#ifndef OCT_TYPES_H
#define OCT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// X(name, value, text): the code is API, the text is help.
#define OCT_STATUS_LIST(X)                                                                         \
    X(OK, 0, "ok")                                                                                 \
    X(ERR_ARG, 1, "bad argument")                                                                  \
    X(ERR_SHAPE, 2, "shape not supported")                                                         \
    X(ERR_IO, 3, "input or output failed")                                                         \
    X(ERR_FORMAT, 4, "malformed or unsupported file")                                              \
    X(ERR_NOMEM, 5, "out of memory")                                                               \
    X(ERR_DEVICE, 6, "device failed or is absent")                                                 \
    X(ERR_COMM, 7, "communication between ranks failed")                                           \
    X(ERR_CANCELLED, 8, "cancelled")                                                               \
    X(ERR_BUG, 9, "internal error")

typedef enum oct_status {
#define OCT_STATUS_ENUM(name, value, text) OCT_##name = value,
    OCT_STATUS_LIST(OCT_STATUS_ENUM)
#undef OCT_STATUS_ENUM
} oct_status;

// The text of a code ("bad argument"); never NULL.
const char *oct_status_text(oct_status status);

// What the last failing call of *this thread* had to say, with expected and actual values; "" if
// none. Borrowed, valid until the thread's next failing call.
const char *oct_last_error(void);

typedef enum oct_dtype {
    OCT_DTYPE_F32 = 0,
    OCT_DTYPE_F16 = 1,
    OCT_DTYPE_BF16 = 2,
    OCT_DTYPE_I8 = 3,
    OCT_DTYPE_I32 = 4,
    OCT_DTYPE_I64 = 5,
    OCT_DTYPE_U8 = 6,
} oct_dtype;

// How the codes of a linear layer and of its input are stored and multiplied (NUMERICS.md section
// 3).
typedef enum oct_format {
    OCT_FORMAT_F32 = 0,  // exact FP32 path, section 7
    OCT_FORMAT_W8A8 = 1, // INT8 weights and activations, s32 sums
} oct_format;

typedef enum oct_activation {
    OCT_ACTIVATION_GELU_NEW = 0, // tanh form; also "gelu_pytorch_tanh" and "gelu_fast"'s formula
    OCT_ACTIVATION_GELU = 1,     // exact, with erf
    OCT_ACTIVATION_RELU = 2,
} oct_activation;

// A piece of device memory. `mem` is opaque to the host: on the CPU the address itself, on a GPU a
// device pointer. mem == NULL means "absent". The offset is in bytes.
typedef struct oct_mem oct_mem;
typedef struct oct_buf {
    oct_mem *mem;
    size_t offset;
} oct_buf;

// How the producer of an activation rounds it: q = requant(y * rho_t, z_t) (section 2). Written by
// value because it is frozen with the model. F32: nothing is rounded and only `format` is read.
typedef struct oct_quant {
    oct_format format;
    bool dynamic;   // rho_t = 127 / a, sigma_t = a / 127, a = max |y| of the row (below 0x1p-100:
                    // 127), z = 0
    int32_t lo, hi; // -127, 127 symmetric; -128, 127 asymmetric
    int32_t zero;   // z of positions >= 1
    int32_t zero_0; // z of position 0
    float rho_0;    // rho of position 0; all other rows of a static input have rho = sigma = 1
    float sigma_0;  // sigma of position 0
} oct_quant;

// Sampling of one row (section 6). temperature 0 = argmax. 0 / 1.0 / 0.0 / 1.0 switch top_k / top_p
// / min_p / penalty off.
typedef struct oct_sampling {
    float temperature;
    float repetition_penalty;
    int32_t top_k;
    int32_t choice; // n of the Philox counter: which of several continuations
    double top_p, min_p;
    uint64_t seed; // Philox key
} oct_sampling;

// Sums of one sequence's scored rows: integers, so order-free (sections 6 and 9).
typedef struct oct_score_sums {
    int64_t nll;   // sum of rint(nll * 2^32)
    uint64_t hash; // sum of mix(h_i + (i + 1) * 0x9E3779B97F4A7C15)
    int64_t count; // rows scored
} oct_score_sums;

// What follows the product in a linear layer (backend.h, op linear).
typedef enum oct_epilogue {
    // Logits: out[t][n] f32 = y. W8A8: (f32) acc * (mul[n] * sigma_t), then + bias where present.
    OCT_EPILOGUE_STORE = 0,
    // x[t][n] += (f32) half(y) (F32: += y), one addition.
    OCT_EPILOGUE_RESIDUAL = 1,
    // out = requant((activation((f32) half(y)) * act_mul[n]) * rho_t, z_t) (F32: activation(y)).
    OCT_EPILOGUE_GELU = 2,
    // Columns 0..C-1: q16 = half(y) (F32: y) to `q`; C..3C-1: k and v into the cache.
    OCT_EPILOGUE_QKV = 3,
} oct_epilogue;

#define OCT_NUMERICS_VERSION 1
#define OCT_PAGE_TOKENS      64  // tokens of a KV page
#define OCT_CHUNK_KEYS       128 // keys of an attention chunk = two pages

#ifdef __cplusplus
}
#endif
#endif
