// Modifiers of an instruction, and the table from opcode to binder.
#include "ptx_decode.h"

#include <algorithm>

namespace ptxrun {

bool Mods::take(const char *name)
{
    auto f = std::find(mods_.begin(), mods_.end(), name);
    if (f == mods_.end()) {
        return false;
    }
    mods_.erase(f);
    return true;
}

std::string Mods::take_any(std::initializer_list<const char *> names)
{
    for (const char *name : names) {
        if (take(name)) {
            return name;
        }
    }
    return "";
}

Type Mods::type()
{
    for (size_t k = 0; k < mods_.size(); k++) {
        Type t = type_from_name(mods_[k]);
        if (t == Type::None) {
            continue;
        }
        mods_.erase(mods_.begin() + k);
        return t;
    }
    return Type::None;
}

Type Mods::need_type()
{
    Type t = type();
    if (t == Type::None) {
        throw Unsupported("no supported type");
    }
    return t;
}

Round Mods::rounding()
{
    static const char *const names[] = {"", "rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi"};
    for (int r = 1; r < 9; r++) {
        if (take(names[r])) {
            return (Round)r;
        }
    }
    return Round::None;
}

Space Mods::space()
{
    static const std::pair<const char *, Space> names[] = {
        {"global", Space::Global},      {"shared", Space::Shared},
        {"shared::cta", Space::Shared}, {"const", Space::Const},
        {"local", Space::Local},        {"param", Space::Param},
        {"param::entry", Space::Param}, {"param::func", Space::Param}};
    for (auto &n : names) {
        if (take(n.first)) {
            return n.second;
        }
    }
    return Space::Generic;
}

Cmp Mods::comparison()
{
    static const char *const names[] = {"",    "eq",  "ne",  "lt",  "le",  "gt",  "ge",
                                        "lo",  "ls",  "hi",  "hs",  "equ", "neu", "ltu",
                                        "leu", "gtu", "geu", "num", "nan"};
    for (int c = 1; c < 19; c++) {
        if (take(names[c])) {
            return (Cmp)c;
        }
    }
    throw Unsupported("comparison");
}

void Mods::ignore_cache_hints()
{
    // One host thread runs everything, so every access is strong and coherent already.
    static const char *const hints[] = {"ca",
                                        "cg",
                                        "cs",
                                        "lu",
                                        "cv",
                                        "wb",
                                        "wt",
                                        "nc",
                                        "volatile",
                                        "weak",
                                        "relaxed",
                                        "acquire",
                                        "release",
                                        "acq_rel",
                                        "sc",
                                        "cta",
                                        "cluster",
                                        "gpu",
                                        "sys",
                                        "noftz",
                                        "L1::evict_normal",
                                        "L1::evict_unchanged",
                                        "L1::evict_first",
                                        "L1::evict_last",
                                        "L1::no_allocate",
                                        "L2::evict_first",
                                        "L2::evict_last",
                                        "L2::evict_normal",
                                        "L2::64B",
                                        "L2::128B",
                                        "L2::256B",
                                        "mmio"};
    for (const char *h : hints) {
        take(h);
    }
}

std::string Mods::rest() const
{
    std::string s;
    for (auto &m : mods_) {
        s += "." + m;
    }
    return s;
}

void need_operands(const Instr &i, size_t count)
{
    if (i.ops.size() != count) {
        throw Unsupported("form with " + std::to_string(i.ops.size()) + " operands");
    }
}

void bad_type(const Instr &)
{
    throw Unsupported("operation on this type");
}

static const OpTable &op_table()
{
    static const OpTable table = [] {
        OpTable t;
        add_integer_ops(t);
        add_bit_ops(t);
        add_float_ops(t);
        add_half_ops(t);
        add_convert_ops(t);
        add_compare_ops(t);
        add_memory_ops(t);
        add_atomic_ops(t);
        add_control_ops(t);
        add_warp_ops(t);
        add_tensor_ops(t);
        add_async_ops(t);
        add_hopper_ops(t);
        return t;
    }();
    return table;
}

void decode(Instr &i)
{
    auto binder = op_table().find(i.opcode);
    if (binder == op_table().end()) {
        i.error = "unsupported instruction " + i.opcode;
        return;
    }
    Mods mods(i.mods);
    try {
        binder->second(i, mods);
        if (!mods.empty()) {
            throw Unsupported("modifier " + mods.rest());
        }
    } catch (const Unsupported &e) {
        i.error = "unsupported form of " + i.opcode + ": " + e.what();
    }
}

} // namespace ptxrun
