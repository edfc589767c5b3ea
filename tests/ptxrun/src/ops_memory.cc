// mov, ld, st, cvta, isspacep, prefetch.
#include "ptx_decode.h"
#include "machine.h"

namespace ptxrun {
namespace {

void move(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) { d[l] = a[l]; });
}
// mov.b64 {lo, hi}, v  and  mov.b64 v, {lo, hi}
void unpack(Exec &x, const Instr &i)
{
    const std::vector<Operand> &parts = i.ops[0].elems;
    const int bits = (int)(8 * size_of(i.type) / parts.size());
    const uint64_t mask = bits == 64 ? ~0ull : (1ull << bits) - 1;
    Source a = x.source(i.ops[1]);
    uint64_t values[32];
    for_lanes(x.active, [&](int l) { values[l] = a[l]; });
    for (size_t k = 0; k < parts.size(); k++) {
        uint64_t *d = x.dest(parts[k]);
        for_lanes(x.active, [&](int l) { d[l] = values[l] >> (bits * k) & mask; });
    }
}
void pack(Exec &x, const Instr &i)
{
    const std::vector<Operand> &parts = i.ops[1].elems;
    const int bits = (int)(8 * size_of(i.type) / parts.size());
    const uint64_t mask = bits == 64 ? ~0ull : (1ull << bits) - 1;
    uint64_t values[32] = {};
    for (size_t k = 0; k < parts.size(); k++) {
        Source a = x.source(parts[k]);
        for_lanes(x.active, [&](int l) { values[l] |= (a[l] & mask) << (bits * k); });
    }
    uint64_t *d = x.dest(i.ops[0]);
    for_lanes(x.active, [&](int l) { d[l] = values[l]; });
}
void bind_mov(Instr &i, Mods &m)
{
    i.type = m.need_type();
    need_operands(i, 2);
    const bool to = i.ops[0].kind == Operand::Vector, from = i.ops[1].kind == Operand::Vector;
    i.exec = to ? unpack : from ? pack : move;
}

constexpr int kMaxVector = 8;

// T is the type in memory; its sign decides how the register is filled up.
template <class T> void load_elements(Exec &x, const Instr &i, uint8_t *const (&places)[32])
{
    for (int k = 0; k < i.vec; k++) {
        uint64_t *d = x.dest(i.vec == 1 ? i.ops[0] : i.ops[0].elems[k]);
        for_lanes(x.active, [&](int l) {
            T value;
            memcpy(&value, places[l] + k * sizeof(T), sizeof value);
            d[l] = (uint64_t)value;
        });
    }
}
void load_op(Exec &x, const Instr &i)
{
    uint8_t *places[32];
    x.resolve(i, i.ops[1], x.active, size_of(i.type) * i.vec, Access::Read, places);
    switch (i.type) {
    case Type::S8: return load_elements<int8_t>(x, i, places);
    case Type::S16: return load_elements<int16_t>(x, i, places);
    case Type::S32: return load_elements<int32_t>(x, i, places);
    default: break;
    }
    switch (size_of(i.type)) {
    case 1: return load_elements<uint8_t>(x, i, places);
    case 2: return load_elements<uint16_t>(x, i, places);
    case 4: return load_elements<uint32_t>(x, i, places);
    default: return load_elements<uint64_t>(x, i, places);
    }
}

template <class T> void store_elements(Exec &x, const Instr &i, uint8_t *const (&places)[32])
{
    Source v[kMaxVector];
    for (int k = 0; k < i.vec; k++) {
        v[k] = x.source(i.vec == 1 ? i.ops[1] : i.ops[1].elems[k]);
    }
    // Lane by lane: where lanes write the same place, the highest one wins with all its elements.
    for_lanes(x.active, [&](int l) {
        for (int k = 0; k < i.vec; k++) {
            const T value = (T)v[k][l];
            memcpy(places[l] + k * sizeof(T), &value, sizeof value);
        }
    });
}
void store_op(Exec &x, const Instr &i)
{
    const size_t size = size_of(i.type);
    uint8_t *places[32];
    x.resolve(i, i.ops[0], x.active, size * i.vec, Access::Write, places);
    switch (size) {
    case 1: return store_elements<uint8_t>(x, i, places);
    case 2: return store_elements<uint16_t>(x, i, places);
    case 4: return store_elements<uint32_t>(x, i, places);
    default: return store_elements<uint64_t>(x, i, places);
    }
}
void bind_access(Instr &i, Mods &m, bool store)
{
    m.ignore_cache_hints();
    i.space = m.space();
    i.vec = m.take("v2") ? 2 : m.take("v4") ? 4 : m.take("v8") ? kMaxVector : 1;
    i.type = m.need_type();
    need_operands(i, 2);
    const Operand &address = i.ops[store ? 0 : 1], &value = i.ops[store ? 1 : 0];
    if (address.kind != Operand::Address || address.elems.size() != 1) {
        throw Unsupported("address");
    }
    if (i.vec > 1 && (int)value.elems.size() != i.vec) {
        throw Unsupported("vector operand");
    }
    if (store && (i.space == Space::Const)) {
        throw Unsupported("state space");
    }
    i.exec = store ? store_op : load_op;
}

// cvta: generic <-> state space. Generic addresses are host addresses, so global is the identity.
void convert_address(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    const bool to_space = i.flag;
    for_lanes(x.active, [&](int l) {
        uint64_t base = 0;
        if (i.space == Space::Shared) {
            base = (uint64_t)x.block->shared;
        }
        if (i.space == Space::Param) {
            base = (uint64_t)x.block->launch->params.data();
        }
        if (i.space == Space::Local) {
            base = (uint64_t)x.local_frame(l);
        }
        d[l] = to_space ? a[l] - base : a[l] + base;
    });
}
void is_in_space(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    const Block &b = *x.block;
    for_lanes(x.active, [&](int l) {
        const bool shared = a[l] - (uint64_t)b.shared < b.shared_bytes;
        const bool local = a[l] - (uint64_t)b.local.data() < b.local.size();
        const bool param = a[l] - (uint64_t)b.launch->params.data() < b.launch->params.size();
        d[l] = i.space == Space::Shared  ? shared
               : i.space == Space::Local ? local
               : i.space == Space::Param ? param
                                         : !shared && !local && !param;
    });
}
void no_operation(Exec &, const Instr &) {}

} // namespace

void add_memory_ops(OpTable &t)
{
    t["mov"] = bind_mov;
    t["ld"] = [](Instr &i, Mods &m) { bind_access(i, m, false); };
    t["ldu"] = t["ld"];
    t["st"] = [](Instr &i, Mods &m) { bind_access(i, m, true); };
    t["cvta"] = [](Instr &i, Mods &m) {
        i.flag = m.take("to");
        i.space = m.space();
        i.type = m.need_type();
        need_operands(i, 2);
        i.exec = convert_address;
    };
    t["isspacep"] = [](Instr &i, Mods &m) {
        i.space = m.space();
        need_operands(i, 2);
        i.exec = is_in_space;
    };
    t["prefetch"] = t["prefetchu"] = [](Instr &i, Mods &m) {
        m.space();
        for (auto hint : {"L1", "L2", "L2::evict_last", "L2::evict_normal", "tensormap"}) {
            m.take(hint);
        }
        i.exec = no_operation;
    };
    t["membar"] = t["fence"] = [](Instr &i, Mods &m) {
        // Everything is sequentially consistent here; a missing fence therefore goes unnoticed.
        while (!m.empty()) {
            m.take(m.rest().substr(1, m.rest().find('.', 1) - 1).c_str());
        }
        i.exec = no_operation;
    };
}

} // namespace ptxrun
