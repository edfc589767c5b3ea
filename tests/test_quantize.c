// tests: quantization from end to end: what calibration says it saw, directories, errors,
// cancelling.
#include "infer/engine.h"
#include "quant/calibration_run.h"
#include "quant/fold.h"
#include "quant/statistics.h"

#include "quant_fixture.h"
#include "test_util.h"

#include <jansson.h>
#include <sys/stat.h>

#define N_IDS 500

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    ck_assert_msg(root != NULL, "line %d: %s", error.line, error.text);
    return root;
}

static json_t *site_of(json_t *root, const char *name)
{
    size_t i;
    json_t *site;
    json_array_foreach(json_object_get(root, "sites"), i, site)
    {
        if (strcmp(json_string_value(json_object_get(site, "name")), name) == 0) {
            return site;
        }
    }
    ck_abort_msg("no site %s", name);
    return NULL;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    ck_assert_msg(json_is_number(value), "%s: expected a number", key);
    return json_number_value(value);
}

// ---- what calibration saw and how it judged

typedef struct rows_seen {
    oct_device *device;
    oct_buf buf;
    float *values;
    size_t rows;
} rows_seen;

static oct_buf rows_want(void *user, const char *name, int32_t layer, int32_t rows, int32_t cols)
{
    rows_seen *r = user;
    oct_buf none = {NULL, 0};
    (void)rows;
    (void)cols;
    return strcmp(name, "ln_2") == 0 && layer == 1 ? r->buf : none;
}

static oct_status rows_ready(void *user, const char *name, int32_t layer, oct_buf value,
                             int32_t rows, int32_t cols)
{
    rows_seen *r = user;
    (void)name;
    (void)layer;
    float *to = r->values + r->rows * (size_t)cols;
    r->rows += (size_t)rows;
    return r->device->table->download(r->device, to, value,
                                      (size_t)rows * (size_t)cols * sizeof(float));
}

// The input of h.1.mlp.c_fc for 16 sequences of 31 tokens: [16 * 31][48], even sequences first.
static void see_rows(const gpt2_model *folded, oct_device *device, const int32_t *ids,
                     float *values)
{
    oct_engine *engine;
    calibration_text text;
    calibration_runner *runner;
    size_t offsets[17];
    for (size_t i = 0; i <= 16; i++) {
        offsets[i] = 31 * i;
    }
    assert_ok(oct_engine_from_model(&engine, device, folded));
    assert_ok(calibration_text_cut(&text, ids, 496, offsets, 16, 32, 101, 128));
    assert_ok(calibration_runner_open(&runner, engine, &text, 64));
    rows_seen seen = {.device = device, .values = values};
    assert_ok(device->table->alloc(device, 64 * 48 * sizeof(float), &seen.buf));
    oct_tap_sink sink = {&seen, rows_want, rows_ready};
    quant_progress silent = {0};
    assert_ok(calibration_run(runner, NULL, NULL, &sink, &silent));
    device->table->free(device, seen.buf);
    calibration_runner_close(runner);
    calibration_text_free(&text);
    oct_engine_close(engine);
}

// Everything calibration.json and the model say of one site, computed again from the rows
// themselves.
START_TEST(a_site_is_judged_by_odd_sequences_and_frozen_by_all)
{
    gpt2_model *model = fixture_model(NULL, 12);
    gpt2_model *folded;
    oct_device *device = fixture_device(2, NULL);
    int32_t *ids = fixture_ids(496, 101, 9);
    size_t offsets[17];
    static float rows[496 * 48], even[4 * 48], all[4 * 48], kept[8 * 30 * 48];
    for (size_t i = 0; i <= 16; i++) {
        offsets[i] = 31 * i;
    }
    assert_ok(fold_model(&folded, model));
    see_rows(folded, device, ids, rows);
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.offsets = offsets;
    options.n_documents = 16;
    char *text;
    gpt2_model *q = fixture_quantize(model, device, ids, 496, &options, NULL, &text);
    json_t *root = parse(text);
    const json_t *site = site_of(root, "h.1.mlp.c_fc.input");

    // 8 even sequences, then 8 odd ones; position = row modulo 31.
    double sum = 0.0;
    double squares = 0.0;
    int32_t n_kept = 0;
    for (size_t t = 0; t < 496; t++) {
        bool first = t % 31 == 0;
        for (size_t c = 0; c < 48; c++) {
            float x = rows[t * 48 + c];
            size_t low = (first ? 0u : 2u) * 48 + c;
            size_t high = low + 48;
            all[low] = fminf(all[low], x);
            all[high] = fmaxf(all[high], x);
            if (t < 248) {
                even[low] = fminf(even[low], x);
                even[high] = fmaxf(even[high], x);
            } else if (!first) {
                kept[(size_t)n_kept * 48 + c] = x;
            }
            sum += (double)x;
            squares += (double)x * (double)x;
        }
        n_kept += t >= 248 && !first;
    }
    double n = 496.0 * 48.0;
    double deviation = sqrt(squares / n - sum / n * (sum / n));
    ck_assert(number(site, "count") == n);
    ck_assert(fabs(number(site, "mean") - sum / n) < 1e-4);
    ck_assert(fabs(number(site, "standard_deviation") / deviation - 1.0) < 1e-4);
    ck_assert_int_eq((int)number(root, "search_rows"), n_kept);

    // The search of that linear alone.
    oct_team *team;
    oct_engine *engine;
    alpha_search *search;
    alpha_result result;
    site_ranges even_ranges = {even, even + 48, even + 96, even + 144};
    site_ranges all_ranges = {all, all + 48, all + 96, all + 144};
    assert_ok(oct_team_open(&team, 1));
    assert_ok(oct_engine_from_model(&engine, device, folded));
    assert_ok(alpha_search_open(&search, device, team, folded, n_kept));
    alpha_task task = {.linear = &folded->layers[1].c_fc,
                       .reference = &engine->layers[1].c_fc,
                       .ranges = &even_ranges,
                       .rows = kept,
                       .position_0 = true};
    assert_ok(alpha_search_run(search, &task, &result));
    const char *alpha = recipe_alphas[result.chosen].name;
    ck_assert_str_eq(json_string_value(json_object_get(site, "alpha")), alpha);
    for (int i = 0; i < RECIPE_ALPHAS; i++) {
        double error = number(json_object_get(site, "search"), recipe_alphas[i].name);
        ck_assert_msg(error == result.error[i], "alpha %s: got %.17g, expected %.17g",
                      recipe_alphas[i].name, error, result.error[i]);
    }
    ck_assert_str_eq(q->recipe.alpha[site_find(&q->config, SITE_C_FC, 1)], alpha);

    // Frozen: factors and steps from all sequences.
    const gpt2_linear *linear = &q->layers[1].c_fc;
    input_range range = input_range_find(&all_ranges, linear->column_factors, 48, INFINITY, true);
    gpt2_input want = input_steps_static(&range, false, true);
    ck_assert(linear->input.step == want.step && linear->input.step_0 == want.step_0);
    ck_assert(number(site, "step") == (double)want.step);
    ck_assert(number(site, "step_0") == (double)want.step_0);
    alpha_search_close(search);
    oct_engine_close(engine);
    oct_team_close(team);
    json_decref(root);
    free(text);
    gpt2_model_close(q);
    gpt2_model_close(folded);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

static int64_t bin_sum(const json_t *site)
{
    size_t i;
    json_t *bin;
    int64_t sum = 0;
    const json_t *bins = json_object_get(json_object_get(site, "histogram"), "bins");
    ck_assert_uint_eq(json_array_size(bins), 2048);
    json_array_foreach(bins, i, bin)
    {
        sum += json_integer_value(bin);
    }
    return sum;
}

START_TEST(statistics_are_plausible)
{
    gpt2_model *model = fixture_model(NULL, 12);
    oct_device *device = fixture_device(1, NULL);
    int32_t *ids = fixture_ids(N_IDS, 101, 9);
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.calibrator = _i == 0 ? "minmax" : "percentile:99";
    char *text;
    gpt2_model *q = fixture_quantize(model, device, ids, N_IDS, &options, NULL, &text);
    json_t *root = parse(text);
    ck_assert_int_eq((int)number(root, "sequences"), 16);
    ck_assert_int_eq((int)number(root, "tokens"), N_IDS);
    ck_assert_int_eq((int)json_array_size(json_object_get(root, "sites")), 6 * 3 + 1);
    size_t i;
    json_t *site;
    json_array_foreach(json_object_get(root, "sites"), i, site)
    {
        double columns = number(site, "columns");
        const json_t *buckets = json_object_get(site, "absmax_by_position");
        double absmax =
            fmax(fmax(number(buckets, "0"), number(buckets, "1-3")), number(buckets, "rest"));
        ck_assert(fmax(-number(site, "min"), number(site, "max")) == absmax);
        ck_assert(number(site, "count") == columns * N_IDS);
        ck_assert(bin_sum(site) == (int64_t)columns * (N_IDS - 16)); // positions >= 1
        ck_assert(fabs(number(site, "mean")) < number(site, "standard_deviation") * 2.0);
        double saturation = number(site, "saturation_rate");
        bool linear = json_object_get(site, "alpha") != NULL;
        ck_assert_int_eq(json_is_null(json_object_get(site, "clipped_at")), _i == 0 || !linear);
        if (_i == 0 || !linear) {
            ck_assert(saturation == 0.0);
        } else {
            ck_assert_msg(saturation > 0.005 && saturation < 0.02, "saturation %g", saturation);
        }
    }
    json_decref(root);
    free(text);
    gpt2_model_close(q);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

START_TEST(without_rows_to_judge_alpha_is_0_7)
{
    gpt2_model *model = fixture_model(NULL, 12);
    oct_device *device = fixture_device(1, NULL);
    int32_t *ids = fixture_ids(N_IDS, 101, 9);
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.blocks = 1;
    char *text;
    gpt2_model *q = fixture_quantize(model, device, ids, N_IDS, &options, NULL, &text);
    for (int32_t i = 0; i < site_linear_count(&q->config); i++) {
        ck_assert_str_eq(q->recipe.alpha[i], "0.7");
    }
    json_t *root = parse(text);
    ck_assert(json_is_null(json_object_get(site_of(root, "lm_head.input"), "search")));
    ck_assert_int_eq(q->recipe.blocks, 1);
    json_decref(root);
    free(text);
    gpt2_model_close(q);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

// ---- directories

typedef struct directories {
    char *folder;
    char source[4200], out[4200];
    oct_device *device;
    int32_t *ids;
} directories;

static void open_directories(directories *d)
{
    gpt2_config config = fixture_config();
    d->folder = test_folder();
    snprintf(d->source, sizeof d->source, "%s/source", d->folder);
    snprintf(d->out, sizeof d->out, "%s/out", d->folder);
    ck_assert_int_eq(mkdir(d->source, 0777), 0);
    assert_ok(model_maker_write(&config, 11, d->source, NULL));
    d->device = fixture_device(1, NULL);
    d->ids = fixture_ids(N_IDS, 101, 4);
}

static void close_directories(directories *d)
{
    free(d->ids);
    oct_device_close(d->device);
    test_remove(d->folder);
}

static bool exists(const char *path)
{
    struct stat seen;
    return lstat(path, &seen) == 0;
}

START_TEST(a_directory_is_quantized_and_inspected)
{
    directories d;
    open_directories(&d);
    oct_quantize_result result;
    assert_ok(oct_quantize(d.source, d.out, d.device, d.ids, N_IDS, NULL, &result));
    ck_assert_int_eq((int)result.calibration_tokens, N_IDS);
    ck_assert(result.int8_bytes > 0 && result.fp32_bytes > result.int8_bytes);
    ck_assert(result.total_seconds >= result.search_seconds + result.calibration_seconds);
    ck_assert(result.search_seconds > 0.0 && result.calibration_seconds > 0.0);
    oct_engine *engine;
    oct_engine_info info;
    assert_ok(oct_engine_open(&engine, d.device, d.out));
    oct_engine_describe(engine, &info);
    ck_assert_int_eq(info.format, OCT_FORMAT_W8A8);
    oct_engine_close(engine);

    static const char *const keys[] = {
        "config",          "format",  "recipe",     "parameters",
        "footprint_bytes", "tensors", "statistics", "kv_bytes_per_token"};
    const char *paths[2] = {d.source, d.out};
    double parameters[2];
    for (int i = 0; i < 2; i++) {
        char *text;
        assert_ok(oct_inspect(paths[i], &text));
        json_t *root = parse(text);
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            ck_assert_msg(json_object_get(root, keys[k]) != NULL, "%s: no %s", paths[i], keys[k]);
        }
        ck_assert_str_eq(json_string_value(json_object_get(root, "format")),
                         i == 0 ? "fp32" : "w8a8");
        ck_assert_int_eq(json_is_null(json_object_get(root, "statistics")), i == 0);
        ck_assert_int_eq(json_is_null(json_object_get(root, "recipe")), i == 0);
        parameters[i] = number(root, "parameters");
        json_decref(root);
        free(text);
    }
    ck_assert(parameters[0] == parameters[1]);
    // Once more needs force, and a quantized model is no source.
    ck_assert_int_eq(oct_quantize(d.source, d.out, d.device, d.ids, N_IDS, NULL, NULL),
                     OCT_ERR_ARG);
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.force = true;
    assert_ok(oct_quantize(d.source, d.out, d.device, d.ids, N_IDS, &options, NULL));
    char twice[4300];
    snprintf(twice, sizeof twice, "%s-twice", d.out);
    ck_assert_int_eq(oct_quantize(d.out, twice, d.device, d.ids, N_IDS, NULL, NULL), OCT_ERR_ARG);
    ck_assert(!exists(twice));
    close_directories(&d);
}
END_TEST

START_TEST(what_cannot_be_quantized_is_refused_and_leaves_nothing)
{
    directories d;
    open_directories(&d);
    ck_assert_int_eq(oct_quantize(d.source, d.out, d.device, d.ids, 0, NULL, NULL), OCT_ERR_ARG);
    ck_assert_int_eq(oct_quantize(d.source, d.out, d.device, d.ids, 1, NULL, NULL), OCT_ERR_ARG);
    d.ids[3] = 101;
    ck_assert_int_eq(oct_quantize(d.source, d.out, d.device, d.ids, N_IDS, NULL, NULL),
                     OCT_ERR_ARG);
    d.ids[3] = 3;
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.calibrator = "percentile:20";
    ck_assert_int_eq(oct_quantize(d.source, d.out, d.device, d.ids, N_IDS, &options, NULL),
                     OCT_ERR_ARG);
    ck_assert_int_eq(oct_quantize("/nowhere", d.out, d.device, d.ids, N_IDS, NULL, NULL),
                     OCT_ERR_IO);
    ck_assert(!exists(d.out));
    close_directories(&d);
}
END_TEST

typedef struct stopper {
    int calls, stop_at;
    double last;
} stopper;

static int stop(void *user, double fraction, const char *what, double rate, const char *unit)
{
    stopper *s = user;
    ck_assert_msg(fraction >= s->last && fraction <= 1.0, "%s: %g after %g", what, fraction,
                  s->last);
    ck_assert(rate >= 0.0 && unit != NULL);
    s->last = fraction;
    return ++s->calls == s->stop_at;
}

START_TEST(a_callback_that_returns_nonzero_cancels_at_every_call)
{
    directories d;
    open_directories(&d);
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.progress = stop;
    stopper whole = {0};
    options.user = &whole;
    assert_ok(oct_quantize(d.source, d.out, d.device, d.ids, N_IDS, &options, NULL));
    ck_assert(whole.last == 1.0);
    char out[4300];
    snprintf(out, sizeof out, "%s-cancelled", d.out);
    for (int at = 1; at <= whole.calls; at++) {
        stopper s = {0, at, 0.0};
        options.user = &s;
        ck_assert_int_eq(oct_quantize(d.source, out, d.device, d.ids, N_IDS, &options, NULL),
                         OCT_ERR_CANCELLED);
        ck_assert(!exists(out));
        ck_assert_int_eq(s.calls, at);
    }
    close_directories(&d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quantize");
    TCase *tcase = tcase_create("end to end");
    tcase_add_test(tcase, a_site_is_judged_by_odd_sequences_and_frozen_by_all);
    tcase_add_loop_test(tcase, statistics_are_plausible, 0, 2);
    tcase_add_test(tcase, without_rows_to_judge_alpha_is_0_7);
    tcase_add_test(tcase, a_directory_is_quantized_and_inspected);
    tcase_add_test(tcase, what_cannot_be_quantized_is_refused_and_leaves_nothing);
    tcase_add_test(tcase, a_callback_that_returns_nonzero_cancels_at_every_call);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
