// Logic, shifts and bit fields.
#include "ptx_decode.h"
#include "machine.h"

namespace ptxrun {
namespace {

struct And {
    template <class T> static T run(T a, T b) { return a & b; }
};
struct Or {
    template <class T> static T run(T a, T b) { return a | b; }
};
struct Xor {
    template <class T> static T run(T a, T b) { return a ^ b; }
};
struct Not {
    template <class T> static T run(T a) { return (T)~a; }
};
struct Cnot {
    template <class T> static T run(T a) { return a == 0; }
};

// Predicates are kept as 0/1, so ~ is not their negation.
void not_predicate(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) { d[l] = ~a[l] & 1; });
}

template <class Op> void bind_logic2(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, 3);
    i.exec = binary_handler<uint64_t, Op>; // the upper bits are don't-care
}
template <class Op> void bind_logic1(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, 2);
    switch (size_of(i.type)) {
    case 1: i.exec = not_predicate; break;
    case 2: i.exec = unary_handler<uint16_t, Op>; break;
    case 4: i.exec = unary_handler<uint32_t, Op>; break;
    default: i.exec = unary_handler<uint64_t, Op>;
    }
}

// Shift amounts are clamped to the width, unlike in C.
template <class T, bool kLeft> void shift(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    constexpr uint32_t bits = 8 * sizeof(T);
    each_lane(x.active, [&](int l) {
        const uint32_t n = (uint32_t)b[l];
        const T v = (T)a[l];
        if (kLeft) {
            d[l] = n >= bits ? 0 : to_bits<T>((T)((uint64_t)v << n));
        } else {
            d[l] = to_bits<T>(n < bits ? (T)(v >> n) : v < 0 ? (T)-1 : (T)0);
        }
    });
}
template <bool kLeft> void bind_shift(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, 3);
    switch (i.type) {
    case Type::U16: i.exec = shift<uint16_t, kLeft>; break;
    case Type::U32: i.exec = shift<uint32_t, kLeft>; break;
    case Type::U64: i.exec = shift<uint64_t, kLeft>; break;
    case Type::S16: i.exec = shift<int16_t, kLeft>; break;
    case Type::S32: i.exec = shift<int32_t, kLeft>; break;
    case Type::S64: i.exec = shift<int64_t, kLeft>; break;
    default: bad_type(i);
    }
}

// shf: funnel shift of the 64-bit value b:a.
void funnel(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint64_t *d = x.dest(i.ops[0]);
    const bool left = i.mode, wrap = i.flag;
    each_lane(x.active, [&](int l) {
        const uint32_t amount = (uint32_t)c[l], n = wrap ? amount & 31 : amount > 32 ? 32 : amount;
        const uint64_t v = (b[l] << 32) | (uint32_t)a[l];
        d[l] = left ? (n == 32 ? (uint32_t)a[l] : (uint32_t)(v << n >> 32)) : (uint32_t)(v >> n);
    });
}

template <class T> void extract(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint64_t *d = x.dest(i.ops[0]);
    constexpr int bits = 8 * sizeof(T);
    each_lane(x.active, [&](int l) {
        using U = std::make_unsigned_t<T>;
        const int pos = b[l] & 255, len = c[l] & 255;
        const U v = (U)a[l];
        // Past the end, signed fields are filled with the sign: bit min(pos + len - 1, msb).
        const int last = pos + len - 1 < bits - 1 ? pos + len - 1 : bits - 1;
        const bool sign = std::is_signed<T>::value && len > 0 && (v >> last & 1);
        U r = pos < bits ? v >> pos : 0;
        const int have = len == 0 || pos >= bits ? 0 : last - pos + 1;
        const U mask = have >= bits ? (U) ~(U)0 : (U)(((U)1 << have) - 1);
        r &= mask;
        d[l] = sign ? (U)(r | ~mask) : r;
    });
}
template <class T> void insert(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]),
           e = x.source(i.ops[4]);
    uint64_t *d = x.dest(i.ops[0]);
    constexpr int bits = 8 * sizeof(T);
    each_lane(x.active, [&](int l) {
        const int pos = c[l] & 255, len = e[l] & 255;
        T mask = len >= bits ? (T) ~(T)0 : (T)(((T)1 << len) - 1);
        mask = pos >= bits ? 0 : (T)(mask << pos);
        const T field = pos >= bits ? 0 : (T)((T)a[l] << pos);
        d[l] = (T)(((T)b[l] & ~mask) | (field & mask));
    });
}

// bfind: the most significant bit that differs from the sign; -1 if there is none.
template <class T> void find_bit(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    constexpr int bits = 8 * sizeof(T);
    each_lane(x.active, [&](int l) {
        T v = (T)a[l];
        if (v < 0) {
            v = (T)~v;
        }
        uint32_t r = v ? 63 - __builtin_clzll((uint64_t)v) : ~0u;
        d[l] = i.flag && r != ~0u ? bits - 1 - r : r;
    });
}

struct Popc {
    template <class T> static T run(T a) { return __builtin_popcountll(a); }
};
struct Clz {
    template <class T> static T run(T a)
    {
        return a ? __builtin_clzll(a) - (64 - 8 * sizeof(T)) : 8 * sizeof(T);
    }
};
struct Brev {
    template <class T> static T run(T a)
    {
        T r = 0;
        for (size_t b = 0; b < 8 * sizeof(T); b++) {
            r = (T)(r << 1 | (a >> b & 1));
        }
        return r;
    }
};
template <class Op> void bind_count(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, 2);
    if (i.type == Type::U32) {
        i.exec = unary_handler<uint32_t, Op>;
    } else if (i.type == Type::U64) {
        i.exec = unary_handler<uint64_t, Op>;
    } else {
        bad_type(i);
    }
}

// lop3: bit (a << 2 | b << 1 | c) of the table gives each result bit.
void lop3(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint64_t *d = x.dest(i.ops[0]);
    const uint32_t table = (uint32_t)i.ops[4].imm;
    each_lane(x.active, [&](int l) {
        uint32_t r = 0;
        for (int k = 0; k < 8; k++) {
            if (!(table >> k & 1)) {
                continue;
            }
            r |= (uint32_t)((k & 4 ? a[l] : ~a[l]) & (k & 2 ? b[l] : ~b[l]) &
                            (k & 1 ? c[l] : ~c[l]));
        }
        d[l] = r;
    });
}

// bmsk: `b` ones from bit `a` upwards. szext: the low `b` bits of a, extended to 32.
void bit_mask(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        const uint32_t limit = i.flag ? 31 : ~0u; // .wrap
        const uint32_t pos = (uint32_t)a[l] & limit, len = (uint32_t)b[l] & limit;
        const uint64_t ones = len >= 32 ? 0xffffffffull : (1ull << len) - 1;
        d[l] = pos >= 32 ? 0 : (uint32_t)(ones << pos);
    });
}
void extend_field(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        const uint32_t amount = (uint32_t)b[l], n = i.flag        ? amount & 31
                                                    : amount > 32 ? 32
                                                                  : amount;
        const uint64_t mask = (1ull << n) - 1, v = a[l] & mask;
        const bool sign = is_signed(i.type) && n && (v >> (n - 1) & 1);
        d[l] = (uint32_t)(sign ? v | ~mask : v);
    });
}
template <Handler kHandler> void bind_mask(Instr &i, Mods &m)
{
    i.flag = m.take("wrap");
    if (!i.flag && !m.take("clamp")) {
        throw Unsupported("neither .clamp nor .wrap");
    }
    i.type = m.need_type();
    need_operands(i, 3);
    i.exec = kHandler;
}

// prmt: picks bytes of b:a; the modes compute the selector from the low two bits of c.
uint32_t permute_selector(int mode, uint32_t c)
{
    const uint32_t n = c & 3;
    static const uint16_t f4e[] = {0x3210, 0x4321, 0x5432, 0x6543};
    static const uint16_t b4e[] = {0x5670, 0x6701, 0x7012, 0x0123};
    static const uint16_t ecl[] = {0x3210, 0x3211, 0x3222, 0x3333};
    static const uint16_t ecr[] = {0x0000, 0x1110, 0x2210, 0x3210};
    switch (mode) {
    case 1: return f4e[n];
    case 2: return b4e[n];
    case 3: return n * 0x1111;
    case 4: return ecl[n];
    case 5: return ecr[n];
    case 6: return n & 1 ? 0x3232 : 0x1010;
    default: return c;
    }
}
void permute(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        const uint64_t bytes = (uint32_t)a[l] | b[l] << 32;
        const uint32_t selector = permute_selector(i.mode, (uint32_t)c[l]);
        uint32_t r = 0;
        for (int e = 0; e < 4; e++) {
            const uint32_t s = selector >> 4 * e & 15;
            uint32_t byte = bytes >> 8 * (s & 7) & 255;
            if (s & 8) {
                byte = byte & 128 ? 255 : 0; // replicate the sign
            }
            r |= byte << 8 * e;
        }
        d[l] = r;
    });
}
void bind_prmt(Instr &i, Mods &m)
{
    i.type = m.need_type();
    const char *const names[] = {"", "f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
    for (int k = 1; k < 7; k++) {
        if (m.take(names[k])) {
            i.mode = k;
        }
    }
    need_operands(i, 4);
    i.exec = permute;
}
void bind_shf(Instr &i, Mods &m)
{
    i.mode = m.take("l");
    if (!i.mode && !m.take("r")) {
        throw Unsupported("neither .l nor .r");
    }
    i.flag = m.take("wrap");
    if (!i.flag) {
        m.take("clamp");
    }
    i.type = m.need_type();
    need_operands(i, 4);
    i.exec = funnel;
}
void bind_bfe(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, 4);
    switch (i.type) {
    case Type::U32: i.exec = extract<uint32_t>; break;
    case Type::S32: i.exec = extract<int32_t>; break;
    case Type::U64: i.exec = extract<uint64_t>; break;
    case Type::S64: i.exec = extract<int64_t>; break;
    default: bad_type(i);
    }
}
void bind_bfi(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, 5);
    i.exec = size_of(i.type) == 8 ? insert<uint64_t> : insert<uint32_t>;
}
void bind_bfind(Instr &i, Mods &m)
{
    i.flag = m.take("shiftamt");
    i.type = m.need_type();
    need_operands(i, 2);
    switch (i.type) {
    case Type::U32: i.exec = find_bit<uint32_t>; break;
    case Type::S32: i.exec = find_bit<int32_t>; break;
    case Type::U64: i.exec = find_bit<uint64_t>; break;
    case Type::S64: i.exec = find_bit<int64_t>; break;
    default: bad_type(i);
    }
}
void bind_lop3(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, 5);
    if (i.ops[4].kind != Operand::Imm) {
        throw Unsupported("table in a register");
    }
    i.exec = lop3;
}

} // namespace

void add_bit_ops(OpTable &t)
{
    t["and"] = bind_logic2<And>;
    t["or"] = bind_logic2<Or>;
    t["xor"] = bind_logic2<Xor>;
    t["not"] = bind_logic1<Not>;
    t["cnot"] = bind_logic1<Cnot>;
    t["shl"] = bind_shift<true>;
    t["shr"] = bind_shift<false>;
    t["shf"] = bind_shf;
    t["bfe"] = bind_bfe;
    t["bfi"] = bind_bfi;
    t["bfind"] = bind_bfind;
    t["popc"] = bind_count<Popc>;
    t["clz"] = bind_count<Clz>;
    t["brev"] = bind_count<Brev>;
    t["bmsk"] = bind_mask<bit_mask>;
    t["szext"] = bind_mask<extend_field>;
    t["lop3"] = bind_lop3;
    t["prmt"] = bind_prmt;
}

} // namespace ptxrun
