// numerics_primitives.h: the operations that round once, the same bits from gcc, clang and nvcc:
// IEEE arithmetic, min, max, clamp, rint, binary16 (NUMERICS.md section 1; included by numerics.h).
//
// Everything here is exact or correctly rounded and takes one instruction unless a count is given
// ("PTX n": arithmetic instructions in nvcc's PTX).
#ifndef OCT_NUMERICS_PRIMITIVES_H
#define OCT_NUMERICS_PRIMITIVES_H

#include <stdint.h>
#include <string.h>

// The one switch between compilers: OCT_PICK(host, device) is the C expression on a CPU and the
// intrinsic in a kernel. The second must have the bits of the first.
#if defined(__CUDACC__)
#define OCT_FN static __host__ __device__ __forceinline__
#else
#define OCT_FN static inline
#endif
#if defined(__CUDA_ARCH__)
#define OCT_PICK(host, device) (device)
static __device__ __forceinline__ uint16_t oct_half_by_cvt(float x)
{
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}
static __device__ __forceinline__ float oct_float_by_cvt(uint16_t h)
{
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
    return x;
}
#else
#define OCT_PICK(host, device) (host)
#endif

// x + OCT_MAGIC, |x| <= 2^22: the low bits of the sum are rint(x), ties to even.
#define OCT_MAGIC      0x1.8p23f
#define OCT_MAGIC_BITS 0x4B400000

// ---- primitives: one rounding each --------------------------------------------------------------

OCT_FN float oct_add(float a, float b)
{
    return OCT_PICK(a + b, __fadd_rn(a, b));
}

OCT_FN float oct_sub(float a, float b)
{
    return OCT_PICK(a - b, __fsub_rn(a, b));
}

OCT_FN float oct_mul(float a, float b)
{
    return OCT_PICK(a * b, __fmul_rn(a, b));
}

// a * b + c, rounded once. With -mfma one instruction, else libm's exact fmaf.
OCT_FN float oct_fma(float a, float b, float c)
{
    return OCT_PICK(__builtin_fmaf(a, b, c), __fmaf_rn(a, b, c));
}

OCT_FN float oct_div(float a, float b)
{
    return OCT_PICK(a / b, __fdiv_rn(a, b));
}

// 1 / a: the bits of oct_div(1, a), fewer instructions on a GPU.
OCT_FN float oct_rcp(float a)
{
    return OCT_PICK(1.0f / a, __frcp_rn(a));
}

OCT_FN float oct_sqrt(float a)
{
    return OCT_PICK(__builtin_sqrtf(a), __fsqrt_rn(a));
}

OCT_FN float oct_abs(float a)
{
    return OCT_PICK(__builtin_fabsf(a), fabsf(a));
}

OCT_FN uint32_t oct_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

OCT_FN float oct_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

// max(x, lo), NaN gives lo. The device form gives the same bits unless lo is -0 (never here).
OCT_FN float oct_max(float x, float lo)
{
    return OCT_PICK(x > lo ? x : lo, fmaxf(x, lo));
}

// min(x, hi), NaN gives hi. At hi = +0 the sign of a zero differs on the device (integers made of
// it do not).
OCT_FN float oct_min(float x, float hi)
{
    return OCT_PICK(x < hi ? x : hi, fminf(x, hi));
}

// x kept within lo..hi; NaN gives lo. PTX 2.
OCT_FN float oct_clampf(float x, float lo, float hi)
{
    return oct_min(oct_max(x, lo), hi);
}

// The integer nearest x, ties to even, for |x| <= 2^22; gives +0 for a zero. PTX 2.
OCT_FN float oct_rint(float x)
{
    return oct_sub(oct_add(x, OCT_MAGIC), OCT_MAGIC);
}

// The integer nearest x, ties to even, for 0 <= x < 2^32. From 2^23 on every float is an integer
// and the conversion is exact; below, x + 2^23 lies where floats are 1 apart, so the addition
// itself rounds and the low bits are the result (2^23 is even: ties to even hold). PTX 1.
OCT_FN uint32_t oct_rint_u32(float x)
{
    return OCT_PICK(x < 0x1p23f ? oct_bits(x + 0x1p23f) - 0x4B000000u : (uint32_t)x,
                    __float2uint_rn(x));
}

// ---- half ---------------------------------------------------------------------------------------

// The rounding of oct_half in integers, |x| <= 65504. Below 2^-14 one unit of a half is 2^-24, the
// unit of a float in [0.5, 1): adding 0.5 rounds. Above, half a unit (minus one where the kept part
// is even) is added.
OCT_FN uint16_t oct_half_by_integers(float x)
{
    uint32_t u = oct_bits(x);
    uint32_t a = u & 0x7FFFFFFFu;
    uint32_t low = oct_bits(oct_add(oct_float(a), 0.5f)) - 0x3F000000u;
    uint32_t high = (a + 0xFFFu + ((a >> 13) & 1u) - 0x38000000u) >> 13;
    return (uint16_t)(((u >> 16) & 0x8000u) | (a < 0x38800000u ? low : high));
}

// A finite half in integers: a subnormal is an integer times 2^-24, else the exponent's bias is 112
// larger.
OCT_FN float oct_float_by_integers(uint16_t h)
{
    uint32_t m = h & 0x7FFFu;
    uint32_t low = oct_bits(oct_mul((float)m, 0x1p-24f));
    return oct_float(((uint32_t)(h & 0x8000u) << 16) |
                     (m < 0x400u ? low : (m << 13) + 0x38000000u));
}

// half(x): clamped to +-65504 (NaN gives -65504), then binary16 nearest even, subnormals kept. PTX
// 4; half an instruction where a kernel rounds two at once by cvt.rn.satfinite.f16x2.f32, which has
// the same bits for all but NaN.
OCT_FN uint16_t oct_half(float x)
{
    float c = oct_clampf(x, -65504.0f, 65504.0f);
    return OCT_PICK(oct_half_by_integers(c), oct_half_by_cvt(c));
}

// The value of a finite half, exact.
OCT_FN float oct_half_to_float(uint16_t h)
{
    return OCT_PICK(oct_float_by_integers(h), oct_float_by_cvt(h));
}

// x rounded to binary16 and back: what every linear layer but lm_head hands on.
OCT_FN float oct_round_half(float x)
{
    return oct_half_to_float(oct_half(x));
}

#endif
