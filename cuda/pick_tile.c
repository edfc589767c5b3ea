// CUDA backend: tile choice. Not measured on a GPU yet: the rules follow from counting blocks.
#include "pick_tile.h"

#define GEMV_MAX_ROWS     64
#define GEMV_MAX_COUNTERS 4096 // column blocks whose splits can find each other (gemv_i8.cu)

// The tile with the fewest waves of blocks, ties to the larger tile.
static launch_tile pick_gemm(int32_t n_rows, int32_t n, int32_t n_sm)
{
    const launch_tile *tiles;
    int count = oct_gemm_i8_tiles(&tiles);
    launch_tile best = tiles[0];
    int64_t best_cost = INT64_MAX;
    for (int i = 0; i < count; i++) {
        int64_t blocks = (int64_t)((n_rows + tiles[i].block_m - 1) / tiles[i].block_m) *
                         ((n + tiles[i].block_n - 1) / tiles[i].block_n);
        int64_t waves = (blocks + n_sm - 1) / n_sm;
        // A block's time goes with its area; half a tile's loads are shared less.
        int64_t cost = waves * (tiles[i].block_m + 16) * (tiles[i].block_n + 16);
        if (cost < best_cost) {
            best = tiles[i];
            best_cost = cost;
        }
    }
    return best;
}

// The smallest token block that holds the rows; splits until every multiprocessor has two blocks.
static launch_tile pick_gemv(int32_t n_rows, int32_t n, int32_t k, int32_t n_sm,
                             size_t scratch_bytes)
{
    const launch_tile *tiles;
    int count = oct_gemv_i8_tiles(&tiles);
    launch_tile best = tiles[0];
    int64_t best_cost = INT64_MAX;
    for (int i = 0; i < count; i++) {
        launch_tile t = tiles[i];
        if (t.block_n < n_rows) {
            continue; // would read the weights more than once
        }
        int64_t columns = (n + t.block_m - 1) / t.block_m;
        if (t.split_k > 1 && (columns > GEMV_MAX_COUNTERS ||
                              oct_gemv_i8_scratch_bytes(n_rows, n, &t) > scratch_bytes ||
                              k / t.split_k < t.block_k)) {
            continue;
        }
        int64_t blocks = columns * t.split_k;
        int64_t waves = (blocks + 2 * n_sm - 1) / (2 * n_sm);
        int64_t cost = waves * k / t.split_k * (t.block_n + 32) / 32 + 8 * t.split_k;
        if (cost < best_cost) {
            best = t;
            best_cost = cost;
        }
    }
    return best;
}

pick_linear pick_linear_tile(int32_t n_rows, int32_t n, int32_t k, int32_t n_sm,
                             size_t scratch_bytes)
{
    if (n_rows <= GEMV_MAX_ROWS) {
        return (pick_linear){PICK_GEMV, pick_gemv(n_rows, n, k, n_sm, scratch_bytes)};
    }
    return (pick_linear){PICK_GEMM, pick_gemm(n_rows, n, n_sm)};
}

bool pick_attend_decode(int32_t n_rows)
{
    return n_rows <= GEMV_MAX_ROWS;
}

int32_t pick_attend_splits(int32_t n_rows, int32_t n_head, int32_t d_head, int32_t max_pages,
                           int32_t n_sm, size_t scratch_bytes)
{
    int32_t chunks = (max_pages + 1) / 2, splits = 1;
    while (splits < chunks && splits * n_rows * n_head < 2 * n_sm &&
           oct_attend_decode_scratch_bytes(n_rows, n_head, d_head, splits + 1, max_pages) <=
               scratch_bytes) {
        splits++;
    }
    return splits;
}
