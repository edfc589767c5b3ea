// Runs a grid: sets up blocks, interleaves their warps, notices deadlocks.
#include <algorithm>
#include <memory>

#include "run_options.h"
#include "warp_scheduler.h"

namespace ptxrun {
namespace {

constexpr long kQuantum = 20000;       // instructions before another warp gets its turn
constexpr int kMaxIdleRounds = 200000; // rounds of nothing but failed waits
constexpr size_t kMaxIdleBlocks = 8;
constexpr uint64_t kRegisterPoison = 0xBADBADBADBADBAD0ull;

void start_warp(Warp &w, int id, const Block &b)
{
    const Launch &launch = *b.launch;
    w.id = id;
    const unsigned first = (unsigned)id * 32, count = std::min(32u, b.threads - first);
    w.live = count == 32 ? ~0u : (1u << count) - 1;
    w.at_barrier = w.parked = 0;
    w.converged = true;
    w.common_pc = 0;
    w.carry = w.sync_epoch = 0;
    w.yielded = false;
    // PTX has a register for every value, so filling them all anew would cost more than many blocks
    // do.
    w.regs.resize((size_t)launch.kernel->num_regs * 32, kRegisterPoison);
    if (options().poison_registers) {
        std::fill(w.regs.begin(), w.regs.end(),
                  0x0101010101010101ull * (unsigned)options().poison_shared);
    }
    for (int l = 0; l < 32; l++) {
        const unsigned t = first + (unsigned)l, bx = launch.block[0], by = launch.block[1];
        w.tid[0][l] = t % bx;
        w.tid[1][l] = t / bx % by;
        w.tid[2][l] = t / bx / by;
        w.calls[l].clear();
        w.copies[l].clear();
    }
    w.wgmma_open.clear();
    w.wgmma_groups.clear();
}

void start_block(Block &b, const Launch &launch, const unsigned (&ctaid)[3])
{
    const Kernel &k = *launch.kernel;
    b.launch = &launch;
    std::copy(ctaid, ctaid + 3, b.ctaid);
    b.threads = b.live_threads = launch.block[0] * launch.block[1] * launch.block[2];
    b.shared_bytes = k.shared_bytes + launch.dynamic_shared;
    b.shared_storage.assign(b.shared_bytes, (uint8_t)options().poison_shared);
    b.shared = b.shared_storage.data();
    b.local.assign((size_t)(b.threads + 31) / 32 * 32 * k.local_bytes,
                   (uint8_t)options().poison_shared);
    b.warps.resize((b.threads + 31) / 32);
    for (size_t w = 0; w < b.warps.size(); w++) {
        start_warp(b.warps[w], (int)w, b);
    }
    for (BlockBarrier &barrier : b.barriers) {
        barrier = BlockBarrier();
    }
    b.mbarriers.clear();
    b.tma.clear();
    b.rng.seed(options().seed * 2654435761u + ctaid[0] * 97 + ctaid[1] * 193 + ctaid[2] * 389 + 1);
    if (options().race) {
        b.race.reset(b.shared_bytes);
    }
    b.idle_rounds = 0;
    b.done = false;
}

[[noreturn]] void report_stuck(Exec &x, const char *what)
{
    Instr where;
    where.text = "(see the list above)";
    x.warp = nullptr;
    x.fail(where, -1, what + Scheduler::describe_waiting(*x.block));
}

// One turn for one warp (seeded) or for every warp; returns false when the block is finished.
bool run_slice(Block &b, bool alone)
{
    Exec x;
    x.block = &b;
    Scheduler scheduler(x);
    bool progress = false, waited = false;
    auto turn = [&](Warp &w, long quantum) {
        if (!w.live) {
            return;
        }
        progress |= scheduler.run(w, quantum);
        waited |= w.yielded;
    };
    if (options().seed) {
        const uint32_t n = (uint32_t)b.warps.size(), start = b.rng.below(n);
        for (uint32_t k = 0; k < n && !progress; k++) {
            turn(b.warps[(start + k) % n], 1 + (long)b.rng.below(60));
        }
        if (b.rng.below(4) == 0 || !progress) {
            progress |= x.complete_one_tma();
        }
    } else {
        for (Warp &w : b.warps) {
            turn(w, kQuantum);
        }
        progress |= x.complete_one_tma();
    }
    if (b.live_threads == 0) {
        b.done = true;
        return false;
    }
    if (!progress) {
        report_stuck(x, "deadlock: no thread of the block can go on");
    }
    b.idle_rounds = waited && alone && b.tma.empty() ? b.idle_rounds + 1 : 0;
    if (b.idle_rounds > kMaxIdleRounds) {
        report_stuck(x, "no progress: deadlock on an mbarrier?");
    }
    return true;
}

} // namespace

void run_grid(const Launch &launch)
{
    const uint64_t blocks = (uint64_t)launch.grid[0] * launch.grid[1] * launch.grid[2];
    const uint64_t resident =
        std::min<uint64_t>(blocks, launch.cooperative ? blocks : options().resident);
    const uint64_t start_count = g_counters.warp_instructions;
    static auto &idle =
        *new std::vector<std::unique_ptr<Block>>; // kept, for their registers are large
    std::vector<std::unique_ptr<Block>> running;
    for (uint64_t k = 0; k < resident; k++) {
        if (idle.empty()) {
            idle.push_back(std::make_unique<Block>());
        }
        running.push_back(std::move(idle.back()));
        idle.pop_back();
        running.back()->done = true;
    }
    uint64_t next = 0, finished = 0;
    while (finished < blocks) {
        for (auto &b : running) {
            if (b->done) {
                if (next == blocks) {
                    continue;
                }
                const unsigned ctaid[3] = {(unsigned)(next % launch.grid[0]),
                                           (unsigned)(next / launch.grid[0] % launch.grid[1]),
                                           (unsigned)(next / launch.grid[0] / launch.grid[1])};
                next++;
                start_block(*b, launch, ctaid);
            }
            if (!run_slice(*b, resident == 1)) {
                finished++;
            }
        }
        if (options().limit && g_counters.warp_instructions - start_count > options().limit) {
            Exec x;
            x.block = running[0].get();
            report_stuck(x, "PTXRUN_LIMIT reached; first resident block:");
        }
    }
    for (size_t k = 0; k < running.size() && idle.size() < kMaxIdleBlocks; k++) {
        idle.push_back(std::move(running[k]));
    }
}

} // namespace ptxrun
