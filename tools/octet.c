// tools: the `octet` program: finds the subcommand, answers --help and --version.
#include "command.h"
#include "console.h"
#include "interrupt.h"
#include "octet/octet.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

typedef struct subcommand {
    const char *name;
    command_fn *run;
} subcommand;

static const subcommand subcommands[] = {
    {"quantize", cmd_quantize},
    {"generate", cmd_generate},
    {"perplexity", cmd_perplexity},
    {"inspect", cmd_inspect},
};
enum { N_SUBCOMMANDS = sizeof subcommands / sizeof subcommands[0] };

typedef struct program {
    command_common *common;
    bool version;
    const char *command; // the first word that is no option
} program;

static const struct argp_option program_options[] = {
    {"version", 'V', NULL, 0, "Print version, numerics version, instruction sets and devices", 0},
    {0},
};

// NOLINTNEXTLINE(readability-non-const-parameter): argp says the type
static error_t parse_program(int key, char *arg, struct argp_state *state)
{
    program *p = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = p->common;
        return 0;
    case 'V':
        p->version = true;
        return 0;
    case ARGP_KEY_ARG:
        p->command = arg;
        return ARGP_ERR_UNKNOWN; // argp stops here
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&options_common, 0, NULL, 0}, {0}};

static const struct argp program_argp = {
    .options = program_options,
    .parser = parse_program,
    .args_doc = "COMMAND ...",
    .doc =
        "Runs GPT-2 models in INT8: every sum is an integer, so the results are the same, bit for "
        "bit, on any machine.\n"
        "\n"
        "Commands (octet COMMAND --help says more):\n"
        "  quantize     calibrate a model on a text and write it as INT8\n"
        "  generate     continue a prompt\n"
        "  perplexity   score a text, alone or against the FP32 model\n"
        "  inspect      show what is in a model: sizes, recipe, tensors, statistics\n"
        "\v"
        "A MODEL is a directory as Hugging Face keeps it (config.json, model.safetensors, "
        "tokenizer files), FP32 or written by octet quantize.\n"
        "\n"
        "Examples:\n"
        "  octet quantize models/tales-8m -o tales-int8 \\\n"
        "      --calibration models/tales-8m/text/valid.txt\n"
        "  octet generate tales-int8 -p \"Once upon a time\" -n 100\n"
        "  octet perplexity tales-int8 --text models/tales-8m/text/test.txt \\\n"
        "      --baseline models/tales-8m\n"
        "\n"
        "Exit status: 0 done, 1 failed (one line says why), 2 wrong usage.",
    .children = children,
};

// The device `name` if it can be opened: what it computes with goes to `info`. Else the reason.
static const char *try_device(const char *name, const command_common *common, oct_device_info *info)
{
    oct_device_options options = OCT_DEVICE_OPTIONS_INIT;
    options.name = name;
    options.n_threads = 1;
    options.isa = strcmp(name, "cpu") == 0 ? common->isa : NULL;
    oct_device *device = NULL;
    memset(info, 0, sizeof *info);
    oct_status status = oct_device_open(&device, &options);
    if (status == OCT_OK) {
        status = device->table->info(device, info);
    }
    oct_device_close(device);
    return status == OCT_OK ? NULL : oct_last_error();
}

static int print_version(const command_common *common)
{
    const char *isas[16];
    size_t n_isas = oct_cpu_isas(isas, 16);
    n_isas = n_isas < 16 ? n_isas : 16;
    oct_device_info cpu, cuda;
    const char *cpu_absent = try_device("cpu", common, &cpu);
    if (cpu_absent != NULL) {
        return console_fail("%s", cpu_absent);
    }
    char cuda_absent[1024] = "";
    const char *reason = try_device("cuda", common, &cuda);
    if (reason != NULL) {
        snprintf(cuda_absent, sizeof cuda_absent, "%s", reason);
    }

    if (common->json) {
        json_t *sets = json_array(), *devices = json_array();
        for (size_t i = 0; i < n_isas; i++) {
            json_array_append_new(sets, json_string(isas[i]));
        }
        json_array_append_new(devices, json_string("cpu"));
        if (reason == NULL) {
            json_array_append_new(devices, json_string("cuda"));
        }
        output_json(json_pack("{s:s, s:i, s:o, s:s, s:o}", "version", OCT_VERSION,
                              "numerics_version", OCT_NUMERICS_VERSION, "isas", sets, "isa",
                              cpu.isa, "devices", devices));
        return output_end(COMMAND_OK);
    }
    output_format("octet %s\nnumerics version %d\ninstruction sets:", OCT_VERSION,
                  OCT_NUMERICS_VERSION);
    for (size_t i = 0; i < n_isas; i++) {
        output_format("%s %s", i > 0 ? "," : "", isas[i]);
    }
    output_format(" (in use: %s)\ndevices: cpu", cpu.isa);
    if (reason == NULL) {
        output_format(", cuda (%s, %s)", cuda.processor, cuda.isa);
    }
    output_format("\n");
    output_flush();
    if (reason != NULL && common->verbose > 0) {
        console_note("%s", cuda_absent);
    }
    return output_end(COMMAND_OK);
}

static int no_such_command(const char *typed)
{
    const char *names[N_SUBCOMMANDS];
    for (int i = 0; i < N_SUBCOMMANDS; i++) {
        names[i] = subcommands[i].name;
    }
    const char *near = options_nearest(typed, names, N_SUBCOMMANDS);
    if (near != NULL) {
        return console_usage("octet", "there is no command '%s'; did you mean '%s'?", typed, near);
    }
    return console_usage("octet",
                         "there is no command '%s'; expected quantize, generate, perplexity or "
                         "inspect",
                         typed);
}

int main(int argc, char **argv)
{
    interrupt_install();
    static char program_name[] = "octet";
    char *no_arguments[] = {program_name, NULL};
    if (argc < 1) {
        argc = 1;
        argv = no_arguments;
    }
    command_common common = {0};
    program p = {.common = &common};
    int first = 0, status = COMMAND_OK;
    // ARGP_IN_ORDER: options behind the subcommand are the subcommand's.
    if (!options_parse(&program_argp, program_name, argc, argv, ARGP_IN_ORDER, &first, &p, &common,
                       &status)) {
        return status;
    }
    if (p.version) {
        return options_settle(&common, program_name) ? print_version(&common) : COMMAND_USAGE;
    }
    if (p.command == NULL) {
        return console_usage("octet",
                             "expected a command: quantize, generate, perplexity or inspect");
    }
    for (int i = 0; i < N_SUBCOMMANDS; i++) {
        if (strcmp(p.command, subcommands[i].name) == 0) {
            return subcommands[i].run(&common, argc - first, argv + first);
        }
    }
    return no_such_command(p.command);
}
