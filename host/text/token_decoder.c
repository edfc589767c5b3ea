// TOKENIZE: tokens to text, one at a time, never half a character (STREAM's text comes from here).
#include "text/tokenizer_private.h"

#include "base/check.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HELD 3 // bytes of a character that lacks its last one

static const char replacement[] = "\xEF\xBF\xBD"; // U+FFFD

oct_status oct_decoder_init(oct_decoder *decoder, const oct_tokenizer *tokenizer)
{
    *decoder = (oct_decoder){.tokenizer = tokenizer};
    // Every byte of the input may come out as one U+FFFD of three bytes.
    size_t n_input = tokenizer->max_token_bytes + MAX_HELD;
    decoder->input = malloc(n_input * 4);
    OCT_REQUIRE(decoder->input != NULL, OCT_ERR_NOMEM, "out of memory for %zu bytes", n_input * 4);
    decoder->output = (char *)decoder->input + n_input;
    return OCT_OK;
}

void oct_decoder_free(oct_decoder *decoder)
{
    if (decoder != NULL) {
        free(decoder->input);
        *decoder = (oct_decoder){0};
    }
}

// Bytes that one U+FFFD replaces at the end of `output`.
static size_t put_replacement(char *output)
{
    memcpy(output, replacement, sizeof replacement - 1);
    return sizeof replacement - 1;
}

oct_status oct_decoder_push(oct_decoder *decoder, int32_t id, const char **text, size_t *n_bytes)
{
    const char *bytes;
    size_t n;
    OCT_TRY(oct_tokenizer_token_bytes(decoder->tokenizer, id, &bytes, &n));
    unsigned char *input = decoder->input;
    memcpy(input + decoder->n_held, bytes, n);
    n += decoder->n_held;
    size_t i = 0, n_out = 0;
    while (i < n) {
        size_t valid = utf8_valid_prefix(input + i, n - i);
        memcpy(decoder->output + n_out, input + i, valid);
        i += valid;
        n_out += valid;
        if (i < n) {
            bool cut_short;
            size_t bad = utf8_ill_formed(input + i, n - i, &cut_short);
            if (cut_short) {
                break;
            }
            n_out += put_replacement(decoder->output + n_out);
            i += bad;
        }
    }
    decoder->n_held = n - i;
    memmove(input, input + i, n - i);
    *text = decoder->output;
    *n_bytes = n_out;
    return OCT_OK;
}

void oct_decoder_finish(oct_decoder *decoder, const char **text, size_t *n_bytes)
{
    // What is held is the beginning of one character: one U+FFFD stands for it.
    *text = decoder->output;
    *n_bytes = decoder->n_held > 0 ? put_replacement(decoder->output) : 0;
    decoder->n_held = 0;
}
