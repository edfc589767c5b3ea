// LOAD: opens a model directory, decides what kind it is and frees models.
#include "gpt2_load.h"

#include "base/check.h"
#include "base/file.h"
#include "json_file.h"

#include <stdlib.h>

// The linears of a layer in file order; k and n follow from the config.
static void lay_out_linear(gpt2_linear *linear, oct_format format, int32_t n, int32_t k)
{
    linear->format = format;
    linear->n = n;
    linear->k = k;
}

static oct_status lay_out(gpt2_model *model)
{
    const gpt2_config *c = &model->config;
    oct_format format = model->format;
    model->layers = oct_arena_alloc(&model->arena, (size_t)c->n_layer, sizeof *model->layers);
    OCT_REQUIRE(model->layers != NULL, OCT_ERR_NOMEM, "out of memory: %d layers", c->n_layer);
    for (int32_t i = 0; i < c->n_layer; i++) {
        gpt2_layer *layer = &model->layers[i];
        lay_out_linear(&layer->c_attn, format, 3 * c->n_embd, c->n_embd);
        lay_out_linear(&layer->attn_c_proj, format, c->n_embd, c->n_embd);
        lay_out_linear(&layer->c_fc, format, c->n_inner, c->n_embd);
        lay_out_linear(&layer->mlp_c_proj, format, c->n_embd, c->n_inner);
        layer->attention_scale = format == OCT_FORMAT_F32 ? gpt2_attention_scale(c, i) : 1.0f;
    }
    lay_out_linear(&model->lm_head, format, c->vocab_size, c->n_embd);
    return OCT_OK;
}

oct_status gpt2_find_prefix(const char **out, const safetensors *st)
{
    *out = safetensors_find(st, "wte.weight") != NULL ? "" : "transformer.";
    OCT_REQUIRE(**out == 0 || safetensors_find(st, "transformer.wte.weight") != NULL,
                OCT_ERR_FORMAT,
                "%s: expected tensor wte.weight or transformer.wte.weight, found neither",
                safetensors_where(st));
    return OCT_OK;
}

oct_status gpt2_model_new(gpt2_model **out, const gpt2_config *config, oct_format format)
{
    *out = NULL;
    gpt2_model *model = calloc(1, sizeof *model);
    OCT_REQUIRE(model != NULL, OCT_ERR_NOMEM, "out of memory: model");
    model->config = *config;
    model->format = format;
    oct_status status = lay_out(model);
    if (status != OCT_OK) {
        gpt2_model_close(model);
        return status;
    }
    *out = model;
    return OCT_OK;
}

// lm_head_bias is no key of transformers' GPT-2, whose heads have none; where a config has it, it
// must be true to the file.
static oct_status check_head_bias(const gpt2_model *model, const json_t *root)
{
    const json_t *value = json_object_get(root, "lm_head_bias");
    bool present = model->lm_head.bias != NULL;
    OCT_REQUIRE(value == NULL || (json_is_boolean(value) && json_is_true(value) == present),
                OCT_ERR_FORMAT,
                "lm_head_bias: expected %s, as the weights have %s lm_head.bias, got %s",
                present ? "true" : "false", present ? "an" : "no", json_show(value).text);
    return OCT_OK;
}

// Reads everything but the architecture; `root` is config.json, config_path its name for messages.
static oct_status load_model(gpt2_model **out, const gpt2_config *config, const char *dir,
                             const char *config_path, const json_t *root)
{
    bool quantized = json_object_get(root, "octet") != NULL;
    gpt2_model *model;
    OCT_TRY(gpt2_model_new(&model, config, quantized ? OCT_FORMAT_W8A8 : OCT_FORMAT_F32));
    oct_status status = OCT_OK;
    safetensors *st;
    if (quantized) {
        OCT_TRY_GOTO(gpt2_load_recipe(model, root), config_fail);
    }
    OCT_TRY_GOTO(safetensors_open(&st, dir), fail);
    model->mapping = st; // the model's from here: codes stay where they are mapped
    OCT_TRY_GOTO(quantized ? gpt2_load_w8a8(model, st) : gpt2_load_f32(model, st), fail);
    OCT_TRY_GOTO(check_head_bias(model, root), config_fail);
    if (!quantized) {
        safetensors_close(st); // everything was widened into the arena
        model->mapping = NULL;
    }
    *out = model;
    return OCT_OK;
config_fail:
    oct_fail_prefix(status, "%s", config_path);
fail:
    gpt2_model_close(model);
    return status;
}

oct_status gpt2_model_load(gpt2_model **out, const char *dir)
{
    *out = NULL;
    gpt2_config config;
    OCT_TRY(gpt2_config_read(&config, dir));
    char *path = oct_path_join(dir, "config.json");
    OCT_REQUIRE(path != NULL, OCT_ERR_NOMEM, "out of memory: %s", dir);
    json_t *root;
    oct_status status = json_file_read(&root, path);
    if (status == OCT_OK) {
        status = load_model(out, &config, dir, path, root);
        json_decref(root);
    }
    free(path);
    return status;
}

void gpt2_model_close(gpt2_model *model)
{
    if (model == NULL) {
        return;
    }
    safetensors_close(model->mapping);
    oct_arena_free(&model->arena);
    free(model);
}
