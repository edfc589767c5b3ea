// tests: changes model directories in ways that loading must notice.
#ifndef OCT_MODEL_DAMAGE_H
#define OCT_MODEL_DAMAGE_H

#include "octet/types.h"

#include <jansson.h>

// Sets a key of `dir`/config.json; `path` leads through objects ("octet.recipe.scheme"; "|" instead
// of "." where keys have dots). value (stolen) NULL removes the key.
void damage_config(const char *dir, const char *path, json_t *value);

// Overwrites n bytes of a tensor of `dir`/model.safetensors from byte `at` of its data.
void damage_tensor(const char *dir, const char *name, size_t at, const void *bytes, size_t n);

// Sets a key of a tensor's entry in the header (value stolen); key NULL replaces (value NULL:
// removes) the whole entry. The data stay as they are.
void damage_header(const char *dir, const char *name, const char *key, json_t *value);

// Replaces the contents of `dir`/`name`.
void damage_file(const char *dir, const char *name, const void *data, size_t bytes);

// Loading `dir` must fail with this status and one line of text that holds `expected`.
void assert_load_refused(const char *dir, oct_status status, const char *expected);

// Cuts `dir`/`file` after every `step` bytes up to `limit` and every `step_beyond` bytes after;
// loading must be refused with one line each time. The file is as before at the end.
void assert_truncations_refused(const char *dir, const char *file, size_t step, size_t limit,
                                size_t step_beyond);

// Bytes before the data of `dir`/model.safetensors: 8 and the header.
size_t header_bytes(const char *dir);

#endif
