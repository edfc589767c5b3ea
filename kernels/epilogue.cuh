// epilogue.cuh: what follows a product (backend.h, op linear): one source for the three products
// and for the dequantizing kernel that stands alone, so that fused and unfused give the same bits.
//
// Sums are s32 (W8A8: NUMERICS.md section 3) or f32 (section 7). A thread takes WIDTH adjacent
// columns (4, or 1 where rows are not 16-byte aligned) of ROWS rows at once and walks down a tile:
// the columns' factors stay in registers, and ROWS * WIDTH independent values hide the latency of
// each operation.
#ifndef OCT_EPILOGUE_CUH
#define OCT_EPILOGUE_CUH

#include "epilogue_dequant.cuh"

// [M][N] f32 without gaps: out, waiting, taps.
template <int ROWS, int WIDTH>
static __device__ __forceinline__ void
store_rows(float *out, const launch_linear &args, const epilogue_columns<WIDTH> &col,
           const epilogue_rows<ROWS> &row, const float (&v)[ROWS][WIDTH])
{
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        if (i < row.n_valid) {
            store_cells(out + (size_t)row.t[i] * (size_t)args.n + (size_t)col.n, v[i]);
        }
    }
}

// v = half(v), as a float.
template <int ROWS, int WIDTH>
static __device__ __forceinline__ void round_halves(float (&v)[ROWS][WIDTH])
{
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
#pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            v[i][j] = oct_round_half(v[i][j]);
        }
    }
}

// v = activation(v): section 4 on halves, section 7 on floats.
template <bool F32, int ROWS, int WIDTH>
static __device__ __forceinline__ void activate(int32_t activation, float (&v)[ROWS][WIDTH])
{
    if (activation == OCT_ACTIVATION_GELU_NEW) {
#pragma unroll
        for (int i = 0; i < ROWS * WIDTH; i++) {
            float &x = v[i / WIDTH][i % WIDTH];
            x = F32 ? oct_gelu_new(x) : oct_gelu_new16(x);
        }
    } else if (activation == OCT_ACTIVATION_GELU) {
#pragma unroll
        for (int i = 0; i < ROWS * WIDTH; i++) {
            float &x = v[i / WIDTH][i % WIDTH];
            x = F32 ? oct_gelu_erf(x) : oct_gelu_erf16(x);
        }
    } else {
#pragma unroll
        for (int i = 0; i < ROWS * WIDTH; i++) {
            float &x = v[i / WIDTH][i % WIDTH];
            x = oct_max(x, 0.0f);
        }
    }
}

// Codes of v, scaled by the columns' out_mul, with the factors of static rows.
template <int ROWS, int WIDTH>
static __device__ __forceinline__ void
store_static_codes(const launch_linear &args, const epilogue_columns<WIDTH> &col,
                   const epilogue_rows<ROWS> &row, const float (&v)[ROWS][WIDTH])
{
    row_factors factors[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        factors[i] = static_row(args.quant, __ldg(args.step.position + row.t[i]));
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int32_t zero = factors[i].zero;
        float lo = (float)(args.quant.lo - zero), hi = (float)(args.quant.hi - zero);
        uint32_t raw[WIDTH];
#pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            raw[j] = oct_requant_raw(oct_mul(v[i][j], factors[i].rho), zero, lo, hi);
        }
        if (i < row.n_valid) {
            int8_t *codes = (int8_t *)args.act.data + (size_t)row.t[i] * stride_i8(args.n);
            store_codes(codes + col.n, raw);
        }
    }
    if (col.n == 0) { // one thread of the grid for each row
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            if (i < row.n_valid) {
                args.act.row_step[row.t[i]] = factors[i].sigma;
                args.act.row_zero[row.t[i]] = factors[i].zero;
            }
        }
    }
}

// Activation, then codes (static), a wait for the row's maximum (dynamic) or floats (F32). v is y,
// rounded to half where codes follow.
template <bool F32, int ROWS, int WIDTH>
static __device__ __forceinline__ void
finish_gelu(const launch_linear &args, const epilogue_columns<WIDTH> &col,
            const epilogue_rows<ROWS> &row, float (&v)[ROWS][WIDTH])
{
    activate<F32>(args.activation, v);
    if (args.tap_activation != NULL) {
        store_rows(args.tap_activation, args, col, row, v);
    }
    if constexpr (F32) {
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            if (i < row.n_valid) {
                float *out = (float *)args.act.data + (size_t)row.t[i] * stride_f32(args.n);
                store_cells(out + col.n, v[i]);
            }
        }
    } else {
#pragma unroll
        for (int i = 0; i < ROWS * WIDTH; i++) {
            float &x = v[i / WIDTH][i % WIDTH];
            x = oct_mul(x, col.out_mul[i % WIDTH]);
        }
        if (args.quant.dynamic) {
            store_rows(args.waiting, args, col, row, v);
        } else {
            store_static_codes(args, col, row, v);
        }
    }
}

// Columns of q: they wait as half, F32: as f32.
template <bool F32, int ROWS, int WIDTH>
static __device__ __forceinline__ void
store_query(const launch_linear &args, const epilogue_columns<WIDTH> &col,
            const epilogue_rows<ROWS> &row, const float (&y)[ROWS][WIDTH])
{
    size_t width = (size_t)(args.kv.n_head * args.kv.d_head);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        size_t cell = (size_t)row.t[i] * width + (size_t)col.channel;
        if (i < row.n_valid) {
            if constexpr (F32) {
                store_cells((float *)args.q + cell, y[i]);
            } else {
                store_halves((uint16_t *)args.q + cell, y[i]);
            }
        }
    }
}

// Columns of k or v of one row into the page of its position; `block` counts elements of the pool.
template <int WIDTH>
static __device__ __forceinline__ void
store_kv(const launch_linear &args, const epilogue_columns<WIDTH> &col, size_t block, int32_t token,
         const float (&y)[WIDTH], const float *)
{
    float *pool = (float *)args.kv.pool + block;
    if (col.part == 2) { // V [64][Dp]
        store_cells(pool + token * kv_d_padded(args.kv.d_head) + col.d, y);
        return;
    }
#pragma unroll
    for (int j = 0; j < WIDTH; j++) { // K [Dp][64]
        pool[(col.d + j) * OCT_PAGE_TOKENS + token] = y[j];
    }
}

template <int WIDTH>
static __device__ __forceinline__ void
store_kv(const launch_linear &args, const epilogue_columns<WIDTH> &col, size_t block, int32_t token,
         const float (&y)[WIDTH], const int32_t *)
{
    int8_t *pool = (int8_t *)args.kv.pool + block;
    int32_t dp = kv_d_padded(args.kv.d_head);
    uint32_t raw[WIDTH];
#pragma unroll
    for (int j = 0; j < WIDTH; j++) {
        float code = oct_mul(oct_round_half(y[j]), col.out_mul[j]);
        raw[j] = oct_requant_raw(code, 0, -127.0f, 127.0f);
    }
    if (col.part == 1) { // K [64][Dp]
        store_codes(pool + token * dp + col.d, raw);
        return;
    }
#pragma unroll
    for (int j = 0; j < WIDTH; j++) { // V [16][Dp][4]
        pool[(token / 4 * dp + col.d + j) * 4 + token % 4] = (int8_t)raw[j];
    }
}

template <typename SUM, int ROWS, int WIDTH>
static __device__ __forceinline__ void
finish_qkv(const launch_linear &args, const epilogue_columns<WIDTH> &col,
           const epilogue_rows<ROWS> &row, const float (&y)[ROWS][WIDTH])
{
    if (col.part == 0) {
        store_query<sum_kind<SUM>::F32>(args, col, row, y);
        return;
    }
    int32_t position[ROWS], page[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        position[i] = __ldg(args.step.position + row.t[i]);
        page[i] = page_of(args.step, __ldg(args.step.slot + row.t[i]), position[i]);
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int32_t token = position[i] < 0 ? 0 : position[i] % OCT_PAGE_TOKENS;
        size_t block = (size_t)page[i] * kv_page(args.kv) + col.block;
        if (i < row.n_valid) {
            store_kv(args, col, block, token, y[i], (const SUM *)NULL);
        }
    }
}

// ROWS * WIDTH sums through the epilogue.
template <typename SUM, int ROWS, int WIDTH>
static __device__ __forceinline__ void
finish(const launch_linear &args, const epilogue_columns<WIDTH> &col,
       const epilogue_rows<ROWS> &row, const SUM (&sum)[ROWS][WIDTH])
{
    const bool F32 = sum_kind<SUM>::F32;
    float y[ROWS][WIDTH];
    to_real(args, col, row, sum, y);
    if (args.tap != NULL) {
        store_rows(args.tap, args, col, row, y);
    }
    if (args.epilogue == OCT_EPILOGUE_STORE) {
        store_rows(args.out, args, col, row, y);
        return;
    }
    if (args.epilogue == OCT_EPILOGUE_QKV) {
        finish_qkv<SUM>(args, col, row, y);
        return;
    }
    if (!F32) {
        round_halves(y);
    }
    if (args.epilogue == OCT_EPILOGUE_GELU) {
        finish_gelu<F32>(args, col, row, y);
        return;
    }
    float x[ROWS][WIDTH];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        load_cells(x[i], args.out + (size_t)row.t[i] * (size_t)args.n + (size_t)col.n);
    }
#pragma unroll
    for (int i = 0; i < ROWS * WIDTH; i++) {
        float &z = x[i / WIDTH][i % WIDTH];
        z = oct_add(z, y[i / WIDTH][i % WIDTH]);
    }
    store_rows(args.out, args, col, row, x);
}

// A tile of sums [rows][COLS] in the hands of THREADS threads.
template <int TILE_ROWS, int TILE_COLS, int TILE_THREADS> struct epilogue_shape {
    static const int MAX_ROWS = TILE_ROWS, COLS = TILE_COLS, THREADS = TILE_THREADS;
};

template <typename SUM, int WIDTH, typename SHAPE, typename FETCH>
static __device__ __forceinline__ void walk_tile(const launch_linear &args, int32_t t0,
                                                 int32_t rows, int32_t n0, const FETCH &sums)
{
    const int LANES = SHAPE::COLS / WIDTH;   // threads of one row
    const int STEP = SHAPE::THREADS / LANES; // rows that all threads take together
    const int STEPS = (SHAPE::MAX_ROWS + STEP - 1) / STEP;
    const int ROWS = STEPS < 4 ? STEPS : 4; // rows of a thread at once
    static_assert(SHAPE::COLS % WIDTH == 0 && SHAPE::THREADS % LANES == 0, "whole rows of threads");
    int32_t c = (int32_t)threadIdx.x % LANES * WIDTH;
    if (n0 + c >= args.n) {
        return;
    }
    epilogue_columns<WIDTH> col = load_columns<SUM, WIDTH>(args, n0 + c);
    for (int32_t r = (int32_t)threadIdx.x / LANES; r < rows; r += ROWS * STEP) {
        epilogue_rows<ROWS> row;
        SUM v[ROWS][WIDTH];
        row.n_valid = ceil_div(rows - r, STEP);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            int32_t at = i < row.n_valid ? r + i * STEP : r;
            row.t[i] = t0 + at;
            sums(v[i], at, c);
        }
        finish(args, col, row, v);
    }
}

// The tile from row t0, column n0, of at most SHAPE::MAX_ROWS rows; rows and columns beyond the
// last are left out. `width` is epilogue_width's; `sums(v, r, c)` fetches the sums of row r of the
// tile from column c.
template <typename SUM, typename SHAPE, typename FETCH>
static __device__ __forceinline__ void epilogue_tile(const launch_linear &args, int32_t width,
                                                     int32_t t0, int32_t n0, const FETCH &sums)
{
    int32_t rows = min(SHAPE::MAX_ROWS, args.n_rows - t0);
    if (width == 4) {
        walk_tile<SUM, 4, SHAPE>(args, t0, rows, n0, sums);
    } else {
        walk_tile<SUM, 1, SHAPE>(args, t0, rows, n0, sums);
    }
}

// ---- host: checks of a launcher -----------------------------------------------------------------

// Columns a thread takes at once: 4 where every row of every output allows 16-byte accesses (and,
// in QKV, four columns never belong to two heads), else 1.
static inline int32_t epilogue_width(const launch_linear &args)
{
    const void *const pointers[] = {args.out,     args.act.data, args.waiting,       args.q,
                                    args.kv.pool, args.tap,      args.tap_activation};
    bool vectors = args.n % 4 == 0;
    vectors = vectors && (args.epilogue != OCT_EPILOGUE_QKV || args.kv.d_head % 4 == 0);
    for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
        vectors = vectors && is_aligned(pointers[i], 16);
    }
    return vectors ? 4 : 1;
}

// True where the arguments fit the product of `format`.
static inline bool linear_is_legal(const launch_linear &args, oct_format format)
{
    bool legal = args.format == format && args.n_rows >= 0 && args.n >= 1 && args.k >= 1;
    // s32 sums: 255 * 127 * K < 2^31 (NUMERICS.md section 3).
    legal = legal && (format == OCT_FORMAT_F32 || args.k <= 66311);
    legal = legal && is_aligned(args.weight, 16) && is_aligned(args.in.data, 16);
    if (args.epilogue == OCT_EPILOGUE_GELU) {
        legal = legal && args.quant.format == format;
    }
    if (args.epilogue == OCT_EPILOGUE_QKV) {
        legal = legal && args.kv.format == (int32_t)format &&
                args.n == 3 * args.kv.n_head * args.kv.d_head;
    }
    return legal;
}

#endif
