// common.cuh: what kernels share: sizes, the swizzle, warp reductions, loads and stores of several
// columns, the factors of a row, places in the KV cache.
#ifndef OCT_COMMON_CUH
#define OCT_COMMON_CUH

#include "launch.h"

#include "octet/numerics.h"

static const unsigned ALL_LANES = 0xFFFFFFFFu;

static __host__ __device__ __forceinline__ int32_t ceil_div(int32_t a, int32_t b)
{
    return (a + b - 1) / b;
}

static __host__ __device__ __forceinline__ int32_t round_up(int32_t a, int32_t b)
{
    return ceil_div(a, b) * b;
}

// Bytes from row to row of an INT8 activation or weight, floats from row to row of an f32
// activation (backend.h, oct_act_stride; launch.h).
static __host__ __device__ __forceinline__ size_t stride_i8(int32_t cols)
{
    return (size_t)round_up(cols, 64);
}

static __host__ __device__ __forceinline__ size_t stride_f32(int32_t cols)
{
    return (size_t)round_up(cols, 16);
}

// NULL is aligned to anything.
static inline bool is_aligned(const void *p, size_t bytes)
{
    return (uintptr_t)p % bytes == 0;
}

// ---- tiles of bytes in shared memory
// -------------------------------------------------------------

// The offset of 16 bytes, `chunk`, of a row of ROW_BYTES. Eight rows of one chunk, as ldmatrix
// reads them, must cover all 32 banks, so chunks change places by row: by row modulo 8 where a row
// fills the banks (128 bytes), by pairs of rows where it fills half of them (64 bytes). Period: 8
// rows.
template <int ROW_BYTES> static __device__ __forceinline__ int swizzled(int row, int chunk)
{
    static_assert(ROW_BYTES == 64 || ROW_BYTES == 128, "4 or 8 chunks a row");
    int mask = ROW_BYTES == 64 ? (row >> 1) & 3 : row & 7;
    return row * ROW_BYTES + (chunk ^ mask) * 16;
}

// ---- warp reductions: integers only, so their order is free; all 32 lanes take part -------------

static __device__ __forceinline__ uint32_t warp_max(uint32_t x)
{
    return __reduce_max_sync(ALL_LANES, x);
}

static __device__ __forceinline__ int32_t warp_max(int32_t x)
{
    return __reduce_max_sync(ALL_LANES, x);
}

static __device__ __forceinline__ int32_t warp_sum(int32_t x)
{
    return __reduce_add_sync(ALL_LANES, x);
}

// |y| as bits: maxima of these are maxima of |y| (NUMERICS.md section 1).
static __device__ __forceinline__ uint32_t magnitude(float y)
{
    return oct_bits(y) & 0x7FFFFFFFu;
}

// ---- WIDTH adjacent cells: one access where WIDTH is 4 (then p is aligned to all of them) -------

template <int WIDTH>
static __device__ __forceinline__ void load_cells(float (&v)[WIDTH], const float *p)
{
    static_assert(WIDTH == 1 || WIDTH == 4, "one cell or a vector of four");
    if constexpr (WIDTH == 4) {
        float4 x = *(const float4 *)p;
        v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w;
    } else {
        v[0] = *p;
    }
}

template <int WIDTH>
static __device__ __forceinline__ void load_cells(int32_t (&v)[WIDTH], const int32_t *p)
{
    static_assert(WIDTH == 1 || WIDTH == 4, "one cell or a vector of four");
    if constexpr (WIDTH == 4) {
        int4 x = *(const int4 *)p;
        v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w;
    } else {
        v[0] = *p;
    }
}

template <int WIDTH>
static __device__ __forceinline__ void store_cells(float *p, const float (&v)[WIDTH])
{
    if constexpr (WIDTH == 4) {
        *(float4 *)p = make_float4(v[0], v[1], v[2], v[3]);
    } else {
        *p = v[0];
    }
}

// Halves from floats (NUMERICS.md: half).
template <int WIDTH>
static __device__ __forceinline__ void store_halves(uint16_t *p, const float (&v)[WIDTH])
{
    if constexpr (WIDTH == 4) {
        uint32_t low = (uint32_t)oct_half(v[0]) | (uint32_t)oct_half(v[1]) << 16;
        uint32_t high = (uint32_t)oct_half(v[2]) | (uint32_t)oct_half(v[3]) << 16;
        *(uint2 *)p = make_uint2(low, high);
    } else {
        *p = oct_half(v[0]);
    }
}

// The low bytes of WIDTH words: codes as oct_requant_raw makes them.
template <int WIDTH>
static __device__ __forceinline__ void store_codes(int8_t *p, const uint32_t (&raw)[WIDTH])
{
    if constexpr (WIDTH == 4) {
        uint32_t low = __byte_perm(raw[0], raw[1], 0x0040);
        uint32_t high = __byte_perm(raw[2], raw[3], 0x0040);
        *(uint32_t *)p = __byte_perm(low, high, 0x5410);
    } else {
        *p = (int8_t)raw[0];
    }
}

// ---- activations: the factors and zero point of a row (NUMERICS.md section 2) -------------------

struct row_factors {
    float rho, sigma;
    int32_t zero;
};

// A static row: position 0 has a step and zero point of its own.
static __device__ __forceinline__ row_factors static_row(const oct_quant &quant, int32_t position)
{
    if (position == 0) {
        return {quant.rho_0, quant.sigma_0, quant.zero_0};
    }
    return {1.0f, 1.0f, quant.zero};
}

// ---- the KV cache (backend.h, oct_kv) -----------------------------------------------------------

static __host__ __device__ __forceinline__ int32_t kv_d_padded(int32_t d_head)
{
    return round_up(d_head, 16);
}

// Elements from the start of a page to the block of a layer, part (0 = K, 1 = V) and head.
static __device__ __forceinline__ size_t kv_block(const launch_kv &kv, int32_t layer, int32_t part,
                                                  int32_t head)
{
    size_t block = ((size_t)layer * 2 + (size_t)part) * (size_t)kv.n_head + (size_t)head;
    return block * OCT_PAGE_TOKENS * (size_t)kv_d_padded(kv.d_head);
}

// Elements of a page.
static __device__ __forceinline__ size_t kv_page(const launch_kv &kv)
{
    return (size_t)kv.n_layer * 2 * (size_t)kv.n_head * OCT_PAGE_TOKENS *
           (size_t)kv_d_padded(kv.d_head);
}

// The page that holds `position` of a slot; the trash page for a padded row.
static __device__ __forceinline__ int32_t page_of(const launch_step &step, int32_t slot,
                                                  int32_t position)
{
    if (position < 0) {
        return 0;
    }
    return __ldg(step.page_table + (size_t)slot * (size_t)step.max_pages +
                 (size_t)(position / OCT_PAGE_TOKENS));
}

#endif
