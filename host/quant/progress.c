// CALIBRATE, QUANTIZE: progress in parts.
#include "quant/progress.h"

#include "base/check.h"

#include <time.h>

double quant_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void quant_progress_part(quant_progress *progress, double begin, double end, const char *what,
                         const char *unit)
{
    progress->begin = begin;
    progress->end = end;
    progress->what = what;
    progress->unit = unit;
    progress->started = quant_seconds();
}

oct_status quant_progress_report(const quant_progress *progress, int64_t done, int64_t total)
{
    if (progress->fn == NULL) {
        return OCT_OK;
    }
    double share = total > 0 ? (double)done / (double)total : 1.0;
    double fraction = progress->begin + (progress->end - progress->begin) * share;
    double seconds = quant_seconds() - progress->started;
    double rate = seconds > 0.0 ? (double)done / seconds : 0.0;
    int stop = progress->fn(progress->user, fraction, progress->what, rate, progress->unit);
    OCT_REQUIRE(stop == 0, OCT_ERR_CANCELLED, "cancelled while %s, at %.0f %%", progress->what,
                100.0 * fraction);
    return OCT_OK;
}
