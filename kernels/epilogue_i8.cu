// The dequantizing epilogue alone, on s32 sums that another product made (cuBLASLt).
//
// Computes:      epilogue.cuh of sums[t][n]
// Shapes:        sums [M][N] s32; outputs by epilogue
// Grid:          (N / 128, M / 16) blocks of 128 threads
// Shared memory: none
// Bound:         M * N * 4 bytes read, and what the epilogue writes
// Numerics:      the bits of the fused epilogues: the same source
// Limits:        N <= 8388480; sums aligned to 16 bytes where N is a multiple of 4
#include "epilogue.cuh"

static const int THREADS = 128;
static const int COLS = 128, ROWS = 16; // of a block: 4 rows a thread share its columns' factors
static const int MAX_GRID_Y = 65535;

static __global__ void __launch_bounds__(THREADS)
    epilogue_i8_kernel(const __grid_constant__ launch_linear args, const int32_t *sums,
                       int32_t width)
{
    int32_t t0 = (int32_t)blockIdx.y * ROWS, n0 = (int32_t)blockIdx.x * COLS;
    epilogue_tile<int32_t, epilogue_shape<ROWS, COLS, THREADS>>(
        args, width, t0, n0, [&](auto &v, int32_t r, int32_t c) {
            load_cells(v, sums + (size_t)(t0 + r) * (size_t)args.n + (size_t)(n0 + c));
        });
}

extern "C" int oct_launch_epilogue_i8(const launch_linear *args, const int32_t *sums,
                                      launch_stream stream)
{
    if (!linear_is_legal(*args, OCT_FORMAT_W8A8) || ceil_div(args->n_rows, ROWS) > MAX_GRID_Y) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    int32_t width = is_aligned(sums, 16) ? epilogue_width(*args) : 1;
    dim3 grid((unsigned)ceil_div(args->n, COLS), (unsigned)ceil_div(args->n_rows, ROWS));
    epilogue_i8_kernel<<<grid, THREADS, 0, stream>>>(*args, sums, width);
    return (int)cudaGetLastError();
}
