// base: errors. Every fallible function returns an oct_status; the text goes to a thread-local
// buffer.
#ifndef OCT_CHECK_H
#define OCT_CHECK_H

#include "octet/types.h"

#include <assert.h>
#include <stdbool.h>

// Records "<text>" for oct_last_error(). The text states what was expected and
// what came; it names files and tensors, not source lines (those go to the debug log).
void oct_fail(oct_status code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Puts "<prefix>: " before the recorded text (a file name, say) and returns `code` unchanged.
oct_status oct_fail_prefix(oct_status code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// The comma lets the compiler see that the value is not OCT_OK (else it warns of uninitialized
// outputs).
#define OCT_FAIL(code, ...) (oct_fail((code), __FILE__, __LINE__, __VA_ARGS__), (code))

// Returns from the calling function if `expr` fails.
#define OCT_TRY(expr)                                                                              \
    do {                                                                                           \
        oct_status oct_try_status_ = (expr);                                                       \
        if (oct_try_status_ != OCT_OK) {                                                           \
            return oct_try_status_;                                                                \
        }                                                                                          \
    } while (0)

// Jumps to `label` if `expr` fails; the calling function has `oct_status status`.
#define OCT_TRY_GOTO(expr, label)                                                                  \
    do {                                                                                           \
        status = (expr);                                                                           \
        if (status != OCT_OK) {                                                                    \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)

// Validation of input; stays in release builds. Returns from the calling function.
#define OCT_REQUIRE(cond, code, ...)                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            return OCT_FAIL((code), __VA_ARGS__);                                                  \
        }                                                                                          \
    } while (0)

// Our own bugs; gone in release builds.
#define oct_assert(cond) assert(cond)

// *out = a * b, or false on overflow.
static inline bool oct_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool oct_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

#endif
