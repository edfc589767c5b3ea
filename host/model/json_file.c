// LOAD: strict JSON over jansson.
#include "json_file.h"

#include "base/check.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

#define JSON_FILE_BYTES_MAX ((size_t)64 << 20)

oct_status json_text_parse(json_t **out, const char *text, size_t bytes, const char *what)
{
    json_error_t error;
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (*out == NULL) {
        // jansson quotes what it met, which may hold any byte.
        for (char *c = error.text; *c != 0; c++) {
            if ((unsigned char)*c < 0x20 || *c == 0x7F) {
                *c = '?';
            }
        }
        return OCT_FAIL(OCT_ERR_FORMAT, "%s: expected JSON, at line %d column %d: %s", what,
                        error.line, error.column, error.text);
    }
    return OCT_OK;
}

oct_status json_file_read(json_t **out, const char *path)
{
    *out = NULL;
    char *text;
    size_t bytes;
    OCT_TRY(oct_file_read(&text, &bytes, path, JSON_FILE_BYTES_MAX));
    oct_status status = json_text_parse(out, text, bytes, path);
    free(text);
    if (status == OCT_OK && !json_is_object(*out)) {
        status = OCT_FAIL(OCT_ERR_FORMAT, "%s: expected a JSON object, got %s", path,
                          json_show(*out).text);
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

// json_dump_callback's callback: keeps what fits into the brief.
typedef struct brief_sink {
    json_brief *brief;
    size_t used; // bytes wanted so far; may exceed the room
} brief_sink;

static int brief_append(const char *piece, size_t bytes, void *user)
{
    brief_sink *sink = user;
    size_t room = sizeof sink->brief->text - 1;
    if (sink->used < room) {
        size_t n = bytes < room - sink->used ? bytes : room - sink->used;
        memcpy(sink->brief->text + sink->used, piece, n);
    }
    sink->used += bytes;
    return sink->used > room ? -1 : 0; // enough: stop
}

json_brief json_show(const json_t *value)
{
    json_brief brief = {"nothing"};
    if (value == NULL) {
        return brief;
    }
    brief_sink sink = {&brief, 0};
    int rc = json_dump_callback(value, brief_append, &sink,
                                JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    size_t room = sizeof brief.text - 1;
    if (sink.used > room || rc != 0) {
        size_t n = sink.used < room - 3 ? sink.used : room - 3;
        memcpy(brief.text + n, "...", 3);
        sink.used = n + 3;
    }
    brief.text[sink.used] = 0;
    return brief;
}

json_brief json_show_string(const char *text)
{
    json_t *value = json_string_nocheck(text);
    json_brief brief = json_show(value);
    json_decref(value);
    return brief;
}
