// TOKENIZE: GPT-2's expression through PCRE2, with JIT where there is one.
#include "text/pretokenizer.h"

#include "base/check.h"

// White space is spelled out: PCRE2's \s under UCP also takes U+180E, which neither Python's regex
// module nor the tokenizers library does. With it no letter of the expression depends on a library.
#define SPACES                                                                                     \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"    \
    "\\x{205f}\\x{3000}"

// Every character starts some alternative, so that a match is found at every position.
static const char piece_pattern[] = "'s|'t|'re|'ve|'m|'ll|'d"
                                    "| ?\\p{L}+"
                                    "| ?\\p{N}+"
                                    "| ?[^" SPACES "\\p{L}\\p{N}]+"
                                    "|[" SPACES "]+(?![^" SPACES "])"
                                    "|[" SPACES "]+";

// Alphabetic, marks, decimal digits, connectors, joiners. The three ranges are the circled and
// squared letters: alphabetic without being letters, marks or numbers.
static const char word_pattern[] = "[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200c}\\x{200d}"
                                   "\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}"
                                   "\\x{1f170}-\\x{1f189}]";

static oct_status compile(pcre2_code **out, const char *pattern)
{
    int error;
    PCRE2_SIZE offset;
    // Anchored: the search never looks beyond the position it is given.
    *out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                         PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, NULL);
    if (*out == NULL) {
        PCRE2_UCHAR text[120] = {0};
        pcre2_get_error_message(error, text, sizeof text);
        return OCT_FAIL(error == PCRE2_ERROR_NOMEMORY ? OCT_ERR_NOMEM : OCT_ERR_BUG,
                        "PCRE2 cannot compile GPT-2's expression at offset %zu: %s", offset,
                        (const char *)text);
    }
    return OCT_OK;
}

oct_status pretokenizer_init(pretokenizer *pre, bool allow_jit)
{
    *pre = (pretokenizer){0};
    oct_status status = compile(&pre->piece, piece_pattern);
    if (status == OCT_OK) {
        status = compile(&pre->word, word_pattern);
    }
    if (status != OCT_OK) {
        pretokenizer_free(pre);
        return status;
    }
    pre->jit = allow_jit && pcre2_jit_compile(pre->piece, PCRE2_JIT_COMPLETE) == 0;
    return OCT_OK;
}

void pretokenizer_free(pretokenizer *pre)
{
    pcre2_code_free(pre->piece);
    pcre2_code_free(pre->word);
    *pre = (pretokenizer){0};
}

pcre2_match_data *pretokenizer_scratch(const pretokenizer *pre)
{
    return pcre2_match_data_create_from_pattern(pre->piece, NULL);
}

oct_status pretokenizer_next(const pretokenizer *pre, pcre2_match_data *scratch,
                             const unsigned char *text, size_t n, size_t begin, size_t *end)
{
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    if (pre->jit) {
        found = pcre2_jit_match(pre->piece, text, n, begin, 0, scratch, NULL);
    }
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
        found = pcre2_match(pre->piece, text, n, begin, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch,
                            NULL);
    }
    if (found == PCRE2_ERROR_NOMEMORY) {
        return OCT_FAIL(OCT_ERR_NOMEM, "out of memory while splitting a text");
    }
    size_t stop = found > 0 ? pcre2_get_ovector_pointer(scratch)[1] : 0;
    OCT_REQUIRE(stop > begin && stop <= n, OCT_ERR_BUG,
                "PCRE2 found no piece at byte %zu of %zu (code %d)", begin, n, found);
    *end = stop;
    return OCT_OK;
}

bool pretokenizer_is_word(const pretokenizer *pre, pcre2_match_data *scratch,
                          const unsigned char *character, size_t n)
{
    return pcre2_match(pre->word, character, n, 0, PCRE2_NO_UTF_CHECK, scratch, NULL) > 0;
}
