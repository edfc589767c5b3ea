// tests: operands of each op from a seed, and everything it wrote.
#include "op_runner.h"

#include "test_util.h"

#include "octet/numerics.h"

#define MAX_BUFFERS 48

// The buffers of one run; all freed together.
typedef struct rig {
    oct_device *device;
    uint64_t seed;
    oct_buf owned[MAX_BUFFERS];
    int n_owned;
} rig;

static void rig_close(rig *r)
{
    for (int i = 0; i < r->n_owned; i++) {
        r->device->table->free(r->device, r->owned[i]);
    }
}

static oct_buf room(rig *r, size_t bytes)
{
    oct_buf buf;
    ck_assert_int_lt(r->n_owned, MAX_BUFFERS);
    assert_ok(r->device->table->alloc(r->device, bytes, &buf));
    r->owned[r->n_owned++] = buf;
    return buf;
}

static oct_buf put(rig *r, const void *src, size_t bytes)
{
    oct_buf buf = room(r, bytes);
    assert_ok(r->device->table->upload(r->device, buf, src, bytes));
    return buf;
}

// [rows][cols] floats: row 1 zero, row 2 with one huge outlier, the rest normal times `scale`.
static oct_buf put_rows(rig *r, int32_t rows, int32_t cols, float scale)
{
    size_t n = (size_t)rows * (size_t)cols;
    float *x = malloc(n * sizeof *x + 1);
    for (size_t i = 0; i < n; i++) {
        size_t row = i / (size_t)cols;
        x[i] = row == 1 ? 0.0f : test_normal(&r->seed) * scale;
    }
    if (rows > 2) {
        x[2 * (size_t)cols + (size_t)cols / 2] = -3000.0f * scale;
    }
    oct_buf buf = put(r, x, n * sizeof *x);
    free(x);
    return buf;
}

// [n] positive factors around `middle`.
static oct_buf put_factors(rig *r, int32_t n, float middle)
{
    float *x = malloc((size_t)n * sizeof *x);
    for (int32_t i = 0; i < n; i++) {
        x[i] = middle * (1.0f + 0.5f * test_uniform(&r->seed));
    }
    oct_buf buf = put(r, x, (size_t)n * sizeof *x);
    free(x);
    return buf;
}

static void take(rig *r, op_outputs *out, const char *name, oct_buf buf, size_t count, size_t cell)
{
    ck_assert_int_lt(out->n, OP_MAX_OUTPUTS);
    op_output *o = &out->item[out->n++];
    snprintf(o->name, sizeof o->name, "%s", name);
    o->bytes = count * cell;
    o->cell = cell;
    o->data = malloc(o->bytes + 1);
    assert_ok(r->device->table->download(r->device, o->data, buf, o->bytes));
}

void op_outputs_free(op_outputs *outputs)
{
    for (int i = 0; i < outputs->n; i++) {
        free(outputs->item[i].data);
    }
    outputs->n = 0;
}

const void *op_output_find(const op_outputs *outputs, const char *name)
{
    for (int i = 0; i < outputs->n; i++) {
        if (strcmp(outputs->item[i].name, name) == 0) {
            return outputs->item[i].data;
        }
    }
    ck_abort_msg("no output %s", name);
    return NULL;
}

void assert_outputs_equal(const op_outputs *got, const op_outputs *want, const char *label)
{
    ck_assert_int_eq(got->n, want->n);
    for (int i = 0; i < got->n; i++) {
        const op_output *g = &got->item[i], *w = &want->item[i];
        ck_assert_uint_eq(g->bytes, w->bytes);
        if (memcmp(g->data, w->data, g->bytes) == 0) {
            continue;
        }
        for (size_t b = 0; b < g->bytes; b++) {
            int a = ((const unsigned char *)g->data)[b], e = ((const unsigned char *)w->data)[b];
            ck_assert_msg(a == e, "%s: %s[%zu] byte %zu: got %02x, expected %02x", label, g->name,
                          b / g->cell, b % g->cell, a, e);
        }
    }
}

// A step of one sequence on slot 1 (slot 0 stays empty), its pages in scattered order.
static oct_step put_step(rig *r, const op_case *c)
{
    enum { MAX_PAGES = 64 };
    int32_t rows = c->rows, *position = calloc((size_t)rows, 4), *slot = calloc((size_t)rows, 4);
    int32_t table[2 * MAX_PAGES] = {0}, *id = calloc((size_t)rows, 4);
    for (int32_t t = 0; t < rows; t++) {
        position[t] = c->padding && t == rows - 1 ? -1 : c->first_position + t;
        slot[t] = position[t] < 0 ? 0 : 1;
        id[t] = (int32_t)(test_random(&r->seed) % (uint64_t)c->n);
    }
    for (int32_t i = 0; i < MAX_PAGES; i++) {
        table[MAX_PAGES + i] = 1 + (i * 7) % MAX_PAGES;
    }
    oct_step step = {
        .n_rows = rows,
        .max_pages = MAX_PAGES,
        .id = put(r, id, (size_t)rows * 4),
        .position = put(r, position, (size_t)rows * 4),
        .slot = put(r, slot, (size_t)rows * 4),
        .page_table = put(r, table, sizeof table),
    };
    free(position);
    free(slot);
    free(id);
    return step;
}

static oct_quant quant_for(const op_case *c)
{
    return (oct_quant){
        .format = c->format,
        .dynamic = c->dynamic,
        .lo = c->asymmetric ? -128 : -127,
        .hi = 127,
        .zero = c->asymmetric ? -117 : 0,
        .zero_0 = c->asymmetric ? 31 : 0,
        .rho_0 = 0.3125f,
        .sigma_0 = 3.2f,
    };
}

static oct_act act_room(rig *r, oct_format format, int32_t rows, int32_t cols)
{
    return (oct_act){
        .data = room(r, (size_t)rows * oct_act_stride(format, cols)),
        .row_step = room(r, (size_t)rows * 4),
        .row_zero = room(r, (size_t)rows * 4),
    };
}

static void take_act(rig *r, op_outputs *out, oct_format format, oct_act act, int32_t rows,
                     int32_t cols)
{
    size_t cell = format == OCT_FORMAT_F32 ? 4 : 1;
    take(r, out, "act", act.data, (size_t)rows * oct_act_stride(format, cols) / cell, cell);
    take(r, out, "row_step", act.row_step, (size_t)rows, 4);
    take(r, out, "row_zero", act.row_zero, (size_t)rows, 4);
}

static oct_tap tap_room(rig *r, const op_case *c, int32_t cols, bool with_mul)
{
    oct_tap tap = {0};
    if (c->taps) {
        tap.out = room(r, (size_t)c->rows * (size_t)cols * 4);
        if (with_mul) {
            tap.column_mul = put_factors(r, cols, 0.01f);
        }
    }
    return tap;
}

static void take_tap(rig *r, op_outputs *out, const char *name, oct_tap tap, int32_t rows,
                     int32_t cols)
{
    if (tap.out.mem != NULL) {
        take(r, out, name, tap.out, (size_t)rows * (size_t)cols, 4);
    }
}

// An input as a linear finds it: codes with their row steps and zero points, or floats.
static oct_act put_act(rig *r, const op_case *c)
{
    size_t stride = oct_act_stride(c->format, c->k), rows = (size_t)c->rows;
    char *data = calloc(rows, stride);
    float *step = calloc(rows, 4);
    int32_t *zero = calloc(rows, 4);
    for (size_t t = 0; t < rows; t++) {
        step[t] = c->dynamic ? 0.01f + 0.02f * (float)(t % 7) : t == 0 ? 3.2f : 1.0f;
        zero[t] = c->asymmetric ? (t == 0 ? 31 : -117) : 0;
        for (int32_t k = 0; k < c->k; k++) {
            uint64_t u = test_random(&r->seed);
            if (c->format == OCT_FORMAT_F32) {
                ((float *)(void *)(data + t * stride))[k] = t == 1 ? 0.0f : test_normal(&r->seed);
            } else {
                int code = (int)(u % 255) - 127;
                code = u % 11 == 0 ? 127 : u % 13 == 0 ? -127 : code;
                code = c->asymmetric && u % 17 == 0 ? -128 : t == 1 ? 0 : code;
                data[t * stride + (size_t)k] = (char)code;
            }
        }
    }
    oct_act act = {put(r, data, rows * stride), put(r, step, rows * 4), put(r, zero, rows * 4)};
    free(data);
    free(step);
    free(zero);
    return act;
}

static oct_linear put_linear(rig *r, oct_format format, int32_t n, int32_t k, bool bias)
{
    size_t count = (size_t)n * (size_t)k;
    float *w = malloc(count * 4);
    int8_t *codes = malloc(count);
    int32_t *colsum = calloc((size_t)n, 4);
    for (size_t i = 0; i < count; i++) {
        w[i] = test_normal(&r->seed) * 0.05f;
        uint64_t u = test_random(&r->seed);
        codes[i] = (int8_t)(u % 19 == 0   ? 127
                            : u % 23 == 0 ? -127
                                          : (int)(u >> 8 & 255) % 255 - 127);
        colsum[i / (size_t)k] += codes[i];
    }
    const oct_ops *ops = r->device->ops;
    oct_linear linear = {.format = format, .n = n, .k = k};
    linear.weight = room(r, ops->linear_bytes(r->device, format, n, k));
    assert_ok(ops->linear_pack(r->device, linear.weight, format, n, k,
                               format == OCT_FORMAT_F32 ? (void *)w : (void *)codes));
    linear.mul = put_factors(r, n, 1e-4f);
    linear.colsum = put(r, colsum, (size_t)n * 4);
    linear.bias = bias ? put_rows(r, 1, n, 0.5f) : (oct_buf){0};
    free(w);
    free(codes);
    free(colsum);
    return linear;
}

static oct_kv kv_room(rig *r, const op_case *c, int32_t n_head, int32_t d_head)
{
    oct_kv kv = {c->format, {0}, 65, 2, n_head, d_head};
    kv.pool = room(r, 65 * oct_kv_page_bytes(c->format, 2, n_head, d_head));
    return kv;
}

void run_embed(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = put_step(&r, c);
    oct_linear wte = put_linear(&r, c->format, c->n, c->k, false);
    oct_buf x = room(&r, (size_t)c->rows * (size_t)c->k * 4);
    oct_embed_args args = {&step, &wte, put_factors(&r, c->n, 0.01f),
                           put_rows(&r, c->first_position + c->rows, c->k, 0.1f), x};
    assert_ok(device->ops->embed(device, &args));
    take(&r, out, "x", x, (size_t)c->rows * (size_t)c->k, 4);
    rig_close(&r);
}

void run_norm(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = put_step(&r, c);
    oct_norm_args args = {
        .step = &step,
        .n_rows = c->rows,
        .cols = c->k,
        .x = put_rows(&r, c->rows, c->k, 1.0f),
        .G = put_factors(&r, c->k, c->dynamic ? 1.0f : 40.0f),
        .B = put_rows(&r, 1, c->k, c->dynamic ? 0.3f : 10.0f),
        .eps = 1e-5f,
        .quant = quant_for(c),
        .out = act_room(&r, c->format, c->rows, c->k),
        .tap = tap_room(&r, c, c->k, true),
    };
    assert_ok(device->ops->norm(device, &args));
    take_act(&r, out, c->format, args.out, c->rows, c->k);
    take(&r, out, "x", args.x, (size_t)c->rows * (size_t)c->k, 4);
    take(&r, out, "G", args.G, (size_t)c->k, 4);
    take(&r, out, "B", args.B, (size_t)c->k, 4);
    take_tap(&r, out, "tap", args.tap, c->rows, c->k);
    rig_close(&r);
}

void run_linear(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = put_step(&r, c);
    oct_linear w = put_linear(&r, c->format, c->n, c->k, c->bias);
    size_t cells = (size_t)c->rows * (size_t)c->n;
    oct_linear_args args = {
        .step = &step,
        .n_rows = c->rows,
        .linear = &w,
        .in = put_act(&r, c),
        .epilogue = (oct_epilogue)c->epilogue,
        .activation = (oct_activation)c->activation,
        .quant = quant_for(c),
        .tap = tap_room(&r, c, c->n, false),
    };
    switch (args.epilogue) {
    case OCT_EPILOGUE_STORE:
    case OCT_EPILOGUE_RESIDUAL:
        args.out = put_rows(&r, c->rows, c->n, 1.0f);
        break;
    case OCT_EPILOGUE_GELU:
        args.act = act_room(&r, c->format, c->rows, c->n);
        args.act_mul = put_factors(&r, c->n, c->dynamic ? 1.0f : 30.0f);
        args.waiting = room(&r, cells * 4);
        args.tap_activation = tap_room(&r, c, c->n, false);
        break;
    case OCT_EPILOGUE_QKV:
        args.q = room(&r, cells / 3 * 4);
        args.kv = kv_room(&r, c, 2, c->n / 6);
        args.layer = 1;
        args.k_mul = put_factors(&r, c->n / 3, 30.0f);
        args.v_mul = put_factors(&r, c->n / 3, 30.0f);
        break;
    }
    assert_ok(device->ops->linear(device, &args));
    if (args.out.mem != NULL) {
        take(&r, out, "out", args.out, cells, 4);
    }
    if (args.act.data.mem != NULL) {
        take_act(&r, out, c->format, args.act, c->rows, c->n);
    }
    if (args.q.mem != NULL) {
        size_t cell = c->format == OCT_FORMAT_F32 ? 4 : 2;
        take(&r, out, "q", args.q, cells / 3, cell);
        size_t page = oct_kv_page_bytes(c->format, 2, 2, c->n / 6);
        oct_buf pages = {args.kv.pool.mem, args.kv.pool.offset + page}; // page 0 takes the trash
        take(&r, out, "pool", pages, 64 * page, 1);
    }
    take_tap(&r, out, "tap", args.tap, c->rows, c->n);
    take_tap(&r, out, "tap_activation", args.tap_activation, c->rows, c->n);
    take(&r, out, "in", args.in.data, (size_t)c->rows * oct_act_stride(c->format, c->k), 1);
    take(&r, out, "mul", w.mul, (size_t)c->n, 4);
    rig_close(&r);
}

// The cache is filled by op linear (identity of layouts is tested there and by the model suites).
void run_attend(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    int32_t H = c->n, D = c->k, C = H * D, seen = c->first_position + c->rows;
    op_case whole = *c;
    whole.rows = seen;
    whole.first_position = 0;
    whole.padding = false;
    whole.k = 32;
    whole.n = 64;
    oct_step all = put_step(&r, &whole);
    oct_linear w = put_linear(&r, c->format, 3 * C, 32, true);
    op_case in = whole;
    oct_linear_args fill = {
        .step = &all,
        .n_rows = seen,
        .linear = &w,
        .in = put_act(&r, &in),
        .epilogue = OCT_EPILOGUE_QKV,
        .q = room(&r, (size_t)seen * (size_t)C * 4),
        .kv = kv_room(&r, c, H, D),
        .layer = 1,
        .k_mul = put_factors(&r, C, 60.0f),
        .v_mul = put_factors(&r, C, 60.0f),
    };
    assert_ok(device->ops->linear(device, &fill));
    op_case mine = *c;
    mine.n = 64;
    oct_step step = put_step(&r, &mine);
    size_t q_row = (size_t)C * (c->format == OCT_FORMAT_F32 ? 4 : 2);
    oct_attend_args args = {
        .step = &step,
        .q = {fill.q.mem, fill.q.offset + (size_t)c->first_position * q_row},
        .kv = fill.kv,
        .layer = 1,
        .scale = 0.25f,
        .k_step = put_factors(&r, C, 0.05f),
        .out_mul = put_factors(&r, C, c->dynamic ? 1.0f : 2.0f),
        .quant = quant_for(c),
        .waiting = room(&r, (size_t)c->rows * (size_t)C * 4),
        .out = act_room(&r, c->format, c->rows, C),
        .tap = tap_room(&r, c, C, true),
    };
    assert_ok(device->ops->attend(device, &args));
    take_act(&r, out, c->format, args.out, c->rows, C);
    take_tap(&r, out, "tap", args.tap, c->rows, C);
    take(&r, out, "q", args.q, (size_t)c->rows * (size_t)C, q_row / (size_t)C);
    take(&r, out, "pool", args.kv.pool, 65 * oct_kv_page_bytes(c->format, 2, H, D), 1);
    take(&r, out, "k_step", args.k_step, (size_t)C, 4);
    take(&r, out, "out_mul", args.out_mul, (size_t)C, 4);
    rig_close(&r);
}

// Logits rows 0..R-1 of rows 0..R-1; every third has no target.
static oct_step put_logit_step(rig *r, const op_case *c)
{
    oct_step step = put_step(r, c);
    size_t rows = (size_t)c->rows;
    int32_t *row = calloc(rows, 4), *slot = calloc(rows, 4), *target = calloc(rows, 4);
    int32_t *sample = calloc(rows, 4), history[2 * 8] = {0}, n_history[2] = {0, 8};
    int64_t *index = calloc(rows, 8);
    for (size_t i = 0; i < rows; i++) {
        row[i] = (int32_t)i;
        slot[i] = (int32_t)(i % 2);
        target[i] = i % 3 == 2 ? -1 : (int32_t)(test_random(&r->seed) % (uint64_t)c->n);
        sample[i] = i % 4 != 3;
        index[i] = (int64_t)i * 1000003;
    }
    for (int i = 8; i < 16; i++) {
        history[i] = (int32_t)(test_random(&r->seed) % (uint64_t)c->n);
    }
    step.n_logits = c->rows;
    step.logit_row = put(r, row, rows * 4);
    step.logit_slot = put(r, slot, rows * 4);
    step.target = put(r, target, rows * 4);
    step.index = put(r, index, rows * 8);
    step.sample = put(r, sample, rows * 4);
    step.history = put(r, history, sizeof history);
    step.n_history = put(r, n_history, sizeof n_history);
    step.max_history = 8;
    free(row);
    free(slot);
    free(target);
    free(sample);
    free(index);
    return step;
}

void run_score(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = put_logit_step(&r, c);
    oct_score_args args = {&step, c->n, put_rows(&r, c->rows, c->n, 3.0f),
                           room(&r, 2 * sizeof(oct_score_sums)), room(&r, (size_t)c->rows * 4)};
    assert_ok(device->ops->score(device, &args));
    take(&r, out, "sums", args.sums, 2 * sizeof(oct_score_sums) / 8, 8);
    take(&r, out, "nll", args.nll, (size_t)c->rows, 4);
    take(&r, out, "logits", args.logits, (size_t)c->rows * (size_t)c->n, 4);
    take(&r, out, "target", step.target, (size_t)c->rows, 4);
    rig_close(&r);
}

void run_sample(oct_device *device, const op_case *c, const oct_sampling *sampling, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = put_logit_step(&r, c);
    oct_sampling both[2] = {*sampling, *sampling};
    both[1].seed ^= 0x1234567800000000u;
    step.sampling = put(&r, both, sizeof both);
    oct_sample_args args = {&step, c->n, put_rows(&r, c->rows, c->n, 2.0f),
                            room(&r, (size_t)c->rows * (size_t)c->n * 8),
                            room(&r, (size_t)c->rows * 4)};
    assert_ok(device->ops->sample(device, &args));
    take(&r, out, "token", args.token, (size_t)c->rows, 4);
    take(&r, out, "logits", args.logits, (size_t)c->rows * (size_t)c->n, 4);
    take(&r, out, "history", step.history, 16, 4);
    rig_close(&r);
}

void run_observe(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    op_case ids = *c;
    ids.n = 64;
    oct_step step = put_step(&r, &ids);
    size_t cols = (size_t)c->k, rows = (size_t)c->rows;
    int32_t *map = calloc(rows, 4);
    for (size_t t = 0; t < rows; t++) {
        map[t] = t % 3 == 1 ? (int32_t)(t / 3) : -1;
    }
    oct_observe_args args = {
        .step = &step,
        .n_rows = c->rows,
        .cols = c->k,
        .x = put_rows(&r, c->rows, c->k, 1.0f),
        .min_0 = room(&r, cols * 4),
        .max_0 = room(&r, cols * 4),
        .min = room(&r, cols * 4),
        .max = room(&r, cols * 4),
        .bucket_absmax = room(&r, 12),
        .bins = room(&r, 2048 * 8),
        .column_factors = put_factors(&r, c->k, 1.5f),
        .absmax = 2500.0f,
        .moments = room(&r, 24),
        .moment_mul = 0x1p3f,
        .row_map = put(&r, map, rows * 4),
        .rows_out = room(&r, (rows / 3 + 1) * cols * 4),
    };
    assert_ok(device->ops->observe(device, &args));
    take(&r, out, "min_0", args.min_0, cols, 4);
    take(&r, out, "max_0", args.max_0, cols, 4);
    take(&r, out, "min", args.min, cols, 4);
    take(&r, out, "max", args.max, cols, 4);
    take(&r, out, "bucket_absmax", args.bucket_absmax, 3, 4);
    take(&r, out, "bins", args.bins, 2048, 8);
    take(&r, out, "moments", args.moments, 3, 8);
    take(&r, out, "rows_out", args.rows_out, (rows / 3 + 1) * cols, 4);
    take(&r, out, "x", args.x, rows * cols, 4);
    take(&r, out, "cs", args.column_factors, cols, 4);
    free(map);
    rig_close(&r);
}
