// What Octet's kernels use beyond the other tests: conversions with saturation, 64-bit products,
// atomics of all widths, every shuffle, large parameters, cache hints, last-block patterns, CUB.
// Compiled for 80 and 90a.
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>

#include "cuda_test.h"

// ---- conversions --------------------------------------------------------------------------------
__global__ void convert(const float *x, const int *v, uint32_t *out, int n)
{
    const int t = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (t + 1 >= n) {
        return;
    }
    uint32_t r[6];
    uint16_t h;
    asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(r[0]) : "f"(x[t]), "f"(x[t + 1]));
    asm("cvt.rn.satfinite.f16.f32 %0, %1;" : "=h"(h) : "f"(x[t]));
    r[1] = h;
    asm("cvt.rn.relu.f16x2.f32 %0, %1, %2;" : "=r"(r[2]) : "f"(x[t]), "f"(x[t + 1]));
    asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, %3;"
        : "=r"(r[3])
        : "r"(v[t]), "r"(v[t + 1]), "r"(r[1]));
    asm("cvt.pack.sat.u8.s32.b32 %0, %1, %2, %3;"
        : "=r"(r[4])
        : "r"(v[t]), "r"(v[t + 1]), "r"(r[1]));
    asm("cvt.pack.sat.s16.s32 %0, %1, %2;" : "=r"(r[5]) : "r"(v[t]), "r"(v[t + 1]));
    for (int k = 0; k < 6; k++) {
        out[t * 6 + k] = r[k];
    }
}
static uint32_t half_bits(float f)
{
    const __half h = __float2half_rn(f);
    uint16_t u;
    memcpy(&u, &h, 2);
    return u;
}
static uint32_t finite_bits(float f)
{
    return std::isnan(f) ? 0x7fff : half_bits(std::min(std::max(f, -65504.0f), 65504.0f));
}
static uint32_t saturated(int v, int lo, int hi, uint32_t mask)
{
    return (uint32_t)std::min(std::max(v, lo), hi) & mask;
}
static void test_convert()
{
    const int n = 4096;
    static const float edge[] = {65504,     65519.99f, 65520,  65536,   1e30f, -1e30f, INFINITY,
                                 -INFINITY, NAN,       -65519, 6.0e-8f, 0,     -0.0f,  1.0f / 3};
    std::vector<float> x(n);
    std::vector<int> v(n);
    for (int k = 0; k < n; k++) {
        x[k] = k % 3 == 0 ? edge[rnd() % 14]
                          : ((float)rnd() - 2147483648.0f) * (k % 2 ? 1e-7f : 1e-4f);
        v[k] = (int)rnd() >> rnd() % 32;
    }
    uint32_t *out;
    CK(cudaMalloc((void **)&out, n * 6 * 4));
    convert<<<n / 128, 128>>>(upload(x), upload(v), out, n);
    auto got = download(out, (size_t)n * 6);
    size_t wrong = 0;
    for (int t = 0; t + 1 < n; t++) {
        auto relu = [](float f) { return std::isnan(f) ? 0x7fffu : half_bits(f < 0 ? 0.0f : f); };
        const uint32_t one = finite_bits(x[t]);
        const uint32_t want[6] = {
            one << 16 | finite_bits(x[t + 1]),
            one,
            relu(x[t]) << 16 | relu(x[t + 1]),
            one << 16 | saturated(v[t], -128, 127, 255) << 8 | saturated(v[t + 1], -128, 127, 255),
            one << 16 | saturated(v[t], 0, 255, 255) << 8 | saturated(v[t + 1], 0, 255, 255),
            saturated(v[t], -32768, 32767, 65535) << 16 |
                saturated(v[t + 1], -32768, 32767, 65535)};
        for (int k = 0; k < 6; k++) {
            const bool minus_zero = k == 2 && ((got[t * 6 + k] ^ want[k]) & ~0x80008000u) == 0 &&
                                    (x[t] == 0 || x[t + 1] == 0); // relu(-0): not documented
            wrong += got[t * 6 + k] != want[k] && !minus_zero;
        }
    }
    report("cvt satfinite, relu, pack", wrong, (size_t)n * 6);
}

// ---- 64-bit integers, doubles -------------------------------------------------------------------
__global__ void wide(const uint64_t *in, uint64_t *out)
{
    const int t = (int)threadIdx.x;
    const uint64_t a = in[3 * t], b = in[3 * t + 1], c = in[3 * t + 2];
    uint64_t *o = out + 8 * t;
    o[0] = __umul64hi(a, b);
    o[1] = (uint64_t)__mul64hi((long long)a, (long long)b);
    o[2] = a * b + c;
    asm("mad.hi.u64 %0, %1, %2, %3;" : "=l"(o[3]) : "l"(a), "l"(b), "l"(c));
    o[4] = (uint64_t)__double_as_longlong(__fma_rn((double)a, (double)b, (double)c));
    o[5] = (uint64_t)__double_as_longlong(__ddiv_rn((double)(long long)a, (double)(b | 1)));
    o[6] =
        (uint64_t)__ffsll((long long)(a & 0xff00)) + (uint64_t)__clzll((long long)(b >> 9)) * 100;
    o[7] = (uint64_t)__double2ll_rn((double)(long long)c * 0.25);
}
static uint64_t double_bits(double d)
{
    uint64_t u;
    memcpy(&u, &d, 8);
    return u;
}
static void test_wide()
{
    std::vector<uint64_t> in(3 * 256);
    for (auto &v : in) {
        v = ((uint64_t)rnd() << 32 | rnd()) >> rnd() % 40;
    }
    uint64_t *out;
    CK(cudaMalloc((void **)&out, 256 * 64));
    wide<<<1, 256>>>(upload(in), out);
    auto got = download(out, 256 * 8);
    size_t wrong = 0;
    for (int t = 0; t < 256; t++) {
        const uint64_t a = in[3 * t], b = in[3 * t + 1], c = in[3 * t + 2];
        const uint64_t hi = (uint64_t)((unsigned __int128)a * b >> 64);
        const uint64_t want[8] = {hi,
                                  (uint64_t)((__int128)(int64_t)a * (int64_t)b >> 64),
                                  a * b + c,
                                  hi + c,
                                  double_bits(std::fma((double)a, (double)b, (double)c)),
                                  double_bits((double)(int64_t)a / (double)(b | 1)),
                                  (uint64_t)__builtin_ffsll((int64_t)(a & 0xff00)) +
                                      (b >> 9 ? (uint64_t)__builtin_clzll(b >> 9) : 64) * 100,
                                  (uint64_t)std::llrint((double)(int64_t)c * 0.25)};
        for (int k = 0; k < 8; k++) {
            wrong += got[8 * t + k] != want[k];
        }
    }
    report("mul.hi.u64, mad.hi.u64, f64 fma and div, ffs, clz", wrong, 256 * 8);
}

// ---- atomics on every width, in both memories ---------------------------------------------------
struct Marks {
    int add_s, max_s, min_s;
    unsigned max_u, exch;
    unsigned long long add_l, max_l, cas_l, min_l;
    long long max_sl;
    double sum_d;
};
__device__ void all_atomics(Marks *m, int v)
{
    atomicAdd(&m->add_s, v);
    atomicMax(&m->max_s, v);
    atomicMin(&m->min_s, v);
    atomicMax(&m->max_u, (unsigned)v);
    atomicAdd(&m->add_l, (unsigned long long)(long long)v);
    atomicMax(&m->max_l, (unsigned long long)(unsigned)v << 20);
    atomicMin(&m->min_l, (unsigned long long)(unsigned)v << 3);
    atomicMax(&m->max_sl, (long long)v * 1000000007);
    atomicAdd(&m->sum_d, 0.25);
    unsigned long long old = m->cas_l, seen;
    do {
        seen = old;
        old = atomicCAS(&m->cas_l, seen, seen ^ (unsigned long long)(unsigned)v << 17);
    } while (old != seen);
    atomicExch(&m->exch, 7u);
}
__global__ void atomics(Marks *global, Marks *copy, const int *in)
{
    __shared__ Marks local;
    if (threadIdx.x == 0) {
        local = *global;
    }
    __syncthreads();
    all_atomics(&local, in[threadIdx.x]);
    __syncthreads();
    if (threadIdx.x == 0) {
        *copy = local;
    }
    __syncthreads();
    all_atomics(global, in[threadIdx.x]);
}
static void test_atomics()
{
    std::vector<int> in(128);
    for (auto &v : in) {
        v = (int)rnd();
    }
    std::vector<Marks> start(1), want(1);
    memset((void *)&start[0], 0, sizeof(Marks));
    start[0].min_l = ~0ull;
    start[0].max_sl = INT64_MIN;
    want[0] = start[0];
    Marks &w = want[0];
    for (int v : in) {
        const unsigned u = (unsigned)v;
        w.add_s = (int)((unsigned)w.add_s + u);
        w.max_s = std::max(w.max_s, v), w.min_s = std::min(w.min_s, v),
        w.max_u = std::max(w.max_u, u);
        w.add_l += (unsigned long long)(long long)v;
        w.max_l = std::max(w.max_l, (unsigned long long)u << 20);
        w.min_l = std::min(w.min_l, (unsigned long long)u << 3);
        w.max_sl = std::max(w.max_sl, (long long)v * 1000000007);
        w.cas_l ^= (unsigned long long)u << 17;
        w.sum_d += 0.25, w.exch = 7;
    }
    Marks *d = upload(start), *copy;
    CK(cudaMalloc((void **)&copy, sizeof(Marks)));
    atomics<<<1, 128>>>(d, copy, upload(in));
    auto global = download(d, 1), shared = download(copy, 1);
    auto same = [&](const Marks &a) {
        return a.add_s == w.add_s && a.max_s == w.max_s && a.min_s == w.min_s &&
               a.max_u == w.max_u && a.exch == w.exch && a.add_l == w.add_l && a.max_l == w.max_l &&
               a.cas_l == w.cas_l && a.min_l == w.min_l && a.max_sl == w.max_sl &&
               a.sum_d == w.sum_d;
    };
    expect("atomics of s32, u32, u64, s64, f64 on global memory", same(global[0]));
    expect("the same on shared memory", same(shared[0]));
}

// ---- shuffles and warp reductions ---------------------------------------------------------------
__global__ void shuffles(uint32_t *o)
{
    const int l = (int)threadIdx.x & 31;
    const unsigned v = (unsigned)l * 2654435761u;
    const unsigned long long wide_v = (unsigned long long)v << 32 | (unsigned)~l;
    unsigned r[10];
    r[0] = __shfl_sync(~0u, v, l * 7 + 3);
    r[1] = __shfl_sync(~0u, v, 5, 8);
    r[2] = __shfl_up_sync(~0u, v, 5, 16);
    r[3] = __shfl_down_sync(~0u, v, 3);
    r[4] = __shfl_xor_sync(~0u, v, 9, 16);
    r[5] = (unsigned)(__shfl_xor_sync(~0u, wide_v, 17) >> 7);
    r[6] = l < 12 ? __reduce_max_sync(0xfffu, v) : __reduce_min_sync(0xfffff000u, v);
    r[7] = (unsigned)__reduce_max_sync(~0u, (int)v) + (unsigned)__reduce_min_sync(~0u, (int)v);
    r[8] = __reduce_or_sync(~0u, v & 0xf0f0) ^ __reduce_and_sync(~0u, v | 0xff);
    r[9] = l % 3 ? __ballot_sync(0xdb6db6dbu << 1 & ~0u, 1) : 0;
    for (int k = 0; k < 10; k++) {
        o[k * 32 + l] = r[k];
    }
}
static void test_shuffles()
{
    uint32_t *d;
    CK(cudaMalloc((void **)&d, 320 * 4));
    shuffles<<<1, 32>>>(d);
    auto got = download(d, 320);
    auto v = [](int l) { return (unsigned)l * 2654435761u; };
    auto w = [&](int l) { return (unsigned long long)v(l) << 32 | (unsigned)~l; };
    unsigned max_low = 0, min_high = ~0u, ors = 0, ands = ~0u;
    int max_s = INT32_MIN, min_s = INT32_MAX;
    for (int l = 0; l < 32; l++) {
        (l < 12 ? max_low = std::max(max_low, v(l)) : min_high = std::min(min_high, v(l)));
        max_s = std::max(max_s, (int)v(l)), min_s = std::min(min_s, (int)v(l));
        ors |= v(l) & 0xf0f0, ands &= v(l) | 0xff;
    }
    size_t wrong = 0;
    for (int l = 0; l < 32; l++) {
        const unsigned want[10] = {v((l * 7 + 3) & 31),
                                   v(l / 8 * 8 + 5),
                                   v(l % 16 < 5 ? l : l - 5),
                                   v(l + 3 > 31 ? l : l + 3),
                                   v(l ^ 9),
                                   (unsigned)(w(l ^ 17) >> 7),
                                   l < 12 ? max_low : min_high,
                                   (unsigned)max_s + (unsigned)min_s,
                                   ors ^ ands,
                                   l % 3 ? 0xb6db6db6u : 0};
        for (int k = 0; k < 10; k++) {
            wrong += got[k * 32 + l] != want[k];
        }
    }
    report("shuffles of all kinds, redux of parts of a warp", wrong, 320);
}

// ---- parameters, hints, orders ------------------------------------------------------------------
struct Table {
    int v[1000]; // 4000 bytes by value
    const int *more;
    int n;
};
__global__ void large_parameter(const __grid_constant__ Table t, int *out)
{
    const int k = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    out[k] = k < t.n ? t.v[(k * 7) % 1000] * 3 + t.more[k % 8] : -1;
}
__global__ void hints(const int4 *in, int4 *out, int *flag)
{
    const int t = (int)threadIdx.x;
    const int4 a = __ldg(in + t), b = __ldcs(in + t), c = __ldcg(in + t), d = __ldca(in + t);
    int x, y, z, w;
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.s32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x), "=r"(y), "=r"(z), "=r"(w)
                 : "l"(in + t));
    __stcs(out + t, make_int4(a.x + b.y, c.z + d.w, x + y, z + w));
    asm volatile("red.release.gpu.global.add.s32 [%0], 1;" ::"l"(flag) : "memory");
    int seen;
    asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
    asm volatile("fence.acq_rel.gpu;" ::: "memory");
    if (seen < 1) {
        __trap();
    }
}
static void test_parameters()
{
    Table table;
    std::vector<int> more(8);
    for (auto &v : table.v) {
        v = (int)rnd() % 1000;
    }
    for (auto &v : more) {
        v = (int)rnd() % 1000;
    }
    table.more = upload(more);
    table.n = 250;
    int *out;
    CK(cudaMalloc((void **)&out, 256 * 4));
    large_parameter<<<2, 128>>>(table, out);
    auto got = download(out, 256);
    size_t wrong = 0;
    for (int k = 0; k < 256; k++) {
        wrong += got[k] != (k < 250 ? table.v[(k * 7) % 1000] * 3 + more[k % 8] : -1);
    }
    report("a parameter of 4 KB, indexed", wrong, 256);

    std::vector<int4> in(32);
    for (auto &v : in) {
        v = make_int4((int)rnd() % 1000, (int)rnd() % 1000, (int)rnd() % 1000, (int)rnd() % 1000);
    }
    int4 *result = upload(in);
    int *flag = upload(std::vector<int>(1, 0));
    hints<<<1, 32>>>(upload(in), result, flag);
    auto sums = download(result, 32);
    wrong = download(flag, 1)[0] != 32;
    for (int k = 0; k < 32; k++) {
        const int4 &v = in[k];
        wrong += sums[k].x != v.x + v.y || sums[k].y != v.z + v.w || sums[k].z != v.x + v.y ||
                 sums[k].w != v.z + v.w;
    }
    report("loads and stores with cache hints, acquire and release", wrong, 33);
}

// ---- cp.async -----------------------------------------------------------------------------------
__global__ void async_copies(const uint8_t *in, uint8_t *out)
{
    __shared__ __align__(16) uint8_t s[3][32][16];
    const int l = (int)threadIdx.x;
    const unsigned at = (unsigned)__cvta_generic_to_shared(&s[0][l][0]);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(at), "l"(in + l * 16));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at + 4), "l"(in + l * 16 + 4),
                 "r"(l % 5));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(at + 8), "l"(in + l * 16 + 8));
    asm volatile("cp.async.commit_group;");
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(at + 512),
                 "l"(in + 512 + l * 16), "r"(l % 17));
    asm volatile("cp.async.commit_group;");
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(at + 1024),
                 "l"(in + 1024 + l * 16));
    asm volatile("cp.async.wait_group 1;" ::: "memory");
    for (int k = 0; k < 32;
         k++) { // the first group has landed; what a lane wrote itself it may read
        out[l * 48 + k] = s[k / 16][l][k % 16];
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    for (int k = 0; k < 16; k++) {
        out[l * 48 + 32 + k] = s[2][l][k];
    }
}
static void test_async_copies()
{
    std::vector<uint8_t> in(1536);
    for (auto &v : in) {
        v = (uint8_t)(rnd() % 255 + 1);
    }
    uint8_t *out;
    CK(cudaMalloc((void **)&out, 32 * 48));
    async_copies<<<1, 32>>>(upload(in), out);
    auto got = download(out, 32 * 48);
    size_t wrong = 0;
    for (int l = 0; l < 32; l++) {
        for (int k = 0; k < 48; k++) {
            const int piece = k / 16, b = k % 16;
            uint8_t want = in[piece * 512 + l * 16 + b];
            if (piece == 0 && b >= 4 && b < 8 && b - 4 >= l % 5) {
                want = 0;
            } else if (piece == 1) {
                // wait_group 1 leaves the newest committed group in flight: a lane sees poison
                // there.
                want = 0xCC;
            }
            wrong += got[l * 48 + k] != want;
        }
    }
    report("cp.async of 4, 8 and 16 bytes, zero fill, groups in flight", wrong, 32 * 48);
}

// ---- CUB ----------------------------------------------------------------------------------------
__global__ void cub_blocks(const int *in, int *sums, int *prefix)
{
    using Reduce = cub::BlockReduce<int, 128>;
    using Scan = cub::BlockScan<int, 128>;
    __shared__ typename Reduce::TempStorage reduce;
    __shared__ typename Scan::TempStorage scan;
    const int t = (int)threadIdx.x, at = (int)blockIdx.x * 128 + t;
    const int sum = Reduce(reduce).Sum(in[at]);
    if (t == 0) {
        sums[blockIdx.x] = sum;
    }
    int p;
    Scan(scan).ExclusiveSum(in[at], p);
    prefix[at] = p;
}
static void test_cub()
{
    std::vector<int> in(256);
    for (auto &v : in) {
        v = (int)rnd() % 1000;
    }
    int *sums, *prefix;
    CK(cudaMalloc((void **)&sums, 8));
    CK(cudaMalloc((void **)&prefix, 1024));
    cub_blocks<<<2, 128>>>(upload(in), sums, prefix);
    auto got = download(sums, 2), scanned = download(prefix, 256);
    size_t wrong = 0;
    for (int b = 0; b < 2; b++) {
        int sum = 0;
        for (int k = 0; k < 128; k++) {
            wrong += scanned[b * 128 + k] != sum;
            sum += in[b * 128 + k];
        }
        wrong += got[b] != sum;
    }
    report("CUB's BlockReduce and BlockScan", wrong, 258);
}

int main()
{
    test_convert();
    test_wide();
    test_atomics();
    test_shuffles();
    test_parameters();
    test_async_copies();
    test_cub();
    return finish();
}
