// tests: the command line at work on the bundled model: generate, perplexity, quantize, inspect.
#include "cli_runner.h"

#include <math.h>

// A calibration text that is done in a moment: lines shorter than a context.
#define SMALL_TEXT                                                                                 \
    "head -c $BYTES $M/text/valid.txt | tr '\\n' ' ' | fold -w $WIDTH >$T/small.txt\n"
#define QUANTIZE                                                                                   \
    SMALL_TEXT "$OCTET quantize $M -o $T/q --calibration $T/small.txt --documents --smooth "       \
               "$SMOOTH "

static void assert_keys(const json_t *object, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(json_object_get(object, keys[i]) != NULL, "expected the key %s", keys[i]);
    }
    ck_assert_uint_eq(json_object_size(object), n);
}
#define ASSERT_KEYS(object, ...)                                                                   \
    do {                                                                                           \
        static const char *const keys_[] = {__VA_ARGS__};                                          \
        assert_keys(object, keys_, sizeof keys_ / sizeof keys_[0]);                                \
    } while (0)

// ---- generate

START_TEST(greedy_tokens_are_those_of_transformers)
{
    json_error_t error;
    json_t *reference = json_load_file(SRC("models/tales-8m/reference.json"), 0, &error);
    ck_assert_ptr_nonnull(reference);
    size_t i;
    json_t *want;
    json_array_foreach(json_object_get(reference, "greedy"), i, want)
    {
        setenv("PROMPT", cli_string(want, "prompt"), 1); // it has quotes
        json_t *got = cli_json("$OCTET generate $M --json --greedy -n 24 -p \"$PROMPT\"");
        const json_t *ids = json_object_get(got, "ids"), *all = json_object_get(want, "ids");
        // The reference begins with the prompt; so find where the text goes on.
        size_t n_prompt = 0;
        while (n_prompt + json_array_size(ids) <= json_array_size(all)) {
            size_t n = 0;
            while (n < json_array_size(ids) &&
                   json_equal(json_array_get(ids, n), json_array_get(all, n_prompt + n))) {
                n++;
            }
            if (n == json_array_size(ids)) {
                break;
            }
            n_prompt++;
        }
        ck_assert_msg(n_prompt + json_array_size(ids) <= json_array_size(all),
                      "other greedy tokens behind \"%s\"", cli_string(want, "prompt"));
        json_decref(got);
    }
    json_decref(reference);
}
END_TEST

START_TEST(text_ids_and_json_tell_the_same)
{
    json_t *json = cli_json("$OCTET generate $M -p 'The fox said' -n 30 --seed 5 --json");
    ASSERT_KEYS(json, "prompt", "text", "ids", "tokens", "tokens_per_second", "stopped_by", "seed",
                "device", "isa");
    ck_assert_str_eq(cli_string(json, "prompt"), "The fox said");
    ck_assert_str_eq(cli_string(json, "stopped_by"), "length");
    ck_assert_int_eq((int)cli_number(json, "tokens"), 30);
    ck_assert_int_eq((int)cli_number(json, "seed"), 5);

    cli_result text = cli_run("$OCTET generate $M -p 'The fox said' -n 30 --seed 5");
    char want[8192];
    snprintf(want, sizeof want, "The fox said%s\n", cli_string(json, "text"));
    ck_assert_str_eq(text.out, want);
    ck_assert_str_eq(text.err, "");
    cli_free(&text);

    cli_result input = cli_run("echo The fox said | $OCTET generate $M -p - -n 30 --seed 5");
    ck_assert_str_eq(input.out, want);
    cli_free(&input);

    cli_result ids = cli_run("$OCTET generate $M -p 'The fox said' -n 30 --seed 5 --ids");
    const char *at = ids.out;
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(json, "ids"), i, id)
    {
        char *end;
        ck_assert_int_eq(strtol(at, &end, 10), json_integer_value(id));
        at = end;
    }
    ck_assert_str_eq(at, "\n");
    cli_free(&ids);

    cli_result other = cli_run("$OCTET generate $M -p 'The fox said' -n 30 --seed 6");
    ck_assert_str_ne(other.out, want);
    cli_free(&other);
    json_decref(json);
}
END_TEST

START_TEST(stop_string_ends_the_text_before_it)
{
    json_t *whole = cli_json("$OCTET generate $M -p 'The fox said' -n 30 --greedy --json");
    const char *text = cli_string(whole, "text");
    ck_assert_uint_gt(strlen(text), 24);
    char stop[8];
    memcpy(stop, text + 13, 7); // across tokens
    stop[7] = 0;
    setenv("STOP", stop, 1);
    json_t *cut = cli_json("$OCTET generate $M -p 'The fox said' -n 30 --greedy --json "
                           "--stop 'no such text' --stop \"$STOP\"");
    ck_assert_str_eq(cli_string(cut, "stopped_by"), "stop_string");
    size_t want = (size_t)(strstr(text, stop) - text);
    ck_assert_uint_eq(strlen(cli_string(cut, "text")), want);
    ck_assert_int_eq(strncmp(cli_string(cut, "text"), text, want), 0);
    ck_assert(cli_number(cut, "tokens") < 30);
    json_decref(cut);
    json_decref(whole);
}
END_TEST

START_TEST(any_bytes_may_be_a_prompt)
{
    json_t *json =
        cli_json("printf 'ab\\377c\\0d\\342\\202' | $OCTET generate $M -p - -n 3 --json");
    static const char want[] = "ab\xEF\xBF\xBD"
                               "c\0d\xEF\xBF\xBD";
    const json_t *prompt = json_object_get(json, "prompt");
    ck_assert_uint_eq(json_string_length(prompt), sizeof want - 1);
    ck_assert_mem_eq(json_string_value(prompt), want, sizeof want - 1);
    json_decref(json);
    json = cli_json("$OCTET generate $M -n 3 --json"); // none: a text of its own
    ck_assert_str_eq(cli_string(json, "prompt"), "");
    ck_assert_int_eq((int)cli_number(json, "tokens"), 3);
    json_decref(json);
}
END_TEST

// ---- perplexity

START_TEST(perplexity_json_has_its_keys_and_one_hash_on_any_path)
{
    char hash[32] = "";
    static const char *const ways[] = {"", "--threads 1", "--threads 2", "--isa scalar",
                                       "--baseline $M"};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        json_t *json = cli_json("head -c 200 $M/text/test.txt >$T/x\n"
                                "$OCTET perplexity $M --text $T/x --json %s",
                                ways[i]);
        if (i == 0) {
            ASSERT_KEYS(json, "protocol", "context", "stride", "text_tokens", "tokens",
                        "nats_per_token", "perplexity", "tokens_per_second", "logits_hash",
                        "numerics_version", "device", "isa");
            snprintf(hash, sizeof hash, "%s", cli_string(json, "logits_hash"));
            ck_assert_uint_eq(strlen(hash), 16);
            ck_assert_uint_eq(strspn(hash, "0123456789abcdef"), 16);
        }
        ck_assert_str_eq(cli_string(json, "logits_hash"), hash);
        ck_assert_str_eq(cli_string(json, "protocol"), "hf");
        ck_assert(cli_number(json, "tokens") == cli_number(json, "text_tokens") - 1);
        ck_assert(cli_number(json, "perplexity") == exp(cli_number(json, "nats_per_token")));
        if (strstr(ways[i], "baseline") != NULL) { // with itself
            ck_assert(cli_number(json, "baseline_perplexity") == cli_number(json, "perplexity"));
            ck_assert(cli_number(json, "perplexity_change_percent") == 0);
            ck_assert(cli_number(json, "mean_kl") == 0);
            ck_assert(cli_number(json, "max_kl") == 0);
            ck_assert(cli_number(json, "top1_agreement") == 1);
        }
        json_decref(json);
    }
}
END_TEST

START_TEST(protocols_score_what_they_say)
{
    json_t *all = cli_json("head -c 300 $M/text/test.txt >$T/x\n"
                           "$OCTET perplexity $M --text $T/x --json");
    int n = (int)cli_number(all, "text_tokens");
    json_decref(all);
    ck_assert_int_gt(n, 34);
    json_t *blocks =
        cli_json("$OCTET perplexity $M --text $T/x --context 16 --protocol blocks --json");
    ck_assert_str_eq(cli_string(blocks, "protocol"), "blocks");
    ck_assert_int_eq((int)cli_number(blocks, "text_tokens"), n);
    ck_assert_int_eq((int)cli_number(blocks, "tokens"), n / 16 * 15);
    json_decref(blocks);
    json_t *stride = cli_json("$OCTET perplexity $M --text $T/x --context 16 --stride 8 --json");
    ck_assert_int_eq((int)cli_number(stride, "stride"), 8);
    ck_assert_int_eq((int)cli_number(stride, "tokens"), n - 1);
    json_decref(stride);
    json_t *lines = cli_json("printf 'A fox.\\r\\n\\nThe old king slept.\\nx\\n' >$T/y\n"
                             "$OCTET perplexity $M --text $T/y --documents --json");
    ck_assert_str_eq(cli_string(lines, "protocol"), "documents");
    ck_assert_int_eq((int)cli_number(lines, "documents"), 3);
    ck_assert(cli_number(lines, "tokens") == cli_number(lines, "text_tokens") - 3);
    json_decref(lines);
    cli_result text = cli_run("$OCTET perplexity $M --text $T/x --context 16 --protocol blocks");
    ck_assert_ptr_nonnull(strstr(text.out, "protocol blocks, context 16, stride 16"));
    cli_free(&text);
}
END_TEST

// ---- quantize and inspect

static void check_inspection(void)
{
    json_t *json = cli_json("$OCTET inspect $T/q --json");
    const json_t *total = json_object_get(json_object_get(json, "footprint_bytes"), "total");
    ck_assert(cli_number(total, "fp32") == 2 * cli_number(total, "fp16"));
    ck_assert(cli_number(total, "int8") < cli_number(total, "fp16"));
    ck_assert_str_eq(cli_string(json_object_get(json, "recipe"), "scheme"), "w8a8");
    json_decref(json);
    cli_result r = cli_run("$OCTET inspect $T/q --tensors; "
                           "$OCTET inspect $T/q --histogram h.0.mlp.c_proj.input; "
                           "$OCTET inspect $M");
    ck_assert_str_eq(r.err, "");
    ck_assert_ptr_nonnull(strstr(r.out, "Recipe: w8a8, calibrator minmax"));
    ck_assert_ptr_nonnull(strstr(r.out, "h.7.mlp.c_proj.input "));
    ck_assert_ptr_nonnull(strstr(r.out, "h.7.mlp.c_proj.weight "));
    ck_assert_ptr_nonnull(strstr(r.out, "#####"));
    ck_assert_ptr_nonnull(strstr(r.out, "KV cache of a token"));
    cli_free(&r);
    cli_assert_one_line("$OCTET inspect $T/q --histogram nothing", 1, "no calibrated input");
    cli_assert_one_line("$OCTET inspect $M --histogram nothing", 1, "no calibrated input");
}

START_TEST(quantized_model_is_measured_generates_and_explains_itself)
{
    cli_result r = cli_run(QUANTIZE);
    ck_assert_msg(r.status == 0, "%s", r.err);
    ck_assert_str_eq(r.err, "");
    ck_assert_ptr_nonnull(strstr(r.out, "bytes as INT8"));
    cli_free(&r);
    check_inspection();

    json_t *p = cli_json("head -c 200 $M/text/test.txt >$T/x\n"
                         "$OCTET perplexity $T/q --text $T/x --baseline $M --json");
    ck_assert(fabs(cli_number(p, "perplexity_change_percent")) < 5);
    ck_assert(cli_number(p, "mean_kl") > 0 && cli_number(p, "mean_kl") < 0.05);
    ck_assert(cli_number(p, "top1_agreement") > 0.8);
    json_decref(p);

    json_t *g = cli_json("$OCTET generate $T/q -p 'A fox' -n 8 --seed 3 --compare $M --json");
    const json_t *baseline = json_object_get(g, "baseline");
    ck_assert_int_eq((int)cli_number(g, "tokens"), 8);
    ck_assert_int_eq((int)cli_number(baseline, "tokens"), 8);
    json_decref(g);
    r = cli_run("$OCTET generate $T/q -p 'A fox' -n 8 --compare $M");
    const char *int8 = strstr(r.out, "INT8  "), *fp32 = strstr(r.out, "\nFP32  ");
    ck_assert_msg(int8 == r.out && fp32 != NULL, "%s", r.out); // a pipe: one below the other
    cli_free(&r);

    // The same in, the same out; and not without --force.
    cli_assert_one_line(QUANTIZE, 1, "exists; --force replaces it");
    json_t *again = cli_json("sha256sum <$T/q/model.safetensors >$T/before\n" QUANTIZE
                             "--force --json --threads 1\n"
                             "sha256sum <$T/q/model.safetensors | cmp - $T/before");
    ck_assert_str_eq(cli_string(again, "scheme"), "w8a8");
    ck_assert(cli_number(again, "ratio") > 2);
    json_decref(again);
    cli_assert_one_line("$OCTET quantize $T/q -o $T/r --calibration $T/small.txt", 1, "quantized");
}
END_TEST

START_TEST(recipe_options_reach_the_model)
{
    json_t *json =
        cli_json(QUANTIZE "--scheme w8a8-dynamic --calibrator percentile:99.9 --smooth 0.5 "
                          "--no-smooth lm_head,mlp.c_proj --blocks 2 >$T/said\n"
                          "$OCTET inspect $T/q --json");
    const json_t *recipe = json_object_get(json, "recipe");
    const json_t *alphas = json_object_get(recipe, "column_factors");
    ck_assert_str_eq(cli_string(recipe, "scheme"), "w8a8-dynamic");
    ck_assert_str_eq(cli_string(recipe, "calibrator"), "percentile:99.9");
    ck_assert_int_eq((int)cli_number(recipe, "blocks"), 2);
    ck_assert_str_eq(cli_string(alphas, "lm_head"), "none");
    ck_assert_str_eq(cli_string(alphas, "h.0.mlp.c_proj"), "none");
    ck_assert_str_eq(cli_string(alphas, "h.0.mlp.c_fc"), "0.5");
    json_decref(json);
    json = cli_json(QUANTIZE "--force --smooth none --no-zero-point --no-position-0 >$T/said\n"
                             "$OCTET inspect $T/q --json");
    recipe = json_object_get(json, "recipe");
    ck_assert(json_is_false(json_object_get(recipe, "zero_point")));
    ck_assert(json_is_false(json_object_get(recipe, "position_0")));
    json_decref(json);
}
END_TEST

START_TEST(nothing_half_written_stays)
{
    // A file size limit stands for a full disk: writing fails in the middle of the weights.
    static const char *const ways[] = {
        "(ulimit -f 2000; " QUANTIZE "--smooth none)",
        SMALL_TEXT "cat $T/small.txt $M/text/valid.txt >$T/long.txt\n"
                   "$OCTET quantize $M -o $T/q --calibration $T/long.txt --documents & "
                   "sleep 0.5; kill -INT $!; wait $!",
    };
    static const char *const texts[] = {"File too large", "octet: interrupted"};
    for (size_t i = 0; i < 2; i++) {
        cli_assert_one_line(ways[i], 1, texts[i]);
        cli_result r = cli_run("ls -A $T | grep q");
        ck_assert_str_eq(r.out, "");
        cli_free(&r);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_models");
    TCase *generate = tcase_create("generate");
    tcase_add_checked_fixture(generate, cli_begin, cli_end);
    tcase_add_test(generate, greedy_tokens_are_those_of_transformers);
    tcase_add_test(generate, text_ids_and_json_tell_the_same);
    tcase_add_test(generate, stop_string_ends_the_text_before_it);
    tcase_add_test(generate, any_bytes_may_be_a_prompt);
    suite_add_tcase(suite, generate);
    TCase *perplexity = tcase_create("perplexity");
    tcase_add_checked_fixture(perplexity, cli_begin, cli_end);
    tcase_add_test(perplexity, perplexity_json_has_its_keys_and_one_hash_on_any_path);
    tcase_add_test(perplexity, protocols_score_what_they_say);
    suite_add_tcase(suite, perplexity);
    TCase *quantize = tcase_create("quantize");
    tcase_add_checked_fixture(quantize, cli_begin, cli_end);
    tcase_add_test(quantize, quantized_model_is_measured_generates_and_explains_itself);
    tcase_add_test(quantize, recipe_options_reach_the_model);
    tcase_add_test(quantize, nothing_half_written_stays);
    suite_add_tcase(suite, quantize);
    return test_main(suite);
}
