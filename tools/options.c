// tools: reading options: argp with one-line errors, the options common to all subcommands, and
// numbers with their ranges.
#include "options.h"

#include "console.h"
#include "octet/octet.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What a parser returns when there is nothing more to say; argp's own errors are EINVAL.
#define ERROR_SAID   ECANCELED
#define HELP_PRINTED EALREADY

#define MAX_THREADS 1024

enum {
    KEY_DEVICE = OPTIONS_KEY_COMMON,
    KEY_ISA,
    KEY_JSON,
    KEY_THREADS,
};

static const struct argp_option common_options[] = {
    {NULL, 0, NULL, 0, "Common options:", 90},
    {"threads", KEY_THREADS, "N", 0, "Threads to compute with (default: all processors)", 90},
    {"device", KEY_DEVICE, "cpu|cuda|emu", 0,
     "Where to compute (default: $OCTET_DEVICE, else cuda where there is a GPU, else cpu). The "
     "results are the same, bit for bit",
     90},
    {"isa", KEY_ISA, "NAME", 0,
     "Instruction set of the CPU kernels (default: $OCTET_ISA, else the best; see octet "
     "--version)",
     90},
    {"json", KEY_JSON, NULL, 0, "Print the results as JSON", 90},
    {"quiet", 'q', NULL, 0, "Print no progress and no remarks, only errors", 90},
    {"verbose", 'v', NULL, 0,
     "Say what is being done (twice: in detail). $OCTET_LOG=error|warn|info|debug likewise", 90},
    {"help", 'h', NULL, 0, "Print this help", 90},
    {0},
};

static const char *const devices[] = {"cpu", "cuda", "emu", NULL};

static bool device_is_known(const char *name)
{
    for (int i = 0; devices[i] != NULL; i++) {
        if (strcmp(name, devices[i]) == 0) {
            return true;
        }
    }
    return false;
}

// Checks the name of an instruction set; `list` gets the names there are.
static bool isa_is_known(const char *name, char *list, size_t list_bytes)
{
    const char *isas[16];
    size_t n_isas = oct_cpu_isas(isas, 16);
    bool known = false;
    size_t n = 0;
    list[0] = 0;
    for (size_t i = 0; i < n_isas && i < 16; i++) {
        known = known || strcmp(name, isas[i]) == 0;
        if (n < list_bytes) {
            n += (size_t)snprintf(list + n, list_bytes - n, "%s%s", i > 0 ? ", " : "", isas[i]);
        }
    }
    return known;
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    command_common *common = state->input;
    char list[256];
    switch (key) {
    case KEY_THREADS:
        return options_int32(state, "--threads", arg, 1, MAX_THREADS, &common->n_threads);
    case KEY_DEVICE:
        if (!device_is_known(arg)) {
            return options_error(state, "--device: expected cpu, cuda or emu, got '%s'", arg);
        }
        common->device = arg;
        return 0;
    case KEY_ISA:
        if (!isa_is_known(arg, list, sizeof list)) {
            return options_error(state, "--isa: this processor has %s; got '%s'", list, arg);
        }
        common->isa = arg;
        return 0;
    case KEY_JSON:
        common->json = true;
        return 0;
    case 'q':
        common->quiet = true;
        return 0;
    case 'v':
        common->verbose = common->verbose < 2 ? common->verbose + 1 : 2;
        return 0;
    case 'h':
        argp_help(state->root_argp, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC,
                  state->name);
        return HELP_PRINTED;
    case ARGP_KEY_ERROR:
        common->stopped_at = state->next;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp options_common = {common_options, parse_common, NULL, NULL, NULL, NULL, NULL};

// ---- what was wrong with an option

// Calls fn for each option of an argp and its children until it returns true.
typedef bool option_fn(void *user, const struct argp_option *option);

static bool each_option(const struct argp *argp, option_fn *fn, void *user)
{
    const struct argp_option *option = argp->options;
    for (; option != NULL && (option->name != NULL || option->key != 0 || option->doc != NULL);
         option++) {
        if (fn(user, option)) {
            return true;
        }
    }
    const struct argp_child *child = argp->children;
    for (; child != NULL && child->argp != NULL; child++) {
        if (each_option(child->argp, fn, user)) {
            return true;
        }
    }
    return false;
}

typedef struct option_search {
    const char *name; // long name without "--"
    size_t length;    // of it, without "=value"
    int key;          // or a short option
    const struct argp_option *found;
    const char *matches[2]; // long names that begin with `name`
    int n_matches;
} option_search;

static bool match_option(void *user, const struct argp_option *option)
{
    option_search *search = user;
    if (search->name == NULL) {
        if (option->key != search->key) {
            return false;
        }
        search->found = option;
        return true;
    }
    if (option->name != NULL && strncmp(option->name, search->name, search->length) == 0) {
        if (option->name[search->length] == 0) {
            search->found = option;
            return true;
        }
        if (search->n_matches < 2) {
            search->matches[search->n_matches] = option->name;
        }
        search->n_matches++;
    }
    return false;
}

// Prints what is wrong with an argument that getopt refused; false if nothing is.
static bool diagnose(const struct argp *argp, const char *name, const char *arg)
{
    if (strncmp(arg, "--", 2) == 0) {
        option_search search = {.name = arg + 2, .length = strcspn(arg + 2, "=")};
        bool has_value = arg[2 + search.length] == '=';
        int length = (int)search.length + 2;
        each_option(argp, match_option, &search);
        if (search.found == NULL && search.n_matches > 1) {
            console_usage(name, "%.*s is short for --%s and --%s", length, arg, search.matches[0],
                          search.matches[1]);
        } else if (search.found == NULL && search.n_matches == 0) {
            console_usage(name, "there is no option '%.*s'", length, arg);
        } else if (has_value) {
            console_usage(name, "%.*s takes no value, got '%s'", length, arg, arg + length + 1);
        } else {
            console_usage(name, "%.*s needs a value", length, arg);
        }
        return true;
    }
    for (const char *c = arg + 1; arg[0] == '-' && *c != 0; c++) {
        option_search search = {.key = (unsigned char)*c};
        each_option(argp, match_option, &search);
        if (search.found == NULL) {
            console_usage(name, "there is no option '-%c'", *c);
            return true;
        }
        if (search.found->arg != NULL) {
            if (c[1] == 0) {
                console_usage(name, "-%c needs a value", *c);
            }
            return c[1] == 0;
        }
    }
    return false;
}

bool options_parse(const struct argp *argp, char *name, int argc, char **argv, unsigned flags,
                   int *end, void *input, command_common *common, int *status)
{
    argv[0] = name;
    // ARGP_NO_ERRS: argp's own messages have two lines. It turns off --help and the like too.
    error_t error = argp_parse(argp, argc, argv, flags | ARGP_NO_ERRS | ARGP_NO_HELP, end, input);
    if (error == 0 && (end != NULL || options_settle(common, name))) {
        return true;
    }
    *status = COMMAND_USAGE;
    if (error == 0) {
        return false;
    }
    if (error == HELP_PRINTED) {
        *status = output_end(COMMAND_OK);
    } else if (error == ENOMEM) {
        *status = console_fail("out of memory");
    } else if (error != ERROR_SAID) {
        // A long option has been stepped over, a short one only if it was the last of its cluster.
        int at = common->stopped_at;
        if (!(at > 1 && diagnose(argp, name, argv[at - 1])) &&
            !(at < argc && diagnose(argp, name, argv[at]))) {
            console_usage(name, "cannot make sense of the options");
        }
    }
    return false;
}

error_t options_error(const struct argp_state *state, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    console_usage(state->name, "%s", text);
    return ERROR_SAID;
}

// ---- numbers

error_t options_integer(const struct argp_state *state, const char *name, const char *arg,
                        int64_t lo, int64_t hi, int64_t *out)
{
    char *end;
    errno = 0;
    long long value = strtoll(arg, &end, 10);
    bool is_number = end != arg && *end == 0 && !isspace((unsigned char)arg[0]);
    if (!is_number || errno != 0 || value < lo || value > hi) {
        return options_error(state, "%s: expected an integer in %" PRId64 "..%" PRId64 ", got '%s'",
                             name, lo, hi, arg);
    }
    *out = value;
    return 0;
}

error_t options_int32(const struct argp_state *state, const char *name, const char *arg, int32_t lo,
                      int32_t hi, int32_t *out)
{
    int64_t value = 0;
    error_t error = options_integer(state, name, arg, lo, hi, &value);
    *out = error == 0 ? (int32_t)value : *out;
    return error;
}

error_t options_real(const struct argp_state *state, const char *name, const char *arg,
                     options_range range, double *out)
{
    char *end;
    double value = strtod(arg, &end);
    bool is_number = end != arg && *end == 0 && !isspace((unsigned char)arg[0]) && isfinite(value);
    bool above = range.lo_open ? value > range.lo : value >= range.lo;
    bool below = range.hi_open ? value < range.hi : value <= range.hi;
    if (!is_number || !above || !below) {
        return options_error(state, "%s: expected a number in %c%g, %g%c, got '%s'", name,
                             range.lo_open ? '(' : '[', range.lo, range.hi,
                             range.hi_open ? ')' : ']', arg);
    }
    *out = value;
    return 0;
}

// ---- the environment

bool options_settle(command_common *common, const char *name)
{
    const char *device = getenv("OCTET_DEVICE");
    if (common->device == NULL && device != NULL && *device != 0) {
        if (!device_is_known(device)) {
            console_usage(name, "OCTET_DEVICE: expected cpu, cuda or emu, got '%s'", device);
            return false;
        }
        common->device = device;
    }
    const char *isa = getenv("OCTET_ISA");
    if (common->isa == NULL && isa != NULL && *isa != 0) {
        char list[256];
        if (!isa_is_known(isa, list, sizeof list)) {
            console_usage(name, "OCTET_ISA: this processor has %s; got '%s'", list, isa);
            return false;
        }
        common->isa = isa;
    }
    const char *log = getenv("OCTET_LOG");
    if (common->verbose == 0 && log != NULL && *log != 0) {
        static const char *const levels[] = {"error", "warn", "info", "debug"};
        int level = 0;
        while (level < 4 && strcmp(log, levels[level]) != 0) {
            level++;
        }
        if (level == 4) {
            console_usage(name, "OCTET_LOG: expected error, warn, info or debug, got '%s'", log);
            return false;
        }
        common->verbose = level - 1;
    }
    int level = common->quiet ? OCT_LOG_ERROR : common->verbose + OCT_LOG_WARN;
    oct_log_set(console_log, NULL, (oct_log_level)level);
    return true;
}

// ---- near words

// Levenshtein distance; long words count as far away.
static int distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX) {
        return MAX;
    }
    int row[MAX + 1];
    for (size_t j = 0; j <= m; j++) {
        row[j] = (int)j;
    }
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

const char *options_nearest(const char *typed, const char *const *words, int n)
{
    const char *best = NULL;
    int best_distance = 1 << 30;
    for (int i = 0; i < n; i++) {
        int d = distance(typed, words[i]);
        bool begins = strlen(typed) >= 2 && strncmp(typed, words[i], strlen(typed)) == 0;
        d = begins ? 0 : d;
        if (d < best_distance && d <= 1 + (int)strlen(words[i]) / 4) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}
