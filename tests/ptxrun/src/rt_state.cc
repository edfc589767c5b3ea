// Errors: the last one of each thread, and the fault after which a device does nothing more.
#include "rt_state.h"

#include <cstdio>
#include <cstring>

#include "run_options.h"

namespace ptxrun {
namespace {

thread_local cudaError_t t_last_error = cudaSuccess;
cudaError_t g_fault = cudaSuccess;
std::string g_fault_report;

} // namespace

std::recursive_mutex &runtime_mutex()
{
    static std::recursive_mutex mutex;
    return mutex;
}

cudaError_t result(cudaError_t error, const char *function)
{
    if (g_fault != cudaSuccess) {
        error = g_fault;
    }
    if (error == cudaSuccess) {
        return error;
    }
    if (options().verbose) {
        fprintf(stderr, "ptxrun: %s: %s\n", function, cudaGetErrorName(error));
    }
    return t_last_error = error;
}

cudaError_t last_error(bool clear)
{
    const cudaError_t error = g_fault != cudaSuccess ? g_fault : t_last_error;
    if (clear) {
        t_last_error = cudaSuccess;
    }
    return error;
}

cudaError_t fault()
{
    return g_fault;
}

void set_fault(const std::string &report)
{
    auto says = [&](const char *text) { return report.find(text) != std::string::npos; };
    g_fault = says("assertion failed")                 ? cudaErrorAssert
              : says("misaligned")                     ? cudaErrorMisalignedAddress
              : says("out of bounds")                  ? cudaErrorIllegalAddress
              : says("local memory of another thread") ? cudaErrorIllegalAddress
              : says("deadlock")                       ? cudaErrorLaunchTimeout
                                                       : cudaErrorLaunchFailure;
    g_fault_report = report;
    drop_all_work();
}

} // namespace ptxrun

using namespace ptxrun;

PTXRUN_API const char *ptxrun_fault()
{
    ApiLock lock;
    synchronize_all();
    return g_fault_report.c_str();
}

PTXRUN_API void ptxrun_clear_fault()
{
    ApiLock lock;
    g_fault = cudaSuccess;
    g_fault_report.clear();
    t_last_error = cudaSuccess;
}
