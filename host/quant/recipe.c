// QUANTIZE: options become a recipe.
#include "quant/recipe.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const recipe_alpha recipe_alphas[RECIPE_ALPHAS] = {
    {"none", -1.0f}, {"0.4", 0.4f}, {"0.55", 0.55f}, {"0.7", 0.7f}, {"0.85", 0.85f}, {"1", 1.0f},
};

#define DEFAULT_ALPHA     3   // 0.7, where there is nothing to search on
#define DEFAULT_SEQUENCES 128 // NUMERICS.md section 8, step 2
#define ALL_KINDS         31u

static oct_status parse_smooth(quant_recipe *out, const char *text)
{
    out->search = strcmp(text, "auto") == 0;
    snprintf(out->alpha_name, sizeof out->alpha_name, "%s",
             out->search ? recipe_alphas[DEFAULT_ALPHA].name : text);
    out->alpha = recipe_alphas[DEFAULT_ALPHA].value;
    if (strcmp(text, "none") == 0) {
        out->alpha = -1.0f;
    } else if (!out->search) {
        char *end = NULL;
        out->alpha = strtof(text, &end);
        OCT_REQUIRE(end != text && *end == 0 && out->alpha >= 0.0f && out->alpha <= 1.0f &&
                        strlen(text) < sizeof out->alpha_name,
                    OCT_ERR_ARG,
                    "smooth: expected \"auto\", \"none\" or a number in [0, 1], got \"%s\"", text);
    }
    return OCT_OK;
}

oct_status quant_recipe_parse(quant_recipe *out, const oct_quantize_options *options)
{
    oct_quantize_options defaults = OCT_QUANTIZE_OPTIONS_INIT;
    const oct_quantize_options *o = options != NULL ? options : &defaults;
    memset(out, 0, sizeof *out);
    OCT_REQUIRE(o->struct_size == sizeof *o, OCT_ERR_ARG,
                "quantize options: expected struct_size %zu, got %zu", sizeof *o, o->struct_size);
    const char *scheme = o->scheme != NULL ? o->scheme : defaults.scheme;
    out->dynamic = strcmp(scheme, "w8a8-dynamic") == 0;
    OCT_REQUIRE(out->dynamic || strcmp(scheme, "w8a8") == 0, OCT_ERR_ARG,
                "scheme: expected \"w8a8\" or \"w8a8-dynamic\", got \"%s\"", scheme);
    snprintf(out->scheme, sizeof out->scheme, "%s", scheme);
    const char *calibrator = o->calibrator != NULL ? o->calibrator : defaults.calibrator;
    OCT_TRY(calibrator_parse(&out->calibrator, calibrator));
    OCT_REQUIRE(strlen(calibrator) < sizeof out->calibrator_name, OCT_ERR_ARG,
                "calibrator: expected a name of at most %zu bytes, got \"%s\"",
                sizeof out->calibrator_name - 1, calibrator);
    snprintf(out->calibrator_name, sizeof out->calibrator_name, "%s", calibrator);
    OCT_TRY(parse_smooth(out, o->smooth != NULL ? o->smooth : defaults.smooth));
    OCT_REQUIRE((o->no_smooth & ~ALL_KINDS) == 0, OCT_ERR_ARG,
                "no_smooth: expected bits of OCT_KIND_* (at most %u), got %u", ALL_KINDS,
                o->no_smooth);
    out->no_smooth = o->no_smooth;
    out->zero_point = o->zero_point && !out->dynamic;
    out->position_0 = o->position_0 && !out->dynamic;
    OCT_REQUIRE(o->blocks >= 0, OCT_ERR_ARG, "blocks: expected at least 0, got %d", o->blocks);
    out->max_sequences = o->blocks > 0 ? o->blocks : DEFAULT_SEQUENCES;
    return OCT_OK;
}
