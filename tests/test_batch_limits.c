// tests: what a batch may not do: allocate in a step, upload more than changed, accept what it
// cannot run, go on after the device failed.
#include "batch_fixture.h"

#include "base/check.h"

// ---- counting the host's allocations (the linker wraps these functions)

static int64_t n_host_allocs;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    __atomic_fetch_add(&n_host_allocs, 1, __ATOMIC_RELAXED);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    __atomic_fetch_add(&n_host_allocs, 1, __ATOMIC_RELAXED);
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    __atomic_fetch_add(&n_host_allocs, 1, __ATOMIC_RELAXED);
    return __real_realloc(p, size);
}

// ---- memory of a step

static int ignore_token(void *user, int32_t id)
{
    (void)user;
    (void)id;
    return 0;
}

static void ignore_logits(void *user, int32_t position, const float *logits)
{
    (void)user;
    (void)position;
    (void)logits;
}

START_TEST(steps_allocate_nothing_on_host_and_device)
{
    oct_batch *batch = open_batch(shape(48, 4, 48, 20, 9));
    int64_t n_device = stub.device.n_alloc;
    sequence *s = calloc(12, sizeof *s);
    for (int i = 0; i < 12; i++) {
        make_sequence(&s[i], 1 + i * 17, i % 4, (uint64_t)i);
        oct_request request = request_of(&s[i]);
        request.on_token = ignore_token;
        request.on_logits = ignore_logits;
        request.score_begin = i % 2 == 0 ? 0 : -1;
        assert_ok(oct_batch_submit(batch, &request, &s[i].session));
    }
    oct_session_cancel(s[11].session);
    int64_t before = n_host_allocs;
    bool busy = true;
    oct_status status = OCT_OK;
    while (busy && status == OCT_OK) {
        status = oct_batch_step(batch, &busy); // no assert: Check allocates
    }
    int64_t after = n_host_allocs;
    assert_ok(status);
    ck_assert_int_eq(after, before);
    ck_assert_int_eq(stub.device.n_alloc, n_device);
    ck_assert_int_gt(before, 12); // the wrappers do count
    ck_assert_int_eq(state_of(&s[10]), OCT_SESSION_FINISHED);
    free(s);
    oct_batch_close(batch);
}
END_TEST

START_TEST(a_decode_step_uploads_its_rows_and_nothing_else)
{
    oct_batch *batch = open_batch(shape(48, 4, 48, 0, 0));
    sequence s[2];
    make_sequence(&s[0], 20, 10, 2);
    s[0].sampling.repetition_penalty = 1.0f;
    submit(batch, &s[0]);
    assert_ok(oct_batch_step(batch, NULL));
    ck_assert_int_eq(stub.device.n_upload, 2); // rows, and the slot's pages and parameters
    int64_t bytes = stub.device.upload_bytes;
    assert_ok(oct_batch_step(batch, NULL));
    ck_assert_int_eq(stub.device.n_upload, 3);
    ck_assert_int_eq(stub.device.upload_bytes - bytes, (int64_t)batch->plan.step.step_bytes);

    make_sequence(&s[1], 20, 10, 3);
    s[1].sampling.repetition_penalty = 1.5f;
    submit(batch, &s[1]);
    assert_ok(oct_batch_step(batch, NULL));
    ck_assert_int_eq(stub.device.n_upload, 6); // and the history
    bytes = stub.device.upload_bytes;
    assert_ok(oct_batch_step(batch, NULL));
    ck_assert_int_eq(stub.device.n_upload, 8);
    ck_assert_int_eq(stub.device.upload_bytes - bytes,
                     (int64_t)batch->plan.step.step_bytes + 4); // one token of history
    oct_batch_close(batch);
}
END_TEST

// ---- sizes and pages

START_TEST(row_bucket_is_a_power_of_two_then_a_multiple_of_64)
{
    static const int32_t want[][3] = {{1, 512, 1},     {2, 512, 2},     {3, 512, 4},
                                      {5, 512, 8},     {33, 512, 64},   {64, 512, 64},
                                      {65, 512, 128},  {129, 512, 192}, {500, 512, 512},
                                      {500, 500, 500}, {3, 3, 3},       {40, 50, 50}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        ck_assert_int_eq(row_bucket(want[i][0], want[i][1]), want[i][2]);
    }
    int32_t last = 0;
    for (int32_t n = 1; n <= 1000; n++) {
        int32_t bucket = row_bucket(n, 1000);
        ck_assert(bucket >= n && bucket >= last && bucket <= 1000);
        ck_assert_int_eq(row_bucket(bucket, 1000), bucket);
        last = bucket;
    }
}
END_TEST

START_TEST(plan_fills_in_defaults_and_sizes)
{
    batch_plan plan;
    assert_ok(batch_plan_make(&plan, &stub.engine, NULL, true));
    ck_assert_int_eq(plan.max_rows, 512);
    ck_assert_int_eq(plan.max_logits, 8);
    ck_assert_int_eq(plan.max_chunk, 512);
    ck_assert_int_eq(plan.max_pages, 4);
    ck_assert_int_eq(plan.n_page, 8 * 4 + 1);
    ck_assert_uint_eq(plan.x_bytes, 512 * 16 * 4);
    ck_assert_uint_eq(plan.q_bytes, 512 * 16 * 4);
    ck_assert_uint_eq(plan.row_bytes, 0);
    ck_assert_uint_eq(plan.waiting_bytes, 0);
    ck_assert_uint_eq(plan.scratch_bytes, 8 * VOCAB * 8);
    ck_assert_uint_eq(plan.kv_bytes, 33 * 2 * 2 * 64 * 16 * 4);
    ck_assert_uint_gt(plan.step.bytes, plan.step.history);

    stub_open(&stub, OCT_FORMAT_W8A8, VOCAB, CONTEXT, 11);
    oct_batch_options options = shape(7, 3, 100, 100, 5);
    assert_ok(batch_plan_make(&plan, &stub.engine, &options, false));
    ck_assert_int_eq(plan.max_logits, 7);
    ck_assert_int_eq(plan.max_chunk, 7);
    ck_assert_int_eq(plan.n_page, 6);
    ck_assert_uint_eq(plan.q_bytes, 7 * 16 * 2);
    ck_assert_uint_eq(plan.act_c_bytes, 7 * 64);
    ck_assert_uint_eq(plan.row_bytes, 7 * 4);
    ck_assert_uint_eq(plan.head_row_bytes, 7 * 4);
    ck_assert_uint_eq(plan.waiting_bytes, 7 * 64 * 4);
    ck_assert_uint_eq(plan.scratch_bytes, 0);
    ck_assert_uint_eq(plan.kv_bytes, 6 * 2 * 2 * 64 * 16);

    stub_open(&stub, OCT_FORMAT_F32, VOCAB, CONTEXT, 11);
    stub.engine.config.n_embd = 1 << 30; // pages of 2^40 bytes
    stub.engine.config.d_head = 1 << 30;
    options.n_pages = 1 << 30;
    ck_assert_int_eq(batch_plan_make(&plan, &stub.engine, &options, true), OCT_ERR_NOMEM);
    ck_assert_ptr_nonnull(strstr(oct_last_error(), "1073741825 KV pages of 1099511627776 bytes"));
}
END_TEST

START_TEST(kv_pages_are_taken_whole_or_not_at_all)
{
    kv_pages pages;
    assert_ok(kv_pages_init(&pages, 6));
    int32_t a[5] = {0}, b[5] = {0};
    ck_assert(!kv_pages_take(&pages, 6, a));
    ck_assert(kv_pages_take(&pages, 3, a));
    ck_assert(!kv_pages_take(&pages, 3, b));
    ck_assert_int_eq(b[0], 0);
    ck_assert(kv_pages_take(&pages, 2, b));
    ck_assert_int_eq(pages.n_free, 0);
    int32_t seen = 1 << a[0] | 1 << a[1] | 1 << a[2] | 1 << b[0] | 1 << b[1];
    ck_assert_int_eq(seen, 0x3E);
    kv_pages_give(&pages, a, 3);
    ck_assert(kv_pages_take(&pages, 3, b));
    ck_assert_int_eq(b[0], a[0]);
    kv_pages_free(&pages);
    ck_assert_int_eq((int)kv_pages_needed(0), 0);
    ck_assert_int_eq((int)kv_pages_needed(1), 1);
    ck_assert_int_eq((int)kv_pages_needed(64), 1);
    ck_assert_int_eq((int)kv_pages_needed(65), 2);
}
END_TEST

// ---- refusals

static void refused(oct_batch *batch, const oct_request *request, const char *first,
                    const char *second)
{
    oct_session *session = (oct_session *)request;
    ck_assert_int_eq(oct_batch_submit(batch, request, &session), OCT_ERR_ARG);
    ck_assert_ptr_null(session);
    ck_assert_msg(strstr(oct_last_error(), first) != NULL && strstr(oct_last_error(), second),
                  "expected %s and %s in: %s", first, second, oct_last_error());
}

START_TEST(refusals_name_both_numbers)
{
    oct_batch *batch = open_batch(shape(64, 2, 0, 0, 2));
    sequence s;
    make_sequence(&s, 200, 10, 4);
    const oct_request good = request_of(&s);
    oct_request r = good;
    refused(batch, &r, "need 4 KV pages", "has 2");
    r.n_new = 57;
    refused(batch, &r, "200 tokens and 57", "256");
    r = good;
    r.n_ids = 0;
    refused(batch, &r, "at least 1", "got 0");
    r = good;
    s.ids[7] = VOCAB;
    refused(batch, &r, "token 7", "below 37 (the vocabulary), got 37");
    s.ids[7] = -1;
    refused(batch, &r, "token 7", "got -1");
    s.ids[7] = 0;
    r.struct_size = 8;
    refused(batch, &r, "got 8", "struct_size");
    r = good;
    r.stop_id = 37;
    refused(batch, &r, "37", "stop_id");
    r = good;
    r.n_new = -1;
    refused(batch, &r, "0 or more", "-1");
    r = good;
    r.score_begin = 200;
    refused(batch, &r, "200", "score_begin");
    r = good;
    r.sampling.temperature = NAN;
    refused(batch, &r, "temperature", "nan");
    r = good;
    r.sampling.top_p = 0.0;
    refused(batch, &r, "top_p", "got 0");
    r = good;
    r.sampling.min_p = 1.5;
    refused(batch, &r, "min_p", "1.5");
    r = good;
    r.sampling.repetition_penalty = 0.0f;
    refused(batch, &r, "repetition_penalty", "got 0");
    ck_assert_ptr_null(batch->sessions);
    oct_batch_close(batch);

    static const oct_batch_options bad[] = {
        {sizeof(oct_batch_options), 0, 8, 0, 0, 0},  {sizeof(oct_batch_options), 8, 0, 0, 0, 0},
        {sizeof(oct_batch_options), 8, 8, -1, 0, 0}, {sizeof(oct_batch_options), 8, 8, 0, -1, 0},
        {sizeof(oct_batch_options), 8, 8, 0, 0, -1}, {7, 8, 8, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(oct_batch_open(&batch, &stub.engine, &bad[i]), OCT_ERR_ARG);
        ck_assert_ptr_null(batch);
        ck_assert_ptr_nonnull(strstr(oct_last_error(), "got"));
    }
}
END_TEST

// ---- failures

START_TEST(a_failing_device_poisons_the_batch)
{
    oct_batch *batch = open_batch(shape(32, 2, 32, 0, 0));
    sequence *s = calloc(4, sizeof *s);
    for (int i = 0; i < 4; i++) {
        make_sequence(&s[i], i == 0 ? 3 : 60, i == 0 ? 1 : 20, (uint64_t)i);
        submit(batch, &s[i]);
    }
    bool busy;
    assert_ok(oct_batch_step(batch, &busy));
    check_sequence(&s[0]);
    stub.device.op_fails = stub.device.n_ops + 1 + _i;
    oct_status status = OCT_OK;
    while (status == OCT_OK) {
        status = oct_batch_step(batch, &busy);
    }
    ck_assert_int_eq(status, OCT_ERR_DEVICE);
    ck_assert(!busy);
    ck_assert_ptr_nonnull(strstr(oct_last_error(), "the stub fails at op"));
    check_sequence(&s[0]);
    for (int i = 1; i < 4; i++) {
        ck_assert_int_eq(state_of(&s[i]), OCT_SESSION_FAILED);
    }
    int64_t n_ops = stub.device.n_ops;
    (void)OCT_FAIL(OCT_ERR_IO, "something else");
    ck_assert_int_eq(oct_batch_step(batch, &busy), OCT_ERR_DEVICE);
    ck_assert_ptr_nonnull(strstr(oct_last_error(), "failed before: the stub fails at op"));
    ck_assert_int_eq(stub.device.n_ops, n_ops);
    oct_request request = request_of(&s[1]);
    oct_session *session;
    ck_assert_int_eq(oct_batch_submit(batch, &request, &session), OCT_ERR_DEVICE);
    ck_assert_ptr_null(session);
    oct_session_close(s[1].session);
    oct_batch_close(batch);
    ck_assert_int_eq(stub.device.n_alloc, stub.device.n_free);
    free(s);
}
END_TEST

START_TEST(a_drawn_id_outside_the_vocabulary_is_an_error_of_the_device)
{
    oct_batch *batch = open_batch(shape(32, 2, 32, 0, 0));
    sequence s;
    make_sequence(&s, 3, 3, 1);
    submit(batch, &s);
    stub.device.sampled_id = VOCAB;
    ck_assert_int_eq(oct_batch_step(batch, NULL), OCT_ERR_DEVICE);
    ck_assert_ptr_nonnull(strstr(oct_last_error(), "below 37 (the vocabulary), got 37"));
    ck_assert_int_eq(state_of(&s), OCT_SESSION_FAILED);
    oct_batch_close(batch);
}
END_TEST

START_TEST(a_batch_that_finds_no_memory_leaves_none_behind)
{
    stub_open(&stub, OCT_FORMAT_W8A8, VOCAB, CONTEXT, 11);
    int64_t n = 0;
    for (oct_status status = OCT_ERR_NOMEM; status != OCT_OK; n++) {
        oct_batch *batch;
        oct_batch_options options = OCT_BATCH_OPTIONS_INIT;
        stub.device.n_alloc = 0;
        stub.device.n_free = 0;
        stub.device.alloc_fails = n + 1;
        status = oct_batch_open(&batch, &stub.engine, &options);
        if (status == OCT_OK) {
            oct_batch_close(batch);
            ck_assert_int_eq(stub.device.n_alloc, stub.device.n_free);
            ck_assert_int_eq(stub.device.n_alloc, n);
        } else {
            ck_assert_ptr_null(batch);
            ck_assert_ptr_nonnull(strstr(oct_last_error(), "bytes"));
            ck_assert_int_eq(stub.device.n_alloc, stub.device.n_free + 1);
        }
    }
    ck_assert_int_eq(n - 1, 18);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch_limits");
    TCase *tcase = tcase_create("batch_limits");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, steps_allocate_nothing_on_host_and_device);
    tcase_add_test(tcase, a_decode_step_uploads_its_rows_and_nothing_else);
    tcase_add_test(tcase, row_bucket_is_a_power_of_two_then_a_multiple_of_64);
    tcase_add_test(tcase, plan_fills_in_defaults_and_sizes);
    tcase_add_test(tcase, kv_pages_are_taken_whole_or_not_at_all);
    tcase_add_test(tcase, refusals_name_both_numbers);
    tcase_add_loop_test(tcase, a_failing_device_poisons_the_batch, 0, 24);
    tcase_add_test(tcase, a_drawn_id_outside_the_vocabulary_is_an_error_of_the_device);
    tcase_add_test(tcase, a_batch_that_finds_no_memory_leaves_none_behind);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
