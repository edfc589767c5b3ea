// base: an arena as a list of separately allocated blocks (model tensors are large; small ones
// share a block).
#include "arena.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN       64
#define ARENA_BLOCK_BYTES (64 * 1024)

struct oct_arena_block {
    struct oct_arena_block *next; // older block
    char *data;                   // 64-byte aligned
    size_t size_bytes, used_bytes;
};

static struct oct_arena_block *block_new(size_t bytes)
{
    struct oct_arena_block *block = malloc(sizeof *block);
    if (block == NULL) {
        return NULL;
    }
    // calloc hands out untouched zero pages for large sizes; aligned_alloc + memset would touch
    // them all.
    block->data = calloc(1, bytes + ARENA_ALIGN + sizeof(void *));
    if (block->data == NULL) {
        free(block);
        return NULL;
    }
    block->size_bytes = bytes;
    block->used_bytes = 0;
    block->next = NULL;
    return block;
}

static char *block_base(const struct oct_arena_block *block)
{
    uintptr_t address = (uintptr_t)block->data;
    return block->data + ((ARENA_ALIGN - address % ARENA_ALIGN) % ARENA_ALIGN);
}

void *oct_arena_alloc(oct_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!oct_mul_size(count, size, &bytes) || bytes > SIZE_MAX / 2) {
        (void)OCT_FAIL(OCT_ERR_NOMEM, "out of memory: %zu elements of %zu bytes", count, size);
        return NULL;
    }
    bytes = (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    struct oct_arena_block *head = arena->head;
    if (head == NULL || head->size_bytes - head->used_bytes < bytes) {
        struct oct_arena_block *block =
            block_new(bytes > ARENA_BLOCK_BYTES ? bytes : ARENA_BLOCK_BYTES);
        if (block == NULL) {
            (void)OCT_FAIL(OCT_ERR_NOMEM, "out of memory: %zu bytes", bytes);
            return NULL;
        }
        if (head != NULL && bytes > ARENA_BLOCK_BYTES) {
            // A large block is full at once: keep the half-empty small one in front.
            block->next = head->next;
            head->next = block;
        } else {
            block->next = head;
            arena->head = block;
        }
        head = block;
    }
    void *p = block_base(head) + head->used_bytes;
    head->used_bytes += bytes;
    arena->used_bytes += bytes;
    return p;
}

void oct_arena_free(oct_arena *arena)
{
    struct oct_arena_block *block = arena->head;
    while (block != NULL) {
        struct oct_arena_block *next = block->next;
        free(block->data);
        free(block);
        block = next;
    }
    arena->head = NULL;
    arena->used_bytes = 0;
}
