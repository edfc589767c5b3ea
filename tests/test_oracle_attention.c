// tests: attention, scores, sampling and observers of the plain C oracle against loops written from
// the text of NUMERICS.md sections 5 to 9, on dense arrays.
#include "test_util.h"

#include "octet/backend.h"
#include "octet/numerics.h"

#define BUF(p) ((oct_buf){(oct_mem *)(void *)(p), 0})

enum { S = 300, D = 12, DP = 16, PAGES = 6 };

typedef struct cache {
    int8_t k[S][D], v[S][D];
    int8_t pool[PAGES * 2 * 64 * DP]; // 1 layer, 1 head
    float k_f32[S][D], v_f32[S][D];
    float pool_f32[PAGES * 2 * 64 * DP];
    int32_t table[PAGES];
} cache;

// Pages in the layout of section 5: K [64][Dp], V [16 groups of 4][Dp][4]; F32 as backend.h says.
static void fill_cache(cache *c)
{
    static const int32_t table[PAGES] = {3, 1, 5, 2, 4, 0};
    uint64_t seed = 5;
    memset(c, 0, sizeof *c);
    memcpy(c->table, table, sizeof table);
    for (int j = 0; j < S; j++) {
        size_t block = (size_t)table[j / 64] * 2 * 64 * DP, i = (size_t)(j % 64);
        for (size_t d = 0; d < D; d++) {
            c->k[j][d] = (int8_t)(test_random(&seed) % 255 - 127);
            c->v[j][d] = (int8_t)(test_random(&seed) % 255 - 127);
            c->pool[block + i * DP + d] = c->k[j][d];
            c->pool[block + 64 * DP + (i / 4 * DP + d) * 4 + i % 4] = c->v[j][d];
            c->k_f32[j][d] = test_normal(&seed);
            c->v_f32[j][d] = test_normal(&seed);
            c->pool_f32[block + d * 64 + i] = c->k_f32[j][d];
            c->pool_f32[block + 64 * DP + i * DP + d] = c->v_f32[j][d];
        }
    }
}

START_TEST(attention_w8a8_is_section_5)
{
    static const int positions[] = {0, 1, 63, 64, 127, 128, 129, 255, 256, 299};
    static cache c;
    fill_cache(&c);
    oct_device *device;
    assert_ok(oct_cpu_device_open(&device, 1, "scalar"));
    int32_t position[1] = {positions[_i]}, slot[1] = {0}, zero[1];
    uint64_t seed = 17 + (uint64_t)_i;
    uint16_t q16[D];
    float k_step[D], out_mul[D], tap[D], v_step[D], sigma[1];
    int8_t codes[64];
    for (int d = 0; d < D; d++) {
        q16[d] = oct_half(test_normal(&seed));
        k_step[d] = 0.01f * (1.5f + test_uniform(&seed));
        v_step[d] = 0.02f;
        out_mul[d] = 1.0f + 0.5f * test_uniform(&seed);
    }
    oct_step step = {.n_rows = 1,
                     .max_pages = PAGES,
                     .position = BUF(position),
                     .slot = BUF(slot),
                     .page_table = BUF(c.table)};
    oct_attend_args args = {.step = &step,
                            .q = BUF(q16),
                            .kv = {OCT_FORMAT_W8A8, BUF(c.pool), PAGES, 1, 1, D},
                            .k_step = BUF(k_step),
                            .out_mul = BUF(out_mul),
                            .quant = {OCT_FORMAT_W8A8, false, -127, 127, 0, 0, 0.25f, 4.0f},
                            .out = {BUF(codes), BUF(sigma), BUF(zero)},
                            .tap = {BUF(tap), BUF(v_step)}};
    assert_ok(device->ops->attend(device, &args));

    float scaled[D], a = 0.0f, L = 0.0f, O[D] = {0};
    int q[D], M = 0;
    for (int d = 0; d < D; d++) {
        scaled[d] = oct_half_to_float(q16[d]) * k_step[d];
        a = fabsf(scaled[d]) > a ? fabsf(scaled[d]) : a;
    }
    for (int d = 0; d < D; d++) {
        q[d] = (int)nearbyintf(scaled[d] * (127.0f / a));
    }
    float score_factor = (a / 127.0f) * 0x1.715476p+0f;
    for (int begin = 0; begin <= position[0]; begin += 128) {
        int end = begin + 128 <= position[0] + 1 ? begin + 128 : position[0] + 1;
        int s[128], m = INT32_MIN;
        int64_t l = 0, o[D] = {0};
        for (int j = begin; j < end; j++) {
            s[j - begin] = 0;
            for (int d = 0; d < D; d++) {
                s[j - begin] += q[d] * c.k[j][d];
            }
            m = s[j - begin] > m ? s[j - begin] : m;
        }
        for (int j = begin; j < end; j++) {
            uint32_t p = oct_prob16((float)(s[j - begin] - m), score_factor, -18.0f / score_factor);
            l += p;
            for (int d = 0; d < D; d++) {
                o[d] += (int64_t)p * c.v[j][d];
            }
        }
        if (begin == 0) {
            M = m;
            L = (float)l;
            for (int d = 0; d < D; d++) {
                O[d] = (float)o[d];
            }
            continue;
        }
        int top = M > m ? M : m;
        float A = oct_exp2_neg((float)(M - top) * score_factor);
        float B = oct_exp2_neg((float)(m - top) * score_factor);
        L = fmaf(L, A, (float)l * B);
        for (int d = 0; d < D; d++) {
            O[d] = fmaf(O[d], A, (float)o[d] * B);
        }
        M = top;
    }
    for (int d = 0; d < D; d++) {
        float y = O[d] * (1.0f / L), real = y * v_step[d];
        assert_f32_bits(&tap[d], &real, 1, "tap");
        float scaled_y = (y * out_mul[d]) * (position[0] == 0 ? 0.25f : 1.0f);
        float clamped = fminf(fmaxf(scaled_y, -127.0f), 127.0f);
        ck_assert_int_eq(codes[d], (int)nearbyintf(clamped));
    }
    device->table->close(device);
}
END_TEST

START_TEST(attention_f32_is_section_7)
{
    static cache c;
    fill_cache(&c);
    oct_device *device;
    assert_ok(oct_cpu_device_open(&device, 1, "scalar"));
    int32_t position[1] = {_i * 133}, slot[1] = {0};
    uint64_t seed = 19;
    float q[D], out[16];
    for (int d = 0; d < D; d++) {
        q[d] = test_normal(&seed);
    }
    oct_step step = {.n_rows = 1,
                     .max_pages = PAGES,
                     .position = BUF(position),
                     .slot = BUF(slot),
                     .page_table = BUF(c.table)};
    oct_attend_args args = {.step = &step,
                            .q = BUF(q),
                            .kv = {OCT_FORMAT_F32, BUF(c.pool_f32), PAGES, 1, 1, D},
                            .scale = 0.3f,
                            .quant = {.format = OCT_FORMAT_F32},
                            .out = {.data = BUF(out)}};
    assert_ok(device->ops->attend(device, &args));
    static float s[S];
    float m = -INFINITY, l = 0.0f;
    for (int j = 0; j <= position[0]; j++) {
        float chain = 0.0f;
        for (int d = 0; d < D; d++) {
            chain = fmaf(q[d], c.k_f32[j][d], chain);
        }
        s[j] = chain * 0.3f;
        m = s[j] > m ? s[j] : m;
    }
    for (int j = 0; j <= position[0]; j++) {
        s[j] = oct_exp_neg(s[j] - m);
        l = l + s[j];
    }
    for (int d = 0; d < D; d++) {
        float o = 0.0f;
        for (int j = 0; j <= position[0]; j++) {
            o = fmaf(s[j], c.v_f32[j][d], o);
        }
        o = o / l;
        assert_f32_bits(&out[d], &o, 1, "y");
    }
    device->table->close(device);
}
END_TEST

START_TEST(score_is_sections_6_and_9)
{
    enum { R = 4, V = 501 };
    static float logits[R][V];
    oct_device *device;
    assert_ok(oct_cpu_device_open(&device, 1, "scalar"));
    uint64_t seed = 23, hash = 0;
    int64_t index[R] = {0, 1, 2, 70000}, total = 0;
    int32_t target[R] = {5, 500, -1, 0}, slot[R] = {0, 0, 0, 0};
    for (int i = 0; i < R * V; i++) {
        logits[i / V][i % V] = 4.0f * test_normal(&seed);
    }
    oct_step step = {
        .n_logits = R, .target = BUF(target), .logit_slot = BUF(slot), .index = BUF(index)};
    oct_score_sums sums[1] = {{100, 7, 1}};
    float nll[R];
    oct_score_args args = {&step, V, BUF(logits), BUF(sums), BUF(nll)};
    assert_ok(device->ops->score(device, &args));
    for (int r = 0; r < R; r++) {
        if (target[r] < 0) {
            ck_assert_float_eq(nll[r], 0.0f);
            continue;
        }
        double max = -1e30, exact = 0.0;
        uint64_t weights = 0, h = 0;
        for (int n = 0; n < V; n++) {
            max = fmax(max, (double)logits[r][n]);
        }
        for (int n = 0; n < V; n++) {
            exact += exp((double)logits[r][n] - max);
            float e = (logits[r][n] - (float)max) * 0x1.715476p+0f;
            weights += (uint64_t)llrint((double)oct_exp2_neg(e) * 0x1p30);
            uint32_t bits;
            memcpy(&bits, &logits[r][n], 4);
            h += oct_mix((uint64_t)n << 32 | bits);
        }
        float want = ((float)max - logits[r][target[r]]) + oct_ln((float)weights * 0x1p-30f);
        assert_f32_bits(&nll[r], &want, 1, "nll");
        double truth = max - (double)logits[r][target[r]] + log(exact);
        ck_assert_double_eq_tol((double)nll[r], truth, 2e-6 * fabs(truth) + 1e-6);
        total += llrint((double)want * 0x1p32);
        hash += oct_mix(h + ((uint64_t)index[r] + 1) * 0x9E3779B97F4A7C15u);
    }
    ck_assert_int_eq(sums[0].nll, 100 + total);
    ck_assert_uint_eq(sums[0].hash, 7 + hash);
    ck_assert_int_eq(sums[0].count, 1 + 3);
    device->table->close(device);
}
END_TEST

typedef struct ranked {
    float logit;
    int32_t id;
} ranked;

static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit ? 1 : -1)
                                : (x->id > y->id) - (x->id < y->id);
}

enum { V = 257 };

// Section 6 on a fully sorted list.
static int32_t draw_by_text(const float *logits, const oct_sampling *o, int32_t position,
                            const int32_t *history, int n_history)
{
    ranked r[V];
    for (int n = 0; n < V; n++) {
        bool seen = false;
        for (int i = 0; i < n_history; i++) {
            seen = seen || history[i] == n;
        }
        float x = logits[n], p = o->repetition_penalty;
        r[n] = (ranked){!seen ? x : x < 0.0f ? x * p : x / p, n};
    }
    qsort(r, V, sizeof r[0], by_rank);
    if (o->temperature == 0.0f) {
        return r[0].id;
    }
    int n = o->top_k > 0 && o->top_k < V ? o->top_k : V;
    uint64_t w[V], sum = 0, prefix = 0;
    for (int i = 0; i < n; i++) {
        float e = (r[i].logit - r[0].logit) * (0x1.715476p+0f / o->temperature);
        w[i] = (uint64_t)llrint((double)oct_exp2_neg(e) * 0x1p30);
        sum += w[i];
    }
    int kept = 0;
    while (kept < n && (kept == 0 || (double)prefix < ceil(o->top_p * (double)sum))) {
        prefix += w[kept++];
    }
    n = o->top_p < 1.0 ? kept : n;
    while (n > 1 && (double)w[n - 1] < o->min_p * 0x1p30) {
        n--;
    }
    sum = 0;
    for (int i = 0; i < n; i++) {
        sum += w[i];
    }
    uint32_t counter[4] = {(uint32_t)position + 1, (uint32_t)o->choice, 0, 0}, word[4];
    oct_philox4x32((uint32_t)o->seed, (uint32_t)(o->seed >> 32), counter, word);
    uint64_t u = word[0] | (uint64_t)word[1] << 32;
    uint64_t at = (uint64_t)(((unsigned __int128)u * sum) >> 64);
    prefix = 0;
    for (int i = 0; i < n; i++) {
        prefix += w[i];
        if (prefix > at) {
            return r[i].id;
        }
    }
    return -1;
}

START_TEST(sampling_is_section_6)
{
    static const oct_sampling options[] = {
        {0.0f, 1.0f, 0, 0, 1.0, 0.0, 9},  {0.0f, 1.5f, 0, 0, 1.0, 0.0, 9},
        {1.0f, 1.0f, 0, 0, 1.0, 0.0, 9},  {0.8f, 1.2f, 30, 0, 1.0, 0.0, 9},
        {1.3f, 1.0f, 0, 3, 0.9, 0.0, 9},  {1.0f, 1.0f, 0, 0, 1.0, 0.2, 9},
        {1.0f, 1.1f, 40, 0, 0.7, 0.1, 1}, {5.0f, 1.0f, 1, 0, 1.0, 0.0, 9},
        {1.0f, 1.0f, 0, 0, 1e-9, 0.0, 9}, {1.0f, 1.0f, 500, 0, 1.0, 1.0, 9},
    };
    const oct_sampling *o = &options[_i];
    oct_device *device;
    assert_ok(oct_cpu_device_open(&device, 1, "scalar"));
    uint64_t seed = 29 + (uint64_t)_i;
    static float logits[V];
    static ranked scratch[V];
    int32_t history[6] = {1, 5, 9, 9, 100, 256}, n_history[1] = {6}, token[1];
    int32_t zero[1] = {0}, one[1] = {1}, position[1];
    oct_sampling sampling[1] = {*o};
    for (int trial = 0; trial < 300; trial++) {
        for (int n = 0; n < V; n++) {
            logits[n] = (float)(int)(test_normal(&seed) * 12.0f) * 0.25f; // many ties
        }
        position[0] = trial;
        oct_step step = {.n_rows = 1,
                         .n_logits = 1,
                         .position = BUF(position),
                         .logit_row = BUF(zero),
                         .logit_slot = BUF(zero),
                         .sample = BUF(one),
                         .sampling = BUF(sampling),
                         .history = BUF(history),
                         .n_history = BUF(n_history),
                         .max_history = 6};
        oct_sample_args args = {&step, V, BUF(logits), BUF(scratch), BUF(token)};
        assert_ok(device->ops->sample(device, &args));
        ck_assert_int_eq(token[0], draw_by_text(logits, o, trial, history, 6));
    }
    device->table->close(device);
}
END_TEST

START_TEST(observers_count_by_position)
{
    enum { T = 6, C = 5 };
    oct_device *device;
    assert_ok(oct_cpu_device_open(&device, 1, "scalar"));
    float x[T][C] = {{9, -8, 1, 0, 2},    {1, -1, 3, -7, 0.5f},  {2, 2, -3, 4, 0},
                     {0, 0, 0, 0, -5.5f}, {100, 100, 100, 9, 9}, {-1, 6, 0, 0, 0}};
    float min_0[C] = {0}, max_0[C] = {0}, min[C] = {0}, max[C] = {0}, top[3] = {0}, kept[2][C];
    float cs[C] = {1, 2, 1, 1, 0.5f};
    int32_t position[T] = {0, 1, 2, 3, -1, 4}, map[T] = {-1, 1, -1, -1, -1, 0};
    static uint64_t bins[2048];
    int64_t moments[3] = {0};
    oct_step step = {.n_rows = T, .position = BUF(position)};
    oct_observe_args args = {.step = &step,
                             .n_rows = T,
                             .cols = C,
                             .x = BUF(x),
                             .min_0 = BUF(min_0),
                             .max_0 = BUF(max_0),
                             .min = BUF(min),
                             .max = BUF(max),
                             .bucket_absmax = BUF(top),
                             .bins = BUF(bins),
                             .column_factors = BUF(cs),
                             .absmax = 11.0f,
                             .moments = BUF(moments),
                             .moment_mul = 4.0f,
                             .row_map = BUF(map),
                             .rows_out = BUF(kept)};
    assert_ok(device->ops->observe(device, &args));
    const float want_min[C] = {-1, -1, -3, -7, -5.5f}, want_max[C] = {2, 6, 3, 4, 0.5f};
    const float want_min_0[C] = {0, -8, 0, 0, 0}, want_max_0[C] = {9, 0, 1, 0, 2};
    const float want_top[3] = {9, 7, 6};
    ck_assert_mem_eq(min, want_min, sizeof min);
    ck_assert_mem_eq(max, want_max, sizeof max);
    ck_assert_mem_eq(min_0, want_min_0, sizeof min_0);
    ck_assert_mem_eq(max_0, want_max_0, sizeof max_0);
    ck_assert_mem_eq(top, want_top, sizeof top);
    ck_assert_mem_eq(kept[0], x[5], sizeof x[5]);
    ck_assert_mem_eq(kept[1], x[1], sizeof x[1]);
    uint64_t want_bins[2048] = {0}, count = 0;
    int64_t sum = 0, squares = 0;
    for (int t = 0; t < T; t++) {
        for (int c = 0; c < C && position[t] >= 0; c++) {
            int64_t v = llrintf(x[t][c] * 4.0f);
            sum += v;
            squares += v * v;
            count++;
            int bin = (int)(fabsf(x[t][c] / cs[c]) * (2048.0f / 11.0f));
            if (position[t] >= 1) {
                want_bins[bin > 2047 ? 2047 : bin]++;
            }
        }
    }
    ck_assert_mem_eq(bins, want_bins, sizeof bins);
    ck_assert_int_eq(moments[0], sum);
    ck_assert_int_eq(moments[1], squares);
    ck_assert_uint_eq((uint64_t)moments[2], count);
    device->table->close(device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("oracle_attention");
    TCase *tcase = tcase_create("oracle_attention");
    tcase_add_loop_test(tcase, attention_w8a8_is_section_5, 0, 10);
    tcase_add_loop_test(tcase, attention_f32_is_section_7, 0, 3);
    tcase_add_test(tcase, score_is_sections_6_and_9);
    tcase_add_loop_test(tcase, sampling_is_section_6, 0, 10);
    tcase_add_test(tcase, observers_count_by_position);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
