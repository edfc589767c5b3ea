// PREFILL, DECODE: builds the step buffer on the host and uploads it, one transfer for the rows of
// a step and at most two more after an admission.
#include "infer/step_buffer.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static oct_buf part(const step_buffer *buffer, size_t offset)
{
    return (oct_buf){buffer->buf.mem, buffer->buf.offset + offset};
}

oct_status step_buffer_open(step_buffer *out, oct_device *device, const batch_plan *plan)
{
    const step_layout *at = &plan->step;
    *out = (step_buffer){.device = device, .plan = plan};
    out->image = calloc(1, at->bytes);
    OCT_REQUIRE(out->image != NULL, OCT_ERR_NOMEM, "out of memory: step buffer of %zu bytes",
                at->bytes);
    oct_status status = device->table->alloc(device, at->bytes, &out->buf);
    if (status != OCT_OK) {
        step_buffer_close(out);
        return oct_fail_prefix(status, "step buffer");
    }

    unsigned char *image = out->image;
    out->id = (int32_t *)(void *)(image + at->id);
    out->position = (int32_t *)(void *)(image + at->position);
    out->slot = (int32_t *)(void *)(image + at->slot);
    out->index = (int64_t *)(void *)(image + at->index);
    out->logit_row = (int32_t *)(void *)(image + at->logit_row);
    out->logit_slot = (int32_t *)(void *)(image + at->logit_slot);
    out->target = (int32_t *)(void *)(image + at->target);
    out->sample = (int32_t *)(void *)(image + at->sample);
    out->n_history = (int32_t *)(void *)(image + at->n_history);
    out->sampling = (oct_sampling *)(void *)(image + at->sampling);
    out->page_table = (int32_t *)(void *)(image + at->page_table);
    out->history = (int32_t *)(void *)(image + at->history);

    out->step = (oct_step){
        .max_pages = plan->max_pages,
        .id = part(out, at->id),
        .position = part(out, at->position),
        .slot = part(out, at->slot),
        .page_table = part(out, at->page_table),
        .logit_row = part(out, at->logit_row),
        .logit_slot = part(out, at->logit_slot),
        .target = part(out, at->target),
        .index = part(out, at->index),
        .sample = part(out, at->sample),
        .sampling = part(out, at->sampling),
        .history = part(out, at->history),
        .n_history = part(out, at->n_history),
        .max_history = plan->max_history,
    };
    return OCT_OK;
}

void step_buffer_close(step_buffer *buffer)
{
    if (buffer->buf.mem != NULL) {
        buffer->device->table->free(buffer->device, buffer->buf);
    }
    free(buffer->image);
    *buffer = (step_buffer){0};
}

// Marks n elements at `first` as not seen by the device.
static void touch(const step_buffer *buffer, step_range *range, const void *first, size_t bytes)
{
    size_t begin = (size_t)((const unsigned char *)first - buffer->image);
    if (range->begin >= range->end) {
        *range = (step_range){begin, begin + bytes};
        return;
    }
    range->begin = begin < range->begin ? begin : range->begin;
    range->end = begin + bytes > range->end ? begin + bytes : range->end;
}

int32_t *step_buffer_pages(step_buffer *buffer, int32_t slot)
{
    return buffer->page_table + (size_t)slot * (size_t)buffer->plan->max_pages;
}

static int32_t *history_of(const step_buffer *buffer, int32_t slot)
{
    return buffer->history + (size_t)slot * (size_t)buffer->plan->max_history;
}

void step_buffer_admit(step_buffer *buffer, int32_t slot, int32_t n_pages,
                       const oct_sampling *sampling, const int32_t *ids, int32_t n_ids)
{
    int32_t *pages = step_buffer_pages(buffer, slot);
    size_t row = (size_t)buffer->plan->max_pages;
    memset(pages + n_pages, 0, (row - (size_t)n_pages) * sizeof *pages);
    touch(buffer, &buffer->admitted, pages, row * sizeof *pages);
    buffer->sampling[slot] = *sampling;
    touch(buffer, &buffer->admitted, &buffer->sampling[slot], sizeof *sampling);

    buffer->n_history[slot] = 0;
    if (sampling->repetition_penalty != 1.0f) {
        memcpy(history_of(buffer, slot), ids, (size_t)n_ids * sizeof *ids);
        touch(buffer, &buffer->histories, history_of(buffer, slot), (size_t)n_ids * sizeof *ids);
        buffer->n_history[slot] = n_ids;
    }
}

void step_buffer_append_history(step_buffer *buffer, int32_t slot, int32_t id)
{
    int32_t n = buffer->n_history[slot];
    if (n == 0) {
        return;
    }
    oct_assert(n < buffer->plan->max_history);
    int32_t *end = history_of(buffer, slot) + n;
    *end = id;
    touch(buffer, &buffer->histories, end, sizeof *end);
    buffer->n_history[slot] = n + 1;
}

void step_buffer_begin(step_buffer *buffer)
{
    buffer->step.n_rows = 0;
    buffer->step.n_logits = 0;
}

void step_buffer_add_row(step_buffer *buffer, int32_t id, int32_t position, int32_t slot)
{
    int32_t t = buffer->step.n_rows++;
    oct_assert(t < buffer->plan->max_rows);
    buffer->id[t] = id;
    buffer->position[t] = position;
    buffer->slot[t] = slot;
}

int32_t step_buffer_add_logits(step_buffer *buffer, int32_t target, int64_t index, bool sample)
{
    int32_t r = buffer->step.n_logits++, t = buffer->step.n_rows - 1;
    oct_assert(r < buffer->plan->max_logits && t >= 0);
    buffer->logit_row[r] = t;
    buffer->logit_slot[r] = buffer->slot[t];
    buffer->target[r] = target;
    buffer->index[r] = index;
    buffer->sample[r] = sample ? 1 : 0;
    return r;
}

// Rows and logits rows that mean nothing, up to the bucket.
static void pad(step_buffer *buffer)
{
    oct_step *step = &buffer->step;
    int32_t n_rows = row_bucket(step->n_rows, buffer->plan->max_rows);
    for (int32_t t = step->n_rows; t < n_rows; t++) {
        buffer->id[t] = 0;
        buffer->position[t] = -1;
        buffer->slot[t] = 0;
    }
    step->n_rows = n_rows;
    if (step->n_logits == 0) {
        return;
    }
    int32_t n_logits = row_bucket(step->n_logits, buffer->plan->max_logits);
    for (int32_t r = step->n_logits; r < n_logits; r++) {
        buffer->logit_row[r] = -1;
        buffer->logit_slot[r] = 0;
        buffer->target[r] = -1;
        buffer->index[r] = 0;
        buffer->sample[r] = 0;
    }
    step->n_logits = n_logits;
}

static oct_status upload(step_buffer *buffer, step_range *range)
{
    if (range->begin < range->end) {
        OCT_TRY(buffer->device->table->upload(buffer->device, part(buffer, range->begin),
                                              buffer->image + range->begin,
                                              range->end - range->begin));
        *range = (step_range){0, 0};
    }
    return OCT_OK;
}

oct_status step_buffer_upload(step_buffer *buffer)
{
    if (buffer->plan->pad_rows) {
        pad(buffer);
    }
    step_range rows = {0, buffer->plan->step.step_bytes};
    OCT_TRY(upload(buffer, &rows));
    OCT_TRY(upload(buffer, &buffer->admitted));
    return upload(buffer, &buffer->histories);
}
