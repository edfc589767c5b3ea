// tools: reading options: argp with one-line errors, the options common to all subcommands, and
// numbers with their ranges.
#ifndef OCT_OPTIONS_H
#define OCT_OPTIONS_H

#include "command.h"

#include <argp.h>

// Keys below these are free for a subcommand's own long options.
enum { OPTIONS_KEY_OWN = 0x100, OPTIONS_KEY_COMMON = 0x1000 };

// The child of every subcommand's argp: --threads, --device, --isa, --json, --quiet, --verbose,
// --help. The parent's parser must set state->child_inputs[0] to the command_common at
// ARGP_KEY_INIT.
extern const struct argp options_common;

// Runs argp over the arguments. `name` is what the user typed ("octet generate"); it becomes
// argv[0]. Returns true to go on; false when the program is done: *status then says how, and
// everything has been printed (also --help). *end (NULL: all must be taken) is the index of the
// first argument that was not.
bool options_parse(const struct argp *argp, char *name, int argc, char **argv, unsigned flags,
                   int *end, void *input, command_common *common, int *status);

// For parsers: prints one line and returns the error that makes options_parse return false with
// COMMAND_USAGE.
error_t options_error(const struct argp_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// For parsers: `arg` as the value of option `name` ("--blocks"), within [lo, hi]; anything else is
// an options_error that says the range and what came.
error_t options_integer(const struct argp_state *state, const char *name, const char *arg,
                        int64_t lo, int64_t hi, int64_t *out);
error_t options_int32(const struct argp_state *state, const char *name, const char *arg, int32_t lo,
                      int32_t hi, int32_t *out);

// The same for a real number; an open end of the range may not be reached.
typedef struct options_range {
    double lo, hi;
    bool lo_open, hi_open;
} options_range;
error_t options_real(const struct argp_state *state, const char *name, const char *arg,
                     options_range range, double *out);

// Fills in what the environment says where no option did (OCTET_DEVICE, OCTET_ISA, OCTET_LOG) and
// sends the library's log to the console. Prints one line and returns false if a variable is
// nonsense. Part of options_parse where that takes all arguments.
bool options_settle(command_common *common, const char *name);

// Of `n` words the one that `typed` probably meant, NULL if none is near.
const char *options_nearest(const char *typed, const char *const *words, int n);

#endif
