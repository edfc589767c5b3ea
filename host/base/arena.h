// base: an arena: many allocations, one lifetime, one free.
#ifndef OCT_ARENA_H
#define OCT_ARENA_H

#include "octet/types.h"

typedef struct oct_arena {
    struct oct_arena_block *head; // owned list of blocks
    size_t used_bytes;            // sum of what was handed out
} oct_arena;                      // zero-initialised = empty

// `count` elements of `size` bytes, zeroed, aligned to 64 bytes; NULL when out of memory or count *
// size overflows (the last error is set). Never NULL for count 0.
void *oct_arena_alloc(oct_arena *arena, size_t count, size_t size);

// Frees everything; the arena is empty and usable again.
void oct_arena_free(oct_arena *arena);

#endif
