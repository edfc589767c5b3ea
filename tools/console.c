// tools: the console: checked writing to standard output; on standard error one-line errors, log
// lines and a status line that is redrawn in place.
#include "console.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

// The process has one standard output and one terminal; this is what is known of them.
static struct {
    bool error_said;   // one line says why the program fails
    int output_error;  // errno of the first failed write to standard output
    bool status_shown; // the cursor stands behind a status line; guarded by flockfile(stderr)
} console;

// Control characters would break the rule of one line, or reach the terminal.
static void make_one_line(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c != 0; c++) {
        if (*c < 0x20 || *c == 0x7F) {
            *c = ' ';
        }
    }
}

static void erase_status(void)
{
    if (console.status_shown) {
        fputs("\r\033[K", stderr);
        console.status_shown = false;
    }
}

static void print_line(const char *prefix, const char *text, const char *suffix)
{
    flockfile(stderr);
    erase_status();
    fprintf(stderr, "%s%s%s\n", prefix, text, suffix);
    fflush(stderr);
    funlockfile(stderr);
}

int console_fail(const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_one_line(text);
    print_line("octet: ", text, "");
    console.error_said = true;
    return COMMAND_FAILED;
}

int console_usage(const char *command, const char *format, ...)
{
    char text[2048];
    char see[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_one_line(text);
    snprintf(see, sizeof see, " (see %s --help)", command);
    print_line("octet: ", text, see);
    return COMMAND_USAGE;
}

int console_fail_status(oct_status status)
{
    if (status == OCT_ERR_CANCELLED) {
        return console_fail("interrupted");
    }
    const char *text = oct_last_error();
    return console_fail("%s", *text != 0 ? text : oct_status_text(status));
}

void console_note(const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_one_line(text);
    print_line("", text, "");
}

void console_log(void *user, oct_log_level level, const char *subsystem, const char *text)
{
    (void)user;
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[2048];
    snprintf(line, sizeof line, "octet: %s: %s: %s", names[level], subsystem, text);
    make_one_line(line);
    print_line("", line, "");
}

void console_status(const char *text)
{
    flockfile(stderr);
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
    console.status_shown = true;
    funlockfile(stderr);
}

void console_status_clear(void)
{
    flockfile(stderr);
    erase_status();
    fflush(stderr);
    funlockfile(stderr);
}

static void fail_output(int error)
{
    if (console.output_error == 0) {
        console.output_error = error != 0 ? error : EIO;
    }
}

bool output_bytes(const char *bytes, size_t n)
{
    if (console.output_error == 0) {
        console_status_clear();
        if (fwrite(bytes, 1, n, stdout) != n) {
            fail_output(errno);
        }
    }
    return console.output_error == 0;
}

bool output_format(const char *format, ...)
{
    if (console.output_error == 0) {
        console_status_clear();
        va_list args;
        va_start(args, format);
        if (vprintf(format, args) < 0) {
            fail_output(errno);
        }
        va_end(args);
    }
    return console.output_error == 0;
}

bool output_flush(void)
{
    if (console.output_error == 0 && fflush(stdout) != 0) {
        fail_output(errno);
    }
    return console.output_error == 0;
}

bool output_json(json_t *object)
{
    const char *key;
    json_t *value;
    const char *before = "{";
    json_object_foreach(object, key, value)
    {
        json_t *name = json_string(key);
        char *name_text = json_dumps(name, JSON_ENCODE_ANY);
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        if (name_text == NULL || text == NULL) {
            fail_output(ENOMEM);
        } else {
            output_format("%s\n  %s: %s", before, name_text, text);
        }
        free(name_text);
        free(text);
        json_decref(name);
        before = ",";
    }
    if (object == NULL) {
        fail_output(ENOMEM);
    }
    json_decref(object);
    return output_format("\n}\n");
}

int output_end(int status)
{
    output_flush();
    if (console.output_error == 0) {
        return status;
    }
    if (console.output_error != EPIPE && !console.error_said) {
        console_fail("cannot write to standard output: %s", strerror(console.output_error));
    }
    return COMMAND_FAILED;
}

int console_columns(int fd)
{
    struct winsize size;
    if (!isatty(fd)) {
        return 0;
    }
    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return 80; // a terminal that does not know its width
    }
    return size.ws_col;
}

bool console_shows_progress(const command_common *common)
{
    const char *terminal = getenv("TERM");
    bool can_redraw = isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
    return can_redraw && !common->quiet && !(common->json && !isatty(STDOUT_FILENO));
}
