// f32 and f64 arithmetic. Only correctly rounded forms are executed; .approx forms have bits that
// no document fixes, so they stop with a message unless libm results are asked for.
#include "ops_float.h"

#include "machine.h"
#include "run_options.h"

namespace ptxrun {
namespace {

struct Add {
    template <class T> static T run(T a, T b) { return a + b; }
};
struct Sub {
    template <class T> static T run(T a, T b) { return a - b; }
};
struct Mul {
    template <class T> static T run(T a, T b) { return a * b; }
};
struct Div {
    template <class T> static T run(T a, T b) { return a / b; }
};
struct Fma {
    template <class T> static T run(T a, T b, T c) { return std::fma(a, b, c); }
};
struct Sqrt {
    template <class T> static T run(T a) { return std::sqrt(a); }
};
struct Rcp {
    template <class T> static T run(T a) { return T(1) / a; }
};

// -0 < +0, and a NaN loses against a number.
struct Min {
    template <class T> static T run(T a, T b)
    {
        if (std::isnan(a)) {
            return b;
        }
        if (std::isnan(b)) {
            return a;
        }
        if (a == b) {
            return std::signbit(a) ? a : b;
        }
        return a < b ? a : b;
    }
};
struct Max {
    template <class T> static T run(T a, T b)
    {
        if (std::isnan(a)) {
            return b;
        }
        if (std::isnan(b)) {
            return a;
        }
        if (a == b) {
            return std::signbit(a) ? b : a;
        }
        return a > b ? a : b;
    }
};
// .NaN: a NaN wins instead.
template <class Base> struct NanWins {
    template <class T> static T run(T a, T b)
    {
        return std::isnan(a) || std::isnan(b) ? std::numeric_limits<T>::quiet_NaN()
                                              : Base::run(a, b);
    }
};

template <class T> T saturate(T v)
{
    return std::isnan(v) || v <= 0 ? T(0) : v > 1 ? T(1) : v;
}

template <class T, class Op, int kSources> void arithmetic(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    Source b = kSources > 1 ? x.source(i.ops[2]) : a;
    Source c = kSources > 2 ? x.source(i.ops[3]) : a;
    uint64_t *d = x.dest(i.ops[0]);
    auto compute = [](T p, T q, T r) {
        if constexpr (kSources == 1) {
            return (void)q, (void)r, Op::run(p);
        } else if constexpr (kSources == 2) {
            return (void)r, Op::run(p, q);
        } else {
            return Op::run(p, q, r);
        }
    };
    if (!i.ftz && !i.sat && i.round <= Round::RN) { // nearly always
        each_lane(x.active, [&](int l) {
            d[l] = canonical(compute(from_bits<T>(a[l]), from_bits<T>(b[l]), from_bits<T>(c[l])));
        });
        return;
    }
    RoundingMode mode(i.round);
    auto in = [&](uint64_t bits) {
        T v = from_bits<T>(bits);
        return i.ftz ? flush(v) : v;
    };
    each_lane(x.active, [&](int l) {
        T r = compute(in(a[l]), in(b[l]), in(c[l]));
        if (i.ftz) {
            r = flush(r);
        }
        if (i.sat) {
            r = saturate(r);
        }
        d[l] = canonical(r);
    });
}

// Sign operations: they act on NaNs, too.
template <class T, bool kAbs> void sign_op(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        T v = from_bits<T>(a[l]);
        if (i.ftz) {
            v = flush(v);
        }
        d[l] = to_bits<T>(kAbs ? std::fabs(v) : -v);
    });
}

template <class T> void copysign_op(Exec &x, const Instr &i)
{ // copysign d, a, b: the sign of a, the rest of b
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        d[l] = to_bits<T>(std::copysign(from_bits<T>(b[l]), from_bits<T>(a[l])));
    });
}

template <class Op, int kSources> void set_handler(Instr &i)
{
    need_operands(i, kSources + 1);
    i.exec =
        i.type == Type::F64 ? arithmetic<double, Op, kSources> : arithmetic<float, Op, kSources>;
}

void refuse_approx(Exec &x, const Instr &i)
{
    x.fail(
        i, __builtin_ctz(x.active),
        "the bits of an .approx operation are specific to the hardware; use an IEEE form, or set "
        "PTXRUN_APPROX=libm to accept libm's result");
}
template <Approx kFunction> void libm_approx(Exec &x, const Instr &i)
{
    if (!options().libm_approx) {
        refuse_approx(x, i);
    }
    Source a = x.source(i.ops[1]), b = i.ops.size() > 2 ? x.source(i.ops[2]) : a;
    uint64_t *d = x.dest(i.ops[0]);
    auto f = [](double v, double w) {
        switch (kFunction) {
        case Approx::Div: return v / w;
        case Approx::Rcp: return 1 / v;
        case Approx::Sqrt: return std::sqrt(v);
        case Approx::Rsqrt: return 1 / std::sqrt(v);
        case Approx::Ex2: return std::exp2(v);
        case Approx::Lg2: return std::log2(v);
        case Approx::Sin: return std::sin(v);
        case Approx::Cos: return std::cos(v);
        default: return std::tanh(v);
        }
    };
    each_lane(x.active, [&](int l) {
        if (i.type == Type::F64) {
            d[l] = canonical(f(from_bits<double>(a[l]), from_bits<double>(b[l])));
        } else if (i.type == Type::F32) {
            d[l] = canonical((float)f(from_bits<float>(a[l]), from_bits<float>(b[l])));
        } else {
            uint64_t r = double_to_half(f(half_to_double(a[l]), half_to_double(b[l])));
            if (i.type == Type::F16x2) {
                r |= (uint64_t)double_to_half(
                         f(half_to_double(a[l] >> 16), half_to_double(b[l] >> 16)))
                     << 16;
            }
            d[l] = r;
        }
    });
}

template <Approx kFunction> void bind_transcendental(Instr &i, Mods &m)
{
    i.type = m.need_type();
    if (!m.take("approx")) {
        throw Unsupported("rounding");
    }
    bind_approx(i, m, kFunction);
}
template <class Op, Approx kFunction> void bind_root(Instr &i, Mods &m)
{
    i.type = m.need_type();
    if (m.take("approx")) {
        return bind_approx(i, m, kFunction);
    }
    i.round = m.rounding();
    i.ftz = m.take("ftz");
    set_handler<Op, 1>(i);
}

} // namespace

void bind_approx(Instr &i, Mods &m, Approx function)
{
    m.take("ftz");
    switch (function) {
    case Approx::Div: i.exec = libm_approx<Approx::Div>; break;
    case Approx::Rcp: i.exec = libm_approx<Approx::Rcp>; break;
    case Approx::Sqrt: i.exec = libm_approx<Approx::Sqrt>; break;
    case Approx::Rsqrt: i.exec = libm_approx<Approx::Rsqrt>; break;
    case Approx::Ex2: i.exec = libm_approx<Approx::Ex2>; break;
    case Approx::Lg2: i.exec = libm_approx<Approx::Lg2>; break;
    case Approx::Sin: i.exec = libm_approx<Approx::Sin>; break;
    case Approx::Cos: i.exec = libm_approx<Approx::Cos>; break;
    case Approx::Tanh: i.exec = libm_approx<Approx::Tanh>; break;
    }
    need_operands(i, function == Approx::Div ? 3 : 2);
}

void bind_float_arithmetic(Instr &i, Mods &m)
{
    if (i.type == Type::F16 || i.type == Type::F16x2) {
        return bind_half_arithmetic(i, m);
    }
    const std::string &op = i.opcode;
    if (op == "div" && (m.take("approx") || m.take("full"))) {
        return bind_approx(i, m, Approx::Div);
    }
    i.round = m.rounding();
    i.ftz = m.take("ftz");
    i.sat = m.take("sat");
    if (i.round > Round::RP) {
        throw Unsupported("integer rounding of arithmetic");
    }
    if (op == "add") {
        set_handler<Add, 2>(i);
    } else if (op == "sub") {
        set_handler<Sub, 2>(i);
    } else if (op == "mul") {
        set_handler<Mul, 2>(i);
    } else if (op == "div") {
        set_handler<Div, 2>(i);
    } else if (op == "mad" || op == "fma") {
        set_handler<Fma, 3>(i);
    } else if (op == "min" || op == "max") {
        const bool nan = m.take("NaN");
        if (op == "min") {
            nan ? set_handler<NanWins<Min>, 2>(i) : set_handler<Min, 2>(i);
        } else {
            nan ? set_handler<NanWins<Max>, 2>(i) : set_handler<Max, 2>(i);
        }
    } else if (op == "abs" || op == "neg") {
        need_operands(i, 2);
        const bool wide = i.type == Type::F64;
        if (op == "abs") {
            i.exec = wide ? sign_op<double, true> : sign_op<float, true>;
        } else {
            i.exec = wide ? sign_op<double, false> : sign_op<float, false>;
        }
    } else {
        bad_type(i);
    }
}

void add_float_ops(OpTable &t)
{
    t["fma"] = [](Instr &i, Mods &m) {
        i.type = m.need_type();
        if (!is_float(i.type)) {
            bad_type(i);
        }
        bind_float_arithmetic(i, m);
    };
    t["sqrt"] = bind_root<Sqrt, Approx::Sqrt>;
    t["rcp"] = bind_root<Rcp, Approx::Rcp>;
    t["rsqrt"] = bind_transcendental<Approx::Rsqrt>;
    t["ex2"] = bind_transcendental<Approx::Ex2>;
    t["lg2"] = bind_transcendental<Approx::Lg2>;
    t["sin"] = bind_transcendental<Approx::Sin>;
    t["cos"] = bind_transcendental<Approx::Cos>;
    t["tanh"] = bind_transcendental<Approx::Tanh>;
    t["copysign"] = [](Instr &i, Mods &m) {
        i.type = m.need_type();
        need_operands(i, 3);
        i.exec = i.type == Type::F64 ? copysign_op<double> : copysign_op<float>;
    };
}

} // namespace ptxrun
