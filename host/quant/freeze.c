// QUANTIZE: freezing codes, steps and multipliers into the INT8 model.
#include "quant/freeze.h"

#include "base/check.h"
#include "octet/numerics.h"
#include "quant/column_factors.h"
#include "quant/input_steps.h"
#include "quant/round_nearest.h"

#include <string.h>

typedef struct freezing {
    oct_team *team;
    gpt2_model *model; // being built
    const gpt2_model *folded;
    const freeze_decision *decisions;
} freezing;

static float *floats(freezing *f, size_t count)
{
    return oct_arena_alloc(&f->model->arena, count, sizeof(float));
}

// A copy in the model's arena; NULL stays NULL.
static oct_status copy_floats(freezing *f, const float **out, const float *from, size_t count)
{
    *out = NULL;
    if (from == NULL) {
        return OCT_OK;
    }
    float *to = floats(f, count);
    if (to == NULL) {
        return OCT_ERR_NOMEM;
    }
    memcpy(to, from, count * sizeof *to);
    *out = to;
    return OCT_OK;
}

static oct_status freeze_weights(freezing *f, const float *w, const float *cs, int32_t n, int32_t k,
                                 const int8_t **codes, const float **step)
{
    int8_t *q = oct_arena_alloc(&f->model->arena, (size_t)n * (size_t)k, 1);
    float *s = floats(f, (size_t)n);
    if (q == NULL || s == NULL) {
        return OCT_ERR_NOMEM;
    }
    round_nearest(f->team, w, cs, n, k, q, s, NULL);
    *codes = q;
    *step = s;
    return OCT_OK;
}

// A linear whose codes are those of wte already keeps them.
static oct_status freeze_linear(freezing *f, gpt2_linear *out, const gpt2_linear *in,
                                const freeze_decision *decision)
{
    out->format = OCT_FORMAT_W8A8;
    out->n = in->n;
    out->k = in->k;
    out->input = decision->input;
    OCT_TRY(copy_floats(f, &out->column_factors, decision->column_factors, (size_t)in->k));
    OCT_TRY(copy_floats(f, &out->bias, in->bias, (size_t)in->n));
    if (out->w_i8 == NULL) {
        OCT_TRY(freeze_weights(f, in->w_f32, out->column_factors, in->n, in->k, &out->w_i8,
                               &out->w_step));
    }
    float *mul = floats(f, (size_t)in->n);
    if (mul == NULL) {
        return OCT_ERR_NOMEM;
    }
    for (int32_t i = 0; i < in->n; i++) {
        mul[i] = oct_mul(out->input.step, out->w_step[i]);
    }
    out->mul = mul;
    return OCT_OK;
}

static float factor(const gpt2_linear *linear, int32_t k)
{
    return linear->column_factors != NULL ? linear->column_factors[k] : 1.0f;
}

// A LayerNorm in front of `feeds`: G, B for Octet, gamma / cs and beta / cs for other readers.
static oct_status freeze_norm(freezing *f, gpt2_norm *out, const gpt2_norm *in,
                              const gpt2_linear *feeds)
{
    int32_t c = feeds->k;
    float *gamma = floats(f, (size_t)c);
    float *beta = floats(f, (size_t)c);
    float *G = floats(f, (size_t)c);
    float *B = floats(f, (size_t)c);
    if (gamma == NULL || beta == NULL || G == NULL || B == NULL) {
        return OCT_ERR_NOMEM;
    }
    for (int32_t i = 0; i < c; i++) {
        float cs = factor(feeds, i);
        gamma[i] = oct_div(in->gamma[i], cs);
        beta[i] = oct_div(in->beta[i], cs);
        G[i] = input_quotient(in->gamma[i], feeds->input.step, cs);
        B[i] = input_quotient(in->beta[i], feeds->input.step, cs);
    }
    *out = (gpt2_norm){gamma, beta, G, B};
    return OCT_OK;
}

// step[i] = absmax over all positions / 127, mul[i] = 1 / step[i].
static oct_status freeze_kv(freezing *f, const site_ranges *ranges, const float **step,
                            const float **mul)
{
    int32_t c = f->model->config.n_embd;
    float *s = floats(f, (size_t)c);
    float *m = floats(f, (size_t)c);
    if (s == NULL || m == NULL) {
        return OCT_ERR_NOMEM;
    }
    column_factors_input_absmax(ranges, c, s);
    for (int32_t i = 0; i < c; i++) {
        s[i] = oct_div(oct_absmax_or_127(s[i]), 127.0f);
        m[i] = oct_rcp(s[i]);
    }
    *step = s;
    *mul = m;
    return OCT_OK;
}

// Multipliers of requantization: numerator[i] (NULL: 1) / (cs * step) of the linear's input.
static oct_status freeze_quotients(freezing *f, const float **out, const float *numerator,
                                   const gpt2_linear *feeds)
{
    float *mul = floats(f, (size_t)feeds->k);
    if (mul == NULL) {
        return OCT_ERR_NOMEM;
    }
    for (int32_t i = 0; i < feeds->k; i++) {
        mul[i] = input_quotient(numerator != NULL ? numerator[i] : 1.0f, feeds->input.step,
                                factor(feeds, i));
    }
    *out = mul;
    return OCT_OK;
}

static oct_status freeze_layer(freezing *f, int32_t index, const site_ranges *kv)
{
    const gpt2_layer *in = &f->folded->layers[index];
    gpt2_layer *out = &f->model->layers[index];
    const freeze_decision *d = &f->decisions[site_find(&f->model->config, SITE_C_ATTN, index)];
    OCT_TRY(freeze_linear(f, &out->c_attn, &in->c_attn, &d[SITE_C_ATTN]));
    OCT_TRY(freeze_linear(f, &out->attn_c_proj, &in->attn_c_proj, &d[SITE_ATTN_C_PROJ]));
    OCT_TRY(freeze_linear(f, &out->c_fc, &in->c_fc, &d[SITE_C_FC]));
    OCT_TRY(freeze_linear(f, &out->mlp_c_proj, &in->mlp_c_proj, &d[SITE_MLP_C_PROJ]));
    OCT_TRY(freeze_norm(f, &out->ln_1, &in->ln_1, &out->c_attn));
    OCT_TRY(freeze_norm(f, &out->ln_2, &in->ln_2, &out->c_fc));
    OCT_TRY(freeze_kv(f, &kv[0], &out->k_step, &out->k_mul));
    OCT_TRY(freeze_kv(f, &kv[1], &out->v_step, &out->v_mul));
    OCT_TRY(freeze_quotients(f, &out->out_mul, out->v_step, &out->attn_c_proj));
    OCT_TRY(freeze_quotients(f, &out->act_mul, NULL, &out->mlp_c_proj));
    out->attention_scale = 1.0f;
    return OCT_OK;
}

static oct_status freeze_embeddings_and_head(freezing *f)
{
    gpt2_model *m = f->model;
    const gpt2_model *folded = f->folded;
    int32_t head = site_find(&m->config, SITE_LM_HEAD, -1);
    OCT_TRY(freeze_weights(f, folded->wte_f32, NULL, m->config.vocab_size, m->config.n_embd,
                           &m->wte_i8, &m->wte_step));
    OCT_TRY(copy_floats(f, &m->wpe, folded->wpe,
                        (size_t)m->config.n_positions * (size_t)m->config.n_embd));
    m->head_is_wte = folded->head_is_wte && f->decisions[head].column_factors == NULL;
    if (m->head_is_wte) {
        m->lm_head.w_i8 = m->wte_i8;
        m->lm_head.w_step = m->wte_step;
    }
    OCT_TRY(freeze_linear(f, &m->lm_head, &folded->lm_head, &f->decisions[head]));
    return freeze_norm(f, &m->ln_f, &folded->ln_f, &m->lm_head);
}

static oct_status freeze_recipe(freezing *f, const gpt2_recipe *recipe)
{
    gpt2_model *m = f->model;
    int32_t n = site_linear_count(&m->config);
    m->recipe = *recipe;
    m->recipe.alpha = oct_arena_alloc(&m->arena, (size_t)n, sizeof *m->recipe.alpha);
    if (m->recipe.alpha == NULL) {
        return OCT_ERR_NOMEM;
    }
    for (int32_t i = 0; i < n; i++) {
        size_t bytes = strlen(f->decisions[i].alpha) + 1;
        char *name = oct_arena_alloc(&m->arena, bytes, 1);
        if (name == NULL) {
            return OCT_ERR_NOMEM;
        }
        memcpy(name, f->decisions[i].alpha, bytes);
        m->recipe.alpha[i] = name;
    }
    return OCT_OK;
}

oct_status freeze_model(gpt2_model **out, oct_team *team, const gpt2_model *folded,
                        const freeze_decision *decisions, const site_ranges *kv,
                        const gpt2_recipe *recipe)
{
    *out = NULL;
    gpt2_model *model;
    OCT_TRY(gpt2_model_new(&model, &folded->config, OCT_FORMAT_W8A8));
    freezing f = {team, model, folded, decisions};
    oct_status status = OCT_OK;
    for (int32_t l = 0; l < model->config.n_layer; l++) {
        OCT_TRY_GOTO(freeze_layer(&f, l, &kv[2 * l]), fail);
    }
    OCT_TRY_GOTO(freeze_embeddings_and_head(&f), fail);
    OCT_TRY_GOTO(freeze_recipe(&f, recipe), fail);
    *out = model;
    return OCT_OK;
fail:
    gpt2_model_close(model);
    return status;
}
