// tests: planted outliers are there, and the planted FP32 model is the function it was planted in.
#include "plant.h"

#include "quant_fixture.h"
#include "test_util.h"

#include <jansson.h>
#include <sys/stat.h>

#define N_IDS 2000

// A random model whose text is random too; 4 layers, so that block 1 and block 2 hold the switches.
static gpt2_model *make_model(void)
{
    gpt2_config config = model_maker_config(4, 3, 48, 40, 101);
    return fixture_model(&config, 17);
}

// The largest difference between logits at positions >= `from`, in units of the largest logit.
static float difference(const gpt2_model *a, const gpt2_model *b, oct_device *device,
                        const int32_t *ids, int32_t from)
{
    size_t v = (size_t)a->config.vocab_size;
    float *x = fixture_logits(a, device, ids, 40);
    float *y = fixture_logits(b, device, ids, 40);
    float top = 0.0f;
    float worst = 0.0f;
    for (size_t i = (size_t)from * v; i < 40 * v; i++) {
        top = fmaxf(top, fabsf(x[i]));
        worst = fmaxf(worst, fabsf(x[i] - y[i]));
    }
    free(x);
    free(y);
    return worst / top;
}

static gpt2_model *plant(const gpt2_model *model, oct_device *device, unsigned kinds,
                         const int32_t *ids)
{
    gpt2_model *planted;
    assert_ok(plant_model(&planted, model, device, kinds, ids, N_IDS));
    return planted;
}

// V/O pairs and rogue LayerNorm channels cancel up to the last roundings; a copy has none.
START_TEST(exact_plants_keep_the_logits)
{
    static const unsigned kinds[] = {0, PLANT_VO, PLANT_ROGUE, PLANT_VO | PLANT_ROGUE};
    static const float tolerance[] = {0.0f, 2e-6f, 2e-6f, 4e-6f};
    gpt2_model *model = make_model();
    oct_device *device = fixture_device(1, NULL);
    int32_t *ids = fixture_ids(N_IDS, 101, 3);
    gpt2_model *planted = plant(model, device, kinds[_i], ids);
    float d = difference(model, planted, device, ids, 0);
    ck_assert_msg(d <= tolerance[_i], "logits moved by %g of the largest", (double)d);
    ck_assert_int_eq(planted->config.n_embd, 48);
    gpt2_model_close(planted);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

// Where the rare token does not stand, centring, widening and the switches at rest change nothing
// but roundings.
START_TEST(switches_at_rest_keep_the_logits)
{
    gpt2_model *model = make_model();
    oct_device *device = fixture_device(1, NULL);
    int32_t *ids = fixture_ids(N_IDS, 101, 3);
    int32_t rare = plant_rare_token(ids, N_IDS, 101);
    gpt2_model *planted = plant(model, device, PLANT_RARE, ids);
    ck_assert_int_eq(planted->config.n_embd, 64);
    ck_assert_int_eq(planted->config.n_head, 4);
    int32_t without[40];
    for (int i = 0; i < 40; i++) {
        without[i] = ids[i] == rare ? (rare + 1) % 101 : ids[i];
    }
    float d = difference(model, planted, device, without, 0);
    ck_assert_msg(d < 1e-5f, "logits moved by %g of the largest", (double)d);
    // Where it stands they do move.
    without[20] = rare;
    ck_assert(difference(model, planted, device, without, 0) > 1e-3f);
    // Causality: positions before it do not see it.
    float *x = fixture_logits(model, device, without, 20);
    float *y = fixture_logits(planted, device, without, 20);
    for (int i = 0; i < 20 * 101; i++) {
        ck_assert(fabsf(x[i] - y[i]) < 1e-4f);
    }
    free(x);
    free(y);
    gpt2_model_close(planted);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

static double absmax_at(json_t *root, const char *name, const char *bucket)
{
    size_t i;
    json_t *site;
    json_array_foreach(json_object_get(root, "sites"), i, site)
    {
        if (strcmp(json_string_value(json_object_get(site, "name")), name) == 0) {
            return json_number_value(
                json_object_get(json_object_get(site, "absmax_by_position"), bucket));
        }
    }
    ck_abort_msg("no site %s", name);
    return 0.0;
}

static json_t *statistics_of(const gpt2_model *model, oct_device *device, const int32_t *ids)
{
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.smooth = "none";
    char *text;
    gpt2_model_close(fixture_quantize(model, device, ids, N_IDS, &options, NULL, &text));
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    return root;
}

START_TEST(planted_outliers_are_where_they_should_be)
{
    gpt2_model *model = make_model();
    oct_device *device = fixture_device(1, NULL);
    int32_t *ids = fixture_ids(N_IDS, 101, 3);
    json_t *before = statistics_of(model, device, ids);

    // The switch of block 1 fires at position 0 only; behind it LayerNorm sees a row of three
    // channels.
    gpt2_model *planted = plant(model, device, PLANT_MASSIVE, ids);
    json_t *after = statistics_of(planted, device, ids);
    ck_assert(absmax_at(after, "h.1.mlp.c_proj.input", "0") > 50.0);
    ck_assert(absmax_at(after, "h.1.mlp.c_proj.input", "rest") < 10.0);
    ck_assert(absmax_at(after, "h.2.attn.c_attn.input", "0") > 6.0); // 0.816 * sqrt(64)
    double rest = absmax_at(before, "h.2.attn.c_attn.input", "rest");
    ck_assert(fabs(absmax_at(after, "h.2.attn.c_attn.input", "rest") - rest) < 0.5 * rest);
    json_decref(after);
    gpt2_model_close(planted);

    planted = plant(model, device, PLANT_GELU, ids);
    after = statistics_of(planted, device, ids);
    ck_assert(absmax_at(after, "h.0.mlp.c_proj.input", "rest") >
              4.0 * absmax_at(before, "h.0.mlp.c_proj.input", "rest"));
    json_decref(after);
    gpt2_model_close(planted);

    planted = plant(model, device, PLANT_VO | PLANT_ROGUE, ids);
    after = statistics_of(planted, device, ids);
    ck_assert(absmax_at(after, "h.0.attn.v", "rest") >
              5.0 * absmax_at(before, "h.0.attn.v", "rest"));
    ck_assert(absmax_at(after, "lm_head.input", "rest") >
              5.0 * absmax_at(before, "lm_head.input", "rest"));
    json_decref(after);
    gpt2_model_close(planted);

    json_decref(before);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

START_TEST(a_planted_model_is_written_and_read_back)
{
    gpt2_model *model = make_model();
    oct_device *device = fixture_device(1, NULL);
    int32_t *ids = fixture_ids(N_IDS, 101, 3);
    gpt2_model *planted = plant(model, device, 31, ids);
    char *folder = test_folder();
    char source[4200], out[4200];
    snprintf(source, sizeof source, "%s/source", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    ck_assert_int_eq(mkdir(source, 0777), 0);
    assert_ok(model_maker_write(&model->config, 17, source, NULL));
    assert_ok(plant_write(planted, source, out));
    gpt2_model *read;
    assert_ok(gpt2_model_load(&read, out));
    ck_assert(difference(planted, read, device, ids, 0) == 0.0f);
    gpt2_model_close(read);
    test_remove(folder);
    gpt2_model_close(planted);
    free(ids);
    oct_device_close(device);
    gpt2_model_close(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plant");
    TCase *tcase = tcase_create("plant");
    tcase_add_loop_test(tcase, exact_plants_keep_the_logits, 0, 4);
    tcase_add_test(tcase, switches_at_rest_keep_the_logits);
    tcase_add_test(tcase, planted_outliers_are_where_they_should_be);
    tcase_add_test(tcase, a_planted_model_is_written_and_read_back);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
