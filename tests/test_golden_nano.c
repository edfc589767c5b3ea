// tests: every intermediate of gpt-nano-sort against the activations that llm-viz recorded from
// PyTorch.
#include "test_util.h"

#include "infer/batch.h"

#include <jansson.h>

#define NANO SRC("tests/golden/gpt-nano-sort")

enum { N_SEQUENCES = 3, LENGTH = 11, C = 48, H = 3, D = 16 };

// base64 of little-endian floats, as reference_activations.json has them. *n floats, owned.
static float *load_tensor(const json_t *root, const char *name, size_t *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *text = json_string_value(json_object_get(json_object_get(root, name), "data"));
    ck_assert_msg(text != NULL, "no tensor %s", name);
    size_t groups = strlen(text) / 4, n_bytes = 0;
    unsigned char *out = malloc(groups * 3);
    for (size_t g = 0; g < groups; g++) {
        uint32_t v = 0;
        int pad = 0;
        for (size_t i = 0; i < 4; i++) {
            char c = text[4 * g + i];
            pad += c == '=';
            v = v << 6 | (c == '=' ? 0u : (uint32_t)(strchr(digits, c) - digits));
        }
        for (int i = 0; i < 3 - pad; i++) {
            out[n_bytes++] = (unsigned char)(v >> (16 - 8 * i));
        }
    }
    *n = n_bytes / sizeof(float);
    return (float *)(void *)out;
}

typedef struct capture {
    oct_device *device;
    json_t *reference;
    oct_buf room;   // for two of the largest taps
    int sequence;   // which of the three runs
    int n_compared; // taps
    double worst;   // largest difference so far, relative to max(1, |value|)
} capture;

static oct_buf want_tap(void *user, const char *name, int32_t layer, int32_t rows, int32_t cols)
{
    (void)layer;
    ck_assert_int_le(rows * cols, LENGTH * 192);
    oct_buf room = ((capture *)user)->room;
    // One op writes "c_fc" and "act": they need a place each.
    room.offset += strcmp(name, "act") == 0 ? LENGTH * 192 * sizeof(float) : 0;
    return room;
}

static void compare(capture *c, const char *tensor, const float *got, int32_t rows, int32_t cols)
{
    size_t n;
    float *want = load_tensor(c->reference, tensor, &n);
    ck_assert_uint_eq(n, (size_t)N_SEQUENCES * (size_t)rows * (size_t)cols);
    const float *mine = want + (size_t)c->sequence * (size_t)rows * (size_t)cols;
    for (int32_t i = 0; i < rows * cols; i++) {
        double e = fabs((double)got[i] - (double)mine[i]) / fmax(1.0, fabs((double)mine[i]));
        c->worst = e > c->worst ? e : c->worst;
        ck_assert_msg(e <= 1e-5, "%s[%d][%d] of sequence %d: got %.8g, expected %.8g", tensor,
                      i / cols, i % cols, c->sequence, (double)got[i], (double)mine[i]);
    }
    c->n_compared++;
    free(want);
}

// c_attn's output as llm-viz lays q, k and v out: [H][T][D].
static void compare_heads(capture *c, const char *tensor, const float *qkv, int32_t part)
{
    float heads[H][LENGTH][D];
    for (int32_t i = 0; i < H * LENGTH * D; i++) {
        int32_t h = i / (LENGTH * D), t = i / D % LENGTH, d = i % D;
        heads[h][t][d] = qkv[t * 3 * C + part * C + h * D + d];
    }
    compare(c, tensor, &heads[0][0][0], H * LENGTH, D);
}

static oct_status tap_is_ready(void *user, const char *name, int32_t layer, oct_buf value,
                               int32_t rows, int32_t cols)
{
    static const char *const tensors[][2] = {
        {"ln_1", "ln1"},          {"attn", "y"},
        {"attn.c_proj", "yProj"}, {"attn_residual", "attnResid"},
        {"ln_2", "ln2"},          {"c_fc", "fc"},
        {"act", "gelu"},          {"mlp.c_proj", "mlp"},
        {"block", "mlpResid"},
    };
    capture *c = user;
    float got[LENGTH * 192];
    assert_ok(c->device->table->download(c->device, got, value,
                                         (size_t)rows * (size_t)cols * sizeof(float)));
    if (strcmp(name, "embed") == 0) {
        compare(c, "x", got, rows, cols);
    } else if (strcmp(name, "ln_f") == 0) {
        compare(c, "ln_f", got, rows, cols);
    } else if (strcmp(name, "logits") == 0) {
        compare(c, "lm_head", got, rows, cols);
    } else if (strcmp(name, "block") == 0 && layer > 0) {
        compare(c, layer == 1 ? "block1" : "block2", got, rows, cols);
    }
    if (layer != 0) {
        return OCT_OK;
    }
    if (strcmp(name, "c_attn") == 0) {
        compare_heads(c, "q", got, 0);
        compare_heads(c, "k", got, 1);
        compare_heads(c, "v", got, 2);
    }
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        if (strcmp(name, tensors[i][0]) == 0) {
            compare(c, tensors[i][1], got, rows, cols);
        }
    }
    return OCT_OK;
}

START_TEST(nano_sort_intermediates_agree_within_1e_5)
{
    oct_device *device;
    oct_engine *engine;
    oct_batch *batch;
    assert_ok(oct_device_open(&device, NULL));
    assert_ok(oct_engine_open(&engine, device, NANO));
    oct_batch_options options = OCT_BATCH_OPTIONS_INIT;
    options.max_logits = LENGTH;
    options.max_rows = LENGTH;
    assert_ok(oct_batch_open(&batch, engine, &options));
    json_error_t error;
    capture c = {.device = device,
                 .reference = json_load_file(NANO "/reference_activations.json", 0, &error)};
    ck_assert_msg(c.reference != NULL, "%s", error.text);
    assert_ok(device->table->alloc(device, 2 * LENGTH * 192 * sizeof(float), &c.room));
    oct_tap_sink sink = {&c, want_tap, tap_is_ready};
    batch->sink = &sink;
    size_t n;
    float *idx = load_tensor(c.reference, "idx", &n);
    ck_assert_uint_eq(n, N_SEQUENCES * LENGTH);
    for (c.sequence = 0; c.sequence < N_SEQUENCES; c.sequence++) {
        int32_t ids[LENGTH];
        for (int i = 0; i < LENGTH; i++) {
            ids[i] = (int32_t)idx[c.sequence * LENGTH + i];
        }
        oct_request request = OCT_REQUEST_INIT;
        request.ids = ids;
        request.n_ids = LENGTH;
        request.all_logits = true;
        oct_session *session;
        assert_ok(oct_batch_submit(batch, &request, &session));
        bool busy;
        assert_ok(oct_batch_step(batch, &busy));
        ck_assert(!busy);
    }
    ck_assert_int_eq(c.n_compared, N_SEQUENCES * (3 + 2 + 3 + 9));
    printf("worst difference %.3g\n", c.worst);
    free(idx);
    json_decref(c.reference);
    device->table->free(device, c.room);
    oct_batch_close(batch);
    oct_engine_close(engine);
    oct_device_close(device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("golden_nano");
    TCase *tcase = tcase_create("golden_nano");
    tcase_add_test(tcase, nano_sort_intermediates_agree_within_1e_5);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
