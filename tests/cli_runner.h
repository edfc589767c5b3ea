// tests: runs the built program as a user would, through the shell, and keeps what came out.
#ifndef OCT_CLI_RUNNER_H
#define OCT_CLI_RUNNER_H

#include "test_util.h"

#include <jansson.h>

typedef struct cli_result {
    int status;      // exit status; 128 + signal where it was killed
    char *out, *err; // with a NUL behind them
    size_t n_out;
} cli_result;

// Sets up a test: a fresh folder $T, the program $OCTET, the bundled model $M, the size of a small
// calibration text ($BYTES in lines of $WIDTH) and what --smooth shall say ($SMOOTH), and no
// OCTET_* variable of the user's. cli_end removes the folder.
void cli_begin(void);
void cli_end(void);

// Runs a line of shell. Use "$OCTET generate ..." in it. cli_free the result.
cli_result cli_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_free(cli_result *result);

// Runs it, wants exit status 0 and silence on standard error, and parses standard output.
json_t *cli_json(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Wants `status`, nothing on standard output, and one line "octet: ..." with `text` in it on
// standard error.
void cli_assert_one_line(const char *command, int status, const char *text);

// Members of a JSON object; the test fails where they are not there.
double cli_number(const json_t *object, const char *key);
const char *cli_string(const json_t *object, const char *key);

#endif
