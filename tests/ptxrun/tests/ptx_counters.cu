// ptxrun.h: counters of bytes, sectors, touches, mma, launches and calls; options at run time;
// faults as errors.
#include "cuda_test.h"
#include "ptxrun.h"

// ---- kernels whose work is known ----------------------------------------------------------------
__global__ void copy_all(const int4 *from, int4 *to, int n)
{
    const int t = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (t < n) {
        to[t] = from[t];
    }
}
// Every lane of a warp reads the same 4 bytes, then its own; 100 bytes of stride touch a sector a
// lane.
__global__ void patterns(const int *in, int *out)
{
    out[threadIdx.x] = in[0] + in[threadIdx.x * 25];
}
__global__ void read_twice(const int *in, int *out)
{
    const volatile int *v = in;
    out[threadIdx.x] = v[threadIdx.x] + v[threadIdx.x % 16];
}
__global__ void async_read(const uint8_t *in, uint8_t *out)
{
    __shared__ __align__(16) uint8_t s[32][16];
    const unsigned at = (unsigned)__cvta_generic_to_shared(&s[threadIdx.x][0]);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at),
                 "l"(in + threadIdx.x * 16),
                 "r"(threadIdx.x < 20   ? 16
                     : threadIdx.x < 22 ? 5
                                        : 0));
    asm volatile("cp.async.wait_all;" ::: "memory");
    out[threadIdx.x] = s[threadIdx.x][0];
}
template <int kTimes> __global__ void products(int *out)
{
    int r[4] = {}, a = (int)threadIdx.x;
    for (int k = 0; k < kTimes; k++) {
        asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, "
                     "{%4,%4,%4,%4}, {%4,%4}, "
                     "{%0,%1,%2,%3};"
                     : "+r"(r[0]), "+r"(r[1]), "+r"(r[2]), "+r"(r[3])
                     : "r"(a));
    }
    asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%4}, {%4}, "
                 "{%0,%1,%2,%3};"
                 : "+r"(r[0]), "+r"(r[1]), "+r"(r[2]), "+r"(r[3])
                 : "r"(a));
    atomicAdd(out, __dp4a(r[0], r[1], r[2] + r[3]));
}
__global__ void write_at(int *out, int n)
{
    out[threadIdx.x + n] = 1;
}
__global__ void wait_for_nobody()
{
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        asm volatile("bar.sync 1, 96;");
    }
}
__global__ void racing(int *out)
{
    __shared__ int s[64];
    if (threadIdx.x == 40) {
        s[0] = 1;
    }
    out[threadIdx.x] = s[threadIdx.x];
}

// ---- the tests ----------------------------------------------------------------------------------
static ptxrun_counts totals()
{
    ptxrun_counts c;
    expect("counters of everything", ptxrun_counters(nullptr, &c) == 0);
    return c;
}
template <class T> static ptxrun_counts counts_of(const T *p)
{
    ptxrun_counts c;
    expect("counters of an allocation", ptxrun_counters(p, &c) == 0);
    return c;
}

static void test_bytes()
{
    int4 *from, *to;
    CK(cudaMalloc((void **)&from, 1000 * 16));
    CK(cudaMalloc((void **)&to, 1000 * 16));
    CK(cudaMemset(from, 3, 1000 * 16));
    ptxrun_reset_counters();
    copy_all<<<8, 128>>>(from, to, 1000);
    CK(cudaDeviceSynchronize());
    ptxrun_counts c = counts_of(from), d = counts_of(to + 3), all = totals();
    expect("a copy reads each byte once", c.bytes_read == 16000 && c.bytes_written == 0);
    expect("and writes each byte once", d.bytes_written == 16000 && d.bytes_read == 0);
    expect("in whole sectors", c.sectors_read == 500 && d.sectors_written == 500);
    expect("totals are the sums",
           all.bytes_read == 16000 && all.bytes_written == 16000 && all.sectors_read == 500);
    expect("one launch",
           all.launches == 1 && ptxrun_launches("copy_all") == 1 && ptxrun_launches("twice") == 0);
    CK(cudaFree(from));
    expect("a freed allocation keeps its counts", counts_of(from).bytes_read == 16000);
    expect("an unknown address has none", ptxrun_counters(&c, &d) == 1);

    int *in, *out;
    CK(cudaMalloc((void **)&in, 4096));
    CK(cudaMalloc((void **)&out, 4096));
    CK(cudaMemset(in, 0, 4096));
    patterns<<<1, 32>>>(in, out);
    CK(cudaDeviceSynchronize());
    c = counts_of(in);
    expect("lanes that read the same bytes count them once", c.bytes_read == 4 + 32 * 4);
    expect("scattered lanes touch a sector each", c.sectors_read == 1 + 32);

    uint8_t *bytes, *heads;
    CK(cudaMalloc((void **)&bytes, 512));
    CK(cudaMalloc((void **)&heads, 512));
    CK(cudaMemset(bytes, 1, 512));
    async_read<<<1, 32>>>(bytes, heads);
    CK(cudaDeviceSynchronize());
    expect("cp.async counts what it reads, not what it fills",
           counts_of(bytes).bytes_read == 20 * 16 + 2 * 5);
}

static void test_touches()
{
    int *in, *out;
    CK(cudaMalloc((void **)&in, 256));
    CK(cudaMalloc((void **)&out, 256));
    CK(cudaMemset(in, 0, 256));
    ptxrun_range_counts r;
    expect("touches need the option", ptxrun_range(in, 256, &r) == 2);
    expect("TRACK is an option", ptxrun_set_option("TRACK", "1") == 0);
    ptxrun_reset_counters();
    read_twice<<<1, 64>>>(in, out);
    CK(cudaDeviceSynchronize());
    expect("ranges inside an allocation",
           ptxrun_range(in, 256, &r) == 0 && ptxrun_range(in + 1, 256, &r) == 1);
    ptxrun_range(in, 64, &r); // read by both loads, the second one in both warps
    expect("bytes that are read again show",
           r.read.min == 3 && r.read.max == 3 && r.read.bytes == 192);
    ptxrun_range(in + 16, 192, &r);
    expect("and those read once, too",
           r.read.min == 1 && r.read.max == 1 && r.read.distinct == 192);
    ptxrun_range(out, 256, &r);
    expect("each result is written once",
           r.written.min == 1 && r.written.max == 1 && r.read.max == 0);
    ptxrun_range(in, 0, &r);
    expect("an empty range", r.read.bytes == 0 && r.read.max == 0);
    for (int k = 0; k < 100; k++) {
        read_twice<<<1, 64>>>(in, out);
    }
    CK(cudaDeviceSynchronize());
    ptxrun_range(in, 256, &r);
    expect("touches saturate at 255", r.read.max == 255 && r.read.min == 101);
    ptxrun_set_option("TRACK", nullptr);
}

static void test_work()
{
    int *out;
    CK(cudaMalloc((void **)&out, 4));
    CK(cudaMemset(out, 0, 4));
    ptxrun_reset_counters();
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CK(cudaStreamCreate(&stream));
    CK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    products<5><<<3, 64, 0, stream>>>(out);
    products<1><<<1, 32, 0, stream>>>(out);
    CK(cudaStreamEndCapture(stream, &graph));
    CK(cudaGraphInstantiate(&exec, graph, 0));
    expect("a capture runs nothing", totals().launches == 0);
    CK(cudaGraphLaunch(exec, stream));
    CK(cudaGraphLaunch(exec, stream));
    CK(cudaStreamSynchronize(stream));
    const ptxrun_counts c = totals();
    expect("launches of graphs", c.launches == 4 && c.graph_launches == 2);
    expect("mma by shape",
           c.mma_m16n8k32 == 2 * (3 * 2 * 5 + 1) && c.mma_m16n8k16 == 2 * 7 && c.mma_m8n8k16 == 0);
    expect("dp4a and atomics by lane", c.dp4a == 2 * 7 * 32 && c.atomics == 2 * 7 * 32);
    expect("multiply-adds",
           c.multiply_adds == c.mma_m16n8k32 * 4096 + c.mma_m16n8k16 * 2048 + c.dp4a * 4);
    expect("launches by name",
           ptxrun_launches("products<5>") == 2 && ptxrun_launches("products") == 4);
    ptxrun_kernel_counts k;
    uint64_t launches = 0, macs = 0;
    bool named = false;
    for (size_t i = 0; ptxrun_kernel(i, &k) == 0; i++) {
        launches += k.launches, macs += k.multiply_adds;
        named = named || !strcmp(k.name, "products<5>");
    }
    expect("kernels one by one", launches == 4 && macs == c.multiply_adds && named);
    expect("barred waits", c.synchronizations == 1 && c.allocations == 0 && c.copies == 0);
    CK(cudaMemcpyAsync(out, &launches, 4, cudaMemcpyHostToDevice, stream));
    download(out, 1);
    const ptxrun_counts d = totals();
    expect("copies", d.copies == 2 && d.bytes_to_device == 4 && d.bytes_from_device == 4);
    expect("a blocking copy waits, an asynchronous one does not", d.synchronizations == 3);
    CK(cudaGraphExecDestroy(exec));
    CK(cudaGraphDestroy(graph));
    CK(cudaStreamDestroy(stream));
}

static void test_options()
{
    expect("unknown options are refused", ptxrun_set_option("SPEED", "1") == 1);
    expect("unknown values, too",
           ptxrun_set_option("RACE", "maybe") == 1 && ptxrun_set_option("ARCH", "81") == 1);
    int *p;
    ptxrun_set_option("POISON", "0x3C");
    CK(cudaMalloc((void **)&p, 4));
    expect("POISON at run time", download(p, 1)[0] == 0x3C3C3C3C);
    ptxrun_set_option("POISON", nullptr);
    ptxrun_set_option("MEMORY", "1");
    expect("MEMORY bounds the device",
           cudaMalloc((void **)&p, 2 << 20) == cudaErrorMemoryAllocation);
    expect("that error is not sticky",
           cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess);
    ptxrun_set_option("MEMORY", nullptr);
    ptxrun_set_option("FAIL_ALLOC", "2");
    expect("FAIL_ALLOC: the second one", cudaMalloc((void **)&p, 4) == cudaSuccess &&
                                             cudaMalloc((void **)&p, 4) != cudaSuccess &&
                                             cudaMalloc((void **)&p, 4) == cudaSuccess);
    cudaGetLastError();
    cudaDeviceProp prop;
    ptxrun_set_option("ARCH", "86");
    CK(cudaGetDeviceProperties(&prop, 0));
    expect("ARCH describes the device",
           prop.major == 8 && prop.minor == 6 && prop.sharedMemPerBlockOptin == 99 << 10);
    ptxrun_set_option("ARCH", nullptr);
    int n = 7;
    ptxrun_set_option("DEVICES", "0");
    expect("DEVICES=0", cudaGetDeviceCount(&n) == cudaErrorNoDevice && n == 0);
    ptxrun_set_option("DEVICES", nullptr);
    cudaGetLastError();
}

// Runs a kernel that must fail; returns whether every sign of it is there and work goes on
// afterwards.
template <class F> static bool faults(F launch, cudaError_t want, const char *says)
{
    launch();
    const bool at_once = cudaDeviceSynchronize() == want;
    int *p;
    const bool sticky = cudaMalloc((void **)&p, 4) == want && cudaGetLastError() == want;
    const bool told = strstr(ptxrun_fault(), says) != nullptr;
    if (!told) {
        printf("  report: %s\n", ptxrun_fault());
    }
    ptxrun_clear_fault();
    return at_once && sticky && told && cudaDeviceSynchronize() == cudaSuccess;
}
static void test_faults()
{
    int *p;
    CK(cudaMalloc((void **)&p, 256));
    ptxrun_set_option("FAULT", "status");
    expect("out of bounds", faults([&] { write_at<<<1, 64>>>(p, 1); }, cudaErrorIllegalAddress,
                                   "256 bytes after the start of an allocation of 256"));
    expect("far below the address space", faults([&] { write_at<<<1, 1>>>(nullptr, -2); },
                                                 cudaErrorIllegalAddress, "out of bounds"));
    expect("misaligned", faults([&] { write_at<<<1, 1>>>((int *)((char *)p + 2), 0); },
                                cudaErrorMisalignedAddress, "misaligned"));
    expect("deadlock",
           faults([&] { wait_for_nobody<<<1, 64>>>(); }, cudaErrorLaunchTimeout, "deadlock"));
    ptxrun_set_option("RACE", "1");
    expect("race", faults([&] { racing<<<1, 64>>>(p); }, cudaErrorLaunchFailure, "race"));
    ptxrun_set_option("RACE", nullptr);
    ptxrun_set_option("FAIL_LAUNCH", "2");
    expect("FAIL_LAUNCH: the second one", faults(
                                              [&] {
                                                  write_at<<<1, 1>>>(p, 0);
                                                  CK(cudaDeviceSynchronize());
                                                  write_at<<<1, 1>>>(p, 0);
                                              },
                                              cudaErrorLaunchFailure, "FAIL_LAUNCH"));
    ptxrun_set_option("FAULT", nullptr);
    write_at<<<1, 64>>>(p, 0);
    CK(cudaDeviceSynchronize());
    expect("work goes on", download(p, 64) == std::vector<int>(64, 1));
}

int main()
{
    test_bytes();
    test_touches();
    test_work();
    test_options();
    test_faults();
    return finish();
}
