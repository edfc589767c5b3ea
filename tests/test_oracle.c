// tests: the plain C oracle against loops written from the text of NUMERICS.md, on dense arrays and
// without the backend's packing, paging or row helpers. (The elementary functions have their own
// suite, test_numerics.)
#include "test_util.h"

#include "octet/backend.h"
#include "octet/numerics.h"

// On the CPU a buffer is an address.
#define BUF(p) ((oct_buf){(oct_mem *)(void *)(p), 0})

static oct_device *oracle(void)
{
    oct_device *device;
    assert_ok(oct_cpu_device_open(&device, 1, "scalar"));
    return device;
}

static oct_buf packed(oct_device *device, oct_format format, int32_t n, int32_t k, const void *w)
{
    oct_buf buf;
    assert_ok(device->table->alloc(device, device->ops->linear_bytes(device, format, n, k), &buf));
    assert_ok(device->ops->linear_pack(device, buf, format, n, k, w));
    return buf;
}

// rint(clampf(y, lo - z, hi - z)) + z, section 2, by libm.
static int requant_by_text(float y, int z, int lo, int hi)
{
    float a = (float)(lo - z), b = (float)(hi - z);
    float t = y > a ? y : a;
    t = t < b ? t : b;
    return (int)nearbyintf(t) + z;
}

static float half_by_text(float x)
{
    float t = x > -65504.0f ? x : -65504.0f;
    t = t < 65504.0f ? t : 65504.0f;
    return oct_half_to_float(oct_half(t));
}

enum { T = 3, K = 40, N = 21, STRIDE = 64 };

typedef struct linear_data {
    int8_t x[T][STRIDE], w[N][K];
    float sigma[T], mul[N], bias[N], act_mul[N], residual[T][N];
    int32_t zero[T], colsum[N], position[T];
} linear_data;

static void fill_linear(linear_data *d)
{
    uint64_t seed = 7;
    memset(d, 0, sizeof *d);
    for (int t = 0; t < T; t++) {
        d->position[t] = t;
        d->sigma[t] = t == 0 ? 2.5f : 1.0f;
        d->zero[t] = t == 0 ? 31 : -117;
        for (int k = 0; k < K; k++) {
            d->x[t][k] = (int8_t)(test_random(&seed) % 256 - 128);
        }
        for (int n = 0; n < N; n++) {
            d->residual[t][n] = test_normal(&seed);
        }
    }
    for (int n = 0; n < N; n++) {
        d->mul[n] = 1e-4f * (1.5f + test_uniform(&seed));
        d->bias[n] = test_normal(&seed);
        d->act_mul[n] = 20.0f * (1.5f + test_uniform(&seed));
        for (int k = 0; k < K; k++) {
            d->w[n][k] = (int8_t)(test_random(&seed) % 255 - 127);
            d->colsum[n] += d->w[n][k];
        }
    }
}

// Section 3, from real zero-point arithmetic: sum (q - z) * w.
static float y_by_text(const linear_data *d, int t, int n, bool logits, bool bias)
{
    int64_t acc = 0;
    for (int k = 0; k < K; k++) {
        acc += (int64_t)(d->x[t][k] - d->zero[t]) * d->w[n][k];
    }
    float m = d->mul[n] * d->sigma[t];
    if (logits) {
        float y = (float)acc * m;
        return bias ? y + d->bias[n] : y;
    }
    return fmaf((float)acc, m, d->bias[n]);
}

START_TEST(linear_w8a8_is_section_3)
{
    oct_device *device = oracle();
    static linear_data d;
    fill_linear(&d);
    oct_linear w = {
        OCT_FORMAT_W8A8, N,          K, packed(device, OCT_FORMAT_W8A8, N, K, d.w), BUF(d.mul),
        BUF(d.colsum),   BUF(d.bias)};
    oct_step step = {.n_rows = T, .position = BUF(d.position)};
    float out[T][N], tap[T][N];
    oct_linear_args args = {.step = &step,
                            .n_rows = T,
                            .linear = &w,
                            .in = {BUF(d.x), BUF(d.sigma), BUF(d.zero)},
                            .epilogue = OCT_EPILOGUE_STORE,
                            .out = BUF(out)};
    assert_ok(device->ops->linear(device, &args));
    for (int i = 0; i < T * N; i++) {
        float want = y_by_text(&d, i / N, i % N, true, true);
        assert_f32_bits(&out[i / N][i % N], &want, 1, "logit");
    }
    w.bias = (oct_buf){0};
    assert_ok(device->ops->linear(device, &args));
    for (int i = 0; i < T * N; i++) {
        float want = y_by_text(&d, i / N, i % N, true, false);
        assert_f32_bits(&out[i / N][i % N], &want, 1, "logit without bias");
    }
    w.bias = BUF(d.bias);
    args.epilogue = OCT_EPILOGUE_RESIDUAL;
    args.tap.out = BUF(tap);
    memcpy(out, d.residual, sizeof out);
    assert_ok(device->ops->linear(device, &args));
    for (int i = 0; i < T * N; i++) {
        float y = y_by_text(&d, i / N, i % N, false, true);
        float want = d.residual[i / N][i % N] + half_by_text(y);
        assert_f32_bits(&tap[i / N][i % N], &y, 1, "tap");
        assert_f32_bits(&out[i / N][i % N], &want, 1, "residual");
    }
    device->table->free(device, w.weight);
    device->table->close(device);
}
END_TEST

START_TEST(gelu_epilogue_is_sections_2_3_and_4)
{
    oct_device *device = oracle();
    static linear_data d;
    fill_linear(&d);
    oct_linear w = {
        OCT_FORMAT_W8A8, N,          K, packed(device, OCT_FORMAT_W8A8, N, K, d.w), BUF(d.mul),
        BUF(d.colsum),   BUF(d.bias)};
    oct_step step = {.n_rows = T, .position = BUF(d.position)};
    int8_t codes[T][STRIDE];
    float sigma[T], waiting[T][N];
    int32_t zero[T];
    bool dynamic = _i == 1;
    oct_quant quant = {OCT_FORMAT_W8A8, dynamic, -128, 127, -100, 5, 0.375f, 2.625f};
    if (dynamic) {
        quant.lo = -127;
    }
    oct_linear_args args = {.step = &step,
                            .n_rows = T,
                            .linear = &w,
                            .in = {BUF(d.x), BUF(d.sigma), BUF(d.zero)},
                            .epilogue = OCT_EPILOGUE_GELU,
                            .act = {BUF(codes), BUF(sigma), BUF(zero)},
                            .quant = quant,
                            .act_mul = BUF(d.act_mul),
                            .activation = OCT_ACTIVATION_GELU_NEW,
                            .waiting = BUF(waiting)};
    assert_ok(device->ops->linear(device, &args));
    for (int t = 0; t < T; t++) {
        float v[N], a = 0.0f;
        for (int n = 0; n < N; n++) {
            float y16 = half_by_text(y_by_text(&d, t, n, false, true));
            v[n] = oct_gelu_new16(y16) * d.act_mul[n];
            a = fabsf(v[n]) > a ? fabsf(v[n]) : a;
        }
        float rho = dynamic ? 127.0f / a : t == 0 ? 0.375f : 1.0f;
        float want_sigma = dynamic ? a / 127.0f : t == 0 ? 2.625f : 1.0f;
        int z = dynamic ? 0 : t == 0 ? 5 : -100;
        assert_f32_bits(&sigma[t], &want_sigma, 1, "sigma");
        ck_assert_int_eq(zero[t], z);
        for (int n = 0; n < N; n++) {
            ck_assert_int_eq(codes[t][n], requant_by_text(v[n] * rho, z, quant.lo, 127));
        }
    }
    device->table->free(device, w.weight);
    device->table->close(device);
}
END_TEST

START_TEST(linear_f32_is_one_fma_chain_in_ascending_k)
{
    oct_device *device = oracle();
    uint64_t seed = 3;
    float x[T][48] = {{0}}, w[N][K], bias[N], out[T][N];
    for (int i = 0; i < T * K; i++) {
        x[i / K][i % K] = test_normal(&seed);
    }
    for (int i = 0; i < N * K; i++) {
        w[i / K][i % K] = test_normal(&seed);
        bias[i / K] = test_normal(&seed);
    }
    oct_linear linear = {OCT_FORMAT_F32, N, K, packed(device, OCT_FORMAT_F32, N, K, w), {0}, {0},
                         BUF(bias)};
    oct_step step = {.n_rows = T};
    oct_linear_args args = {.step = &step,
                            .n_rows = T,
                            .linear = &linear,
                            .in = {.data = BUF(x)},
                            .epilogue = OCT_EPILOGUE_STORE,
                            .out = BUF(out)};
    assert_ok(device->ops->linear(device, &args));
    for (int t = 0; t < T; t++) {
        for (int n = 0; n < N; n++) {
            float y = 0.0f;
            for (int k = 0; k < K; k++) {
                y = fmaf(x[t][k], w[n][k], y);
            }
            y = y + bias[n];
            assert_f32_bits(&out[t][n], &y, 1, "y");
        }
    }
    device->table->free(device, linear.weight);
    device->table->close(device);
}
END_TEST

// Accumulator j adds elements j, j + 128, ...; then fours, then halves (section 4).
static float sum_by_text(const float *v, int n)
{
    float acc[128];
    for (int j = 0; j < 128; j++) {
        acc[j] = 0.0f;
        for (int i = j; i < n; i += 128) {
            acc[j] = acc[j] + v[i];
        }
    }
    float level[32];
    for (int i = 0; i < 32; i++) {
        level[i] = (acc[4 * i] + acc[4 * i + 1]) + (acc[4 * i + 2] + acc[4 * i + 3]);
    }
    for (int h = 16; h > 0; h >>= 1) {
        for (int i = 0; i < h; i++) {
            level[i] = level[i] + level[i + h];
        }
    }
    return level[0];
}

START_TEST(norm_is_section_4_and_gathers_rows)
{
    enum { C = 300, CS = 320 };
    oct_device *device = oracle();
    uint64_t seed = 11;
    float x[T][C], G[C], B[C], sigma[2];
    int8_t codes[2][CS];
    int32_t zero[2], rows[2] = {2, 0}, position[T] = {0, 1, 2};
    for (int i = 0; i < T * C; i++) {
        x[i / C][i % C] = test_normal(&seed) * 3.0f + 1.0f;
        G[i % C] = 40.0f + 10.0f * test_uniform(&seed);
        B[i % C] = 5.0f * test_uniform(&seed);
    }
    oct_step step = {.n_rows = T, .position = BUF(position)};
    oct_norm_args args = {.step = &step,
                          .n_rows = 2,
                          .rows = BUF(rows),
                          .cols = C,
                          .x = BUF(x),
                          .G = BUF(G),
                          .B = BUF(B),
                          .eps = 1e-5f,
                          .quant = {OCT_FORMAT_W8A8, false, -127, 127, 0, 0, 0.5f, 2.0f},
                          .out = {BUF(codes), BUF(sigma), BUF(zero)}};
    assert_ok(device->ops->norm(device, &args));
    for (int i = 0; i < 2; i++) {
        const float *row = x[rows[i]];
        float squares[128] = {0}, mean = sum_by_text(row, C) / (float)C;
        for (int c = 0; c < C; c++) {
            float dev = row[c] - mean;
            squares[c % 128] = fmaf(dev, dev, squares[c % 128]);
        }
        float rstd = 1.0f / sqrtf(sum_by_text(squares, 128) / (float)C + 1e-5f);
        float rho = rows[i] == 0 ? 0.5f : 1.0f;
        ck_assert_float_eq(sigma[i], rows[i] == 0 ? 2.0f : 1.0f);
        for (int c = 0; c < C; c++) {
            float y = fmaf((row[c] - mean) * rstd, G[c], B[c]);
            ck_assert_int_eq(codes[i][c], requant_by_text(y * rho, 0, -127, 127));
        }
    }
    device->table->close(device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("oracle");
    TCase *tcase = tcase_create("oracle");
    tcase_add_test(tcase, linear_w8a8_is_section_3);
    tcase_add_loop_test(tcase, gelu_epilogue_is_sections_2_3_and_4, 0, 2);
    tcase_add_test(tcase, linear_f32_is_one_fma_chain_in_ascending_k);
    tcase_add_test(tcase, norm_is_section_4_and_gathers_rows);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
