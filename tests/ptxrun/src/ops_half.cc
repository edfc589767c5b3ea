// f16 and f16x2 arithmetic: every operation is computed exactly (or nearly so) in double and
// rounded once. This is exact for add, sub and mul (a double holds any such result), and for fma:
// the product has 22 bits; if it is so small against the addend that the exact sum needs more than
// 53 bits, it lies far below half a unit of the addend and cannot move the sum across a tie.
#include "ptx_decode.h"
#include "machine.h"
#include "ops_float.h"

namespace ptxrun {
namespace {

enum HalfOp { kAdd, kSub, kMul, kFma, kMin, kMax };

double flush_half(double v)
{
    return std::fabs(v) < 0x1p-14 ? std::copysign(0.0, v) : v;
}

double pick(double a, double b, bool smaller, bool nan_wins)
{
    if (std::isnan(a) || std::isnan(b)) {
        return nan_wins || std::isnan(a) == std::isnan(b) ? std::nan("") : std::isnan(a) ? b : a;
    }
    if (a == b) {
        return std::signbit(a) == smaller ? a : b; // -0 is below +0
    }
    return (a < b) == smaller ? a : b;
}

uint16_t half_op(const Instr &i, uint16_t ha, uint16_t hb, uint16_t hc)
{
    double a = half_to_double(ha), b = half_to_double(hb), c = half_to_double(hc), r;
    if (i.ftz) {
        a = flush_half(a), b = flush_half(b), c = flush_half(c);
    }
    switch (i.mode) {
    case kAdd: r = a + b; break;
    case kSub: r = a - b; break;
    case kMul: r = a * b; break;
    case kFma: r = std::fma(a, b, c); break;
    default: r = pick(a, b, i.mode == kMin, i.flag);
    }
    uint16_t h = double_to_half(r);
    if (i.ftz) {
        h = double_to_half(flush_half(half_to_double(h)));
    }
    const bool nan = (h & 0x7fff) > 0x7c00;
    if (i.sat) {
        h = nan || h >= 0x8000 ? 0 : h > 0x3c00 ? 0x3c00 : h;
    }
    if (i.mode2 && !nan && (h & 0x8000)) {
        h = 0; // .relu
    }
    return h;
}

template <bool kPair> void half_arithmetic(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    Source c = i.ops.size() > 3 ? x.source(i.ops[3]) : a;
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        uint64_t r = half_op(i, (uint16_t)a[l], (uint16_t)b[l], (uint16_t)c[l]);
        if (kPair) {
            r |= (uint64_t)half_op(i, (uint16_t)(a[l] >> 16), (uint16_t)(b[l] >> 16),
                                   (uint16_t)(c[l] >> 16))
                 << 16;
        }
        d[l] = r;
    });
}

void half_sign(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    const bool negate = i.mode;
    each_lane(x.active, [&](int l) {
        d[l] = negate ? (a[l] ^ 0x80008000u) & 0xffffffffu : a[l] & 0x7fff7fffu;
    });
}

} // namespace

void bind_half_arithmetic(Instr &i, Mods &m)
{
    const std::string &op = i.opcode;
    const bool pair = i.type == Type::F16x2;
    i.ftz = m.take("ftz");
    if (op == "abs" || op == "neg") {
        if (i.ftz) {
            throw Unsupported(".ftz of a half sign operation");
        }
        need_operands(i, 2);
        i.mode = op == "neg";
        i.exec = half_sign;
        return;
    }
    static const std::pair<const char *, int> names[] = {
        {"add", kAdd}, {"sub", kSub}, {"mul", kMul}, {"fma", kFma}, {"min", kMin}, {"max", kMax}};
    i.mode = -1;
    for (auto &n : names) {
        if (op == n.first) {
            i.mode = n.second;
        }
    }
    if (i.mode < 0) {
        bad_type(i);
    }
    Round r = m.rounding();
    if (r != Round::None && r != Round::RN) {
        throw Unsupported("rounding");
    }
    i.sat = m.take("sat");
    i.mode2 = m.take("relu");
    i.flag = m.take("NaN");
    need_operands(i, i.mode == kFma ? 4 : 3);
    i.exec = pair ? half_arithmetic<true> : half_arithmetic<false>;
}

void add_half_ops(OpTable &) {} // all of them share their opcode with other types

} // namespace ptxrun
