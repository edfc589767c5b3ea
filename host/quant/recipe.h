// QUANTIZE: the recipe that oct_quantize_options ask for, parsed and checked once.
#ifndef OCT_RECIPE_H
#define OCT_RECIPE_H

#include "octet/octet.h"
#include "quant/calibrator.h"

// How strongly a linear's column factors move the range of its input into its weights;
// recipe_alphas[0] is "none".
typedef struct recipe_alpha {
    const char *name; // as the file has it
    float value;      // the f32 nearest to it; -1 for "none"
} recipe_alpha;

#define RECIPE_ALPHAS 6

// In the order of the search: ties go to the first.
extern const recipe_alpha recipe_alphas[RECIPE_ALPHAS];

typedef struct quant_recipe {
    char scheme[16]; // "w8a8", "w8a8-dynamic"
    bool dynamic;    // one step per row, found at run time
    char calibrator_name[32];
    quant_calibrator calibrator;
    bool search;           // alpha by search; else `alpha`
    char alpha_name[16];   // "none" or a decimal; of linears that are not searched
    float alpha;           // its value; -1 for "none"
    unsigned no_smooth;    // OCT_KIND_* bits
    bool zero_point;       // mlp.c_proj's input is asymmetric; false where dynamic
    bool position_0;       // steps of its own for position 0; false where dynamic
    int32_t max_sequences; // of the calibration text
} quant_recipe;

// options NULL = defaults. Errors: OCT_ERR_ARG, with what is allowed.
oct_status quant_recipe_parse(quant_recipe *out, const oct_quantize_options *options);

#endif
