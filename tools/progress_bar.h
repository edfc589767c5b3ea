// tools: a progress bar with rate and time left on the status line of a terminal.
#ifndef OCT_PROGRESS_BAR_H
#define OCT_PROGRESS_BAR_H

#include <stdbool.h>

typedef struct progress_bar {
    bool shown;      // false: nothing is drawn, interrupts are looked at all the same
    double begun;    // when this bar's fraction began to grow, seconds
    double drawn;    // when it was last drawn
    double from;     // the fraction it began at
    double fraction; // the last one reported
} progress_bar;

void progress_bar_init(progress_bar *bar, bool shown);

// An oct_progress_fn; `user` is a progress_bar. Nonzero when the user interrupted.
int progress_bar_update(void *user, double fraction, const char *what, double rate,
                        const char *unit);

// Takes the bar away.
void progress_bar_end(progress_bar *bar);

#endif
