// The CPU backend, op linear: y = act * W^T by NUMERICS.md section 3 (W8A8) or 7 (F32), and its
// epilogues.
#include "cpu/cpu_dot.h"
#include "cpu/cpu_round.h"

#include <stdio.h>
#include <string.h>

typedef struct linear_job {
    cpu_device *device;
    const oct_linear_args *args;
} linear_job;

// The epilogues work on `cols` columns of one row; where a panel is whole, cols is the constant 16
// and each loop becomes a few vector instructions (column by column, with calls, they were 41 % of
// the samples of an INT8 prefill of tales-8m).
#define CPU_INLINE static inline __attribute__((always_inline))

// g = activation(y): NUMERICS.md section 4 on halves, or section 7 on floats.
CPU_INLINE void activate(const oct_linear_args *args, bool f32, int32_t cols, const float *y,
                         float *g)
{
    float x[CPU_PANEL];
    for (int32_t j = 0; j < cols; j++) {
        x[j] = f32 ? y[j] : oct_round_half(y[j]);
    }
    switch (args->activation) {
    case OCT_ACTIVATION_GELU_NEW:
        for (int32_t j = 0; j < cols; j++) {
            g[j] = f32 ? oct_gelu_new(x[j]) : oct_gelu_new16(x[j]);
        }
        break;
    case OCT_ACTIVATION_GELU:
        for (int32_t j = 0; j < cols; j++) {
            g[j] = f32 ? oct_gelu_erf(x[j]) : oct_gelu_erf16(x[j]);
        }
        break;
    case OCT_ACTIVATION_RELU:
        for (int32_t j = 0; j < cols; j++) {
            g[j] = oct_max(x[j], 0.0f);
        }
        break;
    }
}

CPU_INLINE void store_row(oct_buf out, int32_t cols_total, int32_t t, int32_t n, int32_t cols,
                          const float *values)
{
    if (out.mem != NULL) {
        float *row = (float *)cpu_ptr(out) + (size_t)t * (size_t)cols_total + (size_t)n;
        memcpy(row, values, (size_t)cols * sizeof(float));
    }
}

// Activation, then requantization (sections 3 and 2): y[cols] of row t, columns n...
CPU_INLINE void finish_gelu(const oct_linear_args *args, int32_t t, int32_t n, int32_t cols,
                            const float *y)
{
    bool f32 = args->quant.format == OCT_FORMAT_F32;
    int32_t n_total = args->linear->n;
    float g[CPU_PANEL], v[CPU_PANEL];
    if (f32) {
        activate(args, true, cols, y, g);
    } else {
        activate(args, false, cols, y, g);
    }
    store_row(args->tap_activation.out, n_total, t, n, cols, g);
    char *out =
        (char *)cpu_ptr(args->act.data) + (size_t)t * oct_act_stride(args->quant.format, n_total);
    if (f32) {
        memcpy((float *)(void *)out + n, g, (size_t)cols * sizeof(float));
        return;
    }
    const float *act_mul = (const float *)cpu_ptr(args->act_mul) + n;
    for (int32_t j = 0; j < cols; j++) {
        v[j] = oct_mul(g[j], act_mul[j]);
    }
    if (args->quant.dynamic) {
        store_row(args->waiting, n_total, t, n, cols, v);
        return;
    }
    int32_t position = ((const int32_t *)cpu_ptr(args->step->position))[t];
    cpu_row row = cpu_row_static(&args->quant, position);
    cpu_round_row((int8_t *)out + n, v, cols, &args->quant, row);
    if (n == 0) {
        ((float *)cpu_ptr(args->act.row_step))[t] = row.sigma;
        ((int32_t *)cpu_ptr(args->act.row_zero))[t] = row.zero;
    }
}

// Where K and V of a row go: its page and its place in it; the trash page takes padding.
typedef struct kv_place {
    size_t page, token; // elements of the pool; 0..63
} kv_place;

static kv_place place_of(const oct_linear_args *args, int32_t t)
{
    int32_t position = ((const int32_t *)cpu_ptr(args->step->position))[t];
    int32_t slot = ((const int32_t *)cpu_ptr(args->step->slot))[t];
    const int32_t *table = cpu_ptr(args->step->page_table);
    const oct_kv *kv = &args->kv;
    size_t page_elements = oct_kv_page_bytes(OCT_FORMAT_W8A8, kv->n_layer, kv->n_head, kv->d_head);
    if (position < 0) {
        return (kv_place){0, 0};
    }
    int32_t page =
        table[(size_t)slot * (size_t)args->step->max_pages + (size_t)(position / OCT_PAGE_TOKENS)];
    return (kv_place){(size_t)page * page_elements, (size_t)(position % OCT_PAGE_TOKENS)};
}

// Columns of q, k or v (section 5): q waits as half, k and v go to the page of their position.
CPU_INLINE void finish_qkv(const oct_linear_args *args, int32_t t, int32_t n, int32_t cols,
                           const float *y)
{
    const oct_kv *kv = &args->kv;
    bool f32 = kv->format == OCT_FORMAT_F32;
    int32_t width = kv->n_head * kv->d_head, D = kv->d_head;
    size_t dp = (size_t)oct_kv_d_padded(D);
    kv_place place = place_of(args, t);
    for (int32_t j = 0; j < cols; j++) {
        int32_t part = (n + j) / width, c = (n + j) % width; // 0 q, 1 k, 2 v
        if (part == 0) {
            size_t i = (size_t)t * (size_t)width + (size_t)c;
            if (f32) {
                ((float *)cpu_ptr(args->q))[i] = y[j];
            } else {
                ((uint16_t *)cpu_ptr(args->q))[i] = oct_half(y[j]);
            }
            continue;
        }
        size_t d = (size_t)(c % D), head = (size_t)(c / D);
        size_t block = ((size_t)args->layer * 2 + (size_t)(part - 1)) * (size_t)kv->n_head + head;
        size_t at = place.page + block * OCT_PAGE_TOKENS * dp, token = place.token;
        if (f32) {
            at += part == 1 ? d * OCT_PAGE_TOKENS + token : token * dp + d;
            ((float *)cpu_ptr(kv->pool))[at] = y[j];
        } else {
            const float *mul = cpu_ptr(part == 1 ? args->k_mul : args->v_mul);
            at += part == 1 ? token * dp + d : (token / 4 * dp + d) * 4 + token % 4;
            float code = oct_mul(oct_round_half(y[j]), mul[c]);
            ((int8_t *)cpu_ptr(kv->pool))[at] = (int8_t)oct_requant(code, 0, -127, 127);
        }
    }
}

// y[cols] of row t, columns n..n + cols - 1, through the epilogue.
CPU_INLINE void finish(const oct_linear_args *args, int32_t t, int32_t n, int32_t cols,
                       const float *y)
{
    int32_t n_total = args->linear->n;
    store_row(args->tap.out, n_total, t, n, cols, y);
    switch (args->epilogue) {
    case OCT_EPILOGUE_STORE:
        store_row(args->out, n_total, t, n, cols, y);
        break;
    case OCT_EPILOGUE_RESIDUAL: {
        float *x = (float *)cpu_ptr(args->out) + (size_t)t * (size_t)n_total + (size_t)n;
        bool f32 = args->linear->format == OCT_FORMAT_F32;
        for (int32_t j = 0; j < cols; j++) {
            x[j] = oct_add(x[j], f32 ? y[j] : oct_round_half(y[j]));
        }
        break;
    }
    case OCT_EPILOGUE_GELU:
        finish_gelu(args, t, n, cols, y);
        break;
    case OCT_EPILOGUE_QKV:
        finish_qkv(args, t, n, cols, y);
        break;
    }
}

// Section 3: the zero point comes off the exact sum, then y = fma((f32) acc, mul[n] * sigma_t,
// bias[n]); logits = (f32) acc * (mul[n] * sigma_t), and a bias is one addition.
CPU_INLINE void dequantize(const oct_linear_args *args, int32_t t, int32_t n, int32_t cols,
                           const int32_t *acc, float *y)
{
    const float *mul = (const float *)cpu_ptr(args->linear->mul) + n;
    const float *bias = cpu_ptr(args->linear->bias);
    const int32_t *colsum = (const int32_t *)cpu_ptr(args->linear->colsum) + n;
    float sigma = ((const float *)cpu_ptr(args->in.row_step))[t];
    int32_t zero = ((const int32_t *)cpu_ptr(args->in.row_zero))[t];
    float sum[CPU_PANEL], m[CPU_PANEL];
    for (int32_t j = 0; j < cols; j++) {
        sum[j] = (float)(acc[j] - zero * colsum[j]);
        m[j] = oct_mul(mul[j], sigma);
    }
    bool logits = args->epilogue == OCT_EPILOGUE_STORE;
    for (int32_t j = 0; j < cols; j++) {
        if (logits) {
            y[j] = oct_mul(sum[j], m[j]);
            y[j] = bias == NULL ? y[j] : oct_add(y[j], bias[n + j]);
        } else {
            y[j] = oct_fma(sum[j], m[j], bias == NULL ? 0.0f : bias[n + j]);
        }
    }
}

CPU_INLINE void finish_i8(const oct_linear_args *args, int32_t t, int32_t n, int32_t cols,
                          const int32_t *acc)
{
    float y[CPU_PANEL];
    dequantize(args, t, n, cols, acc, y);
    finish(args, t, n, cols, y);
}

CPU_INLINE void finish_f32(const oct_linear_args *args, int32_t t, int32_t n, int32_t cols,
                           float *y)
{
    const float *bias = cpu_ptr(args->linear->bias);
    // Section 7: bias added last.
    for (int32_t j = 0; j < cols && bias != NULL; j++) {
        y[j] = oct_add(y[j], bias[n + j]);
    }
    finish(args, t, n, cols, y);
}

static void block_i8(const oct_linear_args *args, int32_t t, int32_t rows, int32_t n, int32_t cols)
{
    const oct_linear *w = args->linear;
    size_t stride = oct_act_stride(OCT_FORMAT_W8A8, w->k);
    int32_t acc[CPU_ROWS][CPU_PANEL];
    dot_i8_rows((const int8_t *)cpu_ptr(args->in.data) + (size_t)t * stride, stride, rows,
                (const int8_t *)cpu_ptr(w->weight) + cpu_packed_i8(n, 0, w->k), cpu_k64(w->k), acc);
    for (int32_t r = 0; r < rows; r++) {
        if (cols == CPU_PANEL) {
            finish_i8(args, t + r, n, CPU_PANEL, acc[r]);
        } else {
            finish_i8(args, t + r, n, cols, acc[r]);
        }
    }
}

static void block_f32(const oct_linear_args *args, int32_t t, int32_t rows, int32_t n, int32_t cols)
{
    const oct_linear *w = args->linear;
    size_t stride = oct_act_stride(OCT_FORMAT_F32, w->k) / sizeof(float);
    float y[CPU_ROWS][CPU_PANEL];
    dot_f32_rows((const float *)cpu_ptr(args->in.data) + (size_t)t * stride, stride, rows,
                 (const float *)cpu_ptr(w->weight) + cpu_packed_f32(n, 0, w->k), w->k, y);
    for (int32_t r = 0; r < rows; r++) {
        if (cols == CPU_PANEL) {
            finish_f32(args, t + r, n, CPU_PANEL, y[r]);
        } else {
            finish_f32(args, t + r, n, cols, y[r]);
        }
    }
}

static void linear_rank(void *user, int rank, int size)
{
    const linear_job *job = user;
    const oct_linear_args *args = job->args;
    const oct_linear *w = args->linear;
    int64_t begin, end;
    oct_team_range(w->n, CPU_PANEL, rank, size, &begin, &end);
    for (int32_t n = (int32_t)begin; n < (int32_t)end; n += CPU_PANEL) {
        int32_t cols = w->n - n < CPU_PANEL ? w->n - n : CPU_PANEL;
        for (int32_t t = 0; t < args->n_rows; t += CPU_ROWS) {
            int32_t rows = args->n_rows - t < CPU_ROWS ? args->n_rows - t : CPU_ROWS;
            if (w->format == OCT_FORMAT_F32) {
                block_f32(args, t, rows, n, cols);
            } else {
                block_i8(args, t, rows, n, cols);
            }
        }
    }
    if (args->epilogue != OCT_EPILOGUE_GELU || !args->quant.dynamic) {
        return;
    }
    oct_team_barrier(
        job->device->team); // all columns of a row are there before its maximum is taken
    oct_team_range(args->n_rows, 1, rank, size, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *v = (const float *)cpu_ptr(args->waiting) + (size_t)t * (size_t)w->n;
        int8_t *out = (int8_t *)cpu_ptr(args->act.data) +
                      (size_t)t * oct_act_stride(args->quant.format, w->n);
        cpu_row row = cpu_row_dynamic(v, w->n);
        cpu_round_row(out, v, w->n, &args->quant, row);
        ((float *)cpu_ptr(args->act.row_step))[t] = row.sigma;
        ((int32_t *)cpu_ptr(args->act.row_zero))[t] = row.zero;
    }
}

oct_status CPU_FN(cpu_linear)(oct_device *device, const oct_linear_args *args)
{
    linear_job job = {cpu_of(device), args};
    oct_team_run(job.device->team, linear_rank, &job);
    return OCT_OK;
}

oct_status CPU_FN(cpu_linear_plan)(oct_device *device, oct_format format, int32_t n_rows, int32_t n,
                                   int32_t k, char *text, size_t size)
{
    (void)n;
    (void)k;
    snprintf(text, size, "%s %s, blocks of %d rows by %d columns", cpu_of(device)->isa,
             format == OCT_FORMAT_F32 ? "f32" : "i8", n_rows < CPU_ROWS ? 1 : CPU_ROWS, CPU_PANEL);
    return OCT_OK;
}
