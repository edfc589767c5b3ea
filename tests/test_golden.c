// tests: FP32 against other people's implementations: Hugging Face transformers (tales-8m),
// onnxruntime (ort-tiny-gpt2).
#include "session_run.h"
#include "test_util.h"

#include <jansson.h>

#define TALES SRC("models/tales-8m")
#define TINY  SRC("tests/golden/ort-tiny-gpt2")

static bool quick(void)
{
    return getenv("OCT_TEST_QUICK") != NULL;
}

static json_t *load_json(const char *path)
{
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    ck_assert_msg(root != NULL, "%s: %s", path, error.text);
    return root;
}

// A JSON array of integers as a fresh [*n] array.
static int32_t *load_ids(const json_t *array, int32_t *n)
{
    *n = (int32_t)json_array_size(array);
    int32_t *ids = malloc((size_t)*n * sizeof *ids + 1);
    for (int32_t i = 0; i < *n; i++) {
        ids[i] = (int32_t)json_integer_value(json_array_get(array, (size_t)i));
    }
    return ids;
}

static oct_device *open_device(void)
{
    oct_device *device;
    assert_ok(oct_device_open(&device, NULL));
    return device;
}

static void assert_greedy(oct_engine *engine, const int32_t *prompt, int32_t n_prompt,
                          const int32_t *want, int32_t n_want)
{
    oct_batch *batch;
    oct_session *session;
    oct_batch_options options = OCT_BATCH_OPTIONS_INIT;
    assert_ok(oct_batch_open(&batch, engine, &options));
    oct_request request = OCT_REQUEST_INIT;
    request.ids = prompt;
    request.n_ids = n_prompt;
    request.n_new = n_want;
    assert_ok(oct_batch_submit(batch, &request, &session));
    bool busy = true;
    while (busy) {
        assert_ok(oct_batch_step(batch, &busy));
    }
    oct_session_info info;
    oct_session_describe(session, &info);
    ck_assert_int_eq(info.n_generated, n_want);
    for (int32_t i = 0; i < n_want; i++) {
        ck_assert_msg(oct_session_tokens(session)[i] == want[i], "token %d: got %d, expected %d", i,
                      oct_session_tokens(session)[i], want[i]);
    }
    oct_batch_close(batch);
}

START_TEST(tales_top_logits_agree_with_transformers)
{
    oct_device *device = open_device();
    oct_engine *engine;
    assert_ok(oct_engine_open(&engine, device, TALES));
    json_t *root = load_json(TALES "/reference.json");
    json_t *first = json_object_get(root, "first_64_tokens");
    test_sequence s = {0};
    int32_t *ids = load_ids(json_object_get(first, "ids"), &s.n);
    s.ids = ids;
    s.logits = calloc((size_t)s.n * 8192, sizeof(float));
    oct_batch_options options = OCT_BATCH_OPTIONS_INIT;
    run_alone(engine, &options, &s, 1);
    for (int32_t t = 0; t < s.n; t++) {
        json_t *row = json_array_get(json_object_get(first, "logits_top5"), (size_t)t);
        for (size_t i = 0; i < 5; i++) {
            json_t *pair = json_array_get(row, i);
            json_int_t id = json_integer_value(json_array_get(pair, 0));
            double want = json_real_value(json_array_get(pair, 1));
            ck_assert_double_eq_tol((double)s.logits[t * 8192 + id], want, 3e-5);
        }
    }
    json_decref(root);
    free(ids);
    free(s.logits);
    oct_engine_close(engine);
    oct_device_close(device);
}
END_TEST

START_TEST(tales_greedy_ids_are_those_of_transformers)
{
    oct_device *device = open_device();
    oct_engine *engine;
    oct_tokenizer *tokenizer;
    assert_ok(oct_engine_open(&engine, device, TALES));
    assert_ok(oct_tokenizer_open(&tokenizer, TALES));
    json_t *root = load_json(TALES "/reference.json");
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(root, "greedy"), i, item)
    {
        const char *prompt = json_string_value(json_object_get(item, "prompt"));
        int32_t *prompt_ids, *want, n_want;
        size_t n_prompt;
        assert_ok(oct_tokenizer_encode(tokenizer, prompt, strlen(prompt), &prompt_ids, &n_prompt));
        want = load_ids(json_object_get(item, "ids"), &n_want);
        // The recorded ids begin with the prompt, or hold the continuation alone.
        int32_t skip = n_want > 60 ? n_want - 60 : 0;
        for (int32_t k = 0; k < skip; k++) {
            ck_assert_int_eq(want[k], prompt_ids[k]);
        }
        assert_greedy(engine, prompt_ids, (int32_t)n_prompt, want + skip, n_want - skip);
        free(prompt_ids);
        free(want);
    }
    ck_assert_uint_ge(i, 3);
    json_decref(root);
    oct_tokenizer_close(tokenizer);
    oct_engine_close(engine);
    oct_device_close(device);
}
END_TEST

START_TEST(tales_perplexity_is_that_of_transformers)
{
    if (quick() || access(SHARED("tales/test.txt"), R_OK) != 0) {
        printf("skipped: perplexity of the whole test text (%s)\n",
               quick() ? "quick run" : "data/tales/test.txt is not here");
        return;
    }
    oct_device *device = open_device();
    oct_engine *engine;
    oct_tokenizer *tokenizer;
    int32_t *ids;
    size_t n_ids;
    assert_ok(oct_engine_open(&engine, device, TALES));
    assert_ok(oct_tokenizer_open(&tokenizer, TALES));
    assert_ok(oct_tokenizer_encode_file(tokenizer, SHARED("tales/test.txt"), &ids, &n_ids));
    json_t *root = load_json(TALES "/reference.json");
    ck_assert_int_eq((json_int_t)n_ids,
                     json_integer_value(json_object_get(root, "tokens_in_test_txt")));
    json_t *want = json_object_get(root, "stride 512");
    oct_perplexity_result result;
    assert_ok(oct_perplexity(engine, ids, n_ids, NULL, &result));
    double perplexity = json_real_value(json_object_get(want, "perplexity"));
    ck_assert_int_eq(result.tokens, json_integer_value(json_object_get(want, "tokens_scored")));
    printf("perplexity %.6f, transformers %.6f, %.0f tokens/s\n", result.perplexity, perplexity,
           (double)result.tokens / result.seconds);
    ck_assert_double_eq_tol(result.perplexity, perplexity, 1e-5 * perplexity);
    json_decref(root);
    free(ids);
    oct_tokenizer_close(tokenizer);
    oct_engine_close(engine);
    oct_device_close(device);
}
END_TEST

START_TEST(ort_tiny_greedy_ids_are_those_of_onnxruntime)
{
    oct_device *device = open_device();
    oct_engine *engine;
    assert_ok(oct_engine_open(&engine, device, TINY));
    json_t *root = load_json(TINY "/greedy_expected.json");
    json_t *item = json_array_get(root, (size_t)_i);
    int32_t n_prompt, n_want;
    int32_t *prompt = load_ids(json_object_get(item, "prompt_ids"), &n_prompt);
    int32_t *want = load_ids(json_object_get(item, "greedy_ids"), &n_want);
    assert_greedy(engine, prompt, n_prompt, want, n_want);
    free(prompt);
    free(want);
    json_decref(root);
    oct_engine_close(engine);
    oct_device_close(device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("golden");
    TCase *tcase = tcase_create("golden");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, tales_top_logits_agree_with_transformers);
    tcase_add_test(tcase, tales_greedy_ids_are_those_of_transformers);
    tcase_add_test(tcase, tales_perplexity_is_that_of_transformers);
    tcase_add_loop_test(tcase, ort_tiny_greedy_ids_are_those_of_onnxruntime, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
