// LOAD: config.json of a quantized directory: the source's, with `quantization_config` as
// compressed-tensors has it and `octet` for what that format cannot say.
#include "gpt2_write.h"

#include "base/check.h"
#include "base/file.h"
#include "gpt2_fields.h"
#include "json_file.h"

#include <stdlib.h>
#include <string.h>

// The quantized model must be of the source's architecture. The attention flags are not compared:
// their factors are folded into c_attn, so a quantized model has them false whatever the source
// says.
static oct_status check_same_architecture(const gpt2_config *model, const gpt2_config *source)
{
    const struct {
        const char *name;
        double model, source;
    } fields[] = {
        {"n_layer", model->n_layer, source->n_layer},
        {"n_head", model->n_head, source->n_head},
        {"n_embd", model->n_embd, source->n_embd},
        {"n_inner", model->n_inner, source->n_inner},
        {"n_positions", model->n_positions, source->n_positions},
        {"vocab_size", model->vocab_size, source->vocab_size},
        {"activation_function", model->activation, source->activation},
        {"layer_norm_epsilon", (double)model->layer_norm_epsilon,
         (double)source->layer_norm_epsilon},
        {"tie_word_embeddings", model->tie_word_embeddings, source->tie_word_embeddings},
        {"bos_token_id", model->bos_token_id, source->bos_token_id},
        {"eos_token_id", model->eos_token_id, source->eos_token_id},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        OCT_REQUIRE(fields[i].model == fields[i].source, OCT_ERR_ARG,
                    "%s: expected the model's %g, the source's config.json has %g", fields[i].name,
                    fields[i].model, fields[i].source);
    }
    return OCT_OK;
}

// QuantizationArgs of compressed-tensors; every key that its readers know, none that they refuse.
static json_t *pack_arguments(const char *strategy, bool symmetric, bool dynamic)
{
    return json_pack("{s:i, s:s, s:b, s:n, s:s, s:n, s:b, s:n, s:o, s:{}}", "num_bits", 8, "type",
                     "int", "symmetric", symmetric, "group_size", "strategy", strategy,
                     "block_structure", "dynamic", dynamic, "actorder", "observer",
                     dynamic ? json_null() : json_string("minmax"), "observer_kwargs");
}

// A QuantizationScheme: INT8 weights by channel; `inputs` (stolen) may be null.
static json_t *pack_group(json_t *targets, json_t *inputs)
{
    return json_pack("{s:o, s:o, s:o, s:n, s:s}", "targets", targets, "weights",
                     pack_arguments("channel", true, false), "input_activations", inputs,
                     "output_activations", "format", "int-quantized");
}

static json_t *pack_quantization(const gpt2_model *model)
{
    bool dynamic = strcmp(model->recipe.scheme, "w8a8-dynamic") == 0;
    bool asymmetric = !dynamic && model->recipe.zero_point;
    const char *strategy = dynamic ? "token" : "tensor";
    // Patterns, because GPT-2's modules are Conv1D and no class name would find them.
    const char *mlp_c_proj = "re:.*mlp\\.c_proj$";
    json_t *targets =
        json_pack("[s, s, s]", "re:.*attn\\.c_attn$", "re:.*attn\\.c_proj$", "re:.*mlp\\.c_fc$");
    if (!asymmetric) {
        json_array_append_new(targets, json_string(mlp_c_proj));
    }
    if (!model->head_is_wte) {
        json_array_append_new(targets, json_string("re:.*lm_head$"));
    }
    json_t *groups = json_object();
    json_object_set_new(groups, "group_0",
                        pack_group(targets, pack_arguments(strategy, true, dynamic)));
    if (asymmetric) {
        json_object_set_new(
            groups, "group_1",
            pack_group(json_pack("[s]", mlp_c_proj), pack_arguments(strategy, false, dynamic)));
    }
    // The embedding is a table of codes with a step a row and has no input to quantize.
    json_object_set_new(groups, "group_2", pack_group(json_pack("[s]", "re:.*wte$"), json_null()));
    json_t *ignore = model->head_is_wte ? json_pack("[s]", "lm_head") : json_array();
    return json_pack("{s:s, s:s, s:s, s:n, s:n, s:o, s:o}", "quant_method", "compressed-tensors",
                     "format", "int-quantized", "quantization_status", "compressed",
                     "global_compression_ratio", "kv_cache_scheme", "ignore", ignore,
                     "config_groups", groups);
}

static json_t *pack_octet(const gpt2_model *model)
{
    const gpt2_recipe *recipe = &model->recipe;
    json_t *alphas = json_object();
    for (int32_t i = 0; i <= 4 * model->config.n_layer; i++) {
        char name[128];
        gpt2_linear_name(name, sizeof name, &model->config, i);
        json_object_set_new(alphas, name, json_string(recipe->alpha[i]));
    }
    return json_pack("{s:i, s:i, s:{s:s, s:s, s:o, s:b, s:b, s:b, s:i}, s:s}", "format_version", 1,
                     "numerics_version", (int)recipe->numerics_version, "recipe", "scheme",
                     recipe->scheme, "calibrator", recipe->calibrator, "column_factors", alphas,
                     "zero_point", recipe->zero_point, "position_0", recipe->position_0, "gptq",
                     recipe->gptq, "blocks", (int)recipe->blocks, "calibration_sha256",
                     recipe->calibration_sha256);
}

// json_object_set_new, which also refuses a NULL that jansson returned for want of memory.
static oct_status set(json_t *root, const char *key, json_t *value)
{
    OCT_REQUIRE(json_object_set_new(root, key, value) == 0, OCT_ERR_NOMEM, "out of memory: %s",
                key);
    return OCT_OK;
}

static oct_status add_keys(const gpt2_model *model, json_t *root)
{
    OCT_TRY(set(root, "scale_attn_weights", json_false()));
    OCT_TRY(set(root, "scale_attn_by_inverse_layer_idx", json_false()));
    OCT_TRY(set(root, "torch_dtype", json_string("float32")));
    if (json_object_get(root, "dtype") != NULL) {
        OCT_TRY(set(root, "dtype", json_string("float32"))); // torch_dtype's newer name
    }
    OCT_TRY(set(root, "quantization_config", pack_quantization(model)));
    return set(root, "octet", pack_octet(model));
}

static oct_status write_json(const json_t *root, const char *path)
{
    char *text = json_dumps(root, JSON_INDENT(2));
    OCT_REQUIRE(text != NULL, OCT_ERR_NOMEM, "out of memory: %s", path);
    size_t n = strlen(text);
    text[n] = '\n'; // in the place of the NUL: the file is a text of whole lines
    oct_status status = oct_file_write(path, text, n + 1);
    free(text);
    return status;
}

oct_status gpt2_write_config(const gpt2_model *model, const char *source_dir, const char *path)
{
    gpt2_config source;
    OCT_TRY(gpt2_config_read(&source, source_dir));
    OCT_TRY(check_same_architecture(&model->config, &source));
    char *source_path = oct_path_join(source_dir, "config.json");
    OCT_REQUIRE(source_path != NULL, OCT_ERR_NOMEM, "out of memory: %s", source_dir);
    json_t *root;
    oct_status status = json_file_read(&root, source_path);
    if (status == OCT_OK) {
        status = add_keys(model, root);
        if (status == OCT_OK) {
            status = write_json(root, path);
        }
        json_decref(root);
    }
    free(source_path);
    return status;
}
