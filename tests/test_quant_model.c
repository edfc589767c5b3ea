// tests: a whole model folded, calibrated and frozen: folds, multipliers, and one set of bits
// whatever the order of the text, the batches, the threads and the instruction set.
#include "infer/engine.h"
#include "octet/numerics.h"
#include "quant/fold.h"
#include "quant/sites.h"

#include "quant_fixture.h"
#include "test_util.h"

#include <sys/stat.h>

#define N_IDS 500 // 16 sequences of 32, the last one shorter

// ---- folds

static void assert_folds_keep_logits(gpt2_config config)
{
    gpt2_model *model = fixture_model(&config, 3);
    oct_device *device = fixture_device(1, NULL);
    gpt2_model *folded;
    assert_ok(fold_model(&folded, model));
    int32_t *ids = fixture_ids(32, config.vocab_size, 8);
    float *before = fixture_logits(model, device, ids, 32);
    float *after = fixture_logits(folded, device, ids, 32);
    float top = 0.0f;
    float worst = 0.0f;
    for (int32_t i = 0; i < 32 * config.vocab_size; i++) {
        top = fmaxf(top, fabsf(before[i]));
        worst = fmaxf(worst, fabsf(before[i] - after[i]));
    }
    ck_assert_msg(top > 1.0f && worst < 1e-5f * top, "logits up to %g moved by %g", (double)top,
                  (double)worst);
    free(before);
    free(after);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(folded);
    gpt2_model_close(model);
}

START_TEST(folds_keep_the_logits)
{
    gpt2_config config = fixture_config();
    config.scale_attn_weights = _i % 2 == 0;
    config.scale_attn_by_inverse_layer_idx = _i >= 2;
    assert_folds_keep_logits(config);
}
END_TEST

START_TEST(folds_follow_the_formulas)
{
    gpt2_config config = fixture_config();
    config.scale_attn_by_inverse_layer_idx = true;
    gpt2_model *model = fixture_model(&config, 3);
    gpt2_model *folded;
    assert_ok(fold_model(&folded, model));
    const int32_t c = config.n_embd;
    for (int32_t l = 0; l < config.n_layer; l++) {
        const gpt2_layer *a = &model->layers[l];
        const gpt2_layer *b = &folded->layers[l];
        double divisor = sqrt(16.0) * (l + 1);
        ck_assert(b->attention_scale == 1.0f);
        for (int32_t n = 0; n < 3 * c; n++) {
            for (int32_t k = 0; k < c; k++) {
                float w = a->c_attn.w_f32[n * c + k];
                float want = n < c ? (float)((double)w / divisor) : w;
                ck_assert(b->c_attn.w_f32[n * c + k] == want);
            }
            float want = n < c ? (float)((double)a->c_attn.bias[n] / divisor) : 0.0f;
            ck_assert(b->c_attn.bias[n] == want);
        }
        for (int32_t n = 0; n < c; n++) {
            double sum = (double)a->attn_c_proj.bias[n];
            for (int32_t k = 0; k < c; k++) {
                sum += (double)a->c_attn.bias[2 * c + k] * (double)a->attn_c_proj.w_f32[n * c + k];
            }
            ck_assert(b->attn_c_proj.bias[n] == (float)sum);
        }
    }
    gpt2_model_close(folded);
    gpt2_model_close(model);
}
END_TEST

// ---- freezing

static void assert_norm_frozen(const gpt2_norm *got, const gpt2_norm *fp32,
                               const gpt2_linear *feeds)
{
    for (int32_t i = 0; i < feeds->k; i++) {
        float cs = feeds->column_factors != NULL ? feeds->column_factors[i] : 1.0f;
        double product = (double)cs * (double)feeds->input.step;
        ck_assert(got->G[i] == (float)((double)fp32->gamma[i] / product));
        ck_assert(got->B[i] == (float)((double)fp32->beta[i] / product));
        ck_assert(got->gamma[i] == fp32->gamma[i] / cs);
        ck_assert(got->beta[i] == fp32->beta[i] / cs);
    }
}

static void assert_linear_frozen(const gpt2_linear *got, const gpt2_linear *fp32)
{
    for (int32_t n = 0; n < got->n; n++) {
        float top = 0.0f;
        for (int32_t k = 0; k < got->k; k++) {
            float cs = got->column_factors != NULL ? got->column_factors[k] : 1.0f;
            top = fmaxf(top, fabsf(fp32->w_f32[n * got->k + k] * cs));
        }
        ck_assert(got->w_step[n] == top / 127.0f);
        ck_assert(got->mul[n] == got->input.step * got->w_step[n]);
        for (int32_t k = 0; k < got->k; k++) {
            float cs = got->column_factors != NULL ? got->column_factors[k] : 1.0f;
            float product = fp32->w_f32[n * got->k + k] * cs;
            ck_assert_int_eq(got->w_i8[n * got->k + k], (int)rintf(product / got->w_step[n]));
        }
    }
}

// Loop: the recipe, no factors, dynamic.
START_TEST(every_frozen_number_follows_its_formula)
{
    gpt2_model *model = fixture_model(NULL, 5);
    oct_device *device = fixture_device(1, NULL);
    int32_t *ids = fixture_ids(N_IDS, 101, 1);
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.smooth = _i == 1 ? "none" : "auto";
    options.scheme = _i == 2 ? "w8a8-dynamic" : "w8a8";
    gpt2_model *q = fixture_quantize(model, device, ids, N_IDS, &options, NULL, NULL);
    gpt2_model *folded;
    assert_ok(fold_model(&folded, model));
    for (int32_t l = 0; l < 3; l++) {
        const gpt2_layer *g = &q->layers[l];
        const gpt2_layer *f = &folded->layers[l];
        assert_linear_frozen(&g->c_attn, &f->c_attn);
        assert_linear_frozen(&g->attn_c_proj, &f->attn_c_proj);
        assert_linear_frozen(&g->c_fc, &f->c_fc);
        assert_linear_frozen(&g->mlp_c_proj, &f->mlp_c_proj);
        assert_norm_frozen(&g->ln_1, &f->ln_1, &g->c_attn);
        assert_norm_frozen(&g->ln_2, &f->ln_2, &g->c_fc);
        ck_assert_int_eq(g->mlp_c_proj.input.asymmetric, _i != 2);
        ck_assert(!g->c_attn.input.asymmetric && !g->c_fc.input.asymmetric);
        const gpt2_linear *o = &g->attn_c_proj;
        for (int32_t i = 0; i < 48; i++) {
            double cs = o->column_factors != NULL ? (double)o->column_factors[i] : 1.0;
            ck_assert(g->k_mul[i] == 1.0f / g->k_step[i]);
            ck_assert(g->v_mul[i] == 1.0f / g->v_step[i]);
            ck_assert(g->out_mul[i] ==
                      (float)((double)g->v_step[i] / (cs * (double)o->input.step)));
        }
        const gpt2_linear *m = &g->mlp_c_proj;
        for (int32_t i = 0; i < 192; i++) {
            double cs = m->column_factors != NULL ? (double)m->column_factors[i] : 1.0;
            ck_assert(g->act_mul[i] == (float)(1.0 / (cs * (double)m->input.step)));
        }
    }
    assert_linear_frozen(&q->lm_head, &folded->lm_head);
    assert_norm_frozen(&q->ln_f, &folded->ln_f, &q->lm_head);
    for (int32_t v = 0; v < 101; v++) {
        float top = 0.0f;
        for (int32_t i = 0; i < 48; i++) {
            top = fmaxf(top, fabsf(model->wte_f32[v * 48 + i]));
        }
        ck_assert(q->wte_step[v] == top / 127.0f);
    }
    // A head without column factors shares the table of the embeddings.
    bool plain_head = q->lm_head.column_factors == NULL;
    ck_assert_int_eq(q->head_is_wte, plain_head);
    ck_assert_int_eq(q->lm_head.w_i8 == q->wte_i8, plain_head);
    ck_assert(_i != 1 || plain_head);
    gpt2_model_close(folded);
    gpt2_model_close(q);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

// ---- one set of bits

START_TEST(order_batches_threads_and_instruction_set_change_no_bit)
{
    gpt2_model *model = fixture_model(NULL, 7);
    int32_t *ids = fixture_ids(N_IDS, 101, 2);
    int32_t order[16] = {9, 2, 15, 0, 4, 11, 6, 13, 8, 3, 10, 5, 12, 7, 14, 1};
    static const char *const isas[] = {"scalar", NULL};
    const struct {
        int32_t threads;
        const char *isa;
        quant_tuning tuning;
    } cases[] = {{1, isas[0], {32, NULL}},
                 {2, isas[1], {100, NULL}},
                 {3, isas[1], {33, order}},
                 {1, isas[1], {0, order}},
                 {2, isas[0], {77, order}}};
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.scheme = _i == 1 ? "w8a8-dynamic" : "w8a8";
    options.calibrator = _i == 2 ? "percentile:99" : "minmax";
    gpt2_model *first = NULL;
    char *first_statistics = NULL;
    size_t n_cases = getenv("OCT_TEST_QUICK") != NULL ? 3 : sizeof cases / sizeof cases[0];
    for (size_t i = 0; i < n_cases; i++) {
        oct_device *device = fixture_device(cases[i].threads, cases[i].isa);
        char *statistics;
        gpt2_model *q =
            fixture_quantize(model, device, ids, N_IDS, &options, &cases[i].tuning, &statistics);
        oct_device_close(device);
        if (first == NULL) {
            first = q;
            first_statistics = statistics;
            continue;
        }
        assert_models_equal(q, first);
        ck_assert_str_eq(statistics, first_statistics);
        gpt2_model_close(q);
        free(statistics);
    }
    gpt2_model_close(first);
    free(first_statistics);
    free(ids);
    gpt2_model_close(model);
}
END_TEST

// ---- ingredients

static const struct {
    const char *name;
    const char *scheme, *calibrator, *smooth;
    unsigned no_smooth;
    bool zero_point, position_0;
} ingredients[] = {
    {"recipe", "w8a8", "minmax", "auto", 0, true, true},
    {"no zero point", "w8a8", "minmax", "auto", 0, false, true},
    {"no position 0", "w8a8", "minmax", "auto", 0, true, false},
    {"no factors: c_attn", "w8a8", "minmax", "auto", OCT_KIND_C_ATTN, true, true},
    {"no factors: attn.c_proj", "w8a8", "minmax", "auto", OCT_KIND_ATTN_C_PROJ, true, true},
    {"no factors: c_fc", "w8a8", "minmax", "auto", OCT_KIND_C_FC, true, true},
    {"no factors: mlp.c_proj", "w8a8", "minmax", "auto", OCT_KIND_MLP_C_PROJ, true, true},
    {"no factors: lm_head", "w8a8", "minmax", "auto", OCT_KIND_LM_HEAD, true, true},
    {"no factors", "w8a8", "minmax", "none", 0, true, true},
    {"one alpha", "w8a8", "minmax", "0.5", 0, true, true},
    {"percentile", "w8a8", "percentile:99.99", "auto", 0, true, true},
    {"dynamic", "w8a8-dynamic", "minmax", "auto", 0, true, true},
    {"nothing", "w8a8", "minmax", "none", 0, false, false},
};
#define N_INGREDIENTS ((int)(sizeof ingredients / sizeof ingredients[0]))

static void assert_recipe(const gpt2_model *q, int index)
{
    ck_assert_str_eq(q->recipe.scheme, ingredients[index].scheme);
    bool dynamic = strcmp(ingredients[index].scheme, "w8a8-dynamic") == 0;
    bool zero_point = ingredients[index].zero_point && !dynamic;
    bool position_0 = ingredients[index].position_0 && !dynamic;
    int own_steps = 0;
    ck_assert(q->recipe.zero_point == zero_point && q->recipe.position_0 == position_0);
    for (int32_t i = 0; i < site_linear_count(&q->config); i++) {
        const gpt2_linear *linear = site_linear(q, i);
        site_kind kind = site_at(&q->config, i).kind;
        bool off = (ingredients[index].no_smooth & 1u << kind) != 0 ||
                   strcmp(ingredients[index].smooth, "none") == 0;
        if (off) {
            ck_assert_str_eq(q->recipe.alpha[i], "none");
        }
        if (strcmp(ingredients[index].smooth, "0.5") == 0) {
            ck_assert_str_eq(q->recipe.alpha[i], "0.5");
        }
        bool none = strcmp(q->recipe.alpha[i], "none") == 0;
        ck_assert_int_eq(linear->column_factors == NULL, none);
        ck_assert_int_eq(linear->input.asymmetric, zero_point && kind == SITE_MLP_C_PROJ);
        ck_assert_int_eq(linear->input.dynamic, dynamic);
        if (!position_0) {
            ck_assert(linear->input.rho_0 == 1.0f && linear->input.step_0 == linear->input.step);
        }
        own_steps +=
            linear->input.step_0 != linear->input.step; // factors of alpha 1 may equal them
    }
    ck_assert_int_eq(own_steps > 0, position_0);
}

START_TEST(each_ingredient_can_be_left_out)
{
    gpt2_config config = fixture_config();
    config.activation = _i % 3 == 1   ? OCT_ACTIVATION_GELU
                        : _i % 3 == 2 ? OCT_ACTIVATION_RELU
                                      : OCT_ACTIVATION_GELU_NEW;
    char *folder = test_folder();
    char source[4200], out[4200];
    snprintf(source, sizeof source, "%s/source", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    ck_assert_int_eq(mkdir(source, 0777), 0);
    assert_ok(model_maker_write(&config, 11, source, NULL));
    gpt2_model *model;
    assert_ok(gpt2_model_load(&model, source));
    oct_device *device = fixture_device(1, NULL);
    int32_t *ids = fixture_ids(2 * N_IDS, 101, 4);
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.scheme = ingredients[_i].scheme;
    options.calibrator = ingredients[_i].calibrator;
    options.smooth = ingredients[_i].smooth;
    options.no_smooth = ingredients[_i].no_smooth;
    options.zero_point = ingredients[_i].zero_point;
    options.position_0 = ingredients[_i].position_0;
    gpt2_model *q = fixture_quantize(model, device, ids, N_IDS, &options, NULL, NULL);
    assert_recipe(q, _i);
    // It runs, and is the model it was made from.
    oct_perplexity_result made = fixture_perplexity(q, model, device, ids + N_IDS, N_IDS);
    ck_assert_msg(made.mean_kl > 0.0 && made.mean_kl < 0.02, "%s: mean KL %g", ingredients[_i].name,
                  made.mean_kl);
    // Written and read back it is the same model and has the same hash.
    assert_ok(gpt2_model_write(q, NULL, source, out, false));
    gpt2_model *read;
    assert_ok(gpt2_model_load(&read, out));
    assert_models_equal(read, q);
    oct_perplexity_result again = fixture_perplexity(read, model, device, ids + N_IDS, N_IDS);
    ck_assert_uint_eq(again.logits_hash, made.logits_hash);
    gpt2_model_close(read);
    gpt2_model_close(q);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(model);
    test_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quant model");
    TCase *tcase = tcase_create("model");
    tcase_add_loop_test(tcase, folds_keep_the_logits, 0, 4);
    tcase_add_test(tcase, folds_follow_the_formulas);
    tcase_add_loop_test(tcase, every_frozen_number_follows_its_formula, 0, 3);
    tcase_add_loop_test(tcase, order_batches_threads_and_instruction_set_change_no_bit, 0, 3);
    tcase_add_loop_test(tcase, each_ingredient_can_be_left_out, 0, N_INGREDIENTS);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
