// PREFILL, DECODE: the step buffer: a host image of backend.h's oct_step and its copy on the
// device.
//
// A step is built row by row, then uploaded: the rows always, page tables, sampling parameters and
// histories only where they have changed.
#ifndef OCT_STEP_BUFFER_H
#define OCT_STEP_BUFFER_H

#include "infer/plan.h"

// Bytes [begin, end) of the image that the device has not seen; empty where begin >= end.
typedef struct step_range {
    size_t begin, end;
} step_range;

typedef struct step_buffer {
    oct_device *device;     // borrowed
    const batch_plan *plan; // borrowed
    oct_step step;          // what the ops are given; n_rows, n_logits: of the step being built
    oct_buf buf;            // owned device memory, plan->step.bytes
    unsigned char *image;   // [plan->step.bytes] owned host copy
    step_range admitted;    // changes in sampling and page_table
    step_range histories;   // changes in history

    // Arrays of the image.
    int32_t *id, *position, *slot;                     // [max_rows]
    int64_t *index;                                    // [max_logits]
    int32_t *logit_row, *logit_slot, *target, *sample; // [max_logits]
    int32_t *n_history;                                // [max_sequences]
    oct_sampling *sampling;                            // [max_sequences]
    int32_t *page_table;                               // [max_sequences][max_pages]
    int32_t *history;                                  // [max_sequences][max_history]
} step_buffer;

// `plan` must outlive the buffer. Errors: OCT_ERR_NOMEM, OCT_ERR_DEVICE.
oct_status step_buffer_open(step_buffer *out, oct_device *device, const batch_plan *plan);

// Accepts zero-initialised ones.
void step_buffer_close(step_buffer *buffer);

// The page table row of a slot, to be filled by the caller before step_buffer_admit.
int32_t *step_buffer_pages(step_buffer *buffer, int32_t slot);

// A new sequence in `slot`: the first n_pages entries of its page table row are set already. ids
// [n_ids]: its tokens so far, kept as history only where a repetition penalty will read it.
void step_buffer_admit(step_buffer *buffer, int32_t slot, int32_t n_pages,
                       const oct_sampling *sampling, const int32_t *ids, int32_t n_ids);

// A token that follows the history of `slot`; nothing happens where none is kept.
void step_buffer_append_history(step_buffer *buffer, int32_t slot, int32_t id);

// An empty step.
void step_buffer_begin(step_buffer *buffer);

// Adds a row. The caller keeps to max_rows.
void step_buffer_add_row(step_buffer *buffer, int32_t id, int32_t position, int32_t slot);

// Gives the row added last logits; target -1 = not scored. The caller keeps to max_logits. Returns
// the number of the logits row.
int32_t step_buffer_add_logits(step_buffer *buffer, int32_t target, int64_t index, bool sample);

// Pads (where the plan says so) and uploads what has changed; afterwards `step` describes the
// step. Errors: OCT_ERR_DEVICE.
oct_status step_buffer_upload(step_buffer *buffer);

#endif
