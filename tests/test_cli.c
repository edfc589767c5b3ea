// tests: the command line's manners: usage, errors in one line, help, output that cannot be
// written, interrupts, progress on terminals only.
#include "../tools/number_text.h"
#include "../tools/stop_strings.h"
#include "cli_runner.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

typedef struct wrong_case {
    const char *command;
    int status;
    const char *text; // in the one line
} wrong_case;

static const wrong_case wrong[] = {
    // What makes no sense: 2.
    {"$OCTET", 2, "quantize, generate, perplexity or inspect"},
    {"$OCTET qantize", 2, "did you mean 'quantize'?"},
    {"$OCTET gen $M", 2, "did you mean 'generate'?"},
    {"$OCTET dance", 2, "there is no command 'dance'"},
    {"$OCTET --wrong", 2, "there is no option '--wrong'"},
    {"$OCTET generate", 2, "needs a MODEL"},
    {"$OCTET generate $M extra", 2, "'extra'"},
    {"$OCTET generate $M --wrong=3", 2, "there is no option '--wrong' (see octet generate --help)"},
    {"$OCTET generate $M --top-k", 2, "--top-k needs a value"},
    {"$OCTET generate $M -n", 2, "-n needs a value"},
    {"$OCTET generate $M -qz", 2, "there is no option '-z'"},
    {"$OCTET generate $M -zq", 2, "there is no option '-z'"},
    {"$OCTET generate $M --json=yes", 2, "--json takes no value, got 'yes'"},
    {"$OCTET generate $M --top 3", 2, "--top is short for --top-k and --top-p"},
    {"$OCTET generate $M --top-k many", 2, "--top-k: expected an integer in 0..2147483647"},
    {"$OCTET generate $M -n 0", 2, "-n: expected an integer in 1..2147483647, got '0'"},
    {"$OCTET generate $M -n 99999999999", 2, "got '99999999999'"},
    {"$OCTET generate $M --top-p 0", 2, "--top-p: expected a number in (0, 1], got '0'"},
    {"$OCTET generate $M --min-p 1.5", 2, "--min-p: expected a number in [0, 1]"},
    {"$OCTET generate $M --temperature nan", 2, "--temperature: expected a number in [0, 1000]"},
    {"$OCTET generate $M --repetition-penalty 0", 2, "--repetition-penalty: expected"},
    {"$OCTET generate $M --seed -1", 2, "--seed: expected an integer in 0..9223372036854775807"},
    {"$OCTET generate $M --stop ''", 2, "--stop: expected a text"},
    {"$OCTET generate $M --greedy --temperature 0.5", 2, "--temperature says 0.5"},
    {"$OCTET generate $M --threads 0", 2, "--threads: expected an integer in 1..1024, got '0'"},
    {"$OCTET generate $M --device tpu", 2, "expected cpu, cuda or emu, got 'tpu'"},
    {"OCTET_DEVICE=tpu $OCTET generate $M", 2, "OCTET_DEVICE: expected cpu, cuda or emu"},
    {"$OCTET generate $M --isa neon9", 2, "--isa: this processor has scalar"},
    {"OCTET_ISA=neon9 $OCTET generate $M", 2, "OCTET_ISA: this processor has scalar"},
    {"OCTET_LOG=loud $OCTET generate $M", 2, "OCTET_LOG: expected error, warn, info or debug"},
    {"$OCTET perplexity $M", 2, "needs --text FILE"},
    {"$OCTET perplexity $M --text x --protocol mine", 2, "expected hf or blocks, got 'mine'"},
    {"$OCTET perplexity $M --text x --context 1", 2, "--context: expected an integer in 2.."},
    {"$OCTET perplexity $M --text x --context 8 --stride 9", 2, "--stride 9 leaves gaps"},
    {"$OCTET perplexity $M --text x --protocol blocks --stride 4", 2, "has no --stride"},
    {"$OCTET perplexity $M --text x --protocol blocks --documents", 2, "not blocks"},
    {"$OCTET quantize $M -o x", 2, "needs --calibration TEXT"},
    {"$OCTET quantize $M --calibration x", 2, "needs -o OUT"},
    {"$OCTET quantize $M -o x --calibration x --scheme w4a8", 2,
     "w4a8 is not there yet; there are w8a8 and w8a8-dynamic"},
    {"$OCTET quantize $M -o x --calibration x --scheme int3", 2, "got 'int3'"},
    {"$OCTET quantize $M -o x --calibration x --calibrator mse", 2, "minmax and percentile:P"},
    {"$OCTET quantize $M -o x --calibration x --calibrator percentile:50", 2, "in (50, 100]"},
    {"$OCTET quantize $M -o x --calibration x --smooth 1.2", 2, "auto, none or a number in [0, 1]"},
    {"$OCTET quantize $M -o x --calibration x --no-smooth c_fc,wte", 2, "got 'wte'"},
    {"$OCTET quantize $M -o x --calibration x --budget 0.5%", 2, "no option '--budget'"},
    // What cannot be done: 1.
    {"$OCTET generate $T/none", 1, "No such file or directory"},
    {"$OCTET generate $OCTET", 1, "expected a model directory"},
    {"$OCTET generate $T", 1, "no config.json"},
    {"$OCTET inspect $T", 1, "no config.json"},
    {"$OCTET generate \"$(printf '%s/a\\nb' \"$T\")\"", 1, "a b"},
    {"$OCTET generate $M --compare $T", 1, "--compare: '"},
    {"$OCTET generate $M -p 'Once upon' -n 511", 1, "513 do not fit into the context of 512"},
    {"$OCTET perplexity $M --text $T/none", 1, "No such file or directory"},
    {"$OCTET perplexity $M --text $T", 1, "is a directory"},
    {"$OCTET perplexity $M --text /dev/null", 1, "has no text in it"},
    {"printf x >$T/x; $OCTET perplexity $M --text $T/x", 1, "a text needs two tokens"},
    {"printf 'x\\ny\\n' >$T/x; $OCTET perplexity $M --text $T/x --documents", 1,
     "a text needs two tokens"},
    {"printf 'x y' >$T/x; $OCTET perplexity $M --text $T/x --context 513", 1, "context of 512"},
    {"printf 'x y' >$T/x; $OCTET perplexity $M --text $T/x --stride 513", 1, "--stride 513"},
    {"printf 'x y' >$T/x; $OCTET perplexity $M --text $T/x --protocol blocks", 1,
     "fewer than one block of 512"},
    {"$OCTET quantize $M -o $T --calibration $M/text/valid.txt", 1, "exists; --force replaces it"},
    {"$OCTET quantize $M -o $M --force --calibration $M/text/valid.txt", 1, "MODEL itself"},
    {"$OCTET quantize $M -o $T/a/b --calibration $M/text/valid.txt", 1, "cannot write in"},
    {"$OCTET quantize $M -o $T/q --calibration $T/none", 1, "No such file or directory"},
    {"$OCTET quantize $M -o $T/q --calibration /dev/null", 1, "has no text in it"},
    {"mkdir $T/c; head -c 99 $M/config.json >$T/c/config.json; $OCTET inspect $T/c", 1,
     "config.json"},
    // Standard output that takes nothing.
    {"$OCTET --help >/dev/full", 1, "No space left on device"},
    {"$OCTET --version >/dev/full", 1, "No space left on device"},
    {"$OCTET generate $M -p A -n 2 >/dev/full", 1, "No space left on device"},
    {"$OCTET generate $M -p A -n 2 --ids >/dev/full", 1, "No space left on device"},
    {"$OCTET generate $M -p A -n 2 --json >/dev/full", 1, "No space left on device"},
    {"$OCTET inspect $M >/dev/full", 1, "No space left on device"},
    {"echo A tale. >$T/x; $OCTET perplexity $M --text $T/x >/dev/full", 1,
     "No space left on device"},
};

START_TEST(what_is_wrong_is_said_in_one_line)
{
    cli_assert_one_line(wrong[_i].command, wrong[_i].status, wrong[_i].text);
}
END_TEST

START_TEST(help_has_usage_defaults_and_examples)
{
    static const char *const commands[] = {"", "quantize", "generate", "perplexity", "inspect"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        cli_result r = cli_run("$OCTET %s --help", commands[i]);
        ck_assert_int_eq(r.status, 0);
        ck_assert_str_eq(r.err, "");
        ck_assert_ptr_nonnull(strstr(r.out, "Usage: octet"));
        ck_assert_ptr_nonnull(strstr(r.out, "Examples:"));
        ck_assert_ptr_nonnull(strstr(r.out, "default"));
        cli_free(&r);
    }
}
END_TEST

START_TEST(version_says_what_runs_here)
{
    cli_result r = cli_run("$OCTET --version");
    ck_assert_int_eq(r.status, 0);
    ck_assert_str_eq(r.err, ""); // that there is no GPU is no news
    ck_assert_ptr_nonnull(strstr(r.out, "octet "));
    ck_assert_ptr_nonnull(strstr(r.out, "numerics version 1"));
    ck_assert_ptr_nonnull(strstr(r.out, "instruction sets: scalar"));
    ck_assert_ptr_nonnull(strstr(r.out, "devices: cpu"));
    cli_free(&r);
    json_t *json = cli_json("$OCTET --version --json --isa scalar");
    ck_assert_str_eq(cli_string(json, "isa"), "scalar");
    json_decref(json);
}
END_TEST

START_TEST(absent_device_is_refused_by_name)
{
    cli_result r = cli_run("$OCTET --version");
    bool is_there = strstr(r.out, "cuda") != NULL;
    cli_free(&r);
    if (!is_there) {
        cli_assert_one_line("$OCTET generate $M --device cuda", 1, "cuda");
    }
}
END_TEST

START_TEST(log_lines_go_to_standard_error)
{
    cli_result r = cli_run("OCTET_LOG=info $OCTET generate $M -p A -n 2");
    ck_assert_int_eq(r.status, 0);
    ck_assert_ptr_nonnull(strstr(r.err, "octet: info: "));
    ck_assert_ptr_null(strstr(r.out, "octet: "));
    cli_free(&r);
}
END_TEST

START_TEST(reader_that_goes_away_ends_it_quietly)
{
    cli_result r = cli_run("{ $OCTET generate $M -p A -n 400; echo $? >$T/status; } | head -c 1; "
                           "cat $T/status");
    ck_assert_str_eq(r.out, "A1\n");
    ck_assert_str_eq(r.err, "");
    cli_free(&r);
}
END_TEST

// Runs generate with its output in a pipe, interrupts it as soon as text comes, and returns the
// text; *status as waitpid gives it.
static size_t interrupt_generation(char *text, size_t size, int *status, int signal_number)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execl(OCTET_PROGRAM, "octet", "generate", SRC("models/tales-8m"), "-p", "A tale", "-n",
              "500", "--seed", "1", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    size_t n = 0;
    bool sent = false;
    ssize_t got;
    while ((got = read(ends[0], text + n, size - n)) > 0) {
        n += (size_t)got;
        if (n > 6 && !sent) { // behind the prompt
            kill(child, signal_number);
            sent = true;
        }
    }
    close(ends[0]);
    waitpid(child, status, 0);
    return n;
}

START_TEST(interrupted_text_ends_with_a_newline)
{
    static const int signals[] = {SIGINT, SIGTERM};
    char text[8192];
    int status;
    size_t n = interrupt_generation(text, sizeof text, &status, signals[_i]);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %d", status);
    ck_assert_int_gt((int)n, 6);
    ck_assert_int_eq(text[n - 1], '\n');
}
END_TEST

START_TEST(progress_is_shown_on_a_terminal_only)
{
    if (system("command -v script >/dev/null") != 0) {
        return; // util-linux is not there
    }
    cli_result r = cli_run("head -c 200 $M/text/test.txt >$T/x\n"
                           "run=\"$OCTET perplexity $M --text $T/x\"\n"
                           "TERM=xterm script -qec \"$run\" $T/seen >/dev/null\n"
                           "TERM=xterm script -qec \"$run --quiet\" $T/unseen >/dev/null\n"
                           "$run >/dev/null\n"
                           "grep -c 'scoring.*%%' $T/seen\ngrep -c 'scoring.*%%' $T/unseen");
    ck_assert_str_eq(r.out, "1\n0\n");
    ck_assert_str_eq(r.err, "");
    cli_free(&r);
}
END_TEST

START_TEST(two_models_stand_side_by_side_on_a_terminal)
{
    if (system("command -v script >/dev/null") != 0) {
        return;
    }
    cli_result r = cli_run("TERM=xterm script -qec \"stty cols 80; $OCTET generate $M -p 'A long "
                           "time ago' -q -n 40 --greedy --compare $M\" /dev/null");
    ck_assert_int_eq(r.status, 0);
    ck_assert_ptr_nonnull(strstr(r.out, " | FP32  "));
    ck_assert_ptr_nonnull(strstr(r.out, "All 40 tokens are the same."));
    for (char *line = strtok(r.out, "\r\n"); line != NULL; line = strtok(NULL, "\r\n")) {
        ck_assert_msg(strlen(line) <= 80, "a line of %zu columns: %s", strlen(line), line);
    }
    cli_free(&r);
}
END_TEST

// ---- units

// Pushes `text` in pieces of `step` bytes and collects what is passed on.
static bool push_all(stop_strings *stop, const char *text, size_t step, char *out)
{
    size_t n_out = 0, n = strlen(text);
    bool stopped = false;
    const char *part;
    size_t n_part;
    for (size_t i = 0; i < n && !stopped; i += step) {
        size_t length = n - i < step ? n - i : step;
        ck_assert(stop_strings_push(stop, text + i, length, &part, &n_part, &stopped));
        memcpy(out + n_out, part, n_part);
        n_out += n_part;
    }
    if (!stopped) {
        stop_strings_finish(stop, &part, &n_part);
        if (n_part > 0) {
            memcpy(out + n_out, part, n_part);
        }
        n_out += n_part;
    }
    out[n_out] = 0;
    stop_strings_reset(stop);
    return stopped;
}

START_TEST(stop_strings_cut_wherever_the_pieces_end)
{
    static const struct {
        const char *strings[2];
        const char *text, *want;
        bool stopped;
    } cases[] = {
        {{"END", "\n\n"}, "one ENtwo EEND three", "one ENtwo E", true},
        {{"END", "\n\n"}, "one\ntwo\n\nthree", "one\ntwo", true},
        {{"END", "\n\n"}, "one EN", "one EN", false},
        {{"aab", "zz"}, "aaaab", "aa", true},
        {{"b", "abx"}, "cab", "ca", true},
        {{"END", "zz"}, "END", "", true},
        {{"END", "zz"}, "", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step < 8; step++) {
            stop_strings stop = {.n_strings = 2};
            memcpy(stop.strings, cases[i].strings, sizeof cases[i].strings);
            char out[64];
            ck_assert_int_eq(push_all(&stop, cases[i].text, step, out), cases[i].stopped);
            ck_assert_str_eq(out, cases[i].want);
        }
    }
}
END_TEST

START_TEST(numbers_are_written_for_people)
{
    ck_assert_str_eq(number_count(0).text, "0");
    ck_assert_str_eq(number_count(999).text, "999");
    ck_assert_str_eq(number_count(-1234567).text, "-1,234,567");
    ck_assert_str_eq(number_count(INT64_MIN).text, "-9,223,372,036,854,775,808");
    ck_assert_str_eq(number_seconds(4.24).text, "4.2 s");
    ck_assert_str_eq(number_seconds(185).text, "3:05");
    ck_assert_str_eq(number_seconds(3723).text, "1:02:03");
    ck_assert_str_eq(number_rate(12.34).text, "12.3");
    ck_assert_str_eq(number_rate(1234.4).text, "1,234");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli");
    TCase *manners = tcase_create("manners");
    tcase_add_checked_fixture(manners, cli_begin, cli_end);
    tcase_add_loop_test(manners, what_is_wrong_is_said_in_one_line, 0,
                        (int)(sizeof wrong / sizeof wrong[0]));
    tcase_add_test(manners, help_has_usage_defaults_and_examples);
    tcase_add_test(manners, version_says_what_runs_here);
    tcase_add_test(manners, absent_device_is_refused_by_name);
    tcase_add_test(manners, log_lines_go_to_standard_error);
    tcase_add_test(manners, reader_that_goes_away_ends_it_quietly);
    tcase_add_loop_test(manners, interrupted_text_ends_with_a_newline, 0, 2);
    tcase_add_test(manners, progress_is_shown_on_a_terminal_only);
    tcase_add_test(manners, two_models_stand_side_by_side_on_a_terminal);
    suite_add_tcase(suite, manners);
    TCase *units = tcase_create("units");
    tcase_add_test(units, stop_strings_cut_wherever_the_pieces_end);
    tcase_add_test(units, numbers_are_written_for_people);
    suite_add_tcase(suite, units);
    return test_main(suite);
}
