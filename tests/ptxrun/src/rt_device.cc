// Devices, errors and versions.
#include <cstring>

#include "rt_state.h"
#include "run_options.h"

namespace ptxrun {

// From the table of compute capabilities in the CUDA Programming Guide.
const DeviceModel &device_model()
{
    static const DeviceModel models[] = {
        {75, 64 << 10, 64 << 10, 1024},    {80, 163 << 10, 164 << 10, 2048},
        {86, 99 << 10, 100 << 10, 1536},   {87, 163 << 10, 164 << 10, 1536},
        {89, 99 << 10, 100 << 10, 1536},   {90, 227 << 10, 228 << 10, 2048},
        {100, 227 << 10, 228 << 10, 2048}, {103, 227 << 10, 228 << 10, 2048},
        {110, 227 << 10, 228 << 10, 1536}, {120, 99 << 10, 100 << 10, 1536},
        {121, 99 << 10, 100 << 10, 1536}};
    const int arch = options().arch ? options().arch : 90;
    for (const DeviceModel &m : models) {
        if (m.arch == arch) {
            return m;
        }
    }
    fatal("PTXRUN_ARCH=%d: no such device is known", arch);
}

} // namespace ptxrun

using namespace ptxrun;

static constexpr int kL2Bytes = 4 << 20;

PTXRUN_API cudaError_t cudaGetLastError()
{
    return last_error(true);
}
PTXRUN_API cudaError_t cudaPeekAtLastError()
{
    return last_error(false);
}

static const struct {
    cudaError_t code;
    const char *name, *text;
} kErrors[] = {
#define E(name, text)                                                                              \
    {                                                                                              \
        name, #name, text                                                                          \
    }
    E(cudaSuccess, "no error"),
    E(cudaErrorInvalidValue, "invalid argument"),
    E(cudaErrorMemoryAllocation, "out of memory"),
    E(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    E(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    E(cudaErrorInvalidSymbol, "invalid device symbol"),
    E(cudaErrorInvalidDeviceFunction, "invalid device function"),
    E(cudaErrorMissingConfiguration, "__global__ function call is not configured"),
    E(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    E(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    E(cudaErrorNotReady, "device not ready"),
    E(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    E(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    E(cudaErrorStreamCaptureImplicit,
      "operation would make the legacy stream depend on a capturing one"),
    E(cudaErrorCapturedEvent,
      "operation not permitted on an event last recorded in a capturing stream"),
    E(cudaErrorInvalidDevice, "invalid device ordinal"),
    E(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    E(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    E(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device"),
    E(cudaErrorNotSupported, "operation not supported"),
    E(cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch"),
    E(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    E(cudaErrorMisalignedAddress, "misaligned address"),
    E(cudaErrorLaunchFailure, "unspecified launch failure"),
    E(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    E(cudaErrorAssert, "device-side assert triggered"),
#undef E
};
PTXRUN_API const char *cudaGetErrorString(cudaError_t e)
{
    for (auto &k : kErrors) {
        if (k.code == e) {
            return k.text;
        }
    }
    return "unrecognized error code";
}
PTXRUN_API const char *cudaGetErrorName(cudaError_t e)
{
    for (auto &k : kErrors) {
        if (k.code == e) {
            return k.name;
        }
    }
    return "unrecognized error code";
}

PTXRUN_API cudaError_t cudaGetDeviceCount(int *n)
{
    *n = (int)options().devices;
    return result(*n ? cudaSuccess : cudaErrorNoDevice);
}
PTXRUN_API cudaError_t cudaGetDevice(int *d)
{
    *d = 0;
    return result(options().devices ? cudaSuccess : cudaErrorNoDevice);
}
PTXRUN_API cudaError_t cudaSetDevice(int d)
{
    return result(!options().devices ? cudaErrorNoDevice
                  : d == 0           ? cudaSuccess
                                     : cudaErrorInvalidDevice);
}
PTXRUN_API cudaError_t cudaInitDevice(int d, unsigned, unsigned)
{
    return cudaSetDevice(d);
}
PTXRUN_API cudaError_t cudaDeviceReset()
{
    return cudaDeviceSynchronize();
}
PTXRUN_API cudaError_t cudaSetDeviceFlags(unsigned)
{
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaDeviceSetLimit(cudaLimit, size_t)
{
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaRuntimeGetVersion(int *v)
{
    return *v = CUDART_VERSION, cudaSuccess;
}
PTXRUN_API cudaError_t cudaDriverGetVersion(int *v)
{
    return *v = CUDART_VERSION, cudaSuccess;
}

// One device that looks like a small one of its architecture.
PTXRUN_API cudaError_t cudaDeviceGetAttribute(int *v, cudaDeviceAttr attribute, int)
{
    const DeviceModel &d = device_model();
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *v = 1024; break;
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY: *v = 1024; break;
    case cudaDevAttrMaxBlockDimZ: *v = 64; break;
    case cudaDevAttrMaxGridDimX: *v = 0x7fffffff; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *v = 65535; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *v = 48 << 10; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *v = (int)d.shared_optin; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *v = (int)d.shared_per_sm; break;
    case cudaDevAttrReservedSharedMemoryPerBlock: *v = (int)kReservedShared; break;
    case cudaDevAttrWarpSize: *v = 32; break;
    case cudaDevAttrMultiProcessorCount: *v = kMultiprocessors; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *v = d.threads_per_sm; break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: *v = 65536; break;
    case cudaDevAttrComputeCapabilityMajor: *v = d.arch / 10; break;
    case cudaDevAttrComputeCapabilityMinor: *v = d.arch % 10; break;
    case cudaDevAttrTotalConstantMemory: *v = 65536; break;
    case cudaDevAttrL2CacheSize: *v = kL2Bytes; break;
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrCanMapHostMemory: *v = 1; break;
    default: *v = 0;
    }
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int)
{
    const DeviceModel &d = device_model();
    if (!options().devices) {
        return result(cudaErrorNoDevice);
    }
    memset(p, 0, sizeof *p);
    strcpy(p->name, "ptxrun (CPU interpreter of PTX)");
    p->totalGlobalMem = options().memory << 20;
    p->sharedMemPerBlock = 48 << 10;
    p->sharedMemPerBlockOptin = d.shared_optin;
    p->reservedSharedMemPerBlock = kReservedShared;
    p->l2CacheSize = kL2Bytes;
    p->sharedMemPerMultiprocessor = d.shared_per_sm;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsPerMultiProcessor = d.threads_per_sm;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 0x7fffffff;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->totalConstMem = 65536;
    p->major = d.arch / 10;
    p->minor = d.arch % 10;
    p->multiProcessorCount = kMultiprocessors;
    p->concurrentKernels = p->unifiedAddressing = p->managedMemory = p->canMapHostMemory = 1;
    p->cooperativeLaunch = 1;
    return cudaSuccess;
}
