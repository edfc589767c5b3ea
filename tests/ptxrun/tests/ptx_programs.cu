// Ordinary CUDA C++: what nvcc emits for calls, spills, switches, atomics, votes, barriers,
// cooperative groups, printf; and the host API around it.
#include <cooperative_groups.h>
#include <cuda_fp16.h>

#include "cuda_test.h"
namespace cg = cooperative_groups;

// ---- calls, local memory, switch, constants, globals ----
__constant__ int c_table[8] = {3, 1, 4, 1, 5, 9, 2, 6};
__device__ int g_counter = 40;
__device__ const char *g_names[2] = {"zero", "one"};

__host__ __device__ int mix_body(int a, int2 b, const int *table)
{
    int local[24];
    for (int i = 0; i < 24; i++) {
        local[i] = a * i + table[i & 7];
    }
    int s = 0;
    for (int i = 0; i < 40; i++) {
        s = s * 3 + local[(i * b.x + b.y) % 24];
    }
    return s;
}
__noinline__ __device__ int2 make(int a, float f)
{
    return make_int2(a % 11, (int)f);
}
__noinline__ __device__ int mix(int a, int2 b)
{
    return mix_body(a, b, c_table);
}
__host__ __device__ long long pick(int k, long long v)
{
    switch (k) {
    case 0: return v * 7;
    case 1: return v / 7;
    case 2: return v % 1000003;
    case 3: return v << 5;
    case 4: return v >> 3;
    case 5: return v ^ 0x5555555555555555ll;
    case 6: return -v;
    case 7: return v < 0 ? -1 : 1;
    default: return (long long)((unsigned long long)v / 12345u);
    }
}
__global__ void control(const int *in, int *out, long long *wide)
{
    const int t = blockIdx.x * blockDim.x + threadIdx.x;
    int r = 0;
    if (in[t] & 1)
        r = mix(in[t], make(t, 2.5f * (t % 7))); // a call by some of the lanes
    out[t] = r + __shfl_xor_sync(~0u, r, 1);
    wide[t] = pick(t % 10, ((long long)in[t] << 31) * in[(t + 1) % 256]);
    if (t == 0) {
        g_counter += c_table[2];
        printf("hello %d %s %.2f\n", g_counter, g_names[1], 1.25);
    }
}
static void test_control()
{
    const int n = 256;
    static const int table[8] = {3, 1, 4, 1, 5, 9, 2, 6};
    std::vector<int> in(n);
    for (auto &v : in)
        v = (int)rnd() % 1000;
    int *out;
    long long *wide;
    CK(cudaMalloc((void **)&out, n * 4));
    CK(cudaMalloc((void **)&wide, n * 8));
    control<<<2, 128>>>(upload(in), out, wide);
    auto got = download(out, n);
    auto got_wide = download(wide, n);
    size_t wrong = 0, wrong_wide = 0;
    auto value = [&](int t) {
        return in[t] & 1 ? mix_body(in[t], make_int2(t % 11, (int)(2.5f * (t % 7))), table) : 0;
    };
    for (int t = 0; t < n; t++) {
        wrong += got[t] != (int)((unsigned)value(t) + (unsigned)value(t ^ 1));
        wrong_wide += got_wide[t] !=
                      pick(t % 10, (long long)(((unsigned long long)(long long)in[t] << 31) *
                                               (unsigned long long)(long long)in[(t + 1) % 256]));
    }
    report("calls, local memory, divergent call before a shuffle", wrong, n);
    report("switch table, 64-bit arithmetic", wrong_wide, n);
    int counter, seven[8] = {7, 7, 7, 7, 7, 7, 7, 7}, back[8];
    CK(cudaMemcpyFromSymbol(&counter, g_counter, 4));
    expect("__device__ variable", counter == 44);
    CK(cudaMemcpyToSymbol(c_table, seven, sizeof seven));
    CK(cudaMemcpyFromSymbol(back, c_table, sizeof back));
    expect("__constant__ upload", !memcmp(seven, back, sizeof back));
}

// ---- registers that live across loops, also one that is entered in its middle
// --------------------
__global__ void loops(const uint32_t *in, uint32_t *out)
{
    const uint32_t x = in[threadIdx.x], rounds = x % 13 + 1;
    uint32_t sum = 1;
    // `a` is written at the end of a round and, in some rounds only, changed at the start of the
    // next.
    asm volatile("{\n.reg .u32 a, i, t;\n.reg .pred p, q;\n"
                 "mov.u32 i, 0;\n"
                 "bra MIDDLE_%=;\n"
                 "TOP_%=:\n"
                 "and.b32 t, i, 1;\n"
                 "setp.eq.u32 p, t, 0;\n"
                 "@p bra SKIP_%=;\n"
                 "xor.b32 a, a, 0x55;\n"
                 "SKIP_%=:\n"
                 "shl.b32 t, a, 2;\n"
                 "mad.lo.u32 %0, %0, 31, t;\n"
                 "MIDDLE_%=:\n"
                 "mad.lo.u32 a, %1, 7, i;\n"
                 "add.u32 i, i, 1;\n"
                 "setp.lt.u32 q, i, %2;\n"
                 "@q bra TOP_%=;\n}"
                 : "+r"(sum)
                 : "r"(x), "r"(rounds));
    uint32_t kept = x,
             total = 0; // and what nvcc makes of nested loops with values from the round before
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t inner = kept;
        for (uint32_t k = i; k < rounds + i % 3; k++) {
            if (inner % 3 == k % 3) {
                kept = inner ^ k;
            }
            inner = inner * 5 + kept;
        }
        total += inner >> i % 7;
    }
    out[threadIdx.x] = sum ^ total;
}
static void test_loops()
{
    std::vector<uint32_t> in(128);
    for (auto &v : in) {
        v = rnd() >> rnd() % 20;
    }
    uint32_t *out;
    CK(cudaMalloc((void **)&out, 512));
    loops<<<1, 128>>>(upload(in), out);
    auto got = download(out, 128);
    size_t wrong = 0;
    for (int t = 0; t < 128; t++) {
        const uint32_t x = in[t], rounds = x % 13 + 1;
        uint32_t sum = 1, kept = x, total = 0;
        for (uint32_t i = 1; i < rounds; i++) {
            const uint32_t a = x * 7 + i - 1;
            sum = sum * 31 + ((i % 2 ? a ^ 0x55 : a) << 2);
        }
        for (uint32_t i = 0; i < rounds; i++) {
            uint32_t inner = kept;
            for (uint32_t k = i; k < rounds + i % 3; k++) {
                kept = inner % 3 == k % 3 ? inner ^ k : kept;
                inner = inner * 5 + kept;
            }
            total += inner >> i % 7;
        }
        wrong += got[t] != (sum ^ total);
    }
    report("values that live across rounds of loops", wrong, 128);
}

// ---- atomics ----
struct Totals {
    unsigned add, inc, min_u, and_, or_, xor_, cas;
    int min_s, max_s;
    unsigned long long add64, max64;
    float addf;
};
__global__ void atomics(Totals *t, const int *in)
{
    __shared__ unsigned s_add;
    __shared__ float s_float;
    const int v = in[threadIdx.x];
    if (threadIdx.x == 0) {
        s_add = 0, s_float = 0;
    }
    __syncthreads();
    atomicAdd(&s_add, (unsigned)v);
    atomicAdd(&s_float, 0.5f);
    atomicAdd(&t->add64, (unsigned long long)(unsigned)v << 20);
    atomicMax(&t->max64, (unsigned long long)(unsigned)v << 9);
    atomicMin(&t->min_s, v);
    atomicMax(&t->max_s, v);
    atomicMin(&t->min_u, (unsigned)v);
    atomicInc(&t->inc, 99);
    atomicAnd(&t->and_, ~(1u << (threadIdx.x & 31)) | 0x80000000u);
    atomicOr(&t->or_, 1u << (threadIdx.x & 31));
    atomicXor(&t->xor_, (unsigned)v);
    unsigned old = t->cas, seen;
    do { // the usual loop around atomicCAS
        seen = old;
        old = atomicCAS(&t->cas, seen, seen * 3 + 1);
    } while (old != seen);
    __syncthreads();
    if (threadIdx.x == 0) {
        t->add = atomicExch(&s_add, 5u);
        atomicAdd(&t->addf, s_float);
    }
}
static void test_atomics()
{
    std::vector<int> in(256);
    for (auto &v : in) {
        v = (int)rnd();
    }
    std::vector<Totals> t(1), want(1);
    memset(&t[0], 0, sizeof(Totals));
    t[0].and_ = t[0].min_u = ~0u;
    want[0] = t[0];
    Totals &w = want[0];
    for (int k = 0; k < 256; k++) {
        const unsigned u = (unsigned)in[k];
        w.add += u, w.add64 += (unsigned long long)u << 20, w.xor_ ^= u, w.cas = w.cas * 3 + 1;
        w.max64 = std::max(w.max64, (unsigned long long)u << 9);
        w.min_s = std::min(w.min_s, in[k]), w.max_s = std::max(w.max_s, in[k]);
        w.min_u = std::min(w.min_u, u), w.inc = w.inc >= 99 ? 0 : w.inc + 1;
    }
    w.and_ = 0x80000000u, w.or_ = ~0u, w.addf = 128;
    Totals *d = upload(t);
    atomics<<<1, 256>>>(d, upload(in));
    auto got = download(d, 1);
    expect("atomics on global and shared memory", !memcmp(&got[0], &w, sizeof w));
}

// ---- warp collectives and barriers ----
__global__ void collectives(unsigned *o)
{
    const int l = threadIdx.x, v = (l * 7) % 5;
    unsigned r[10];
    r[0] = __ballot_sync(~0u, v == 2);
    r[1] = __any_sync(~0u, v == 9) + 2 * __all_sync(~0u, v < 5);
    r[2] = __match_any_sync(~0u, v);
    int same;
    r[3] = __match_all_sync(~0u, 7, &same) + same;
    r[4] = __reduce_add_sync(~0u, (unsigned)v);
    r[5] = (unsigned)__reduce_max_sync(~0u, v - 3);
    r[6] = l % 2 ? __activemask() : __reduce_xor_sync(0x55555555u, 1u << l);
    r[7] = __shfl_up_sync(~0u, v, 3) + 100 * __shfl_down_sync(~0u, v, 2, 8);
    auto half = cg::tiled_partition<16>(cg::this_thread_block());
    r[8] = half.shfl(v, 3) + half.ballot(v > 1);
    r[9] = l < 10 ? cg::coalesced_threads().size() : 0;
    for (int k = 0; k < 10; k++) {
        o[k * 32 + l] = r[k];
    }
}
static void test_collectives()
{
    unsigned *d;
    CK(cudaMalloc((void **)&d, 320 * 4));
    collectives<<<1, 32>>>(d);
    auto got = download(d, 320);
    auto f = [](int l) { return (l * 7) % 5; };
    auto mask = [&](auto p) {
        unsigned m = 0;
        for (int l = 0; l < 32; l++) {
            m |= (unsigned)p(l) << l;
        }
        return m;
    };
    unsigned sum = 0;
    for (int l = 0; l < 32; l++) {
        sum += f(l);
    }
    size_t wrong = 0;
    for (int l = 0; l < 32; l++) {
        const unsigned low = mask([&](int k) { return f(k) > 1; });
        const unsigned want[10] = {
            mask([&](int k) { return f(k) == 2; }),
            2,
            mask([&](int k) { return f(k) == f(l); }),
            0,
            sum,
            1,
            0x55555555u,
            (unsigned)(f(l < 3 ? l : l - 3) + 100 * f(l % 8 < 6 ? l + 2 : l)),
            (unsigned)f(l / 16 * 16 + 3) + (l < 16 ? low & 0xffff : low >> 16),
            l < 10 ? 10u : 0u};
        for (int k = 0; k < 10; k++) {
            // Which odd lanes execute __activemask together is up to the scheduler.
            if (k == 6 && l % 2)
                wrong += !(got[k * 32 + l] >> l & 1) || (got[k * 32 + l] & 0x55555555u);
            else if (k == 9)
                wrong += got[k * 32 + l] > want[k] || (l < 10 && !got[k * 32 + l]);
            else
                wrong += got[k * 32 + l] != want[k];
        }
    }
    report("vote, match, redux, shuffles, groups", wrong, 320);
}

__global__ void barriers(int *o)
{
    __shared__ int box[128];
    const int t = threadIdx.x, warp = t / 32;
    const int votes = __syncthreads_count(t % 3 == 0);
    const int all = __syncthreads_and(t >= 0), any = __syncthreads_or(t == 77);
    // Warps 0 and 1 hand data to warps 2 and 3 through named barrier 1: arrive without waiting.
    if (warp < 2) {
        box[t] = t * t;
        asm volatile("bar.arrive 1, 128;" ::: "memory");
    } else {
        asm volatile("bar.sync 1, 128;" ::: "memory");
        o[t] = box[t - 64];
        asm volatile("bar.sync 2, 64;" ::: "memory");
    }
    if (t < 64) {
        o[t] = votes * 4 + all * 2 + any;
    }
}
static void test_barriers()
{
    int *d;
    CK(cudaMalloc((void **)&d, 512));
    barriers<<<1, 128>>>(d);
    auto got = download(d, 128);
    size_t wrong = 0;
    for (int t = 0; t < 128; t++) {
        wrong += got[t] != (t < 64 ? 43 * 4 + 2 + 1 : (t - 64) * (t - 64));
    }
    report("bar.red, bar.arrive, named barriers", wrong, 128);
}

__global__ void grid_wide(int *a, int n)
{
    cg::grid_group g = cg::this_grid();
    const int t = (int)g.thread_rank();
    for (int step = 0; step < 4; step++) {
        const int next = a[(t + 1) % n];
        g.sync();
        a[t] += next;
        g.sync();
    }
}
static void test_grid_sync()
{
    int n = 4 * 64;
    std::vector<int> a(n);
    for (auto &v : a)
        v = (int)rnd() % 100;
    int *d = upload(a);
    void *args[] = {&d, &n};
    CK(cudaLaunchCooperativeKernel((void *)grid_wide, dim3(4), dim3(64), args, 0, nullptr));
    for (int step = 0; step < 4; step++) {
        std::vector<int> old = a;
        for (int t = 0; t < n; t++)
            a[t] += old[(t + 1) % n];
    }
    expect("grid-wide synchronisation", download(d, n) == a);
}

// ---- the host side ----
__global__ void scale(int *a, int k)
{
    a[threadIdx.x] = a[threadIdx.x] * k + 1;
}
__global__ void big_shared(int *o)
{
    extern __shared__ int s[];
    s[threadIdx.x * 64] = (int)threadIdx.x;
    __syncthreads();
    o[threadIdx.x] = s[(255 - threadIdx.x) * 64];
}
static void test_host_api()
{
    int *d, *pinned;
    CK(cudaMalloc((void **)&d, 256 * 4));
    CK(cudaMallocHost((void **)&pinned, 256 * 4));
    for (int i = 0; i < 256; i++) {
        pinned[i] = i;
    }
    cudaStream_t a, b;
    cudaEvent_t e, e2;
    CK(cudaStreamCreate(&a));
    CK(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
    CK(cudaEventCreate(&e));
    CK(cudaEventCreate(&e2));
    CK(cudaMemcpyAsync(d, pinned, 1024, cudaMemcpyHostToDevice, a));
    scale<<<1, 256, 0, a>>>(d, 3);
    CK(cudaEventRecord(e, a));
    CK(cudaStreamWaitEvent(b, e, 0));
    scale<<<1, 256, 0, b>>>(d, 2);
    CK(cudaEventRecord(e2, b));
    CK(cudaMemcpyAsync(pinned, d, 1024, cudaMemcpyDeviceToHost, b));
    CK(cudaStreamSynchronize(b));
    float ms = -1;
    CK(cudaEventElapsedTime(&ms, e, e2));
    bool ok = ms >= 0;
    for (int i = 0; i < 256; i++) {
        ok = ok && pinned[i] == (i * 3 + 1) * 2 + 1;
    }
    expect("two streams, events, pinned copies", ok);

    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CK(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    CK(cudaMemsetAsync(d, 0, 1024, a));
    CK(cudaEventRecord(e, a));
    CK(cudaStreamWaitEvent(b, e, 0));
    scale<<<1, 256, 0, b>>>(d, 5);
    CK(cudaEventRecord(e2, b));
    CK(cudaStreamWaitEvent(a, e2, 0));
    scale<<<1, 256, 0, a>>>(d, 5);
    CK(cudaStreamEndCapture(a, &graph));
    CK(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 2; i++) {
        CK(cudaGraphLaunch(exec, a));
    }
    CK(cudaStreamSynchronize(a));
    expect("forked graph", download(d, 256) == std::vector<int>(256, 6));

    std::vector<int> image(64), part(12, -1);
    for (int i = 0; i < 64; i++)
        image[i] = i;
    int *pitched;
    size_t pitch;
    CK(cudaMallocPitch((void **)&pitched, &pitch, 8 * 4, 8));
    CK(cudaMemcpy2D(pitched, pitch, image.data(), 32, 32, 8, cudaMemcpyHostToDevice));
    CK(cudaMemcpy2D(part.data(), 16, (char *)pitched + 2 * pitch + 8, pitch, 16, 3,
                    cudaMemcpyDeviceToHost));
    expect("2-D copies",
           part == std::vector<int>({18, 19, 20, 21, 26, 27, 28, 29, 34, 35, 36, 37}));

    expect("copy past the end is refused",
           cudaMemcpy(d, pinned, 1025, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    big_shared<<<1, 256, 65536>>>(d);
    expect("64 KiB of shared memory needs the attribute",
           cudaGetLastError() == cudaErrorInvalidValue);
    CK(cudaFuncSetAttribute(big_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536));
    big_shared<<<1, 256, 65536>>>(d);
    CK(cudaGetLastError());
    expect("64 KiB of shared memory", download(d, 2) == std::vector<int>({255, 254}));
    cudaDeviceProp prop;
    CK(cudaGetDeviceProperties(&prop, 0));
    expect("device properties", prop.warpSize == 32 && prop.major == 9);
    CK(cudaEventDestroy(e));
    CK(cudaEventDestroy(e2));
    CK(cudaGraphExecDestroy(exec));
    CK(cudaGraphDestroy(graph));
    CK(cudaStreamDestroy(a));
    CK(cudaStreamDestroy(b));
    CK(cudaFreeHost(pinned));
    CK(cudaFree(d));
    expect("double free is refused", cudaFree(d) == cudaErrorInvalidValue);
}

int main()
{
    test_control();
    test_loops();
    test_atomics();
    test_collectives();
    test_barriers();
    test_grid_sync();
    test_host_api();
    return finish();
}
