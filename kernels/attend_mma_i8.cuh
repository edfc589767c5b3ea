// attend_mma_i8.cuh: one chunk of integer attention for 16 query rows of a warp by mma.m16n8k32
// (NUMERICS.md section 5): loads of K and V, scores, probabilities, both limbs of p * v, the merge.
//
// Scores leave the first product in the registers in which the second wants probabilities: K's rows
// lie in shared memory in an order that makes it so, V's words of four keys are B fragments as they
// are. Nothing but maxima and sums of a row crosses lanes.
#ifndef OCT_ATTEND_MMA_I8_CUH
#define OCT_ATTEND_MMA_I8_CUH

#include "attend_common.cuh"
#include "ptx.cuh"

static const int WARPS = 4;
static const int THREADS = 32 * WARPS;
static const int WARP_ROWS = 16; // rows of an mma
static const int ROWS = WARPS * WARP_ROWS;
static const int SIXTEENS = OCT_CHUNK_KEYS / 16;   // of keys
static const int GROUPS = OCT_CHUNK_KEYS / 4;      // of keys, as V's words hold them
static const int32_t MASKED = (int32_t)0xFF800000; // as a float -infinity, as an integer < every s

template <int K_STRIDE, int V_STRIDE> struct chunk_shared {
    int8_t k[OCT_CHUNK_KEYS][K_STRIDE];
    int8_t v[GROUPS][V_STRIDE];
};

// A chunk of K and of V, in bytes. Strides are odd multiples of 16 bytes, and of 32 bytes: the
// eight rows of an ldmatrix, and the words of four groups by eight columns, lie in different banks.
template <int NT> struct prefill_shared {
    static const int K_STRIDE = 16 * (NT | 1);
    static const int V_STRIDE = 4 * (16 * NT + 8);
    static const int Y_STRIDE = 16 * NT + 8;
    union {
        chunk_shared<K_STRIDE, V_STRIDE> kv;
        float y[ROWS][Y_STRIDE]; // behind the last chunk
    };
    tile_rows<ROWS> rows;
};

// What a lane knows of its two rows (g and g + 8 of its warp's 16).
struct lane_rows {
    int32_t n_keys[2]; // that the row sees; 0 where the row is not of this run
    float c[2], d_min[2];
    oct_softmax_state state[2];
};

// Probabilities of a lane's two rows: the limbs of four neighbouring keys in a word.
struct lane_probs {
    uint32_t hi[SIXTEENS][2], lo[SIXTEENS][2]; // of row r
    int32_t m[2], l[2];
};

// ---- mma whose sum starts elsewhere than in d: no instruction is spent on setting d
// --------------

static __device__ __forceinline__ void mma_s8_s8_from(int32_t (&d)[4], const uint32_t (&a)[4],
                                                      uint32_t b0, uint32_t b1, int32_t start)
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %10, %10, %10};"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(start));
}

static __device__ __forceinline__ void mma_u8_s8_from_0(int32_t (&d)[4], const uint32_t (&a)[4],
                                                        uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %10, %10, %10};"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(0));
}

// ---- loads --------------------------------------------------------------------------------------

// Row of shared.kv.k for a key of the chunk: keys 16 * j + 4 * a + 2 * b + e are row 16 * j + 8 * b
// + 2
// * a + e, so that the lane that gets columns 2 * a, 2 * a + 1 of both products holds four
// neighbouring keys: a word of probabilities as mma's A and V's words want it.
static __device__ __forceinline__ int k_row(int key)
{
    return (key & ~15) | (key & 2) << 2 | (key >> 1 & 6) | (key & 1);
}

// The K blocks of a chunk into shared memory, as one cp.async group. Two threads copy a key, 32
// bytes at a time. Behind the last visible key's page nothing is copied, and nothing will be read.
template <int NT>
static __device__ __forceinline__ void
load_k(prefill_shared<NT> &shared, const slot_pages<int8_t> &at, int32_t begin, int32_t n_keys)
{
    const int key = (int)threadIdx.x / 2;
    const int part = (int)threadIdx.x % 2;
#pragma unroll
    for (int page = 0; page < 2; page++) {
        if (begin + OCT_PAGE_TOKENS * page < n_keys) {
            const int8_t *src = k_block(at, begin / OCT_PAGE_TOKENS + page) + key * (16 * NT);
            uint32_t dst = shared_address(&shared.kv.k[OCT_PAGE_TOKENS * page + k_row(key)][0]);
#pragma unroll
            for (int j = 0; j < NT; j += 2) {
                if (j + part < NT) {
                    cp_async_16(dst + 16 * (j + part), src + 16 * (j + part));
                }
            }
        }
    }
    cp_async_commit();
}

// The V blocks likewise. Eight threads copy a group of four keys, 128 bytes at a time.
template <int NT>
static __device__ __forceinline__ void
load_v(prefill_shared<NT> &shared, const slot_pages<int8_t> &at, int32_t begin, int32_t n_keys)
{
    const int group = (int)threadIdx.x / 8;
    const int part = (int)threadIdx.x % 8;
#pragma unroll
    for (int page = 0; page < 2; page++) {
        if (begin + OCT_PAGE_TOKENS * page < n_keys) {
            const int8_t *src =
                k_block(at, begin / OCT_PAGE_TOKENS + page) + at.to_v + group * (64 * NT);
            uint32_t dst = shared_address(&shared.kv.v[GROUPS / 2 * page + group][0]);
#pragma unroll
            for (int j = 0; j < 4 * NT; j += 8) {
                if (j + part < 4 * NT) {
                    cp_async_16(dst + 16 * (j + part), src + 16 * (j + part));
                }
            }
        }
    }
    cp_async_commit();
}

// ---- products -----------------------------------------------------------------------------------

// s of the warp's 16 rows and sixteen j of the chunk's keys, biased by OCT_MAGIC_BITS: s[b][e] is
// row g (e < 2) or g + 8 and key 16 * j + 4 * (lane % 4) + 2 * b + e % 2.
template <int NT>
static __device__ __forceinline__ void score_sixteen(int32_t (&s)[2][4],
                                                     const prefill_shared<NT> &shared,
                                                     const uint32_t (&q)[2][NT], int j)
{
    const int lane = (int)threadIdx.x % 32;
    // Matrices 0, 1: the first eight rows, parts 0 and 1 of 16 bytes; 2, 3: the next eight.
    const int row = 16 * j + lane / 16 * 8 + lane % 8;
    const int part = lane / 8 % 2;
#pragma unroll
    for (int i = 0; i < NT; i += 2) {
        // Where Dp is an odd number of 16, the last product has zeros in its upper half of q.
        const bool is_half = i + 1 == NT;
        uint32_t b[4];
        ldmatrix_x4(b, shared_address(&shared.kv.k[row][16 * (is_half ? i : i + part)]));
        const uint32_t a[4] = {q[0][i], q[1][i], is_half ? 0 : q[0][(i + 1) % NT],
                               is_half ? 0 : q[1][(i + 1) % NT]};
        if (i == 0) {
            mma_s8_s8_from(s[0], a, b[0], b[1], OCT_MAGIC_BITS);
            mma_s8_s8_from(s[1], a, b[2], b[3], OCT_MAGIC_BITS);
        } else {
            mma_s8_s8(s[0], a, b[0], b[1]);
            mma_s8_s8(s[1], a, b[2], b[3]);
        }
    }
}

// Probabilities of the warp's rows. IS_WHOLE: every row sees all keys of the chunk; else sixteens
// behind the warp's `n` keys are left out and the rest is masked.
template <int NT, bool IS_WHOLE>
static __device__ __forceinline__ void weigh_chunk(lane_probs &p, const prefill_shared<NT> &shared,
                                                   const uint32_t (&q)[2][NT],
                                                   const lane_rows &rows, int32_t begin, int32_t n)
{
    const int32_t first_key = begin + 4 * ((int)threadIdx.x % 4);
    int32_t s[SIXTEENS][2][4];
#pragma unroll
    for (int j = 0; j < SIXTEENS; j++) {
        if (IS_WHOLE || 16 * j < n) {
            score_sixteen(s[j], shared, q, j);
        } else {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                s[j][0][e] = s[j][1][e] = MASKED;
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int32_t m = MASKED;
#pragma unroll
        for (int j = 0; j < SIXTEENS; j++) {
            if (IS_WHOLE || 16 * j < n) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int32_t &score = s[j][e / 2][2 * r + e % 2];
                    bool is_visible = IS_WHOLE || first_key + 16 * j + e < rows.n_keys[r];
                    score = is_visible ? score : MASKED;
                    m = max(m, score);
                }
            }
        }
        m = max(m, __shfl_xor_sync(ALL_LANES, m, 1));
        m = max(m, __shfl_xor_sync(ALL_LANES, m, 2));
        // What lies above the 16 bits of each probability comes off the sum at its end.
        uint32_t sum = 0;
#pragma unroll
        for (int j = 0; j < SIXTEENS; j++) {
            p.hi[j][r] = p.lo[j][r] = 0;
            if (IS_WHOLE || 16 * j < n) {
                uint32_t raw[4];
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float d = oct_score_diff(s[j][e / 2][2 * r + e % 2], m);
                    raw[e] = oct_prob16_raw(d, rows.c[r], rows.d_min[r]);
                }
                sum += (raw[0] + raw[1]) + (raw[2] + raw[3]);
                pack_limbs(p.hi[j][r], p.lo[j][r], raw);
            }
        }
        sum += __shfl_xor_sync(ALL_LANES, sum, 1);
        sum += __shfl_xor_sync(ALL_LANES, sum, 2);
        int32_t sixteens = IS_WHOLE ? SIXTEENS : min(SIXTEENS, ceil_div(n, 16));
        p.m[r] = m;
        p.l[r] = (int32_t)(sum - 16u * (uint32_t)sixteens * 0x4B000000u);
    }
}

// Adds the chunk to the rows' outputs: O[d][r][2 * x + e] is column 16 * d + 8 * x + 2 * (lane % 4)
// + e of row r.
template <int NT>
static __device__ __forceinline__ void
merge_chunk(float (&O)[NT][2][4], lane_rows &rows, const lane_probs &p,
            const prefill_shared<NT> &shared, int32_t begin, int32_t n)
{
    const int lane = (int)threadIdx.x % 32;
    float a[2];
    float b[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        oct_softmax_state state = rows.state[r];
        oct_merge_chunk(&state, p.m[r], p.l[r], rows.c[r], &a[r], &b[r]);
        // For a row that sees no key the chunk does not exist: its o is 0, and O * 1 + 0 * -0 is O,
        // whatever its sign.
        bool is_seen = begin < rows.n_keys[r];
        a[r] = is_seen ? a[r] : 1.0f;
        b[r] = is_seen ? b[r] : -0.0f;
        rows.state[r].m = is_seen ? state.m : rows.state[r].m;
        rows.state[r].l = is_seen ? state.l : rows.state[r].l;
    }
    const int8_t *words = &shared.kv.v[lane % 4][4 * (lane / 4)];
#pragma unroll
    for (int d = 0; d < NT; d++) {
        int32_t hi[2][4];
        int32_t lo[2][4];
#pragma unroll
        for (int k = 0; k < SIXTEENS; k += 2) {
            if (k == 0 || 16 * k < n) {
                const uint32_t p_hi[4] = {p.hi[k][0], p.hi[k][1], p.hi[k + 1][0], p.hi[k + 1][1]};
                const uint32_t p_lo[4] = {p.lo[k][0], p.lo[k][1], p.lo[k + 1][0], p.lo[k + 1][1]};
#pragma unroll
                for (int x = 0; x < 2; x++) {
                    const int8_t *at = words + 4 * k * prefill_shared<NT>::V_STRIDE;
                    at += 32 * (2 * d + x);
                    uint32_t b0 = *(const uint32_t *)at;
                    uint32_t b1 = *(const uint32_t *)(at + 4 * prefill_shared<NT>::V_STRIDE);
                    if (k == 0) {
                        mma_u8_s8_from_0(hi[x], p_hi, b0, b1);
                        mma_u8_s8_from_0(lo[x], p_lo, b0, b1);
                    } else {
                        mma_u8_s8(hi[x], p_hi, b0, b1);
                        mma_u8_s8(lo[x], p_lo, b0, b1);
                    }
                }
            }
        }
#pragma unroll
        for (int r = 0; r < 2; r++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int e = 2 * r + i % 2;
                int32_t o = 256 * hi[i / 2][e] + lo[i / 2][e];
                O[d][r][i] = oct_merge_element(O[d][r][i], o, a[r], b[r]);
            }
        }
    }
}

#endif
