// tests: the parts of quantization one by one, each against a formula written out again from
// NUMERICS.md.
#include "octet/numerics.h"
#include "quant/calibrator.h"
#include "quant/column_factors.h"
#include "quant/input_steps.h"
#include "quant/recipe.h"
#include "quant/round_nearest.h"
#include "quant/sequences.h"

#include "test_util.h"

// ---- sequences

static void cut(calibration_text *text, const int32_t *ids, size_t n, int32_t n_positions,
                int32_t limit)
{
    assert_ok(calibration_text_cut(text, ids, n, NULL, 0, n_positions, 1000, limit));
}

START_TEST(blocks_of_n_positions_and_a_last_one_of_at_least_two)
{
    int32_t ids[16] = {7, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11};
    calibration_text text;
    cut(&text, ids, 10, 4, 128);
    ck_assert_int_eq(text.n, 3);
    ck_assert_int_eq(text.length[2], 2);
    ck_assert_int_eq((int)text.n_tokens, 10);
    calibration_text_free(&text);
    cut(&text, ids, 9, 4, 128); // one token is left over
    ck_assert_int_eq(text.n, 2);
    calibration_text_free(&text);
    cut(&text, ids, 10, 4, 1);
    ck_assert_int_eq(text.n, 1);
    ck_assert_int_eq((int)text.n_tokens, 4);
    calibration_text_free(&text);
    cut(&text, ids, 3, 4, 128); // shorter than a block
    ck_assert_int_eq(text.length[0], 3);
    calibration_text_free(&text);
}
END_TEST

START_TEST(documents_start_at_position_0_and_long_ones_are_cut)
{
    const int32_t ids[12] = {7, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12};
    const size_t offsets[5] = {0, 1, 4, 4, 12};
    calibration_text text;
    assert_ok(calibration_text_cut(&text, ids, 12, offsets, 4, 5, 1000, 128));
    ck_assert_int_eq(text.n, 3); // a document of one token and an empty one have nothing to say
    ck_assert_uint_eq(text.begin[0], 1);
    ck_assert_int_eq(text.length[0], 3);
    ck_assert_uint_eq(text.begin[1], 4);
    ck_assert_int_eq(text.length[1], 5);
    ck_assert_int_eq(text.length[2], 3);
    calibration_text_free(&text);
    const size_t wrong[3] = {0, 9, 13};
    ck_assert_int_eq(calibration_text_cut(&text, ids, 12, wrong, 2, 5, 1000, 128), OCT_ERR_ARG);
}
END_TEST

START_TEST(the_hash_is_sha256_of_the_ids_used_as_u32_little_endian)
{
    const int32_t ids[7] = {7, 1, 2, 3, 4, 5, 900};
    calibration_text text;
    cut(&text, ids, 7, 6, 128); // the last token is not used
    ck_assert_str_eq(text.sha256,
                     "399e7841616a16497785f56b7c7941667cb73658da2af52014c4810ed546893a");
    calibration_text_free(&text);
}
END_TEST

START_TEST(ids_outside_the_vocabulary_are_refused_with_both_numbers)
{
    const int32_t ids[3] = {7, 1000, 2};
    calibration_text text;
    ck_assert_int_eq(calibration_text_cut(&text, ids, 3, NULL, 0, 6, 1000, 128), OCT_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(oct_last_error(), "999"));
    ck_assert_ptr_nonnull(strstr(oct_last_error(), "1000"));
    ck_assert_int_eq(calibration_text_cut(&text, ids, 1, NULL, 0, 6, 1000, 128), OCT_ERR_ARG);
}
END_TEST

START_TEST(kept_rows_are_the_1024_of_odd_sequences_with_the_smallest_mix)
{
    static int32_t ids[9 * 300];
    calibration_text text;
    cut(&text, ids, 9 * 300, 300, 128);
    ck_assert_int_eq(text.n_kept, 1024);
    // A row is kept exactly where fewer than 1,024 rows have a smaller mix.
    int32_t next = 0;
    for (uint64_t s = 0; s < 9; s++) {
        int32_t map[300];
        calibration_text_row_map(&text, (int32_t)s, map);
        for (uint64_t p = 0; p < 300; p++) {
            int smaller = 0;
            for (uint64_t a = 1; a < 9; a += 2) {
                for (uint64_t b = 1; b < 300; b++) {
                    smaller += oct_mix(a << 32 | b) < oct_mix(s << 32 | p);
                }
            }
            bool kept = s % 2 == 1 && p >= 1 && smaller < 1024;
            ck_assert_int_eq(map[p], kept ? next : -1);
            next += kept;
        }
    }
    ck_assert_int_eq(next, 1024);
    calibration_text_free(&text);
    cut(&text, ids, 600, 300, 128);
    ck_assert_int_eq(text.n_kept, 299); // fewer: all
    calibration_text_free(&text);
}
END_TEST

// ---- calibrators

static quant_calibrator parse(const char *text)
{
    quant_calibrator c;
    assert_ok(calibrator_parse(&c, text));
    return c;
}

START_TEST(percentile_equals_a_naive_reference)
{
    static const char *const names[] = {"percentile:99.999", "percentile:99.99", "percentile:99.9",
                                        "percentile:90",     "percentile:50.5",  "percentile:100"};
    uint64_t state = 5;
    static float values[20000];
    for (int trial = 0; trial < 4; trial++) {
        calibrator_histogram h = {.absmax = 0.0f};
        for (int i = 0; i < 20000; i++) {
            float x = test_normal(&state);
            values[i] = trial == 1 ? x * x * x : trial == 2 && i % 3 != 0 ? 0.0f : x;
            h.absmax = fmaxf(h.absmax, fabsf(values[i]));
        }
        for (int i = 0; i < 20000; i++) {
            int bin = (int)(fabsf(values[i]) * (2048.0f / h.absmax));
            h.bins[bin < 2047 ? bin : 2047]++;
        }
        for (size_t p = 0; p < sizeof names / sizeof names[0]; p++) {
            quant_calibrator c = parse(names[p]);
            // numpy: searchsorted(cumsum(hist) / total, p / 100), left edge of that bin.
            int want = 0;
            double cdf = (double)h.bins[0] / 20000.0;
            uint64_t sum = h.bins[0];
            while (cdf < c.argument / 100.0) {
                sum += h.bins[++want];
                cdf = (double)sum / 20000.0;
            }
            want = want < 1 ? 1 : want;
            int32_t edge = calibrator_edge(&c, &h);
            ck_assert_int_eq(edge, want);
            double amax = (double)want * (double)h.absmax / 2048.0;
            ck_assert(calibrator_amax(&h, edge) == (float)amax);
            uint64_t beyond = 0;
            for (int i = want; i < 2048; i++) {
                beyond += h.bins[i];
            }
            ck_assert(calibrator_saturation(&h, edge) == (double)beyond / 20000.0);
        }
        quant_calibrator minmax = parse("minmax");
        ck_assert_int_eq(calibrator_edge(&minmax, &h), CALIBRATOR_BINS);
        ck_assert(calibrator_amax(&h, CALIBRATOR_BINS) == h.absmax);
        ck_assert(calibrator_saturation(&h, CALIBRATOR_BINS) == 0.0);
    }
}
END_TEST

START_TEST(percentile_counts_beyond_32_bits_and_survives_an_empty_histogram)
{
    calibrator_histogram h = {.absmax = 2048.0f};
    quant_calibrator c = parse("percentile:99.9");
    ck_assert_int_eq(calibrator_edge(&c, &h), CALIBRATOR_BINS); // nothing seen, nothing clipped
    h.bins[0] = 5000000000u;                                    // in 32 bits: 705,032,704
    h.bins[700] = 4000000u;                                     // 0.08 % of all, 0.6 % of those
    h.bins[2047] = 1;
    ck_assert_int_eq(calibrator_edge(&c, &h), 1); // 99.92 % in bin 0; amax is never 0
    h.bins[700] = 40000000u;
    ck_assert_int_eq(calibrator_edge(&c, &h), 700);
}
END_TEST

START_TEST(options_that_make_no_sense_are_refused_by_name)
{
    static const char *const calibrators[] = {"",
                                              "max",
                                              "minmax:3",
                                              "percentile",
                                              "percentile:",
                                              "percentile:50",
                                              "percentile:100.5",
                                              "percentile:99x",
                                              "percentile:nan",
                                              "entropy"};
    for (size_t i = 0; i < sizeof calibrators / sizeof calibrators[0]; i++) {
        quant_calibrator c;
        ck_assert_msg(calibrator_parse(&c, calibrators[i]) == OCT_ERR_ARG, "accepted: %s",
                      calibrators[i]);
    }
    static const char *const smooth[] = {
        "", "-0.1", "1.1", "0.5x", "nan", "Auto", "0.50000000000000000000000001"};
    quant_recipe recipe;
    for (size_t i = 0; i < sizeof smooth / sizeof smooth[0]; i++) {
        oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
        options.smooth = smooth[i];
        ck_assert_msg(quant_recipe_parse(&recipe, &options) == OCT_ERR_ARG, "accepted: %s",
                      smooth[i]);
        ck_assert_ptr_nonnull(strstr(oct_last_error(), smooth[i]));
    }
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.scheme = "w4a8";
    ck_assert_int_eq(quant_recipe_parse(&recipe, &options), OCT_ERR_ARG);
    options = (oct_quantize_options)OCT_QUANTIZE_OPTIONS_INIT;
    options.no_smooth = 32;
    ck_assert_int_eq(quant_recipe_parse(&recipe, &options), OCT_ERR_ARG);
    options.no_smooth = 0;
    options.blocks = -1;
    ck_assert_int_eq(quant_recipe_parse(&recipe, &options), OCT_ERR_ARG);
    options.blocks = 0;
    options.struct_size = 8;
    ck_assert_int_eq(quant_recipe_parse(&recipe, &options), OCT_ERR_ARG);
    assert_ok(quant_recipe_parse(&recipe, NULL));
    ck_assert(recipe.search && recipe.zero_point && recipe.position_0 && !recipe.dynamic);
    ck_assert_int_eq(recipe.max_sequences, 128);
    ck_assert(recipe.alpha == 0.7f);
}
END_TEST

// ---- column factors

START_TEST(column_factors_follow_the_formula)
{
    enum { K = 97 };
    float ax[K], aw[K], cs[K], scratch[K];
    uint64_t state = 9;
    for (int i = 0; i < K; i++) {
        ax[i] = expf(3.0f * test_normal(&state));
        aw[i] = expf(2.0f * test_normal(&state)) * 0.1f;
    }
    for (int a = 1; a < RECIPE_ALPHAS; a++) {
        float alpha = recipe_alphas[a].value;
        column_factors_compute(ax, aw, K, alpha, cs, scratch);
        for (int i = 0; i < K; i++) {
            double want =
                pow((double)ax[i], (double)alpha) / pow((double)aw[i], 1.0 - (double)alpha);
            ck_assert_msg(fabs((double)cs[i] / want - 1.0) < 4e-6, "alpha %g: got %g, expected %g",
                          (double)alpha, (double)cs[i], want);
            // Every operation rounded, no fma.
            float x = oct_lg2(ax[i]) * alpha;
            float w = oct_lg2(aw[i]) * (1.0f - alpha);
            ck_assert(cs[i] == oct_ex2(x - w));
        }
    }
}
END_TEST

START_TEST(column_factors_of_dead_channels_are_held_by_floors)
{
    enum { K = 6 };
    float aw[K] = {1, 1, 1, 1, 1, 1};
    float ax[K] = {0.0f, 1e-30f, 8.0f, 4.0f, 2.0f, 16.0f}; // sorted: element (6 - 1) / 2 is 2
    float cs[K], scratch[K];
    column_factors_compute(ax, aw, K, 1.0f, cs, scratch);
    for (int i = 0; i < 2; i++) {
        ck_assert(fabs((double)cs[i] / 2e-4 - 1.0) < 1e-5);
    }
    ck_assert(fabs((double)cs[2] / 8.0 - 1.0) < 1e-6);
    // All but one dead: the median is 0, so is the floor, and dead channels get 1.
    float dead[K] = {0, 0, 3.0f, 0, 0, 0};
    column_factors_compute(dead, aw, K, 0.7f, cs, scratch);
    ck_assert(cs[0] == 1.0f && cs[5] == 1.0f && cs[2] > 1.5f);
    column_factors_compute(aw, dead, K, 0.4f, cs, scratch);
    ck_assert(cs[0] == 1.0f && cs[2] < 1.0f);
    // The exponent stays within +-60.
    float huge[K] = {0x1p100f, 1, 1, 1, 1, 1};
    float tiny[K] = {0x1p-99f, 0x1p-99f, 0x1p-99f, 0x1p-99f, 0x1p-99f, 0x1p-99f};
    column_factors_compute(huge, tiny, K, 0.4f, cs, scratch);
    ck_assert(cs[0] == 0x1p60f);
}
END_TEST

START_TEST(ranges_after_folding_are_quotients)
{
    const float min_0[3] = {-9, 0, 0}, max_0[3] = {0, 0, 7}, min[3] = {-1, -2, 0},
                max[3] = {3, 0, 5}, cs[3] = {2, 0.5f, 4};
    float lo, hi;
    column_factors_range(min, max, cs, 3, &lo, &hi);
    ck_assert(lo == -4.0f && hi == 1.5f);
    column_factors_range(min, max, NULL, 3, &lo, &hi);
    ck_assert(lo == -2.0f && hi == 5.0f);
    site_ranges ranges = {(float *)min_0, (float *)max_0, (float *)min, (float *)max};
    float ax[3];
    column_factors_input_absmax(&ranges, 3, ax); // position 0 included
    ck_assert(ax[0] == 9.0f && ax[1] == 2.0f && ax[2] == 7.0f);
}
END_TEST

// ---- steps

static site_ranges ranges_of(float *four, float min_0, float max_0, float min, float max)
{
    four[0] = min_0;
    four[1] = max_0;
    four[2] = min;
    four[3] = max;
    return (site_ranges){&four[0], &four[1], &four[2], &four[3]};
}

START_TEST(position_0_has_its_own_step_zero_point_and_row_factors)
{
    float four[4];
    site_ranges r = ranges_of(four, -1.0f, 300.0f, -0.17f, 7.0f);
    input_range range = input_range_find(&r, NULL, 1, INFINITY, true);
    gpt2_input in = input_steps_static(&range, true, true);
    ck_assert(in.asymmetric && !in.dynamic);
    float step = (7.0f - -0.17f) / 255.0f;
    float step_0 = (300.0f - -1.0f) / 255.0f;
    ck_assert(in.step == step && in.step_0 == step_0);
    ck_assert_int_eq(in.zero, (int)lrint(-128.0 + 0.17 / (double)step));
    ck_assert_int_eq(in.zero_0, (int)lrint(-128.0 + 1.0 / (double)step_0));
    ck_assert(in.rho_0 == (float)((double)step / (double)step_0));
    ck_assert(in.sigma_0 == (float)((double)step_0 / (double)step));
    gpt2_input symmetric = input_steps_static(&range, false, true);
    ck_assert(symmetric.step == 7.0f / 127.0f && symmetric.step_0 == 300.0f / 127.0f);
    ck_assert(symmetric.zero == 0 && symmetric.zero_0 == 0 && !symmetric.asymmetric);
}
END_TEST

START_TEST(without_position_0_one_step_serves_all_positions)
{
    float four[4];
    site_ranges r = ranges_of(four, -1.0f, 300.0f, -4.0f, 7.0f);
    input_range range = input_range_find(&r, NULL, 1, INFINITY, false);
    gpt2_input in = input_steps_static(&range, true, false);
    ck_assert(in.step == (300.0f - -4.0f) / 255.0f && in.step_0 == in.step);
    ck_assert(in.zero_0 == in.zero && in.rho_0 == 1.0f && in.sigma_0 == 1.0f);
}
END_TEST

START_TEST(a_calibrator_clips_positions_from_1_on_and_never_position_0)
{
    float four[4];
    site_ranges r = ranges_of(four, -1.0f, 300.0f, -0.17f, 7.0f);
    input_range range = input_range_find(&r, NULL, 1, 5.0f, true);
    ck_assert(range.lo == -0.17f && range.hi == 5.0f && range.lo_0 == -1.0f &&
              range.hi_0 == 300.0f);
    range = input_range_find(&r, NULL, 1, 0.125f, true);
    ck_assert(range.lo == -0.125f && range.hi == 0.125f);
    range = input_range_find(&r, NULL, 1, 5.0f, false);
    ck_assert(range.lo == -1.0f && range.hi == 300.0f);
}
END_TEST

START_TEST(nothing_seen_gives_step_one)
{
    float four[4];
    site_ranges r = ranges_of(four, 0, 0, 0, 0x1p-110f);
    input_range range = input_range_find(&r, NULL, 1, INFINITY, true);
    gpt2_input in = input_steps_static(&range, false, true);
    ck_assert(in.step == 1.0f && in.step_0 == 1.0f && in.rho_0 == 1.0f);
    in = input_steps_static(&range, true, true);
    ck_assert(in.step == 1.0f && in.zero == -128 && in.zero_0 == -128);
    in = input_steps_dynamic();
    ck_assert(in.dynamic && in.step == 1.0f && in.zero == 0 && !in.asymmetric);
    ck_assert(in.rho_0 == 1.0f && in.sigma_0 == 1.0f);
}
END_TEST

START_TEST(multipliers_are_one_division_rounded_once)
{
    uint64_t state = 3;
    int differ = 0;
    for (int i = 0; i < 100000; i++) {
        float v = test_normal(&state);
        float step = fabsf(test_normal(&state)) + 1e-3f;
        float c = fabsf(test_normal(&state)) + 1e-3f;
        float got = input_quotient(v, step, c);
        double product = (double)step * (double)c; // exact
        ck_assert(got == (float)((double)v / product));
        ck_assert(input_reciprocal(step, c) == (float)(1.0 / product));
        differ += got != v / (step * c);
    }
    ck_assert_int_gt(differ, 10000); // what a float product in between would change
}
END_TEST

// ---- weights

START_TEST(weights_are_rounded_by_row_after_their_columns_were_multiplied)
{
    enum { N = 37, K = 53 };
    static float w[N * K];
    float cs[K];
    uint64_t state = 21;
    for (int i = 0; i < N * K; i++) {
        w[i] = test_normal(&state);
    }
    memset(w + 5 * K, 0, sizeof(float) * K);
    w[7 * K + 3] = 500.0f;
    for (int i = 0; i < K; i++) {
        cs[i] = expf(test_normal(&state));
    }
    static int8_t codes[3][N * K];
    for (int threads = 1; threads <= 3; threads++) {
        float step[N];
        int32_t colsum[N];
        oct_team *team;
        assert_ok(oct_team_open(&team, threads));
        round_nearest(team, w, cs, N, K, codes[threads - 1], step, colsum);
        oct_team_close(team);
        for (int i = 0; i < N; i++) {
            float top = 0.0f;
            for (int j = 0; j < K; j++) {
                top = fmaxf(top, fabsf(w[i * K + j] * cs[j]));
            }
            float want = top < 0x1p-100f ? 1.0f : top / 127.0f;
            ck_assert(step[i] == want);
            int32_t sum = 0;
            for (int j = 0; j < K; j++) {
                float product = w[i * K + j] * cs[j];
                int code = (int)rintf(product / want);
                ck_assert_int_eq(codes[threads - 1][i * K + j], code);
                sum += code;
            }
            ck_assert_int_eq(colsum[i], sum);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quant");
    TCase *tcase = tcase_create("parts");
    tcase_add_test(tcase, blocks_of_n_positions_and_a_last_one_of_at_least_two);
    tcase_add_test(tcase, documents_start_at_position_0_and_long_ones_are_cut);
    tcase_add_test(tcase, the_hash_is_sha256_of_the_ids_used_as_u32_little_endian);
    tcase_add_test(tcase, ids_outside_the_vocabulary_are_refused_with_both_numbers);
    tcase_add_test(tcase, kept_rows_are_the_1024_of_odd_sequences_with_the_smallest_mix);
    tcase_add_test(tcase, percentile_equals_a_naive_reference);
    tcase_add_test(tcase, percentile_counts_beyond_32_bits_and_survives_an_empty_histogram);
    tcase_add_test(tcase, options_that_make_no_sense_are_refused_by_name);
    tcase_add_test(tcase, column_factors_follow_the_formula);
    tcase_add_test(tcase, column_factors_of_dead_channels_are_held_by_floors);
    tcase_add_test(tcase, ranges_after_folding_are_quotients);
    tcase_add_test(tcase, position_0_has_its_own_step_zero_point_and_row_factors);
    tcase_add_test(tcase, without_position_0_one_step_serves_all_positions);
    tcase_add_test(tcase, a_calibrator_clips_positions_from_1_on_and_never_position_0);
    tcase_add_test(tcase, nothing_seen_gives_step_one);
    tcase_add_test(tcase, multipliers_are_one_division_rounded_once);
    tcase_add_test(tcase, weights_are_rounded_by_row_after_their_columns_were_multiplied);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
