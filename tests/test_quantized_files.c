// tests: quantized directories: what is written loads as the same model, damage is refused, failure
// leaves nothing.
#include "model/safetensors.h"

#include "model_damage.h"
#include "quantized_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define LENGTH(array) ((int)(sizeof(array) / sizeof(array)[0]))

static void assert_same_bytes(const void *a, const void *b, size_t n, const char *what)
{
    ck_assert_msg((a == NULL) == (b == NULL), "%s: one is absent", what);
    ck_assert_msg(a == NULL || memcmp(a, b, n) == 0, "%s: bytes differ", what);
}

static void assert_same_linear(const gpt2_linear *a, const gpt2_linear *b, const char *what)
{
    size_t n = (size_t)a->n, k = (size_t)a->k;
    ck_assert_int_eq(a->format, b->format);
    ck_assert_int_eq(a->n, b->n);
    ck_assert_int_eq(a->k, b->k);
    assert_same_bytes(a->w_i8, b->w_i8, n * k, what);
    assert_same_bytes(a->w_step, b->w_step, 4 * n, what);
    assert_same_bytes(a->mul, b->mul, 4 * n, what);
    assert_same_bytes(a->bias, b->bias, 4 * n, what);
    assert_same_bytes(a->column_factors, b->column_factors, 4 * k, what);
    ck_assert_int_eq(a->input.dynamic, b->input.dynamic);
    ck_assert_int_eq(a->input.asymmetric, b->input.asymmetric);
    assert_same_bytes(&a->input.step, &b->input.step, sizeof a->input - offsetof(gpt2_input, step),
                      what);
}

static void assert_same_norm(const gpt2_norm *a, const gpt2_norm *b, size_t width, const char *what)
{
    assert_same_bytes(a->gamma, b->gamma, 4 * width, what);
    assert_same_bytes(a->beta, b->beta, 4 * width, what);
    assert_same_bytes(a->G, b->G, 4 * width, what);
    assert_same_bytes(a->B, b->B, 4 * width, what);
}

static void assert_same_recipe(const gpt2_recipe *a, const gpt2_recipe *b, int32_t n_linear)
{
    ck_assert_str_eq(a->scheme, b->scheme);
    ck_assert_str_eq(a->calibrator, b->calibrator);
    ck_assert_str_eq(a->calibration_sha256, b->calibration_sha256);
    ck_assert(a->zero_point == b->zero_point && a->position_0 == b->position_0);
    ck_assert(a->gptq == b->gptq && a->blocks == b->blocks);
    ck_assert_int_eq(a->numerics_version, b->numerics_version);
    for (int32_t i = 0; i < n_linear; i++) {
        ck_assert_str_eq(a->alpha[i], b->alpha[i]);
    }
}

// Written out field by field, independently of the list that loader and writer share.
static void assert_same_model(const gpt2_model *a, const gpt2_model *b)
{
    const gpt2_config *c = &a->config;
    size_t width = (size_t)c->n_embd, vocab = (size_t)c->vocab_size, inner = (size_t)c->n_inner;
    assert_same_bytes(&a->config, &b->config, sizeof a->config, "config");
    ck_assert(a->format == b->format && a->head_is_wte == b->head_is_wte);
    assert_same_bytes(a->wte_i8, b->wte_i8, vocab * width, "wte");
    assert_same_bytes(a->wte_step, b->wte_step, 4 * vocab, "wte_step");
    assert_same_bytes(a->wpe, b->wpe, 4 * (size_t)c->n_positions * width, "wpe");
    for (int32_t i = 0; i < c->n_layer; i++) {
        const gpt2_layer *x = &a->layers[i], *y = &b->layers[i];
        assert_same_norm(&x->ln_1, &y->ln_1, width, "ln_1");
        assert_same_norm(&x->ln_2, &y->ln_2, width, "ln_2");
        assert_same_linear(&x->c_attn, &y->c_attn, "c_attn");
        assert_same_linear(&x->attn_c_proj, &y->attn_c_proj, "attn.c_proj");
        assert_same_linear(&x->c_fc, &y->c_fc, "c_fc");
        assert_same_linear(&x->mlp_c_proj, &y->mlp_c_proj, "mlp.c_proj");
        assert_same_bytes(x->k_step, y->k_step, 4 * width, "k_step");
        assert_same_bytes(x->v_step, y->v_step, 4 * width, "v_step");
        assert_same_bytes(x->k_mul, y->k_mul, 4 * width, "k_mul");
        assert_same_bytes(x->v_mul, y->v_mul, 4 * width, "v_mul");
        assert_same_bytes(x->out_mul, y->out_mul, 4 * width, "out_mul");
        assert_same_bytes(x->act_mul, y->act_mul, 4 * inner, "act_mul");
        ck_assert(x->attention_scale == 1.0f && y->attention_scale == 1.0f);
    }
    assert_same_norm(&a->ln_f, &b->ln_f, width, "ln_f");
    assert_same_linear(&a->lm_head, &b->lm_head, "lm_head");
    assert_same_recipe(&a->recipe, &b->recipe, 4 * c->n_layer + 1);
}

static const struct {
    int32_t n_layer, n_head, n_embd, n_inner, vocab_size;
    bool untied;
    model_maker_w8a8_options options;
} variants[] = {
    {2, 3, 48, 192, 1000, false, {0}},
    {1, 5, 80, 77, 50, false, {.dynamic = true, .head_bias = true}},
    {3, 2, 16, 33, 11, true, {.no_column_factors = true}},
    {1, 2, 26, 51, 37, false, {.no_column_factors = true, .head_bias = true}},
    {1, 6, 48, 100, 37, false, {.no_zero_point = true, .no_position_0 = true}},
    {2, 2, 16, 64, 20, true, {.dynamic = true, .no_zero_point = true, .no_column_factors = true}},
};

static gpt2_config variant_config(int i)
{
    gpt2_config config = model_maker_config(variants[i].n_layer, variants[i].n_head,
                                            variants[i].n_embd, 12, variants[i].vocab_size);
    config.n_inner = variants[i].n_inner;
    config.tie_word_embeddings = !variants[i].untied;
    config.scale_attn_by_inverse_layer_idx = i % 2 == 1;
    config.eos_token_id = 5;
    return config;
}

static void assert_same_file(const char *dir_a, const char *dir_b, const char *name)
{
    char *path_a = oct_path_join(dir_a, name), *path_b = oct_path_join(dir_b, name);
    oct_file_map a, b;
    assert_ok(oct_file_map_open(&a, path_a));
    assert_ok(oct_file_map_open(&b, path_b));
    ck_assert_uint_eq(a.size, b.size);
    assert_same_bytes(a.data, b.data, a.size, name);
    oct_file_map_close(&a);
    oct_file_map_close(&b);
    free(path_a);
    free(path_b);
}

START_TEST(written_model_loads_as_the_same_model)
{
    gpt2_config config = variant_config(_i);
    fixture f = make_fixture(&config, &variants[_i].options);
    assert_ok(gpt2_model_write(f.model, "{\"statistics\": []}\n", f.source, f.out, false));
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, f.out));
    assert_same_model(f.model, model);
    ck_assert_int_eq(model->head_is_wte,
                     !variants[_i].untied && variants[_i].options.no_column_factors);
    // The footprint is what the file's data take.
    char *path = oct_path_join(f.out, "model.safetensors");
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    gpt2_footprint footprint;
    gpt2_model_footprint(model, 1, &footprint);
    ck_assert_uint_eq(footprint.total, (size_t)info.st_size - header_bytes(f.out));
    // Writing what was loaded gives the same bytes.
    char *again = oct_path_join(f.folder, "again");
    assert_ok(gpt2_model_write(model, "{\"statistics\": []}\n", f.out, again, false));
    assert_same_file(f.out, again, "config.json");
    assert_same_file(f.out, again, "model.safetensors");
    assert_same_file(f.out, again, "calibration.json");
    free(again);
    free(path);
    gpt2_model_close(model);
    close_fixture(&f);
}
END_TEST

// The quantized layout for one layer with C = 16, H = 2, D = 8, F = 64, P = 8, V = 20, written out;
// in file order.
static const char *const documented[] = {
    "h.0.attn.c_attn.bias F32 48",
    "h.0.attn.c_attn.input_scale F32 1",
    "h.0.attn.c_attn.weight_scale F32 48 1",
    "h.0.attn.c_proj.bias F32 16",
    "h.0.attn.c_proj.input_scale F32 1",
    "h.0.attn.c_proj.weight_scale F32 16 1",
    "h.0.ln_1.bias F32 16",
    "h.0.ln_1.weight F32 16",
    "h.0.ln_2.bias F32 16",
    "h.0.ln_2.weight F32 16",
    "h.0.mlp.c_fc.bias F32 64",
    "h.0.mlp.c_fc.input_scale F32 1",
    "h.0.mlp.c_fc.weight_scale F32 64 1",
    "h.0.mlp.c_proj.bias F32 16",
    "h.0.mlp.c_proj.input_scale F32 1",
    "h.0.mlp.c_proj.weight_scale F32 16 1",
    "lm_head.input_scale F32 1",
    "lm_head.weight_scale F32 20 1",
    "ln_f.bias F32 16",
    "ln_f.weight F32 16",
    "octet.h.0.attn.c_attn.column_factors F32 16",
    "octet.h.0.attn.c_attn.input_scale_0 F32 1",
    "octet.h.0.attn.c_attn.mul F32 48",
    "octet.h.0.attn.c_attn.row_factors F32 2",
    "octet.h.0.attn.c_proj.column_factors F32 16",
    "octet.h.0.attn.c_proj.input_scale_0 F32 1",
    "octet.h.0.attn.c_proj.mul F32 16",
    "octet.h.0.attn.c_proj.row_factors F32 2",
    "octet.h.0.attn.k_mul F32 2 8",
    "octet.h.0.attn.k_scale F32 2 8",
    "octet.h.0.attn.out_mul F32 2 8",
    "octet.h.0.attn.v_mul F32 2 8",
    "octet.h.0.attn.v_scale F32 2 8",
    "octet.h.0.ln_1.B F32 16",
    "octet.h.0.ln_1.G F32 16",
    "octet.h.0.ln_2.B F32 16",
    "octet.h.0.ln_2.G F32 16",
    "octet.h.0.mlp.act_mul F32 64",
    "octet.h.0.mlp.c_fc.column_factors F32 16",
    "octet.h.0.mlp.c_fc.input_scale_0 F32 1",
    "octet.h.0.mlp.c_fc.mul F32 64",
    "octet.h.0.mlp.c_fc.row_factors F32 2",
    "octet.h.0.mlp.c_proj.column_factors F32 64",
    "octet.h.0.mlp.c_proj.input_scale_0 F32 1",
    "octet.h.0.mlp.c_proj.mul F32 16",
    "octet.h.0.mlp.c_proj.row_factors F32 2",
    "octet.lm_head.column_factors F32 16",
    "octet.lm_head.input_scale_0 F32 1",
    "octet.lm_head.mul F32 20",
    "octet.lm_head.row_factors F32 2",
    "octet.ln_f.B F32 16",
    "octet.ln_f.G F32 16",
    "wpe.weight F32 8 16",
    "wte.weight_scale F32 20 1",
    "h.0.attn.c_attn.weight I8 48 16",
    "h.0.attn.c_proj.weight I8 16 16",
    "h.0.mlp.c_fc.weight I8 64 16",
    "h.0.mlp.c_proj.input_zero_point I8 1",
    "h.0.mlp.c_proj.weight I8 16 64",
    "lm_head.weight I8 20 16",
    "octet.h.0.mlp.c_proj.input_zero_point_0 I8 1",
    "wte.weight I8 20 16",
};

START_TEST(file_has_exactly_the_documented_tensors_in_order)
{
    gpt2_config config = model_maker_config(1, 2, 16, 8, 20);
    fixture f = make_fixture(&config, NULL);
    assert_ok(gpt2_model_write(f.model, NULL, f.source, f.out, false));
    safetensors *st;
    assert_ok(safetensors_open(&st, f.out));
    ck_assert_uint_eq(safetensors_count(st), (size_t)LENGTH(documented));
    const unsigned char *end = NULL; // of the tensor before
    for (int i = 0; i < LENGTH(documented); i++) {
        char name[128];
        ck_assert_int_eq(sscanf(documented[i], "%127s", name), 1);
        const safetensors_tensor *t = safetensors_find(st, name);
        ck_assert_msg(t != NULL, "no tensor %s", name);
        char got[256];
        int n = snprintf(got, sizeof got, "%s %s %d", t->name, t->dtype_name, (int)t->shape[0]);
        if (t->n_dims == 2) {
            snprintf(got + n, sizeof got - (size_t)n, " %d", (int)t->shape[1]);
        }
        ck_assert_str_eq(got, documented[i]);
        ck_assert_msg(end == NULL || t->data == end, "%s is not where it should be", name);
        end = t->data + t->bytes;
    }
    safetensors_close(st);
    close_fixture(&f);
}
END_TEST

START_TEST(names_with_transformer_prefix_load_too)
{
    gpt2_config config = variant_config(0);
    fixture f = make_fixture(&config, NULL);
    assert_ok(gpt2_model_write(f.model, NULL, f.source, f.out, false));
    safetensors *st;
    assert_ok(safetensors_open(&st, f.out));
    size_t n = safetensors_count(st);
    safetensors_entry *entries = calloc(n, sizeof *entries);
    char(*names)[160] = calloc(n, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        const safetensors_tensor *t = safetensors_at(st, i);
        bool plain = strncmp(t->name, "octet.", 6) == 0 || strncmp(t->name, "lm_head.", 8) == 0;
        snprintf(names[i], sizeof names[i], "%s%s", plain ? "" : "transformer.", t->name);
        entries[i] = (safetensors_entry){
            names[i], (oct_dtype)t->dtype, t->n_dims, {t->shape[0], t->shape[1]}, t->data};
    }
    char *path = oct_path_join(f.out, "model.safetensors");
    ck_assert_int_eq(unlink(path), 0);
    assert_ok(safetensors_write(path, entries, n));
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, f.out));
    assert_same_model(f.model, model);
    gpt2_model_close(model);
    safetensors_close(st);
    free(entries);
    free(names);
    free(path);
    close_fixture(&f);
}
END_TEST

static json_t *read_config(const char *dir)
{
    char *path = oct_path_join(dir, "config.json");
    json_t *root = json_load_file(path, 0, NULL);
    ck_assert_ptr_nonnull(root);
    free(path);
    return root;
}

START_TEST(config_describes_the_model_to_compressed_tensors)
{
    gpt2_config config = variant_config(0);
    fixture f = make_fixture(&config, NULL);
    damage_config(f.source, "dtype", json_string("float16"));
    damage_config(f.source, "task_specific_params", json_true());
    char *tokenizer = oct_path_join(f.source, "merges.txt");
    assert_ok(oct_file_write(tokenizer, "#version: 0.2\n", 14));
    assert_ok(gpt2_model_write(f.model, NULL, f.source, f.out, false));
    json_t *root = read_config(f.out);
    json_error_t error;
    const char *method, *format, *status, *dtype, *torch_dtype, *symmetric_target,
        *asymmetric_target;
    int by_inverse, kept, symmetric, asymmetric, dynamic;
    const char *strategy, *weights_strategy;
    int rc = json_unpack_ex(
        root, &error, 0,
        "{s:s, s:s, s:b, s:b, s:{s:s, s:s, s:s, s:[], s:{s:{s:[s], s:{s:s}, s:{s:b, s:b, s:s}}, "
        "s:{s:[s], s:{s:b}}}}}",
        "dtype", &dtype, "torch_dtype", &torch_dtype, "scale_attn_by_inverse_layer_idx",
        &by_inverse, "task_specific_params", &kept, "quantization_config", "quant_method", &method,
        "format", &format, "quantization_status", &status, "ignore", "config_groups", "group_0",
        "targets", &symmetric_target, "weights", "strategy", &weights_strategy, "input_activations",
        "symmetric", &symmetric, "dynamic", &dynamic, "strategy", &strategy, "group_1", "targets",
        &asymmetric_target, "input_activations", "symmetric", &asymmetric);
    ck_assert_msg(rc == 0, "%s", error.text);
    ck_assert_str_eq(dtype, "float32");
    ck_assert_str_eq(torch_dtype, "float32");
    ck_assert(!by_inverse && kept && symmetric && !asymmetric && !dynamic);
    ck_assert_str_eq(method, "compressed-tensors");
    ck_assert_str_eq(format, "int-quantized");
    ck_assert_str_eq(status, "compressed");
    ck_assert_str_eq(strategy, "tensor");
    ck_assert_str_eq(weights_strategy, "channel");
    ck_assert_str_eq(symmetric_target, "re:.*attn\\.c_attn$");
    ck_assert_str_eq(asymmetric_target, "re:.*mlp\\.c_proj$");
    json_decref(root);
    free(tokenizer);
    tokenizer = oct_path_join(f.out, "merges.txt");
    ck_assert(oct_file_exists(tokenizer));
    free(tokenizer);
    close_fixture(&f);
}
END_TEST

static int count_names(const char *path)
{
    DIR *folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    int n = 0;
    while (readdir(folder) != NULL) {
        n++;
    }
    closedir(folder);
    return n - 2; // . and ..
}

static void assert_write_refused(const fixture *f, const char *out, bool force, oct_status status,
                                 const char *expected)
{
    int before = count_names(f->folder);
    ck_assert_int_eq(gpt2_model_write(f->model, NULL, f->source, out, force), status);
    ck_assert_msg(strstr(oct_last_error(), expected) != NULL, "expected \"%s\" in \"%s\"", expected,
                  oct_last_error());
    ck_assert_int_eq(count_names(f->folder), before);
}

START_TEST(existing_output_is_replaced_only_if_forced_and_a_model)
{
    gpt2_config config = model_maker_config(1, 2, 16, 8, 20);
    fixture f = make_fixture(&config, NULL);
    assert_ok(gpt2_model_write(f.model, "{}", f.source, f.out, true)); // force with nothing there
    assert_write_refused(&f, f.out, false, OCT_ERR_ARG, "does not exist yet");
    char *extra = oct_path_join(f.out, "extra");
    assert_ok(oct_file_write(extra, "x", 1));
    assert_ok(gpt2_model_write(f.model, NULL, f.source, f.out, true));
    ck_assert(!oct_file_exists(extra));
    ck_assert_int_eq(count_names(f.out), 2);
    ck_assert_int_eq(count_names(f.folder), 2); // src, out
    assert_write_refused(&f, f.source, true, OCT_ERR_ARG,
                         "expected another folder than the source");

    ck_assert_int_eq(mkdir(extra, 0777), 0);
    assert_write_refused(&f, f.out, true, OCT_ERR_ARG, "a folder with folders in it");
    char *other = oct_path_join(f.folder, "other//");
    ck_assert_int_eq(mkdir(other, 0777), 0);
    assert_ok(gpt2_model_write(f.model, NULL, f.source, other, true)); // an empty folder
    ck_assert_int_eq(count_names(other), 2);
    char *config_path = oct_path_join(other, "config.json");
    ck_assert_int_eq(unlink(config_path), 0);
    assert_write_refused(&f, other, true, OCT_ERR_ARG, "a folder without config.json");
    assert_ok(oct_file_write(config_path, "x", 1));
    assert_write_refused(&f, config_path, true, OCT_ERR_ARG, "got a file");
    free(extra);
    extra = oct_path_join(f.folder, "link");
    ck_assert_int_eq(symlink(other, extra), 0);
    assert_write_refused(&f, extra, true, OCT_ERR_ARG, "got a link");
    assert_write_refused(&f, "/nonexistent/out", false, OCT_ERR_IO, "/nonexistent: ");
    assert_write_refused(&f, "", false, OCT_ERR_ARG, "empty");
    free(extra);
    free(other);
    free(config_path);
    close_fixture(&f);
}
END_TEST

START_TEST(unwritable_models_are_refused)
{
    gpt2_config config = model_maker_config(1, 2, 16, 8, 20);
    fixture f = make_fixture(&config, NULL);
    f.model->recipe.alpha[2] = "none";
    assert_write_refused(&f, f.out, false, OCT_ERR_ARG,
                         "h.0.mlp.c_fc: column_factors: expected none");
    f.model->recipe.alpha[2] = "0.7";
    f.model->layers[0].c_fc.mul = NULL;
    assert_write_refused(&f, f.out, false, OCT_ERR_ARG, "octet.h.0.mlp.c_fc.mul: expected data");
    f.model->layers[0].c_fc.mul = f.model->layers[0].c_fc.w_step;
    f.model->config.n_positions = 9;
    assert_write_refused(&f, f.out, false, OCT_ERR_ARG, "n_positions");
    f.model->config.n_positions = 8;
    f.model->layers[0].c_fc.input.rho_0 = 1;
    assert_write_refused(&f, f.out, false, OCT_ERR_ARG, "row_factors");
    f.model->recipe.calibration_sha256[0] = 0;
    assert_write_refused(&f, f.out, false, OCT_ERR_ARG, "sha256");
    f.model->format = OCT_FORMAT_F32;
    assert_write_refused(&f, f.out, false, OCT_ERR_ARG, "expected a W8A8 model");
    close_fixture(&f);
}
END_TEST

// The file size limit stands for a full disk where no file system can be mounted: write fails in
// the middle.
START_TEST(write_failing_at_any_byte_leaves_nothing_behind)
{
    gpt2_config config = model_maker_config(1, 2, 16, 8, 1000);
    fixture f = make_fixture(&config, NULL);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t bytes = 0; bytes < 45000; bytes += 2777) {
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, RLIM_INFINITY});
        oct_status status = gpt2_model_write(f.model, NULL, f.source, f.out, false);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
        ck_assert_int_eq(status, OCT_ERR_IO);
        ck_assert_msg(strstr(oct_last_error(), "cannot write: File too large") != NULL, "%s",
                      oct_last_error());
        ck_assert_int_eq(count_names(f.folder), 1);
    }
    close_fixture(&f);
}
END_TEST

START_TEST(full_disk_leaves_the_old_model_and_nothing_else)
{
    gpt2_config config = model_maker_config(1, 2, 16, 8, 1000);
    fixture f = make_fixture(&config, NULL);
    char *disk = oct_path_join(f.folder, "disk"), *out = oct_path_join(disk, "out");
    ck_assert_int_eq(mkdir(disk, 0777), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=100k") != 0) {
        fprintf(stderr,
                "full_disk: no tmpfs may be mounted here; the size limit test stands alone\n");
    } else {
        // 100 KiB hold one model of about 60 KB and not a second one beside it. Unmount before
        // judging.
        oct_status first = gpt2_model_write(f.model, NULL, f.source, out, false);
        oct_status second = gpt2_model_write(f.model, NULL, f.source, out, true);
        int names = count_names(disk);
        gpt2_model *model;
        oct_status loaded = gpt2_model_load(&model, out);
        gpt2_model_close(model);
        ck_assert_int_eq(umount2(disk, MNT_DETACH), 0);
        ck_assert_int_eq(first, OCT_OK);
        ck_assert_int_eq(second, OCT_ERR_IO);
        ck_assert_int_eq(names, 1);
        ck_assert_int_eq(loaded, OCT_OK);
    }
    free(out);
    free(disk);
    close_fixture(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quantized files");
    TCase *round_trip = tcase_create("round trip");
    tcase_add_loop_test(round_trip, written_model_loads_as_the_same_model, 0, LENGTH(variants));
    tcase_add_test(round_trip, file_has_exactly_the_documented_tensors_in_order);
    tcase_add_test(round_trip, names_with_transformer_prefix_load_too);
    tcase_add_test(round_trip, config_describes_the_model_to_compressed_tensors);
    suite_add_tcase(suite, round_trip);
    TCase *writing = tcase_create("writing");
    tcase_add_test(writing, existing_output_is_replaced_only_if_forced_and_a_model);
    tcase_add_test(writing, unwritable_models_are_refused);
    tcase_add_test(writing, write_failing_at_any_byte_leaves_nothing_behind);
    tcase_add_test(writing, full_disk_leaves_the_old_model_and_nothing_else);
    suite_add_tcase(suite, writing);
    return test_main(suite);
}
