// PREFILL, DECODE: what a batch consists of, for batch.c, schedule.c and session.c.
#ifndef OCT_BATCH_H
#define OCT_BATCH_H

#include "infer/forward.h"
#include "infer/kv_pages.h"
#include "infer/plan.h"
#include "infer/session.h"
#include "infer/step_buffer.h"

#include <pthread.h>

#define BATCH_MAX_BUFFERS 20

// Whose logits a row of the step's logits are.
typedef struct logits_owner {
    oct_session *session;
    int32_t position;
} logits_owner;

struct oct_batch {
    const oct_engine *engine; // borrowed
    batch_plan plan;
    const oct_tap_sink *sink; // borrowed; NULL = no taps. Set between steps

    // Device memory; all of it owned and never resized.
    step_buffer steps;
    oct_workspace work;
    oct_kv kv;
    oct_buf sums;                           // [max_sequences] oct_score_sums
    oct_buf scratch;                        // [R][V] 8 bytes; absent in a batch that only scores
    oct_buf token;                          // [R] s32 drawn ids; likewise
    oct_buf allocations[BATCH_MAX_BUFFERS]; // what batch_close frees, the step buffer excepted
    int32_t n_allocations;

    // Host memory of the thread that steps.
    kv_pages pages;
    oct_session **active; // [max_sequences] owned: who runs, in order of admission
    int32_t n_active;
    int32_t *free_slots; // [max_sequences] owned: a stack
    int32_t n_free_slots;
    logits_owner *owners;        // [max_logits] owned
    int32_t n_logits;            // of the step, without padding
    int32_t n_scored, n_sampled; // of those
    int32_t *drawn;              // [max_logits] owned: what the op `sample` drew
    float *logits;               // [V] owned: one row on its way to on_logits
    int64_t rows_run;            // since the batch was opened
    int64_t rows_scored;         // likewise

    pthread_mutex_t mutex; // guards what follows and parts of each session
    bool mutex_ready;
    oct_session *sessions; // owned: a list of all
    oct_session *waiting;  // the queue, first come first
    oct_session *last_waiting;
    oct_status failure; // of the device; poisons the batch
    char failure_text[512];
};

// oct_batch_open; with `sampling` false the batch only scores and has no scratch to draw tokens.
oct_status batch_open(oct_batch **out, const oct_engine *engine, const oct_batch_options *options,
                      bool sampling);

// schedule.c: fills the step buffer: first a row of each session that generates, then prompts in
// order of admission. Sets n_step_rows and sample_row of the active sessions, owners and counts of
// the batch.
void batch_schedule(oct_batch *batch);

// Ends a running session between steps, for oct_session_close: gives its pages and its slot back.
void batch_drop(oct_batch *batch, oct_session *session);

#endif
