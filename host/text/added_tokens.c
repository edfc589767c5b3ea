// TOKENIZE: leftmost-longest search for added tokens, with the flags of the tokenizers library.
#include "text/added_tokens.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

static int by_content(const void *a, const void *b)
{
    return strcmp(((const added_token *)a)->content, ((const added_token *)b)->content);
}

void added_tokens_init(added_tokens *set, added_token *tokens, size_t n_tokens)
{
    *set = (added_tokens){.tokens = tokens, .n_tokens = n_tokens};
    if (n_tokens > 0) {
        qsort(tokens, n_tokens, sizeof *tokens, by_content);
    }
    for (size_t i = 0; i < n_tokens; i++) {
        set->starts[(unsigned char)tokens[i].content[0]] = true;
    }
}

// First index in [lo, hi) whose content has at least `byte` at `depth`. These contents agree before
// `depth`, so they are in order of that byte; an ended one has its NUL there.
static size_t lower_bound(const added_tokens *set, size_t lo, size_t hi, size_t depth, int byte)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)set->tokens[mid].content[depth] < byte) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

// The longest token that text[0..n) begins with, and its length; NULL if none.
static const added_token *longest(const added_tokens *set, const unsigned char *text, size_t n,
                                  size_t *length)
{
    const added_token *found = NULL;
    size_t lo = 0, hi = set->n_tokens;
    for (size_t depth = 0; depth < n && text[depth] != 0; depth++) {
        lo = lower_bound(set, lo, hi, depth, text[depth]);
        hi = lower_bound(set, lo, hi, depth, text[depth] + 1);
        if (lo == hi) {
            break;
        }
        if (set->tokens[lo].content[depth + 1] == 0) {
            found = &set->tokens[lo];
            *length = depth + 1;
        }
    }
    return found;
}

static bool word_touches(const pretokenizer *pre, pcre2_match_data *scratch,
                         const unsigned char *text, size_t n, size_t begin, size_t end)
{
    size_t left = utf8_last_length(text, begin);
    size_t right = utf8_length(text + end, n - end);
    return (left > 0 && pretokenizer_is_word(pre, scratch, text + begin - left, left)) ||
           (right > 0 && pretokenizer_is_word(pre, scratch, text + end, right));
}

bool added_tokens_next(const added_tokens *set, const pretokenizer *pre, pcre2_match_data *scratch,
                       const unsigned char *text, size_t n, added_match *match)
{
    if (set->n_tokens == 0) {
        return false;
    }
    size_t begin = match->scanned;
    while (begin < n) {
        size_t length = 0;
        const added_token *token =
            set->starts[text[begin]] ? longest(set, text + begin, n - begin, &length) : NULL;
        if (token == NULL) {
            begin++;
            continue;
        }
        size_t end = begin + length;
        if (token->single_word && word_touches(pre, scratch, text, n, begin, end)) {
            begin = end; // as the tokenizers library: nothing shorter is tried inside it
            continue;
        }
        size_t scanned = end;
        size_t taken = match->end; // by the previous token and its white space
        while (token->lstrip && begin > taken) {
            size_t c = utf8_last_length(text + taken, begin - taken);
            if (c == 0 || !utf8_is_space(utf8_code_point(text + begin - c, c))) {
                break;
            }
            begin -= c;
        }
        while (token->rstrip) {
            size_t c = utf8_length(text + end, n - end);
            if (c == 0 || !utf8_is_space(utf8_code_point(text + end, c))) {
                break;
            }
            end += c;
        }
        if (token->lstrip && begin < taken) {
            begin = taken;
        }
        if (begin >= end) { // nothing of it is left
            match->end = end;
            begin = scanned;
            continue;
        }
        *match = (added_match){begin, end, scanned, token->id};
        return true;
    }
    return false;
}
