// TOKENIZE: merges the bytes of one piece, pair by pair, lowest rank first and leftmost first.
#ifndef OCT_BPE_H
#define OCT_BPE_H

#include "octet/types.h"

typedef struct bpe_merge {
    uint64_t pair; // left id << 32 | right id; BPE_NO_PAIR marks a free slot
    uint32_t rank; // position in the list of merges: the lowest goes first
    int32_t id;    // of the merged token
} bpe_merge;

#define BPE_NO_PAIR UINT64_MAX

// Immutable once filled; threads share it.
typedef struct bpe_table {
    int32_t byte_ids[256]; // the id of each single byte's token; the owner fills it in
    bpe_merge *slots;      // owned: [mask + 1], open addressing, at most half full
    uint64_t mask;
} bpe_table;

// Prepares for `n_merges` merges. Errors: OCT_ERR_NOMEM.
oct_status bpe_table_init(bpe_table *table, size_t n_merges);

// Accepts a zeroed object.
void bpe_table_free(bpe_table *table);

// At most n_merges times, ids >= 0. OCT_ERR_ARG (no text set) if the pair is there already.
oct_status bpe_table_add(bpe_table *table, int32_t left, int32_t right, uint32_t rank, int32_t id);

// Memory for pieces too long for the stack; one per thread, zero-initialised, grows, never shrinks.
typedef struct bpe_scratch {
    struct bpe_symbol *symbols; // owned: [capacity]
    uint64_t *heap;             // owned: [2 * capacity]
    size_t capacity;            // bytes of the longest piece so far
} bpe_scratch;

void bpe_scratch_free(bpe_scratch *scratch);

// Writes the ids of a piece of n >= 1 bytes to ids [room for n] and their number to *n_ids.
// O(n log n), whatever the bytes. Errors: OCT_ERR_NOMEM; OCT_ERR_ARG for n >= 2^31.
oct_status bpe_encode(const bpe_table *table, bpe_scratch *scratch, const unsigned char *piece,
                      size_t n, int32_t *ids, size_t *n_ids);

#endif
