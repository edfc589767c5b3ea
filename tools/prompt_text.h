// tools: TOKENIZE: the prompt of `octet generate`, from the command line or standard input.
#ifndef OCT_PROMPT_TEXT_H
#define OCT_PROMPT_TEXT_H

#include "octet/tokenizer.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct prompt_text {
    char *bytes; // owned [n_bytes], as the user gave them
    size_t n_bytes;
    int32_t *ids; // owned [n_ids]
    size_t n_ids;
} prompt_text;

// Encodes `given` (NULL = empty); "-" reads standard input and drops one line end behind it. Prints
// the reason and returns false on failure. prompt_text_free in any case.
bool prompt_text_read(prompt_text *p, const char *given, const oct_tokenizer *tokenizer);

// An empty prompt becomes the end-of-text token, since what stands behind it begins a text. Prints
// the reason and returns false if there is no such token (-1).
bool prompt_text_complete(prompt_text *p, int32_t end_of_text);

// The bytes as JSON can say them: ill-formed UTF-8 becomes U+FFFD. NULL when out of memory.
json_t *prompt_text_json(const prompt_text *p, const oct_tokenizer *tokenizer);

void prompt_text_free(prompt_text *p);

#endif
