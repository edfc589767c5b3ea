// tools: what `octet generate` prints when it does not stream: JSON, or the texts of two models
// side by side.
#include "generation_print.h"

#include "console.h"
#include "model_open.h"
#include "number_text.h"
#include "text_columns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The index of the first generated token that differs, -1 if none does.
static int32_t first_difference(const generation_print *print)
{
    const generation *a = &print->results[0], *b = &print->results[1];
    int32_t n = a->n_ids < b->n_ids ? a->n_ids : b->n_ids;
    for (int32_t i = 0; i < n; i++) {
        if (a->ids[i] != b->ids[i]) {
            return i;
        }
    }
    return a->n_ids == b->n_ids ? -1 : n;
}

static void set_result(json_t *out, const generation *g)
{
    json_t *ids = json_array();
    for (int32_t i = 0; i < g->n_ids; i++) {
        json_array_append_new(ids, json_integer(g->ids[i]));
    }
    json_object_set_new(out, "text", json_stringn(g->text, g->n_text));
    json_object_set_new(out, "ids", ids);
    json_object_set_new(out, "tokens", json_integer(g->n_ids));
    json_object_set_new(out, "tokens_per_second", json_real(generation_rate(g)));
    json_object_set_new(out, "stopped_by", json_string(generation_end_name(g->end)));
}

void generation_print_json(const generation_print *print)
{
    json_t *out = json_object();
    json_object_set_new(out, "prompt", prompt_text_json(print->prompt, print->tokenizer));
    set_result(out, &print->results[0]);
    json_object_set_new(out, "seed", json_integer((json_int_t)print->seed));
    json_object_set_new(out, "device", json_string(print->device->name));
    json_object_set_new(out, "isa", json_string(print->device->isa));
    if (print->n > 1) {
        int32_t first = first_difference(print);
        json_t *baseline = json_object();
        set_result(baseline, &print->results[1]);
        json_object_set_new(out, "baseline", baseline);
        json_object_set_new(out, "first_difference", first < 0 ? json_null() : json_integer(first));
    }
    output_json(out);
}

// Prompt and text, or the ids; owned, NULL when out of memory.
static char *column_text(const generation_print *print, const generation *g)
{
    const prompt_text *prompt = print->prompt;
    size_t size = print->ids ? (size_t)g->n_ids * 12 + 1 : prompt->n_bytes + g->n_text + 1;
    char *text = calloc(size, 1);
    if (text == NULL) {
        return NULL;
    }
    if (!print->ids) {
        memcpy(text, prompt->bytes, prompt->n_bytes);
        memcpy(text + prompt->n_bytes, g->text, g->n_text);
        return text;
    }
    size_t n = 0;
    for (int32_t i = 0; i < g->n_ids; i++) {
        n += (size_t)snprintf(text + n, size - n, "%s%" PRId32, i > 0 ? " " : "", g->ids[i]);
    }
    return text;
}

void generation_print_columns(const generation_print *print)
{
    char titles[2][512];
    char *texts[2];
    for (int i = 0; i < 2; i++) {
        const generation *g = &print->results[i];
        snprintf(titles[i], sizeof titles[i], "%s  %s  (%s tokens/s)",
                 model_format_name(print->formats[i]), print->models[i],
                 number_rate(generation_rate(g)).text);
        texts[i] = column_text(print, g);
    }
    if (texts[0] == NULL || texts[1] == NULL) {
        console_fail("out of memory");
    } else {
        text_columns_print(&(text_column){titles[0], texts[0]}, &(text_column){titles[1], texts[1]},
                           console_columns(STDOUT_FILENO));
        int32_t first = first_difference(print);
        if (first < 0) {
            output_format("\nAll %" PRId32 " tokens are the same.\n", print->results[0].n_ids);
        } else {
            output_format("\nThe first token that differs is number %" PRId32
                          " of those generated, counted from 0.\n",
                          first);
        }
    }
    free(texts[0]);
    free(texts[1]);
}
