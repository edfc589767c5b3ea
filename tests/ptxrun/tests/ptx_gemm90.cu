// The Hopper GEMM (TMA, mbarrier, wgmma) against plain C, also where tiles reach over the edges.
#include <cstdio>
#include <vector>
#include "sample_gemm_sm90a.h"
static int tmap(CUtensorMap *m, void *p, int w, int h)
{
    cuuint64_t d[2] = {(cuuint64_t)w, (cuuint64_t)h}, s[1] = {(cuuint64_t)w};
    cuuint32_t b[2] = {128, 64}, e[2] = {1, 1};
    return cuTensorMapEncodeTiled(m, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, p, d, s, b, e,
                                  CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                  CU_TENSOR_MAP_L2_PROMOTION_NONE,
                                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}
int main()
{
    int bad = 0;
    for (int t = 0; t < 3; t++) {
        int M = t ? 70 : 64, N = t ? 130 : 64, K = t == 2 ? 800 : 512;
        std::vector<int8_t> X((size_t)M * K), W((size_t)N * K);
        unsigned r = 7;
        for (auto &v : X)
            v = (int8_t)((r = r * 1664525u + 1013904223u) >> 24);
        for (auto &v : W)
            v = (int8_t)((r = r * 1664525u + 1013904223u) >> 24);
        int8_t *dx, *dw;
        int *dc;
        cudaMalloc((void **)&dx, X.size());
        cudaMalloc((void **)&dw, W.size());
        cudaMalloc((void **)&dc, (size_t)M * N * 4);
        cudaMemcpy(dx, X.data(), X.size(), cudaMemcpyHostToDevice);
        cudaMemcpy(dw, W.data(), W.size(), cudaMemcpyHostToDevice);
        CUtensorMap mx{}, mw{};
        if (tmap(&mx, dx, K, M) || tmap(&mw, dw, K, N))
            return 2;
        gemm90<<<dim3((N + 63) / 64, (M + 63) / 64), 160>>>(mx, mw, dc, M, N, K);
        if (cudaGetLastError())
            return 3;
        std::vector<int> C((size_t)M * N);
        cudaMemcpy(C.data(), dc, C.size() * 4, cudaMemcpyDeviceToHost);
        int b = 0;
        for (int m = 0; m < M; m++)
            for (int n = 0; n < N; n++) {
                int a = 0;
                for (int k = 0; k < K; k++)
                    a += X[(size_t)m * K + k] * W[(size_t)n * K + k];
                b += a != C[(size_t)m * N + n];
            }
        printf("gemm90 %dx%dx%d: %d of %d differ\n", M, N, K, b, M * N);
        bad += b;
    }
    return bad != 0;
}
