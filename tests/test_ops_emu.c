// tests: the CUDA backend's kernels, as nvcc compiled them and executed on the CPU by ptxrun
// (device "emu"), give the plain C oracle's bytes over the shape table of test_ops. Nothing forks
// here, as on a GPU: OCTET_TEST_DEVICE=cuda runs the same on one.
#include "op_cases.h"
#include "test_util.h"

#include "octet/octet.h"

#include <dlfcn.h>

static oct_device *under_test; // one device a process
static oct_device *oracle;

static bool too_slow(const op_case *c)
{
    bool emulated = strcmp(under_test->table->name, "emu") == 0;
    int64_t limit = c->format == OCT_FORMAT_F32 ? 2000000 : 30000000;
    return emulated && (int64_t)c->n * c->k * c->rows > limit;
}

static void compare(const char *op, run_fn *run, const op_case *c)
{
    char label[96];
    if (too_slow(c)) {
        printf("%s seed %d: skipped on emu, [%d] rows of [%d][%d] are too many\n", op, (int)c->seed,
               c->rows, c->n, c->k);
        return;
    }
    snprintf(label, sizeof label, "%s seed %d on %s", op, (int)c->seed, under_test->table->name);
    op_outputs want = {0}, got = {0};
    run(oracle, c, &want);
    run(under_test, c, &got);
    assert_outputs_equal(&got, &want, label);
    op_outputs_free(&want);
    op_outputs_free(&got);
}

START_TEST(linear_equals_oracle)
{
    compare("linear", run_linear, &linear_cases[_i]);
}
END_TEST

START_TEST(norm_equals_oracle)
{
    compare("norm", run_norm, &norm_cases[_i]);
}
END_TEST

START_TEST(attend_equals_oracle)
{
    compare("attend", run_attend, &attend_cases[_i]);
}
END_TEST

START_TEST(embed_equals_oracle)
{
    compare("embed", run_embed, &embed_cases[_i]);
}
END_TEST

START_TEST(score_equals_oracle)
{
    compare("score", run_score, &logit_cases[_i]);
}
END_TEST

START_TEST(sample_equals_oracle)
{
    compare("sample", run_sample_all, &logit_cases[_i]);
}
END_TEST

START_TEST(observe_equals_oracle)
{
    compare("observe", run_observe, &observe_cases[_i]);
}
END_TEST

// Which kernel each launcher starts. (The dequantizing kernel is no op; test_tiles_emu runs it:
// oct_launch_epilogue_i8.)
static const struct {
    const char *launcher, *kernel;
} kernels[] = {
    {"oct_launch_embed", "embed_kernel"},
    {"oct_launch_norm_quant", "norm_quant_kernel"},
    {"oct_launch_quantize_rows", "quantize_rows_kernel"},
    {"oct_launch_gemm_i8", "gemm_i8_kernel"},
    {"oct_launch_gemv_i8", "gemv_i8_kernel"},
    {"oct_launch_gemm_f32", "gemm_f32_kernel"},
    {"oct_launch_attend_prefill_i8", "attend_prefill_kernel"},
    {"oct_launch_attend_decode_i8", "attend_decode_kernel"},
    {"oct_launch_attend_f32", "attend_f32_kernel"},
    {"oct_launch_score", "score_kernel"},
    {"oct_launch_sample", "sample_kernel"},
    {"oct_launch_observe", "ranges_kernel"},
    {"oct_launch_observe", "histogram_kernel"},
    {"oct_launch_observe", "keep_rows_kernel"},
};

// Last: the tables above reach every kernel.
START_TEST(every_kernel_has_run)
{
    void *library = dlopen("libcudart.so.13", RTLD_NOW | RTLD_NOLOAD);
    uint64_t (*launches)(const char *) = NULL;
    if (library != NULL) {
        *(void **)(&launches) = dlsym(library, "ptxrun_launches");
    }
    if (launches == NULL) {
        return; // a GPU's runtime does not count
    }
    ck_assert_msg(launches(kernels[_i].kernel) > 0, "%s: no case starts %s", kernels[_i].launcher,
                  kernels[_i].kernel);
}
END_TEST

int main(void)
{
    const char *name = getenv("OCTET_TEST_DEVICE");
    oct_device_options options = OCT_DEVICE_OPTIONS_INIT;
    options.name = name != NULL ? name : "emu";
    oct_status status = oct_device_open(&under_test, &options);
    if (status != OCT_OK) {
        printf("skipped: %s\n", oct_last_error());
        return 77;
    }
    status = oct_cpu_device_open(&oracle, 1, NULL); // equal to the scalar one by test_ops
    if (status != OCT_OK) {
        return EXIT_FAILURE;
    }
    Suite *suite = suite_create("ops_emu");
    TCase *tcase = tcase_create("ops_emu");
    tcase_add_loop_test(tcase, linear_equals_oracle, 0, COUNT(linear_cases));
    tcase_add_loop_test(tcase, norm_equals_oracle, 0, COUNT(norm_cases));
    tcase_add_loop_test(tcase, attend_equals_oracle, 0, COUNT(attend_cases));
    tcase_add_loop_test(tcase, embed_equals_oracle, 0, COUNT(embed_cases));
    tcase_add_loop_test(tcase, score_equals_oracle, 0, COUNT(logit_cases));
    tcase_add_loop_test(tcase, sample_equals_oracle, 0, COUNT(logit_cases));
    tcase_add_loop_test(tcase, observe_equals_oracle, 0, COUNT(observe_cases));
    tcase_add_loop_test(tcase, every_kernel_has_run, 0, COUNT(kernels));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); // a CUDA context does not survive a fork
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    oct_device_close(under_test);
    oct_device_close(oracle);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
