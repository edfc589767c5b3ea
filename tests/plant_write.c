// tests: writes an FP32 model as the checkpoint directory that Hugging Face's transformers would
// write.
#include "plant.h"

#include "base/check.h"
#include "base/file.h"
#include "model/json_file.h"
#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct plant_file {
    oct_arena arena;
    safetensors_entry *entries; // [n]
    size_t n;
} plant_file;

static oct_status add(plant_file *file, const char *prefix, const char *name, const float *data,
                      int32_t rows, int32_t cols)
{
    char *full = oct_arena_alloc(&file->arena, 96, 1);
    if (full == NULL) {
        return OCT_ERR_NOMEM;
    }
    snprintf(full, 96, "%s%s", prefix, name);
    file->entries[file->n++] =
        (safetensors_entry){full, OCT_DTYPE_F32, cols > 0 ? 2 : 1, {rows, cols}, data};
    return OCT_OK;
}

// Conv1D stores [in][out].
static oct_status add_linear(plant_file *file, const char *prefix, const gpt2_linear *linear)
{
    size_t n = (size_t)linear->n;
    size_t k = (size_t)linear->k;
    float *turned = oct_arena_alloc(&file->arena, n * k, sizeof *turned);
    if (turned == NULL) {
        return OCT_ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < k; j++) {
            turned[j * n + i] = linear->w_f32[i * k + j];
        }
    }
    OCT_TRY(add(file, prefix, "weight", turned, linear->k, linear->n));
    return add(file, prefix, "bias", linear->bias, linear->n, 0);
}

static oct_status add_norm(plant_file *file, const char *prefix, const gpt2_norm *norm, int32_t c)
{
    OCT_TRY(add(file, prefix, "weight", norm->gamma, c, 0));
    return add(file, prefix, "bias", norm->beta, c, 0);
}

static oct_status add_layer(plant_file *file, const gpt2_layer *layer, int32_t index, int32_t c)
{
    const struct {
        const char *name;
        const gpt2_linear *linear; // or
        const gpt2_norm *norm;
    } parts[] = {
        {"ln_1", NULL, &layer->ln_1},
        {"attn.c_attn", &layer->c_attn, NULL},
        {"attn.c_proj", &layer->attn_c_proj, NULL},
        {"ln_2", NULL, &layer->ln_2},
        {"mlp.c_fc", &layer->c_fc, NULL},
        {"mlp.c_proj", &layer->mlp_c_proj, NULL},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "h.%d.%s.", index, parts[i].name);
        OCT_TRY(parts[i].norm != NULL ? add_norm(file, prefix, parts[i].norm, c)
                                      : add_linear(file, prefix, parts[i].linear));
    }
    return OCT_OK;
}

static oct_status write_tensors(const gpt2_model *model, const char *path)
{
    const gpt2_config *config = &model->config;
    plant_file file = {0};
    oct_status status = OCT_ERR_NOMEM;
    file.entries =
        oct_arena_alloc(&file.arena, (size_t)config->n_layer * 12 + 6, sizeof *file.entries);
    if (file.entries == NULL) {
        goto end;
    }
    OCT_TRY_GOTO(add(&file, "wte.", "weight", model->wte_f32, config->vocab_size, config->n_embd),
                 end);
    OCT_TRY_GOTO(add(&file, "wpe.", "weight", model->wpe, config->n_positions, config->n_embd),
                 end);
    for (int32_t l = 0; l < config->n_layer; l++) {
        OCT_TRY_GOTO(add_layer(&file, &model->layers[l], l, config->n_embd), end);
    }
    OCT_TRY_GOTO(add_norm(&file, "ln_f.", &model->ln_f, config->n_embd), end);
    OCT_TRY_GOTO(
        add(&file, "lm_head.", "weight", model->lm_head.w_f32, config->vocab_size, config->n_embd),
        end);
    if (model->lm_head.bias != NULL) {
        OCT_TRY_GOTO(add(&file, "lm_head.", "bias", model->lm_head.bias, config->vocab_size, 0),
                     end);
    }
    status = safetensors_write(path, file.entries, file.n);
end:
    oct_arena_free(&file.arena);
    return status;
}

static oct_status write_config(const gpt2_model *model, const char *source, const char *path)
{
    const gpt2_config *config = &model->config;
    json_t *root;
    OCT_TRY(json_file_read(&root, source));
    json_object_set_new(root, "n_embd", json_integer(config->n_embd));
    json_object_set_new(root, "n_head", json_integer(config->n_head));
    json_object_set_new(root, "n_inner", json_integer(config->n_inner));
    json_object_set_new(root, "layer_norm_epsilon", json_real((double)config->layer_norm_epsilon));
    json_object_set_new(root, "tie_word_embeddings", json_false());
    json_object_set_new(root, "torch_dtype", json_string("float32"));
    char *text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    OCT_REQUIRE(text != NULL, OCT_ERR_NOMEM, "%s: no memory for a config", path);
    oct_status status = oct_file_write(path, text, strlen(text));
    free(text);
    return status;
}

oct_status plant_write(const gpt2_model *model, const char *source_dir, const char *out_dir)
{
    static const char *const tokenizer[] = {"vocab.json", "merges.txt", "tokenizer.json"};
    char from[4096];
    char to[4096];
    OCT_REQUIRE(mkdir(out_dir, 0777) == 0, OCT_ERR_IO, "%s: expected a new name in a folder",
                out_dir);
    snprintf(from, sizeof from, "%s/config.json", source_dir);
    snprintf(to, sizeof to, "%s/config.json", out_dir);
    OCT_TRY(write_config(model, from, to));
    for (size_t i = 0; i < sizeof tokenizer / sizeof tokenizer[0]; i++) {
        snprintf(from, sizeof from, "%s/%s", source_dir, tokenizer[i]);
        snprintf(to, sizeof to, "%s/%s", out_dir, tokenizer[i]);
        if (oct_file_exists(from)) {
            OCT_TRY(oct_file_copy(from, to));
        }
    }
    snprintf(to, sizeof to, "%s/model.safetensors", out_dir);
    return write_tensors(model, to);
}
