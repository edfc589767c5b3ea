// backend.h: what a backend is: two tables of functions, oct_device_table and oct_ops, and the
// contract of each entry: formula, shapes, element types, aliasing, rounding. NUMERICS.md (quoted
// by section) fixes every bit.
//
// Ops are queued on the device in order; they never allocate and never synchronise. What goes wrong
// later surfaces at the next sync or download and carries the failing call. On the CPU an op has
// finished when it returns. Nothing that changes every step is passed by value: ids, positions,
// page tables live in the step buffer.
//
// Rows of activations are `oct_act_stride` bytes apart; the bytes behind the last column are zero,
// and stay so. A row whose position is -1 is padding: its outputs are finite but mean nothing, its
// k and v go to page 0 (trash), and observers, scores and samples skip it.
#ifndef OCT_BACKEND_H
#define OCT_BACKEND_H

#include "octet/log.h"
#include "octet/types.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OCT_BACKEND_ABI 2

typedef struct oct_device oct_device;

typedef struct oct_device_info {
    char name[32];      // "cpu", "cuda"
    char processor[96]; // "AMD EPYC ..."
    char isa[32];       // instruction set of the kernels in use: "scalar", "avx2", "sm_90"
    int32_t n_threads;  // members of the CPU team; 0 on a GPU
    size_t memory_bytes;
} oct_device_info;

// What a device can do at best, measured by `limits`.
typedef struct oct_limits {
    double read_bytes_per_s; // reading an array of the size asked for, all threads or SMs
    double int8_ops_per_s; // s8 x s8 products and additions from registers (2 a product); the best
                           // instruction of the isa in use; 0 = no figure
    double f32_flops;      // fma from registers (2 each); 0 = no figure
} oct_limits;

typedef struct oct_device_table {
    uint32_t abi;  // OCT_BACKEND_ABI
    uint32_t size; // sizeof(oct_device_table)
    const char *name;
    oct_status (*info)(oct_device *device, oct_device_info *out);
    // Zeroed memory, aligned to 256 bytes. OCT_ERR_NOMEM with the size.
    oct_status (*alloc)(oct_device *device, size_t bytes, oct_buf *out);
    void (*free)(oct_device *device,
                 oct_buf buf); // accepts mem == NULL; offset must be that of alloc
    // Host to device, ordered behind queued work; src may be reused when it returns.
    oct_status (*upload)(oct_device *device, oct_buf dst, const void *src, size_t bytes);
    // Device to host; waits for queued work.
    oct_status (*download)(oct_device *device, void *dst, oct_buf src, size_t bytes);
    oct_status (*copy)(oct_device *device, oct_buf dst, oct_buf src,
                       size_t bytes);                                  // queued; no overlap
    oct_status (*zero)(oct_device *device, oct_buf dst, size_t bytes); // queued
    oct_status (*sync)(oct_device *device);
    // Measures the device's limits (benchmarks divide by them): reads of a fresh array of `bytes`.
    // Takes a fraction of a second; allocates. Errors: OCT_ERR_NOMEM.
    oct_status (*limits)(oct_device *device, size_t bytes, oct_limits *out);
    void (*close)(oct_device *device); // frees the device object; accepts NULL
} oct_device_table;

// ---- operands
// ---------------------------------------------------------------------------------------------------

// Bytes from one row of an activation to the next: a multiple of 64.
static inline size_t oct_act_stride(oct_format format, int32_t cols)
{
    size_t bytes = (size_t)cols * (format == OCT_FORMAT_F32 ? 4u : 1u);
    return (bytes + 63u) / 64u * 64u;
}

// An activation between two ops. W8A8: real[t][c] = (code - row_zero[t]) * step * row_step[t] *
// (column factor), where step is in the next linear's mul and row_step is sigma_t (section 2).
typedef struct oct_act {
    oct_buf data;     // [rows][stride] f32 or s8
    oct_buf row_step; // [rows] f32 sigma_t; W8A8 only
    oct_buf row_zero; // [rows] s32 z_t; W8A8 only
} oct_act;

// A linear layer's weights [n][k]. `weight` is in the backend's own packing (linear_pack), from
// which embed can read rows.
typedef struct oct_linear {
    oct_format format;
    int32_t n, k;
    oct_buf weight;
    oct_buf mul;    // [n] f32; W8A8
    oct_buf colsum; // [n] s32: sum over k of the codes; W8A8
    oct_buf bias;   // [n] f32 or absent
} oct_linear;

// When out.mem is set, the op also writes its value before any rounding to codes or half, in real
// units, as [rows][cols] f32 without gaps. column_mul, where set, is what the op's own unit must be
// multiplied by, per column.
typedef struct oct_tap {
    oct_buf out;
    oct_buf column_mul; // [cols] f32 or absent (= 1)
} oct_tap;

// The paged KV cache. One page holds 64 tokens of one sequence for all layers and heads. The block
// of page p, layer l, head h, K (kv = 0) or V (kv = 1) starts at element (((p * L + l) * 2 + kv) *
// H + h) * 64 * Dp of the pool. W8A8, s8: K block [64 tokens][Dp], V block [16 groups of 4
// tokens][Dp][4]; Dp = D rounded up to 16, tails zero. F32: K block [Dp][64 tokens], V block [64
// tokens][Dp]; Dp = D rounded up to 16, tails zero.
typedef struct oct_kv {
    oct_format format;
    oct_buf pool;
    int32_t n_page;  // pages in the pool, page 0 (trash) included
    int32_t n_layer; // L
    int32_t n_head;  // H
    int32_t d_head;  // D
} oct_kv;

static inline int32_t oct_kv_d_padded(int32_t d_head)
{
    return (d_head + 15) / 16 * 16;
}

// Bytes of one page.
static inline size_t oct_kv_page_bytes(oct_format format, int32_t n_layer, int32_t n_head,
                                       int32_t d_head)
{
    return (size_t)n_layer * 2u * (size_t)n_head * OCT_PAGE_TOKENS *
           (size_t)oct_kv_d_padded(d_head) * (format == OCT_FORMAT_F32 ? 4u : 1u);
}

// The step buffer: everything that changes from step to step, on the device. Rows of one sequence
// stand together in ascending position.
typedef struct oct_step {
    int32_t n_rows;     // T of this step, padding included
    int32_t n_logits;   // R: rows that get logits, padding included
    int32_t max_pages;  // columns of page_table
    oct_buf id;         // [T] s32 token
    oct_buf position;   // [T] s32, -1 = padding
    oct_buf slot;       // [T] s32 row of page_table
    oct_buf page_table; // [slots][max_pages] s32 page of tokens 64 * i ..
    oct_buf logit_row;  // [R] s32 row of x, -1 = padding
    oct_buf logit_slot; // [R] s32 slot of the row's sequence
    oct_buf target;     // [R] s32 next token to score against, -1 = none
    oct_buf index;      // [R] s64 i: which scored row of the whole text this is
    oct_buf sample;     // [R] s32: 1 = draw a token from this row
    oct_buf sampling;   // [slots] oct_sampling
    oct_buf history;   // [slots][max_history] s32 tokens of the sequence so far, for the repetition
                       // penalty
    oct_buf n_history; // [slots] s32; 0 = not kept, since the penalty is 1
    int32_t max_history;
} oct_step;

// ---- arguments of the ops
// -----------------------------------------------------------------------------------------

// x[t][c] = wte[id][c] + wpe[position][c]. F32: one addition (section 7). W8A8: fma((f32) code,
// wte_step[id], wpe) (section 6).
typedef struct oct_embed_args {
    const oct_step *step;
    const oct_linear *wte; // [V][C]
    oct_buf wte_step;      // [V] f32; W8A8
    oct_buf wpe;           // [P][C] f32
    oct_buf x;             // out [T][C] f32
} oct_embed_args;

// LayerNorm of the rows of x (section 4), then `quant`. With `rows` set, output row i is row
// rows[i] of x.
typedef struct oct_norm_args {
    const oct_step *step;
    int32_t n_rows; // output rows: T, or R with `rows`
    oct_buf rows;   // [n_rows] s32 or absent
    int32_t cols;   // C
    oct_buf x;      // [T][C] f32
    oct_buf G, B;   // [C] f32
    float eps;
    oct_quant quant;
    oct_act out; // [n_rows][C]; may not alias x
    oct_tap tap;
} oct_norm_args;

// y[t][n] = sum over k of act[t][k] * weight[n][k], by section 3 (W8A8) or as one fma chain in
// ascending k with the bias added last (F32, section 7); then the epilogue.
typedef struct oct_linear_args {
    const oct_step *step;
    int32_t n_rows;
    const oct_linear *linear;
    oct_act in;
    oct_epilogue epilogue;
    oct_buf out;               // STORE: [rows][n] f32. RESIDUAL: x [rows][n] f32, read and written
    oct_act act;               // GELU: out [rows][n]
    oct_quant quant;           // GELU
    oct_buf act_mul;           // GELU: [n] f32; W8A8
    oct_activation activation; // GELU
    oct_buf waiting; // GELU with a dynamic quant: [rows][n] f32, rows between maximum and rounding
    oct_buf q;       // QKV: out [rows][C]; half (W8A8) or f32
    oct_kv kv;       // QKV: K and V of these rows are written to the pages of their slots
    int32_t layer;   // QKV
    oct_buf k_mul, v_mul;   // QKV: [C] f32; W8A8: k = requant((f32) half(y) * k_mul, 0), v likewise
    oct_tap tap;            // y, before half. [rows][n]
    oct_tap tap_activation; // GELU: activation((f32) half(y)) (F32: activation(y)). [rows][n]
} oct_linear_args;

// Causal attention over the cache: W8A8 by section 5, F32 by section 7. Row t sees positions
// 0..position[t] of its slot.
typedef struct oct_attend_args {
    const oct_step *step;
    oct_buf q; // [T][C] half (W8A8) or f32
    oct_kv kv; // this step's k and v are already in it
    int32_t layer;
    float scale;     // F32: factor of q.k
    oct_buf k_step;  // [C] f32; W8A8: q' = q16 * k_step
    oct_buf out_mul; // [C] f32; W8A8: y * out_mul is what is rounded
    oct_quant quant;
    oct_buf waiting; // dynamic quant: [T][C] f32, rows between maximum and rounding
    oct_act out;     // [T][C]
    oct_tap tap;     // y[d] = O[d] / L; column_mul = v_step
} oct_attend_args;

// Section 6 and 9 over logits rows that have a target: sums[logit_slot[r]] += {nll, hash, 1};
// nll[r] (where set) = that row's nll as f32 (0 where there is no target).
typedef struct oct_score_args {
    const oct_step *step;
    int32_t vocab;  // V
    oct_buf logits; // [R][V] f32
    oct_buf sums;   // [slots] oct_score_sums, read and written
    oct_buf nll;    // [R] f32 or absent
} oct_score_args;

// Section 6 over logits rows with sample[r] = 1: token[r] = the drawn id (-1 for other rows). The
// position of the Philox counter is that of the new token: position of the row + 1. Logits are not
// changed.
typedef struct oct_sample_args {
    const oct_step *step;
    int32_t vocab;
    oct_buf logits;  // [R][V] f32
    oct_buf scratch; // [R][V] 8 bytes each
    oct_buf token;   // out [R] s32
} oct_sample_args;

// Calibration: what observers add up from one tap (section 7, "Calibration runs on it").
// Order-free: maxima and integer sums.
typedef struct oct_observe_args {
    const oct_step *step; // positions
    int32_t n_rows, cols;
    oct_buf x; // [n_rows][cols] f32, no gaps

    // Ranges (pass 1), where min_0 is set: per column, position 0 and the rest apart. The caller
    // starts them at 0, which is what sections 2 and 8 want: lo = min(0, min), hi = max(0, max).
    oct_buf min_0, max_0;  // [cols] f32: position 0
    oct_buf min, max;      // [cols] f32: positions >= 1
    oct_buf bucket_absmax; // [3] f32: absmax of positions 0, 1..3, 4..

    // Histogram and moments (pass 2), where bins is set.
    oct_buf
        bins; // [2048] u64: positions >= 1, bin min(2047, (int)(|u| * (2048 / absmax))), u = x / cs
    oct_buf column_factors; // [cols] f32 cs or absent (u = x)
    float absmax;           // of u over positions >= 1; bins are not touched where it is 0
    oct_buf moments;  // [3] s64: sum of v, sum of v * v, count, over all positions; v = rint(x *
                      // moment_mul)
    float moment_mul; // 2^(15 - e), e the exponent of the tensor's absmax over all positions

    // Rows kept for the search, where rows_out is set: row t goes to row row_map[t] of rows_out; -1
    // = not kept.
    oct_buf row_map;  // [n_rows] s32
    oct_buf rows_out; // [kept][cols] f32
} oct_observe_args;

typedef struct oct_ops {
    uint32_t abi;  // OCT_BACKEND_ABI
    uint32_t size; // sizeof(oct_ops)

    // Bytes of a packed weight [n][k]; 0 = this backend does not have the format (the model is then
    // refused by name).
    size_t (*linear_bytes)(oct_device *device, oct_format format, int32_t n, int32_t k);
    // Packs host weights [n][k] (f32 or s8, row after row) into `dst`. Load time only; may allocate
    // and synchronise.
    oct_status (*linear_pack)(oct_device *device, oct_buf dst, oct_format format, int32_t n,
                              int32_t k, const void *src);

    // One line on how `linear` would compute [n_rows][k] x [n][k], such as "gemv_i8 32x8x128
    // stages 3 split 4", into text[size], cut if too long.
    oct_status (*linear_plan)(oct_device *device, oct_format format, int32_t n_rows, int32_t n,
                              int32_t k, char *text, size_t size);
    // For measurements: linears of this format are computed by `choice` (a name that linear_plan
    // prints; or a peer library such as "cublaslt", which promises no bits) until called with NULL.
    // Errors: OCT_ERR_ARG with the names there are.
    oct_status (*linear_force)(oct_device *device, oct_format format, const char *choice);

    oct_status (*embed)(oct_device *device, const oct_embed_args *args);
    oct_status (*norm)(oct_device *device, const oct_norm_args *args);
    oct_status (*linear)(oct_device *device, const oct_linear_args *args);
    oct_status (*attend)(oct_device *device, const oct_attend_args *args);
    oct_status (*score)(oct_device *device, const oct_score_args *args);
    oct_status (*sample)(oct_device *device, const oct_sample_args *args);
    oct_status (*observe)(oct_device *device, const oct_observe_args *args);
} oct_ops;

// A device: its tables first, then what only the backend knows (the backend embeds this as its
// first member).
struct oct_device {
    const oct_device_table *table;
    const oct_ops *ops;
};

// What a plug-in needs from the program that opened it: a plug-in links nothing of the library, so
// that there is one last error and one log in a process.
typedef struct oct_host {
    uint32_t abi;  // OCT_BACKEND_ABI
    uint32_t size; // sizeof(oct_host)
    // Records `text` for oct_last_error() and returns `code`.
    oct_status (*fail)(oct_status code, const char *text);
    void (*log)(oct_log_level level, const char *subsystem, const char *text);
} oct_host;

// The one symbol that a plug-in liboctet_<name>.so exports, as "oct_backend_open". `host` outlives
// the device; ordinal counts the devices of this kind from 0. *out is owned by the caller
// (table->close). Errors: OCT_ERR_DEVICE (which of: no driver, no device, too old a device),
// OCT_ERR_NOMEM.
typedef oct_status oct_backend_open_fn(oct_device **out, const oct_host *host, int32_t ordinal);
#define OCT_BACKEND_OPEN_SYMBOL "oct_backend_open"

// The embedded backend (host/cpu). n_threads 0 = all processors this process may use; isa NULL =
// the best instruction set the processor has. *out is owned by the caller (table->close). Errors:
// OCT_ERR_DEVICE, OCT_ERR_ARG, OCT_ERR_NOMEM.
oct_status oct_cpu_device_open(oct_device **out, int32_t n_threads, const char *isa);

// Names of the instruction sets that the CPU backend can run on this processor, best last
// ("scalar", "avx2", "avx512vnni"): writes at most `max` of them to names (static strings) and
// returns how many there are.
size_t oct_cpu_isas(const char **names, size_t max);

#ifdef __cplusplus
}
#endif
#endif
