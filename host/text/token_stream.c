// TOKENIZE: text to token ids: added tokens, then pieces, then merges; whole files and documents.
#include "text/tokenizer_private.h"

#include "base/check.h"
#include "text/text_file.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

// Pieces already met in this call, by their bytes: most of a text is the same few thousand words. A
// slot holds the piece that came last (no chains: a miss costs one bpe_encode). 65,536 slots hit 90
// % of wikitext-2's pieces and 98 % of 56 MB of tales; 16,384: 87 and 94 %; 262,144: 91 and 99 %,
// and no faster. At most 0.1 % of the pieces are longer than a key (Korean dialogues).
#define CACHE_KEY_BYTES 23
#define CACHE_MIN_SLOTS 64
#define CACHE_MAX_SLOTS 65536

typedef struct cache_slot {
    unsigned char key[CACHE_KEY_BYTES]; // padded with zeros
    unsigned char n_key;                // 0 = free
    uint64_t where;                     // first id in encoder.ids << 8 | number of ids
} cache_slot;

// One call of oct_tokenizer_encode*: everything that changes meanwhile.
typedef struct encoder {
    const oct_tokenizer *tokenizer;
    pcre2_match_data *scratch;
    bpe_scratch bpe;
    cache_slot *cache; // owned: [cache_mask + 1]
    size_t cache_mask;
    unsigned char *prefixed; // owned: a stretch of text with a space before it
    size_t prefixed_bytes;
    int32_t *ids; // owned: [n_ids], room for `capacity`
    size_t n_ids;
    size_t capacity;
} encoder;

static void encoder_free(encoder *e)
{
    pcre2_match_data_free(e->scratch);
    bpe_scratch_free(&e->bpe);
    free(e->cache);
    free(e->prefixed);
    free(e->ids);
    *e = (encoder){0};
}

// For texts of about n_bytes in all.
static oct_status encoder_init(encoder *e, const oct_tokenizer *tokenizer, size_t n_bytes)
{
    *e = (encoder){.tokenizer = tokenizer};
    size_t n_slots = CACHE_MIN_SLOTS;
    while (n_slots < CACHE_MAX_SLOTS && n_slots < n_bytes / 16) {
        n_slots *= 2;
    }
    e->cache_mask = n_slots - 1;
    e->capacity = n_bytes / 3 + 16;
    e->cache = calloc(n_slots, sizeof *e->cache);
    e->ids = malloc(e->capacity * sizeof *e->ids);
    e->scratch = pretokenizer_scratch(&tokenizer->pre);
    if (e->cache == NULL || e->ids == NULL || e->scratch == NULL) {
        encoder_free(e);
        return OCT_FAIL(OCT_ERR_NOMEM, "out of memory for the tokens of %zu bytes", n_bytes);
    }
    return OCT_OK;
}

// Room for n more ids.
static oct_status reserve(encoder *e, size_t n)
{
    if (n <= e->capacity - e->n_ids) {
        return OCT_OK;
    }
    size_t capacity = 0, n_bytes = 0;
    bool fits = oct_add_size(e->capacity, e->capacity / 2 + n, &capacity) &&
                oct_mul_size(capacity, sizeof *e->ids, &n_bytes);
    int32_t *grown = fits ? realloc(e->ids, n_bytes) : NULL;
    OCT_REQUIRE(grown != NULL, OCT_ERR_NOMEM, "out of memory for %zu tokens", e->n_ids + n);
    e->ids = grown;
    e->capacity = capacity;
    return OCT_OK;
}

static oct_status encode_piece(encoder *e, const unsigned char *piece, size_t n)
{
    OCT_TRY(reserve(e, n));
    int32_t *ids = e->ids + e->n_ids;
    size_t count;
    if (n > CACHE_KEY_BYTES) {
        OCT_TRY(bpe_encode(&e->tokenizer->bpe, &e->bpe, piece, n, ids, &count));
        e->n_ids += count;
        return OCT_OK;
    }
    unsigned char key[CACHE_KEY_BYTES + 1] = {0};
    memcpy(key, piece, n);
    key[CACHE_KEY_BYTES] = (unsigned char)n;
    uint64_t words[3];
    memcpy(words, key, sizeof words);
    uint64_t hash = words[0] * 0x9E3779B97F4A7C15u ^ words[1] * 0xC2B2AE3D27D4EB4Fu ^
                    words[2] * 0x165667B19E3779F9u;
    hash = (hash ^ (hash >> 32)) * 0x9E3779B97F4A7C15u;
    cache_slot *slot = &e->cache[(hash >> 40) & e->cache_mask];
    if (memcmp(slot->key, key, sizeof key) == 0) {
        count = slot->where & 0xFF;
        memcpy(ids, e->ids + (slot->where >> 8), count * sizeof *ids);
    } else {
        OCT_TRY(bpe_encode(&e->tokenizer->bpe, &e->bpe, piece, n, ids, &count));
        memcpy(slot->key, key, sizeof key);
        slot->where = (uint64_t)e->n_ids << 8 | count;
    }
    e->n_ids += count;
    return OCT_OK;
}

// Room for n bytes in e->prefixed.
static oct_status reserve_prefixed(encoder *e, size_t n)
{
    if (e->prefixed != NULL && e->prefixed_bytes >= n) {
        return OCT_OK;
    }
    unsigned char *grown = realloc(e->prefixed, n);
    OCT_REQUIRE(grown != NULL, OCT_ERR_NOMEM, "out of memory for %zu bytes", n);
    e->prefixed = grown;
    e->prefixed_bytes = n;
    return OCT_OK;
}

// A stretch of text without added tokens, n >= 1.
static oct_status encode_plain(encoder *e, const unsigned char *text, size_t n)
{
    const oct_tokenizer *t = e->tokenizer;
    if (t->add_prefix_space && text[0] != ' ') {
        OCT_TRY(reserve_prefixed(e, n + 1));
        e->prefixed[0] = ' ';
        memcpy(e->prefixed + 1, text, n);
        text = e->prefixed;
        n++;
    }
    if (!t->split) {
        return encode_piece(e, text, n);
    }
    for (size_t i = 0; i < n;) {
        const unsigned char *valid = text + i;
        size_t n_valid = utf8_valid_prefix(valid, n - i);
        for (size_t begin = 0, end; begin < n_valid; begin = end) {
            OCT_TRY(pretokenizer_next(&t->pre, e->scratch, valid, n_valid, begin, &end));
            OCT_TRY(encode_piece(e, valid + begin, end - begin));
        }
        i += n_valid;
        size_t n_bad = 0; // a run of bytes that no character begins with
        while (i + n_bad < n && utf8_length(text + i + n_bad, n - i - n_bad) == 0) {
            n_bad++;
        }
        if (n_bad > 0) {
            OCT_TRY(encode_piece(e, text + i, n_bad));
            i += n_bad;
        }
    }
    return OCT_OK;
}

// Cuts at the tokens of `set` and encodes what stands between: with the next set, or plainly.
static oct_status encode_between(encoder *e, const added_tokens *set, const unsigned char *text,
                                 size_t n)
{
    const oct_tokenizer *t = e->tokenizer;
    added_match match = {0};
    for (;;) {
        size_t begin = match.end;
        bool found = added_tokens_next(set, &t->pre, e->scratch, text, n, &match);
        size_t end = found ? match.begin : n;
        if (begin < end) {
            OCT_TRY(set == &t->exact ? encode_between(e, &t->normalized, text + begin, end - begin)
                                     : encode_plain(e, text + begin, end - begin));
        }
        if (!found) {
            return OCT_OK;
        }
        OCT_TRY(reserve(e, 1));
        e->ids[e->n_ids++] = match.id;
    }
}

static oct_status encode_text(encoder *e, const char *text, size_t n)
{
    return encode_between(e, &e->tokenizer->exact, (const unsigned char *)text, n);
}

// Gives the ids away, without the unused room.
static void take_ids(encoder *e, int32_t **ids, size_t *n_ids)
{
    int32_t *fitted = realloc(e->ids, (e->n_ids > 0 ? e->n_ids : 1) * sizeof *fitted);
    *ids = fitted != NULL ? fitted : e->ids;
    *n_ids = e->n_ids;
    e->ids = NULL;
}

oct_status oct_tokenizer_encode(const oct_tokenizer *tokenizer, const char *text, size_t n_bytes,
                                int32_t **ids, size_t *n_ids)
{
    *ids = NULL;
    *n_ids = 0;
    OCT_REQUIRE(text != NULL || n_bytes == 0, OCT_ERR_ARG,
                "oct_tokenizer_encode: expected %zu bytes of text, got NULL", n_bytes);
    encoder e;
    OCT_TRY(encoder_init(&e, tokenizer, n_bytes));
    oct_status status = encode_text(&e, text, n_bytes);
    if (status == OCT_OK) {
        take_ids(&e, ids, n_ids);
    }
    encoder_free(&e);
    return status;
}

// "\r\n" becomes "\n", in place; returns the new length.
static size_t join_line_ends(char *text, size_t n)
{
    char *first = memmem(text, n, "\r\n", 2);
    if (first == NULL) {
        return n;
    }
    size_t count = (size_t)(first - text);
    for (size_t i = count; i < n; i++) {
        if (text[i] != '\r' || text[i + 1] != '\n') { // text[n] is a NUL
            text[count++] = text[i];
        }
    }
    return count;
}

oct_status oct_tokenizer_encode_file(const oct_tokenizer *tokenizer, const char *path,
                                     int32_t **ids, size_t *n_ids)
{
    *ids = NULL;
    *n_ids = 0;
    char *text;
    size_t n_bytes;
    OCT_TRY(text_file_read(path, SIZE_MAX / 4, &text, &n_bytes));
    n_bytes = join_line_ends(text, n_bytes);
    oct_status status = oct_tokenizer_encode(tokenizer, text, n_bytes, ids, n_ids);
    free(text);
    return status;
}

// starts[i] becomes where document i begins in e->ids; starts has room for all lines and one more.
static oct_status encode_lines(encoder *e, const char *text, size_t n_bytes, size_t *starts,
                               size_t *n_documents)
{
    size_t count = 0;
    for (size_t begin = 0; begin < n_bytes;) {
        const char *end = memchr(text + begin, '\n', n_bytes - begin);
        size_t n = end == NULL ? n_bytes - begin : (size_t)(end - text) - begin;
        size_t n_line = end != NULL && n > 0 && end[-1] == '\r' ? n - 1 : n;
        if (n_line > 0) {
            starts[count++] = e->n_ids;
            OCT_TRY(encode_text(e, text + begin, n_line));
        }
        begin += n + 1;
    }
    starts[count] = e->n_ids;
    *n_documents = count;
    return OCT_OK;
}

oct_status oct_tokenizer_encode_documents(const oct_tokenizer *tokenizer, const char *path,
                                          int32_t **ids, size_t **offsets, size_t *n_documents)
{
    *ids = NULL;
    *offsets = NULL;
    *n_documents = 0;
    char *text = NULL;
    size_t n_bytes = 0;
    size_t *starts = NULL;
    encoder e = {0};
    oct_status status;
    OCT_TRY(text_file_read(path, SIZE_MAX / 4, &text, &n_bytes));
    size_t n_lines = 1;
    for (size_t i = 0; i < n_bytes; i++) {
        n_lines += text[i] == '\n';
    }
    starts = calloc(n_lines + 1, sizeof *starts);
    if (starts == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "%.512s: out of memory for %zu lines", path, n_lines);
        goto done;
    }
    OCT_TRY_GOTO(encoder_init(&e, tokenizer, n_bytes), done);
    OCT_TRY_GOTO(encode_lines(&e, text, n_bytes, starts, n_documents), done);
    size_t n_ids;
    take_ids(&e, ids, &n_ids);
    *offsets = starts;
    starts = NULL;
done:
    encoder_free(&e);
    free(starts);
    free(text);
    return status;
}
