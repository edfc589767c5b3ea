// setp, set, selp, slct, testp.
#include "ptx_decode.h"
#include "machine.h"

namespace ptxrun {
namespace {

enum Combine { kNoCombine, kAnd, kOr, kXor };

template <class T> bool compare(Cmp c, T a, T b)
{
    if constexpr (std::is_floating_point<T>::value) {
        const bool unordered = std::isnan(a) || std::isnan(b);
        switch (c) {
        case Cmp::EQ: return a == b;
        case Cmp::NE: return !unordered && a != b;
        case Cmp::LT: return a < b;
        case Cmp::LE: return a <= b;
        case Cmp::GT: return a > b;
        case Cmp::GE: return a >= b;
        case Cmp::EQU: return unordered || a == b;
        case Cmp::NEU: return unordered || a != b;
        case Cmp::LTU: return unordered || a < b;
        case Cmp::LEU: return unordered || a <= b;
        case Cmp::GTU: return unordered || a > b;
        case Cmp::GEU: return unordered || a >= b;
        case Cmp::NUM: return !unordered;
        default: return unordered;
        }
    } else {
        switch (c) {
        case Cmp::EQ: return a == b;
        case Cmp::NE: return a != b;
        case Cmp::LT:
        case Cmp::LO: return a < b;
        case Cmp::LE:
        case Cmp::LS: return a <= b;
        case Cmp::GT:
        case Cmp::HI: return a > b;
        default: return a >= b;
        }
    }
}

struct HalfBits {
    uint16_t bits;
};
template <class T> auto comparable(const Instr &i, uint64_t v)
{
    if constexpr (std::is_same<T, HalfBits>::value) {
        double d = half_to_double((uint16_t)v);
        return i.ftz && std::fabs(d) < 0x1p-14 ? std::copysign(0.0, d) : d;
    } else if constexpr (std::is_same<T, float>::value) {
        return i.ftz ? flush(from_bits<float>(v)) : from_bits<float>(v);
    } else {
        return from_bits<T>(v);
    }
}
bool combine(int how, bool r, bool c)
{
    return how == kAnd ? r && c : how == kOr ? r || c : how == kXor ? r != c : r;
}

// setp.cmp{.bool} p|q, a, b{, c}: p = (a cmp b) bool c, q = !(a cmp b) bool c.
template <class T> void set_predicate(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    const bool with_c = i.mode != kNoCombine, negate = with_c && i.ops[3].negated;
    Source c = with_c ? x.source(i.ops[3]) : a;
    uint64_t *p = x.dest(i.ops[0]);
    uint64_t *q = i.second_dst.kind == Operand::Reg ? x.dest(i.second_dst) : nullptr;
    each_lane(x.active, [&](int l) {
        const bool other = with_c && ((c[l] & 1) != 0) != negate;
        const bool r = compare(i.cmp, comparable<T>(i, a[l]), comparable<T>(i, b[l]));
        p[l] = combine(i.mode, r, other);
        if (q) {
            q[l] = combine(i.mode, !r, other);
        }
    });
}
// setp.f16x2 p|q: p from the low halves, q from the high ones.
void set_predicate_pair(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *p = x.dest(i.ops[0]), *q = x.dest(i.second_dst);
    each_lane(x.active, [&](int l) {
        const uint64_t m = a[l], n = b[l];
        p[l] = compare(i.cmp, comparable<HalfBits>(i, m), comparable<HalfBits>(i, n));
        q[l] = compare(i.cmp, comparable<HalfBits>(i, m >> 16), comparable<HalfBits>(i, n >> 16));
    });
}
// set.cmp.dtype.stype: all ones or 0 as an integer, 1.0 or 0.0 as a float.
template <class T> void set_value(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    const uint64_t yes = i.type == Type::F32   ? 0x3f800000
                         : i.type == Type::F16 ? 0x3c00
                                               : 0xffffffffu;
    each_lane(x.active, [&](int l) {
        d[l] = compare(i.cmp, comparable<T>(i, a[l]), comparable<T>(i, b[l])) ? yes : 0;
    });
}
void set_value_pair(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    const uint32_t yes = is_float(i.type) ? 0x3c00 : 0xffff;
    each_lane(x.active, [&](int l) {
        const uint64_t m = a[l], n = b[l];
        const bool lo = compare(i.cmp, comparable<HalfBits>(i, m), comparable<HalfBits>(i, n));
        const bool hi =
            compare(i.cmp, comparable<HalfBits>(i, m >> 16), comparable<HalfBits>(i, n >> 16));
        d[l] = (hi ? yes << 16 : 0) | (lo ? yes : 0);
    });
}

#define PTXRUN_COMPARE_CASES(HANDLER)                                                              \
    case Type::U16: return HANDLER<uint16_t>;                                                      \
    case Type::U32: return HANDLER<uint32_t>;                                                      \
    case Type::U64: return HANDLER<uint64_t>;                                                      \
    case Type::S16: return HANDLER<int16_t>;                                                       \
    case Type::S32: return HANDLER<int32_t>;                                                       \
    case Type::S64: return HANDLER<int64_t>;                                                       \
    case Type::F16: return HANDLER<HalfBits>;                                                      \
    case Type::F32: return HANDLER<float>;                                                         \
    case Type::F64: return HANDLER<double>

Handler predicate_for(const Instr &i, Type t)
{
    switch (t) {
        PTXRUN_COMPARE_CASES(set_predicate);
    default: bad_type(i);
    }
}
Handler value_for(const Instr &i, Type t)
{
    switch (t) {
        PTXRUN_COMPARE_CASES(set_value);
    default: bad_type(i);
    }
}

void bind_setp(Instr &i, Mods &m)
{
    i.cmp = m.comparison();
    const std::string how = m.take_any({"and", "or", "xor"});
    i.mode = how == "and" ? kAnd : how == "or" ? kOr : how == "xor" ? kXor : kNoCombine;
    i.ftz = m.take("ftz");
    i.type = m.need_type();
    need_operands(i, i.mode ? 4 : 3);
    if (i.type == Type::F16x2) {
        if (i.mode || i.second_dst.kind != Operand::Reg) {
            throw Unsupported("pair comparison");
        }
        i.exec = set_predicate_pair;
        return;
    }
    if (i.cmp > Cmp::HS && !is_float(i.type)) {
        throw Unsupported("unordered integer comparison");
    }
    // lo, ls, hi, hs mean unsigned; nvcc writes them with .u types, but .b is allowed as well.
    i.exec = predicate_for(i, i.type);
}
void bind_set(Instr &i, Mods &m)
{
    i.cmp = m.comparison();
    i.ftz = m.take("ftz");
    i.type = m.need_type();
    i.type2 = m.need_type();
    need_operands(i, 3);
    i.exec = i.type2 == Type::F16x2 ? set_value_pair : value_for(i, i.type2);
}

void select(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) { d[l] = c[l] & 1 ? a[l] : b[l]; });
}
// slct: a if c >= 0 (a NaN is not), else b.
template <bool kFloat> void select_sign(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        const bool first =
            kFloat ? (i.ftz ? flush(from_bits<float>(c[l])) : from_bits<float>(c[l])) >= 0
                   : (int32_t)c[l] >= 0;
        d[l] = first ? a[l] : b[l];
    });
}
template <class T> void test_property(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        const T v = from_bits<T>(a[l]);
        const int c = std::fpclassify(v);
        const bool r[] = {std::isfinite(v),
                          std::isinf(v),
                          !std::isnan(v),
                          std::isnan(v),
                          c == FP_NORMAL || c == FP_ZERO,
                          c == FP_SUBNORMAL};
        d[l] = r[i.mode];
    });
}

} // namespace

void add_compare_ops(OpTable &t)
{
    t["setp"] = bind_setp;
    t["set"] = bind_set;
    t["selp"] = [](Instr &i, Mods &m) {
        i.type = m.need_type();
        need_operands(i, 4);
        i.exec = select;
    };
    t["slct"] = [](Instr &i, Mods &m) {
        i.ftz = m.take("ftz");
        i.type = m.need_type();
        i.type2 = m.need_type();
        need_operands(i, 4);
        i.exec = i.type2 == Type::F32 ? select_sign<true> : select_sign<false>;
    };
    t["testp"] = [](Instr &i, Mods &m) {
        static const char *const names[] = {"finite",     "infinite", "number",
                                            "notanumber", "normal",   "subnormal"};
        i.mode = -1;
        for (int k = 0; k < 6; k++) {
            if (m.take(names[k])) {
                i.mode = k;
            }
        }
        i.type = m.need_type();
        need_operands(i, 2);
        if (i.mode < 0) {
            throw Unsupported("property");
        }
        i.exec = i.type == Type::F64 ? test_property<double> : test_property<float>;
    };
}

} // namespace ptxrun
