// The CPU backend, op attend: causal attention over the paged cache (NUMERICS.md sections 5 and 7),
// then rounding.
#include "cpu/cpu_attend_i8.h"
#include "cpu/cpu_round.h"

typedef struct attend_job {
    cpu_device *device;
    const oct_attend_args *args;
} attend_job;

// Where a row's keys and values are: pages by position.
typedef struct row_pages {
    const int32_t *pages; // of this row's slot
    size_t block, page;   // elements: this layer and head within a page, K; and a whole page
    size_t v;             // elements from a K block to its V block
} row_pages;

static row_pages find_pages(const oct_attend_args *args, int32_t t, int32_t head)
{
    const oct_kv *kv = &args->kv;
    size_t dp = (size_t)oct_kv_d_padded(kv->d_head), H = (size_t)kv->n_head;
    size_t block = OCT_PAGE_TOKENS * dp;
    int32_t slot = ((const int32_t *)cpu_ptr(args->step->slot))[t];
    oct_assert(args->step->page_table.mem != NULL);
    return (row_pages){
        .pages = (const int32_t *)cpu_ptr(args->step->page_table) +
                 (size_t)slot * (size_t)args->step->max_pages,
        .block = ((size_t)args->layer * 2 * H + (size_t)head) * block,
        .page = (size_t)kv->n_layer * 2 * H * block,
        .v = H * block,
    };
}

// Section 5, y[d] = O[d] * (1 / L), in units of v's codes.
static void attend_row_i8(const oct_attend_args *args, int32_t t, int32_t head, int32_t position,
                          float *y)
{
    int32_t D = args->kv.d_head, dp = oct_kv_d_padded(D);
    const uint16_t *q16 = (const uint16_t *)cpu_ptr(args->q) +
                          ((size_t)t * (size_t)args->kv.n_head + (size_t)head) * (size_t)D;
    const float *k_step = (const float *)cpu_ptr(args->k_step) + (size_t)head * (size_t)D;
    const int8_t *pool = cpu_ptr(args->kv.pool);
    row_pages at = find_pages(args, t, head);
    int8_t q[CPU_D_MAX];
    float c = quantize_q(q16, k_step, D, dp, q);
    attend_i8 out;
    memset(&out, 0, sizeof out);
    for (int32_t begin = 0; begin <= position; begin += OCT_CHUNK_KEYS) {
        int32_t n = position + 1 - begin < OCT_CHUNK_KEYS ? position + 1 - begin : OCT_CHUNK_KEYS;
        const int8_t *k[2] = {NULL, NULL}, *v[2] = {NULL, NULL};
        for (int32_t i = 0; i < 2 && i * OCT_PAGE_TOKENS < n; i++) {
            k[i] = pool + (size_t)at.pages[begin / OCT_PAGE_TOKENS + i] * at.page + at.block;
            v[i] = k[i] + at.v;
        }
        attend_chunk(&out, q, c, k, v, n, dp);
    }
    float r = oct_rcp(out.state.l);
    for (int32_t d = 0; d < D; d++) {
        y[d] = oct_mul(out.O[d], r);
    }
}

// Section 7: s = chain(q, k) * scale; m = max; p = exp(s - m); l = sum p ascending; o = fma chain
// of p * v ascending; y = o / l.
static void attend_row_f32(const oct_attend_args *args, int32_t t, int32_t head, int32_t position,
                           float *s, float *y)
{
    int32_t D = args->kv.d_head, dp = oct_kv_d_padded(D), n = position + 1;
    const float *q = (const float *)cpu_ptr(args->q) +
                     ((size_t)t * (size_t)args->kv.n_head + (size_t)head) * (size_t)D;
    const float *pool = cpu_ptr(args->kv.pool);
    row_pages at = find_pages(args, t, head);
    float m = 0.0f, l = 0.0f, o[CPU_D_MAX] = {0};
    for (int32_t begin = 0; begin < n; begin += OCT_PAGE_TOKENS) {
        const float *k = pool + (size_t)at.pages[begin / OCT_PAGE_TOKENS] * at.page + at.block;
        int32_t here = n - begin < OCT_PAGE_TOKENS ? n - begin : OCT_PAGE_TOKENS;
        float chain[OCT_PAGE_TOKENS] = {0};
        for (int32_t d = 0; d < D; d++) {
            for (int32_t j = 0; j < OCT_PAGE_TOKENS; j++) {
                chain[j] = oct_fma(q[d], k[d * OCT_PAGE_TOKENS + j], chain[j]);
            }
        }
        for (int32_t j = 0; j < here; j++) {
            s[begin + j] = oct_mul(chain[j], args->scale);
            m = begin + j == 0 || s[begin + j] > m ? s[begin + j] : m;
        }
    }
    for (int32_t j = 0; j < n; j++) {
        s[j] = oct_exp_neg(oct_sub(s[j], m));
    }
    for (int32_t j = 0; j < n; j++) {
        l = oct_add(l, s[j]);
        const float *v = pool + (size_t)at.pages[j / OCT_PAGE_TOKENS] * at.page + at.block + at.v +
                         (size_t)(j % OCT_PAGE_TOKENS) * (size_t)dp;
        for (int32_t d = 0; d < dp; d++) {
            o[d] = oct_fma(s[j], v[d], o[d]);
        }
    }
    for (int32_t d = 0; d < D; d++) {
        y[d] = oct_div(o[d], l);
    }
}

// The row of one head, rounded or handed on: columns head * D ... of row t.
static void finish_head(const oct_attend_args *args, int32_t t, int32_t head, int32_t position,
                        float *y)
{
    int32_t D = args->kv.d_head, cols = args->kv.n_head * D, c0 = head * D;
    size_t stride = oct_act_stride(args->quant.format, cols);
    if (args->tap.out.mem != NULL) {
        const float *mul = cpu_ptr(args->tap.column_mul);
        float *tap = (float *)cpu_ptr(args->tap.out) + (size_t)t * (size_t)cols + (size_t)c0;
        for (int32_t d = 0; d < D; d++) {
            tap[d] = mul == NULL ? y[d] : oct_mul(y[d], mul[c0 + d]);
        }
    }
    char *out = (char *)cpu_ptr(args->out.data) + (size_t)t * stride;
    if (args->quant.format == OCT_FORMAT_F32) {
        memcpy((float *)(void *)out + c0, y, (size_t)D * sizeof(float));
        return;
    }
    const float *out_mul = (const float *)cpu_ptr(args->out_mul) + c0;
    for (int32_t d = 0; d < D; d++) {
        y[d] = oct_mul(y[d], out_mul[d]);
    }
    if (args->quant.dynamic) {
        float *waiting = (float *)cpu_ptr(args->waiting) + (size_t)t * (size_t)cols + (size_t)c0;
        memcpy(waiting, y, (size_t)D * sizeof(float));
        return;
    }
    cpu_row row = cpu_row_static(&args->quant, position);
    cpu_round_row((int8_t *)out + c0, y, D, &args->quant, row);
    if (head == 0) {
        ((float *)cpu_ptr(args->out.row_step))[t] = row.sigma;
        ((int32_t *)cpu_ptr(args->out.row_zero))[t] = row.zero;
    }
}

static void attend_rank(void *user, int rank, int size)
{
    const attend_job *job = user;
    const oct_attend_args *args = job->args;
    const int32_t *positions = cpu_ptr(args->step->position);
    int32_t H = args->kv.n_head, cols = H * args->kv.d_head, T = args->step->n_rows;
    float y[CPU_D_MAX];
    // Later rows see more keys: every size-th (row, head) pair, so that the members get equal
    // shares.
    for (int64_t i = rank; i < (int64_t)T * H; i += size) {
        int32_t t = (int32_t)(i / H), head = (int32_t)(i % H);
        if (positions[t] < 0) {
            memset(y, 0, sizeof y);
        } else if (args->kv.format == OCT_FORMAT_F32) {
            float *scores = job->device->scores + (size_t)rank * CPU_MAX_POSITIONS;
            attend_row_f32(args, t, head, positions[t], scores, y);
        } else {
            attend_row_i8(args, t, head, positions[t], y);
        }
        finish_head(args, t, head, positions[t], y);
    }
    if (args->quant.format == OCT_FORMAT_F32 || !args->quant.dynamic) {
        return;
    }
    oct_team_barrier(job->device->team); // all heads of a row are there before its maximum is taken
    int64_t begin, end;
    oct_team_range(T, 1, rank, size, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *v = (const float *)cpu_ptr(args->waiting) + (size_t)t * (size_t)cols;
        cpu_row row = cpu_row_dynamic(v, cols);
        cpu_round_row((int8_t *)cpu_ptr(args->out.data) +
                          (size_t)t * oct_act_stride(OCT_FORMAT_W8A8, cols),
                      v, cols, &args->quant, row);
        ((float *)cpu_ptr(args->out.row_step))[t] = row.sigma;
        ((int32_t *)cpu_ptr(args->out.row_zero))[t] = row.zero;
    }
}

oct_status CPU_FN(cpu_attend)(oct_device *device, const oct_attend_args *args)
{
    attend_job job = {cpu_of(device), args};
    oct_team_run(job.device->team, attend_rank, &job);
    return OCT_OK;
}
