// tests: status texts, errors, arena and the thread team.
#include "base/arena.h"
#include "base/check.h"
#include "base/thread_team.h"

#include "test_util.h"

START_TEST(error_text_names_expected_and_actual)
{
    ck_assert_int_eq(OCT_FAIL(OCT_ERR_SHAPE, "expected %d, got %d", 3, 4), OCT_ERR_SHAPE);
    ck_assert_str_eq(oct_last_error(), "expected 3, got 4");
    ck_assert_int_eq(oct_fail_prefix(OCT_ERR_SHAPE, "wte.weight"), OCT_ERR_SHAPE);
    ck_assert_str_eq(oct_last_error(), "wte.weight: expected 3, got 4");
    ck_assert_str_eq(oct_status_text(OCT_ERR_NOMEM), "out of memory");
}
END_TEST

START_TEST(arena_gives_zeroed_aligned_memory_and_refuses_overflow)
{
    oct_arena arena = {0};
    for (size_t size = 0; size < 300000; size = size * 3 + 1) {
        unsigned char *p = oct_arena_alloc(&arena, size, 1);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < size; i++) {
            ck_assert_uint_eq(p[i], 0);
        }
        memset(p, 0xFF, size);
    }
    ck_assert_ptr_null(oct_arena_alloc(&arena, SIZE_MAX / 2, 3));
    oct_arena_free(&arena);
    ck_assert_ptr_null(arena.head);
}
END_TEST

typedef struct counts {
    oct_team *team;
    int visits[8];        // by rank
    int after_barrier[8]; // sum of all visits as seen after the barrier, by rank
} counts;

static void count(void *user, int rank, int n)
{
    counts *c = user;
    c->visits[rank]++;
    oct_team_barrier(c->team);
    int sum = 0;
    for (int i = 0; i < n; i++) {
        sum += c->visits[i];
    }
    c->after_barrier[rank] = sum;
    oct_team_barrier(c->team);
}

START_TEST(team_runs_every_member_once_a_run)
{
    int n = _i + 1;
    counts c = {0};
    assert_ok(oct_team_open(&c.team, n));
    ck_assert_int_eq(oct_team_size(c.team), n);
    for (int run = 1; run <= 200; run++) {
        oct_team_run(c.team, count, &c);
        for (int rank = 0; rank < n; rank++) {
            ck_assert_int_eq(c.visits[rank], run);
            ck_assert_int_eq(c.after_barrier[rank], run * n);
        }
        if (run % 50 == 0) {
            usleep(2000); // long enough for the members to fall asleep
        }
    }
    oct_team_close(c.team);
}
END_TEST

START_TEST(team_range_covers_all_items_in_grains)
{
    for (int64_t n = 0; n < 200; n += 7) {
        for (int size = 1; size <= 5; size++) {
            int64_t next = 0;
            for (int rank = 0; rank < size; rank++) {
                int64_t begin, end;
                oct_team_range(n, 16, rank, size, &begin, &end);
                ck_assert_int_eq(begin, next);
                ck_assert(begin % 16 == 0 || begin == n);
                next = end;
            }
            ck_assert_int_eq(next, n);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tcase = tcase_create("base");
    tcase_add_test(tcase, error_text_names_expected_and_actual);
    tcase_add_test(tcase, arena_gives_zeroed_aligned_memory_and_refuses_overflow);
    tcase_add_loop_test(tcase, team_runs_every_member_once_a_run, 0, 4);
    tcase_add_test(tcase, team_range_covers_all_items_in_grains);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
