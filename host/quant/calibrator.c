// CALIBRATE: the table of calibrators.
#include "quant/calibrator.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static uint64_t total_count(const calibrator_histogram *histogram)
{
    uint64_t total = 0;
    for (int32_t i = 0; i < CALIBRATOR_BINS; i++) {
        total += histogram->bins[i];
    }
    return total;
}

static int32_t minmax_edge(const calibrator_histogram *histogram, double argument)
{
    (void)histogram;
    (void)argument;
    return CALIBRATOR_BINS;
}

// searchsorted(cumsum(bins) / total, p / 100): the first bin with at least that share at or below
// it, whose left edge is taken without interpolation. Counts are 64 bits wide.
static int32_t percentile_edge(const calibrator_histogram *histogram, double argument)
{
    uint64_t total = total_count(histogram);
    uint64_t sum = 0;
    for (int32_t i = 0; i < CALIBRATOR_BINS; i++) {
        sum += histogram->bins[i];
        if (total > 0 && (double)sum / (double)total >= argument / 100.0) {
            return i;
        }
    }
    return CALIBRATOR_BINS;
}

// MSE and entropy take the same histogram and will be lines of this table.
static const calibrator_method methods[] = {
    {"minmax", false, NULL, 0.0, 0.0, minmax_edge},
    {"percentile", true, "P", 50.0, 100.0, percentile_edge},
};

oct_status calibrator_parse(quant_calibrator *out, const char *text)
{
    size_t length = strcspn(text, ":");
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        const calibrator_method *m = &methods[i];
        if (strlen(m->name) != length || strncmp(m->name, text, length) != 0) {
            continue;
        }
        const char *argument = text[length] == ':' ? text + length + 1 : NULL;
        if (m->argument == NULL) {
            OCT_REQUIRE(argument == NULL, OCT_ERR_ARG, "calibrator: expected \"%s\", got \"%s\"",
                        m->name, text);
            *out = (quant_calibrator){m, 0.0};
            return OCT_OK;
        }
        char *end;
        const char *digits = argument != NULL ? argument : "";
        double value = strtod(digits, &end);
        bool is_number = end != digits && *end == 0;
        OCT_REQUIRE(is_number && value > m->least && value <= m->largest, OCT_ERR_ARG,
                    "calibrator: expected \"%s:%s\" with %s in (%g, %g], got \"%s\"", m->name,
                    m->argument, m->argument, m->least, m->largest, text);
        *out = (quant_calibrator){m, value};
        return OCT_OK;
    }
    return OCT_FAIL(OCT_ERR_ARG, "calibrator: expected \"minmax\" or \"percentile:P\", got \"%s\"",
                    text);
}

int32_t calibrator_edge(const quant_calibrator *calibrator, const calibrator_histogram *histogram)
{
    int32_t edge = calibrator->method->edge(histogram, calibrator->argument);
    return edge < 1 ? 1 : edge;
}

float calibrator_amax(const calibrator_histogram *histogram, int32_t edge)
{
    return (float)((double)edge * (double)histogram->absmax / CALIBRATOR_BINS);
}

double calibrator_saturation(const calibrator_histogram *histogram, int32_t edge)
{
    uint64_t beyond = 0;
    for (int32_t i = edge; i < CALIBRATOR_BINS; i++) {
        beyond += histogram->bins[i];
    }
    uint64_t total = total_count(histogram);
    return total > 0 ? (double)beyond / (double)total : 0.0;
}
