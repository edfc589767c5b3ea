// types.h: names that every part of Octet shares: status codes, element types, shape letters,
// device buffers.
//
// Shape letters: T tokens (rows) in this step, S cached length, C width (n_embd), H heads, D head
// width, F MLP width, V vocabulary, L layers, P positions (the context). M, N, K only inside a
// matrix product.
#ifndef OCT_TYPES_H
#define OCT_TYPES_H

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

#define OCT_NUMERICS_VERSION 1
#define OCT_PAGE_TOKENS      64  // tokens of a KV page
#define OCT_CHUNK_KEYS       128 // keys of an attention chunk = two pages

#ifdef __cplusplus
}
#endif
#endif
