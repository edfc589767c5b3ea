// base: the thread-local text of the last error.
#include "check.h"

#include "logging.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_error[1024];

const char *oct_status_text(oct_status status)
{
    switch (status) {
#define OCT_STATUS_CASE(name, value, text)                                                         \
    case OCT_##name:                                                                               \
        return text;
        OCT_STATUS_LIST(OCT_STATUS_CASE)
#undef OCT_STATUS_CASE
    }
    return "unknown status";
}

const char *oct_last_error(void)
{
    return last_error;
}

void oct_fail(oct_status code, const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char text[sizeof last_error];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(last_error, text, sizeof text);
    oct_log(OCT_LOG_DEBUG, "base", "%s:%d: %s: %s", file, line, oct_status_text(code), text);
}

oct_status oct_fail_prefix(oct_status code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char prefix[512];
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    char text[sizeof last_error];
    snprintf(text, sizeof text, "%s: %.400s", prefix, last_error);
    memcpy(last_error, text, sizeof text);
    return code;
}
