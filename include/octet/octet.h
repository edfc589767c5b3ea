// octet.h: the public C API of Octet.
//
// Three objects. An *engine* is a loaded model on a device: immutable, shareable between threads. A
// *batch* is a request queue with its KV pages and step buffer: one thread steps it. A *session* is
// one sequence in a batch: submit and cancel may be called from any thread. One model and one text
// give one set of bits, whatever else is in the batch.
//
// Every fallible function returns an oct_status; oct_last_error() then says what was expected and
// what came. Options structs start with struct_size; the OCT_*_INIT macros fill in size and
// defaults. Pointers are *borrowed* unless a comment says "owned".
#ifndef OCT_OCTET_H
#define OCT_OCTET_H

#include "octet/backend.h"
#include "octet/log.h"
#include "octet/tokenizer.h"
#include "octet/types.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OCT_VERSION "0.1.0"

// ---- devices
// ------------------------------------------------------------------------------------------------------

typedef struct oct_device_options {
    size_t struct_size;
    const char *name;  // "cpu"; other names open liboctet_<name>.so. NULL = "cpu"
    int32_t n_threads; // CPU team; 0 = all processors this process may use
    const char
        *isa; // CPU kernels, a name of oct_cpu_isas (backend.h); NULL = the best the processor has
} oct_device_options;
#define OCT_DEVICE_OPTIONS_INIT ((oct_device_options){sizeof(oct_device_options), NULL, 0, NULL})

// Opens a device; *out is owned by the caller. options NULL = defaults. Errors: OCT_ERR_DEVICE
// (absent, or an instruction set the processor lacks), OCT_ERR_ARG.
oct_status oct_device_open(oct_device **out, const oct_device_options *options);

// Accepts NULL. Engines on it must be closed before.
void oct_device_close(oct_device *device);

// ---- engines
// ------------------------------------------------------------------------------------------------------

typedef struct oct_engine oct_engine;

typedef struct oct_engine_info {
    int32_t n_layer, n_head, n_embd, d_head, n_inner, n_positions, vocab_size;
    oct_format format;
    int32_t eos_token_id;  // -1 = none
    size_t weight_bytes;   // device memory of the weights
    size_t kv_token_bytes; // KV cache of one token
} oct_engine_info;

// Loads a model directory (FP32, FP16, BF16 checkpoint or a quantized one) onto a device, which
// must outlive the engine. *out is owned by the caller. Errors: OCT_ERR_IO, OCT_ERR_FORMAT,
// OCT_ERR_NOMEM, OCT_ERR_DEVICE.
oct_status oct_engine_open(oct_engine **out, oct_device *device, const char *model_dir);

// Accepts NULL.
void oct_engine_close(oct_engine *engine);

void oct_engine_describe(const oct_engine *engine, oct_engine_info *out);

// ---- batches and sessions
// -----------------------------------------------------------------------------------------

typedef struct oct_batch oct_batch;
typedef struct oct_session oct_session;

typedef struct oct_batch_options {
    size_t struct_size;
    int32_t max_rows;      // rows (tokens) of one step, all sequences together
    int32_t max_sequences; // sequences at a time
    int32_t max_logits;    // rows of one step that may get logits; 0 = max_sequences
    int32_t max_chunk;     // prompt tokens of one sequence in one step; 0 = max_rows
    int32_t n_pages;       // KV pages of 64 tokens; 0 = enough for max_sequences whole contexts
} oct_batch_options;
#define OCT_BATCH_OPTIONS_INIT ((oct_batch_options){sizeof(oct_batch_options), 512, 8, 0, 0, 0})

typedef struct oct_request {
    size_t struct_size;
    const int32_t *ids; // [n_ids] prompt, copied
    int32_t n_ids;      // >= 1
    int32_t n_new;      // tokens to generate at most; 0 = none
    int32_t stop_id;    // generation ends behind this token, which is reported too; -1 = none
    oct_sampling sampling;

    // Scoring: rows score_begin .. n_ids - 2 are scored against the token that follows them; the
    // first one counts as row number score_index of the whole text. score_begin < 0 = no scoring.
    int32_t score_begin;
    int64_t score_index;

    // on_token: each generated token, from the thread that steps; nonzero ends the session.
    // on_logits: the logits of every row that has some (scored rows, and rows a token is drawn
    // from), in ascending position. all_logits: every row.
    bool all_logits;
    int (*on_token)(void *user, int32_t id);
    void (*on_logits)(void *user, int32_t position, const float *logits); // [V]
    void *user;
} oct_request;
#define OCT_REQUEST_INIT                                                                           \
    ((oct_request){sizeof(oct_request),                                                            \
                   NULL,                                                                           \
                   0,                                                                              \
                   0,                                                                              \
                   -1,                                                                             \
                   {0.0f, 1.0f, 0, 0, 1.0, 0.0, 0},                                                \
                   -1,                                                                             \
                   0,                                                                              \
                   false,                                                                          \
                   NULL,                                                                           \
                   NULL,                                                                           \
                   NULL})

typedef enum oct_session_state {
    OCT_SESSION_WAITING = 0,  // not admitted yet: no slot or not enough free pages
    OCT_SESSION_RUNNING = 1,  // admitted; never fails for memory from here on
    OCT_SESSION_FINISHED = 2, // all done, or stopped by its callback
    OCT_SESSION_CANCELLED = 3,
    OCT_SESSION_FAILED = 4, // the device failed; oct_batch_step says how
} oct_session_state;

typedef struct oct_session_info {
    oct_session_state state;
    int32_t n_prompt;     // tokens of the prompt
    int32_t n_generated;  // tokens drawn so far
    oct_score_sums score; // complete once FINISHED
} oct_session_info;

// Sizes everything once: after this nothing is allocated in a step. *out is owned by the caller.
// Errors: OCT_ERR_ARG, OCT_ERR_NOMEM with the bytes asked for.
oct_status oct_batch_open(oct_batch **out, oct_engine *engine, const oct_batch_options *options);

// Accepts NULL. Closes its sessions too.
void oct_batch_close(oct_batch *batch);

// Queues a sequence; any thread. *out is owned by the batch until oct_session_close. Refused with
// both numbers: ids outside the vocabulary, n_ids + n_new beyond the context, more pages than the
// pool has (OCT_ERR_ARG).
oct_status oct_batch_submit(oct_batch *batch, const oct_request *request, oct_session **out);

// One step: admits what fits, runs the rows, reports tokens and logits. *busy (may be NULL) = there
// is more to do. An error of the device poisons the batch: all its sessions fail, and so does each
// later step.
oct_status oct_batch_step(oct_batch *batch, bool *busy);

// Ends a session before its next step; any thread.
void oct_session_cancel(oct_session *session);

void oct_session_describe(const oct_session *session, oct_session_info *out);

// The generated tokens [n_generated]; borrowed, valid until oct_session_close.
const int32_t *oct_session_tokens(const oct_session *session);

// Forgets a session that is not WAITING or RUNNING (others are cancelled first); between steps
// only. Accepts NULL.
void oct_session_close(oct_session *session);

// ---- perplexity
// ---------------------------------------------------------------------------------------------------

// Progress of anything long: fraction done in [0, 1], what is being done, and items per second
// where known (else 0). Nonzero = stop: the call returns OCT_ERR_CANCELLED.
typedef int oct_progress_fn(void *user, double fraction, const char *what, double rate,
                            const char *unit);

typedef struct oct_perplexity_options {
    size_t struct_size;
    int32_t context;       // tokens of a block; 0 = n_positions
    int32_t stride;        // tokens from one block to the next; 0 = context
    const size_t *offsets; // [n_documents + 1] into ids: each document on its own; NULL = one text
    size_t n_documents;    // 0 = one text
    const oct_engine *baseline; // FP32 engine to compare with (KL divergence, top-1), or NULL. Its
                                // vocabulary must agree
    oct_progress_fn *progress;  // or NULL
    void *user;
} oct_perplexity_options;
#define OCT_PERPLEXITY_OPTIONS_INIT                                                                \
    ((oct_perplexity_options){sizeof(oct_perplexity_options), 0, 0, NULL, 0, NULL, NULL, NULL})

typedef struct oct_perplexity_result {
    int64_t text_tokens;            // ids given
    int64_t tokens;                 // scored
    double nats_per_token;          // sum of rint(nll * 2^32) * 2^-32 / tokens
    double perplexity;              // exp(nats_per_token)
    double seconds;                 // spent in the model's forward passes
    uint64_t logits_hash;           // NUMERICS.md section 9
    double baseline_nats_per_token; // with a baseline: its own nats per token,
    double mean_kl;                 // mean over scored rows of KL(baseline || model), nats,
    double max_kl;                  // the largest row,
    double top1_agreement;          // and the share of rows whose argmax agrees
} oct_perplexity_result;

// Scores `ids` by protocol hf: windows of `context` tokens at 0, stride, 2 * stride, ..., each
// scoring only tokens not scored before (stride = context: blocks). Errors: OCT_ERR_ARG (empty
// text, context beyond n_positions, ...), OCT_ERR_CANCELLED.
oct_status oct_perplexity(const oct_engine *engine, const int32_t *ids, size_t n_ids,
                          const oct_perplexity_options *options, oct_perplexity_result *out);

// ---- quantization
// -------------------------------------------------------------------------------------------------

typedef struct oct_quantize_options {
    size_t struct_size;
    const char *scheme;     // "w8a8" (static activations) or "w8a8-dynamic"
    const char *calibrator; // "minmax" or "percentile:P", P in (50, 100], e.g. 99.999
    const char *smooth;     // column factors: "auto" = search alpha per linear, "none", or an alpha
                            // such as "0.7"
    unsigned no_smooth;     // bit mask of OCT_KIND_*: inputs that get no column factors whatever
                            // `smooth` says
    bool zero_point;        // asymmetric input of mlp.c_proj
    bool position_0;        // separate step for position 0
    int32_t blocks;         // calibration sequences of n_positions tokens at most; 0 = 128
    const size_t *offsets; // [n_documents + 1]: each document starts at position 0; NULL = one text
                           // cut into blocks
    size_t n_documents;
    bool force; // replace an existing output directory
    oct_progress_fn *progress;
    void *user;
} oct_quantize_options;
#define OCT_QUANTIZE_OPTIONS_INIT                                                                  \
    ((oct_quantize_options){sizeof(oct_quantize_options), "w8a8", "minmax", "auto", 0, true, true, \
                            0, NULL, 0, false, NULL, NULL})

// The five kinds of linear inputs, as bits.
#define OCT_KIND_C_ATTN      1u
#define OCT_KIND_ATTN_C_PROJ 2u
#define OCT_KIND_C_FC        4u
#define OCT_KIND_MLP_C_PROJ  8u
#define OCT_KIND_LM_HEAD     16u

typedef struct oct_quantize_result {
    double calibration_seconds, search_seconds, total_seconds;
    int64_t calibration_tokens;
    size_t fp32_bytes, int8_bytes; // parameters before (as FP32) and after
} oct_quantize_result;

// Calibrates the checkpoint in `model_dir` on `ids` (NUMERICS.md section 8), quantizes it and
// writes the directory `out_dir`. `device` does the forward passes. Nothing is left at out_dir on
// failure. result may be NULL. Errors: OCT_ERR_ARG, OCT_ERR_IO, OCT_ERR_FORMAT, OCT_ERR_NOMEM,
// OCT_ERR_CANCELLED.
oct_status oct_quantize(const char *model_dir, const char *out_dir, oct_device *device,
                        const int32_t *ids, size_t n_ids, const oct_quantize_options *options,
                        oct_quantize_result *result);

// ---- inspection
// ---------------------------------------------------------------------------------------------------

// A JSON text about a model directory, FP32 or quantized: {"config", "format", "recipe",
// "parameters", "footprint_bytes": {part: {"fp32", "fp16", "int8"}}, "kv_bytes_per_token": {...},
// "tensors": [...], "statistics": <calibration.json>}. *out is owned by the caller (free).
oct_status oct_inspect(const char *model_dir, char **out);

#ifdef __cplusplus
}
#endif
#endif
