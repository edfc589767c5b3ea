// CALIBRATE: records what flows into every linear, and k and v, through the taps of the forward
// pass; works on the device and is read back once a pass has ended.
//
// Pass 1: per channel minima and maxima, position 0 and the rest apart, sequences of even and odd
// index apart (the search takes its ranges from the even ones); absmax by position bucket; the rows
// that the search judges by. Pass 2: histogram and moments, for which pass 1 gave the scale.
// Everything is a maximum or an integer sum, so it does not depend on the order of the sequences,
// on batches, threads or devices.
#ifndef OCT_OBSERVER_H
#define OCT_OBSERVER_H

#include "infer/forward.h"
#include "quant/calibrator.h"
#include "quant/sites.h"

// Device memory of what is observed: 32 bytes a channel, 4 bytes a channel and kept row, 16.4 KB a
// site.
typedef struct quant_observer quant_observer;

// The step that runs: known to the observer before its forward pass.
typedef struct observer_step {
    const oct_step *step; // every row of it gets logits, in order
    oct_buf k_position; // [3T] s32: that of row t at 3t + 1, else -1: the taps' rows [3C] read as 3
                        // rows [C],
    oct_buf v_position; // [3T] s32: and at 3t + 2
    oct_buf row_map;    // [T] s32 kept row of the search, -1 = none
    int32_t parity;     // index of the sequences modulo 2: all of one kind
} observer_step;

// Ranges of one site on the host, [cols] each; 0 is in every range.
typedef struct site_ranges {
    float *min_0, *max_0; // position 0
    float *min, *max;     // positions >= 1
} site_ranges;

// What pass 2 needs to know of a site.
typedef struct site_scale {
    const float *column_factors; // [cols] or NULL: all 1; borrowed during the call
    float absmax;                // of x / cs over positions >= 1
    float moment_mul;            // 2^(15 - e), e the exponent of the absmax of x over all positions
} site_scale;

typedef struct site_moments {
    int64_t sum, sum_squares,
        count; // of v = rint(x * moment_mul), of v * v, of values; all positions
} site_moments;

// For steps of at most max_rows rows; n_kept rows are kept for the search. *out is owned by the
// caller; `device` must outlive it. Errors: OCT_ERR_NOMEM, OCT_ERR_DEVICE.
oct_status observer_open(quant_observer **out, oct_device *device, const gpt2_config *config,
                         int32_t max_rows, int32_t n_kept);

// Accepts NULL.
void observer_close(quant_observer *observer);

// The sink for oct_forward; valid as long as the observer.
const oct_tap_sink *observer_sink(const quant_observer *observer);

// Which step oct_forward runs next; copied.
void observer_begin_step(quant_observer *observer, const observer_step *step);

// Ends pass 1 for good: later steps add to histogram and moments. scales [site_count].
oct_status observer_begin_histograms(quant_observer *observer, const site_scale *scales);

// Reads ranges of the sequences of one parity into arrays of the caller.
oct_status observer_read_ranges(quant_observer *observer, int32_t site, int32_t parity,
                                site_ranges *ranges);

// absmax of positions 0, 1..3 and 4.. over all sequences.
oct_status observer_read_buckets(quant_observer *observer, int32_t site, float absmax[3]);

// The kept rows of a linear's input, [n_kept][cols].
oct_status observer_read_rows(quant_observer *observer, int32_t site, float *rows);

// Gives the memory of the kept rows back; the search is over.
void observer_drop_rows(quant_observer *observer);

oct_status observer_read_histogram(quant_observer *observer, int32_t site,
                                   uint64_t bins[CALIBRATOR_BINS], site_moments *moments);

#endif
