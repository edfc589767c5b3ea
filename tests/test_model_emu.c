// tests: whole models on the CUDA backend, executed on the CPU by ptxrun (device "emu"):
// calibration, frozen scales and logits are the CPU backend's bit for bit, in all modes of ptxrun;
// a decode step reads each weight byte once and takes the launches the design allows.
// OCTET_TEST_DEVICE=cuda runs the first part on a GPU.
#include "model_maker.h"
#include "session_run.h"
#include "test_util.h"

#include "infer/batch.h"
#include "ptxrun.h"
#include "quant/quantize.h"

#include <dlfcn.h>

enum { N_SEQUENCES = 3 };

static oct_device *under_test, *cpu; // one device a process

// ptxrun's functions; NULL on a GPU.
static int (*set_option)(const char *, const char *);
static int (*counters)(const void *, struct ptxrun_counts *);
static void (*reset_counters)(void);
static int (*range)(const void *, size_t, struct ptxrun_range_counts *);

static void find_ptxrun(void)
{
    void *library = dlopen("libcudart.so.13", RTLD_NOW | RTLD_NOLOAD);
    if (library != NULL) {
        *(void **)(&set_option) = dlsym(library, "ptxrun_set_option");
        *(void **)(&counters) = dlsym(library, "ptxrun_counters");
        *(void **)(&reset_counters) = dlsym(library, "ptxrun_reset_counters");
        *(void **)(&range) = dlsym(library, "ptxrun_range");
    }
}

static gpt2_model *make_f32(void)
{
    gpt2_config config = model_maker_config(2, 2, 32, 160, 300);
    char *folder = test_folder();
    gpt2_model *model;
    assert_ok(model_maker_write(&config, 3, folder, NULL));
    assert_ok(gpt2_model_load(&model, folder));
    test_remove(folder);
    return model;
}

static gpt2_model *quantize_on(oct_device *device, const gpt2_model *fp32, const char *scheme,
                               int32_t blocks, char **statistics)
{
    gpt2_model *model;
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.scheme = scheme;
    options.blocks = blocks;
    size_t n = (size_t)blocks * (size_t)fp32->config.n_positions;
    int32_t *ids = malloc(n * sizeof *ids);
    uint64_t seed = 8;
    for (size_t i = 0; i < n; i++) {
        ids[i] = (int32_t)(test_random(&seed) % (uint64_t)fp32->config.vocab_size);
    }
    assert_ok(quant_quantize_model(fp32, device, ids, n, &options, NULL, &model, statistics, NULL));
    free(ids);
    return model;
}

// Logits of three sequences on both devices: prefill together, and token by token.
static void compare_model(const gpt2_model *model, const int32_t *lengths, const char *name)
{
    int32_t V = model->config.vocab_size;
    test_sequence want[N_SEQUENCES], got[N_SEQUENCES];
    uint64_t seed = 12;
    for (int i = 0; i < N_SEQUENCES; i++) {
        int32_t n = lengths[i], *ids = malloc((size_t)n * sizeof *ids);
        for (int32_t k = 0; k < n; k++) {
            ids[k] = (int32_t)(test_random(&seed) % (uint64_t)V);
        }
        size_t count = (size_t)n * (size_t)V;
        want[i] = (test_sequence){ids, n, calloc(count, sizeof(float))};
        got[i] = (test_sequence){ids, n, calloc(count, sizeof(float))};
    }
    oct_engine *engine;
    oct_batch_options options = OCT_BATCH_OPTIONS_INIT;
    options.max_rows = options.max_logits = 256;
    assert_ok(oct_engine_from_model(&engine, cpu, model));
    run_alone(engine, &options, want, N_SEQUENCES);
    oct_engine_close(engine);
    assert_ok(oct_engine_from_model(&engine, under_test, model));
    for (int way = 0; way < 3; way++) {
        char label[96];
        options.max_chunk = way == 1 ? 7 : way == 2 ? 1 : 0;
        run_together(engine, &options, got, way == 2 ? 1 : N_SEQUENCES);
        for (int i = 0; i < (way == 2 ? 1 : N_SEQUENCES); i++) {
            snprintf(label, sizeof label, "%s, chunk %d, sequence %d", name, options.max_chunk, i);
            assert_f32_bits(got[i].logits, want[i].logits, (size_t)lengths[i] * (size_t)V, label);
        }
    }
    oct_engine_close(engine);
    for (int i = 0; i < N_SEQUENCES; i++) {
        free((void *)want[i].ids);
        free(want[i].logits);
        free(got[i].logits);
    }
}

static const int32_t tiny_lengths[N_SEQUENCES] = {9, 70, 137};

START_TEST(fp32_logits_are_the_cpus)
{
    gpt2_model *fp32 = make_f32();
    compare_model(fp32, tiny_lengths, "FP32");
    gpt2_model_close(fp32);
}
END_TEST

START_TEST(calibration_and_frozen_scales_are_the_cpus)
{
    gpt2_model *fp32 = make_f32();
    char *want_text, *got_text;
    gpt2_model *want = quantize_on(cpu, fp32, "w8a8", 3, &want_text);
    gpt2_model *got = quantize_on(under_test, fp32, "w8a8", 3, &got_text);
    ck_assert_str_eq(got_text, want_text);
    for (int32_t l = 0; l < 2; l++) {
        const gpt2_layer *g = &got->layers[l], *w = &want->layers[l];
        assert_f32_bits(g->ln_1.G, w->ln_1.G, 32, "ln_1.G");
        assert_f32_bits(g->c_attn.mul, w->c_attn.mul, 96, "c_attn.mul");
        assert_f32_bits(g->k_step, w->k_step, 32, "k_step");
        assert_f32_bits(g->v_step, w->v_step, 32, "v_step");
        assert_f32_bits(g->act_mul, w->act_mul, 128, "act_mul");
        assert_i8_equal(g->mlp_c_proj.w_i8, w->mlp_c_proj.w_i8, 32 * 128, "mlp.c_proj.weight");
        ck_assert_mem_eq(&g->mlp_c_proj.input.step, &w->mlp_c_proj.input.step, 4);
        ck_assert_int_eq(g->mlp_c_proj.input.zero, w->mlp_c_proj.input.zero);
    }
    free(want_text);
    free(got_text);
    gpt2_model_close(want);
    gpt2_model_close(got);
    gpt2_model_close(fp32);
}
END_TEST

START_TEST(int8_logits_are_the_cpus)
{
    gpt2_model *fp32 = make_f32();
    const char *scheme = _i == 0 ? "w8a8" : "w8a8-dynamic";
    gpt2_model *int8 = quantize_on(cpu, fp32, scheme, 3, NULL);
    compare_model(int8, tiny_lengths, scheme);
    gpt2_model_close(int8);
    gpt2_model_close(fp32);
}
END_TEST

// Schedules, independent threads, the race detector, two poisons: nothing may show.
START_TEST(int8_logits_are_the_cpus_in_every_mode)
{
    static const char *const modes[][2] = {{"SEED", "1"},     {"SEED", "2"}, {"SEED", "3"},
                                           {"ITS", "1"},      {"RACE", "1"}, {"POISON", "0"},
                                           {"POISON", "255"}, {"LAZY", "1"}};
    static const int32_t lengths[N_SEQUENCES] = {3, 5, 66};
    if (set_option == NULL) {
        return;
    }
    gpt2_model *fp32 = make_f32();
    gpt2_model *int8 = quantize_on(cpu, fp32, "w8a8", 2, NULL);
    ck_assert_int_eq(set_option(modes[_i][0], modes[_i][1]), 0);
    char label[64];
    snprintf(label, sizeof label, "PTXRUN_%s=%s", modes[_i][0], modes[_i][1]);
    compare_model(int8, lengths, label);
    compare_model(fp32, lengths, label);
    ck_assert_int_eq(set_option(modes[_i][0], NULL), 0);
    gpt2_model_close(int8);
    gpt2_model_close(fp32);
}
END_TEST

START_TEST(tales_logits_are_the_cpus)
{
    static const int32_t lengths[N_SEQUENCES] = {1, 2, 64};
    gpt2_model *fp32;
    const char *tales = getenv("OCTET_TEST_TALES"); // a bundle has no source tree
    assert_ok(gpt2_model_load(&fp32, tales != NULL ? tales : SRC("models/tales-8m")));
    gpt2_model *int8 = quantize_on(cpu, fp32, "w8a8", 2, NULL);
    compare_model(int8, lengths, "tales-8m");
    gpt2_model_close(int8);
    gpt2_model_close(fp32);
}
END_TEST

static void assert_read_once(oct_buf weight, size_t bytes, const char *name)
{
    struct ptxrun_range_counts touched;
    ck_assert_int_eq(range((char *)weight.mem + weight.offset, bytes, &touched), 0);
    ck_assert_msg(touched.read.min == 1 && touched.read.max == 1,
                  "%s: each byte is read %u to %u times a decode step, expected once", name,
                  touched.read.min, touched.read.max);
}

START_TEST(decode_step_reads_each_weight_once_and_takes_few_launches)
{
    bool dynamic = _i == 1;
    if (counters == NULL) {
        return;
    }
    ck_assert_int_eq(set_option("TRACK", "1"), 0);
    gpt2_model *fp32 = make_f32();
    gpt2_model *int8 = quantize_on(cpu, fp32, dynamic ? "w8a8-dynamic" : "w8a8", 2, NULL);
    oct_engine *engine;
    oct_batch *batch;
    oct_session *session;
    int32_t ids[70] = {0};
    oct_batch_options options = OCT_BATCH_OPTIONS_INIT;
    oct_request request = OCT_REQUEST_INIT;
    request.ids = ids;
    request.n_ids = 70;
    request.n_new = 3;
    assert_ok(oct_engine_from_model(&engine, under_test, int8));
    assert_ok(oct_batch_open(&batch, engine, &options));
    assert_ok(oct_batch_submit(batch, &request, &session));
    assert_ok(oct_batch_step(batch, NULL)); // the prompt
    reset_counters();
    assert_ok(oct_batch_step(batch, NULL)); // one token
    struct ptxrun_counts counts;
    ck_assert_int_eq(counters(NULL, &counts), 0);
    uint64_t most = 2 * (dynamic ? 9 : 7) + 4;
    ck_assert_msg(counts.launches <= most, "%d launches a decode step, expected at most %d",
                  (int)counts.launches, (int)most);
    ck_assert_uint_eq(counts.allocations, 0);
    for (int32_t l = 0; l < 2; l++) {
        const engine_layer *layer = &engine->layers[l];
        assert_read_once(layer->c_attn.weight, 96 * 64, "c_attn");
        assert_read_once(layer->attn_c_proj.weight, 32 * 64, "attn.c_proj");
        assert_read_once(layer->c_fc.weight, 128 * 64, "c_fc");
        assert_read_once(layer->mlp_c_proj.weight, 32 * 128, "mlp.c_proj");
    }
    assert_read_once(engine->lm_head.weight, 300 * 64, "lm_head");
    printf("%s: %d launches, %d bytes read, %d synchronisations a decode step\n",
           dynamic ? "dynamic" : "static", (int)counts.launches, (int)counts.bytes_read,
           (int)counts.synchronizations);
    oct_batch_close(batch);
    oct_engine_close(engine);
    gpt2_model_close(int8);
    gpt2_model_close(fp32);
    ck_assert_int_eq(set_option("TRACK", NULL), 0);
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
    find_ptxrun();
    if (oct_cpu_device_open(&cpu, 1, NULL) != OCT_OK) {
        return EXIT_FAILURE;
    }
    Suite *suite = suite_create("model_emu");
    TCase *tcase = tcase_create("model_emu");
    tcase_add_test(tcase, fp32_logits_are_the_cpus);
    tcase_add_test(tcase, calibration_and_frozen_scales_are_the_cpus);
    tcase_add_loop_test(tcase, int8_logits_are_the_cpus, 0, 2);
    tcase_add_loop_test(tcase, int8_logits_are_the_cpus_in_every_mode, 0, 8);
    tcase_add_test(tcase, tales_logits_are_the_cpus);
    tcase_add_loop_test(tcase, decode_step_reads_each_weight_once_and_takes_few_launches, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); // a CUDA context does not survive a fork
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    oct_device_close(under_test);
    oct_device_close(cpu);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
