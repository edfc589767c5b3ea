// tests: batches and sessions on the hashing stub: every row sees its own tokens and no others,
// whatever else is in the batch and however steps are cut; admission, ends, cancelling, threads.
#include "batch_fixture.h"

#include <pthread.h>

#define MANY 7

static const struct {
    int32_t n_ids, n_new;
} many[MANY] = {{1, 30}, {5, 0}, {63, 3}, {64, 70}, {65, 1}, {130, 9}, {200, 56}};

// ---- one set of bits

static const oct_batch_options shapes[] = {
    // rows, sequences, logits, chunk, pages
    {sizeof(oct_batch_options), 512, 1, 512, 0, 0}, // one after the other, one prefill each
    {sizeof(oct_batch_options), 512, 8, 512, 0, 0}, // all together
    {sizeof(oct_batch_options), 512, 8, 512, 1, 0}, // token by token
    {sizeof(oct_batch_options), 512, 8, 512, 7, 0}, {sizeof(oct_batch_options), 512, 8, 512, 64, 0},
    {sizeof(oct_batch_options), 100, 3, 512, 0, 9}, // three at a time, few pages
    {sizeof(oct_batch_options), 31, 8, 5, 0, 0},    // chunks cut by the logits
    {sizeof(oct_batch_options), 2, 8, 1, 0, 0},     // less than a row a sequence
    {sizeof(oct_batch_options), 1, 4, 0, 0, 0},
};

START_TEST(every_row_has_the_logits_of_its_sequence_in_any_batch_and_chunks)
{
    int n_shapes = (int)(sizeof shapes / sizeof *shapes);
    stub_open(&stub, _i / n_shapes % 2 == 0 ? OCT_FORMAT_F32 : OCT_FORMAT_W8A8, VOCAB, CONTEXT, 11);
    oct_batch *batch = open_batch(shapes[_i % n_shapes]);
    batch->plan.pad_rows = _i / n_shapes >= 2;
    sequence *s = calloc(MANY, sizeof *s);
    for (int i = 0; i < MANY; i++) {
        make_sequence(&s[i], many[i].n_ids, many[i].n_new, (uint64_t)i);
        submit(batch, &s[i]);
    }
    run_until_idle(batch);
    for (int i = 0; i < MANY; i++) {
        check_sequence(&s[i]);
    }
    ck_assert_int_le(stub.device.max_rows_seen, batch->plan.max_rows);
    ck_assert_int_le(stub.device.max_logits_seen, batch->plan.max_logits);
    ck_assert(batch->plan.pad_rows || stub.device.n_padded == 0);
    if (batch->plan.pad_rows && batch->plan.max_rows > 16) {
        ck_assert_int_gt(stub.device.n_padded, 0);
    }
    free(s);
    oct_batch_close(batch);
    ck_assert_int_eq(stub.device.n_alloc, stub.device.n_free);
}
END_TEST

START_TEST(only_rows_that_need_logits_have_some)
{
    oct_batch *batch = open_batch(shape(64, 2, 64, 0, 0));
    sequence s;
    make_sequence(&s, 50, 3, 5);
    oct_request request = request_of(&s);
    request.all_logits = false;
    assert_ok(oct_batch_submit(batch, &request, &s.session));
    run_until_idle(batch);
    ck_assert_int_eq(s.n_logits, 3); // of the last row of the prompt and two more
    ck_assert_int_eq(s.last_position, 51);

    s.n_logits = 0;
    request.n_new = 0;
    request.score_begin = 20;
    assert_ok(oct_batch_submit(batch, &request, &s.session));
    run_until_idle(batch);
    ck_assert_int_eq(s.n_logits, 29); // rows 20 .. 48
    ck_assert_int_eq(s.last_position, 48);
    oct_session_info info;
    oct_session_describe(s.session, &info);
    ck_assert_int_eq(info.score.count, 29);
    oct_batch_close(batch);
}
END_TEST

// ---- pages and admission

START_TEST(pages_are_recycled_and_all_come_back)
{
    enum { N = 40 };
    oct_batch *batch = open_batch(shape(48, 4, 48, 0, 6));
    sequence *s = calloc(N, sizeof *s);
    for (int i = 0; i < N; i++) {
        make_sequence(&s[i], 1 + i * 37 % 190, 1 + i % 5, (uint64_t)i);
        submit(batch, &s[i]);
    }
    run_until_idle(batch);
    for (int i = 0; i < N; i++) {
        check_sequence(&s[i]);
        oct_session_close(s[i].session);
    }
    ck_assert_uint_eq(stub.device.pages_seen[0], 0x7E); // pages 1 .. 6, never the trash page
    ck_assert_int_eq(batch->pages.n_free, 6);
    ck_assert_int_eq(batch->n_free_slots, 4);
    ck_assert_ptr_null(batch->sessions);
    free(s);
    oct_batch_close(batch);
}
END_TEST

START_TEST(who_does_not_fit_waits_and_nobody_overtakes)
{
    oct_batch *batch = open_batch(shape(128, 4, 128, 0, 3));
    sequence s[3];
    make_sequence(&s[0], 100, 10, 1); // 2 pages
    make_sequence(&s[1], 128, 0, 2);  // 2 pages: waits for the first
    make_sequence(&s[2], 10, 2, 3);   // 1 page would be free, but the second was first
    for (int i = 0; i < 3; i++) {
        submit(batch, &s[i]);
        ck_assert_int_eq(state_of(&s[i]), OCT_SESSION_WAITING);
    }
    bool busy;
    assert_ok(oct_batch_step(batch, &busy));
    ck_assert(busy);
    ck_assert_int_eq(state_of(&s[0]), OCT_SESSION_RUNNING);
    ck_assert_int_eq(state_of(&s[1]), OCT_SESSION_WAITING);
    ck_assert_int_eq(state_of(&s[2]), OCT_SESSION_WAITING);
    while (state_of(&s[0]) == OCT_SESSION_RUNNING) {
        assert_ok(oct_batch_step(batch, &busy));
    }
    assert_ok(oct_batch_step(batch, &busy));
    ck_assert_int_ne(state_of(&s[1]), OCT_SESSION_WAITING);
    ck_assert_int_ne(state_of(&s[2]), OCT_SESSION_WAITING);
    run_until_idle(batch);
    for (int i = 0; i < 3; i++) {
        check_sequence(&s[i]);
    }
    oct_batch_close(batch);
}
END_TEST

START_TEST(generating_sessions_have_a_row_in_every_step_before_prompts)
{
    oct_batch *batch = open_batch(shape(3, 6, 3, 0, 0));
    sequence *s = calloc(4, sizeof *s);
    make_sequence(&s[0], 1, 20, 1);
    make_sequence(&s[1], 1, 30, 2);
    make_sequence(&s[2], 10, 12, 3);
    make_sequence(&s[3], 10, 3, 4); // finds no row while three generate
    for (int i = 0; i < 4; i++) {
        submit(batch, &s[i]);
    }
    bool busy = true;
    for (int n = 1; busy; n++) {
        assert_ok(oct_batch_step(batch, &busy));
        ck_assert_int_eq(s[0].n_heard, n < 20 ? n : 20);
        ck_assert_int_eq(s[1].n_heard, n < 30 ? n : 30);
        // One row in the first step, then one in each: its prompt ends in step 10.
        int want = n < 10 ? 0 : n - 9;
        ck_assert_int_eq(s[2].n_heard, want < 12 ? want : 12);
        ck_assert(n > 20 || s[3].n_logits == 0);
    }
    for (int i = 0; i < 4; i++) {
        check_sequence(&s[i]);
    }
    free(s);
    oct_batch_close(batch);
}
END_TEST

// ---- ends

START_TEST(a_session_ends_at_its_stop_id_which_is_reported)
{
    oct_batch *batch = open_batch(shape(64, 2, 0, 0, 0));
    sequence s;
    make_sequence(&s, 9, 40, 4);
    oct_request request = request_of(&s);
    request.stop_id = s.ids[9 + 17];
    int32_t n = stub_generate(&stub, s.ids, 9, 40, request.stop_id, &s.sampling);
    s.n_new = n;
    ck_assert(n >= 1 && n <= 18);
    assert_ok(oct_batch_submit(batch, &request, &s.session));
    run_until_idle(batch);
    check_sequence(&s);
    ck_assert_int_eq(s.heard[n - 1], request.stop_id);
    oct_batch_close(batch);
}
END_TEST

START_TEST(a_callback_ends_its_session)
{
    oct_batch *batch = open_batch(shape(64, 2, 0, 0, 0));
    sequence s[2];
    make_sequence(&s[0], 9, 40, 4);
    make_sequence(&s[1], 20, 40, 5);
    s[0].stop_after = 6;
    submit(batch, &s[0]);
    submit(batch, &s[1]);
    run_until_idle(batch);
    s[0].n_new = 6;
    check_sequence(&s[0]);
    check_sequence(&s[1]);
    oct_batch_close(batch);
}
END_TEST

START_TEST(cancelled_sessions_give_their_pages_back)
{
    oct_batch *batch = open_batch(shape(64, 2, 64, 0, 8));
    sequence s[4];
    for (int i = 0; i < 4; i++) {
        make_sequence(&s[i], 100, 50, (uint64_t)i);
        submit(batch, &s[i]);
    }
    bool busy;
    assert_ok(oct_batch_step(batch, &busy));
    oct_session_cancel(s[0].session); // runs
    oct_session_cancel(s[2].session); // waits
    ck_assert_int_eq(state_of(&s[0]), OCT_SESSION_RUNNING);
    ck_assert_int_eq(state_of(&s[2]), OCT_SESSION_CANCELLED);
    assert_ok(oct_batch_step(batch, &busy));
    ck_assert_int_eq(state_of(&s[0]), OCT_SESSION_CANCELLED);
    ck_assert_int_eq(state_of(&s[3]), OCT_SESSION_RUNNING);
    int32_t shown = s[0].n_logits;
    oct_session_close(s[3].session); // a running one
    ck_assert_int_eq(batch->n_active, 1);
    run_until_idle(batch);
    ck_assert_int_eq(s[0].n_logits, shown);
    check_sequence(&s[1]);
    ck_assert_int_eq(batch->pages.n_free, 8);
    oct_session_cancel(s[1].session); // has ended: nothing happens
    check_sequence(&s[1]);
    oct_batch_close(batch); // with sessions in it
}
END_TEST

// ---- threads

#define THREADS    2
#define PER_THREAD 60

typedef struct client {
    oct_batch *batch;
    sequence *sequences; // [PER_THREAD]
    uint64_t seed;
    int *n_done; // clients that have ended
} client;

// Submits, looks at and cancels sessions while another thread steps.
static void *be_client(void *user)
{
    client *c = user;
    for (int i = 0; i < PER_THREAD; i++) {
        submit(c->batch, &c->sequences[i]);
        for (int k = 0; k <= i; k++) {
            const sequence *s = &c->sequences[k];
            oct_session_info info;
            oct_session_describe(s->session, &info);
            for (int32_t t = 0; t < info.n_generated; t++) {
                ck_assert_int_eq(oct_session_tokens(s->session)[t], s->ids[info.n_prompt + t]);
            }
        }
        usleep((useconds_t)(test_random(&c->seed) % 400));
        // Of every third one, those that run; and one that waits.
        for (int k = i / 3 * 3; k >= 0; k -= 3) {
            if (state_of(&c->sequences[k]) == OCT_SESSION_RUNNING || k == 30) {
                oct_session_cancel(c->sequences[k].session);
            }
        }
    }
    __atomic_fetch_add(c->n_done, 1, __ATOMIC_RELAXED);
    return NULL;
}

START_TEST(submit_and_cancel_work_from_other_threads)
{
    oct_batch *batch = open_batch(shape(40, 3, 0, 16, 8));
    sequence *all = calloc((size_t)THREADS * PER_THREAD, sizeof *all);
    for (int i = 0; i < THREADS * PER_THREAD; i++) {
        make_sequence(&all[i], 1 + i % 70, i % 9, (uint64_t)i);
    }
    client clients[THREADS];
    int n_done = 0;
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) {
        clients[t] = (client){batch, all + (ptrdiff_t)t * PER_THREAD, (uint64_t)t, &n_done};
        ck_assert_int_eq(pthread_create(&threads[t], NULL, be_client, &clients[t]), 0);
    }
    while (__atomic_load_n(&n_done, __ATOMIC_RELAXED) < THREADS) {
        assert_ok(oct_batch_step(batch, NULL));
        usleep(200);
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
    }
    run_until_idle(batch);
    int n_finished = 0;
    for (int i = 0; i < THREADS * PER_THREAD; i++) {
        if (state_of(&all[i]) == OCT_SESSION_CANCELLED) {
            ck_assert_int_eq(i % PER_THREAD % 3, 0);
        } else {
            check_sequence(&all[i]);
            n_finished++;
        }
        oct_session_close(all[i].session);
    }
    ck_assert_int_ge(n_finished, THREADS * PER_THREAD * 2 / 3);
    ck_assert_int_eq(batch->pages.n_free, 8);
    free(all);
    oct_batch_close(batch);
}
END_TEST

typedef struct chain {
    oct_batch *batch;
    sequence first, second;
} chain;

static int submit_another(void *user, int32_t id)
{
    chain *c = user;
    c->first.heard[c->first.n_heard++] = id;
    if (c->first.n_heard == 2) {
        submit(c->batch, &c->second);
        oct_session_cancel(c->first.session);
    }
    return 0;
}

START_TEST(callbacks_may_submit_and_cancel)
{
    chain *c = calloc(1, sizeof *c);
    c->batch = open_batch(shape(16, 1, 0, 0, 0));
    make_sequence(&c->first, 5, 50, 1);
    make_sequence(&c->second, 40, 8, 2);
    oct_request request = request_of(&c->first);
    request.on_token = submit_another;
    request.on_logits = NULL;
    request.user = c;
    assert_ok(oct_batch_submit(c->batch, &request, &c->first.session));
    run_until_idle(c->batch);
    ck_assert_int_eq(state_of(&c->first), OCT_SESSION_CANCELLED);
    ck_assert_int_eq(c->first.n_heard, 2);
    check_sequence(&c->second);
    oct_batch_close(c->batch);
    free(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch");
    TCase *tcase = tcase_create("batch");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, every_row_has_the_logits_of_its_sequence_in_any_batch_and_chunks, 0,
                        4 * (int)(sizeof shapes / sizeof *shapes));
    tcase_add_test(tcase, only_rows_that_need_logits_have_some);
    tcase_add_test(tcase, pages_are_recycled_and_all_come_back);
    tcase_add_test(tcase, who_does_not_fit_waits_and_nobody_overtakes);
    tcase_add_test(tcase, generating_sessions_have_a_row_in_every_step_before_prompts);
    tcase_add_test(tcase, a_session_ends_at_its_stop_id_which_is_reported);
    tcase_add_test(tcase, a_callback_ends_its_session);
    tcase_add_test(tcase, cancelled_sessions_give_their_pages_back);
    tcase_add_test(tcase, submit_and_cancel_work_from_other_threads);
    tcase_add_test(tcase, callbacks_may_submit_and_cancel);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
