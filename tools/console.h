// tools: the console: checked writing to standard output; on standard error one-line errors, log
// lines and a status line that is redrawn in place.
#ifndef OCT_CONSOLE_H
#define OCT_CONSOLE_H

#include "command.h"
#include "octet/log.h"
#include "octet/types.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// ---- standard error

// Prints "octet: ..." as one line, whatever the text holds. Returns COMMAND_FAILED.
int console_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// The same, "(see <command> --help)" added. Returns COMMAND_USAGE.
int console_usage(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// The same with the library's last error; "interrupted" for OCT_ERR_CANCELLED.
int console_fail_status(oct_status status);

// A remark that is no error, one line without "octet:"; for people: call it only if not --quiet.
void console_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

// An oct_log_fn.
void console_log(void *user, oct_log_level level, const char *subsystem, const char *text);

// Shows `text` (one line, borrowed) as the last line of a terminal; replaces the one before.
void console_status(const char *text);

// Takes the status line away; everything else that prints does it too.
void console_status_clear(void);

// ---- standard output

// Each remembers the first failure; nothing is written after it. False once writing has failed.
bool output_bytes(const char *bytes, size_t n);
bool output_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Hands what is buffered to the reader.
bool output_flush(void);

// A JSON object, each of its members on one line; takes over the reference. NULL (out of memory) is
// a failure.
bool output_json(json_t *object);

// The last thing a subcommand does: flushes, says why writing failed (a reader that went away is
// no news) and returns the exit status: `status`, or COMMAND_FAILED.
int output_end(int status);

// ---- terminals

// Columns of the terminal behind a file descriptor; 0 if it is none.
int console_columns(int fd);

// Whether progress is worth showing: standard error is a terminal, and the user did not ask for
// quiet or pipe JSON to a program.
bool console_shows_progress(const command_common *common);

#endif
