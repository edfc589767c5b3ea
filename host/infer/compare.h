// PREFILL: how far one row of logits is from the baseline's.
#ifndef OCT_COMPARE_H
#define OCT_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct row_distance {
    double kl;  // KL(baseline || model), nats; never negative
    bool top_1; // both have the same argmax, ties going to the lower id
} row_distance;

// Both [vocab], finite. Sums are double in ascending id, so one pair of rows gives one result.
row_distance compare_rows(const float *baseline, const float *model, int32_t vocab);

#endif
