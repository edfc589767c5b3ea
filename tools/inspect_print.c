// tools: what `octet inspect` prints for people, out of oct_inspect's JSON.
#include "inspect_print.h"

#include "console.h"
#include "number_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HISTOGRAM_BARS  32 // 2,048 bins in groups of 64
#define HISTOGRAM_WIDTH 50

// ---- values

static const json_t *member(const json_t *object, const char *key)
{
    return json_object_get(object, key);
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(member(object, key));
}

// A value as one word: "0.7", "none", "-" where there is nothing.
static number_text word(const json_t *value)
{
    number_text out;
    if (json_is_string(value)) { // from a file: no control characters
        snprintf(out.text, sizeof out.text, "%s", json_string_value(value));
        for (char *c = out.text; *c != 0; c++) {
            *c = (unsigned char)*c < 0x20 || *c == 0x7F ? '?' : *c;
        }
    } else if (json_is_integer(value)) {
        snprintf(out.text, sizeof out.text, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(out.text, sizeof out.text, "%.4g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        snprintf(out.text, sizeof out.text, "%s", json_is_true(value) ? "yes" : "no");
    } else {
        snprintf(out.text, sizeof out.text, "-");
    }
    return out;
}

// ---- summary

static void print_config(const json_t *config)
{
    static const char *const keys[] = {"n_layer", "n_head",      "n_embd",
                                       "n_inner", "n_positions", "vocab_size"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *value = member(config, keys[i]);
        if (value != NULL && !json_is_null(value)) {
            output_format("%s%s %s", i > 0 ? ", " : "  ", keys[i], word(value).text);
        }
    }
    output_format("\n");
}

static void print_footprint_row(const char *name, const json_t *row)
{
    double fp32 = number(row, "fp32"), int8 = number(row, "int8");
    output_format("  %-22s %14s %14s %14s", name, number_count((int64_t)fp32).text,
                  number_count((int64_t)number(row, "fp16")).text,
                  number_count((int64_t)int8).text);
    if (fp32 > 0 && int8 > 0) { // a head that is the embeddings' own table takes nothing
        output_format(" %8.2f", fp32 / int8);
    }
    output_format("\n");
}

void inspect_print_summary(const json_t *model, const char *dir)
{
    const char *format = json_string_value(member(model, "format"));
    bool is_fp32 = format != NULL && strcmp(format, "fp32") == 0;
    output_format("%s: %s, %s parameters\n", dir, is_fp32 ? "FP32" : "INT8",
                  number_count((int64_t)number(model, "parameters")).text);
    print_config(member(model, "config"));
    output_format("\n  %-22s %14s %14s %14s %8s\n", "bytes", "FP32", "FP16", "INT8", "ratio");
    const char *part;
    json_t *row;
    json_t *footprint = json_object_get(model, "footprint_bytes");
    json_object_foreach(footprint, part, row)
    {
        if (strcmp(part, "total") != 0) {
            print_footprint_row(part, row);
        }
    }
    if (member(footprint, "total") != NULL) {
        print_footprint_row("total", member(footprint, "total"));
    }
    if (json_is_object(member(model, "kv_bytes_per_token"))) {
        print_footprint_row("KV cache of a token", member(model, "kv_bytes_per_token"));
    }
}

// ---- recipe

static const char *const linears[] = {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"};
enum { N_LINEARS = sizeof linears / sizeof linears[0] };

void inspect_print_recipe(const json_t *model)
{
    const json_t *recipe = member(model, "recipe");
    if (!json_is_object(recipe)) {
        return;
    }
    output_format("\nRecipe: %s, calibrator %s, zero point %s, step for position 0 %s, gptq %s, "
                  "%s blocks\n",
                  word(member(recipe, "scheme")).text, word(member(recipe, "calibrator")).text,
                  word(member(recipe, "zero_point")).text, word(member(recipe, "position_0")).text,
                  word(member(recipe, "gptq")).text, word(member(recipe, "blocks")).text);
    const json_t *factors = member(recipe, "column_factors");
    output_format("  %-10s", "alpha of");
    for (int i = 0; i < N_LINEARS; i++) {
        output_format(" %12s", linears[i]);
    }
    output_format("\n");
    int n_layer = (int)json_integer_value(member(member(model, "config"), "n_layer"));
    for (int layer = 0; layer < n_layer; layer++) {
        output_format("  layer %-4d", layer);
        for (int i = 0; i < N_LINEARS; i++) {
            char name[64];
            snprintf(name, sizeof name, "h.%d.%s", layer, linears[i]);
            output_format(" %12s", word(member(factors, name)).text);
        }
        output_format("\n");
    }
    output_format("  %-10s %12s\n", "lm_head", word(member(factors, "lm_head")).text);
}

// ---- tensors

void inspect_print_tensors(const json_t *model)
{
    output_format("\n  %-28s %-6s %-18s %14s %10s\n", "tensor", "dtype", "shape", "bytes",
                  "absmax");
    size_t i;
    json_t *tensor;
    json_array_foreach(member(model, "tensors"), i, tensor)
    {
        char shape[64] = "[";
        size_t n = 1, d;
        json_t *extent;
        json_array_foreach(member(tensor, "shape"), d, extent)
        {
            if (n < sizeof shape) {
                n += (size_t)snprintf(shape + n, sizeof shape - n, "%s%s", d > 0 ? ", " : "",
                                      word(extent).text);
            }
        }
        output_format("  %-28s %-6s %s%-*s %14s %10s\n", word(member(tensor, "name")).text,
                      word(member(tensor, "dtype")).text, shape, n < 18 ? (int)(18 - n) : 0, "]",
                      number_count((int64_t)number(tensor, "bytes")).text,
                      word(member(tensor, "absmax")).text);
    }
}

// ---- statistics

static void print_site(const json_t *site)
{
    const json_t *absmax = member(site, "absmax_by_position");
    output_format("  %-26s %9s %9s %9s %9s %9s %9s %9s", word(member(site, "name")).text,
                  word(member(site, "min")).text, word(member(site, "max")).text,
                  word(member(site, "mean")).text, word(member(site, "standard_deviation")).text,
                  word(member(absmax, "0")).text, word(member(absmax, "1-3")).text,
                  word(member(absmax, "rest")).text);
    output_format(" %8.4f%% %6s\n", number(site, "saturation_rate") * 100,
                  word(member(site, "alpha")).text);
}

void inspect_print_statistics(const json_t *model)
{
    const json_t *statistics = member(model, "statistics");
    const json_t *sites = member(statistics, "sites");
    if (json_array_size(sites) == 0) {
        return;
    }
    output_format("\nCalibration saw %s tokens in %s sequences:\n",
                  number_count((int64_t)number(statistics, "tokens")).text,
                  word(member(statistics, "sequences")).text);
    output_format("  %-26s %9s %9s %9s %9s %9s %9s %9s %9s %6s\n", "input", "min", "max", "mean",
                  "std", "|x| at 0", "at 1-3", "at 4-", "saturated", "alpha");
    size_t i;
    json_t *site;
    json_array_foreach(sites, i, site)
    {
        print_site(site);
    }
}

// The bins added up in groups, and the largest of the groups.
static double group_bins(const json_t *bins, double groups[HISTOGRAM_BARS])
{
    size_t n = json_array_size(bins);
    double largest = 0;
    memset(groups, 0, HISTOGRAM_BARS * sizeof groups[0]);
    for (size_t i = 0; i < n; i++) {
        double *group = &groups[i * HISTOGRAM_BARS / n];
        *group += json_number_value(json_array_get(bins, i));
        largest = *group > largest ? *group : largest;
    }
    return largest;
}

// Counts span many powers of ten, so a bar is as long as the logarithm of its count.
static void print_bars(const json_t *site)
{
    const json_t *histogram = member(site, "histogram");
    double groups[HISTOGRAM_BARS];
    double largest = group_bins(member(histogram, "bins"), groups);
    double absmax = number(histogram, "absmax");
    double unit = log1p(largest) > 0 ? HISTOGRAM_WIDTH / log1p(largest) : 0;
    for (int i = 0; i < HISTOGRAM_BARS; i++) {
        char bar[HISTOGRAM_WIDTH + 1];
        int length = (int)(log1p(groups[i] > 0 ? groups[i] : 0) * unit + 0.5);
        length = length < HISTOGRAM_WIDTH ? length : HISTOGRAM_WIDTH;
        memset(bar, '#', (size_t)length);
        bar[length] = 0;
        output_format("  %10.4g - %-10.4g %14s %s\n", absmax * i / HISTOGRAM_BARS,
                      absmax * (i + 1) / HISTOGRAM_BARS, number_count((int64_t)groups[i]).text,
                      bar);
    }
}

bool inspect_print_histogram(const json_t *model, const char *name)
{
    size_t i;
    json_t *site;
    json_array_foreach(member(member(model, "statistics"), "sites"), i, site)
    {
        const char *site_name = json_string_value(member(site, "name"));
        if (site_name != NULL && strcmp(site_name, name) == 0) {
            output_format("%s: |x| / column factor behind position 0; lengths are logarithms\n",
                          name);
            print_bars(site);
            output_format("  frozen range: %s, beyond it %.4f%% of the values\n",
                          json_is_null(member(site, "clipped_at"))
                              ? "all of it"
                              : word(member(site, "clipped_at")).text,
                          number(site, "saturation_rate") * 100);
            return true;
        }
    }
    return false;
}
