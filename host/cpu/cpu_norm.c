// The CPU backend, op norm: LayerNorm of rows, then their rounding (NUMERICS.md sections 4 and 2).
#include "cpu/cpu_device.h"
#include "cpu/cpu_round.h"

#include <string.h>

#define MAX_COLS 16384 // a row waits in this much stack between its maximum and its rounding

static void norm_row(const oct_norm_args *args, int64_t i)
{
    const int32_t *rows = cpu_ptr(args->rows), *positions = cpu_ptr(args->step->position);
    const float *G = cpu_ptr(args->G), *B = cpu_ptr(args->B);
    int32_t cols = args->cols, t = rows == NULL ? (int32_t)i : rows[i];
    size_t stride = oct_act_stride(args->quant.format, cols);
    char *out = (char *)cpu_ptr(args->out.data) + (size_t)i * stride;
    float y[MAX_COLS];

    int32_t position = t < 0 ? -1 : positions[t];
    const float *x = (const float *)cpu_ptr(args->x) + (size_t)(t < 0 ? 0 : t) * (size_t)cols;
    // Section 4: mean = sum / C; var = sum of squared deviations / C; rstd = 1 / sqrt(var + eps).
    float mean = oct_div(oct_row_sum(x, cols), (float)cols);
    float var = oct_div(oct_row_sum_sq_dev(x, cols, mean), (float)cols);
    float rstd = oct_rstd(var, args->eps);
    // Section 4: xh = (x - mean) * rstd, y = fma(xh, G[c], B[c]).
    for (int32_t c = 0; c < cols; c++) {
        y[c] = oct_fma(oct_mul(oct_sub(x[c], mean), rstd), G[c], B[c]);
    }
    if (args->tap.out.mem != NULL) {
        const float *mul = cpu_ptr(args->tap.column_mul);
        float *tap = (float *)cpu_ptr(args->tap.out) + (size_t)i * (size_t)cols;
        for (int32_t c = 0; c < cols; c++) {
            tap[c] = mul == NULL ? y[c] : oct_mul(y[c], mul[c]);
        }
    }
    if (args->quant.format == OCT_FORMAT_F32) {
        memcpy(out, y, (size_t)cols * sizeof(float));
        return;
    }
    // Section 2: q = requant(y * rho_t, z_t); the next linear gets sigma_t and z_t.
    cpu_row row =
        args->quant.dynamic ? cpu_row_dynamic(y, cols) : cpu_row_static(&args->quant, position);
    cpu_round_row((int8_t *)out, y, cols, &args->quant, row);
    ((float *)cpu_ptr(args->out.row_step))[i] = row.sigma;
    ((int32_t *)cpu_ptr(args->out.row_zero))[i] = row.zero;
}

static void norm_rank(void *user, int rank, int size)
{
    const oct_norm_args *args = user;
    int64_t begin, end;
    oct_team_range(args->n_rows, 1, rank, size, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        norm_row(args, i);
    }
}

oct_status CPU_FN(cpu_norm)(oct_device *device, const oct_norm_args *args)
{
    OCT_REQUIRE(args->cols <= MAX_COLS, OCT_ERR_SHAPE, "norm: at most %d columns, got %d", MAX_COLS,
                args->cols);
    oct_team_run(cpu_of(device)->team, norm_rank, (void *)args);
    return OCT_OK;
}
