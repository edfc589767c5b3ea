// QUANTIZE: the alpha search.
#include "quant/alpha_search.h"

#include "base/arena.h"
#include "base/check.h"
#include "octet/numerics.h"
#include "quant/column_factors.h"
#include "quant/input_steps.h"
#include "quant/round_nearest.h"
#include "quant/sites.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_ROWS 128 // rows of one device call: bounds the output to 128 * N floats

struct alpha_search {
    oct_device *device; // borrowed
    oct_team *team;     // borrowed
    int32_t n_rows;

    // Host, sized for the largest linear of the model.
    oct_arena arena;
    float *padded;                     // [n_rows][stride of K] inputs as the device wants them
    float *reference;                  // [n_rows][N]
    float *output;                     // [BLOCK_ROWS][N]
    int8_t *x_codes;                   // [n_rows][stride of K]
    float *row_step;                   // [n_rows] sigma
    int32_t *row_zero;                 // [n_rows]
    double *row_error;                 // [n_rows] e_t
    int8_t *w_codes;                   // [N][K]
    float *w_step, *mul;               // [N]
    int32_t *colsum;                   // [N]
    float *ax, *aw, *cs, *r, *scratch; // [K]

    // Device.
    oct_buf in_f32, in_i8, in_step, in_zero, position, out;
    oct_buf weight, weight_mul, weight_colsum;
};

// What one team call works on.
typedef struct search_job {
    alpha_search *s;
    const alpha_task *task;
    gpt2_input input;
    int32_t first, count; // rows of the block
} search_job;

static oct_status allocate(alpha_search *s, size_t max_n, size_t max_k, size_t max_nk,
                           size_t max_packed)
{
    size_t rows = (size_t)s->n_rows;
    size_t f32_stride = oct_act_stride(OCT_FORMAT_F32, (int32_t)max_k);
    size_t i8_stride = oct_act_stride(OCT_FORMAT_W8A8, (int32_t)max_k);
    const struct {
        void *at; // a pointer variable of the search
        size_t count, size;
    } host[] = {
        {&s->padded, rows, f32_stride},
        {&s->reference, rows * max_n, sizeof(float)},
        {&s->output, BLOCK_ROWS * max_n, sizeof(float)},
        {&s->x_codes, rows, i8_stride},
        {&s->row_step, rows, sizeof(float)},
        {&s->row_zero, rows, sizeof(int32_t)},
        {&s->row_error, rows, sizeof(double)},
        {&s->w_codes, max_nk, 1},
        {&s->w_step, max_n, sizeof(float)},
        {&s->mul, max_n, sizeof(float)},
        {&s->colsum, max_n, sizeof(int32_t)},
        {&s->ax, max_k, sizeof(float)},
        {&s->aw, max_k, sizeof(float)},
        {&s->cs, max_k, sizeof(float)},
        {&s->r, max_k, sizeof(float)},
        {&s->scratch, max_k, sizeof(float)},
    };
    for (size_t i = 0; i < sizeof host / sizeof host[0]; i++) {
        void *memory = oct_arena_alloc(&s->arena, host[i].count, host[i].size);
        if (memory == NULL) {
            return OCT_ERR_NOMEM;
        }
        memcpy(host[i].at, &memory, sizeof memory);
    }
    const struct {
        oct_buf *buf;
        size_t bytes;
    } device[] = {
        {&s->in_f32, rows * f32_stride},
        {&s->in_i8, rows * i8_stride},
        {&s->in_step, rows * sizeof(float)},
        {&s->in_zero, rows * sizeof(int32_t)},
        {&s->position, BLOCK_ROWS * sizeof(int32_t)},
        {&s->out, BLOCK_ROWS * max_n * sizeof(float)},
        {&s->weight, max_packed},
        {&s->weight_mul, max_n * sizeof(float)},
        {&s->weight_colsum, max_n * sizeof(int32_t)},
    };
    for (size_t i = 0; i < sizeof device / sizeof device[0]; i++) {
        OCT_TRY(s->device->table->alloc(s->device, device[i].bytes, device[i].buf));
    }
    return OCT_OK;
}

oct_status alpha_search_open(alpha_search **out, oct_device *device, oct_team *team,
                             const gpt2_model *folded, int32_t n_rows)
{
    *out = NULL;
    alpha_search *s = calloc(1, sizeof *s);
    OCT_REQUIRE(s != NULL, OCT_ERR_NOMEM, "no memory for the alpha search");
    s->device = device;
    s->team = team;
    s->n_rows = n_rows;
    size_t max_n = 0;
    size_t max_k = 0;
    size_t max_nk = 0;
    size_t max_packed = 0;
    for (int32_t i = 0; i < site_linear_count(&folded->config); i++) {
        const gpt2_linear *linear = site_linear(folded, i);
        size_t n = (size_t)linear->n;
        size_t k = (size_t)linear->k;
        size_t packed = device->ops->linear_bytes(device, OCT_FORMAT_W8A8, linear->n, linear->k);
        max_n = n > max_n ? n : max_n;
        max_k = k > max_k ? k : max_k;
        max_nk = n * k > max_nk ? n * k : max_nk;
        max_packed = packed > max_packed ? packed : max_packed;
    }
    oct_status status = OCT_OK;
    if (max_packed == 0) {
        status = OCT_FAIL(OCT_ERR_SHAPE, "device %s: expected a W8A8 linear, it has none",
                          device->table->name);
        goto fail;
    }
    OCT_TRY_GOTO(allocate(s, max_n, max_k, max_nk, max_packed), fail);
    int32_t ones[BLOCK_ROWS];
    for (int32_t i = 0; i < BLOCK_ROWS; i++) {
        ones[i] = 1; // rows of the search stand at positions >= 1
    }
    OCT_TRY_GOTO(device->table->upload(device, s->position, ones, sizeof ones), fail);
    *out = s;
    return OCT_OK;
fail:
    alpha_search_close(s);
    return status;
}

void alpha_search_close(alpha_search *s)
{
    if (s == NULL) {
        return;
    }
    const oct_buf device[] = {s->in_f32, s->in_i8,  s->in_step,    s->in_zero,      s->position,
                              s->out,    s->weight, s->weight_mul, s->weight_colsum};
    for (size_t i = 0; i < sizeof device / sizeof device[0]; i++) {
        s->device->table->free(s->device, device[i]);
    }
    oct_arena_free(&s->arena);
    free(s);
}

static oct_buf at(oct_buf buf, size_t offset)
{
    buf.offset += offset;
    return buf;
}

// output = linear(rows first .. first + count - 1 of the search) without a bias, on the host.
static oct_status multiply(alpha_search *s, const oct_linear *linear, int32_t first, int32_t count,
                           float *output)
{
    size_t row = (size_t)first;
    size_t stride = oct_act_stride(linear->format, linear->k);
    bool f32 = linear->format == OCT_FORMAT_F32;
    oct_step step = {.n_rows = count, .n_logits = count, .position = s->position};
    oct_linear_args args = {.step = &step,
                            .n_rows = count,
                            .linear = linear,
                            .in.data = at(f32 ? s->in_f32 : s->in_i8, row * stride),
                            .epilogue = OCT_EPILOGUE_STORE,
                            .out = s->out};
    if (!f32) {
        args.in.row_step = at(s->in_step, row * sizeof(float));
        args.in.row_zero = at(s->in_zero, row * sizeof(int32_t));
    }
    OCT_TRY(s->device->ops->linear(s->device, &args));
    return s->device->table->download(s->device, output, s->out,
                                      (size_t)count * (size_t)linear->n * sizeof(float));
}

static int32_t block_rows(const alpha_search *s, int32_t first)
{
    return s->n_rows - first < BLOCK_ROWS ? s->n_rows - first : BLOCK_ROWS;
}

// The FP32 chains of the folded weights, no bias, for all rows.
static oct_status make_reference(alpha_search *s, const alpha_task *task)
{
    int32_t k = task->linear->k;
    size_t stride = oct_act_stride(OCT_FORMAT_F32, k);
    size_t rows = (size_t)s->n_rows;
    memset(s->padded, 0, rows * stride);
    for (size_t t = 0; t < rows; t++) {
        memcpy(s->padded + t * (stride / sizeof(float)), task->rows + t * (size_t)k,
               (size_t)k * sizeof(float));
    }
    OCT_TRY(s->device->table->upload(s->device, s->in_f32, s->padded, rows * stride));
    oct_linear linear = *task->reference;
    linear.bias = (oct_buf){NULL, 0};
    for (int32_t t = 0; t < s->n_rows; t += BLOCK_ROWS) {
        OCT_TRY(
            multiply(s, &linear, t, block_rows(s, t), s->reference + (size_t)t * (size_t)linear.n));
    }
    return OCT_OK;
}

// xq = requant((x * r[k]) * rho, z) for the rows of this rank.
static void quantize_rows(void *user, int rank, int size)
{
    const search_job *job = user;
    alpha_search *s = job->s;
    const gpt2_input *in = &job->input;
    int32_t k = job->task->linear->k;
    size_t stride = oct_act_stride(OCT_FORMAT_W8A8, k);
    int64_t begin, end;
    oct_team_range(s->n_rows, 1, rank, size, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *x = job->task->rows + (size_t)t * (size_t)k;
        int8_t *codes = s->x_codes + (size_t)t * stride;
        float rho = 1.0f;
        s->row_step[t] = 1.0f;
        s->row_zero[t] = in->zero;
        if (in->dynamic) {
            float a = 0.0f;
            for (int32_t j = 0; j < k; j++) {
                float y = oct_abs(oct_mul(x[j], s->r[j]));
                a = y > a ? y : a;
            }
            a = oct_absmax_or_127(a);
            rho = oct_div(127.0f, a);
            s->row_step[t] = oct_div(a, 127.0f);
        }
        for (int32_t j = 0; j < k; j++) {
            float y = oct_mul(oct_mul(x[j], s->r[j]), rho);
            codes[j] = (int8_t)oct_requant(y, in->zero, in->asymmetric ? -128 : -127, 127);
        }
        memset(codes + k, 0, stride - (size_t)k);
    }
}

// e_t = sum over ascending n of d * d, d = (double) y - (double) ref, for the rows of this rank.
static void add_errors(void *user, int rank, int size)
{
    const search_job *job = user;
    alpha_search *s = job->s;
    int32_t n = job->task->linear->n;
    int64_t begin, end;
    oct_team_range(job->count, 1, rank, size, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        size_t t = (size_t)job->first + (size_t)i;
        const float *y = s->output + (size_t)i * (size_t)n;
        const float *ref = s->reference + t * (size_t)n;
        double sum = 0.0;
        for (int32_t j = 0; j < n; j++) {
            double d = (double)y[j] - (double)ref[j];
            sum += d * d;
        }
        s->row_error[t] = sum;
    }
}

// Codes, steps and multipliers of the weights for factors cs (NULL: none), on the device.
static oct_status put_weights(alpha_search *s, const alpha_task *task, const float *cs,
                              float step_x, oct_linear *out)
{
    const gpt2_linear *linear = task->linear;
    oct_device *device = s->device;
    size_t n = (size_t)linear->n;
    round_nearest(s->team, linear->w_f32, cs, linear->n, linear->k, s->w_codes, s->w_step,
                  s->colsum);
    for (size_t i = 0; i < n; i++) {
        s->mul[i] = oct_mul(step_x, s->w_step[i]);
    }
    *out = (oct_linear){.format = OCT_FORMAT_W8A8,
                        .n = linear->n,
                        .k = linear->k,
                        .weight = s->weight,
                        .mul = s->weight_mul,
                        .colsum = s->weight_colsum};
    OCT_TRY(device->ops->linear_pack(device, out->weight, out->format, out->n, out->k, s->w_codes));
    OCT_TRY(device->table->upload(device, out->mul, s->mul, n * sizeof(float)));
    return device->table->upload(device, out->colsum, s->colsum, n * sizeof(int32_t));
}

// E of one alpha.
static oct_status judge(alpha_search *s, const alpha_task *task, const recipe_alpha *alpha,
                        double *error)
{
    int32_t k = task->linear->k;
    const float *cs = NULL;
    if (alpha->value >= 0.0f) {
        column_factors_compute(s->ax, s->aw, k, alpha->value, s->cs, s->scratch);
        cs = s->cs;
    }
    search_job job = {.s = s, .task = task, .input = input_steps_dynamic()};
    if (!task->dynamic) {
        input_range range = input_range_find(task->ranges, cs, k, INFINITY, task->position_0);
        job.input = input_steps_static(&range, task->asymmetric, task->position_0);
    }
    for (int32_t j = 0; j < k; j++) {
        s->r[j] = input_reciprocal(job.input.step, cs != NULL ? cs[j] : 1.0f);
    }
    oct_team_run(s->team, quantize_rows, &job);
    size_t rows = (size_t)s->n_rows;
    oct_device *device = s->device;
    OCT_TRY(device->table->upload(device, s->in_i8, s->x_codes,
                                  rows * oct_act_stride(OCT_FORMAT_W8A8, k)));
    OCT_TRY(device->table->upload(device, s->in_step, s->row_step, rows * sizeof(float)));
    OCT_TRY(device->table->upload(device, s->in_zero, s->row_zero, rows * sizeof(int32_t)));
    oct_linear weights;
    OCT_TRY(put_weights(s, task, cs, job.input.step, &weights));
    for (job.first = 0; job.first < s->n_rows; job.first += BLOCK_ROWS) {
        job.count = block_rows(s, job.first);
        OCT_TRY(multiply(s, &weights, job.first, job.count, s->output));
        oct_team_run(s->team, add_errors, &job);
    }
    *error = 0.0;
    for (size_t t = 0; t < rows; t++) {
        *error += s->row_error[t];
    }
    return OCT_OK;
}

oct_status alpha_search_run(alpha_search *s, const alpha_task *task, alpha_result *out)
{
    int32_t k = task->linear->k;
    column_factors_input_absmax(task->ranges, k, s->ax);
    column_factors_weight_absmax(task->linear->w_f32, task->linear->n, k, s->aw);
    OCT_TRY(make_reference(s, task));
    out->chosen = 0;
    for (int32_t i = 0; i < RECIPE_ALPHAS; i++) {
        OCT_TRY(judge(s, task, &recipe_alphas[i], &out->error[i]));
        if (out->error[i] < out->error[out->chosen]) {
            out->chosen = i; // ties go to the alpha listed first
        }
    }
    return OCT_OK;
}
