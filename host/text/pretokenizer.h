// TOKENIZE: cuts well-formed UTF-8 into the pieces within which byte pairs are merged.
#ifndef OCT_PRETOKENIZER_H
#define OCT_PRETOKENIZER_H

#include "octet/types.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>

// Immutable after pretokenizer_init; threads share it, each with its own match data.
typedef struct pretokenizer {
    pcre2_code *piece; // owned: GPT-2's expression
    pcre2_code *word;  // owned: one character that \w stands for in the tokenizers library
    bool jit;          // `piece` runs as machine code
} pretokenizer;

// allow_jit false: interpreted, as where PCRE2 has no JIT for the processor or the system forbids
// it. The pieces are the same. Errors: OCT_ERR_NOMEM, OCT_ERR_BUG (a PCRE2 built without Unicode).
oct_status pretokenizer_init(pretokenizer *pre, bool allow_jit);

// Accepts a zeroed object.
void pretokenizer_free(pretokenizer *pre);

// The calling thread's scratch; NULL when out of memory. Freed by pcre2_match_data_free.
pcre2_match_data *pretokenizer_scratch(const pretokenizer *pre);

// *end = where the piece that begins at `begin` ends. begin < n; text[0..n) is well-formed UTF-8
// (the caller has checked: PCRE2 is told not to). Errors: OCT_ERR_NOMEM, OCT_ERR_BUG.
oct_status pretokenizer_next(const pretokenizer *pre, pcre2_match_data *scratch,
                             const unsigned char *text, size_t n, size_t begin, size_t *end);

// Whether the well-formed character of `n` bytes is part of a word.
bool pretokenizer_is_word(const pretokenizer *pre, pcre2_match_data *scratch,
                          const unsigned char *character, size_t n);

#endif
