// tests: the pure choices of cuda/pick_tile.h are ones that the launchers take, whatever the shape.
#include "test_util.h"

#include "cuda/pick_tile.h"

static const int32_t rows_tried[] = {1,  2,  3,   7,   8,   9,   16,  17,  25,   32,   33,   63,
                                     64, 65, 100, 127, 128, 129, 256, 511, 1000, 1024, 2047, 4096};
// [n][k]: the layers and tables of GPT-2's sizes, then odd ones.
static const int32_t shapes[][2] = {
    {2304, 768},   {768, 768},     {3072, 768},  {768, 3072},  {50257, 768},  {264800, 768},
    {3072, 1024},  {1024, 1024},   {4096, 1024}, {1024, 4096}, {3840, 1280},  {1280, 1280},
    {5120, 1280},  {1280, 5120},   {4800, 1600}, {1600, 1600}, {6400, 1600},  {1600, 6400},
    {50257, 1600}, {1, 1},         {1, 66311},   {16, 32},     {17, 63},      {33, 47},
    {64, 64},      {1000, 65},     {130, 4097},  {65536, 48},  {65537, 2048}, {100003, 511},
    {66200, 768},  {262144, 1024},
};
static const int32_t sm_counts[] = {1, 14, 82, 108, 132, 144, 188};
static const size_t scratches[] = {0, 1, 16384, 20000, 1 << 20, 32u << 20};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static bool is_listed(const pick_linear *pick)
{
    const launch_tile *tiles;
    int count = pick->product == PICK_GEMV ? oct_gemv_i8_tiles(&tiles) : oct_gemm_i8_tiles(&tiles);
    for (int i = 0; i < count; i++) {
        const launch_tile *a = &tiles[i], *b = &pick->tile;
        if (a->block_m == b->block_m && a->block_n == b->block_n && a->block_k == b->block_k &&
            a->stages == b->stages && a->split_k == b->split_k) {
            return true;
        }
    }
    return false;
}

// What the headers of gemv_i8.cu and gemm_i8.cu name as limits.
static void assert_launchable(int32_t rows, int32_t n, int32_t k, int32_t sm, size_t scratch)
{
    pick_linear pick = pick_linear_tile(rows, n, k, sm, scratch);
    const launch_tile *t = &pick.tile;
    char label[160];
    snprintf(label, sizeof label,
             "[%d][%d] x [%d] on %d SMs, %zu bytes: product %d, tile %dx%dx%d, %d stages, split %d",
             rows, k, n, sm, scratch, (int)pick.product, t->block_m, t->block_n, t->block_k,
             t->stages, t->split_k);
    ck_assert_msg(is_listed(&pick), "%s: not a legal tile", label);
    if (pick.product == PICK_GEMM) {
        ck_assert_msg((n + t->block_n - 1) / t->block_n <= 65535, "%s: grid", label);
        return;
    }
    ck_assert_msg(rows <= t->block_n, "%s: rows beyond the tile", label);
    if (t->split_k > 1) {
        size_t need = oct_gemv_i8_scratch_bytes(rows, n, t);
        ck_assert_msg(need <= scratch, "%s: %zu bytes of scratch", label, need);
        ck_assert_msg((n + t->block_m - 1) / t->block_m <= 4096, "%s: counters", label);
    }
}

START_TEST(linear_tiles_are_legal)
{
    for (size_t r = 0; r < LENGTH(rows_tried); r++) {
        for (size_t s = 0; s < LENGTH(shapes); s++) {
            for (size_t c = 0; c < LENGTH(scratches); c++) {
                assert_launchable(rows_tried[r], shapes[s][0], shapes[s][1], sm_counts[_i],
                                  scratches[c]);
            }
        }
    }
}
END_TEST

START_TEST(attend_splits_are_legal)
{
    static const int32_t heads[][2] = {{12, 64}, {16, 64}, {20, 64}, {25, 64},
                                       {1, 8},   {5, 80},  {3, 128}};
    static const int32_t pages[] = {1, 2, 3, 16, 17, 64, 2048};
    for (size_t h = 0; h < LENGTH(heads); h++) {
        for (size_t p = 0; p < LENGTH(pages); p++) {
            for (size_t c = 0; c < LENGTH(scratches); c++) {
                for (int32_t rows = 1; pick_attend_decode(rows); rows++) {
                    int32_t H = heads[h][0], D = heads[h][1];
                    int32_t splits =
                        pick_attend_splits(rows, H, D, pages[p], sm_counts[_i], scratches[c]);
                    ck_assert_int_ge(splits, 1);
                    ck_assert_int_le(splits, (pages[p] + 1) / 2); // whole chunks of two pages
                    if (splits > 1) {
                        ck_assert_uint_le(
                            oct_attend_decode_scratch_bytes(rows, H, D, splits, pages[p]),
                            scratches[c]);
                    }
                }
            }
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pick_tile");
    TCase *tcase = tcase_create("pick_tile");
    tcase_add_loop_test(tcase, linear_tiles_are_legal, 0, (int)LENGTH(sm_counts));
    tcase_add_loop_test(tcase, attend_splits_are_legal, 0, (int)LENGTH(sm_counts));
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
