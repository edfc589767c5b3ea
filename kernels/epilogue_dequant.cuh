// epilogue_dequant.cuh: the first half of what follows a product: the factors of columns, the rows
// a thread takes at once, and y from exact sums (NUMERICS.md section 3 for s32, 7 for f32).
#ifndef OCT_EPILOGUE_DEQUANT_CUH
#define OCT_EPILOGUE_DEQUANT_CUH

#include "common.cuh"
#include "ptx.cuh"

template <typename SUM> struct sum_kind;
template <> struct sum_kind<int32_t> {
    static const bool F32 = false;
};
template <> struct sum_kind<float> {
    static const bool F32 = true;
};

// WIDTH adjacent columns and their factors. QKV: all of them are of one part and head.
template <int WIDTH> struct epilogue_columns {
    int32_t n; // the first column
    float mul[WIDTH], bias[WIDTH];
    int32_t colsum[WIDTH];
    float out_mul[WIDTH]; // GELU act_mul; QKV k_mul or v_mul
    int32_t part;         // QKV: 0 q, 1 k, 2 v
    int32_t channel;      // QKV: column of the part, 0..C-1
    int32_t d;            // QKV: column of the head
    size_t block;         // QKV: elements from the start of a page to the block of the head
};

// ROWS rows of the output; the last ones may not exist: they repeat an earlier row and are not
// stored.
template <int ROWS> struct epilogue_rows {
    int32_t t[ROWS];
    int32_t n_valid;
};

template <int WIDTH>
static __device__ __forceinline__ void load_factors(float (&v)[WIDTH], const float *p, int32_t n)
{
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        v[j] = p == NULL ? 0.0f : __ldg(p + n + j);
    }
}

template <typename SUM, int WIDTH>
static __device__ __forceinline__ epilogue_columns<WIDTH> load_columns(const launch_linear &args,
                                                                       int32_t n)
{
    epilogue_columns<WIDTH> col = {};
    col.n = n;
    load_factors(col.bias, args.bias, n);
    if (!sum_kind<SUM>::F32) {
        load_factors(col.mul, args.mul, n);
#pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            col.colsum[j] = __ldg(args.colsum + n + j);
        }
        if (args.epilogue == OCT_EPILOGUE_GELU) {
            load_factors(col.out_mul, args.act_mul, n);
        }
    }
    if (args.epilogue == OCT_EPILOGUE_QKV) {
        int32_t width = args.kv.n_head * args.kv.d_head;
        col.part = n / width;
        col.channel = n - col.part * width;
        int32_t head = col.channel / args.kv.d_head;
        col.d = col.channel - head * args.kv.d_head;
        if (col.part > 0) {
            col.block = kv_block(args.kv, args.layer, col.part - 1, head);
            if (!sum_kind<SUM>::F32) {
                load_factors(col.out_mul, col.part == 1 ? args.k_mul : args.v_mul, col.channel);
            }
        }
    }
    return col;
}

// Brings the factors of columns n0.. into the L2 cache before a long wait for sums. W8A8.
static __device__ __forceinline__ void prefetch_columns(const launch_linear &args, int32_t n0,
                                                        int32_t cols)
{
    int32_t n = n0 + (int32_t)threadIdx.x;
    if ((int32_t)threadIdx.x >= cols || n >= args.n) {
        return;
    }
    prefetch_l2(args.mul + n);
    prefetch_l2(args.colsum + n);
    if (args.bias != NULL) {
        prefetch_l2(args.bias + n);
    }
    if (args.epilogue == OCT_EPILOGUE_GELU) {
        prefetch_l2(args.act_mul + n);
    }
    if (args.epilogue == OCT_EPILOGUE_QKV) {
        int32_t width = args.kv.n_head * args.kv.d_head, part = n / width;
        if (part > 0) {
            prefetch_l2((part == 1 ? args.k_mul : args.v_mul) + n - part * width);
        }
    }
}

// y from sums: the zero point comes off the exact sum, then one fma (logits: a product, then an
// addition where there is a bias).
template <int ROWS, int WIDTH>
static __device__ __forceinline__ void
to_real(const launch_linear &args, const epilogue_columns<WIDTH> &col,
        const epilogue_rows<ROWS> &row, const int32_t (&sum)[ROWS][WIDTH], float (&y)[ROWS][WIDTH])
{
    float sigma[ROWS];
    int32_t zero[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        sigma[i] = __ldg(args.in.row_step + row.t[i]);
        zero[i] = __ldg(args.in.row_zero + row.t[i]);
    }
    if (args.epilogue == OCT_EPILOGUE_STORE) {
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
#pragma unroll
            for (int j = 0; j < WIDTH; j++) {
                float acc = (float)(sum[i][j] - zero[i] * col.colsum[j]);
                y[i][j] = oct_mul(acc, oct_mul(col.mul[j], sigma[i]));
                y[i][j] = args.bias == NULL ? y[i][j] : oct_add(y[i][j], col.bias[j]);
            }
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
#pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            float acc = (float)(sum[i][j] - zero[i] * col.colsum[j]);
            y[i][j] = oct_fma(acc, oct_mul(col.mul[j], sigma[i]), col.bias[j]);
        }
    }
}

// Section 7: the bias is added last.
template <int ROWS, int WIDTH>
static __device__ __forceinline__ void
to_real(const launch_linear &args, const epilogue_columns<WIDTH> &col, const epilogue_rows<ROWS> &,
        const float (&sum)[ROWS][WIDTH], float (&y)[ROWS][WIDTH])
{
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
#pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            y[i][j] = args.bias == NULL ? sum[i][j] : oct_add(sum[i][j], col.bias[j]);
        }
    }
}

#endif
