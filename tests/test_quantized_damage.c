// tests: damaged quantized directories: every lie, missing tensor and poisoned value is refused by
// name.
#include "model/safetensors.h"

#include "model_damage.h"
#include "quantized_fixture.h"

#define LENGTH(array) ((int)(sizeof(array) / sizeof(array)[0]))

static fixture make_written(const model_maker_w8a8_options *options)
{
    gpt2_config config = model_maker_config(1, 2, 16, 8, 20);
    fixture f = make_fixture(&config, options);
    assert_ok(gpt2_model_write(f.model, NULL, f.source, f.out, false));
    return f;
}

START_TEST(truncated_quantized_files_are_refused)
{
    fixture f = make_written(NULL);
    assert_truncations_refused(f.out, "model.safetensors", 64, header_bytes(f.out), 4096);
    assert_truncations_refused(f.out, "config.json", 64, 1 << 20, 64);
    close_fixture(&f);
}
END_TEST

static const struct {
    const char *key, *value, *expected;
} lies[] = {
    {"octet.format_version", "2", "format_version: this octet reads version 1, the model has 2"},
    {"octet.numerics_version", "7",
     "numerics_version: this octet reads version 1, the model has 7"},
    {"octet.numerics_version", "\"1\"", "numerics_version"},
    {"octet.format_version", NULL, "format_version"},
    {"octet.recipe", NULL, "octet: recipe: expected an object, got nothing"},
    {"octet.recipe.scheme", "\"w4a8\"", "scheme: expected w8a8 or w8a8-dynamic, got \"w4a8\""},
    {"octet.recipe.scheme", "\"w8a8-dynamic\"", "input_activations.dynamic"},
    {"octet.recipe.scheme", "\"a very long name of a scheme\"",
     "scheme: expected a text of 1 to 15"},
    {"octet.recipe.calibrator", "3", "calibrator"},
    {"octet.recipe.zero_point", "false", "expected no such tensor"},
    {"octet.recipe.zero_point", "1", "zero_point"},
    {"octet.recipe.position_0", "false", "input_scale_0: expected that of all positions"},
    {"octet.recipe.position_0", NULL, "position_0"},
    {"octet.recipe.gptq", "null", "gptq"},
    {"octet.recipe.blocks", "-1", "blocks"},
    {"octet.recipe.blocks", "4294967296", "blocks"},
    {"octet.recipe.column_factors", "[]", "column_factors: expected an object of 5 linears"},
    {"octet|recipe|column_factors|lm_head", "\"none\"", "lm_head: column_factors: expected none"},
    {"octet|recipe|column_factors|h.0.mlp.c_fc", "\"2\"", "expected \"none\" or a number"},
    {"octet|recipe|column_factors|h.0.mlp.c_fc", "\".5\"", "expected \"none\" or a number"},
    {"octet|recipe|column_factors|h.0.mlp.c_fc", NULL, "expected an object of 5 linears"},
    {"octet.calibration_sha256", "\"abc\"", "calibration_sha256"},
    {"octet", "[]", "octet: expected an object"},
    {"octet", NULL, "quantization_config: expected none or one written by octet"},
    {"quantization_config", NULL, "quantization_config: expected an object, got nothing"},
    {"quantization_config.quant_method", "\"awq\"", "expected \"compressed-tensors\", got \"awq\""},
    {"quantization_config.format", "\"pack-quantized\"", "format"},
    {"quantization_config.config_groups", "{}", "config_groups"},
    {"quantization_config.config_groups.group_0.weights.num_bits", "4", "expected 8, got 4"},
    {"quantization_config.config_groups.group_0.input_activations.dynamic", "true", "dynamic"},
    {"tie_word_embeddings", "\"x\"", "tie_word_embeddings"},
    {"n_inner", "65", "mlp.c_fc.weight: expected I8 of shape [65, 16], got I8 of shape [64, 16]"},
    {"n_head", "1", "k_scale: expected F32 of shape [1, 16], got F32 of shape [2, 8]"},
    {"vocab_size", "19", "wte.weight"},
    {"n_layer", "2", "expected an object of 9 linears"},
};

START_TEST(lies_of_a_quantized_config_are_refused)
{
    fixture f = make_written(NULL);
    const char *text = lies[_i].value;
    damage_config(f.out, lies[_i].key,
                  text == NULL ? NULL : json_loads(text, JSON_DECODE_ANY, NULL));
    assert_load_refused(f.out, OCT_ERR_FORMAT, lies[_i].expected);
    close_fixture(&f);
}
END_TEST

static const struct {
    const char *name;
    size_t at;
    const char *bytes;
    size_t n;
    const char *expected;
} poisons[] = {
    {"wte.weight", 9, "\x80", 1,
     "tensor wte.weight: expected codes from -127 to 127, element 9 is -128"},
    {"h.0.attn.c_attn.weight", 767, "\x80", 1, "element 767 is -128"},
    {"lm_head.weight", 0, "\x80", 1, "element 0 is -128"},
    {"wpe.weight", 4, "\0\0\xC0\x7F", 4, "expected finite numbers, element 1 is nan"},
    {"octet.ln_f.G", 0, "\0\0\x80\xFF", 4, "element 0 is -inf"},
    {"h.0.mlp.c_fc.weight_scale", 8, "\0\0\0\0", 4, "expected numbers above 0, element 2 is 0"},
    {"h.0.mlp.c_fc.weight_scale", 8, "\0\0\x80\xBF", 4, "element 2 is -1"},
    {"h.0.mlp.c_fc.input_scale", 0, "\0\0\x80\xBF", 4, "input_scale: expected numbers above 0"},
    {"h.0.mlp.c_fc.input_scale", 0, "\0\0\x80\x3F", 4, "mlp.c_fc: row_factors: expected"},
    {"octet.h.0.mlp.c_fc.row_factors", 4, "\0\0\x80\x3F", 4, "row_factors: expected"},
    {"octet.lm_head.row_factors", 0, "\0\0\x80\x3F", 4, "lm_head: row_factors: expected"},
    {"octet.lm_head.column_factors", 4, "\0\0\0\x80", 4,
     "expected numbers above 0, element 1 is -0"},
    {"octet.h.0.attn.k_scale", 0, "\0\0\0\0", 4, "k_scale: expected numbers above 0"},
    {"octet.h.0.mlp.act_mul", 0, "\0\0\x80\xBF", 4, "act_mul: expected numbers of at least 0"},
    {"octet.h.0.mlp.c_proj.mul", 0, "\0\0\x80\x7F", 4, "mul: expected finite numbers"},
};

START_TEST(poisoned_tensors_are_refused)
{
    fixture f = make_written(NULL);
    damage_tensor(f.out, poisons[_i].name, poisons[_i].at, poisons[_i].bytes, poisons[_i].n);
    assert_load_refused(f.out, OCT_ERR_FORMAT, poisons[_i].expected);
    close_fixture(&f);
}
END_TEST

// Each tensor in turn is missing or has another dtype or shape.
START_TEST(every_tensor_is_fetched_with_its_dtype_and_shape)
{
    fixture f = make_written(NULL);
    char *path = oct_path_join(f.out, "model.safetensors");
    safetensors *st;
    assert_ok(safetensors_open(&st, f.out));
    ck_assert_int_eq(unlink(path), 0); // stays mapped
    size_t n = safetensors_count(st);
    safetensors_entry *entries = calloc(n + 1, sizeof *entries);
    for (size_t broken = 0; broken < n; broken++) {
        for (int kind = 0; kind < 3; kind++) {
            size_t m = 0;
            for (size_t i = 0; i < n; i++) {
                const safetensors_tensor *t = safetensors_at(st, i);
                safetensors_entry *e = &entries[m];
                *e = (safetensors_entry){
                    t->name, (oct_dtype)t->dtype, t->n_dims, {t->shape[0], t->shape[1]}, t->data};
                m++;
                if (i != broken) {
                    continue;
                }
                if (kind == 0) {
                    m--; // missing
                } else if (kind == 1) {
                    e->dtype = e->dtype == OCT_DTYPE_F32 ? OCT_DTYPE_I32 : OCT_DTYPE_U8;
                } else {
                    e->shape[e->n_dims++] = 1;
                }
            }
            assert_ok(safetensors_write(path, entries, m));
            const char *name = safetensors_at(st, broken)->name;
            // Without its table lm_head shares wte's; the leftovers of the table are then too much.
            if (kind == 0 && (strncmp(name, "lm_head.weight", 14) == 0)) {
                assert_load_refused(f.out, OCT_ERR_FORMAT, "lm_head");
            } else if (kind == 0 && strstr(name, "column_factors") != NULL) {
                assert_load_refused(f.out, OCT_ERR_FORMAT, "column_factors: expected some");
            } else {
                assert_load_refused(f.out, OCT_ERR_FORMAT, name);
            }
            ck_assert_int_eq(unlink(path), 0);
        }
    }
    free(entries);
    free(path);
    safetensors_close(st);
    close_fixture(&f);
}
END_TEST

START_TEST(tensors_of_another_scheme_are_refused)
{
    model_maker_w8a8_options options = {.dynamic = true};
    fixture f = make_written(&options);
    damage_header(f.out, "h.0.mlp.c_fc.input_scale", NULL,
                  json_loads("{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", 0, NULL));
    assert_load_refused(f.out, OCT_ERR_FORMAT, "expected no such tensor in a w8a8-dynamic model");
    close_fixture(&f);
}
END_TEST

// Seeded mutations of header, config and data: any answer will do, a crash will not (sanitizers
// watch).
START_TEST(random_damage_is_survived)
{
    fixture f = make_written(NULL);
    static const char *const files[2] = {"model.safetensors", "config.json"};
    uint64_t state = 99;
    size_t head = header_bytes(f.out);
    for (int round = 0; round < 400; round++) {
        char *path = oct_path_join(f.out, files[round % 2]), *text;
        size_t bytes;
        assert_ok(oct_file_read(&text, &bytes, path, 1 << 20));
        char *damaged = malloc(bytes);
        memcpy(damaged, text, bytes);
        for (int i = 0; i < 1 + round % 5; i++) {
            size_t range = round % 2 == 0 && round % 4 == 0 ? head : bytes;
            static const char alphabet[] = "0123456789-,:[]{}\"ab.e\\";
            damaged[test_random(&state) % range] =
                round % 3 == 0 ? (char)test_random(&state)
                               : alphabet[test_random(&state) % (sizeof alphabet - 1)];
        }
        damage_file(f.out, files[round % 2], damaged, bytes);
        gpt2_model *model;
        oct_status status = gpt2_model_load(&model, f.out);
        ck_assert(status == OCT_OK || (status == OCT_ERR_FORMAT && *oct_last_error() != 0));
        gpt2_model_close(model);
        damage_file(f.out, files[round % 2], text, bytes);
        free(damaged);
        free(text);
        free(path);
    }
    close_fixture(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quantized damage");
    TCase *damage = tcase_create("damage");
    tcase_add_test(damage, truncated_quantized_files_are_refused);
    tcase_add_loop_test(damage, lies_of_a_quantized_config_are_refused, 0, LENGTH(lies));
    tcase_add_loop_test(damage, poisoned_tensors_are_refused, 0, LENGTH(poisons));
    tcase_add_test(damage, every_tensor_is_fetched_with_its_dtype_and_shape);
    tcase_add_test(damage, tensors_of_another_scheme_are_refused);
    tcase_add_test(damage, random_damage_is_survived);
    suite_add_tcase(suite, damage);
    return test_main(suite);
}
