// Kernel launches and function attributes.
#include <algorithm>
#include <cstring>

#include "rt_state.h"
#include "run_options.h"

namespace ptxrun {
namespace {

constexpr size_t kSharedDefault = 48 << 10;
constexpr size_t kWorkspaceBytes = 1024;

struct Config {
    dim3 grid, block;
    size_t shared = 0;
    cudaStream_t stream = nullptr;
};
thread_local std::vector<Config> g_pushed;

void run_on_device(const Launch &launch)
{
    if (options().fail_launch && --g_options.fail_launch == 0) {
        set_fault("PTXRUN_FAIL_LAUNCH: kernel " + launch.kernel->name +
                  " fails because it was asked to");
        return;
    }
    try {
        LaunchMeter meter(launch.kernel->name);
        run_grid(launch);
    } catch (const KernelFault &f) {
        set_fault(f.report);
    }
    if (fault() != cudaSuccess && options().verbose) {
        fprintf(stderr, "ptxrun: %s\n", ptxrun_fault());
    }
}

// Blocks that fit on one multiprocessor by threads and shared memory; registers are unknown here.
int blocks_per_sm(const Kernel &k, unsigned threads, size_t shared)
{
    const DeviceModel &d = device_model();
    const size_t used = k.shared_bytes + shared + kReservedShared;
    return std::min({d.threads_per_sm / (int)threads, (int)(d.shared_per_sm / used), 32});
}

cudaError_t launch(Kernel *k, const Config &c, void **args, bool cooperative)
{
    if (!k) {
        return cudaErrorInvalidDeviceFunction;
    }
    if (k->no_image) {
        return cudaErrorNoKernelImageForDevice;
    }
    if (!k->error.empty()) {
        fatal("kernel %s cannot run: %s", k->name.c_str(), k->error.c_str());
    }
    const uint64_t threads = (uint64_t)c.block.x * c.block.y * c.block.z;
    if (!threads || threads > 1024 || c.block.z > 64) {
        return cudaErrorInvalidConfiguration;
    }
    if (!c.grid.x || !c.grid.y || !c.grid.z || c.grid.y > 65535 || c.grid.z > 65535) {
        return cudaErrorInvalidConfiguration;
    }
    if (k->max_threads && threads > k->max_threads) {
        return cudaErrorLaunchOutOfResources;
    }
    if (c.shared > std::max(k->max_dynamic_shared,
                            kSharedDefault - std::min(kSharedDefault, k->shared_bytes)) ||
        k->shared_bytes + c.shared > device_model().shared_optin) {
        return cudaErrorInvalidValue; // above 48 KiB needs cudaFuncSetAttribute
    }
    const uint64_t blocks = (uint64_t)c.grid.x * c.grid.y * c.grid.z;
    if (cooperative &&
        blocks > (uint64_t)(blocks_per_sm(*k, (unsigned)threads, c.shared) * kMultiprocessors)) {
        return cudaErrorCooperativeLaunchTooLarge;
    }
    Launch l;
    l.kernel = k;
    const unsigned grid[] = {c.grid.x, c.grid.y, c.grid.z},
                   block[] = {c.block.x, c.block.y, c.block.z};
    std::copy(grid, grid + 3, l.grid);
    std::copy(block, block + 3, l.block);
    l.dynamic_shared = c.shared;
    l.cooperative = cooperative;
    l.params.resize(k->param_bytes);
    for (size_t p = 0; p < k->params.size(); p++) {
        memcpy(&l.params[k->params[p].offset], args[p], k->params[p].size);
    }
    return submit(c.stream, [l]() mutable {
        if (l.cooperative) {
            void *workspace = heap_allocate(kWorkspaceBytes, HeapKind::Module);
            memset(workspace, 0, kWorkspaceBytes);
            l.grid_workspace = (uint64_t)workspace;
            run_on_device(l);
            heap_free(workspace, HeapKind::Module);
        } else {
            run_on_device(l);
        }
    });
}

// A kernel that fails does so after its launch has returned: the calls after it report that.
cudaError_t checked_launch(Kernel *k, const Config &c, void **args, bool cooperative)
{
    const bool healthy = fault() == cudaSuccess;
    const cudaError_t e = healthy ? launch(k, c, args, cooperative) : fault();
    return healthy && fault() != cudaSuccess ? cudaSuccess : result(e);
}

} // namespace
} // namespace ptxrun

using namespace ptxrun;

PTXRUN_API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared,
                                                cudaStream_t stream)
{
    g_pushed.push_back({grid, block, shared, stream});
    return 0;
}
PTXRUN_API cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared,
                                                  void *stream)
{
    if (g_pushed.empty()) {
        return result(cudaErrorMissingConfiguration);
    }
    const Config c = g_pushed.back();
    g_pushed.pop_back();
    *grid = c.grid;
    *block = c.block;
    *shared = c.shared;
    *(cudaStream_t *)stream = c.stream;
    return cudaSuccess;
}
PTXRUN_API cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **args,
                                          size_t shared, cudaStream_t stream)
{
    ApiLock lock;
    return checked_launch((Kernel *)kernel, {grid, block, shared, stream}, args, false);
}
PTXRUN_API cudaError_t cudaLaunchKernel(const void *f, dim3 grid, dim3 block, void **args,
                                        size_t shared, cudaStream_t stream)
{
    ApiLock lock;
    return checked_launch(find_kernel(f), {grid, block, shared, stream}, args, false);
}
PTXRUN_API cudaError_t cudaLaunchCooperativeKernel(const void *f, dim3 grid, dim3 block,
                                                   void **args, size_t shared, cudaStream_t stream)
{
    ApiLock lock;
    return checked_launch(find_kernel(f), {grid, block, shared, stream}, args, true);
}
PTXRUN_API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *c, const void *f, void **args)
{
    ApiLock lock;
    bool cooperative = false;
    for (unsigned k = 0; k < c->numAttrs; k++) {
        const cudaLaunchAttribute &a = c->attrs[k];
        if (a.id == cudaLaunchAttributeCooperative) {
            cooperative = a.val.cooperative != 0;
        }
        if (a.id == cudaLaunchAttributeClusterDimension &&
            a.val.clusterDim.x * a.val.clusterDim.y * a.val.clusterDim.z != 1) {
            fatal("thread block clusters are not supported");
        }
    }
    return checked_launch(find_kernel(f), {c->gridDim, c->blockDim, c->dynamicSmemBytes, c->stream},
                          args, cooperative);
}

PTXRUN_API cudaError_t cudaFuncSetAttribute(const void *f, cudaFuncAttribute attribute, int value)
{
    ApiLock lock;
    Kernel *k = find_kernel(f);
    if (!k) {
        return result(cudaErrorInvalidDeviceFunction);
    }
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
        if (value < 0 || k->shared_bytes + (size_t)value > device_model().shared_optin) {
            return result(cudaErrorInvalidValue);
        }
        k->max_dynamic_shared = (size_t)value;
    }
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *out, const void *f)
{
    ApiLock lock;
    Kernel *k = find_kernel(f);
    if (!k) {
        return result(cudaErrorInvalidDeviceFunction);
    }
    *out = {};
    out->sharedSizeBytes = k->shared_bytes;
    out->localSizeBytes = k->local_bytes;
    out->maxThreadsPerBlock = k->max_threads ? (int)k->max_threads : 1024;
    out->maxDynamicSharedSizeBytes = (int)std::max(k->max_dynamic_shared, kSharedDefault);
    out->numRegs = 32; // unknown: ptxas never ran
    out->ptxVersion = out->binaryVersion = k->target;
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaFuncSetCacheConfig(const void *, cudaFuncCache)
{
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    int *blocks, const void *f, int block_size, size_t shared, unsigned)
{
    ApiLock lock;
    Kernel *k = find_kernel(f);
    if (!k || block_size <= 0) {
        return result(k ? cudaErrorInvalidValue : cudaErrorInvalidDeviceFunction);
    }
    *blocks = blocks_per_sm(*k, (unsigned)block_size, shared);
    return cudaSuccess;
}
PTXRUN_API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *f,
                                                                     int block_size, size_t shared)
{
    return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, f, block_size, shared, 0);
}
