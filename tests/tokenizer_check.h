// tests: what the tokenizer's suites share: ids compared one by one, files written and read whole.
#ifndef OCT_TOKENIZER_CHECK_H
#define OCT_TOKENIZER_CHECK_H

#include "octet/tokenizer.h"

#include "test_util.h"

// OpenAI's files: 50,257 ids.
#define GOLDEN SRC("tests/golden/tokenizer")

// A list of ids and its length, as two arguments.
#define IDS(...) (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / 4

static inline void assert_ids(const oct_tokenizer *t, const char *text, const int32_t *want,
                              size_t n_want)
{
    int32_t *ids;
    size_t n;
    assert_ok(oct_tokenizer_encode(t, text, strlen(text), &ids, &n));
    for (size_t i = 0; i < n && i < n_want; i++) {
        ck_assert_msg(ids[i] == want[i], "\"%.60s\": id %zu: got %d, expected %d", text, i, ids[i],
                      want[i]);
    }
    ck_assert_msg(n == n_want, "\"%.60s\": got %zu ids, expected %zu", text, n, n_want);
    free(ids);
}

// The text, a NUL behind it; the caller frees it.
static inline char *read_file(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*n + 1);
    ck_assert_uint_eq(fread(text, 1, *n, file), *n);
    text[*n] = 0;
    fclose(file);
    return text;
}

// Returns the file's path; the caller frees it.
static inline char *write_file(const char *folder, const char *name, const char *text, size_t n)
{
    char *path = malloc(4300);
    snprintf(path, 4300, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, n, file), n);
    fclose(file);
    return path;
}

#endif
