// Integer arithmetic: add, sub, mul, mad, mul24, div, rem, min, max, abs, neg, sad, carries, dp4a.
// add/sub/mul/... of floats share the opcode; their binders are in ops_float.cc and ops_half.cc.
#include "ptx_decode.h"
#include "machine.h"
#include "ops_float.h"

namespace ptxrun {
namespace {

// All arithmetic goes through uint64_t: wrap-around is what PTX wants and is no undefined
// behaviour there.
struct Add {
    template <class T> static T run(T a, T b) { return (T)((uint64_t)a + (uint64_t)b); }
};
struct Sub {
    template <class T> static T run(T a, T b) { return (T)((uint64_t)a - (uint64_t)b); }
};
struct MulLo {
    template <class T> static T run(T a, T b) { return (T)((uint64_t)a * (uint64_t)b); }
};
struct Min {
    template <class T> static T run(T a, T b) { return a < b ? a : b; }
};
struct Max {
    template <class T> static T run(T a, T b) { return a > b ? a : b; }
};
struct Neg {
    template <class T> static T run(T a) { return (T)(0 - (uint64_t)a); }
};
struct Abs {
    template <class T> static T run(T a) { return a < 0 ? (T)(0 - (uint64_t)a) : a; }
};
template <class T>
using Wide = std::conditional_t<std::is_signed<T>::value, __int128, unsigned __int128>;
struct MulHi {
    template <class T> static T run(T a, T b) { return (T)(((Wide<T>)a * b) >> (8 * sizeof(T))); }
};
struct MadLo {
    template <class T> static T run(T a, T b, T c) { return Add::run(MulLo::run(a, b), c); }
};
struct MadHi {
    template <class T> static T run(T a, T b, T c) { return Add::run(MulHi::run(a, b), c); }
};
struct Sad {
    template <class T> static T run(T a, T b, T c)
    {
        return Add::run(c, a < b ? Sub::run(b, a) : Sub::run(a, b));
    }
};
struct AddSat {
    template <class T> static T run(T a, T b)
    {
        int64_t s = (int64_t)a + b;
        return (T)(s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : s);
    }
};
struct SubSat {
    template <class T> static T run(T a, T b)
    {
        int64_t s = (int64_t)a - b;
        return (T)(s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : s);
    }
};
// mul24 multiplies the low 24 bits (sign-extended for s32): .lo is bits 0-31 of the 48-bit
// product, .hi bits 16-47.
template <class T> int64_t product24(T a, T b)
{
    const uint32_t x = (uint32_t)a << 8, y = (uint32_t)b << 8;
    if (std::is_signed<T>::value) {
        return (int64_t)((int32_t)x >> 8) * ((int32_t)y >> 8);
    }
    return (int64_t)((uint64_t)(x >> 8) * (y >> 8));
}
struct Mul24Lo {
    template <class T> static T run(T a, T b) { return (T)product24(a, b); }
};
struct Mul24Hi {
    template <class T> static T run(T a, T b) { return (T)(product24(a, b) >> 16); }
};
struct Mad24Lo {
    template <class T> static T run(T a, T b, T c) { return Add::run(Mul24Lo::run(a, b), c); }
};
struct Mad24Hi {
    template <class T> static T run(T a, T b, T c) { return Add::run(Mul24Hi::run(a, b), c); }
};

#define PTXRUN_INTEGER_CASES(HANDLER, OP)                                                          \
    case Type::U16: return HANDLER<uint16_t, OP>;                                                  \
    case Type::U32: return HANDLER<uint32_t, OP>;                                                  \
    case Type::U64: return HANDLER<uint64_t, OP>;                                                  \
    case Type::S16: return HANDLER<int16_t, OP>;                                                   \
    case Type::S32: return HANDLER<int32_t, OP>;                                                   \
    case Type::S64: return HANDLER<int64_t, OP>

template <class Op> Handler unary_for(const Instr &i)
{
    switch (i.type) {
        PTXRUN_INTEGER_CASES(unary_handler, Op);
    default: bad_type(i);
    }
}
template <class Op> Handler binary_for(const Instr &i)
{
    switch (i.type) {
        PTXRUN_INTEGER_CASES(binary_handler, Op);
    default: bad_type(i);
    }
}
template <class Op> Handler ternary_for(const Instr &i)
{
    switch (i.type) {
        PTXRUN_INTEGER_CASES(ternary_handler, Op);
    default: bad_type(i);
    }
}

template <class T, bool kRemainder> void divide(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        T n = (T)a[l], m = (T)b[l], r;
        if (m == 0) {
            x.fail(i, l, "integer division by zero (unspecified result)");
        }
        if (std::is_signed<T>::value && m == (T)-1) { // MIN / -1 overflows on the host
            r = kRemainder ? 0 : Neg::run(n);
        } else {
            r = (T)(kRemainder ? n % m : n / m);
        }
        d[l] = to_bits<T>(r);
    });
}
template <bool kRemainder> Handler divide_for(const Instr &i)
{
    switch (i.type) {
    case Type::U16: return divide<uint16_t, kRemainder>;
    case Type::U32: return divide<uint32_t, kRemainder>;
    case Type::U64: return divide<uint64_t, kRemainder>;
    case Type::S16: return divide<int16_t, kRemainder>;
    case Type::S32: return divide<int32_t, kRemainder>;
    case Type::S64: return divide<int64_t, kRemainder>;
    default: bad_type(i);
    }
}

// mul.wide / mad.wide: T in, twice the width out.
template <class T, class W> void multiply_wide(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    Source c = i.flag ? x.source(i.ops[3]) : a;
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        const uint64_t product = (uint64_t)(W)(T)a[l] * (uint64_t)(W)(T)b[l];
        d[l] = to_bits<W>((W)(product + (i.flag ? c[l] : 0)));
    });
}
Handler wide_for(const Instr &i)
{
    switch (i.type) {
    case Type::U16: return multiply_wide<uint16_t, uint32_t>;
    case Type::U32: return multiply_wide<uint32_t, uint64_t>;
    case Type::S16: return multiply_wide<int16_t, int32_t>;
    case Type::S32: return multiply_wide<int32_t, int64_t>;
    default: bad_type(i);
    }
}

// add.cc, addc, sub.cc, subc: multi-word arithmetic through one carry bit a lane.
template <class T, bool kSubtract> void with_carry(Exec &x, const Instr &i)
{
    const bool reads = i.mode & 1, writes = i.mode & 2;
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    for_lanes(x.active, [&](int l) {
        const unsigned __int128 m = (T)a[l], n = (T)b[l],
                                carry = reads ? x.warp->carry >> l & 1 : 0;
        const unsigned __int128 r = kSubtract ? m - n - carry : m + n + carry;
        d[l] = (T)r;
        if (writes) {
            x.warp->carry = (x.warp->carry & ~(1u << l)) | (uint32_t)(r >> (8 * sizeof(T)) & 1)
                                                               << l;
        }
    });
}
template <bool kSubtract> void bind_carry(Instr &i, Mods &m, bool reads)
{
    i.type = m.need_type();
    i.mode = (reads ? 1 : 0) | (m.take("cc") ? 2 : 0);
    need_operands(i, 3);
    const size_t bytes = size_of(i.type);
    if (is_float(i.type) || bytes < 4) {
        bad_type(i);
    }
    i.exec = bytes == 8 ? with_carry<uint64_t, kSubtract> : with_carry<uint32_t, kSubtract>;
}

// dp4a: four byte products; dp2a: two products of a 16-bit half with a byte.
template <bool kA, bool kB> void dot4(Exec &x, const Instr &i)
{
    const uint64_t lanes = (uint64_t)__builtin_popcount(x.active);
    g_counters.dp4a += lanes;
    g_counters.multiply_adds += 4 * lanes;
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        uint32_t sum = (uint32_t)c[l];
        for (int e = 0; e < 32; e += 8) {
            const uint8_t p = (uint8_t)(a[l] >> e), q = (uint8_t)(b[l] >> e);
            sum += (uint32_t)((kA ? (int8_t)p : (int)p) * (kB ? (int8_t)q : (int)q));
        }
        d[l] = sum;
    });
}
void dot2(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint64_t *d = x.dest(i.ops[0]);
    const bool sa = is_signed(i.type), sb = is_signed(i.type2);
    each_lane(x.active, [&](int l) {
        uint32_t sum = (uint32_t)c[l];
        for (int e = 0; e < 2; e++) {
            const uint16_t p = (uint16_t)(a[l] >> 16 * e);
            const uint8_t q = (uint8_t)(b[l] >> (8 * e + (i.flag ? 16 : 0)));
            sum += (uint32_t)((sa ? (int16_t)p : (int)p) * (sb ? (int8_t)q : (int)q));
        }
        d[l] = sum;
    });
}

// The binders of opcodes that exist for integers and floats hand floats on.
template <class Op> void bind_binary(Instr &i, Mods &m)
{
    i.type = m.need_type();
    if (is_float(i.type)) {
        return bind_float_arithmetic(i, m);
    }
    need_operands(i, 3);
    i.exec = binary_for<Op>(i);
}
void bind_add(Instr &i, Mods &m)
{
    if (m.take("cc")) {
        i.type = m.need_type();
        i.mode = 2;
        need_operands(i, 3);
        i.exec = size_of(i.type) == 8 ? with_carry<uint64_t, false> : with_carry<uint32_t, false>;
        return;
    }
    bind_binary<Add>(i, m);
    if (i.type == Type::S32 && m.take("sat")) {
        i.exec = binary_handler<int32_t, AddSat>;
    }
}
void bind_sub(Instr &i, Mods &m)
{
    if (m.take("cc")) {
        i.type = m.need_type();
        i.mode = 2;
        need_operands(i, 3);
        i.exec = size_of(i.type) == 8 ? with_carry<uint64_t, true> : with_carry<uint32_t, true>;
        return;
    }
    bind_binary<Sub>(i, m);
    if (i.type == Type::S32 && m.take("sat")) {
        i.exec = binary_handler<int32_t, SubSat>;
    }
}
void bind_mul(Instr &i, Mods &m)
{
    i.type = m.need_type();
    if (is_float(i.type)) {
        return bind_float_arithmetic(i, m);
    }
    need_operands(i, 3);
    if (m.take("wide")) {
        i.exec = wide_for(i);
    } else if (m.take("hi")) {
        i.exec = binary_for<MulHi>(i);
    } else if (m.take("lo")) {
        i.exec = binary_for<MulLo>(i);
    }
}
void bind_mad(Instr &i, Mods &m)
{
    i.type = m.need_type();
    if (is_float(i.type)) {
        return bind_float_arithmetic(i, m); // mad.rn.f32 is fma
    }
    need_operands(i, 4);
    i.flag = true;
    if (m.take("wide")) {
        i.exec = wide_for(i);
    } else if (m.take("hi")) {
        i.exec = ternary_for<MadHi>(i);
    } else if (m.take("lo")) {
        i.exec = ternary_for<MadLo>(i);
    }
}
template <class Lo, class Hi, int kOperands> void bind_24(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, kOperands);
    if (i.type != Type::U32 && i.type != Type::S32) {
        bad_type(i);
    }
    const bool hi = m.take("hi");
    if (!hi && !m.take("lo")) {
        throw Unsupported("neither .lo nor .hi");
    }
    if constexpr (kOperands == 3) {
        i.exec = hi ? binary_for<Hi>(i) : binary_for<Lo>(i);
    } else {
        i.exec = hi ? ternary_for<Hi>(i) : ternary_for<Lo>(i);
    }
}
template <class Op> void bind_unary(Instr &i, Mods &m)
{
    i.type = m.need_type();
    if (is_float(i.type)) {
        return bind_float_arithmetic(i, m);
    }
    need_operands(i, 2);
    i.exec = unary_for<Op>(i);
}
void bind_sad(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, 4);
    i.exec = ternary_for<Sad>(i);
}
template <bool kRemainder> void bind_div(Instr &i, Mods &m)
{
    i.type = m.need_type();
    if (is_float(i.type)) {
        return bind_float_arithmetic(i, m);
    }
    need_operands(i, 3);
    i.exec = divide_for<kRemainder>(i);
}
void bind_dp4a(Instr &i, Mods &m)
{
    i.type = m.need_type();
    i.type2 = m.need_type();
    need_operands(i, 4);
    const bool a = is_signed(i.type), b = is_signed(i.type2);
    i.exec = a ? (b ? dot4<true, true> : dot4<true, false>)
               : (b ? dot4<false, true> : dot4<false, false>);
}
void bind_dp2a(Instr &i, Mods &m)
{
    i.flag = m.take("hi");
    if (!i.flag && !m.take("lo")) {
        throw Unsupported("neither .lo nor .hi");
    }
    i.type = m.need_type();
    i.type2 = m.need_type();
    need_operands(i, 4);
    i.exec = dot2;
}

} // namespace

void add_integer_ops(OpTable &t)
{
    t["add"] = bind_add;
    t["sub"] = bind_sub;
    t["addc"] = [](Instr &i, Mods &m) { bind_carry<false>(i, m, true); };
    t["subc"] = [](Instr &i, Mods &m) { bind_carry<true>(i, m, true); };
    t["mul"] = bind_mul;
    t["mad"] = bind_mad;
    t["mul24"] = bind_24<Mul24Lo, Mul24Hi, 3>;
    t["mad24"] = bind_24<Mad24Lo, Mad24Hi, 4>;
    t["div"] = bind_div<false>;
    t["rem"] = bind_div<true>;
    t["min"] = bind_binary<Min>;
    t["max"] = bind_binary<Max>;
    t["abs"] = bind_unary<Abs>;
    t["neg"] = bind_unary<Neg>;
    t["sad"] = bind_sad;
    t["dp4a"] = bind_dp4a;
    t["dp2a"] = bind_dp2a;
}

} // namespace ptxrun
