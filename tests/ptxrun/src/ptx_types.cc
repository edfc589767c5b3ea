// Names and sizes of PTX types, names of special registers.
#include "ptx_module.h"

namespace ptxrun {
namespace {

struct NamedType {
    const char *name;
    Type type;
};
const NamedType kTypes[] = {{"pred", Type::Pred}, {"b8", Type::U8},      {"u8", Type::U8},
                            {"s8", Type::S8},     {"b16", Type::U16},    {"u16", Type::U16},
                            {"s16", Type::S16},   {"b32", Type::U32},    {"u32", Type::U32},
                            {"s32", Type::S32},   {"b64", Type::U64},    {"u64", Type::U64},
                            {"s64", Type::S64},   {"f16", Type::F16},    {"f32", Type::F32},
                            {"f64", Type::F64},   {"f16x2", Type::F16x2}};

const char *const kSpecialNames[kNumSpecial] = {"%tid.x",
                                                "%tid.y",
                                                "%tid.z",
                                                "%ntid.x",
                                                "%ntid.y",
                                                "%ntid.z",
                                                "%ctaid.x",
                                                "%ctaid.y",
                                                "%ctaid.z",
                                                "%nctaid.x",
                                                "%nctaid.y",
                                                "%nctaid.z",
                                                "%laneid",
                                                "%warpid",
                                                "%nwarpid",
                                                "%smid",
                                                "%nsmid",
                                                "%gridid",
                                                "%clock",
                                                "%clock64",
                                                "%globaltimer",
                                                "%lanemask_eq",
                                                "%lanemask_lt",
                                                "%lanemask_le",
                                                "%lanemask_gt",
                                                "%lanemask_ge",
                                                "%envreg1",
                                                "%envreg2",
                                                "%dynamic_smem_size",
                                                "%total_smem_size",
                                                "WARP_SZ"};

} // namespace

Type type_from_name(const std::string &name)
{
    for (const NamedType &t : kTypes) {
        if (name == t.name) {
            return t.type;
        }
    }
    return Type::None;
}

size_t size_of(Type type)
{
    switch (type) {
    case Type::Pred:
    case Type::U8:
    case Type::S8: return 1;
    case Type::U16:
    case Type::S16:
    case Type::F16: return 2;
    case Type::U64:
    case Type::S64:
    case Type::F64: return 8;
    default: return 4;
    }
}
bool is_signed(Type t)
{
    return t == Type::S8 || t == Type::S16 || t == Type::S32 || t == Type::S64;
}
bool is_float(Type t)
{
    return t == Type::F16 || t == Type::F16x2 || t == Type::F32 || t == Type::F64;
}

int special_from_name(const std::string &name)
{
    for (int i = 0; i < kNumSpecial; i++) {
        if (name == kSpecialNames[i]) {
            return i;
        }
    }
    return -1;
}

std::string SourceMap::describe(int place) const
{
    const Place &p = places[(size_t)place];
    auto name = [&](int file, int line) {
        auto f = files.find(file);
        return (f == files.end() ? "file " + std::to_string(file) : f->second) + ":" +
               std::to_string(line);
    };
    if (!p.line) {
        return "";
    }
    return name(p.file, p.line) +
           (p.inlined_line ? ", inlined at " + name(p.inlined_file, p.inlined_line) : "");
}

} // namespace ptxrun
