// tests: runs one op of a backend on seeded operands and hands back every byte it wrote, so that
// two backends (or one backend and an independent loop) can be compared by memcmp.
#ifndef OCT_OP_RUNNER_H
#define OCT_OP_RUNNER_H

#include "octet/backend.h"

#include <stdbool.h>

#define OP_MAX_OUTPUTS 16

typedef struct op_output {
    char name[24];
    size_t bytes;
    size_t cell; // bytes of one element, for messages
    void *data;  // owned
} op_output;

typedef struct op_outputs {
    int n;
    op_output item[OP_MAX_OUTPUTS];
} op_outputs;

void op_outputs_free(op_outputs *outputs);
// Fails the test with the first output, element and both bytes that differ.
void assert_outputs_equal(const op_outputs *got, const op_outputs *want, const char *label);
const void *op_output_find(const op_outputs *outputs, const char *name);

// The operands' character: which of the odd rows a case contains.
typedef struct op_case {
    oct_format format;
    int32_t rows;
    int32_t k;              // columns of the input (C); attention: head width D
    int32_t n;              // outputs; attention: heads; score and sample: vocabulary
    int32_t epilogue;       // oct_epilogue
    int32_t activation;     // oct_activation
    bool dynamic;           // dynamic rows
    bool asymmetric;        // zero points
    bool taps;              // set every tap
    bool bias;              // linear: has a bias
    int32_t first_position; // position of the first row; 0 tests the position-0 step
    bool padding;           // the last row is padding (position -1)
    uint64_t seed;
} op_case;

// Row 1 of every float operand is zero, row 2 has one huge outlier; codes include +-127 (and -128
// where asymmetric).
void run_embed(oct_device *device, const op_case *c, op_outputs *out);
void run_norm(oct_device *device, const op_case *c, op_outputs *out);
void run_linear(oct_device *device, const op_case *c, op_outputs *out);
void run_attend(oct_device *device, const op_case *c, op_outputs *out);
void run_score(oct_device *device, const op_case *c, op_outputs *out);
void run_sample(oct_device *device, const op_case *c, const oct_sampling *sampling,
                op_outputs *out);
void run_observe(oct_device *device, const op_case *c, op_outputs *out);

#endif
