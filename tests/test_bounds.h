// tests: how the numerics suites collect errors over many floats: the largest one and its argument.
#ifndef OCT_TEST_BOUNDS_H
#define OCT_TEST_BOUNDS_H

#include "test_util.h"

// Every OCT_TEST_STRIDE-th float of a range is tested (a prime); 1 tests all of them in some
// minutes.
#ifndef OCT_TEST_STRIDE
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
#define OCT_TEST_STRIDE 509u
#else
#define OCT_TEST_STRIDE 31u
#endif
#endif

// The largest error seen and its argument. A NaN stays.
typedef struct worst {
    double error;
    float at;
} worst;

static inline void note(worst *w, double error, float at)
{
    if (!(error <= w->error) && w->error == w->error) {
        w->error = error;
        w->at = at;
    }
}

// Prints the measured error and fails beyond the bound. (Loops over many floats collect in a
// `worst`: each ck_assert writes to a pipe.)
static inline void assert_bound(const char *what, worst w, double bound)
{
    printf("%-52s %.6g (limit %.6g) at %a\n", what, w.error, bound, (double)w.at);
    ck_assert_msg(w.error <= bound, "%s: error %.6g at %a, limit %.6g", what, w.error, (double)w.at,
                  bound);
}

// As note, for what must hold exactly: fails by name with the first argument where it does not.
static inline void expect(worst *wrong, int holds, float at)
{
    note(wrong, holds ? 0 : 1, at);
}

static inline void assert_none(const char *what, worst wrong)
{
    ck_assert_msg(wrong.error == 0, "%s: wrong at %a", what, (double)wrong.at);
}

// The unit in the last place of a float near r: 2^(exponent - 23).
static inline double ulp(double r)
{
    uint64_t bits;
    memcpy(&bits, &r, 8);
    uint64_t exponent = bits >> 52 & 0x7FF;
    bits = ((exponent < 897 ? 897 : exponent) - 23) << 52; // 897: 2^-126, the smallest normal
    memcpy(&r, &bits, 8);
    return r;
}

static inline int is_finite_half(uint32_t h)
{
    return (h & 0x7C00) != 0x7C00;
}

#endif
