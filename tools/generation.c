// tools: PREFILL, DECODE, SAMPLE: continues one prompt on one engine and turns the tokens into text
// as they come.
#include "generation.h"

#include "console.h"
#include "interrupt.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROMPT_CHUNK 512 // prompt tokens of one step

// What the session's callback works on.
typedef struct run_state {
    const generation_request *request;
    generation *out;
    oct_decoder decoder;
    size_t text_size;
    oct_status status; // of the callback itself
    double ended;      // when the last token came
} run_state;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Keeps text and passes it on. False = stop.
static bool emit(run_state *run, const char *text, size_t n)
{
    generation *g = run->out;
    if (n == 0) {
        return true;
    }
    if (g->n_text + n + 1 > run->text_size) {
        size_t size = (g->n_text + n + 1) * 2;
        char *grown = realloc(g->text, size);
        if (grown == NULL) {
            run->status = OCT_ERR_NOMEM;
            return false;
        }
        g->text = grown;
        run->text_size = size;
    }
    memcpy(g->text + g->n_text, text, n);
    g->n_text += n;
    g->text[g->n_text] = 0;
    const generation_request *request = run->request;
    if (request->on_text != NULL && !request->on_text(request->user, text, n)) {
        g->end = GENERATION_ABANDONED;
        return false;
    }
    return true;
}

// Passes decoded bytes through the stop strings. False = stop.
static bool filter(run_state *run, const char *bytes, size_t n)
{
    const char *text;
    size_t n_text;
    bool stopped;
    if (!stop_strings_push(run->request->stop, bytes, n, &text, &n_text, &stopped)) {
        run->status = OCT_ERR_NOMEM;
        return false;
    }
    if (stopped) {
        run->out->end = GENERATION_STOP_STRING;
    }
    return emit(run, text, n_text) && !stopped;
}

// An on_token of oct_request.
static int take_token(void *user, int32_t id)
{
    run_state *run = user;
    const generation_request *request = run->request;
    generation *g = run->out;
    run->ended = now();
    g->ids[g->n_ids++] = id;
    if (interrupt_pending() || (request->on_id != NULL && !request->on_id(request->user, id))) {
        g->end = GENERATION_ABANDONED;
        return 1;
    }
    if (id == request->stop_id) {
        g->end = GENERATION_END_OF_TEXT;
        return 1;
    }
    if (oct_tokenizer_is_special(request->tokenizer, id)) {
        return 0; // a control token is no text
    }
    const char *bytes;
    size_t n;
    run->status = oct_decoder_push(&run->decoder, id, &bytes, &n);
    return run->status != OCT_OK || !filter(run, bytes, n);
}

// What the decoder and the stop strings held back.
static void finish_text(run_state *run)
{
    const char *text;
    size_t n;
    oct_decoder_finish(&run->decoder, &text, &n);
    if (run->out->end != GENERATION_STOP_STRING && filter(run, text, n)) {
        stop_strings_finish(run->request->stop, &text, &n);
        emit(run, text, n);
    }
}

// Steps the batch until its only session has ended.
static oct_status step_to_end(oct_batch *batch, const oct_request *request, run_state *run)
{
    oct_session *session = NULL;
    double begun = now();
    oct_status status = oct_batch_submit(batch, request, &session);
    bool busy = true;
    while (status == OCT_OK && busy && run->out->end != GENERATION_ABANDONED) {
        status = oct_batch_step(batch, &busy);
        if (interrupt_pending()) {
            run->out->end = GENERATION_ABANDONED;
        }
    }
    run->out->seconds = run->ended > begun ? run->ended - begun : 0;
    return status;
}

bool generation_run(generation *out, oct_engine *engine, const generation_request *request)
{
    *out = (generation){.end = GENERATION_LENGTH};
    run_state run = {.request = request, .out = out, .status = OCT_OK};
    oct_batch *batch = NULL;
    out->ids = malloc(sizeof *out->ids * (size_t)request->n_new);
    out->text = calloc(1, 1);
    run.text_size = 1;
    oct_status status = out->ids == NULL || out->text == NULL
                            ? OCT_ERR_NOMEM
                            : oct_decoder_init(&run.decoder, request->tokenizer);
    if (status != OCT_OK) {
        console_fail("out of memory");
        return false;
    }

    oct_batch_options options = OCT_BATCH_OPTIONS_INIT;
    options.max_rows = request->n_prompt < PROMPT_CHUNK ? request->n_prompt : PROMPT_CHUNK;
    options.max_sequences = 1;
    oct_request r = OCT_REQUEST_INIT;
    r.ids = request->prompt;
    r.n_ids = request->n_prompt;
    r.n_new = request->n_new;
    r.stop_id = request->stop_id;
    r.sampling = request->sampling;
    r.on_token = take_token;
    r.user = &run;
    status = oct_batch_open(&batch, engine, &options);
    if (status == OCT_OK) {
        status = step_to_end(batch, &r, &run);
    }
    if (status == OCT_OK && run.status != OCT_OK) {
        status = run.status;
    }
    if (status == OCT_OK) {
        finish_text(&run);
        status = run.status;
    }
    if (status != OCT_OK) {
        console_fail_status(status);
    }
    oct_batch_close(batch);
    oct_decoder_free(&run.decoder);
    stop_strings_reset(request->stop);
    return status == OCT_OK;
}

void generation_free(generation *g)
{
    free(g->ids);
    free(g->text);
    *g = (generation){0};
}

double generation_rate(const generation *g)
{
    return g->seconds > 0 ? g->n_ids / g->seconds : 0;
}

const char *generation_end_name(generation_end end)
{
    static const char *const names[] = {"length", "end_of_text", "stop_string", "abandoned"};
    return names[end];
}
