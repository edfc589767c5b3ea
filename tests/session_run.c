// tests: sequences in, logits of every position out.
#include "session_run.h"

#include "test_util.h"

typedef struct collector {
    test_sequence *sequence;
    int32_t vocab, next;
} collector;

static void collect(void *user, int32_t position, const float *logits)
{
    collector *c = user;
    ck_assert_int_eq(position, c->next);
    c->next++;
    memcpy(c->sequence->logits + (size_t)position * (size_t)c->vocab, logits,
           (size_t)c->vocab * sizeof(float));
}

void run_together(oct_engine *engine, const oct_batch_options *options, test_sequence *sequences,
                  int n)
{
    oct_engine_info info;
    oct_engine_describe(engine, &info);
    oct_batch *batch;
    assert_ok(oct_batch_open(&batch, engine, options));
    collector *collectors = calloc((size_t)n, sizeof *collectors);
    oct_session **sessions = calloc((size_t)n, sizeof *sessions);
    for (int i = 0; i < n; i++) {
        collectors[i] = (collector){&sequences[i], info.vocab_size, 0};
        oct_request request = OCT_REQUEST_INIT;
        request.ids = sequences[i].ids;
        request.n_ids = sequences[i].n;
        request.all_logits = true;
        request.on_logits = collect;
        request.user = &collectors[i];
        assert_ok(oct_batch_submit(batch, &request, &sessions[i]));
    }
    bool busy = true;
    while (busy) {
        assert_ok(oct_batch_step(batch, &busy));
    }
    for (int i = 0; i < n; i++) {
        oct_session_info state;
        oct_session_describe(sessions[i], &state);
        ck_assert_int_eq(state.state, OCT_SESSION_FINISHED);
        ck_assert_int_eq(collectors[i].next, sequences[i].n);
    }
    free(collectors);
    free(sessions);
    oct_batch_close(batch);
}

void run_alone(oct_engine *engine, const oct_batch_options *options, test_sequence *sequences,
               int n)
{
    for (int i = 0; i < n; i++) {
        run_together(engine, options, &sequences[i], 1);
    }
}
