// The one driver function that runtime-API programs need: making a TMA tensor map.
#include <cuda.h>

#include <cstring>

#include "rt_state.h"

using namespace ptxrun;

PTXRUN_API CUresult cuTensorMapEncodeTiled(CUtensorMap *out, CUtensorMapDataType type,
                                           cuuint32_t rank, void *base, const cuuint64_t *dim,
                                           const cuuint64_t *stride, const cuuint32_t *box,
                                           const cuuint32_t *element_stride,
                                           CUtensorMapInterleave interleave,
                                           CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                                           CUtensorMapFloatOOBfill fill)
{
    const bool swizzled = swizzle == CU_TENSOR_MAP_SWIZZLE_128B;
    // The supported subset: 2-D, bytes, no interleave, no swizzle or the 128-byte one, zero fill.
    if (rank != 2 || type != CU_TENSOR_MAP_DATA_TYPE_UINT8 ||
        interleave != CU_TENSOR_MAP_INTERLEAVE_NONE ||
        (!swizzled && swizzle != CU_TENSOR_MAP_SWIZZLE_NONE) ||
        fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE || element_stride[0] != 1 ||
        element_stride[1] != 1) {
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    // The driver's own rules.
    if ((uint64_t)base % 16 || stride[0] % 16 || !box[0] || !box[1] || box[0] > 256 ||
        box[1] > 256 || box[0] % 16 || (swizzled && box[0] > 128)) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    TensorMap map = {
        TensorMap::kMagic, rank, 1, swizzled, (uint64_t)base, {dim[0], dim[1]}, stride[0],
        {box[0], box[1]}};
    static_assert(sizeof map <= sizeof *out, "must fit into the opaque structure");
    memset(out, 0, sizeof *out);
    memcpy(out, &map, sizeof map);
    return CUDA_SUCCESS;
}

PTXRUN_API cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned,
                                                        unsigned long long,
                                                        cudaDriverEntryPointQueryResult *status)
{
    *function = strcmp(name, "cuTensorMapEncodeTiled") ? nullptr : (void *)cuTensorMapEncodeTiled;
    if (status) {
        *status = *function ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    }
    return *function ? cudaSuccess : result(cudaErrorInvalidValue);
}
