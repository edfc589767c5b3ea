// tools: what `octet inspect` prints for people, out of oct_inspect's JSON.
#ifndef OCT_INSPECT_PRINT_H
#define OCT_INSPECT_PRINT_H

#include <jansson.h>
#include <stdbool.h>

// Configuration, parameters, footprint by part as FP32, FP16 and INT8.
void inspect_print_summary(const json_t *model, const char *dir);

// How the model was quantized: scheme, calibrator, alpha of each linear; nothing for FP32.
void inspect_print_recipe(const json_t *model);

// Name, type, shape and bytes of each tensor.
void inspect_print_tensors(const json_t *model);

// One line for each observed input; nothing where there are none.
void inspect_print_statistics(const json_t *model);

// The histogram of one site by name as bars; false if there is no such site.
bool inspect_print_histogram(const json_t *model, const char *name);

#endif
