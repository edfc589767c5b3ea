// PREFILL: oct_perplexity with the shape of its batches in the caller's hand, for tests: results do
// not depend on it.
#ifndef OCT_PERPLEXITY_H
#define OCT_PERPLEXITY_H

#include "octet/octet.h"

// oct_perplexity; `shape` NULL = chosen from the model and the lengths of the windows.
oct_status perplexity_run(const oct_engine *engine, const int32_t *ids, size_t n_ids,
                          const oct_perplexity_options *options, const oct_batch_options *shape,
                          oct_perplexity_result *out);

#endif
