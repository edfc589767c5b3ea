// CALIBRATE: runs a model over the calibration text, many sequences a step, and lets an observer
// look on.
#ifndef OCT_CALIBRATION_RUN_H
#define OCT_CALIBRATION_RUN_H

#include "quant/observer.h"
#include "quant/progress.h"
#include "quant/sequences.h"

// Step buffer, KV pages and workspace of one model and text; serves any number of passes.
typedef struct calibration_runner calibration_runner;

// The rows of the largest step: `wished` (0 = 512), or the longest sequence where that is more.
int32_t calibration_max_rows(const calibration_text *text, int32_t wished);

// Steps of at most calibration_max_rows(text, wished) rows. `engine` (FP32) and `text` must outlive
// the runner. *out is owned by the caller. Errors: OCT_ERR_NOMEM, OCT_ERR_DEVICE.
oct_status calibration_runner_open(calibration_runner **out, const oct_engine *engine,
                                   const calibration_text *text, int32_t wished);

// Accepts NULL.
void calibration_runner_close(calibration_runner *runner);

// One pass over all sequences: those with even index, then those with odd index, each in the order
// of `order` [text->n], a permutation of all (NULL = ascending). What an observer records does not
// depend on it. `observer` NULL: `sink` alone looks on. Errors: OCT_ERR_DEVICE, OCT_ERR_CANCELLED,
// what the sink returns.
oct_status calibration_run(calibration_runner *runner, const int32_t *order,
                           quant_observer *observer, const oct_tap_sink *sink,
                           const quant_progress *progress);

#endif
