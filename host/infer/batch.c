// PREFILL, DECODE: the batch: memory made once, then steps: admit, schedule, run, sample, report.
#include "infer/batch.h"

#include "base/check.h"
#include "base/logging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- opening and closing

static oct_status device_alloc(oct_batch *batch, oct_buf *out, size_t bytes, const char *what)
{
    if (bytes == 0) {
        return OCT_OK; // not needed in this format: absent
    }
    oct_assert(batch->n_allocations < BATCH_MAX_BUFFERS);
    oct_device *device = batch->engine->device;
    oct_status status = device->table->alloc(device, bytes, out);
    if (status != OCT_OK) {
        return oct_fail_prefix(status, "%s: %zu bytes of the batch's %zu", what, bytes,
                               batch->plan.device_bytes);
    }
    batch->allocations[batch->n_allocations++] = *out;
    return OCT_OK;
}

// Every buffer is an allocation of its own, so that a sanitizer sees an op that writes past one.
static oct_status alloc_device_memory(oct_batch *batch)
{
    const batch_plan *plan = &batch->plan;
    oct_workspace *work = &batch->work;
    struct {
        oct_buf *buf;
        size_t bytes;
        const char *what;
    } wanted[] = {
        {&batch->kv.pool, plan->kv_bytes, "KV cache"},
        {&work->x, plan->x_bytes, "residual stream"},
        {&work->q, plan->q_bytes, "queries"},
        {&work->act_c.data, plan->act_c_bytes, "activations"},
        {&work->act_c.row_step, plan->row_bytes, "activations"},
        {&work->act_c.row_zero, plan->row_bytes, "activations"},
        {&work->act_f.data, plan->act_f_bytes, "activations of the MLP"},
        {&work->act_f.row_step, plan->row_bytes, "activations of the MLP"},
        {&work->act_f.row_zero, plan->row_bytes, "activations of the MLP"},
        {&work->act_h.data, plan->act_h_bytes, "input of lm_head"},
        {&work->act_h.row_step, plan->head_row_bytes, "input of lm_head"},
        {&work->act_h.row_zero, plan->head_row_bytes, "input of lm_head"},
        {&work->waiting, plan->waiting_bytes, "rows that wait for their maximum"},
        {&work->logits, plan->logits_bytes, "logits"},
        {&batch->scratch, plan->scratch_bytes, "scratch of sampling"},
        {&batch->token, plan->token_bytes, "drawn tokens"},
        {&batch->sums, plan->sums_bytes, "sums of scores"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        OCT_TRY(device_alloc(batch, wanted[i].buf, wanted[i].bytes, wanted[i].what));
    }
    return step_buffer_open(&batch->steps, batch->engine->device, plan);
}

static oct_status alloc_host_memory(oct_batch *batch)
{
    const batch_plan *plan = &batch->plan;
    size_t slots = (size_t)plan->max_sequences, R = (size_t)plan->max_logits;
    OCT_TRY(kv_pages_init(&batch->pages, plan->n_page));
    batch->active = calloc(slots, sizeof(oct_session *));
    batch->free_slots = calloc(slots, sizeof *batch->free_slots);
    batch->owners = calloc(R, sizeof *batch->owners);
    batch->drawn = calloc(R, sizeof *batch->drawn);
    batch->logits = calloc((size_t)plan->vocab_size, sizeof *batch->logits);
    OCT_REQUIRE(batch->active != NULL && batch->free_slots != NULL && batch->owners != NULL &&
                    batch->drawn != NULL && batch->logits != NULL,
                OCT_ERR_NOMEM, "out of memory: tables of %zu sequences and %zu logits rows", slots,
                R);
    for (int32_t slot = plan->max_sequences - 1; slot >= 0; slot--) {
        batch->free_slots[batch->n_free_slots++] = slot;
    }
    return OCT_OK;
}

oct_status batch_open(oct_batch **out, const oct_engine *engine, const oct_batch_options *options,
                      bool sampling)
{
    *out = NULL;
    oct_status status = OCT_OK;
    oct_batch *batch = calloc(1, sizeof *batch);
    OCT_REQUIRE(batch != NULL, OCT_ERR_NOMEM, "out of memory: a batch of %zu bytes", sizeof *batch);
    batch->engine = engine;
    OCT_TRY_GOTO(batch_plan_make(&batch->plan, engine, options, sampling), fail);
    batch->kv = (oct_kv){
        .format = engine->format,
        .n_page = batch->plan.n_page,
        .n_layer = engine->config.n_layer,
        .n_head = engine->config.n_head,
        .d_head = engine->config.d_head,
    };
    OCT_TRY_GOTO(alloc_host_memory(batch), fail);
    OCT_TRY_GOTO(alloc_device_memory(batch), fail);
    if (pthread_mutex_init(&batch->mutex, NULL) != 0) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: a mutex");
        goto fail;
    }
    batch->mutex_ready = true;
    oct_log(OCT_LOG_DEBUG, "plan",
            "batch: %d rows, %d sequences, %d logits rows, %d KV pages; %zu bytes on the device, "
            "%zu of them KV cache",
            batch->plan.max_rows, batch->plan.max_sequences, batch->plan.max_logits,
            batch->plan.n_page, batch->plan.device_bytes, batch->plan.kv_bytes);
    *out = batch;
    return OCT_OK;
fail:
    oct_batch_close(batch);
    return status;
}

oct_status oct_batch_open(oct_batch **out, oct_engine *engine, const oct_batch_options *options)
{
    return batch_open(out, engine, options, true);
}

void oct_batch_close(oct_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    oct_device *device = batch->engine->device;
    if (batch->n_allocations > 0) {
        (void)device->table->sync(device); // an error here was reported by a step, or is nobody's
    }
    for (oct_session *session = batch->sessions; session != NULL;) {
        oct_session *next = session->next;
        free(session->ids);
        free(session);
        session = next;
    }
    step_buffer_close(&batch->steps);
    for (int32_t i = batch->n_allocations - 1; i >= 0; i--) {
        device->table->free(device, batch->allocations[i]);
    }
    kv_pages_free(&batch->pages);
    free(batch->active);
    free(batch->free_slots);
    free(batch->owners);
    free(batch->drawn);
    free(batch->logits);
    if (batch->mutex_ready) {
        pthread_mutex_destroy(&batch->mutex);
    }
    free(batch);
}

// ---- beginning and end of a session

// The first of the queue, if a slot and its pages are free: nobody overtakes, so nobody starves.
static oct_session *next_admitted(oct_batch *batch)
{
    pthread_mutex_lock(&batch->mutex);
    oct_session *session = batch->waiting;
    if (session != NULL && (batch->n_free_slots == 0 || batch->pages.n_free < session->n_pages)) {
        session = NULL;
    }
    if (session != NULL) {
        batch->waiting = session->next_waiting;
        if (batch->waiting == NULL) {
            batch->last_waiting = NULL;
        }
        session->state = OCT_SESSION_RUNNING;
    }
    pthread_mutex_unlock(&batch->mutex);
    return session;
}

static oct_buf sums_of(const oct_batch *batch, int32_t slot)
{
    return (oct_buf){batch->sums.mem, batch->sums.offset + (size_t)slot * sizeof(oct_score_sums)};
}

static oct_status admit(oct_batch *batch)
{
    oct_device *device = batch->engine->device;
    oct_session *session;
    while ((session = next_admitted(batch)) != NULL) {
        int32_t slot = batch->free_slots[--batch->n_free_slots];
        session->slot = slot;
        batch->active[batch->n_active++] = session;
        bool taken =
            kv_pages_take(&batch->pages, session->n_pages, step_buffer_pages(&batch->steps, slot));
        OCT_REQUIRE(taken, OCT_ERR_BUG, "KV pages: expected %d free ones, found %d",
                    session->n_pages, batch->pages.n_free);
        step_buffer_admit(&batch->steps, slot, session->n_pages, &session->request.sampling,
                          session->ids, session->request.n_ids);
        if (session->request.score_begin >= 0) {
            OCT_TRY(device->table->zero(device, sums_of(batch, slot), sizeof(oct_score_sums)));
        }
    }
    return OCT_OK;
}

// Gives back what a running session holds. It stays in `active` until forget_ended.
static void release(oct_batch *batch, oct_session *session)
{
    kv_pages_give(&batch->pages, step_buffer_pages(&batch->steps, session->slot), session->n_pages);
    batch->free_slots[batch->n_free_slots++] = session->slot;
    session->slot = -1;
}

static void forget_ended(oct_batch *batch)
{
    int32_t n = 0;
    for (int32_t i = 0; i < batch->n_active; i++) {
        if (batch->active[i]->slot >= 0) {
            batch->active[n++] = batch->active[i];
        }
    }
    batch->n_active = n;
}

static oct_status end_session(oct_batch *batch, oct_session *session, oct_session_state state)
{
    oct_device *device = batch->engine->device;
    oct_score_sums score = {0};
    if (session->request.score_begin >= 0 && state == OCT_SESSION_FINISHED) {
        OCT_TRY(
            device->table->download(device, &score, sums_of(batch, session->slot), sizeof score));
    }
    release(batch, session);
    pthread_mutex_lock(&batch->mutex);
    session->state = state;
    session->score = score;
    pthread_mutex_unlock(&batch->mutex);
    return OCT_OK;
}

void batch_drop(oct_batch *batch, oct_session *session)
{
    if (session->slot >= 0) {
        release(batch, session);
        forget_ended(batch);
    }
}

static oct_status end_cancelled(oct_batch *batch)
{
    for (int32_t i = 0; i < batch->n_active; i++) {
        oct_session *session = batch->active[i];
        pthread_mutex_lock(&batch->mutex);
        bool cancel = session->cancel;
        pthread_mutex_unlock(&batch->mutex);
        if (cancel) {
            OCT_TRY(end_session(batch, session, OCT_SESSION_CANCELLED));
        }
    }
    forget_ended(batch);
    return OCT_OK;
}

// ---- a step

// The forward pass and what is computed from its logits; tokens come back to batch->drawn.
static oct_status run(oct_batch *batch)
{
    const oct_engine *engine = batch->engine;
    oct_device *device = engine->device;
    const oct_step *step = &batch->steps.step;
    int32_t vocab = batch->plan.vocab_size;
    OCT_TRY(step_buffer_upload(&batch->steps));
    OCT_TRY(oct_forward(engine, step, &batch->kv, &batch->work, batch->sink));
    if (batch->n_scored > 0) {
        oct_score_args args = {
            .step = step, .vocab = vocab, .logits = batch->work.logits, .sums = batch->sums};
        OCT_TRY(device->ops->score(device, &args));
    }
    if (batch->n_sampled > 0) {
        oct_sample_args args = {.step = step,
                                .vocab = vocab,
                                .logits = batch->work.logits,
                                .scratch = batch->scratch,
                                .token = batch->token};
        OCT_TRY(device->ops->sample(device, &args));
        OCT_TRY(device->table->download(device, batch->drawn, batch->token,
                                        (size_t)batch->n_logits * sizeof *batch->drawn));
    }
    return OCT_OK;
}

// Rows of a sequence stand in ascending position in a step, and steps follow each other.
static oct_status report_logits(oct_batch *batch)
{
    oct_device *device = batch->engine->device;
    size_t row_bytes = (size_t)batch->plan.vocab_size * sizeof(float);
    for (int32_t r = 0; r < batch->n_logits; r++) {
        const oct_request *request = &batch->owners[r].session->request;
        if (request->on_logits != NULL) {
            oct_buf row = {batch->work.logits.mem,
                           batch->work.logits.offset + (size_t)r * row_bytes};
            OCT_TRY(device->table->download(device, batch->logits, row, row_bytes));
            request->on_logits(request->user, batch->owners[r].position, batch->logits);
        }
    }
    return OCT_OK;
}

// Appends the token a session has drawn and reports it; *last = the session ends with it.
static oct_status take_token(oct_batch *batch, oct_session *session, bool *last)
{
    const oct_request *request = &session->request;
    int32_t id = batch->drawn[session->sample_row];
    OCT_REQUIRE(id >= 0 && id < batch->plan.vocab_size, OCT_ERR_DEVICE,
                "drawn token: expected an id below %d (the vocabulary), got %d",
                batch->plan.vocab_size, id);
    session->ids[session->n_tokens] = id;
    step_buffer_append_history(&batch->steps, session->slot, id);
    pthread_mutex_lock(&batch->mutex);
    session->n_tokens++;
    pthread_mutex_unlock(&batch->mutex);
    bool stop = request->on_token != NULL && request->on_token(request->user, id) != 0;
    *last = stop || id == request->stop_id || session->n_tokens == request->n_ids + request->n_new;
    return OCT_OK;
}

// The rows of the step are in the cache: what that means for each session.
static oct_status advance(oct_batch *batch)
{
    for (int32_t i = 0; i < batch->n_active; i++) {
        oct_session *session = batch->active[i];
        session->n_done += session->n_step_rows;
        bool last = session->request.n_new == 0 && session->n_done == session->request.n_ids;
        if (session->sample_row >= 0) {
            OCT_TRY(take_token(batch, session, &last));
        }
        if (last) {
            OCT_TRY(end_session(batch, session, OCT_SESSION_FINISHED));
        }
    }
    forget_ended(batch);
    return OCT_OK;
}

static oct_status step_rows(oct_batch *batch)
{
    OCT_TRY(end_cancelled(batch));
    OCT_TRY(admit(batch));
    if (batch->n_active == 0) {
        return OCT_OK;
    }
    batch_schedule(batch);
    int32_t n_rows = batch->steps.step.n_rows; // before padding
    OCT_TRY(run(batch));
    batch->rows_run += n_rows;
    batch->rows_scored += batch->n_scored;
    OCT_TRY(report_logits(batch));
    return advance(batch);
}

// The device failed: so have all sessions that wait or run, and each later step.
static void poison(oct_batch *batch, oct_status status)
{
    pthread_mutex_lock(&batch->mutex);
    batch->failure = status;
    snprintf(batch->failure_text, sizeof batch->failure_text, "%s", oct_last_error());
    for (oct_session *session = batch->sessions; session != NULL; session = session->next) {
        if (session->state == OCT_SESSION_WAITING || session->state == OCT_SESSION_RUNNING) {
            session->state = OCT_SESSION_FAILED;
        }
        session->slot = -1;
    }
    batch->waiting = NULL;
    batch->last_waiting = NULL;
    pthread_mutex_unlock(&batch->mutex);
    batch->n_active = 0;
}

oct_status oct_batch_step(oct_batch *batch, bool *busy)
{
    if (busy != NULL) {
        *busy = false;
    }
    OCT_REQUIRE(batch->failure == OCT_OK, batch->failure, "the batch failed before: %s",
                batch->failure_text);
    oct_status status = step_rows(batch);
    if (status != OCT_OK) {
        poison(batch, status);
        return status;
    }
    if (busy != NULL) {
        pthread_mutex_lock(&batch->mutex);
        *busy = batch->n_active > 0 || batch->waiting != NULL;
        pthread_mutex_unlock(&batch->mutex);
    }
    return OCT_OK;
}
