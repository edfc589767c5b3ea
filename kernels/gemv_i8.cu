// The INT8 product for few rows (decode, small batches): weights stream by once; its epilogue.
//
// Computes:      sum[t][n] = sum over k of act[t][k] * weight[n][k]; then epilogue.cuh
// Shapes:        act [M][K64] s8, weight [N][K64] s8, both zero behind K; outputs by epilogue
// Grid:          (N / block_m, split_k) blocks of 4 warps; each warp has all block_m weight rows
//                and all tokens, over a share of k of its own
// Shared memory: 4 * stages * (block_m + block_n) * 64 bytes; the warps' sums lie over them
// Bound:         N * K64 bytes, each read once; M * K64 * N / block_m bytes of act from the L2
//                cache
// Numerics:      s32, exact in any order: every tile and split gives the same bits
// Limits:        sm_80; M <= block_n (else weights would be read twice); K <= 66311; weight and
//                act aligned to 16 bytes; N <= 4096 * block_m where split_k > 1
#include "epilogue.cuh"
#include "ptx.cuh"

static const int WARPS = 4;
static const int THREADS = WARPS * 32;
static const int STEP = 64;        // bytes of k that a warp takes at once: two mma.sync
static const int EIGHT = 8 * STEP; // bytes of 8 rows of a step: 16 a lane
static const int COUNTERS = 4096;  // in front of the partial sums, where no sums ever lie
static const int MAX_SPLITS = 8;

// The ring of stages of one warp: its steps of weights and tokens on their way through shared
// memory. No other warp sees it, so the warps go at their own pace and meet only over their sums.
template <int ROW_TILES, int TOKEN_TILES, int STAGES> struct weight_stream {
    static const int STAGE_BYTES = (2 * ROW_TILES + TOKEN_TILES) * EIGHT;
    static const int WARP_BYTES = STAGES * STAGE_BYTES;
    static_assert(STAGES >= 2, "a stage is filled while another is read");

    const int8_t *weight, *token; // of this lane: row g, chunk c of step 0 (lane = 4 * g + c)
    size_t stride8;               // bytes of 8 rows
    int32_t n_rows, n_tokens;     // from row and token g on
    uint32_t ring;                // shared address
    uint32_t to;                  // where this lane's chunk goes
    uint32_t from_weight[2];      // this lane's rows for ldmatrix: 16 weight rows, 32 bytes each
    uint32_t from_token;          // 8 tokens, 64 bytes

    __device__ __forceinline__ weight_stream(const launch_linear &args, int32_t n0, int8_t *memory)
    {
        int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
        int g = lane / 4, c = lane % 4;
        size_t stride = stride_i8(args.k);
        weight = (const int8_t *)args.weight + (size_t)(n0 + g) * stride + c * 16;
        token = (const int8_t *)args.in.data + (size_t)g * stride + c * 16;
        stride8 = 8 * stride;
        n_rows = args.n - n0 - g;
        n_tokens = args.n_rows - g;
        ring = shared_address(memory) + (uint32_t)(warp * WARP_BYTES);
        to = (uint32_t)swizzled<STEP>(g, c);
        from_weight[0] = (uint32_t)swizzled<STEP>(lane % 16, lane / 16);
        from_weight[1] = (uint32_t)swizzled<STEP>(lane % 16, lane / 16 + 2);
        from_token = (uint32_t)swizzled<STEP>(lane % 8, lane / 8);
    }

    // Starts the copies of one step of k. Rows and tokens that do not exist become zeros, unread.
    __device__ __forceinline__ void start(int stage, int32_t step) const
    {
        uint32_t at = ring + (uint32_t)(stage * STAGE_BYTES) + to;
        const int8_t *w = weight + (size_t)step * STEP, *x = token + (size_t)step * STEP;
#pragma unroll
        for (int i = 0; i < 2 * ROW_TILES; i++) {
            cp_async_16_zero_fill(at + i * EIGHT, w + i * stride8, i * 8 < n_rows ? 16 : 0);
        }
#pragma unroll
        for (int i = 0; i < TOKEN_TILES; i++) {
            cp_async_16_zero_fill(at + (2 * ROW_TILES + i) * EIGHT, x + i * stride8,
                                  i * 8 < n_tokens ? 16 : 0);
        }
    }

    __device__ __forceinline__ void multiply(int32_t (&sum)[ROW_TILES][TOKEN_TILES][4],
                                             int stage) const
    {
        uint32_t at = ring + (uint32_t)(stage * STAGE_BYTES);
        uint32_t w[ROW_TILES][2][4];
#pragma unroll
        for (int i = 0; i < ROW_TILES; i++) {
            ldmatrix_x4(w[i][0], at + i * 2 * EIGHT + from_weight[0]);
            ldmatrix_x4(w[i][1], at + i * 2 * EIGHT + from_weight[1]);
        }
#pragma unroll
        for (int j = 0; j < TOKEN_TILES; j++) {
            uint32_t x[4]; // both halves of the first 32 bytes, then of the second
            ldmatrix_x4(x, at + (2 * ROW_TILES + j) * EIGHT + from_token);
#pragma unroll
            for (int i = 0; i < ROW_TILES; i++) {
                mma_s8_s8(sum[i][j], w[i][0], x[0], x[1]);
                mma_s8_s8(sum[i][j], w[i][1], x[2], x[3]);
            }
        }
    }
};

template <int WIDTH> static __device__ __forceinline__ void zero_cells(int32_t (&v)[WIDTH])
{
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        v[j] = 0;
    }
}

template <int WIDTH>
static __device__ __forceinline__ void add_cells(int32_t (&v)[WIDTH], const int32_t *p)
{
    int32_t x[WIDTH];
    load_cells(x, p);
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        v[j] += x[j];
    }
}

// Sums that other blocks wrote: past the L1 cache, which may be stale.
template <int WIDTH>
static __device__ __forceinline__ void add_published(int32_t (&v)[WIDTH], const int32_t *p)
{
    if constexpr (WIDTH == 4) {
        int4 x = __ldcg((const int4 *)p);
        v[0] += x.x, v[1] += x.y, v[2] += x.z, v[3] += x.w;
    } else {
        v[0] += __ldcg(p);
    }
}

// True in the last block of a tile to come here, for all its threads; the counter is 0 again for
// the next launch. What every block wrote before is then visible. `flag` is a cell of shared memory
// that nobody reads any more.
static __device__ __forceinline__ bool is_last_block(int32_t *counter, int32_t blocks,
                                                     int32_t *flag)
{
    __threadfence(); // this thread's sums come before its block's count
    __syncthreads(); // all threads' sums do
    if (threadIdx.x == 0) {
        *flag = atomicAdd(counter, 1) == blocks - 1;
        if (*flag != 0) {
            *counter = 0;
        }
    }
    __syncthreads(); // the flag is there
    __threadfence(); // and the other blocks' sums are read behind it
    return *flag != 0;
}

// Blocks a multiprocessor: what its shared memory holds. Without that bound ptxas aims at 64
// registers and spills for sm_120.
template <int ROW_TILES, int TOKEN_TILES, int STAGES>
static __global__ void __launch_bounds__(THREADS, ROW_TILES == 1 ? 4 : 2)
    gemv_i8_kernel(const __grid_constant__ launch_linear args, int32_t width, int32_t *partial)
{
    typedef weight_stream<ROW_TILES, TOKEN_TILES, STAGES> stream_type;
    const int BM = ROW_TILES * 16, BN = TOKEN_TILES * 8;
    // Lanes of c = 0..3 store tokens 2c, rows g: 2 * PITCH = 8 modulo 32 spreads them over the
    // banks.
    const int PITCH = BM + 4;
    static_assert(BN * PITCH * 4 <= stream_type::WARP_BYTES, "a warp's sums fit over its stages");
    extern __shared__ __align__(128) int8_t memory[];

    int32_t n0 = (int32_t)blockIdx.x * BM, splits = (int32_t)gridDim.y;
    prefetch_columns(args, n0, BM);
    int32_t steps = round_up(args.k, STEP) / STEP;
    int32_t warp = (int32_t)threadIdx.x / 32, lane = (int32_t)threadIdx.x % 32;
    // The block's steps go around its warps, so that together they read rows in long pieces.
    int32_t first = steps * (int32_t)blockIdx.y / splits + warp;
    int32_t end = steps * ((int32_t)blockIdx.y + 1) / splits;
    int32_t count = first < end ? ceil_div(end - first, WARPS) : 0;
    stream_type in(args, n0, memory);
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < count) {
            in.start(s, first + s * WARPS);
        }
        cp_async_commit();
    }
    int32_t sum[ROW_TILES][TOKEN_TILES][4] = {};
    int read = 0, fill = STAGES - 1; // stages
    for (int32_t i = 0; i < count; i++) {
        cp_async_wait<STAGES - 2>();
        // All lanes' parts of stage `read` are there; and all have read stage `fill`, a step ago.
        __syncwarp();
        int32_t next = i + STAGES - 1;
        if (next < count) {
            in.start(fill, first + next * WARPS);
        }
        cp_async_commit();
        in.multiply(sum, read);
        fill = read;
        read = read + 1 == STAGES ? 0 : read + 1;
    }

    int32_t *own = (int32_t *)(memory + warp * stream_type::WARP_BYTES);
    __syncwarp(); // all lanes have read their stages
#pragma unroll
    for (int i = 0; i < ROW_TILES; i++) {
#pragma unroll
        for (int j = 0; j < TOKEN_TILES; j++) {
            int32_t *to = own + (j * 8 + lane % 4 * 2) * PITCH + i * 16 + lane / 4;
            to[0] = sum[i][j][0];
            to[PITCH] = sum[i][j][1];
            to[8] = sum[i][j][2];
            to[PITCH + 8] = sum[i][j][3];
        }
    }
    __syncthreads(); // the sums of all warps are there
    auto block_sum = [&](auto &v, int32_t r, int32_t c) {
        const int32_t *at = (const int32_t *)memory + r * PITCH + c;
        load_cells(v, at);
#pragma unroll
        for (int w = 1; w < WARPS; w++) {
            add_cells(v, at + w * (stream_type::WARP_BYTES / 4));
        }
    };
    typedef epilogue_shape<BN, BM, THREADS> shape;
    if (splits == 1) {
        epilogue_tile<int32_t, shape>(args, width, 0, n0, block_sum);
        return;
    }
    size_t tile_cells = (size_t)args.n_rows * BM; // [tokens][BM]
    int32_t *tile_sums = partial + COUNTERS + blockIdx.x * tile_cells;
    size_t split_cells = gridDim.x * tile_cells;
    for (int32_t i = (int32_t)threadIdx.x; i < args.n_rows * (BM / 4); i += THREADS) {
        int32_t v[4];
        block_sum(v, i / (BM / 4), i % (BM / 4) * 4);
        *(int4 *)(tile_sums + blockIdx.y * split_cells + 4 * (size_t)i) =
            make_int4(v[0], v[1], v[2], v[3]);
    }
    if (!is_last_block(partial + blockIdx.x, splits, (int32_t *)memory)) {
        return;
    }
    epilogue_tile<int32_t, shape>(args, width, 0, n0, [&](auto &v, int32_t r, int32_t c) {
        zero_cells(v);
        for (int32_t s = 0; s < splits; s++) {
            add_published(v, tile_sums + s * split_cells + (size_t)(r * BM + c));
        }
    });
}

// X(block_m weight rows, block_n tokens, stages). Many blocks matter more than few reads of the
// tokens while the weights are small: 16 rows for every number of tokens; 64 rows where N is large.
#define GEMV_I8_SHAPES(X)                                                                          \
    X(16, 8, 6)                                                                                    \
    X(16, 16, 6)                                                                                   \
    X(16, 32, 4)                                                                                   \
    X(16, 64, 3)                                                                                   \
    X(64, 32, 3)                                                                                   \
    X(64, 64, 3)

#define GEMV_I8_TILE(m, n, s)                                                                      \
    {m, n, STEP, s, 1}, {m, n, STEP, s, 2}, {m, n, STEP, s, 4}, {m, n, STEP, s, 8},
static const launch_tile tiles[] = {GEMV_I8_SHAPES(GEMV_I8_TILE)};

extern "C" int oct_gemv_i8_tiles(const launch_tile **out)
{
    *out = tiles;
    return (int)(sizeof tiles / sizeof tiles[0]);
}

extern "C" size_t oct_gemv_i8_scratch_bytes(int32_t n_rows, int32_t n, const launch_tile *tile)
{
    if (tile->split_k <= 1) {
        return 0;
    }
    size_t cells = (size_t)n_rows * (size_t)round_up(n, tile->block_m) * (size_t)tile->split_k;
    return (COUNTERS + cells) * sizeof(int32_t);
}

template <int BM, int BN, int STAGES>
static int launch(const launch_linear &args, int32_t splits, int32_t *partial, launch_stream stream)
{
    auto kernel = gemv_i8_kernel<BM / 16, BN / 8, STAGES>;
    const int bytes = WARPS * weight_stream<BM / 16, BN / 8, STAGES>::WARP_BYTES;
    static_assert(bytes <= 99 * 1024, "sm_86 and sm_89 give a block 99 KiB");
    if (bytes > 48 * 1024) {
        cudaError_t error =
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
        if (error != cudaSuccess) {
            return (int)error;
        }
    }
    dim3 grid((unsigned)ceil_div(args.n, BM), (unsigned)splits);
    if (splits > 1 && (grid.x > COUNTERS || partial == NULL || !is_aligned(partial, 16))) {
        return LAUNCH_ERR_SHAPE;
    }
    kernel<<<grid, THREADS, bytes, stream>>>(args, epilogue_width(args), partial);
    return (int)cudaGetLastError();
}

extern "C" int oct_launch_gemv_i8(const launch_linear *args, const launch_tile *tile,
                                  int32_t *partial, launch_stream stream)
{
    if (!linear_is_legal(*args, OCT_FORMAT_W8A8) || args->n_rows > tile->block_n ||
        tile->block_k != STEP || tile->split_k < 1 || tile->split_k > MAX_SPLITS) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->n_rows == 0) {
        return 0;
    }
#define GEMV_I8_CASE(m, n, s)                                                                      \
    if (tile->block_m == m && tile->block_n == n && tile->stages == s) {                           \
        return launch<m, n, s>(*args, tile->split_k, partial, stream);                             \
    }
    GEMV_I8_SHAPES(GEMV_I8_CASE)
    return LAUNCH_ERR_SHAPE;
}
