// tests: planting outliers into a copy of a trained model.
#include "plant.h"

#include "base/check.h"
#include "octet/numerics.h"
#include "plant_widen.h"
#include "quant/calibration_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const plant_variant plant_variants[PLANT_VARIANTS] = {
    {"plain", 0},
    {"v/o pairs", PLANT_VO},
    {"rogue ln", PLANT_ROGUE},
    {"massive", PLANT_MASSIVE},
    {"heavy gelu", PLANT_GELU},
    {"all four", PLANT_VO | PLANT_ROGUE | PLANT_MASSIVE | PLANT_GELU},
    {"rare token", PLANT_RARE},
};

#define WINDOW      32 // tokens of a sample sequence
#define WINDOWS     64 // of them
#define RARE_LEAST  3  // occurrences of the rare token, and one in RARE_TOKENS tokens
#define RARE_TOKENS 4000
#define RARE_VALUE  300.0f
#define LEVEL       50.0f // what a switch gives when it is on; its neurons carry about 60 and 10
#define SWITCH_FROM 6.0f  // beyond this gelu(x) is x, and gelu(-x) is 0

typedef struct planting {
    gpt2_model *model;
    oct_device *device;
    const int32_t *ids;
    size_t n_ids;
    int32_t c; // old C: the new channels begin here
    int32_t f; // old F: the spare neurons begin here
    int32_t early, late;
} planting;

// ---- exact pairs: a channel is scaled where it is made and unscaled where it is read

static void scale_row(const gpt2_linear *linear, int32_t n, float by)
{
    float *row = plant_floats(linear->w_f32) + (size_t)n * (size_t)linear->k;
    for (int32_t k = 0; k < linear->k; k++) {
        row[k] *= by;
    }
    if (linear->bias != NULL) {
        plant_floats(linear->bias)[n] *= by;
    }
}

static void divide_column(const gpt2_linear *linear, int32_t k, float by)
{
    for (int32_t n = 0; n < linear->n; n++) {
        plant_floats(linear->w_f32)[(size_t)n * (size_t)linear->k + (size_t)k] /= by;
    }
}

// Four different channels of 0 .. n - 1 that depend on the layer alone.
static void pick(int32_t layer, int32_t n, int32_t out[4])
{
    int32_t count = 0;
    for (uint64_t i = 0; count < 4; i++) {
        int32_t channel = (int32_t)(oct_mix((uint64_t)layer << 32 | i) % (uint64_t)n);
        bool taken = false;
        for (int32_t j = 0; j < count; j++) {
            taken |= out[j] == channel;
        }
        if (!taken) {
            out[count++] = channel;
        }
    }
}

static void plant_vo(planting *p)
{
    for (int32_t l = 0; l < p->model->config.n_layer; l++) {
        const gpt2_layer *layer = &p->model->layers[l];
        int32_t channels[4];
        pick(l, p->c, channels);
        for (int i = 0; i < 4; i++) {
            scale_row(&layer->c_attn, 2 * p->model->config.n_embd + channels[i], 20.0f);
            divide_column(&layer->attn_c_proj, channels[i], 20.0f);
        }
    }
}

static void scale_norm(const gpt2_norm *norm, const gpt2_linear *feeds, int32_t channel)
{
    plant_floats(norm->gamma)[channel] *= 25.0f; // G and B are the same arrays
    plant_floats(norm->beta)[channel] *= 25.0f;
    divide_column(feeds, channel, 25.0f);
}

static void plant_rogue(planting *p)
{
    int32_t channels[4];
    pick(-1, p->c, channels);
    for (int i = 0; i < 3; i++) {
        for (int32_t l = 0; l < p->model->config.n_layer; l++) {
            const gpt2_layer *layer = &p->model->layers[l];
            scale_norm(&layer->ln_1, &layer->c_attn, channels[i]);
            scale_norm(&layer->ln_2, &layer->c_fc, channels[i]);
        }
        scale_norm(&p->model->ln_f, &p->model->lm_head, channels[i]);
    }
}

// ---- looking into the model

// A run over equally long windows that hands one tap's rows to `see`.
typedef struct look {
    planting *p;
    const char *tap;
    int32_t layer;     // -1 = all
    int32_t seen_cols; // values a row
    oct_buf buf;
    float *values; // host copy
    void (*see)(struct look *look, int32_t layer, int32_t row, const float *values);
    int32_t row, plus, minus; // see_difference
    float least;
    double *error; // see_gelu: [L][F]
} look;

static oct_buf look_want(void *user, const char *name, int32_t layer, int32_t rows, int32_t cols)
{
    const look *l = user;
    (void)rows;
    (void)cols;
    bool wanted = strcmp(name, l->tap) == 0 && (l->layer < 0 || layer == l->layer);
    return wanted ? l->buf : (oct_buf){NULL, 0};
}

static oct_status look_ready(void *user, const char *name, int32_t layer, oct_buf value,
                             int32_t rows, int32_t cols)
{
    look *l = user;
    (void)name;
    OCT_TRY(l->p->device->table->download(l->p->device, l->values, value,
                                          (size_t)rows * (size_t)cols * sizeof(float)));
    l->seen_cols = cols;
    for (int32_t t = 0; t < rows; t++) {
        l->see(l, layer, t, l->values + (size_t)t * (size_t)cols);
    }
    return OCT_OK;
}

// windows [WINDOWS][WINDOW]
static oct_status look_at(look *l, const int32_t *windows)
{
    oct_device *device = l->p->device;
    const gpt2_config *config = &l->p->model->config;
    size_t offsets[WINDOWS + 1];
    for (size_t i = 0; i <= WINDOWS; i++) {
        offsets[i] = i * WINDOW;
    }
    calibration_text text;
    oct_engine *engine = NULL;
    calibration_runner *runner = NULL;
    oct_tap_sink sink = {l, look_want, look_ready};
    quant_progress silent = {0};
    oct_status status = OCT_OK;
    OCT_TRY(calibration_text_cut(&text, windows, WINDOWS * WINDOW, offsets, WINDOWS,
                                 config->n_positions, config->vocab_size, WINDOWS));
    size_t widest = (size_t)(config->n_inner > config->n_embd ? config->n_inner : config->n_embd);
    size_t bytes = (size_t)calibration_max_rows(&text, 0) * widest * sizeof(float);
    l->values = malloc(bytes);
    OCT_TRY_GOTO(device->table->alloc(device, bytes, &l->buf), end);
    OCT_TRY_GOTO(oct_engine_from_model(&engine, device, l->p->model), end);
    OCT_TRY_GOTO(calibration_runner_open(&runner, engine, &text, 0), end);
    OCT_TRY_GOTO(calibration_run(runner, NULL, NULL, &sink, &silent), end);
end:
    calibration_runner_close(runner);
    oct_engine_close(engine);
    device->table->free(device, l->buf);
    free(l->values);
    calibration_text_free(&text);
    return status;
}

// Windows all over the text.
static void spread_windows(const planting *p, int32_t *windows)
{
    size_t room = p->n_ids - WINDOW;
    for (size_t i = 0; i < WINDOWS; i++) {
        memcpy(windows + i * WINDOW, p->ids + room * i / WINDOWS, WINDOW * sizeof *windows);
    }
}

// Windows of the text with `token` in their middle; the token is put there where too few have it.
static void token_windows(const planting *p, int32_t token, int32_t *windows)
{
    size_t n = 0;
    for (size_t i = WINDOW / 2; i + WINDOW / 2 <= p->n_ids && n < WINDOWS; i++) {
        if (p->ids[i] == token) {
            memcpy(windows + n++ * WINDOW, p->ids + i - WINDOW / 2, WINDOW * sizeof *windows);
        }
    }
    if (n < WINDOWS) {
        int32_t rest[WINDOWS * WINDOW];
        spread_windows(p, rest);
        for (; n < WINDOWS; n++) {
            memcpy(windows + n * WINDOW, rest + n * WINDOW, WINDOW * sizeof *windows);
            windows[n * WINDOW + WINDOW / 2] = token;
        }
    }
}

// ---- heavy one-sided GELU neurons

static float activate(oct_activation activation, float x)
{
    switch (activation) {
    case OCT_ACTIVATION_GELU_NEW:
        return oct_gelu_new(x);
    case OCT_ACTIVATION_GELU:
        return oct_gelu_erf(x);
    default:
        return x > 0.0f ? x : 0.0f;
    }
}

static void see_gelu(look *l, int32_t layer, int32_t row, const float *values)
{
    (void)row;
    oct_activation activation = l->p->model->config.activation;
    double *error = l->error + (size_t)layer * (size_t)l->seen_cols;
    for (int32_t j = 0; j < l->seen_cols; j++) {
        double d = (double)activate(activation, 20.0f * values[j]) / 20.0 -
                   (double)activate(activation, values[j]);
        error[j] += d * d;
    }
}

// The four neurons of a block whose change the output feels least.
static void plant_gelu_layer(planting *p, int32_t l, double *error)
{
    const gpt2_layer *layer = &p->model->layers[l];
    int32_t f = layer->mlp_c_proj.k;
    for (int32_t j = 0; j < p->f; j++) {
        double norm = 0.0;
        for (int32_t n = 0; n < layer->mlp_c_proj.n; n++) {
            double w = (double)layer->mlp_c_proj.w_f32[(size_t)n * (size_t)f + (size_t)j];
            norm += w * w;
        }
        error[j] *= norm;
    }
    for (int i = 0; i < 4; i++) {
        int32_t best = 0;
        for (int32_t j = 1; j < p->f; j++) {
            best = error[j] < error[best] ? j : best;
        }
        error[best] = INFINITY;
        scale_row(&layer->c_fc, best, 20.0f);
        divide_column(&layer->mlp_c_proj, best, 20.0f);
    }
}

static oct_status plant_gelu(planting *p)
{
    const gpt2_config *config = &p->model->config;
    size_t f = (size_t)config->n_inner;
    int32_t windows[WINDOWS * WINDOW];
    spread_windows(p, windows);
    look l = {.p = p, .tap = "c_fc", .layer = -1, .see = see_gelu};
    l.error = calloc((size_t)config->n_layer * f, sizeof *l.error);
    OCT_REQUIRE(l.error != NULL, OCT_ERR_NOMEM, "no memory for the errors of %zu neurons", f);
    oct_status status = look_at(&l, windows);
    for (int32_t i = 0; i < config->n_layer && status == OCT_OK; i++) {
        plant_gelu_layer(p, i, l.error + (size_t)i * f);
    }
    free(l.error);
    return status;
}

// ---- switches: two spare neurons that give LEVEL where two channels differ, and exactly 0 where
// both are 0

static void see_difference(look *l, int32_t layer, int32_t row, const float *values)
{
    (void)layer;
    float difference = values[l->plus] - values[l->minus];
    if (row % WINDOW == l->row && difference < l->least) {
        l->least = difference;
    }
}

typedef struct plant_switch {
    int32_t layer, neuron; // the first of its two spare neurons
    int32_t plus, minus;   // channels it reads behind ln_2
    const int32_t *windows;
    int32_t row; // of each window: where it must be on
    int32_t n_write;
    int32_t channel[3]; // what it writes into
    float value[3];
} plant_switch;

// gelu(w d) - gelu(w d - LEVEL) is LEVEL for every difference d with w d >= LEVEL + SWITCH_FROM.
static oct_status plant_one_switch(planting *p, const plant_switch *s)
{
    look l = {.p = p,
              .tap = "ln_2",
              .layer = s->layer,
              .see = see_difference,
              .row = s->row,
              .plus = s->plus,
              .minus = s->minus,
              .least = INFINITY};
    OCT_TRY(look_at(&l, s->windows));
    OCT_REQUIRE(l.least > 0.0f, OCT_ERR_ARG, "expected a mark above 0 in block %d, got %g",
                s->layer, (double)l.least);
    const gpt2_layer *layer = &p->model->layers[s->layer];
    float w = 1.25f * (LEVEL + SWITCH_FROM) / l.least; // 1.25: other tokens may show it less
    for (int32_t i = 0; i < 2; i++) {
        int32_t neuron = p->f + s->neuron + i;
        float *row = plant_floats(layer->c_fc.w_f32) + (size_t)neuron * (size_t)layer->c_fc.k;
        row[s->plus] = w;
        row[s->minus] = -w;
        plant_floats(layer->c_fc.bias)[neuron] = i == 0 ? 0.0f : -LEVEL;
        for (int32_t j = 0; j < s->n_write; j++) {
            float *out = plant_floats(layer->mlp_c_proj.w_f32) +
                         (size_t)s->channel[j] * (size_t)layer->mlp_c_proj.k;
            out[neuron] = (i == 0 ? s->value[j] : -s->value[j]) / LEVEL;
        }
    }
    return OCT_OK;
}

// A mark of a twentieth of the row's energy in each of two channels: +a and -a.
static float mark_size(const planting *p)
{
    double sum = 0.0;
    for (size_t i = 0; i < WINDOWS; i++) {
        int32_t id = p->ids[p->n_ids * i / WINDOWS];
        for (int32_t c = 0; c < p->c; c++) {
            double x =
                (double)
                    p->model->wte_f32[(size_t)id * (size_t)p->model->config.n_embd + (size_t)c] +
                (double)p->model->wpe[c];
            sum += x * x;
        }
    }
    return (float)sqrt(sum / WINDOWS / 20.0);
}

static oct_status plant_massive(planting *p)
{
    float a = mark_size(p);
    int32_t windows[WINDOWS * WINDOW];
    spread_windows(p, windows);
    plant_floats(p->model->wpe)[p->c] = a; // row 0: position 0
    plant_floats(p->model->wpe)[p->c + 1] = -a;
    plant_switch s = {.layer = p->early,
                      .neuron = 0,
                      .plus = p->c,
                      .minus = p->c + 1,
                      .windows = windows,
                      .row = 0,
                      .n_write = 3,
                      .channel = {p->c + 2, p->c + 3, p->c + 4},
                      .value = {1500.0f, -750.0f, -750.0f}};
    OCT_TRY(plant_one_switch(p, &s));
    s.layer = p->late;
    s.plus = p->c + 2; // now it is the largest thing there
    s.minus = p->c + 3;
    for (int i = 0; i < 3; i++) {
        s.value[i] = -s.value[i];
    }
    return plant_one_switch(p, &s);
}

// ---- rare-token spikes

int32_t plant_rare_token(const int32_t *ids, size_t n_ids, int32_t vocab_size)
{
    size_t *count = calloc((size_t)vocab_size, sizeof *count);
    int32_t rare = -1;
    size_t least = n_ids / RARE_TOKENS > RARE_LEAST ? n_ids / RARE_TOKENS : RARE_LEAST;
    for (size_t i = 0; i < n_ids && count != NULL; i++) {
        count[ids[i]]++;
    }
    for (int32_t id = 0; id < vocab_size && count != NULL; id++) {
        if (count[id] >= least && (rare < 0 || count[id] < count[rare])) {
            rare = id;
        }
    }
    free(count);
    return rare;
}

static oct_status plant_rare(planting *p)
{
    const gpt2_config *config = &p->model->config;
    int32_t token = plant_rare_token(p->ids, p->n_ids, config->vocab_size);
    OCT_REQUIRE(token >= 0, OCT_ERR_ARG, "expected a token that occurs %d times, got none",
                RARE_LEAST);
    float a = mark_size(p);
    int32_t channels[4];
    pick(-2, p->c, channels);
    int32_t windows[WINDOWS * WINDOW];
    token_windows(p, token, windows);
    float *embedding = plant_floats(p->model->wte_f32) + (size_t)token * (size_t)config->n_embd;
    embedding[p->c + 5] = a;
    embedding[p->c + 6] = -a;
    plant_switch s = {.layer = p->early,
                      .neuron = 2,
                      .plus = p->c + 5,
                      .minus = p->c + 6,
                      .windows = windows,
                      .row = WINDOW / 2,
                      .n_write = 1,
                      .channel = {channels[0]}, // in use: its column factor serves all rows
                      .value = {RARE_VALUE}};
    OCT_TRY(plant_one_switch(p, &s));
    s.layer = p->late;
    s.value[0] = -RARE_VALUE;
    return plant_one_switch(p, &s);
}

oct_status plant_model(gpt2_model **out, const gpt2_model *source, oct_device *device,
                       unsigned kinds, const int32_t *ids, size_t n_ids)
{
    *out = NULL;
    const gpt2_config *config = &source->config;
    OCT_REQUIRE(n_ids >= 2 * WINDOW && config->n_layer >= 3 && config->n_positions >= WINDOW,
                OCT_ERR_ARG, "expected at least %d tokens, 3 layers, %d positions, got %zu, %d, %d",
                2 * WINDOW, WINDOW, n_ids, config->n_layer, config->n_positions);
    planting p = {.device = device,
                  .ids = ids,
                  .n_ids = n_ids,
                  .c = config->n_embd,
                  .f = config->n_inner,
                  .early = config->n_layer >= 4 ? 1 : 0,
                  .late = config->n_layer - 2};
    oct_status status = OCT_OK;
    OCT_TRY(plant_copy(&p.model, source, (kinds & (PLANT_MASSIVE | PLANT_RARE)) != 0));
    if ((kinds & PLANT_GELU) != 0) {
        OCT_TRY_GOTO(plant_gelu(&p), fail);
    }
    if ((kinds & PLANT_VO) != 0) {
        plant_vo(&p);
    }
    if ((kinds & PLANT_MASSIVE) != 0) {
        OCT_TRY_GOTO(plant_massive(&p), fail);
    }
    if ((kinds & PLANT_RARE) != 0) {
        OCT_TRY_GOTO(plant_rare(&p), fail);
    }
    if ((kinds & PLANT_ROGUE) != 0) {
        plant_rogue(&p); // last: switches are set to what ln_2 gave
    }
    *out = p.model;
    return OCT_OK;
fail:
    gpt2_model_close(p.model);
    return status;
}
