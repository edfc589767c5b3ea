// LOAD: reads the fields of config.json that say which network a GPT-2 checkpoint is.
//
// Decisions where the format is loose, all as Hugging Face transformers has it: sizes may come
// under their general names (hidden_size for n_embd, ...); an absent activation_function is
// gelu_new, an absent layer_norm_epsilon 1e-5, absent attention flags and ties as in GPT2Config;
// n_ctx has no effect (n_positions rules, a difference is logged); reorder_and_upcast_attn changes
// no formula; dropout, summary_* and unknown keys concern training or other heads. Token ids beyond
// the vocabulary, which GPT2Config's defaults put into many small models, can never come up and
// count as absent (logged).
#include "gpt2_config.h"

#include "base/check.h"
#include "base/file.h"
#include "base/logging.h"
#include "json_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_FAIL(...) OCT_FAIL(OCT_ERR_FORMAT, __VA_ARGS__)

static const struct {
    const char *name;
    oct_activation activation;
} activation_table[] = {
    {"gelu_new", OCT_ACTIVATION_GELU_NEW},
    {"gelu_fast", OCT_ACTIVATION_GELU_NEW},
    {"gelu_pytorch_tanh", OCT_ACTIVATION_GELU_NEW},
    {"gelu", OCT_ACTIVATION_GELU},
    {"relu", OCT_ACTIVATION_RELU},
};

float gpt2_attention_scale(const gpt2_config *config, int32_t layer)
{
    float scale = 1.0f;
    if (config->scale_attn_weights) {
        scale = scale / sqrtf((float)config->d_head);
    }
    if (config->scale_attn_by_inverse_layer_idx) {
        scale = scale / (float)(layer + 1);
    }
    return scale;
}

// A size from 1 to max, under its GPT-2 name or, where given, its general one.
static oct_status read_size(int32_t *out, const json_t *root, const char *name, const char *alias,
                            int32_t max)
{
    const json_t *value = json_object_get(root, name);
    const json_t *other = alias == NULL ? NULL : json_object_get(root, alias);
    if (value == NULL) {
        value = other;
    } else if (other != NULL && !json_equal(value, other)) {
        return FORMAT_FAIL("%s: expected the same as %s (%s), got %s", alias, name,
                           json_show(value).text, json_show(other).text);
    }
    OCT_REQUIRE(json_is_integer(value) && json_integer_value(value) >= 1 &&
                    json_integer_value(value) <= max,
                OCT_ERR_FORMAT, "%s: expected a whole number from 1 to %d, got %s", name, max,
                json_show(value).text);
    *out = (int32_t)json_integer_value(value);
    return OCT_OK;
}

// true or false; `absent` where the file has none.
static oct_status read_flag(bool *out, const json_t *root, const char *name, bool absent)
{
    const json_t *value = json_object_get(root, name);
    OCT_REQUIRE(value == NULL || json_is_boolean(value), OCT_ERR_FORMAT,
                "%s: expected true or false, got %s", name, json_show(value).text);
    *out = value == NULL ? absent : json_is_true(value);
    return OCT_OK;
}

// A flag of which only false can be honoured.
static oct_status refuse_flag(const json_t *root, const char *name)
{
    bool on;
    OCT_TRY(read_flag(&on, root, name, false));
    OCT_REQUIRE(!on, OCT_ERR_FORMAT, "%s: expected false (Octet has no such layers), got true",
                name);
    return OCT_OK;
}

// A token id, or a list of one; null, absent and -1 are none.
static oct_status read_token(int32_t *out, const json_t *root, const char *name, int32_t vocab_size)
{
    const json_t *value = json_object_get(root, name);
    *out = -1;
    if (json_is_array(value) && json_array_size(value) == 1) {
        value = json_array_get(value, 0);
    }
    if (value == NULL || json_is_null(value)) {
        return OCT_OK;
    }
    OCT_REQUIRE(json_is_integer(value) && json_integer_value(value) >= -1, OCT_ERR_FORMAT,
                "%s: expected one token id or null, got %s", name, json_show(value).text);
    json_int_t id = json_integer_value(value);
    if (id >= vocab_size) {
        oct_log(OCT_LOG_WARN, "load", "%s: %lld is not in the vocabulary of %d ids and is ignored",
                name, (long long)id, vocab_size);
        return OCT_OK;
    }
    *out = (int32_t)id;
    return OCT_OK;
}

static oct_status read_model_type(const json_t *root)
{
    const json_t *type = json_object_get(root, "model_type");
    const json_t *class = json_array_get(json_object_get(root, "architectures"), 0);
    if (type == NULL && json_is_string(class) &&
        strncmp(json_string_value(class), "GPT2", 4) == 0) {
        return OCT_OK; // files from before model_type existed
    }
    OCT_REQUIRE(json_is_string(type) && strcmp(json_string_value(type), "gpt2") == 0,
                OCT_ERR_FORMAT, "model_type: expected \"gpt2\", got %s", json_show(type).text);
    return OCT_OK;
}

static oct_status read_activation(oct_activation *out, const json_t *root)
{
    const json_t *value = json_object_get(root, "activation_function");
    *out = OCT_ACTIVATION_GELU_NEW;
    if (value == NULL) {
        return OCT_OK;
    }
    const char *name = json_string_value(value);
    for (size_t i = 0; i < sizeof activation_table / sizeof activation_table[0]; i++) {
        if (name != NULL && strcmp(name, activation_table[i].name) == 0) {
            *out = activation_table[i].activation;
            return OCT_OK;
        }
    }
    return FORMAT_FAIL(
        "activation_function: expected gelu_new, gelu_fast, gelu_pytorch_tanh, gelu or "
        "relu, got %s",
        json_show(value).text);
}

static oct_status read_epsilon(float *out, const json_t *root)
{
    const json_t *value = json_object_get(root, "layer_norm_epsilon");
    double epsilon = value == NULL ? 1e-5 : json_number_value(value);
    *out = (float)epsilon;
    OCT_REQUIRE((value == NULL || json_is_number(value)) && *out > 0 && *out <= 1, OCT_ERR_FORMAT,
                "layer_norm_epsilon: expected a number above 0 and at most 1, got %s",
                json_show(value).text);
    return OCT_OK;
}

static oct_status read_sizes(gpt2_config *out, const json_t *root)
{
    // The limits keep 3 * C, 4 * C and every product with 4 bytes far from overflow.
    OCT_TRY(read_size(&out->n_layer, root, "n_layer", "num_hidden_layers", 1024));
    OCT_TRY(read_size(&out->n_embd, root, "n_embd", "hidden_size", 1 << 20));
    OCT_TRY(read_size(&out->n_head, root, "n_head", "num_attention_heads", 1 << 17));
    OCT_TRY(read_size(&out->n_positions, root, "n_positions", "max_position_embeddings", 1 << 24));
    OCT_TRY(read_size(&out->vocab_size, root, "vocab_size", NULL, 1 << 24));
    const json_t *inner = json_object_get(root, "n_inner");
    out->n_inner = 4 * out->n_embd;
    if (inner != NULL && !json_is_null(inner)) {
        OCT_TRY(read_size(&out->n_inner, root, "n_inner", NULL, 1 << 22));
    }
    OCT_REQUIRE(out->n_embd % out->n_head == 0, OCT_ERR_FORMAT,
                "n_head: expected a divisor of n_embd %d, got %d", out->n_embd, out->n_head);
    out->d_head = out->n_embd / out->n_head;
    OCT_REQUIRE(out->d_head >= 8 && out->d_head <= 128, OCT_ERR_FORMAT,
                "n_embd / n_head: expected a head width from 8 to 128, got %d / %d = %d",
                out->n_embd, out->n_head, out->d_head);
    return OCT_OK;
}

static oct_status refuse_unsupported(const json_t *root)
{
    OCT_TRY(refuse_flag(root, "add_cross_attention"));
    OCT_TRY(refuse_flag(root, "is_encoder_decoder"));
    const json_t *pruned = json_object_get(root, "pruned_heads");
    OCT_REQUIRE(pruned == NULL || json_is_null(pruned) ||
                    (json_is_object(pruned) && json_object_size(pruned) == 0),
                OCT_ERR_FORMAT, "pruned_heads: expected none (Octet keeps all heads), got %s",
                json_show(pruned).text);
    const json_t *quantization = json_object_get(root, "quantization_config");
    const json_t *method = json_object_get(quantization, "quant_method");
    OCT_REQUIRE(
        quantization == NULL || json_is_null(quantization) ||
            json_object_get(root, "octet") != NULL,
        OCT_ERR_FORMAT,
        "quantization_config: expected none or one written by octet, got %s of another program",
        json_show(method).text);
    return OCT_OK;
}

static oct_status read_fields(gpt2_config *out, const json_t *root)
{
    OCT_TRY(read_model_type(root));
    OCT_TRY(read_sizes(out, root));
    OCT_TRY(read_activation(&out->activation, root));
    OCT_TRY(read_epsilon(&out->layer_norm_epsilon, root));
    OCT_TRY(read_flag(&out->scale_attn_weights, root, "scale_attn_weights", true));
    OCT_TRY(read_flag(&out->scale_attn_by_inverse_layer_idx, root,
                      "scale_attn_by_inverse_layer_idx", false));
    OCT_TRY(read_flag(&out->tie_word_embeddings, root, "tie_word_embeddings", true));
    bool ignored;
    OCT_TRY(read_flag(&ignored, root, "reorder_and_upcast_attn", false));
    OCT_TRY(read_token(&out->bos_token_id, root, "bos_token_id", out->vocab_size));
    OCT_TRY(read_token(&out->eos_token_id, root, "eos_token_id", out->vocab_size));
    const json_t *n_ctx = json_object_get(root, "n_ctx");
    if (json_is_integer(n_ctx) && json_integer_value(n_ctx) != out->n_positions) {
        oct_log(OCT_LOG_WARN, "load", "n_ctx: %lld differs from n_positions %d, which rules",
                (long long)json_integer_value(n_ctx), out->n_positions);
    }
    return refuse_unsupported(root);
}

oct_status gpt2_config_read(gpt2_config *out, const char *dir)
{
    memset(out, 0, sizeof *out);
    char *path = oct_path_join(dir, "config.json");
    OCT_REQUIRE(path != NULL, OCT_ERR_NOMEM, "out of memory: %s", dir);
    json_t *root;
    oct_status status = json_file_read(&root, path);
    if (status == OCT_OK) {
        status = read_fields(out, root);
        if (status != OCT_OK) {
            oct_fail_prefix(status, "%s", path);
        }
        json_decref(root);
    }
    free(path);
    return status;
}
