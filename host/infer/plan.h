// PREFILL, DECODE: the memory plan of a batch: every size follows from the model and the batch's
// options, here and nowhere else.
#ifndef OCT_PLAN_H
#define OCT_PLAN_H

#include "octet/backend.h"
#include "octet/octet.h"

#include "infer/engine.h"

// Byte offsets of the arrays of the step buffer (backend.h's oct_step), each a multiple of 256.
// They do not depend on the rows of a step, so that captured work stays valid. The arrays stand in
// three regions: what every step changes, what an admission changes, and the histories.
typedef struct step_layout {
    size_t id, position, slot;                    // [max_rows] s32
    size_t index;                                 // [max_logits] s64
    size_t logit_row, logit_slot, target, sample; // [max_logits] s32
    size_t n_history;                             // [max_sequences] s32
    size_t step_bytes;                            // end of the first region
    size_t sampling;                              // [max_sequences] oct_sampling
    size_t page_table;                            // [max_sequences][max_pages] s32
    size_t history;                               // [max_sequences][max_history] s32
    size_t bytes;                                 // of all
} step_layout;

typedef struct batch_plan {
    int32_t max_rows;      // T
    int32_t max_sequences; // slots
    int32_t max_logits;    // R, at most max_rows
    int32_t max_chunk;     // rows of one prompt in one step, at most max_rows
    int32_t n_page;        // pages of the pool, trash included
    int32_t max_pages;     // columns of the page table: a whole context
    int32_t max_history;   // columns of the histories: a whole context
    int32_t vocab_size;    // V
    bool sampling;         // tokens can be drawn: there is scratch for it
    bool pad_rows;         // fill steps up to row_bucket

    step_layout step;
    size_t x_bytes;        // [T][C] f32
    size_t q_bytes;        // [T][C] f32 or half
    size_t act_c_bytes;    // [T][stride of C]
    size_t act_f_bytes;    // [T][stride of F]
    size_t act_h_bytes;    // [R][stride of C]
    size_t row_bytes;      // [T] 4 bytes: row_step and row_zero of act_c and act_f; 0 in F32
    size_t head_row_bytes; // [R] 4 bytes: those of act_h; 0 in F32
    size_t waiting_bytes;  // [T][max(C, F)] f32; 0 without dynamic steps
    size_t logits_bytes;   // [R][V] f32
    size_t scratch_bytes;  // [R][V] 8 bytes; 0 without sampling
    size_t token_bytes;    // [R] s32; 0 without sampling
    size_t sums_bytes;     // [max_sequences] oct_score_sums
    size_t kv_bytes;       // n_page pages
    size_t device_bytes;   // all of it
} batch_plan;

// Checks the options (NULL = defaults) against the engine and computes every size. `sampling`
// false: a batch that only scores. Errors: OCT_ERR_ARG, OCT_ERR_NOMEM (a size that does not fit
// size_t).
oct_status batch_plan_make(batch_plan *out, const oct_engine *engine,
                           const oct_batch_options *options, bool sampling);

// The number of rows that a step of n_rows is padded to, so that few shapes serve all steps: powers
// of two up to 64, then multiples of 64; never above max_rows. 1 <= n_rows <= max_rows.
int32_t row_bucket(int32_t n_rows, int32_t max_rows);

#endif
