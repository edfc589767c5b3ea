// tests: config.json and float checkpoints: everything a GPT-2 may be is honoured, everything else
// is refused.
#include "base/file.h"
#include "model/gpt2_model.h"
#include "model/safetensors.h"
#include "octet/log.h"

#include "model_damage.h"
#include "model_maker.h"
#include "test_util.h"

// The tensor `name` of `st` as it is in the file, element i as float.
static float raw_element(const safetensors *st, const char *name, size_t i)
{
    const safetensors_tensor *tensor = safetensors_find(st, name);
    ck_assert_msg(tensor != NULL, "no tensor %s", name);
    ck_assert_uint_lt(i, tensor->count);
    if (tensor->dtype == OCT_DTYPE_F32) {
        float value;
        memcpy(&value, tensor->data + 4 * i, 4);
        return value;
    }
    uint16_t bits;
    memcpy(&bits, tensor->data + 2 * i, 2);
    if (tensor->dtype == OCT_DTYPE_F16) {
        return model_maker_half(bits);
    }
    uint32_t upper = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &upper, 4);
    return value;
}

static void assert_plain(const safetensors *st, const char *prefix, const char *name,
                         const float *got, size_t n)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    for (size_t i = 0; i < n; i++) {
        float want = raw_element(st, full, i);
        assert_f32_bits(&got[i], &want, 1, full);
    }
}

static void assert_linear(const safetensors *st, const char *prefix, const char *name,
                          const gpt2_linear *l)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s.weight", prefix, name);
    for (int32_t n = 0; n < l->n; n++) {
        for (int32_t k = 0; k < l->k; k++) {
            float want = raw_element(st, full, (size_t)k * (size_t)l->n + (size_t)n);
            assert_f32_bits(&l->w_f32[(size_t)n * (size_t)l->k + (size_t)k], &want, 1, full);
        }
    }
    snprintf(full, sizeof full, "%s.bias", name);
    assert_plain(st, prefix, full, l->bias, (size_t)l->n);
}

// Every tensor of the model against the file's, element by element.
static void assert_model_is_file(const gpt2_model *m, const safetensors *st, const char *prefix)
{
    const gpt2_config *c = &m->config;
    size_t width = (size_t)c->n_embd;
    assert_plain(st, prefix, "wte.weight", m->wte_f32, (size_t)c->vocab_size * width);
    assert_plain(st, prefix, "wpe.weight", m->wpe, (size_t)c->n_positions * width);
    assert_plain(st, prefix, "ln_f.weight", m->ln_f.gamma, width);
    assert_plain(st, prefix, "ln_f.bias", m->ln_f.B, width);
    for (int32_t i = 0; i < c->n_layer; i++) {
        const gpt2_layer *layer = &m->layers[i];
        char name[64];
        snprintf(name, sizeof name, "h.%d.ln_1.weight", i);
        assert_plain(st, prefix, name, layer->ln_1.G, width);
        snprintf(name, sizeof name, "h.%d.ln_2.bias", i);
        assert_plain(st, prefix, name, layer->ln_2.beta, width);
        snprintf(name, sizeof name, "h.%d.attn.c_attn", i);
        assert_linear(st, prefix, name, &layer->c_attn);
        snprintf(name, sizeof name, "h.%d.attn.c_proj", i);
        assert_linear(st, prefix, name, &layer->attn_c_proj);
        snprintf(name, sizeof name, "h.%d.mlp.c_fc", i);
        assert_linear(st, prefix, name, &layer->c_fc);
        snprintf(name, sizeof name, "h.%d.mlp.c_proj", i);
        assert_linear(st, prefix, name, &layer->mlp_c_proj);
        ck_assert_int_eq(layer->c_fc.format, OCT_FORMAT_F32);
        ck_assert(layer->attention_scale == gpt2_attention_scale(c, i));
    }
}

static const struct {
    int32_t n_layer, n_head, n_embd, n_inner, n_positions, vocab_size;
    model_maker_options options;
} variants[] = {
    {2, 3, 48, 192, 16, 50, {.dtype = OCT_DTYPE_F32}},
    {1, 6, 48, 77, 5, 1000, {.dtype = OCT_DTYPE_F16, .prefix_transformer = true}},
    {3, 5, 80, 320, 9, 1000, {.dtype = OCT_DTYPE_BF16, .n_shards = 3, .mask_buffers = true}},
    {1, 10, 80, 33, 12, 11, {.untied_head = true, .head_bias = true, .prefix_transformer = true}},
    {2, 1, 128, 1, 1, 1, {.untied_head = true, .n_shards = 2, .dtype = OCT_DTYPE_F16}},
    {1, 2, 26, 50, 7, 257, {.head_bias = true, .mask_buffers = true, .prefix_transformer = true}},
};

START_TEST(checkpoints_of_every_kind_load_exactly)
{
    gpt2_config config =
        model_maker_config(variants[_i].n_layer, variants[_i].n_head, variants[_i].n_embd,
                           variants[_i].n_positions, variants[_i].vocab_size);
    config.n_inner = variants[_i].n_inner;
    const model_maker_options *options = &variants[_i].options;
    char *folder = test_folder();
    assert_ok(model_maker_write(&config, 7, folder, options));
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, folder));
    safetensors *st;
    assert_ok(safetensors_open(&st, folder));
    assert_model_is_file(model, st, options->prefix_transformer ? "transformer." : "");
    ck_assert_int_eq(model->head_is_wte, !options->untied_head);
    size_t head = (size_t)config.vocab_size * (size_t)config.n_embd;
    if (options->untied_head) {
        assert_plain(st, "", "lm_head.weight", model->lm_head.w_f32, head);
    } else {
        ck_assert_ptr_eq(model->lm_head.w_f32, model->wte_f32);
    }
    ck_assert_int_eq(model->lm_head.bias != NULL, options->head_bias);
    if (options->head_bias) {
        assert_plain(st, "", "lm_head.bias", model->lm_head.bias, (size_t)config.vocab_size);
    }
    safetensors_close(st);
    gpt2_model_close(model);
    gpt2_model_close(NULL);
    test_remove(folder);
}
END_TEST

START_TEST(golden_and_shipped_models_load)
{
    static const struct {
        const char *paths[2];
        int32_t n_layer, n_head, n_embd, vocab_size;
        bool tied;
    } models[] = {
        {{SRC("tests/golden/gpt-nano-sort"), SHARED("models/gpt-nano-sort")}, 3, 3, 48, 3, false},
        {{SRC("tests/golden/ort-tiny-gpt2"), SHARED("models/ort-tiny-gpt2")}, 5, 4, 32, 1000, true},
        {{SRC("models/tales-8m"), SHARED("models/tales-8m")}, 8, 4, 256, 8192, true},
    };
    char *file = oct_path_join(models[_i].paths[0], "model.safetensors");
    const char *path = models[_i].paths[oct_file_exists(file) ? 0 : 1];
    free(file);
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, path));
    ck_assert_int_eq(model->config.n_layer, models[_i].n_layer);
    ck_assert_int_eq(model->config.n_head, models[_i].n_head);
    ck_assert_int_eq(model->config.n_embd, models[_i].n_embd);
    ck_assert_int_eq(model->config.n_inner, 4 * models[_i].n_embd);
    ck_assert_int_eq(model->config.vocab_size, models[_i].vocab_size);
    ck_assert_int_eq(model->head_is_wte, models[_i].tied);
    safetensors *st;
    assert_ok(safetensors_open(&st, path));
    const char *prefix = safetensors_find(st, "wte.weight") != NULL ? "" : "transformer.";
    if (_i < 2) {
        assert_model_is_file(model, st, prefix); // slow through Check for millions of elements
    }
    safetensors_close(st);
    gpt2_model_close(model);
}
END_TEST

// A small valid checkpoint to be damaged.
static char *make_model(void)
{
    gpt2_config config = model_maker_config(2, 2, 16, 8, 20);
    char *folder = test_folder();
    assert_ok(model_maker_write(&config, 1, folder, NULL));
    return folder;
}

START_TEST(truncated_files_are_refused)
{
    char *folder = make_model();
    assert_truncations_refused(folder, "model.safetensors", 64, header_bytes(folder), 4096);
    assert_truncations_refused(folder, "config.json", 1, 1 << 20, 1);
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, folder));
    gpt2_model_close(model);
    test_remove(folder);
}
END_TEST

START_TEST(damaged_tensors_are_refused_by_name)
{
    static const char *const names[] = {
        "wte.weight",          "wpe.weight",      "h.1.attn.c_attn.weight",
        "h.0.mlp.c_proj.bias", "h.1.ln_2.weight", "ln_f.bias"};
    static const uint32_t values[] = {0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001};
    char *folder = make_model();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        damage_tensor(folder, names[i], 4 * 7, &values[i % 4], 4);
        char expected[128];
        snprintf(expected, sizeof expected,
                 "model.safetensors: tensor %s: expected finite numbers, element 7 is ", names[i]);
        assert_load_refused(folder, OCT_ERR_FORMAT, expected);
        float fine = 0.5f;
        damage_tensor(folder, names[i], 4 * 7, &fine, 4);
    }
    test_remove(folder);
}
END_TEST

START_TEST(infinite_halves_are_refused)
{
    gpt2_config config = model_maker_config(1, 2, 16, 8, 5000);
    uint16_t infinities[2] = {0xFC00, 0x7F80};
    for (int i = 0; i < 2; i++) {
        model_maker_options options = {.dtype = i == 0 ? OCT_DTYPE_F16 : OCT_DTYPE_BF16};
        char *folder = test_folder();
        assert_ok(model_maker_write(&config, 1, folder, &options));
        damage_tensor(folder, "wte.weight", 2 * 79999, &infinities[i], 2);
        assert_load_refused(folder, OCT_ERR_FORMAT,
                            i == 0 ? "element 79999 is -inf" : "79999 is inf");
        test_remove(folder);
    }
}
END_TEST

static const struct {
    const char *name, *key, *value, *expected;
} header_damage[] = {
    {"ln_f.bias", "dtype", "\"I32\"",
     "ln_f.bias: expected F32 or F16 or BF16 of shape [16], got I32"},
    {"ln_f.bias", "dtype", "\"F64\"", "data_offsets"},
    {"h.0.attn.c_proj.weight", "shape", "[256]", "of shape [16, 16], got F32 of shape [256]"},
    {"h.0.attn.c_attn.weight", "shape", "[48, 16]", "of shape [16, 48], got F32 of shape [48, 16]"},
    {"ln_f.bias", "data_offsets", "[0, 64]", "overlap"},
    {"ln_f.bias", "data_offsets", "[1099511627776, 1099511627840]", "begin <= end"},
    {"ln_f.bias", "data_offsets", "[-64, 0]", "from 0"},
    {"ln_f.bias", NULL, NULL, "a gap"},
    {"h.2.ln_1.weight", NULL, "{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}",
     "h.2.ln_1.weight\": expected no such tensor in a GPT-2 of 2 layers"},
    {"h.0.crossattention.c_attn.bias", NULL,
     "{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}", "expected no such tensor"},
};

START_TEST(damaged_headers_of_models_are_refused)
{
    char *folder = make_model();
    const char *text = header_damage[_i].value;
    json_t *value = text == NULL ? NULL : json_loads(text, JSON_DECODE_ANY, NULL);
    damage_header(folder, header_damage[_i].name, header_damage[_i].key, value);
    assert_load_refused(folder, OCT_ERR_FORMAT, header_damage[_i].expected);
    test_remove(folder);
}
END_TEST

static void write_text(const char *folder, const char *name, const char *text)
{
    char *path = oct_path_join(folder, name);
    assert_ok(oct_file_write(path, text, strlen(text)));
    free(path);
}

START_TEST(damaged_indices_are_refused)
{
    static const char *const shard = "model-00001-of-00002.safetensors";
    static const struct {
        const char *text;
        oct_status status;
        const char *expected;
    } indices[] = {
        {"{}", OCT_ERR_FORMAT, "weight_map"},
        {"{\"weight_map\": []}", OCT_ERR_FORMAT, "weight_map"},
        {"{\"weight_map\": {}}", OCT_ERR_FORMAT, "weight_map"},
        {"{\"weight_map\": {\"a\": 1}}", OCT_ERR_FORMAT, "got 1"},
        {"{\"weight_map\": {\"a\": \"../x\"}}", OCT_ERR_FORMAT, "beside it, got \"../x\""},
        {"{\"weight_map\": {\"a\": \"/etc/passwd\"}}", OCT_ERR_FORMAT, "beside it"},
        {"{\"weight_map\": {\"a\": \"..\"}}", OCT_ERR_FORMAT, "beside it"},
        {"{\"weight_map\": {\"a\": \"absent\"}}", OCT_ERR_IO, "absent: cannot open"},
        {"{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\"}}", OCT_ERR_FORMAT,
         "expected tensor \"a\" in \"model-00001-of-00002.safetensors\", it is not there"},
        {"{\"weight_map\": {\"wte.weight\": \"model-00002-of-00002.safetensors\"}}", OCT_ERR_FORMAT,
         "expected tensor \"wte.weight\" in"},
        {"{\"weight_map\": {\"wte.weight\": \"model-00001-of-00002.safetensors\"}}", OCT_ERR_FORMAT,
         "expected tensor wpe.weight"},
        {"{\"weight_map\": {\"a\": \"x\", \"a\": \"y\"}}", OCT_ERR_FORMAT, "duplicate"},
    };
    gpt2_config config = model_maker_config(1, 2, 16, 8, 20);
    model_maker_options options = {.n_shards = 2};
    char *folder = test_folder();
    assert_ok(model_maker_write(&config, 1, folder, &options));
    assert_truncations_refused(folder, "model.safetensors.index.json", 64, 1 << 20, 64);
    assert_truncations_refused(folder, shard, 512, 1 << 20, 512);
    for (size_t i = 0; i < sizeof indices / sizeof indices[0]; i++) {
        write_text(folder, "model.safetensors.index.json", indices[i].text);
        assert_load_refused(folder, indices[i].status, indices[i].expected);
    }
    test_remove(folder);
}
END_TEST

START_TEST(absent_files_are_named)
{
    assert_load_refused("/nonexistent", OCT_ERR_IO, "/nonexistent/config.json: cannot open");
    char *folder = make_model();
    char *path = oct_path_join(folder, "model.safetensors");
    ck_assert_int_eq(unlink(path), 0);
    assert_load_refused(folder, OCT_ERR_IO, "expected model.safetensors or");
    write_text(folder, "config.json", "[]");
    assert_load_refused(folder, OCT_ERR_FORMAT, "expected a JSON object, got []");
    free(path);
    test_remove(folder);
}
END_TEST

static void count_warnings(void *user, oct_log_level level, const char *subsystem, const char *text)
{
    (void)text;
    ck_assert_int_eq(level, OCT_LOG_WARN);
    ck_assert_str_eq(subsystem, "load");
    ++*(int *)user;
}

START_TEST(head_of_a_tied_model_is_ignored_with_a_warning_only_if_it_differs)
{
    gpt2_config config = model_maker_config(1, 2, 16, 8, 20);
    model_maker_options options = {.untied_head = true};
    char *folder = test_folder();
    assert_ok(model_maker_write(&config, 1, folder, &options));
    damage_config(folder, "tie_word_embeddings", json_true());
    int warnings = 0;
    oct_log_set(count_warnings, &warnings, OCT_LOG_WARN);
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, folder));
    ck_assert_int_eq(warnings, 1);
    ck_assert_ptr_eq(model->lm_head.w_f32, model->wte_f32);
    damage_tensor(folder, "lm_head.weight", 0, model->wte_f32, 4 * 20 * 16);
    gpt2_model_close(model);
    assert_ok(gpt2_model_load(&model, folder));
    ck_assert_int_eq(warnings, 1);
    gpt2_model_close(model);
    oct_log_set(NULL, NULL, OCT_LOG_ERROR);
    test_remove(folder);
}
END_TEST

START_TEST(footprint_of_a_float_model_is_its_parameters)
{
    gpt2_config config = model_maker_config(2, 2, 16, 8, 20);
    config.n_inner = 50;
    model_maker_options options = {.untied_head = true, .head_bias = true};
    char *folder = test_folder();
    assert_ok(model_maker_write(&config, 1, folder, &options));
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, folder));
    gpt2_footprint f32, f16;
    gpt2_model_footprint(model, 4, &f32);
    gpt2_model_footprint(model, 2, &f16);
    ck_assert_uint_eq(f32.embeddings, 4 * 20 * 16);
    ck_assert_uint_eq(f32.positions, 4 * 8 * 16);
    ck_assert_uint_eq(f32.attention, 4 * 2 * (16 * 48 + 48 + 16 * 16 + 16));
    ck_assert_uint_eq(f32.mlp, 4 * 2 * (2 * 16 * 50 + 50 + 16));
    ck_assert_uint_eq(f32.norms, 4 * 5 * 32);
    ck_assert_uint_eq(f32.head, 4 * (20 * 16 + 20));
    ck_assert_uint_eq(f32.kv_per_token, 4 * 2 * 2 * 16);
    ck_assert_uint_eq(f32.total, 2 * f16.total);
    char *path = oct_path_join(folder, "model.safetensors");
    size_t bytes;
    char *text;
    assert_ok(oct_file_read(&text, &bytes, path, 1 << 20));
    ck_assert_uint_eq(f32.total, bytes - header_bytes(folder));
    free(text);
    free(path);
    gpt2_model_close(model);
    test_remove(folder);
}
END_TEST

#define LENGTH(array) ((int)(sizeof(array) / sizeof(array)[0]))

int main(void)
{
    Suite *suite = suite_create("model files");
    TCase *load = tcase_create("load");
    tcase_add_loop_test(load, checkpoints_of_every_kind_load_exactly, 0, LENGTH(variants));
    tcase_add_loop_test(load, golden_and_shipped_models_load, 0, 3);
    tcase_add_test(load, head_of_a_tied_model_is_ignored_with_a_warning_only_if_it_differs);
    tcase_add_test(load, footprint_of_a_float_model_is_its_parameters);
    suite_add_tcase(suite, load);
    TCase *damage = tcase_create("damage");
    tcase_add_test(damage, truncated_files_are_refused);
    tcase_add_test(damage, damaged_tensors_are_refused_by_name);
    tcase_add_test(damage, infinite_halves_are_refused);
    tcase_add_loop_test(damage, damaged_headers_of_models_are_refused, 0, LENGTH(header_damage));
    tcase_add_test(damage, damaged_indices_are_refused);
    tcase_add_test(damage, absent_files_are_named);
    suite_add_tcase(suite, damage);
    return test_main(suite);
}
