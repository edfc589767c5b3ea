// tests: every legal tile of the INT8 products, not only the one that pick_tile.c would choose, and
// every fused epilogue against its unfused parts, both on the CPU by ptxrun. The glue of cuda/ and
// the kernels are linked in; two of their functions are replaced here: the tile is `forced`, and
// the product for many rows is a plain loop with the dequantizing kernel behind it where `unfused`.
#include "op_runner.h"
#include "test_util.h"

#include "base/check.h"
#include "cuda/cuda_device.h"
#include "cuda/pick_tile.h"

#define I8    OCT_FORMAT_W8A8
#define STORE OCT_EPILOGUE_STORE
#define RESID OCT_EPILOGUE_RESIDUAL
#define GELU  OCT_EPILOGUE_GELU
#define QKV   OCT_EPILOGUE_QKV

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static oct_device *under_test; // one device a process
static oct_device *oracle;
static pick_linear forced;
static bool unfused;

pick_linear pick_linear_tile(int32_t n_rows, int32_t n, int32_t k, int32_t n_sm,
                             size_t scratch_bytes)
{
    (void)k;
    (void)n_sm;
    ck_assert(forced.product == PICK_GEMM ||
              oct_gemv_i8_scratch_bytes(n_rows, n, &forced.tile) <= scratch_bytes);
    return forced;
}

bool pick_attend_decode(int32_t n_rows)
{
    (void)n_rows;
    return true;
}

int32_t pick_attend_splits(int32_t n_rows, int32_t n_head, int32_t d_head, int32_t max_pages,
                           int32_t n_sm, size_t scratch_bytes)
{
    (void)n_rows, (void)n_head, (void)d_head, (void)max_pages, (void)n_sm, (void)scratch_bytes;
    return 1;
}

static void *from_device(const void *src, size_t bytes)
{
    void *copy = malloc(bytes);
    ck_assert_int_eq(cudaMemcpy(copy, src, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    return copy;
}

// The linker puts these in place of oct_launch_gemm_i8 and gives that one the other name.
int __real_oct_launch_gemm_i8(const launch_linear *args, const launch_tile *tile,
                              launch_stream stream);
int __wrap_oct_launch_gemm_i8(const launch_linear *args, const launch_tile *tile,
                              launch_stream stream);
int __wrap_oct_launch_gemm_i8(const launch_linear *args, const launch_tile *tile,
                              launch_stream stream)
{
    if (!unfused) {
        return __real_oct_launch_gemm_i8(args, tile, stream);
    }
    unfused = false; // taken
    size_t M = (size_t)args->n_rows, N = (size_t)args->n, k64 = ((size_t)args->k + 63) / 64 * 64;
    ck_assert_int_eq(cudaStreamSynchronize(stream), cudaSuccess);
    int8_t *act = from_device(args->in.data, M * k64), *weight = from_device(args->weight, N * k64);
    int32_t *sums = calloc(M * N, sizeof *sums), *on_device = NULL;
    for (size_t i = 0; i < M * N; i++) {
        for (size_t k = 0; k < (size_t)args->k; k++) {
            sums[i] += act[i / N * k64 + k] * weight[i % N * k64 + k];
        }
    }
    ck_assert_int_eq(cudaMalloc((void **)&on_device, M * N * 4), cudaSuccess);
    ck_assert_int_eq(cudaMemcpy(on_device, sums, M * N * 4, cudaMemcpyHostToDevice), cudaSuccess);
    int error = oct_launch_epilogue_i8(args, on_device, stream);
    ck_assert_int_eq(cudaStreamSynchronize(stream), cudaSuccess);
    (void)cudaFree(on_device);
    free(sums);
    free(act);
    free(weight);
    return error;
}

// Ragged against every tile; more steps of k than any ring has stages, and fewer than splits; one
// tile and several in each direction; columns by fours and one at a time. GEMV: rows are cut to the
// tile's. format, rows, k, n, epilogue, activation, dynamic, asymmetric, taps, bias,
// first_position, padding, seed
static const op_case tile_cases[] = {
    {I8, 19, 47, 33, STORE, 0, false, true, true, false, 0, true, 101},
    {I8, 131, 200, 132, RESID, 0, false, true, false, true, 0, false, 102},
    {I8, 9, 2090, 100, GELU, 0, false, true, true, true, 0, true, 103},
    {I8, 35, 64, 66, GELU, 2, true, false, true, true, 3, false, 104},
    {I8, 67, 330, 144, QKV, 0, false, false, true, true, 60, true, 105},
};

// Every epilogue, activation, kind of rows, with and without taps and bias; wide and narrow.
static const op_case epilogue_cases[] = {
    {I8, 8, 64, 40, STORE, 0, false, true, true, true, 0, true, 111},
    {I8, 7, 96, 37, STORE, 0, true, false, false, false, 2, false, 112},
    {I8, 8, 64, 40, RESID, 0, false, true, true, true, 0, false, 113},
    {I8, 5, 70, 35, RESID, 0, true, false, false, false, 0, true, 114},
    {I8, 8, 64, 140, GELU, 0, false, true, true, true, 0, true, 115},
    {I8, 8, 64, 35, GELU, 0, true, false, false, true, 0, false, 116},
    {I8, 7, 70, 36, GELU, 1, false, true, true, true, 0, false, 117},
    {I8, 7, 70, 36, GELU, 1, true, false, true, false, 0, true, 118},
    {I8, 6, 96, 33, GELU, 2, false, false, true, true, 1, false, 119},
    {I8, 6, 96, 36, GELU, 2, true, false, true, true, 1, false, 120},
    {I8, 8, 64, 144, QKV, 0, false, true, true, true, 0, true, 121},
    {I8, 8, 64, 90, QKV, 0, true, false, false, true, 61, false, 122},
};

static void run_forced(pick_product product, const launch_tile *tile, const op_case *c,
                       op_outputs *out)
{
    forced = (pick_linear){product, *tile};
    run_linear(under_test, c, out);
}

static void compare_with_oracle(pick_product product, const launch_tile *t)
{
    for (int i = 0; i < COUNT(tile_cases); i++) {
        op_case c = tile_cases[i];
        if (product == PICK_GEMV && c.rows > t->block_n) {
            c.rows = t->block_n;
        }
        char label[96];
        snprintf(label, sizeof label, "%s %dx%dx%d, %d stages, split %d, seed %d",
                 product == PICK_GEMV ? "gemv" : "gemm", t->block_m, t->block_n, t->block_k,
                 t->stages, t->split_k, (int)c.seed);
        op_outputs want = {0}, got = {0};
        run_linear(oracle, &c, &want);
        run_forced(product, t, &c, &got);
        assert_outputs_equal(&got, &want, label);
        op_outputs_free(&want);
        op_outputs_free(&got);
    }
}

START_TEST(gemm_tile_equals_oracle)
{
    const launch_tile *tiles;
    (void)oct_gemm_i8_tiles(&tiles);
    compare_with_oracle(PICK_GEMM, &tiles[_i]);
}
END_TEST

START_TEST(gemv_tile_equals_oracle)
{
    const launch_tile *tiles;
    (void)oct_gemv_i8_tiles(&tiles);
    compare_with_oracle(PICK_GEMV, &tiles[_i]);
}
END_TEST

START_TEST(fused_equals_unfused)
{
    const op_case *c = &epilogue_cases[_i];
    const launch_tile *gemm, *gemv;
    (void)oct_gemm_i8_tiles(&gemm);
    (void)oct_gemv_i8_tiles(&gemv);
    char label[48];
    snprintf(label, sizeof label, "fused, seed %d", (int)c->seed);
    op_outputs parts = {0}, from_gemm = {0}, from_gemv = {0}, want = {0};
    run_linear(oracle, c, &want);
    unfused = true;
    run_forced(PICK_GEMM, gemm, c, &parts);
    ck_assert(!unfused);
    run_forced(PICK_GEMM, gemm, c, &from_gemm);
    run_forced(PICK_GEMV, gemv, c, &from_gemv);
    assert_outputs_equal(&parts, &want, "unfused");
    assert_outputs_equal(&from_gemm, &parts, label);
    assert_outputs_equal(&from_gemv, &parts, label);
    op_outputs_free(&want);
    op_outputs_free(&parts);
    op_outputs_free(&from_gemm);
    op_outputs_free(&from_gemv);
}
END_TEST

static oct_status host_fail(oct_status code, const char *text)
{
    return OCT_FAIL(code, "%s", text);
}

static void host_log(oct_log_level level, const char *subsystem, const char *text)
{
    (void)level;
    printf("%s: %s\n", subsystem, text);
}

static void add_tiles(Suite *suite, const char *name, const TTest *test, int count)
{
    TCase *tcase = tcase_create(name);
    tcase_add_loop_test(tcase, test, 0, count);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    static const oct_host host = {OCT_BACKEND_ABI, sizeof host, host_fail, host_log};
    const launch_tile *tiles;
    if (oct_backend_open(&under_test, &host, 0) != OCT_OK ||
        oct_cpu_device_open(&oracle, 1, NULL) != OCT_OK) {
        printf("%s\n", oct_last_error());
        return EXIT_FAILURE;
    }
    Suite *suite = suite_create("tiles_emu");
    add_tiles(suite, "gemm", gemm_tile_equals_oracle, oct_gemm_i8_tiles(&tiles));
    add_tiles(suite, "gemv", gemv_tile_equals_oracle, oct_gemv_i8_tiles(&tiles));
    add_tiles(suite, "epilogue", fused_equals_unfused, COUNT(epilogue_cases));
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); // a CUDA context does not survive a fork
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    under_test->table->close(under_test);
    oracle->table->close(oracle);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
