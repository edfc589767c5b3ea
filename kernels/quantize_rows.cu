// Dynamic activations: rows that waited as floats for their maximum become codes.
//
// Computes:      a = max |y| over the row; q = requant(y * (127 / a), 0), row_step = a / 127,
//                row_zero = 0
// Shapes:        waiting [n_rows][N] f32, out [n_rows][N64] s8, row_step and row_zero [n_rows]
// Grid:          one block a row
// Shared memory: WARPS * 4 bytes
// Bound:         n_rows * N * (4 + 1) bytes; the second read of a row comes from the L1 or L2 cache
// Numerics:      maximum over bit patterns, so its order is free (NUMERICS.md section 2); below
//                2^-100 it counts as 127
// Limits:        N >= 1; four columns a load where N is a multiple of 4, one where it is not
#include "common.cuh"

static const int THREADS = 256; // N = 3072: three times four columns a thread
static const int WARPS = THREADS / 32;
static_assert(32 % WARPS == 0, "a warp reads the warps' maxima, each 32 / WARPS times");

template <int WIDTH>
static __global__ void __launch_bounds__(THREADS)
    quantize_rows_kernel(const launch_quantize_rows args)
{
    __shared__ uint32_t tops[WARPS];
    size_t row = blockIdx.x;
    const float *waiting = args.waiting + row * (size_t)args.cols;
    int8_t *out = (int8_t *)args.out.data + row * stride_i8(args.cols);
    int32_t first = (int32_t)threadIdx.x * WIDTH;
    float y[WIDTH];
    uint32_t top = 0;
    for (int32_t c = first; c < args.cols; c += THREADS * WIDTH) {
        load_cells(y, waiting + c);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            top = max(top, magnitude(y[i]));
        }
    }
    top = warp_max(top);
    if (threadIdx.x % 32 == 0) {
        tops[threadIdx.x / 32] = top;
    }
    __syncthreads(); // the warps' maxima are there
    float a = oct_absmax_or_127(oct_float(warp_max(tops[threadIdx.x % WARPS])));
    float rho = oct_div(127.0f, a);
    for (int32_t c = first; c < args.cols; c += THREADS * WIDTH) {
        uint32_t raw[WIDTH];
        load_cells(y, waiting + c);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            raw[i] = oct_requant_raw(oct_mul(y[i], rho), 0, -127.0f, 127.0f);
        }
        store_codes(out + c, raw);
    }
    if (threadIdx.x == 0) {
        args.out.row_step[row] = oct_div(a, 127.0f);
        args.out.row_zero[row] = 0;
    }
}

extern "C" int oct_launch_quantize_rows(const launch_quantize_rows *args, launch_stream stream)
{
    if (args->cols < 1 || args->n_rows < 0) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    if (args->cols % 4 == 0) {
        quantize_rows_kernel<4><<<(unsigned)args->n_rows, THREADS, 0, stream>>>(*args);
    } else {
        quantize_rows_kernel<1><<<(unsigned)args->n_rows, THREADS, 0, stream>>>(*args);
    }
    return (int)cudaGetLastError();
}
