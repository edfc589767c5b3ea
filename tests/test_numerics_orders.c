// tests: every order and worked example of NUMERICS.md (row sums, chunk merges, steps, random
// numbers, hashes) against loops written from its text with plain C arithmetic, not from
// numerics.h.
#include "octet/numerics.h"

#include "test_util.h"

static const int32_t row_sizes[] = {1, 2, 47, 48, 80, 127, 128, 129, 255, 256, 768, 1600, 1601};
#define ROW_SIZES ((int)(sizeof row_sizes / sizeof row_sizes[0]))

// ---- row sums (section 4) -----------------------------------------------------------------------

// Normal values times powers of two from 2^-8 to 2^8, so that every order rounds differently.
static void fill_row(float *x, int32_t n, uint64_t seed)
{
    for (int32_t i = 0; i < n; i++) {
        x[i] = ldexpf(test_normal(&seed), (int)(test_random(&seed) % 17) - 8);
    }
}

// "s[i] = ((s[4i] + s[4i+1]) + (s[4i+2] + s[4i+3])) for i < 32; then s[i] += s[i+h] for h = 16, 8,
// 4, 2, 1."
static float tree_of_text(const float *s)
{
    float t[32];
    for (int i = 0; i < 32; i++) {
        float left = s[4 * i] + s[4 * i + 1];
        float right = s[4 * i + 2] + s[4 * i + 3];
        t[i] = left + right;
    }
    static const int halves[] = {16, 8, 4, 2, 1};
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < halves[k]; i++) {
            t[i] += t[i + halves[k]];
        }
    }
    return t[0];
}

// "128 accumulators, number j adds elements j, j+128, ... ascending from 0", one accumulator at a
// time.
static float sum_of_text(const float *x, int32_t n)
{
    float s[128];
    for (int32_t j = 0; j < 128; j++) {
        s[j] = 0;
        for (int32_t k = j; k < n; k += 128) {
            s[j] += x[k];
        }
    }
    return tree_of_text(s);
}

static float squares_of_text(const float *x, int32_t n, float mean)
{
    float s[128];
    for (int32_t j = 0; j < 128; j++) {
        s[j] = 0;
        for (int32_t k = j; k < n; k += 128) {
            float d = x[k] - mean;
            s[j] = fmaf(d, d, s[j]);
        }
    }
    return tree_of_text(s);
}

// _i picks the size.
START_TEST(row_sums_have_the_order_of_the_text)
{
    int32_t n = row_sizes[_i];
    float x[1601];
    for (uint64_t seed = 0; seed < 50; seed++) {
        fill_row(x, n, seed);
        float want = sum_of_text(x, n);
        ck_assert_uint_eq(oct_bits(oct_row_sum(x, n)), oct_bits(want));
        float mean = want / (float)n;
        float squares = squares_of_text(x, n, mean);
        ck_assert_uint_eq(oct_bits(oct_row_sum_sq_dev(x, n, mean)), oct_bits(squares));
        double exact = 0;
        for (int32_t i = 0; i < n; i++) {
            exact += ((double)x[i] - (double)mean) * ((double)x[i] - (double)mean);
        }
        ck_assert(fabs((double)squares - exact) <= 1e-5 * exact);
    }
}
END_TEST

// The data tell orders apart: one running sum, 64 accumulators, a tree of halves alone and d * d
// rounded before the addition all give other bits somewhere.
START_TEST(row_sum_data_tell_orders_apart)
{
    int running = 0;
    int sixty_four = 0;
    int halves = 0;
    int unfused = 0;
    float x[768];
    for (uint64_t seed = 0; seed < 50; seed++) {
        fill_row(x, 768, seed);
        float want = oct_row_sum(x, 768);
        float one = 0;
        float s64[64] = {0};
        float s128[128] = {0};
        float q128[128] = {0};
        for (int i = 0; i < 768; i++) {
            one += x[i];
            s64[i % 64] += x[i];
            s128[i % 128] += x[i];
            q128[i % 128] += x[i] * x[i];
        }
        for (int h = 64; h >= 1; h /= 2) {
            for (int i = 0; i < h; i++) {
                s128[i] += s128[i + h];
                s64[i] += h < 64 ? s64[i + h] : 0;
            }
        }
        running += one != want;
        sixty_four += s64[0] != want;
        halves += s128[0] != want;
        unfused += tree_of_text(q128) != oct_row_sum_sq_dev(x, 768, 0.0f);
    }
    ck_assert_int_gt(running, 5);
    ck_assert_int_gt(sixty_four, 5);
    ck_assert_int_gt(halves, 5);
    ck_assert_int_gt(unfused, 5);
}
END_TEST

START_TEST(row_sums_of_zeros_and_of_exact_values)
{
    float x[1600] = {0};
    ck_assert_uint_eq(oct_bits(oct_row_sum(x, 1600)), 0);
    ck_assert_uint_eq(oct_bits(oct_row_sum_sq_dev(x, 1600, 0.0f)), 0);
    for (int i = 0; i < 256; i++) {
        x[i] = -0.0f;
    }
    ck_assert_uint_eq(oct_bits(oct_row_sum(x, 1)), 0);
    ck_assert_uint_eq(oct_bits(oct_row_sum(x, 128)), 0); // accumulators start from +0
    ck_assert_uint_eq(oct_bits(oct_row_sum(x, 256)), 0);
    for (int i = 0; i < 1600; i++) {
        x[i] = (float)i;
    }
    ck_assert_float_eq(oct_row_sum(x, 1600), 1279200.0f);
    ck_assert_float_eq(oct_row_sum(x, 129), 8256.0f);
    ck_assert_float_eq(oct_row_sum_sq_dev(x, 5, 2.0f), 10.0f);
    // 2^24 + 1 rounds to 2^24: element 128 shares the accumulator of element 0, element 1 does not.
    float big[129] = {0x1p24f};
    big[128] = 1.0f;
    big[1] = -0x1p24f;
    ck_assert_float_eq(oct_row_sum(big, 129), 0.0f);
    big[128] = 0;
    big[4] = 1.0f; // joins only after elements 0 and 1 have cancelled
    ck_assert_float_eq(oct_row_sum(big, 129), 1.0f);
}
END_TEST

// ---- chunk merge (section 5) --------------------------------------------------------------------

// One loop from the text over chunks (m, l, o); the first chunk sets M, L and O.
static void merge_of_text(const int32_t *m, const int32_t *l, const int32_t *o, int chunks, float c,
                          int32_t *m_out, float *l_out, float *o_out)
{
    int32_t M = m[0];
    float L = (float)l[0];
    float O = (float)o[0];
    for (int k = 1; k < chunks; k++) {
        int32_t top = M > m[k] ? M : m[k];
        float A = oct_exp2_neg((float)(M - top) * c);
        float B = oct_exp2_neg((float)(m[k] - top) * c);
        L = fmaf(L, A, (float)l[k] * B);
        O = fmaf(O, A, (float)o[k] * B);
        M = top;
    }
    *m_out = M;
    *l_out = L;
    *o_out = O;
}

// _i is the number of chunks less one.
START_TEST(chunk_merge_is_the_loop_of_the_text)
{
    uint64_t seed = 100 + (uint64_t)_i;
    int chunks = _i + 1;
    int32_t m[24];
    int32_t l[24];
    int32_t o[24];
    for (int run = 0; run < 300; run++) {
        float c = ldexpf(1.0f + fabsf(test_uniform(&seed)), -(int)(test_random(&seed) % 16));
        int32_t spread = 1 + (int32_t)(40 / c);
        for (int k = 0; k < chunks; k++) {
            m[k] = (int32_t)(test_random(&seed) % (uint64_t)(2 * spread)) - spread;
            l[k] = 65535 + (int32_t)(test_random(&seed) % (65535 * 127));
            o[k] = (int32_t)(test_random(&seed) % (65535u * 127 * 128)) - 65535 * 127 * 64;
        }
        oct_softmax_state state = {0, 0};
        float sum = 0;
        double l_exact = 0;
        double o_exact = 0;
        int32_t top = INT32_MIN;
        for (int k = 0; k < chunks; k++) {
            float a;
            float b;
            oct_merge_chunk(&state, m[k], l[k], c, &a, &b);
            sum = oct_merge_element(sum, o[k], a, b);
            top = m[k] > top ? m[k] : top;
        }
        for (int k = 0; k < chunks; k++) {
            l_exact += l[k] * exp2((double)(m[k] - top) * (double)c);
            o_exact += o[k] * exp2((double)(m[k] - top) * (double)c);
        }
        int32_t want_m;
        float want_l;
        float want_o;
        merge_of_text(m, l, o, chunks, c, &want_m, &want_l, &want_o);
        ck_assert_int_eq(state.m, want_m);
        ck_assert_int_eq(state.m, top);
        ck_assert_uint_eq(oct_bits(state.l), oct_bits(want_l));
        ck_assert_uint_eq(oct_bits(sum), oct_bits(want_o));
        ck_assert(fabs((double)state.l - l_exact) <= 1e-5 * l_exact);
        ck_assert(fabs((double)sum - o_exact) <= 1e-5 * 65535 * 127 * 64 * chunks);
    }
}
END_TEST

START_TEST(chunk_merge_worked_example)
{
    oct_softmax_state state = {0, 0};
    float a;
    float b;
    oct_merge_chunk(&state, -10, 70000, 0.5f, &a,
                    &b); // the first sets, whatever the sign of its score
    ck_assert_int_eq(state.m, -10);
    ck_assert_float_eq(state.l, 70000.0f);
    ck_assert_float_eq(oct_merge_element(0.0f, -123456, a, b), -123456.0f);
    oct_merge_chunk(&state, -4, 65536, 0.5f, &a, &b); // six higher: the old ones weigh 2^-3
    ck_assert_int_eq(state.m, -4);
    ck_assert_float_eq(a, 0.125f);
    ck_assert_float_eq(b, 1.0f);
    ck_assert_float_eq(state.l, 74286.0f);
    ck_assert_float_eq(oct_merge_element(-123456.0f, 1000, a, b), -14432.0f);
    oct_merge_chunk(&state, -6, 80000, 0.5f, &a, &b); // two lower: the new ones weigh 2^-1
    ck_assert_int_eq(state.m, -4);
    ck_assert_float_eq(a, 1.0f);
    ck_assert_float_eq(b, 0.5f);
    ck_assert_float_eq(state.l, 114286.0f);
    oct_merge_chunk(&state, 1000, 65535, 0.5f, &a, &b); // the old ones vanish
    ck_assert_float_eq(state.l, 65535.0f);
    ck_assert_float_eq(oct_merge_element(5e8f, 7, a, b), 7.0f);
    // s - m stays an exact float for D = 520: 2 * 127 * 127 * 520 < 2^24.
    oct_softmax_state wide = {-127 * 127 * 520, 65535.0f};
    oct_merge_chunk(&wide, 127 * 127 * 520, 65535, 0x1p-24f, &a, &b);
    ck_assert_float_eq(a, oct_exp2_neg(-16774160.0f * 0x1p-24f));
}
END_TEST

// ---- steps (sections 1, 2) ----------------------------------------------------------------------

START_TEST(step_symmetric_worked_examples)
{
    ck_assert_float_eq(oct_step_symmetric(-254.0f, 100.0f), 2.0f);
    ck_assert_float_eq(oct_step_symmetric(-1.0f, 127.0f), 1.0f);
    ck_assert_float_eq(oct_step_symmetric(3.0f, 1.0f), 1.0f / 127.0f);   // min above 0: lo = 0
    ck_assert_float_eq(oct_step_symmetric(-1.0f, -0.5f), 1.0f / 127.0f); // max below 0: hi = 0
    ck_assert_float_eq(oct_step_symmetric(0.0f, 0.0f), 1.0f);
    ck_assert_float_eq(oct_step_symmetric(-0.0f, 0.0f), 1.0f);
    ck_assert_float_eq(oct_step_symmetric(-0x1p-101f, 0x1p-102f), 1.0f); // below 2^-100: 127 / 127
    ck_assert_float_eq(oct_step_symmetric(0.0f, 0x1p-100f), 0x1p-100f / 127.0f); // not below it
    ck_assert(oct_step_symmetric(-0.3f, 0.7f) == (float)((double)0.7f / 127.0));
}
END_TEST

START_TEST(absmax_below_2_to_minus_100_counts_as_127)
{
    ck_assert_float_eq(oct_absmax_or_127(0.0f), 127.0f);
    ck_assert_float_eq(oct_absmax_or_127(0x1p-149f), 127.0f);
    ck_assert_float_eq(oct_absmax_or_127(nextafterf(0x1p-100f, 0)), 127.0f);
    ck_assert_float_eq(oct_absmax_or_127(0x1p-100f), 0x1p-100f);
    ck_assert_float_eq(oct_absmax_or_127(3.5f), 3.5f);
    ck_assert(isfinite(127.0f / oct_absmax_or_127(0x1p-100f)));
    ck_assert(isfinite(1.0f / (oct_absmax_or_127(0x1p-100f) / 127.0f)));
}
END_TEST

START_TEST(step_asymmetric_worked_examples)
{
    static const struct {
        float lo, hi, step;
        int32_t z;
    } rows[] = {
        {-1.0f, 254.0f, 1.0f, -127},
        {0.0f, 255.0f, 1.0f, -128},   // nothing below 0: all codes above
        {-255.0f, 0.0f, 1.0f, 127},   // nothing above
        {-255.0f, -10.0f, 1.0f, 127}, // widened to hold 0
        {10.0f, 510.0f, 2.0f, -128},  // likewise
        {-127.5f, 127.5f, 1.0f, 0},   // -128 + 127.5 = -0.5: a tie goes to even
        {-128.5f, 126.5f, 1.0f, 0},   // 0.5 likewise
        {-126.5f, 128.5f, 1.0f, -2},  // -1.5
        {-0.17f, 0.0f, 0.17f / 255.0f, 127},
        {0.0f, 0.0f, 1.0f, -128},            // a tensor of zeros
        {-0x1p-102f, 0x1p-102f, 1.0f, -128}, // a range below 2^-100 has step 1
        {0.0f, 0x1p-100f, 0x1p-100f / 255.0f, -128},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int32_t z = 999;
        float step = oct_step_asymmetric(rows[i].lo, rows[i].hi, &z);
        ck_assert_msg(step == rows[i].step && z == rows[i].z, "row %zu: step %a, z %d", i,
                      (double)step, z);
    }
}
END_TEST

// From the text, in double where that rounds the same: every value of the range has a code, 0 is
// exact.
START_TEST(step_asymmetric_is_the_text_and_covers_its_range)
{
    uint64_t seed = 9;
    for (int k = 0; k < 20000; k++) {
        float lo = ldexpf(test_uniform(&seed), (int)(test_random(&seed) % 12) - 6);
        float hi = ldexpf(test_uniform(&seed), (int)(test_random(&seed) % 12) - 6);
        float low = fminf(0.0f, lo);
        float high = fmaxf(0.0f, hi);
        float range = high - low;
        int32_t z;
        float step = oct_step_asymmetric(lo, hi, &z);
        float want_step = range < 0x1p-100f ? 1.0f : range / 255.0f;
        float want_z = fminf(fmaxf(rintf(-128.0f - low / want_step), -128.0f), 127.0f);
        if (step != want_step || z != (int32_t)want_z) {
            ck_abort_msg("step_asymmetric(%a, %a): %a, %d", (double)lo, (double)hi, (double)step,
                         z);
        }
        int32_t q_high = oct_requant(high * (1.0f / step), z, -128, 127);
        int32_t q_low = oct_requant(low * (1.0f / step), z, -128, 127);
        if (fabsf((float)(q_high - z) * step - high) > 0.5001f * step + 1e-30f ||
            fabsf((float)(q_low - z) * step - low) > 0.5001f * step + 1e-30f ||
            oct_requant(0.0f, z, -128, 127) != z) {
            ck_abort_msg("codes of [%a, %a]: %d to %d, z %d", (double)lo, (double)hi, q_low, q_high,
                         z);
        }
    }
}
END_TEST

// ---- random numbers (section 6) -----------------------------------------------------------------

// Random123's kat_vectors, lines "philox4x32 10".
START_TEST(philox_gives_the_published_vectors)
{
    static const struct {
        uint32_t ctr[4], key[2], out[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t out[4];
        oct_philox4x32(rows[i].key[0], rows[i].key[1], rows[i].ctr, out);
        for (int k = 0; k < 4; k++) {
            ck_assert_uint_eq(out[k], rows[i].out[k]);
        }
    }
}
END_TEST

// Ten rounds from the paper's definition, on 64-bit words; the result may overwrite the counter.
START_TEST(philox_is_ten_rounds_of_the_definition)
{
    uint64_t seed = 4;
    for (int run = 0; run < 2000; run++) {
        uint64_t key = test_random(&seed);
        uint32_t c[4] = {(uint32_t)test_random(&seed), (uint32_t)run, 0, 0};
        uint32_t got[4] = {c[0], c[1], c[2], c[3]};
        oct_philox4x32((uint32_t)key, (uint32_t)(key >> 32), got, got);
        for (uint32_t round = 0; round < 10; round++) {
            uint32_t k0 = (uint32_t)key + round * 0x9E3779B9u;
            uint32_t k1 = (uint32_t)(key >> 32) + round * 0xBB67AE85u;
            uint64_t left = 0xD2511F53ull * c[0];
            uint64_t right = 0xCD9E8D57ull * c[2];
            uint32_t next[4] = {(uint32_t)(right >> 32) ^ c[1] ^ k0, (uint32_t)right,
                                (uint32_t)(left >> 32) ^ c[3] ^ k1, (uint32_t)left};
            memcpy(c, next, sizeof c);
        }
        ck_assert_mem_eq(got, c, sizeof c);
    }
}
END_TEST

START_TEST(mulhi64_is_the_high_half)
{
    ck_assert_uint_eq(oct_mulhi64(UINT64_MAX, UINT64_MAX), UINT64_MAX - 1);
    ck_assert_uint_eq(oct_mulhi64((uint64_t)1 << 63, 10), 5);
    ck_assert_uint_eq(oct_mulhi64(UINT64_MAX, 1), 0);
    uint64_t seed = 8;
    for (int k = 0; k < 10000; k++) { // schoolbook in 32-bit digits
        uint64_t a = test_random(&seed);
        uint64_t b = test_random(&seed);
        uint64_t a0 = (uint32_t)a;
        uint64_t b0 = (uint32_t)b;
        uint64_t middle = (a0 * b0 >> 32) + (a >> 32) * b0;
        uint64_t other = a0 * (b >> 32) + (uint32_t)middle;
        ck_assert_uint_eq(oct_mulhi64(a, b),
                          (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32));
    }
}
END_TEST

// ---- hashes (sections 1, 9) ---------------------------------------------------------------------

// The published stream of splitmix64 is mix(seed + k * 0x9E3779B97F4A7C15), k = 1, 2, ...
START_TEST(mix_is_the_finalizer_of_splitmix64)
{
    static const uint64_t stream[] = {6457827717110365317u, 3203168211198807973u,
                                      9817491932198370423u, 4593380528125082431u,
                                      16408922859458223821u};
    for (uint64_t k = 0; k < 5; k++) {
        ck_assert_uint_eq(oct_mix(1234567 + (k + 1) * 0x9E3779B97F4A7C15u), stream[k]);
        ck_assert_uint_eq(oct_hash_row(1234567, k), stream[k]);
    }
    ck_assert_uint_eq(oct_mix(0x9E3779B97F4A7C15u), 0xE220A8397B1DCDAFu);
    ck_assert_uint_eq(oct_mix(0), 0);
}
END_TEST

START_TEST(logits_hash_is_the_formula_in_any_order)
{
    enum { N_ROWS = 7, N_LOGITS = 501 };
    float logit[N_ROWS][N_LOGITS];
    uint64_t seed = 12;
    for (int i = 0; i < N_ROWS; i++) {
        for (int n = 0; n < N_LOGITS; n++) {
            logit[i][n] = test_normal(&seed);
        }
    }
    uint64_t forward = 0;
    uint64_t backward = 0;
    uint64_t text = 0;
    for (int i = 0; i < N_ROWS; i++) {
        uint64_t h = 0;
        uint64_t g = 0;
        for (uint32_t n = 0; n < N_LOGITS; n++) {
            h += oct_hash_logit(n, oct_bits(logit[i][n]));
            uint32_t bits;
            memcpy(&bits, &logit[i][n], 4);
            g += oct_mix(((uint64_t)n << 32) + bits);
        }
        forward += oct_hash_row(h, (uint64_t)i);
        text += oct_mix(g + ((uint64_t)i + 1) * 0x9E3779B97F4A7C15u);
    }
    for (int i = N_ROWS - 1; i >= 0; i--) {
        uint64_t h = 0;
        for (uint32_t n = N_LOGITS; n-- > 0;) {
            h += oct_hash_logit(n, oct_bits(logit[i][n]));
        }
        backward += oct_hash_row(h, (uint64_t)i);
    }
    ck_assert_uint_eq(forward, text);
    ck_assert_uint_eq(forward, backward);
    ck_assert_msg(forward == 0xc79bd773c98a9065u, "hash %016llx", (unsigned long long)forward);
    // Places count: two logits or two rows exchanged give other sums.
    ck_assert(oct_hash_logit(0, 1) + oct_hash_logit(1, 2) !=
              oct_hash_logit(0, 2) + oct_hash_logit(1, 1));
    ck_assert(oct_hash_row(1, 0) + oct_hash_row(2, 1) != oct_hash_row(2, 0) + oct_hash_row(1, 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("numerics_orders");
    TCase *tcase = tcase_create("orders");
    tcase_add_loop_test(tcase, row_sums_have_the_order_of_the_text, 0, ROW_SIZES);
    tcase_add_test(tcase, row_sum_data_tell_orders_apart);
    tcase_add_test(tcase, row_sums_of_zeros_and_of_exact_values);
    tcase_add_loop_test(tcase, chunk_merge_is_the_loop_of_the_text, 0, 24);
    tcase_add_test(tcase, chunk_merge_worked_example);
    tcase_add_test(tcase, step_symmetric_worked_examples);
    tcase_add_test(tcase, absmax_below_2_to_minus_100_counts_as_127);
    tcase_add_test(tcase, step_asymmetric_worked_examples);
    tcase_add_test(tcase, step_asymmetric_is_the_text_and_covers_its_range);
    tcase_add_test(tcase, philox_gives_the_published_vectors);
    tcase_add_test(tcase, philox_is_ten_rounds_of_the_definition);
    tcase_add_test(tcase, mulhi64_is_the_high_half);
    tcase_add_test(tcase, mix_is_the_finalizer_of_splitmix64);
    tcase_add_test(tcase, logits_hash_is_the_formula_in_any_order);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
