// cvt between all integer and float types, cvta is in ops_memory.cc.
#include <limits>

#include "machine.h"
#include "ptx_decode.h"

namespace ptxrun {
namespace {

int64_t signed_value(uint64_t v, Type t)
{
    switch (t) {
    case Type::S8: return (int8_t)v;
    case Type::S16: return (int16_t)v;
    case Type::S32: return (int32_t)v;
    case Type::U8: return (uint8_t)v;
    case Type::U16: return (uint16_t)v;
    case Type::U32: return (uint32_t)v;
    default: return (int64_t)v;
    }
}
uint64_t truncate(uint64_t v, Type t)
{
    const size_t bits = 8 * size_of(t);
    return bits == 64 ? v : v & ((1ull << bits) - 1);
}

double float_value(uint64_t v, Type t)
{
    return t == Type::F16   ? half_to_double((uint16_t)v)
           : t == Type::F32 ? from_bits<float>(v)
                            : from_bits<double>(v);
}

// A wide-enough register receives a narrow result sign- or zero-extended.
uint64_t extend(uint64_t v, Type t)
{
    return (uint64_t)signed_value(truncate(v, t), t);
}

uint64_t int_to_int(const Instr &i, uint64_t v)
{
    const Type d = i.type, s = i.type2;
    const int64_t x = signed_value(v, s);
    if (!i.sat) {
        return extend((uint64_t)x, d);
    }
    const int bits = 8 * (int)size_of(d);
    const bool huge = s == Type::U64 && x < 0; // above INT64_MAX
    if (is_signed(d)) {
        const int64_t hi = bits == 64 ? INT64_MAX : (1ll << (bits - 1)) - 1, lo = -hi - 1;
        return extend((uint64_t)(huge || x > hi ? hi : x < lo ? lo : x), d);
    }
    const uint64_t hi = bits == 64 ? ~0ull : (1ull << bits) - 1;
    if (!huge && x < 0) {
        return 0;
    }
    return (uint64_t)x > hi ? hi : (uint64_t)x;
}

uint64_t float_to_int(const Instr &i, uint64_t v)
{
    const Type d = i.type;
    const int bits = 8 * (int)size_of(d);
    double x = float_value(v, i.type2);
    if (i.ftz) {
        x = flush((float)x);
    }
    if (std::isnan(x)) {
        // PTX ISA, cvt: zero, unless the source is f64 or the destination has 64 bits.
        return i.type2 == Type::F64 || bits == 64 ? 1ull << (bits - 1) : 0;
    }
    switch (i.round) {
    case Round::RNI: x = std::nearbyint(x); break;
    case Round::RMI: x = std::floor(x); break;
    case Round::RPI: x = std::ceil(x); break;
    default: x = std::trunc(x);
    }
    if (is_signed(d)) {
        const double limit = std::ldexp(1.0, bits - 1);
        if (x >= limit) {
            return extend((1ull << (bits - 1)) - 1, d);
        }
        if (x < -limit) {
            return extend(1ull << (bits - 1), d);
        }
        return extend((uint64_t)(int64_t)x, d);
    }
    if (x <= 0) {
        return 0;
    }
    if (x >= std::ldexp(1.0, bits)) {
        return truncate(~0ull, d);
    }
    return (uint64_t)x;
}

uint64_t int_to_float(const Instr &i, uint64_t v)
{
    const int64_t x = signed_value(v, i.type2);
    const bool u64 = i.type2 == Type::U64;
    if (i.type == Type::F32) {
        return to_bits(u64 ? (float)(uint64_t)x : (float)x);
    }
    if (i.type == Type::F64) {
        return to_bits(u64 ? (double)(uint64_t)x : (double)x);
    }
    // Integers that a double cannot hold exactly overflow a half in any rounding.
    return double_to_half(u64 ? (double)(uint64_t)x : (double)x, i.round);
}

// .satfinite: the largest finite half in place of infinity; NaN stays.
uint16_t finite_half(uint16_t h)
{
    return (h & 0x7fff) == 0x7c00 ? (uint16_t)(h - 1) : h;
}

uint64_t float_to_float(const Instr &i, uint64_t v)
{
    double x = float_value(v, i.type2);
    if (i.ftz && i.type2 == Type::F32) {
        x = flush((float)x);
    }
    switch (i.round) {
    case Round::RNI: x = std::nearbyint(x); break;
    case Round::RZI: x = std::trunc(x); break;
    case Round::RMI: x = std::floor(x); break;
    case Round::RPI: x = std::ceil(x); break;
    default: break;
    }
    if (i.sat) {
        x = std::isnan(x) || x <= 0 ? 0.0 : x > 1 ? 1.0 : x;
    }
    if (i.mode2 && x < 0) {
        x = 0; // .relu
    }
    if (i.type == Type::F64) {
        return to_bits(x);
    }
    if (i.type == Type::F16) {
        const uint16_t h = double_to_half(x, i.round);
        return i.flag ? finite_half(h) : h;
    }
    float f = (float)x;
    return canonical(i.ftz ? flush(f) : f);
}

template <uint64_t (*kConvert)(const Instr &, uint64_t)> void convert(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    RoundingMode mode(i.round >= Round::RNI ? Round::RN : i.round);
    each_lane(x.active, [&](int l) { d[l] = kConvert(i, a[l]); });
}

// cvt.rn.f16x2.f32 d, a, b: a goes to the upper half.
void convert_pair(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    auto half = [&](uint64_t bits) {
        double v = from_bits<float>(bits);
        const uint16_t h = double_to_half(i.mode2 && v < 0 ? 0.0 : v, i.round);
        return (uint64_t)(i.flag ? finite_half(h) : h);
    };
    each_lane(x.active, [&](int l) { d[l] = half(a[l]) << 16 | half(b[l]); });
}

// cvt.pack.sat: a and b saturated to 8 or 16 bits side by side, a above b; 8-bit ones push the low
// half of c up.
template <class T> void convert_pack(Exec &x, const Instr &i)
{
    using Limits = std::numeric_limits<T>;
    using Bits = std::make_unsigned_t<T>;
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    Source c = i.ops.size() > 3 ? x.source(i.ops[3]) : nullptr;
    uint64_t *d = x.dest(i.ops[0]);
    auto clamp = [](uint64_t v) {
        const int32_t s = (int32_t)v;
        return (uint32_t)(Bits)(s < (int32_t)Limits::min()   ? Limits::min()
                                : s > (int32_t)Limits::max() ? Limits::max()
                                                             : (T)s);
    };
    each_lane(x.active, [&](int l) {
        const uint32_t pair = clamp(a[l]) << 8 * sizeof(T) | clamp(b[l]);
        d[l] = c && sizeof(T) == 1 ? (uint32_t)(c[l] << 16) | pair : pair;
    });
}
void bind_pack(Instr &i, Mods &m)
{
    if (!m.take("sat")) {
        throw Unsupported("form");
    }
    i.type = m.need_type();
    if (m.need_type() != Type::S32) {
        throw Unsupported("source type");
    }
    m.type(); // of c
    const bool bytes = size_of(i.type) == 1;
    if (i.ops.size() != (bytes ? 4 : 3) || is_float(i.type) || size_of(i.type) > 2) {
        throw Unsupported("form");
    }
    i.exec = bytes ? (is_signed(i.type) ? convert_pack<int8_t> : convert_pack<uint8_t>)
                   : (is_signed(i.type) ? convert_pack<int16_t> : convert_pack<uint16_t>);
}

void bind_cvt(Instr &i, Mods &m)
{
    if (m.take("pack")) {
        return bind_pack(i, m);
    }
    i.type = m.need_type();
    i.type2 = m.need_type();
    i.round = m.rounding();
    i.ftz = m.take("ftz");
    i.sat = m.take("sat");
    i.mode2 = m.take("relu");
    i.flag = m.take("satfinite");
    if (i.flag && ((i.type != Type::F16 && i.type != Type::F16x2) || i.type2 != Type::F32)) {
        throw Unsupported(".satfinite of other types than f32 to f16");
    }
    if (i.type == Type::F16x2) {
        if (i.type2 != Type::F32 || i.sat || i.ftz) {
            throw Unsupported("pair conversion");
        }
        need_operands(i, 3);
        i.exec = convert_pair;
        return;
    }
    need_operands(i, 2);
    if (i.type2 == Type::F16x2 || i.type == Type::Pred || i.type2 == Type::Pred) {
        bad_type(i);
    }
    const bool from = is_float(i.type2), to = is_float(i.type);
    if (i.mode2 && !(from && to)) {
        throw Unsupported(".relu");
    }
    if (to && !from && i.sat) {
        throw Unsupported(".sat of an integer to float conversion");
    }
    i.exec = from ? (to ? convert<float_to_float> : convert<float_to_int>)
                  : (to ? convert<int_to_float> : convert<int_to_int>);
}

} // namespace

void add_convert_ops(OpTable &t)
{
    t["cvt"] = bind_cvt;
}

} // namespace ptxrun
