// LOAD: oct_inspect: a model directory described as JSON: what it is made of, what it weighs, and,
// where it is quantized, what calibration saw and decided.
//
// "tensors" lists the parameters as this program holds them: {"name", "shape", "dtype", "bytes",
// "absmax"}; a quantized linear also has {"alpha", "column_factors": null or {"min", "max"},
// "weight_step": {"min", "max"}, "step", "zero_point", "step_0", "zero_point_0"}, null where the
// scheme is dynamic; a head that shares the embeddings' table has "bytes" 0 and "shared_with".
#include "base/check.h"
#include "base/file.h"
#include "model/json_file.h"
#include "octet/numerics.h"
#include "octet/octet.h"
#include "quant/sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value);
}

static json_t *range_json(const float *values, int32_t n)
{
    if (values == NULL) {
        return json_null();
    }
    float low = values[0];
    float high = values[0];
    for (int32_t i = 1; i < n; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    return json_pack("{s:f, s:f}", "min", (double)low, "max", (double)high);
}

static json_t *config_json(const gpt2_config *c)
{
    static const char *const activations[] = {"gelu_new", "gelu", "relu"};
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b, s:b, s:b, s:i, s:i}", "n_layer",
        (int)c->n_layer, "n_head", (int)c->n_head, "n_embd", (int)c->n_embd, "d_head",
        (int)c->d_head, "n_inner", (int)c->n_inner, "n_positions", (int)c->n_positions,
        "vocab_size", (int)c->vocab_size, "activation_function", activations[c->activation],
        "layer_norm_epsilon", (double)c->layer_norm_epsilon, "scale_attn_weights",
        (int)c->scale_attn_weights, "scale_attn_by_inverse_layer_idx",
        (int)c->scale_attn_by_inverse_layer_idx, "tie_word_embeddings", (int)c->tie_word_embeddings,
        "bos_token_id", (int)c->bos_token_id, "eos_token_id", (int)c->eos_token_id);
}

static json_t *recipe_json(const gpt2_model *model)
{
    if (model->format == OCT_FORMAT_F32) {
        return json_null();
    }
    const gpt2_recipe *r = &model->recipe;
    json_t *alphas = json_object();
    int failed = 0;
    for (int32_t i = 0; i < site_linear_count(&model->config); i++) {
        quant_site site = site_at(&model->config, i);
        site.name[strlen(site.name) - strlen(".input")] = 0; // the linear's own name
        failed |= set(alphas, site.name, json_string(r->alpha[i]));
    }
    if (failed != 0) {
        json_decref(alphas);
        return NULL;
    }
    return json_pack("{s:s, s:s, s:b, s:b, s:b, s:i, s:s, s:i, s:o}", "scheme", r->scheme,
                     "calibrator", r->calibrator, "zero_point", (int)r->zero_point, "position_0",
                     (int)r->position_0, "gptq", (int)r->gptq, "blocks", (int)r->blocks,
                     "calibration_sha256", r->calibration_sha256, "numerics_version",
                     (int)r->numerics_version, "column_factors", alphas);
}

// ---- sizes

static json_t *bytes_json(const size_t bytes[3])
{
    return json_pack("{s:I, s:I, s:I}", "fp32", (json_int_t)bytes[0], "fp16", (json_int_t)bytes[1],
                     "int8", (json_int_t)bytes[2]);
}

static int set_footprints(json_t *root, const gpt2_model *model)
{
    static const struct {
        const char *name;
        size_t offset;
    } parts[] = {
        {"embeddings", offsetof(gpt2_footprint, embeddings)},
        {"positions", offsetof(gpt2_footprint, positions)},
        {"attention", offsetof(gpt2_footprint, attention)},
        {"mlp", offsetof(gpt2_footprint, mlp)},
        {"norms", offsetof(gpt2_footprint, norms)},
        {"head", offsetof(gpt2_footprint, head)},
        {"total", offsetof(gpt2_footprint, total)},
    };
    static const int widths[3] = {4, 2, 1};
    gpt2_footprint of[3];
    size_t kv[3];
    for (size_t i = 0; i < 3; i++) {
        gpt2_model_footprint(model, widths[i], &of[i]);
        kv[i] = of[i].kv_per_token;
    }
    json_t *object = json_object();
    int failed = 0;
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        size_t bytes[3];
        for (size_t i = 0; i < 3; i++) {
            memcpy(&bytes[i], (const char *)&of[i] + parts[p].offset, sizeof bytes[i]);
        }
        failed |= set(object, parts[p].name, bytes_json(bytes));
    }
    failed |= set(root, "footprint_bytes", object);
    failed |= set(root, "kv_bytes_per_token", bytes_json(kv));
    return failed;
}

// Parameters of the architecture, a tied head counted once; what quantization adds is none.
static json_int_t parameter_count(const gpt2_model *model)
{
    gpt2_footprint f;
    gpt2_model_footprint(model, 4, &f);
    return (json_int_t)(f.total / 4);
}

// ---- tensors

static json_t *tensor_json(const char *prefix, const char *name, const char *dtype, int32_t rows,
                           int32_t cols)
{
    size_t count = (size_t)rows * (size_t)(cols > 0 ? cols : 1);
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    json_t *shape = cols > 0 ? json_pack("[i, i]", (int)rows, (int)cols) : json_pack("[i]", rows);
    return json_pack("{s:s, s:o, s:s, s:I}", "name", full, "shape", shape, "dtype", dtype, "bytes",
                     (json_int_t)(count * (strcmp(dtype, "I8") == 0 ? 1u : 4u)));
}

static float absmax_f32(const float *values, size_t count)
{
    float top = 0.0f;
    for (size_t i = 0; i < count; i++) {
        float a = oct_abs(values[i]);
        top = a > top ? a : top;
    }
    return top;
}

static int add_floats(json_t *list, const char *prefix, const char *name, const float *values,
                      int32_t rows, int32_t cols)
{
    json_t *tensor = tensor_json(prefix, name, "F32", rows, cols);
    size_t count = (size_t)rows * (size_t)(cols > 0 ? cols : 1);
    int failed = set(tensor, "absmax", json_real((double)absmax_f32(values, count)));
    failed |= json_array_append_new(list, tensor);
    return failed;
}

// absmax of the real values, step * largest code of each row; column factors are left in.
static float absmax_i8(const int8_t *codes, const float *step, int32_t n, int32_t k)
{
    float top = 0.0f;
    for (int32_t i = 0; i < n; i++) {
        int32_t row = 0;
        for (int32_t j = 0; j < k; j++) {
            int32_t code = codes[(size_t)i * (size_t)k + (size_t)j];
            row = code > row ? code : -code > row ? -code : row;
        }
        float a = oct_mul(step[i], (float)row);
        top = a > top ? a : top;
    }
    return top;
}

static int add_codes(json_t *list, const char *prefix, const char *name, const int8_t *codes,
                     const float *step, int32_t n, int32_t k, json_t **tensor)
{
    *tensor = tensor_json(prefix, name, "I8", n, k);
    int failed = set(*tensor, "absmax", json_real((double)absmax_i8(codes, step, n, k)));
    failed |= set(*tensor, "weight_step", range_json(step, n));
    failed |= json_array_append_new(list, *tensor); // the list owns it; it stays valid
    return failed;
}

static int set_input(json_t *tensor, const gpt2_linear *l, const char *alpha)
{
    const gpt2_input *in = &l->input;
    int failed = set(tensor, "alpha", json_string(alpha));
    failed |= set(tensor, "column_factors", range_json(l->column_factors, l->k));
    failed |= set(tensor, "step", in->dynamic ? json_null() : json_real((double)in->step));
    failed |= set(tensor, "zero_point", in->dynamic ? json_null() : json_integer(in->zero));
    failed |= set(tensor, "step_0", in->dynamic ? json_null() : json_real((double)in->step_0));
    failed |= set(tensor, "zero_point_0", in->dynamic ? json_null() : json_integer(in->zero_0));
    return failed;
}

static int add_linear(json_t *list, const gpt2_model *model, int32_t index)
{
    const gpt2_linear *l = site_linear(model, index);
    quant_site site = site_at(&model->config, index);
    site.name[strlen(site.name) - strlen("input")] = 0; // "h.0.attn.c_attn."
    int failed = 0;
    if (l->format == OCT_FORMAT_W8A8) {
        json_t *tensor = NULL;
        failed = add_codes(list, site.name, "weight", l->w_i8, l->w_step, l->n, l->k, &tensor);
        failed |= set_input(tensor, l, model->recipe.alpha[index]);
        if (model->head_is_wte && site.kind == SITE_LM_HEAD) {
            failed |= set(tensor, "bytes", json_integer(0));
            failed |= set(tensor, "shared_with", json_string("wte.weight"));
        }
    } else {
        failed = add_floats(list, site.name, "weight", l->w_f32, l->n, l->k);
    }
    if (l->bias != NULL) {
        failed |= add_floats(list, site.name, "bias", l->bias, l->n, 0);
    }
    return failed;
}

static int add_norm(json_t *list, const char *prefix, const gpt2_norm *norm, int32_t c)
{
    int failed = add_floats(list, prefix, "weight", norm->gamma, c, 0);
    failed |= add_floats(list, prefix, "bias", norm->beta, c, 0);
    return failed;
}

static json_t *tensors_json(const gpt2_model *model)
{
    const gpt2_config *config = &model->config;
    json_t *list = json_array();
    json_t *wte = NULL;
    int32_t c = config->n_embd;
    int failed = model->format == OCT_FORMAT_W8A8
                     ? add_codes(list, "wte.", "weight", model->wte_i8, model->wte_step,
                                 config->vocab_size, c, &wte)
                     : add_floats(list, "wte.", "weight", model->wte_f32, config->vocab_size, c);
    failed |= add_floats(list, "wpe.", "weight", model->wpe, config->n_positions, c);
    for (int32_t l = 0; l < config->n_layer; l++) {
        char prefix[32];
        int32_t first = site_find(config, SITE_C_ATTN, l);
        snprintf(prefix, sizeof prefix, "h.%d.ln_1.", l);
        failed |= add_norm(list, prefix, &model->layers[l].ln_1, c);
        failed |= add_linear(list, model, first);
        failed |= add_linear(list, model, first + 1);
        snprintf(prefix, sizeof prefix, "h.%d.ln_2.", l);
        failed |= add_norm(list, prefix, &model->layers[l].ln_2, c);
        failed |= add_linear(list, model, first + 2);
        failed |= add_linear(list, model, first + 3);
    }
    failed |= add_norm(list, "ln_f.", &model->ln_f, c);
    // A shared head is listed where it is quantized: its input has steps of its own.
    if (!model->head_is_wte || model->format == OCT_FORMAT_W8A8) {
        failed |= add_linear(list, model, site_find(config, SITE_LM_HEAD, -1));
    }
    if (failed != 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}

// calibration.json, or null where there is none.
static oct_status read_statistics(json_t **out, const char *model_dir)
{
    *out = json_null();
    char *path = oct_path_join(model_dir, "calibration.json");
    if (path == NULL) {
        return OCT_ERR_NOMEM;
    }
    oct_status status = oct_file_exists(path) ? json_file_read(out, path) : OCT_OK;
    free(path);
    return status;
}

oct_status oct_inspect(const char *model_dir, char **out)
{
    *out = NULL;
    gpt2_model *model = NULL;
    json_t *root = NULL;
    json_t *statistics = NULL;
    int failed = 0;
    oct_status status = OCT_OK;
    OCT_TRY_GOTO(gpt2_model_load(&model, model_dir), end);
    OCT_TRY_GOTO(read_statistics(&statistics, model_dir), end);
    root = json_object();
    failed = set(root, "config", config_json(&model->config));
    failed |= set(root, "format",
                  json_string(model->format == OCT_FORMAT_F32 ? "fp32" : model->recipe.scheme));
    failed |= set(root, "recipe", recipe_json(model));
    failed |= set(root, "parameters", json_integer(parameter_count(model)));
    failed |= set_footprints(root, model);
    failed |= set(root, "tensors", tensors_json(model));
    failed |= set(root, "statistics", json_incref(statistics));
    *out = failed == 0 ? json_dumps(root, JSON_COMPACT) : NULL;
    if (*out == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "%s: no memory for its description", model_dir);
    }
end:
    json_decref(root);
    json_decref(statistics);
    gpt2_model_close(model);
    return status;
}
