// CALIBRATE: the calibration text as sequences, each from position 0, and the rows that the search
// judges by.
#ifndef OCT_SEQUENCES_H
#define OCT_SEQUENCES_H

#include "base/arena.h"
#include "octet/octet.h"

#define SEARCH_ROWS 1024 // rows kept for the alpha search at most (NUMERICS.md section 8, step 4)

typedef struct calibration_text {
    const int32_t *ids; // borrowed
    size_t *begin;      // [n] first token of each sequence
    int32_t *length;    // [n] tokens: 2 .. n_positions
    int32_t n;          // sequences; their index here is the `sequence` of section 8
    int32_t longest;
    int64_t n_tokens; // of all of them

    // Rows at positions >= 1 of sequences with an odd index: those with the smallest mix(sequence
    // << 32 | position), as sequence << 32 | position, ascending.
    uint64_t *kept; // [n_kept]
    int32_t n_kept;

    char sha256[65]; // of the ids used, u32 little endian, in order; hex
    oct_arena arena; // owns the arrays
} calibration_text;

// Cuts blocks of n_positions tokens, from the start of the text or of each document (offsets
// [n_documents + 1] into ids; NULL = one text). A last, shorter block counts where it has at least
// 2 tokens, as in section 9. At most max_sequences are taken. Errors: OCT_ERR_ARG (no sequence, ids
// outside the vocabulary, bad offsets), OCT_ERR_NOMEM.
oct_status calibration_text_cut(calibration_text *out, const int32_t *ids, size_t n_ids,
                                const size_t *offsets, size_t n_documents, int32_t n_positions,
                                int32_t vocab_size, int32_t max_sequences);

void calibration_text_free(calibration_text *text);

// For each position of a sequence the index of its kept row, or -1.
void calibration_text_row_map(const calibration_text *text, int32_t sequence, int32_t *row_map);

#endif
