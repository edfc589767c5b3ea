// Half, float and conversion instructions. References: the host's FPU with its own rounding modes,
// and for halves a search of the nearest among all 65536 values, which shares no code with ptxrun.
#include <cuda_fp16.h>

#include <algorithm>
#include <cfenv>
#include <cmath>

#include "cuda_test.h"

// ---- halves ----
__global__ void half_ops(const uint16_t *in, uint16_t *out, int n)
{
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    if (t >= n) {
        return;
    }
    const uint16_t a = in[3 * t], b = in[3 * t + 1], c = in[3 * t + 2];
    uint16_t r[8];
    asm("add.rn.f16 %0, %1, %2;" : "=h"(r[0]) : "h"(a), "h"(b));
    asm("sub.rn.f16 %0, %1, %2;" : "=h"(r[1]) : "h"(a), "h"(b));
    asm("mul.rn.f16 %0, %1, %2;" : "=h"(r[2]) : "h"(a), "h"(b));
    asm("fma.rn.f16 %0, %1, %2, %3;" : "=h"(r[3]) : "h"(a), "h"(b), "h"(c));
    asm("min.f16 %0, %1, %2;" : "=h"(r[4]) : "h"(a), "h"(b));
    asm("max.f16 %0, %1, %2;" : "=h"(r[5]) : "h"(a), "h"(b));
    const uint32_t x = a | (uint32_t)b << 16, y = b | (uint32_t)c << 16;
    uint32_t two, p;
    asm("fma.rn.f16x2 %0, %1, %2, %1;" : "=r"(two) : "r"(x), "r"(y));
    r[6] = (uint16_t)(two >> 16);
    asm("{.reg .pred p; setp.ltu.f16 p, %1, %2; selp.u32 %0, 1, 0, p;}" : "=r"(p) : "h"(a), "h"(b));
    r[7] = (uint16_t)p;
    for (int k = 0; k < 8; k++) {
        out[8 * t + k] = r[k];
    }
}

static double value(uint16_t h)
{ // by definition of the format
    const int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY)
               : e     ? (1 + m / 1024.0) * std::pow(2.0, e - 15)
                       : m * std::pow(2.0, -24);
    return h >> 15 ? -v : v;
}
// Nearest half of an exactly known value given as a long double; ties to even.
static uint16_t nearest(long double v)
{
    if (std::isnan(v)) {
        return 0x7fff;
    }
    const uint16_t sign = std::signbit(v) ? 0x8000 : 0;
    v = fabsl(v);
    if (v >= 65520) {
        return sign | 0x7c00;
    }
    int lo = 0, hi = 0x7bff; // halves are ordered like their bits
    while (lo < hi) {
        int mid = (lo + hi + 1) / 2;
        if (value((uint16_t)mid) <= (double)v) {
            lo = mid;
        } else {
            hi = mid - 1;
        }
    }
    if (lo == 0x7bff) {
        return sign | 0x7bff;
    }
    const long double down = v - value((uint16_t)lo), up = value((uint16_t)(lo + 1)) - v;
    return sign | (uint16_t)(down < up || (down == up && lo % 2 == 0) ? lo : lo + 1);
}
static uint16_t ref_half(int k, uint16_t a, uint16_t b, uint16_t c)
{
    const long double x = value(a), y = value(b), z = value(c);
    switch (k) {
    case 0: return nearest(x + y);
    case 1: return nearest(x - y);
    case 2: return nearest(x * y);
    case 3: return nearest(x * y + z); // 64 bits hold it, or the rest cannot matter
    case 4:
    case 5: {
        if (std::isnan(x) && std::isnan(y)) {
            return 0x7fff;
        }
        if (std::isnan(x)) {
            return b;
        }
        if (std::isnan(y)) {
            return a;
        }
        if (x == y) {
            return (k == 4) == (a >> 15 != 0) ? a : b;
        }
        return (x < y) == (k == 4) ? a : b;
    }
    case 6: return nearest((long double)value(b) * value(c) + value(b));
    default: return !(x >= y);
    }
}

// ---- conversions: one kernel per pair, all rounding modes by macro ----
#define CONVERSIONS(X)                                                                             \
    X(rni_s32_f32, "cvt.rni.s32.f32 %0, %1;", "r", "f")                                            \
    X(rzi_s32_f32, "cvt.rzi.s32.f32 %0, %1;", "r", "f")                                            \
    X(rmi_s32_f32, "cvt.rmi.s32.f32 %0, %1;", "r", "f")                                            \
    X(rpi_s32_f32, "cvt.rpi.s32.f32 %0, %1;", "r", "f")                                            \
    X(rzi_u32_f32, "cvt.rzi.u32.f32 %0, %1;", "r", "f")                                            \
    X(rni_f32_f32, "cvt.rni.f32.f32 %0, %1;", "r", "f")                                            \
    X(sat_f32_f32, "cvt.sat.f32.f32 %0, %1;", "r", "f")                                            \
    X(rni_s8_f32, "cvt.rni.s8.f32 %0, %1;", "r", "f")                                              \
    X(rni_f16_f32, "{.reg .b16 h; cvt.rn.f16.f32 h, %1; cvt.u32.u16 %0, h;}", "r", "f")            \
    X(rz_f16_f32, "{.reg .b16 h; cvt.rz.f16.f32 h, %1; cvt.u32.u16 %0, h;}", "r", "f")             \
    X(rn_f32_s32, "cvt.rn.f32.s32 %0, %1;", "r", "r")                                              \
    X(rz_f32_s32, "cvt.rz.f32.s32 %0, %1;", "r", "r")                                              \
    X(rm_f32_u32, "cvt.rm.f32.u32 %0, %1;", "r", "r")                                              \
    X(rp_f32_u32, "cvt.rp.f32.u32 %0, %1;", "r", "r")                                              \
    X(sat_s8_s32, "cvt.sat.s8.s32 %0, %1;", "r", "r")                                              \
    X(sat_u8_s32, "cvt.sat.u8.s32 %0, %1;", "r", "r")                                              \
    X(sat_s16_u32, "{.reg .b16 h; cvt.sat.s16.u32 h, %1; cvt.s32.s16 %0, h;}", "r", "r")           \
    X(s32_s8, "cvt.s32.s8 %0, %1;", "r", "r")                                                      \
    X(add_rz, "add.rz.f32 %0, %1, 0f3DCCCCCD;", "r", "f")                                          \
    X(mul_rp, "mul.rp.f32 %0, %1, 0f3DCCCCCD;", "r", "f")                                          \
    X(fma_rm, "fma.rm.f32 %0, %1, 0f3DCCCCCD, 0f3F99999A;", "r", "f")                              \
    X(div_rn, "div.rn.f32 %0, %1, 0f40400000;", "r", "f")                                          \
    X(sqrt_rn, "sqrt.rn.f32 %0, %1;", "r", "f")                                                    \
    X(rcp_rn, "rcp.rn.f32 %0, %1;", "r", "f")                                                      \
    X(mul_ftz, "mul.ftz.f32 %0, %1, 0f3F000000;", "r", "f")                                        \
    X(setp_num, "{.reg .pred p; setp.num.f32 p, %1, %1; selp.u32 %0, 1, 0, p;}", "r", "f")         \
    X(setp_gtu, "{.reg .pred p; setp.gtu.f32 p, %1, 0f3F800000; selp.u32 %0, 1, 0, p;}", "r", "f")
enum {
    kConversions = 0
#define COUNT(...) +1
    CONVERSIONS(COUNT)
};
template <char kClass> struct As;
template <> struct As<'f'> {
    static __device__ float of(uint32_t v) { return __uint_as_float(v); }
};
template <> struct As<'r'> {
    static __device__ uint32_t of(uint32_t v) { return v; }
};
__global__ void conversions(const uint32_t *in, uint32_t *out)
{
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    int k = 0;
#define DEVICE(name, ptx, to, from)                                                                \
    {                                                                                              \
        uint32_t r;                                                                                \
        asm volatile(ptx : "=" to(r) : from(As<from[0]>::of(in[t])));                              \
        out[t * kConversions + k++] = r;                                                           \
    }
    CONVERSIONS(DEVICE)
}
template <class T> static T clamp_to(double v, T lo, T hi)
{
    return std::isnan(v) ? 0 : v <= (double)lo ? lo : v >= (double)hi ? hi : (T)v;
}
static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return std::isnan(f) ? 0x7fffffff : u;
}
template <class F> static uint32_t rounded(int mode, F f)
{
    fesetround(mode);
    volatile float r = f();
    fesetround(FE_TONEAREST);
    return bits(r);
}
static uint16_t truncated_half(float f)
{
    uint16_t h = nearest(f);
    if (std::fabs(value(h)) > std::fabs((double)f)) {
        h--; // one step towards zero
    }
    return h;
}
static uint32_t ref_conversion(int k, uint32_t u)
{
    volatile float vf;
    memcpy((void *)&vf, &u, 4);
    const float f = vf;
    const int32_t s = (int32_t)u;
    volatile float tenth = 0.1f, c12 = 1.2f;
    switch (k) {
    case 0: return clamp_to<int32_t>(std::nearbyint((double)f), INT32_MIN, INT32_MAX);
    case 1: return clamp_to<int32_t>(std::trunc((double)f), INT32_MIN, INT32_MAX);
    case 2: return clamp_to<int32_t>(std::floor((double)f), INT32_MIN, INT32_MAX);
    case 3: return clamp_to<int32_t>(std::ceil((double)f), INT32_MIN, INT32_MAX);
    case 4: return clamp_to<uint32_t>(std::trunc((double)f), 0, UINT32_MAX);
    case 5: return bits(std::nearbyint(f));
    case 6: return bits(!(f > 0) ? 0.f : f > 1 ? 1.f : f);
    case 7: return (uint32_t)(int32_t)clamp_to<int8_t>(std::nearbyint((double)f), -128, 127);
    case 8: return nearest(f);
    case 9: return std::isnan(f) ? 0x7fff : std::isinf(f) ? nearest(f) : truncated_half(f);
    case 10: return rounded(FE_TONEAREST, [&] { return (float)s; });
    case 11:
        return rounded(FE_TOWARDZERO, [&] {
            volatile int32_t v = s;
            return (float)v;
        });
    case 12:
        return rounded(FE_DOWNWARD, [&] {
            volatile uint32_t v = u;
            return (float)v;
        });
    case 13:
        return rounded(FE_UPWARD, [&] {
            volatile uint32_t v = u;
            return (float)v;
        });
    case 14: return (uint32_t)(s < -128 ? -128 : s > 127 ? 127 : s);
    case 15: return s < 0 ? 0 : s > 255 ? 255 : s;
    case 16: return u > 32767 ? 32767 : u;
    case 17: return (uint32_t)(int32_t)(int8_t)u;
    case 18: return rounded(FE_TOWARDZERO, [&] { return vf + tenth; });
    case 19: return rounded(FE_UPWARD, [&] { return vf * tenth; });
    case 20:
        return rounded(FE_DOWNWARD, [&] { return std::fma((float)vf, (float)tenth, (float)c12); });
    case 21: {
        volatile float three = 3;
        return bits(vf / three);
    }
    case 22: return bits(std::sqrt(f));
    case 23: return bits(1.0f / f);
    case 24: {
        auto flush = [](float v) {
            return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(0.f, v) : v;
        };
        return bits(flush(flush(f) * 0.5f));
    }
    case 25: return !std::isnan(f);
    default: return !(f <= 1.0f);
    }
}

int main()
{
    {
        const int n = 1 << 16;
        std::vector<uint16_t> in(3 * n);
        for (size_t k = 0; k < in.size(); k++)
            in[k] = k % 3 == 0 ? (uint16_t)(k / 3) : (uint16_t)rnd();
        uint16_t *out;
        CK(cudaMalloc((void **)&out, n * 8 * 2));
        half_ops<<<n / 256, 256>>>(upload(in), out, n);
        auto got = download(out, (size_t)n * 8);
        const char *names[] = {"add.f16", "sub.f16", "mul.f16",           "fma.f16",
                               "min.f16", "max.f16", "fma.f16x2 (upper)", "setp.ltu.f16"};
        for (int k = 0; k < 8; k++) {
            size_t wrong = 0;
            for (int t = 0; t < n; t++) {
                wrong += got[8 * t + k] != ref_half(k, in[3 * t], in[3 * t + 1], in[3 * t + 2]);
            }
            report(names[k], wrong, n);
        }
    }
    {
        const int n = 1 << 14;
        std::vector<uint32_t> in(n);
        for (auto &v : in) {
            v = rnd();
            if (rnd() % 2)
                v = (v & 0x807fffffu) | (100 + rnd() % 60) << 23; // moderate magnitudes
            if (rnd() % 8 == 0)
                v = (v & 0x80000000u) | (rnd() % 2 ? 0x7f800000u : rnd() % 0x00900000u);
        }
        uint32_t *out;
        CK(cudaMalloc((void **)&out, (size_t)n * kConversions * 4));
        conversions<<<n / 128, 128>>>(upload(in), out);
        auto got = download(out, (size_t)n * kConversions);
        int k = 0;
#define HOST(name, ...)                                                                            \
    {                                                                                              \
        size_t wrong = 0;                                                                          \
        for (int t = 0; t < n; t++) {                                                              \
            bool bad = got[(size_t)t * kConversions + k] != ref_conversion(k, in[t]);              \
            if (bad && !wrong) {                                                                   \
                printf("  %s(%08x) = %08x, want %08x\n", #name, in[t],                             \
                       got[(size_t)t * kConversions + k], ref_conversion(k, in[t]));               \
            }                                                                                      \
            wrong += bad;                                                                          \
        }                                                                                          \
        report(#name, wrong, n);                                                                   \
        k++;                                                                                       \
    }
        CONVERSIONS(HOST)
    }
    return finish();
}
