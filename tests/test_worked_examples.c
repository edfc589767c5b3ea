// tests: worked examples of symmetric and zero-point quantization, each under its own name.
#include "model/gpt2_model.h"
#include "octet/numerics.h"
#include "quant/round_nearest.h"

#include "model_maker.h"
#include "test_util.h"

// Codes of `n` values by one step for all of them.
static float quantize_row(const float *values, int32_t n, int8_t *codes)
{
    float step;
    oct_team *team;
    assert_ok(oct_team_open(&team, 1));
    round_nearest(team, values, NULL, 1, n, codes, &step, NULL);
    oct_team_close(team);
    return step;
}

START_TEST(example_1_symmetric_int8_of_a_5_by_5_matrix)
{
    static const float values[25] = {
        -0.41406283f, -0.01147755f, -0.3392236f, -0.6136786f, -0.9619631f,
        0.34641847f,  -0.88415116f, -0.9265099f, 0.01941179f, 0.3098219f,
        0.11344093f,  -0.49985033f, 0.27824652f, 0.8460101f,  -0.7981963f,
        0.67043334f,  0.64176756f,  0.29625052f, 0.511238f,   0.75581086f,
        0.9031928f,   0.17282692f,  0.9180173f,  0.4420913f,  -0.74508035f};
    static const int8_t want[25] = {-55, -2,   -45, -81, -127, 46, -117, -122, 3,  41,  15, -66, 37,
                                    112, -105, 89,  85,  39,   67, 100,  119,  23, 121, 58, -98};
    int8_t codes[25];
    float step = quantize_row(values, 25, codes);
    ck_assert_msg((double)step == 0.0075745126232504845, "step: got %.17g", (double)step);
    assert_i8_equal(codes, want, 25, "code");
    double error = 0.0;
    for (int i = 0; i < 25; i++) {
        double d = (double)values[i] - (double)(step * (float)codes[i]);
        error += d * d / 25.0;
    }
    ck_assert_msg(fabs(error - 4.972453e-06) < 5e-13, "mean squared error: got %.9g", error);
}
END_TEST

START_TEST(example_2_five_values_with_step_2_36614)
{
    static const float values[5] = {300.5f, 30.0f, 20.0f, 100.0f, -300.5f};
    static const int8_t want[5] = {127, 13, 8, 42, -127};
    int8_t codes[5];
    float step = quantize_row(values, 5, codes);
    ck_assert_msg(fabs((double)step - 2.36614) < 5e-6, "step: got %.9g", (double)step);
    ck_assert(step == 300.5f / 127.0f);
    assert_i8_equal(codes, want, 5, "code");
}
END_TEST

// The zero-point mapping of textbooks: scale is a multiplier here. NUMERICS.md's rint(y) + z
// differs at ties.
static float study_zero_point(const float *x, int n, int *codes, float *scale)
{
    float min = x[0];
    float max = x[0];
    for (int i = 1; i < n; i++) {
        min = fminf(min, x[i]);
        max = fmaxf(max, x[i]);
    }
    *scale = max == min ? 1.0f : 255.0f / (max - min);
    float z = rintf(-*scale * min - 128.0f);
    for (int i = 0; i < n; i++) {
        codes[i] = (int)fminf(fmaxf(rintf(x[i] * *scale + z), -128.0f), 127.0f);
    }
    return z;
}

START_TEST(example_3_zero_point_of_relu_is_minus_128_and_uses_all_256_codes)
{
    float x[256];
    int codes[256];
    float scale;
    for (int i = 0; i < 256; i++) {
        x[i] = (float)i * 0.5f;
    }
    float z = study_zero_point(x, 256, codes, &scale);
    ck_assert(z == -128.0f && scale == 2.0f);
    int32_t zero;
    float step = oct_step_asymmetric(0.0f, 127.5f, &zero);
    ck_assert_int_eq(zero, -128);
    ck_assert(step == 0.5f);
    float symmetric = oct_step_symmetric(0.0f, 127.5f);
    int lowest = 127;
    for (int i = 0; i < 256; i++) {
        ck_assert_int_eq(codes[i], i - 128); // all 256 of them
        ck_assert_int_eq(oct_requant(x[i] / step, zero, -128, 127), i - 128);
        ck_assert(((float)codes[i] - z) / scale == x[i]);
        int32_t code = oct_requant(x[i] / symmetric, 0, -127, 127);
        lowest = code < lowest ? code : lowest;
    }
    ck_assert_int_eq(lowest, 0); // absmax leaves half of the codes unused
}
END_TEST

START_TEST(example_3_an_empty_range_has_scale_one)
{
    const float x[3] = {2.5f, 2.5f, 2.5f};
    int codes[3];
    float scale;
    study_zero_point(x, 3, codes, &scale);
    ck_assert(scale == 1.0f);
    int32_t zero;
    ck_assert(oct_step_asymmetric(0.0f, 0.0f, &zero) == 1.0f);
    ck_assert_int_eq(zero, -128);
}
END_TEST

START_TEST(example_4_int4_codes_and_the_zero_point_of_an_activation_range)
{
    // w' = clip(rint(w / step + z), -8, 7)
    static const float w[6] = {-4.0f, -1.3f, 0.0f, 0.26f, 3.4f, 9.0f};
    static const int want[6] = {-8, -3, 0, 1, 7, 7};
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(oct_requant(w[i] / 0.5f, 0, -8, 7), want[i]);
    }
    int32_t zero;
    float step = oct_step_asymmetric(-2.5f, 3.1f, &zero);
    ck_assert_int_eq(zero, -14); // rint(-128 + 2.5 / step)
    ck_assert_msg(fabs((double)step - 5.6 / 255.0) < 1e-9, "step: got %.9g", (double)step);
}
END_TEST

START_TEST(example_5_gpt2_small_occupies_510342192_bytes_in_fp32)
{
    gpt2_config config = model_maker_config(12, 12, 768, 1024, 50257);
    gpt2_model *model;
    assert_ok(gpt2_model_new(&model, &config, OCT_FORMAT_F32));
    gpt2_footprint footprint;
    gpt2_model_footprint(model, 4, &footprint);
    ck_assert_uint_eq(footprint.total, 124439808u * 4u);
    size_t masks = 12u * (1048576u + 4u); // buffers that transformers counted then
    ck_assert_uint_eq(footprint.total + masks, 510342192u);
    gpt2_model_close(model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worked examples");
    TCase *tcase = tcase_create("appendix A");
    tcase_add_test(tcase, example_1_symmetric_int8_of_a_5_by_5_matrix);
    tcase_add_test(tcase, example_2_five_values_with_step_2_36614);
    tcase_add_test(tcase, example_3_zero_point_of_relu_is_minus_128_and_uses_all_256_codes);
    tcase_add_test(tcase, example_3_an_empty_range_has_scale_one);
    tcase_add_test(tcase, example_4_int4_codes_and_the_zero_point_of_an_activation_range);
    tcase_add_test(tcase, example_5_gpt2_small_occupies_510342192_bytes_in_fp32);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
