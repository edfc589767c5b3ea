// tests: sequences for batches on the hashing stub, with what each of them must give.
#ifndef OCT_BATCH_FIXTURE_H
#define OCT_BATCH_FIXTURE_H

#include "infer/batch.h"
#include "stub_backend.h"

#include "test_util.h"

#define VOCAB   37
#define CONTEXT 256

static stub_engine stub; // of this suite

// A sequence, what is asked of it, and what the callbacks heard.
typedef struct sequence {
    int32_t ids[CONTEXT]; // prompt, then what must be drawn
    int32_t n_ids, n_new; // n_new: how many must be drawn
    oct_sampling sampling;
    int32_t stop_after; // on_token ends the session at this token; 0 = never
    oct_session *session;
    int32_t heard[CONTEXT]; // tokens
    int32_t n_heard;
    float logits[CONTEXT][VOCAB]; // by position
    int32_t n_logits, last_position;
} sequence;

static inline int hear_token(void *user, int32_t id)
{
    sequence *s = user;
    s->heard[s->n_heard++] = id;
    return s->n_heard == s->stop_after;
}

static inline void hear_logits(void *user, int32_t position, const float *logits)
{
    sequence *s = user;
    ck_assert_msg(s->n_logits == 0 || position > s->last_position, "position %d after %d", position,
                  s->last_position);
    s->last_position = position;
    s->n_logits++;
    memcpy(s->logits[position], logits, sizeof s->logits[position]);
}

static inline void make_sequence(sequence *s, int32_t n_ids, int32_t n_new, uint64_t seed)
{
    *s = (sequence){.n_ids = n_ids, .n_new = n_new};
    for (int32_t i = 0; i < n_ids; i++) {
        s->ids[i] = (int32_t)(test_random(&seed) % VOCAB);
    }
    s->sampling =
        (oct_sampling){0.5f, seed % 2 == 0 ? 1.0f : 1.25f, 0, (int32_t)(seed % 3), 1.0, 0.0, seed};
    int32_t n = stub_generate(&stub, s->ids, n_ids, n_new, -1, &s->sampling);
    ck_assert_int_eq(n, n_new);
}

static inline oct_request request_of(sequence *s)
{
    oct_request request = OCT_REQUEST_INIT;
    request.ids = s->ids;
    request.n_ids = s->n_ids;
    request.n_new = s->n_new;
    request.sampling = s->sampling;
    request.all_logits = true;
    request.on_token = hear_token;
    request.on_logits = hear_logits;
    request.user = s;
    return request;
}

static inline void submit(oct_batch *batch, sequence *s)
{
    oct_request request = request_of(s);
    assert_ok(oct_batch_submit(batch, &request, &s->session));
}

static inline oct_session_state state_of(const sequence *s)
{
    oct_session_info info;
    oct_session_describe(s->session, &info);
    return info.state;
}

static inline void run_until_idle(oct_batch *batch)
{
    bool busy = true;
    for (int n = 0; busy; n++) {
        assert_ok(oct_batch_step(batch, &busy));
        ck_assert_int_lt(n, 100000);
    }
}

// The session has ended, having drawn what it must and shown the logits of all its rows.
static inline void check_sequence(const sequence *s)
{
    oct_session_info info;
    oct_session_describe(s->session, &info);
    ck_assert_int_eq(info.state, OCT_SESSION_FINISHED);
    ck_assert_int_eq(info.n_prompt, s->n_ids);
    ck_assert_int_eq(info.n_generated, s->n_new);
    ck_assert_int_eq(s->n_heard, s->n_new);
    for (int32_t i = 0; i < s->n_new; i++) {
        ck_assert_int_eq(oct_session_tokens(s->session)[i], s->ids[s->n_ids + i]);
        ck_assert_int_eq(s->heard[i], s->ids[s->n_ids + i]);
    }
    int32_t n_rows = s->n_ids + (s->n_new > 0 ? s->n_new - 1 : 0);
    ck_assert_int_eq(s->n_logits, n_rows);
    for (int32_t position = 0; position < n_rows; position++) {
        float want[VOCAB];
        stub_logits(&stub, s->ids, position, want);
        assert_f32_bits(s->logits[position], want, VOCAB, "logits");
    }
}

static inline oct_batch *open_batch(oct_batch_options options)
{
    oct_batch *batch;
    assert_ok(oct_batch_open(&batch, &stub.engine, &options));
    return batch;
}

static inline oct_batch_options shape(int32_t rows, int32_t sequences, int32_t logits,
                                      int32_t chunk, int32_t pages)
{
    return (oct_batch_options){sizeof(oct_batch_options), rows, sequences, logits, chunk, pages};
}

static inline void setup(void)
{
    stub_open(&stub, OCT_FORMAT_F32, VOCAB, CONTEXT, 11);
}

#endif
