// Which lanes of a warp go next, and what control flow and barriers do to them.
#include "warp_scheduler.h"

#include "run_options.h"

namespace ptxrun {

bool Scheduler::run(Warp &warp, long quantum)
{
    warp_ = x_.warp = &warp;
    code_ = &x_.block->launch->kernel->code;
    const bool its = options().its;
    if (its) {
        diverge(warp);
    }
    bool progress = false;
    warp.yielded = false;
    while (quantum > 0 && !warp.yielded) {
        if (!warp.runnable()) {
            if (!retry_parked()) {
                break;
            }
            progress = true;
            quantum--;
            continue;
        }
        uint32_t group = its ? choose_random_group() : choose_group();
        // Independent thread scheduling: a chosen group runs ahead of the others for a while.
        int burst = its ? 1 + (int)x_.block->rng.below(32) : 1;
        while (burst-- > 0 && group && !warp.yielded) {
            const int64_t pc = pc_of(__builtin_ctz(group));
            step((*code_)[pc], pc, group);
            progress = true;
            quantum--;
            if (burst > 0 && (group &= warp.runnable())) {
                group = lanes_at(group, warp.pc[__builtin_ctz(group)]);
            }
        }
    }
    return progress;
}

uint32_t Scheduler::lanes_at(uint32_t among, int64_t pc) const
{
    uint32_t r = 0;
    for_lanes(among, [&](int l) {
        if (warp_->pc[l] == pc) {
            r |= 1u << l;
        }
    });
    return r;
}

// Lanes inside of calls first, then the lowest pc: lanes meet again where branches join.
uint32_t Scheduler::choose_group()
{
    Warp &w = *warp_;
    const uint32_t runnable = w.runnable();
    if (w.converged) {
        return runnable;
    }
    int64_t best = INT64_MAX;
    uint32_t group = 0;
    for_lanes(runnable, [&](int l) {
        const int64_t key = w.pc[l] - ((int64_t)w.calls[l].size() << 40);
        if (key < best) {
            best = key, group = 0;
        }
        if (key == best) {
            group |= 1u << l;
        }
    });
    if (group == runnable) {
        w.converged = true;
        w.common_pc = w.pc[__builtin_ctz(group)];
    }
    return group;
}

uint32_t Scheduler::choose_random_group()
{
    Warp &w = *warp_;
    Rng &rng = x_.block->rng;
    const uint32_t runnable = w.runnable();
    int lane = (int)rng.below(32);
    while (!(runnable >> lane & 1)) {
        lane = (lane + 1) & 31;
    }
    uint32_t group = lanes_at(runnable, w.pc[lane]);
    if (rng.below(16) < 6) {
        group &= (rng.next() ^ rng.next() << 13) | 1u << lane;
    }
    return group;
}

void Scheduler::diverge(Warp &w)
{
    if (!w.converged) {
        return;
    }
    w.converged = false;
    for_lanes(w.runnable(), [&](int l) { w.pc[l] = w.common_pc; });
}

void Scheduler::go(uint32_t lanes, int64_t pc)
{
    if (!lanes) {
        return;
    }
    if (warp_->converged) {
        if (lanes == warp_->runnable()) {
            warp_->common_pc = pc;
            return;
        }
        diverge(*warp_);
    }
    for_lanes(lanes, [&](int l) { warp_->pc[l] = pc; });
}

void Scheduler::step(const Instr &i, int64_t pc, uint32_t group)
{
    uint32_t active = group;
    if (i.pred >= 0) {
        const uint32_t set = lanes_set(&warp_->regs[(size_t)i.pred * 32]);
        active &= i.pred_negated ? ~set : set;
    }
    g_counters.warp_instructions++;
    g_counters.thread_instructions += (uint64_t)__builtin_popcount(active);
    if (!active) {
        return go(group, pc + 1);
    }
    if (i.failed) {
        x_.fail(i, __builtin_ctz(active), i.error);
    }
    const uint32_t skipping = group & ~active;
    x_.active = active;

    switch (i.flow) {
    case Flow::None:
        if (i.sync != WarpSync::None) {
            go(skipping, pc + 1);
            return warp_sync(i, pc, active);
        }
        i.exec(x_, i);
        return go(group, pc + 1);
    case Flow::Branch: go(active, i.targets[0]); return go(skipping, pc + 1);
    case Flow::BranchTable: go(skipping, pc + 1); return branch_table(i, pc, active);
    case Flow::Call: go(skipping, pc + 1); return call(i, pc, active);
    case Flow::Ret: go(skipping, pc + 1); return ret(active);
    case Flow::Exit: exit_lanes(active); return go(skipping, pc + 1);
    case Flow::Barrier: go(skipping, pc + 1); return barrier(i, pc, active);
    }
}

// ---- warp-synchronous instructions ----
uint32_t Scheduler::sync_mask(const Instr &i, int lane) const
{
    if (i.sync == WarpSync::WholeWarp) {
        return warp_->live;
    }
    const uint32_t mask = (uint32_t)x_.source(i.ops[i.mask_operand])[lane];
    if (!(mask >> lane & 1)) {
        x_.fail(i, lane, "the member mask does not name the executing lane");
    }
    return mask & warp_->live;
}

// `arriving` lanes have reached the instruction; runs it for every complete set of lanes, the
// others wait (are parked) until the lanes they name have come.
void Scheduler::warp_sync(const Instr &i, int64_t pc, uint32_t arriving)
{
    Warp &w = *warp_;
    if (arriving == w.live && i.sync == WarpSync::WholeWarp) { // nearly always
        x_.active = arriving;
        i.exec(x_, i);
        return go(arriving, pc + 1);
    }
    uint32_t here = arriving | (w.parked ? lanes_at(w.parked, pc) : 0);
    for (uint32_t rest = here; rest;) {
        const int lane = __builtin_ctz(rest);
        const uint32_t need = sync_mask(i, lane);
        rest &= ~(1u << lane);
        if ((need & here) != need) {
            continue;
        }
        bool agree = true;
        if (i.sync == WarpSync::MaskOperand && i.ops[i.mask_operand].kind == Operand::Reg) {
            for_lanes(need, [&](int l) { agree = agree && sync_mask(i, l) == need; });
        }
        if (!agree) {
            continue;
        }
        x_.active = need;
        i.exec(x_, i);
        w.parked &= ~need;
        go(need, pc + 1);
        here &= ~need;
        rest &= ~need;
    }
    if (uint32_t waiting = here & arriving) {
        diverge(*warp_);
        for_lanes(waiting, [&](int l) { w.pc[l] = pc; });
        w.parked |= waiting;
    }
}

// Lanes that exited may have completed a set.
bool Scheduler::retry_parked()
{
    const uint32_t before = warp_->parked;
    for (uint32_t rest = before; rest;) {
        const int64_t pc = warp_->pc[__builtin_ctz(rest)];
        rest &= ~lanes_at(rest, pc);
        warp_sync((*code_)[pc], pc, 0);
    }
    return warp_->parked != before;
}

// ---- control flow ----
void Scheduler::branch_table(const Instr &i, int64_t, uint32_t active)
{
    Source index = x_.source(i.ops[0]);
    diverge(*warp_);
    for_lanes(active, [&](int l) {
        const uint32_t k = (uint32_t)index[l];
        if (k >= i.targets.size()) {
            x_.fail(i, l, "brx.idx index outside of the table");
        }
        warp_->pc[l] = i.targets[k];
    });
}

void Scheduler::call(const Instr &i, int64_t pc, uint32_t active)
{
    if (i.callee_frame < 0) {
        call_builtin(x_, i);
        return go(active, pc + 1);
    }
    const Kernel &k = *x_.block->launch->kernel;
    const Frame &frame = k.frames[i.callee_frame];
    const Function &f = *frame.function;
    if (i.call_args.elems.size() != f.params.size() || i.call_ret.elems.size() != f.rets.size()) {
        x_.fail(i, __builtin_ctz(active), "call with a wrong number of arguments");
    }
    for_lanes(active, [&](int l) {
        for (int64_t site : warp_->calls[l]) {
            if (k.code[site].callee_frame == i.callee_frame) {
                x_.fail(i, l, "recursion is not supported");
            }
        }
        uint8_t *local = x_.local_frame(l);
        for (size_t a = 0; a < f.params.size(); a++) {
            memcpy(local + frame.address[f.params[a]], local + i.call_args.elems[a].imm,
                   f.vars[f.params[a]].size);
        }
        warp_->calls[l].push_back(pc);
    });
    go(active, frame.entry);
}

void Scheduler::ret(uint32_t active)
{
    const Kernel &k = *x_.block->launch->kernel;
    uint32_t finished = 0;
    for_lanes(active, [&](int l) {
        if (warp_->calls[l].empty()) {
            finished |= 1u << l;
        }
    });
    if (finished) {
        exit_lanes(finished);
    }
    for (uint32_t rest = active & ~finished; rest;) { // lanes may return to different places
        const int64_t site = warp_->calls[__builtin_ctz(rest)].back();
        const Instr &i = k.code[site];
        const Frame &frame = k.frames[i.callee_frame];
        uint32_t together = 0;
        for_lanes(rest, [&](int l) {
            if (warp_->calls[l].back() != site) {
                return;
            }
            together |= 1u << l;
            warp_->calls[l].pop_back();
            uint8_t *local = x_.local_frame(l);
            for (size_t r = 0; r < frame.function->rets.size(); r++) {
                const int var = frame.function->rets[r];
                memcpy(local + i.call_ret.elems[r].imm, local + frame.address[var],
                       frame.function->vars[var].size);
            }
        });
        rest &= ~together;
        go(together, site + 1);
    }
}

void Scheduler::exit_lanes(uint32_t active)
{
    warp_->live &= ~active;
    x_.block->live_threads -= (unsigned)__builtin_popcount(active);
    for (int id = 0; id < 16; id++) {
        if (x_.block->barriers[id].arrived) {
            try_release(id);
        }
    }
}

// ---- block barriers ----
void Scheduler::barrier(const Instr &i, int64_t pc, uint32_t active)
{
    // bar.red d, id{, count}, p   otherwise   id{, count}
    const bool reduction = i.mode >= kBarPopc;
    const size_t first = reduction ? 1 : 0, last = i.ops.size() - (reduction ? 1 : 0);
    const uint64_t id = x_.source(i.ops[first])[__builtin_ctz(active)];
    if (id >= 16) {
        x_.fail(i, __builtin_ctz(active), "barrier number above 15");
    }
    BlockBarrier &b = x_.block->barriers[id];
    const unsigned count =
        last - first > 1 ? (unsigned)x_.source(i.ops[first + 1])[__builtin_ctz(active)] : 0;
    if (b.arrived && b.expected != count) {
        x_.fail(i, __builtin_ctz(active), "threads disagree about a barrier's thread count");
    }
    if (count % 32) {
        x_.fail(i, __builtin_ctz(active), "barrier count must be a multiple of 32");
    }
    b.expected = count;
    b.arrived += (unsigned)__builtin_popcount(active);
    if (reduction) {
        Source p = x_.source(i.ops.back());
        for_lanes(active, [&](int l) { b.votes += ((p[l] & 1) != 0) != i.ops.back().negated; });
    }
    if (i.mode == kBarArrive) {
        go(active, pc + 1);
    } else {
        diverge(*warp_);
        for_lanes(active, [&](int l) {
            warp_->pc[l] = pc + 1;
            warp_->barrier_id[l] = (int8_t)id;
        });
        warp_->at_barrier |= active;
    }
    try_release((int)id);
}

void Scheduler::try_release(int id)
{
    BlockBarrier &b = x_.block->barriers[id];
    const unsigned expected = b.expected ? b.expected : x_.block->live_threads;
    if (b.arrived < expected) {
        return;
    }
    Warp *const current = warp_;
    for (Warp &w : x_.block->warps) {
        x_.warp = &w;
        uint32_t released = 0;
        for_lanes(w.at_barrier, [&](int l) {
            if (w.barrier_id[l] == id) {
                released |= 1u << l;
            }
        });
        for_lanes(released, [&](int l) {
            const Instr &i = (*code_)[w.pc[l] - 1];
            if (i.mode < kBarPopc) {
                return;
            }
            x_.dest(i.ops[0])[l] = i.mode == kBarPopc  ? b.votes
                                   : i.mode == kBarAnd ? b.votes == b.arrived
                                                       : b.votes != 0;
        });
        if (!released) {
            continue;
        }
        diverge(w); // its running lanes may be elsewhere
        w.at_barrier &= ~released;
    }
    x_.warp = current;
    b = BlockBarrier();
    // A barrier of some of the threads orders only those; counting it for all can hide a race but
    // never invents one.
    x_.block->race.new_block_epoch();
}

std::string Scheduler::describe_waiting(const Block &block)
{
    std::string text;
    const std::vector<Instr> &code = block.launch->kernel->code;
    for (const Warp &w : block.warps) {
        for (uint32_t rest = w.live; rest;) {
            const int lane = __builtin_ctz(rest);
            const bool at_barrier = w.at_barrier >> lane & 1, parked = w.parked >> lane & 1;
            const int64_t pc = w.converged && !at_barrier && !parked ? w.common_pc : w.pc[lane];
            uint32_t group = 0;
            for_lanes(rest, [&](int l) {
                const bool same = w.converged ? true : w.pc[l] == pc;
                if (same && (w.at_barrier >> l & 1) == at_barrier) {
                    group |= 1u << l;
                }
            });
            rest &= ~group;
            const Instr &i = code[pc - (at_barrier ? 1 : 0)];
            char line[80];
            snprintf(line, sizeof line, "\n  warp %d, lanes %08x: PTX line %d: ", w.id, group,
                     i.line);
            const std::string place = block.launch->kernel->source->describe(i.place);
            text += line + i.text + (place.empty() ? "" : "  (" + place + ")");
        }
    }
    return text;
}

} // namespace ptxrun
