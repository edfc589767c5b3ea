// The exact FP32 product on CUDA cores, with its epilogue: calibration and the FP32 baseline.
//
// Computes:      y[t][n] = one fma chain over ascending k of act[t][k] * weight[n][k], from 0; then
//                the bias; then epilogue.cuh
// Shapes:        act [M][K16] f32, weight [N][K4] f32, both zero behind K; outputs by epilogue
// Grid:          (M / BM, N / BN) blocks; a thread owns TM x TN outputs, BM / TM rows and BN / TN
//                columns apart, and all of their k
// Shared memory: 2 * (BM + BN) * (BK + 4) * 4 bytes
// Bound:         M * N * K fma; (K * N * M / BM + M * K * N / BN) * 4 bytes from the L2 cache
// Numerics:      NUMERICS.md section 7; k ends at K, not at the padding: fma(0, 0, -0) is +0
// Limits:        weight and act aligned to 16 bytes; N <= 65535 * BN. There is no tile argument:
//                the launcher takes the small tile where M is small, the large one where it fills
//                a GPU, the middle one between
#include "epilogue.cuh"
#include "ptx.cuh"

static const int STAGES = 2; // one is filled while one is read; a stage lasts 1000 cycles and more
static const int PAD = 4;    // floats a row: 8 rows' 16 bytes then cover all 32 banks
static const int MAX_GRID_Y = 65535;
static const int SMALL_ROWS = 16;
static const int LARGE_BLOCKS = 96; // blocks that make the largest tile worth while

template <int BM, int BN, int BK, int TM, int TN> struct f32_tile {
    static const int ROWS_OF_THREADS = BM / TM, COLUMNS_OF_THREADS = BN / TN;
    static const int THREADS = ROWS_OF_THREADS * COLUMNS_OF_THREADS;
    static const int PITCH = BK + PAD; // floats
    static const int STAGE = (BM + BN) * PITCH;
    static_assert(COLUMNS_OF_THREADS == 16,
                  "half a warp reads 16 rows of weights without conflicts");
    static_assert((PITCH / 4) % 2 == 1, "rows shift by an odd number of 16-byte units");
};

// The copies of one operand's tile that belong to a thread: 16 bytes at column `column` of rows
// row, row + STEP... Rows beyond the last are read as the last: their outputs are dropped.
template <int ROWS, int BK, int THREADS> struct f32_copy {
    static const int CHUNKS = BK / 4; // of a row
    static const int STEP = THREADS / CHUNKS;
    static const int COPIES = ROWS / STEP;
    static_assert(ROWS % STEP == 0, "every thread copies the same number of chunks");

    const float *src[COPIES];
    int32_t column;
    uint32_t dst; // bytes from the start of a tile

    __device__ __forceinline__ f32_copy(const void *base, size_t stride, int32_t row0,
                                        int32_t n_rows)
    {
        int32_t row = (int32_t)threadIdx.x / CHUNKS;
        column = (int32_t)threadIdx.x % CHUNKS * 4;
        dst = (uint32_t)(row * (BK + PAD) + column) * 4;
#pragma unroll
        for (int i = 0; i < COPIES; i++) {
            int32_t at = min(row0 + row + i * STEP, n_rows - 1);
            src[i] = (const float *)base + (size_t)at * stride + column;
        }
    }

    // Starts the copies of columns k.. into the tile at shared address `tile`; columns beyond
    // `width`, a multiple of 4, become zeros.
    __device__ __forceinline__ void start(uint32_t tile, int32_t k, int32_t width) const
    {
        uint32_t bytes = k + column < width ? 16 : 0;
#pragma unroll
        for (int i = 0; i < COPIES; i++) {
            cp_async_16_zero_fill(tile + dst + (uint32_t)(i * STEP * (BK + PAD) * 4), src[i] + k,
                                  bytes);
        }
    }
};

static __device__ __forceinline__ float cell(const float4 &v, int e)
{
    return e == 0 ? v.x : e == 1 ? v.y : e == 2 ? v.z : v.w;
}

template <int BM, int BN, int BK, int TM, int TN>
static __global__ void __launch_bounds__(BM / TM * BN / TN)
    gemm_f32_kernel(const __grid_constant__ launch_linear args, int32_t width)
{
    typedef f32_tile<BM, BN, BK, TM, TN> tile;
    const int RT = tile::ROWS_OF_THREADS, CT = tile::COLUMNS_OF_THREADS, PITCH = tile::PITCH;
    const int OUT_PITCH = BN + 16; // two rows of 16 threads store to different banks
    const int PARTS = BM * OUT_PITCH > STAGES * tile::STAGE ? 2 : 1, PART_TM = TM / PARTS;
    static_assert(BM / PARTS * OUT_PITCH <= STAGES * tile::STAGE, "outputs fit over the stages");
    __shared__ __align__(16) float memory[STAGES * tile::STAGE];

    int32_t m0 = (int32_t)blockIdx.x * BM, n0 = (int32_t)blockIdx.y * BN;
    int32_t k4 = round_up(args.k, 4), steps = ceil_div(args.k, BK);
    f32_copy<BM, BK, tile::THREADS> copy_a(args.in.data, stride_f32(args.k), m0, args.n_rows);
    f32_copy<BN, BK, tile::THREADS> copy_b(args.weight, (size_t)k4, n0, args.n);
    uint32_t stages = shared_address(memory);
    auto start = [&](int32_t step) {
        uint32_t to = stages + (uint32_t)(step % STAGES * tile::STAGE * 4);
        copy_a.start(to, step * BK, k4);
        copy_b.start(to + BM * PITCH * 4, step * BK, k4);
        cp_async_commit();
    };
    start(0);
    int32_t ty = (int32_t)threadIdx.x / CT, tx = (int32_t)threadIdx.x % CT;
    float y[TM][TN] = {};
    for (int32_t step = 0; step < steps; step++) {
        cp_async_wait<0>();
        // The stage is there for all; and all have read the other one.
        __syncthreads();
        if (step + 1 < steps) {
            start(step + 1);
        }
        const float *a = memory + step % STAGES * tile::STAGE + ty * PITCH;
        const float *b = memory + step % STAGES * tile::STAGE + (BM + tx) * PITCH;
        int32_t here = min(args.k - step * BK, BK); // cells of k in this stage
        int32_t k = 0;
#pragma unroll 1
        for (; k + 4 <= here; k += 4) {
            float4 va[TM];
#pragma unroll
            for (int i = 0; i < TM; i++) {
                va[i] = *(const float4 *)(a + i * RT * PITCH + k);
            }
#pragma unroll
            for (int j = 0; j < TN; j++) {
                float4 vb = *(const float4 *)(b + j * CT * PITCH + k);
#pragma unroll
                for (int e = 0; e < 4; e++) {
#pragma unroll
                    for (int i = 0; i < TM; i++) {
                        y[i][j] = oct_fma(cell(va[i], e), cell(vb, e), y[i][j]);
                    }
                }
            }
        }
        for (; k < here; k++) { // the last 1 to 3
#pragma unroll
            for (int i = 0; i < TM; i++) {
#pragma unroll
                for (int j = 0; j < TN; j++) {
                    y[i][j] = oct_fma(a[i * RT * PITCH + k], b[j * CT * PITCH + k], y[i][j]);
                }
            }
        }
    }
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
        __syncthreads(); // the last stage, or the part before, has been read by all
#pragma unroll
        for (int i = 0; i < PART_TM; i++) {
#pragma unroll
            for (int j = 0; j < TN; j++) {
                memory[(ty + i * RT) * OUT_PITCH + tx + j * CT] = y[part * PART_TM + i][j];
            }
        }
        __syncthreads(); // all outputs of the part are there
        epilogue_tile<float, epilogue_shape<BM / PARTS, BN, tile::THREADS>>(
            args, width, m0 + part * (BM / PARTS), n0,
            [&](auto &v, int32_t r, int32_t c) { load_cells(v, memory + r * OUT_PITCH + c); });
    }
}

template <int BM, int BN, int BK, int TM, int TN>
static int launch(const launch_linear &args, launch_stream stream)
{
    dim3 grid((unsigned)ceil_div(args.n_rows, BM), (unsigned)ceil_div(args.n, BN));
    if (grid.y > MAX_GRID_Y) {
        return LAUNCH_ERR_SHAPE;
    }
    gemm_f32_kernel<BM, BN, BK, TM, TN>
        <<<grid, f32_tile<BM, BN, BK, TM, TN>::THREADS, 0, stream>>>(args, epilogue_width(args));
    return (int)cudaGetLastError();
}

extern "C" int oct_launch_gemm_f32(const launch_linear *args, launch_stream stream)
{
    if (!linear_is_legal(*args, OCT_FORMAT_F32)) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->n_rows == 0) {
        return 0;
    }
    if (args->n_rows <= SMALL_ROWS) {
        return launch<8, 32, 64, 1, 2>(*args, stream);
    }
    if ((int64_t)ceil_div(args->n_rows, 128) * ceil_div(args->n, 128) >= LARGE_BLOCKS) {
        return launch<128, 128, 16, 8, 8>(*args, stream);
    }
    return launch<64, 64, 16, 8, 4>(*args, stream);
}
