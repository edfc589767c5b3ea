// CALIBRATE: what calibration saw and decided, site by site, and its JSON text, calibration.json.
//
// {"version": 1, "numerics_version", "scheme", "calibrator", "zero_point", "position_0",
//  "sequences", "tokens", "search_rows",   // rows that judged the alphas; 0 = no search
//  "calibration_sha256",                   // of the ids used
//  "sites": [{
//    "name",                 // "h.0.mlp.c_proj.input", "h.0.attn.k", "h.0.attn.v", "lm_head.input"
//    "columns",
//    // of x, all positions, real units, after the exact folds and before column factors:
//    "count", "min", "max", "mean", "standard_deviation",
//    "absmax_by_position": {"0", "1-3", "rest"},
//    // of |x / cs|, positions >= 1: 2,048 bins of equal width from 0 to absmax; values at or
//    beyond `clipped_at`,
//    // a share `saturation_rate` of them, are outside the frozen range (null: none are)
//    "histogram": {"absmax", "bins": [2048 counts]}, "clipped_at", "saturation_rate",
//    // linears only:
//    "alpha",                // "none", "0.7", ...
//    "column_factors": null or {"min", "max"},
//    "search": null or {alpha: error, ...},   // sum of squared errors of the output over the
//    search's rows "step", "zero_point", "step_0", "zero_point_0",   // null where the scheme is
//    dynamic
//    // k and v only: one step for each channel
//    "steps": {"min", "max"}
//  }, ...]}
#ifndef OCT_STATISTICS_H
#define OCT_STATISTICS_H

#include "quant/alpha_search.h"
#include "quant/input_steps.h"
#include "quant/sequences.h"

typedef struct site_record {
    quant_site site;
    site_ranges ranges;     // of all sequences
    site_ranges even;       // of those with even index; linears only
    float bucket_absmax[3]; // positions 0, 1..3, 4..
    // Pass 2.
    site_scale scale;
    calibrator_histogram histogram;
    site_moments moments;
    int32_t edge; // bin at whose left edge values are clipped; CALIBRATOR_BINS = none
    // Decisions about a linear.
    const char *alpha;
    float *column_factors; // [cols] or NULL
    bool searched;
    alpha_result search;
    gpt2_input input;
} site_record;

// records [site_count]. *out is owned by the caller (free). Errors: OCT_ERR_NOMEM.
oct_status statistics_json(char **out, const quant_recipe *recipe, const calibration_text *text,
                           int32_t search_rows, const site_record *records, int32_t n_records);

#endif
