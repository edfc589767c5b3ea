// tests: copying and widening an FP32 model.
#include "plant_widen.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

typedef struct widening {
    gpt2_model *model; // being built
    const gpt2_model *source;
    int32_t c, f; // old C, F
    int32_t new_c, new_f;
    bool centre;
} widening;

// [blocks * n][k] becomes [blocks * new_n][new_k]: zeros behind every block's rows and behind every
// row.
static oct_status grow(widening *w, const float **out, const float *from, int32_t blocks, int32_t n,
                       int32_t k, int32_t new_n, int32_t new_k)
{
    float *to =
        oct_arena_alloc(&w->model->arena, (size_t)(blocks * new_n) * (size_t)new_k, sizeof *to);
    if (to == NULL) {
        return OCT_ERR_NOMEM;
    }
    for (int32_t b = 0; b < blocks && from != NULL; b++) {
        for (int32_t i = 0; i < n; i++) {
            memcpy(to + (size_t)(b * new_n + i) * (size_t)new_k,
                   from + (size_t)(b * n + i) * (size_t)k, (size_t)k * sizeof *to);
        }
    }
    *out = to;
    return OCT_OK;
}

// Subtracts the mean of n values that stand `stride` apart.
static void centre(float *values, int32_t n, size_t stride)
{
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++) {
        sum += (double)values[(size_t)i * stride];
    }
    for (int32_t i = 0; i < n; i++) {
        float *v = &values[(size_t)i * stride];
        *v = (float)((double)*v - sum / n);
    }
}

// An embedding [rows][C]: each row.
static void centre_rows(const widening *w, const float *values, int32_t rows)
{
    for (int32_t i = 0; i < rows && w->centre; i++) {
        centre(plant_floats(values) + (size_t)i * (size_t)w->new_c, w->c, 1);
    }
}

// A linear that writes into the residual stream: each column, and the bias.
static void centre_outputs(const widening *w, const gpt2_linear *linear)
{
    for (int32_t k = 0; k < linear->k && w->centre; k++) {
        centre(plant_floats(linear->w_f32) + k, w->c, (size_t)linear->k);
    }
    if (w->centre) {
        centre(plant_floats(linear->bias), w->c, 1);
    }
}

static oct_status copy_linear(widening *w, gpt2_linear *out, const gpt2_linear *in, int32_t blocks)
{
    OCT_TRY(
        grow(w, &out->w_f32, in->w_f32, blocks, in->n / blocks, in->k, out->n / blocks, out->k));
    return grow(w, &out->bias, in->bias, blocks, in->n / blocks, 1, out->n / blocks, 1);
}

static oct_status copy_norm(widening *w, gpt2_norm *out, const gpt2_norm *in)
{
    OCT_TRY(grow(w, &out->gamma, in->gamma, 1, w->c, 1, w->new_c, 1));
    OCT_TRY(grow(w, &out->beta, in->beta, 1, w->c, 1, w->new_c, 1));
    float *gamma = plant_floats(out->gamma);
    double shrink = sqrt((double)w->c / (double)w->new_c);
    for (int32_t i = 0; i < w->new_c; i++) {
        gamma[i] = i < w->c ? (float)((double)gamma[i] * shrink) : 1.0f;
    }
    out->G = out->gamma;
    out->B = out->beta;
    return OCT_OK;
}

static oct_status copy_layer(widening *w, gpt2_layer *out, const gpt2_layer *in)
{
    OCT_TRY(copy_norm(w, &out->ln_1, &in->ln_1));
    OCT_TRY(copy_norm(w, &out->ln_2, &in->ln_2));
    OCT_TRY(copy_linear(w, &out->c_attn, &in->c_attn, 3));
    OCT_TRY(copy_linear(w, &out->attn_c_proj, &in->attn_c_proj, 1));
    OCT_TRY(copy_linear(w, &out->c_fc, &in->c_fc, 1));
    OCT_TRY(copy_linear(w, &out->mlp_c_proj, &in->mlp_c_proj, 1));
    out->attention_scale = in->attention_scale;
    centre_outputs(w, &out->attn_c_proj);
    centre_outputs(w, &out->mlp_c_proj);
    return OCT_OK;
}

static oct_status copy_all(widening *w)
{
    gpt2_model *m = w->model;
    const gpt2_model *s = w->source;
    const gpt2_config *config = &m->config;
    OCT_TRY(grow(w, &m->wte_f32, s->wte_f32, 1, config->vocab_size, w->c, config->vocab_size,
                 w->new_c));
    OCT_TRY(grow(w, &m->wpe, s->wpe, 1, config->n_positions, w->c, config->n_positions, w->new_c));
    OCT_TRY(grow(w, &m->lm_head.w_f32, s->lm_head.w_f32, 1, config->vocab_size, w->c,
                 config->vocab_size, w->new_c));
    if (s->lm_head.bias != NULL) {
        OCT_TRY(grow(w, &m->lm_head.bias, s->lm_head.bias, 1, config->vocab_size, 1,
                     config->vocab_size, 1));
    }
    centre_rows(w, m->wte_f32, config->vocab_size);
    centre_rows(w, m->wpe, config->n_positions);
    for (int32_t l = 0; l < config->n_layer; l++) {
        OCT_TRY(copy_layer(w, &m->layers[l], &s->layers[l]));
    }
    return copy_norm(w, &m->ln_f, &s->ln_f);
}

oct_status plant_copy(gpt2_model **out, const gpt2_model *source, bool widen)
{
    *out = NULL;
    OCT_REQUIRE(source->format == OCT_FORMAT_F32, OCT_ERR_ARG,
                "expected an FP32 model to plant in, got a quantized one");
    gpt2_config config = source->config;
    widening w = {.source = source, .c = config.n_embd, .f = config.n_inner, .centre = widen};
    config.tie_word_embeddings = false;
    if (widen) {
        config.n_embd += config.d_head;
        config.n_head += 1;
        config.n_inner += PLANT_SPARE_NEURONS;
        config.layer_norm_epsilon =
            (float)((double)config.layer_norm_epsilon * w.c / config.n_embd);
    }
    w.new_c = config.n_embd;
    w.new_f = config.n_inner;
    OCT_TRY(gpt2_model_new(&w.model, &config, OCT_FORMAT_F32));
    w.model->head_is_wte = false;
    oct_status status = copy_all(&w);
    if (status != OCT_OK) {
        gpt2_model_close(w.model);
        return status;
    }
    *out = w.model;
    return OCT_OK;
}
