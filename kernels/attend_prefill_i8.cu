// Integer attention of many query rows over the INT8 cache: prefill.
//
// Computes:      per row, head and chunk of 128 keys: s = q.k, m = max s, p = prob16(s - m),
//                l = sum p, o = sum p * v; chunks merge in ascending position; y = O * (1 / L);
//                q_o = requant((y * out_mul) * rho)
// Shapes:        q [T][C] half; K pages [64][Dp] s8, V pages [16][Dp][4] s8; out [T][C] s8 or,
//                where dynamic, waiting [T][C] f32
// Grid:          (H, tiles of 64 rows, last tile first: it has the most keys) blocks of 4 warps; a
//                warp owns 16 rows, the block's warps share K and V. A tile is done run by run
//                (neighbouring rows of one slot); rows of other runs are masked
// Shared memory: 128 * K_STRIDE + 32 * V_STRIDE + 528 bytes: a chunk of K, a chunk of V; then y
//                [64][Y_STRIDE] f32 in their place
// Bound:         3 * D multiply-adds a visible score (1 for q.k, 2 limbs of p), 13.5 instructions a
//                score for p, 22 in all at D = 64 (SASS of sm_80); K and V are read once a tile
// Numerics:      exact in s32 within a chunk (NUMERICS.md section 5): bits do not depend on tiles
// Limits:        D 8..128; rows of a slot stand together in ascending position
#include "attend_mma_i8.cuh"

// y = O * (1 / L) of the warp's rows through shared memory, so that neighbouring lanes store
// neighbouring columns.
template <int NT>
static __device__ __forceinline__ void store_rows(prefill_shared<NT> &shared,
                                                  const launch_attend &args, int32_t first_row,
                                                  const float (&O)[NT][2][4], const lane_rows &rows)
{
    const int lane = (int)threadIdx.x % 32;
    const int warp_row = (int)threadIdx.x / 32 * WARP_ROWS;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int row = warp_row + lane / 4 + 8 * r;
        bool is_real = shared.rows.position[row] >= 0;
        float factor = oct_rcp(rows.state[r].l);
#pragma unroll
        for (int i = 0; i < 2 * NT; i++) {
            const float *o = &O[i / 2][r][i % 2 * 2];
            float2 y = make_float2(oct_mul(o[0], factor), oct_mul(o[1], factor));
            *(float2 *)&shared.y[row][8 * i + 2 * (lane % 4)] =
                is_real ? y : make_float2(0.0f, 0.0f);
        }
    }
    __syncwarp(); // the warp's rows are there
#pragma unroll 1
    for (int i = lane; i < WARP_ROWS * 4 * NT; i += 32) {
        int row = warp_row + i / (4 * NT);
        int d = i % (4 * NT) * 4;
        float y[4];
        load_cells(y, &shared.y[row][d]);
        if (first_row + row < args.step.n_rows) {
            store_output(args, first_row + row, shared.rows.position[row], (int32_t)blockIdx.x, d,
                         y);
        }
    }
}

// Two blocks a multiprocessor: scores (64 registers), O (8 * NT) and q (2 * NT) of 16 rows stay in
// registers; three blocks would spill from D = 64 on.
template <int NT>
static __global__ void __launch_bounds__(THREADS, 2) attend_prefill_kernel(const launch_attend args)
{
    __shared__ __align__(16) prefill_shared<NT> shared;
    const int32_t D = args.kv.d_head;
    const int32_t head = (int32_t)blockIdx.x;
    const int32_t first_row = ((int32_t)gridDim.y - 1 - (int32_t)blockIdx.y) * ROWS;
    const int lane = (int)threadIdx.x % 32;
    const int warp_row = (int)threadIdx.x / 32 * WARP_ROWS;

    load_rows(shared.rows, args.step, first_row);
    // q's codes of the lane's two rows, as mma's A wants them: word i is columns 16 * i + 4 * (lane
    // % 4)..
    uint32_t q[2][NT];
    lane_rows rows = {};
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int32_t t = min(first_row + warp_row + lane / 4 + 8 * r, args.step.n_rows - 1);
        size_t column = ((size_t)t * (size_t)args.kv.n_head + (size_t)head) * (size_t)D;
        rows.c[r] = quantize_q<4>(q[r], (const uint16_t *)args.q + column,
                                  args.k_step + (size_t)head * (size_t)D, D, lane % 4);
        rows.d_min[r] = oct_div(-18.0f, rows.c[r]);
    }
    float O[NT][2][4] = {};
    __syncthreads(); // rows are there

    for (int32_t first = next_run(shared.rows, 0), end; first < ROWS;
         first = next_run(shared.rows, end)) {
        end = run_end(shared.rows, first);
        int32_t n_keys = shared.rows.position[end - 1] + 1; // of the run's last row
        int32_t warp_end = min(end, warp_row + WARP_ROWS);
        int32_t warp_keys =
            max(first, warp_row) < warp_end ? shared.rows.position[warp_end - 1] + 1 : 0;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int32_t row = warp_row + lane / 4 + 8 * r;
            rows.n_keys[r] = row >= first && row < end ? shared.rows.position[row] + 1 : 0;
        }
        slot_pages<int8_t> at = find_pages<int8_t>(args, shared.rows.slot[first], head);
        load_k(shared, at, 0, n_keys);
        for (int32_t begin = 0; begin < n_keys; begin += OCT_CHUNK_KEYS) {
            cp_async_wait<0>();
            __syncthreads(); // K of this chunk is there; nobody reads V of the last one any more
            load_v(shared, at, begin, n_keys);
            int32_t n = warp_keys - begin; // the warp's visible keys of this chunk, if below 128
            lane_probs p;
            if (n > 0) {
                bool is_whole = begin + OCT_CHUNK_KEYS <= min(rows.n_keys[0], rows.n_keys[1]);
                if (__all_sync(ALL_LANES, is_whole)) {
                    weigh_chunk<NT, true>(p, shared, q, rows, begin, n);
                } else {
                    weigh_chunk<NT, false>(p, shared, q, rows, begin, n);
                }
            } else {
                p = {}; // not used; an undefined p would occupy registers in every other phase
            }
            cp_async_wait<0>();
            __syncthreads(); // V of this chunk is there; nobody reads K any more
            if (begin + OCT_CHUNK_KEYS < n_keys) {
                load_k(shared, at, begin + OCT_CHUNK_KEYS, n_keys);
            }
            if (n > 0) {
                merge_chunk(O, rows, p, shared, begin, n);
            }
        }
    }
    __syncthreads(); // nobody reads K or V any more
    store_rows(shared, args, first_row, O, rows);
}

template <int NT> static int launch_width(const launch_attend *args, cudaStream_t stream)
{
    dim3 grid((unsigned)args->kv.n_head, (unsigned)ceil_div(args->step.n_rows, ROWS));
    attend_prefill_kernel<NT><<<grid, THREADS, 0, stream>>>(*args);
    return (int)cudaGetLastError();
}

extern "C" int oct_launch_attend_prefill_i8(const launch_attend *args, launch_stream stream)
{
    if (!attend_shape_is_ok(args, OCT_FORMAT_W8A8) || args->step.n_rows > 65535 * ROWS) {
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
