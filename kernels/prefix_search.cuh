// prefix_search.cuh: the one question that sampling asks of a row of logits: at which candidate, in
// the order (logit descending, id ascending), does a prefix sum reach a target? One block a row.
//
// Nothing is sorted. A histogram of all candidates over 2,048 bins that follow the order, and its
// scan, name the bin that holds the answer. Where the bin holds more than LISTED candidates, digits
// of their keys split it again; what is left is ranked by comparing all with all. Sums are exact
// integers, so the order in which atomics run is free. Candidates of weight 0 never matter: they
// add nothing to a sum and cannot be drawn, so no histogram counts them.
#ifndef OCT_PREFIX_SEARCH_CUH
#define OCT_PREFIX_SEARCH_CUH

#include "common.cuh"

#define MINUS_INFINITY oct_float(0xFF800000u)

static const int THREADS = 512; // then a thread has 128 registers: eight logits at once, no spills
static const int WARPS = THREADS / 32;
static const int DIGIT_BITS = 11;
static const int BINS = 1 << DIGIT_BITS;
static const int BINS_PER_OCTAVE = 64; // weights fall by half over so many bins
static const int LISTED = 256;         // candidates ranked by comparing all with all
static const int AT_ONCE = 8;          // logits a thread loads before it uses the first
static const int OWN = BINS / THREADS; // bins of a thread
static_assert(OWN * THREADS == BINS && LISTED <= THREADS,
              "bins and listed candidates have threads");
static_assert(WARPS <= 32, "each warp scans the sums of all warps");
static_assert(BINS >= 32 * BINS_PER_OCTAVE, "from 2^-31 on weights are 0: no bin is needed");

// A row of logits behind its repetition penalty, and what makes weights of them.
struct logits_row {
    const float *logits;       // [V]
    const uint32_t *penalized; // [ceil(V / 32)], one bit a token; NULL = none
    float penalty;
    int32_t vocab;
    float max, log2e_over_t;
};

// A candidate as one number, larger = earlier in the order; no two are equal. -0 becomes +0, since
// they are one logit.
static __device__ __forceinline__ uint64_t key_of(float logit, int32_t id)
{
    uint32_t bits = oct_bits(oct_add(logit, 0.0f));
    bits ^= (uint32_t)((int32_t)bits >> 31) | 0x80000000u;
    return (uint64_t)bits << 32 | ~(uint32_t)id;
}

static __device__ __forceinline__ int32_t id_of(uint64_t key)
{
    return (int32_t) ~(uint32_t)key;
}

static __device__ __forceinline__ float logit_of(uint64_t key)
{
    uint32_t bits = (uint32_t)(key >> 32);
    return oct_float(bits ^ (bits >> 31 != 0 ? 0x80000000u : 0xFFFFFFFFu));
}

static __device__ __forceinline__ uint32_t weight_of(const logits_row &row, float logit)
{
    return oct_sample_weight(logit, row.max, row.log2e_over_t);
}

// The bin of the first histogram, meaningless where the weight is 0. It follows the order, since
// each operation is monotone: floats between 2^17 and 2^18 are 1/64 apart, so the sum rounds e to
// 64ths.
static __device__ __forceinline__ int32_t bin_of(const logits_row &row, float logit)
{
    static_assert(BINS_PER_OCTAVE == 64, "the spacing of floats around 1.5 * 2^17");
    float e = oct_mul(oct_sub(logit, row.max), row.log2e_over_t);
    return (int32_t)(oct_bits(0x1.8p17f) - oct_bits(oct_add(e, 0x1.8p17f)));
}

// Calls use(id of the first, logits behind the penalty) for batches of this thread's tokens, which
// are THREADS apart; what lies behind the vocabulary is -infinity and thus has weight 0. Repetition
// penalty as transformers defines it: positive logits divided, negative multiplied.
template <typename Use>
static __device__ __forceinline__ void each_batch(const logits_row &row, Use use)
{
    for (int32_t first = (int32_t)threadIdx.x; first < row.vocab; first += AT_ONCE * THREADS) {
        float x[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            int32_t n = first + i * THREADS;
            x[i] = n < row.vocab ? row.logits[n] : MINUS_INFINITY;
        }
        if (row.penalized != nullptr) {
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                int32_t n = first + i * THREADS;
                if (n < row.vocab && (row.penalized[n / 32] >> (n % 32) & 1) != 0) {
                    x[i] = x[i] < 0.0f ? oct_mul(x[i], row.penalty) : oct_div(x[i], row.penalty);
                }
            }
        }
        use(first, x);
    }
}

// The same, one by one: use(id, logit), ascending.
template <typename Use>
static __device__ __forceinline__ void each_logit(const logits_row &row, Use use)
{
    each_batch(row, [&](int32_t first, const float(&x)[AT_ONCE]) {
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            use(first + i * THREADS, x[i]);
        }
    });
}

// Where a search ended: the candidate, and the weight of the prefix that it closes.
struct place {
    uint64_t key, weight;
};

// A bin that holds a search's answer: what stands before the bin, and how many are in it.
struct bin_found {
    uint64_t weight_before;
    uint32_t before, count;
    int32_t bin;
};

// What a thread knows of its own bins, and of all.
struct own_bins {
    uint64_t weight_before, weight[OWN], weight_total;
    uint32_t before, count[OWN], total;
};

// The candidates that a search is down to: a bin of the first histogram (-1 = all), and in it those
// whose keys begin with `prefix` (shift 64: all of them).
struct scope {
    int32_t bin;
    int shift;
    uint64_t prefix;
};

struct search_space {
    uint32_t count[BINS], low[BINS], high[BINS]; // candidates; their weights, high:low
    uint64_t listed[LISTED];                     // keys
    uint32_t listed_weight[LISTED];
    uint64_t warp_weight[WARPS]; // also the warps' values of block_max and block_sum
    uint32_t warp_count[WARPS];
    uint32_t n_listed;
    bin_found found;
    place result;
};

// Joins the threads' values by `join`, which must not depend on their order; to every thread.
template <typename Join>
static __device__ __forceinline__ uint64_t block_join(uint64_t x, uint64_t warps[WARPS], Join join)
{
#pragma unroll
    for (int h = 16; h >= 1; h /= 2) {
        x = join(x, __shfl_xor_sync(ALL_LANES, x, h));
    }
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = x;
    }
    __syncthreads(); // the warps' values are there
    x = warps[threadIdx.x % WARPS];
#pragma unroll
    for (int h = WARPS / 2; h >= 1; h /= 2) {
        x = join(x, __shfl_xor_sync(ALL_LANES, x, h));
    }
    __syncthreads(); // all have read them
    return x;
}

static __device__ __forceinline__ uint64_t block_max(uint64_t x, uint64_t warps[WARPS])
{
    return block_join(x, warps, [](uint64_t a, uint64_t b) { return a > b ? a : b; });
}

static __device__ __forceinline__ uint64_t block_sum(uint64_t x, uint64_t warps[WARPS])
{
    return block_join(x, warps, [](uint64_t a, uint64_t b) { return a + b; });
}

// The sum of x over this lane and all lower ones.
template <typename T> static __device__ __forceinline__ T warp_scan(T x)
{
#pragma unroll
    for (int h = 1; h < 32; h *= 2) {
        T below = __shfl_up_sync(ALL_LANES, x, h);
        x += (int)threadIdx.x % 32 >= h ? below : 0;
    }
    return x;
}

static __device__ __forceinline__ bool is_inside(const scope &in, uint64_t key)
{
    return in.shift == 64 || key >> in.shift == in.prefix;
}

// Fills the histogram of the candidates inside `in`: by bin_of where in.bin < 0, else by the next
// `bits` bits of their keys.
static __device__ __forceinline__ void fill_bins(search_space &s, const logits_row &row,
                                                 const scope &in, int bits)
{
    for (int i = (int)threadIdx.x; i < BINS; i += THREADS) {
        s.count[i] = 0;
        s.low[i] = 0;
        s.high[i] = 0;
    }
    __syncthreads(); // the bins are empty
    each_batch(row, [&](int32_t first, const float(&x)[AT_ONCE]) {
        uint32_t weight[AT_ONCE];
        int32_t bin[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            weight[i] = weight_of(row, x[i]);
            bin[i] = bin_of(row, x[i]);
            if (in.bin >= 0) {
                uint64_t key = key_of(x[i], first + i * THREADS);
                int32_t digit = (int32_t)(key >> (in.shift - bits)) & ((1 << bits) - 1);
                weight[i] = bin[i] == in.bin && is_inside(in, key) ? weight[i] : 0;
                bin[i] = BINS - 1 - digit;
            }
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            if (weight[i] != 0) {
                atomicAdd(&s.count[bin[i]], 1u);
                uint32_t old = atomicAdd(&s.low[bin[i]], weight[i]);
                if (old + weight[i] < old) { // how many additions carry is free of their order
                    atomicAdd(&s.high[bin[i]], 1u);
                }
            }
        }
    });
    __syncthreads(); // all is counted
}

// The same, and its scan: thread i owns bins OWN * i and on.
static __device__ __forceinline__ own_bins histogram(search_space &s, const logits_row &row,
                                                     const scope &in, int bits)
{
    fill_bins(s, row, in, bits);
    int thread = (int)threadIdx.x;
    own_bins own;
    uint32_t count = 0;
    uint64_t weight = 0;
#pragma unroll
    for (int i = 0; i < OWN; i++) {
        int bin = OWN * thread + i;
        own.count[i] = s.count[bin];
        own.weight[i] = (uint64_t)s.high[bin] << 32 | s.low[bin];
        count += own.count[i];
        weight += own.weight[i];
    }
    uint32_t counts = warp_scan(count);
    uint64_t weights = warp_scan(weight);
    if (thread % 32 == 31) {
        s.warp_count[thread / 32] = counts;
        s.warp_weight[thread / 32] = weights;
    }
    __syncthreads(); // the warps' sums are there; each warp scans them all
    uint32_t warp_counts = warp_scan(s.warp_count[thread % WARPS]);
    uint64_t warp_weights = warp_scan(s.warp_weight[thread % WARPS]);
    __syncthreads(); // all have read them
    own.total = __shfl_sync(ALL_LANES, warp_counts, WARPS - 1);
    own.weight_total = __shfl_sync(ALL_LANES, warp_weights, WARPS - 1);
    int warp_before = max(thread / 32 - 1, 0);
    uint32_t count_before = __shfl_sync(ALL_LANES, warp_counts, warp_before);
    uint64_t weight_before = __shfl_sync(ALL_LANES, warp_weights, warp_before);
    own.before = counts - count + (thread < 32 ? 0 : count_before);
    own.weight_before = weights - weight + (thread < 32 ? 0 : weight_before);
    return own;
}

// The bin in which the prefix sum of candidates (or of weights) reaches the target, to every
// thread.
static __device__ __forceinline__ bin_found find_bin(search_space &s, const own_bins &own,
                                                     bool by_count, uint64_t target)
{
    uint32_t before = own.before;
    uint64_t weight_before = own.weight_before;
#pragma unroll
    for (int i = 0; i < OWN; i++) {
        uint64_t from = by_count ? before : weight_before;
        uint64_t here = by_count ? own.count[i] : own.weight[i];
        if (from < target && target <= from + here) {
            s.found = {weight_before, before, own.count[i], OWN * (int32_t)threadIdx.x + i};
        }
        before += own.count[i];
        weight_before += own.weight[i];
    }
    __syncthreads(); // one thread has found it; it is not written again before the next barrier
    return s.found;
}

// The first candidate at which the number of candidates (or their weight), its own included,
// reaches the target; 1 <= target <= total. `all` is the histogram of everything, {-1, 64, 0}.
static __device__ __forceinline__ place search(search_space &s, const logits_row &row,
                                               const own_bins &all, bool by_count, uint64_t target)
{
    bin_found found = find_bin(s, all, by_count, target);
    uint64_t before = found.before;
    uint64_t weight_before = found.weight_before;
    scope in = {found.bin, 64, 0};
    while (found.count > LISTED && in.shift > 0) {
        int bits = min(in.shift, DIGIT_BITS);
        own_bins own = histogram(s, row, in, bits);
        found = find_bin(s, own, by_count, target - (by_count ? before : weight_before));
        before += found.before;
        weight_before += found.weight_before;
        in.shift -= bits;
        in.prefix = in.prefix << bits | (uint64_t)(BINS - 1 - found.bin);
    }
    if (threadIdx.x == 0) {
        s.n_listed = 0;
    }
    __syncthreads(); // the list is empty
    each_logit(row, [&](int32_t n, float x) {
        if (bin_of(row, x) != in.bin) {
            return;
        }
        uint64_t key = key_of(x, n);
        uint32_t weight = weight_of(row, x);
        if (weight != 0 && is_inside(in, key)) {
            uint32_t i = atomicAdd(&s.n_listed, 1u);
            s.listed[i] = key;
            s.listed_weight[i] = weight;
        }
    });
    __syncthreads(); // the list is complete
    int n_listed = (int)s.n_listed;
    if ((int)threadIdx.x < n_listed) {
        uint64_t key = s.listed[threadIdx.x];
        uint32_t weight = s.listed_weight[threadIdx.x];
        for (int i = 0; i < n_listed; i++) {
            bool is_earlier = s.listed[i] > key;
            before += is_earlier ? 1 : 0;
            weight_before += is_earlier ? s.listed_weight[i] : 0;
        }
        uint64_t from = by_count ? before : weight_before;
        if (from < target && target <= from + (by_count ? 1 : weight)) {
            s.result = {key, weight_before + weight};
        }
    }
    __syncthreads(); // one thread has found it
    return s.result;
}

#endif
