// CALIBRATE: cutting the calibration text, choosing the search's rows.
#include "quant/sequences.h"

#include "base/check.h"
#include "octet/numerics.h"

#include <sha256.h>
#include <stdlib.h>
#include <string.h>

// Cuts ids[from, to) into blocks; counts them, and stores them where begin is set.
static int32_t cut_document(size_t from, size_t to, int32_t n_positions, int32_t limit,
                            size_t *begin, int32_t *length)
{
    int32_t n = 0;
    size_t at = from;
    while (n < limit && to - at >= 2) {
        size_t left = to - at;
        int32_t here = left < (size_t)n_positions ? (int32_t)left : n_positions;
        if (begin != NULL) {
            begin[n] = at;
            length[n] = here;
        }
        at += (size_t)here;
        n++;
    }
    return n;
}

static int32_t cut_documents(const size_t *offsets, size_t n_documents, int32_t n_positions,
                             int32_t limit, size_t *begin, int32_t *length)
{
    int32_t n = 0;
    for (size_t d = 0; d < n_documents && n < limit; d++) {
        n += cut_document(offsets[d], offsets[d + 1], n_positions, limit - n,
                          begin != NULL ? begin + n : NULL, length != NULL ? length + n : NULL);
    }
    return n;
}

static oct_status check_offsets(const size_t *offsets, size_t n_documents, size_t n_ids)
{
    for (size_t d = 0; d < n_documents; d++) {
        OCT_REQUIRE(offsets[d] <= offsets[d + 1] && offsets[d + 1] <= n_ids, OCT_ERR_ARG,
                    "document %zu: expected tokens within 0..%zu in ascending order, got %zu..%zu",
                    d, n_ids, offsets[d], offsets[d + 1]);
    }
    return OCT_OK;
}

static oct_status check_ids(const calibration_text *text, int32_t vocab_size)
{
    for (int32_t s = 0; s < text->n; s++) {
        for (int32_t p = 0; p < text->length[s]; p++) {
            int32_t id = text->ids[text->begin[s] + (size_t)p];
            OCT_REQUIRE(id >= 0 && id < vocab_size, OCT_ERR_ARG,
                        "calibration text, token %zu: expected an id in 0..%d, got %d",
                        text->begin[s] + (size_t)p, vocab_size - 1, id);
        }
    }
    return OCT_OK;
}

static void hash_ids(calibration_text *text)
{
    SHA2_CTX context;
    SHA256Init(&context);
    for (int32_t s = 0; s < text->n; s++) {
        for (int32_t p = 0; p < text->length[s]; p++) {
            uint32_t id = (uint32_t)text->ids[text->begin[s] + (size_t)p];
            uint8_t bytes[4] = {(uint8_t)id, (uint8_t)(id >> 8), (uint8_t)(id >> 16),
                                (uint8_t)(id >> 24)};
            SHA256Update(&context, bytes, sizeof bytes);
        }
    }
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256Final(digest, &context);
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof digest; i++) {
        text->sha256[2 * i] = hex[digest[i] >> 4];
        text->sha256[2 * i + 1] = hex[digest[i] & 15];
    }
    text->sha256[2 * sizeof digest] = 0;
}

// mix is a bijection: two rows never tie.
static int compare_mix(const void *a, const void *b)
{
    uint64_t x = oct_mix(*(const uint64_t *)a);
    uint64_t y = oct_mix(*(const uint64_t *)b);
    return (x > y) - (x < y);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static oct_status keep_rows(calibration_text *text)
{
    size_t n = 0;
    for (int32_t s = 1; s < text->n; s += 2) {
        n += (size_t)text->length[s] - 1;
    }
    text->kept = oct_arena_alloc(&text->arena, n, sizeof *text->kept);
    if (text->kept == NULL) {
        return OCT_ERR_NOMEM;
    }
    size_t i = 0;
    for (int32_t s = 1; s < text->n; s += 2) {
        for (int32_t p = 1; p < text->length[s]; p++) {
            text->kept[i++] = (uint64_t)s << 32 | (uint64_t)p;
        }
    }
    qsort(text->kept, n, sizeof *text->kept, compare_mix);
    text->n_kept = n < SEARCH_ROWS ? (int32_t)n : SEARCH_ROWS;
    qsort(text->kept, (size_t)text->n_kept, sizeof *text->kept, compare_u64);
    return OCT_OK;
}

oct_status calibration_text_cut(calibration_text *out, const int32_t *ids, size_t n_ids,
                                const size_t *offsets, size_t n_documents, int32_t n_positions,
                                int32_t vocab_size, int32_t max_sequences)
{
    memset(out, 0, sizeof *out);
    out->ids = ids;
    const size_t whole[2] = {0, n_ids};
    if (offsets == NULL) {
        offsets = whole;
        n_documents = 1;
    }
    OCT_TRY(check_offsets(offsets, n_documents, n_ids));
    oct_status status = OCT_ERR_NOMEM;
    int32_t n = cut_documents(offsets, n_documents, n_positions, max_sequences, NULL, NULL);
    OCT_REQUIRE(n > 0, OCT_ERR_ARG,
                "calibration text: expected a sequence of at least 2 tokens, got %zu tokens in %zu "
                "documents",
                n_ids, n_documents);
    out->begin = oct_arena_alloc(&out->arena, (size_t)n, sizeof *out->begin);
    out->length = oct_arena_alloc(&out->arena, (size_t)n, sizeof *out->length);
    if (out->begin == NULL || out->length == NULL) {
        goto fail;
    }
    out->n = cut_documents(offsets, n_documents, n_positions, n, out->begin, out->length);
    for (int32_t s = 0; s < n; s++) {
        out->n_tokens += out->length[s];
        out->longest = out->length[s] > out->longest ? out->length[s] : out->longest;
    }
    OCT_TRY_GOTO(check_ids(out, vocab_size), fail);
    OCT_TRY_GOTO(keep_rows(out), fail);
    hash_ids(out);
    return OCT_OK;
fail:
    calibration_text_free(out);
    return status;
}

void calibration_text_free(calibration_text *text)
{
    oct_arena_free(&text->arena);
    memset(text, 0, sizeof *text);
}

void calibration_text_row_map(const calibration_text *text, int32_t sequence, int32_t *row_map)
{
    for (int32_t p = 0; p < text->length[sequence]; p++) {
        row_map[p] = -1;
    }
    uint64_t from = (uint64_t)sequence << 32;
    int32_t lo = 0;
    int32_t hi = text->n_kept;
    while (lo < hi) {
        int32_t middle = lo + (hi - lo) / 2;
        if (text->kept[middle] < from) {
            lo = middle + 1;
        } else {
            hi = middle;
        }
    }
    for (int32_t i = lo; i < text->n_kept && text->kept[i] >> 32 == (uint64_t)sequence; i++) {
        row_map[text->kept[i] & 0xFFFFFFFFu] = i;
    }
}
