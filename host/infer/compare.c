// PREFILL: KL divergence and top-1 agreement of two rows of logits, in double on the host.
#include "infer/compare.h"

#include <math.h>

// The lowest id of the largest logit.
static int32_t argmax(const float *logits, int32_t vocab)
{
    int32_t best = 0;
    for (int32_t n = 1; n < vocab; n++) {
        if (logits[n] > logits[best]) {
            best = n;
        }
    }
    return best;
}

// With b = baseline - max, m = model - max: log p = b - log(sum of exp(b)), so KL = sum of exp(b) *
// (b - m) / sum of exp(b) + log(sum of exp(m)) - log(sum of exp(b)).
row_distance compare_rows(const float *baseline, const float *model, int32_t vocab)
{
    int32_t best_b = argmax(baseline, vocab), best_m = argmax(model, vocab);
    double max_b = (double)baseline[best_b], max_m = (double)model[best_m];
    double sum_b = 0.0, sum_m = 0.0, cross = 0.0;
    for (int32_t n = 0; n < vocab; n++) {
        double b = (double)baseline[n] - max_b, m = (double)model[n] - max_m;
        double e = exp(b);
        sum_b += e;
        sum_m += exp(m);
        cross += e * (b - m);
    }
    double kl = cross / sum_b + (log(sum_m) - log(sum_b));
    // Rows that are all but equal round to either side of 0.
    return (row_distance){.kl = kl > 0.0 ? kl : 0.0, .top_1 = best_b == best_m};
}
