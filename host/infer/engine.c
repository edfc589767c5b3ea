// LOAD: uploads a host model to a device and describes it.
#include "infer/engine.h"

#include "base/check.h"
#include "base/logging.h"

#include <stdlib.h>

#define MAX_K         66311 // 255 * 127 * K < 2^31 (NUMERICS.md section 3)
#define MAX_D_HEAD    520   // s - m is an exact float (section 5)
#define MAX_POSITIONS 65536

static oct_status device_alloc(oct_engine *engine, size_t bytes, oct_buf *out)
{
    if (engine->n_allocations == engine->max_allocations) {
        int32_t max = engine->max_allocations * 2 + 64;
        oct_buf *grown = realloc(engine->allocations, (size_t)max * sizeof *grown);
        OCT_REQUIRE(grown != NULL, OCT_ERR_NOMEM, "out of memory: list of tensors");
        engine->allocations = grown;
        engine->max_allocations = max;
    }
    OCT_TRY(engine->device->table->alloc(engine->device, bytes, out));
    engine->allocations[engine->n_allocations++] = *out;
    engine->weight_bytes += bytes;
    return OCT_OK;
}

// src == NULL leaves the buffer absent.
static oct_status put(oct_engine *engine, oct_buf *out, const void *src, size_t count, size_t size)
{
    *out = (oct_buf){0};
    if (src == NULL) {
        return OCT_OK;
    }
    OCT_TRY(device_alloc(engine, count * size, out));
    return engine->device->table->upload(engine->device, *out, src, count * size);
}

static oct_status put_f32(oct_engine *engine, oct_buf *out, const float *src, size_t count)
{
    return put(engine, out, src, count, sizeof(float));
}

static oct_status pack(oct_engine *engine, oct_linear *out, oct_format format, int32_t n, int32_t k,
                       const void *src)
{
    const oct_ops *ops = engine->device->ops;
    size_t bytes = ops->linear_bytes(engine->device, format, n, k);
    OCT_REQUIRE(bytes > 0, OCT_ERR_SHAPE, "device %s has no %s linear of [%d][%d]",
                engine->device->table->name, format == OCT_FORMAT_F32 ? "FP32" : "W8A8", n, k);
    out->format = format;
    out->n = n;
    out->k = k;
    OCT_TRY(device_alloc(engine, bytes, &out->weight));
    return ops->linear_pack(engine->device, out->weight, format, n, k, src);
}

// colsum[n] = sum over k of the codes: what a zero point takes off (section 3).
static oct_status put_colsum(oct_engine *engine, oct_linear *out, const gpt2_linear *in)
{
    int32_t *colsum = malloc((size_t)in->n * sizeof *colsum);
    OCT_REQUIRE(colsum != NULL, OCT_ERR_NOMEM, "out of memory: %d column sums", in->n);
    for (int32_t n = 0; n < in->n; n++) {
        const int8_t *row = in->w_i8 + (size_t)n * (size_t)in->k;
        int32_t sum = 0;
        for (int32_t k = 0; k < in->k; k++) {
            sum += row[k];
        }
        colsum[n] = sum;
    }
    oct_status status = put(engine, &out->colsum, colsum, (size_t)in->n, sizeof *colsum);
    free(colsum);
    return status;
}

static oct_status put_linear(oct_engine *engine, oct_linear *out, const gpt2_linear *in)
{
    OCT_REQUIRE(in->k <= MAX_K, OCT_ERR_SHAPE, "linear layer: at most %d inputs, got %d", MAX_K,
                in->k);
    bool f32 = in->format == OCT_FORMAT_F32;
    if (out->weight.mem == NULL) { // else it shares the table of wte
        const void *src = f32 ? (const void *)in->w_f32 : (const void *)in->w_i8;
        OCT_TRY(pack(engine, out, in->format, in->n, in->k, src));
    }
    OCT_TRY(put_f32(engine, &out->bias, in->bias, (size_t)in->n));
    if (f32) {
        return OCT_OK;
    }
    OCT_TRY(put_f32(engine, &out->mul, in->mul, (size_t)in->n));
    return put_colsum(engine, out, in);
}

static oct_quant quant_of(const gpt2_linear *linear)
{
    const gpt2_input *in = &linear->input;
    if (linear->format == OCT_FORMAT_F32) {
        return (oct_quant){.format = OCT_FORMAT_F32};
    }
    return (oct_quant){
        .format = OCT_FORMAT_W8A8,
        .dynamic = in->dynamic,
        .lo = in->asymmetric ? -128 : -127,
        .hi = 127,
        .zero = in->zero,
        .zero_0 = in->zero_0,
        .rho_0 = in->rho_0,
        .sigma_0 = in->sigma_0,
    };
}

// `feeds` is the linear behind this LayerNorm.
static oct_status put_norm(oct_engine *engine, engine_norm *out, const gpt2_norm *in,
                           const gpt2_linear *feeds)
{
    size_t C = (size_t)engine->config.n_embd;
    OCT_TRY(put_f32(engine, &out->G, in->G, C));
    OCT_TRY(put_f32(engine, &out->B, in->B, C));
    out->quant = quant_of(feeds);
    if (feeds->format == OCT_FORMAT_F32) {
        return OCT_OK;
    }
    // From the op's unit (codes) to real ones, for taps.
    float *mul = malloc(C * sizeof *mul);
    OCT_REQUIRE(mul != NULL, OCT_ERR_NOMEM, "out of memory: %zu tap factors", C);
    for (size_t c = 0; c < C; c++) {
        float cs = feeds->column_factors == NULL ? 1.0f : feeds->column_factors[c];
        mul[c] = feeds->input.dynamic ? cs : feeds->input.step * cs;
    }
    oct_status status = put_f32(engine, &out->tap_mul, mul, C);
    free(mul);
    return status;
}

static oct_status put_layer(oct_engine *engine, engine_layer *out, const gpt2_layer *in)
{
    size_t C = (size_t)engine->config.n_embd;
    OCT_TRY(put_norm(engine, &out->ln_1, &in->ln_1, &in->c_attn));
    OCT_TRY(put_norm(engine, &out->ln_2, &in->ln_2, &in->c_fc));
    OCT_TRY(put_linear(engine, &out->c_attn, &in->c_attn));
    OCT_TRY(put_linear(engine, &out->attn_c_proj, &in->attn_c_proj));
    OCT_TRY(put_linear(engine, &out->c_fc, &in->c_fc));
    OCT_TRY(put_linear(engine, &out->mlp_c_proj, &in->mlp_c_proj));
    out->attn_quant = quant_of(&in->attn_c_proj);
    out->act_quant = quant_of(&in->mlp_c_proj);
    out->attention_scale = in->attention_scale;
    if (engine->format == OCT_FORMAT_F32) {
        return OCT_OK;
    }
    OCT_TRY(put_f32(engine, &out->k_step, in->k_step, C));
    OCT_TRY(put_f32(engine, &out->v_step, in->v_step, C));
    OCT_TRY(put_f32(engine, &out->k_mul, in->k_mul, C));
    OCT_TRY(put_f32(engine, &out->v_mul, in->v_mul, C));
    OCT_TRY(put_f32(engine, &out->out_mul, in->out_mul, C));
    return put_f32(engine, &out->act_mul, in->act_mul, (size_t)in->c_fc.n);
}

static oct_status put_model(oct_engine *engine, const gpt2_model *model)
{
    const gpt2_config *c = &model->config;
    size_t C = (size_t)c->n_embd, V = (size_t)c->vocab_size, P = (size_t)c->n_positions;
    OCT_REQUIRE(c->d_head <= MAX_D_HEAD, OCT_ERR_SHAPE, "head width: at most %d, got %d",
                MAX_D_HEAD, c->d_head);
    OCT_REQUIRE(c->n_positions <= MAX_POSITIONS, OCT_ERR_SHAPE, "context: at most %d, got %d",
                MAX_POSITIONS, c->n_positions);
    bool f32 = model->format == OCT_FORMAT_F32;
    const void *wte = f32 ? (const void *)model->wte_f32 : (const void *)model->wte_i8;
    OCT_TRY(pack(engine, &engine->wte, model->format, c->vocab_size, c->n_embd, wte));
    OCT_TRY(put_f32(engine, &engine->wte_step, f32 ? NULL : model->wte_step, V));
    OCT_TRY(put_f32(engine, &engine->wpe, model->wpe, P * C));
    for (int32_t i = 0; i < c->n_layer; i++) {
        OCT_TRY(put_layer(engine, &engine->layers[i], &model->layers[i]));
    }
    OCT_TRY(put_norm(engine, &engine->ln_f, &model->ln_f, &model->lm_head));
    if (model->head_is_wte) {
        engine->lm_head = engine->wte;
    }
    return put_linear(engine, &engine->lm_head, &model->lm_head);
}

oct_status oct_engine_from_model(oct_engine **out, oct_device *device, const gpt2_model *model)
{
    *out = NULL;
    oct_engine *engine = calloc(1, sizeof *engine);
    OCT_REQUIRE(engine != NULL, OCT_ERR_NOMEM, "out of memory: engine");
    engine->device = device;
    engine->config = model->config;
    engine->format = model->format;
    engine->layers = calloc((size_t)model->config.n_layer, sizeof *engine->layers);
    oct_status status = OCT_OK;
    if (engine->layers == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: %d layers", model->config.n_layer);
    } else {
        status = put_model(engine, model);
    }
    if (status != OCT_OK) {
        oct_engine_close(engine);
        return status;
    }
    *out = engine;
    return OCT_OK;
}

oct_status oct_engine_open(oct_engine **out, oct_device *device, const char *model_dir)
{
    *out = NULL;
    gpt2_model *model = NULL;
    OCT_TRY(gpt2_model_load(&model, model_dir));
    oct_status status = oct_engine_from_model(out, device, model);
    gpt2_model_close(model);
    if (status == OCT_OK) {
        oct_log(OCT_LOG_INFO, "load", "%s: %s, %.1f MB on %s", model_dir,
                (*out)->format == OCT_FORMAT_F32 ? "FP32" : "W8A8",
                (double)(*out)->weight_bytes / 1e6, device->table->name);
    }
    return status;
}

void oct_engine_close(oct_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    for (int32_t i = 0; i < engine->n_allocations; i++) {
        engine->device->table->free(engine->device, engine->allocations[i]);
    }
    free(engine->allocations);
    free(engine->layers);
    free(engine);
}

void oct_engine_describe(const oct_engine *engine, oct_engine_info *out)
{
    const gpt2_config *c = &engine->config;
    *out = (oct_engine_info){
        .n_layer = c->n_layer,
        .n_head = c->n_head,
        .n_embd = c->n_embd,
        .d_head = c->d_head,
        .n_inner = c->n_inner,
        .n_positions = c->n_positions,
        .vocab_size = c->vocab_size,
        .format = engine->format,
        .eos_token_id = c->eos_token_id,
        .weight_bytes = engine->weight_bytes,
        .kv_token_bytes =
            oct_kv_page_bytes(engine->format, c->n_layer, c->n_head, c->d_head) / OCT_PAGE_TOKENS,
    };
}
