// tests: runs the built program as a user would, through the shell, and keeps what came out.
#include "cli_runner.h"

#include <stdarg.h>
#include <stdbool.h>
#include <sys/wait.h>

static char *folder;

// Names of the checkout may have spaces, which would need quotes in every line of shell.
static void link_as(const char *variable, const char *name, const char *target)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_int_eq(symlink(target, path), 0);
    setenv(variable, path, 1);
}

void cli_begin(void)
{
    folder = test_folder();
    setenv("T", folder, 1);
    link_as("OCTET", ".octet", OCTET_PROGRAM);
    link_as("M", ".model", SRC("models/tales-8m"));
    bool quick = getenv("OCT_TEST_QUICK") != NULL; // under a sanitizer
    setenv("BYTES", quick ? "600" : "3000", 1);
    setenv("WIDTH", quick ? "150" : "600", 1);
    setenv("SMOOTH", quick ? "0.7" : "auto", 1);
    unsetenv("OCTET_DEVICE");
    unsetenv("OCTET_ISA");
    unsetenv("OCTET_LOG");
}

void cli_end(void)
{
    test_remove(folder);
    folder = NULL;
}

static char *read_whole(const char *name, size_t *n)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    size_t size = 1 << 24; // far more than any output here
    char *text = malloc(size);
    ck_assert_ptr_nonnull(text);
    *n = fread(text, 1, size - 1, file);
    fclose(file);
    text[*n] = 0;
    return text;
}

static cli_result run(const char *command)
{
    char line[8192];
    int n = snprintf(line, sizeof line, "{ %s\n} >\"$T\"/.out 2>\"$T\"/.err </dev/null", command);
    ck_assert_int_lt(n, (int)sizeof line);
    int raw = system(line);
    cli_result result = {.status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw)};
    size_t n_err;
    result.out = read_whole(".out", &result.n_out);
    result.err = read_whole(".err", &n_err);
    return result;
}

cli_result cli_run(const char *format, ...)
{
    char command[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return run(command);
}

void cli_free(cli_result *result)
{
    free(result->out);
    free(result->err);
}

json_t *cli_json(const char *format, ...)
{
    char command[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    cli_result result = run(command);
    ck_assert_msg(result.status == 0 && result.err[0] == 0, "%s: exit %d, said: %s", command,
                  result.status, result.err);
    json_error_t error;
    json_t *json =
        json_loadb(result.out, result.n_out, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    ck_assert_msg(json != NULL, "%s: no JSON: %s: %s", command, error.text, result.out);
    cli_free(&result);
    return json;
}

void cli_assert_one_line(const char *command, int status, const char *text)
{
    cli_result result = run(command);
    const char *end = strchr(result.err, '\n');
    ck_assert_msg(result.status == status, "%s: exit %d, expected %d; said: %s", command,
                  result.status, status, result.err);
    ck_assert_msg(result.n_out == 0, "%s: wrote to standard output: %s", command, result.out);
    ck_assert_msg(strncmp(result.err, "octet: ", 7) == 0 && end != NULL && end[1] == 0,
                  "%s: expected one line \"octet: ...\", got: %s", command, result.err);
    ck_assert_msg(strstr(result.err, text) != NULL, "%s: expected \"%s\" in: %s", command, text,
                  result.err);
    cli_free(&result);
}

double cli_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    ck_assert_msg(json_is_number(value), "%s: expected a number", key);
    return json_number_value(value);
}

const char *cli_string(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    ck_assert_msg(value != NULL, "%s: expected a string", key);
    return value;
}
