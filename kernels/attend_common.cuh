// attend_common.cuh: what the attention kernels share (NUMERICS.md section 5): q's codes, where a
// slot's keys and values are, the runs of neighbouring rows that a tile consists of, and the
// rounding of the output.
#ifndef OCT_ATTEND_COMMON_CUH
#define OCT_ATTEND_COMMON_CUH

#include "common.cuh"

static const int MAX_D = 128;
static_assert(127 * 127 * MAX_D <= 1 << 22, "oct_score_diff: biased scores are exact floats");
static_assert(OCT_CHUNK_KEYS == 2 * OCT_PAGE_TOKENS, "a chunk is two pages");

// What every launcher checks.
static inline bool attend_shape_is_ok(const launch_attend *args, oct_format format)
{
    const launch_kv *kv = &args->kv;
    return args->step.n_rows >= 0 && kv->format == (int32_t)format &&
           args->quant.format == format && kv->n_head >= 1 && kv->d_head >= 8 &&
           kv->d_head <= MAX_D && kv->n_head <= INT32_MAX / MAX_D && args->layer >= 0 &&
           args->layer < kv->n_layer;
}

// ---- four adjacent columns d..d + 3 of a head ---------------------------------------------------

// One access where D % 4 == 0, since then every row of q16, k_step, codes and floats is aligned to
// four of its cells.

static __device__ __forceinline__ void load_half4(float (&x)[4], const uint16_t *p, int32_t d,
                                                  int32_t D)
{
    if (D % 4 == 0) {
        uint2 h = d < D ? *(const uint2 *)(p + d) : make_uint2(0, 0);
        x[0] = oct_half_to_float((uint16_t)h.x), x[1] = oct_half_to_float((uint16_t)(h.x >> 16));
        x[2] = oct_half_to_float((uint16_t)h.y), x[3] = oct_half_to_float((uint16_t)(h.y >> 16));
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[i] = d + i < D ? oct_half_to_float(p[d + i]) : 0.0f;
    }
}

static __device__ __forceinline__ void load_float4(float (&x)[4], const float *p, int32_t d,
                                                   int32_t D)
{
    if (D % 4 == 0) {
        float4 v = d < D ? __ldg((const float4 *)(p + d)) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[i] = d + i < D ? __ldg(p + d + i) : 0.0f;
    }
}

static __device__ __forceinline__ void store_float4(float *p, int32_t d, int32_t D,
                                                    const float (&x)[4])
{
    if (D % 4 == 0) {
        if (d < D) {
            store_cells(p + d, x);
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (d + i < D) {
            p[d + i] = x[i];
        }
    }
}

// ---- q ------------------------------------------------------------------------------------------

// The codes of one row and head of q by LANES neighbouring lanes (a power of two; `lane` counts
// within them): word i of a lane holds columns 4 * (lane + LANES * i).., zero behind D. q' = q16 *
// k_step, a = max |q'|, q = requant(q' * (127 / a)). Returns c = (a / 127) * log2e. All lanes of
// the warp take part.
template <int LANES, int WORDS>
static __device__ __forceinline__ float quantize_q(uint32_t (&codes)[WORDS], const uint16_t *q16,
                                                   const float *k_step, int32_t D, int lane)
{
    float x[WORDS][4];
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < WORDS; i++) {
        float step[4];
        load_half4(x[i], q16, 4 * (lane + LANES * i), D);
        load_float4(step, k_step, 4 * (lane + LANES * i), D);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            x[i][j] = oct_mul(x[i][j], step[j]);
            top = max(top, magnitude(x[i][j]));
        }
    }
#pragma unroll
    for (int other = LANES / 2; other >= 1; other /= 2) {
        top = max(top, __shfl_xor_sync(ALL_LANES, top, other));
    }
    float a = oct_absmax_or_127(oct_float(top));
    float r = oct_div(127.0f, a);
#pragma unroll
    for (int i = 0; i < WORDS; i++) {
        uint32_t raw[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            raw[j] = oct_requant_raw(oct_mul(x[i][j], r), 0, -127.0f, 127.0f);
        }
        codes[i] = __byte_perm(__byte_perm(raw[0], raw[1], 0x0040),
                               __byte_perm(raw[2], raw[3], 0x0040), 0x5410);
    }
    return oct_mul(oct_div(a, 127.0f), OCT_LOG2E);
}

// ---- probabilities ------------------------------------------------------------------------------

// The limbs of four probabilities (low halves of `raw`) as bytes of a word each, key 0 first.
static __device__ __forceinline__ void pack_limbs(uint32_t &hi, uint32_t &lo,
                                                  const uint32_t (&raw)[4])
{
    uint32_t first = __byte_perm(raw[0], raw[1], 0x5140); // lo 0, lo 1, hi 0, hi 1
    uint32_t second = __byte_perm(raw[2], raw[3], 0x5140);
    lo = __byte_perm(first, second, 0x5410);
    hi = __byte_perm(first, second, 0x7632);
}

// ---- the cache ----------------------------------------------------------------------------------

// K blocks of one layer and head in the pages of one slot; the V block of a page follows `to_v`
// elements behind.
template <typename CODE> struct slot_pages {
    const CODE *pool;        // the block in page 0
    size_t page, to_v;       // elements
    const int32_t *page_ids; // of this slot
};

template <typename CODE>
static __device__ __forceinline__ slot_pages<CODE> find_pages(const launch_attend &args,
                                                              int32_t slot, int32_t head)
{
    const launch_kv &kv = args.kv;
    return {(const CODE *)kv.pool + kv_block(kv, args.layer, 0, head), kv_page(kv),
            kv_block(kv, args.layer, 1, head) - kv_block(kv, args.layer, 0, head),
            args.step.page_table + (size_t)slot * (size_t)args.step.max_pages};
}

// The K block of the page that holds the slot's tokens 64 * i...
template <typename CODE>
static __device__ __forceinline__ const CODE *k_block(const slot_pages<CODE> &at, int32_t i)
{
    return at.pool + (size_t)__ldg(at.page_ids + i) * at.page;
}

// ---- runs: neighbouring rows of one slot within a tile ------------------------------------------

// In shared memory. Bit i of `begins`: a run begins at row i; of `present`: row i is a real row.
template <int ROWS> struct tile_rows {
    int32_t position[ROWS]; // -1 = padding, or behind the last row
    int32_t slot[ROWS];
    uint32_t begins[2], present[2];
};

// Rows first_row.. of the step, by the whole block; a barrier must follow before anyone reads.
template <int ROWS>
static __device__ __forceinline__ void load_rows(tile_rows<ROWS> &rows, const launch_step &step,
                                                 int32_t first_row)
{
    static_assert(ROWS == 32 || ROWS == 64, "one or two warps vote");
    int i = (int)threadIdx.x;
    if (i < 64) {
        int32_t t = first_row + i;
        bool inside = i < ROWS && t < step.n_rows;
        int32_t position = inside ? step.position[t] : -1;
        int32_t slot = inside ? step.slot[t] : 0;
        bool goes_on = i > 0 && inside && step.position[t - 1] >= 0 && step.slot[t - 1] == slot;
        uint32_t present = __ballot_sync(ALL_LANES, position >= 0);
        uint32_t begins = __ballot_sync(ALL_LANES, position >= 0 && !goes_on);
        if (i < ROWS) {
            rows.position[i] = position;
            rows.slot[i] = slot;
        }
        if (i % 32 == 0) {
            rows.present[i / 32] = present;
            rows.begins[i / 32] = begins;
        }
    }
}

// The first row >= `from` that begins a run; 64 = none.
template <int ROWS>
static __device__ __forceinline__ int32_t next_run(const tile_rows<ROWS> &rows, int32_t from)
{
    uint64_t begins = (uint64_t)rows.begins[1] << 32 | rows.begins[0];
    begins &= from < 64 ? ~0ull << from : 0;
    return begins == 0 ? 64 : __ffsll((int64_t)begins) - 1;
}

// The row behind the run that begins at `first`.
template <int ROWS>
static __device__ __forceinline__ int32_t run_end(const tile_rows<ROWS> &rows, int32_t first)
{
    uint64_t begins = (uint64_t)rows.begins[1] << 32 | rows.begins[0];
    uint64_t present = (uint64_t)rows.present[1] << 32 | rows.present[0];
    uint64_t ends = (begins | ~present) & ~((2ull << first) - 1);
    return ends == 0 ? 64 : __ffsll((int64_t)ends) - 1;
}

// ---- output -------------------------------------------------------------------------------------

// The tap of columns d..d + 3 of a head: y in real units.
static __device__ __forceinline__ void store_tap(const launch_attend &args, int32_t t, int32_t head,
                                                 int32_t d, const float (&y)[4])
{
    if (args.tap == NULL) {
        return;
    }
    int32_t D = args.kv.d_head;
    float mul[4] = {1.0f, 1.0f, 1.0f, 1.0f}; // exact
    if (args.tap_mul != NULL) {
        load_float4(mul, args.tap_mul + (size_t)head * (size_t)D, d, D);
    }
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[i] = oct_mul(y[i], mul[i]);
    }
    size_t row = (size_t)t * (size_t)args.kv.n_head + (size_t)head;
    store_float4(args.tap + row * (size_t)D, d, D, x);
}

// Columns d..d + 3 of row t, y = O / L (0 in a padded row): times out_mul; then codes, or floats
// that wait for the row's maximum. Column 0 of head 0 writes the row's factors.
static __device__ __forceinline__ void store_output(const launch_attend &args, int32_t t,
                                                    int32_t position, int32_t head, int32_t d,
                                                    const float (&y)[4])
{
    int32_t D = args.kv.d_head;
    store_tap(args, t, head, d, y);
    float x[4];
    load_float4(x, args.out_mul + (size_t)head * (size_t)D, d, D);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[i] = oct_mul(y[i], x[i]);
    }
    if (args.quant.dynamic) {
        size_t row = (size_t)t * (size_t)args.kv.n_head + (size_t)head;
        store_float4(args.waiting + row * (size_t)D, d, D, x);
        return;
    }
    row_factors row = static_row(args.quant, position);
    float lo = (float)(args.quant.lo - row.zero);
    float hi = (float)(args.quant.hi - row.zero);
    uint32_t raw[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        raw[i] = oct_requant_raw(oct_mul(x[i], row.rho), row.zero, lo, hi);
    }
    int8_t *out = (int8_t *)args.out.data + (size_t)t * stride_i8(args.kv.n_head * D) +
                  (size_t)head * (size_t)D + d;
    if (D % 4 == 0) {
        if (d < D) {
            store_codes(out, raw);
        }
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (d + i < D) {
                out[i] = (int8_t)raw[i];
            }
        }
    }
    if (head == 0 && d == 0) {
        args.out.row_step[t] = row.sigma;
        args.out.row_zero[t] = row.zero;
    }
}

#endif
