// CALIBRATE, QUANTIZE: fold, pass 1, search, pass 2, freeze (NUMERICS.md section 8, step by step).
#include "quant/quantize.h"

#include "base/check.h"
#include "base/logging.h"
#include "octet/numerics.h"
#include "quant/calibration_run.h"
#include "quant/column_factors.h"
#include "quant/fold.h"
#include "quant/freeze.h"
#include "quant/statistics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_K 66311 // 255 * 127 * K < 2^31 (section 3)

// Shares of the progress bar.
#define DONE_PASS_1 0.35
#define DONE_SEARCH 0.60
#define DONE_PASS_2 0.95

typedef struct quant_job {
    const gpt2_model *source; // borrowed
    oct_device *device;       // borrowed
    quant_recipe recipe;
    quant_tuning tuning;
    quant_progress progress;
    calibration_text text;
    oct_team *team;
    gpt2_model *folded;
    oct_engine *engine; // the folded model
    quant_observer *observer;
    calibration_runner *runner;
    oct_arena arena;
    site_record *records; // [n_sites]
    int32_t n_sites, n_linears;
    bool searching; // some linear's alpha is found by search
    oct_quantize_result times;
} quant_job;

static bool is_smooth(const quant_job *job, site_kind kind)
{
    return (job->recipe.no_smooth & 1u << kind) == 0;
}

// Step 1, and everything the passes need.
static oct_status prepare(quant_job *job, const oct_quantize_options *options, const int32_t *ids,
                          size_t n_ids)
{
    const gpt2_config *config = &job->source->config;
    OCT_TRY(quant_recipe_parse(&job->recipe, options));
    if (options != NULL) {
        job->progress.fn = options->progress;
        job->progress.user = options->user;
    }
    OCT_REQUIRE(config->n_embd <= MAX_K && config->n_inner <= MAX_K, OCT_ERR_ARG,
                "INT8 linears: expected at most %d inputs, got n_embd %d and n_inner %d", MAX_K,
                config->n_embd, config->n_inner);
    OCT_TRY(calibration_text_cut(&job->text, ids, n_ids, options != NULL ? options->offsets : NULL,
                                 options != NULL ? options->n_documents : 0, config->n_positions,
                                 config->vocab_size, job->recipe.max_sequences));
    job->searching = job->recipe.search && job->text.n_kept > 0;
    job->n_sites = site_count(config);
    job->n_linears = site_linear_count(config);
    job->records = oct_arena_alloc(&job->arena, (size_t)job->n_sites, sizeof *job->records);
    if (job->records == NULL) {
        return OCT_ERR_NOMEM;
    }
    oct_device_info info;
    OCT_TRY(job->device->table->info(job->device, &info));
    OCT_TRY(oct_team_open(&job->team, info.n_threads));
    OCT_TRY(fold_model(&job->folded, job->source));
    OCT_TRY(oct_engine_from_model(&job->engine, job->device, job->folded));
    OCT_TRY(observer_open(&job->observer, job->device, config,
                          calibration_max_rows(&job->text, job->tuning.max_rows),
                          job->searching ? job->text.n_kept : 0));
    return calibration_runner_open(&job->runner, job->engine, &job->text, job->tuning.max_rows);
}

static oct_status alloc_ranges(quant_job *job, site_ranges *out, size_t cols)
{
    float *all = oct_arena_alloc(&job->arena, 4 * cols, sizeof(float));
    if (all == NULL) {
        return OCT_ERR_NOMEM;
    }
    *out = (site_ranges){all, all + cols, all + 2 * cols, all + 3 * cols};
    return OCT_OK;
}

static void widen(float *low, float *high, const float *other_low, const float *other_high,
                  int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        low[i] = other_low[i] < low[i] ? other_low[i] : low[i];
        high[i] = other_high[i] > high[i] ? other_high[i] : high[i];
    }
}

// Reads what pass 1 saw: `even` alone for the search, both parities together for what is frozen.
static oct_status read_site(quant_job *job, int32_t index)
{
    site_record *r = &job->records[index];
    r->site = site_at(&job->source->config, index);
    int32_t cols = r->site.cols;
    OCT_TRY(alloc_ranges(job, &r->even, (size_t)cols));
    OCT_TRY(alloc_ranges(job, &r->ranges, (size_t)cols));
    OCT_TRY(observer_read_ranges(job->observer, index, 0, &r->even));
    OCT_TRY(observer_read_ranges(job->observer, index, 1, &r->ranges));
    widen(r->ranges.min_0, r->ranges.max_0, r->even.min_0, r->even.max_0, cols);
    widen(r->ranges.min, r->ranges.max, r->even.min, r->even.max, cols);
    OCT_TRY(observer_read_buckets(job->observer, index, r->bucket_absmax));
    for (int i = 0; i < 3; i++) {
        OCT_REQUIRE(isfinite(r->bucket_absmax[i]), OCT_ERR_FORMAT,
                    "%s: expected finite activations in FP32, got an absmax of %g", r->site.name,
                    (double)r->bucket_absmax[i]);
    }
    return OCT_OK;
}

// Step 2.
static oct_status pass_1(quant_job *job)
{
    double started = quant_seconds();
    quant_progress_part(&job->progress, 0.0, DONE_PASS_1, "calibrating: ranges", "tokens/s");
    OCT_TRY(calibration_run(job->runner, job->tuning.order, job->observer, NULL, &job->progress));
    for (int32_t i = 0; i < job->n_sites; i++) {
        OCT_TRY(read_site(job, i));
    }
    job->times.calibration_seconds += quant_seconds() - started;
    return OCT_OK;
}

static bool is_asymmetric(const quant_job *job, const site_record *r)
{
    return job->recipe.zero_point && r->site.kind == SITE_MLP_C_PROJ;
}

static const oct_linear *engine_linear(const oct_engine *engine, const quant_site *site)
{
    switch (site->kind) {
    case SITE_C_ATTN:
        return &engine->layers[site->layer].c_attn;
    case SITE_ATTN_C_PROJ:
        return &engine->layers[site->layer].attn_c_proj;
    case SITE_C_FC:
        return &engine->layers[site->layer].c_fc;
    case SITE_MLP_C_PROJ:
        return &engine->layers[site->layer].mlp_c_proj;
    default:
        return &engine->lm_head;
    }
}

static oct_status search_linear(quant_job *job, alpha_search *search, int32_t index, float *rows)
{
    site_record *r = &job->records[index];
    OCT_TRY(observer_read_rows(job->observer, index, rows));
    alpha_task task = {.linear = site_linear(job->folded, index),
                       .reference = engine_linear(job->engine, &r->site),
                       .ranges = &r->even,
                       .rows = rows,
                       .dynamic = job->recipe.dynamic,
                       .asymmetric = is_asymmetric(job, r),
                       .position_0 = job->recipe.position_0};
    OCT_TRY(alpha_search_run(search, &task, &r->search));
    r->searched = true;
    oct_log(OCT_LOG_DEBUG, "quant", "%s: alpha %s", r->site.name,
            recipe_alphas[r->search.chosen].name);
    return OCT_OK;
}

// Step 4, for every linear whose alpha is open.
static oct_status search_alphas(quant_job *job)
{
    if (!job->searching) {
        return OCT_OK;
    }
    double started = quant_seconds();
    const gpt2_config *config = &job->source->config;
    size_t widest = (size_t)(config->n_inner > config->n_embd ? config->n_inner : config->n_embd);
    alpha_search *search = NULL;
    oct_status status = OCT_OK;
    quant_progress_part(&job->progress, DONE_PASS_1, DONE_SEARCH, "choosing column factors",
                        "linears/s");
    float *rows = calloc((size_t)job->text.n_kept * widest, sizeof *rows);
    if (rows == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "no memory for %d rows of %zu values", job->text.n_kept,
                          widest);
        goto end;
    }
    OCT_TRY_GOTO(alpha_search_open(&search, job->device, job->team, job->folded, job->text.n_kept),
                 end);
    for (int32_t i = 0; i < job->n_linears; i++) {
        if (is_smooth(job, job->records[i].site.kind)) {
            OCT_TRY_GOTO(search_linear(job, search, i, rows), end);
        }
        OCT_TRY_GOTO(quant_progress_report(&job->progress, i + 1, job->n_linears), end);
    }
    observer_drop_rows(job->observer);
end:
    alpha_search_close(search);
    free(rows);
    job->times.search_seconds = quant_seconds() - started;
    return status;
}

// Step 3 with the alpha that was chosen, from all sequences.
static oct_status decide_factors(quant_job *job)
{
    const quant_recipe *recipe = &job->recipe;
    for (int32_t i = 0; i < job->n_linears; i++) {
        site_record *r = &job->records[i];
        const gpt2_linear *linear = site_linear(job->folded, i);
        float alpha = r->searched ? recipe_alphas[r->search.chosen].value : recipe->alpha;
        r->alpha = r->searched ? recipe_alphas[r->search.chosen].name : recipe->alpha_name;
        if (!is_smooth(job, r->site.kind)) {
            r->alpha = recipe_alphas[0].name;
            continue;
        }
        if (alpha < 0.0f) {
            continue;
        }
        size_t k = (size_t)linear->k;
        float *cs = oct_arena_alloc(&job->arena, k, sizeof *cs);
        float *scratch = oct_arena_alloc(&job->arena, 3 * k, sizeof *scratch);
        if (cs == NULL || scratch == NULL) {
            return OCT_ERR_NOMEM;
        }
        float *ax = scratch + k;
        float *aw = scratch + 2 * k;
        column_factors_input_absmax(&r->ranges, linear->k, ax);
        column_factors_weight_absmax(linear->w_f32, linear->n, linear->k, aw);
        column_factors_compute(ax, aw, linear->k, alpha, cs, scratch);
        r->column_factors = cs;
    }
    return OCT_OK;
}

// The scale of pass 2: an absmax below 2^-100 counts as nothing to see.
static void make_scale(site_record *r)
{
    float lo, hi;
    column_factors_range(r->ranges.min, r->ranges.max, r->column_factors, r->site.cols, &lo, &hi);
    float absmax = -lo > hi ? -lo : hi;
    r->scale.column_factors = r->column_factors;
    r->scale.absmax = absmax < OCT_TINY ? 0.0f : absmax;
    float top = 0.0f;
    for (int i = 0; i < 3; i++) {
        top = r->bucket_absmax[i] > top ? r->bucket_absmax[i] : top;
    }
    r->scale.moment_mul = top < OCT_TINY ? 1.0f : ldexpf(1.0f, 15 - ilogbf(top));
    r->histogram.absmax = r->scale.absmax;
}

// Step 5. Calibrators that need no histogram do not wait for it, the statistics kept with the model
// do.
static oct_status pass_2(quant_job *job)
{
    double started = quant_seconds();
    site_scale *scales = oct_arena_alloc(&job->arena, (size_t)job->n_sites, sizeof *scales);
    if (scales == NULL) {
        return OCT_ERR_NOMEM;
    }
    for (int32_t i = 0; i < job->n_sites; i++) {
        make_scale(&job->records[i]);
        scales[i] = job->records[i].scale;
    }
    OCT_TRY(observer_begin_histograms(job->observer, scales));
    quant_progress_part(&job->progress, job->searching ? DONE_SEARCH : DONE_PASS_1, DONE_PASS_2,
                        "calibrating: histograms", "tokens/s");
    OCT_TRY(calibration_run(job->runner, job->tuning.order, job->observer, NULL, &job->progress));
    for (int32_t i = 0; i < job->n_sites; i++) {
        site_record *r = &job->records[i];
        OCT_TRY(observer_read_histogram(job->observer, i, r->histogram.bins, &r->moments));
    }
    job->times.calibration_seconds += quant_seconds() - started;
    return OCT_OK;
}

static void decide_steps(quant_job *job)
{
    const quant_recipe *recipe = &job->recipe;
    for (int32_t i = 0; i < job->n_sites; i++) {
        site_record *r = &job->records[i];
        r->edge = CALIBRATOR_BINS;
        if (i >= job->n_linears) {
            continue; // k and v: absmax by channel
        }
        if (recipe->dynamic) {
            r->input = input_steps_dynamic();
            continue;
        }
        r->edge = calibrator_edge(&recipe->calibrator, &r->histogram);
        float amax = r->edge < CALIBRATOR_BINS ? calibrator_amax(&r->histogram, r->edge) : INFINITY;
        input_range range =
            input_range_find(&r->ranges, r->column_factors, r->site.cols, amax, recipe->position_0);
        r->input = input_steps_static(&range, is_asymmetric(job, r), recipe->position_0);
    }
}

// Step 6.
static oct_status freeze(quant_job *job, gpt2_model **out)
{
    quant_progress_part(&job->progress, DONE_PASS_2, 1.0, "quantizing", "linears/s");
    OCT_TRY(quant_progress_report(&job->progress, 0, job->n_linears));
    decide_steps(job);
    size_t n_kv = 2 * (size_t)job->source->config.n_layer;
    freeze_decision *decisions =
        oct_arena_alloc(&job->arena, (size_t)job->n_linears, sizeof *decisions);
    site_ranges *kv = oct_arena_alloc(&job->arena, n_kv, sizeof *kv);
    if (decisions == NULL || kv == NULL) {
        return OCT_ERR_NOMEM;
    }
    for (int32_t i = 0; i < job->n_linears; i++) {
        const site_record *r = &job->records[i];
        decisions[i] = (freeze_decision){r->alpha, r->column_factors, r->input};
    }
    for (size_t i = 0; i < n_kv; i++) {
        kv[i] = job->records[(size_t)job->n_linears + i].ranges;
    }
    gpt2_recipe recipe = {.zero_point = job->recipe.zero_point,
                          .position_0 = job->recipe.position_0,
                          .blocks = job->text.n,
                          .numerics_version = OCT_NUMERICS_VERSION};
    snprintf(recipe.scheme, sizeof recipe.scheme, "%s", job->recipe.scheme);
    snprintf(recipe.calibrator, sizeof recipe.calibrator, "%s", job->recipe.calibrator_name);
    snprintf(recipe.calibration_sha256, sizeof recipe.calibration_sha256, "%s", job->text.sha256);
    OCT_TRY(freeze_model(out, job->team, job->folded, decisions, kv, &recipe));
    oct_status status = quant_progress_report(&job->progress, job->n_linears, job->n_linears);
    if (status != OCT_OK) {
        gpt2_model_close(*out);
        *out = NULL;
    }
    return status;
}

static void release(quant_job *job)
{
    calibration_runner_close(job->runner);
    observer_close(job->observer);
    oct_engine_close(job->engine);
    gpt2_model_close(job->folded);
    oct_team_close(job->team);
    calibration_text_free(&job->text);
    oct_arena_free(&job->arena);
}

static void report(const quant_job *job, const gpt2_model *model, double started,
                   oct_quantize_result *result)
{
    gpt2_footprint before, after;
    gpt2_model_footprint(job->source, 4, &before);
    gpt2_model_footprint(model, 1, &after);
    *result = job->times;
    result->total_seconds = quant_seconds() - started;
    result->calibration_tokens = job->text.n_tokens;
    result->fp32_bytes = before.total;
    result->int8_bytes = after.total;
}

oct_status quant_quantize_model(const gpt2_model *fp32, oct_device *device, const int32_t *ids,
                                size_t n_ids, const oct_quantize_options *options,
                                const quant_tuning *tuning, gpt2_model **out, char **statistics,
                                oct_quantize_result *result)
{
    double started = quant_seconds();
    *out = NULL;
    if (statistics != NULL) {
        *statistics = NULL;
    }
    OCT_REQUIRE(fp32->format == OCT_FORMAT_F32, OCT_ERR_ARG,
                "expected an FP32 model to quantize, got one that is quantized already");
    quant_job job = {.source = fp32, .device = device};
    if (tuning != NULL) {
        job.tuning = *tuning;
    }
    oct_status status = OCT_OK;
    OCT_TRY_GOTO(prepare(&job, options, ids, n_ids), end);
    OCT_TRY_GOTO(pass_1(&job), end);
    OCT_TRY_GOTO(search_alphas(&job), end);
    OCT_TRY_GOTO(decide_factors(&job), end);
    OCT_TRY_GOTO(pass_2(&job), end);
    OCT_TRY_GOTO(freeze(&job, out), end);
    if (statistics != NULL) {
        OCT_TRY_GOTO(statistics_json(statistics, &job.recipe, &job.text,
                                     job.searching ? job.text.n_kept : 0, job.records, job.n_sites),
                     end);
    }
    if (result != NULL) {
        report(&job, *out, started, result);
    }
end:
    if (status != OCT_OK) {
        gpt2_model_close(*out);
        *out = NULL;
    }
    release(&job);
    return status;
}
