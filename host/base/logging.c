// base: the log callback.
#include "logging.h"

#include <stdarg.h>
#include <stdio.h>

// The only mutable process-wide state of the library besides the thread-local last error: a program
// has one log.
static struct {
    oct_log_fn *fn;
    void *user;
    oct_log_level level;
} sink;

void oct_log_set(oct_log_fn *fn, void *user, oct_log_level level)
{
    sink.fn = fn;
    sink.user = user;
    sink.level = level;
}

void oct_log(oct_log_level level, const char *subsystem, const char *format, ...)
{
    if (sink.fn == NULL || level > sink.level) {
        return;
    }
    char text[1280];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sink.fn(sink.user, level, subsystem, text);
}
