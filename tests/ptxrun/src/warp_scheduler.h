// Runs the instructions of one warp: which lanes go next, divergence, warp-synchronous gathering,
// calls and barriers.
#pragma once
#include "machine.h"

namespace ptxrun {

class Scheduler {
  public:
    explicit Scheduler(Exec &x) : x_(x) {}

    // Runs up to `quantum` instructions of the warp; returns early if no lane can go on or a wait
    // failed. Returns whether anything was executed.
    bool run(Warp &warp, long quantum);

    // Why nothing moves: every waiting group of lanes of the block, with PTX lines.
    static std::string describe_waiting(const Block &block);

  private:
    uint32_t choose_group();
    uint32_t choose_random_group();
    void step(const Instr &i, int64_t pc, uint32_t group);
    void go(uint32_t lanes, int64_t pc);
    static void diverge(Warp &warp);
    int64_t pc_of(int lane) const { return warp_->converged ? warp_->common_pc : warp_->pc[lane]; }
    uint32_t lanes_at(uint32_t among, int64_t pc) const;

    void warp_sync(const Instr &i, int64_t pc, uint32_t arriving);
    uint32_t sync_mask(const Instr &i, int lane) const;
    bool retry_parked();

    void branch_table(const Instr &i, int64_t pc, uint32_t active);
    void call(const Instr &i, int64_t pc, uint32_t active);
    void ret(uint32_t active);
    void exit_lanes(uint32_t active);
    void barrier(const Instr &i, int64_t pc, uint32_t active);
    void try_release(int id);

    Exec &x_;
    Warp *warp_ = nullptr;
    const std::vector<Instr> *code_ = nullptr;
};

// printf and assert, in builtins.cc
void call_builtin(Exec &x, const Instr &i);

} // namespace ptxrun
