// atom and red. Lanes act one after the other, in lane order.
#include "ptx_decode.h"
#include "machine.h"

namespace ptxrun {
namespace {

enum AtomicOp { kAdd, kMin, kMax, kInc, kDec, kExch, kCas, kAnd, kOr, kXor };

template <class T> T apply(const Instr &i, T old, T b, T c, bool global)
{
    switch (i.mode) {
    case kAdd:
        if constexpr (std::is_same<T, float>::value) {
            // PTX ISA: atomic f32 addition on global memory flushes subnormals, on shared it does
            // not.
            return global ? flush(flush(old) + flush(b)) : old + b;
        } else if constexpr (std::is_floating_point<T>::value) {
            return old + b;
        } else {
            return (T)((uint64_t)old + (uint64_t)b);
        }
    case kMin: return b < old ? b : old;
    case kMax: return b > old ? b : old;
    case kExch: return b;
    case kCas: return old == b ? c : old;
    default: break;
    }
    if constexpr (std::is_integral<T>::value) {
        switch (i.mode) {
        case kInc: return old >= b ? 0 : old + 1;
        case kDec: return old == 0 || old > b ? b : old - 1;
        case kAnd: return old & b;
        case kOr: return old | b;
        default: return old ^ b;
        }
    }
    return old;
}

template <class T, bool kReturns> void atomic(Exec &x, const Instr &i)
{
    const size_t first = kReturns ? 1 : 0;
    const Operand &place = i.ops[first];
    Source b = x.source(i.ops[first + 1]);
    uint8_t *places[32];
    x.resolve(i, place, x.active, sizeof(T), Access::Atomic, places);
    Source c = i.mode == kCas ? x.source(i.ops[first + 2]) : b;
    uint64_t *d = kReturns ? x.dest(i.ops[0]) : nullptr;
    for_lanes(x.active, [&](int l) {
        uint8_t *p = places[l];
        const bool global = p < x.block->shared || p >= x.block->shared + x.block->shared_bytes;
        T old;
        memcpy(&old, p, sizeof old);
        T updated = apply<T>(i, old, from_bits<T>(b[l]), from_bits<T>(c[l]), global);
        if constexpr (std::is_floating_point<T>::value) {
            if (i.mode == kAdd) {
                updated = from_bits<T>(canonical(updated));
            }
        }
        memcpy(p, &updated, sizeof updated);
        if (kReturns) {
            d[l] = to_bits<T>(old);
        }
    });
}

// atom.add.noftz.f16 and f16x2
template <bool kReturns> void atomic_half(Exec &x, const Instr &i)
{
    const Operand &place = i.ops[kReturns ? 1 : 0];
    Source b = x.source(i.ops[kReturns ? 2 : 1]);
    uint64_t *d = kReturns ? x.dest(i.ops[0]) : nullptr;
    const int halves = i.type == Type::F16x2 ? 2 : 1;
    uint8_t *places[32];
    x.resolve(i, place, x.active, 2 * halves, Access::Atomic, places);
    for_lanes(x.active, [&](int l) {
        const uint64_t addend = b[l];
        uint8_t *p = places[l];
        uint16_t old[2] = {}, more[2], sum[2];
        memcpy(old, p, 2 * halves);
        memcpy(more, &addend, 4);
        for (int k = 0; k < halves; k++) {
            sum[k] = double_to_half(half_to_double(old[k]) + half_to_double(more[k]));
        }
        memcpy(p, sum, 2 * halves);
        if (kReturns) {
            d[l] = old[0] | (uint32_t)old[1] << 16;
        }
    });
}

template <bool kReturns> void bind_atomic(Instr &i, Mods &m)
{
    m.ignore_cache_hints();
    i.space = m.space();
    static const std::pair<const char *, int> names[] = {
        {"add", kAdd},   {"min", kMin}, {"max", kMax}, {"inc", kInc}, {"dec", kDec},
        {"exch", kExch}, {"cas", kCas}, {"and", kAnd}, {"or", kOr},   {"xor", kXor}};
    i.mode = -1;
    for (auto &n : names) {
        if (m.take(n.first)) {
            i.mode = n.second;
        }
    }
    if (i.mode < 0) {
        throw Unsupported("operation");
    }
    i.type = m.need_type();
    need_operands(i, (kReturns ? 3 : 2) + (i.mode == kCas));
    if (i.space != Space::Generic && i.space != Space::Global && i.space != Space::Shared) {
        throw Unsupported("state space");
    }
    if (is_float(i.type) && i.mode != kAdd && i.mode != kExch) {
        bad_type(i);
    }
    switch (i.type) {
    case Type::U16: i.exec = atomic<uint16_t, kReturns>; break;
    case Type::U32: i.exec = atomic<uint32_t, kReturns>; break;
    case Type::U64: i.exec = atomic<uint64_t, kReturns>; break;
    case Type::S32: i.exec = atomic<int32_t, kReturns>; break;
    case Type::S64: i.exec = atomic<int64_t, kReturns>; break;
    case Type::F32: i.exec = atomic<float, kReturns>; break;
    case Type::F64: i.exec = atomic<double, kReturns>; break;
    case Type::F16:
    case Type::F16x2:
        if (i.mode != kAdd) {
            bad_type(i);
        }
        i.exec = atomic_half<kReturns>;
        break;
    default: bad_type(i);
    }
}

} // namespace

void add_atomic_ops(OpTable &t)
{
    t["atom"] = bind_atomic<true>;
    t["red"] = bind_atomic<false>;
}

} // namespace ptxrun
