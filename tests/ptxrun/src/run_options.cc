// The table of options: names, and how a text becomes a value.
#include "run_options.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ptxrun {
namespace {

// Each parser writes a default for nullptr or "", and returns false for a text it does not know.
using Parser = bool (*)(Options &, const char *);

bool number(const char *text, uint64_t fallback, uint64_t *out)
{
    if (!text || !*text) {
        *out = fallback;
        return true;
    }
    char *end;
    *out = strtoull(text, &end, 0);
    return !*end && *text != '-';
}

template <bool Options::*kField> bool parse_flag(Options &o, const char *text)
{
    uint64_t value;
    if (!number(text, 0, &value) || value > 1) {
        return false;
    }
    o.*kField = value != 0;
    return true;
}
// A field that is one of two words; the second one means true.
template <bool Options::*kField>
bool parse_word(Options &o, const char *text, const char *no, const char *yes)
{
    const bool set = text && !strcmp(text, yes);
    if (text && *text && !set && strcmp(text, no)) {
        return false;
    }
    o.*kField = set;
    return true;
}
template <class T, T Options::*kField, uint64_t kDefault, uint64_t kMin, uint64_t kMax>
bool parse_number(Options &o, const char *text)
{
    uint64_t value;
    if (!number(text, kDefault, &value) || value < kMin || value > kMax) {
        return false;
    }
    o.*kField = (T)value;
    return true;
}
bool parse_poison(Options &o, const char *text)
{
    uint64_t value;
    if (!number(text, 256, &value) || value > 256) {
        return false;
    }
    const Options defaults;
    o.poison_registers = value < 256;
    o.poison_shared = value < 256 ? (int)value : defaults.poison_shared;
    o.poison_global = value < 256 ? (int)value : defaults.poison_global;
    return true;
}
bool parse_limit(Options &o, const char *text)
{
    uint64_t millions;
    if (!number(text, 0, &millions)) {
        return false;
    }
    o.limit = millions * 1000000;
    return true;
}
bool parse_arch(Options &o, const char *text)
{
    uint64_t value;
    static const uint64_t known[] = {0, 75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121};
    if (!number(text, 0, &value)) {
        return false;
    }
    for (uint64_t k : known) {
        if (value == k) {
            o.arch = (int)value;
            return true;
        }
    }
    return false;
}

const struct {
    const char *name;
    Parser parse;
} kOptions[] = {
    {"SEED", parse_number<uint32_t, &Options::seed, 0, 0, UINT32_MAX>},
    {"ITS", parse_flag<&Options::its>},
    {"RACE", parse_flag<&Options::race>},
    {"LAZY", parse_flag<&Options::lazy_streams>},
    {"TRACK", parse_flag<&Options::track>},
    {"APPROX",
     [](Options &o, const char *t) {
         return parse_word<&Options::libm_approx>(o, t, "stop", "libm");
     }},
    {"STRICT", parse_flag<&Options::strict>},
    {"VERBOSE", parse_flag<&Options::verbose>},
    {"STATS", parse_flag<&Options::stats>},
    {"LEAKS", parse_flag<&Options::leaks>},
    {"DUMP", parse_flag<&Options::dump>},
    {"FAULT",
     [](Options &o, const char *t) {
         return parse_word<&Options::fault_status>(o, t, "exit", "status");
     }},
    {"POISON", parse_poison},
    {"RESIDENT", parse_number<unsigned, &Options::resident, 1, 1, 1 << 20>},
    {"LIMIT", parse_limit},
    {"ARCH", parse_arch},
    {"DEVICES", parse_number<unsigned, &Options::devices, 1, 0, 1>},
    {"MEMORY", parse_number<uint64_t, &Options::memory, 16 << 10, 1, 1 << 24>},
    {"FAIL_LAUNCH", parse_number<uint64_t, &Options::fail_launch, 0, 0, UINT64_MAX>},
    {"FAIL_ALLOC", parse_number<uint64_t, &Options::fail_alloc, 0, 0, UINT64_MAX>},
};

Options read_environment()
{
    Options o;
    for (const auto &k : kOptions) {
        const std::string name = std::string("PTXRUN_") + k.name;
        const char *text = getenv(name.c_str());
        if (!k.parse(o, text)) {
            fatal("%s=%s: unknown value", name.c_str(), text);
        }
    }
    return o;
}

} // namespace

Options g_options = read_environment();

bool set_option(const std::string &name, const char *value)
{
    for (const auto &k : kOptions) {
        if (name == k.name) {
            return k.parse(g_options, value ? value : getenv(("PTXRUN_" + name).c_str()));
        }
    }
    return false;
}

void fatal(const char *format, ...)
{
    fflush(nullptr);
    va_list args;
    va_start(args, format);
    fputs("ptxrun: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    fflush(nullptr);
    _Exit(95);
}

} // namespace ptxrun
