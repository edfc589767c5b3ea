// tools: SAMPLE: stop strings: ends a text before the first of them, and holds back what may become
// one.
#ifndef OCT_STOP_STRINGS_H
#define OCT_STOP_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

#define STOP_STRINGS_MAX 16

typedef struct stop_strings {
    const char *strings[STOP_STRINGS_MAX]; // borrowed, not empty
    int n_strings;
    char *held; // owned: text that came and was not passed on yet
    size_t n_held, held_size;
} stop_strings; // zeroed = no stop strings

// Takes `n` bytes more. *text [*n_text] is what is certain to come before any stop string; borrowed
// until the next call. *stopped: a stop string came; it and what follows are dropped. False when
// out of memory.
bool stop_strings_push(stop_strings *stop, const char *bytes, size_t n, const char **text,
                       size_t *n_text, bool *stopped);

// The text has ended: what was held back. Borrowed.
void stop_strings_finish(stop_strings *stop, const char **text, size_t *n_text);

// Frees the text; the strings stay, and another text may begin.
void stop_strings_reset(stop_strings *stop);

#endif
