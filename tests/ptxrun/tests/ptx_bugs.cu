// Programs with one mistake each; CMakeLists.txt says which message has to appear.
#include "cuda_test.h"

__global__ void approx(float *o)
{
    asm volatile("ex2.approx.f32 %0, %1;" : "=f"(o[0]) : "f"(3.0f));
}
__global__ void unsupported(float *o)
{
    float a = o[0];
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%0,%0,%0}, {%1,%1}, {%1}, "
                 "{%0,%0,%0,%0};"
                 : "+f"(a)
                 : "r"(0));
    o[0] = a;
}
__global__ void shared_bounds(int *o, int n)
{
    __shared__ int s[64];
    s[threadIdx.x] = 1;
    __syncthreads();
    o[threadIdx.x] = s[threadIdx.x + n];
}
__global__ void write_at(int *o, int n)
{
    o[threadIdx.x + n] = 1;
}
__global__ void misaligned(const char *p, int *o)
{
    o[0] = *(const volatile int *)(p + 2);
}
__global__ void deadlock(int *o)
{
    if ((threadIdx.x & 31) < 16) {
        __syncthreads();
    } else {
        o[1] = __shfl_xor_sync(~0u, (int)threadIdx.x, 1);
    }
}
__noinline__ __device__ int fibonacci(int n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}
__global__ void recursion(int *o)
{
    o[0] = fibonacci(o[1]);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int *d;
    CK(cudaMalloc((void **)&d, 256));
    CK(cudaMemset(d, 1, 256));
    if (!strcmp(what, "approx"))
        approx<<<1, 1>>>((float *)d);
    if (!strcmp(what, "unsupported"))
        unsupported<<<1, 32>>>((float *)d);
    if (!strcmp(what, "shared"))
        shared_bounds<<<1, 64>>>(d, 1);
    if (!strcmp(what, "global"))
        write_at<<<1, 64>>>(d, 1);
    if (!strcmp(what, "misaligned"))
        misaligned<<<1, 1>>>((char *)d, d);
    if (!strcmp(what, "deadlock"))
        deadlock<<<1, 64>>>(d);
    if (!strcmp(what, "recursion"))
        recursion<<<1, 1>>>(d);
    if (!strcmp(what, "freed")) {
        CK(cudaFree(d));
        write_at<<<1, 64>>>(d, 0);
    }
    if (!strcmp(what, "stale")) { // reads a pinned result before synchronising
        int *pinned;
        cudaStream_t s;
        CK(cudaMallocHost((void **)&pinned, 256));
        memset(pinned, 0, 256);
        CK(cudaStreamCreate(&s));
        write_at<<<1, 64, 0, s>>>(d, 0);
        CK(cudaMemcpyAsync(pinned, d, 256, cudaMemcpyDeviceToHost, s));
        printf("%s\n", pinned[0] == 1 ? "looks right" : "stale data seen");
        CK(cudaStreamDestroy(s));
    }
    CK(cudaDeviceSynchronize());
    printf("survived\n");
    return 0;
}
