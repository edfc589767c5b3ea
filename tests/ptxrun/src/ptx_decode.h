// From "opcode.modifier.modifier.type" to a handler. Every family of instructions registers binders
// (ops_*.cc). A binder consumes the modifiers it understands; whatever is left over makes the
// instruction unsupported, so that no modifier is ever ignored by accident.
#pragma once
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "ptx_module.h"

namespace ptxrun {

struct Unsupported : std::runtime_error {
    using runtime_error::runtime_error;
};

class Mods {
  public:
    explicit Mods(const std::vector<std::string> &mods) : mods_(mods) {}
    bool take(const char *name);                                     // true if it was there
    std::string take_any(std::initializer_list<const char *> names); // "" if none was there
    Type type(); // the next type, in order; Type::None if none
    Type need_type();
    Round rounding();
    Space space(); // Generic if none is named
    Cmp comparison();
    void ignore_cache_hints(); // .ca, .nc, .L1::..., .relaxed, .gpu, ...
    bool empty() const { return mods_.empty(); }
    std::string rest() const;

  private:
    std::vector<std::string> mods_;
};

using Binder = void (*)(Instr &, Mods &);
using OpTable = std::unordered_map<std::string, Binder>;

void add_integer_ops(OpTable &);
void add_bit_ops(OpTable &);
void add_float_ops(OpTable &);
void add_half_ops(OpTable &);
void add_convert_ops(OpTable &);
void add_compare_ops(OpTable &);
void add_memory_ops(OpTable &);
void add_atomic_ops(OpTable &);
void add_control_ops(OpTable &);
void add_warp_ops(OpTable &);
void add_tensor_ops(OpTable &);
void add_async_ops(OpTable &);
void add_hopper_ops(OpTable &);
void bind_bulk_copy(Instr &i, Mods &m); // cp.async.bulk, in ops_hopper.cc

// Fills in the decoded part of `i`; on failure sets i.error.
void decode(Instr &i);

// For binders.
void need_operands(const Instr &i, size_t count);
[[noreturn]] void bad_type(const Instr &i);

} // namespace ptxrun
