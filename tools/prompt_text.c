// tools: TOKENIZE: the prompt of `octet generate`, from the command line or standard input.
#include "prompt_text.h"

#include "console.h"
#include "number_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PROMPT_BYTES ((size_t)64 << 20) // far beyond any context

// All of standard input but one line end behind it; owned.
static char *read_input(size_t *n)
{
    char *text = NULL;
    size_t size = 0;
    *n = 0;
    for (;;) {
        if (*n == size) {
            size = size == 0 ? 4096 : size * 2;
            char *grown = size > MAX_PROMPT_BYTES ? NULL : realloc(text, size);
            if (grown == NULL) {
                free(text);
                console_fail("the prompt on standard input has more than %s bytes",
                             number_count((int64_t)*n).text);
                return NULL;
            }
            text = grown;
        }
        ssize_t got = read(STDIN_FILENO, text + *n, size - *n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            console_fail("cannot read the prompt from standard input: %s", strerror(errno));
            free(text);
            return NULL;
        }
        if (got == 0) {
            break;
        }
        *n += (size_t)got;
    }
    if (*n > 0 && text[*n - 1] == '\n') {
        *n -= *n > 1 && text[*n - 2] == '\r' ? 2 : 1;
    }
    return text;
}

bool prompt_text_read(prompt_text *p, const char *given, const oct_tokenizer *tokenizer)
{
    *p = (prompt_text){0};
    if (given != NULL && strcmp(given, "-") == 0) {
        p->bytes = read_input(&p->n_bytes);
    } else {
        p->bytes = strdup(given != NULL ? given : "");
        p->n_bytes = given != NULL ? strlen(given) : 0;
        if (p->bytes == NULL) {
            console_fail("out of memory");
        }
    }
    if (p->bytes == NULL) {
        return false;
    }
    oct_status status = oct_tokenizer_encode(tokenizer, p->bytes, p->n_bytes, &p->ids, &p->n_ids);
    if (status != OCT_OK) {
        console_fail_status(status);
    }
    return status == OCT_OK;
}

bool prompt_text_complete(prompt_text *p, int32_t end_of_text)
{
    if (p->n_ids > 0) {
        return true;
    }
    if (end_of_text < 0) {
        console_fail("expected a prompt (-p): this model has no end-of-text token to start from");
        return false;
    }
    int32_t *ids = realloc(p->ids, sizeof *ids);
    if (ids == NULL) {
        console_fail("out of memory");
        return false;
    }
    ids[0] = end_of_text;
    p->ids = ids;
    p->n_ids = 1;
    return true;
}

void prompt_text_free(prompt_text *p)
{
    free(p->bytes);
    free(p->ids);
}

json_t *prompt_text_json(const prompt_text *p, const oct_tokenizer *tokenizer)
{
    json_t *json = json_stringn(p->bytes, p->n_bytes);
    if (json != NULL) {
        return json;
    }
    oct_decoder decoder;
    char *whole = calloc(p->n_bytes * 3 + 1, 1); // a byte becomes at most U+FFFD
    size_t n_whole = 0;
    if (whole != NULL && oct_decoder_init(&decoder, tokenizer) == OCT_OK) {
        for (size_t i = 0; i <= p->n_ids; i++) {
            const char *text = NULL;
            size_t n = 0;
            if (i == p->n_ids) {
                oct_decoder_finish(&decoder, &text, &n);
            } else if (oct_decoder_push(&decoder, p->ids[i], &text, &n) != OCT_OK) {
                continue;
            }
            if (n > 0 && n <= p->n_bytes * 3 - n_whole) {
                memcpy(whole + n_whole, text, n);
                n_whole += n;
            }
        }
        oct_decoder_free(&decoder);
        json = json_stringn(whole, n_whole);
    }
    free(whole);
    return json;
}
