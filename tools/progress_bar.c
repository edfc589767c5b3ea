// tools: a progress bar with rate and time left on the status line of a terminal.
#include "progress_bar.h"

#include "console.h"
#include "interrupt.h"
#include "number_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_SECONDS 0.1 // a terminal keeps up, a reader too
#define BAR_WIDTH      24

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_bar_init(progress_bar *bar, bool shown)
{
    *bar = (progress_bar){.shown = shown, .begun = now()};
}

static void draw(const progress_bar *bar, const char *what, double rate, const char *unit,
                 double elapsed)
{
    char cells[BAR_WIDTH + 1];
    int full = (int)(bar->fraction * BAR_WIDTH);
    for (int i = 0; i < BAR_WIDTH; i++) {
        cells[i] = i < full ? '#' : '.';
    }
    cells[BAR_WIDTH] = 0;

    char line[512];
    int n = snprintf(line, sizeof line, "%.60s [%s] %3d%%", what, cells,
                     (int)(bar->fraction * 100 + 0.5));
    if (rate > 0 && unit != NULL && n < (int)sizeof line) {
        const char *slash = strchr(unit, '/') != NULL ? "" : "/s"; // "tokens" or "tokens/s"
        n += snprintf(line + n, sizeof line - (size_t)n, "  %s %.30s%s", number_rate(rate).text,
                      unit, slash);
    }
    double grown = bar->fraction - bar->from;
    if (elapsed > 0.5 && grown > 0.005 && n < (int)sizeof line) {
        double left = elapsed * (1 - bar->fraction) / grown;
        // Tenths of a second would only flicker.
        n += left < 60 ? snprintf(line + n, sizeof line - (size_t)n, "  %.0f s left", left)
                       : snprintf(line + n, sizeof line - (size_t)n, "  %s left",
                                  number_seconds(left).text);
    }
    int width = console_columns(STDERR_FILENO);
    if (width > 1 && n >= width) {
        line[width - 1] = 0; // a line that wraps could not be redrawn
    }
    console_status(line);
}

int progress_bar_update(void *user, double fraction, const char *what, double rate,
                        const char *unit)
{
    progress_bar *bar = user;
    if (bar->shown) {
        double time = now();
        fraction = fraction > 0 ? (fraction < 1 ? fraction : 1) : 0;
        if (fraction < bar->fraction) { // a new phase that counts from 0
            bar->begun = time;
            bar->from = fraction;
        }
        bar->fraction = fraction;
        if (time - bar->drawn >= REDRAW_SECONDS) {
            bar->drawn = time;
            draw(bar, what != NULL ? what : "", rate, unit, time - bar->begun);
        }
    }
    return interrupt_pending();
}

void progress_bar_end(progress_bar *bar)
{
    if (bar->shown) {
        console_status_clear();
    }
}
