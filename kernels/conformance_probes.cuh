// conformance_probes.cuh: what an instruction leaves in each register of each lane of a warp
// (probe_*), and what plain C expects there (expect_*), for every PTX wrapper and warp intrinsic
// that the kernels use. Operands are pseudo-random words of (trial, lane, index).
#ifndef OCT_CONFORMANCE_PROBES_CUH
#define OCT_CONFORMANCE_PROBES_CUH

#include "common.cuh"
#include "conformance.h"
#include "conformance_numerics.cuh"
#include "ptx.cuh"

static const int WORDS = 8; // results of a lane in a trial
static const int CELLS = 1024;
static const int SOURCE_CELLS = OCT_CONFORMANCE_SCRATCH_BYTES / 4;

// X(name): probe_name on the device, expect_name on the host.
#define PROBE_LIST(X)                                                                              \
    X(mma_s8_s8) X(mma_u8_s8) X(ldmatrix_x4) X(cp_async) X(warp) X(bytes) X(shared_atomics)

typedef uint32_t lane_words[WORDS];

// Pseudo-random word `index` of a lane in a trial.
OCT_FN uint32_t word(uint32_t trial, int lane, int index)
{
    return (uint32_t)oct_mix(join(trial + 1, (uint32_t)(lane * 4096 + index)));
}

OCT_FN uint64_t share(uint32_t trial, int place, uint64_t value)
{
    return oct_mix(oct_mix(join(trial, (uint32_t)place)) ^ value);
}

// ---- mma.m16n8k32: the layouts of ptx.cuh -------------------------------------------------------

static __device__ void probe_mma(lane_words &out, uint32_t trial, int lane, bool is_signed)
{
    uint32_t a[4];
    int32_t c[4];
    for (int i = 0; i < 4; i++) {
        a[i] = word(trial, lane, i);
        c[i] = (int32_t)word(trial, lane, 6 + i);
    }
    if (is_signed) {
        mma_s8_s8(c, a, word(trial, lane, 4), word(trial, lane, 5));
    } else {
        mma_u8_s8(c, a, word(trial, lane, 4), word(trial, lane, 5));
    }
    for (int i = 0; i < 4; i++) {
        out[i] = (uint32_t)c[i];
    }
}

static __device__ void probe_mma_s8_s8(lane_words &out, uint32_t trial, int lane, uint32_t *,
                                       const uint32_t *)
{
    probe_mma(out, trial, lane, true);
}

static __device__ void probe_mma_u8_s8(lane_words &out, uint32_t trial, int lane, uint32_t *,
                                       const uint32_t *)
{
    probe_mma(out, trial, lane, false);
}

static void expect_mma(lane_words *out, uint32_t trial, bool is_signed)
{
    int32_t A[16][32], B[8][32];
    for (int lane = 0; lane < 32; lane++) {
        int g = lane / 4, c = lane % 4;
        for (int byte = 0; byte < 4; byte++) {
            for (int i = 0; i < 4; i++) {
                uint32_t x = word(trial, lane, i) >> (8 * byte) & 0xFFu;
                A[g + 8 * (i % 2)][16 * (i / 2) + 4 * c + byte] = is_signed ? (int8_t)x : (int)x;
            }
            for (int i = 0; i < 2; i++) {
                B[g][16 * i + 4 * c + byte] = (int8_t)(word(trial, lane, 4 + i) >> (8 * byte));
            }
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 4; i++) {
            uint32_t sum = word(trial, lane, 6 + i);
            for (int k = 0; k < 32; k++) {
                sum += (uint32_t)(A[lane / 4 + 8 * (i / 2)][k] * B[lane % 4 * 2 + i % 2][k]);
            }
            out[lane][i] = sum;
        }
    }
}

static void expect_mma_s8_s8(lane_words *out, uint32_t trial)
{
    expect_mma(out, trial, true);
}

static void expect_mma_u8_s8(lane_words *out, uint32_t trial)
{
    expect_mma(out, trial, false);
}

// ---- ldmatrix: two loads of four matrices with rows anywhere ------------------------------------

static __device__ void probe_ldmatrix_x4(lane_words &out, uint32_t trial, int lane, uint32_t *cells,
                                         const uint32_t *)
{
    for (int i = lane; i < CELLS; i += 32) {
        cells[i] = word(trial, 32, i);
    }
    __syncwarp();
    for (int i = 0; i < 2; i++) {
        uint32_t d[4];
        uint32_t row = word(trial, lane, i) % (CELLS / 4);
        ldmatrix_x4(d, shared_address(cells + 4 * row));
        for (int j = 0; j < 4; j++) {
            out[4 * i + j] = d[j];
        }
    }
}

static void expect_ldmatrix_x4(lane_words *out, uint32_t trial)
{
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < WORDS; i++) {
            uint32_t row = word(trial, 8 * (i % 4) + lane / 4, i / 4) % (CELLS / 4);
            out[lane][i] = word(trial, 32, (int)(4 * row) + lane % 4);
        }
    }
}

// ---- cp.async: three groups, the middle one with zeros where a lane copies nothing --------------

OCT_FN int source_of(uint32_t trial, int lane, int group)
{
    return 4 * (int)(word(trial, lane, group) % (SOURCE_CELLS / 4));
}

OCT_FN uint32_t bytes_of(uint32_t trial, int lane)
{
    return word(trial, lane, 3) % 3 == 0 ? 0 : 16;
}

static __device__ void probe_cp_async(lane_words &out, uint32_t trial, int lane, uint32_t *cells,
                                      const uint32_t *source)
{
    uint32_t to = shared_address(cells + 4 * lane);
    cp_async_16(to, source + source_of(trial, lane, 0));
    cp_async_commit();
    cp_async_16_zero_fill(to + 512, source + source_of(trial, lane, 1), bytes_of(trial, lane));
    cp_async_commit();
    cp_async_16(to + 1024, source + source_of(trial, lane, 2));
    cp_async_commit();
    cp_async_wait<1>();
    __syncwarp();
    for (int i = 0; i < 4; i++) {
        out[i] = cells[4 * ((lane + 7) % 32) + i];
        out[4 + i] = cells[128 + 4 * ((lane + 9) % 32) + i];
    }
    cp_async_wait<0>();
    __syncwarp();
    for (int i = 0; i < 4; i++) {
        out[i] += 31 * cells[256 + 4 * ((lane + 11) % 32) + i];
    }
}

static void expect_cp_async(lane_words *out, uint32_t trial)
{
    for (int lane = 0; lane < 32; lane++) {
        int from[3] = {(lane + 7) % 32, (lane + 9) % 32, (lane + 11) % 32};
        for (int i = 0; i < 4; i++) {
            out[lane][i] = word(0, 33, source_of(trial, from[0], 0) + i) +
                           31 * word(0, 33, source_of(trial, from[2], 2) + i);
            bool is_copied = bytes_of(trial, from[1]) == 16;
            out[lane][4 + i] = is_copied ? word(0, 33, source_of(trial, from[1], 1) + i) : 0;
        }
    }
}

// ---- shuffles, reductions, votes ----------------------------------------------------------------

static __device__ void probe_warp(lane_words &out, uint32_t trial, int lane, uint32_t *,
                                  const uint32_t *)
{
    uint32_t a = word(trial, lane, 0);
    int h = 1 << (trial % 5);
    out[0] = __shfl_xor_sync(ALL_LANES, a, h);
    out[1] = __shfl_up_sync(ALL_LANES, a, h);
    out[2] = __shfl_sync(ALL_LANES, a, (int)(trial % 32));
    out[3] = warp_max(a);
    out[4] = (uint32_t)warp_max((int32_t)a);
    out[5] = (uint32_t)warp_sum((int32_t)a);
    out[6] = __ballot_sync(ALL_LANES, a % 3 == 0);
    out[7] = (uint32_t)__all_sync(ALL_LANES, a % 64 != 0);
}

static void expect_warp(lane_words *out, uint32_t trial)
{
    int h = 1 << (trial % 5);
    uint32_t top = 0, sum = 0, votes = 0, all = 1;
    int32_t top_signed = INT32_MIN;
    for (int lane = 0; lane < 32; lane++) {
        uint32_t a = word(trial, lane, 0);
        top = a > top ? a : top;
        top_signed = (int32_t)a > top_signed ? (int32_t)a : top_signed;
        sum += a;
        votes |= a % 3 == 0 ? 1u << lane : 0;
        all = a % 64 == 0 ? 0 : all;
    }
    for (int lane = 0; lane < 32; lane++) {
        uint32_t words[WORDS] = {word(trial, lane ^ h, 0),
                                 word(trial, lane < h ? lane : lane - h, 0),
                                 word(trial, (int)(trial % 32), 0),
                                 top,
                                 (uint32_t)top_signed,
                                 sum,
                                 votes,
                                 all};
        memcpy(out[lane], words, sizeof words);
    }
}

// ---- bytes of words -----------------------------------------------------------------------------

static __device__ int32_t dp4a_mixed(uint32_t a, uint32_t b, int32_t c)
{
    int32_t d;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

static __device__ void probe_bytes(lane_words &out, uint32_t trial, int lane, uint32_t *,
                                   const uint32_t *)
{
    uint32_t a = word(trial, lane, 0), b = word(trial, lane, 1), c = word(trial, lane, 2);
    out[0] = (uint32_t)__dp4a((int)a, (int)b, (int)c);
    out[1] = (uint32_t)dp4a_mixed(a, b, (int32_t)c);
    out[2] = __byte_perm(a, b, c & 0x7777u);
    out[3] = __byte_perm(a, b, 0x0040);
    out[4] = __byte_perm(a, b, 0x5410);
    out[5] = __umulhi(a, b);
    out[6] = (uint32_t)__ffsll((long long)join(a & 0xFF00u, b & 0xF000F000u));
    out[7] = (uint32_t)oct_half(float_of(a, -27, 17)) | (uint32_t)oct_half(float_of(b, 3, 16))
                                                            << 16;
}

static void expect_bytes(lane_words *out, uint32_t trial)
{
    for (int lane = 0; lane < 32; lane++) {
        uint32_t a = word(trial, lane, 0), b = word(trial, lane, 1), c = word(trial, lane, 2);
        uint64_t both = join(b, a), perm[3] = {c, 0x0040, 0x5410};
        uint32_t dot = c, mixed = c, bit = 0;
        for (int i = 0; i < 4; i++) {
            dot += (uint32_t)((int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i));
            mixed += (uint32_t)((int32_t)(a >> 8 * i & 0xFFu) * (int8_t)(b >> 8 * i));
        }
        uint64_t bits = join(a & 0xFF00u, b & 0xF000F000u);
        for (uint32_t i = 64; i >= 1; i--) {
            bit = (bits >> (i - 1) & 1) != 0 ? i : bit;
        }
        uint32_t halves =
            (uint32_t)oct_half(float_of(a, -27, 17)) | (uint32_t)oct_half(float_of(b, 3, 16)) << 16;
        uint32_t words[WORDS] = {dot, mixed, 0, 0, 0, (uint32_t)((uint64_t)a * b >> 32),
                                 bit, halves};
        for (int j = 0; j < 3; j++) {
            for (int i = 0; i < 4; i++) {
                uint32_t from = (uint32_t)(perm[j] >> 4 * i) & 7u;
                words[2 + j] |= ((uint32_t)(both >> 8 * from) & 0xFFu) << 8 * i;
            }
        }
        memcpy(out[lane], words, sizeof words);
    }
}

// ---- shared-memory atomics: what is left does not depend on their order -------------------------

static __device__ void probe_shared_atomics(lane_words &out, uint32_t trial, int lane,
                                            uint32_t *cells, const uint32_t *)
{
    uint32_t a = word(trial, lane, 0);
    if (lane < 4) {
        cells[lane] = 0;
    }
    __syncwarp();
    uint32_t old = atomicAdd(&cells[0], a);
    if (old + a < a) {
        atomicAdd(&cells[1], 1u);
    }
    atomicMax(&cells[2], a);
    atomicOr(&cells[3], 1u << (a % 32));
    __syncwarp();
    for (int i = 0; i < 4; i++) {
        out[i] = cells[i];
    }
}

static void expect_shared_atomics(lane_words *out, uint32_t trial)
{
    uint64_t sum = 0;
    uint32_t top = 0, bits = 0;
    for (int lane = 0; lane < 32; lane++) {
        uint32_t a = word(trial, lane, 0);
        sum += a;
        top = a > top ? a : top;
        bits |= 1u << (a % 32);
    }
    for (int lane = 0; lane < 32; lane++) {
        uint32_t words[WORDS] = {(uint32_t)sum, (uint32_t)(sum >> 32), top, bits};
        memcpy(out[lane], words, sizeof words);
    }
}

#endif
