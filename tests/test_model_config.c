// tests: config.json: every field of a GPT-2 is honoured or refused by name.
#include "model/gpt2_model.h"

#include "model_damage.h"
#include "model_maker.h"
#include "test_util.h"

// A small valid checkpoint to be damaged.
static char *make_model(void)
{
    gpt2_config config = model_maker_config(2, 2, 16, 8, 20);
    char *folder = test_folder();
    assert_ok(model_maker_write(&config, 1, folder, NULL));
    return folder;
}

static void check_flag_on(const gpt2_config *c)
{
    ck_assert(c->scale_attn_by_inverse_layer_idx);
    ck_assert(gpt2_attention_scale(c, 2) == 1 / sqrtf(8.0f) / 3.0f);
}
static void check_flag_off(const gpt2_config *c)
{
    ck_assert(!c->scale_attn_weights);
    ck_assert(gpt2_attention_scale(c, 5) == 1.0f);
}
static void check_gelu_new(const gpt2_config *c)
{
    ck_assert_int_eq(c->activation, OCT_ACTIVATION_GELU_NEW);
}
static void check_gelu(const gpt2_config *c)
{
    ck_assert_int_eq(c->activation, OCT_ACTIVATION_GELU);
}
static void check_relu(const gpt2_config *c)
{
    ck_assert_int_eq(c->activation, OCT_ACTIVATION_RELU);
}
static void check_epsilon(const gpt2_config *c)
{
    ck_assert(c->layer_norm_epsilon == 1e-6f);
}
static void check_default_epsilon(const gpt2_config *c)
{
    ck_assert(c->layer_norm_epsilon == 1e-5f);
}
static void check_inner(const gpt2_config *c)
{
    ck_assert_int_eq(c->n_inner, 64);
}
static void check_eos(const gpt2_config *c)
{
    ck_assert_int_eq(c->eos_token_id, 19);
}
static void check_no_eos(const gpt2_config *c)
{
    ck_assert_int_eq(c->eos_token_id, -1);
}
static void check_nothing(const gpt2_config *c)
{
    ck_assert_int_eq(c->n_layer, 2);
}

static const struct {
    const char *key, *value;                  // JSON text; NULL: the key is absent
    void (*check)(const gpt2_config *config); // of what was loaded
} honoured[] = {
    {"scale_attn_by_inverse_layer_idx", "true", check_flag_on},
    {"scale_attn_weights", "false", check_flag_off},
    {"activation_function", "\"gelu_new\"", check_gelu_new},
    {"activation_function", "\"gelu_pytorch_tanh\"", check_gelu_new},
    {"activation_function", "\"gelu_fast\"", check_gelu_new},
    {"activation_function", NULL, check_gelu_new},
    {"activation_function", "\"gelu\"", check_gelu},
    {"activation_function", "\"relu\"", check_relu},
    {"layer_norm_epsilon", "1e-6", check_epsilon},
    {"layer_norm_epsilon", NULL, check_default_epsilon},
    {"n_inner", "null", check_inner},
    {"n_inner", NULL, check_inner},
    {"eos_token_id", "19", check_eos},
    {"eos_token_id", "[19]", check_eos},
    {"eos_token_id", "-1", check_no_eos},
    {"eos_token_id", "50256", check_no_eos},
    {"eos_token_id", NULL, check_no_eos},
    {"reorder_and_upcast_attn", "true", check_nothing},
    {"n_ctx", "1024", check_nothing},
    {"hidden_size", "16", check_nothing},
    {"resid_pdrop", "0.1", check_nothing},
    {"use_cache", "false", check_nothing},
    {"is_decoder", "true", check_nothing},
    {"add_cross_attention", "false", check_nothing},
    {"pruned_heads", "{}", check_nothing},
    {"quantization_config", "null", check_nothing},
    {"model_type", NULL, check_nothing},
    {"some_unknown_key", "[1, {}]", check_nothing},
};

START_TEST(config_fields_are_honoured)
{
    char *folder = make_model();
    json_t *value =
        honoured[_i].value == NULL ? NULL : json_loads(honoured[_i].value, JSON_DECODE_ANY, NULL);
    damage_config(folder, honoured[_i].key, value);
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, folder));
    honoured[_i].check(&model->config);
    gpt2_model_close(model);
    test_remove(folder);
}
END_TEST

static const struct {
    const char *key, *value, *expected;
} refused[] = {
    {"n_layer", "0", "n_layer: expected a whole number from 1 to 1024, got 0"},
    {"n_layer", "-1", "n_layer"},
    {"n_layer", "2.0", "n_layer"},
    {"n_layer", "\"2\"", "n_layer"},
    {"n_layer", "1025", "n_layer"},
    {"n_layer", "1", "h.1."},
    {"n_layer", "3", "h.2."},
    {"n_layer", NULL, "n_layer: expected a whole number from 1 to 1024, got nothing"},
    {"n_head", "0", "n_head"},
    {"n_head", "3", "n_head: expected a divisor of n_embd 16, got 3"},
    {"n_head", "4", "head width from 8 to 128, got 16 / 4 = 4"},
    {"n_head", NULL, "n_head"},
    {"n_embd", "272", "head width from 8 to 128, got 272 / 2 = 136"},
    {"n_embd", "32", "expected F32 or F16 or BF16 of shape [20, 32], got F32 of shape [20, 16]"},
    {"n_embd", "2147483648", "n_embd"},
    {"n_embd", NULL, "n_embd"},
    {"n_inner", "0", "n_inner"},
    {"n_inner", "63", "h.0.mlp.c_fc.weight: expected F32 or F16 or BF16 of shape [16, 63]"},
    {"n_inner", "99999999999", "n_inner"},
    {"n_positions", "9", "wpe.weight"},
    {"n_positions", "null", "n_positions"},
    {"vocab_size", "21", "wte.weight"},
    {"vocab_size", "1000000000", "vocab_size"},
    {"hidden_size", "32", "hidden_size: expected the same as n_embd (16), got 32"},
    {"model_type", "\"llama\"", "model_type: expected \"gpt2\", got \"llama\""},
    {"model_type", "null", "model_type"},
    {"activation_function", "\"silu\"",
     "gelu_new, gelu_fast, gelu_pytorch_tanh, gelu or relu, got \"silu\""},
    {"activation_function", "null", "activation_function"},
    {"layer_norm_epsilon", "0", "layer_norm_epsilon"},
    {"layer_norm_epsilon", "1e-60", "layer_norm_epsilon"},
    {"layer_norm_epsilon", "-1e-5", "layer_norm_epsilon"},
    {"layer_norm_epsilon", "\"1e-5\"", "layer_norm_epsilon"},
    {"scale_attn_weights", "1", "scale_attn_weights: expected true or false, got 1"},
    {"scale_attn_by_inverse_layer_idx", "null", "scale_attn_by_inverse_layer_idx"},
    {"tie_word_embeddings", "false", "expected tensor lm_head.weight"},
    {"tie_word_embeddings", "\"no\"", "tie_word_embeddings"},
    {"reorder_and_upcast_attn", "3", "reorder_and_upcast_attn"},
    {"eos_token_id", "-2", "eos_token_id"},
    {"eos_token_id", "[1, 2]", "eos_token_id: expected one token id or null, got [1,2]"},
    {"bos_token_id", "\"<s>\"", "bos_token_id"},
    {"add_cross_attention", "true", "add_cross_attention"},
    {"is_encoder_decoder", "true", "is_encoder_decoder"},
    {"pruned_heads", "{\"0\": [1]}", "pruned_heads"},
    {"quantization_config", "{\"quant_method\": \"gptq\"}", "got \"gptq\" of another program"},
    {"lm_head_bias", "true", "lm_head_bias"},
    {"octet", "null", "octet: expected an object, got null"},
};

START_TEST(config_lies_are_refused_by_name)
{
    char *folder = make_model();
    json_t *value =
        refused[_i].value == NULL ? NULL : json_loads(refused[_i].value, JSON_DECODE_ANY, NULL);
    damage_config(folder, refused[_i].key, value);
    assert_load_refused(folder, OCT_ERR_FORMAT, refused[_i].expected);
    test_remove(folder);
}
END_TEST

#define LENGTH(array) ((int)(sizeof(array) / sizeof(array)[0]))

int main(void)
{
    Suite *suite = suite_create("model config");
    TCase *config = tcase_create("config");
    tcase_add_loop_test(config, config_fields_are_honoured, 0, LENGTH(honoured));
    tcase_add_loop_test(config, config_lies_are_refused_by_name, 0, LENGTH(refused));
    suite_add_tcase(suite, config);
    return test_main(suite);
}
