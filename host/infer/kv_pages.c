// PREFILL, DECODE: the free pages as a stack: the page that was used last, and is warm, goes out
// first.
#include "infer/kv_pages.h"

#include "base/check.h"

#include <stdlib.h>

oct_status kv_pages_init(kv_pages *pages, int32_t n_page)
{
    oct_assert(n_page >= 2);
    *pages = (kv_pages){0};
    size_t n_free = (size_t)n_page - 1;
    pages->free = calloc(n_free, sizeof *pages->free);
    OCT_REQUIRE(pages->free != NULL, OCT_ERR_NOMEM, "out of memory: list of %zu KV pages", n_free);
    pages->n_page = n_page;
    for (int32_t page = n_page - 1; page >= 1; page--) {
        pages->free[pages->n_free++] = page;
    }
    return OCT_OK;
}

void kv_pages_free(kv_pages *pages)
{
    free(pages->free);
    *pages = (kv_pages){0};
}

bool kv_pages_take(kv_pages *pages, int32_t n, int32_t *out)
{
    if (n > pages->n_free) {
        return false;
    }
    for (int32_t i = 0; i < n; i++) {
        out[i] = pages->free[--pages->n_free];
    }
    return true;
}

void kv_pages_give(kv_pages *pages, const int32_t *taken, int32_t n)
{
    for (int32_t i = n - 1; i >= 0; i--) {
        oct_assert(taken[i] > 0 && taken[i] < pages->n_page && pages->n_free < pages->n_page - 1);
        pages->free[pages->n_free++] = taken[i];
    }
}
