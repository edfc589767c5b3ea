// mbarrier, 2-D TMA loads and wgmma with 8-bit integers. TMA copies land at a random later moment,
// wgmma runs at wait_group: programs that do not wait properly compute something else.
#include <algorithm>

#include "byte_product.h"
#include "machine.h"
#include "mma_layout.h"
#include "ptx_decode.h"

namespace ptxrun {
namespace {

// ---- mbarrier ----
MBarrier &mbarrier_at(Exec &x, const Instr &i, int lane, uint32_t address)
{
    auto f = x.block->mbarriers.find(address);
    if (f == x.block->mbarriers.end()) {
        x.fail(i, lane, "mbarrier not initialised");
    }
    return f->second;
}
void update(Exec &x, const Instr &i, int lane, uint32_t address, int arrivals, int64_t tx)
{
    MBarrier &b = mbarrier_at(x, i, lane, address);
    b.tx += tx;
    if (b.pending < arrivals) {
        x.fail(i, lane, "mbarrier: too many arrivals in a phase");
    }
    b.pending -= arrivals;
    if (b.pending == 0 && b.tx == 0) {
        b.phase ^= 1;
        b.pending = b.expected;
        // For the race detector every completed phase orders everything: coarse, but never wrong
        // in the direction of false reports.
        x.block->race.new_block_epoch();
    }
}

void mbarrier_init(Exec &x, const Instr &i)
{
    Source count = x.source(i.ops[1]);
    for_lanes(x.active, [&](int l) {
        const int n = (int)count[l];
        x.block->mbarriers[x.shared_address(i, i.ops[0], l, 8)] = {n, n, 0, 0};
    });
}
void mbarrier_inval(Exec &x, const Instr &i)
{
    for_lanes(x.active,
              [&](int l) { x.block->mbarriers.erase(x.shared_address(i, i.ops[0], l, 8)); });
}
void mbarrier_arrive(Exec &x, const Instr &i)
{
    // [state or _,] address [, tx count]
    const size_t a = i.ops[0].kind == Operand::Address ? 0 : 1;
    const bool expect_tx = i.flag, arrive = i.mode;
    uint64_t *state = a ? x.dest(i.ops[0]) : nullptr;
    for_lanes(x.active, [&](int l) {
        const uint32_t address = x.shared_address(i, i.ops[a], l, 8);
        if (state) {
            state[l] = mbarrier_at(x, i, l, address).phase;
        }
        // The expectation must count before the arrival, or the phase could end too early.
        if (expect_tx) {
            update(x, i, l, address, 0, (int64_t)(uint32_t)x.source(i.ops[a + 1])[l]);
        }
        if (arrive) {
            update(x, i, l, address,
                   !expect_tx && i.ops.size() > a + 1 ? (int)x.source(i.ops[a + 1])[l] : 1, 0);
        }
    });
}
void mbarrier_wait(Exec &x, const Instr &i)
{
    Source operand = x.source(i.ops[2]); // the parity, or the state an arrive returned
    uint64_t *d = x.dest(i.ops[0]);
    for_lanes(x.active, [&](int l) {
        const MBarrier &b = mbarrier_at(x, i, l, x.shared_address(i, i.ops[1], l, 8));
        const bool done = (uint64_t)b.phase != (operand[l] & 1);
        d[l] = done;
        if (!done) {
            x.warp->yielded = true;
        }
    });
}
void bind_mbarrier(Instr &i, Mods &m)
{
    const std::string op =
        m.take_any({"init", "inval", "arrive", "expect_tx", "try_wait", "test_wait"});
    i.flag = op == "expect_tx" || m.take("expect_tx");
    m.take("parity");
    for (auto s : {"release", "acquire", "relaxed", "cta", "cluster"}) {
        m.take(s);
    }
    if (!m.take("shared::cta")) {
        m.take("shared");
    }
    i.type = m.need_type();
    if (op == "init") {
        need_operands(i, 2), i.exec = mbarrier_init;
    } else if (op == "inval") {
        need_operands(i, 1), i.exec = mbarrier_inval;
    } else if (op == "arrive" || op == "expect_tx") {
        i.mode = op == "arrive", i.exec = mbarrier_arrive;
    } else if (!op.empty() && i.ops.size() >= 3) {
        i.exec = mbarrier_wait;
    } else {
        throw Unsupported("operation");
    }
}

// ---- TMA ----
void tma_load(Exec &x, const Instr &i)
{
    Source dst = x.address_base(i.ops[0]), map = x.address_base(i.ops[1]),
           bar = x.address_base(i.ops[2]);
    const std::vector<Operand> &coordinates = i.ops[1].elems[1].elems;
    for_lanes(x.active, [&](int l) {
        TmaCopy c;
        // The map is copied now: the program may change or free it before the copy lands.
        const uint64_t at = map[l];
        if (at % 64) {
            x.fail(i, l, "tensor map not 64-byte aligned");
        }
        for (size_t k = 0; k < sizeof c.map; k += 4) {
            memcpy((uint8_t *)&c.map + k,
                   x.resolve_one(i, l, at + k, 4, Space::Generic, Access::Read), 4);
        }
        if (c.map.magic != TensorMap::kMagic) {
            x.fail(i, l, "this is no tensor map");
        }
        c.dst = (uint32_t)Exec::address(i.ops[0], dst, l);
        c.mbarrier = (uint32_t)Exec::address(i.ops[2], bar, l);
        c.x = (int)x.source(coordinates[0])[l];
        c.y = (int)x.source(coordinates[1])[l];
        const size_t bytes = (size_t)c.map.box[0] * c.map.element * c.map.box[1];
        if (c.dst % (c.map.swizzle ? 1024 : 128)) {
            x.fail(i, l, "TMA destination misaligned");
        }
        if (c.dst + bytes > x.block->shared_bytes) {
            x.fail(i, l, "TMA destination out of bounds");
        }
        mbarrier_at(x, i, l, c.mbarrier);
        x.block->tma.push_back(c);
    });
}

void copy_box(Exec &x, const Instr &i, const TmaCopy &c)
{
    const TensorMap &m = c.map;
    const int64_t row_bytes = m.box[0] * m.element, width = (int64_t)(m.dim[0] * m.element);
    const int64_t left = (int64_t)c.x * m.element;
    // The part of a row that lies inside of the tensor; the rest is filled with zeros.
    const int64_t begin = std::min(row_bytes, std::max<int64_t>(0, -left));
    const int64_t end = std::max(begin, std::min(row_bytes, width - left));
    for (int64_t r = 0; r < (int64_t)m.box[1]; r++) {
        const int64_t y = (int64_t)c.y + r;
        uint8_t row[256] = {}; // a box has at most 256 bytes a row
        if (y >= 0 && y < (int64_t)m.dim[1] && begin < end) {
            const uint64_t at = m.base + (uint64_t)y * m.stride + (uint64_t)(left + begin);
            if (!heap_contains(at, (size_t)(end - begin))) {
                x.fail(i, -1, "TMA source out of bounds, " + heap_describe(at));
            }
            memcpy(row + begin, (const void *)at, (size_t)(end - begin));
            count_row_read(at, (size_t)(end - begin));
        }
        for (int64_t b = 0; b < row_bytes; b += 16) { // the swizzle keeps 16 bytes together
            const uint32_t linear = c.dst + (uint32_t)(r * row_bytes + b);
            memcpy(x.block->shared + (m.swizzle ? swizzle_128b(linear) : linear), row + b, 16);
        }
    }
}

// ---- wgmma ----
// Four bytes of an operand's row, k a multiple of 4: the swizzle keeps pieces of 16 bytes together.
uint32_t operand_word(Exec &x, const Instr &i, const MatrixDescriptor &d, int row, int k)
{
    // 8-row groups lie `stride` bytes apart; the swizzle acts on the final address.
    const uint32_t at = swizzle_128b(d.start + row / 8 * d.stride + row % 8 * 128 + k);
    if (at + 4 > x.block->shared_bytes) {
        x.fail(i, 0, "wgmma operand outside of shared memory");
    }
    uint32_t bytes;
    memcpy(&bytes, x.block->shared + at, 4);
    return bytes;
}
void run_wgmma(Exec &x, const PendingWgmma &op)
{
    const Instr &i = *op.instr;
    const MatrixDescriptor da(op.desc_a), db(op.desc_b);
    for (const MatrixDescriptor &d : {da, db}) {
        if (d.swizzle != 1 || d.base_offset) {
            x.fail(i, 0, "wgmma descriptor: only 128-byte swizzle with base offset 0 is supported");
        }
    }
    const int n_columns = i.mode, quarter = x.warp->id & 3;
    alignas(32) int16_t a[16][32];
    for (int m = 0; m < 16; m++) {
        for (int k = 0; k < 32; k += 4) {
            widen4(operand_word(x, i, da, quarter * 16 + m, k), is_signed(i.type), &a[m][k]);
        }
    }
    for (int n0 = 0; n0 < n_columns; n0 += 8) {
        ColumnPairs<32> b;
        for (int n = 0; n < 8; n++) {
            for (int k = 0; k < 32; k += 4) {
                b.set4(n, k, operand_word(x, i, db, n0 + n, k), is_signed(i.type2));
            }
        }
        int32_t product[16][8];
        multiply(a, b, product);
        for (int r = n0 / 2; r < n0 / 2 + 4; r++) {
            uint64_t *d = x.dest(i.ops[0].elems[r]);
            for (int l = 0; l < 32; l++) {
                const Element e = wgmma_c(0, l, r);
                d[l] = (op.accumulate ? (uint32_t)d[l] : 0u) + (uint32_t)product[e.row][e.col - n0];
            }
        }
    }
    g_counters.wgmma++;
    g_counters.multiply_adds += 16ull * n_columns * 32;
}
void issue_wgmma(Exec &x, const Instr &i)
{
    x.need_whole_warp(i);
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), p = x.source(i.ops[3]);
    for (int l = 1; l < 32; l++) {
        if (a[l] != a[0] || b[l] != b[0]) {
            x.fail(i, l, "wgmma descriptors differ between lanes");
        }
    }
    x.warp->wgmma_open.push_back({&i, a[0], b[0], (p[0] & 1) != 0});
}
void commit_wgmma(Exec &x, const Instr &i)
{
    x.need_whole_warp(i);
    x.warp->wgmma_groups.push_back(std::move(x.warp->wgmma_open));
    x.warp->wgmma_open.clear();
}
void wait_wgmma(Exec &x, const Instr &i)
{
    x.need_whole_warp(i);
    const size_t keep = x.source(i.ops[0])[0];
    while (x.warp->wgmma_groups.size() > keep) {
        for (const PendingWgmma &op : x.warp->wgmma_groups.front()) {
            run_wgmma(x, op);
        }
        x.warp->wgmma_groups.pop_front();
    }
}
void no_operation(Exec &, const Instr &) {}

void bind_wgmma(Instr &i, Mods &m)
{
    if (m.take("fence")) {
        i.exec = no_operation;
    } else if (m.take("commit_group")) {
        i.exec = commit_wgmma;
    } else if (m.take("wait_group")) {
        i.exec = wait_wgmma, need_operands(i, 1);
    } else if (!m.take("mma_async")) {
        throw Unsupported("operation");
    }
    m.take("sync");
    m.take("aligned");
    i.sync = WarpSync::WholeWarp;
    if (i.exec) {
        return;
    }
    for (int n = 8; n <= 256; n += n < 32 ? 8 : 16) {
        if (m.take(("m64n" + std::to_string(n) + "k32").c_str())) {
            i.mode = n;
        }
    }
    if (!i.mode || m.need_type() != Type::S32) {
        throw Unsupported("shape: only m64nNk32 to s32");
    }
    i.type = m.need_type();
    i.type2 = m.need_type();
    if (size_of(i.type) != 1 || size_of(i.type2) != 1) {
        throw Unsupported("types");
    }
    need_operands(i, 4);
    if (i.ops[1].kind == Operand::Vector) {
        throw Unsupported("A in registers");
    }
    if ((int)i.ops[0].elems.size() != i.mode / 2) {
        throw Unsupported("accumulator size");
    }
    i.exec = issue_wgmma;
}

} // namespace

bool Exec::complete_one_tma()
{
    std::vector<TmaCopy> &queue = block->tma;
    if (queue.empty()) {
        return false;
    }
    const size_t k = block->rng.below((uint32_t)queue.size());
    const TmaCopy c = queue[k];
    queue.erase(queue.begin() + (long)k);
    static const Instr origin = [] {
        Instr i;
        i.text = "(completion of a TMA copy)";
        return i;
    }();
    copy_box(*this, origin, c);
    update(*this, origin, -1, c.mbarrier, 0, -(int64_t)c.map.box[0] * c.map.element * c.map.box[1]);
    return true;
}

void bind_bulk_copy(Instr &i, Mods &m)
{
    if (!m.take("tensor") || !m.take("2d")) {
        throw Unsupported("bulk copy other than a 2-D tensor");
    }
    if (!m.take("shared::cluster") && !m.take("shared::cta")) {
        throw Unsupported("destination");
    }
    if (!m.take("global")) {
        throw Unsupported("source");
    }
    m.take("tile");
    if (!m.take("mbarrier::complete_tx::bytes")) {
        throw Unsupported("completion");
    }
    need_operands(i, 3);
    if (i.ops[1].elems.size() != 2 || i.ops[1].elems[1].elems.size() != 2) {
        throw Unsupported("form");
    }
    i.exec = tma_load;
}

void add_hopper_ops(OpTable &t)
{
    t["mbarrier"] = bind_mbarrier;
    t["wgmma"] = bind_wgmma;
}

} // namespace ptxrun
