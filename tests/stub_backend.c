// tests: the hashing backend. Every op checks what the contract says about its step before it
// trusts it.
#include "stub_backend.h"

#include "base/check.h"
#include "octet/numerics.h"

#include <stdlib.h>
#include <string.h>

static stub_device *stub_of(oct_device *device)
{
    return (stub_device *)(void *)device;
}

static void *at(oct_buf buf)
{
    return (char *)(void *)buf.mem + buf.offset;
}

// ---- the model: mix of id and position, then for each layer a hash over all positions so far

static uint64_t embed_hash(uint64_t salt, int32_t id, int32_t position)
{
    return oct_mix(salt ^ ((uint64_t)(uint32_t)id << 32 | (uint32_t)position));
}

static uint64_t attend_hash(uint64_t sum, uint64_t key, int32_t layer)
{
    return oct_mix(sum ^ key ^ ((uint64_t)(uint32_t)layer << 56));
}

static float logit_of(uint64_t hash, int32_t n)
{
    return (float)(oct_mix(hash + (uint64_t)(uint32_t)n) >> 40) * 0x1p-20f - 8.0f; // [-8, 8)
}

void stub_logits(const stub_engine *stub, const int32_t *ids, int32_t position, float *out)
{
    size_t n = (size_t)position + 1;
    uint64_t *x = calloc(n, sizeof *x);
    for (size_t t = 0; t < n; t++) {
        x[t] = embed_hash(stub->device.salt, ids[t], (int32_t)t);
    }
    for (int32_t layer = 0; layer < STUB_LAYERS; layer++) {
        for (size_t t = n; t-- > 0;) {
            uint64_t sum = 0;
            for (size_t j = 0; j <= t; j++) {
                sum = attend_hash(sum, x[j], layer);
            }
            x[t] = oct_mix(oct_mix(x[t] ^ sum) * 3 + 1);
        }
    }
    for (int32_t v = 0; v < stub->engine.config.vocab_size; v++) {
        out[v] = logit_of(x[position], v);
    }
    free(x);
}

int32_t stub_draw(const stub_engine *stub, const float *logits, int32_t position,
                  const oct_sampling *sampling, const int32_t *history, int32_t n_history)
{
    uint64_t hash = sampling->seed;
    hash = oct_mix(hash ^ (uint64_t)(uint32_t)(position + 1));
    hash = oct_mix(hash ^ (uint64_t)(uint32_t)sampling->choice);
    hash = oct_mix(hash ^ oct_bits(sampling->temperature));
    hash = oct_mix(hash ^ oct_bits(logits[0]));
    if (sampling->repetition_penalty != 1.0f) {
        for (int32_t i = 0; i < n_history; i++) {
            hash = oct_mix(hash ^ (uint64_t)(uint32_t)history[i]);
        }
    }
    return (int32_t)(hash % (uint64_t)stub->engine.config.vocab_size);
}

void stub_score(const stub_engine *stub, const float *logits, int32_t target, int64_t index,
                oct_score_sums *sums)
{
    uint64_t hash = 0;
    for (int32_t n = 0; n < stub->engine.config.vocab_size; n++) {
        hash += oct_hash_logit((uint32_t)n, oct_bits(logits[n]));
    }
    sums->nll += (int64_t)((8.0 - (double)logits[target]) * 0x1p32);
    sums->hash += oct_hash_row(hash, (uint64_t)index);
    sums->count += 1;
}

int32_t stub_generate(const stub_engine *stub, int32_t *ids, int32_t n_ids, int32_t n_new,
                      int32_t stop_id, const oct_sampling *sampling)
{
    float *logits = calloc((size_t)stub->engine.config.vocab_size, sizeof *logits);
    int32_t n = 0;
    while (n < n_new) {
        int32_t position = n_ids + n - 1;
        stub_logits(stub, ids, position, logits);
        ids[position + 1] = stub_draw(stub, logits, position, sampling, ids, n_ids + n);
        n++;
        if (ids[position + 1] == stop_id) {
            break;
        }
    }
    free(logits);
    return n;
}

// ---- the device

static oct_status stub_info(oct_device *device, oct_device_info *out)
{
    (void)device;
    *out = (oct_device_info){.name = "stub", .n_threads = 1};
    return OCT_OK;
}

static oct_status stub_alloc(oct_device *device, size_t bytes, oct_buf *out)
{
    stub_device *stub = stub_of(device);
    stub->n_alloc++;
    OCT_REQUIRE(stub->n_alloc != stub->alloc_fails, OCT_ERR_NOMEM,
                "out of device memory: %zu bytes", bytes);
    *out = (oct_buf){calloc(1, bytes), 0};
    OCT_REQUIRE(out->mem != NULL, OCT_ERR_NOMEM, "out of memory: %zu bytes", bytes);
    return OCT_OK;
}

static void stub_free(oct_device *device, oct_buf buf)
{
    if (buf.mem != NULL) {
        stub_of(device)->n_free++;
        free(buf.mem);
    }
}

static oct_status stub_upload(oct_device *device, oct_buf dst, const void *src, size_t bytes)
{
    stub_of(device)->n_upload++;
    stub_of(device)->upload_bytes += (int64_t)bytes;
    memcpy(at(dst), src, bytes);
    return OCT_OK;
}

static oct_status stub_download(oct_device *device, void *dst, oct_buf src, size_t bytes)
{
    (void)device;
    memcpy(dst, at(src), bytes);
    return OCT_OK;
}

static oct_status stub_copy(oct_device *device, oct_buf dst, oct_buf src, size_t bytes)
{
    (void)device;
    memcpy(at(dst), at(src), bytes);
    return OCT_OK;
}

static oct_status stub_zero(oct_device *device, oct_buf dst, size_t bytes)
{
    (void)device;
    memset(at(dst), 0, bytes);
    return OCT_OK;
}

static oct_status stub_sync(oct_device *device)
{
    (void)device;
    return OCT_OK;
}

static void stub_close(oct_device *device)
{
    (void)device;
}

// ---- the ops

static oct_status begin_op(oct_device *device)
{
    stub_device *stub = stub_of(device);
    stub->n_ops++;
    OCT_REQUIRE(stub->n_ops != stub->op_fails, OCT_ERR_DEVICE, "the stub fails at op %lld",
                (long long)stub->n_ops);
    return OCT_OK;
}

static int32_t page_of(const oct_step *step, int32_t slot, int32_t position)
{
    const int32_t *table = at(step->page_table);
    return table[slot * step->max_pages + position / OCT_PAGE_TOKENS];
}

// Rows of one sequence stand together in ascending position; no two sequences have a page.
static oct_status check_step(stub_device *stub, const oct_step *step)
{
    const int32_t *position = at(step->position), *slot = at(step->slot);
    int32_t owner[1024];
    memset(owner, -1, sizeof owner);
    stub->max_rows_seen = step->n_rows > stub->max_rows_seen ? step->n_rows : stub->max_rows_seen;
    stub->max_logits_seen =
        step->n_logits > stub->max_logits_seen ? step->n_logits : stub->max_logits_seen;
    stub->last_rows = step->n_rows;
    OCT_REQUIRE(step->n_rows >= 1, OCT_ERR_BUG, "a step of %d rows", step->n_rows);
    for (int32_t t = 0; t < step->n_rows; t++) {
        if (position[t] < 0) {
            OCT_REQUIRE(position[t] == -1 && slot[t] == 0, OCT_ERR_BUG, "padded row %d", t);
            stub->n_padded++;
            continue;
        }
        for (int32_t before = 0; before < t; before++) {
            OCT_REQUIRE(slot[before] != slot[t] || position[before] < 0 ||
                            position[t] - position[before] == t - before,
                        OCT_ERR_BUG, "row %d does not follow row %d of slot %d", t, before,
                        slot[t]);
        }
        for (int32_t p = 0; p <= position[t] / OCT_PAGE_TOKENS; p++) {
            int32_t page = page_of(step, slot[t], p * OCT_PAGE_TOKENS), id = slot[t] * 64 + p;
            OCT_REQUIRE(page >= 1 && page < 1024, OCT_ERR_BUG, "row %d: page %d", t, page);
            OCT_REQUIRE(owner[page] < 0 || owner[page] == id, OCT_ERR_BUG, "page %d is shared",
                        page);
            owner[page] = id;
            stub->pages_seen[page / 64] |= (uint64_t)1 << page % 64;
        }
    }
    return OCT_OK;
}

static uint64_t get(oct_buf rows, size_t stride, int32_t row)
{
    uint64_t value;
    memcpy(&value, (char *)at(rows) + (size_t)row * stride, sizeof value);
    return value;
}

static void put(oct_buf rows, size_t stride, int32_t row, uint64_t value)
{
    memcpy((char *)at(rows) + (size_t)row * stride, &value, sizeof value);
}

// Rows wait as f32 where the step is found row by row.
static void put_waiting(oct_buf waiting, const oct_quant *quant, int32_t cols, int32_t row)
{
    if (quant->dynamic) {
        memset((float *)at(waiting) + row * cols, 0, (size_t)cols * sizeof(float));
    }
}

// Writes an activation to its last byte, steps and zero points included, so that a sanitizer sees a
// buffer that is too small.
static void put_act(const oct_act *act, oct_format format, int32_t cols, int32_t row,
                    uint64_t value)
{
    size_t stride = oct_act_stride(format, cols);
    memset((char *)at(act->data) + (size_t)row * stride, 0, stride);
    put(act->data, stride, row, value);
    if (format != OCT_FORMAT_F32) {
        ((float *)at(act->row_step))[row] = 1.0f;
        ((int32_t *)at(act->row_zero))[row] = 0;
    }
}

static oct_status stub_embed(oct_device *device, const oct_embed_args *args)
{
    OCT_TRY(begin_op(device));
    OCT_TRY(check_step(stub_of(device), args->step));
    const int32_t *id = at(args->step->id), *position = at(args->step->position);
    for (int32_t t = 0; t < args->step->n_rows; t++) {
        memset((char *)at(args->x) + (size_t)t * STUB_WIDTH * 4, 0, (size_t)STUB_WIDTH * 4);
        put(args->x, (size_t)STUB_WIDTH * 4, t,
            embed_hash(stub_of(device)->salt, id[t], position[t]));
    }
    return OCT_OK;
}

static oct_status stub_norm(oct_device *device, const oct_norm_args *args)
{
    OCT_TRY(begin_op(device));
    for (int32_t i = 0; i < args->n_rows; i++) {
        int32_t row = args->rows.mem != NULL ? ((int32_t *)at(args->rows))[i] : i;
        uint64_t x = row < 0 ? 0 : get(args->x, (size_t)STUB_WIDTH * 4, row);
        put_act(&args->out, args->quant.format, args->cols, i, x);
    }
    return OCT_OK;
}

// The key of a token: 8 bytes in the K block of head 0 of its layer and page.
static uint64_t *key_of(const oct_kv *kv, int32_t page, int32_t layer, int32_t position)
{
    size_t block = ((size_t)page * (size_t)kv->n_layer + (size_t)layer) * 2 * (size_t)kv->n_head;
    size_t bytes = (size_t)OCT_PAGE_TOKENS * (size_t)oct_kv_d_padded(kv->d_head) *
                   (kv->format == OCT_FORMAT_F32 ? 4u : 1u);
    return (uint64_t *)(void *)((char *)at(kv->pool) + block * bytes) + position % OCT_PAGE_TOKENS;
}

static oct_status stub_linear(oct_device *device, const oct_linear_args *args)
{
    OCT_TRY(begin_op(device));
    const oct_step *step = args->step;
    const int32_t *position = at(step->position), *slot = at(step->slot);
    oct_format format = args->linear->format;
    size_t stride = oct_act_stride(format, args->linear->k), x_stride = (size_t)STUB_WIDTH * 4;
    for (int32_t t = 0; t < args->n_rows; t++) {
        uint64_t in = get(args->in.data, stride, t);
        int32_t page;
        switch (args->epilogue) {
        case OCT_EPILOGUE_QKV:
            page = position[t] < 0 ? 0 : page_of(step, slot[t], position[t]);
            *key_of(&args->kv, page, args->layer, position[t] < 0 ? 0 : position[t]) = in;
            put(args->q, (size_t)STUB_WIDTH * (format == OCT_FORMAT_F32 ? 4 : 2), t, in);
            break;
        case OCT_EPILOGUE_GELU:
            put_waiting(args->waiting, &args->quant, args->linear->n, t);
            put_act(&args->act, args->quant.format, args->linear->n, t, in);
            break;
        case OCT_EPILOGUE_RESIDUAL: // attn.c_proj: mix(x ^ in); mlp.c_proj, whose input is x
            put(args->out, x_stride, t,
                args->linear->k == STUB_WIDTH ? oct_mix(get(args->out, x_stride, t) ^ in)
                                              : oct_mix(in * 3 + 1));
            break;
        case OCT_EPILOGUE_STORE:
            for (int32_t n = 0; n < args->linear->n; n++) {
                ((float *)at(args->out))[t * args->linear->n + n] = logit_of(in, n);
            }
            break;
        }
    }
    return OCT_OK;
}

static oct_status stub_attend(oct_device *device, const oct_attend_args *args)
{
    OCT_TRY(begin_op(device));
    const oct_step *step = args->step;
    const int32_t *position = at(step->position), *slot = at(step->slot);
    for (int32_t t = 0; t < step->n_rows; t++) {
        uint64_t sum = 0;
        for (int32_t j = 0; j <= position[t]; j++) {
            int32_t page = page_of(step, slot[t], j);
            sum = attend_hash(sum, *key_of(&args->kv, page, args->layer, j), args->layer);
        }
        put_waiting(args->waiting, &args->quant, STUB_WIDTH, t);
        put_act(&args->out, args->quant.format, STUB_WIDTH, t, sum);
    }
    return OCT_OK;
}

// The logits row r belongs to the row of x it names.
static oct_status check_logits_row(const oct_step *step, int32_t r)
{
    int32_t row = ((int32_t *)at(step->logit_row))[r];
    OCT_REQUIRE(row >= 0 && row < step->n_rows &&
                    ((int32_t *)at(step->slot))[row] == ((int32_t *)at(step->logit_slot))[r],
                OCT_ERR_BUG, "logits row %d: row %d, slot %d", r, row,
                ((int32_t *)at(step->logit_slot))[r]);
    return OCT_OK;
}

static oct_status stub_score_op(oct_device *device, const oct_score_args *args)
{
    OCT_TRY(begin_op(device));
    const oct_step *step = args->step;
    stub_engine model = {.engine.config.vocab_size = args->vocab};
    for (int32_t r = 0; r < step->n_logits; r++) {
        int32_t target = ((int32_t *)at(step->target))[r];
        if (target >= 0) {
            OCT_TRY(check_logits_row(step, r));
            stub_score(&model, (float *)at(args->logits) + (size_t)r * (size_t)args->vocab, target,
                       ((int64_t *)at(step->index))[r],
                       (oct_score_sums *)at(args->sums) + ((int32_t *)at(step->logit_slot))[r]);
        }
    }
    return OCT_OK;
}

static oct_status stub_sample(oct_device *device, const oct_sample_args *args)
{
    OCT_TRY(begin_op(device));
    const oct_step *step = args->step;
    stub_engine model = {.engine.config.vocab_size = args->vocab};
    memset(at(args->scratch), 0, (size_t)step->n_logits * (size_t)args->vocab * 8);
    for (int32_t r = 0; r < step->n_logits; r++) {
        int32_t *token = (int32_t *)at(args->token) + r;
        *token = -1;
        if (((int32_t *)at(step->sample))[r] == 0) {
            continue;
        }
        OCT_TRY(check_logits_row(step, r));
        int32_t slot = ((int32_t *)at(step->logit_slot))[r];
        int32_t position = ((int32_t *)at(step->position))[((int32_t *)at(step->logit_row))[r]];
        *token = stub_draw(&model, (float *)at(args->logits) + (size_t)r * (size_t)args->vocab,
                           position, (oct_sampling *)at(step->sampling) + slot,
                           (int32_t *)at(step->history) + (size_t)slot * (size_t)step->max_history,
                           ((int32_t *)at(step->n_history))[slot]);
        if (stub_of(device)->sampled_id >= 0) {
            *token = stub_of(device)->sampled_id;
        }
    }
    return OCT_OK;
}

static const oct_device_table table = {
    .abi = OCT_BACKEND_ABI,
    .size = sizeof(oct_device_table),
    .name = "stub",
    .info = stub_info,
    .alloc = stub_alloc,
    .free = stub_free,
    .upload = stub_upload,
    .download = stub_download,
    .copy = stub_copy,
    .zero = stub_zero,
    .sync = stub_sync,
    .close = stub_close,
};

static const oct_ops ops = {
    .abi = OCT_BACKEND_ABI,
    .size = sizeof(oct_ops),
    .embed = stub_embed,
    .norm = stub_norm,
    .linear = stub_linear,
    .attend = stub_attend,
    .score = stub_score_op,
    .sample = stub_sample,
};

void stub_open(stub_engine *stub, oct_format format, int32_t vocab, int32_t context, uint64_t salt)
{
    *stub = (stub_engine){.device = {.base = {&table, &ops}, .sampled_id = -1, .salt = salt}};
    for (int32_t i = 0; i < STUB_LAYERS; i++) {
        oct_quant quant = {.format = format, .dynamic = format != OCT_FORMAT_F32};
        stub->layers[i] = (engine_layer){
            .ln_1.quant = quant,
            .ln_2.quant = quant,
            .attn_quant = quant,
            .act_quant = quant,
            .c_attn = {.format = format, .n = 3 * STUB_WIDTH, .k = STUB_WIDTH},
            .attn_c_proj = {.format = format, .n = STUB_WIDTH, .k = STUB_WIDTH},
            .c_fc = {.format = format, .n = 4 * STUB_WIDTH, .k = STUB_WIDTH},
            .mlp_c_proj = {.format = format, .n = STUB_WIDTH, .k = 4 * STUB_WIDTH},
        };
    }
    stub->engine = (oct_engine){
        .device = &stub->device.base,
        .config = {.n_layer = STUB_LAYERS,
                   .n_head = 1,
                   .n_embd = STUB_WIDTH,
                   .d_head = STUB_WIDTH,
                   .n_inner = 4 * STUB_WIDTH,
                   .n_positions = context,
                   .vocab_size = vocab},
        .format = format,
        .layers = stub->layers,
        .ln_f.quant.format = format,
        .lm_head = {.format = format, .n = vocab, .k = STUB_WIDTH},
    };
}
