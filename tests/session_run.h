// tests: runs token sequences through a batch and collects all their logits.
#ifndef OCT_SESSION_RUN_H
#define OCT_SESSION_RUN_H

#include "octet/octet.h"

typedef struct test_sequence {
    const int32_t *ids; // [n]
    int32_t n;
    float *logits; // [n][V] out, owned by the caller
} test_sequence;

// All sequences in one batch of these options; n_new = 0, every row's logits are collected.
void run_together(oct_engine *engine, const oct_batch_options *options, test_sequence *sequences,
                  int n);

// Each in a batch of its own, one step if `options` allow it.
void run_alone(oct_engine *engine, const oct_batch_options *options, test_sequence *sequences,
               int n);

#endif
