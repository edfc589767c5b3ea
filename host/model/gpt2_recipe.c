// LOAD: the keys of a quantized directory's config.json: `octet` (versions, recipe) and
// `quantization_config` (compressed-tensors' description of the same) are read and, where they
// contradict each other, refused.
#include "gpt2_fields.h"
#include "gpt2_load.h"

#include "base/check.h"
#include "json_file.h"

#include <stdio.h>
#include <string.h>

#define FORMAT_VERSION 1
#define ALPHA_BYTES    16 // "0.55", "none"

// A text of fewer than `bytes` bytes into out[bytes].
static oct_status read_text(char *out, size_t bytes, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    size_t n = json_string_length(value);
    OCT_REQUIRE(json_is_string(value) && n > 0 && n < bytes, OCT_ERR_FORMAT,
                "%s: expected a text of 1 to %zu bytes, got %s", key, bytes - 1,
                json_show(value).text);
    memcpy(out, json_string_value(value), n + 1);
    return OCT_OK;
}

static oct_status read_bool(bool *out, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    OCT_REQUIRE(json_is_boolean(value), OCT_ERR_FORMAT, "%s: expected true or false, got %s", key,
                json_show(value).text);
    *out = json_is_true(value);
    return OCT_OK;
}

// A version that must be exactly ours: an older one has other bits, a newer one is unknown.
static oct_status read_version(const json_t *object, const char *key, int ours)
{
    const json_t *value = json_object_get(object, key);
    OCT_REQUIRE(json_is_integer(value) && json_integer_value(value) == ours, OCT_ERR_FORMAT,
                "%s: this octet reads version %d, the model has %s", key, ours,
                json_show(value).text);
    return OCT_OK;
}

// "none" or a decimal number from 0 to 1, such as 0.55.
static bool is_alpha(const char *text)
{
    if (strcmp(text, "none") == 0 || strcmp(text, "0") == 0 || strcmp(text, "1") == 0) {
        return true;
    }
    size_t digits = strspn(text, "01") == 0 ? 0 : strspn(text + 2, "0123456789");
    return digits > 0 && text[1] == '.' && text[2 + digits] == 0 &&
           (text[0] == '0' || strspn(text + 2, "0") == digits);
}

// column_factors: {"h.0.attn.c_attn": "0.55", ..., "lm_head": "none"}, one entry a linear.
static oct_status read_alphas(gpt2_model *model, const json_t *recipe)
{
    const json_t *alphas = json_object_get(recipe, "column_factors");
    int32_t n = 4 * model->config.n_layer + 1;
    OCT_REQUIRE(json_is_object(alphas) && json_object_size(alphas) == (size_t)n, OCT_ERR_FORMAT,
                "column_factors: expected an object of %d linears, got %s", n,
                json_show(alphas).text);
    model->recipe.alpha = oct_arena_alloc(&model->arena, (size_t)n, sizeof *model->recipe.alpha);
    OCT_REQUIRE(model->recipe.alpha != NULL, OCT_ERR_NOMEM, "out of memory: recipe");
    for (int32_t i = 0; i < n; i++) {
        char name[GPT2_NAME_BYTES];
        gpt2_linear_name(name, sizeof name, &model->config, i);
        char *alpha = oct_arena_alloc(&model->arena, ALPHA_BYTES, 1);
        OCT_REQUIRE(alpha != NULL, OCT_ERR_NOMEM, "out of memory: recipe");
        oct_status status = read_text(alpha, ALPHA_BYTES, alphas, name);
        if (status == OCT_OK && !is_alpha(alpha)) {
            status =
                OCT_FAIL(OCT_ERR_FORMAT, "%s: expected \"none\" or a number from 0 to 1, got %s",
                         name, json_show_string(alpha).text);
        }
        if (status != OCT_OK) {
            return oct_fail_prefix(status, "column_factors");
        }
        model->recipe.alpha[i] = alpha;
    }
    return OCT_OK;
}

static oct_status read_recipe(gpt2_model *model, const json_t *recipe)
{
    gpt2_recipe *out = &model->recipe;
    OCT_REQUIRE(json_is_object(recipe), OCT_ERR_FORMAT, "expected an object, got %s",
                json_show(recipe).text);
    OCT_TRY(read_text(out->scheme, sizeof out->scheme, recipe, "scheme"));
    OCT_REQUIRE(strcmp(out->scheme, "w8a8") == 0 || strcmp(out->scheme, "w8a8-dynamic") == 0,
                OCT_ERR_FORMAT, "scheme: expected w8a8 or w8a8-dynamic, got %s",
                json_show_string(out->scheme).text);
    OCT_TRY(read_text(out->calibrator, sizeof out->calibrator, recipe, "calibrator"));
    OCT_TRY(read_bool(&out->zero_point, recipe, "zero_point"));
    OCT_TRY(read_bool(&out->position_0, recipe, "position_0"));
    OCT_TRY(read_bool(&out->gptq, recipe, "gptq"));
    const json_t *blocks = json_object_get(recipe, "blocks");
    OCT_REQUIRE(json_is_integer(blocks) && json_integer_value(blocks) >= 0 &&
                    json_integer_value(blocks) <= INT32_MAX,
                OCT_ERR_FORMAT, "blocks: expected a whole number from 0, got %s",
                json_show(blocks).text);
    out->blocks = (int32_t)json_integer_value(blocks);
    return read_alphas(model, recipe);
}

static oct_status read_octet(gpt2_model *model, const json_t *octet)
{
    OCT_REQUIRE(json_is_object(octet), OCT_ERR_FORMAT, "expected an object, got %s",
                json_show(octet).text);
    OCT_TRY(read_version(octet, "format_version", FORMAT_VERSION));
    OCT_TRY(read_version(octet, "numerics_version", OCT_NUMERICS_VERSION));
    model->recipe.numerics_version = OCT_NUMERICS_VERSION;
    char *sha256 = model->recipe.calibration_sha256;
    OCT_TRY(
        read_text(sha256, sizeof model->recipe.calibration_sha256, octet, "calibration_sha256"));
    OCT_REQUIRE(strspn(sha256, "0123456789abcdef") == 64, OCT_ERR_FORMAT,
                "calibration_sha256: expected 64 digits 0-9a-f, got %s",
                json_show_string(sha256).text);
    oct_status status = read_recipe(model, json_object_get(octet, "recipe"));
    return status == OCT_OK ? OCT_OK : oct_fail_prefix(status, "recipe");
}

static oct_status require_text(const json_t *object, const char *key, const char *expected)
{
    const json_t *value = json_object_get(object, key);
    OCT_REQUIRE(json_is_string(value) && strcmp(json_string_value(value), expected) == 0,
                OCT_ERR_FORMAT, "%s: expected \"%s\", got %s", key, expected,
                json_show(value).text);
    return OCT_OK;
}

// What other readers are told must be what the recipe says.
static oct_status check_quantization(const json_t *quantization, bool dynamic)
{
    OCT_REQUIRE(json_is_object(quantization), OCT_ERR_FORMAT, "expected an object, got %s",
                json_show(quantization).text);
    OCT_TRY(require_text(quantization, "quant_method", "compressed-tensors"));
    OCT_TRY(require_text(quantization, "format", "int-quantized"));
    json_t *groups = json_object_get(quantization, "config_groups");
    OCT_REQUIRE(json_object_size(groups) > 0, OCT_ERR_FORMAT,
                "config_groups: expected at least one group, got %s", json_show(groups).text);
    const char *name;
    json_t *group;
    json_object_foreach(groups, name, group)
    {
        const json_t *bits = json_object_get(json_object_get(group, "weights"), "num_bits");
        OCT_REQUIRE(json_is_integer(bits) && json_integer_value(bits) == 8, OCT_ERR_FORMAT,
                    "%s: weights.num_bits: expected 8, got %s", json_show_string(name).text,
                    json_show(bits).text);
        const json_t *inputs = json_object_get(group, "input_activations");
        const json_t *flag = json_object_get(inputs, "dynamic");
        OCT_REQUIRE(!json_is_object(inputs) ||
                        (json_is_boolean(flag) && json_is_true(flag) == dynamic),
                    OCT_ERR_FORMAT,
                    "%s: input_activations.dynamic: expected %s, as the recipe's scheme "
                    "says, got %s",
                    json_show_string(name).text, dynamic ? "true" : "false", json_show(flag).text);
    }
    return OCT_OK;
}

oct_status gpt2_load_recipe(gpt2_model *model, const json_t *root)
{
    oct_status status = read_octet(model, json_object_get(root, "octet"));
    if (status != OCT_OK) {
        return oct_fail_prefix(status, "octet");
    }
    bool dynamic = strcmp(model->recipe.scheme, "w8a8-dynamic") == 0;
    status = check_quantization(json_object_get(root, "quantization_config"), dynamic);
    if (status != OCT_OK) {
        return oct_fail_prefix(status, "quantization_config");
    }
    for (int32_t i = 0; i <= 4 * model->config.n_layer; i++) {
        gpt2_input *input = &gpt2_linear_at(model, i)->input;
        input->dynamic = dynamic;
        input->asymmetric = !dynamic && model->recipe.zero_point && i % 4 == 3;
    }
    return OCT_OK;
}
