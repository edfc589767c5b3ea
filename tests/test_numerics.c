// tests: rounding and requantization of numerics.h against the words of NUMERICS.md, and one digest
// of all functions. Bounds: test_numerics_functions.c; orders of summation: test_numerics_orders.c.
#include "octet/numerics.h"

#include "test_bounds.h"

// ---- rounding -----------------------------------------------------------------------------------

START_TEST(clampf_keeps_the_range_and_gives_lo_for_nan)
{
    ck_assert_float_eq(oct_clampf(NAN, -3.0f, 5.0f), -3.0f);
    ck_assert_float_eq(oct_clampf(-NAN, -3.0f, 5.0f), -3.0f);
    ck_assert_float_eq(oct_clampf(oct_float(0x7F800001u), -3.0f, 5.0f), -3.0f); // signalling
    ck_assert_float_eq(oct_clampf(INFINITY, -3.0f, 5.0f), 5.0f);
    ck_assert_float_eq(oct_clampf(-INFINITY, -3.0f, 5.0f), -3.0f);
    ck_assert_float_eq(oct_clampf(4.5f, -3.0f, 5.0f), 4.5f);
    ck_assert_float_eq(oct_clampf(5.5f, -3.0f, 5.0f), 5.0f);
    ck_assert_uint_eq(oct_bits(oct_clampf(-0.0f, -3.0f, 5.0f)), 0x80000000u);
    ck_assert_float_eq(oct_max(NAN, 2.0f), 2.0f);
    ck_assert_float_eq(oct_min(NAN, 2.0f), 2.0f);
}
END_TEST

START_TEST(rint_is_half_to_even)
{
    ck_assert_float_eq(oct_rint(0.5f), 0.0f);
    ck_assert_float_eq(oct_rint(1.5f), 2.0f);
    ck_assert_float_eq(oct_rint(-2.5f), -2.0f);
    ck_assert_uint_eq(oct_bits(oct_rint(-0.25f)), 0);
    worst wrong = {0, 0};
    for (uint32_t u = 0; u <= oct_bits(0x1p22f); u += OCT_TEST_STRIDE) {
        float x = oct_float(u);
        expect(&wrong, oct_rint(x) == nearbyintf(x), x);
        expect(&wrong, oct_rint(-x) == nearbyintf(-x), -x);
    }
    for (int32_t k = -(1 << 23); k <= 1 << 23; k += 3) { // all ties and integers, every third
        float x = (float)k * 0.5f;
        expect(&wrong, oct_rint(x) == nearbyintf(x), x);
    }
    assert_none("rint", wrong);
}
END_TEST

START_TEST(rint_u32_is_half_to_even_up_to_2_32)
{
    worst wrong = {0, 0};
    for (uint32_t u = 0; u < oct_bits(0x1p32f); u += OCT_TEST_STRIDE) {
        float x = oct_float(u);
        expect(&wrong, oct_rint_u32(x) == (uint32_t)llrint((double)x), x);
    }
    for (uint32_t k = 0; k < 1u << 24; k += 3) {
        float x = (float)k * 0.5f;
        expect(&wrong, oct_rint_u32(x) == (uint32_t)llrint((double)x), x);
    }
    for (int e = 20; e < 32; e++) { // around every power of two
        uint32_t u = oct_bits(ldexpf(1.0f, e));
        for (uint32_t v = u - 3; v <= u + 3; v++) {
            float x = oct_float(v);
            expect(&wrong, oct_rint_u32(x) == (uint32_t)llrint((double)x), x);
        }
    }
    assert_none("rint_u32", wrong);
    ck_assert_uint_eq(oct_rint_u32(0x1p30f), 1u << 30);
}
END_TEST

START_TEST(half_keeps_every_half)
{
    worst wrong = {0, 0};
    for (uint32_t h = 0; h < 0x10000; h++) {
        if (!is_finite_half(h)) {
            continue;
        }
        int exponent = (int)(h >> 10 & 31);
        int fraction = (int)(h & 1023);
        double value = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
        float x = oct_half_to_float((uint16_t)h);
        expect(&wrong, x == (float)(h & 0x8000 ? -value : value), x);
        expect(&wrong, oct_half(x) == h && oct_bits(oct_round_half(x)) == oct_bits(x), x);
    }
    assert_none("half and back", wrong);
}
END_TEST

START_TEST(half_rounds_to_nearest_even_between_neighbours)
{
    worst wrong = {0, 0};
    for (uint32_t h = 0; h < 0x7BFF; h++) {
        float a = oct_half_to_float((uint16_t)h);
        float b = oct_half_to_float((uint16_t)(h + 1));
        float tie = (a + b) * 0.5f;
        uint32_t even = h & 1 ? h + 1 : h;
        expect(&wrong, oct_half(nextafterf(tie, 0)) == h, tie);
        expect(&wrong, oct_half(tie) == even && oct_half(-tie) == (0x8000 | even), tie);
        expect(&wrong, oct_half(nextafterf(tie, INFINITY)) == h + 1, tie);
    }
    assert_none("half near a tie", wrong);
}
END_TEST

START_TEST(half_is_the_nearest_half_of_any_float)
{
    worst wrong = {0, 0};
    for (uint32_t u = 0; u < 0x7F800000u; u += OCT_TEST_STRIDE) {
        float x = oct_float(u);
        double clamped = x < 65504.0f ? (double)x : 65504.0;
        double unit = fmax(ulp(clamped) * 0x1p13, 0x1p-24); // 13 bits fewer, down to 2^-24
        float want = (float)(nearbyint(clamped / unit) * unit);
        expect(&wrong, oct_round_half(x) == want && oct_round_half(-x) == -want, x);
    }
    assert_none("round_half", wrong);
}
END_TEST

START_TEST(half_clamps_to_65504)
{
    ck_assert_uint_eq(oct_half(65519.996f), 0x7BFF);
    ck_assert_uint_eq(oct_half(65520.0f), 0x7BFF);
    ck_assert_uint_eq(oct_half(1e9f), 0x7BFF);
    ck_assert_uint_eq(oct_half(-1e9f), 0xFBFF);
    ck_assert_uint_eq(oct_half(INFINITY), 0x7BFF);
    ck_assert_uint_eq(oct_half(-INFINITY), 0xFBFF);
    ck_assert_uint_eq(oct_half(NAN), 0xFBFF);
    ck_assert_uint_eq(oct_half(-0.0f), 0x8000);
    ck_assert_float_eq(oct_round_half(-70000.0f), -65504.0f);
}
END_TEST

// requant as NUMERICS.md section 2 writes it, with libm's rint.
static int32_t literal_requant(float y, int32_t z, int32_t lo, int32_t hi)
{
    float t = y > (float)(lo - z) ? y : (float)(lo - z);
    t = t < (float)(hi - z) ? t : (float)(hi - z);
    return (int32_t)rintf(t) + z;
}

static int32_t low_byte(uint32_t raw)
{
    return (int32_t)(int8_t)(uint8_t)raw;
}

// _i is z + 128.
START_TEST(requant_is_the_literal_contract_for_every_z)
{
    worst wrong = {0, 0};
    uint64_t seed = 17 + (uint64_t)_i;
    int32_t z = _i - 128;
    float lo_minus_z = (float)(-128 - z);
    float hi_minus_z = (float)(127 - z);
    float rare[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e30f, -1e30f, 0x1p-149f};
    for (int32_t k = -6000; k < 6000; k++) {
        uint32_t r = (uint32_t)test_random(&seed);
        float y = (float)k * 0.125f; // eighths: ties, and both clamps
        if (k & 1) {
            y = oct_float((90 + (r >> 24) % 60) << 23 | (r & 0x807FFFFFu));
        } else if (k + 6000 < (int32_t)(2 * sizeof rare / sizeof rare[0])) {
            y = rare[(k + 6000) / 2];
        }
        int32_t want = literal_requant(y, z, -128, 127);
        expect(&wrong, oct_requant(y, z, -128, 127) == want, y);
        expect(&wrong, low_byte(oct_requant_raw(y, z, lo_minus_z, hi_minus_z)) == want, y);
        // The clamp in float equals rounding first and clamping the sum, where the sum fits.
        int32_t late = y == y ? (int32_t)rintf(fminf(fmaxf(y, -4096.0f), 4096.0f)) + z : -128;
        expect(&wrong, want == (late < -128 ? -128 : late > 127 ? 127 : late), y);
        expect(&wrong, oct_requant(y, 0, -127, 127) == literal_requant(y, 0, -127, 127), y);
    }
    assert_none("requant", wrong);
    ck_assert_int_eq(oct_requant(0.0f, z, -128, 127), z);
    ck_assert_int_eq(oct_requant(-127.5f, 0, -127, 127), -127);
    ck_assert_int_eq(oct_requant(126.5f, 0, -127, 127), 126);
    ck_assert_int_eq(oct_requant(NAN, 0, -127, 127), -127);
    ck_assert_int_eq(oct_requant(32639.0f, 0, -32639, 32639), 32639); // w8a16's range
    ck_assert_int_eq(oct_requant(-0.5f - 32638.0f, 0, -32639, 32639), -32638);
}
END_TEST

// ---- the digest ---------------------------------------------------------------------------------

// The cheaper, saturating requantization of the prototype; not the contract's. It is here only
// because the recorded digest of scalar C, AVX-512 and PTX contains it.
static uint32_t requant_sat_raw(float v, float r, float b, float n, float lo)
{
    float u = oct_clampf(oct_fma(v, r, b), 0.0f, 1.0f);
    return oct_bits(oct_fma(u, n, OCT_MAGIC + lo));
}

// FNV-1a over the results for every finite half, 200,000 random floats and a million probabilities.
// It is the number that was recorded with the contract; gcc and clang give it at -O0 to -O3, with
// FMA and AVX-512 and without.
START_TEST(digest_of_all_functions_is_the_recorded_one)
{
    uint64_t h = 1469598103934665603u;
    uint64_t s = 1;
    for (uint32_t i = 0; i < 65536 + 200000; i++) {
        if (i < 65536 && !is_finite_half(i)) {
            continue;
        }
        s = s * 6364136223846793005u + 1442695040888963407u;
        uint32_t exponent = 97 + (uint32_t)(s >> 20) % 48;
        uint32_t random = (uint32_t)((s >> 32) & 0x807FFFFFu) | exponent << 23;
        float x = i < 65536 ? oct_half_to_float((uint16_t)i) : oct_float(random);
        float a = oct_abs(x);
        uint32_t r[] = {oct_bits(oct_exp2_neg(-a)),
                        oct_prob16_raw(-a, 0.0173f, -1040.5f),
                        oct_bits(oct_gelu_new16(x)),
                        oct_bits(oct_gelu_erf16(x)),
                        oct_bits(oct_exp_neg(-a)),
                        oct_bits(oct_gelu_new(x)),
                        oct_bits(oct_gelu_erf(x)),
                        oct_bits(oct_ln(a + 0x1p-40f)),
                        oct_bits(oct_rstd(a, 1e-5f)),
                        oct_requant_raw(x, -37, -91.0f, 164.0f) & 255u,
                        requant_sat_raw(x, 0.1057f, 0.356863f, 255.0f, -128.0f) & 255u,
                        oct_half(x)};
        for (size_t k = 0; k < sizeof r / sizeof r[0]; k++) {
            h = (h ^ r[k]) * 1099511628211u;
        }
    }
    for (int i = 0; i < 1 << 20; i++) { // 16 bits hide small changes of a coefficient
        h = (h ^ oct_prob16_raw((float)-i, 0x1.8p-20f, -0x1p24f)) * 1099511628211u;
    }
    ck_assert_msg(h == 0x9d189e21e7d5c25du, "digest %016llx", (unsigned long long)h);
}
END_TEST

// The functions that the first digest does not reach.
START_TEST(digest_of_the_other_functions_is_the_recorded_one)
{
    uint64_t h = 1469598103934665603u;
    uint64_t seed = 1;
    for (int i = 0; i < 200000; i++) {
        float x = 20 * test_uniform(&seed);
        float y = 20 * test_uniform(&seed);
        int32_t z = 0;
        uint64_t u = test_random(&seed);
        uint32_t r[] = {oct_bits(oct_ex2(3 * x)),
                        oct_bits(oct_lg2(oct_ex2(x))),
                        oct_sample_weight(x, oct_max(y, x), 1.3f),
                        oct_bits(oct_step_symmetric(x, y)),
                        oct_bits(oct_step_asymmetric(-oct_abs(x), y, &z)),
                        (uint32_t)z,
                        oct_bits(oct_round_half(x * y)),
                        (uint32_t)oct_requant(x * y, -37, -128, 127),
                        oct_bits(oct_nll(oct_max(x, y), y, (u >> 18) + (1u << 30))),
                        oct_rint_u32(oct_abs(x) * 0x1p26f)};
        for (size_t k = 0; k < sizeof r / sizeof r[0]; k++) {
            h = (h ^ r[k]) * 1099511628211u;
        }
    }
    ck_assert_msg(h == 0x61d71a09b8a38d09u, "digest %016llx", (unsigned long long)h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("numerics");
    TCase *rounding = tcase_create("rounding");
    tcase_add_test(rounding, clampf_keeps_the_range_and_gives_lo_for_nan);
    tcase_add_test(rounding, rint_is_half_to_even);
    tcase_add_test(rounding, rint_u32_is_half_to_even_up_to_2_32);
    tcase_add_test(rounding, half_keeps_every_half);
    tcase_add_test(rounding, half_rounds_to_nearest_even_between_neighbours);
    tcase_add_test(rounding, half_is_the_nearest_half_of_any_float);
    tcase_add_test(rounding, half_clamps_to_65504);
    tcase_add_loop_test(rounding, requant_is_the_literal_contract_for_every_z, 0, 256);
    suite_add_tcase(suite, rounding);
    TCase *digest = tcase_create("digest");
    tcase_add_test(digest, digest_of_all_functions_is_the_recorded_one);
    tcase_add_test(digest, digest_of_the_other_functions_is_the_recorded_one);
    suite_add_tcase(suite, digest);
    return test_main(suite);
}
