// QUANTIZE: the exact folds.
#include "quant/fold.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// W_q, b_q: (f32)((double) w / (sqrt((double) D) * (layer + 1))), each factor only where the config
// asks for it.
static void fold_scale(float *weight, float *bias, const gpt2_config *config, int32_t layer)
{
    double divisor = 1.0;
    if (config->scale_attn_weights) {
        divisor *= sqrt((double)config->d_head);
    }
    if (config->scale_attn_by_inverse_layer_idx) {
        divisor *= (double)(layer + 1);
    }
    size_t c = (size_t)config->n_embd;
    for (size_t i = 0; i < c * c; i++) {
        weight[i] = (float)((double)weight[i] / divisor);
    }
    for (size_t i = 0; i < c; i++) {
        bias[i] = (float)((double)bias[i] / divisor);
    }
}

// b_o[n] = (f32)(b_o[n] + sum over ascending k of b_v[k] * W_o[k][n]) in double, starting from
// b_o[n].
static void fold_value_bias(float *b_o, const float *b_v, const gpt2_linear *c_proj)
{
    for (int32_t n = 0; n < c_proj->n; n++) {
        const float *w = c_proj->w_f32 + (size_t)n * (size_t)c_proj->k;
        double sum = (double)b_o[n];
        for (int32_t k = 0; k < c_proj->k; k++) {
            sum += (double)b_v[k] * (double)w[k];
        }
        b_o[n] = (float)sum;
    }
}

static oct_status fold_layer(oct_arena *arena, gpt2_layer *layer, const gpt2_config *config,
                             int32_t index)
{
    size_t c = (size_t)config->n_embd;
    float *weight = oct_arena_alloc(arena, 3 * c * c, sizeof(float));
    float *bias = oct_arena_alloc(arena, 3 * c, sizeof(float));
    float *b_o = oct_arena_alloc(arena, c, sizeof(float));
    if (weight == NULL || bias == NULL || b_o == NULL) {
        return OCT_ERR_NOMEM;
    }
    memcpy(weight, layer->c_attn.w_f32, 3 * c * c * sizeof(float));
    if (layer->c_attn.bias != NULL) {
        memcpy(bias, layer->c_attn.bias, 3 * c * sizeof(float));
    }
    if (layer->attn_c_proj.bias != NULL) {
        memcpy(b_o, layer->attn_c_proj.bias, c * sizeof(float));
    }
    fold_scale(weight, bias, config, index);
    fold_value_bias(b_o, bias + 2 * c, &layer->attn_c_proj);
    // Adding q . b_k to all scores of a row changes no softmax; b_v has moved.
    memset(bias + c, 0, 2 * c * sizeof(float));
    layer->c_attn.w_f32 = weight;
    layer->c_attn.bias = bias;
    layer->attn_c_proj.bias = b_o;
    layer->attention_scale = 1.0f;
    return OCT_OK;
}

oct_status fold_model(gpt2_model **out, const gpt2_model *source)
{
    *out = NULL;
    OCT_REQUIRE(source->format == OCT_FORMAT_F32, OCT_ERR_ARG,
                "expected an FP32 model to fold, got one that is quantized already");
    gpt2_model *model = malloc(sizeof *model);
    OCT_REQUIRE(model != NULL, OCT_ERR_NOMEM, "no memory for a model of %zu bytes", sizeof *model);
    *model = *source;
    memset(&model->arena, 0, sizeof model->arena);
    model->mapping = NULL;
    oct_status status = OCT_ERR_NOMEM;
    size_t n = (size_t)source->config.n_layer;
    model->layers = oct_arena_alloc(&model->arena, n, sizeof *model->layers);
    if (model->layers == NULL) {
        goto fail;
    }
    memcpy(model->layers, source->layers, n * sizeof *model->layers);
    for (int32_t l = 0; l < source->config.n_layer; l++) {
        OCT_TRY_GOTO(fold_layer(&model->arena, &model->layers[l], &source->config, l), fail);
    }
    model->config.scale_attn_weights = false; // both are in c_attn now
    model->config.scale_attn_by_inverse_layer_idx = false;
    *out = model;
    return OCT_OK;
fail:
    gpt2_model_close(model);
    return status;
}
