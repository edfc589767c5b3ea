// tests: what every suite shares: bit-exact comparisons that name the first difference, seeded
// fills, paths, temporary folders and the main function of a suite.
#ifndef OCT_TEST_UTIL_H
#define OCT_TEST_UTIL_H

#include <check.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A file of the source tree: SRC("tests/golden/x").
#define SRC(path) OCT_SOURCE_DIR "/" path

// A file of the shared data folder that users do not have; NULL-safe test: access(SHARED("x"),
// R_OK) == 0.
#define SHARED(path) OCT_SOURCE_DIR "/../shared/data/" path

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        oct_status assert_ok_ = (expr);                                                            \
        ck_assert_msg(assert_ok_ == OCT_OK, "%s: %s: %s", #expr, oct_status_text(assert_ok_),      \
                      oct_last_error());                                                           \
    } while (0)

// Bit-exact comparison of n floats; names the first index that differs and both values.
static inline void assert_f32_bits(const float *got, const float *want, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t g, w;
        memcpy(&g, &got[i], 4);
        memcpy(&w, &want[i], 4);
        ck_assert_msg(g == w, "%s[%zu]: got %a (%.9g), expected %a (%.9g)", what, i, (double)got[i],
                      (double)got[i], (double)want[i], (double)want[i]);
    }
}

static inline void assert_i8_equal(const int8_t *got, const int8_t *want, size_t n,
                                   const char *what)
{
    for (size_t i = 0; i < n; i++) {
        ck_assert_msg(got[i] == want[i], "%s[%zu]: got %d, expected %d", what, i, got[i], want[i]);
    }
}

// splitmix64: the seeded source of every random test value.
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

// Uniform in [-1, 1).
static inline float test_uniform(uint64_t *state)
{
    return (float)((double)(test_random(state) >> 11) * 0x1p-52 - 1.0);
}

// Roughly normal, mean 0, deviation 1.
static inline float test_normal(uint64_t *state)
{
    float sum = 0;
    for (int i = 0; i < 12; i++) {
        sum += test_uniform(state);
    }
    return sum * 0.5f;
}

// Makes a fresh folder under TMPDIR (or /tmp) and returns its path (caller frees; the suite removes
// it).
static inline char *test_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = malloc(4096);
    snprintf(path, 4096, "%s/octet-test-XXXXXX", base != NULL && *base != 0 ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static inline void test_remove(char *folder)
{
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert_int_eq(system(command), 0);
    free(folder);
}

// Runs a suite with Check's forks and returns main's exit status.
static inline int test_main(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
