// tools: `octet inspect`: shows what is in a model: configuration, sizes, recipe, tensors,
// statistics.
#include "command.h"
#include "console.h"
#include "inspect_print.h"
#include "model_open.h"
#include "options.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_TENSORS = OPTIONS_KEY_OWN, KEY_HISTOGRAM };

static const struct argp_option options[] = {
    {"tensors", KEY_TENSORS, NULL, 0, "List all tensors too", 0},
    {"histogram", KEY_HISTOGRAM, "NAME", 0,
     "Show only the histogram of one calibrated input, such as h.0.mlp.c_proj.input", 0},
    {0},
};

typedef struct inspect_options {
    command_common *common;
    const char *model, *histogram;
    bool tensors;
} inspect_options;

static error_t parse(int key, char *arg, struct argp_state *state)
{
    inspect_options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = o->common;
        return 0;
    case ARGP_KEY_ARG:
        if (o->model != NULL) {
            return options_error(state, "expected one MODEL, got '%s' and '%s'", o->model, arg);
        }
        o->model = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->model == NULL) {
            return options_error(state, "inspect needs a MODEL directory");
        }
        return 0;
    case KEY_TENSORS:
        o->tensors = true;
        return 0;
    case KEY_HISTOGRAM:
        o->histogram = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&options_common, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL",
    .doc = "Shows what is in a model: its configuration, the bytes of its parts as FP32, FP16 and "
           "INT8, and for a quantized one its recipe and what calibration saw."
           "\v"
           "With --json everything is printed, histograms and tensors included.\n"
           "\n"
           "Examples:\n"
           "  octet inspect models/tales-8m\n"
           "  octet inspect tales-int8 --tensors\n"
           "  octet inspect tales-int8 --histogram h.0.mlp.c_proj.input\n"
           "  octet inspect tales-int8 --json",
    .children = children,
};

static int print(const inspect_options *o, const char *text)
{
    if (o->common->json) {
        output_format("%s\n", text);
        return COMMAND_OK;
    }
    json_error_t error;
    json_t *model = json_loads(text, 0, &error);
    if (model == NULL) {
        return console_fail("the description of '%s' is no JSON: %s", o->model, error.text);
    }
    int status = COMMAND_OK;
    if (o->histogram != NULL) {
        if (!inspect_print_histogram(model, o->histogram)) {
            status = console_fail("--histogram: '%s' has no calibrated input '%s' (octet inspect "
                                  "lists them)",
                                  o->model, o->histogram);
        }
    } else {
        inspect_print_summary(model, o->model);
        inspect_print_recipe(model);
        inspect_print_statistics(model);
        if (o->tensors) {
            inspect_print_tensors(model);
        }
    }
    json_decref(model);
    return status;
}

int cmd_inspect(command_common *common, int argc, char **argv)
{
    static char name[] = "octet inspect";
    inspect_options o = {.common = common};
    int status = COMMAND_FAILED;
    if (!options_parse(&argp, name, argc, argv, 0, NULL, &o, common, &status)) {
        return status;
    }
    if (!model_check(o.model, "MODEL")) {
        return COMMAND_FAILED;
    }
    char *text = NULL;
    oct_status inspected = oct_inspect(o.model, &text);
    if (inspected != OCT_OK) {
        return console_fail_status(inspected);
    }
    status = print(&o, text);
    free(text);
    return output_end(status);
}
