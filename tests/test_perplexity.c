// tests: perplexity on the hashing stub: windows, scored rows, indices and sums against a plain
// reading of NUMERICS.md section 9, whatever the shape of the batches; distances from a baseline.
#include "infer/compare.h"
#include "infer/perplexity.h"
#include "stub_backend.h"

#include "test_util.h"

#define VOCAB   41
#define CONTEXT 160
#define TEXT    420

static stub_engine stub, other;
static int32_t text[TEXT];

static void setup(void)
{
    stub_open(&stub, OCT_FORMAT_W8A8, VOCAB, CONTEXT, 3);
    stub_open(&other, OCT_FORMAT_F32, VOCAB, CONTEXT + 7, 4);
    uint64_t seed = 8;
    for (int i = 0; i < TEXT; i++) {
        text[i] = (int32_t)(test_random(&seed) % VOCAB);
    }
}

// What must come out, found token by token: a token is scored by the first window that holds it,
// unless it is that window's first token.
typedef struct expected {
    oct_score_sums sums, baseline;
    double kl, max_kl;
    int64_t n_agree;
} expected;

static void expect_row(expected *want, const int32_t *ids, size_t window, size_t token,
                       bool baseline)
{
    float logits[VOCAB], base[VOCAB];
    int32_t position = (int32_t)(token - 1 - window);
    int64_t index = want->sums.count;
    stub_logits(&stub, ids + window, position, logits);
    stub_score(&stub, logits, ids[token], index, &want->sums);
    if (!baseline) {
        return;
    }
    stub_logits(&other, ids + window, position, base);
    stub_score(&other, base, ids[token], index, &want->baseline);
    long double sum = 0, sum_base = 0, kl = 0;
    int best = 0, best_base = 0;
    for (int n = 0; n < VOCAB; n++) {
        sum += expl((long double)logits[n]);
        sum_base += expl((long double)base[n]);
        best = logits[n] > logits[best] ? n : best;
        best_base = base[n] > base[best_base] ? n : best_base;
    }
    for (int n = 0; n < VOCAB; n++) {
        kl += expl((long double)base[n]) / sum_base *
              ((long double)base[n] - logl(sum_base) - ((long double)logits[n] - logl(sum)));
    }
    want->kl += (double)kl;
    want->max_kl = (double)kl > want->max_kl ? (double)kl : want->max_kl;
    want->n_agree += best == best_base;
}

static expected expect(const int32_t *ids, const size_t *offsets, size_t n_documents,
                       size_t context, size_t stride, bool baseline)
{
    expected want = {0};
    for (size_t d = 0; d < n_documents; d++) {
        size_t begin = offsets[d];
        for (size_t token = begin + 1; token < offsets[d + 1]; token++) {
            size_t window = begin;
            while (window + context <= token) {
                window += stride;
            }
            if (window < token) {
                expect_row(&want, ids, window, token, baseline);
            }
        }
    }
    return want;
}

static void check_sums(const oct_perplexity_result *got, const expected *want, const char *what)
{
    double nats = ldexp((double)want->sums.nll, -32) / (double)want->sums.count;
    ck_assert_msg(got->tokens == want->sums.count, "%s: expected %lld tokens, got %lld", what,
                  (long long)want->sums.count, (long long)got->tokens);
    ck_assert_msg(got->logits_hash == want->sums.hash, "%s: hash", what);
    ck_assert_msg(got->nats_per_token == nats, "%s: expected %.17g nats, got %.17g", what, nats,
                  got->nats_per_token);
    ck_assert_msg(got->perplexity == exp(nats), "%s: perplexity", what);
}

START_TEST(every_window_layout_scores_what_the_protocol_says)
{
    int32_t context = _i;
    char what[80];
    for (int32_t stride = 1; stride <= context; stride++) {
        for (size_t n = 2; n <= 3 * (size_t)context + 2; n++) {
            size_t offsets[2] = {0, n};
            oct_perplexity_options options = OCT_PERPLEXITY_OPTIONS_INIT;
            options.context = context;
            options.stride = stride;
            oct_perplexity_result got;
            assert_ok(oct_perplexity(&stub.engine, text, n, &options, &got));
            expected want = expect(text, offsets, 1, (size_t)context, (size_t)stride, false);
            snprintf(what, sizeof what, "context %d, stride %d, %zu tokens", context, stride, n);
            check_sums(&got, &want, what);
            ck_assert_int_eq(got.text_tokens, (int64_t)n);
        }
    }
    ck_assert_int_eq(stub.device.n_alloc, stub.device.n_free);
}
END_TEST

START_TEST(blocks_lose_one_token_each_and_a_stride_none)
{
    oct_perplexity_options options = OCT_PERPLEXITY_OPTIONS_INIT;
    oct_perplexity_result got;
    // 160 + 160 + 100: three blocks of n - 1 scored rows.
    assert_ok(oct_perplexity(&stub.engine, text, TEXT, NULL, &got));
    ck_assert_int_eq(got.tokens, 159 + 159 + 99);
    // 160 + 160 + 1: a block of one token does not count.
    assert_ok(oct_perplexity(&stub.engine, text, 321, &options, &got));
    ck_assert_int_eq(got.tokens, 159 + 159);
    options.stride = 80;
    assert_ok(oct_perplexity(&stub.engine, text, TEXT, &options, &got));
    ck_assert_int_eq(got.tokens, TEXT - 1);
}
END_TEST

// rows, sequences, logits, chunk, pages
static const oct_batch_options shapes[] = {
    {sizeof(oct_batch_options), 512, 8, 512, 0, 0}, {sizeof(oct_batch_options), 512, 1, 512, 0, 0},
    {sizeof(oct_batch_options), 512, 4, 512, 1, 0}, {sizeof(oct_batch_options), 512, 4, 512, 7, 3},
    {sizeof(oct_batch_options), 64, 3, 64, 64, 9},  {sizeof(oct_batch_options), 50, 40, 3, 0, 7},
    {sizeof(oct_batch_options), 1, 2, 1, 0, 0},
};

static const size_t documents[] = {0, 1, 1, 3, 10, 170, 171, 331, 333, 417, 420};
#define N_DOCUMENTS (sizeof documents / sizeof *documents - 1)

START_TEST(the_shape_of_the_batches_changes_no_bit)
{
    oct_perplexity_options options = OCT_PERPLEXITY_OPTIONS_INIT;
    options.offsets = documents;
    options.n_documents = N_DOCUMENTS;
    options.context = 70;
    options.stride = 9;
    options.baseline = &other.engine;
    oct_perplexity_result first, got;
    assert_ok(oct_perplexity(&stub.engine, text, TEXT, &options, &first));
    expected want = expect(text, documents, N_DOCUMENTS, 70, 9, true);
    check_sums(&first, &want, "chosen shape");
    ck_assert(first.seconds > 0.0);
    double tokens = (double)want.sums.count;
    ck_assert(first.baseline_nats_per_token == ldexp((double)want.baseline.nll, -32) / tokens);
    ck_assert_double_eq_tol(first.mean_kl, want.kl / tokens, 1e-13 * first.mean_kl);
    ck_assert_double_eq_tol(first.max_kl, want.max_kl, 1e-13 * first.max_kl);
    ck_assert(first.top1_agreement == (double)want.n_agree / tokens);
    ck_assert_int_gt(want.n_agree, 0);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        assert_ok(perplexity_run(&stub.engine, text, TEXT, &options, &shapes[i], &got));
        got.seconds = first.seconds;
        ck_assert_mem_eq(&got, &first, sizeof got);
    }
    ck_assert_int_eq(stub.device.n_alloc, stub.device.n_free);
    ck_assert_int_eq(other.device.n_alloc, other.device.n_free);
}
END_TEST

START_TEST(documents_start_at_position_0_and_lose_their_first_token)
{
    oct_perplexity_options options = OCT_PERPLEXITY_OPTIONS_INIT;
    options.offsets = documents;
    options.n_documents = N_DOCUMENTS;
    oct_perplexity_result got;
    assert_ok(oct_perplexity(&stub.engine, text, TEXT, &options, &got));
    expected want = expect(text, documents, N_DOCUMENTS, CONTEXT, CONTEXT, false);
    check_sums(&got, &want, "documents");
    // Lengths 1, 0, 2, 7, 160, 1, 160, 2, 84, 3.
    ck_assert_int_eq(got.tokens, 1 + 6 + 159 + 159 + 1 + 83 + 2);
}
END_TEST

START_TEST(a_model_is_no_distance_from_itself)
{
    oct_perplexity_options options = OCT_PERPLEXITY_OPTIONS_INIT;
    options.baseline = &stub.engine;
    oct_perplexity_result got;
    assert_ok(oct_perplexity(&stub.engine, text, 100, &options, &got));
    ck_assert(got.mean_kl == 0.0 && got.max_kl == 0.0 && got.top1_agreement == 1.0);
    ck_assert(got.baseline_nats_per_token == got.nats_per_token);
}
END_TEST

START_TEST(compare_rows_knows_worked_examples)
{
    // p = (1/2, 1/2), q = (1/4, 3/4): KL = ln 2 - ln(3) / 2.
    const float even[2] = {7.0f, 7.0f}, odd[2] = {0.0f, (float)1.0986122886681098};
    row_distance d = compare_rows(even, odd, 2);
    ck_assert_double_eq_tol(d.kl, 0.14384103622589045, 1e-8);
    ck_assert(!d.top_1); // ties go to the lower id: 0 against 1
    const float tie[3] = {1.0f, 2.0f, 2.0f}, same[3] = {-5.0f, 0.0f, -1.0f};
    ck_assert(compare_rows(tie, same, 3).top_1);
    // Far apart, and far from 0: nothing overflows.
    const float high[2] = {3e4f, -3e4f}, low[2] = {-3e4f, 3e4f};
    d = compare_rows(high, low, 2);
    ck_assert_double_eq_tol(d.kl, 6e4, 1e-6);
    // A shift of all logits is no distance.
    const float a[3] = {0.0f, 1.0f, 2.0f}, b[3] = {16.0f, 17.0f, 18.0f};
    ck_assert(compare_rows(a, b, 3).kl == 0.0);
}
END_TEST

// ---- progress and refusals

typedef struct watch {
    int calls, stop_at;
    double last, rate;
} watch;

static int see(void *user, double fraction, const char *what, double rate, const char *unit)
{
    watch *w = user;
    ck_assert(fraction >= w->last && fraction > 0.0 && fraction <= 1.0);
    ck_assert_str_eq(what, "scoring");
    ck_assert_str_eq(unit, "tokens");
    w->last = fraction;
    w->rate = rate;
    w->calls++;
    return w->calls == w->stop_at;
}

START_TEST(progress_rises_to_1_and_can_cancel)
{
    watch w = {0};
    oct_perplexity_options options = OCT_PERPLEXITY_OPTIONS_INIT;
    options.progress = see;
    options.user = &w;
    options.stride = 20;
    oct_perplexity_result got;
    assert_ok(oct_perplexity(&stub.engine, text, TEXT, &options, &got));
    ck_assert_int_gt(w.calls, 3);
    ck_assert(w.last == 1.0 && w.rate > 0.0);
    w = (watch){.stop_at = 2};
    ck_assert_int_eq(oct_perplexity(&stub.engine, text, TEXT, &options, &got), OCT_ERR_CANCELLED);
    ck_assert_ptr_nonnull(strstr(oct_last_error(), "of 419 tokens"));
    ck_assert_int_eq(w.calls, 2);
    ck_assert_int_eq(stub.device.n_alloc, stub.device.n_free);
}
END_TEST

static void refused(const int32_t *ids, size_t n, const oct_perplexity_options *options,
                    const char *first, const char *second)
{
    oct_perplexity_result got;
    ck_assert_int_eq(oct_perplexity(&stub.engine, ids, n, options, &got), OCT_ERR_ARG);
    ck_assert_msg(strstr(oct_last_error(), first) != NULL && strstr(oct_last_error(), second),
                  "expected %s and %s in: %s", first, second, oct_last_error());
}

START_TEST(refusals_name_both_numbers)
{
    oct_perplexity_options options = OCT_PERPLEXITY_OPTIONS_INIT;
    refused(NULL, 0, NULL, "at least 2", "got 0");
    refused(text, 1, NULL, "at least 2", "got 1");
    int32_t bad[3] = {0, 1, VOCAB};
    refused(bad, 3, NULL, "token 2", "below 41 (the vocabulary), got 41");
    bad[2] = -7;
    refused(bad, 3, NULL, "token 2", "got -7");
    options.context = CONTEXT + 1;
    refused(text, 9, &options, "160", "161");
    options.context = 1;
    refused(text, 9, &options, "expected 2 to 160", "got 1");
    options.context = 10;
    options.stride = 11;
    refused(text, 9, &options, "expected 1 to 10", "got 11");
    options.stride = -1;
    refused(text, 9, &options, "expected 1 to 10", "got -1");
    options.stride = 0;
    const size_t down[] = {0, 5, 4, 9}, beyond[] = {0, 5, 10}, late[] = {1, 9};
    const size_t single[] = {0, 1, 2, 3};
    options.offsets = down;
    options.n_documents = 3;
    refused(text, 9, &options, "token 5 or later", "got 4");
    options.offsets = beyond;
    options.n_documents = 2;
    refused(text, 9, &options, "9 tokens", "got 10");
    options.offsets = late;
    options.n_documents = 1;
    refused(text, 9, &options, "token 0", "got 1");
    options.offsets = single;
    options.n_documents = 3;
    refused(text, 3, &options, "at least one", "3 shorter ones");
    options = (oct_perplexity_options)OCT_PERPLEXITY_OPTIONS_INIT;
    options.baseline = &other.engine;
    other.engine.config.vocab_size = 40;
    refused(text, 9, &options, "41", "40");
    other.engine.config.vocab_size = VOCAB;
    other.engine.config.n_positions = 20;
    refused(text, 9, &options, "160", "20");
    options.struct_size = 3;
    refused(text, 9, &options, "struct_size", "got 3");
}
END_TEST

START_TEST(a_failing_device_ends_the_text)
{
    oct_perplexity_options options = OCT_PERPLEXITY_OPTIONS_INIT;
    options.baseline = &other.engine;
    oct_perplexity_result got;
    stub_engine *failing = _i % 2 == 0 ? &stub : &other;
    failing->device.op_fails = 1 + _i;
    ck_assert_int_eq(oct_perplexity(&stub.engine, text, TEXT, &options, &got), OCT_ERR_DEVICE);
    ck_assert_int_eq(stub.device.n_alloc, stub.device.n_free);
    ck_assert_int_eq(other.device.n_alloc, other.device.n_free);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("perplexity");
    TCase *tcase = tcase_create("perplexity");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, every_window_layout_scores_what_the_protocol_says, 2, 9);
    tcase_add_test(tcase, blocks_lose_one_token_each_and_a_stride_none);
    tcase_add_test(tcase, the_shape_of_the_batches_changes_no_bit);
    tcase_add_test(tcase, documents_start_at_position_0_and_lose_their_first_token);
    tcase_add_test(tcase, a_model_is_no_distance_from_itself);
    tcase_add_test(tcase, compare_rows_knows_worked_examples);
    tcase_add_test(tcase, progress_rises_to_1_and_can_cancel);
    tcase_add_test(tcase, refusals_name_both_numbers);
    tcase_add_loop_test(tcase, a_failing_device_ends_the_text, 0, 16);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
