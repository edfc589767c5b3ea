// CALIBRATE: packs whole sequences into steps and drives the forward pass.
#include "quant/calibration_run.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_ROWS  512
#define MAX_SEQUENCES 32 // of one step
#define COPY_ALIGN    64 // elements; arrays of the step buffer start at multiples of 256 bytes

// Places of the arrays of one step in the image, in elements.
typedef struct image_layout {
    size_t id, position, slot, logit_row, row_map; // [max_rows]
    size_t k_position, v_position;                 // [3 * max_rows]
    size_t page_table;                             // [MAX_SEQUENCES][max_pages]
    size_t total;
} image_layout;

struct calibration_runner {
    const oct_engine *engine;     // borrowed
    const calibration_text *text; // borrowed
    int32_t max_rows, max_pages;  // rows of a step; pages of the longest sequence
    int32_t n_pages;              // of the pool, trash included
    image_layout layout;
    int32_t *image; // [layout.total] the step as the host fills it; owned
    oct_buf buffer; // its copy on the device
    oct_kv kv;
    oct_workspace work;

    // The step that is being filled.
    int32_t n_rows, n_sequences, n_used; // n_used: pages, trash included
};

int32_t calibration_max_rows(const calibration_text *text, int32_t wished)
{
    int32_t rows = wished > 0 ? wished : DEFAULT_ROWS;
    return rows > text->longest ? rows : text->longest;
}

static int32_t pages_of(int32_t tokens)
{
    return (tokens + OCT_PAGE_TOKENS - 1) / OCT_PAGE_TOKENS;
}

static size_t place(size_t *total, size_t count)
{
    size_t begin = *total;
    *total += (count + COPY_ALIGN - 1) / COPY_ALIGN * COPY_ALIGN;
    return begin;
}

static void place_arrays(calibration_runner *r)
{
    image_layout *l = &r->layout;
    size_t rows = (size_t)r->max_rows;
    l->id = place(&l->total, rows);
    l->position = place(&l->total, rows);
    l->slot = place(&l->total, rows);
    l->logit_row = place(&l->total, rows);
    l->row_map = place(&l->total, rows);
    l->k_position = place(&l->total, 3 * rows);
    l->v_position = place(&l->total, 3 * rows);
    l->page_table = place(&l->total, (size_t)MAX_SEQUENCES * (size_t)r->max_pages);
}

static oct_status allocate(calibration_runner *r)
{
    const gpt2_config *config = &r->engine->config;
    oct_device *device = r->engine->device;
    size_t rows = (size_t)r->max_rows;
    size_t c_bytes = rows * oct_act_stride(OCT_FORMAT_F32, config->n_embd);
    size_t f_bytes = rows * oct_act_stride(OCT_FORMAT_F32, config->n_inner);
    size_t page_bytes =
        oct_kv_page_bytes(OCT_FORMAT_F32, config->n_layer, config->n_head, config->d_head);
    r->image = calloc(r->layout.total, sizeof *r->image);
    OCT_REQUIRE(r->image != NULL, OCT_ERR_NOMEM, "no memory for a step buffer of %zu bytes",
                r->layout.total * sizeof *r->image);
    const struct {
        oct_buf *buf;
        size_t bytes;
    } buffers[] = {
        {&r->buffer, r->layout.total * sizeof *r->image},
        {&r->kv.pool, (size_t)r->n_pages * page_bytes},
        {&r->work.x, rows * (size_t)config->n_embd * sizeof(float)},
        {&r->work.q, rows * (size_t)config->n_embd * sizeof(float)},
        {&r->work.act_c.data, c_bytes},
        {&r->work.act_f.data, f_bytes},
        {&r->work.act_h.data, c_bytes},
    };
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        OCT_TRY(device->table->alloc(device, buffers[i].bytes, buffers[i].buf));
    }
    r->kv.format = OCT_FORMAT_F32;
    r->kv.n_page = r->n_pages;
    r->kv.n_layer = config->n_layer;
    r->kv.n_head = config->n_head;
    r->kv.d_head = config->d_head;
    return OCT_OK; // work.logits stays absent: the pass ends behind ln_f
}

oct_status calibration_runner_open(calibration_runner **out, const oct_engine *engine,
                                   const calibration_text *text, int32_t wished)
{
    *out = NULL;
    OCT_REQUIRE(engine->format == OCT_FORMAT_F32, OCT_ERR_ARG,
                "expected an FP32 model to calibrate, got one that is quantized already");
    calibration_runner *r = calloc(1, sizeof *r);
    OCT_REQUIRE(r != NULL, OCT_ERR_NOMEM, "no memory for a calibration run");
    r->engine = engine;
    r->text = text;
    r->max_rows = calibration_max_rows(text, wished);
    r->max_pages = pages_of(text->longest);
    // Sequences do not share pages, so each may leave one partly empty; page 0 is trash.
    r->n_pages = 1 + pages_of(r->max_rows) + MAX_SEQUENCES;
    place_arrays(r);
    oct_status status = allocate(r);
    if (status != OCT_OK) {
        calibration_runner_close(r);
        return status;
    }
    *out = r;
    return OCT_OK;
}

void calibration_runner_close(calibration_runner *r)
{
    if (r == NULL) {
        return;
    }
    oct_device *device = r->engine->device;
    device->table->free(device, r->buffer);
    device->table->free(device, r->kv.pool);
    device->table->free(device, r->work.x);
    device->table->free(device, r->work.q);
    device->table->free(device, r->work.act_c.data);
    device->table->free(device, r->work.act_f.data);
    device->table->free(device, r->work.act_h.data);
    free(r->image);
    free(r);
}

static bool fits(const calibration_runner *r, int32_t length)
{
    return r->n_sequences < MAX_SEQUENCES && r->n_rows + length <= r->max_rows;
}

// Appends a whole sequence to the step.
static void add_sequence(calibration_runner *r, int32_t sequence)
{
    const calibration_text *text = r->text;
    const image_layout *l = &r->layout;
    int32_t *image = r->image;
    int32_t length = text->length[sequence];
    calibration_text_row_map(text, sequence, image + l->row_map + r->n_rows);
    for (int32_t p = 0; p < length; p++) {
        size_t t = (size_t)(r->n_rows + p);
        image[l->id + t] = text->ids[text->begin[sequence] + (size_t)p];
        image[l->position + t] = p;
        image[l->slot + t] = r->n_sequences;
        image[l->logit_row + t] = (int32_t)t;
        for (size_t part = 0; part < 3; part++) { // q, k, v
            image[l->k_position + 3 * t + part] = part == 1 ? p : -1;
            image[l->v_position + 3 * t + part] = part == 2 ? p : -1;
        }
    }
    int32_t *pages = image + l->page_table + (size_t)r->n_sequences * (size_t)r->max_pages;
    for (int32_t i = 0; i < pages_of(length); i++) {
        pages[i] = r->n_used++;
    }
    r->n_rows += length;
    r->n_sequences++;
}

static oct_buf array(const calibration_runner *r, size_t first)
{
    oct_buf buf = r->buffer;
    buf.offset += first * sizeof(int32_t);
    return buf;
}

static void clear_step(calibration_runner *r)
{
    r->n_rows = 0;
    r->n_sequences = 0;
    r->n_used = 1;
}

// Uploads the step and runs it.
static oct_status run_step(calibration_runner *r, int32_t parity, quant_observer *observer,
                           const oct_tap_sink *sink)
{
    const image_layout *l = &r->layout;
    oct_device *device = r->engine->device;
    OCT_TRY(device->table->upload(device, r->buffer, r->image, l->total * sizeof *r->image));
    oct_step step = {.n_rows = r->n_rows,
                     .n_logits = r->n_rows,
                     .max_pages = r->max_pages,
                     .id = array(r, l->id),
                     .position = array(r, l->position),
                     .slot = array(r, l->slot),
                     .page_table = array(r, l->page_table),
                     .logit_row = array(r, l->logit_row),
                     .logit_slot = array(r, l->slot)};
    if (observer != NULL) {
        observer_step seen = {.step = &step,
                              .k_position = array(r, l->k_position),
                              .v_position = array(r, l->v_position),
                              .row_map = array(r, l->row_map),
                              .parity = parity};
        observer_begin_step(observer, &seen);
        sink = observer_sink(observer);
    }
    OCT_TRY(oct_forward(r->engine, &step, &r->kv, &r->work, sink));
    return device->table->sync(device);
}

oct_status calibration_run(calibration_runner *r, const int32_t *order, quant_observer *observer,
                           const oct_tap_sink *sink, const quant_progress *progress)
{
    const calibration_text *text = r->text;
    int64_t done = 0;
    for (int32_t parity = 0; parity < 2; parity++) {
        clear_step(r);
        for (int32_t i = 0; i <= text->n; i++) {
            int32_t sequence = i == text->n ? -1 : order != NULL ? order[i] : i;
            if (i < text->n && sequence % 2 != parity) {
                continue;
            }
            if (r->n_rows > 0 && (i == text->n || !fits(r, text->length[sequence]))) {
                OCT_TRY(run_step(r, parity, observer, sink));
                done += r->n_rows;
                OCT_TRY(quant_progress_report(progress, done, text->n_tokens));
                clear_step(r);
            }
            if (i < text->n) {
                add_sequence(r, sequence);
            }
        }
    }
    return OCT_OK;
}
