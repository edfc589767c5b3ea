// The CPU backend, op linear: y = act * W^T by NUMERICS.md section 3 (W8A8) or 7 (F32), and its
// epilogues.
#include "cpu/cpu_dot.h"
#include "cpu/cpu_round.h"

#include <string.h>

typedef struct linear_job {
    cpu_device *device;
    const oct_linear_args *args;
} linear_job;

static float activate_16(oct_activation activation, float x)
{
    switch (activation) {
    case OCT_ACTIVATION_GELU_NEW:
        return oct_gelu_new16(x);
    case OCT_ACTIVATION_GELU:
        return oct_gelu_erf16(x);
    case OCT_ACTIVATION_RELU:
        break;
    }
    return oct_max(x, 0.0f);
}

static float activate_f32(oct_activation activation, float x)
{
    switch (activation) {
    case OCT_ACTIVATION_GELU_NEW:
        return oct_gelu_new(x);
    case OCT_ACTIVATION_GELU:
        return oct_gelu_erf(x);
    case OCT_ACTIVATION_RELU:
        break;
    }
    return oct_max(x, 0.0f);
}

static void store_tap(oct_buf out, int32_t cols_total, int32_t t, int32_t n, int32_t cols,
                      const float *values)
{
    if (out.mem != NULL) {
        float *tap = (float *)cpu_ptr(out) + (size_t)t * (size_t)cols_total + (size_t)n;
        memcpy(tap, values, (size_t)cols * sizeof(float));
    }
}

// Activation, then requantization (sections 3 and 2): y[cols] of row t, columns n...
static void finish_gelu(const oct_linear_args *args, int32_t t, int32_t n, int32_t cols,
                        const float *y)
{
    bool f32 = args->quant.format == OCT_FORMAT_F32;
    int32_t n_total = args->linear->n;
    float g[CPU_PANEL], v[CPU_PANEL];
    for (int32_t j = 0; j < cols; j++) {
        g[j] = f32 ? activate_f32(args->activation, y[j])
                   : activate_16(args->activation, oct_round_half(y[j]));
    }
    store_tap(args->tap_activation.out, n_total, t, n, cols, g);
    char *out =
        (char *)cpu_ptr(args->act.data) + (size_t)t * oct_act_stride(args->quant.format, n_total);
    if (f32) {
        memcpy((float *)(void *)out + n, g, (size_t)cols * sizeof(float));
        return;
    }
    const float *act_mul = cpu_ptr(args->act_mul);
    for (int32_t j = 0; j < cols; j++) {
        v[j] = oct_mul(g[j], act_mul[n + j]);
    }
    if (args->quant.dynamic) {
        store_tap(args->waiting, n_total, t, n, cols, v);
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

// One column of q, k or v (section 5): q waits as half, k and v go to the page of their position.
static void finish_qkv(const oct_linear_args *args, int32_t t, int32_t column, float y)
{
    const oct_kv *kv = &args->kv;
    int32_t width = kv->n_head * kv->d_head, part = column / width, c = column % width;
    bool f32 = kv->format == OCT_FORMAT_F32;
    if (part == 0) {
        size_t i = (size_t)t * (size_t)width + (size_t)c;
        if (f32) {
            ((float *)cpu_ptr(args->q))[i] = y;
        } else {
            ((uint16_t *)cpu_ptr(args->q))[i] = oct_half(y);
        }
        return;
    }
    int32_t position = ((const int32_t *)cpu_ptr(args->step->position))[t];
    int32_t slot = ((const int32_t *)cpu_ptr(args->step->slot))[t];
    const int32_t *table = cpu_ptr(args->step->page_table);
    int32_t page = 0, token = 0; // the trash page takes padding
    if (position >= 0) {
        page = table[(size_t)slot * (size_t)args->step->max_pages +
                     (size_t)(position / OCT_PAGE_TOKENS)];
        token = position % OCT_PAGE_TOKENS;
    }
    size_t dp = (size_t)oct_kv_d_padded(kv->d_head), d = (size_t)(c % kv->d_head);
    size_t head = (size_t)(c / kv->d_head);
    size_t block =
        (((size_t)page * (size_t)kv->n_layer + (size_t)args->layer) * 2 + (size_t)(part - 1)) *
            (size_t)kv->n_head +
        head;
    block *= OCT_PAGE_TOKENS * dp;
    if (f32) {
        float *pool = cpu_ptr(kv->pool);
        pool[block + (part == 1 ? d * OCT_PAGE_TOKENS + (size_t)token : (size_t)token * dp + d)] =
            y;
        return;
    }
    const float *mul = cpu_ptr(part == 1 ? args->k_mul : args->v_mul);
    int8_t code = (int8_t)oct_requant(oct_mul(oct_round_half(y), mul[c]), 0, -127, 127);
    int8_t *pool = cpu_ptr(kv->pool);
    size_t at = part == 1 ? (size_t)token * dp + d
                          : ((size_t)(token / 4) * dp + d) * 4 + (size_t)(token % 4);
    pool[block + at] = code;
}

// y[cols] of row t, columns n..n + cols - 1, through the epilogue.
static void finish(const oct_linear_args *args, int32_t t, int32_t n, int32_t cols, const float *y)
{
    int32_t n_total = args->linear->n;
    store_tap(args->tap.out, n_total, t, n, cols, y);
    switch (args->epilogue) {
    case OCT_EPILOGUE_STORE:
        store_tap(args->out, n_total, t, n, cols, y);
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
        for (int32_t j = 0; j < cols; j++) {
            finish_qkv(args, t, n + j, y[j]);
        }
        break;
    }
}

// Section 3: the zero point comes off the exact sum, then y = fma((f32) acc, mul[n] * sigma_t,
// bias[n]); logits = (f32) acc * (mul[n] * sigma_t), and a bias is one addition.
static void dequantize(const oct_linear_args *args, int32_t t, int32_t n, int32_t cols,
                       const int32_t *acc, float *y)
{
    const float *mul = cpu_ptr(args->linear->mul), *bias = cpu_ptr(args->linear->bias);
    const int32_t *colsum = cpu_ptr(args->linear->colsum);
    float sigma = ((const float *)cpu_ptr(args->in.row_step))[t];
    int32_t zero = ((const int32_t *)cpu_ptr(args->in.row_zero))[t];
    for (int32_t j = 0; j < cols; j++) {
        float sum = (float)(acc[j] - zero * colsum[n + j]);
        float m = oct_mul(mul[n + j], sigma);
        float b = bias == NULL ? 0.0f : bias[n + j];
        if (args->epilogue == OCT_EPILOGUE_STORE) {
            y[j] = oct_mul(sum, m);
            y[j] = bias == NULL ? y[j] : oct_add(y[j], b);
        } else {
            y[j] = oct_fma(sum, m, b);
        }
    }
}

static void block_i8(const oct_linear_args *args, int32_t t, int32_t rows, int32_t n, int32_t cols)
{
    const oct_linear *w = args->linear;
    size_t stride = oct_act_stride(OCT_FORMAT_W8A8, w->k);
    int32_t acc[CPU_ROWS][CPU_PANEL];
    float y[CPU_PANEL];
    dot_i8_rows((const int8_t *)cpu_ptr(args->in.data) + (size_t)t * stride, stride, rows,
                (const int8_t *)cpu_ptr(w->weight) + cpu_packed_i8(n, 0, w->k), cpu_k64(w->k), acc);
    for (int32_t r = 0; r < rows; r++) {
        dequantize(args, t + r, n, cols, acc[r], y);
        finish(args, t + r, n, cols, y);
    }
}

static void block_f32(const oct_linear_args *args, int32_t t, int32_t rows, int32_t n, int32_t cols)
{
    const oct_linear *w = args->linear;
    const float *bias = cpu_ptr(w->bias);
    size_t stride = oct_act_stride(OCT_FORMAT_F32, w->k) / sizeof(float);
    float y[CPU_ROWS][CPU_PANEL];
    dot_f32_rows((const float *)cpu_ptr(args->in.data) + (size_t)t * stride, stride, rows,
                 (const float *)cpu_ptr(w->weight) + cpu_packed_f32(n, 0, w->k), w->k, y);
    for (int32_t r = 0; r < rows; r++) {
        // Section 7: bias added last.
        for (int32_t j = 0; j < cols && bias != NULL; j++) {
            y[r][j] = oct_add(y[r][j], bias[n + j]);
        }
        finish(args, t + r, n, cols, y[r]);
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
