// tools: what `octet generate` prints when it does not stream: JSON, or the texts of two models
// side by side.
#ifndef OCT_GENERATION_PRINT_H
#define OCT_GENERATION_PRINT_H

#include "generation.h"
#include "prompt_text.h"

typedef struct generation_print {
    const prompt_text *prompt;
    const oct_tokenizer *tokenizer;
    const oct_device_info *device;
    uint64_t seed;
    bool ids; // columns of token ids instead of text
    int n;    // models: 1 or 2
    const char *models[2];
    generation results[2];
    oct_format formats[2];
} generation_print;

void generation_print_json(const generation_print *print);

void generation_print_columns(const generation_print *print); // n = 2

#endif
