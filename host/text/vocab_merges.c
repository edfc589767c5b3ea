// TOKENIZE: reads vocab.json and merges.txt, the two files OpenAI published GPT-2's tokenizer as.
#include "text/tokenizer_private.h"

#include "base/check.h"
#include "text/text_file.h"

#include <stdlib.h>
#include <string.h>

#define MAX_MERGES_BYTES ((size_t)256 << 20)

// Line `index` (from 1) of merges.txt without its end.
static oct_status read_line(tokenizer_loader *loader, const char *line, size_t n, size_t index,
                            uint32_t *rank)
{
    static const char version[] = "#version"; // not a merge, wherever it stands
    if (n >= sizeof version - 1 && memcmp(line, version, sizeof version - 1) == 0) {
        return OCT_OK;
    }
    const char *space = memchr(line, ' ', n);
    size_t n_left = space == NULL ? n : (size_t)(space - line);
    if (space == NULL || n_left == 0 || n_left + 1 == n ||
        memchr(space + 1, ' ', n - n_left - 1) != NULL) {
        return LOADER_FAIL(loader, "line %zu: expected two tokens and one space, got \"%.*s\"",
                           index, (int)(n < 60 ? n : 60), line);
    }
    merge_source source = {.left = line,
                           .right = space + 1,
                           .n_left = n_left,
                           .n_right = n - n_left - 1,
                           .rank = (*rank)++,
                           .unit = "line",
                           .index = index};
    return vocabulary_merge(loader, &source);
}

static oct_status read_merges(tokenizer_loader *loader, const char *text, size_t n_bytes)
{
    if (strlen(text) != n_bytes) {
        return LOADER_FAIL(loader, "expected text, got a zero at byte %zu", strlen(text));
    }
    size_t n_lines = 1;
    for (size_t i = 0; i < n_bytes; i++) {
        n_lines += text[i] == '\n';
    }
    if (n_lines > TOKENIZER_MAX_IDS) {
        return LOADER_FAIL(loader, "expected at most %d lines, got %zu", TOKENIZER_MAX_IDS,
                           n_lines);
    }
    OCT_TRY(bpe_table_init(&loader->tokenizer->bpe, n_lines));
    uint32_t rank = 0;
    size_t begin = 0;
    for (size_t index = 1; begin < n_bytes; index++) {
        const char *end = memchr(text + begin, '\n', n_bytes - begin);
        size_t n = end == NULL ? n_bytes - begin : (size_t)(end - text) - begin;
        size_t n_shown = n > 0 && text[begin + n - 1] == '\r' ? n - 1 : n;
        OCT_TRY(read_line(loader, text + begin, n_shown, index, &rank));
        begin += n + 1;
    }
    return OCT_OK;
}

oct_status vocab_merges_read(tokenizer_loader *loader)
{
    bool exists[2];
    OCT_TRY(tokenizer_path(loader, "vocab.json", &exists[0]));
    OCT_TRY(tokenizer_path(loader, "merges.txt", &exists[1]));
    if (!exists[0] || !exists[1]) {
        return OCT_FAIL(OCT_ERR_FORMAT,
                        "%.400s: expected tokenizer.json, or vocab.json and merges.txt, got %s",
                        loader->dir,
                        exists[0]   ? "vocab.json only"
                        : exists[1] ? "merges.txt only"
                                    : "none of them");
    }
    loader->tokenizer->split = true;
    OCT_TRY(tokenizer_path(loader, "vocab.json", &exists[0]));
    json_t *vocab;
    OCT_TRY(tokenizer_parse(loader, &vocab));
    oct_status status = vocabulary_read(loader, vocab);
    json_decref(vocab);
    OCT_TRY(status);

    OCT_TRY(tokenizer_path(loader, "merges.txt", &exists[1]));
    char *text;
    size_t n_bytes;
    OCT_TRY(text_file_read(loader->path, MAX_MERGES_BYTES, &text, &n_bytes));
    status = read_merges(loader, text, n_bytes);
    loader->merges_cut = n_bytes > 0 && text[n_bytes - 1] != '\n';
    free(text);
    return status;
}
