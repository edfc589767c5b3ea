// Registration: what the code that nvcc adds to a program calls before main().
#include <map>

#include "fatbin.h"
#include "run_options.h"
#include "rt_state.h"

namespace ptxrun {
namespace {

struct Registered {
    Module *module;
    Kernel *kernel;
};
std::map<const void *, Registered> g_kernels;
std::map<const void *, Variable *> g_symbols;

struct Target {
    int number = 0;  // 90 of sm_90a
    char suffix = 0; // 'a' of it: for exactly this device; 'f': for devices of this family
};
Target target_of(const std::string &ptx)
{
    Target t;
    const size_t at = ptx.find(".target sm_");
    if (at != std::string::npos) {
        char *end;
        t.number = (int)strtol(ptx.c_str() + at + 11, &end, 10);
        t.suffix = *end == 'a' || *end == 'f' ? *end : 0;
    }
    return t;
}
bool runs_on(const Target &t, int arch)
{
    if (!arch) {
        return true; // no device was asked for: the newest
    }
    return t.suffix == 'a'   ? t.number == arch
           : t.suffix == 'f' ? t.number / 10 == arch / 10 && t.number <= arch
                             : t.number <= arch;
}

} // namespace

Kernel *find_kernel(const void *f)
{
    auto k = g_kernels.find(f);
    if (k == g_kernels.end()) {
        return nullptr;
    }
    if (!k->second.kernel->no_image) {
        link_kernel(*k->second.module, *k->second.kernel);
    }
    return k->second.kernel;
}
Variable *find_symbol(const void *v)
{
    auto s = g_symbols.find(v);
    return s == g_symbols.end() ? nullptr : s->second;
}

} // namespace ptxrun

using namespace ptxrun;

PTXRUN_API void **__cudaRegisterFatBinary(void *wrapper)
{
    ApiLock lock;
    auto *module = new Module;
    // A fatbin may hold the program for several architectures; like the driver, take the newest
    // that fits.
    std::string best;
    for (const std::string &text : ptx_in_fatbin(wrapper)) {
        if (runs_on(target_of(text), options().arch) &&
            (best.empty() || target_of(text).number >= target_of(best).number)) {
            best = text;
        }
    }
    if (options().dump) {
        fputs(best.c_str(), stderr);
    }
    if (!best.empty()) {
        parse_module(*module, best);
        place_module(*module);
    }
    return (void **)module;
}
PTXRUN_API void __cudaRegisterFatBinaryEnd(void **) {}
PTXRUN_API void __cudaUnregisterFatBinary(void **) {} // at exit; the modules stay
PTXRUN_API char __cudaInitModule(void **)
{
    return 1;
}

PTXRUN_API void __cudaRegisterFunction(void **handle, const char *host_function, char *,
                                       const char *name, int, uint3 *, uint3 *, dim3 *, dim3 *,
                                       int *)
{
    ApiLock lock;
    auto *module = (Module *)handle;
    auto k = module->kernels.find(name);
    if (k == module->kernels.end()) {
        if (module->target) {
            fatal("the program registers kernel %s, but its PTX lacks it", name);
        }
        k = module->kernels.emplace(name, std::make_unique<Kernel>()).first;
        k->second->name = name;
        k->second->no_image = true;
    }
    g_kernels[host_function] = {module, k->second.get()};
}
PTXRUN_API void __cudaRegisterVar(void **handle, char *host_variable, char *, const char *name, int,
                                  size_t, int, int)
{
    ApiLock lock;
    auto &variables = ((Module *)handle)->variables;
    auto v = variables.find(name);
    if (v != variables.end()) {
        g_symbols[host_variable] = &v->second;
    }
}
PTXRUN_API void __cudaRegisterManagedVar(void **, void **, char *, const char *name, int, size_t,
                                         int, int)
{
    fatal("__managed__ variable %s is not supported", name);
}
PTXRUN_API cudaError_t __cudaGetKernel(cudaKernel_t *out, const void *host_function)
{
    ApiLock lock;
    *out = (cudaKernel_t)find_kernel(host_function);
    return *out ? cudaSuccess : result(cudaErrorInvalidDeviceFunction);
}
