// TOKENIZE: added and special tokens: finds them in a text before anything else looks at it.
#ifndef OCT_ADDED_TOKENS_H
#define OCT_ADDED_TOKENS_H

#include "text/pretokenizer.h"

typedef struct added_token {
    const char *content; // borrowed, NUL-terminated UTF-8, not empty
    int32_t id;
    bool lstrip;      // takes the white space to its left
    bool rstrip;      // takes the white space to its right
    bool single_word; // only where no word character touches it
    bool normalized;  // searched for after the others, in what they leave
    bool special;     // a control token, not text
} added_token;

// Sorted by content. Immutable after added_tokens_init; threads share it.
typedef struct added_tokens {
    const added_token *tokens; // borrowed: [n_tokens]
    size_t n_tokens;
    bool starts[256]; // whether some token begins with this byte
} added_tokens;

// A token in a text, and where the search goes on; zero-initialised before the first search.
typedef struct added_match {
    size_t begin, end; // bytes, with the white space that the token takes
    size_t scanned;    // end of the name itself
    int32_t id;
} added_match;

// Sorts `tokens` (contents are distinct) and points `set` at them.
void added_tokens_init(added_tokens *set, added_token *tokens, size_t n_tokens);

// Replaces *match, the previous one, by the next: leftmost, longest; false when there is none.
// Where a name begins with white space that the previous token took, begin or end may lie before
// the previous end: the tokenizers library does so too, and the ids are the same.
bool added_tokens_next(const added_tokens *set, const pretokenizer *pre, pcre2_match_data *scratch,
                       const unsigned char *text, size_t n, added_match *match);

#endif
