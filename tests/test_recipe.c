// tests: what INT8 costs on a trained model and on its planted variants (plant.h),
// and golden ids.
#include "plant.h"

#include "octet/tokenizer.h"

#include "quant_fixture.h"
#include "test_util.h"

#include <jansson.h>

#define TALES SRC("models/tales-8m")

static bool quick(void)
{
    return getenv("OCT_TEST_QUICK") != NULL;
}

typedef struct texts {
    int32_t *valid, *test;
    size_t n_valid, n_test;
} texts;

static texts read_texts(void)
{
    texts t;
    oct_tokenizer *tokenizer;
    assert_ok(oct_tokenizer_open(&tokenizer, TALES));
    assert_ok(oct_tokenizer_encode_file(tokenizer, TALES "/text/valid.txt", &t.valid, &t.n_valid));
    assert_ok(oct_tokenizer_encode_file(tokenizer, TALES "/text/test.txt", &t.test, &t.n_test));
    oct_tokenizer_close(tokenizer);
    return t;
}

static void free_texts(texts *t)
{
    free(t->valid);
    free(t->test);
}

static double percent(const oct_perplexity_result *r)
{
    return 100.0 * (r->perplexity / exp(r->baseline_nats_per_token) - 1.0);
}

// Quick: two sequences of 64 tokens to calibrate on, 64 to score, and no bars; for sanitizers.
static oct_perplexity_result measure(const gpt2_model *fp32, oct_device *device, const texts *t,
                                     const oct_quantize_options *options, size_t tokens)
{
    static const size_t offsets[3] = {0, 64, 128};
    oct_quantize_options o = *options;
    if (quick()) {
        o.offsets = offsets;
        o.n_documents = 2;
        tokens = 64;
    }
    gpt2_model *q = fixture_quantize(fp32, device, t->valid, t->n_valid, &o, NULL, NULL);
    oct_perplexity_result r = fixture_perplexity(q, fp32, device, t->test, tokens);
    gpt2_model_close(q);
    return r;
}

// The logits hash of the default command's model on the bundled texts: a property of model, text
// and numerics version, so every machine must find it. Whoever changes a bit raises
// OCT_NUMERICS_VERSION and records the new one here.
#define TALES_INT8_HASH 0x04a1dee8c21d3593u

// The default command on the bundled texts, 73,538 tokens scored: +0.090 %, 0.0015 nats. (On the
// whole test text of 141,523 scored tokens: +0.107 %, 0.0015 nats.)
START_TEST(tales_costs_at_most_0_3_percent_and_0_002_nats)
{
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, TALES));
    oct_device *device = fixture_device(0, NULL);
    texts t = read_texts();
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    oct_perplexity_result r = measure(model, device, &t, &options, t.n_test);
    if (!quick()) {
        ck_assert_int_eq(r.tokens, 73538);
        ck_assert_msg(r.logits_hash == TALES_INT8_HASH,
                      "logits hash: got %016llx, expected %016llx",
                      (unsigned long long)r.logits_hash, (unsigned long long)TALES_INT8_HASH);
        ck_assert_msg(percent(&r) <= 0.3 && r.mean_kl <= 0.002, "%+.3f %%, %.5f nats", percent(&r),
                      r.mean_kl);
    }
    free_texts(&t);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

// The planted FP32 model against the one it was planted in, in percent of perplexity: exact plants
// up to roundings; the own content of position 0 lost in `massive`, that of a token in `rare
// token`, both between two blocks; neuron outputs moved in `heavy gelu`.
static const struct {
    const char *name;
    double moved_at_most;
    double worse_at_least; // plain minmax against the recipe; 0 = reported only
} bars[PLANT_VARIANTS] = {
    {"plain", 1e-3, 0},     {"v/o pairs", 1e-3, 5}, {"rogue ln", 1e-3, 5},  {"massive", 5.0, 5},
    {"heavy gelu", 0.1, 5}, {"all four", 5.0, 5},   {"rare token", 5.0, 0},
};

START_TEST(planted_variant_costs_at_most_1_percent_and_plain_minmax_5_times_more)
{
    gpt2_model *model;
    gpt2_model *planted;
    if (quick() && (plant_variants[_i].kinds & PLANT_VO) == 0) {
        return;
    }
    assert_ok(gpt2_model_load(&model, TALES));
    oct_device *device = fixture_device(0, NULL);
    texts t = read_texts();
    size_t tokens = quick() ? 64 : 5120;
    ck_assert_str_eq(plant_variants[_i].name, bars[_i].name);
    assert_ok(plant_model(&planted, model, device, plant_variants[_i].kinds, t.valid,
                          quick() ? 4096 : t.n_valid));
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.blocks = 16;
    oct_perplexity_result recipe = measure(planted, device, &t, &options, tokens);
    options.smooth = "none";
    options.zero_point = false;
    options.position_0 = false;
    oct_perplexity_result plain = measure(planted, device, &t, &options, tokens);
    oct_perplexity_result moved = fixture_perplexity(planted, model, device, t.test, tokens);
    if (!quick()) {
        const char *name = bars[_i].name;
        ck_assert_msg(fabs(percent(&moved)) <= bars[_i].moved_at_most, "%s: FP32 moved by %+.4f %%",
                      name, percent(&moved));
        ck_assert_msg(percent(&recipe) <= 1.0, "%s: the recipe costs %+.3f %%", name,
                      percent(&recipe));
        ck_assert_msg(percent(&plain) >= bars[_i].worse_at_least * percent(&recipe),
                      "%s: plain minmax costs %+.3f %%, the recipe %+.3f %%", name, percent(&plain),
                      percent(&recipe));
        ck_assert_msg(plain.mean_kl > recipe.mean_kl, "%s: mean KL %.5f plain, %.5f recipe", name,
                      plain.mean_kl, recipe.mean_kl);
    }
    gpt2_model_close(planted);
    free_texts(&t);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

// ---- golden ids

static int32_t *load_ids(const json_t *array, int32_t *n)
{
    *n = (int32_t)json_array_size(array);
    int32_t *ids = malloc((size_t)*n * sizeof *ids);
    for (int32_t i = 0; i < *n; i++) {
        ids[i] = (int32_t)json_integer_value(json_array_get(array, (size_t)i));
    }
    return ids;
}

// Greedy continuation by the last row's logits, one token at a time.
static void assert_greedy(const gpt2_model *model, oct_device *device, const int32_t *prompt,
                          int32_t n_prompt, const int32_t *want, int32_t n_want)
{
    int32_t ids[64];
    int32_t v = model->config.vocab_size;
    memcpy(ids, prompt, (size_t)n_prompt * sizeof *ids);
    for (int32_t i = 0; i < n_want; i++) {
        int32_t n = n_prompt + i;
        float *logits = fixture_logits(model, device, ids, n);
        const float *last = logits + (size_t)(n - 1) * (size_t)v;
        int32_t best = 0;
        for (int32_t j = 1; j < v; j++) {
            best = last[j] > last[best] ? j : best;
        }
        ck_assert_msg(best == want[i], "token %d: got %d, expected %d", i, best, want[i]);
        ids[n] = best;
        free(logits);
    }
}

START_TEST(ort_tiny_greedy_ids_are_those_of_onnxruntime_in_fp32_and_int8)
{
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, SRC("tests/golden/ort-tiny-gpt2")));
    oct_device *device = fixture_device(1, NULL);
    int32_t *text = fixture_ids(16 * 64, 1000, 1);
    size_t offsets[65]; // documents of 16 ids, about as long as what follows
    for (size_t i = 0; i <= 64; i++) {
        offsets[i] = 16 * i;
    }
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.offsets = offsets;
    options.n_documents = 64;
    gpt2_model *q = fixture_quantize(model, device, text, 16 * 64, &options, NULL, NULL);
    json_t *root = json_load_file(SRC("tests/golden/ort-tiny-gpt2/greedy_expected.json"), 0, NULL);
    for (size_t i = 0; i < json_array_size(root); i++) {
        const json_t *item = json_array_get(root, i);
        int32_t n_prompt;
        int32_t n_want;
        int32_t *prompt = load_ids(json_object_get(item, "prompt_ids"), &n_prompt);
        int32_t *want = load_ids(json_object_get(item, "greedy_ids"), &n_want);
        assert_greedy(model, device, prompt, n_prompt, want, n_want);
        assert_greedy(q, device, prompt, n_prompt, want, n_want);
        free(prompt);
        free(want);
    }
    json_decref(root);
    gpt2_model_close(q);
    free(text);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recipe");
    TCase *tcase = tcase_create("recipe");
    tcase_set_timeout(tcase, 900);
    tcase_add_test(tcase, tales_costs_at_most_0_3_percent_and_0_002_nats);
    tcase_add_loop_test(tcase,
                        planted_variant_costs_at_most_1_percent_and_plain_minmax_5_times_more, 0,
                        PLANT_VARIANTS);
    tcase_add_test(tcase, ort_tiny_greedy_ids_are_those_of_onnxruntime_in_fp32_and_int8);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
