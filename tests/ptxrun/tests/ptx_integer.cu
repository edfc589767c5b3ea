// Integer, bit and comparison instructions against plain C.
#include "cuda_test.h"

// Each operation: X(name, PTX with %0 = result, %1 %2 %3 = operands, the same in C).
#define OPS(X)                                                                                     \
    X(mad_hi_s32, "mad.hi.s32 %0, %1, %2, %3;", (uint32_t)(((int64_t)sa * sb) >> 32) + c)          \
    X(mad_hi_u32, "mad.hi.u32 %0, %1, %2, %3;", (uint32_t)(((uint64_t)a * b) >> 32) + c)           \
    X(mul24_lo_s32, "mul24.lo.s32 %0, %1, %2;", (uint32_t)(s24(a) * s24(b)))                       \
    X(mul24_hi_s32, "mul24.hi.s32 %0, %1, %2;", (uint32_t)((s24(a) * s24(b)) >> 16))               \
    X(mul24_lo_u32, "mul24.lo.u32 %0, %1, %2;", (uint32_t)((uint64_t)(a & M24) * (b & M24)))       \
    X(mul24_hi_u32, "mul24.hi.u32 %0, %1, %2;",                                                    \
      (uint32_t)(((uint64_t)(a & M24) * (b & M24)) >> 16))                                         \
    X(mad24_lo_s32, "mad24.lo.s32 %0, %1, %2, %3;", (uint32_t)(s24(a) * s24(b)) + c)               \
    X(add_sat, "add.sat.s32 %0, %1, %2;", (uint32_t)clamp((int64_t)sa + sb))                       \
    X(sub_sat, "sub.sat.s32 %0, %1, %2;", (uint32_t)clamp((int64_t)sa - sb))                       \
    X(min_s32, "min.s32 %0, %1, %2;", (uint32_t)(sa < sb ? sa : sb))                               \
    X(max_s32, "max.s32 %0, %1, %2;", (uint32_t)(sa > sb ? sa : sb))                               \
    X(min_u32, "min.u32 %0, %1, %2;", a < b ? a : b)                                               \
    X(max_u32, "max.u32 %0, %1, %2;", a > b ? a : b)                                               \
    X(abs_s32, "abs.s32 %0, %1;", sa < 0 ? 0u - a : a)                                             \
    X(neg_s32, "neg.s32 %0, %1;", 0u - a)                                                          \
    X(div_s32, "div.s32 %0, %1, %2;", (uint32_t)((int64_t)sa / (sb ? sb : 1)))                     \
    X(rem_u32, "rem.u32 %0, %1, %2;", a % (b ? b : 1))                                             \
    X(sad_s32, "sad.s32 %0, %1, %2, %3;", c + (sa < sb ? b - a : a - b))                           \
    X(popc, "popc.b32 %0, %1;", (uint32_t)__builtin_popcount(a))                                   \
    X(clz, "clz.b32 %0, %1;", a ? (uint32_t)__builtin_clz(a) : 32u)                                \
    X(brev, "brev.b32 %0, %1;", reverse(a))                                                        \
    X(bfind_u, "bfind.u32 %0, %1;", a ? 31u - __builtin_clz(a) : ~0u)                              \
    X(bfind_s, "bfind.s32 %0, %1;", top(a))                                                        \
    X(bfe_u, "bfe.u32 %0, %1, %2, %3;", field_u(a, b & 255, c & 255))                              \
    X(bfe_s, "bfe.s32 %0, %1, %2, %3;", field_s(a, b & 255, c & 255))                              \
    X(bfi, "bfi.b32 %0, %1, %2, %3, 7;", insert(a, b, c & 255, 7))                                 \
    X(shf_l_wrap, "shf.l.wrap.b32 %0, %1, %2, %3;", funnel_l(a, b, c & 31))                        \
    X(shf_r_wrap, "shf.r.wrap.b32 %0, %1, %2, %3;", (uint32_t)(pair(a, b) >> (c & 31)))            \
    X(shf_l_clamp, "shf.l.clamp.b32 %0, %1, %2, %3;", c > 31 ? a : funnel_l(a, b, c))              \
    X(shf_r_clamp, "shf.r.clamp.b32 %0, %1, %2, %3;", c > 31 ? b : (uint32_t)(pair(a, b) >> c))    \
    X(shl_big, "shl.b32 %0, %1, %2;", b > 31 ? 0 : a << b)                                         \
    X(shr_s_big, "shr.s32 %0, %1, %2;", (uint32_t)(sa >> (b > 31 ? 31 : b)))                       \
    X(bmsk, "bmsk.clamp.b32 %0, %1, %2;", mask_bits(a, b))                                         \
    X(szext_s, "szext.clamp.s32 %0, %1, %2;", field_s(a, 0, b > 32 ? 32 : b))                      \
    X(szext_u, "szext.wrap.u32 %0, %1, %2;", field_u(a, 0, b & 31))                                \
    X(lop3, "lop3.b32 %0, %1, %2, %3, 0xE8;", (a & b) | (a & c) | (b & c))                         \
    X(prmt, "prmt.b32 %0, %1, %2, %3;", permute(a, b, c))                                          \
    X(prmt_f4e, "prmt.b32.f4e %0, %1, %2, %3;", (uint32_t)(pair(a, b) >> 8 * (c & 3)))             \
    X(prmt_rc8, "prmt.b32.rc8 %0, %1, %2, %3;", (a >> 8 * (c & 3) & 255) * 0x01010101u)            \
    X(dp4a_us, "dp4a.u32.s32 %0, %1, %2, %3;", dot4(a, b, c))                                      \
    X(dp2a_lo, "dp2a.lo.s32.s32 %0, %1, %2, %3;", dot2(a, b, c, 0))                                \
    X(dp2a_hi, "dp2a.hi.s32.s32 %0, %1, %2, %3;", dot2(a, b, c, 16))                               \
    X(slct, "slct.u32.s32 %0, %1, %2, %3;", (int32_t)c >= 0 ? a : b)                               \
    X(set_lt, "set.lt.u32.s32 %0, %1, %2;", sa < sb ? ~0u : 0u)                                    \
    X(carry, "{.reg .u32 l; add.cc.u32 l, %1, %2; addc.u32 %0, %3, 0;}",                           \
      c + (uint32_t)(((uint64_t)a + b) >> 32))                                                     \
    X(borrow, "{.reg .u32 l; sub.cc.u32 l, %1, %2; subc.u32 %0, %3, 0;}", c - (a < b ? 1u : 0u))   \
    X(mul_wide_s16,                                                                                \
      "{.reg .s16 p, q, t; mov.b32 {p, t}, %1; mov.b32 {q, t}, %2; "                               \
      "mul.wide.s16 %0, p, q;}",                                                                   \
      (uint32_t)((int16_t)a * (int16_t)b))                                                         \
    X(setp_or,                                                                                     \
      "{.reg .pred p, q; setp.lo.u32 p, %1, %2; setp.ge.or.s32 q|p, %1, %3, !p; "                  \
      "selp.u32 %0, 1, 0, q; @p add.u32 %0, %0, 2;}",                                              \
      (uint32_t)((sa >= (int32_t)c || !(a < b)) + 2 * (sa < (int32_t)c || !(a < b))))

enum {
    kOps = 0
#define COUNT(...) +1
    OPS(COUNT)
};

__global__ void integer_ops(const uint32_t *in, uint32_t *out)
{
    const uint32_t t = blockIdx.x * blockDim.x + threadIdx.x;
    const uint32_t a = in[3 * t], b = in[3 * t + 1], c = in[3 * t + 2];
    uint32_t *o = out + (size_t)t * kOps;
    int k = 0;
#define DEVICE(name, ptx, c_code)                                                                  \
    {                                                                                              \
        uint32_t r;                                                                                \
        asm volatile(ptx : "=r"(r) : "r"(a), "r"(b ? b : 1u), "r"(c));                             \
        o[k++] = r;                                                                                \
    }
    OPS(DEVICE)
}

static const uint32_t M24 = 0xffffff;
static int64_t s24(uint32_t v)
{
    return (int32_t)(v << 8) >> 8;
}
static int32_t clamp(int64_t v)
{
    return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v;
}
static uint32_t reverse(uint32_t v)
{
    uint32_t r = 0;
    for (int i = 0; i < 32; i++) {
        r |= (v >> i & 1) << (31 - i);
    }
    return r;
}
static uint32_t top(uint32_t v)
{
    if ((int32_t)v < 0) {
        v = ~v;
    }
    return v ? 31 - __builtin_clz(v) : ~0u;
}
static uint32_t bit(uint32_t v, uint32_t i, bool sign)
{
    return i < 32 ? v >> i & 1 : sign;
}
static uint32_t field(uint32_t v, uint32_t pos, uint32_t len, bool is_signed)
{ // the ISA's loop
    uint32_t last = pos + len - 1 < 31 ? pos + len - 1 : 31, r = 0;
    bool s = is_signed && len && (v >> last & 1);
    for (uint32_t i = 0; i < 32; i++) {
        r |= (i < len && pos + i <= 31 ? bit(v, pos + i, s) : (uint32_t)s) << i;
    }
    return r;
}
static uint32_t field_u(uint32_t v, uint32_t p, uint32_t l)
{
    return field(v, p, l, false);
}
static uint32_t field_s(uint32_t v, uint32_t p, uint32_t l)
{
    return field(v, p, l, true);
}
static uint32_t insert(uint32_t a, uint32_t b, uint32_t pos, uint32_t len)
{
    for (uint32_t i = 0; i < len && pos + i < 32; i++) {
        b = (b & ~(1u << (pos + i))) | (a >> i & 1) << (pos + i);
    }
    return b;
}
static uint64_t pair(uint32_t lo, uint32_t hi)
{
    return (uint64_t)hi << 32 | lo;
}
static uint32_t funnel_l(uint32_t a, uint32_t b, uint32_t n)
{
    return (uint32_t)(pair(a, b) << n >> 32);
}
static uint32_t mask_bits(uint32_t pos, uint32_t len)
{
    uint32_t r = 0;
    for (uint32_t i = 0; i < 32; i++) {
        r |= (uint32_t)(i >= pos && i - pos < len) << i;
    }
    return r;
}
static uint32_t permute(uint32_t a, uint32_t b, uint32_t s)
{
    uint32_t r = 0;
    for (int e = 0; e < 4; e++, s >>= 4) {
        uint32_t v = pair(a, b) >> 8 * (s & 7) & 255;
        r |= (s & 8 ? (v & 128 ? 255u : 0u) : v) << 8 * e;
    }
    return r;
}
static uint32_t dot4(uint32_t a, uint32_t b, uint32_t c)
{
    for (int e = 0; e < 4; e++) {
        c += (uint32_t)((int)(uint8_t)(a >> 8 * e) * (int8_t)(b >> 8 * e));
    }
    return c;
}
static uint32_t dot2(uint32_t a, uint32_t b, uint32_t c, int shift)
{
    for (int e = 0; e < 2; e++) {
        c += (uint32_t)((int16_t)(a >> 16 * e) * (int8_t)(b >> (shift + 8 * e)));
    }
    return c;
}

int main()
{
    const int n = 4096;
    static const uint32_t edge[] = {0,  1,          2,          31,         32,
                                    33, 0x7fffffff, 0x80000000, 0xffffffff, 0x800000};
    std::vector<uint32_t> in(3 * n);
    for (auto &v : in) {
        v = rnd() % 3 ? rnd() : rnd() % 2 ? edge[rnd() % 10] : rnd() % 40;
    }
    uint32_t *out;
    CK(cudaMalloc((void **)&out, (size_t)n * kOps * 4));
    integer_ops<<<n / 128, 128>>>(upload(in), out);
    CK(cudaGetLastError());
    std::vector<uint32_t> got = download(out, (size_t)n * kOps);
    int k = 0;
#define HOST(name, ptx, c_code)                                                                    \
    {                                                                                              \
        size_t wrong = 0;                                                                          \
        for (int t = 0; t < n; t++) {                                                              \
            const uint32_t a = in[3 * t], b = in[3 * t + 1] ? in[3 * t + 1] : 1,                   \
                           c = in[3 * t + 2];                                                      \
            const int32_t sa = (int32_t)a, sb = (int32_t)b;                                        \
            (void)sa, (void)sb, (void)c;                                                           \
            wrong += got[(size_t)t * kOps + k] != (uint32_t)(c_code);                              \
        }                                                                                          \
        report(#name, wrong, n);                                                                   \
        k++;                                                                                       \
    }
    OPS(HOST)
    return finish();
}
