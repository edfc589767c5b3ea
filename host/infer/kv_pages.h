// PREFILL, DECODE: which pages of the KV pool are free.
//
// A sequence reserves all the pages it can ever need when it is admitted and gives them back when
// it ends, so nobody who runs fails for memory. Page 0 is the trash page of padded rows; it is
// never handed out.
#ifndef OCT_KV_PAGES_H
#define OCT_KV_PAGES_H

#include "octet/types.h"

#include <stdbool.h>

typedef struct kv_pages {
    int32_t *free; // [n_page - 1] owned: a stack, the next page to hand out last
    int32_t n_free;
    int32_t n_page; // pages of the pool, trash included
} kv_pages;

// Pages of `tokens` tokens.
static inline int64_t kv_pages_needed(int64_t tokens)
{
    return (tokens + OCT_PAGE_TOKENS - 1) / OCT_PAGE_TOKENS;
}

// n_page >= 2. Errors: OCT_ERR_NOMEM.
oct_status kv_pages_init(kv_pages *pages, int32_t n_page);

// Accepts zero-initialised ones.
void kv_pages_free(kv_pages *pages);

// Takes n pages into out[0..n), or none and false where fewer are free.
bool kv_pages_take(kv_pages *pages, int32_t n, int32_t *out);

// Gives back what kv_pages_take gave.
void kv_pages_give(kv_pages *pages, const int32_t *taken, int32_t n);

#endif
