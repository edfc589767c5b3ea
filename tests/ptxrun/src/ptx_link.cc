// Builds launchable kernels: each kernel gets its own copy of every function it can reach, with
// registers renumbered, variables placed and symbols replaced by addresses.
#include <cstring>
#include <stdexcept>

#include "device_heap.h"
#include "run_options.h"
#include "ptx_module.h"

namespace ptxrun {
namespace {

size_t align_up(size_t n, size_t align)
{
    return align ? (n + align - 1) / align * align : n;
}

struct LinkError : std::runtime_error {
    using runtime_error::runtime_error;
};

class Linker {
  public:
    Linker(Module &module, Kernel &kernel) : module_(module), kernel_(kernel) {}

    void link(const Function &entry)
    {
        kernel_.name = entry.name;
        kernel_.max_threads = entry.max_threads;
        kernel_.target = module_.target;
        kernel_.source = &module_.source;
        kernel_.linked = true;
        place(entry);
        for (size_t f = 0; f < kernel_.frames.size(); f++) {
            emit(f); // emit() may add frames
        }
        place_dynamic_shared();
        for (Instr &i : kernel_.code) {
            i.failed = !i.error.empty();
            if (i.opcode == "call" && i.callee_frame >= 0) {
                i.targets = {kernel_.frames[i.callee_frame].entry};
            }
            for (Operand &o : i.ops) {
                spread(o);
            }
        }
    }

  private:
    // Reserves registers and variables for one function; returns its index in Kernel::frames.
    int place(const Function &f)
    {
        auto known = frame_of_.find(&f);
        if (known != frame_of_.end()) {
            return known->second;
        }
        Frame frame;
        frame.function = &f;
        frame.first_reg = kernel_.num_regs;
        kernel_.num_regs += f.num_regs;
        frame.address.resize(f.vars.size());
        for (size_t v = 0; v < f.vars.size(); v++) {
            const Variable &var = f.vars[v];
            if (var.space == Space::Shared) {
                frame.address[v] = reserve(kernel_.shared_bytes, var);
            } else if (var.space == Space::Local ||
                       (var.space == Space::Param && !is_kernel_param(f, v))) {
                frame.address[v] = reserve(kernel_.local_bytes, var);
            } else if (var.space == Space::Param) {
                frame.address[v] = reserve(kernel_.param_bytes, var);
                kernel_.params.push_back({frame.address[v], var.size});
            } else {
                throw LinkError("variable " + var.name + " in this state space inside a function");
            }
        }
        kernel_.frames.push_back(frame);
        return frame_of_[&f] = (int)kernel_.frames.size() - 1;
    }
    static bool is_kernel_param(const Function &f, size_t var)
    {
        return f.is_entry && var < f.params.size();
    }
    static uint64_t reserve(size_t &bytes, const Variable &v)
    {
        bytes = align_up(bytes, v.align);
        uint64_t at = bytes;
        bytes += v.size;
        return at;
    }

    void emit(size_t frame_index)
    {
        const Function &f = *kernel_.frames[frame_index].function;
        const int64_t entry = kernel_.frames[frame_index].entry = (int64_t)kernel_.code.size();
        for (const Instr &source : f.code) {
            Instr i = source;
            const int first_reg = kernel_.frames[frame_index].first_reg;
            if (i.pred >= 0) {
                i.pred += first_reg;
            }
            for (const std::string &label : i.labels) {
                auto t = f.labels.find(label);
                if (t == f.labels.end()) {
                    throw LinkError("PTX line " + std::to_string(i.line) + ": no label " + label);
                }
                i.targets.push_back(entry + t->second);
            }
            if (i.opcode == "call" && i.error.empty()) {
                resolve_callee(i);
            }
            const Frame &frame =
                kernel_.frames[frame_index]; // after resolve_callee: may reallocate
            for (Operand &o : i.ops) {
                resolve(o, frame, i);
            }
            resolve(i.second_dst, frame, i);
            resolve(i.call_ret, frame, i);
            resolve(i.call_args, frame, i);
            kernel_.code.push_back(std::move(i));
        }
        // Running past the last instruction of a function returns.
        Instr end;
        end.opcode = "ret";
        end.text = "(end of " + f.name + ")";
        end.flow = f.is_entry ? Flow::Exit : Flow::Ret;
        kernel_.code.push_back(end);
    }

    void resolve_callee(Instr &i)
    {
        auto f = module_.functions.find(i.callee);
        if (i.callee == "vprintf") {
            i.callee_frame = kBuiltinPrintf;
        } else if (i.callee == "__assertfail") {
            i.callee_frame = kBuiltinAssert;
        } else if (f == module_.functions.end()) {
            i.error = "indirect call through " + i.callee;
        } else if (!f->second.has_body) {
            i.error = "call of the external function " + i.callee;
        } else {
            parse_body(module_, f->second);
            i.callee_frame = place(f->second);
        }
    }

    void resolve(Operand &o, const Frame &frame, Instr &i)
    {
        if (o.kind == Operand::Reg) {
            o.reg += frame.first_reg;
        }
        for (Operand &e : o.elems) {
            resolve(e, frame, i);
        }
        if (o.kind != Operand::Imm) {
            return;
        }
        if (o.variable >= 0) {
            const Variable &v = frame.function->vars[o.variable];
            o.imm += frame.address[o.variable];
            // Parameters of calls live in the local frame, those of kernels in the launch.
            const bool kernel_param = is_kernel_param(*frame.function, o.variable);
            if (v.space == Space::Param && !kernel_param && i.space == Space::Param) {
                i.space = Space::Local;
            }
        } else if (!o.symbol.empty()) {
            o.imm += module_symbol(o, i);
        }
    }
    uint64_t module_symbol(Operand &o, const Instr &i)
    {
        auto v = module_.variables.find(o.symbol);
        if (v == module_.variables.end()) {
            throw LinkError("PTX line " + std::to_string(i.line) + ": unknown symbol " + o.symbol +
                            (module_.functions.count(o.symbol) ? " (address of a function)" : ""));
        }
        if (v->second.dynamic) {
            uses_dynamic_ = true;
            dynamic_align_ = std::max(dynamic_align_, v->second.align);
            return kDynamicMark;
        }
        if (v->second.space != Space::Shared) {
            return v->second.address;
        }
        auto placed = module_shared_.emplace(o.symbol, 0);
        if (placed.second) {
            placed.first->second = reserve(kernel_.shared_bytes, v->second);
        }
        return placed.first->second;
    }

    // Dynamic shared memory follows all static variables, so its address is known only now.
    void place_dynamic_shared()
    {
        if (!uses_dynamic_) {
            return;
        }
        kernel_.shared_bytes = align_up(kernel_.shared_bytes, std::max<size_t>(dynamic_align_, 16));
        for (Instr &i : kernel_.code) {
            for (Operand &o : i.ops) {
                fix_dynamic(o);
            }
        }
    }
    void fix_dynamic(Operand &o)
    {
        for (Operand &e : o.elems) {
            fix_dynamic(e);
        }
        if (!o.symbol.empty() && o.imm >= kDynamicMark) {
            o.imm += kernel_.shared_bytes - kDynamicMark;
        }
    }

    // Handlers read every operand as 32 values.
    void spread(Operand &o)
    {
        for (Operand &e : o.elems) {
            spread(e);
        }
        if (o.kind != Operand::Imm) {
            return;
        }
        const uint64_t *&lanes = spread_[o.imm];
        if (!lanes) {
            kernel_.constants.emplace_back();
            kernel_.constants.back().fill(o.imm);
            lanes = kernel_.constants.back().data();
        }
        o.lanes = lanes;
    }

    static constexpr uint64_t kDynamicMark = 1ull << 62;
    Module &module_;
    Kernel &kernel_;
    std::map<const Function *, int> frame_of_;
    std::map<std::string, uint64_t> module_shared_;
    std::map<uint64_t, const uint64_t *> spread_;
    bool uses_dynamic_ = false;
    size_t dynamic_align_ = 1;
};

} // namespace

void place_module(Module &module)
{
    for (auto &[name, v] : module.variables) {
        if (v.space == Space::Shared) {
            continue;
        }
        v.address = (uint64_t)heap_allocate(v.size ? v.size : 1, HeapKind::Module);
        // __device__ variables without an initialiser start as zero, like in C.
        memset((void *)v.address, 0, v.size);
        heap_find(v.address)->constant = v.space == Space::Const;
        if (!v.init.empty()) {
            memcpy((void *)v.address, v.init.data(), v.init.size());
        }
    }
    for (auto &[name, v] : module.variables) {
        for (auto &[offset, symbol] : v.init_addresses) {
            auto target = module.variables.find(symbol);
            if (target == module.variables.end()) {
                fatal("initialiser of %s: no %s", name.c_str(), symbol.c_str());
            }
            uint64_t bits;
            memcpy(&bits, (uint8_t *)v.address + offset, 8);
            bits += target->second.address;
            memcpy((uint8_t *)v.address + offset, &bits, 8);
        }
    }
    for (auto &[name, function] : module.functions) {
        if (function.is_entry) {
            module.kernels[name] = std::make_unique<Kernel>();
            module.kernels[name]->name = name;
        }
    }
}

void link_kernel(Module &module, Kernel &kernel)
{
    if (kernel.linked) {
        return;
    }
    try {
        Function &entry = module.functions.at(kernel.name);
        parse_body(module, entry);
        Linker(module, kernel).link(entry);
    } catch (const LinkError &e) {
        kernel.error = e.what(); // reported at launch
    }
}

} // namespace ptxrun
