// tests: damage to config.json and model.safetensors.
#include "model_damage.h"

#include "base/file.h"
#include "model/gpt2_model.h"

#include "test_util.h"

#define FILE_BYTES_MAX ((size_t)1 << 28)

static char *read_all(const char *dir, const char *name, size_t *bytes)
{
    char *path = oct_path_join(dir, name), *text;
    assert_ok(oct_file_read(&text, bytes, path, FILE_BYTES_MAX));
    free(path);
    return text;
}

// Without a sync: damage is done thousands of times.
void damage_file(const char *dir, const char *name, const void *data, size_t bytes)
{
    char *path = oct_path_join(dir, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, bytes, file), bytes);
    ck_assert_int_eq(fclose(file), 0);
    free(path);
}

void damage_config(const char *dir, const char *path, json_t *value)
{
    size_t bytes;
    char *text = read_all(dir, "config.json", &bytes);
    json_t *root = json_loadb(text, bytes, 0, NULL), *object = root;
    ck_assert_ptr_nonnull(root);
    const char *separator = strchr(path, '|') != NULL ? "|" : ".";
    char *copy = strdup(path), *state = NULL;
    char *key = strtok_r(copy, separator, &state);
    for (char *next; (next = strtok_r(NULL, separator, &state)) != NULL; key = next) {
        object = json_object_get(object, key);
        ck_assert_msg(json_is_object(object), "%s: no such key: %s", path, key);
    }
    if (value == NULL) {
        ck_assert_msg(json_object_del(object, key) == 0, "%s: no such key", path);
    } else {
        ck_assert_int_eq(json_object_set_new(object, key, value), 0);
    }
    char *out = json_dumps(root, JSON_INDENT(1));
    damage_file(dir, "config.json", out, strlen(out));
    free(out);
    free(copy);
    json_decref(root);
    free(text);
}

static json_t *parse_header(const char *text, size_t *header_size)
{
    uint64_t n;
    memcpy(&n, text, 8);
    json_t *header = json_loadb(text + 8, n, 0, NULL);
    ck_assert_ptr_nonnull(header);
    *header_size = 8 + n;
    return header;
}

size_t header_bytes(const char *dir)
{
    size_t bytes, n;
    char *text = read_all(dir, "model.safetensors", &bytes);
    json_decref(parse_header(text, &n));
    free(text);
    return n;
}

void damage_tensor(const char *dir, const char *name, size_t at, const void *bytes, size_t n)
{
    size_t size, begin;
    char *text = read_all(dir, "model.safetensors", &size);
    json_t *header = parse_header(text, &begin);
    json_t *offsets = json_object_get(json_object_get(header, name), "data_offsets");
    ck_assert_msg(offsets != NULL, "no tensor %s", name);
    begin += (size_t)json_integer_value(json_array_get(offsets, 0)) + at;
    ck_assert_uint_le(begin + n, size);
    memcpy(text + begin, bytes, n);
    damage_file(dir, "model.safetensors", text, size);
    json_decref(header);
    free(text);
}

void damage_header(const char *dir, const char *name, const char *key, json_t *value)
{
    size_t size, begin;
    char *text = read_all(dir, "model.safetensors", &size);
    json_t *header = parse_header(text, &begin);
    if (key != NULL) {
        json_t *entry = json_object_get(header, name);
        ck_assert_msg(entry != NULL, "no tensor %s", name);
        ck_assert_int_eq(json_object_set_new(entry, key, value), 0);
    } else if (value != NULL) {
        ck_assert_int_eq(json_object_set_new(header, name, value), 0);
    } else {
        ck_assert_msg(json_object_del(header, name) == 0, "no tensor %s", name);
    }
    char *head = json_dumps(header, JSON_COMPACT);
    uint64_t n = strlen(head);
    char *out = malloc(8 + n + size - begin);
    memcpy(out, &n, 8);
    memcpy(out + 8, head, n);
    memcpy(out + 8 + n, text + begin, size - begin);
    damage_file(dir, "model.safetensors", out, 8 + n + size - begin);
    free(out);
    free(head);
    json_decref(header);
    free(text);
}

void assert_load_refused(const char *dir, oct_status status, const char *expected)
{
    gpt2_model *model;
    oct_status got = gpt2_model_load(&model, dir);
    ck_assert_msg(got == status, "expected a refusal with \"%s\", got %s: %s", expected,
                  oct_status_text(got), got == OCT_OK ? "loaded" : oct_last_error());
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(oct_last_error(), expected) != NULL, "expected \"%s\" in \"%s\"", expected,
                  oct_last_error());
    ck_assert_msg(strchr(oct_last_error(), '\n') == NULL, "more than a line: %s", oct_last_error());
}

void assert_truncations_refused(const char *dir, const char *file, size_t step, size_t limit,
                                size_t step_beyond)
{
    size_t bytes;
    char *text = read_all(dir, file, &bytes);
    for (size_t n = 0; n < bytes; n += n < limit ? step : step_beyond) {
        damage_file(dir, file, text, n);
        assert_load_refused(dir, OCT_ERR_FORMAT, file);
    }
    damage_file(dir, file, text, bytes);
    free(text);
}
