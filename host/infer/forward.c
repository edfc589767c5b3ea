// PREFILL, DECODE: the only forward pass. It reads like the paper, has no branch on the device, and
// names each intermediate with a tap.
#include "infer/forward.h"

#include "base/check.h"

typedef struct pass {
    const oct_engine *engine;
    const oct_step *step;
    const oct_kv *kv;
    const oct_workspace *work;
    const oct_tap_sink *sink;
} pass;

static oct_tap want(const pass *p, const char *name, int32_t layer, int32_t rows, int32_t cols,
                    oct_buf column_mul)
{
    oct_tap tap = {0};
    if (p->sink != NULL) {
        tap.out = p->sink->want(p->sink->user, name, layer, rows, cols);
        tap.column_mul = column_mul;
    }
    return tap;
}

static oct_status ready(const pass *p, const char *name, int32_t layer, oct_tap tap, int32_t rows,
                        int32_t cols)
{
    if (tap.out.mem == NULL) {
        return OCT_OK;
    }
    return p->sink->ready(p->sink->user, name, layer, tap.out, rows, cols);
}

// A tap of a buffer that exists anyway ([rows][cols] f32 without gaps).
static oct_status tap_buffer(const pass *p, const char *name, int32_t layer, oct_buf value,
                             int32_t rows, int32_t cols)
{
    oct_tap tap = want(p, name, layer, rows, cols, (oct_buf){0});
    if (tap.out.mem == NULL) {
        return OCT_OK;
    }
    oct_device *device = p->engine->device;
    size_t bytes = (size_t)rows * (size_t)cols * sizeof(float);
    OCT_TRY(device->table->copy(device, tap.out, value, bytes));
    return ready(p, name, layer, tap, rows, cols);
}

// act_c = LayerNorm(x), rounded as the next linear wants it. [T][C] -> [T][C]
static oct_status norm(const pass *p, const char *name, int32_t layer, const engine_norm *ln)
{
    int32_t C = p->engine->config.n_embd, T = p->step->n_rows;
    oct_norm_args args = {
        .step = p->step,
        .n_rows = T,
        .cols = C,
        .x = p->work->x,
        .G = ln->G,
        .B = ln->B,
        .eps = p->engine->config.layer_norm_epsilon,
        .quant = ln->quant,
        .out = p->work->act_c,
        .tap = want(p, name, layer, T, C, ln->tap_mul),
    };
    OCT_TRY(p->engine->device->ops->norm(p->engine->device, &args));
    return ready(p, name, layer, args.tap, T, C);
}

// q, and k and v into the cache, from act_c. [T][C] -> [T][3C]
static oct_status qkv(const pass *p, int32_t layer, const engine_layer *l)
{
    int32_t T = p->step->n_rows;
    oct_linear_args args = {
        .step = p->step,
        .n_rows = T,
        .linear = &l->c_attn,
        .in = p->work->act_c,
        .epilogue = OCT_EPILOGUE_QKV,
        .q = p->work->q,
        .kv = *p->kv,
        .layer = layer,
        .k_mul = l->k_mul,
        .v_mul = l->v_mul,
        .tap = want(p, "c_attn", layer, T, l->c_attn.n, (oct_buf){0}),
    };
    OCT_TRY(p->engine->device->ops->linear(p->engine->device, &args));
    return ready(p, "c_attn", layer, args.tap, T, l->c_attn.n);
}

// act_c = softmax(q K^T) V over the cache. [T][C] -> [T][C]
static oct_status attend(const pass *p, int32_t layer, const engine_layer *l)
{
    int32_t C = p->engine->config.n_embd, T = p->step->n_rows;
    oct_attend_args args = {
        .step = p->step,
        .q = p->work->q,
        .kv = *p->kv,
        .layer = layer,
        .scale = l->attention_scale,
        .k_step = l->k_step,
        .out_mul = l->out_mul,
        .quant = l->attn_quant,
        .waiting = p->work->waiting,
        .out = p->work->act_c,
        .tap = want(p, "attn", layer, T, C, l->v_step),
    };
    OCT_TRY(p->engine->device->ops->attend(p->engine->device, &args));
    return ready(p, "attn", layer, args.tap, T, C);
}

// x += linear(in). [T][K] -> [T][C]
static oct_status add_linear(const pass *p, const char *name, int32_t layer, const oct_linear *w,
                             oct_act in)
{
    int32_t T = p->step->n_rows;
    oct_linear_args args = {
        .step = p->step,
        .n_rows = T,
        .linear = w,
        .in = in,
        .epilogue = OCT_EPILOGUE_RESIDUAL,
        .out = p->work->x,
        .tap = want(p, name, layer, T, w->n, (oct_buf){0}),
    };
    OCT_TRY(p->engine->device->ops->linear(p->engine->device, &args));
    return ready(p, name, layer, args.tap, T, w->n);
}

// act_f = activation(c_fc(act_c)). [T][C] -> [T][F]
static oct_status expand(const pass *p, int32_t layer, const engine_layer *l)
{
    int32_t F = l->c_fc.n, T = p->step->n_rows;
    oct_linear_args args = {
        .step = p->step,
        .n_rows = T,
        .linear = &l->c_fc,
        .in = p->work->act_c,
        .epilogue = OCT_EPILOGUE_GELU,
        .act = p->work->act_f,
        .quant = l->act_quant,
        .act_mul = l->act_mul,
        .activation = p->engine->config.activation,
        .waiting = p->work->waiting,
        .tap = want(p, "c_fc", layer, T, F, (oct_buf){0}),
        .tap_activation = want(p, "act", layer, T, F, (oct_buf){0}),
    };
    OCT_TRY(p->engine->device->ops->linear(p->engine->device, &args));
    OCT_TRY(ready(p, "c_fc", layer, args.tap, T, F));
    return ready(p, "act", layer, args.tap_activation, T, F);
}

// logits = lm_head(LayerNorm(x)) of the rows that want some. [R][C] -> [R][V]
static oct_status head(const pass *p)
{
    const oct_engine *engine = p->engine;
    int32_t C = engine->config.n_embd, R = p->step->n_logits;
    oct_norm_args norm_args = {
        .step = p->step,
        .n_rows = R,
        .rows = p->step->logit_row,
        .cols = C,
        .x = p->work->x,
        .G = engine->ln_f.G,
        .B = engine->ln_f.B,
        .eps = engine->config.layer_norm_epsilon,
        .quant = engine->ln_f.quant,
        .out = p->work->act_h,
        .tap = want(p, "ln_f", -1, R, C, engine->ln_f.tap_mul),
    };
    OCT_TRY(engine->device->ops->norm(engine->device, &norm_args));
    OCT_TRY(ready(p, "ln_f", -1, norm_args.tap, R, C));
    if (p->work->logits.mem == NULL) {
        return OCT_OK;
    }
    oct_linear_args args = {
        .step = p->step,
        .n_rows = R,
        .linear = &engine->lm_head,
        .in = p->work->act_h,
        .epilogue = OCT_EPILOGUE_STORE,
        .out = p->work->logits,
    };
    OCT_TRY(engine->device->ops->linear(engine->device, &args));
    return tap_buffer(p, "logits", -1, p->work->logits, R, engine->lm_head.n);
}

oct_status oct_forward(const oct_engine *engine, const oct_step *step, const oct_kv *kv,
                       const oct_workspace *work, const oct_tap_sink *sink)
{
    const pass p = {engine, step, kv, work, sink};
    int32_t C = engine->config.n_embd, T = step->n_rows;
    oct_embed_args embed = {step, &engine->wte, engine->wte_step, engine->wpe, work->x};
    OCT_TRY(engine->device->ops->embed(engine->device, &embed));
    OCT_TRY(tap_buffer(&p, "embed", -1, work->x, T, C));
    for (int32_t i = 0; i < engine->config.n_layer; i++) {
        const engine_layer *l = &engine->layers[i];
        OCT_TRY(norm(&p, "ln_1", i, &l->ln_1));
        OCT_TRY(qkv(&p, i, l));
        OCT_TRY(attend(&p, i, l));
        OCT_TRY(add_linear(&p, "attn.c_proj", i, &l->attn_c_proj, work->act_c));
        OCT_TRY(tap_buffer(&p, "attn_residual", i, work->x, T, C));
        OCT_TRY(norm(&p, "ln_2", i, &l->ln_2));
        OCT_TRY(expand(&p, i, l));
        OCT_TRY(add_linear(&p, "mlp.c_proj", i, &l->mlp_c_proj, work->act_f));
        OCT_TRY(tap_buffer(&p, "block", i, work->x, T, C));
    }
    return step->n_logits > 0 ? head(&p) : OCT_OK;
}
