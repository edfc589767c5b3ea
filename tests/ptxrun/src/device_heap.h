// Device memory: who allocated what, and what kernels did to it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ptxrun.h"

namespace ptxrun {

enum class HeapKind : uint8_t { Device, Managed, Pinned, Module };

// Touches of each byte, saturating at 255 (the option TRACK).
struct Touches {
    std::vector<uint8_t> read, written;
};

struct HeapBlock {
    uint64_t address = 0;
    size_t size = 0;
    HeapKind kind = HeapKind::Device;
    bool registered = false; // cudaHostRegister: the memory is the program's
    bool constant = false;   // a __constant__ variable
    ptxrun_counts counts = {};
    std::unique_ptr<Touches> touches; // made at the first access

    // Written so that no sum can overflow: an address computed by a faulty kernel may be anything.
    bool contains(uint64_t a, size_t n) const
    {
        return a >= address && n <= size && a - address <= size - n;
    }
};

void *heap_allocate(size_t size, HeapKind kind);
bool heap_free(void *pointer, HeapKind kind); // false: not the start of such an allocation
bool heap_register(void *pointer, size_t size);
bool heap_unregister(void *pointer);
HeapBlock *heap_find(uint64_t address);       // the live allocation that contains the address
HeapBlock *heap_find_freed(uint64_t address); // one that was freed not long ago
std::string heap_describe(uint64_t address);  // for messages: "inside a freed allocation" ...
size_t heap_device_bytes();                   // allocated in device memory
void heap_reset_counters();

// The allocations hit last; nearly every access of a kernel goes to one of few.
constexpr int kHeapWays = 8;
extern HeapBlock *g_heap_recent[kHeapWays];
HeapBlock *heap_lookup(uint64_t address, size_t size);
inline HeapBlock *heap_at(uint64_t address, size_t size)
{
    HeapBlock *b = g_heap_recent[0];
    return b && b->contains(address, size) ? b : heap_lookup(address, size);
}

inline bool heap_contains(uint64_t address, size_t size)
{
    return heap_at(address, size) != nullptr;
}

} // namespace ptxrun
