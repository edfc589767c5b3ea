// tests: fixtures of the quantization suites.
#include "quant_fixture.h"

#include "infer/engine.h"
#include "quant/sites.h"
#include "session_run.h"
#include "test_util.h"

gpt2_config fixture_config(void)
{
    return model_maker_config(3, 3, 48, 32, 101);
}

gpt2_model *fixture_model(const gpt2_config *config, uint64_t seed)
{
    gpt2_config small = fixture_config();
    char *folder = test_folder();
    gpt2_model *model;
    assert_ok(model_maker_write(config != NULL ? config : &small, seed, folder, NULL));
    assert_ok(gpt2_model_load(&model, folder));
    test_remove(folder);
    return model;
}

int32_t *fixture_ids(size_t n, int32_t vocab_size, uint64_t seed)
{
    int32_t *ids = malloc(n * sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        ids[i] = (int32_t)(test_random(&seed) % (uint64_t)vocab_size);
    }
    return ids;
}

oct_device *fixture_device(int32_t n_threads, const char *isa)
{
    oct_device *device;
    oct_device_options options = OCT_DEVICE_OPTIONS_INIT;
    options.n_threads = n_threads;
    options.isa = isa;
    assert_ok(oct_device_open(&device, &options));
    return device;
}

gpt2_model *fixture_quantize(const gpt2_model *fp32, oct_device *device, const int32_t *ids,
                             size_t n_ids, const oct_quantize_options *options,
                             const quant_tuning *tuning, char **statistics)
{
    gpt2_model *model;
    assert_ok(
        quant_quantize_model(fp32, device, ids, n_ids, options, tuning, &model, statistics, NULL));
    return model;
}

// ---- comparison

static void equal(const void *got, const void *want, size_t bytes, const char *what)
{
    ck_assert_msg((got == NULL) == (want == NULL), "%s: only one model has it", what);
    const unsigned char *g = got;
    const unsigned char *w = want;
    for (size_t i = 0; i < bytes && got != NULL; i++) {
        ck_assert_msg(g[i] == w[i], "%s: byte %zu differs: %02x, expected %02x", what, i, g[i],
                      w[i]);
    }
}

static void equal_floats(const float *got, const float *want, int32_t n, const char *what)
{
    equal(got, want, (size_t)n * sizeof(float), what);
}

static void equal_linear(const gpt2_linear *got, const gpt2_linear *want, const char *what)
{
    ck_assert_int_eq(got->n, want->n);
    ck_assert_int_eq(got->k, want->k);
    equal(got->w_i8, want->w_i8, (size_t)got->n * (size_t)got->k, what);
    equal_floats(got->w_step, want->w_step, got->n, what);
    equal_floats(got->mul, want->mul, got->n, what);
    equal_floats(got->bias, want->bias, got->n, what);
    equal_floats(got->column_factors, want->column_factors, got->k, what);
    const gpt2_input *g = &got->input;
    const gpt2_input *w = &want->input;
    ck_assert(g->dynamic == w->dynamic && g->asymmetric == w->asymmetric);
    if (w->dynamic) {
        return; // the rest is not used
    }
    ck_assert_msg(g->step == w->step && g->step_0 == w->step_0, "%s: step %a %a, expected %a %a",
                  what, (double)g->step, (double)g->step_0, (double)w->step, (double)w->step_0);
    ck_assert_int_eq(g->zero, w->zero);
    ck_assert_int_eq(g->zero_0, w->zero_0);
    ck_assert(g->rho_0 == w->rho_0 && g->sigma_0 == w->sigma_0);
}

static void equal_norm(const gpt2_norm *got, const gpt2_norm *want, int32_t c, const char *what)
{
    equal_floats(got->gamma, want->gamma, c, what);
    equal_floats(got->beta, want->beta, c, what);
    equal_floats(got->G, want->G, c, what);
    equal_floats(got->B, want->B, c, what);
}

void assert_models_equal(const gpt2_model *got, const gpt2_model *want)
{
    int32_t c = want->config.n_embd;
    size_t table = (size_t)want->config.vocab_size * (size_t)c;
    ck_assert_int_eq(got->format, OCT_FORMAT_W8A8);
    for (int32_t i = 0; i < site_linear_count(&want->config); i++) {
        quant_site site = site_at(&want->config, i);
        ck_assert_str_eq(got->recipe.alpha[i], want->recipe.alpha[i]);
        equal_linear(site_linear(got, i), site_linear(want, i), site.name);
    }
    for (int32_t l = 0; l < want->config.n_layer; l++) {
        const gpt2_layer *g = &got->layers[l];
        const gpt2_layer *w = &want->layers[l];
        equal_norm(&g->ln_1, &w->ln_1, c, "ln_1");
        equal_norm(&g->ln_2, &w->ln_2, c, "ln_2");
        equal_floats(g->k_step, w->k_step, c, "k_step");
        equal_floats(g->v_step, w->v_step, c, "v_step");
        equal_floats(g->k_mul, w->k_mul, c, "k_mul");
        equal_floats(g->v_mul, w->v_mul, c, "v_mul");
        equal_floats(g->out_mul, w->out_mul, c, "out_mul");
        equal_floats(g->act_mul, w->act_mul, want->config.n_inner, "act_mul");
    }
    equal_norm(&got->ln_f, &want->ln_f, c, "ln_f");
    equal(got->wte_i8, want->wte_i8, table, "wte");
    equal_floats(got->wte_step, want->wte_step, want->config.vocab_size, "wte step");
    equal_floats(got->wpe, want->wpe, want->config.n_positions * c, "wpe");
    ck_assert_int_eq(got->head_is_wte, want->head_is_wte);
    ck_assert_str_eq(got->recipe.scheme, want->recipe.scheme);
    ck_assert_str_eq(got->recipe.calibrator, want->recipe.calibrator);
    ck_assert_str_eq(got->recipe.calibration_sha256, want->recipe.calibration_sha256);
    ck_assert_int_eq(got->recipe.blocks, want->recipe.blocks);
}

// ---- running

float *fixture_logits(const gpt2_model *model, oct_device *device, const int32_t *ids, int32_t n)
{
    oct_engine *engine;
    assert_ok(oct_engine_from_model(&engine, device, model));
    float *logits = calloc((size_t)n * (size_t)model->config.vocab_size, sizeof *logits);
    oct_batch_options options = OCT_BATCH_OPTIONS_INIT;
    options.max_sequences = 1;
    options.max_logits = n;
    options.max_rows = n;
    test_sequence sequence = {ids, n, logits};
    run_alone(engine, &options, &sequence, 1);
    oct_engine_close(engine);
    return logits;
}

oct_perplexity_result fixture_perplexity(const gpt2_model *model, const gpt2_model *baseline,
                                         oct_device *device, const int32_t *ids, size_t n_ids)
{
    oct_engine *engine;
    oct_engine *reference;
    assert_ok(oct_engine_from_model(&engine, device, model));
    assert_ok(oct_engine_from_model(&reference, device, baseline));
    oct_perplexity_options options = OCT_PERPLEXITY_OPTIONS_INIT;
    options.baseline = reference;
    oct_perplexity_result result;
    assert_ok(oct_perplexity(engine, ids, n_ids, &options, &result));
    oct_engine_close(engine);
    oct_engine_close(reference);
    return result;
}
