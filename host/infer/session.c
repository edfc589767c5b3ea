// PREFILL, DECODE: submitting, cancelling, describing and closing sessions; all but the last from
// any thread.
#include "infer/batch.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static oct_status check_sampling(const oct_sampling *sampling)
{
    OCT_REQUIRE(isfinite(sampling->temperature) && sampling->temperature >= 0.0f, OCT_ERR_ARG,
                "temperature: expected 0 (the likeliest token) or more, got %g",
                (double)sampling->temperature);
    OCT_REQUIRE(isfinite(sampling->repetition_penalty) && sampling->repetition_penalty > 0.0f,
                OCT_ERR_ARG, "repetition_penalty: expected more than 0 (1 = off), got %g",
                (double)sampling->repetition_penalty);
    OCT_REQUIRE(sampling->top_k >= 0, OCT_ERR_ARG, "top_k: expected 0 (= off) or more, got %d",
                sampling->top_k);
    OCT_REQUIRE(sampling->top_p > 0.0 && sampling->top_p <= 1.0, OCT_ERR_ARG,
                "top_p: expected more than 0, at most 1 (= off), got %g", sampling->top_p);
    OCT_REQUIRE(sampling->min_p >= 0.0 && sampling->min_p <= 1.0, OCT_ERR_ARG,
                "min_p: expected 0 (= off) to 1, got %g", sampling->min_p);
    OCT_REQUIRE(sampling->choice >= 0, OCT_ERR_ARG, "choice: expected 0 or more, got %d",
                sampling->choice);
    return OCT_OK;
}

static oct_status check_request(const oct_batch *batch, const oct_request *request)
{
    int32_t vocab = batch->plan.vocab_size, context = batch->plan.max_history;
    OCT_REQUIRE(request->struct_size == sizeof *request, OCT_ERR_ARG,
                "oct_request: expected struct_size %zu, got %zu", sizeof *request,
                request->struct_size);
    OCT_REQUIRE(request->ids != NULL && request->n_ids >= 1, OCT_ERR_ARG,
                "prompt: expected at least 1 token, got %d",
                request->ids != NULL ? request->n_ids : 0);
    OCT_REQUIRE(request->n_new >= 0, OCT_ERR_ARG, "tokens to generate: expected 0 or more, got %d",
                request->n_new);
    int64_t n_tokens = (int64_t)request->n_ids + request->n_new;
    OCT_REQUIRE(n_tokens <= context, OCT_ERR_ARG,
                "the prompt's %d tokens and %d new ones are %lld, the context has %d",
                request->n_ids, request->n_new, (long long)n_tokens, context);
    for (int32_t i = 0; i < request->n_ids; i++) {
        OCT_REQUIRE(request->ids[i] >= 0 && request->ids[i] < vocab, OCT_ERR_ARG,
                    "token %d of the prompt: expected an id below %d (the vocabulary), got %d", i,
                    vocab, request->ids[i]);
    }
    OCT_REQUIRE(request->stop_id >= -1 && request->stop_id < vocab, OCT_ERR_ARG,
                "stop_id: expected -1 (none) or an id below %d (the vocabulary), got %d", vocab,
                request->stop_id);
    OCT_REQUIRE(request->score_begin < request->n_ids, OCT_ERR_ARG,
                "score_begin: expected less than the prompt's %d tokens, got %d", request->n_ids,
                request->score_begin);
    OCT_REQUIRE(request->score_begin < 0 || request->score_index >= 0, OCT_ERR_ARG,
                "score_index: expected 0 or more, got %lld", (long long)request->score_index);
    OCT_REQUIRE(request->n_new == 0 || batch->plan.sampling, OCT_ERR_BUG,
                "a batch that only scores was asked for %d new tokens", request->n_new);
    if (request->n_new > 0) {
        OCT_TRY(check_sampling(&request->sampling));
    }
    int64_t n_pages = kv_pages_needed(n_tokens);
    OCT_REQUIRE(n_pages < batch->plan.n_page, OCT_ERR_ARG,
                "%lld tokens need %lld KV pages of %d tokens, the batch has %d",
                (long long)n_tokens, (long long)n_pages, OCT_PAGE_TOKENS, batch->plan.n_page - 1);
    return OCT_OK;
}

oct_status oct_batch_submit(oct_batch *batch, const oct_request *request, oct_session **out)
{
    *out = NULL;
    OCT_TRY(check_request(batch, request));
    size_t n_ids = (size_t)request->n_ids, n_tokens = n_ids + (size_t)request->n_new;
    oct_session *session = calloc(1, sizeof *session);
    int32_t *ids = calloc(n_tokens, sizeof *ids);
    if (session == NULL || ids == NULL) {
        free(session);
        free(ids);
        return OCT_FAIL(OCT_ERR_NOMEM, "out of memory: a session of %zu tokens", n_tokens);
    }
    memcpy(ids, request->ids, n_ids * sizeof *ids);
    session->batch = batch;
    session->request = *request;
    session->request.ids = ids;
    session->ids = ids;
    session->n_pages = (int32_t)kv_pages_needed((int64_t)n_tokens);
    session->slot = -1;
    session->sample_row = -1;
    session->state = OCT_SESSION_WAITING;
    session->n_tokens = request->n_ids;

    pthread_mutex_lock(&batch->mutex);
    oct_status status = batch->failure;
    if (status == OCT_OK) {
        session->next = batch->sessions;
        if (session->next != NULL) {
            session->next->prev = session;
        }
        batch->sessions = session;
        if (batch->last_waiting != NULL) {
            batch->last_waiting->next_waiting = session;
        } else {
            batch->waiting = session;
        }
        batch->last_waiting = session;
    }
    pthread_mutex_unlock(&batch->mutex);
    if (status != OCT_OK) {
        free(session);
        free(ids);
        return OCT_FAIL(status, "the batch failed before: %s", batch->failure_text);
    }
    *out = session;
    return OCT_OK;
}

// Takes a waiting session out of the queue; the mutex is held.
static void leave_queue(oct_batch *batch, const oct_session *session)
{
    oct_session *before = NULL;
    for (oct_session *s = batch->waiting; s != session; s = s->next_waiting) {
        before = s;
    }
    if (before != NULL) {
        before->next_waiting = session->next_waiting;
    } else {
        batch->waiting = session->next_waiting;
    }
    if (batch->last_waiting == session) {
        batch->last_waiting = before;
    }
}

void oct_session_cancel(oct_session *session)
{
    oct_batch *batch = session->batch;
    pthread_mutex_lock(&batch->mutex);
    if (session->state == OCT_SESSION_WAITING) {
        leave_queue(batch, session);
        session->state = OCT_SESSION_CANCELLED;
    } else if (session->state == OCT_SESSION_RUNNING) {
        session->cancel = true;
    }
    pthread_mutex_unlock(&batch->mutex);
}

void oct_session_describe(const oct_session *session, oct_session_info *out)
{
    oct_batch *batch = session->batch;
    pthread_mutex_lock(&batch->mutex);
    *out = (oct_session_info){
        .state = session->state,
        .n_prompt = session->request.n_ids,
        .n_generated = session->n_tokens - session->request.n_ids,
        .score = session->score,
    };
    pthread_mutex_unlock(&batch->mutex);
}

const int32_t *oct_session_tokens(const oct_session *session)
{
    return session->ids + session->request.n_ids;
}

void oct_session_close(oct_session *session)
{
    if (session == NULL) {
        return;
    }
    oct_batch *batch = session->batch;
    oct_session_cancel(session);
    batch_drop(batch, session);
    pthread_mutex_lock(&batch->mutex);
    if (session->prev != NULL) {
        session->prev->next = session->next;
    } else {
        batch->sessions = session->next;
    }
    if (session->next != NULL) {
        session->next->prev = session->prev;
    }
    pthread_mutex_unlock(&batch->mutex);
    free(session->ids);
    free(session);
}
