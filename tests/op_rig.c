// tests: operands of ops from a seed, and reading back what an op wrote.
#include "op_rig.h"

#include "test_util.h"

#include "octet/numerics.h"

void rig_close(rig *r)
{
    for (int i = 0; i < r->n_owned; i++) {
        r->device->table->free(r->device, r->owned[i]);
    }
}

oct_buf rig_room(rig *r, size_t bytes)
{
    oct_buf buf;
    ck_assert_int_lt(r->n_owned, MAX_BUFFERS);
    assert_ok(r->device->table->alloc(r->device, bytes, &buf));
    r->owned[r->n_owned++] = buf;
    return buf;
}

oct_buf rig_put(rig *r, const void *src, size_t bytes)
{
    oct_buf buf = rig_room(r, bytes);
    assert_ok(r->device->table->upload(r->device, buf, src, bytes));
    return buf;
}

// [rows][cols] floats: row 1 zero, row 2 with one huge outlier, the rest normal times `scale`.
oct_buf rig_rows(rig *r, int32_t rows, int32_t cols, float scale)
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
    oct_buf buf = rig_put(r, x, n * sizeof *x);
    free(x);
    return buf;
}

// [n] positive factors around `middle`.
oct_buf rig_factors(rig *r, int32_t n, float middle)
{
    float *x = malloc((size_t)n * sizeof *x);
    for (int32_t i = 0; i < n; i++) {
        x[i] = middle * (1.0f + 0.5f * test_uniform(&r->seed));
    }
    oct_buf buf = rig_put(r, x, (size_t)n * sizeof *x);
    free(x);
    return buf;
}

void rig_take(rig *r, op_outputs *out, const char *name, oct_buf buf, size_t count, size_t cell)
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
oct_step rig_step(rig *r, const op_case *c)
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
        .id = rig_put(r, id, (size_t)rows * 4),
        .position = rig_put(r, position, (size_t)rows * 4),
        .slot = rig_put(r, slot, (size_t)rows * 4),
        .page_table = rig_put(r, table, sizeof table),
    };
    free(position);
    free(slot);
    free(id);
    return step;
}

oct_quant rig_quant(const op_case *c)
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

oct_act rig_act_room(rig *r, oct_format format, int32_t rows, int32_t cols)
{
    return (oct_act){
        .data = rig_room(r, (size_t)rows * oct_act_stride(format, cols)),
        .row_step = rig_room(r, (size_t)rows * 4),
        .row_zero = rig_room(r, (size_t)rows * 4),
    };
}

void rig_take_act(rig *r, op_outputs *out, oct_format format, oct_act act, int32_t rows,
                  int32_t cols)
{
    size_t cell = format == OCT_FORMAT_F32 ? 4 : 1;
    rig_take(r, out, "act", act.data, (size_t)rows * oct_act_stride(format, cols) / cell, cell);
    rig_take(r, out, "row_step", act.row_step, (size_t)rows, 4);
    rig_take(r, out, "row_zero", act.row_zero, (size_t)rows, 4);
}

oct_tap rig_tap_room(rig *r, const op_case *c, int32_t cols, bool with_mul)
{
    oct_tap tap = {0};
    if (c->taps) {
        tap.out = rig_room(r, (size_t)c->rows * (size_t)cols * 4);
        if (with_mul) {
            tap.column_mul = rig_factors(r, cols, 0.01f);
        }
    }
    return tap;
}

void rig_take_tap(rig *r, op_outputs *out, const char *name, oct_tap tap, int32_t rows,
                  int32_t cols)
{
    if (tap.out.mem != NULL) {
        rig_take(r, out, name, tap.out, (size_t)rows * (size_t)cols, 4);
    }
}

// An input as a linear finds it: codes with their row steps and zero points, or floats.
oct_act rig_act(rig *r, const op_case *c)
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
    oct_act act = {rig_put(r, data, rows * stride), rig_put(r, step, rows * 4),
                   rig_put(r, zero, rows * 4)};
    free(data);
    free(step);
    free(zero);
    return act;
}

oct_linear rig_linear(rig *r, oct_format format, int32_t n, int32_t k, bool bias)
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
    linear.weight = rig_room(r, ops->linear_bytes(r->device, format, n, k));
    assert_ok(ops->linear_pack(r->device, linear.weight, format, n, k,
                               format == OCT_FORMAT_F32 ? (void *)w : (void *)codes));
    linear.mul = rig_factors(r, n, 1e-4f);
    linear.colsum = rig_put(r, colsum, (size_t)n * 4);
    linear.bias = bias ? rig_rows(r, 1, n, 0.5f) : (oct_buf){0};
    free(w);
    free(codes);
    free(colsum);
    return linear;
}

oct_kv rig_kv_room(rig *r, const op_case *c, int32_t n_head, int32_t d_head)
{
    oct_kv kv = {c->format, {0}, 65, 2, n_head, d_head};
    kv.pool = rig_room(r, 65 * oct_kv_page_bytes(c->format, 2, n_head, d_head));
    return kv;
}
