// Device memory is host memory with a list of what was allocated; freed memory is kept for a while.
#include "device_heap.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>

#include "run_options.h"

namespace ptxrun {

HeapBlock *g_heap_recent[kHeapWays];

namespace {

constexpr size_t kAlign = 512;             // like cudaMalloc
constexpr size_t kQuarantine = 512u << 20; // freed bytes kept so that use after free is noticed

// Never destroyed: programs may free memory while they end.
std::map<uint64_t, HeapBlock> &g_live = *new std::map<uint64_t, HeapBlock>;
std::deque<HeapBlock> &g_freed = *new std::deque<HeapBlock>;
size_t g_freed_bytes, g_device_bytes;

void forget_recent()
{
    memset(g_heap_recent, 0, sizeof g_heap_recent);
}

bool is_device(HeapKind kind)
{
    return kind == HeapKind::Device || kind == HeapKind::Managed;
}

struct LeaksAtExit {
    ~LeaksAtExit();
} g_leaks_at_exit;

LeaksAtExit::~LeaksAtExit()
{
    size_t count = 0, bytes = 0;
    for (auto &[address, b] : g_live) {
        if (b.kind != HeapKind::Module && !b.registered) {
            count++;
            bytes += b.size;
        }
    }
    if (options().leaks && count) {
        fatal("%zu allocations of %zu bytes in all were never freed", count, bytes);
    }
}

} // namespace

void *heap_allocate(size_t size, HeapKind kind)
{
    const size_t limit = options().memory << 20;
    if (is_device(kind) && (size > limit || g_device_bytes > limit - size)) {
        return nullptr;
    }
    // One more unit, which belongs to nobody, keeps neighbours apart: a small overrun is no access
    // to the next one.
    const size_t rounded = (size + kAlign - 1) / kAlign * kAlign + kAlign;
    void *p = aligned_alloc(kAlign, rounded);
    if (!p) {
        return nullptr;
    }
    memset(p, options().poison_global, rounded);
    HeapBlock &b = g_live[(uint64_t)p];
    b.address = (uint64_t)p;
    b.size = size;
    b.kind = kind;
    if (is_device(kind)) {
        g_device_bytes += size;
    }
    return p;
}

bool heap_free(void *pointer, HeapKind kind)
{
    auto i = g_live.find((uint64_t)pointer);
    if (i == g_live.end() || i->second.registered) {
        return false;
    }
    const HeapKind is = i->second.kind;
    if (is != kind && !(is_device(is) && is_device(kind))) {
        return false;
    }
    if (is_device(i->second.kind)) {
        g_device_bytes -= i->second.size;
    }
    g_freed_bytes += i->second.size;
    i->second.touches.reset();
    g_freed.push_back(std::move(i->second));
    g_live.erase(i);
    forget_recent();
    while (g_freed_bytes > kQuarantine) {
        g_freed_bytes -= g_freed.front().size;
        free((void *)g_freed.front().address);
        g_freed.pop_front();
    }
    return true;
}

bool heap_register(void *pointer, size_t size)
{
    if (!pointer || !size || heap_find((uint64_t)pointer)) {
        return false;
    }
    HeapBlock &b = g_live[(uint64_t)pointer];
    b.address = (uint64_t)pointer;
    b.size = size;
    b.kind = HeapKind::Pinned;
    b.registered = true;
    return true;
}

bool heap_unregister(void *pointer)
{
    auto i = g_live.find((uint64_t)pointer);
    if (i == g_live.end() || !i->second.registered) {
        return false;
    }
    g_live.erase(i);
    forget_recent();
    return true;
}

HeapBlock *heap_find(uint64_t address)
{
    auto i = g_live.upper_bound(address);
    if (i == g_live.begin()) {
        return nullptr;
    }
    --i;
    return i->second.contains(address, 1) ? &i->second : nullptr;
}

HeapBlock *heap_find_freed(uint64_t address)
{
    for (auto b = g_freed.rbegin(); b != g_freed.rend(); ++b) { // the newest first
        if (b->contains(address, 1)) {
            return &*b;
        }
    }
    return nullptr;
}

HeapBlock *heap_lookup(uint64_t address, size_t size)
{
    int way = 0;
    while (way < kHeapWays - 1 && g_heap_recent[way] &&
           !g_heap_recent[way]->contains(address, size)) {
        way++;
    }
    HeapBlock *b = g_heap_recent[way];
    if (!b || !b->contains(address, size)) {
        b = heap_find(address);
        if (!b || !b->contains(address, size)) {
            return nullptr;
        }
    }
    for (; way > 0; way--) { // to the front
        g_heap_recent[way] = g_heap_recent[way - 1];
    }
    return g_heap_recent[0] = b;
}

std::string heap_describe(uint64_t address)
{
    if (const HeapBlock *b = heap_find_freed(address)) {
        return "inside an allocation of " + std::to_string(b->size) + " bytes that was freed";
    }
    auto i = g_live.upper_bound(address);
    if (i == g_live.begin()) {
        return "no device allocation lies below it";
    }
    --i;
    return std::to_string(address - i->first) + " bytes after the start of an allocation of " +
           std::to_string(i->second.size) + " bytes";
}

size_t heap_device_bytes()
{
    return g_device_bytes;
}

void heap_reset_counters()
{
    for (auto &[address, b] : g_live) {
        b.counts = {};
        b.touches.reset();
    }
    for (HeapBlock &b : g_freed) {
        b.counts = {};
    }
}

} // namespace ptxrun
