// tools: PREFILL, DECODE, SAMPLE: continues one prompt on one engine and turns the tokens into text
// as they come.
#ifndef OCT_GENERATION_H
#define OCT_GENERATION_H

#include "octet/octet.h"
#include "stop_strings.h"

#include <stdbool.h>

typedef struct generation_request {
    const oct_tokenizer *tokenizer;
    const int32_t *prompt; // [n_prompt]
    int32_t n_prompt;
    int32_t n_new;   // tokens to draw at most
    int32_t stop_id; // end of text; -1 = none
    oct_sampling sampling;
    stop_strings *stop; // reset by every generation
    // Called with text that is certain (whole UTF-8 characters), or with each token. False = stop.
    bool (*on_text)(void *user, const char *text, size_t n); // or NULL
    bool (*on_id)(void *user, int32_t id);                   // or NULL
    void *user;
} generation_request;

typedef enum generation_end {
    GENERATION_LENGTH = 0,
    GENERATION_END_OF_TEXT = 1,
    GENERATION_STOP_STRING = 2,
    GENERATION_ABANDONED = 3, // the user interrupted, or a callback said so
} generation_end;

typedef struct generation {
    int32_t *ids; // owned [n_ids]: all tokens drawn, the one that ends the text included
    int32_t n_ids;
    char *text; // owned, NUL behind it: what was passed to on_text
    size_t n_text;
    double seconds; // from the first step to the last token, the prompt included
    generation_end end;
} generation;

// Generates; an interrupt ends it with GENERATION_ABANDONED. Prints the reason and returns false on
// failure. generation_free in any case.
bool generation_run(generation *out, oct_engine *engine, const generation_request *request);

void generation_free(generation *g);

// Tokens for each second.
double generation_rate(const generation *g);

// "length", "end_of_text", "stop_string", "abandoned"
const char *generation_end_name(generation_end end);

#endif
