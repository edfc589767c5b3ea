// Binders of control flow (executed by scheduler.cc) and instructions with no effect here.
#include "ptx_decode.h"
#include "machine.h"

namespace ptxrun {
namespace {

void no_operation(Exec &, const Instr &) {}
void yield(Exec &x, const Instr &)
{
    x.warp->yielded = true;
}
void trap(Exec &x, const Instr &i)
{
    x.fail(i, __builtin_ctz(x.active), "trap");
}

template <Flow kFlow> void bind_flow(Instr &i, Mods &m)
{
    m.take("uni");
    i.flow = kFlow;
}

// bar.warp.sync; the scheduler has already gathered the lanes.
void warp_barrier(Exec &x, const Instr &)
{
    x.warp->sync_epoch++;
}

// bar{.cta}.sync/.arrive/.red and their newer names barrier{.cta}.
void bind_bar(Instr &i, Mods &m)
{
    if (m.take("warp")) {
        if (!m.take("sync")) {
            throw Unsupported("form");
        }
        need_operands(i, 1);
        i.sync = WarpSync::MaskOperand;
        i.mask_operand = 0;
        i.exec = warp_barrier;
        return;
    }
    m.take("cta");
    m.take("aligned");
    i.flow = Flow::Barrier;
    if (m.take("sync")) {
        i.mode = kBarSync;
    } else if (m.take("arrive")) {
        i.mode = kBarArrive;
        need_operands(i, 2);
    } else if (m.take("red")) {
        i.mode = m.take("popc") ? kBarPopc : m.take("and") ? kBarAnd : m.take("or") ? kBarOr : -1;
        if (i.mode < 0) {
            throw Unsupported("reduction");
        }
        m.type();
    } else {
        throw Unsupported("form");
    }
    const size_t n = i.ops.size(), extra = i.mode >= kBarPopc ? 2 : 0;
    if (n < 1 + extra || n > 2 + extra) {
        need_operands(i, 1 + extra);
    }
}

} // namespace

void add_control_ops(OpTable &t)
{
    t["bra"] = bind_flow<Flow::Branch>;
    t["brx"] = [](Instr &i, Mods &m) {
        m.take("uni");
        if (!m.take("idx")) {
            throw Unsupported("form");
        }
        i.flow = Flow::BranchTable;
    };
    t["call"] = bind_flow<Flow::Call>;
    t["ret"] = bind_flow<Flow::Ret>;
    t["exit"] = bind_flow<Flow::Exit>;
    t["bar"] = t["barrier"] = bind_bar;
    t["trap"] = [](Instr &i, Mods &) { i.exec = trap; };
    t["nanosleep"] = [](Instr &i, Mods &m) { m.type(), i.exec = yield; };
    t["setmaxnreg"] = [](Instr &i, Mods &m) {
        for (auto s : {"inc", "dec", "sync", "aligned"}) {
            m.take(s);
        }
        m.type();
        i.exec = no_operation;
    };
    t["griddepcontrol"] = [](Instr &i, Mods &m) {
        m.take_any({"wait", "launch_dependents"});
        i.exec = no_operation;
    };
}

} // namespace ptxrun
