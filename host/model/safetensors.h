// LOAD: the safetensors format: an untrusted file becomes a table of tensors whose dtypes, shapes
// and bytes are verified; and the writer of such files.
//
// File: u64 little endian N, N bytes of JSON {"name": {"dtype", "shape", "data_offsets": [begin,
// end]}, ...,
// "__metadata__": {"key": "text"}}, then the data that the offsets count from. Tensors must cover
// the data without gaps or overlaps, as the format's own reader demands. Nothing is assumed about
// alignment.
#ifndef OCT_SAFETENSORS_H
#define OCT_SAFETENSORS_H

#include "octet/types.h"

#include <stdbool.h>

#define SAFETENSORS_DIMS_MAX         8
#define SAFETENSORS_HEADER_BYTES_MAX 100000000 // the format's own limit

typedef struct safetensors_tensor {
    const char *name;       // borrowed, like all pointers here: valid until safetensors_close
    const char *dtype_name; // as the file has it: "F32"
    int dtype;              // an oct_dtype, or -1: a dtype that Octet does not compute with
    int n_dims;             // 0 to SAFETENSORS_DIMS_MAX
    int64_t shape[SAFETENSORS_DIMS_MAX];
    size_t count;              // product of the shape
    const unsigned char *data; // [bytes], any alignment
    size_t bytes;              // = count * width of dtype
    const char *path;          // the file it lies in
    bool used;                 // safetensors_get returned it
} safetensors_tensor;

typedef struct safetensors safetensors;

// Opens `dir`/model.safetensors or, where there is none, the shards of
// `dir`/model.safetensors.index.json. Only names that the index lists are seen, each in the file it
// names. *out is owned. Errors: OCT_ERR_IO, OCT_ERR_FORMAT, OCT_ERR_NOMEM.
oct_status safetensors_open(safetensors **out, const char *dir);

// Opens a file image in memory (borrowed until close); `path` is what messages call it.
oct_status safetensors_open_memory(safetensors **out, const void *data, size_t bytes,
                                   const char *path);

// Unmaps the files; accepts NULL.
void safetensors_close(safetensors *st);

// What messages call the whole: the file or the index.
const char *safetensors_where(const safetensors *st);

// All tensors, sorted by name.
size_t safetensors_count(const safetensors *st);
const safetensors_tensor *safetensors_at(const safetensors *st, size_t index);

// The tensor `name`, or NULL.
const safetensors_tensor *safetensors_find(const safetensors *st, const char *name);

// A set of dtypes: SAFETENSORS_IS(OCT_DTYPE_F32) | ...
#define SAFETENSORS_IS(dtype) (1u << (dtype))
#define SAFETENSORS_FLOATS                                                                         \
    (SAFETENSORS_IS(OCT_DTYPE_F32) | SAFETENSORS_IS(OCT_DTYPE_F16) | SAFETENSORS_IS(OCT_DTYPE_BF16))

// Fetches `name`, which must have one of the dtypes and exactly this shape; the message on a
// mismatch has the file, the tensor, both dtypes and both shapes. Marks it used. Errors:
// OCT_ERR_FORMAT.
oct_status safetensors_get(safetensors *st, const char *name, unsigned dtypes, int n_dims,
                           const int64_t *shape, const safetensors_tensor **out);

// Marks `name` as known, whatever it is; false if there is none.
bool safetensors_skip(safetensors *st, const char *name);

// Bytes of an element.
size_t oct_dtype_bytes(oct_dtype dtype);

// "F32", "I8", ...: the name files have.
const char *oct_dtype_name(oct_dtype dtype);

// What safetensors_write stores; all borrowed.
typedef struct safetensors_entry {
    const char *name;
    oct_dtype dtype;
    int n_dims;
    int64_t shape[SAFETENSORS_DIMS_MAX];
    const void *data; // product of shape elements
} safetensors_entry;

// Writes a new file: metadata {"format": "pt"}, wider dtypes first (F32 before I8), each group in
// order of name, header padded with spaces to 8 bytes. `entries` is sorted in place. The file is
// synced; on failure it is removed. Errors: OCT_ERR_IO, OCT_ERR_NOMEM, OCT_ERR_ARG (a name twice).
oct_status safetensors_write(const char *path, safetensors_entry *entries, size_t n_entries);

#endif
