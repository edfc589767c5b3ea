// Integer attention of single query rows over the INT8 cache: decode.
//
// Computes:      per row, head and chunk of 128 keys: s = q.k, m = max s, p = prob16(s - m),
//                l = sum p, o = sum p * v; chunks merge in ascending position; y = O * (1 / L);
//                q_o = requant((y * out_mul) * rho)
// Shapes:        q [T][C] half; K pages [64][Dp] s8, V pages [16][Dp][4] s8; out [T][C] s8 or,
//                where dynamic, waiting [T][C] f32; scratch: oct_attend_decode_scratch_bytes
// Grid:          (T * H, splits) blocks of 128 threads: a thread is a key of the chunk, then four
//                columns of some groups of four keys
// Shared memory: 128 + 2 * 128 + SETS * Dp * 4 + 36 bytes, SETS = 128 / (Dp / 4)
// Bound:         2 * C * S bytes a row (S = position + 1), each read once; one dp4a for 4 bytes of
// K,
//                two for 4 of V
// Numerics:      exact in s32 within a chunk (NUMERICS.md section 5). Splits own whole chunks and
//                hand over (m, l, o) of each, because merging is a chain of roundings in ascending
//                position; so any number of splits gives the same bits
// Limits:        D 8..128; splits > 1: T * H <= MAX_COUNTERS, and scratch whose counters are zero
//                (each launch leaves them so)
#include "attend_common.cuh"

static const int THREADS = 128;
static const int MAX_COUNTERS = 16384; // at a fixed place of the scratch, whatever the shape
static const int PAGE_GROUPS = OCT_PAGE_TOKENS / 4; // of four keys
static_assert(THREADS == OCT_CHUNK_KEYS, "a thread is a key");

// m, l and two words of padding, so that o is 16-byte aligned; then o[Dp].
static const int PART_HEADER = 4;

static __device__ __forceinline__ int32_t dp4a_s8_s8(uint32_t a, uint32_t b, int32_t c)
{
    return __dp4a((int32_t)a, (int32_t)b, c);
}

// Unsigned bytes of a (limbs of probabilities), signed bytes of b.
static __device__ __forceinline__ int32_t dp4a_u8_s8(uint32_t a, uint32_t b, int32_t c)
{
    int32_t d;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

template <int NT> struct decode_shared {
    static const int QUADS = 4 * NT;         // of columns
    static const int SETS = THREADS / QUADS; // threads that share four columns
    uint32_t q[QUADS];                       // codes
    uint8_t p_hi[THREADS], p_lo[THREADS];    // limbs by key
    int4 o[SETS][QUADS];                     // partial sums of four columns
    int32_t warp_m[4], warp_l[4];
    int32_t is_last;
};

// What the chunks of a row and head have given so far, for four columns.
struct decode_sum {
    oct_softmax_state state;
    float O[4];
};

static __device__ __forceinline__ void merge(decode_sum &sum, int32_t m, int32_t l, int4 o, float c)
{
    float a;
    float b;
    oct_merge_chunk(&sum.state, m, l, c, &a, &b);
    sum.O[0] = oct_merge_element(sum.O[0], o.x, a, b);
    sum.O[1] = oct_merge_element(sum.O[1], o.y, a, b);
    sum.O[2] = oct_merge_element(sum.O[2], o.z, a, b);
    sum.O[3] = oct_merge_element(sum.O[3], o.w, a, b);
}

// One chunk of keys begin.. by the block: m and l to every thread, o of its four columns to threads
// below QUADS. `position` is the last visible key.
template <int NT>
static __device__ __forceinline__ int4 attend_chunk(decode_shared<NT> &shared,
                                                    const slot_pages<int8_t> &at, int32_t begin,
                                                    int32_t position, float c, float d_min,
                                                    int32_t &m, int32_t &l)
{
    constexpr int QUADS = decode_shared<NT>::QUADS;
    constexpr int SETS = decode_shared<NT>::SETS;
    constexpr int GROUPS = (OCT_CHUNK_KEYS / 4 + SETS - 1) / SETS; // of four keys, for one thread
    const int key = (int)threadIdx.x;
    const int quad = key % QUADS;
    const int set = key / QUADS;
    const bool is_visible = begin + key <= position;

    // Both pages' loads are under way before the first product waits for any.
    const int8_t *first = k_block(at, begin / OCT_PAGE_TOKENS);
    const int8_t *second = begin + OCT_PAGE_TOKENS <= position
                               ? k_block(at, begin / OCT_PAGE_TOKENS + 1)
                               : first; // not used
    uint4 k[NT];
    const uint4 *row = (const uint4 *)((key < OCT_PAGE_TOKENS ? first : second) +
                                       (size_t)(key % OCT_PAGE_TOKENS) * (16 * NT));
#pragma unroll
    for (int i = 0; i < NT; i++) {
        k[i] = is_visible ? __ldg(row + i) : make_uint4(0, 0, 0, 0);
    }
    uint4 v[GROUPS];
#pragma unroll
    for (int i = 0; i < GROUPS; i++) {
        int group = set + SETS * i;
        bool is_used = set < SETS && group < OCT_CHUNK_KEYS / 4 && begin + 4 * group <= position;
        const uint4 *words = (const uint4 *)((group < PAGE_GROUPS ? first : second) + at.to_v) +
                             (size_t)(group % PAGE_GROUPS) * QUADS + quad;
        v[i] = is_used ? __ldg(words) : make_uint4(0, 0, 0, 0);
    }

    // s, and its maximum over the visible keys.
    int32_t s = 0;
#pragma unroll
    for (int i = 0; i < NT; i++) {
        s = dp4a_s8_s8(shared.q[4 * i], k[i].x, s);
        s = dp4a_s8_s8(shared.q[4 * i + 1], k[i].y, s);
        s = dp4a_s8_s8(shared.q[4 * i + 2], k[i].z, s);
        s = dp4a_s8_s8(shared.q[4 * i + 3], k[i].w, s);
    }
    int32_t top = warp_max(is_visible ? s : INT32_MIN);
    if (key % 32 == 0) {
        shared.warp_m[key / 32] = top;
    }
    __syncthreads(); // the warps' maxima are there; nobody reads the last chunk's p any more
    m = max(max(shared.warp_m[0], shared.warp_m[1]), max(shared.warp_m[2], shared.warp_m[3]));

    uint32_t p = is_visible ? oct_prob16((float)(s - m), c, d_min) : 0;
    shared.p_hi[key] = (uint8_t)(p >> 8);
    shared.p_lo[key] = (uint8_t)p;
    int32_t sum = warp_sum((int32_t)p);
    if (key % 32 == 0) {
        shared.warp_l[key / 32] = sum;
    }
    __syncthreads(); // p and the warps' sums are there; nobody reads the last chunk's o any more
    l = shared.warp_l[0] + shared.warp_l[1] + shared.warp_l[2] + shared.warp_l[3];

    int32_t hi[4] = {0, 0, 0, 0};
    int32_t lo[4] = {0, 0, 0, 0};
    if (set < SETS) {
#pragma unroll
        for (int i = 0; i < GROUPS; i++) {
            int group = set + SETS * i;
            if (group < OCT_CHUNK_KEYS / 4) {
                uint32_t p_hi = ((const uint32_t *)shared.p_hi)[group];
                uint32_t p_lo = ((const uint32_t *)shared.p_lo)[group];
                hi[0] = dp4a_u8_s8(p_hi, v[i].x, hi[0]), lo[0] = dp4a_u8_s8(p_lo, v[i].x, lo[0]);
                hi[1] = dp4a_u8_s8(p_hi, v[i].y, hi[1]), lo[1] = dp4a_u8_s8(p_lo, v[i].y, lo[1]);
                hi[2] = dp4a_u8_s8(p_hi, v[i].z, hi[2]), lo[2] = dp4a_u8_s8(p_lo, v[i].z, lo[2]);
                hi[3] = dp4a_u8_s8(p_hi, v[i].w, hi[3]), lo[3] = dp4a_u8_s8(p_lo, v[i].w, lo[3]);
            }
        }
        shared.o[set][quad] = make_int4(256 * hi[0] + lo[0], 256 * hi[1] + lo[1],
                                        256 * hi[2] + lo[2], 256 * hi[3] + lo[3]);
    }
    __syncthreads(); // all partial sums are there
    int4 o = make_int4(0, 0, 0, 0);
    if (key < QUADS) {
        for (int i = 0; i < SETS; i++) {
            int4 part = shared.o[i][key];
            o.x += part.x, o.y += part.y, o.z += part.z, o.w += part.w;
        }
    }
    return o;
}

// Four blocks a multiprocessor: 64 KB of K and V under way at D = 64, in at most 128 registers
// (left to itself, ptxas takes 96 and spills).
template <int NT>
static __global__ void __launch_bounds__(THREADS, 4)
    attend_decode_kernel(const launch_attend args, int32_t max_chunks, int32_t *scratch)
{
    constexpr int QUADS = decode_shared<NT>::QUADS;
    constexpr int PART = PART_HEADER + 16 * NT; // words of a chunk in the scratch
    __shared__ __align__(16) decode_shared<NT> shared;
    const int32_t H = args.kv.n_head;
    const int32_t D = args.kv.d_head;
    const int32_t t = (int32_t)blockIdx.x / H;
    const int32_t head = (int32_t)blockIdx.x % H;
    const int32_t split = (int32_t)blockIdx.y;
    const int i = (int)threadIdx.x;
    const int32_t position = args.step.position[t];
    decode_sum sum = {};
    if (position < 0) {
        if (split == 0 && i < QUADS) {
            store_output(args, t, position, head, 4 * i, sum.O);
        }
        return;
    }
    // Splits of nearly equal numbers of chunks; those that have none are not waited for.
    const int32_t n_chunks = position / OCT_CHUNK_KEYS + 1;
    const int32_t n_splits = min((int32_t)gridDim.y, n_chunks);
    if (split >= n_splits) {
        return;
    }
    size_t column = ((size_t)t * (size_t)H + (size_t)head) * (size_t)D;
    uint32_t codes[1];
    float c = quantize_q<32>(codes, (const uint16_t *)args.q + column,
                             args.k_step + (size_t)head * (size_t)D, D, i % 32);
    const float d_min = oct_div(-18.0f, c);
    if (i < QUADS) {
        shared.q[i] = codes[0];
    }
    __syncthreads(); // q is there
    slot_pages<int8_t> at = find_pages<int8_t>(args, args.step.slot[t], head);
    int32_t *parts = scratch + MAX_COUNTERS + (size_t)blockIdx.x * (size_t)max_chunks * PART;
    int32_t end = (int32_t)((int64_t)(split + 1) * n_chunks / n_splits);
    for (int32_t chunk = (int32_t)((int64_t)split * n_chunks / n_splits); chunk < end; chunk++) {
        int32_t m;
        int32_t l;
        int4 o = attend_chunk<NT>(shared, at, chunk * OCT_CHUNK_KEYS, position, c, d_min, m, l);
        if (i < QUADS) {
            if (n_splits == 1) {
                merge(sum, m, l, o, c);
            } else {
                int32_t *part = parts + (size_t)chunk * PART;
                ((int4 *)(part + PART_HEADER))[i] = o;
                if (i == 0) {
                    *(int2 *)part = make_int2(m, l);
                }
            }
        }
    }
    if (n_splits > 1) {
        __threadfence(); // our parts before our count
        __syncthreads(); // the whole block's parts
        if (i == 0) {
            shared.is_last = atomicAdd(scratch + blockIdx.x, 1) == n_splits - 1;
        }
        __syncthreads(); // is_last is there
        if (!shared.is_last) {
            return;
        }
        __threadfence(); // the others' counts before their parts
        if (i == 0) {
            scratch[blockIdx.x] = 0; // for the next launch
        }
        if (i < QUADS) {
#pragma unroll 4
            for (int32_t chunk = 0; chunk < n_chunks; chunk++) {
                const int32_t *part = parts + (size_t)chunk * PART;
                int2 ml = __ldcg((const int2 *)part);
                merge(sum, ml.x, ml.y, __ldcg((const int4 *)(part + PART_HEADER) + i), c);
            }
        }
    }
    if (i < QUADS) {
        float r = oct_rcp(sum.state.l);
        const float y[4] = {oct_mul(sum.O[0], r), oct_mul(sum.O[1], r), oct_mul(sum.O[2], r),
                            oct_mul(sum.O[3], r)};
        store_output(args, t, position, head, 4 * i, y);
    }
}

template <int NT>
static int launch_width(const launch_attend *args, int32_t n_splits, int32_t *scratch,
                        cudaStream_t stream)
{
    dim3 grid((unsigned)(args->step.n_rows * args->kv.n_head), (unsigned)n_splits);
    int32_t max_chunks = ceil_div(args->step.max_pages, OCT_CHUNK_KEYS / OCT_PAGE_TOKENS);
    attend_decode_kernel<NT><<<grid, THREADS, 0, stream>>>(*args, max_chunks, scratch);
    return (int)cudaGetLastError();
}

// Counters of (row, head), then (m, l, o) of every chunk. SIZE_MAX: so many rows take one split.
extern "C" size_t oct_attend_decode_scratch_bytes(int32_t n_rows, int32_t n_head, int32_t d_head,
                                                  int32_t n_splits, int32_t max_pages)
{
    if (n_splits == 1) {
        return 0;
    }
    int64_t pairs = (int64_t)n_rows * n_head;
    if (pairs > MAX_COUNTERS) {
        return SIZE_MAX;
    }
    size_t chunks = (size_t)ceil_div(max_pages, OCT_CHUNK_KEYS / OCT_PAGE_TOKENS);
    size_t part = (size_t)(PART_HEADER + kv_d_padded(d_head));
    return (MAX_COUNTERS + (size_t)pairs * chunks * part) * sizeof(int32_t);
}

extern "C" int oct_launch_attend_decode_i8(const launch_attend *args, int32_t n_splits,
                                           void *scratch, launch_stream stream)
{
    int64_t pairs = (int64_t)args->step.n_rows * args->kv.n_head;
    if (!attend_shape_is_ok(args, OCT_FORMAT_W8A8) || pairs > INT32_MAX || n_splits < 1 ||
        n_splits > 65535 || (n_splits > 1 && (pairs > MAX_COUNTERS || scratch == NULL))) {
        return LAUNCH_ERR_SHAPE;
    }
    if (pairs == 0) {
        return 0;
    }
    switch (ceil_div(args->kv.d_head, 16)) {
    case 1:
        return launch_width<1>(args, n_splits, (int32_t *)scratch, stream);
    case 2:
        return launch_width<2>(args, n_splits, (int32_t *)scratch, stream);
    case 3:
        return launch_width<3>(args, n_splits, (int32_t *)scratch, stream);
    case 4:
        return launch_width<4>(args, n_splits, (int32_t *)scratch, stream);
    case 5:
        return launch_width<5>(args, n_splits, (int32_t *)scratch, stream);
    case 6:
        return launch_width<6>(args, n_splits, (int32_t *)scratch, stream);
    case 7:
        return launch_width<7>(args, n_splits, (int32_t *)scratch, stream);
    default:
        return launch_width<8>(args, n_splits, (int32_t *)scratch, stream);
    }
}
