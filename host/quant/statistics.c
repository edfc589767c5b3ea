// CALIBRATE: writes what calibration saw and decided as calibration.json.
#include "quant/statistics.h"

#include "base/check.h"
#include "octet/numerics.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

// Absent memory is noticed at the end: jansson's setters refuse a NULL value.
static int set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value);
}

static int set_range(json_t *object, const char *key, const float *values, int32_t n)
{
    float low = values[0];
    float high = values[0];
    for (int32_t i = 1; i < n; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    return set(object, key, json_pack("{s:f, s:f}", "min", (double)low, "max", (double)high));
}

static float lowest(const float *values, int32_t n)
{
    float low = 0.0f;
    for (int32_t i = 0; i < n; i++) {
        low = values[i] < low ? values[i] : low;
    }
    return low;
}

static float highest(const float *values, int32_t n)
{
    float high = 0.0f;
    for (int32_t i = 0; i < n; i++) {
        high = values[i] > high ? values[i] : high;
    }
    return high;
}

// Of x over all positions: from the integer sums of pass 2, exact before the last divisions.
static int set_moments(json_t *object, const site_record *r)
{
    double n = r->moments.count > 0 ? (double)r->moments.count : 1.0;
    double unit = 1.0 / (double)r->scale.moment_mul;
    double mean = (double)r->moments.sum / n;
    double variance = (double)r->moments.sum_squares / n - mean * mean;
    int32_t cols = r->site.cols;
    float min_0 = lowest(r->ranges.min_0, cols);
    float min = lowest(r->ranges.min, cols);
    float max_0 = highest(r->ranges.max_0, cols);
    float max = highest(r->ranges.max, cols);
    int failed = set(object, "count", json_integer(r->moments.count));
    failed |= set(object, "min", json_real((double)(min_0 < min ? min_0 : min)));
    failed |= set(object, "max", json_real((double)(max_0 > max ? max_0 : max)));
    failed |= set(object, "mean", json_real(mean * unit));
    failed |= set(object, "standard_deviation", json_real(sqrt(fmax(variance, 0.0)) * unit));
    failed |= set(object, "absmax_by_position",
                  json_pack("{s:f, s:f, s:f}", "0", (double)r->bucket_absmax[0], "1-3",
                            (double)r->bucket_absmax[1], "rest", (double)r->bucket_absmax[2]));
    return failed;
}

static int set_histogram(json_t *object, const site_record *r)
{
    json_t *bins = json_array();
    int failed = 0;
    for (int32_t i = 0; i < CALIBRATOR_BINS; i++) {
        failed |= json_array_append_new(bins, json_integer((json_int_t)r->histogram.bins[i]));
    }
    bool clipped = r->edge < CALIBRATOR_BINS;
    json_t *at = clipped ? json_real((double)calibrator_amax(&r->histogram, r->edge)) : json_null();
    double saturation = calibrator_saturation(&r->histogram, r->edge);
    failed |= set(object, "histogram",
                  json_pack("{s:f, s:o}", "absmax", (double)r->histogram.absmax, "bins", bins));
    failed |= set(object, "clipped_at", at);
    failed |= set(object, "saturation_rate", json_real(saturation));
    return failed;
}

static int set_input(json_t *object, const site_record *r)
{
    const gpt2_input *in = &r->input;
    json_t *search = r->searched ? json_object() : json_null();
    int failed = set(object, "alpha", json_string(r->alpha));
    for (int32_t i = 0; r->searched && i < RECIPE_ALPHAS; i++) {
        failed |= set(search, recipe_alphas[i].name, json_real(r->search.error[i]));
    }
    failed |= r->column_factors != NULL
                  ? set_range(object, "column_factors", r->column_factors, r->site.cols)
                  : set(object, "column_factors", json_null());
    failed |= set(object, "search", search);
    failed |= set(object, "step", in->dynamic ? json_null() : json_real((double)in->step));
    failed |= set(object, "zero_point", in->dynamic ? json_null() : json_integer(in->zero));
    failed |= set(object, "step_0", in->dynamic ? json_null() : json_real((double)in->step_0));
    failed |= set(object, "zero_point_0", in->dynamic ? json_null() : json_integer(in->zero_0));
    return failed;
}

// The steps of k or v: absmax / 127 by channel.
static int set_steps(json_t *object, const site_record *r)
{
    float low = INFINITY;
    float high = 0.0f;
    for (int32_t i = 0; i < r->site.cols; i++) {
        float below = r->ranges.min_0[i] < r->ranges.min[i] ? r->ranges.min_0[i] : r->ranges.min[i];
        float above = r->ranges.max_0[i] > r->ranges.max[i] ? r->ranges.max_0[i] : r->ranges.max[i];
        float step = oct_step_symmetric(below, above);
        low = step < low ? step : low;
        high = step > high ? step : high;
    }
    return set(object, "steps", json_pack("{s:f, s:f}", "min", (double)low, "max", (double)high));
}

static json_t *site_json(const site_record *r)
{
    json_t *object = json_object();
    int failed = set(object, "name", json_string(r->site.name));
    failed |= set(object, "columns", json_integer(r->site.cols));
    failed |= set_moments(object, r);
    failed |= set_histogram(object, r);
    failed |= r->site.kind <= SITE_LM_HEAD ? set_input(object, r) : set_steps(object, r);
    if (failed != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

oct_status statistics_json(char **out, const quant_recipe *recipe, const calibration_text *text,
                           int32_t search_rows, const site_record *records, int32_t n_records)
{
    json_t *sites = json_array();
    int failed = 0;
    for (int32_t i = 0; i < n_records; i++) {
        failed |= json_array_append_new(sites, site_json(&records[i]));
    }
    json_t *root = json_pack(
        "{s:i, s:i, s:s, s:s, s:b, s:b, s:i, s:I, s:i, s:s, s:o}", "version", 1, "numerics_version",
        OCT_NUMERICS_VERSION, "scheme", recipe->scheme, "calibrator", recipe->calibrator_name,
        "zero_point", (int)recipe->zero_point, "position_0", (int)recipe->position_0, "sequences",
        (int)text->n, "tokens", (json_int_t)text->n_tokens, "search_rows", (int)search_rows,
        "calibration_sha256", text->sha256, "sites", sites);
    *out = failed == 0 && root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    OCT_REQUIRE(*out != NULL, OCT_ERR_NOMEM, "no memory for the statistics of %d sites", n_records);
    return OCT_OK;
}
