// tools: `octet perplexity`: scores a text, alone or against the FP32 model, by a named protocol.
#include "command.h"
#include "console.h"
#include "interrupt.h"
#include "model_open.h"
#include "number_text.h"
#include "options.h"
#include "progress_bar.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_TEXT = OPTIONS_KEY_OWN,
    KEY_BASELINE,
    KEY_CONTEXT,
    KEY_STRIDE,
    KEY_DOCUMENTS,
    KEY_PROTOCOL,
};

static const struct argp_option options[] = {
    {"text", KEY_TEXT, "FILE", 0, "The text to score (required)", 0},
    {"baseline", KEY_BASELINE, "FP32_MODEL", 0,
     "Score it with this model too, and compare the distributions: KL divergence, top-1 agreement",
     0},
    {"context", KEY_CONTEXT, "C", 0, "Tokens of a window (default: the model's context)", 0},
    {"stride", KEY_STRIDE, "S", 0,
     "Tokens from one window to the next; each token is scored once (default: C)", 0},
    {"protocol", KEY_PROTOCOL, "hf|blocks", 0,
     "hf: windows at 0, S, 2S, ..., the shorter last one counts; blocks: whole windows of C "
     "tokens, "
     "the rest is dropped (default: hf)",
     0},
    {"documents", KEY_DOCUMENTS, NULL, 0,
     "Each line is a text of its own: its first token is not scored, empty lines are skipped", 0},
    {0},
};

typedef struct perplexity_options {
    command_common *common;
    const char *model, *text, *baseline;
    const char *protocol; // "hf", "blocks" or "documents"; NULL = not said
    int32_t context, stride;
    bool documents;
} perplexity_options;

static error_t check_options(const perplexity_options *o, struct argp_state *state)
{
    bool blocks = o->protocol != NULL && strcmp(o->protocol, "blocks") == 0;
    if (o->model == NULL) {
        return options_error(state, "perplexity needs a MODEL directory");
    }
    if (o->text == NULL) {
        return options_error(state, "perplexity needs --text FILE");
    }
    if (o->context > 0 && o->stride > o->context) {
        return options_error(state, "--stride %d leaves gaps between windows of --context %d",
                             o->stride, o->context);
    }
    if (blocks && o->documents) {
        return options_error(state, "--documents scores each line by protocol hf, not blocks");
    }
    if (blocks && o->stride > 0) {
        return options_error(state, "protocol blocks has no --stride");
    }
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    perplexity_options *o = state->input;
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
        return check_options(o, state);
    case KEY_TEXT:
        o->text = arg;
        return 0;
    case KEY_BASELINE:
        o->baseline = arg;
        return 0;
    case KEY_CONTEXT:
        return options_int32(state, "--context", arg, 2, INT32_MAX, &o->context);
    case KEY_STRIDE:
        return options_int32(state, "--stride", arg, 1, INT32_MAX, &o->stride);
    case KEY_PROTOCOL:
        if (strcmp(arg, "hf") != 0 && strcmp(arg, "blocks") != 0) {
            return options_error(state, "--protocol: expected hf or blocks, got '%s'", arg);
        }
        o->protocol = arg;
        return 0;
    case KEY_DOCUMENTS:
        o->documents = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&options_common, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL --text FILE",
    .doc = "Scores a text: nats per token, perplexity, and the hash of all logits, which is the "
           "same on any machine."
           "\v"
           "Perplexities can only be compared where protocol, context, stride and tokenizer are "
           "the same. Speed is scored tokens for each second of the model's work.\n"
           "\n"
           "Examples:\n"
           "  octet perplexity tales-int8 --text models/tales-8m/text/test.txt\n"
           "  octet perplexity tales-int8 --text test.txt --baseline models/tales-8m\n"
           "  octet perplexity gpt2 --text wiki.txt --stride 512 --json\n"
           "  octet perplexity gpt2 --text wiki.txt --context 128 --protocol blocks",
    .children = children,
};

// ---- the work

// The text as tokens.
typedef struct scored_text {
    int32_t *ids; // owned
    size_t n_ids;
    size_t *offsets; // owned; documents only
    size_t n_documents;
} scored_text;

typedef struct perplexity_run {
    const perplexity_options *options;
    scored_text text;
    oct_device *device;
    oct_device_info device_info;
    oct_engine *engine, *baseline;
    oct_engine_info info, baseline_info;
    int32_t context, stride; // as used
    size_t text_tokens;      // what blocks drops included
    oct_perplexity_result result;
} perplexity_run;

static bool read_text(scored_text *text, const perplexity_options *o)
{
    oct_tokenizer *tokenizer = NULL;
    oct_status status = oct_tokenizer_open(&tokenizer, o->model);
    if (status == OCT_OK && o->documents) {
        status = oct_tokenizer_encode_documents(tokenizer, o->text, &text->ids, &text->offsets,
                                                &text->n_documents);
        text->n_ids = status == OCT_OK ? text->offsets[text->n_documents] : 0;
    } else if (status == OCT_OK) {
        status = oct_tokenizer_encode_file(tokenizer, o->text, &text->ids, &text->n_ids);
    }
    oct_tokenizer_close(tokenizer);
    if (status != OCT_OK) {
        console_fail_status(status);
        return false;
    }
    size_t unscored = o->documents ? text->n_documents : 1;
    if (text->n_ids == 0) {
        console_fail("--text: '%s' has no text in it", o->text);
    } else if (text->n_ids <= unscored) {
        console_fail("--text: '%s' has %s; a text needs two tokens to be scored", o->text,
                     o->documents ? "one token a line" : "one token");
    }
    return text->n_ids > unscored;
}

static bool open_engine(oct_engine **out, oct_engine_info *info, const perplexity_run *run,
                        const char *model)
{
    oct_status status = oct_engine_open(out, run->device, model);
    if (status != OCT_OK) {
        console_fail_status(status);
        return false;
    }
    oct_engine_describe(*out, info);
    return true;
}

// Turns the options into windows.
static bool set_windows(perplexity_run *run)
{
    const perplexity_options *o = run->options;
    run->context = o->context > 0 ? o->context : run->info.n_positions;
    run->stride = o->stride > 0 ? o->stride : run->context;
    if (run->context > run->info.n_positions) {
        console_fail("--context %d is beyond the model's context of %d", run->context,
                     run->info.n_positions);
        return false;
    }
    if (run->stride > run->context) {
        console_fail("--stride %d leaves gaps between windows of %d tokens, the model's context",
                     run->stride, run->context);
        return false;
    }
    run->text_tokens = run->text.n_ids;
    if (o->protocol != NULL && strcmp(o->protocol, "blocks") == 0) {
        size_t context = (size_t)run->context;
        if (run->text.n_ids < context) {
            console_fail("--text: '%s' has %zu tokens, fewer than one block of %zu", o->text,
                         run->text.n_ids, context);
            return false;
        }
        run->text.n_ids -= run->text.n_ids % context;
    }
    return true;
}

static bool score(perplexity_run *run)
{
    progress_bar bar;
    progress_bar_init(&bar, console_shows_progress(run->options->common));
    oct_perplexity_options p = OCT_PERPLEXITY_OPTIONS_INIT;
    p.context = run->context;
    p.stride = run->stride;
    p.offsets = run->text.offsets;
    p.n_documents = run->text.n_documents;
    p.baseline = run->baseline;
    p.progress = progress_bar_update;
    p.user = &bar;
    interrupt_defer(true);
    oct_status status =
        oct_perplexity(run->engine, run->text.ids, run->text.n_ids, &p, &run->result);
    interrupt_defer(false);
    progress_bar_end(&bar);
    if (status != OCT_OK) {
        console_fail_status(status);
    }
    return status == OCT_OK;
}

// ---- what is printed

static const char *protocol_name(const perplexity_options *o)
{
    return o->documents ? "documents" : o->protocol != NULL ? o->protocol : "hf";
}

// JSON has no infinity: a number that is none becomes null.
static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void print_json(const perplexity_run *run, double rate)
{
    const perplexity_options *o = run->options;
    const oct_perplexity_result *r = &run->result;
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, r->logits_hash);
    json_t *out = json_object();
    json_object_set_new(out, "protocol", json_string(protocol_name(o)));
    json_object_set_new(out, "context", json_integer(run->context));
    json_object_set_new(out, "stride", json_integer(run->stride));
    if (o->documents) {
        json_object_set_new(out, "documents", json_integer((json_int_t)run->text.n_documents));
    }
    json_object_set_new(out, "text_tokens", json_integer((json_int_t)run->text_tokens));
    json_object_set_new(out, "tokens", json_integer((json_int_t)r->tokens));
    json_object_set_new(out, "nats_per_token", real(r->nats_per_token));
    json_object_set_new(out, "perplexity", real(r->perplexity));
    json_object_set_new(out, "tokens_per_second", real(rate));
    json_object_set_new(out, "logits_hash", json_string(hash));
    json_object_set_new(out, "numerics_version", json_integer(OCT_NUMERICS_VERSION));
    json_object_set_new(out, "device", json_string(run->device_info.name));
    json_object_set_new(out, "isa", json_string(run->device_info.isa));
    if (run->baseline != NULL) {
        double baseline = exp(r->baseline_nats_per_token);
        json_object_set_new(out, "baseline_perplexity", real(baseline));
        json_object_set_new(out, "perplexity_change_percent",
                            real((r->perplexity / baseline - 1) * 100));
        json_object_set_new(out, "mean_kl", real(r->mean_kl));
        json_object_set_new(out, "max_kl", real(r->max_kl));
        json_object_set_new(out, "top1_agreement", real(r->top1_agreement));
    }
    output_json(out);
}

static void print_text(const perplexity_run *run, double rate)
{
    const perplexity_options *o = run->options;
    const oct_perplexity_result *r = &run->result;
    output_format("protocol %s, context %d, stride %d: %s tokens scored of %s in %s",
                  protocol_name(o), run->context, run->stride, number_count(r->tokens).text,
                  number_count((int64_t)run->text_tokens).text, o->text);
    if (o->documents) {
        output_format(", %s lines", number_count((int64_t)run->text.n_documents).text);
    }
    output_format("\n\n          perplexity   nats/token\n");
    if (run->baseline != NULL) {
        double baseline = exp(r->baseline_nats_per_token);
        output_format("  %-6s %12.6f %12.6f   %s\n", model_format_name(run->baseline_info.format),
                      baseline, r->baseline_nats_per_token, o->baseline);
        output_format("  %-6s %12.6f %12.6f   %s\n", model_format_name(run->info.format),
                      r->perplexity, r->nats_per_token, o->model);
        output_format("  change %+11.4f%% %+12.6f\n\n", (r->perplexity / baseline - 1) * 100,
                      r->nats_per_token - r->baseline_nats_per_token);
        output_format("KL divergence: mean %.6f nats, largest %.4f; the same most likely token in "
                      "%.2f%% of the positions\n",
                      r->mean_kl, r->max_kl, r->top1_agreement * 100);
    } else {
        output_format("  %-6s %12.6f %12.6f   %s\n\n", model_format_name(run->info.format),
                      r->perplexity, r->nats_per_token, o->model);
    }
    output_format("logits hash %016" PRIx64 " (numerics version %d), %s tokens/s on %s %s\n",
                  r->logits_hash, OCT_NUMERICS_VERSION, number_rate(rate).text,
                  run->device_info.name, run->device_info.isa);
}

int cmd_perplexity(command_common *common, int argc, char **argv)
{
    static char name[] = "octet perplexity";
    perplexity_options o = {.common = common};
    int status = COMMAND_FAILED;
    if (!options_parse(&argp, name, argc, argv, 0, NULL, &o, common, &status)) {
        return status;
    }
    if (!model_check(o.model, "MODEL") ||
        (o.baseline != NULL && !model_check(o.baseline, "--baseline")) ||
        !model_check_text(o.text, "--text")) {
        return COMMAND_FAILED;
    }
    perplexity_run run = {.options = &o};
    bool ok =
        read_text(&run.text, &o) && model_device_open(&run.device, &run.device_info, common) &&
        open_engine(&run.engine, &run.info, &run, o.model) && set_windows(&run) &&
        (o.baseline == NULL || open_engine(&run.baseline, &run.baseline_info, &run, o.baseline)) &&
        score(&run);
    if (ok) {
        const oct_perplexity_result *r = &run.result;
        double rate = r->seconds > 0 ? (double)r->tokens / r->seconds : 0;
        if (common->json) {
            print_json(&run, rate);
        } else {
            print_text(&run, rate);
        }
        status = COMMAND_OK;
    }
    oct_engine_close(run.baseline);
    oct_engine_close(run.engine);
    oct_device_close(run.device);
    free(run.text.ids);
    free(run.text.offsets);
    return output_end(status);
}
