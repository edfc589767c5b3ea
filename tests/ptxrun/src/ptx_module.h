// The program representation shared by the parser, the decoder, the linker and the interpreter.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ptxrun {

// .bNN types are folded into .uNN: no supported instruction distinguishes them.
enum class Type : uint8_t {
    None,
    Pred,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    F16x2,
    F32,
    F64
};
Type type_from_name(const std::string &name); // None if the name is no (supported) type
size_t size_of(Type type);
bool is_signed(Type type);
bool is_float(Type type);

enum class Space : uint8_t { Generic, Global, Shared, Const, Local, Param };
enum class Round : uint8_t { None, RN, RZ, RM, RP, RNI, RZI, RMI, RPI };
enum class Cmp : uint8_t {
    None,
    EQ,
    NE,
    LT,
    LE,
    GT,
    GE,
    LO,
    LS,
    HI,
    HS,
    EQU,
    NEU,
    LTU,
    LEU,
    GTU,
    GEU,
    NUM,
    NaN
};

struct Operand {
    enum Kind : uint8_t { None, Reg, Imm, Special, Vector, Address };
    Kind kind = None;
    bool negated = false;            // !%p
    int reg = -1;                    // Reg: index into the register file; Special: a SpecialReg
    uint64_t imm = 0;                // Imm: the value; Address: the byte offset
    const uint64_t *lanes = nullptr; // Imm, linked: the value 32 times, in Kernel::constants
    std::vector<Operand> elems;      // Vector: elements; Address: base, then tensor coordinates
    int variable = -1;  // Imm not yet linked: the address of a variable of the function, plus imm
    std::string symbol; // the same for a symbol of the module
};

// Which line of which .cu file an instruction comes from, if the kernels were compiled with
// -lineinfo.
struct SourceMap {
    struct Place {
        int file = 0, line = 0;                 // 0: unknown
        int inlined_file = 0, inlined_line = 0; // where that line's function was inlined
    };
    std::vector<Place> places{1}; // the first one is "unknown"
    std::map<int, std::string> files;
    std::string describe(int place) const; // "" or "gemm_i8.cu:125, inlined at ..."
};

struct Instr;
class Exec;
using Handler = void (*)(Exec &, const Instr &);

// How an instruction affects control flow. Everything but None is done by the scheduler itself.
enum class Flow : uint8_t { None, Branch, BranchTable, Call, Ret, Exit, Barrier };

// Which lanes must have arrived before a warp-synchronous instruction runs.
enum class WarpSync : uint8_t { None, MaskOperand, WholeWarp };

struct Instr {
    // What execution needs, together so that it stays in the cache. From the decoder; the meaning
    // of `mode` is private to each handler.
    Handler exec = nullptr;
    int pred = -1; // guard predicate register
    bool pred_negated = false;
    bool failed = false; // error is set
    Flow flow = Flow::None;
    WarpSync sync = WarpSync::None;
    Type type = Type::None, type2 = Type::None;
    Space space = Space::Generic;
    Cmp cmp = Cmp::None;
    Round round = Round::None;
    int8_t mask_operand = -1;
    bool ftz = false, sat = false, flag = false;
    int vec = 1, mode = 0, mode2 = 0;
    std::vector<Operand> ops;
    // From the linker.
    std::vector<int64_t> targets;
    int callee_frame = -1; // index into Kernel::frames, or a Builtin

    // The rest is from the parser.
    int line = 0;                  // in the PTX
    int place = 0;                 // in the source: index into SourceMap::places
    std::string opcode;            // "ld"
    std::vector<std::string> mods; // "global", "v4", "u32"
    std::string text;
    std::string error;               // not supported: reported only if executed
    Operand second_dst;              // q of a destination written p|q
    std::vector<std::string> labels; // bra: 1, brx: the table
    std::string callee;
    Operand call_ret, call_args; // Vectors of variables (or registers)
};

enum SpecialReg {
    kTidX,
    kTidY,
    kTidZ,
    kNtidX,
    kNtidY,
    kNtidZ,
    kCtaidX,
    kCtaidY,
    kCtaidZ,
    kNctaidX,
    kNctaidY,
    kNctaidZ,
    kLaneId,
    kWarpId,
    kNwarpId,
    kSmId,
    kNsmId,
    kGridId,
    kClock,
    kClock64,
    kGlobalTimer,
    kMaskEq,
    kMaskLt,
    kMaskLe,
    kMaskGt,
    kMaskGe,
    kEnvReg1,
    kEnvReg2,
    kDynamicSmem,
    kTotalSmem,
    kWarpSize,
    kNumSpecial
};
int special_from_name(const std::string &name); // -1 if unknown

struct Variable {
    std::string name;
    Space space = Space::Generic; // Param here: a parameter of a call, kept in the local frame
    size_t size = 0, align = 1;
    bool dynamic = false; // .extern .shared
    std::vector<uint8_t> init;
    std::vector<std::pair<size_t, std::string>> init_addresses; // symbol addresses in `init`
    uint64_t address = 0; // global/const: where it was placed when the module loaded
};

struct Function {
    std::string name;
    bool is_entry = false, has_body = false;
    int line = 0;
    size_t text_begin = 0, text_end = 0; // of a body that was not parsed yet
    std::vector<Variable> vars;
    std::vector<int> params, rets; // indices into vars
    std::vector<Instr> code;
    std::map<std::string, int64_t> labels;
    int num_regs = 0;
    unsigned max_threads = 0; // .maxntid / .reqntid
};

struct Param {
    size_t offset, size;
};

// One function as placed in one kernel. Registers and local variables are static, so recursion is
// not possible; divergent calls are, because both are per lane anyway.
struct Frame {
    const Function *function = nullptr;
    int64_t entry = 0;
    int first_reg = 0;
    std::vector<uint64_t> address; // of each variable, in its own space
};
enum Builtin { kBuiltinPrintf = -10, kBuiltinAssert = -11 };

struct Kernel {
    std::string name;
    bool linked = false;
    bool no_image = false; // the program has no PTX for the device of PTXRUN_ARCH
    std::vector<Instr> code;
    std::vector<Frame> frames;
    std::deque<std::array<uint64_t, 32>> constants; // immediate operands, one value for all lanes
    std::vector<Param> params;
    size_t param_bytes = 0, shared_bytes = 0, local_bytes = 0;
    int num_regs = 0;
    unsigned max_threads = 0;
    int target = 0;
    const SourceMap *source = nullptr;
    size_t max_dynamic_shared = 0; // cudaFuncSetAttribute
    std::string error;             // why it cannot be launched
};

struct Module {
    int target = 0; // 80 for .target sm_80
    SourceMap source;
    std::string text; // bodies of functions are parsed when they are first needed
    std::map<std::string, Function> functions;
    std::map<std::string, Variable> variables; // module scope
    std::map<std::string, std::unique_ptr<Kernel>> kernels;
};

void parse_module(Module &module, const std::string &text); // ptx_parser.cc
void parse_body(Module &module, Function &function);
void compact_registers(Function &function);       // ptx_registers.cc
void place_module(Module &module);                // ptx_link.cc: variables get their addresses
void link_kernel(Module &module, Kernel &kernel); // at its first use: most programs need few

} // namespace ptxrun
