// Transcendentals built from IEEE operations only: the same bits under g++ and nvcc.
#pragma once
#include <math.h>
#include <string.h>
#ifdef __CUDACC__
#define DM __host__ __device__ __forceinline__
#else
#define DM inline
#endif
DM float det_fma(float a, float b, float c)
{
#ifdef __CUDA_ARCH__
    return __fmaf_rn(a, b, c);
#else
    return __builtin_fmaf(a, b, c);
#endif
}
DM float det_exp(float x)
{ // x <= 0 in softmax; Cody-Waite + degree-6 polynomial
    if (x < -87.0f)
        return 0.0f;
    float n = rintf(x * 1.4426950408889634f);
    float r = det_fma(n, -0.693359375f, x);
    r = det_fma(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = det_fma(p, r, 1.3981999507e-3f);
    p = det_fma(p, r, 8.3334519073e-3f);
    p = det_fma(p, r, 4.1665795894e-2f);
    p = det_fma(p, r, 1.6666665459e-1f);
    p = det_fma(p, r, 5.0000001201e-1f);
    float r2 = r * r;
    p = det_fma(p, r2, r);
    p = p + 1.0f;
    int i = ((int)n + 127) << 23;
    float s;
#ifdef __CUDA_ARCH__
    s = __int_as_float(i);
#else
    memcpy(&s, &i, 4);
#endif
    return p * s;
}
