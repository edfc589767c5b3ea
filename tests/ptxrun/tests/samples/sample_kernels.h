// Launchers of the sample kernels, which exercise the interpreter; they are no part of Octet.
#pragma once
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <cstdint>
cudaError_t gemm_w8a8(const int8_t *X, const int8_t *W, const float *sx, const float *sw,
                      const float *bias, __half *Y, int *acc, int M, int N, int K, cudaStream_t st);
cudaError_t ln_quant(const __half *x, const float *g, const float *b, int8_t *q, float *scale,
                     int M, int N, float eps, cudaStream_t st);
cudaError_t attn_decode(const int8_t *q, const float *sq, const int8_t *k, const float *sk,
                        const int8_t *v, const float *sv, __half *o, float *part, int *counters,
                        int *scores_dbg, int H, int T, int splits, cudaStream_t st);
