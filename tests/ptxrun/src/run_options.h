// Everything that can be chosen: through the environment when the library is loaded, later through
// ptxrun_set_option.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace ptxrun {

struct Options {
    uint32_t seed = 0;         // SEED: 0 = warps in order, else random interleaving
    bool its = false;          // ITS: independent thread scheduling
    bool race = false;         // RACE: shared-memory race detector
    bool lazy_streams = false; // LAZY: streams run only at synchronisation points
    bool track = false;        // TRACK: count the touches of every byte of global memory
    bool libm_approx = false;  // APPROX=libm: run .approx operations with libm
    bool strict = false;       // STRICT: unsupported instructions fail when the module is loaded
    bool verbose = false;      // VERBOSE: print every error an API function returns
    bool stats = false;        // STATS: print counters at exit
    bool leaks = false;        // LEAKS: memory that was never freed is an error at exit
    bool dump = false;         // DUMP: print every PTX text to stderr
    bool fault_status = false; // FAULT=status: an error in a kernel becomes a CUDA error
    bool poison_registers = false; // POISON was set
    int poison_shared = 0xCD;      // POISON sets both
    int poison_global = 0xA5;
    unsigned resident = 1;      // RESIDENT: blocks run interleaved
    uint64_t limit = 0;         // LIMIT: million warp instructions a launch, 0 = none
    int arch = 0;               // ARCH: the device's compute capability as 75, 80 ...; 0 = 90
    unsigned devices = 1;       // DEVICES: 0 = as on a machine without a GPU
    uint64_t memory = 16 << 10; // MEMORY: the device's memory in MiB
    uint64_t fail_launch = 0;   // FAIL_LAUNCH=n: the n-th launch from now fails on the device
    uint64_t fail_alloc = 0;    // FAIL_ALLOC=n: the n-th allocation from now is refused
};
extern Options g_options;
inline const Options &options()
{
    return g_options;
}

// False if the name or the value is unknown. nullptr: what the environment says, or the default.
bool set_option(const std::string &name, const char *value);

// Prints "ptxrun: message" and ends the process; for errors outside of kernels.
[[noreturn]] void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

} // namespace ptxrun
