// TOKENIZE: a whole file in memory.
#ifndef OCT_TEXT_FILE_H
#define OCT_TEXT_FILE_H

#include "octet/types.h"

// *text [*n_bytes] is owned by the caller (free()) and ends with a NUL that is not counted. Pipes
// are read to their end. Errors: OCT_ERR_IO (cannot be opened or read, a directory), OCT_ERR_FORMAT
// (more than max_bytes), OCT_ERR_NOMEM; the text names the file.
oct_status text_file_read(const char *path, size_t max_bytes, char **text, size_t *n_bytes);

#endif
