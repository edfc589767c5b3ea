// State shared by the files that implement the CUDA runtime API (rt_*.cc). The exported functions
// are declared by cuda_runtime_api.h; API only adds what a library needs.
#pragma once
#include <cuda_runtime_api.h>

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "machine.h"

#define PTXRUN_API extern "C" __attribute__((visibility("default")))

namespace ptxrun {

// One lock for everything: calls from several host threads are serialised.
std::recursive_mutex &runtime_mutex();
struct ApiLock {
    std::lock_guard<std::recursive_mutex> guard{runtime_mutex()};
};

// ---- rt_state.cc ----
// Remembers `error` for cudaGetLastError and returns it. PTXRUN_VERBOSE=1 prints it. After a fault
// every call returns the fault, as on a device.
cudaError_t result(cudaError_t error, const char *function = __builtin_FUNCTION());
cudaError_t last_error(bool clear);
cudaError_t fault(); // the error of the kernel that failed, cudaSuccess if none did
void set_fault(const std::string &report);

// ---- rt_device.cc ----
constexpr int kMultiprocessors = 4;
constexpr size_t kReservedShared = 1024; // a block's share that the system takes
struct DeviceModel {
    int arch; // 90 for compute capability 9.0
    size_t shared_optin, shared_per_sm;
    int threads_per_sm;
};
const DeviceModel &device_model(); // of PTXRUN_ARCH

// ---- rt_module.cc ----
Kernel *find_kernel(const void *host_function); // nullptr if unknown
Variable *find_symbol(const void *host_variable);

// ---- rt_stream.cc ----
using Work = std::function<void()>;
cudaError_t submit(cudaStream_t stream, Work work); // run now, queue (PTXRUN_LAZY) or record
cudaError_t synchronize(cudaStream_t stream);       // error while the stream is being captured
void synchronize_all();
void drop_all_work();
bool is_capturing(cudaStream_t stream);

} // namespace ptxrun
