// TOKENIZE: opens and closes a tokenizer, answers about single ids.
#include "text/tokenizer_private.h"

#include "base/check.h"
#include "base/logging.h"
#include "text/text_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_JSON_BYTES ((size_t)512 << 20)

oct_status tokenizer_path(tokenizer_loader *loader, const char *name, bool *exists)
{
    int n = snprintf(loader->path, sizeof loader->path, "%s/%s", loader->dir, name);
    OCT_REQUIRE(n > 0 && (size_t)n < sizeof loader->path, OCT_ERR_ARG,
                "model directory: expected a path shorter than 4096 bytes, got %zu",
                strlen(loader->dir));
    *exists = access(loader->path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
    return OCT_OK;
}

oct_status tokenizer_parse(tokenizer_loader *loader, json_t **root)
{
    char *text;
    size_t n_bytes;
    OCT_TRY(text_file_read(loader->path, MAX_JSON_BYTES, &text, &n_bytes));
    json_error_t error;
    *root = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    free(text);
    if (*root == NULL) {
        return LOADER_FAIL(loader, "expected JSON, got an error in line %d, column %d: %.200s",
                           error.line, error.column, error.text);
    }
    if (!json_is_object(*root)) {
        json_decref(*root);
        *root = NULL;
        return LOADER_FAIL(loader, "expected a JSON %s, got another value", "object");
    }
    return OCT_OK;
}

// Moves the added tokens to where threads will read them.
static oct_status keep_added_tokens(tokenizer_loader *loader)
{
    oct_tokenizer *t = loader->tokenizer;
    added_token *kept = oct_arena_alloc(&t->arena, loader->n_added, sizeof *kept);
    if (kept == NULL) {
        return OCT_ERR_NOMEM;
    }
    size_t n_exact = 0, n_normalized = 0;
    for (size_t i = 0; i < loader->n_added; i++) {
        n_exact += !loader->added[i].normalized;
    }
    added_token *normalized = kept + n_exact;
    n_exact = 0;
    for (size_t i = 0; i < loader->n_added; i++) {
        const added_token *token = &loader->added[i];
        t->entries[token->id].special = token->special;
        if (token->normalized) {
            normalized[n_normalized++] = *token;
        } else {
            kept[n_exact++] = *token;
        }
    }
    added_tokens_init(&t->exact, kept, n_exact);
    added_tokens_init(&t->normalized, normalized, n_normalized);
    return OCT_OK;
}

// A few tokens that no text becomes are reserved ones; many, or a last line without its end, are a
// merges.txt cut short.
#define MAX_UNMADE 64

static oct_status check_all_made(tokenizer_loader *loader)
{
    oct_tokenizer *t = loader->tokenizer;
    for (size_t i = 0; i < loader->n_added; i++) {
        t->entries[loader->added[i].id].made = true;
    }
    int32_t n_unmade = 0, first = -1;
    for (int32_t id = 0; id < t->n_ids; id++) {
        if (t->entries[id].bytes != NULL && !t->entries[id].made) {
            first = n_unmade == 0 ? id : first;
            n_unmade++;
        }
    }
    OCT_REQUIRE(
        n_unmade <= (loader->merges_cut ? 0 : MAX_UNMADE), OCT_ERR_FORMAT,
        "%.400s/merges.txt: expected merges that make each token, none makes %d of %d, such as "
        "id %d (is the file cut short?)",
        loader->dir, n_unmade, t->n_ids, first);
    if (n_unmade > 0) {
        oct_log(OCT_LOG_WARN, "load", "%s/merges.txt: no merge makes %d of %d tokens", loader->dir,
                n_unmade, t->n_ids);
    }
    return OCT_OK;
}

static oct_status load(tokenizer_loader *loader)
{
    loader->added_rows = json_object();
    OCT_REQUIRE(loader->added_rows != NULL, OCT_ERR_NOMEM, "out of memory for a tokenizer");
    bool has_tokenizer_json;
    OCT_TRY(tokenizer_path(loader, "tokenizer.json", &has_tokenizer_json));
    if (has_tokenizer_json) {
        OCT_TRY(tokenizer_json_read(loader));
    } else {
        OCT_TRY(vocab_merges_read(loader));
    }
    OCT_TRY(added_token_files_read(loader, has_tokenizer_json));
    if (!has_tokenizer_json) { // a tokenizer.json cut short is no JSON
        OCT_TRY(check_all_made(loader));
    }
    OCT_TRY(keep_added_tokens(loader));
    return pretokenizer_init(&loader->tokenizer->pre, true);
}

oct_status oct_tokenizer_open(oct_tokenizer **out, const char *model_dir)
{
    OCT_REQUIRE(out != NULL, OCT_ERR_ARG, "oct_tokenizer_open: out is NULL");
    *out = NULL;
    OCT_REQUIRE(model_dir != NULL, OCT_ERR_ARG, "oct_tokenizer_open: model_dir is NULL");
    oct_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    tokenizer_loader *loader = calloc(1, sizeof *loader);
    oct_status status;
    if (tokenizer == NULL || loader == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory for a tokenizer");
    } else {
        tokenizer->end_of_text = -1;
        loader->tokenizer = tokenizer;
        loader->dir = model_dir;
        status = load(loader);
        json_decref(loader->vocab);
        json_decref(loader->added_rows);
        free(loader->added);
        free(loader->scratch);
    }
    free(loader);
    if (status != OCT_OK) {
        oct_tokenizer_close(tokenizer);
        return status;
    }
    *out = tokenizer;
    return OCT_OK;
}

void oct_tokenizer_close(oct_tokenizer *tokenizer)
{
    if (tokenizer == NULL) {
        return;
    }
    pretokenizer_free(&tokenizer->pre);
    bpe_table_free(&tokenizer->bpe);
    oct_arena_free(&tokenizer->arena);
    free(tokenizer->entries);
    free(tokenizer);
}

int32_t oct_tokenizer_vocab_size(const oct_tokenizer *tokenizer)
{
    return tokenizer->n_ids;
}

int32_t oct_tokenizer_end_of_text(const oct_tokenizer *tokenizer)
{
    return tokenizer->end_of_text;
}

bool oct_tokenizer_is_special(const oct_tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->n_ids && tokenizer->entries[id].special;
}

oct_status oct_tokenizer_token_bytes(const oct_tokenizer *tokenizer, int32_t id, const char **bytes,
                                     size_t *n_bytes)
{
    OCT_REQUIRE(id >= 0 && id < tokenizer->n_ids, OCT_ERR_ARG,
                "token id: expected one in [0, %d), got %d", tokenizer->n_ids, id);
    const token_entry *entry = &tokenizer->entries[id];
    OCT_REQUIRE(entry->bytes != NULL, OCT_ERR_ARG,
                "token id %d: expected one that the vocabulary has, got a hole", id);
    *bytes = entry->bytes;
    *n_bytes = entry->n_bytes;
    return OCT_OK;
}

oct_status oct_tokenizer_decode(const oct_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                char **bytes, size_t *n_bytes)
{
    *bytes = NULL;
    *n_bytes = 0;
    size_t total = 0, n = 0;
    const char *part = NULL;
    for (size_t i = 0; i < n_ids; i++) {
        OCT_TRY(oct_tokenizer_token_bytes(tokenizer, ids[i], &part, &n));
        OCT_REQUIRE(oct_add_size(total, n, &total), OCT_ERR_NOMEM, "out of memory for %zu tokens",
                    n_ids);
    }
    char *text = total == SIZE_MAX ? NULL : malloc(total + 1);
    OCT_REQUIRE(text != NULL, OCT_ERR_NOMEM, "out of memory for %zu bytes", total);
    char *end = text;
    for (size_t i = 0; i < n_ids; i++) {
        const token_entry *entry = &tokenizer->entries[ids[i]];
        memcpy(end, entry->bytes, entry->n_bytes);
        end += entry->n_bytes;
    }
    *end = 0;
    *bytes = text;
    *n_bytes = total;
    return OCT_OK;
}
