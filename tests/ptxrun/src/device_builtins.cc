// Device functions that the CUDA runtime provides: printf and assert.
#include <cstdio>

#include "warp_scheduler.h"

namespace ptxrun {
namespace {

std::string read_string(Exec &x, const Instr &i, int lane, uint64_t address)
{
    std::string s;
    for (;; address++) {
        char c = (char)*x.resolve_one(i, lane, address, 1, Space::Generic, Access::Read);
        if (!c) {
            return s;
        }
        s += c;
    }
}

uint64_t argument(Exec &x, const Instr &i, int lane, size_t k, size_t size)
{
    uint64_t v = 0;
    memcpy(&v, x.local_frame(lane) + i.call_args.elems[k].imm, size);
    return v;
}

// vprintf(format, buffer): the buffer holds the arguments, each aligned to its own size.
void print(Exec &x, const Instr &i, int lane)
{
    const std::string format = read_string(x, i, lane, argument(x, i, lane, 0, 8));
    uint64_t buffer = argument(x, i, lane, 1, 8);
    auto take = [&](size_t size) {
        buffer = (buffer + size - 1) / size * size;
        uint64_t v = 0;
        memcpy(&v, x.resolve_one(i, lane, buffer, size, Space::Generic, Access::Read), size);
        buffer += size;
        return v;
    };
    for (size_t p = 0; p < format.size(); p++) {
        if (format[p] != '%' || format[p + 1] == '%') {
            putchar(format[p]);
            p += format[p] == '%';
            continue;
        }
        const size_t end = format.find_first_of("diouxXcsfFeEgGaAp", p);
        if (end == std::string::npos) {
            break;
        }
        std::string spec = format.substr(p, end - p + 1);
        const char kind = format[end];
        if (spec.find('*') != std::string::npos) {
            x.fail(i, lane, "printf with * is not supported");
        }
        const bool wide = spec.find('l') != std::string::npos || kind == 'p';
        if (kind == 's') {
            printf(spec.c_str(), read_string(x, i, lane, take(8)).c_str());
        } else if (strchr("fFeEgGaA", kind)) {
            printf(spec.c_str(), from_bits<double>(take(8)));
        } else if (wide) {
            printf(spec.c_str(), (unsigned long)take(8));
        } else {
            printf(spec.c_str(), (unsigned)take(4));
        }
        p = end;
    }
}

} // namespace

void call_builtin(Exec &x, const Instr &i)
{
    if (i.callee_frame == kBuiltinAssert) {
        // (message, file, line, function, character size)
        const int l = __builtin_ctz(x.active);
        x.fail(i, l,
               "assertion failed: " + read_string(x, i, l, argument(x, i, l, 0, 8)) + " at " +
                   read_string(x, i, l, argument(x, i, l, 1, 8)) + ":" +
                   std::to_string(argument(x, i, l, 2, 4)));
    }
    for_lanes(x.active, [&](int l) {
        print(x, i, l);
        const uint32_t result = 0;
        if (!i.call_ret.elems.empty()) {
            memcpy(x.local_frame(l) + i.call_ret.elems[0].imm, &result, 4);
        }
    });
}

} // namespace ptxrun
