// PREFILL, DECODE: sizes of everything a batch allocates, computed once.
#include "infer/plan.h"

#include "base/check.h"
#include "infer/kv_pages.h"

// Rows and slots beyond this are a mistake, and products with the vocabulary stay far below 2^63.
#define PLAN_MAX_ROWS (1 << 20)
#define PLAN_ALIGN    256

// A running sum of aligned sizes that remembers an overflow.
typedef struct size_sum {
    size_t bytes;
    bool overflow;
} size_sum;

// Adds an array of count * size bytes and returns its offset.
static size_t place(size_sum *sum, size_t count, size_t size)
{
    size_t offset = sum->bytes, bytes, end;
    if (!oct_mul_size(count, size, &bytes) || !oct_add_size(offset, bytes, &end) ||
        end > SIZE_MAX / 2) {
        sum->overflow = true;
        return offset;
    }
    sum->bytes = (end + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
    return offset;
}

// The bytes of an array of count * size, which also go into the sum.
static size_t reserve(size_sum *sum, size_t count, size_t size)
{
    size_t bytes = 0;
    place(sum, count, size);
    if (!oct_mul_size(count, size, &bytes)) {
        sum->overflow = true;
    }
    return bytes;
}

static oct_status check_options(batch_plan *plan, const gpt2_config *config,
                                const oct_batch_options *options)
{
    OCT_REQUIRE(options->struct_size == sizeof *options, OCT_ERR_ARG,
                "oct_batch_options: expected struct_size %zu, got %zu", sizeof *options,
                options->struct_size);
    OCT_REQUIRE(options->max_rows >= 1 && options->max_rows <= PLAN_MAX_ROWS, OCT_ERR_ARG,
                "max_rows: expected 1 to %d, got %d", PLAN_MAX_ROWS, options->max_rows);
    OCT_REQUIRE(options->max_sequences >= 1 && options->max_sequences <= PLAN_MAX_ROWS, OCT_ERR_ARG,
                "max_sequences: expected 1 to %d, got %d", PLAN_MAX_ROWS, options->max_sequences);
    OCT_REQUIRE(options->max_logits >= 0, OCT_ERR_ARG,
                "max_logits: expected 0 (= max_sequences) or more, got %d", options->max_logits);
    OCT_REQUIRE(options->max_chunk >= 0, OCT_ERR_ARG,
                "max_chunk: expected 0 (= max_rows) or more, got %d", options->max_chunk);
    OCT_REQUIRE(options->n_pages >= 0, OCT_ERR_ARG,
                "n_pages: expected 0 (= whole contexts) or more, got %d", options->n_pages);

    int64_t context_pages = kv_pages_needed(config->n_positions);
    int64_t n_pages =
        options->n_pages != 0 ? options->n_pages : context_pages * (int64_t)options->max_sequences;
    OCT_REQUIRE(n_pages < INT32_MAX, OCT_ERR_ARG,
                "KV pages: expected at most %d, got %lld (%d sequences of %lld pages)",
                INT32_MAX - 1, (long long)n_pages, options->max_sequences,
                (long long)context_pages);

    plan->max_rows = options->max_rows;
    plan->max_sequences = options->max_sequences;
    plan->max_logits = options->max_logits != 0 ? options->max_logits : options->max_sequences;
    if (plan->max_logits > plan->max_rows) {
        plan->max_logits = plan->max_rows;
    }
    plan->max_chunk = options->max_chunk != 0 ? options->max_chunk : options->max_rows;
    if (plan->max_chunk > plan->max_rows) {
        plan->max_chunk = plan->max_rows;
    }
    plan->n_page = (int32_t)n_pages + 1;
    plan->max_pages = (int32_t)context_pages;
    plan->max_history = config->n_positions;
    plan->vocab_size = config->vocab_size;
    return OCT_OK;
}

// Returns false on overflow.
static bool lay_out_step(batch_plan *plan)
{
    step_layout *step = &plan->step;
    size_t T = (size_t)plan->max_rows, R = (size_t)plan->max_logits;
    size_t slots = (size_t)plan->max_sequences;
    size_sum sum = {0};
    step->index = place(&sum, R, sizeof(int64_t));
    step->logit_row = place(&sum, R, sizeof(int32_t));
    step->logit_slot = place(&sum, R, sizeof(int32_t));
    step->target = place(&sum, R, sizeof(int32_t));
    step->sample = place(&sum, R, sizeof(int32_t));
    step->n_history = place(&sum, slots, sizeof(int32_t));
    step->id = place(&sum, T, sizeof(int32_t));
    step->position = place(&sum, T, sizeof(int32_t));
    step->slot = place(&sum, T, sizeof(int32_t));
    step->step_bytes = sum.bytes;
    step->sampling = place(&sum, slots, sizeof(oct_sampling));
    step->page_table = place(&sum, slots, (size_t)plan->max_pages * sizeof(int32_t));
    step->history = place(&sum, slots, (size_t)plan->max_history * sizeof(int32_t));
    step->bytes = sum.bytes;
    return !sum.overflow;
}

// Whether some activation finds its step row by row, which then waits as f32 for its maximum.
static bool waits(const oct_engine *engine)
{
    bool dynamic = false;
    for (int32_t i = 0; engine->format != OCT_FORMAT_F32 && i < engine->config.n_layer; i++) {
        const engine_layer *layer = &engine->layers[i];
        dynamic = dynamic || layer->attn_quant.dynamic || layer->act_quant.dynamic;
    }
    return dynamic;
}

oct_status batch_plan_make(batch_plan *out, const oct_engine *engine,
                           const oct_batch_options *options, bool sampling)
{
    const gpt2_config *config = &engine->config;
    oct_format format = engine->format;
    const oct_batch_options defaults = OCT_BATCH_OPTIONS_INIT;
    *out = (batch_plan){.sampling = sampling};
    OCT_TRY(check_options(out, config, options != NULL ? options : &defaults));
    bool fits = lay_out_step(out);

    bool coded = format != OCT_FORMAT_F32;
    size_t T = (size_t)out->max_rows, R = (size_t)out->max_logits;
    size_t C = (size_t)config->n_embd, V = (size_t)config->vocab_size;
    size_t page = oct_kv_page_bytes(format, config->n_layer, config->n_head, config->d_head);
    size_sum sum = {0};
    out->x_bytes = reserve(&sum, T, C * 4);
    out->q_bytes = reserve(&sum, T, C * (coded ? 2 : 4));
    out->act_c_bytes = reserve(&sum, T, oct_act_stride(format, config->n_embd));
    out->act_f_bytes = reserve(&sum, T, oct_act_stride(format, config->n_inner));
    out->act_h_bytes = reserve(&sum, R, oct_act_stride(format, config->n_embd));
    out->row_bytes = coded ? reserve(&sum, T, 4 * 4) / 4 : 0; // two arrays of two activations
    out->head_row_bytes = coded ? reserve(&sum, R, 2 * 4) / 2 : 0;
    size_t widest = (size_t)(config->n_inner > config->n_embd ? config->n_inner : config->n_embd);
    out->waiting_bytes = waits(engine) ? reserve(&sum, T, widest * 4) : 0;
    out->logits_bytes = reserve(&sum, R, V * 4);
    out->scratch_bytes = sampling ? reserve(&sum, R, V * 8) : 0;
    out->token_bytes = sampling ? reserve(&sum, R, 4) : 0;
    out->sums_bytes = reserve(&sum, (size_t)out->max_sequences, sizeof(oct_score_sums));
    out->kv_bytes = reserve(&sum, (size_t)out->n_page, page);
    place(&sum, out->step.bytes, 1);
    out->device_bytes = sum.bytes;
    OCT_REQUIRE(
        fits && !sum.overflow, OCT_ERR_NOMEM,
        "a batch of %d rows, %d sequences and %d KV pages of %zu bytes exceeds every memory",
        out->max_rows, out->max_sequences, out->n_page, page);
    return OCT_OK;
}

int32_t row_bucket(int32_t n_rows, int32_t max_rows)
{
    int32_t bucket = 1;
    while (bucket < n_rows && bucket < 64) {
        bucket *= 2;
    }
    if (bucket < n_rows) {
        bucket = (n_rows + 63) / 64 * 64;
    }
    return bucket < max_rows ? bucket : max_rows;
}
