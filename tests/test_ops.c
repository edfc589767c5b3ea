// tests: every instruction set of the CPU backend, with 1, 2 and 3 threads, gives the plain C
// oracle's bytes over the shape table of op_cases.h. An instruction set that this
// processor lacks is named as skipped.
#include "op_cases.h"
#include "test_util.h"

// Sanitizers run the cases whose weights are small.
static bool too_slow(const op_case *c)
{
    return getenv("OCT_TEST_QUICK") != NULL && (int64_t)c->n * c->k > 300000;
}

// Runs the case on the oracle and on all that can run here.
static void compare(const char *op, run_fn *run, const op_case *c)
{
    if (too_slow(c)) {
        printf("%s seed %d: skipped in a quick run, [%d][%d] is large\n", op, (int)c->seed, c->n,
               c->k);
        return;
    }
    op_outputs want = {0};
    oct_device *device;
    assert_ok(oct_cpu_device_open(&device, 1, "scalar"));
    run(device, c, &want);
    device->table->close(device);
    const char *isas[8];
    size_t n_isas = oct_cpu_isas(isas, 8);
    for (size_t i = 0; i < n_isas; i++) {
        for (int threads = i == 0 ? 2 : 1; threads <= 3; threads++) {
            char label[96];
            snprintf(label, sizeof label, "%s seed %d, %s, %d threads", op, (int)c->seed, isas[i],
                     threads);
            op_outputs got = {0};
            assert_ok(oct_cpu_device_open(&device, threads, isas[i]));
            run(device, c, &got);
            device->table->close(device);
            assert_outputs_equal(&got, &want, label);
            op_outputs_free(&got);
        }
    }
    op_outputs_free(&want);
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

START_TEST(observe_equals_oracle)
{
    compare("observe", run_observe, &observe_cases[_i]);
}
END_TEST

START_TEST(sample_equals_oracle)
{
    compare("sample", run_sample_all, &logit_cases[_i]);
}
END_TEST

START_TEST(unknown_instruction_set_is_refused_by_name)
{
    oct_device *device;
    ck_assert_int_eq(oct_cpu_device_open(&device, 1, "sse1"), OCT_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(oct_last_error(), "sse1"));
    ck_assert_ptr_nonnull(strstr(oct_last_error(), "scalar"));
}
END_TEST

int main(void)
{
    const char *isas[8];
    size_t n = oct_cpu_isas(isas, 8);
    printf("instruction sets executed here:");
    for (size_t i = 0; i < n; i++) {
        printf(" %s", isas[i]);
    }
    printf("%s\n", n < 3 ? " (the others: compiled only, skipped)" : "");
    Suite *suite = suite_create("ops");
    TCase *tcase = tcase_create("ops");
    tcase_set_timeout(tcase, 240);
    tcase_add_loop_test(tcase, linear_equals_oracle, 0, COUNT(linear_cases));
    tcase_add_loop_test(tcase, norm_equals_oracle, 0, COUNT(norm_cases));
    tcase_add_loop_test(tcase, attend_equals_oracle, 0, COUNT(attend_cases));
    tcase_add_loop_test(tcase, embed_equals_oracle, 0, COUNT(embed_cases));
    tcase_add_loop_test(tcase, score_equals_oracle, 0, COUNT(logit_cases));
    tcase_add_loop_test(tcase, sample_equals_oracle, 0, COUNT(logit_cases));
    tcase_add_loop_test(tcase, observe_equals_oracle, 0, COUNT(observe_cases));
    tcase_add_test(tcase, unknown_instruction_set_is_refused_by_name);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
