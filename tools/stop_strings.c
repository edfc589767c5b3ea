// tools: SAMPLE: stop strings: ends a text before the first of them, and holds back what may become
// one.
#include "stop_strings.h"

#include <stdlib.h>
#include <string.h>

// Where the first stop string begins in the held text; n_held if there is none.
static size_t find_stop(const stop_strings *stop)
{
    size_t first = stop->n_held;
    for (int i = 0; i < stop->n_strings; i++) {
        const char *s = stop->strings[i];
        const char *at = memmem(stop->held, stop->n_held, s, strlen(s));
        if (at != NULL && (size_t)(at - stop->held) < first) {
            first = (size_t)(at - stop->held);
        }
    }
    return first;
}

// How much of the held text cannot be the beginning of a stop string.
static size_t count_certain(const stop_strings *stop)
{
    for (size_t begin = 0; begin < stop->n_held; begin++) {
        size_t length = stop->n_held - begin;
        for (int i = 0; i < stop->n_strings; i++) {
            const char *s = stop->strings[i];
            if (length < strlen(s) && memcmp(stop->held + begin, s, length) == 0) {
                return begin;
            }
        }
    }
    return stop->n_held;
}

bool stop_strings_push(stop_strings *stop, const char *bytes, size_t n, const char **text,
                       size_t *n_text, bool *stopped)
{
    *text = bytes;
    *n_text = n;
    *stopped = false;
    if (stop->n_strings == 0) {
        return true;
    }
    if (n == 0) {
        return true;
    }
    // One half for what is held, one for what is passed on.
    size_t need = stop->n_held + n;
    if (stop->held == NULL || need > stop->held_size) {
        size_t size = need * 2;
        char *held = malloc(size * 2);
        if (held == NULL) {
            return false;
        }
        if (stop->held != NULL) {
            memcpy(held, stop->held, stop->n_held);
        }
        free(stop->held);
        stop->held = held;
        stop->held_size = size;
    }
    memcpy(stop->held + stop->n_held, bytes, n);
    stop->n_held += n;

    size_t pass = find_stop(stop);
    *stopped = pass < stop->n_held;
    if (!*stopped) {
        pass = count_certain(stop);
    }
    char *out = stop->held + stop->held_size;
    memcpy(out, stop->held, pass);
    stop->n_held = *stopped ? 0 : stop->n_held - pass;
    memmove(stop->held, stop->held + pass, stop->n_held);
    *text = out;
    *n_text = pass;
    return true;
}

void stop_strings_finish(stop_strings *stop, const char **text, size_t *n_text)
{
    *text = stop->held;
    *n_text = stop->n_held;
    stop->n_held = 0;
}

void stop_strings_reset(stop_strings *stop)
{
    free(stop->held);
    stop->held = NULL;
    stop->n_held = 0;
    stop->held_size = 0;
}
