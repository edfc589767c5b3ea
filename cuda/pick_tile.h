// CUDA backend: which kernel and tile serves a shape. Pure functions: no device, no state.
#ifndef OCT_PICK_TILE_H
#define OCT_PICK_TILE_H

#include "kernels/launch.h"

#include <stdbool.h>

typedef enum pick_product {
    PICK_GEMV = 0, // weights are the 16-row operand: few rows
    PICK_GEMM = 1, // prefill
} pick_product;

typedef struct pick_linear {
    pick_product product;
    launch_tile tile;
} pick_linear;

// The tile for [n_rows][k] x [n][k] on a device of n_sm multiprocessors with `scratch_bytes` for
// split-K sums. Any legal tile gives the same bits; this one is meant to be quick.
pick_linear pick_linear_tile(int32_t n_rows, int32_t n, int32_t k, int32_t n_sm,
                             size_t scratch_bytes);

// True: one block per (row, head, split); false: tiles of query rows.
bool pick_attend_decode(int32_t n_rows);

// Splits of the decode attention: each owns whole chunks of 128 keys.
int32_t pick_attend_splits(int32_t n_rows, int32_t n_head, int32_t d_head, int32_t max_pages,
                           int32_t n_sm, size_t scratch_bytes);

#endif
