// tests: the alpha search and the observer against plain loops written from NUMERICS.md, sections 7
// and 8.
#include "infer/engine.h"
#include "octet/numerics.h"
#include "quant/alpha_search.h"
#include "quant/calibration_run.h"
#include "quant/column_factors.h"
#include "quant/fold.h"

#include "quant_fixture.h"
#include "test_util.h"

// ---- the search

typedef struct search_case {
    int32_t n, k, rows;
    bool dynamic, asymmetric, position_0;
} search_case;

static const search_case cases[] = {
    {37, 53, 40, false, false, true}, {64, 128, 200, false, true, true},
    {17, 48, 9, false, false, false}, {130, 31, 130, true, false, false},
    {8, 200, 33, false, true, false},
};

typedef struct search_data {
    float *w, *x;       // [n][k], [rows][k]
    float *four;        // ranges
    site_ranges ranges; // [k]
} search_data;

// Inputs with a few heavy channels; ranges that some rows exceed.
static search_data make_data(const search_case *c, uint64_t seed)
{
    size_t k = (size_t)c->k;
    search_data d;
    d.w = malloc((size_t)c->n * k * sizeof(float));
    d.x = malloc((size_t)c->rows * k * sizeof(float));
    d.four = calloc(4 * k, sizeof(float));
    d.ranges = (site_ranges){d.four, d.four + k, d.four + 2 * k, d.four + 3 * k};
    for (size_t i = 0; i < (size_t)c->n * k; i++) {
        d.w[i] = 0.1f * test_normal(&seed);
    }
    for (size_t j = 0; j < k; j++) {
        float size = j % 17 == 3 ? 20.0f : j == 5 ? 0.0f : 1.0f;
        for (size_t t = 0; t < (size_t)c->rows; t++) {
            float v = size * test_normal(&seed);
            v = c->asymmetric && v < 0.0f ? 0.05f * v : v;
            d.x[t * k + j] = v;
            if (t % 2 == 0) {
                d.ranges.min[j] = fminf(d.ranges.min[j], v);
                d.ranges.max[j] = fmaxf(d.ranges.max[j], v);
            }
        }
        d.ranges.min_0[j] = 3.0f * d.ranges.min[j];
        d.ranges.max_0[j] = 2.0f * d.ranges.max[j];
    }
    return d;
}

static void free_data(search_data *d)
{
    free(d->w);
    free(d->x);
    free(d->four);
}

// E of one alpha in plain loops.
static double plain_error(const search_case *c, const search_data *d, float alpha)
{
    size_t k = (size_t)c->k;
    size_t n = (size_t)c->n;
    float *cs = malloc(k * sizeof *cs);
    float *ax = malloc(3 * k * sizeof *ax);
    int8_t *wq = malloc(n * k);
    float *w_step = malloc(n * sizeof *w_step);
    float lo = 0.0f;
    float hi = 0.0f;
    for (size_t j = 0; j < k; j++) {
        cs[j] = 1.0f;
        ax[j] = fmaxf(fmaxf(-d->ranges.min[j], d->ranges.max[j]),
                      fmaxf(-d->ranges.min_0[j], d->ranges.max_0[j]));
        ax[k + j] = 0.0f;
        for (size_t i = 0; i < n; i++) {
            ax[k + j] = fmaxf(ax[k + j], fabsf(d->w[i * k + j]));
        }
    }
    if (alpha >= 0.0f) {
        column_factors_compute(ax, ax + k, c->k, alpha, cs, ax + 2 * k);
    }
    for (size_t j = 0; j < k; j++) {
        lo = fminf(lo, d->ranges.min[j] / cs[j]);
        hi = fmaxf(hi, d->ranges.max[j] / cs[j]);
        if (!c->position_0) {
            lo = fminf(lo, d->ranges.min_0[j] / cs[j]);
            hi = fmaxf(hi, d->ranges.max_0[j] / cs[j]);
        }
    }
    float step = fmaxf(-lo, hi) / 127.0f;
    int32_t z = 0;
    if (c->asymmetric) {
        step = (hi - lo) / 255.0f;
        z = (int32_t)fminf(fmaxf(rintf(-128.0f - lo / step), -128.0f), 127.0f);
    }
    step = c->dynamic ? 1.0f : step;
    for (size_t i = 0; i < n; i++) {
        float top = 0.0f;
        for (size_t j = 0; j < k; j++) {
            top = fmaxf(top, fabsf(d->w[i * k + j] * cs[j]));
        }
        w_step[i] = top / 127.0f;
        for (size_t j = 0; j < k; j++) {
            float product = d->w[i * k + j] * cs[j];
            wq[i * k + j] = (int8_t)rintf(product / w_step[i]);
        }
    }
    double error = 0.0;
    float *y = malloc(k * sizeof *y);
    for (size_t t = 0; t < (size_t)c->rows; t++) {
        float a = 0.0f;
        for (size_t j = 0; j < k; j++) {
            float r = (float)(1.0 / ((double)step * (double)cs[j]));
            y[j] = d->x[t * k + j] * r;
            a = fmaxf(a, fabsf(y[j]));
        }
        float rho = c->dynamic ? 127.0f / a : 1.0f;
        float sigma = c->dynamic ? a / 127.0f : 1.0f;
        double row = 0.0;
        for (size_t i = 0; i < n; i++) {
            int32_t acc = 0;
            float ref = 0.0f;
            for (size_t j = 0; j < k; j++) {
                float v = y[j] * rho;
                int32_t low = (c->asymmetric ? -128 : -127) - z;
                v = fminf(fmaxf(v, (float)low), (float)(127 - z));
                int32_t q = (int32_t)rintf(v) + z;
                acc += (q - z) * wq[i * k + j];
                ref = fmaf(d->x[t * k + j], d->w[i * k + j], ref);
            }
            float mul = step * w_step[i];
            float out = (float)acc * (mul * sigma);
            double difference = (double)out - (double)ref;
            row += difference * difference;
        }
        error += row;
    }
    free(y);
    free(cs);
    free(ax);
    free(wq);
    free(w_step);
    return error;
}

// A model whose largest linear is the one of the case: it only sizes the search's buffers.
static gpt2_model *sizing_model(const search_case *c)
{
    gpt2_config config = model_maker_config(1, 1, 8, 8, 8);
    gpt2_model *model;
    assert_ok(gpt2_model_new(&model, &config, OCT_FORMAT_F32));
    model->lm_head.n = c->n;
    model->lm_head.k = c->k;
    return model;
}

static alpha_result run_search(const search_case *c, const search_data *d, int32_t threads,
                               const char *isa)
{
    oct_device *device = fixture_device(threads, isa);
    oct_team *team;
    assert_ok(oct_team_open(&team, threads));
    gpt2_model *model = sizing_model(c);
    gpt2_linear linear = {.n = c->n, .k = c->k, .w_f32 = d->w};
    oct_linear reference = {.format = OCT_FORMAT_F32, .n = c->n, .k = c->k};
    size_t bytes = device->ops->linear_bytes(device, OCT_FORMAT_F32, c->n, c->k);
    assert_ok(device->table->alloc(device, bytes, &reference.weight));
    assert_ok(device->ops->linear_pack(device, reference.weight, OCT_FORMAT_F32, c->n, c->k, d->w));
    alpha_search *search;
    assert_ok(alpha_search_open(&search, device, team, model, c->rows));
    alpha_task task = {.linear = &linear,
                       .reference = &reference,
                       .ranges = &d->ranges,
                       .rows = d->x,
                       .dynamic = c->dynamic,
                       .asymmetric = c->asymmetric,
                       .position_0 = c->position_0};
    alpha_result result;
    assert_ok(alpha_search_run(search, &task, &result));
    alpha_search_close(search);
    device->table->free(device, reference.weight);
    gpt2_model_close(model);
    oct_team_close(team);
    oct_device_close(device);
    return result;
}

START_TEST(errors_are_those_of_plain_loops_to_the_last_bit)
{
    const search_case *c = &cases[_i];
    search_data d = make_data(c, (uint64_t)_i + 40);
    for (int threads = 1; threads <= 3; threads++) {
        alpha_result got = run_search(c, &d, threads, threads == 1 ? "scalar" : NULL);
        int32_t best = 0;
        for (int i = 0; i < RECIPE_ALPHAS; i++) {
            double want = plain_error(c, &d, recipe_alphas[i].value);
            ck_assert_msg(got.error[i] == want, "alpha %s: got %.17g, expected %.17g",
                          recipe_alphas[i].name, got.error[i], want);
            best = got.error[i] < got.error[best] ? i : best;
        }
        ck_assert_int_eq(got.chosen, best);
    }
    free_data(&d);
}
END_TEST

START_TEST(ties_go_to_the_alpha_listed_first)
{
    // All inputs zero: every alpha is exact.
    search_case c = {16, 32, 20, false, false, true};
    search_data d = make_data(&c, 4);
    memset(d.x, 0, 20 * 32 * sizeof(float));
    alpha_result got = run_search(&c, &d, 1, NULL);
    ck_assert_int_eq(got.chosen, 0);
    ck_assert(got.error[0] == 0.0 && got.error[5] == 0.0);
    free_data(&d);
}
END_TEST

// ---- the observer

#define LENGTH  11 // tokens of a sequence
#define N_TEXTS 9

// Collects one tap of all rows; sequences are equally long, even ones come first.
typedef struct collector {
    oct_device *device;
    const char *tap;
    int32_t layer;
    oct_buf buf;
    float *values; // [N_TEXTS * LENGTH][cols] in the order of the run
    size_t rows;
    int32_t cols;
} collector;

static oct_buf collect_want(void *user, const char *name, int32_t layer, int32_t rows, int32_t cols)
{
    collector *c = user;
    oct_buf none = {NULL, 0};
    (void)rows;
    (void)cols;
    return strcmp(name, c->tap) == 0 && layer == c->layer ? c->buf : none;
}

static oct_status collect_ready(void *user, const char *name, int32_t layer, oct_buf value,
                                int32_t rows, int32_t cols)
{
    collector *c = user;
    (void)name;
    (void)layer;
    c->cols = cols;
    float *to = c->values + c->rows * (size_t)cols;
    c->rows += (size_t)rows;
    return c->device->table->download(c->device, to, value,
                                      (size_t)rows * (size_t)cols * sizeof(float));
}

typedef struct observation {
    oct_device *device;
    gpt2_model *model, *folded;
    oct_engine *engine;
    int32_t *ids;
    calibration_text text;
    calibration_runner *runner;
} observation;

// The runner keeps a pointer to the text: `o` stays where it is.
static void open_observation(observation *o)
{
    *o = (observation){.device = fixture_device(2, NULL), .model = fixture_model(NULL, 6)};
    size_t offsets[N_TEXTS + 1];
    for (size_t i = 0; i <= N_TEXTS; i++) {
        offsets[i] = i * LENGTH;
    }
    o->ids = fixture_ids(N_TEXTS * LENGTH, 101, 5);
    assert_ok(fold_model(&o->folded, o->model));
    assert_ok(oct_engine_from_model(&o->engine, o->device, o->folded));
    assert_ok(
        calibration_text_cut(&o->text, o->ids, N_TEXTS * LENGTH, offsets, N_TEXTS, 32, 101, 128));
    assert_ok(calibration_runner_open(&o->runner, o->engine, &o->text, 32)); // two sequences a step
}

static void close_observation(observation *o)
{
    calibration_runner_close(o->runner);
    calibration_text_free(&o->text);
    oct_engine_close(o->engine);
    gpt2_model_close(o->folded);
    gpt2_model_close(o->model);
    free(o->ids);
    oct_device_close(o->device);
}

static float *collect(observation *o, const char *tap, int32_t layer)
{
    collector c = {.device = o->device, .tap = tap, .layer = layer};
    c.values = calloc(N_TEXTS * LENGTH * 192, sizeof(float));
    assert_ok(o->device->table->alloc(o->device, 32 * 192 * sizeof(float), &c.buf));
    oct_tap_sink sink = {&c, collect_want, collect_ready};
    quant_progress silent = {0};
    assert_ok(calibration_run(o->runner, NULL, NULL, &sink, &silent));
    ck_assert_uint_eq(c.rows, N_TEXTS * LENGTH);
    o->device->table->free(o->device, c.buf);
    return c.values;
}

// Sites to look at: the tap, its width and where the site's columns begin in it.
static const struct {
    site_kind kind;
    const char *tap;
    int32_t layer, width, first, cols;
} taps[] = {
    {SITE_C_ATTN, "ln_1", 1, 48, 0, 48},   {SITE_ATTN_C_PROJ, "attn", 2, 48, 0, 48},
    {SITE_C_FC, "ln_2", 0, 48, 0, 48},     {SITE_MLP_C_PROJ, "act", 2, 192, 0, 192},
    {SITE_LM_HEAD, "ln_f", -1, 48, 0, 48}, {SITE_K, "c_attn", 1, 144, 48, 48},
    {SITE_V, "c_attn", 1, 144, 96, 48},
};

// The sequence that row t of a run belongs to.
static int32_t sequence_of(size_t t)
{
    int32_t i = (int32_t)(t / LENGTH);
    int32_t evens = (N_TEXTS + 1) / 2;
    return i < evens ? 2 * i : 2 * (i - evens) + 1;
}

START_TEST(the_observer_sees_what_the_taps_hold)
{
    observation o;
    open_observation(&o);
    quant_observer *observer;
    quant_progress silent = {0};
    assert_ok(observer_open(&observer, o.device, &o.model->config, 32, o.text.n_kept));
    assert_ok(calibration_run(o.runner, NULL, observer, NULL, &silent));
    int32_t site = site_find(&o.model->config, taps[_i].kind, taps[_i].layer);
    int32_t cols = taps[_i].cols;
    float *rows = collect(&o, taps[_i].tap, taps[_i].layer);
    float *kept = calloc((size_t)o.text.n_kept * (size_t)cols, sizeof *kept);
    float buckets[3];
    assert_ok(observer_read_buckets(observer, site, buckets));
    bool linear = taps[_i].kind <= SITE_LM_HEAD;
    if (linear) {
        assert_ok(observer_read_rows(observer, site, kept));
    }
    float want_buckets[3] = {0};
    int32_t n_kept = 0;
    for (int32_t parity = 0; parity < 2; parity++) {
        float four[4][192] = {{0}};
        float got[4][192];
        site_ranges ranges = {got[0], got[1], got[2], got[3]};
        assert_ok(observer_read_ranges(observer, site, parity, &ranges));
        for (size_t t = 0; t < N_TEXTS * LENGTH; t++) {
            size_t position = t % LENGTH;
            const float *x = rows + t * (size_t)taps[_i].width + taps[_i].first;
            for (int32_t c = 0; c < cols && sequence_of(t) % 2 == parity; c++) {
                int low = position == 0 ? 0 : 2;
                four[low][c] = fminf(four[low][c], x[c]);
                four[low + 1][c] = fmaxf(four[low + 1][c], x[c]);
                size_t bucket = position == 0 ? 0 : position <= 3 ? 1 : 2;
                want_buckets[bucket] = fmaxf(want_buckets[bucket], fabsf(x[c]));
            }
            if (linear && parity == 1 && sequence_of(t) % 2 == 1 && position > 0) {
                assert_f32_bits(kept + (size_t)n_kept++ * (size_t)cols, x, (size_t)cols, "kept");
            }
        }
        for (int i = 0; i < 4; i++) {
            assert_f32_bits(got[i], four[i], (size_t)cols, "range");
        }
    }
    assert_f32_bits(buckets, want_buckets, 3, "bucket");
    ck_assert_int_eq(n_kept, linear ? o.text.n_kept : 0);
    free(kept);
    free(rows);
    observer_close(observer);
    close_observation(&o);
}
END_TEST

START_TEST(histograms_and_moments_are_those_of_the_taps)
{
    observation o;
    open_observation(&o);
    quant_observer *observer;
    quant_progress silent = {0};
    int32_t n_sites = site_count(&o.model->config);
    int32_t site = site_find(&o.model->config, taps[_i].kind, taps[_i].layer);
    int32_t cols = taps[_i].cols;
    float *rows = collect(&o, taps[_i].tap, taps[_i].layer);
    float factors[192];
    float absmax = 0.0f;
    float top = 0.0f;
    for (int32_t c = 0; c < cols; c++) {
        factors[c] = 0.5f + 0.01f * (float)c;
    }
    bool linear = taps[_i].kind <= SITE_LM_HEAD;
    for (size_t t = 0; t < N_TEXTS * LENGTH; t++) {
        for (int32_t c = 0; c < cols; c++) {
            float x = rows[t * (size_t)taps[_i].width + (size_t)(taps[_i].first + c)];
            top = fmaxf(top, fabsf(x));
            absmax = t % LENGTH == 0 ? absmax : fmaxf(absmax, fabsf(linear ? x / factors[c] : x));
        }
    }
    int exponent;
    frexpf(top, &exponent);
    float mul = ldexpf(1.0f, 15 - (exponent - 1));
    site_scale *scales = calloc((size_t)n_sites, sizeof *scales);
    for (int32_t i = 0; i < n_sites; i++) {
        scales[i] = (site_scale){NULL, 1.0f, 1.0f};
    }
    scales[site] = (site_scale){linear ? factors : NULL, absmax, mul};
    assert_ok(observer_open(&observer, o.device, &o.model->config, 32, 0));
    assert_ok(observer_begin_histograms(observer, scales));
    int32_t order[N_TEXTS] = {8, 1, 6, 3, 4, 5, 2, 7, 0};
    assert_ok(calibration_run(o.runner, order, observer, NULL, &silent));
    uint64_t want[CALIBRATOR_BINS] = {0};
    site_moments moments = {0};
    for (size_t t = 0; t < N_TEXTS * LENGTH; t++) {
        for (int32_t c = 0; c < cols; c++) {
            float x = rows[t * (size_t)taps[_i].width + (size_t)(taps[_i].first + c)];
            int64_t v = lrintf(x * mul);
            ck_assert(v >= -65536 && v <= 65536);
            moments.sum += v;
            moments.sum_squares += v * v;
            moments.count++;
            if (t % LENGTH != 0) {
                int bin = (int)(fabsf(linear ? x / factors[c] : x) * (2048.0f / absmax));
                want[bin < 2047 ? bin : 2047]++;
            }
        }
    }
    uint64_t bins[CALIBRATOR_BINS];
    site_moments got;
    assert_ok(observer_read_histogram(observer, site, bins, &got));
    for (int i = 0; i < CALIBRATOR_BINS; i++) {
        ck_assert_msg(bins[i] == want[i], "bin %d: got %llu, expected %llu", i,
                      (unsigned long long)bins[i], (unsigned long long)want[i]);
    }
    ck_assert(got.sum == moments.sum && got.sum_squares == moments.sum_squares);
    ck_assert(got.count == moments.count);
    free(scales);
    free(rows);
    observer_close(observer);
    close_observation(&o);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("alpha search");
    TCase *search = tcase_create("search");
    tcase_add_loop_test(search, errors_are_those_of_plain_loops_to_the_last_bit, 0,
                        (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(search, ties_go_to_the_alpha_listed_first);
    suite_add_tcase(suite, search);
    TCase *observer = tcase_create("observer");
    int n_taps = (int)(sizeof taps / sizeof taps[0]);
    tcase_add_loop_test(observer, the_observer_sees_what_the_taps_hold, 0, n_taps);
    tcase_add_loop_test(observer, histograms_and_moments_are_those_of_the_taps, 0, n_taps);
    suite_add_tcase(suite, observer);
    return test_main(suite);
}
