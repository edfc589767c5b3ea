// conformance_numerics.cuh: every function of numerics.h on pseudo-random inputs of its domain, one
// word of result bits an input; compiled for the host and for the device, which must agree.
#ifndef OCT_CONFORMANCE_NUMERICS_CUH
#define OCT_CONFORMANCE_NUMERICS_CUH

#include "octet/numerics.h"

// X(name): a case of numerics_word.
#define NUMERICS_LIST(X)                                                                           \
    X(add_sub_mul)                                                                                 \
    X(fma)                                                                                         \
    X(div_rcp)                                                                                     \
    X(sqrt_rstd)                                                                                   \
    X(max_min_abs)                                                                                 \
    X(rint)                                                                                        \
    X(half)                                                                                        \
    X(half_to_float)                                                                               \
    X(requant)                                                                                     \
    X(steps)                                                                                       \
    X(exp2_neg)                                                                                    \
    X(ex2)                                                                                         \
    X(prob16)                                                                                      \
    X(score_diff)                                                                                  \
    X(merge)                                                                                       \
    X(gelu_new16)                                                                                  \
    X(gelu_erf16)                                                                                  \
    X(exp_neg)                                                                                     \
    X(gelu_new)                                                                                    \
    X(gelu_erf)                                                                                    \
    X(ln)                                                                                          \
    X(sample_weight)                                                                               \
    X(nll)                                                                                         \
    X(mulhi64)                                                                                     \
    X(philox)                                                                                      \
    X(hash)                                                                                        \
    X(doubles)

typedef enum numerics_function {
#define NUMERICS_ENUM(name) NUMERICS_##name,
    NUMERICS_LIST(NUMERICS_ENUM)
#undef NUMERICS_ENUM
        NUMERICS_COUNT
} numerics_function;

// A float of a random sign, mantissa and exponent, the latter in lo..hi (lo = -127: subnormals).
OCT_FN float float_of(uint32_t random, int32_t lo, int32_t hi)
{
    uint32_t exponent = (uint32_t)(lo + 127) + (random >> 23 & 0xFFu) % (uint32_t)(hi - lo + 1);
    return oct_float((random & 0x807FFFFFu) | exponent << 23);
}

// Its magnitude alone.
OCT_FN float magnitude_of(uint32_t random, int32_t lo, int32_t hi)
{
    return oct_float(oct_bits(float_of(random, lo, hi)) & 0x7FFFFFFFu);
}

// Bits of a result; NaNs have no bits of their own.
OCT_FN uint32_t bits_of(float x)
{
    return x == x ? oct_bits(x) : 0x7FC00000u;
}

OCT_FN uint64_t join(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

OCT_FN uint64_t join_floats(float high, float low)
{
    return join(bits_of(high), bits_of(low));
}

OCT_FN uint64_t mix_floats(float a, float b, float c)
{
    return oct_mix(join_floats(a, b)) ^ bits_of(c);
}

// rint(x * 2^32) and ceil(p * S) as scores and samples take them, with a conversion each way.
OCT_FN uint64_t doubles_word(uint64_t random)
{
    float nll = float_of((uint32_t)random, -40, 8);
    double scaled = (double)nll * 0x1p32;
    int64_t fixed = OCT_PICK((int64_t)((scaled + 0x1.8p52) - 0x1.8p52), __double2ll_rn(scaled));
    double share = (double)(random >> 40) * 0x1p-24 * (double)(random & 0xFFFFFFFFFFFFu);
    uint64_t floor = (uint64_t)share;
    return (uint64_t)fixed ^ (oct_mix(floor) + ((double)floor < share ? 1 : 0));
}

OCT_FN uint64_t merge_word(uint64_t random)
{
    int32_t m[2] = {(int32_t)(random & 0xFFFFFu), (int32_t)(random >> 20 & 0xFFFFFu)};
    float c = magnitude_of((uint32_t)(random >> 32), -20, -8);
    oct_softmax_state state = {0, 0.0f};
    float a, b;
    oct_merge_chunk(&state, m[0], 65535 + m[1], c, &a, &b);
    float o = oct_merge_element(0.0f, -m[0] * 64, a, b);
    oct_merge_chunk(&state, m[1], 65535 + m[0], c, &a, &b);
    o = oct_merge_element(o, m[1] * 64 + 1, a, b);
    return mix_floats(a, b, state.l) ^ join(bits_of(o), (uint32_t)state.m);
}

OCT_FN uint64_t requant_word(uint32_t u, uint32_t v)
{
    bool is_symmetric = v % 3 == 0;
    int32_t z = is_symmetric ? 0 : (int32_t)(v >> 8 & 0xFFu) - 128;
    int32_t lo = is_symmetric ? -127 : -128;
    float y = v % 7 == 0 ? oct_mul((float)(int32_t)(u % 1024u), 0.5f) : float_of(u, -20, 20);
    uint32_t raw = oct_requant_raw(y, z, (float)(lo - z), (float)(127 - z));
    return join((uint32_t)oct_requant(y, z, lo, 127), raw);
}

// Result of function `f` on its input number i.
OCT_FN uint64_t numerics_word(int32_t f, uint32_t i)
{
    uint64_t random = oct_mix(join((uint32_t)f + 1, i));
    uint32_t u = (uint32_t)random, v = (uint32_t)(random >> 32);
    uint32_t w = (uint32_t)oct_mix(random);
    float x = float_of(u, -127, 127), y = float_of(v, -127, 127);
    uint16_t h = (uint16_t)((i & 0x7C00u) == 0x7C00u ? i & 0x83FFu : i); // every finite half
    switch (f) {
    case NUMERICS_add_sub_mul:
        return mix_floats(oct_add(x, y), oct_sub(x, y), oct_mul(float_of(u, -100, 50), y));
    case NUMERICS_fma:
        return join_floats(oct_fma(x, y, float_of(w, -127, 127)),
                           oct_fma(float_of(u, -12, 3), float_of(v, -12, 3), float_of(w, -24, 3)));
    case NUMERICS_div_rcp:
        return mix_floats(oct_div(x, y), oct_rcp(x), oct_div(127.0f, magnitude_of(v, -100, 100)));
    case NUMERICS_sqrt_rstd:
        return join_floats(oct_sqrt(oct_abs(x)), oct_rstd(magnitude_of(v, -60, 60), 1e-5f));
    case NUMERICS_max_min_abs:
        return mix_floats(oct_max(x, y), oct_min(x, y), oct_clampf(oct_abs(x), -1.0f, 0x1p40f));
    case NUMERICS_rint:
        return join(bits_of(oct_rint(float_of(u, -30, 21))),
                    oct_rint_u32(magnitude_of(v, -30, 31)));
    case NUMERICS_half:
        return join(oct_half(x), bits_of(oct_round_half(float_of(v, -27, 17))));
    case NUMERICS_half_to_float:
        return bits_of(oct_half_to_float(h));
    case NUMERICS_requant:
        return requant_word(u, v);
    case NUMERICS_steps: {
        int32_t z;
        float lo = float_of(u, -110, 20), hi = float_of(v, -110, 20);
        float step = oct_step_asymmetric(lo, hi, &z);
        return mix_floats(oct_step_symmetric(lo, hi), step, oct_absmax_or_127(oct_abs(lo))) +
               (uint64_t)(int64_t)z;
    }
    case NUMERICS_exp2_neg:
        return join_floats(oct_exp2_neg(-magnitude_of(u, -30, 7)), oct_exp2_neg(-(float)(v % 256)));
    case NUMERICS_ex2:
        return bits_of(oct_ex2(float_of(u, -20, 5)));
    case NUMERICS_prob16: {
        float c = magnitude_of(v, -22, 3);
        return oct_prob16_raw(-(float)(u % (1u << 22)), c, oct_div(-18.0f, c));
    }
    case NUMERICS_score_diff: {
        int32_t s = (int32_t)(u % (1u << 23)) - (1 << 22),
                m = (int32_t)(v % (1u << 23)) - (1 << 22);
        return bits_of(oct_score_diff(OCT_MAGIC_BITS + s, OCT_MAGIC_BITS + m));
    }
    case NUMERICS_merge:
        return merge_word(random);
    case NUMERICS_gelu_new16:
        return bits_of(oct_gelu_new16(oct_half_to_float(h)));
    case NUMERICS_gelu_erf16:
        return bits_of(oct_gelu_erf16(oct_half_to_float(h)));
    case NUMERICS_exp_neg:
        return join_floats(oct_exp_neg(-magnitude_of(u, -30, 6)), oct_exp_neg(-(float)(v % 90)));
    case NUMERICS_gelu_new:
        return bits_of(oct_gelu_new(float_of(u, -60, 5)));
    case NUMERICS_gelu_erf:
        return bits_of(oct_gelu_erf(float_of(u, -60, 5)));
    case NUMERICS_ln:
        return join_floats(oct_ln(magnitude_of(u, -126, 127)), oct_lg2(magnitude_of(v, -40, 40)));
    case NUMERICS_sample_weight:
        return oct_sample_weight(oct_sub(3.0f, magnitude_of(u, -20, 6)), 3.0f,
                                 oct_div(OCT_LOG2E, magnitude_of(v, -3, 3)));
    case NUMERICS_nll:
        return bits_of(oct_nll(3.0f, float_of(u, -20, 6), random >> 17));
    case NUMERICS_mulhi64:
        return oct_mulhi64(random, oct_mix(random));
    case NUMERICS_philox: {
        uint32_t counter[4] = {u, v, i, w}, out[4];
        oct_philox4x32(w, u, counter, out);
        return join(out[0], out[1]) ^ oct_mix(join(out[2], out[3]));
    }
    case NUMERICS_hash:
        return oct_hash_row(oct_hash_logit(u, v), random);
    default:
        return doubles_word(random);
    }
}

#endif
