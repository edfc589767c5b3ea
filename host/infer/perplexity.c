// PREFILL: perplexity, logits hash and distance from a baseline over a text: windows are submitted
// as sessions and their integer sums added up.
#include "infer/perplexity.h"

#include "base/check.h"
#include "infer/batch.h"
#include "infer/compare.h"
#include "infer/score_windows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Rows of a step: enough that every weight is read once for many rows.
#define PERPLEXITY_ROWS         512
#define PERPLEXITY_LOGITS_BYTES ((size_t)64 << 20)
#define PERPLEXITY_SEQUENCES    64

typedef struct scoring scoring;

// A window that is in the batches.
typedef struct scoring_run {
    scoring *owner;
    size_t window;         // its number in the text
    oct_session *model;    // NULL = this place is free
    oct_session *baseline; // NULL without a baseline
    double kl;             // sum over its rows so far, in ascending position
} scoring_run;

// A row of the baseline's logits that waits for the model's.
typedef struct kept_row {
    const scoring_run *run;
    int32_t position;
} kept_row;

// One call of oct_perplexity.
struct scoring {
    const int32_t *ids;     // borrowed
    window_walk walk;       // windows not submitted yet
    size_t n_submitted;     // windows
    size_t n_windows;       // all of them
    int64_t n_rows;         // rows of all windows
    int64_t n_scored;       // scored rows of all windows
    int32_t longest;        // tokens of the longest window
    oct_batch *model;       // owned
    oct_batch *baseline;    // owned, or NULL
    scoring_run *runs;      // [n_runs] owned
    int32_t n_runs, n_busy; // places, and those in use
    oct_score_sums sums, baseline_sums;
    double seconds; // the model's steps without the comparison

    // With a baseline. Both batches have one shape and are given the same windows in the same
    // order, so each step has the same rows in both: it keeps the baseline's, then compares.
    int32_t vocab;
    float *rows;        // [max_logits][V] owned
    kept_row *kept;     // [max_logits] owned
    int32_t n_kept;     // rows the baseline has given in this step
    int32_t n_compared; // rows the model has
    bool out_of_step;   // they were not the same rows: a bug
    double compare_seconds;
    double *kl; // [n_windows] owned: sums of finished windows
    double max_kl;
    int64_t n_agree;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// ---- checks and sizes

static oct_status check_documents(const oct_perplexity_options *options, size_t n_ids)
{
    const size_t *offsets = options->offsets;
    OCT_REQUIRE(offsets[0] == 0, OCT_ERR_ARG,
                "first document: expected to start at token 0, got %zu", offsets[0]);
    for (size_t d = 0; d < options->n_documents; d++) {
        OCT_REQUIRE(offsets[d + 1] >= offsets[d], OCT_ERR_ARG,
                    "document %zu: expected to end at token %zu or later, got %zu", d, offsets[d],
                    offsets[d + 1]);
    }
    OCT_REQUIRE(offsets[options->n_documents] == n_ids, OCT_ERR_ARG,
                "last document: expected to end with the text's %zu tokens, got %zu", n_ids,
                offsets[options->n_documents]);
    return OCT_OK;
}

// Fills in the defaults of context and stride.
static oct_status check_arguments(const oct_engine *engine, const int32_t *ids, size_t n_ids,
                                  oct_perplexity_options *options)
{
    const gpt2_config *config = &engine->config;
    OCT_REQUIRE(options->struct_size == sizeof *options, OCT_ERR_ARG,
                "oct_perplexity_options: expected struct_size %zu, got %zu", sizeof *options,
                options->struct_size);
    OCT_REQUIRE(ids != NULL && n_ids >= 2, OCT_ERR_ARG,
                "text: expected at least 2 tokens, since the first is not scored, got %zu",
                ids != NULL ? n_ids : 0);
    if (options->context == 0) {
        options->context = config->n_positions;
    }
    OCT_REQUIRE(options->context >= 2 && options->context <= config->n_positions, OCT_ERR_ARG,
                "context: expected 2 to %d (the model's positions), got %d", config->n_positions,
                options->context);
    if (options->stride == 0) {
        options->stride = options->context;
    }
    OCT_REQUIRE(options->stride >= 1 && options->stride <= options->context, OCT_ERR_ARG,
                "stride: expected 1 to %d (the context), got %d", options->context,
                options->stride);
    for (size_t i = 0; i < n_ids; i++) {
        OCT_REQUIRE(ids[i] >= 0 && ids[i] < config->vocab_size, OCT_ERR_ARG,
                    "token %zu of the text: expected an id below %d (the vocabulary), got %d", i,
                    config->vocab_size, ids[i]);
    }
    if (options->offsets != NULL && options->n_documents > 0) {
        OCT_TRY(check_documents(options, n_ids));
    }
    if (options->baseline != NULL) {
        const gpt2_config *other = &options->baseline->config;
        OCT_REQUIRE(other->vocab_size == config->vocab_size, OCT_ERR_ARG,
                    "baseline: expected a vocabulary of %d, got %d", config->vocab_size,
                    other->vocab_size);
        OCT_REQUIRE(other->n_positions >= options->context, OCT_ERR_ARG,
                    "baseline: expected at least %d positions (the context), got %d",
                    options->context, other->n_positions);
    }
    return OCT_OK;
}

static oct_status measure_windows(scoring *s)
{
    window_walk walk = s->walk;
    score_window window;
    while (window_walk_next(&walk, &window)) {
        s->n_windows++;
        s->n_rows += window.n_ids;
        s->longest = window.n_ids > s->longest ? window.n_ids : s->longest;
    }
    s->n_scored = walk.score_index;
    OCT_REQUIRE(s->n_windows > 0, OCT_ERR_ARG,
                "documents: expected at least one of 2 tokens or more, got %zu shorter ones",
                s->walk.n_documents);
    return OCT_OK;
}

// Windows at a time: as many as fill a step while another one ends, and pages for the longest and
// for others of the mean length; a window that finds no pages waits.
static oct_batch_options choose_shape(const scoring *s)
{
    oct_batch_options shape = OCT_BATCH_OPTIONS_INIT;
    int64_t rows = s->n_rows < PERPLEXITY_ROWS ? s->n_rows : PERPLEXITY_ROWS;
    int64_t logits = (int64_t)(PERPLEXITY_LOGITS_BYTES / ((size_t)s->vocab * sizeof(float)));
    logits = logits < 16 ? 16 : logits;
    int64_t mean = s->n_rows / (int64_t)s->n_windows;
    int64_t sequences = (rows + mean - 1) / mean + 1;
    if (sequences > PERPLEXITY_SEQUENCES) {
        sequences = PERPLEXITY_SEQUENCES;
    }
    if (sequences > (int64_t)s->n_windows) {
        sequences = (int64_t)s->n_windows;
    }
    shape.max_rows = (int32_t)rows;
    shape.max_sequences = (int32_t)sequences;
    shape.max_logits = (int32_t)(logits < rows ? logits : rows);
    shape.n_pages =
        (int32_t)(kv_pages_needed(s->longest) + (sequences - 1) * kv_pages_needed(mean));
    return shape;
}

// ---- comparison

static void keep_baseline_row(void *user, int32_t position, const float *logits)
{
    scoring_run *run = user;
    scoring *s = run->owner;
    size_t row = (size_t)s->n_kept++;
    s->kept[row] = (kept_row){run, position};
    memcpy(s->rows + row * (size_t)s->vocab, logits, (size_t)s->vocab * sizeof *logits);
}

static void compare_model_row(void *user, int32_t position, const float *logits)
{
    scoring_run *run = user;
    scoring *s = run->owner;
    double start = now();
    int32_t row = s->n_compared++;
    if (row >= s->n_kept || s->kept[row].run != run || s->kept[row].position != position) {
        s->out_of_step = true;
        return;
    }
    row_distance distance =
        compare_rows(s->rows + (size_t)row * (size_t)s->vocab, logits, s->vocab);
    run->kl += distance.kl;
    s->max_kl = distance.kl > s->max_kl ? distance.kl : s->max_kl;
    s->n_agree += distance.top_1 ? 1 : 0;
    s->compare_seconds += now() - start;
}

// ---- the loop

static oct_status submit_window(scoring *s, scoring_run *run, const score_window *window)
{
    oct_request request = OCT_REQUEST_INIT;
    request.ids = s->ids + window->begin;
    request.n_ids = window->n_ids;
    request.score_begin = window->score_begin;
    request.score_index = window->score_index;
    request.user = run;
    *run = (scoring_run){.owner = s, .window = s->n_submitted};
    if (s->baseline != NULL) {
        request.on_logits = keep_baseline_row;
        OCT_TRY(oct_batch_submit(s->baseline, &request, &run->baseline));
        request.on_logits = compare_model_row;
    }
    OCT_TRY(oct_batch_submit(s->model, &request, &run->model));
    s->n_submitted++;
    s->n_busy++;
    return OCT_OK;
}

static oct_status submit_windows(scoring *s)
{
    score_window window;
    for (int32_t i = 0; i < s->n_runs; i++) {
        if (s->runs[i].model != NULL) {
            continue;
        }
        if (!window_walk_next(&s->walk, &window)) {
            break;
        }
        OCT_TRY(submit_window(s, &s->runs[i], &window));
    }
    return OCT_OK;
}

static void add_sums(oct_score_sums *to, const oct_score_sums *from)
{
    to->nll += from->nll;
    to->hash += from->hash;
    to->count += from->count;
}

// Adds up the windows that have ended and frees their places.
static oct_status collect(scoring *s)
{
    for (int32_t i = 0; i < s->n_runs; i++) {
        scoring_run *run = &s->runs[i];
        oct_session_info info;
        if (run->model == NULL) {
            continue;
        }
        oct_session_describe(run->model, &info);
        if (info.state != OCT_SESSION_FINISHED) {
            continue;
        }
        add_sums(&s->sums, &info.score);
        oct_session_close(run->model);
        run->model = NULL;
        s->n_busy--;
        if (s->baseline != NULL) {
            oct_session_describe(run->baseline, &info);
            OCT_REQUIRE(info.state == OCT_SESSION_FINISHED, OCT_ERR_BUG,
                        "window %zu: the model has finished, the baseline has not", run->window);
            add_sums(&s->baseline_sums, &info.score);
            oct_session_close(run->baseline);
            run->baseline = NULL;
            s->kl[run->window] = run->kl;
        }
    }
    return OCT_OK;
}

static oct_status step_batches(scoring *s)
{
    s->n_kept = 0;
    s->n_compared = 0;
    s->compare_seconds = 0.0;
    if (s->baseline != NULL) {
        OCT_TRY(oct_batch_step(s->baseline, NULL));
    }
    double start = now();
    OCT_TRY(oct_batch_step(s->model, NULL));
    s->seconds += now() - start - s->compare_seconds;
    OCT_REQUIRE(!s->out_of_step && s->n_compared == s->n_kept, OCT_ERR_BUG,
                "model and baseline ran different rows: expected %d of them, got %d", s->n_kept,
                s->n_compared);
    return OCT_OK;
}

static oct_status score_text(scoring *s, const oct_perplexity_options *options)
{
    for (;;) {
        OCT_TRY(submit_windows(s));
        if (s->n_busy == 0) {
            return OCT_OK;
        }
        OCT_TRY(step_batches(s));
        OCT_TRY(collect(s));
        double fraction = (double)s->model->rows_run / (double)s->n_rows;
        double rate = s->seconds > 0.0 ? (double)s->model->rows_scored / s->seconds : 0.0;
        if (options->progress != NULL &&
            options->progress(options->user, fraction, "scoring", rate, "tokens") != 0) {
            return OCT_FAIL(OCT_ERR_CANCELLED, "cancelled after %lld of %lld tokens",
                            (long long)s->model->rows_scored, (long long)s->n_scored);
        }
    }
}

static oct_status open_batches(scoring *s, const oct_engine *engine,
                               const oct_perplexity_options *options,
                               const oct_batch_options *shape)
{
    OCT_TRY(batch_open(&s->model, engine, shape, false));
    s->n_runs = 2 * s->model->plan.max_sequences; // as many wait as run
    s->runs = calloc((size_t)s->n_runs, sizeof *s->runs);
    OCT_REQUIRE(s->runs != NULL, OCT_ERR_NOMEM, "out of memory: %d windows", s->n_runs);
    if (options->baseline == NULL) {
        return OCT_OK;
    }
    OCT_TRY(batch_open(&s->baseline, options->baseline, shape, false));
    size_t R = (size_t)s->model->plan.max_logits, V = (size_t)s->vocab;
    s->rows = calloc(R, V * sizeof *s->rows);
    s->kept = calloc(R, sizeof *s->kept);
    s->kl = calloc(s->n_windows, sizeof *s->kl);
    OCT_REQUIRE(s->rows != NULL && s->kept != NULL && s->kl != NULL, OCT_ERR_NOMEM,
                "out of memory: %zu rows of %zu logits and %zu windows", R, V, s->n_windows);
    return OCT_OK;
}

static void report(const scoring *s, size_t n_ids, oct_perplexity_result *out)
{
    double tokens = (double)s->sums.count;
    *out = (oct_perplexity_result){
        .text_tokens = (int64_t)n_ids,
        .tokens = s->sums.count,
        .nats_per_token = ldexp((double)s->sums.nll, -32) / tokens,
        .seconds = s->seconds,
        .logits_hash = s->sums.hash,
    };
    out->perplexity = exp(out->nats_per_token);
    if (s->baseline != NULL) {
        double kl = 0.0; // window by window, so that the order of the sum is the text's
        for (size_t w = 0; w < s->n_windows; w++) {
            kl += s->kl[w];
        }
        out->baseline_nats_per_token = ldexp((double)s->baseline_sums.nll, -32) / tokens;
        out->mean_kl = kl / tokens;
        out->max_kl = s->max_kl;
        out->top1_agreement = (double)s->n_agree / tokens;
    }
}

oct_status perplexity_run(const oct_engine *engine, const int32_t *ids, size_t n_ids,
                          const oct_perplexity_options *options, const oct_batch_options *shape,
                          oct_perplexity_result *out)
{
    oct_status status = OCT_OK;
    oct_perplexity_options o = OCT_PERPLEXITY_OPTIONS_INIT;
    if (options != NULL) {
        o = *options;
    }
    *out = (oct_perplexity_result){0};
    OCT_TRY(check_arguments(engine, ids, n_ids, &o));

    bool documents = o.offsets != NULL && o.n_documents > 0;
    const size_t whole[2] = {0, n_ids};
    scoring s = {.ids = ids, .vocab = engine->config.vocab_size};
    window_walk_begin(&s.walk, documents ? o.offsets : whole, documents ? o.n_documents : 1,
                      o.context, o.stride);
    OCT_TRY(measure_windows(&s));
    oct_batch_options chosen = shape != NULL ? *shape : choose_shape(&s);
    OCT_TRY_GOTO(open_batches(&s, engine, &o, &chosen), end);
    OCT_TRY_GOTO(score_text(&s, &o), end);
    if (s.sums.count != s.n_scored) {
        status = OCT_FAIL(OCT_ERR_DEVICE, "scored rows: expected %lld, the device counted %lld",
                          (long long)s.n_scored, (long long)s.sums.count);
        goto end;
    }
    report(&s, n_ids, out);
end:
    oct_batch_close(s.model);
    oct_batch_close(s.baseline);
    free(s.runs);
    free(s.rows);
    free(s.kept);
    free(s.kl);
    return status;
}

oct_status oct_perplexity(const oct_engine *engine, const int32_t *ids, size_t n_ids,
                          const oct_perplexity_options *options, oct_perplexity_result *out)
{
    return perplexity_run(engine, ids, n_ids, options, NULL, out);
}
