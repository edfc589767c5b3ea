// CALIBRATE, QUANTIZE: progress of a long call in parts, with a rate; a callback that returns
// nonzero stops it.
#ifndef OCT_PROGRESS_H
#define OCT_PROGRESS_H

#include "octet/octet.h"

typedef struct quant_progress {
    oct_progress_fn *fn; // NULL = silent
    void *user;
    double begin, end; // the part of the whole that runs now, in [0, 1]
    const char *what;  // what it does
    const char *unit;  // of what its rate counts: "tokens/s"
    double started;    // seconds, monotonic
} quant_progress;

// Seconds since an arbitrary moment.
double quant_seconds(void);

// Begins the part [begin, end] of the whole.
void quant_progress_part(quant_progress *progress, double begin, double end, const char *what,
                         const char *unit);

// `done` of `total` items of the part are done. Errors: OCT_ERR_CANCELLED.
oct_status quant_progress_report(const quant_progress *progress, int64_t done, int64_t total);

#endif
