// GPT-2's input: token and position embeddings.
//
// Computes:      x[t][c] = fma((f32) wte_q[id[t]][c], wte_step[id[t]], wpe[position[t]][c]); F32:
//                wte[id[t]][c] + wpe[position[t]][c]
// Shapes:        wte [V][K64] s8 or [V][K4] f32, wte_step [V] f32, wpe [P][C] f32, x [T][C] f32
// Grid:          one block a row
// Shared memory: none
// Bound:         T * C * (1 + 4 + 4) bytes (W8A8), T * C * 12 (F32)
// Numerics:      one fma (NUMERICS.md section 6) or one addition (section 7)
// Limits:        C >= 1; four columns a load where C is a multiple of 4, one where it is not
#include "common.cuh"

static const int THREADS = 256; // C = 768 is one pass of 192 threads with four columns each

// WIDTH adjacent codes as floats.
template <int WIDTH>
static __device__ __forceinline__ void load_codes(float (&v)[WIDTH], const int8_t *p)
{
    if constexpr (WIDTH == 4) {
        char4 q = *(const char4 *)p;
        v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
    } else {
        v[0] = *p;
    }
}

// A padded row takes token 0 at position 0. WIDTH 4: rows of wte are aligned by their strides,
// those of wpe and x by C % 4 == 0.
template <bool IS_F32, int WIDTH>
static __global__ void __launch_bounds__(THREADS) embed_kernel(const launch_embed args)
{
    size_t t = blockIdx.x;
    size_t cols = (size_t)args.cols;
    int32_t position = args.step.position[t];
    size_t id = position < 0 ? 0 : (size_t)args.step.id[t];
    const float *wpe = args.wpe + (position < 0 ? 0 : (size_t)position) * cols;
    const float *w_f32 = (const float *)args.wte + id * (size_t)round_up(args.cols, 4);
    const int8_t *w_i8 = (const int8_t *)args.wte + id * stride_i8(args.cols);
    float *x = args.x + t * cols;
    float step = IS_F32 ? 1.0f : args.wte_step[id];
    for (int32_t c = (int32_t)threadIdx.x * WIDTH; c < args.cols; c += THREADS * WIDTH) {
        float p[WIDTH];
        float w[WIDTH];
        load_cells(p, wpe + c);
        if constexpr (IS_F32) {
            load_cells(w, w_f32 + c);
        } else {
            load_codes(w, w_i8 + c);
        }
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            p[i] = IS_F32 ? oct_add(w[i], p[i]) : oct_fma(w[i], step, p[i]);
        }
        store_cells(x + c, p);
    }
}

extern "C" int oct_launch_embed(const launch_embed *args, launch_stream stream)
{
    bool is_f32 = args->format == OCT_FORMAT_F32;
    if (args->cols < 1 || args->step.n_rows < 0 || (!is_f32 && args->format != OCT_FORMAT_W8A8)) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->step.n_rows == 0) {
        return 0;
    }
    unsigned grid = (unsigned)args->step.n_rows;
    if (is_f32 && args->cols % 4 == 0) {
        embed_kernel<true, 4><<<grid, THREADS, 0, stream>>>(*args);
    } else if (is_f32) {
        embed_kernel<true, 1><<<grid, THREADS, 0, stream>>>(*args);
    } else if (args->cols % 4 == 0) {
        embed_kernel<false, 4><<<grid, THREADS, 0, stream>>>(*args);
    } else {
        embed_kernel<false, 1><<<grid, THREADS, 0, stream>>>(*args);
    }
    return (int)cudaGetLastError();
}
