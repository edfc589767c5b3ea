// Warp collectives. The scheduler has already gathered all lanes named in the member mask, so
// x.active is that mask without the lanes that have exited.
#include "ptx_decode.h"
#include "machine.h"

namespace ptxrun {
namespace {

enum Shuffle { kUp, kDown, kBfly, kIdx };

void shuffle(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint32_t values[32];
    for_lanes(x.active, [&](int l) { values[l] = (uint32_t)a[l]; });
    int from[32];
    bool in_range[32];
    for_lanes(x.active, [&](int l) {
        // c: bits 0-4 clamp the source lane, bits 8-12 mask the lane number into segments.
        const int offset = b[l] & 31, clamp = c[l] & 31, segment = c[l] >> 8 & 31;
        const int max_lane = (l & segment) | (clamp & ~segment), min_lane = l & segment;
        int j;
        bool p;
        switch (i.mode) {
        case kUp: j = l - offset, p = j >= max_lane; break;
        case kDown: j = l + offset, p = j <= max_lane; break;
        case kBfly: j = l ^ offset, p = j <= max_lane; break;
        default: j = min_lane | (offset & ~segment), p = j <= max_lane; break;
        }
        if (!p) {
            j = l;
        }
        if (!(x.active >> j & 1)) {
            x.fail(i, l, "shfl reads lane " + std::to_string(j) + ", which does not take part");
        }
        from[l] = j;
        in_range[l] = p;
    });
    uint64_t *d = x.dest(i.ops[0]);
    for_lanes(x.active, [&](int l) { d[l] = values[from[l]]; });
    if (i.second_dst.kind == Operand::Reg) {
        uint64_t *p = x.dest(i.second_dst);
        for_lanes(x.active, [&](int l) { p[l] = in_range[l]; });
    }
}
void bind_shfl(Instr &i, Mods &m)
{
    if (!m.take("sync")) {
        throw Unsupported("form without .sync");
    }
    const std::string mode = m.take_any({"up", "down", "bfly", "idx"});
    i.mode = mode == "up" ? kUp : mode == "down" ? kDown : mode == "bfly" ? kBfly : kIdx;
    i.type = m.need_type();
    need_operands(i, 5);
    i.sync = WarpSync::MaskOperand;
    i.mask_operand = 4;
    i.exec = shuffle;
}

enum Vote { kAll, kAny, kUni, kBallot };
void vote(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint32_t ballot = 0;
    for_lanes(x.active, [&](int l) {
        if (((a[l] & 1) != 0) != i.ops[1].negated) {
            ballot |= 1u << l;
        }
    });
    uint64_t r = ballot;
    if (i.mode == kAll) {
        r = ballot == x.active;
    }
    if (i.mode == kAny) {
        r = ballot != 0;
    }
    if (i.mode == kUni) {
        r = ballot == 0 || ballot == x.active;
    }
    uint64_t *d = x.dest(i.ops[0]);
    for_lanes(x.active, [&](int l) { d[l] = r; });
}
void bind_vote(Instr &i, Mods &m)
{
    if (!m.take("sync")) {
        throw Unsupported("form without .sync");
    }
    const std::string mode = m.take_any({"all", "any", "uni", "ballot"});
    i.mode = mode == "all" ? kAll : mode == "any" ? kAny : mode == "uni" ? kUni : kBallot;
    i.type = m.need_type();
    need_operands(i, 3);
    i.sync = WarpSync::MaskOperand;
    i.mask_operand = 2;
    i.exec = vote;
}

void match_any(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    const uint64_t mask = size_of(i.type) == 8 ? ~0ull : 0xffffffffu;
    uint32_t result[32];
    for_lanes(x.active, [&](int l) {
        result[l] = 0;
        for_lanes(x.active, [&](int k) {
            if (((a[k] ^ a[l]) & mask) == 0) {
                result[l] |= 1u << k;
            }
        });
    });
    uint64_t *d = x.dest(i.ops[0]);
    for_lanes(x.active, [&](int l) { d[l] = result[l]; });
}
void match_all(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    const uint64_t mask = size_of(i.type) == 8 ? ~0ull : 0xffffffffu;
    const uint64_t first = a[__builtin_ctz(x.active)] & mask;
    bool same = true;
    for_lanes(x.active, [&](int l) { same = same && (a[l] & mask) == first; });
    uint64_t *d = x.dest(i.ops[0]), *p = x.dest(i.second_dst);
    for_lanes(x.active, [&](int l) { d[l] = same ? x.active : 0, p[l] = same; });
}
void bind_match(Instr &i, Mods &m)
{
    const bool all = m.take("all"), any = m.take("any");
    if (all == any || !m.take("sync")) {
        throw Unsupported("form");
    }
    i.type = m.need_type();
    need_operands(i, 3);
    i.sync = WarpSync::MaskOperand;
    i.mask_operand = 2;
    i.exec = all ? match_all : match_any;
}

enum Reduction { kAdd, kMin, kMax, kAnd, kOr, kXor };
template <class T> void reduce(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    bool first = true;
    T r = 0;
    for_lanes(x.active, [&](int l) {
        const T v = (T)a[l];
        if (first) {
            r = v;
        } else if (i.mode == kAdd) {
            r = (T)((uint32_t)r + (uint32_t)v);
        } else if (i.mode == kMin) {
            r = v < r ? v : r;
        } else if (i.mode == kMax) {
            r = v > r ? v : r;
        } else if (i.mode == kAnd) {
            r &= v;
        } else if (i.mode == kOr) {
            r |= v;
        } else {
            r ^= v;
        }
        first = false;
    });
    uint64_t *d = x.dest(i.ops[0]);
    for_lanes(x.active, [&](int l) { d[l] = to_bits<T>(r); });
}
void bind_redux(Instr &i, Mods &m)
{
    if (!m.take("sync")) {
        throw Unsupported("form without .sync");
    }
    static const char *const names[] = {"add", "min", "max", "and", "or", "xor"};
    i.mode = -1;
    for (int k = 0; k < 6; k++) {
        if (m.take(names[k])) {
            i.mode = k;
        }
    }
    i.type = m.need_type();
    need_operands(i, 3);
    if (i.mode < 0 || is_float(i.type)) {
        throw Unsupported("operation");
    }
    i.sync = WarpSync::MaskOperand;
    i.mask_operand = 2;
    i.exec = is_signed(i.type) ? reduce<int32_t> : reduce<uint32_t>;
}

void elect(Exec &x, const Instr &i)
{
    const int leader = __builtin_ctz(x.active);
    uint64_t *d = x.dest(i.ops[0]), *p = x.dest(i.second_dst);
    for_lanes(x.active, [&](int l) { d[l] = leader, p[l] = l == leader; });
}
void active_mask(Exec &x, const Instr &i)
{
    uint64_t *d = x.dest(i.ops[0]);
    const uint32_t mask = x.active;
    for_lanes(mask, [&](int l) { d[l] = mask; });
}

} // namespace

void add_warp_ops(OpTable &t)
{
    t["shfl"] = bind_shfl;
    t["vote"] = bind_vote;
    t["match"] = bind_match;
    t["redux"] = bind_redux;
    t["activemask"] = [](Instr &i, Mods &m) {
        i.type = m.need_type();
        need_operands(i, 1);
        i.exec = active_mask;
    };
    t["elect"] = [](Instr &i, Mods &m) {
        if (!m.take("sync")) {
            throw Unsupported("form");
        }
        need_operands(i, 2);
        i.sync = WarpSync::MaskOperand;
        i.mask_operand = 1;
        i.exec = elect;
    };
}

} // namespace ptxrun
