// Gives registers that are never alive together the same place. nvcc writes PTX with a register for
// every value, thousands in a kernel; kept apart, those of one block's warps would not fit into the
// cache.
//
// The usual liveness: a register is alive where a path leads to a read of it without a write
// between. Lanes run apart, but every lane for itself takes one path, and its registers are its
// own.
#include <algorithm>
#include <climits>
#include <functional>
#include <unordered_set>

#include "ptx_module.h"

namespace ptxrun {
namespace {

using Bits = std::vector<uint64_t>;
bool test(const Bits &b, int k)
{
    return b[(size_t)k / 64] >> k % 64 & 1;
}
void set(Bits &b, int k)
{
    b[(size_t)k / 64] |= 1ull << k % 64;
}

struct BasicBlock {
    int begin, end; // instructions
    std::vector<int> next;
    Bits read, written; // read before any write; written for certain
    Bits alive_in;
};

struct Interval { // of instructions, in the order of the text
    int first = INT_MAX, last = -1;
    void include(int at)
    {
        first = std::min(first, at);
        last = std::max(last, at);
    }
};

// Instructions whose first operand is a register that is written and not read. Of others all count
// as read, which is always right and only keeps registers alive for longer.
bool has_destination(const Instr &i)
{
    static const std::unordered_set<std::string> opcodes = {
        "abs",  "add",  "addc", "and", "atom", "bfe",  "bfi",  "brev", "clz",  "cvt",      "cvta",
        "div",  "dp2a", "dp4a", "fma", "ld",   "lop3", "mad",  "max",  "min",  "ldmatrix", "mma",
        "mov",  "mul",  "neg",  "not", "or",   "popc", "prmt", "rcp",  "rem",  "redux",    "selp",
        "setp", "shf",  "shfl", "shl", "shr",  "slct", "sqrt", "sub",  "subc", "vote",     "xor"};
    // A predicated instruction may leave its destination as it was.
    return i.pred < 0 && opcodes.count(i.opcode);
}

class Compactor {
  public:
    explicit Compactor(Function &f) : f_(f), intervals_((size_t)f.num_regs) {}

    void run()
    {
        find_blocks();
        find_accesses();
        find_alive();
        measure();
        assign();
    }

  private:
    template <class F> static void visit_operand(Operand &o, bool written, F &visit)
    {
        if (o.kind == Operand::Reg) {
            visit(o.reg, written);
        }
        for (Operand &e : o.elems) {
            visit_operand(e, written && o.kind == Operand::Vector, visit);
        }
    }
    // Calls visit(register, is it written?), those that are read first.
    template <class F> static void visit_registers(Instr &i, F visit)
    {
        if (i.pred >= 0) {
            visit(i.pred, false);
        }
        const bool writes = has_destination(i);
        for (size_t k = i.ops.size(); k-- > 0;) {
            visit_operand(i.ops[k], writes && k == 0, visit);
        }
        visit_operand(i.second_dst, writes, visit);
        visit_operand(i.call_ret, false, visit);
        visit_operand(i.call_args, false, visit);
    }

    void find_blocks()
    {
        const int size = (int)f_.code.size();
        std::vector<char> starts((size_t)size + 1, 0);
        starts[0] = 1;
        for (auto &[name, at] : f_.labels) {
            starts[(size_t)at] = 1;
        }
        for (int at = 0; at < size; at++) {
            const Flow flow = f_.code[(size_t)at].flow;
            if (flow != Flow::None && flow != Flow::Call && flow != Flow::Barrier) {
                starts[(size_t)at + 1] = 1;
            }
        }
        std::vector<int> block_at((size_t)size + 1, -1);
        for (int at = 0; at < size; at++) {
            if (starts[(size_t)at]) {
                if (!blocks_.empty()) {
                    blocks_.back().end = at;
                }
                block_at[(size_t)at] = (int)blocks_.size();
                blocks_.push_back({at, size, {}, {}, {}, {}});
            }
        }
        for (BasicBlock &b : blocks_) {
            const Instr &last = f_.code[(size_t)b.end - 1];
            for (const std::string &label : last.labels) {
                auto target = f_.labels.find(label);
                if (target != f_.labels.end() && target->second < size) {
                    b.next.push_back(block_at[(size_t)target->second]);
                }
            }
            const bool leaves =
                last.pred < 0 && (last.flow == Flow::Branch || last.flow == Flow::BranchTable ||
                                  last.flow == Flow::Ret || last.flow == Flow::Exit);
            if (!leaves && b.end < size) {
                b.next.push_back(block_at[(size_t)b.end]);
            }
        }
    }
    void find_accesses()
    {
        const size_t words = ((size_t)f_.num_regs + 63) / 64;
        for (BasicBlock &b : blocks_) {
            b.read.assign(words, 0);
            b.written.assign(words, 0);
            for (int at = b.begin; at < b.end; at++) {
                Instr &i = f_.code[(size_t)at];
                visit_registers(i, [&](int reg, bool written) {
                    intervals_[(size_t)reg].include(at);
                    if (written) {
                        set(b.written, reg);
                    } else if (!test(b.written, reg)) {
                        set(b.read, reg);
                    }
                    if (i.opcode ==
                        "wgmma") { // it writes its sums later, at a wait: they keep their place
                        intervals_[(size_t)reg].include(0);
                        intervals_[(size_t)reg].include((int)f_.code.size());
                    }
                });
            }
            b.alive_in = b.read;
        }
    }
    void find_alive()
    {
        for (bool changed = true; changed;) {
            changed = false;
            for (size_t k = blocks_.size(); k-- > 0;) {
                BasicBlock &b = blocks_[k];
                for (int n : b.next) {
                    const Bits &after = blocks_[(size_t)n].alive_in;
                    for (size_t w = 0; w < after.size(); w++) {
                        const uint64_t more = after[w] & ~b.written[w] & ~b.alive_in[w];
                        b.alive_in[w] |= more;
                        changed = changed || more;
                    }
                }
            }
        }
    }
    void measure()
    {
        for (const BasicBlock &b : blocks_) {
            for (int reg = 0; reg < f_.num_regs; reg++) {
                if (test(b.alive_in, reg)) {
                    intervals_[(size_t)reg].include(b.begin);
                }
                for (int n : b.next) {
                    if (test(blocks_[(size_t)n].alive_in, reg)) {
                        intervals_[(size_t)reg].include(b.end - 1);
                    }
                }
            }
        }
    }
    void assign()
    {
        std::vector<int> order;
        for (int reg = 0; reg < f_.num_regs; reg++) {
            if (intervals_[(size_t)reg].last >= 0) {
                order.push_back(reg);
            }
        }
        std::sort(order.begin(), order.end(), [&](int a, int b) {
            return intervals_[(size_t)a].first < intervals_[(size_t)b].first;
        });
        std::vector<int> place((size_t)f_.num_regs, 0), free_places;
        std::vector<std::pair<int, int>> active; // a heap of (last, place), the earliest end on top
        int places = 0;
        for (int reg : order) {
            const Interval &r = intervals_[(size_t)reg];
            // Strictly before: an instruction may write a destination before it has read every
            // source.
            while (!active.empty() && active.front().first < r.first) {
                free_places.push_back(active.front().second);
                std::pop_heap(active.begin(), active.end(), std::greater<>());
                active.pop_back();
            }
            if (free_places.empty()) {
                free_places.push_back(places++);
            }
            place[(size_t)reg] = free_places.back();
            free_places.pop_back();
            active.emplace_back(r.last, place[(size_t)reg]);
            std::push_heap(active.begin(), active.end(), std::greater<>());
        }
        for (Instr &i : f_.code) {
            visit_registers(i, [&](int &reg, bool) { reg = place[(size_t)reg]; });
        }
        f_.num_regs = places;
    }

    Function &f_;
    std::vector<Interval> intervals_;
    std::vector<BasicBlock> blocks_;
};

} // namespace

void compact_registers(Function &f)
{
    if (!f.code.empty()) {
        Compactor(f).run();
    }
}

} // namespace ptxrun
