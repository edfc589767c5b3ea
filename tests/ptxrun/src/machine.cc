// Operand access, address resolution and error reports of Exec.
#include "machine.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace ptxrun {

Source Exec::special_source(const Operand &o) const
{
    static const auto lane_tables = [] {
        std::array<std::array<uint64_t, 32>, 6> t{};
        for (int l = 0; l < 32; l++) {
            const uint64_t bit = 1ull << l, below = bit - 1;
            t[0][l] = l;
            t[1][l] = bit;
            t[2][l] = below;
            t[3][l] = below | bit;
            t[4][l] = 0xffffffffull & ~(below | bit);
            t[5][l] = 0xffffffffull & ~below;
        }
        return t;
    }();
    const Launch &launch = *block->launch;
    uint64_t v = 0;
    switch (o.kind == Operand::Special ? o.reg : -1) {
    case kTidX: return warp->tid[0].data();
    case kTidY: return warp->tid[1].data();
    case kTidZ: return warp->tid[2].data();
    case kLaneId: return lane_tables[0].data();
    case kMaskEq:
    case kMaskLt:
    case kMaskLe:
    case kMaskGt:
    case kMaskGe: return lane_tables[1 + o.reg - kMaskEq].data();
    case kNtidX:
    case kNtidY:
    case kNtidZ: v = launch.block[o.reg - kNtidX]; break;
    case kCtaidX:
    case kCtaidY:
    case kCtaidZ: v = block->ctaid[o.reg - kCtaidX]; break;
    case kNctaidX:
    case kNctaidY:
    case kNctaidZ: v = launch.grid[o.reg - kNctaidX]; break;
    case kWarpId: v = warp->id; break;
    case kNwarpId: v = block->warps.size(); break;
    case kSmId: v = 0; break;
    case kNsmId: v = 1; break;
    case kGridId: v = g_counters.launches; break;
    case kClock:
    case kClock64:
    case kGlobalTimer: v = g_counters.warp_instructions; break;
    case kEnvReg1: v = launch.grid_workspace >> 32; break;
    case kEnvReg2: v = launch.grid_workspace & 0xffffffffu; break;
    case kDynamicSmem: v = launch.dynamic_shared; break;
    case kTotalSmem: v = block->shared_bytes; break;
    case kWarpSize: v = 32; break;
    default:
        fatal("an operand of this kind cannot be read (kernel %s)", launch.kernel->name.c_str());
    }
    uint64_t *slot = scratch_[scratch_next_++ & 3];
    std::fill(slot, slot + 32, v);
    return slot;
}

void Exec::report_race(const Instr &i, int lane, uint32_t address, size_t size, bool write)
{
    std::string race = block->race.access(thread(lane), warp->sync_epoch, address, size, write);
    if (!race.empty()) {
        fail(i, lane, race);
    }
}

void Exec::fail_shared(const Instr &i, int lane, uint64_t address) const
{
    fail(i, lane,
         "shared memory access out of bounds at " + std::to_string(address) + " of " +
             std::to_string(block->shared_bytes));
}

uint32_t Exec::shared_address(const Instr &i, const Operand &o, int lane, size_t size)
{
    const uint32_t a = (uint32_t)address(o, address_base(o), lane);
    check_shared(i, lane, a, size);
    return a;
}

// Inside [0, bytes), written so that no sum can overflow.
static bool inside(uint64_t a, size_t size, size_t bytes)
{
    return size <= bytes && a <= bytes - size;
}

uint8_t *Exec::resolve_one(const Instr &i, int lane, uint64_t a, size_t size, Space space,
                           Access access)
{
    if (a & (size - 1)) {
        fail(i, lane, "misaligned access");
    }
    const uint64_t shared = (uint64_t)block->shared, shared_bytes = block->shared_bytes;
    const size_t local_bytes = block->launch->kernel->local_bytes;
    const AlignedBytes &params = block->launch->params;

    // A generic address is a host address; find the window it lies in.
    if (space == Space::Generic) {
        const uint64_t local = (uint64_t)local_frame(lane), param = (uint64_t)params.data();
        if (a - shared < shared_bytes) {
            space = Space::Shared;
            a -= shared;
        } else if (a - local < local_bytes) {
            space = Space::Local;
            a -= local;
        } else if (a - param < params.size() && access == Access::Read) {
            space = Space::Param;
            a -= param;
        } else if (a - (uint64_t)block->local.data() < block->local.size()) {
            fail(i, lane, "access to the local memory of another thread");
        }
    }
    resolved_ = space == Space::Generic ? Space::Global : space;
    switch (space) {
    case Space::Shared:
        a = (uint32_t)a;
        if (!inside(a, size, shared_bytes)) {
            fail_shared(i, lane, a);
        }
        if (access != Access::Atomic) {
            check_race(i, lane, (uint32_t)a, size, access == Access::Write);
        }
        return block->shared + a;
    case Space::Local:
        if (!inside(a, size, local_bytes)) {
            fail(i, lane,
                 "local memory access out of bounds at " + std::to_string(a) + " of " +
                     std::to_string(local_bytes));
        }
        return local_frame(lane) + a;
    case Space::Param:
        if (!inside(a, size, params.size())) {
            fail(i, lane, "kernel parameter access out of bounds");
        }
        return const_cast<uint8_t *>(params.data()) + a;
    default:
        const HeapBlock *b = heap_at(a, size);
        if (!b) {
            char text[96];
            snprintf(text, sizeof text, "global memory access out of bounds: %zu bytes at 0x%llx, ",
                     size, (unsigned long long)a);
            fail(i, lane, text + heap_describe(a));
        }
        if (b->constant && access != Access::Read) {
            fail(i, lane, "write to constant memory");
        }
        return (uint8_t *)a;
    }
}

void Exec::resolve(const Instr &i, const Operand &o, uint32_t mask, size_t size, Access access,
                   uint8_t *(&places)[32])
{
    Source base = address_base(o);
    const Space space = i.space;
    if (space == Space::Shared) { // by far the most frequent
        const size_t limit = block->shared_bytes;
        uint8_t *shared = block->shared;
        for_lanes(mask, [&](int l) {
            const uint64_t a = (uint32_t)(base[l] + o.imm);
            if ((a & (size - 1)) || a + size > limit || options().race) {
                resolve_one(i, l, a, size, space, access);
            }
            places[l] = shared + a;
        });
        return;
    }
    GlobalAccess global;
    for_lanes(mask, [&](int l) {
        places[l] = resolve_one(i, l, base[l] + o.imm, size, space, access);
        if (resolved_ == Space::Global) {
            global.add((uint64_t)places[l]);
        }
    });
    if (access == Access::Atomic) {
        count_atomics(global);
    } else {
        count_global(global, size, access == Access::Write);
    }
}

void Exec::need_whole_warp(const Instr &i) const
{
    if (active != ~0u) {
        fail(i, __builtin_ctz(~active), "a .aligned warp instruction needs all 32 lanes");
    }
}

void Exec::fail(const Instr &i, int lane, const std::string &message) const
{
    std::string report = message;
    if (block) {
        char text[120];
        snprintf(text, sizeof text, ", PTX line %d, block (%u,%u,%u), warp %d, lane %d", i.line,
                 block->ctaid[0], block->ctaid[1], block->ctaid[2], warp ? warp->id : -1, lane);
        report += "\n  kernel " + block->launch->kernel->name + text;
        if (warp && lane >= 0) {
            snprintf(text, sizeof text, ", thread (%d,%d,%d)", (int)warp->tid[0][lane],
                     (int)warp->tid[1][lane], (int)warp->tid[2][lane]);
            report += text;
        }
        const std::string place = block->launch->kernel->source->describe(i.place);
        report += "\n  " + i.text + (place.empty() ? "" : "\n  " + place);
    }
    if (options().fault_status) {
        throw KernelFault{report};
    }
    fflush(nullptr);
    fprintf(stderr, "ptxrun: %s\n", report.c_str());
    fflush(nullptr);
    _Exit(96);
}

} // namespace ptxrun
