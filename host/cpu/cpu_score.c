// The CPU backend, op score: negative log likelihood and logits hash of rows (NUMERICS.md sections
// 6 and 9).
#include "cpu/cpu_device.h"
#include "octet/numerics.h"

static void score_row(const oct_score_args *args, int64_t r)
{
    const float *logits = (const float *)cpu_ptr(args->logits) + (size_t)r * (size_t)args->vocab;
    int32_t target = ((const int32_t *)cpu_ptr(args->step->target))[r];
    int32_t slot = ((const int32_t *)cpu_ptr(args->step->logit_slot))[r];
    int64_t index = ((const int64_t *)cpu_ptr(args->step->index))[r];
    float *nll_out = cpu_ptr(args->nll);
    if (target < 0) {
        if (nll_out != NULL) {
            nll_out[r] = 0.0f;
        }
        return;
    }
    float max = logits[0];
    for (int32_t n = 1; n < args->vocab; n++) {
        max = logits[n] > max ? logits[n] : max;
    }
    // Section 6: S = sum of rint(2^30 * exp2_neg(...)) at T = 1; section 9: h = sum of the logits'
    // shares.
    uint64_t sum = 0, hash = 0;
    for (int32_t n = 0; n < args->vocab; n++) {
        sum += oct_sample_weight(logits[n], max, OCT_LOG2E);
    }
    for (int32_t n = 0; n < args->vocab; n++) {
        hash += oct_hash_logit((uint32_t)n, oct_bits(logits[n]));
    }
    float nll = oct_nll(max, logits[target], sum);
    if (nll_out != NULL) {
        nll_out[r] = nll;
    }
    // rint(nll * 2^32): a double holds the product exactly, and below 2^51 so does 1.5 * 2^52 + it
    // after one rounding.
    double scaled = (double)nll * 0x1p32;
    int64_t fixed = (int64_t)((scaled + 0x1.8p52) - 0x1.8p52);
    oct_score_sums *sums = (oct_score_sums *)cpu_ptr(args->sums) + slot;
    __atomic_fetch_add(&sums->nll, fixed, __ATOMIC_RELAXED);
    __atomic_fetch_add(&sums->hash, oct_hash_row(hash, (uint64_t)index), __ATOMIC_RELAXED);
    __atomic_fetch_add(&sums->count, 1, __ATOMIC_RELAXED);
}

static void score_rank(void *user, int rank, int size)
{
    const oct_score_args *args = user;
    int64_t begin, end;
    oct_team_range(args->step->n_logits, 1, rank, size, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        score_row(args, r);
    }
}

oct_status CPU_FN(cpu_score)(oct_device *device, const oct_score_args *args)
{
    oct_team_run(cpu_of(device)->team, score_rank, (void *)args);
    return OCT_OK;
}
