// CALIBRATE: the tap sink that queues one `observe` behind every tap it wants.
#include "quant/observer.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 256u

// Where a site's accumulators lie, in bytes.
typedef struct observed_site {
    quant_site site;
    size_t ranges[2]; // per parity min_0, max_0, min, max: 4 * cols f32
    size_t buckets;   // 3 f32
    size_t rows;      // [n_kept][cols] f32; linears only
    size_t bins;      // 2048 u64, then 3 s64 of moments
    size_t factors;   // [cols] f32
    bool has_factors;
    float absmax, moment_mul;
} observed_site;

struct quant_observer {
    oct_device *device; // borrowed
    oct_tap_sink sink;
    gpt2_config config;
    int32_t n_sites, n_kept, max_rows;
    bool pass_2;
    observer_step step; // that runs
    oct_buf value;      // [max_rows][max(3C, F)] f32: the tap of the op that runs
    oct_buf ranges;     // pass 1
    oct_buf rows;       // pass 1, kept rows
    oct_buf bins;       // pass 2
    observed_site sites[];
};

static oct_buf at(oct_buf buf, size_t offset)
{
    buf.offset += offset;
    return buf;
}

static size_t take(size_t *end, size_t bytes)
{
    size_t begin = *end;
    *end += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return begin;
}

// The site of a tap, -1 = not observed; "c_attn" holds two, k and v.
static int32_t tap_site(const quant_observer *o, const char *name, int32_t layer)
{
    static const struct {
        const char *tap;
        site_kind kind;
    } taps[] = {{"ln_1", SITE_C_ATTN},    {"attn", SITE_ATTN_C_PROJ}, {"ln_2", SITE_C_FC},
                {"act", SITE_MLP_C_PROJ}, {"ln_f", SITE_LM_HEAD},     {"c_attn", SITE_K}};
    for (size_t i = 0; i < sizeof taps / sizeof taps[0]; i++) {
        if (strcmp(name, taps[i].tap) == 0) {
            return site_find(&o->config, taps[i].kind, layer);
        }
    }
    return -1;
}

static oct_buf observer_want(void *user, const char *name, int32_t layer, int32_t rows,
                             int32_t cols)
{
    const quant_observer *o = user;
    (void)rows;
    (void)cols;
    oct_buf none = {NULL, 0};
    return tap_site(o, name, layer) >= 0 ? o->value : none;
}

// Queues the observation of one site. `rows` counts rows of `cols` values whose positions are
// `step`'s.
static oct_status observe(quant_observer *o, int32_t index, const oct_step *step, oct_buf value,
                          int32_t rows)
{
    const observed_site *s = &o->sites[index];
    size_t bytes = (size_t)s->site.cols * sizeof(float);
    oct_observe_args args = {.step = step, .n_rows = rows, .cols = s->site.cols, .x = value};
    if (!o->pass_2) {
        oct_buf ranges = at(o->ranges, s->ranges[o->step.parity]);
        args.min_0 = ranges;
        args.max_0 = at(ranges, bytes);
        args.min = at(ranges, 2 * bytes);
        args.max = at(ranges, 3 * bytes);
        args.bucket_absmax = at(o->ranges, s->buckets);
        if (o->step.parity == 1 && o->rows.mem != NULL && s->site.kind <= SITE_LM_HEAD) {
            args.row_map = o->step.row_map;
            args.rows_out = at(o->rows, s->rows);
        }
    } else {
        args.bins = at(o->bins, s->bins);
        args.moments = at(args.bins, CALIBRATOR_BINS * sizeof(uint64_t));
        if (s->has_factors) {
            args.column_factors = at(o->bins, s->factors);
        }
        args.absmax = s->absmax;
        args.moment_mul = s->moment_mul;
    }
    return o->device->ops->observe(o->device, &args);
}

static oct_status observer_ready(void *user, const char *name, int32_t layer, oct_buf value,
                                 int32_t rows, int32_t cols)
{
    quant_observer *o = user;
    int32_t index = tap_site(o, name, layer);
    OCT_REQUIRE(index >= 0 && rows <= o->max_rows, OCT_ERR_BUG,
                "tap %s of layer %d: expected at most %d rows, got %d of %d values", name, layer,
                o->max_rows, rows, cols);
    if (o->sites[index].site.kind != SITE_K) {
        return observe(o, index, o->step.step, value, rows);
    }
    // q, k and v of a token stand in one row [3C]. Read as three rows [C], two of which are
    // padding, it is an ordinary tensor.
    oct_step thirds = *o->step.step;
    thirds.n_rows = 3 * rows;
    thirds.position = o->step.k_position;
    OCT_TRY(observe(o, index, &thirds, value, 3 * rows));
    thirds.position = o->step.v_position;
    return observe(o, index + 1, &thirds, value, 3 * rows);
}

// Gives every site its place in the accumulators and allocates them.
static oct_status place_sites(quant_observer *o)
{
    size_t ranges = 0;
    size_t rows = 0;
    size_t bins = 0;
    for (int32_t i = 0; i < o->n_sites; i++) {
        observed_site *s = &o->sites[i];
        s->site = site_at(&o->config, i);
        size_t bytes = (size_t)s->site.cols * sizeof(float);
        s->ranges[0] = take(&ranges, 4 * bytes);
        s->ranges[1] = take(&ranges, 4 * bytes);
        s->buckets = take(&ranges, 3 * sizeof(float));
        if (s->site.kind <= SITE_LM_HEAD) {
            s->rows = take(&rows, (size_t)o->n_kept * bytes);
        }
        s->bins = take(&bins, CALIBRATOR_BINS * sizeof(uint64_t) + sizeof(site_moments));
        s->factors = take(&bins, bytes);
    }
    int32_t widest = 3 * o->config.n_embd;
    widest = o->config.n_inner > widest ? o->config.n_inner : widest;
    const oct_device_table *table = o->device->table;
    OCT_TRY(
        table->alloc(o->device, (size_t)o->max_rows * (size_t)widest * sizeof(float), &o->value));
    OCT_TRY(table->alloc(o->device, ranges, &o->ranges));
    if (o->n_kept > 0) {
        OCT_TRY(table->alloc(o->device, rows, &o->rows));
    }
    return table->alloc(o->device, bins, &o->bins);
}

oct_status observer_open(quant_observer **out, oct_device *device, const gpt2_config *config,
                         int32_t max_rows, int32_t n_kept)
{
    *out = NULL;
    size_t n = (size_t)site_count(config);
    quant_observer *o = calloc(1, sizeof *o + n * sizeof o->sites[0]);
    OCT_REQUIRE(o != NULL, OCT_ERR_NOMEM, "no memory for an observer of %zu sites", n);
    o->device = device;
    o->config = *config;
    o->n_sites = (int32_t)n;
    o->max_rows = max_rows;
    o->n_kept = n_kept;
    o->sink = (oct_tap_sink){o, observer_want, observer_ready};
    oct_status status = place_sites(o);
    if (status != OCT_OK) {
        observer_close(o);
        return status;
    }
    *out = o;
    return OCT_OK;
}

void observer_close(quant_observer *o)
{
    if (o == NULL) {
        return;
    }
    o->device->table->free(o->device, o->value);
    o->device->table->free(o->device, o->ranges);
    o->device->table->free(o->device, o->rows);
    o->device->table->free(o->device, o->bins);
    free(o);
}

const oct_tap_sink *observer_sink(const quant_observer *o)
{
    return &o->sink;
}

void observer_begin_step(quant_observer *o, const observer_step *step)
{
    o->step = *step;
}

oct_status observer_begin_histograms(quant_observer *o, const site_scale *scales)
{
    o->pass_2 = true;
    for (int32_t i = 0; i < o->n_sites; i++) {
        observed_site *s = &o->sites[i];
        s->absmax = scales[i].absmax;
        s->moment_mul = scales[i].moment_mul;
        s->has_factors = scales[i].column_factors != NULL;
        if (s->has_factors) {
            OCT_TRY(o->device->table->upload(o->device, at(o->bins, s->factors),
                                             scales[i].column_factors,
                                             (size_t)s->site.cols * sizeof(float)));
        }
    }
    return OCT_OK;
}

oct_status observer_read_ranges(quant_observer *o, int32_t site, int32_t parity,
                                site_ranges *ranges)
{
    const observed_site *s = &o->sites[site];
    size_t bytes = (size_t)s->site.cols * sizeof(float);
    float *const arrays[4] = {ranges->min_0, ranges->max_0, ranges->min, ranges->max};
    for (size_t i = 0; i < 4; i++) {
        oct_buf from = at(o->ranges, s->ranges[parity] + i * bytes);
        OCT_TRY(o->device->table->download(o->device, arrays[i], from, bytes));
    }
    return OCT_OK;
}

oct_status observer_read_buckets(quant_observer *o, int32_t site, float absmax[3])
{
    return o->device->table->download(o->device, absmax, at(o->ranges, o->sites[site].buckets),
                                      3 * sizeof(float));
}

oct_status observer_read_rows(quant_observer *o, int32_t site, float *rows)
{
    size_t bytes = (size_t)o->n_kept * (size_t)o->sites[site].site.cols * sizeof(float);
    return o->device->table->download(o->device, rows, at(o->rows, o->sites[site].rows), bytes);
}

void observer_drop_rows(quant_observer *o)
{
    o->device->table->free(o->device, o->rows);
    o->rows = (oct_buf){NULL, 0};
}

oct_status observer_read_histogram(quant_observer *o, int32_t site, uint64_t bins[CALIBRATOR_BINS],
                                   site_moments *moments)
{
    size_t bytes = CALIBRATOR_BINS * sizeof(uint64_t);
    oct_buf from = at(o->bins, o->sites[site].bins);
    OCT_TRY(o->device->table->download(o->device, bins, from, bytes));
    return o->device->table->download(o->device, moments, at(from, bytes), sizeof *moments);
}
