// CALIBRATE, CPU backend, op observe: what calibration adds up from a tap (NUMERICS.md sections 7
// and 8). Maxima and integer sums only, so the order of rows, steps and threads does not matter.
#include "cpu/cpu_device.h"
#include "octet/numerics.h"

#include <string.h>

#define BINS 2048

// *at = max(*at, bits) for bits of non-negative floats.
static void raise_to(float *at, uint32_t bits)
{
    uint32_t *word = (uint32_t *)(void *)at;
    uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (bits > seen && !__atomic_compare_exchange_n(word, &seen, bits, true, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED)) {
    }
}

static int bucket_of(int32_t position)
{
    return position == 0 ? 0 : position <= 3 ? 1 : 2;
}

// Pass 1: ranges of columns begin..end - 1; these belong to this rank alone.
static void ranges(const oct_observe_args *args, int64_t begin, int64_t end)
{
    const int32_t *position = cpu_ptr(args->step->position);
    uint32_t top[3] = {0, 0, 0};
    for (int32_t t = 0; t < args->n_rows; t++) {
        if (position[t] < 0) {
            continue;
        }
        const float *x = (const float *)cpu_ptr(args->x) + (size_t)t * (size_t)args->cols;
        float *min = cpu_ptr(position[t] == 0 ? args->min_0 : args->min);
        float *max = cpu_ptr(position[t] == 0 ? args->max_0 : args->max);
        uint32_t row_top = 0;
        for (int64_t c = begin; c < end; c++) {
            min[c] = x[c] < min[c] ? x[c] : min[c];
            max[c] = x[c] > max[c] ? x[c] : max[c];
            uint32_t bits = oct_bits(x[c]) & 0x7FFFFFFFu;
            row_top = bits > row_top ? bits : row_top;
        }
        int b = bucket_of(position[t]);
        top[b] = row_top > top[b] ? row_top : top[b];
    }
    for (int b = 0; b < 3; b++) {
        raise_to((float *)cpu_ptr(args->bucket_absmax) + b, top[b]);
    }
}

// Pass 2: histogram of u = x / cs over positions >= 1, moments of x over all, of rows begin..end
// - 1.
static void histogram(const oct_observe_args *args, int64_t begin, int64_t end)
{
    const int32_t *position = cpu_ptr(args->step->position);
    const float *cs = cpu_ptr(args->column_factors);
    uint64_t bins[BINS] = {0};
    int64_t sum = 0, squares = 0, count = 0;
    float per_bin = args->absmax > 0.0f ? oct_div((float)BINS, args->absmax) : 0.0f;
    for (int64_t t = begin; t < end; t++) {
        if (position[t] < 0) {
            continue;
        }
        const float *x = (const float *)cpu_ptr(args->x) + (size_t)t * (size_t)args->cols;
        for (int32_t c = 0; c < args->cols; c++) {
            int64_t v = (int64_t)oct_rint(oct_mul(x[c], args->moment_mul)); // |v| < 2^16
            sum += v;
            squares += v * v;
        }
        count += args->cols;
        for (int32_t c = 0; c < args->cols && position[t] > 0 && per_bin > 0.0f; c++) {
            float u = cs == NULL ? x[c] : oct_div(x[c], cs[c]);
            int32_t bin = (int32_t)oct_mul(oct_abs(u), per_bin);
            bins[bin < BINS - 1 ? bin : BINS - 1]++;
        }
    }
    uint64_t *out = cpu_ptr(args->bins);
    for (int i = 0; i < BINS; i++) {
        if (bins[i] != 0) {
            __atomic_fetch_add(&out[i], bins[i], __ATOMIC_RELAXED);
        }
    }
    int64_t *moments = cpu_ptr(args->moments);
    __atomic_fetch_add(&moments[0], sum, __ATOMIC_RELAXED);
    __atomic_fetch_add(&moments[1], squares, __ATOMIC_RELAXED);
    __atomic_fetch_add(&moments[2], count, __ATOMIC_RELAXED);
}

static void keep_rows(const oct_observe_args *args, int64_t begin, int64_t end)
{
    const int32_t *map = cpu_ptr(args->row_map);
    size_t cols = (size_t)args->cols;
    for (int64_t t = begin; t < end; t++) {
        if (map[t] >= 0) {
            memcpy((float *)cpu_ptr(args->rows_out) + (size_t)map[t] * cols,
                   (const float *)cpu_ptr(args->x) + (size_t)t * cols, cols * sizeof(float));
        }
    }
}

static void observe_rank(void *user, int rank, int size)
{
    const oct_observe_args *args = user;
    int64_t begin, end;
    if (args->min_0.mem != NULL) {
        oct_team_range(args->cols, 64, rank, size, &begin, &end);
        ranges(args, begin, end);
    }
    oct_team_range(args->n_rows, 1, rank, size, &begin, &end);
    if (args->bins.mem != NULL) {
        histogram(args, begin, end);
    }
    if (args->rows_out.mem != NULL) {
        keep_rows(args, begin, end);
    }
}

oct_status cpu_observe(oct_device *device, const oct_observe_args *args)
{
    oct_team_run(cpu_of(device)->team, observe_rank, (void *)args);
    return OCT_OK;
}
