// PREFILL, DECODE: one sequence of a batch, from its request to its last token.
#ifndef OCT_SESSION_H
#define OCT_SESSION_H

#include "octet/octet.h"

struct oct_session {
    oct_batch *batch;    // borrowed
    oct_request request; // `ids` points to the session's own copy
    int32_t *ids;        // [n_ids + n_new] owned: the prompt, then what was drawn
    int32_t n_pages;     // KV pages it needs for all of its life

    // Of the thread that steps.
    int32_t slot;        // row of the page table; -1 before admission and after the end
    int32_t n_done;      // tokens that are in the KV cache
    int32_t n_step_rows; // rows of the step being built
    int32_t sample_row;  // logits row of this step that a token is drawn from; -1 = none

    // Guarded by the batch's mutex; the thread that steps may read what only it writes.
    oct_session_state state;   // WAITING -> CANCELLED by any thread, else the thread that steps
    bool cancel;               // any thread
    int32_t n_tokens;          // ids known: n_ids + drawn. The thread that steps
    oct_score_sums score;      // the thread that steps
    oct_session *prev, *next;  // all sessions of the batch
    oct_session *next_waiting; // the queue
};

// The tokens of a prompt are done, so each step has one row of it: the token drawn last.
static inline bool session_generates(const oct_session *session)
{
    return session->n_done >= session->request.n_ids;
}

#endif
