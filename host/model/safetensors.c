// LOAD: parses safetensors headers. Every number of the file is checked before it is used.
#include "safetensors_table.h"

#include "base/check.h"
#include "json_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "safetensors data are little endian and are used as they lie in the file");

// Every dtype the format knows, with its width. dtype -1: read past, never asked for.
static const struct {
    const char *name;
    int dtype;
    unsigned bits;
} dtype_table[] = {
    {"F32", OCT_DTYPE_F32, 32},
    {"F16", OCT_DTYPE_F16, 16},
    {"BF16", OCT_DTYPE_BF16, 16},
    {"I8", OCT_DTYPE_I8, 8},
    {"I32", OCT_DTYPE_I32, 32},
    {"I64", OCT_DTYPE_I64, 64},
    {"U8", OCT_DTYPE_U8, 8},
    {"BOOL", -1, 8},
    {"F64", -1, 64},
    {"I16", -1, 16},
    {"U16", -1, 16},
    {"U32", -1, 32},
    {"U64", -1, 64},
    {"F8_E4M3", -1, 8},
    {"F8_E5M2", -1, 8},
    {"F8_E8M0", -1, 8},
    {"F6_E2M3", -1, 6},
    {"F6_E3M2", -1, 6},
    {"F4", -1, 4},
    {"C64", -1, 64},
};
#define N_DTYPES (sizeof dtype_table / sizeof dtype_table[0])

size_t oct_dtype_bytes(oct_dtype dtype)
{
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (dtype_table[i].dtype == (int)dtype) {
            return dtype_table[i].bits / 8;
        }
    }
    return 0;
}

const char *oct_dtype_name(oct_dtype dtype)
{
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (dtype_table[i].dtype == (int)dtype) {
            return dtype_table[i].name;
        }
    }
    return "?";
}

char *safetensors_copy_text(safetensors *st, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = oct_arena_alloc(&st->arena, n, 1);
    if (copy != NULL) {
        memcpy(copy, text, n);
    }
    return copy;
}

static safetensors_tensor *add_tensor(safetensors *st)
{
    if (st->n_tensors == st->room) {
        size_t room = st->room == 0 ? 256 : st->room * 2;
        safetensors_tensor *grown = realloc(st->tensors, room * sizeof *grown);
        if (grown == NULL) {
            (void)OCT_FAIL(OCT_ERR_NOMEM, "out of memory: table of %zu tensors", room);
            return NULL;
        }
        st->tensors = grown;
        st->room = room;
    }
    safetensors_tensor *tensor = &st->tensors[st->n_tensors++];
    memset(tensor, 0, sizeof *tensor);
    return tensor;
}

// A whole number >= 0 that fits size_t.
static bool read_size(const json_t *value, size_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *out = (size_t)json_integer_value(value);
    return true;
}

static oct_status parse_shape(safetensors_tensor *tensor, const json_t *shape)
{
    OCT_REQUIRE(json_is_array(shape) && json_array_size(shape) <= SAFETENSORS_DIMS_MAX,
                OCT_ERR_FORMAT, "shape: expected a list of at most %d sizes, got %s",
                SAFETENSORS_DIMS_MAX, json_show(shape).text);
    tensor->n_dims = (int)json_array_size(shape);
    tensor->count = 1;
    for (int i = 0; i < tensor->n_dims; i++) {
        size_t size;
        OCT_REQUIRE(read_size(json_array_get(shape, (size_t)i), &size), OCT_ERR_FORMAT,
                    "shape: expected whole numbers from 0, got %s", json_show(shape).text);
        OCT_REQUIRE(oct_mul_size(tensor->count, size, &tensor->count), OCT_ERR_FORMAT,
                    "shape: expected fewer than 2^64 elements, got %s", json_show(shape).text);
        tensor->shape[i] = (int64_t)size;
    }
    return OCT_OK;
}

// One entry of the header: dtype, shape, and offsets that lie in the data and have the size that
// both imply.
static oct_status parse_tensor(safetensors_tensor *tensor, const json_t *info,
                               const unsigned char *data, size_t data_bytes)
{
    OCT_REQUIRE(json_is_object(info), OCT_ERR_FORMAT, "expected an object, got %s",
                json_show(info).text);
    const char *name = json_string_value(json_object_get(info, "dtype"));
    size_t row = 0;
    while (row < N_DTYPES && (name == NULL || strcmp(dtype_table[row].name, name) != 0)) {
        row++;
    }
    OCT_REQUIRE(row < N_DTYPES, OCT_ERR_FORMAT,
                "dtype: expected F32, F16, BF16, I8 or another name of the format, got %s",
                json_show(json_object_get(info, "dtype")).text);
    tensor->dtype = dtype_table[row].dtype;
    tensor->dtype_name = dtype_table[row].name;
    OCT_TRY(parse_shape(tensor, json_object_get(info, "shape")));

    size_t bits;
    OCT_REQUIRE(oct_mul_size(tensor->count, dtype_table[row].bits, &bits) && bits % 8 == 0,
                OCT_ERR_FORMAT,
                "shape %s: %s elements of that number overflow or end within a byte",
                json_show(json_object_get(info, "shape")).text, tensor->dtype_name);
    tensor->bytes = bits / 8;

    const json_t *offsets = json_object_get(info, "data_offsets");
    size_t begin, end;
    OCT_REQUIRE(json_array_size(offsets) == 2 && read_size(json_array_get(offsets, 0), &begin) &&
                    read_size(json_array_get(offsets, 1), &end),
                OCT_ERR_FORMAT, "data_offsets: expected [begin, end] from 0, got %s",
                json_show(offsets).text);
    OCT_REQUIRE(begin <= end && end <= data_bytes, OCT_ERR_FORMAT,
                "data_offsets: expected begin <= end <= %zu (the data's size), got [%zu, %zu]",
                data_bytes, begin, end);
    OCT_REQUIRE(end - begin == tensor->bytes, OCT_ERR_FORMAT,
                "data_offsets [%zu, %zu]: expected %zu bytes for %s of shape %s, got %zu", begin,
                end, tensor->bytes, tensor->dtype_name,
                json_show(json_object_get(info, "shape")).text, end - begin);
    tensor->data = data + begin; // data may be NULL only if data_bytes and so begin are 0
    return OCT_OK;
}

static int by_address(const void *a, const void *b)
{
    const safetensors_tensor *x = a, *y = b;
    if (x->data != y->data) {
        return x->data < y->data ? -1 : 1;
    }
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int by_name(const void *a, const void *b)
{
    const safetensors_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

// The tensors of one file must follow each other without gaps and fill the data.
static oct_status check_coverage(safetensors_tensor *tensors, size_t n, const unsigned char *data,
                                 size_t data_bytes)
{
    if (n > 0) {
        qsort(tensors, n, sizeof *tensors, by_address);
    }
    size_t covered = 0;
    for (size_t i = 0; i < n; i++) {
        size_t begin = (size_t)(tensors[i].data - data);
        OCT_REQUIRE(
            begin == covered, OCT_ERR_FORMAT,
            "tensor %s: expected its data to begin at %zu, where the one before ends, got %zu "
            "(%s)",
            json_show_string(tensors[i].name).text, covered, begin,
            begin < covered ? "they overlap" : "a gap");
        covered += tensors[i].bytes;
    }
    OCT_REQUIRE(covered == data_bytes, OCT_ERR_FORMAT,
                "expected %zu bytes of data, as the header lists, got %zu", covered, data_bytes);
    return OCT_OK;
}

static oct_status check_metadata(const json_t *metadata)
{
    OCT_REQUIRE(json_is_object(metadata), OCT_ERR_FORMAT,
                "__metadata__: expected an object of texts, got %s", json_show(metadata).text);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value)
    {
        OCT_REQUIRE(json_is_string(value), OCT_ERR_FORMAT,
                    "__metadata__: %s: expected a text, got %s", json_show_string(key).text,
                    json_show(value).text);
    }
    return OCT_OK;
}

// Adds the tensors that the header lists.
static oct_status parse_header(safetensors *st, json_t *header, const unsigned char *data,
                               size_t data_bytes, const char *path)
{
    OCT_REQUIRE(json_is_object(header), OCT_ERR_FORMAT, "header: expected a JSON object, got %s",
                json_show(header).text);
    size_t first = st->n_tensors;
    const char *key;
    json_t *value;
    json_object_foreach(header, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            OCT_TRY(check_metadata(value));
            continue;
        }
        safetensors_tensor *tensor = add_tensor(st);
        OCT_REQUIRE(tensor != NULL, OCT_ERR_NOMEM, "out of memory: table of tensors");
        tensor->path = path;
        tensor->name = safetensors_copy_text(st, key);
        OCT_REQUIRE(tensor->name != NULL, OCT_ERR_NOMEM, "out of memory: names of tensors");
        oct_status status = parse_tensor(tensor, value, data, data_bytes);
        if (status != OCT_OK) {
            return oct_fail_prefix(status, "tensor %s", json_show_string(key).text);
        }
    }
    return check_coverage(st->tensors + first, st->n_tensors - first, data, data_bytes);
}

oct_status safetensors_parse_file(safetensors *st, const unsigned char *file, size_t bytes,
                                  const char *path)
{
    OCT_REQUIRE(bytes >= 8, OCT_ERR_FORMAT,
                "%s: expected at least 8 bytes (the header's length), got %zu", path, bytes);
    uint64_t n;
    memcpy(&n, file, 8);
    OCT_REQUIRE(n <= SAFETENSORS_HEADER_BYTES_MAX, OCT_ERR_FORMAT,
                "%s: expected a header of at most %d bytes, got %llu (not a safetensors file?)",
                path, SAFETENSORS_HEADER_BYTES_MAX, (unsigned long long)n);
    OCT_REQUIRE(n <= bytes - 8, OCT_ERR_FORMAT,
                "%s: expected a header of %llu bytes, the file ends after %zu of them", path,
                (unsigned long long)n, bytes - 8);
    OCT_REQUIRE(n > 0 && file[8] == '{', OCT_ERR_FORMAT,
                "%s: expected the header to begin with '{', got byte 0x%02x", path,
                n > 0 ? file[8] : 0);
    json_t *header;
    OCT_TRY(json_text_parse(&header, (const char *)file + 8, (size_t)n, path));
    oct_status status = parse_header(st, header, file + 8 + n, bytes - 8 - (size_t)n, path);
    json_decref(header);
    return status == OCT_OK ? OCT_OK : oct_fail_prefix(status, "%s", path);
}

void safetensors_sort(safetensors *st)
{
    if (st->n_tensors > 0) {
        qsort(st->tensors, st->n_tensors, sizeof *st->tensors, by_name);
    }
}

oct_status safetensors_open_memory(safetensors **out, const void *data, size_t bytes,
                                   const char *path)
{
    *out = NULL;
    safetensors *st = calloc(1, sizeof *st);
    OCT_REQUIRE(st != NULL, OCT_ERR_NOMEM, "out of memory: %s", path);
    oct_status status = OCT_OK;
    st->where = safetensors_copy_text(st, path);
    if (st->where == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: %s", path);
    } else {
        status = safetensors_parse_file(st, data, bytes, st->where);
    }
    if (status != OCT_OK) {
        safetensors_close(st);
        return status;
    }
    safetensors_sort(st);
    *out = st;
    return OCT_OK;
}

void safetensors_close(safetensors *st)
{
    if (st == NULL) {
        return;
    }
    for (size_t i = 0; i < st->n_files; i++) {
        oct_file_map_close(&st->files[i]);
    }
    free(st->files);
    free(st->tensors);
    oct_arena_free(&st->arena);
    free(st);
}

const char *safetensors_where(const safetensors *st)
{
    return st->where;
}

size_t safetensors_count(const safetensors *st)
{
    return st->n_tensors;
}

const safetensors_tensor *safetensors_at(const safetensors *st, size_t index)
{
    return &st->tensors[index];
}

static safetensors_tensor *find(const safetensors *st, const char *name)
{
    safetensors_tensor key = {.name = name};
    return st->n_tensors == 0
               ? NULL
               : bsearch(&key, st->tensors, st->n_tensors, sizeof *st->tensors, by_name);
}

const safetensors_tensor *safetensors_find(const safetensors *st, const char *name)
{
    return find(st, name);
}

bool safetensors_skip(safetensors *st, const char *name)
{
    safetensors_tensor *tensor = find(st, name);
    if (tensor != NULL) {
        tensor->used = true;
    }
    return tensor != NULL;
}

typedef struct shape_text {
    char text[192]; // 8 sizes of at most 19 digits
} shape_text;

static shape_text show_shape(int n_dims, const int64_t *shape)
{
    shape_text out = {"["};
    size_t used = 1;
    for (int i = 0; i < n_dims; i++) {
        used += (size_t)snprintf(out.text + used, sizeof out.text - used, "%s%lld",
                                 i == 0 ? "" : ", ", (long long)shape[i]);
    }
    snprintf(out.text + used, sizeof out.text - used, "]");
    return out;
}

oct_status safetensors_get(safetensors *st, const char *name, unsigned dtypes, int n_dims,
                           const int64_t *shape, const safetensors_tensor **out)
{
    *out = NULL;
    char wanted[96] = "";
    size_t used = 0;
    for (int dtype = 0; dtype < 32; dtype++) {
        if ((dtypes >> dtype & 1) != 0) {
            used += (size_t)snprintf(wanted + used, sizeof wanted - used, "%s%s",
                                     used == 0 ? "" : " or ", oct_dtype_name((oct_dtype)dtype));
        }
    }
    safetensors_tensor *tensor = find(st, name);
    OCT_REQUIRE(tensor != NULL, OCT_ERR_FORMAT,
                "%s: expected tensor %s (%s of shape %s), not there", st->where, name, wanted,
                show_shape(n_dims, shape).text);
    bool same =
        tensor->dtype >= 0 && (dtypes >> tensor->dtype & 1) != 0 && tensor->n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++) {
        same = tensor->shape[i] == shape[i];
    }
    OCT_REQUIRE(same, OCT_ERR_FORMAT, "%s: tensor %s: expected %s of shape %s, got %s of shape %s",
                tensor->path, name, wanted, show_shape(n_dims, shape).text, tensor->dtype_name,
                show_shape(tensor->n_dims, tensor->shape).text);
    tensor->used = true;
    *out = tensor;
    return OCT_OK;
}
