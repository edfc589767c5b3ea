// QUANTIZE: rounding weights to nearest.
#include "quant/round_nearest.h"

#include "octet/numerics.h"

#include <stddef.h>

typedef struct rounding {
    const float *w;
    const float *cs;
    int32_t n, k;
    int8_t *codes;
    float *step;
    int32_t *colsum;
} rounding;

static float scaled(const rounding *r, const float *row, int32_t j)
{
    return r->cs != NULL ? oct_mul(row[j], r->cs[j]) : row[j];
}

static void round_row(const rounding *r, int64_t i)
{
    const float *row = r->w + (size_t)i * (size_t)r->k;
    int8_t *codes = r->codes + (size_t)i * (size_t)r->k;
    float absmax = 0.0f;
    for (int32_t j = 0; j < r->k; j++) {
        float a = oct_abs(scaled(r, row, j));
        absmax = a > absmax ? a : absmax;
    }
    float step = oct_div(oct_absmax_or_127(absmax), 127.0f);
    int32_t sum = 0;
    for (int32_t j = 0; j < r->k; j++) {
        int32_t code = oct_requant(oct_div(scaled(r, row, j), step), 0, -127, 127);
        codes[j] = (int8_t)code;
        sum += code;
    }
    r->step[i] = step;
    if (r->colsum != NULL) {
        r->colsum[i] = sum;
    }
}

static void round_rows(void *user, int rank, int size)
{
    const rounding *r = user;
    int64_t begin, end;
    oct_team_range(r->n, 1, rank, size, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        round_row(r, i);
    }
}

void round_nearest(oct_team *team, const float *w, const float *cs, int32_t n, int32_t k,
                   int8_t *codes, float *step, int32_t *colsum)
{
    rounding r = {w, cs, n, k, codes, step, colsum};
    oct_team_run(team, round_rows, &r);
}
