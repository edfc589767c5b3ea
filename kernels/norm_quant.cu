// LayerNorm of rows, then their rounding to the codes of the next linear layer.
//
// Computes:      xh = (x - mean) * rstd, y = fma(xh, G[c], B[c]), q = requant(y * rho_t, z_t);
//                F32: y itself
// Shapes:        x [T][C] f32, G and B [C] f32, out [n_rows][oct_act_stride] s8 or f32, row_step
//                and row_zero [n_rows], tap [n_rows][C] f32; row i is row rows[i] of x where set
// Grid:          one block of 128 threads a row
// Shared memory: 2 * 32 * 4 + 4 * 4 bytes
// Bound:         n_rows * C * (4 + 1) bytes (W8A8), n_rows * C * 8 (F32), G and B from the L1 cache
// Numerics:      the order of NUMERICS.md section 4: thread j is accumulator j, then fours, then
//                halves; a sum of two floats does not depend on which lane adds it. Maxima over bit
//                patterns (section 2)
// Limits:        1 <= C <= 16384; above C = 5120 a row is read again instead of kept in registers
#include "common.cuh"

static const int THREADS = 128; // accumulators of a row sum
static const int MAX_COLS = 16384;
static const int WARPS = THREADS / 32;
static_assert(THREADS == 128, "section 4 sums a row with 128 accumulators, one a thread");

// The sum of the 128 threads' accumulators, to every thread. `fours` belongs to this call alone:
// the barrier makes its 32 sums visible, and nobody writes them again.
static __device__ __forceinline__ float row_tree(float s, float fours[32])
{
    s = oct_add(s, __shfl_xor_sync(ALL_LANES, s, 1));
    s = oct_add(s, __shfl_xor_sync(ALL_LANES, s, 2));
    if (threadIdx.x % 4 == 0) {
        fours[threadIdx.x / 4] = s;
    }
    __syncthreads();
    s = fours[threadIdx.x % 32];
#pragma unroll
    for (int h = 16; h >= 1; h /= 2) {
        s = oct_add(s, __shfl_xor_sync(ALL_LANES, s, h));
    }
    return s;
}

// Dynamic rows: a = max |y|, from every thread's own maximum. The barrier makes the warps' maxima
// visible.
static __device__ __forceinline__ row_factors dynamic_row(uint32_t top, uint32_t tops[WARPS])
{
    top = warp_max(top);
    if (threadIdx.x % 32 == 0) {
        tops[threadIdx.x / 32] = top;
    }
    __syncthreads();
    float a = oct_absmax_or_127(oct_float(max(max(tops[0], tops[1]), max(tops[2], tops[3]))));
    return {oct_div(127.0f, a), oct_div(a, 127.0f), 0};
}

// A row's elements as thread j sees them: number i is column j + 128 * i. KEPT > 0: at most that
// many, in registers, read once. KEPT = 0: any number, read from global memory at each use.
template <int KEPT> struct own_values {
    const float *x; // the row, at column j
    int32_t n;      // how many are ours
    float kept[KEPT > 0 ? KEPT : 1];

    __device__ __forceinline__ own_values(const float *row, int32_t cols)
        : x(row + threadIdx.x), n((cols - (int32_t)threadIdx.x + THREADS - 1) / THREADS)
    {
#pragma unroll
        for (int i = 0; i < KEPT; i++) {
            kept[i] = i < n ? x[i * THREADS] : 0.0f;
        }
    }

    // Calls use(value, 128 * i) in ascending order; a kept value may be replaced.
    template <typename Use> __device__ __forceinline__ void each(Use use)
    {
        if (KEPT > 0) {
#pragma unroll
            for (int i = 0; i < KEPT; i++) {
                if (i < n) {
                    use(kept[i], i * THREADS);
                }
            }
        } else {
            for (int i = 0; i < n; i++) {
                float value = x[i * THREADS];
                use(value, i * THREADS);
            }
        }
    }
};

// TAPPED: floats are written, too (a tap, or the F32 format's output); else nothing but codes.
template <int KEPT, bool TAPPED>
static __global__ void __launch_bounds__(THREADS) norm_quant_kernel(const launch_norm args)
{
    __shared__ float fours[2][32]; // one for each of the two sums
    __shared__ uint32_t tops[WARPS];
    size_t i = blockIdx.x;
    int32_t j = (int32_t)threadIdx.x;
    int32_t cols = args.cols;
    int32_t t = args.rows == nullptr ? (int32_t)i : args.rows[i];
    int32_t position = t < 0 ? -1 : args.step.position[t];
    const float *G = args.G + j;
    const float *B = args.B + j;
    own_values<KEPT> own(args.x + (size_t)(t < 0 ? 0 : t) * (size_t)cols, cols);

    // mean = sum / C, var = sum of squared deviations / C, rstd = 1 / sqrt(var + eps).
    float sum = 0.0f;
    own.each([&](float &x, int) { sum = oct_add(sum, x); });
    float mean = oct_div(row_tree(sum, fours[0]), (float)cols);
    float squares = 0.0f;
    own.each([&](float &x, int) {
        float d = oct_sub(x, mean);
        squares = oct_fma(d, d, squares);
    });
    float var = oct_div(row_tree(squares, fours[1]), (float)cols);
    float rstd = oct_rstd(var, args.eps);

    // y in place of x where it is kept; where not, each use makes it again.
    auto norm = [&](float x, int c) {
        return oct_fma(oct_mul(oct_sub(x, mean), rstd), G[c], B[c]);
    };
    bool is_f32 = TAPPED && args.quant.format == OCT_FORMAT_F32;
    float *out_f32 = (float *)args.out.data + i * stride_f32(cols) + j;
    float *tap = args.tap + i * (size_t)cols + j;
    own.each([&](float &x, int c) {
        x = norm(x, c);
        if (TAPPED && args.tap != nullptr) {
            tap[c] = args.tap_mul == nullptr ? x : oct_mul(x, args.tap_mul[j + c]);
        }
        if (is_f32) {
            out_f32[c] = x;
        }
    });
    if (is_f32) {
        return;
    }
    auto normed = [&](float value, int c) { return KEPT > 0 ? value : norm(value, c); };
    row_factors row = static_row(args.quant, position);
    if (args.quant.dynamic) {
        uint32_t top = 0;
        own.each([&](float &value, int c) { top = max(top, magnitude(normed(value, c))); });
        row = dynamic_row(top, tops);
    }
    int8_t *out_i8 = (int8_t *)args.out.data + i * stride_i8(cols) + j;
    float lo = (float)(args.quant.lo - row.zero);
    float hi = (float)(args.quant.hi - row.zero);
    own.each([&](float &value, int c) {
        float y = oct_mul(normed(value, c), row.rho);
        out_i8[c] = (int8_t)oct_requant_raw(y, row.zero, lo, hi);
    });
    if (j == 0) {
        args.out.row_step[i] = row.sigma;
        args.out.row_zero[i] = row.zero;
    }
}

template <int KEPT> static int launch(const launch_norm &args, launch_stream stream)
{
    unsigned grid = (unsigned)args.n_rows;
    if (args.tap != nullptr || args.quant.format == OCT_FORMAT_F32) {
        norm_quant_kernel<KEPT, true><<<grid, THREADS, 0, stream>>>(args);
    } else {
        norm_quant_kernel<KEPT, false><<<grid, THREADS, 0, stream>>>(args);
    }
    return (int)cudaGetLastError();
}

extern "C" int oct_launch_norm_quant(const launch_norm *args, launch_stream stream)
{
    if (args->cols < 1 || args->cols > MAX_COLS || args->n_rows < 0 ||
        (args->quant.format != OCT_FORMAT_F32 && args->quant.format != OCT_FORMAT_W8A8)) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    if (args->cols <= 8 * THREADS) {
        return launch<8>(*args, stream);
    }
    if (args->cols <= 16 * THREADS) {
        return launch<16>(*args, stream);
    }
    if (args->cols <= 40 * THREADS) {
        return launch<40>(*args, stream);
    }
    return launch<0>(*args, stream);
}
