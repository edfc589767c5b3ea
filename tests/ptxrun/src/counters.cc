// Counting, and the functions of ptxrun.h that report it.
#include "counters.h"

#include <cxxabi.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "rt_state.h"
#include "run_options.h"

namespace ptxrun {

Counters g_counters = {};

namespace {

// In the order of the first launch. They stay where they are: the program may keep the names.
struct KernelCounts {
    std::string name;
    ptxrun_kernel_counts counts = {};
};
std::deque<KernelCounts> &g_kernels = *new std::deque<KernelCounts>;
std::map<std::string, KernelCounts *> g_kernel_of; // by mangled name

double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::string plain_name(const std::string &mangled)
{
    int status = 0;
    char *text = abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status);
    std::string name = status == 0 && text ? text : mangled;
    free(text);
    // Without the parameters: up to the "(" that matches the last ")".
    if (!name.empty() && name.back() == ')') {
        int depth = 0;
        for (size_t k = name.size(); k-- > 0;) {
            depth += name[k] == ')' ? 1 : name[k] == '(' ? -1 : 0;
            if (depth == 0) {
                name.resize(k);
                break;
            }
        }
    }
    return name.compare(0, 5, "void ") == 0 ? name.substr(5) : name;
}

void touch(std::vector<uint8_t> &touches, size_t begin, size_t size)
{
    for (size_t k = begin; k < begin + size; k++) {
        touches[k] = (uint8_t)(touches[k] + (touches[k] != 255));
    }
}

// New bytes [begin, end) of the instruction, none of which it has touched before.
void count_range(uint64_t begin, uint64_t end, uint64_t sectors, bool write)
{
    HeapBlock *b = heap_at(begin, end - begin);
    if (!b) {
        return;
    }
    (write ? b->counts.bytes_written : b->counts.bytes_read) += end - begin;
    (write ? b->counts.sectors_written : b->counts.sectors_read) += sectors;
    if (!options().track) {
        return;
    }
    if (!b->touches) {
        b->touches = std::make_unique<Touches>();
        b->touches->read.assign(b->size, 0);
        b->touches->written.assign(b->size, 0);
    }
    touch(write ? b->touches->written : b->touches->read, begin - b->address, end - begin);
}

ptxrun_touches summary(const std::vector<uint8_t> *touches, size_t begin, size_t size)
{
    ptxrun_touches t = {};
    t.min = size ? 255 : 0;
    for (size_t k = begin; k < begin + size; k++) {
        const uint32_t n = touches ? (*touches)[k] : 0;
        t.bytes += n;
        t.distinct += n != 0;
        t.min = std::min(t.min, n);
        t.max = std::max(t.max, n);
    }
    return t;
}

struct StatsAtExit {
    ~StatsAtExit();
} g_stats_at_exit;

StatsAtExit::~StatsAtExit()
{
    if (!options().stats) {
        return;
    }
    using ull = unsigned long long;
    const Counters &c = g_counters;
    fprintf(stderr,
            "ptxrun: %llu launches, %.3f s, %.2f M warp instructions (%.2f M/s), %.1f M thread "
            "instructions\n"
            "ptxrun: %.3f G multiply-adds in mma, %.3f MB read, %.3f MB written, %llu atomics\n",
            (ull)c.launches, c.seconds, (double)c.warp_instructions * 1e-6,
            (double)c.warp_instructions / c.seconds * 1e-6, (double)c.thread_instructions * 1e-6,
            (double)c.multiply_adds * 1e-9, (double)c.bytes_read * 1e-6,
            (double)c.bytes_written * 1e-6, (ull)c.atomics);
    for (const KernelCounts &k : g_kernels) {
        fprintf(stderr,
                "ptxrun: %8.3f s %7llu launches %9.2f M warp instructions %9.3f MB read  %s\n",
                k.counts.seconds, (ull)k.counts.launches, (double)k.counts.warp_instructions * 1e-6,
                (double)k.counts.bytes_read * 1e-6, k.name.c_str());
    }
}

} // namespace

LaunchMeter::LaunchMeter(const std::string &kernel)
    : kernel_(kernel), before_(g_counters), start_(now())
{
    g_counters.launches++;
}

LaunchMeter::~LaunchMeter()
{
    KernelCounts *&k = g_kernel_of[kernel_];
    if (!k) {
        g_kernels.push_back({plain_name(kernel_), {}});
        k = &g_kernels.back();
        k->counts.name = k->name.c_str();
    }
    const double seconds = now() - start_;
    const Counters &c = g_counters;
    k->counts.launches++;
    k->counts.warp_instructions += c.warp_instructions - before_.warp_instructions;
    k->counts.thread_instructions += c.thread_instructions - before_.thread_instructions;
    k->counts.multiply_adds += c.multiply_adds - before_.multiply_adds;
    k->counts.bytes_read += c.bytes_read - before_.bytes_read;
    k->counts.bytes_written += c.bytes_written - before_.bytes_written;
    k->counts.seconds += seconds;
    g_counters.seconds += seconds;
}

// Bytes that several lanes touch are moved once, so the lanes' ranges are merged first.
void count_global(GlobalAccess &access, size_t size, bool write)
{
    const int n = access.lanes;
    if (!n) {
        return;
    }
    uint64_t *a = access.address;
    if (!std::is_sorted(a, a + n)) {
        std::sort(a, a + n);
    }
    uint64_t bytes = 0, sectors = 0, last_sector = ~0ull;
    for (int k = 0; k < n;) {
        const uint64_t begin = a[k];
        uint64_t end = begin + size;
        for (k++; k < n && a[k] <= end; k++) {
            end = std::max(end, a[k] + size);
        }
        const uint64_t first = begin / 32, last = (end - 1) / 32;
        const uint64_t touched = last - first + (first != last_sector);
        last_sector = last;
        bytes += end - begin;
        sectors += touched;
        count_range(begin, end, touched, write);
    }
    (write ? g_counters.bytes_written : g_counters.bytes_read) += bytes;
    (write ? g_counters.sectors_written : g_counters.sectors_read) += sectors;
}

void count_row_read(uint64_t begin, size_t size)
{
    const uint64_t sectors = (begin + size - 1) / 32 - begin / 32 + 1;
    g_counters.bytes_read += size;
    g_counters.sectors_read += sectors;
    count_range(begin, begin + size, sectors, false);
}

void count_atomics(const GlobalAccess &access)
{
    g_counters.atomics += (uint64_t)access.lanes;
    for (int k = 0; k < access.lanes; k++) {
        if (HeapBlock *b = heap_at(access.address[k], 1)) {
            b->counts.atomics++;
        }
    }
}

} // namespace ptxrun

using namespace ptxrun;

PTXRUN_API int ptxrun_counters(const void *device_pointer, ptxrun_counts *out)
{
    ApiLock lock;
    if (!device_pointer) {
        *out = g_counters;
        return 0;
    }
    const HeapBlock *b = heap_find((uint64_t)device_pointer);
    if (!b) {
        b = heap_find_freed((uint64_t)device_pointer);
    }
    *out = b ? b->counts : ptxrun_counts{};
    return b ? 0 : 1;
}

PTXRUN_API void ptxrun_reset_counters()
{
    ApiLock lock;
    g_counters = {};
    heap_reset_counters();
    for (KernelCounts &k : g_kernels) {
        k.counts = {};
        k.counts.name = k.name.c_str();
    }
}

PTXRUN_API int ptxrun_range(const void *device_pointer, size_t bytes, ptxrun_range_counts *out)
{
    ApiLock lock;
    *out = {};
    const HeapBlock *b = heap_find((uint64_t)device_pointer);
    if (!b || !b->contains((uint64_t)device_pointer, bytes)) {
        return 1;
    }
    if (!options().track) {
        return 2;
    }
    const size_t begin = (uint64_t)device_pointer - b->address;
    out->read = summary(b->touches ? &b->touches->read : nullptr, begin, bytes);
    out->written = summary(b->touches ? &b->touches->written : nullptr, begin, bytes);
    return 0;
}

PTXRUN_API int ptxrun_kernel(size_t index, ptxrun_kernel_counts *out)
{
    ApiLock lock;
    if (index >= g_kernels.size()) {
        *out = {};
        return 1;
    }
    *out = g_kernels[index].counts;
    return 0;
}

PTXRUN_API uint64_t ptxrun_launches(const char *part_of_name)
{
    ApiLock lock;
    uint64_t sum = 0;
    for (const KernelCounts &k : g_kernels) {
        if (!part_of_name || k.name.find(part_of_name) != std::string::npos) {
            sum += k.counts.launches;
        }
    }
    return sum;
}

PTXRUN_API int ptxrun_set_option(const char *name, const char *value)
{
    ApiLock lock;
    synchronize_all();
    return name && set_option(name, value) ? 0 : 1;
}
