// LOAD: JSON files and texts read strictly, and values shown in error messages on one line.
#ifndef OCT_JSON_FILE_H
#define OCT_JSON_FILE_H

#include "octet/types.h"

#include <jansson.h>

// Parses `bytes` bytes of JSON; `what` names them in messages. Keys that come twice are errors.
// *out is owned (json_decref). Errors: OCT_ERR_FORMAT.
oct_status json_text_parse(json_t **out, const char *text, size_t bytes, const char *what);

// The same from a file of at most 64 MiB whose outermost value is an object. Errors: also
// OCT_ERR_IO.
oct_status json_file_read(json_t **out, const char *path);

// A value as a message shows it: compact, escaped to ASCII, cut to fit; "nothing" for NULL.
typedef struct json_brief {
    char text[64];
} json_brief;
json_brief json_show(const json_t *value);

// The same for a string, in quotes: names from files may hold anything.
json_brief json_show_string(const char *text);

#endif
