// SAMPLE on the device: one token from each row of logits that asks for it.
//
// Computes:      NUMERICS.md section 6: repetition penalty, temperature (0: argmax), top-k, top-p,
//                min-p, then the inverse CDF at mulhi64(u, S), u by Philox(seed, position, choice)
// Shapes:        logits [R][V] f32 (not changed), scratch [R][V] of 8 bytes, token [R] s32
// Grid:          one block a row of logits
// Shared memory: sizeof(search_space) + 16 bytes, 28 KiB
// Bound:         R * V * 4 bytes for an argmax; a draw reads its row 3 times, once more for each of
//                top-k and top-p, twice for min-p (from the L1 or L2 cache), and takes R * V * 45
//                instructions
// Numerics:      weights rint(2^30 * exp2_neg(..)), sums exact in u64 and thus free of order; the
//                order of candidates is that of one unsigned key each (prefix_search.cuh)
// Limits:        V <= 2^23, so that sums are exact as doubles; rows need no alignment
#include "prefix_search.cuh"

static const int MAX_VOCAB = 1 << 23;

// ceil(p * S); the product is one of doubles.
static __device__ __forceinline__ uint64_t ceil_share(double p, uint64_t sum)
{
    double share = p * (double)sum;
    uint64_t floor = (uint64_t)share;
    return (double)floor < share ? floor + 1 : floor;
}

// One bit for each token of the slot's history.
static __device__ __forceinline__ void mark_history(uint32_t *bits, const launch_step &step,
                                                    int32_t slot, int32_t vocab)
{
    for (int32_t i = (int32_t)threadIdx.x; i < ceil_div(vocab, 32); i += THREADS) {
        bits[i] = 0;
    }
    __syncthreads(); // no bit is set
    const int32_t *history = step.history + (size_t)slot * (size_t)step.max_history;
    for (int32_t i = (int32_t)threadIdx.x; i < step.n_history[slot]; i += THREADS) {
        int32_t id = history[i];
        if (id >= 0 && id < vocab) {
            atomicOr(&bits[id / 32], 1u << (id % 32));
        }
    }
    __syncthreads(); // all bits are set
}

// The key of the first candidate: the argmax.
static __device__ __forceinline__ uint64_t first_key(search_space &s, const logits_row &row)
{
    float top = MINUS_INFINITY;
    int32_t id = (int32_t)threadIdx.x;
    each_logit(row, [&](int32_t n, float x) {
        id = x > top ? n : id; // the lower id stays
        top = x > top ? x : top;
    });
    return block_max(id < row.vocab ? key_of(top, id) : 0, s.warp_weight);
}

// The weight of the prefix that min-p keeps: what stands before the first candidate (but the best,
// which always stays) whose weight is below `least`.
static __device__ __forceinline__ uint64_t weight_before_least(search_space &s,
                                                               const logits_row &row, uint64_t best,
                                                               uint64_t least)
{
    uint64_t first = 0;
    each_logit(row, [&](int32_t n, float x) {
        uint64_t key = key_of(x, n);
        first = weight_of(row, x) < least && key != best && key > first ? key : first;
    });
    first = block_max(first, s.warp_weight);
    uint64_t sum = 0;
    each_logit(row,
               [&](int32_t n, float x) { sum += key_of(x, n) > first ? weight_of(row, x) : 0; });
    return block_sum(sum, s.warp_weight);
}

// u of the new token, which stands one position behind the row's.
static __device__ uint64_t random_of(const launch_sample &args, size_t r,
                                     const oct_sampling &options)
{
    uint32_t position = (uint32_t)args.step.position[args.step.logit_row[r]] + 1;
    uint32_t counter[4] = {position, (uint32_t)options.choice, 0, 0};
    uint32_t word[4];
    oct_philox4x32((uint32_t)options.seed, (uint32_t)(options.seed >> 32), counter, word);
    return word[0] | (uint64_t)word[1] << 32;
}

// Every cut keeps a prefix of the order, so its sum of weights alone describes it, and the draw is
// the first candidate whose prefix sum passes a number below that sum.
static __device__ __forceinline__ uint64_t draw(search_space &s, const logits_row &row,
                                                const oct_sampling &options, uint64_t best,
                                                const uint64_t &random)
{
    enum { TOP_K, TOP_P, DRAW, END };
    own_bins all = histogram(s, row, {-1, 64, 0}, 0);
    place at = {best, all.weight_total};
    if (all.weight_total == 0) { // not one finite weight: no draw either
        return best;
    }
#pragma unroll 1
    for (int stage = TOP_K; stage < END; stage++) {
        uint64_t target = 0;
        if (stage == TOP_K && options.top_k > 0 && (uint32_t)options.top_k < all.total) {
            target = (uint64_t)options.top_k;
        } else if (stage == TOP_P && options.top_p < 1.0) {
            target = max(ceil_share(options.top_p, at.weight), (uint64_t)1);
        } else if (stage == DRAW) {
            if (options.min_p > 0.0) {
                uint64_t least = ceil_share(options.min_p, 1u << 30);
                at.weight = min(at.weight, weight_before_least(s, row, best, least));
            }
            target = oct_mulhi64(random, at.weight) + 1;
        }
        if (target != 0) {
            at = search(s, row, all, stage == TOP_K, target);
        }
    }
    return at.key;
}

// One block a multiprocessor: with two, ptxas keeps to 64 registers and spills.
static __global__ void __launch_bounds__(THREADS, 1) sample_kernel(const launch_sample args)
{
    __shared__ search_space s;
    __shared__ uint64_t random;
    size_t r = blockIdx.x;
    if (args.step.sample[r] == 0) { // the whole block leaves
        if (threadIdx.x == 0) {
            args.token[r] = -1;
        }
        return;
    }
    int32_t slot = args.step.logit_slot[r];
    const oct_sampling &options = args.step.sampling[slot];
    size_t offset = r * (size_t)args.vocab;
    logits_row row = {args.logits + offset, nullptr, options.repetition_penalty,
                      args.vocab,           0.0f,    0.0f};
    if (row.penalty != 1.0f) {
        uint32_t *bits = (uint32_t *)((uint64_t *)args.scratch + offset);
        mark_history(bits, args.step, slot, args.vocab);
        row.penalized = bits;
    }
    if (threadIdx.x == 0) {
        random = random_of(args, r, options);
    }
    uint64_t key = first_key(s, row); // its barriers make `random` visible
    if (options.temperature != 0.0f) {
        row.max = logit_of(key);
        row.log2e_over_t = oct_div(OCT_LOG2E, options.temperature);
        key = draw(s, row, options, key, random);
    }
    if (threadIdx.x == 0) {
        args.token[r] = id_of(key);
    }
}

extern "C" int oct_launch_sample(const launch_sample *args, launch_stream stream)
{
    if (args->vocab < 1 || args->vocab > MAX_VOCAB || args->step.n_logits < 0) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->step.n_logits == 0) {
        return 0;
    }
    sample_kernel<<<(unsigned)args->step.n_logits, THREADS, 0, stream>>>(*args);
    return (int)cudaGetLastError();
}
