// launch.h: what the kernels offer to cuda/: one launcher per kernel, plain C, raw device pointers.
//
// A launcher checks its own limits, computes the grid, launches on the given stream and returns a
// cudaError_t as int (0 = ok; LAUNCH_ERR_SHAPE where its limits do not hold). It never
// synchronises, allocates or picks: tile choices come from cuda/ in a `tile` argument. Contracts
// (formulas, rounding) are those of the ops in octet/backend.h; section numbers are NUMERICS.md's.
//
// Layouts on a GPU:
//   W8A8 weights [N][K64] s8, K64 = K rounded up to 64, zero behind K; rows 16-byte aligned.
//   F32 weights  [N][K4] f32, K4 = K rounded up to 4, zero behind K.
//   Activations as in backend.h: rows of oct_act_stride bytes, zero behind the last column.
//   KV pages as in backend.h.
#ifndef OCT_LAUNCH_H
#define OCT_LAUNCH_H

#include "octet/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *launch_stream;

#define LAUNCH_ERR_SHAPE (-1)

// The step buffer as raw pointers (backend.h, oct_step).
typedef struct launch_step {
    const int32_t *id, *position, *slot;   // [n_rows]
    const int32_t *page_table;             // [slots][max_pages]
    const int32_t *logit_row, *logit_slot; // [n_logits]
    const int32_t *target, *sample;        // [n_logits]
    const int64_t *index;                  // [n_logits]
    const oct_sampling *sampling;          // [slots]
    const int32_t *history, *n_history;    // [slots][max_history], [slots]
    int32_t n_rows, n_logits, max_pages, max_history;
} launch_step;

// An activation (backend.h, oct_act).
typedef struct launch_act {
    void *data;        // [rows][stride]
    float *row_step;   // [rows]
    int32_t *row_zero; // [rows]
} launch_act;

// The paged cache (backend.h, oct_kv).
typedef struct launch_kv {
    void *pool;
    int32_t format; // oct_format
    int32_t n_page, n_layer, n_head, d_head;
} launch_kv;

typedef struct launch_embed {
    launch_step step;
    int32_t format, cols;  // oct_format, C
    const void *wte;       // [V][stride of C]
    const float *wte_step; // [V]
    const float *wpe;      // [P][C]
    float *x;              // [T][C] out
} launch_embed;
int oct_launch_embed(const launch_embed *args, launch_stream stream);

typedef struct launch_norm {
    launch_step step;
    int32_t n_rows, cols;
    const int32_t *rows; // [n_rows] or NULL
    const float *x;      // [T][C]
    const float *G, *B;  // [C]
    float eps;
    oct_quant quant;
    launch_act out;
    float *tap;           // [n_rows][C] or NULL
    const float *tap_mul; // [C] or NULL
} launch_norm;
int oct_launch_norm_quant(const launch_norm *args, launch_stream stream);

// Rows that waited for their maximum: codes = requant(y * 127 / a, 0), row_step = a / 127, row_zero
// = 0.
typedef struct launch_quantize_rows {
    int32_t n_rows, cols;
    const float *waiting; // [n_rows][cols]
    launch_act out;
} launch_quantize_rows;
int oct_launch_quantize_rows(const launch_quantize_rows *args, launch_stream stream);

// A linear layer with its epilogue (backend.h, oct_linear_args). GELU with a dynamic quant stops at
// `waiting`.
typedef struct launch_linear {
    launch_step step;
    int32_t n_rows, n, k;  // M, N, K
    int32_t format;        // oct_format
    const void *weight;    // [N][K64] s8 or [N][K4] f32
    const float *mul;      // [N]
    const int32_t *colsum; // [N]
    const float *bias;     // [N] or NULL
    launch_act in;         // [M][K]
    int32_t epilogue;      // oct_epilogue
    float *out;            // STORE [M][N]; RESIDUAL x [M][N]
    launch_act act;        // GELU [M][N]
    oct_quant quant;
    const float *act_mul; // [N]
    int32_t activation;   // oct_activation
    float *waiting;       // [M][N]
    void *q;              // QKV [M][C] half or f32
    launch_kv kv;
    int32_t layer;
    const float *k_mul, *v_mul;  // [C]
    float *tap, *tap_activation; // [M][N] or NULL
} launch_linear;

// Tiles of the INT8 product for many rows (prefill): block_m x block_n outputs a block, block_k
// codes a stage, `stages` of cp.async in flight. Legal ones are listed by oct_gemm_i8_tiles.
typedef struct launch_tile {
    int32_t block_m, block_n, block_k, stages;
    int32_t split_k; // 1 = none; partial sums are s32, so any split gives the same bits
} launch_tile;

// The legal tiles of each kernel; returns their number.
int oct_gemm_i8_tiles(const launch_tile **tiles); // prefill; split_k 1
int oct_gemv_i8_tiles(
    const launch_tile **tiles); // decode: weights are the 16-row operand, block_n tokens of 8

// partial: s32 scratch of at least oct_gemv_i8_scratch_bytes, zeroed counters included; used where
// split_k > 1.
int oct_launch_gemm_i8(const launch_linear *args, const launch_tile *tile, launch_stream stream);
int oct_launch_gemv_i8(const launch_linear *args, const launch_tile *tile, int32_t *partial,
                       launch_stream stream);
size_t oct_gemv_i8_scratch_bytes(int32_t n_rows, int32_t n, const launch_tile *tile);
// The dequantizing kernel alone, from s32 sums [M][N] (cuBLASLt's output): the bits of the fused
// epilogue.
int oct_launch_epilogue_i8(const launch_linear *args, const int32_t *sums, launch_stream stream);
// FP32: one fma chain in ascending k per output, on CUDA cores.
int oct_launch_gemm_f32(const launch_linear *args, launch_stream stream);

typedef struct launch_attend {
    launch_step step;
    const void *q; // [T][C] half or f32
    launch_kv kv;
    int32_t layer;
    float scale;
    const float *k_step, *out_mul; // [C]
    oct_quant quant;               // dynamic: stops at `waiting`
    float *waiting;                // [T][C]
    launch_act out;                // [T][C]
    float *tap;                    // [T][C] or NULL
    const float *tap_mul;          // [C] or NULL
} launch_attend;
int oct_launch_attend_prefill_i8(const launch_attend *args, launch_stream stream);
// Splits own whole chunks of 128 keys and hand over (m, l, o); the last block of a row and head
// merges in ascending order.
int oct_launch_attend_decode_i8(const launch_attend *args, int32_t n_splits, void *scratch,
                                launch_stream stream);
size_t oct_attend_decode_scratch_bytes(int32_t n_rows, int32_t n_head, int32_t d_head,
                                       int32_t n_splits, int32_t max_pages);
int oct_launch_attend_f32(const launch_attend *args, launch_stream stream);

typedef struct launch_score {
    launch_step step;
    int32_t vocab;
    const float *logits;  // [R][V]
    oct_score_sums *sums; // [slots]
    float *nll;           // [R] or NULL
} launch_score;
int oct_launch_score(const launch_score *args, launch_stream stream);

typedef struct launch_sample {
    launch_step step;
    int32_t vocab;
    const float *logits; // [R][V]
    void *scratch;       // [R][V] 8 bytes each
    int32_t *token;      // [R]
} launch_sample;
int oct_launch_sample(const launch_sample *args, launch_stream stream);

// backend.h, oct_observe_args; absent parts are NULL.
typedef struct launch_observe {
    launch_step step;
    int32_t n_rows, cols;
    const float *x;                   // [n_rows][cols]
    float *min_0, *max_0, *min, *max; // [cols]
    float *bucket_absmax;             // [3]
    uint64_t *bins;                   // [2048]
    const float *column_factors;      // [cols] or NULL
    float absmax;
    int64_t *moments; // [3]
    float moment_mul;
    const int32_t *row_map; // [n_rows]
    float *rows_out;        // [kept][cols]
} launch_observe;
int oct_launch_observe(const launch_observe *args, launch_stream stream);

#ifdef __cplusplus
}
#endif
#endif
