// tools: what the subcommands of `octet` share: their entry points, exit statuses and the options
// that all of them take.
#ifndef OCT_COMMAND_H
#define OCT_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

// Exit statuses of the program.
enum {
    COMMAND_OK = 0,
    COMMAND_FAILED = 1, // what was asked for could not be done
    COMMAND_USAGE = 2,  // what was asked for makes no sense
};

typedef struct command_common {
    int32_t n_threads;  // --threads; 0 = all processors
    const char *device; // --device or OCTET_DEVICE; NULL = the best there is
    const char *isa;    // --isa or OCTET_ISA; NULL = the best the processor has
    bool json;          // numbers as JSON on standard output
    bool quiet;         // only errors on standard error
    int verbose;        // log level: -1 = errors, 0 = warnings, 1 = info, 2 = debug
    int stopped_at;     // for options_parse: the argument behind the one argp refused
} command_common;

// argv[0] is the subcommand's name. Each returns an exit status and has said why where it is not 0.
typedef int command_fn(command_common *common, int argc, char **argv);
command_fn cmd_quantize;
command_fn cmd_generate;
command_fn cmd_perplexity;
command_fn cmd_inspect;

#endif
