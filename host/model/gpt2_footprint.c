// LOAD: how many bytes a model's parameters and one token's keys and values take in each format.
#include "gpt2_model.h"

typedef struct counter {
    const gpt2_model *model;
    size_t width; // bytes of a float parameter
    bool codes;   // INT8: weights as codes, all the rest FP32 with multipliers
} counter;

// Bytes of a linear layer. Of a float model in INT8: as the default recipe would store it.
static size_t linear_bytes(const counter *c, const gpt2_linear *l, bool has_bias, bool own_table)
{
    size_t n = (size_t)l->n, k = (size_t)l->k;
    size_t bias = has_bias ? n : 0;
    if (!c->codes) {
        return ((own_table ? n * k : 0) + bias) * c->width;
    }
    bool quantized = l->format == OCT_FORMAT_W8A8;
    bool factors = quantized ? l->column_factors != NULL : true;
    size_t floats = bias + n; // bias, mul
    size_t codes = 0;
    if (own_table) {
        codes = n * k;
        floats += n + (factors ? k : 0); // weight_scale, column_factors
    }
    if (!quantized || !l->input.dynamic) {
        floats += 4; // input_scale, input_scale_0, row_factors
    }
    if (quantized && l->input.asymmetric) {
        codes += 2; // input_zero_point, input_zero_point_0
    }
    return codes + floats * 4;
}

// gamma and beta; in INT8 also G and B.
static size_t norm_bytes(const counter *c)
{
    size_t width = (size_t)c->model->config.n_embd;
    return c->codes ? 4 * width * 4 : 2 * width * c->width;
}

void gpt2_model_footprint(const gpt2_model *model, int bytes_per_weight, gpt2_footprint *out)
{
    const counter c = {model, (size_t)bytes_per_weight, bytes_per_weight == 1};
    const gpt2_config *config = &model->config;
    size_t width = (size_t)config->n_embd, vocab = (size_t)config->vocab_size;
    size_t float_bytes = c.codes ? 4 : c.width; // of tensors that are never codes
    *out = (gpt2_footprint){0};
    out->embeddings = vocab * width * c.width + (c.codes ? vocab * 4 : 0);
    out->positions = (size_t)config->n_positions * width * float_bytes;
    for (int32_t i = 0; i < config->n_layer; i++) {
        const gpt2_layer *layer = &model->layers[i];
        out->attention += linear_bytes(&c, &layer->c_attn, true, true) +
                          linear_bytes(&c, &layer->attn_c_proj, true, true);
        out->mlp += linear_bytes(&c, &layer->c_fc, true, true) +
                    linear_bytes(&c, &layer->mlp_c_proj, true, true);
        if (c.codes) {
            out->attention += 5 * width * 4;         // k_scale, v_scale, k_mul, v_mul, out_mul
            out->mlp += (size_t)config->n_inner * 4; // act_mul
            if (layer->mlp_c_proj.format == OCT_FORMAT_F32) {
                out->mlp += 2; // its zero points, in the default recipe
            }
        }
        out->norms += 2 * norm_bytes(&c);
    }
    out->norms += norm_bytes(&c);
    // In INT8 a tied head shares wte's codes only where it has no column factors, which the default
    // recipe gives it.
    bool own_head = !config->tie_word_embeddings;
    if (c.codes) {
        own_head = model->format == OCT_FORMAT_W8A8 ? !model->head_is_wte : true;
    }
    out->head = linear_bytes(&c, &model->lm_head, model->lm_head.bias != NULL, own_head);
    out->total =
        out->embeddings + out->positions + out->attention + out->mlp + out->norms + out->head;
    // INT8 pages pad D to a multiple of 16 (NUMERICS.md section 5).
    size_t d_head = (size_t)config->d_head;
    size_t d_stored = c.codes ? (d_head + 15) / 16 * 16 : d_head;
    out->kv_per_token = 2 * (size_t)config->n_layer * (size_t)config->n_head * d_stored * c.width;
}
