// tools: `octet generate`: continues a prompt and prints the text as it comes, or what two models
// make of the same prompt.
#include "command.h"
#include "console.h"
#include "generation_print.h"
#include "interrupt.h"
#include "model_open.h"
#include "number_text.h"
#include "options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_N     50
#define DEFAULT_TOP_K 30

enum {
    KEY_PROMPT = OPTIONS_KEY_OWN, // argp adds a note to the help where -p and --prompt are one
    KEY_TOP_K,
    KEY_TOP_P,
    KEY_MIN_P,
    KEY_TEMPERATURE,
    KEY_REPETITION_PENALTY,
    KEY_SEED,
    KEY_STOP,
    KEY_GREEDY,
    KEY_IDS,
    KEY_COMPARE,
};

static const struct argp_option options[] = {
    {NULL, 'p', "TEXT", 0,
     "The text to continue; - reads it from standard input and drops one line end behind it "
     "(default: none, the model begins a text of its own)",
     0},
    {"prompt", KEY_PROMPT, "TEXT", OPTION_HIDDEN, NULL, 0},
    {NULL, 'n', "N", 0, "Tokens to generate at most (default: 50)", 0},
    {"top-k", KEY_TOP_K, "K", 0, "Draw from the K most likely tokens; 0 = all (default: 30)", 0},
    {"top-p", KEY_TOP_P, "P", 0,
     "Draw from the most likely tokens that together have probability P (default: 1, all)", 0},
    {"min-p", KEY_MIN_P, "P", 0,
     "Draw from the tokens that are at least P times as likely as the likeliest (default: 0, all)",
     0},
    {"temperature", KEY_TEMPERATURE, "T", 0,
     "Divide the logits by T; 0 = always the most likely token (default: 1)", 0},
    {"repetition-penalty", KEY_REPETITION_PENALTY, "R", 0,
     "Make tokens that were there before less likely, as transformers does (default: 1, off)", 0},
    {"seed", KEY_SEED, "N", 0, "Another seed, another text (default: 0)", 0},
    {"stop", KEY_STOP, "TEXT", 0, "End before this text; may be given up to 16 times", 0},
    {"greedy", KEY_GREEDY, NULL, 0, "Always the most likely token: --temperature 0", 0},
    {"ids", KEY_IDS, NULL, 0, "Print the ids of the generated tokens instead of text", 0},
    {"compare", KEY_COMPARE, "FP32_MODEL", 0,
     "Let this model continue the prompt too, with the same seed, and print both texts", 0},
    {0},
};

typedef struct generate_options {
    command_common *common;
    const char *model, *compare;
    const char *prompt; // NULL or "" = none
    int32_t n;
    oct_sampling sampling;
    bool greedy, has_temperature, ids;
    stop_strings stop;
} generate_options;

static error_t parse_sampling(int key, const char *arg, struct argp_state *state)
{
    generate_options *o = state->input;
    double value = 0;
    int64_t integer = 0;
    error_t error;
    switch (key) {
    case KEY_TOP_K:
        return options_int32(state, "--top-k", arg, 0, INT32_MAX, &o->sampling.top_k);
    case KEY_TOP_P:
        return options_real(state, "--top-p", arg, (options_range){0, 1, true, false},
                            &o->sampling.top_p);
    case KEY_MIN_P:
        return options_real(state, "--min-p", arg, (options_range){0, 1, false, false},
                            &o->sampling.min_p);
    case KEY_TEMPERATURE:
        error = options_real(state, "--temperature", arg, (options_range){0, 1000, false, false},
                             &value);
        o->sampling.temperature = (float)value;
        o->has_temperature = true;
        return error;
    case KEY_REPETITION_PENALTY:
        error = options_real(state, "--repetition-penalty", arg,
                             (options_range){0, 1000, true, false}, &value);
        o->sampling.repetition_penalty = (float)value;
        return error;
    case KEY_SEED:
        error = options_integer(state, "--seed", arg, 0, INT64_MAX, &integer);
        o->sampling.seed = (uint64_t)integer;
        return error;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    generate_options *o = state->input;
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
            return options_error(state, "generate needs a MODEL directory");
        }
        if (o->greedy && o->has_temperature && o->sampling.temperature > 0) {
            return options_error(state, "--greedy is temperature 0, but --temperature says %g",
                                 (double)o->sampling.temperature);
        }
        o->sampling.temperature = o->greedy ? 0.0f : o->sampling.temperature;
        return 0;
    case 'p':
    case KEY_PROMPT:
        o->prompt = arg;
        return 0;
    case 'n':
        return options_int32(state, "-n", arg, 1, INT32_MAX, &o->n);
    case KEY_STOP:
        if (*arg == 0) {
            return options_error(state, "--stop: expected a text, got an empty one");
        }
        if (o->stop.n_strings == STOP_STRINGS_MAX) {
            return options_error(state, "--stop: at most %d of them", STOP_STRINGS_MAX);
        }
        o->stop.strings[o->stop.n_strings++] = arg;
        return 0;
    case KEY_GREEDY:
        o->greedy = true;
        return 0;
    case KEY_IDS:
        o->ids = true;
        return 0;
    case KEY_COMPARE:
        o->compare = arg;
        return 0;
    default:
        return parse_sampling(key, arg, state);
    }
}

static const struct argp_child children[] = {{&options_common, 0, NULL, 0}, {0}};
static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "MODEL",
    .doc = "Continues a prompt and prints prompt and continuation as they come, until the model "
           "ends the text."
           "\v"
           "The same model, prompt and seed give the same text on any machine. A prompt that "
           "leaves less than N tokens of the model's context free is refused.\n"
           "\n"
           "Examples:\n"
           "  octet generate tales-int8 -p \"Once upon a time\" -n 200\n"
           "  octet generate tales-int8 -p \"The old king\" --temperature 0.8 --stop .\n"
           "  fortune | octet generate tales-int8 -p - --json\n"
           "  octet generate tales-int8 -p \"A fox\" --compare models/tales-8m",
    .children = children,
};

// ---- one model

// What the models of one command share.
typedef struct generate_run {
    generate_options *options;
    oct_tokenizer *tokenizer;
    oct_device *device;
    oct_device_info device_info;
    prompt_text prompt;
    int32_t vocab_size; // of the first model; 0 before it
    bool stream;        // print while it goes
    bool has_printed;   // an id
} generate_run;

static bool print_text(void *user, const char *text, size_t n)
{
    (void)user;
    return output_bytes(text, n) && output_flush();
}

static bool print_id(void *user, int32_t id)
{
    generate_run *run = user;
    bool ok = output_format("%s%" PRId32, run->has_printed ? " " : "", id) && output_flush();
    run->has_printed = true;
    return ok;
}

// Prints the reason and returns false if the prompt and this model do not go together.
static bool check_fit(generate_run *run, const char *model, const oct_engine_info *info)
{
    int64_t total = (int64_t)run->prompt.n_ids + run->options->n;
    if (run->vocab_size != 0 && run->vocab_size != info->vocab_size) {
        console_fail("--compare: expected a model with %" PRId32
                     " token ids like MODEL, '%s' has %" PRId32,
                     run->vocab_size, model, info->vocab_size);
        return false;
    }
    run->vocab_size = info->vocab_size;
    if (total > info->n_positions) {
        console_fail("the prompt has %zu tokens and -n asks for %" PRId32 " more: %" PRId64
                     " do not fit into the context of %" PRId32,
                     run->prompt.n_ids, run->options->n, total, info->n_positions);
        return false;
    }
    return true;
}

static bool continue_prompt(generation *out, generate_run *run, oct_engine *engine,
                            int32_t end_of_text)
{
    generate_options *o = run->options;
    bool stream_ids = run->stream && o->ids, stream_text = run->stream && !o->ids;
    generation_request request = {
        .tokenizer = run->tokenizer,
        .prompt = run->prompt.ids,
        .n_prompt = (int32_t)run->prompt.n_ids,
        .n_new = o->n,
        .stop_id = end_of_text,
        .sampling = o->sampling,
        .stop = &o->stop,
        .on_text = stream_text ? print_text : NULL,
        .on_id = stream_ids ? print_id : NULL,
        .user = run,
    };
    if (stream_text) {
        output_bytes(run->prompt.bytes, run->prompt.n_bytes);
        output_flush();
    }
    bool ok = generation_run(out, engine, &request);
    if (stream_ids || (stream_text && (out->n_text == 0 || out->text[out->n_text - 1] != '\n'))) {
        output_bytes("\n", 1);
        output_flush();
    }
    return ok;
}

// Loads the model, generates and closes it.
static bool run_model(generation *out, oct_format *format, generate_run *run, const char *model)
{
    oct_engine *engine = NULL;
    oct_status status = oct_engine_open(&engine, run->device, model);
    if (status != OCT_OK) {
        console_fail_status(status);
        return false;
    }
    oct_engine_info info;
    oct_engine_describe(engine, &info);
    *format = info.format;
    int32_t end_of_text =
        info.eos_token_id >= 0 ? info.eos_token_id : oct_tokenizer_end_of_text(run->tokenizer);
    interrupt_defer(true);
    bool ok = prompt_text_complete(&run->prompt, end_of_text) && check_fit(run, model, &info) &&
              continue_prompt(out, run, engine, end_of_text);
    interrupt_defer(false);
    oct_engine_close(engine);
    if (ok && out->end == GENERATION_ABANDONED) {
        if (interrupt_pending()) {
            console_fail("interrupted");
        } // else output_end says why
        ok = false;
    }
    return ok;
}

// ---- the command

static int generate(generate_run *run)
{
    const generate_options *o = run->options;
    const command_common *common = o->common;
    bool remarks = console_shows_progress(common);
    generation_print print = {
        .prompt = &run->prompt,
        .tokenizer = run->tokenizer,
        .device = &run->device_info,
        .seed = o->sampling.seed,
        .ids = o->ids,
        .n = o->compare != NULL ? 2 : 1,
        .models = {o->model, o->compare},
    };
    run->stream = !common->json && print.n == 1;
    bool ok = true;
    for (int i = 0; ok && i < print.n; i++) {
        if (!run->stream && remarks) {
            char text[80];
            snprintf(text, sizeof text, "generating with %.60s", print.models[i]);
            console_status(text);
        }
        ok = run_model(&print.results[i], &print.formats[i], run, print.models[i]);
        console_status_clear();
    }
    const generation *g = &print.results[0];
    if (ok && common->json) {
        generation_print_json(&print);
    } else if (ok && print.n > 1) {
        generation_print_columns(&print);
    } else if (ok && remarks && isatty(STDOUT_FILENO)) {
        console_note("[%" PRId32 " tokens, %s tokens/s, ended by %s]", g->n_ids,
                     number_rate(generation_rate(g)).text, generation_end_name(g->end));
    }
    generation_free(&print.results[0]);
    generation_free(&print.results[1]);
    return ok ? COMMAND_OK : COMMAND_FAILED;
}

int cmd_generate(command_common *common, int argc, char **argv)
{
    static char name[] = "octet generate";
    generate_options o = {
        .common = common,
        .n = DEFAULT_N,
        .sampling = {.temperature = 1.0f,
                     .repetition_penalty = 1.0f,
                     .top_k = DEFAULT_TOP_K,
                     .top_p = 1.0},
    };
    int status = COMMAND_FAILED;
    if (!options_parse(&argp, name, argc, argv, 0, NULL, &o, common, &status)) {
        return status;
    }
    if (!model_check(o.model, "MODEL") ||
        (o.compare != NULL && !model_check(o.compare, "--compare"))) {
        return COMMAND_FAILED;
    }
    generate_run run = {.options = &o};
    oct_status opened = oct_tokenizer_open(&run.tokenizer, o.model);
    if (opened != OCT_OK) {
        return console_fail_status(opened);
    }
    if (prompt_text_read(&run.prompt, o.prompt, run.tokenizer) &&
        model_device_open(&run.device, &run.device_info, common)) {
        status = generate(&run);
    }
    oct_device_close(run.device);
    prompt_text_free(&run.prompt);
    oct_tokenizer_close(run.tokenizer);
    return output_end(status);
}
