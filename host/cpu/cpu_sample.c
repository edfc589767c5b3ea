// SAMPLE, CPU backend, op sample: draws one token from each row of logits that asks for it
// (NUMERICS.md section 6).
#include "cpu/cpu_device.h"
#include "octet/numerics.h"

typedef struct candidate {
    float logit; // behind the repetition penalty
    int32_t id;
} candidate;

// The order of section 6: logit descending, id ascending.
static bool stands_before(candidate a, candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void sift_down(candidate *heap, int32_t n, int32_t i)
{
    candidate x = heap[i];
    for (;;) {
        int32_t child = 2 * i + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && stands_before(heap[child + 1], heap[child])) {
            child++;
        }
        if (!stands_before(heap[child], x)) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = x;
}

// The candidates in order, found one by one: a heap in front, the sorted ones from the end
// backwards. Most draws look at a few of 50,257.
typedef struct ranking {
    candidate *all; // [n]
    int32_t n, n_sorted;
    float max, log2e_over_t;
} ranking;

static candidate ranked(ranking *r, int32_t i)
{
    while (r->n_sorted <= i) {
        int32_t last = r->n - 1 - r->n_sorted;
        candidate top = r->all[0];
        r->all[0] = r->all[last];
        r->all[last] = top;
        r->n_sorted++;
        sift_down(r->all, last, 0);
    }
    return r->all[r->n - 1 - i];
}

static uint64_t weight(const ranking *r, candidate c)
{
    return oct_sample_weight(c.logit, r->max, r->log2e_over_t);
}

// Repetition penalty as transformers defines it: each token seen once, positive logits divided,
// negative multiplied.
static void penalize(candidate *all, const float *logits, int32_t vocab, const int32_t *history,
                     int32_t n, float penalty)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t id = history[i];
        if (id >= 0 && id < vocab) {
            float x = logits[id];
            all[id].logit = x < 0.0f ? oct_mul(x, penalty) : oct_div(x, penalty);
        }
    }
}

// ceil(p * S) as an integer; p * S is one double product.
static uint64_t ceil_share(double p, uint64_t sum)
{
    double share = p * (double)sum;
    uint64_t floor = (uint64_t)share;
    return (double)floor < share ? floor + 1 : floor;
}

// How many of the ranked candidates stay behind top-k, top-p and min-p, and the sum of their
// weights.
static uint64_t cut(ranking *r, const oct_sampling *options, int32_t *n_kept)
{
    int32_t n = options->top_k > 0 && options->top_k < r->n ? options->top_k : r->n;
    uint64_t sum = 0;
    if (n < r->n) {
        for (int32_t i = 0; i < n; i++) {
            sum += weight(r, ranked(r, i));
        }
    } else {
        for (int32_t i = 0; i < r->n; i++) {
            sum += weight(r, r->all[i]);
        }
    }
    if (options->top_p < 1.0) {
        uint64_t share = ceil_share(options->top_p, sum), prefix = 0;
        int32_t i = 0;
        do {
            prefix += weight(r, ranked(r, i++));
        } while (prefix < share && i < n);
        n = i;
        sum = prefix;
    }
    if (options->min_p > 0.0) {
        uint64_t least = ceil_share(options->min_p, 1u << 30), prefix = 0;
        int32_t i = 0;
        do {
            prefix += weight(r, ranked(r, i++));
        } while (i < n && weight(r, ranked(r, i)) >= least);
        n = i;
        sum = prefix;
    }
    *n_kept = n;
    return sum;
}

static int32_t draw(const oct_sample_args *args, int64_t row)
{
    const oct_step *step = args->step;
    int32_t slot = ((const int32_t *)cpu_ptr(step->logit_slot))[row];
    int32_t t = ((const int32_t *)cpu_ptr(step->logit_row))[row];
    const oct_sampling *options = (const oct_sampling *)cpu_ptr(step->sampling) + slot;
    const float *logits = (const float *)cpu_ptr(args->logits) + (size_t)row * (size_t)args->vocab;
    candidate *all = (candidate *)cpu_ptr(args->scratch) + (size_t)row * (size_t)args->vocab;
    for (int32_t n = 0; n < args->vocab; n++) {
        all[n] = (candidate){logits[n], n};
    }
    if (options->repetition_penalty != 1.0f) {
        const int32_t *history =
            (const int32_t *)cpu_ptr(step->history) + (size_t)slot * (size_t)step->max_history;
        penalize(all, logits, args->vocab, history,
                 ((const int32_t *)cpu_ptr(step->n_history))[slot], options->repetition_penalty);
    }
    candidate best = all[0];
    for (int32_t n = 1; n < args->vocab; n++) {
        best = stands_before(all[n], best) ? all[n] : best;
    }
    if (options->temperature == 0.0f) {
        return best.id;
    }
    ranking r = {all, args->vocab, 0, best.logit, oct_div(OCT_LOG2E, options->temperature)};
    for (int32_t i = r.n / 2 - 1; i >= 0; i--) {
        sift_down(all, r.n, i);
    }
    int32_t n_kept;
    uint64_t sum = cut(&r, options, &n_kept);
    // u from Philox: key = seed, counter = (position of the new token, choice, 0, 0).
    int32_t position = ((const int32_t *)cpu_ptr(step->position))[t] + 1;
    uint32_t counter[4] = {(uint32_t)position, (uint32_t)options->choice, 0, 0}, word[4];
    oct_philox4x32((uint32_t)options->seed, (uint32_t)(options->seed >> 32), counter, word);
    uint64_t at = oct_mulhi64(word[0] | (uint64_t)word[1] << 32, sum);
    uint64_t prefix = 0;
    for (int32_t i = 0; i < n_kept; i++) {
        prefix += weight(&r, ranked(&r, i));
        if (prefix > at) {
            return ranked(&r, i).id;
        }
    }
    return best.id; // not reached: at < sum = the last prefix
}

static void sample_rank(void *user, int rank, int size)
{
    const oct_sample_args *args = user;
    const int32_t *wanted = cpu_ptr(args->step->sample);
    int64_t begin, end;
    oct_team_range(args->step->n_logits, 1, rank, size, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        ((int32_t *)cpu_ptr(args->token))[r] = wanted[r] != 0 ? draw(args, r) : -1;
    }
}

oct_status cpu_sample(oct_device *device, const oct_sample_args *args)
{
    oct_team_run(cpu_of(device)->team, sample_rank, (void *)args);
    return OCT_OK;
}
