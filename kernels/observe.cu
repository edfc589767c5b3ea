// CALIBRATE on the device: what observers add up from a tap, without ever waiting for the host.
//
// Computes:      ranges: min and max per column, position 0 and the rest apart, absmax of positions
//                0, 1..3 and 4..; histogram of |x / cs| over positions >= 1 in 2048 bins and sums
//                of v, v * v and 1, v = rint(x * moment_mul); rows kept: rows_out[row_map[t]] =
//                x[t]
// Shapes:        x [T][C] f32, min_0 .. max [C] f32, bucket_absmax [3] f32, bins [2048] u64,
// moments
//                [3] s64, row_map [T] s32, rows_out [kept][C] f32
// Grid:          ranges: x: 128 columns, y: 32 rows; histogram: 8 rows a block; kept rows: one
// Shared memory: histogram: 2048 * 4 bytes; ranges, kept rows: none
// Bound:         T * C * 4 bytes each; kept rows T * C * 8 at most
// Numerics:      order-free: maxima over bit patterns, exact integer sums (NUMERICS.md sections 7
//                and 8); u = x / cs is one division, bin = min(2047, (int)(|u| * (2048 / absmax)))
// Limits:        C >= 1; min <= 0 <= max before the call (the caller starts them at 0); C <= 2^28
#include "common.cuh"

static const int RANGE_THREADS = 128; // a thread owns a column
static const int RANGE_ROWS = 32;     // of a block; one atomic a column and bound for all of them
static const int MAX_GRID_Y = 65535;
static const int THREADS = 256;
static const int HISTOGRAM_ROWS = 8;
static const int BINS = 2048;        // backend.h
static const int MAX_COLS = 1 << 28; // so that a block's counts fit 32 bits

// *at = max(*at, x) for at >= 0: patterns of non-negative floats are ordered like integers.
static __device__ __forceinline__ void raise_to(float *at, float x)
{
    if (x > 0.0f) {
        atomicMax((unsigned *)at, oct_bits(x));
    }
}

// *at = min(*at, x) for at <= 0, starting at +0: of negative floats the larger pattern is the
// smaller number, and +0 has the smallest pattern of all.
static __device__ __forceinline__ void lower_to(float *at, float x)
{
    if (x < 0.0f) {
        atomicMax((unsigned *)at, oct_bits(x));
    }
}

static __device__ __forceinline__ void add_to(void *at, uint64_t x)
{
    atomicAdd((unsigned long long *)at, (unsigned long long)x);
}

static __global__ void __launch_bounds__(RANGE_THREADS) ranges_kernel(const launch_observe args)
{
    int32_t c = (int32_t)(blockIdx.x * RANGE_THREADS + threadIdx.x);
    bool inside = c < args.cols;
    // Range of position 0, range of the rest; absmax of positions 0, 1..3, 4..
    float lo[2] = {0.0f, 0.0f};
    float hi[2] = {0.0f, 0.0f};
    uint32_t top[3] = {0, 0, 0};
    for (int32_t t0 = (int32_t)blockIdx.y * RANGE_ROWS; t0 < args.n_rows;
         t0 += (int32_t)gridDim.y * RANGE_ROWS) {
        int32_t end = min(t0 + RANGE_ROWS, args.n_rows);
        for (int32_t t = t0; t < end; t++) {
            int32_t position = args.step.position[t];
            if (position < 0 || !inside) {
                continue;
            }
            float x = args.x[(size_t)t * (size_t)args.cols + (size_t)c];
            if (position == 0) {
                lo[0] = x < lo[0] ? x : lo[0];
                hi[0] = x > hi[0] ? x : hi[0];
                top[0] = max(top[0], magnitude(x));
            } else {
                lo[1] = x < lo[1] ? x : lo[1];
                hi[1] = x > hi[1] ? x : hi[1];
                top[1] = max(top[1], position <= 3 ? magnitude(x) : 0);
                top[2] = max(top[2], position <= 3 ? 0 : magnitude(x));
            }
        }
    }
    if (inside) {
        lower_to(args.min_0 + c, lo[0]);
        raise_to(args.max_0 + c, hi[0]);
        lower_to(args.min + c, lo[1]);
        raise_to(args.max + c, hi[1]);
    }
#pragma unroll
    for (int b = 0; b < 3; b++) {
        uint32_t warp_top = warp_max(top[b]);
        if (threadIdx.x % 32 == 0 && warp_top != 0) {
            atomicMax((unsigned *)args.bucket_absmax + b, warp_top);
        }
    }
}

static __device__ __forceinline__ int64_t warp_sum(int64_t x)
{
#pragma unroll
    for (int h = 16; h >= 1; h /= 2) {
        x += __shfl_xor_sync(ALL_LANES, x, h);
    }
    return x;
}

// The bins of HISTOGRAM_ROWS rows are merged once.
static __global__ void __launch_bounds__(THREADS) histogram_kernel(const launch_observe args)
{
    __shared__ uint32_t bins[BINS];
    for (int i = (int)threadIdx.x; i < BINS; i += THREADS) {
        bins[i] = 0;
    }
    __syncthreads(); // the bins are empty
    float per_bin = args.absmax > 0.0f ? oct_div((float)BINS, args.absmax) : 0.0f;
    int64_t sum = 0;
    int64_t squares = 0;
    int64_t count = 0; // thread 0 counts for all
    int32_t begin = (int32_t)blockIdx.x * HISTOGRAM_ROWS;
    for (int32_t t = begin; t < min(begin + HISTOGRAM_ROWS, args.n_rows); t++) {
        int32_t position = args.step.position[t];
        if (position < 0) {
            continue;
        }
        const float *row = args.x + (size_t)t * (size_t)args.cols;
        for (int32_t c = (int32_t)threadIdx.x; c < args.cols; c += THREADS) {
            float x = row[c];
            int64_t v = (int64_t)oct_rint(oct_mul(x, args.moment_mul)); // |v| < 2^16
            sum += v;
            squares += v * v;
            if (position > 0 && per_bin > 0.0f) {
                float cs = args.column_factors == nullptr ? 1.0f : args.column_factors[c];
                int32_t bin = (int32_t)oct_mul(oct_abs(oct_div(x, cs)), per_bin);
                atomicAdd(&bins[min(bin, BINS - 1)], 1u);
            }
        }
        count += threadIdx.x == 0 ? args.cols : 0;
    }
    sum = warp_sum(sum);
    squares = warp_sum(squares);
    if (threadIdx.x % 32 == 0) {
        add_to(args.moments, (uint64_t)sum);
        add_to(args.moments + 1, (uint64_t)squares);
    }
    if (threadIdx.x == 0) {
        add_to(args.moments + 2, (uint64_t)count);
    }
    __syncthreads(); // all rows are counted
    for (int i = (int)threadIdx.x; i < BINS; i += THREADS) {
        if (bins[i] != 0) {
            add_to(args.bins + i, bins[i]);
        }
    }
}

static __global__ void __launch_bounds__(THREADS) keep_rows_kernel(const launch_observe args)
{
    int32_t t = (int32_t)blockIdx.x;
    int32_t to = args.row_map[t];
    if (to < 0) {
        return;
    }
    const float *x = args.x + (size_t)t * (size_t)args.cols;
    float *out = args.rows_out + (size_t)to * (size_t)args.cols;
    for (int32_t c = (int32_t)threadIdx.x; c < args.cols; c += THREADS) {
        out[c] = x[c];
    }
}

extern "C" int oct_launch_observe(const launch_observe *args, launch_stream stream)
{
    if (args->cols < 1 || args->cols > MAX_COLS || args->n_rows < 0) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    unsigned rows = (unsigned)args->n_rows;
    if (args->min_0 != nullptr) {
        int32_t row_blocks = ceil_div(args->n_rows, RANGE_ROWS);
        dim3 grid((unsigned)ceil_div(args->cols, RANGE_THREADS),
                  (unsigned)(row_blocks < MAX_GRID_Y ? row_blocks : MAX_GRID_Y));
        ranges_kernel<<<grid, RANGE_THREADS, 0, stream>>>(*args);
    }
    if (args->bins != nullptr) {
        unsigned grid = (unsigned)ceil_div(args->n_rows, HISTOGRAM_ROWS);
        histogram_kernel<<<grid, THREADS, 0, stream>>>(*args);
    }
    if (args->rows_out != nullptr) {
        keep_rows_kernel<<<rows, THREADS, 0, stream>>>(*args);
    }
    return (int)cudaGetLastError();
}
