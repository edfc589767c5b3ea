// LOAD: writes safetensors files in the order and with the padding that the format's own writer
// uses.
#include "safetensors.h"

#include "base/check.h"
#include "base/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_ALIGN 8 // bytes: so that F32 data, which come first, are aligned in a mapped file

static int by_width_then_name(const void *a, const void *b)
{
    const safetensors_entry *x = a, *y = b;
    size_t x_bytes = oct_dtype_bytes(x->dtype), y_bytes = oct_dtype_bytes(y->dtype);
    if (x_bytes != y_bytes) {
        return x_bytes > y_bytes ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

// Bytes of an entry's data.
static oct_status entry_bytes(size_t *out, const safetensors_entry *entry)
{
    size_t bytes = oct_dtype_bytes(entry->dtype);
    for (int i = 0; i < entry->n_dims; i++) {
        OCT_REQUIRE(oct_mul_size(bytes, (size_t)entry->shape[i], &bytes), OCT_ERR_ARG,
                    "tensor %s: expected fewer than 2^64 bytes", entry->name);
    }
    *out = bytes;
    return OCT_OK;
}

// Adds {"dtype", "shape", "data_offsets"} of one entry; jansson frees what it was given on failure.
static oct_status add_entry(json_t *header, const safetensors_entry *entry, size_t begin,
                            size_t end)
{
    json_t *shape = json_array();
    bool ok = true;
    for (int i = 0; i < entry->n_dims; i++) {
        ok = json_array_append_new(shape, json_integer(entry->shape[i])) == 0 && ok;
    }
    json_t *info = json_pack("{s:s, s:o, s:[I, I]}", "dtype", oct_dtype_name(entry->dtype), "shape",
                             shape, "data_offsets", (json_int_t)begin, (json_int_t)end);
    ok = json_object_set_new(header, entry->name, info) == 0 && ok;
    OCT_REQUIRE(ok, OCT_ERR_NOMEM, "out of memory: header of %s", entry->name);
    return OCT_OK;
}

// The header's text with its padding; *out owned (free).
static oct_status build_header(char **out, size_t *out_bytes, const safetensors_entry *entries,
                               size_t n_entries)
{
    *out = NULL;
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    char *text = NULL;
    oct_status status = OCT_OK;
    size_t end = 0;
    for (size_t i = 0; i < n_entries; i++) {
        size_t bytes;
        OCT_TRY_GOTO(entry_bytes(&bytes, &entries[i]), done);
        if (i > 0 && strcmp(entries[i].name, entries[i - 1].name) == 0) {
            status =
                OCT_FAIL(OCT_ERR_ARG, "tensor %s: expected once, given twice", entries[i].name);
            goto done;
        }
        OCT_TRY_GOTO(add_entry(header, &entries[i], end, end + bytes), done);
        end += bytes;
    }
    text = json_dumps(header, JSON_COMPACT);
    size_t n = text == NULL ? 0 : strlen(text);
    size_t padded = (n + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    char *grown = text == NULL ? NULL : realloc(text, padded + 1);
    if (grown == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: header of %zu tensors", n_entries);
        goto done;
    }
    memset(grown + n, ' ', padded - n);
    *out = grown;
    *out_bytes = padded;
    text = NULL;
done:
    free(text);
    json_decref(header);
    return status;
}

static oct_status put_all(oct_writer *writer, const char *header, size_t header_bytes,
                          const safetensors_entry *entries, size_t n_entries)
{
    uint64_t n = header_bytes;
    OCT_TRY(oct_writer_put(writer, &n, sizeof n));
    OCT_TRY(oct_writer_put(writer, header, header_bytes));
    for (size_t i = 0; i < n_entries; i++) {
        size_t bytes;
        OCT_TRY(entry_bytes(&bytes, &entries[i]));
        OCT_TRY(oct_writer_put(writer, entries[i].data, bytes));
    }
    return oct_writer_close(writer);
}

oct_status safetensors_write(const char *path, safetensors_entry *entries, size_t n_entries)
{
    if (n_entries > 0) {
        qsort(entries, n_entries, sizeof *entries, by_width_then_name);
    }
    char *header;
    size_t header_bytes = 0;
    OCT_TRY(build_header(&header, &header_bytes, entries, n_entries));
    oct_writer writer;
    oct_status status = oct_writer_open(&writer, path);
    if (status == OCT_OK) {
        status = put_all(&writer, header, header_bytes, entries, n_entries);
        oct_writer_discard(&writer, status);
    }
    free(header);
    return status;
}
