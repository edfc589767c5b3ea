// Shared by the arithmetic binders: opcodes such as add exist for integers, f32/f64 and halves.
#pragma once
#include "ptx_decode.h"

namespace ptxrun {

void bind_float_arithmetic(Instr &i, Mods &m); // i.type is set; dispatches halves to:
void bind_half_arithmetic(Instr &i, Mods &m);

// A result whose bits are not specified closely enough to be portable (.approx). Sets a handler
// that stops with a message, or calls libm if PTXRUN_APPROX=libm.
enum class Approx { Div, Rcp, Sqrt, Rsqrt, Ex2, Lg2, Sin, Cos, Tanh };
void bind_approx(Instr &i, Mods &m, Approx function);

} // namespace ptxrun
