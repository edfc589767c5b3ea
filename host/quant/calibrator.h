// CALIBRATE: how the range of a static activation is chosen from what was observed: minmax, or a
// percentile of |x / cs| (as pytorch-quantization defines it). A new one is a line in the table of
// calibrator.c.
//
// Every calibrator gives an absolute maximum `amax` for positions >= 1; the frozen range is the
// observed one, clipped to [-amax, amax]. Position 0 is never clipped: its few rows are what its
// own step is for.
#ifndef OCT_CALIBRATOR_H
#define OCT_CALIBRATOR_H

#include "octet/types.h"

#include <stdbool.h>

#define CALIBRATOR_BINS 2048

// |x / cs| of one site over positions >= 1, zeros counted: bin min(2047, (int)(|u| * (2048 /
// absmax))).
typedef struct calibrator_histogram {
    uint64_t bins[CALIBRATOR_BINS];
    float absmax; // largest |u|, 0 if all are 0 or none was seen
} calibrator_histogram;

// One row of the table.
typedef struct calibrator_method {
    const char *name;
    bool needs_histogram;  // else `histogram` may hold absmax alone
    const char *argument;  // what stands behind the colon, for messages; NULL = nothing
    double least, largest; // the argument lies in (least, largest]
    // The bin whose left edge is amax; CALIBRATOR_BINS = absmax itself, nothing is clipped.
    int32_t (*edge)(const calibrator_histogram *histogram, double argument);
} calibrator_method;

typedef struct quant_calibrator {
    const calibrator_method *method;
    double argument; // P of a percentile
} quant_calibrator;

// Parses "minmax" or "percentile:99.999". Errors: OCT_ERR_ARG, with what is allowed.
oct_status calibrator_parse(quant_calibrator *out, const char *text);

// The bin at whose left edge values are clipped, 1 .. CALIBRATOR_BINS (= nothing is clipped). At
// least 1, so that amax is never 0 where values are not.
int32_t calibrator_edge(const quant_calibrator *calibrator, const calibrator_histogram *histogram);

// The left edge of bin `edge`, (f32)(edge * absmax / 2048): one rounding.
float calibrator_amax(const calibrator_histogram *histogram, int32_t edge);

// The share of the counted values at or beyond bin `edge`; 0 where nothing was counted.
double calibrator_saturation(const calibrator_histogram *histogram, int32_t edge);

#endif
