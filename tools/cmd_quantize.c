// tools: `octet quantize`: calibrates a model on a text and writes it as INT8.
#include "command.h"
#include "console.h"
#include "interrupt.h"
#include "model_open.h"
#include "number_text.h"
#include "options.h"
#include "progress_bar.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEY_CALIBRATION = OPTIONS_KEY_OWN,
    KEY_SCHEME,
    KEY_CALIBRATOR,
    KEY_SMOOTH,
    KEY_NO_SMOOTH,
    KEY_NO_ZERO_POINT,
    KEY_NO_POSITION_0,
    KEY_BLOCKS,
    KEY_DOCUMENTS,
    KEY_FORCE,
};

static const struct argp_option options[] = {
    {NULL, 'o', "OUT", 0, "The directory to write (required)", 0},
    {"calibration", KEY_CALIBRATION, "TEXT", 0,
     "A text file like what the model will see; its ranges are frozen (required)", 0},
    {"scheme", KEY_SCHEME, "NAME", 0,
     "w8a8: frozen activation steps; w8a8-dynamic: one step for each token, found at run time "
     "(default: w8a8)",
     0},
    {"calibrator", KEY_CALIBRATOR, "NAME", 0,
     "minmax, or percentile:P with P in (50, 100] (default: minmax)", 0},
    {"smooth", KEY_SMOOTH, "auto|none|A", 0,
     "Column factors (SmoothQuant): search alpha for each linear, none, or one alpha in [0, 1] "
     "(default: auto)",
     0},
    {"no-smooth", KEY_NO_SMOOTH, "KIND,...", 0,
     "No column factors for these inputs: c_attn, attn.c_proj, c_fc, mlp.c_proj, lm_head", 0},
    {"no-zero-point", KEY_NO_ZERO_POINT, NULL, 0,
     "Symmetric input of mlp.c_proj (default: asymmetric, GELU's output is)", 0},
    {"no-position-0", KEY_NO_POSITION_0, NULL, 0,
     "No step of its own for position 0 (default: it has one, GPT-2's outliers sit there)", 0},
    {"blocks", KEY_BLOCKS, "N", 0, "Calibration sequences at most (default: 128)", 0},
    {"documents", KEY_DOCUMENTS, NULL, 0,
     "Each line of TEXT is a text of its own (default: the file is one text, cut into whole "
     "contexts)",
     0},
    {"force", KEY_FORCE, NULL, 0, "Replace OUT if it exists", 0},
    {0},
};

typedef struct quantize_options {
    command_common *common;
    const char *model, *out, *calibration;
    bool documents;
    oct_quantize_options quantize;
} quantize_options;

static error_t parse_scheme(const char *arg, struct argp_state *state, const char **out)
{
    static const char *const later[] = {"w8", "w4a8", "w4", "w8a16", "fp16"};
    if (strcmp(arg, "w8a8") == 0 || strcmp(arg, "w8a8-dynamic") == 0) {
        *out = arg;
        return 0;
    }
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        if (strcmp(arg, later[i]) == 0) {
            return options_error(
                state, "--scheme: %s is not there yet; there are w8a8 and w8a8-dynamic", arg);
        }
    }
    return options_error(state, "--scheme: expected w8a8 or w8a8-dynamic, got '%s'", arg);
}

static error_t parse_calibrator(const char *arg, struct argp_state *state, const char **out)
{
    static const char percentile[] = "percentile:";
    *out = arg;
    if (strcmp(arg, "minmax") == 0) {
        return 0;
    }
    if (strncmp(arg, percentile, strlen(percentile)) == 0) {
        double value;
        return options_real(state, "--calibrator percentile", arg + strlen(percentile),
                            (options_range){50, 100, true, false}, &value);
    }
    if (strcmp(arg, "mse") == 0 || strcmp(arg, "entropy") == 0) {
        return options_error(
            state, "--calibrator: %s is not there yet; there are minmax and percentile:P", arg);
    }
    return options_error(state, "--calibrator: expected minmax or percentile:P, got '%s'", arg);
}

static error_t parse_smooth(const char *arg, struct argp_state *state, const char **out)
{
    *out = arg;
    if (strcmp(arg, "auto") == 0 || strcmp(arg, "none") == 0) {
        return 0;
    }
    char *end;
    double alpha = strtod(arg, &end);
    if (end == arg || *end != 0 || !(alpha >= 0 && alpha <= 1)) {
        return options_error(state, "--smooth: expected auto, none or a number in [0, 1], got '%s'",
                             arg);
    }
    return 0;
}

static error_t parse_kinds(const char *arg, struct argp_state *state, unsigned *out)
{
    static const struct {
        const char *name;
        unsigned bit;
    } kinds[] = {{"c_attn", OCT_KIND_C_ATTN},
                 {"attn.c_proj", OCT_KIND_ATTN_C_PROJ},
                 {"c_fc", OCT_KIND_C_FC},
                 {"mlp.c_fc", OCT_KIND_C_FC},
                 {"mlp.c_proj", OCT_KIND_MLP_C_PROJ},
                 {"lm_head", OCT_KIND_LM_HEAD}};
    for (const char *word = arg;; word++) {
        size_t n = strcspn(word, ",");
        unsigned bit = 0;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            if (strlen(kinds[i].name) == n && strncmp(kinds[i].name, word, n) == 0) {
                bit = kinds[i].bit;
            }
        }
        if (bit == 0) {
            return options_error(state,
                                 "--no-smooth: expected c_attn, attn.c_proj, c_fc, mlp.c_proj or "
                                 "lm_head, got '%.*s'",
                                 (int)n, word);
        }
        *out |= bit;
        word += n;
        if (*word == 0) {
            return 0;
        }
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    quantize_options *o = state->input;
    oct_quantize_options *q = &o->quantize;
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
            return options_error(state, "quantize needs a MODEL directory");
        }
        if (o->out == NULL) {
            return options_error(state, "quantize needs -o OUT");
        }
        if (o->calibration == NULL) {
            return options_error(state, "quantize needs --calibration TEXT");
        }
        return 0;
    case 'o':
        if (*arg == 0) {
            return options_error(state, "-o: expected a directory, got an empty name");
        }
        o->out = arg;
        return 0;
    case KEY_CALIBRATION:
        o->calibration = arg;
        return 0;
    case KEY_SCHEME:
        return parse_scheme(arg, state, &q->scheme);
    case KEY_CALIBRATOR:
        return parse_calibrator(arg, state, &q->calibrator);
    case KEY_SMOOTH:
        return parse_smooth(arg, state, &q->smooth);
    case KEY_NO_SMOOTH:
        return parse_kinds(arg, state, &q->no_smooth);
    case KEY_NO_ZERO_POINT:
        q->zero_point = false;
        return 0;
    case KEY_NO_POSITION_0:
        q->position_0 = false;
        return 0;
    case KEY_BLOCKS:
        return options_int32(state, "--blocks", arg, 1, INT32_MAX, &q->blocks);
    case KEY_DOCUMENTS:
        o->documents = true;
        return 0;
    case KEY_FORCE:
        q->force = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&options_common, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL -o OUT --calibration TEXT",
    .doc = "Calibrates MODEL, a Hugging Face GPT-2 directory, on TEXT, quantizes it and writes the "
           "INT8 model to OUT."
           "\v"
           "OUT is a directory of the same kind, with the tokenizer; it appears when it is "
           "complete, or not at all. The same model and text give the same OUT on any machine.\n"
           "\n"
           "Examples:\n"
           "  octet quantize models/tales-8m -o tales-int8 \\\n"
           "      --calibration models/tales-8m/text/valid.txt\n"
           "  octet quantize gpt2 -o gpt2-int8 --calibration wiki.txt --blocks 64 --json\n"
           "  octet quantize gpt2 -o plain --calibration wiki.txt \\\n"
           "      --smooth none --no-zero-point --no-position-0",
    .children = children,
};

// ---- checks before the work

// The folder that will hold `path`.
static void parent_of(const char *path, char *out, size_t out_bytes)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    while (n > 0 && path[n - 1] != '/') {
        n--;
    }
    snprintf(out, out_bytes, "%.*s", n > 0 ? (int)n : 1, n > 0 ? path : ".");
}

// Finds out before the calibration what would make the writing fail behind it.
static bool check_out(const quantize_options *o)
{
    struct stat out, model;
    char parent[4096];
    if (stat(o->out, &out) == 0) {
        if (stat(o->model, &model) == 0 && out.st_dev == model.st_dev &&
            out.st_ino == model.st_ino) {
            console_fail("-o: '%s' is MODEL itself; expected another directory", o->out);
            return false;
        }
        if (!o->quantize.force) {
            console_fail("-o: '%s' exists; --force replaces it", o->out);
            return false;
        }
    }
    parent_of(o->out, parent, sizeof parent);
    if (access(parent, W_OK | X_OK) != 0) {
        console_fail("-o: cannot write in '%s': %s", parent, strerror(errno));
        return false;
    }
    return true;
}

// ---- the work

// What is printed at the end.
typedef struct quantize_report {
    const quantize_options *options;
    oct_device_info device;
    oct_quantize_result result;
} quantize_report;

static void print_report(const quantize_report *r)
{
    const quantize_options *o = r->options;
    const oct_quantize_result *q = &r->result;
    double ratio = q->int8_bytes > 0 ? (double)q->fp32_bytes / (double)q->int8_bytes : 0;
    double rest = q->total_seconds - q->calibration_seconds - q->search_seconds;
    rest = rest > 0 ? rest : 0;
    if (o->common->json) {
        output_json(
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:f, s:f, s:f, s:I, s:I, s:f, s:i, s:s, s:s}",
                      "model", o->model, "out", o->out, "scheme", o->quantize.scheme, "calibrator",
                      o->quantize.calibrator, "smooth", o->quantize.smooth, "calibration_tokens",
                      (json_int_t)q->calibration_tokens, "calibration_seconds",
                      q->calibration_seconds, "search_seconds", q->search_seconds, "total_seconds",
                      q->total_seconds, "fp32_bytes", (json_int_t)q->fp32_bytes, "int8_bytes",
                      (json_int_t)q->int8_bytes, "ratio", ratio, "numerics_version",
                      OCT_NUMERICS_VERSION, "device", r->device.name, "isa", r->device.isa));
        return;
    }
    output_format("%s -> %s  (%s, %s, smooth %s)\n", o->model, o->out, o->quantize.scheme,
                  o->quantize.calibrator, o->quantize.smooth);
    output_format("  calibration   %10s   %s tokens of %s\n",
                  number_seconds(q->calibration_seconds).text,
                  number_count(q->calibration_tokens).text, o->calibration);
    output_format("  search        %10s   column factors\n",
                  number_seconds(q->search_seconds).text);
    output_format("  the rest      %10s   loading, rounding, writing\n", number_seconds(rest).text);
    output_format("  total         %10s   on %s %s\n", number_seconds(q->total_seconds).text,
                  r->device.name, r->device.isa);
    output_format("  parameters    %s bytes as FP32 -> %s bytes as INT8 (%.2f times smaller)\n",
                  number_count((int64_t)q->fp32_bytes).text,
                  number_count((int64_t)q->int8_bytes).text, ratio);
}

// Calibrates and writes. Prints the reason and returns false on failure.
static bool quantize(quantize_report *report, quantize_options *o, oct_device *device,
                     const int32_t *ids, size_t n_ids)
{
    progress_bar bar;
    progress_bar_init(&bar, console_shows_progress(o->common));
    o->quantize.progress = progress_bar_update;
    o->quantize.user = &bar;
    interrupt_defer(true); // a half written OUT is for the library to take away
    oct_status status =
        oct_quantize(o->model, o->out, device, ids, n_ids, &o->quantize, &report->result);
    interrupt_defer(false);
    progress_bar_end(&bar);
    if (status != OCT_OK) {
        console_fail_status(status);
    }
    return status == OCT_OK;
}

int cmd_quantize(command_common *common, int argc, char **argv)
{
    static char name[] = "octet quantize";
    quantize_options o = {.common = common, .quantize = OCT_QUANTIZE_OPTIONS_INIT};
    int status = COMMAND_FAILED;
    if (!options_parse(&argp, name, argc, argv, 0, NULL, &o, common, &status)) {
        return status;
    }
    if (!model_check(o.model, "MODEL") || !model_check_text(o.calibration, "--calibration") ||
        !check_out(&o)) {
        return COMMAND_FAILED;
    }
    oct_tokenizer *tokenizer = NULL;
    oct_device *device = NULL;
    int32_t *ids = NULL;
    size_t *offsets = NULL;
    size_t n_ids = 0, n_documents = 0;
    quantize_report report = {.options = &o};
    oct_status said = oct_tokenizer_open(&tokenizer, o.model);
    if (said == OCT_OK && o.documents) {
        said =
            oct_tokenizer_encode_documents(tokenizer, o.calibration, &ids, &offsets, &n_documents);
        n_ids = said == OCT_OK ? offsets[n_documents] : 0;
        o.quantize.offsets = offsets;
        o.quantize.n_documents = n_documents;
    } else if (said == OCT_OK) {
        said = oct_tokenizer_encode_file(tokenizer, o.calibration, &ids, &n_ids);
    }
    if (said != OCT_OK) {
        console_fail_status(said);
    } else if (n_ids == 0) {
        console_fail("--calibration: '%s' has no text in it", o.calibration);
    } else if (model_device_open(&device, &report.device, common) &&
               quantize(&report, &o, device, ids, n_ids)) {
        print_report(&report);
        status = COMMAND_OK;
    }
    oct_device_close(device);
    free(ids);
    free(offsets);
    oct_tokenizer_close(tokenizer);
    return output_end(status);
}
