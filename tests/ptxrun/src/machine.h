// The state of a running grid, and Exec, through which every handler sees it.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "counters.h"
#include "device_heap.h"
#include "ptx_module.h"
#include "ptx_numeric.h"
#include "race_shadow.h"
#include "run_options.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace ptxrun {

// Bytes aligned to 1024: 128-byte swizzled tiles in shared memory and tensor maps in kernel
// parameters depend on their address.
template <class T> struct AlignedAllocator {
    using value_type = T;
    static constexpr std::align_val_t kAlign{1024};
    AlignedAllocator() = default;
    template <class U> AlignedAllocator(const AlignedAllocator<U> &) {}
    T *allocate(size_t n) { return (T *)::operator new(n * sizeof(T), kAlign); }
    void deallocate(T *p, size_t) { ::operator delete(p, kAlign); }
    template <class U> bool operator==(const AlignedAllocator<U> &) const { return true; }
    template <class U> bool operator!=(const AlignedAllocator<U> &) const { return false; }
};
using AlignedBytes = std::vector<uint8_t, AlignedAllocator<uint8_t>>;

struct Launch {
    const Kernel *kernel = nullptr;
    unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
    size_t dynamic_shared = 0;
    bool cooperative = false;
    uint64_t grid_workspace = 0; // cooperative: what %envreg1/2 point at
    AlignedBytes params;
};
void run_grid(const Launch &launch); // run_grid.cc

// What Exec::fail throws with FAULT=status; rt_launch.cc makes it a CUDA error.
struct KernelFault {
    std::string report;
};

class Rng { // for schedules only
  public:
    void seed(uint32_t s) { state_ = s; }
    uint32_t next() { return (state_ = state_ * 1664525u + 1013904223u) >> 8; }
    uint32_t below(uint32_t n) { return next() % n; }

  private:
    uint32_t state_ = 1;
};

// cp.async: executed as late as the program allows (when its group is waited for).
struct AsyncCopy {
    uint32_t dst;
    uint64_t src;
    uint32_t size, valid; // bytes valid..size are zero-filled
};
// Of one thread, in the order of issue. Everything before `done` has landed.
struct CopyQueue {
    std::vector<AsyncCopy> copies;
    size_t done = 0;
    std::vector<size_t> group_end; // committed groups, as positions in `copies`
    size_t groups_done = 0;
    void clear()
    {
        copies.clear();
        group_end.clear();
        done = groups_done = 0;
    }
};

// wgmma: executed at wgmma.wait_group.
struct PendingWgmma {
    const Instr *instr;
    uint64_t desc_a, desc_b;
    bool accumulate;
};

struct MBarrier {
    int pending, expected, phase;
    int64_t tx; // bytes announced minus bytes arrived
};

// A tensor map as cuTensorMapEncodeTiled (rt_driver.cc) writes it into the opaque 128 bytes.
struct TensorMap {
    static constexpr uint32_t kMagic = 0x7E5708A1;
    uint32_t magic, rank, element, swizzle;
    uint64_t base, dim[2], stride;
    uint32_t box[2];
};
struct TmaCopy {
    TensorMap map;
    uint32_t dst, mbarrier;
    int x, y;
};

struct Warp {
    int id = 0;
    // Lanes that exist and have not exited; of those: waiting at a block barrier; waiting at a
    // warp-synchronous instruction for other lanes.
    uint32_t live = 0, at_barrier = 0, parked = 0;
    uint32_t runnable() const { return live & ~at_barrier & ~parked; }

    // All runnable lanes at one place: common_pc counts. Otherwise each lane has its own pc.
    bool converged = true;
    int64_t common_pc = 0;
    std::array<int64_t, 32> pc{};
    std::array<int8_t, 32> barrier_id{};
    std::array<std::vector<int64_t>, 32> calls; // per lane: pc of the call instructions

    std::vector<uint64_t> regs; // [register][lane]
    std::array<std::array<uint64_t, 32>, 3> tid{};
    uint32_t carry = 0;      // the condition code of add.cc / addc
    uint32_t sync_epoch = 0; // number of bar.warp.sync so far
    bool yielded = false;    // a wait failed: let others run
    std::array<CopyQueue, 32> copies;
    std::vector<PendingWgmma> wgmma_open;
    std::deque<std::vector<PendingWgmma>> wgmma_groups;
};

enum BarrierMode { kBarSync, kBarArrive, kBarPopc, kBarAnd, kBarOr };
struct BlockBarrier {
    unsigned expected = 0; // threads; 0 = all live threads of the block
    unsigned arrived = 0;  // waiting threads, and those of bar.arrive, which do not wait
    unsigned votes = 0;    // bar.red: threads whose predicate is true
};

struct Block {
    const Launch *launch = nullptr;
    unsigned ctaid[3] = {0, 0, 0};
    unsigned threads = 0, live_threads = 0;
    AlignedBytes shared_storage, local;
    uint8_t *shared = nullptr;
    size_t shared_bytes = 0;
    std::vector<Warp> warps;
    BlockBarrier barriers[16];
    std::map<uint32_t, MBarrier> mbarriers; // by shared address
    std::vector<TmaCopy> tma;               // in flight
    Rng rng;
    RaceShadow race;
    int idle_rounds = 0;
    bool done = false;
};

// A source operand is always read as 32 values; the linker has spread immediate ones over the
// lanes.
using Source = const uint64_t *;

template <class F> inline void for_lanes(uint32_t mask, F &&f)
{
    if (mask == ~0u) {
        for (int lane = 0; lane < 32; lane++) {
            f(lane);
        }
    } else {
        for (; mask; mask &= mask - 1) {
            f(__builtin_ctz(mask));
        }
    }
}
// The same where a lane reads and writes nothing but its own elements, so that the compiler may use
// vector instructions although source and destination can be one register.
template <class F> inline void each_lane(uint32_t mask, F &&f)
{
    if (mask == ~0u) {
#pragma GCC ivdep
        for (int lane = 0; lane < 32; lane++) {
            f(lane);
        }
    } else {
        for (; mask; mask &= mask - 1) {
            f(__builtin_ctz(mask));
        }
    }
}
// Bit l is the lowest bit of values[l]: predicates as a mask.
inline uint32_t lanes_set(Source values)
{
    uint32_t set = 0;
#ifdef __AVX2__
    for (int l = 0; l < 32; l += 4) {
        const __m256i v = _mm256_slli_epi64(_mm256_loadu_si256((const __m256i *)(values + l)), 63);
        set |= (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(v)) << l;
    }
#else
    for (int l = 0; l < 32; l++) {
        set |= (uint32_t)(values[l] & 1) << l;
    }
#endif
    return set;
}

enum class Access : uint8_t { Read, Write, Atomic };

class Exec {
  public:
    Block *block = nullptr;
    Warp *warp = nullptr;
    uint32_t active = 0; // lanes that execute the current instruction

    Source source(const Operand &o) const
    {
        if (o.kind == Operand::Reg) {
            return &warp->regs[(size_t)o.reg * 32];
        }
        if (o.kind == Operand::Imm) {
            return o.lanes;
        }
        return special_source(o);
    }
    // Where a destination's 32 lanes are kept; '_' is written to a sink.
    uint64_t *dest(const Operand &o)
    {
        return o.kind == Operand::Reg ? &warp->regs[(size_t)o.reg * 32] : sink_;
    }
    int thread(int lane) const { return warp->id * 32 + lane; }

    // The host addresses of `size` bytes for each lane of the mask; reports misaligned,
    // out-of-bounds and racing accesses, and counts those to global memory.
    void resolve(const Instr &i, const Operand &address, uint32_t mask, size_t size, Access access,
                 uint8_t *(&places)[32]);
    // The same for one lane, without counting.
    uint8_t *resolve_one(const Instr &i, int lane, uint64_t address, size_t size, Space space,
                         Access access);
    // [base + offset] of an Address operand.
    static uint64_t address(const Operand &o, Source base, int lane) { return base[lane] + o.imm; }
    Source address_base(const Operand &o) const { return source(o.elems[0]); }
    uint32_t shared_address(const Instr &i, const Operand &o, int lane, size_t size);
    void check_shared(const Instr &i, int lane, uint64_t address, size_t size) const
    {
        if (address % size) {
            fail(i, lane, "misaligned shared address " + std::to_string(address));
        }
        if (address + size > block->shared_bytes) {
            fail_shared(i, lane, address);
        }
    }
    void check_race(const Instr &i, int lane, uint32_t address, size_t size, bool write)
    {
        if (options().race) {
            report_race(i, lane, address, size, write);
        }
    }
    uint8_t *local_frame(int lane) const
    {
        return block->local.data() + (size_t)thread(lane) * block->launch->kernel->local_bytes;
    }

    void need_whole_warp(const Instr &i) const;
    [[noreturn]] void fail(const Instr &i, int lane, const std::string &message) const;

    // Completes one TMA copy in flight, chosen at random; false if there is none.
    bool complete_one_tma();

  private:
    Source special_source(const Operand &o) const;
    void report_race(const Instr &i, int lane, uint32_t address, size_t size, bool write);
    [[noreturn]] void fail_shared(const Instr &i, int lane, uint64_t address) const;
    Space resolved_ = Space::Generic; // where resolve_one found the address
    uint64_t sink_[32];
    // An instruction reads at most four operands, so four slots never collide.
    mutable uint64_t scratch_[4][32];
    mutable int scratch_next_ = 0;
};

// ---- handler building blocks, used by the ops_*.cc files ----
template <class T, class Op> void unary_handler(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) { d[l] = to_bits<T>(Op::run(from_bits<T>(a[l]))); });
}
template <class T, class Op> void binary_handler(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active,
              [&](int l) { d[l] = to_bits<T>(Op::run(from_bits<T>(a[l]), from_bits<T>(b[l]))); });
}
template <class T, class Op> void ternary_handler(Exec &x, const Instr &i)
{
    Source a = x.source(i.ops[1]), b = x.source(i.ops[2]), c = x.source(i.ops[3]);
    uint64_t *d = x.dest(i.ops[0]);
    each_lane(x.active, [&](int l) {
        d[l] = to_bits<T>(Op::run(from_bits<T>(a[l]), from_bits<T>(b[l]), from_bits<T>(c[l])));
    });
}

} // namespace ptxrun
