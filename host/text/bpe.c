// TOKENIZE: byte-pair merges: an array scan for short pieces, a heap for long ones.
#include "text/bpe.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

// Up to here the quadratic scan over an array on the stack is used; a word is shorter.
#define SHORT_PIECE 64

#define NO_RANK UINT32_MAX

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static uint64_t slot_of(const bpe_table *table, uint64_t pair)
{
    uint64_t h = pair * 0x9E3779B97F4A7C15u;
    return (h ^ (h >> 32)) & table->mask;
}

// The merge of a pair, or NULL.
static const bpe_merge *find(const bpe_table *table, int32_t left, int32_t right)
{
    uint64_t pair = pair_of(left, right);
    for (uint64_t i = slot_of(table, pair);; i = (i + 1) & table->mask) {
        const bpe_merge *slot = &table->slots[i];
        if (slot->pair == pair) {
            return slot;
        }
        if (slot->pair == BPE_NO_PAIR) {
            return NULL;
        }
    }
}

oct_status bpe_table_init(bpe_table *table, size_t n_merges)
{
    size_t n_slots = 2; // one slot is always free: it ends every search
    while (n_slots / 2 < n_merges + 1) {
        n_slots *= 2;
    }
    table->slots = calloc(n_slots, sizeof *table->slots);
    OCT_REQUIRE(table->slots != NULL, OCT_ERR_NOMEM, "out of memory for %zu merges", n_merges);
    for (size_t i = 0; i < n_slots; i++) {
        table->slots[i].pair = BPE_NO_PAIR;
    }
    table->mask = n_slots - 1;
    return OCT_OK;
}

void bpe_table_free(bpe_table *table)
{
    free(table->slots);
    table->slots = NULL;
}

oct_status bpe_table_add(bpe_table *table, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t pair = pair_of(left, right);
    uint64_t i = slot_of(table, pair);
    while (table->slots[i].pair != BPE_NO_PAIR) {
        if (table->slots[i].pair == pair) {
            return OCT_ERR_ARG;
        }
        i = (i + 1) & table->mask;
    }
    table->slots[i] = (bpe_merge){pair, rank, id};
    return OCT_OK;
}

// ids[0..n) holds the bytes' ids and is merged in place; returns how many are left. Quadratic.
static size_t merge_short(const bpe_table *table, int32_t *ids, size_t n)
{
    const bpe_merge *merges[SHORT_PIECE]; // of (ids[i], ids[i + 1]), NULL = none; [n - 1]
    for (size_t i = 0; i + 1 < n; i++) {
        merges[i] = find(table, ids[i], ids[i + 1]);
    }
    for (;;) {
        uint32_t best_rank = NO_RANK;
        size_t best = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            if (merges[i] != NULL && merges[i]->rank < best_rank) {
                best_rank = merges[i]->rank;
                best = i;
            }
        }
        if (best_rank == NO_RANK) {
            return n;
        }
        ids[best] = merges[best]->id;
        n--;
        for (size_t i = best + 1; i < n; i++) {
            ids[i] = ids[i + 1];
            merges[i - 1] = merges[i]; // merges[best] is looked up anew below
        }
        if (best > 0) {
            merges[best - 1] = find(table, ids[best - 1], ids[best]);
        }
        if (best + 1 < n) {
            merges[best] = find(table, ids[best], ids[best + 1]);
        }
    }
}

// A symbol of a long piece: a doubly linked list over an array, in the order of the text.
struct bpe_symbol {
    int32_t id;    // -1 = merged into a symbol to its left
    uint32_t prev; // index, NONE at the ends
    uint32_t next;
};
#define NONE UINT32_MAX

// The heap holds rank << 32 | index of the left symbol, smallest first: by rank, then leftmost.
static void heap_push(uint64_t *heap, size_t *size, uint64_t key)
{
    size_t i = (*size)++;
    while (i > 0 && heap[(i - 1) / 2] > key) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = key;
}

static uint64_t heap_pop(uint64_t *heap, size_t *size)
{
    uint64_t top = heap[0];
    uint64_t key = heap[--*size];
    size_t i = 0;
    for (size_t child = 1; child < *size; child = 2 * i + 1) {
        if (child + 1 < *size && heap[child + 1] < heap[child]) {
            child++;
        }
        if (heap[child] >= key) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
    return top;
}

static oct_status reserve(bpe_scratch *scratch, size_t n)
{
    if (n <= scratch->capacity) {
        return OCT_OK;
    }
    bpe_scratch_free(scratch);
    scratch->symbols = calloc(n, sizeof *scratch->symbols);
    scratch->heap = calloc(n, 2 * sizeof *scratch->heap);
    if (scratch->symbols == NULL || scratch->heap == NULL) {
        bpe_scratch_free(scratch);
        return OCT_FAIL(OCT_ERR_NOMEM, "out of memory for a piece of %zu bytes", n);
    }
    scratch->capacity = n;
    return OCT_OK;
}

void bpe_scratch_free(bpe_scratch *scratch)
{
    free(scratch->symbols);
    free(scratch->heap);
    *scratch = (bpe_scratch){0};
}

// Puts the pair that begins at `left` on the heap if it has a merge.
static void offer(const bpe_table *table, bpe_scratch *scratch, size_t *heap_size, uint32_t left)
{
    struct bpe_symbol *s = scratch->symbols;
    const bpe_merge *merge = find(table, s[left].id, s[s[left].next].id);
    if (merge != NULL) {
        heap_push(scratch->heap, heap_size, (uint64_t)merge->rank << 32 | left);
    }
}

// Each merge takes one entry off the heap and adds at most two: 2n entries are enough.
static size_t merge_long(const bpe_table *table, bpe_scratch *scratch, const unsigned char *piece,
                         size_t n, int32_t *ids)
{
    struct bpe_symbol *s = scratch->symbols;
    uint64_t *heap = scratch->heap;
    size_t heap_size = 0;
    for (uint32_t i = 0; i < n; i++) {
        s[i].id = table->byte_ids[piece[i]];
        s[i].prev = i == 0 ? NONE : i - 1;
        s[i].next = i + 1 == n ? NONE : i + 1;
    }
    for (uint32_t i = 0; i + 1 < n; i++) {
        offer(table, scratch, &heap_size, i);
    }
    while (heap_size > 0) {
        uint64_t key = heap_pop(heap, &heap_size);
        uint32_t left = (uint32_t)key;
        if (s[left].id < 0 || s[left].next == NONE) {
            continue; // an old entry: its symbol was merged away
        }
        uint32_t right = s[left].next;
        const bpe_merge *merge = find(table, s[left].id, s[right].id);
        if (merge == NULL || merge->rank != (uint32_t)(key >> 32)) {
            continue; // an old entry: another pair begins here now
        }
        s[left].id = merge->id;
        s[left].next = s[right].next;
        s[right].id = -1;
        if (s[left].next != NONE) {
            s[s[left].next].prev = left;
            offer(table, scratch, &heap_size, left);
        }
        if (s[left].prev != NONE) {
            offer(table, scratch, &heap_size, s[left].prev);
        }
    }
    size_t count = 0;
    for (uint32_t i = 0; i != NONE; i = s[i].next) {
        ids[count++] = s[i].id;
    }
    return count;
}

oct_status bpe_encode(const bpe_table *table, bpe_scratch *scratch, const unsigned char *piece,
                      size_t n, int32_t *ids, size_t *n_ids)
{
    if (n <= SHORT_PIECE) {
        for (size_t i = 0; i < n; i++) {
            ids[i] = table->byte_ids[piece[i]];
        }
        *n_ids = merge_short(table, ids, n);
        return OCT_OK;
    }
    OCT_REQUIRE(n <= INT32_MAX, OCT_ERR_ARG,
                "a word of %zu bytes; the longest that can be merged has %d", n, INT32_MAX);
    OCT_TRY(reserve(scratch, n));
    *n_ids = merge_long(table, scratch, piece, n, ids);
    return OCT_OK;
}
