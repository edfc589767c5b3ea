// What the kernels did: totals, per kernel, per allocation and per byte.
#pragma once
#include <cstdint>
#include <string>

#include "device_heap.h"

namespace ptxrun {

struct Counters : ptxrun_counts {
    double seconds = 0;
};
extern Counters g_counters;

// Runs a launch and adds what it did to the counts of its kernel.
class LaunchMeter {
  public:
    explicit LaunchMeter(const std::string &kernel);
    ~LaunchMeter();
    LaunchMeter(const LaunchMeter &) = delete;
    LaunchMeter &operator=(const LaunchMeter &) = delete;

  private:
    std::string kernel_;
    Counters before_;
    double start_;
};

// One warp instruction's accesses to global memory, all of the same size.
struct GlobalAccess {
    uint64_t address[32];
    int lanes = 0;
    void add(uint64_t a) { address[lanes++] = a; }
};
void count_global(GlobalAccess &access, size_t size, bool write);
void count_row_read(uint64_t begin, size_t size); // consecutive bytes, by TMA
void count_atomics(const GlobalAccess &access);

} // namespace ptxrun
