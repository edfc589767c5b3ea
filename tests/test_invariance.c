// tests: one model and one text give one set of bits. Logits of every position, compared with
// memcmp: alone = in any batch; token by token = one prefill = chunks of 1, 7, 64; 1, 2, 3 threads;
// plain C = each vector path; for FP32 and INT8, odd shapes, tales-8m, and each ingredient of the
// recipe off in turn.
#include "model_maker.h"
#include "session_run.h"
#include "test_util.h"

#include "infer/engine.h"
#include "quant/quantize.h"

#define N_SEQUENCES 4

typedef struct shape {
    int32_t n_layer, n_head, n_embd, n_positions, vocab;
    int32_t length[N_SEQUENCES]; // of the sequences
    bool slow;                   // too large for the sanitizers
} shape;

// C = 48, 80, 1600; D = 8, 16, 64; V = 1000, 50257; 1 and 3 layers.
static const shape shapes[] = {
    {3, 6, 48, 320, 1000, {1, 70, 135, 260}, false}, {1, 5, 80, 192, 1000, {64, 3, 129, 2}, false},
    {3, 3, 48, 80, 257, {65, 1, 30, 64}, false},     {1, 25, 1600, 16, 1000, {3, 1, 2, 5}, true},
    {1, 1, 64, 64, 50257, {2, 3, 1, 9}, true},
};
#define N_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

static bool quick(void)
{
    return getenv("OCT_TEST_QUICK") != NULL;
}

typedef struct texts {
    int32_t *ids[N_SEQUENCES];
    test_sequence sequence[N_SEQUENCES];
    int32_t vocab;
} texts;

static void texts_open(texts *t, const int32_t *lengths, int32_t vocab)
{
    uint64_t seed = 99;
    t->vocab = vocab;
    for (int i = 0; i < N_SEQUENCES; i++) {
        int32_t n = lengths[i];
        t->ids[i] = calloc((size_t)n, sizeof(int32_t));
        for (int32_t k = 0; k < n; k++) {
            t->ids[i][k] = (int32_t)(test_random(&seed) % (uint64_t)vocab);
        }
        t->sequence[i] =
            (test_sequence){t->ids[i], n, calloc((size_t)n * (size_t)vocab, sizeof(float))};
    }
}

static void texts_close(texts *t)
{
    for (int i = 0; i < N_SEQUENCES; i++) {
        free(t->ids[i]);
        free(t->sequence[i].logits);
    }
}

static void assert_same(const texts *got, const texts *want, const char *what)
{
    for (int i = 0; i < N_SEQUENCES; i++) {
        size_t bytes = (size_t)want->sequence[i].n * (size_t)want->vocab * sizeof(float);
        if (memcmp(got->sequence[i].logits, want->sequence[i].logits, bytes) != 0) {
            char label[160];
            snprintf(label, sizeof label, "%s: sequence %d", what, i);
            assert_f32_bits(got->sequence[i].logits, want->sequence[i].logits, bytes / 4, label);
            ck_abort_msg("%s: bytes differ", label);
        }
    }
}

static oct_batch_options batch_of(int32_t rows, int32_t sequences, int32_t logits, int32_t chunk)
{
    oct_batch_options options = OCT_BATCH_OPTIONS_INIT;
    options.max_rows = rows;
    options.max_sequences = sequences;
    options.max_logits = logits;
    options.max_chunk = chunk;
    return options;
}

// Every way to run the same model must give `want`, which is the plain C oracle's: one sequence at
// a time, one prefill.
static void check_model(const gpt2_model *model, const int32_t *lengths, const char *name)
{
    texts want, got;
    texts_open(&want, lengths, model->config.vocab_size);
    texts_open(&got, lengths, model->config.vocab_size);
    oct_device *device;
    oct_engine *engine;
    assert_ok(oct_cpu_device_open(&device, 1, "scalar"));
    assert_ok(oct_engine_from_model(&engine, device, model));
    oct_batch_options whole = batch_of(512, 1, 512, 0);
    run_alone(engine, &whole, want.sequence, N_SEQUENCES);
    oct_engine_close(engine);
    oct_device_close(device);

    const char *isas[8];
    size_t n_isas = oct_cpu_isas(isas, 8);
    for (size_t i = 0; i < n_isas; i++) {
        for (int threads = 1; threads <= 3; threads++) {
            if (i == 0 && threads == 1) {
                continue;
            }
            char label[128];
            snprintf(label, sizeof label, "%s, %s, %d threads", name, isas[i], threads);
            assert_ok(oct_cpu_device_open(&device, threads, isas[i]));
            assert_ok(oct_engine_from_model(&engine, device, model));
            run_alone(engine, &whole, got.sequence, N_SEQUENCES);
            assert_same(&got, &want, label);
            oct_engine_close(engine);
            oct_device_close(device);
        }
    }
    // The best instruction set, two threads: batches and chunks.
    static const struct {
        const char *name;
        int32_t rows, sequences, logits, chunk;
    } ways[] = {
        {"batch of 4", 512, 4, 512, 0},   {"batch of 2, queue of 4", 37, 2, 37, 0},
        {"token by token", 1, 1, 1, 1},   {"batch of 4, token by token", 4, 4, 4, 1},
        {"chunks of 7", 512, 1, 512, 7},  {"chunks of 64", 512, 4, 512, 64},
        {"3 logits a step", 16, 4, 3, 0},
    };
    assert_ok(oct_cpu_device_open(&device, 2, NULL));
    assert_ok(oct_engine_from_model(&engine, device, model));
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char label[128];
        snprintf(label, sizeof label, "%s, %s", name, ways[i].name);
        oct_batch_options options =
            batch_of(ways[i].rows, ways[i].sequences, ways[i].logits, ways[i].chunk);
        run_together(engine, &options, got.sequence, N_SEQUENCES);
        assert_same(&got, &want, label);
    }
    oct_engine_close(engine);
    oct_device_close(device);
    texts_close(&want);
    texts_close(&got);
}

static gpt2_model *make_f32(const gpt2_config *config, uint64_t seed)
{
    char *folder = test_folder();
    gpt2_model *model;
    assert_ok(model_maker_write(config, seed, folder, NULL));
    assert_ok(gpt2_model_load(&model, folder));
    test_remove(folder);
    return model;
}

// Calibrates on 6 random sequences of the whole context; in a quick run of at most 64 tokens.
static gpt2_model *quantize(const gpt2_model *fp32, const oct_quantize_options *options)
{
    enum { N = 6 };
    oct_device *device;
    gpt2_model *model;
    oct_quantize_options given = OCT_QUANTIZE_OPTIONS_INIT;
    size_t length = (size_t)fp32->config.n_positions, offsets[N + 1];
    length = quick() && length > 64 ? 64 : length;
    int32_t *ids = malloc(N * length * sizeof *ids);
    uint64_t seed = 4;
    for (size_t i = 0; i < N * length; i++) {
        ids[i] = (int32_t)(test_random(&seed) % (uint64_t)fp32->config.vocab_size);
    }
    for (size_t i = 0; i <= N; i++) {
        offsets[i] = i * length;
    }
    if (options != NULL) {
        given = *options;
    }
    given.offsets = offsets;
    given.n_documents = N;
    assert_ok(oct_cpu_device_open(&device, 2, NULL));
    assert_ok(
        quant_quantize_model(fp32, device, ids, N * length, &given, NULL, &model, NULL, NULL));
    oct_device_close(device);
    free(ids);
    return model;
}

START_TEST(random_models_give_one_set_of_bits)
{
    const shape *s = &shapes[_i];
    if (quick() && s->slow) {
        printf("skipped in a quick run: C = %d, V = %d\n", s->n_embd, s->vocab);
        return;
    }
    gpt2_config config =
        model_maker_config(s->n_layer, s->n_head, s->n_embd, s->n_positions, s->vocab);
    gpt2_model *fp32 = make_f32(&config, 1 + (uint64_t)_i);
    check_model(fp32, s->length, "FP32");
    gpt2_model *int8 = quantize(fp32, NULL);
    check_model(int8, s->length, "INT8");
    gpt2_model_close(int8);
    gpt2_model_close(fp32);
}
END_TEST

// The recipe, each ingredient off in turn, and dynamic rows.
static oct_quantize_options variant(int i, const char **name)
{
    static const char *const names[] = {"dynamic",          "zero point off", "position 0 off",
                                        "no factors",       "alpha 0.7",      "c_attn unscaled",
                                        "c_proj unscaled",  "c_fc unscaled",  "mlp.c_proj unscaled",
                                        "lm_head unscaled", "percentile",     "everything off"};
    oct_quantize_options o = OCT_QUANTIZE_OPTIONS_INIT;
    *name = names[i];
    switch (i) {
    case 0:
        o.scheme = "w8a8-dynamic";
        break;
    case 1:
        o.zero_point = false;
        break;
    case 2:
        o.position_0 = false;
        break;
    case 3:
        o.smooth = "none";
        break;
    case 4:
        o.smooth = "0.7";
        break;
    case 10:
        o.calibrator = "percentile:99.9";
        break;
    case 11:
        o.smooth = "none";
        o.zero_point = o.position_0 = false;
        break;
    default:
        o.no_smooth = 1u << (i - 5);
    }
    return o;
}
#define N_VARIANTS 12

START_TEST(each_ingredient_off_gives_one_set_of_bits)
{
    static const int32_t lengths[N_SEQUENCES] = {1, 40, 66, 9};
    const char *name;
    oct_quantize_options options = variant(_i, &name);
    if (quick() && _i % 3 != 0) {
        return; // a sanitizer sees nothing new in the others
    }
    gpt2_config config = model_maker_config(2, 2, 32, 80, 300);
    gpt2_model *fp32 = make_f32(&config, 77);
    gpt2_model *int8 = quantize(fp32, &options);
    check_model(int8, lengths, name);
    gpt2_model_close(int8);
    gpt2_model_close(fp32);
}
END_TEST

START_TEST(activations_and_untied_heads_give_one_set_of_bits)
{
    static const int32_t lengths[N_SEQUENCES] = {1, 40, 66, 9};
    gpt2_config config = model_maker_config(2, 2, 32, 80, 300);
    config.activation = (oct_activation)_i;
    config.n_inner = 51;
    config.scale_attn_by_inverse_layer_idx = _i == 1;
    config.scale_attn_weights = _i != 2;
    char *folder = test_folder();
    gpt2_model *fp32;
    model_maker_options options = {.untied_head = true, .head_bias = true};
    assert_ok(model_maker_write(&config, 5, folder, &options));
    assert_ok(gpt2_model_load(&fp32, folder));
    test_remove(folder);
    check_model(fp32, lengths, "FP32");
    gpt2_model *int8 = quantize(fp32, NULL);
    check_model(int8, lengths, "INT8");
    gpt2_model_close(int8);
    gpt2_model_close(fp32);
}
END_TEST

START_TEST(tales_slices_give_one_set_of_bits)
{
    static const int32_t lengths[N_SEQUENCES] = {64, 1, 33, 64};
    static const int32_t long_lengths[N_SEQUENCES] = {130, 1, 257, 64};
    gpt2_model *fp32;
    assert_ok(gpt2_model_load(&fp32, SRC("models/tales-8m")));
    if (_i == 0) {
        check_model(fp32, quick() ? lengths : long_lengths, "tales-8m FP32");
    } else {
        gpt2_model *int8 = quantize(fp32, NULL);
        check_model(int8, quick() ? lengths : long_lengths, "tales-8m INT8");
        gpt2_model_close(int8);
    }
    gpt2_model_close(fp32);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("invariance");
    TCase *tcase = tcase_create("invariance");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, random_models_give_one_set_of_bits, 0, N_SHAPES);
    tcase_add_loop_test(tcase, each_ingredient_off_gives_one_set_of_bits, 0, N_VARIANTS);
    tcase_add_loop_test(tcase, activations_and_untied_heads_give_one_set_of_bits, 0, 3);
    tcase_add_loop_test(tcase, tales_slices_give_one_set_of_bits, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
