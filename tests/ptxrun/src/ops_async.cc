// cp.async. A copy takes effect as late as the program allows: until its group is waited for, the
// destination holds a poison pattern, so that a missing or too weak wait gives wrong results.
#include "ptx_decode.h"
#include "machine.h"

namespace ptxrun {
namespace {

constexpr int kInFlightPattern = 0xCC;

void copy_async(Exec &x, const Instr &i)
{
    Source size = x.source(i.ops[2]), src = x.address_base(i.ops[1]),
           dst = x.address_base(i.ops[0]);
    Source valid = i.ops.size() > 3 ? x.source(i.ops[3]) : size;
    const uint32_t n = (uint32_t)size[__builtin_ctz(x.active)]; // an immediate: the same for all
    if (n != 4 && n != 8 && n != 16) {
        x.fail(i, __builtin_ctz(x.active), "cp.async size must be 4, 8 or 16");
    }
    GlobalAccess whole, part[16]; // by the number of bytes read
    for_lanes(x.active, [&](int l) {
        const uint32_t v = (uint32_t)valid[l];
        if (v > n) {
            x.fail(i, l, "cp.async src-size exceeds cp-size");
        }
        const uint64_t to = (uint32_t)Exec::address(i.ops[0], dst, l);
        const uint64_t from = Exec::address(i.ops[1], src, l);
        x.check_shared(i, l, to, n);
        if (from % n) {
            x.fail(i, l, "cp.async source misaligned");
        }
        // Checked when it is issued and, since the copy may land later, again when it lands.
        if (v && !heap_contains(from, v)) {
            x.fail(i, l, "cp.async source out of bounds, " + heap_describe(from));
        }
        if (v) {
            (v == n ? whole : part[v]).add(from);
        }
        x.check_race(i, l, (uint32_t)to, n, true);
        memset(x.block->shared + to, kInFlightPattern, n);
        x.warp->copies[l].copies.push_back({(uint32_t)to, from, n, v});
    });
    count_global(whole, n, false);
    for (uint32_t v = 1; v < n; v++) {
        count_global(part[v], v, false);
    }
}

void commit(Exec &x, const Instr &)
{
    for_lanes(x.active, [&](int l) {
        CopyQueue &q = x.warp->copies[l];
        q.group_end.push_back(q.copies.size());
    });
}

void land(Exec &x, const Instr &i, int lane, const AsyncCopy &c)
{
    uint8_t *to = x.block->shared + c.dst;
    if (c.valid == 16 && heap_contains(c.src, 16) && !options().race) { // nearly always
        memcpy(to, (const void *)c.src, 16);
        return;
    }
    if (c.valid) {
        if (!heap_contains(c.src, c.valid)) {
            x.fail(i, lane, "cp.async source out of bounds, " + heap_describe(c.src));
        }
        memcpy(to, (const void *)c.src, c.valid);
    }
    memset(to + c.valid, 0, c.size - c.valid);
    x.check_race(i, lane, c.dst, c.size, true);
}

void wait(Exec &x, const Instr &i)
{
    const bool all = i.flag;
    Source operand = all ? nullptr : x.source(i.ops[0]);
    for_lanes(x.active, [&](int l) {
        CopyQueue &q = x.warp->copies[l];
        const size_t keep = all ? 0 : operand[l];
        if (q.group_end.size() - q.groups_done > keep) {
            q.groups_done = q.group_end.size() - keep;
            for (const size_t end = q.group_end[q.groups_done - 1]; q.done < end; q.done++) {
                land(x, i, l, q.copies[q.done]);
            }
        }
        if (all) { // those that were not committed, too
            for (; q.done < q.copies.size(); q.done++) {
                land(x, i, l, q.copies[q.done]);
            }
        }
        // What has landed is dropped when that is cheap: when nothing, or much less, is in flight.
        if (q.done == q.copies.size() && q.groups_done == q.group_end.size()) {
            q.clear();
        } else if (q.done >= 64) {
            q.copies.erase(q.copies.begin(), q.copies.begin() + (long)q.done);
            q.group_end.erase(q.group_end.begin(), q.group_end.begin() + (long)q.groups_done);
            for (size_t &end : q.group_end) {
                end -= q.done;
            }
            q.done = q.groups_done = 0;
        }
    });
}

void bind_cp(Instr &i, Mods &m)
{
    if (!m.take("async")) {
        throw Unsupported("form");
    }
    if (m.take("bulk")) {
        return bind_bulk_copy(i, m);
    }
    if (m.take("commit_group")) {
        i.exec = commit;
    } else if (m.take("wait_group")) {
        need_operands(i, 1);
        i.exec = wait;
    } else if (m.take("wait_all")) {
        i.flag = true;
        i.exec = wait;
    } else {
        if (!m.take("shared") && !m.take("shared::cta")) {
            throw Unsupported("destination");
        }
        if (!m.take("global")) {
            throw Unsupported("source");
        }
        m.ignore_cache_hints();
        if (i.ops.size() == 4 && i.ops[3].kind == Operand::None) {
            throw Unsupported("operand");
        }
        if (i.ops.size() != 3) {
            need_operands(i, 4);
        }
        i.exec = copy_async;
    }
}

} // namespace

void add_async_ops(OpTable &t)
{
    t["cp"] = bind_cp;
}

} // namespace ptxrun
