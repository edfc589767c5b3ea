// tests: a backend that computes nothing but hashes: the logits of a row depend on every token, and
// on the position of every token, that the pages of its slot hold. Wrong pages, positions, slots or
// rows therefore change the logits, at the cost of a few instructions a row.
#ifndef OCT_STUB_BACKEND_H
#define OCT_STUB_BACKEND_H

#include "infer/engine.h"

#define STUB_LAYERS 2
#define STUB_WIDTH  16 // C

typedef struct stub_device {
    oct_device base;
    int64_t n_alloc, n_free; // calls
    int64_t n_upload, n_ops; // calls
    int64_t upload_bytes;    // sum
    int64_t alloc_fails;     // the alloc that fails, counted from 1; 0 = none
    int64_t op_fails;        // the op that fails, likewise
    int32_t sampled_id;      // >= 0: what every draw gives, whatever the logits
    uint64_t pages_seen[16]; // bit p % 64 of p / 64: page p was used
    int32_t max_rows_seen;   // largest n_rows of a step
    int32_t max_logits_seen; // and n_logits
    int32_t last_rows;       // n_rows of the last step
    int32_t n_padded;        // padded rows so far
    uint64_t salt;           // of the model: another salt, other logits
} stub_device;

// An engine on a device of its own. W8A8 or FP32; the model has `vocab` ids and `context`
// positions.
typedef struct stub_engine {
    stub_device device;
    engine_layer layers[STUB_LAYERS];
    oct_engine engine;
} stub_engine;

void stub_open(stub_engine *stub, oct_format format, int32_t vocab, int32_t context, uint64_t salt);

// What the logits of row `position` of the sequence `ids` must be; out [vocab].
void stub_logits(const stub_engine *stub, const int32_t *ids, int32_t position, float *out);

// The token that must be drawn from those logits; history [n_history], read where the penalty is
// on.
int32_t stub_draw(const stub_engine *stub, const float *logits, int32_t position,
                  const oct_sampling *sampling, const int32_t *history, int32_t n_history);

// What a row of logits adds to the sums when scored against `target` as row `index` of the text.
void stub_score(const stub_engine *stub, const float *logits, int32_t target, int64_t index,
                oct_score_sums *sums);

// Continues a prompt of n_ids tokens in ids by n_new tokens as a session must; returns how many
// it drew before stop_id (included).
int32_t stub_generate(const stub_engine *stub, int32_t *ids, int32_t n_ids, int32_t n_new,
                      int32_t stop_id, const oct_sampling *sampling);

#endif
