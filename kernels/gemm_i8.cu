// The INT8 product for many rows (prefill) on tensor cores, with its epilogue.
//
// Computes:      sum[t][n] = sum over k of act[t][k] * weight[n][k]; then epilogue.cuh
// Shapes:        act [M][K64] s8, weight [N][K64] s8, both zero behind K; outputs by epilogue
// Grid:          (M / BM, N / BN) blocks of 4 warps, 2 x 2 over the tile (1 x 4 where BM = 16);
//                x runs over M, so that blocks that share weights run together
// Shared memory: STAGES * (BM + BN) * BK bytes; the sums of the epilogue lie over them
// Bound:         2 * M * N * K operations; N * K * M / BM + M * K * N / BN bytes from the L2 cache
// Numerics:      s32, exact in any order: every tile gives the same bits
// Limits:        sm_80; K <= 66311; weight and act aligned to 16 bytes; N <= 65535 * BN
#include "epilogue.cuh"
#include "ptx.cuh"

static const int THREADS = 128;
static const int CHUNK = 16; // bytes of one cp.async and of one row of an 8x8 matrix
static const int MMA_K = 32; // bytes of k that one mma.sync takes
static const int MAX_GRID_Y = 65535;

// The copies of one operand's tile that belong to a thread: chunk `chunk` of rows row, row +
// STEP... Rows beyond the last are read as the last: their sums are never used.
template <int ROWS, int BK> struct tile_copy {
    static const int CHUNKS = BK / CHUNK;     // of a row
    static const int STEP = THREADS / CHUNKS; // rows from copy to copy
    static const int COPIES = ROWS / STEP;    // of a thread
    static_assert(ROWS % STEP == 0, "every thread copies the same number of chunks");

    const int8_t *src[COPIES];
    uint32_t dst; // in the tile; STEP is a multiple of 8, so later copies are swizzled alike

    __device__ __forceinline__ tile_copy(const void *base, size_t stride, int32_t row0,
                                         int32_t n_rows)
    {
        int row = (int)threadIdx.x / CHUNKS, chunk = (int)threadIdx.x % CHUNKS;
        static_assert(STEP % 8 == 0, "the swizzle has a period of 8 rows");
        dst = (uint32_t)swizzled<BK>(row, chunk);
#pragma unroll
        for (int i = 0; i < COPIES; i++) {
            int32_t at = min(row0 + row + i * STEP, n_rows - 1);
            src[i] = (const int8_t *)base + (size_t)at * stride + chunk * CHUNK;
        }
    }

    // Starts the copies of columns k.. into the tile at shared address `tile`. K64 is a multiple of
    // 64: with BK = 64 all chunks exist, with 128 the last tile may lack its second half.
    __device__ __forceinline__ void start(uint32_t tile, int32_t k, int32_t k64) const
    {
        uint32_t bytes = CHUNK;
        if (BK > 64) {
            bytes = k + (int)threadIdx.x % CHUNKS * CHUNK < k64 ? CHUNK : 0;
        }
#pragma unroll
        for (int i = 0; i < COPIES; i++) {
            uint32_t to = tile + dst + (uint32_t)(i * STEP * BK);
            if (BK > 64) {
                cp_async_16_zero_fill(to, src[i] + k, bytes);
            } else {
                cp_async_16(to, src[i] + k);
            }
        }
    }
};

// Warps over the tile, and 16x8 products of a warp. Fragment i of the warps' rows is i * WARPS_M +
// warp: so the sums of half of the fragments are half of the tile's rows, all adjacent.
template <int BM, int BN> struct warp_shape {
    static const int WARPS_M = BM >= 32 ? 2 : 1;
    static const int WARPS_N = THREADS / 32 / WARPS_M;
    static const int FRAGMENTS_M = BM / 16 / WARPS_M;
    static const int FRAGMENTS_N = BN / 8 / WARPS_N;
    static_assert(FRAGMENTS_M >= 1 && FRAGMENTS_N % 2 == 0,
                  "one ldmatrix.x4 feeds two 8-wide columns");
};

// Adds the product of one stage: A at shared address `a`, B at `b`.
template <int BM, int BN, int BK>
static __device__ __forceinline__ void
multiply_stage(int32_t (&sum)[warp_shape<BM, BN>::FRAGMENTS_M][warp_shape<BM, BN>::FRAGMENTS_N][4],
               uint32_t a, uint32_t b)
{
    typedef warp_shape<BM, BN> shape;
    const int FM = shape::FRAGMENTS_M, FN = shape::FRAGMENTS_N;
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    int row_a = warp / shape::WARPS_N * 16 + lane % 16;
    int row_b = warp % shape::WARPS_N * (FN * 8) + lane / 16 * 8 + lane % 8;
#pragma unroll
    for (int k = 0; k < BK / MMA_K; k++) {
        uint32_t fa[FM][4], fb[FN / 2][4];
#pragma unroll
        for (int i = 0; i < FM; i++) { // rows 0-7, 8-15 of the first 16 bytes, then of the second
            ldmatrix_x4(fa[i], a + (uint32_t)(swizzled<BK>(row_a, 2 * k + lane / 16) +
                                              i * 16 * shape::WARPS_M * BK));
        }
#pragma unroll
        for (int j = 0; j < FN / 2; j++) { // both 16 bytes of columns 0-7, then of 8-15
            ldmatrix_x4(fb[j],
                        b + (uint32_t)(swizzled<BK>(row_b, 2 * k + lane / 8 % 2) + j * 16 * BK));
        }
#pragma unroll
        for (int i = 0; i < FM; i++) {
#pragma unroll
            for (int j = 0; j < FN; j++) {
                mma_s8_s8(sum[i][j], fa[i], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
            }
        }
    }
}

template <int BM, int BN, int BK, int STAGES>
static __global__ void __launch_bounds__(THREADS)
    gemm_i8_kernel(const __grid_constant__ launch_linear args, int32_t width)
{
    typedef warp_shape<BM, BN> shape;
    const int FM = shape::FRAGMENTS_M, FN = shape::FRAGMENTS_N;
    const int STAGE_BYTES = (BM + BN) * BK;
    // Sums are stored two and read four at a time: 8 words more a row spread rows over the banks.
    const int PITCH = BN + 8;
    const bool HALVES = BM * PITCH * 4 > STAGES * STAGE_BYTES; // sums of half a tile at a time
    const int PART_M = HALVES ? BM / 2 : BM, PART_FM = HALVES ? FM / 2 : FM;
    static_assert(PART_M * PITCH * 4 <= STAGES * STAGE_BYTES, "sums fit over the stages");
    static_assert(STAGES * STAGE_BYTES <= 48 * 1024, "static shared memory");
    static_assert(STAGES >= 2, "a stage is filled while another is read");
    __shared__ __align__(128) int8_t memory[STAGES * STAGE_BYTES];

    int32_t m0 = (int32_t)blockIdx.x * BM, n0 = (int32_t)blockIdx.y * BN;
    int32_t k64 = round_up(args.k, 64), steps = ceil_div(k64, BK);
    tile_copy<BM, BK> copy_a(args.in.data, (size_t)k64, m0, args.n_rows);
    tile_copy<BN, BK> copy_b(args.weight, (size_t)k64, n0, args.n);
    uint32_t stages = shared_address(memory);

#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) {
            copy_a.start(stages + s * STAGE_BYTES, s * BK, k64);
            copy_b.start(stages + s * STAGE_BYTES + BM * BK, s * BK, k64);
        }
        cp_async_commit();
    }
    int32_t sum[FM][FN][4] = {};
    int read = 0, fill = STAGES - 1; // stages
    for (int32_t step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        // Every thread's part of stage `read` is there; and all have read stage `fill`, one step
        // ago.
        __syncthreads();
        int32_t next = step + STAGES - 1;
        if (next < steps) {
            copy_a.start(stages + fill * STAGE_BYTES, next * BK, k64);
            copy_b.start(stages + fill * STAGE_BYTES + BM * BK, next * BK, k64);
        }
        cp_async_commit();
        uint32_t tile = stages + read * STAGE_BYTES;
        multiply_stage<BM, BN, BK>(sum, tile, tile + BM * BK);
        fill = read;
        read = read + 1 == STAGES ? 0 : read + 1;
    }

    int32_t *sums = (int32_t *)memory;
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    int row = warp / shape::WARPS_N * 16 + lane / 4;
    int column = warp % shape::WARPS_N * (FN * 8) + lane % 4 * 2;
#pragma unroll
    for (int part = 0; part < FM / PART_FM; part++) {
        __syncthreads(); // the last stage, or the part before, has been read by all
#pragma unroll
        for (int i = 0; i < PART_FM; i++) {
#pragma unroll
            for (int j = 0; j < FN; j++) {
                const int32_t(&c)[4] = sum[part * PART_FM + i][j];
                int32_t *to = sums + (row + i * 16 * shape::WARPS_M) * PITCH + column + j * 8;
                *(int2 *)to = make_int2(c[0], c[1]);
                *(int2 *)(to + 8 * PITCH) = make_int2(c[2], c[3]);
            }
        }
        __syncthreads(); // all sums of the part are there
        epilogue_tile<int32_t, epilogue_shape<PART_M, BN, THREADS>>(
            args, width, m0 + part * PART_M, n0,
            [&](auto &v, int32_t r, int32_t c) { load_cells(v, sums + r * PITCH + c); });
    }
}

// X(block_m, block_n, block_k, stages). 48 KiB at most: two blocks a multiprocessor even where it
// has 100 KiB. A warp's 64 x 64 of the largest tile reads 8 ldmatrix.x4 for 32 mma.sync.
#define GEMM_I8_TILES(X)                                                                           \
    X(16, 64, 128, 4)                                                                              \
    X(32, 64, 128, 4)                                                                              \
    X(64, 64, 64, 4)                                                                               \
    X(64, 64, 128, 3)                                                                              \
    X(64, 128, 64, 4)                                                                              \
    X(128, 64, 64, 4)                                                                              \
    X(128, 128, 64, 3)

#define GEMM_I8_TILE(m, n, k, s) {m, n, k, s, 1},
static const launch_tile tiles[] = {GEMM_I8_TILES(GEMM_I8_TILE)};

extern "C" int oct_gemm_i8_tiles(const launch_tile **out)
{
    *out = tiles;
    return (int)(sizeof tiles / sizeof tiles[0]);
}

template <int BM, int BN, int BK, int STAGES>
static int launch(const launch_linear &args, launch_stream stream)
{
    dim3 grid((unsigned)ceil_div(args.n_rows, BM), (unsigned)ceil_div(args.n, BN));
    if (grid.y > MAX_GRID_Y) {
        return LAUNCH_ERR_SHAPE;
    }
    gemm_i8_kernel<BM, BN, BK, STAGES><<<grid, THREADS, 0, stream>>>(args, epilogue_width(args));
    return (int)cudaGetLastError();
}

extern "C" int oct_launch_gemm_i8(const launch_linear *args, const launch_tile *tile,
                                  launch_stream stream)
{
    if (!linear_is_legal(*args, OCT_FORMAT_W8A8) || tile->split_k != 1) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->n_rows == 0) {
        return 0;
    }
#define GEMM_I8_CASE(m, n, k, s)                                                                   \
    if (tile->block_m == m && tile->block_n == n && tile->block_k == k && tile->stages == s) {     \
        return launch<m, n, k, s>(*args, stream);                                                  \
    }
    GEMM_I8_TILES(GEMM_I8_CASE)
    return LAUNCH_ERR_SHAPE;
}
