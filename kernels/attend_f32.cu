// Exact FP32 attention over the f32 cache: baseline of perplexity, ground of calibration.
//
// Computes:      s = chain(q, k) * scale; m = max s; p = exp(s - m); l = sum p; o = chain(p, v);
//                y = o / l
// Shapes:        q [T][C] f32; K pages [Dp][64] f32, V pages [64][Dp] f32; out [T][stride of C] f32
// Grid:          (H, tiles of 32 rows, last tile first: it has the most keys) blocks of 128:
//                thread 16 * i + j has rows 4 * i.. and keys 4 * j.. of a page, then columns
//                NT * j.. A tile is done run by run (neighbouring rows of one slot)
// Shared memory: 4 * (32 * Dp + 64 * 64 + 64 * 36) + 400 bytes: q, a slice of K or V, p
// Bound:         3 * D fma a visible score: q.k is computed twice, once for m and once for p
// Numerics:      one fma chain in ascending d (q.k) or position (p.v), one chain of additions for l
//                (NUMERICS.md section 7); a maximum has no order
// Limits:        D 8..128, any context; rows of a slot stand together in ascending position
//
// Not done on purpose: keeping s in shared memory between the passes. It saves a third of the fma,
// but the context would be limited, or there would be two kernels; attention is a tenth of a
// forward pass at 1,024 keys.
#include "attend_common.cuh"

static const int THREADS = 128;
static const int ROWS = 32;
static const int KEYS = OCT_PAGE_TOKENS;
static const int LANES = 16;                   // threads that share four rows
static const int P_STRIDE = ROWS + 4;          // four more: fewer bank conflicts when p is written
static const int SLICE = 64 * OCT_PAGE_TOKENS; // floats of K or V at a time
static_assert(THREADS == ROWS / 4 * LANES, "four rows a thread");
static_assert(KEYS == 4 * LANES, "four keys a thread");

template <int NT> struct f32_shared {
    static const int DP = 16 * NT;
    static const int K_SLICE = DP < 64 ? DP : 64;          // columns of K at a time
    static const int V_SLICE = DP <= 64 ? KEYS : KEYS / 2; // keys of V at a time
    float q[DP][ROWS];
    float kv[SLICE];
    float p[KEYS][P_STRIDE];
    float l[ROWS];
    tile_rows<ROWS> rows;
};

// N adjacent floats, in as wide loads as N allows (p is aligned to N floats).
template <int N> static __device__ __forceinline__ void load_floats(float (&x)[N], const float *p)
{
#pragma unroll
    for (int i = 0; i < N; i++) {
        if (N % 4 == 0 && i % 4 == 0) {
            float4 v = *(const float4 *)(p + i);
            x[i] = v.x, x[i + 1] = v.y, x[i + 2] = v.z, x[i + 3] = v.w;
        } else if (N % 4 == 2 && i % 2 == 0) {
            float2 v = *(const float2 *)(p + i);
            x[i] = v.x, x[i + 1] = v.y;
        } else if (N % 2 == 1) {
            x[i] = p[i];
        }
    }
}

// n floats (a multiple of 4) into the slice, by the whole block, between two barriers: nobody reads
// the old slice any more; the new one is there.
template <int NT>
static __device__ __forceinline__ void load_slice(f32_shared<NT> &shared, const float *src, int n)
{
    __syncthreads();
    for (int i = 4 * (int)threadIdx.x; i < n; i += 4 * THREADS) {
        *(float4 *)(shared.kv + i) = __ldg((const float4 *)(src + i));
    }
    __syncthreads();
}

// s[i][j] = (chain over d of q * k) * scale of the thread's rows i and keys j of a page.
template <int NT>
static __device__ __forceinline__ void score_page(float (&s)[4][4], f32_shared<NT> &shared,
                                                  const float *k, int32_t D, float scale)
{
    const int row = (int)threadIdx.x / LANES * 4;
    const int key = (int)threadIdx.x % LANES * 4;
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            s[i][j] = 0.0f;
        }
    }
    for (int begin = 0; begin < D; begin += f32_shared<NT>::K_SLICE) {
        int n = min(f32_shared<NT>::K_SLICE, D - begin);
        load_slice(shared, k + begin * KEYS, n * KEYS);
#pragma unroll 4
        for (int d = 0; d < n; d++) {
            float a[4];
            float b[4];
            load_floats(a, &shared.q[begin + d][row]);
            load_floats(b, shared.kv + d * KEYS + key);
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    s[i][j] = oct_fma(a[i], b[j], s[i][j]);
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            s[i][j] = oct_mul(s[i][j], scale);
        }
    }
}

// o[i] += p * v over the slice's keys in ascending order. IS_WHOLE: the thread's rows see all of
// them; else row i sees n_keys[i].
template <int NT, bool IS_WHOLE>
static __device__ __forceinline__ void weigh_slice(float (&o)[4][NT], const f32_shared<NT> &shared,
                                                   int begin, const int32_t (&n_keys)[4])
{
    const int row = (int)threadIdx.x / LANES * 4;
    const int column = (int)threadIdx.x % LANES * NT;
#pragma unroll 4
    for (int j = 0; j < f32_shared<NT>::V_SLICE; j++) {
        float p[4];
        float v[NT];
        load_floats(p, &shared.p[begin + j][row]);
        load_floats(v, shared.kv + j * (16 * NT) + column);
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int d = 0; d < NT; d++) {
                float sum = oct_fma(p[i], v[d], o[i][d]);
                o[i][d] = IS_WHOLE || begin + j < n_keys[i] ? sum : o[i][d];
            }
        }
    }
}

// The same over a page; n_keys[i] counts from its first key.
template <int NT>
static __device__ __forceinline__ void weigh_page(float (&o)[4][NT], f32_shared<NT> &shared,
                                                  const float *v, const int32_t (&n_keys)[4])
{
    constexpr int V_SLICE = f32_shared<NT>::V_SLICE;
    bool is_whole = min(min(n_keys[0], n_keys[1]), min(n_keys[2], n_keys[3])) >= KEYS;
    bool is_whole_warp = __all_sync(ALL_LANES, is_whole);
    for (int begin = 0; begin < KEYS; begin += V_SLICE) {
        // Its barriers are p's, too: the whole block's p is there.
        load_slice(shared, v + begin * (16 * NT), V_SLICE * 16 * NT);
        if (is_whole_warp) {
            weigh_slice<NT, true>(o, shared, begin, n_keys);
        } else {
            weigh_slice<NT, false>(o, shared, begin, n_keys);
        }
    }
}

// Three blocks a multiprocessor: at most 168 registers (left to itself, ptxas spills).
template <int NT>
static __global__ void __launch_bounds__(THREADS, 3) attend_f32_kernel(const launch_attend args)
{
    __shared__ __align__(16) f32_shared<NT> shared;
    const int32_t D = args.kv.d_head;
    const int32_t C = args.kv.n_head * D;
    const int32_t head = (int32_t)blockIdx.x;
    const int32_t first_row = ((int32_t)gridDim.y - 1 - (int32_t)blockIdx.y) * ROWS;
    const int group = (int)threadIdx.x / LANES; // rows 4 * group..
    const int lane = (int)threadIdx.x % LANES;
    // Thread i < ROWS also owns l of row i: a chain of additions that needs no more threads.
    const bool owns_l = threadIdx.x < ROWS;

    load_rows(shared.rows, args.step, first_row);
    for (int i = (int)threadIdx.x; i < ROWS * 4 * NT; i += THREADS) {
        int row = i % ROWS;
        int d = i / ROWS * 4;
        int32_t t = min(first_row + row, args.step.n_rows - 1);
        float x[4];
        load_float4(x, (const float *)args.q + (size_t)t * (size_t)C + (size_t)(head * D), d, D);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            shared.q[d + j][row] = x[j];
        }
    }
    float o[4][NT] = {};
    float l = 0.0f;
    __syncthreads(); // rows and q are there

    for (int32_t first = next_run(shared.rows, 0), end; first < ROWS;
         first = next_run(shared.rows, end)) {
        end = run_end(shared.rows, first);
        slot_pages<float> at = find_pages<float>(args, shared.rows.slot[first], head);
        int32_t n_pages = shared.rows.position[end - 1] / KEYS + 1; // of the run's last row
        int32_t n_keys[4]; // that the thread's rows see; 0 where the row is not of this run
        float m[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int row = 4 * group + i;
            n_keys[i] = row >= first && row < end ? shared.rows.position[row] + 1 : 0;
            m[i] = oct_float(0xFF800000u); // -infinity
        }
        int l_row = (int)threadIdx.x % ROWS;
        int32_t l_keys =
            owns_l && l_row >= first && l_row < end ? shared.rows.position[l_row] + 1 : 0;

        // Pass 1: the maxima.
        for (int32_t page = 0; page < n_pages; page++) {
            float s[4][4];
            score_page(s, shared, k_block(at, page), D, args.scale);
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    bool is_visible = page * KEYS + 4 * lane + j < n_keys[i];
                    m[i] = is_visible ? oct_max(s[i][j], m[i]) : m[i];
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int other = LANES / 2; other >= 1; other /= 2) {
                m[i] = oct_max(m[i], __shfl_xor_sync(ALL_LANES, m[i], other));
            }
        }

        // Pass 2: the same scores again, now as probabilities, and the sums.
        for (int32_t page = 0; page < n_pages; page++) {
            float s[4][4];
            score_page(s, shared, k_block(at, page), D, args.scale);
            int32_t here[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                here[i] = n_keys[i] - page * KEYS;
            }
            // Nobody reads the last page's p any more: score_page has barriers.
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float p[4];
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    bool is_visible = 4 * lane + j < here[i];
                    p[i] = is_visible ? oct_exp_neg(oct_sub(s[i][j], m[i])) : 0.0f;
                }
                store_cells(&shared.p[4 * lane + j][4 * group], p);
            }
            weigh_page(o, shared, k_block(at, page) + at.to_v, here);
            for (int j = 0; j < min(KEYS, l_keys - page * KEYS); j++) {
                l = oct_add(l, shared.p[j][l_row]);
            }
        }
    }

    if (owns_l) {
        shared.l[threadIdx.x] = l;
    }
    __syncthreads(); // l is there
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int row = 4 * group + i;
        int32_t t = first_row + row;
        if (t >= args.step.n_rows) {
            continue;
        }
        bool is_real = shared.rows.position[row] >= 0;
#pragma unroll
        for (int j = 0; j < NT; j++) {
            int32_t d = NT * lane + j;
            if (d < D) {
                float y = is_real ? oct_div(o[i][j], shared.l[row]) : 0.0f;
                int32_t c = head * D + d;
                ((float *)args.out.data)[(size_t)t * stride_f32(C) + (size_t)c] = y;
                if (args.tap != NULL) {
                    float mul = args.tap_mul == NULL ? 1.0f : args.tap_mul[c];
                    args.tap[(size_t)t * (size_t)C + (size_t)c] = oct_mul(y, mul);
                }
            }
        }
    }
}

template <int NT> static int launch_width(const launch_attend *args, cudaStream_t stream)
{
    dim3 grid((unsigned)args->kv.n_head, (unsigned)ceil_div(args->step.n_rows, ROWS));
    attend_f32_kernel<NT><<<grid, THREADS, 0, stream>>>(*args);
    return (int)cudaGetLastError();
}

extern "C" int oct_launch_attend_f32(const launch_attend *args, launch_stream stream)
{
    if (!attend_shape_is_ok(args, OCT_FORMAT_F32) || args->step.n_rows > 65535 * ROWS) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->step.n_rows == 0) {
        return 0;
    }
    switch (ceil_div(args->kv.d_head, 16)) {
    case 1:
        return launch_width<1>(args, stream);
    case 2:
        return launch_width<2>(args, stream);
    case 3:
        return launch_width<3>(args, stream);
    case 4:
        return launch_width<4>(args, stream);
    case 5:
        return launch_width<5>(args, stream);
    case 6:
        return launch_width<6>(args, stream);
    case 7:
        return launch_width<7>(args, stream);
    default:
        return launch_width<8>(args, stream);
    }
}
