// log.h: where the library's log lines go.
#ifndef OCT_LOG_H
#define OCT_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum oct_log_level {
    OCT_LOG_ERROR = 0,
    OCT_LOG_WARN = 1,
    OCT_LOG_INFO = 2,
    OCT_LOG_DEBUG = 3,
} oct_log_level;

// `text` is one line without its newline. Called from any thread.
typedef void oct_log_fn(void *user, oct_log_level level, const char *subsystem, const char *text);

// Sets where lines of at most `level` go; fn NULL (the state at start) drops them. The one
// process-wide setting of the library: call it before other threads use it.
void oct_log_set(oct_log_fn *fn, void *user, oct_log_level level);

#ifdef __cplusplus
}
#endif
#endif
