// Scores of logits rows that have a target: negative log likelihood and logits hash.
//
// Computes:      S = sum of rint(2^30 * exp2_neg((logit - max) * log2e)),
//                nll = (max - logit[target]) + ln(S * 2^-30),
//                h = sum of mix(n << 32 | bits(logit[n])),
//                sums[slot] += {rint(nll * 2^32), mix(h + (i + 1) * 0x9E3779B97F4A7C15), 1}
// Shapes:        logits [R][V] f32, sums [slots] of three 64-bit integers, nll [R] f32 or NULL
// Grid:          one block a row of logits
// Shared memory: WARPS * (4 + 8 + 8) bytes
// Bound:         R * V * 4 bytes, read again from the L1 or L2 cache; R * V * 40 instructions
// Numerics:      sums are exact integers, so free of order; the maximum too (NUMERICS.md sections
//                6, 9)
// Limits:        V >= 1; rows need no alignment
#include "common.cuh"

static const int THREADS = 512;
static const int WARPS = THREADS / 32;
static_assert(WARPS == 16, "one warp reads the warps' results by shuffles over 16 lanes");

static __device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int h = 16; h >= 1; h /= 2) {
        x = oct_max(x, __shfl_xor_sync(ALL_LANES, x, h));
    }
    return x;
}

static __device__ __forceinline__ uint64_t warp_sum(uint64_t x)
{
#pragma unroll
    for (int h = 16; h >= 1; h /= 2) {
        x += __shfl_xor_sync(ALL_LANES, x, h);
    }
    return x;
}

static __device__ __forceinline__ void add_to(void *at, uint64_t x)
{
    atomicAdd((unsigned long long *)at, (unsigned long long)x);
}

static __global__ void __launch_bounds__(THREADS) score_kernel(const launch_score args)
{
    __shared__ float maxima[WARPS];
    __shared__ uint64_t sums[WARPS];
    __shared__ uint64_t hashes[WARPS];
    int32_t r = (int32_t)blockIdx.x;
    int32_t thread = (int32_t)threadIdx.x;
    int32_t target = args.step.target[r];
    if (target < 0) { // the whole block leaves
        if (thread == 0 && args.nll != nullptr) {
            args.nll[r] = 0.0f;
        }
        return;
    }
    const float *logits = args.logits + (size_t)r * (size_t)args.vocab;

    // Which of two zeros is the maximum does not matter: weights and nll are the same.
    float top = logits[0];
#pragma unroll 4
    for (int32_t n = thread; n < args.vocab; n += THREADS) {
        top = oct_max(logits[n], top);
    }
    top = warp_max(top);
    if (thread % 32 == 0) {
        maxima[thread / 32] = top;
    }
    __syncthreads(); // the warps' maxima are there
    top = warp_max(maxima[thread % WARPS]);

    uint64_t sum = 0;
    uint64_t hash = 0;
#pragma unroll 4
    for (int32_t n = thread; n < args.vocab; n += THREADS) {
        float x = logits[n];
        sum += oct_sample_weight(x, top, OCT_LOG2E);
        hash += oct_hash_logit((uint32_t)n, oct_bits(x));
    }
    sum = warp_sum(sum);
    hash = warp_sum(hash);
    if (thread % 32 == 0) {
        sums[thread / 32] = sum;
        hashes[thread / 32] = hash;
    }
    __syncthreads(); // the warps' sums are there
    if (thread >= 32) {
        return;
    }
    sum = warp_sum(thread < WARPS ? sums[thread] : 0);
    hash = warp_sum(thread < WARPS ? hashes[thread] : 0);
    if (thread == 0) {
        float nll = oct_nll(top, logits[target], sum);
        if (args.nll != nullptr) {
            args.nll[r] = nll;
        }
        oct_score_sums *out = args.sums + args.step.logit_slot[r];
        // The product is exact; the conversion rounds to the nearest integer, ties to even.
        add_to(&out->nll, (uint64_t)__double2ll_rn((double)nll * 0x1p32));
        add_to(&out->hash, oct_hash_row(hash, (uint64_t)args.step.index[r]));
        add_to(&out->count, 1);
    }
}

extern "C" int oct_launch_score(const launch_score *args, launch_stream stream)
{
    if (args->vocab < 1 || args->step.n_logits < 0) {
        return LAUNCH_ERR_SHAPE;
    }
    if (args->step.n_logits == 0) {
        return 0;
    }
    score_kernel<<<(unsigned)args->step.n_logits, THREADS, 0, stream>>>(*args);
    return (int)cudaGetLastError();
}
