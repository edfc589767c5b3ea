// TOKENIZE: the tables of a tokenizer: ids to bytes, merges, added tokens; every entry is checked.
#include "text/tokenizer_private.h"

#include "base/check.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

// GPT-2 writes each byte as one printable character: 33-126, 161-172 and 174-255 as themselves, the
// other 68 in order as U+0100 and up.
#define ALPHABET_END (256 + 68)

static bool prints_as_itself(int byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

// bytes[c] = the byte that code point c stands for, -1 = none.
static void alphabet_fill(int16_t bytes[ALPHABET_END])
{
    int next = 256;
    memset(bytes, -1, ALPHABET_END * sizeof *bytes);
    for (int byte = 0; byte < 256; byte++) {
        bytes[prints_as_itself(byte) ? byte : next++] = (int16_t)byte;
    }
}

// Translates a token to bytes. One with a character outside the alphabet (an added token) is its
// own UTF-8. `out` has room for strlen(token) bytes; returns how many were written.
static size_t translate(const int16_t alphabet[ALPHABET_END], const char *token, char *out)
{
    const unsigned char *text = (const unsigned char *)token;
    size_t n = strlen(token), count = 0;
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_length(text + i, n - i);
        uint32_t c = length == 0 ? ALPHABET_END : utf8_code_point(text + i, length);
        if (c >= ALPHABET_END || alphabet[c] < 0) {
            memcpy(out, token, n);
            return n;
        }
        out[count++] = (char)alphabet[c];
    }
    return count;
}

// Enters bytes (borrowed from the arena) under a new id.
static oct_status put(tokenizer_loader *loader, const char *name, json_int_t id, const char *bytes,
                      size_t n_bytes)
{
    oct_tokenizer *t = loader->tokenizer;
    if (id < 0 || id >= TOKENIZER_MAX_IDS) {
        return LOADER_FAIL(loader, "token \"%.60s\": expected an id in [0, %d), got %lld", name,
                           TOKENIZER_MAX_IDS, (long long)id);
    }
    if (n_bytes == 0 || n_bytes > INT32_MAX) {
        return LOADER_FAIL(loader, "id %lld: expected a token of 1 byte or more, got %zu",
                           (long long)id, n_bytes);
    }
    if (id >= t->capacity) {
        int32_t capacity = t->capacity < 1024 ? 1024 : t->capacity;
        while (capacity <= id) {
            capacity *= 2;
        }
        token_entry *grown = realloc(t->entries, (size_t)capacity * sizeof *grown);
        OCT_REQUIRE(grown != NULL, OCT_ERR_NOMEM, "out of memory for %d tokens", capacity);
        memset(grown + t->capacity, 0, (size_t)(capacity - t->capacity) * sizeof *grown);
        t->entries = grown;
        t->capacity = capacity;
    }
    token_entry *entry = &t->entries[id];
    if (entry->bytes != NULL) {
        return LOADER_FAIL(loader,
                           "id %lld: expected one token, got \"%.60s\" and one that stands for "
                           "\"%.*s\"",
                           (long long)id, name, (int)(entry->n_bytes < 60 ? entry->n_bytes : 60),
                           entry->bytes);
    }
    *entry = (token_entry){.bytes = bytes, .n_bytes = (uint32_t)n_bytes};
    t->n_ids = id >= t->n_ids ? (int32_t)id + 1 : t->n_ids;
    t->max_token_bytes = n_bytes > t->max_token_bytes ? n_bytes : t->max_token_bytes;
    return OCT_OK;
}

// The id of each byte's token.
static oct_status find_bytes(tokenizer_loader *loader, const int16_t alphabet[ALPHABET_END])
{
    oct_tokenizer *t = loader->tokenizer;
    for (int c = 0; c < ALPHABET_END; c++) {
        if (alphabet[c] < 0) {
            continue;
        }
        char name[3] = {(char)c, 0, 0};
        if (c >= 0x80) {
            name[0] = (char)(0xC0 | c >> 6);
            name[1] = (char)(0x80 | (c & 0x3F));
        }
        const json_t *id = json_object_get(loader->vocab, name);
        if (id == NULL) {
            return LOADER_FAIL(loader,
                               "expected a token for each of the 256 bytes, byte 0x%02X (\"%s\") "
                               "has none",
                               (unsigned)alphabet[c], name);
        }
        t->bpe.byte_ids[alphabet[c]] = (int32_t)json_integer_value(id);
        t->entries[json_integer_value(id)].merged = true;
        t->entries[json_integer_value(id)].made = true;
    }
    return OCT_OK;
}

oct_status vocabulary_read(tokenizer_loader *loader, json_t *vocab)
{
    int16_t alphabet[ALPHABET_END];
    alphabet_fill(alphabet);
    json_decref(loader->vocab);
    loader->vocab = json_incref(vocab);
    const char *name;
    json_t *id;
    size_t total = 0; // all tokens share one allocation
    json_object_foreach(vocab, name, id)
    {
        total += strlen(name);
    }
    char *bytes = oct_arena_alloc(&loader->tokenizer->arena, total, 1);
    if (bytes == NULL) {
        return OCT_ERR_NOMEM;
    }
    json_object_foreach(vocab, name, id)
    {
        if (!json_is_integer(id)) {
            return LOADER_FAIL(loader, "token \"%.60s\": expected an integer id", name);
        }
        size_t n = translate(alphabet, name, bytes);
        OCT_TRY(put(loader, name, json_integer_value(id), bytes, n));
        bytes += n;
    }
    return find_bytes(loader, alphabet);
}

// *id of a part or the result of a merge.
static oct_status find_merged(tokenizer_loader *loader, const char *name,
                              const merge_source *source, int32_t *id)
{
    const json_t *found = json_object_get(loader->vocab, name);
    if (found == NULL) {
        return LOADER_FAIL(loader,
                           "%s %zu: expected a merge of known tokens, \"%.60s\" is not in the "
                           "vocabulary",
                           source->unit, source->index, name);
    }
    *id = (int32_t)json_integer_value(found);
    loader->tokenizer->entries[*id].merged = true;
    return OCT_OK;
}

oct_status vocabulary_merge(tokenizer_loader *loader, const merge_source *source)
{
    size_t n_left = source->n_left, n_right = source->n_right;
    if (n_left == 0 || n_right == 0) { // it would make a token out of itself, without end
        return LOADER_FAIL(loader, "%s %zu: expected two tokens, got an empty one", source->unit,
                           source->index);
    }
    size_t n_scratch = 2 * (n_left + n_right) + 3;
    if (n_scratch > loader->scratch_bytes) {
        char *grown = realloc(loader->scratch, 2 * n_scratch);
        OCT_REQUIRE(grown != NULL, OCT_ERR_NOMEM, "out of memory for %zu bytes", 2 * n_scratch);
        loader->scratch = grown;
        loader->scratch_bytes = 2 * n_scratch;
    }
    char *joined = loader->scratch;
    char *left = joined + n_left + n_right + 1;
    char *right = left + n_left + 1;
    memcpy(joined, source->left, n_left);
    memcpy(joined + n_left, source->right, n_right);
    joined[n_left + n_right] = 0;
    memcpy(left, source->left, n_left);
    left[n_left] = 0;
    memcpy(right, source->right, n_right);
    right[n_right] = 0;
    int32_t left_id, right_id, id;
    OCT_TRY(find_merged(loader, left, source, &left_id));
    OCT_TRY(find_merged(loader, right, source, &right_id));
    OCT_TRY(find_merged(loader, joined, source, &id));
    loader->tokenizer->entries[id].made = true;
    if (bpe_table_add(&loader->tokenizer->bpe, left_id, right_id, source->rank, id) != OCT_OK) {
        return LOADER_FAIL(loader,
                           "%s %zu: expected each merge once, \"%.60s %.60s\" is there twice",
                           source->unit, source->index, left, right);
    }
    return OCT_OK;
}

int32_t vocabulary_find(const tokenizer_loader *loader, const char *content)
{
    const json_t *row = json_object_get(loader->added_rows, content);
    if (row != NULL) {
        return loader->added[json_integer_value(row)].id;
    }
    const json_t *id = json_object_get(loader->vocab, content);
    return id == NULL ? -1 : (int32_t)json_integer_value(id);
}

// Sees to it that an added token's id stands for its name; *copy = the name, in the arena.
static oct_status put_added(tokenizer_loader *loader, const char *content, int32_t known,
                            json_int_t id, const char **copy)
{
    oct_tokenizer *t = loader->tokenizer;
    size_t n = strlen(content);
    char *bytes = oct_arena_alloc(&t->arena, n + 1, 1);
    if (bytes == NULL) {
        return OCT_ERR_NOMEM;
    }
    memcpy(bytes, content, n + 1);
    *copy = bytes;
    if (known < 0) {
        return put(loader, content, id >= 0 ? id : t->n_ids, bytes, n);
    }
    token_entry *entry = &t->entries[known];
    if (entry->n_bytes == n && memcmp(entry->bytes, content, n) == 0) {
        return OCT_OK;
    }
    if (entry->merged) { // then the id would stand for two texts
        return LOADER_FAIL(loader,
                           "added token \"%.60s\": its id %d is also merged from other bytes",
                           content, known);
    }
    entry->bytes = bytes;
    entry->n_bytes = (uint32_t)n;
    t->max_token_bytes = n > t->max_token_bytes ? n : t->max_token_bytes;
    return OCT_OK;
}

oct_status vocabulary_add(tokenizer_loader *loader, const added_token_source *source)
{
    const char *content = source->token.content;
    if (content[0] == 0) {
        return LOADER_FAIL(loader, "added token with id %lld: expected a name, got an empty one",
                           (long long)source->id);
    }
    int32_t known = vocabulary_find(loader, content);
    if (known >= 0 && source->id >= 0 && source->id != known) {
        return LOADER_FAIL(loader,
                           "added token \"%.60s\": expected id %d, which it has already, "
                           "got %lld",
                           content, known, (long long)source->id);
    }
    const json_t *row = json_object_get(loader->added_rows, content);
    if (row != NULL) {
        added_token *there = &loader->added[json_integer_value(row)];
        bool special = there->special || source->token.special;
        if (source->overrides) {
            const char *kept = there->content;
            *there = source->token;
            there->content = kept;
            there->id = known;
        }
        there->special = special;
        return OCT_OK;
    }
    const char *copy = NULL;
    OCT_TRY(put_added(loader, content, known, source->id, &copy));
    if (loader->n_added == loader->added_capacity) {
        size_t capacity = loader->added_capacity * 2 + 16;
        added_token *grown = realloc(loader->added, capacity * sizeof *grown);
        OCT_REQUIRE(grown != NULL, OCT_ERR_NOMEM, "out of memory for %zu added tokens", capacity);
        loader->added = grown;
        loader->added_capacity = capacity;
    }
    if (known < 0) {
        known = source->id >= 0 ? (int32_t)source->id : loader->tokenizer->n_ids - 1;
    }
    added_token *added = &loader->added[loader->n_added];
    *added = source->token;
    added->id = known;
    added->content = copy;
    OCT_REQUIRE(json_object_set_new(loader->added_rows, content,
                                    json_integer((json_int_t)loader->n_added)) == 0,
                OCT_ERR_NOMEM, "out of memory for %zu added tokens", loader->n_added);
    loader->n_added++;
    return OCT_OK;
}
