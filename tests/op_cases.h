// tests: the shape table, for every backend that must equal the oracle: 1
// row, odd T, ragged C and N, GPT-2's widths, V = 50257, zero rows, one huge outlier, codes at
// +-127.
#ifndef OCT_OP_CASES_H
#define OCT_OP_CASES_H

#include "op_runner.h"

typedef void run_fn(oct_device *device, const op_case *c, op_outputs *out);

#define F32   OCT_FORMAT_F32
#define I8    OCT_FORMAT_W8A8
#define STORE OCT_EPILOGUE_STORE
#define RESID OCT_EPILOGUE_RESIDUAL
#define GELU  OCT_EPILOGUE_GELU
#define QKV   OCT_EPILOGUE_QKV

// format, rows, k, n, epilogue, activation, dynamic, asymmetric, taps, bias, first_position,
// padding, seed
static const op_case linear_cases[] = {
    {I8, 1, 32, 16, STORE, 0, false, false, false, false, 0, false, 1},
    {I8, 1, 768, 2304, QKV, 0, false, false, false, true, 130, false, 2},
    {I8, 3, 80, 48, RESID, 0, false, true, true, true, 0, false, 3},
    {I8, 13, 48, 33, STORE, 0, false, true, true, true, 0, true, 4},
    {I8, 7, 256, 1000, GELU, 0, false, true, true, true, 0, true, 5},
    {I8, 5, 256, 100, GELU, 1, false, true, true, true, 0, false, 6},
    {I8, 5, 64, 100, GELU, 2, false, false, true, true, 3, false, 7},
    {I8, 26, 96, 130, GELU, 0, true, false, true, true, 0, true, 8},
    {I8, 9, 1280, 240, QKV, 0, true, false, true, true, 60, true, 9},
    {I8, 12, 47, 48, QKV, 0, false, false, true, true, 0, false, 10},
    {I8, 2, 1600, 64, RESID, 0, true, false, false, true, 0, false, 11},
    {I8, 25, 6400, 20, RESID, 0, false, true, false, true, 0, false, 12},
    {I8, 2, 64, 50257, STORE, 0, false, false, false, false, 0, false, 13},
    {F32, 1, 32, 16, STORE, 0, false, false, false, false, 0, false, 14},
    {F32, 7, 80, 48, RESID, 0, false, false, true, true, 0, true, 15},
    {F32, 13, 47, 33, GELU, 0, false, false, true, true, 0, true, 16},
    {F32, 5, 64, 100, GELU, 1, false, false, true, true, 0, false, 17},
    {F32, 5, 64, 100, GELU, 2, false, false, true, true, 0, false, 18},
    {F32, 9, 768, 144, QKV, 0, false, false, true, true, 60, true, 19},
    {F32, 26, 48, 1000, STORE, 0, false, false, false, true, 0, false, 20},
    {F32, 1, 1600, 4800, QKV, 0, false, false, false, true, 127, false, 21},
};

static const op_case norm_cases[] = {
    {I8, 1, 768, 1, 0, 0, false, false, false, false, 0, false, 31},
    {I8, 5, 48, 1, 0, 0, false, false, true, false, 0, true, 32},
    {I8, 4, 80, 1, 0, 0, false, true, true, false, 0, false, 33},
    {I8, 7, 1024, 1, 0, 0, true, false, true, false, 9, true, 34},
    {I8, 3, 1600, 1, 0, 0, false, false, false, false, 1, false, 35},
    {F32, 5, 1280, 1, 0, 0, false, false, true, false, 0, true, 36},
    {F32, 3, 47, 1, 0, 0, false, false, true, false, 0, false, 37},
};

// k = D, n = H
static const op_case attend_cases[] = {
    {I8, 1, 64, 2, 0, 0, false, false, true, false, 0, false, 41},
    {I8, 1, 64, 12, 0, 0, false, false, false, false, 127, false, 42},
    {I8, 3, 64, 2, 0, 0, false, false, true, false, 126, true, 43},
    {I8, 70, 8, 3, 0, 0, false, false, true, false, 0, true, 44},
    {I8, 5, 16, 5, 0, 0, true, false, true, false, 257, false, 45},
    {I8, 4, 80, 2, 0, 0, false, true, false, false, 500, false, 46},
    {I8, 3, 128, 2, 0, 0, true, false, true, false, 61, true, 47},
    {F32, 1, 64, 2, 0, 0, false, false, true, false, 0, false, 48},
    {F32, 70, 8, 3, 0, 0, false, false, true, false, 0, true, 49},
    {F32, 5, 80, 2, 0, 0, false, false, true, false, 257, false, 50},
};

static const op_case embed_cases[] = {
    {I8, 7, 48, 1000, 0, 0, false, false, false, false, 0, true, 61},
    {I8, 1, 768, 50257, 0, 0, false, false, false, false, 5, false, 62},
    {F32, 7, 80, 1000, 0, 0, false, false, false, false, 3, true, 63},
};

// n = V
static const op_case logit_cases[] = {
    {F32, 7, 1, 1000, 0, 0, false, false, false, false, 0, false, 71},
    {F32, 3, 1, 50257, 0, 0, false, false, false, false, 9, false, 72},
    {F32, 5, 1, 3, 0, 0, false, false, false, false, 0, false, 73},
};

static const op_case observe_cases[] = {
    {F32, 9, 48, 1, 0, 0, false, false, false, false, 0, true, 81},
    {F32, 4, 3072, 1, 0, 0, false, false, false, false, 2, false, 82},
};

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static void run_sample_all(oct_device *device, const op_case *c, op_outputs *out)
{
    static const oct_sampling options[] = {
        {0.0f, 1.0f, 0, 0, 1.0, 0.0, 0},   {1.0f, 1.0f, 0, 0, 1.0, 0.0, 1},
        {0.7f, 1.3f, 30, 0, 1.0, 0.0, 2},  {1.5f, 1.0f, 0, 1, 0.9, 0.0, 3},
        {1.0f, 1.1f, 2, 0, 0.95, 0.05, 4}, {2.0f, 1.0f, 0, 0, 1.0, 0.3, 5},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0] && i < 5; i++) {
        op_outputs one = {0};
        run_sample(device, c, &options[i], &one);
        out->item[out->n++] = one.item[0];
        one.item[0].data = NULL;
        op_outputs_free(&one);
    }
}

#endif
