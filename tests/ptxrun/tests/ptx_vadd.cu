// The smallest program: does the library start, load a kernel and run it?
#include <cstdio>
#include <vector>
__global__ void vadd(const float *a, const float *b, float *c, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        c[i] = a[i] + b[i];
    }
}
int main()
{
    int n = 1000;
    std::vector<float> a(n), b(n), c(n);
    for (int i = 0; i < n; i++) {
        a[i] = i;
        b[i] = 2 * i + .5f;
    }
    float *x, *y, *z;
    cudaMalloc(&x, n * 4);
    cudaMalloc(&y, n * 4);
    cudaMalloc(&z, n * 4);
    cudaMemcpy(x, a.data(), n * 4, cudaMemcpyHostToDevice);
    cudaMemcpy(y, b.data(), n * 4, cudaMemcpyHostToDevice);
    vadd<<<(n + 127) / 128, 128>>>(x, y, z, n);
    cudaError_t e = cudaDeviceSynchronize();
    cudaMemcpy(c.data(), z, n * 4, cudaMemcpyDeviceToHost);
    int bad = 0;
    for (int i = 0; i < n; i++) {
        bad += c[i] != a[i] + b[i];
    }
    printf("vadd: err %d, %d of %d wrong\n", (int)e, bad, n);
    return bad;
}
