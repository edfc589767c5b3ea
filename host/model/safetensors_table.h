// LOAD: the table behind safetensors.h, shared by its parser and by the code that opens folders.
#ifndef OCT_SAFETENSORS_TABLE_H
#define OCT_SAFETENSORS_TABLE_H

#include "base/arena.h"
#include "base/file.h"
#include "model/safetensors.h"

struct safetensors {
    oct_arena arena; // names and the table
    oct_file_map *files;
    size_t n_files;
    safetensors_tensor *tensors; // [n_tensors], malloc'ed, sorted by name
    size_t n_tensors, room;
    const char *where; // what a message about the whole calls it: the file, or the index
};

// Adds the tensors of one file image; `path` must live as long as the table. Errors:
// OCT_ERR_FORMAT, OCT_ERR_NOMEM.
oct_status safetensors_parse_file(safetensors *st, const unsigned char *file, size_t bytes,
                                  const char *path);

// Orders the table by name, which lookups need.
void safetensors_sort(safetensors *st);

// A copy of the text that lives as long as the table; NULL when out of memory.
char *safetensors_copy_text(safetensors *st, const char *text);

#endif
