// One-hot and random operands through mma, ldmatrix and cp.async: every lane, register and byte.
// The hash printed at the end is meant to be compared with a run on real hardware.
#include <cuda_runtime.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>
// The layouts as the PTX ISA words them, written independently of src/mma_layout.h.
struct Element {
    int i, k;
};
static Element fragment_a(int lane, int n)
{ // a0..a15
    const int group = lane >> 2, thread = lane % 4;
    const int row = n < 4 || (n >= 8 && n < 12) ? group : group + 8;
    return {row, n < 8 ? thread * 4 + (n & 3) : thread * 4 + (n & 3) + 16};
}
static Element fragment_b(int lane, int n)
{ // b0..b7: column, row of B
    const int group = lane >> 2, thread = lane % 4;
    return {group, n < 4 ? thread * 4 + (n & 3) : thread * 4 + (n & 3) + 16};
}
static Element fragment_c(int lane, int n)
{ // c0..c3
    return {n < 2 ? lane >> 2 : (lane >> 2) + 8, lane % 4 * 2 + (n & 1)};
}
struct LdsmSource {
    int lane, byte;
};
static LdsmSource ldmatrix_source(int lane, int matrix, int byte)
{
    return {matrix * 8 + lane / 4, lane % 4 * 4 + byte};
}

cudaError_t L_mma(const uint32_t *, const uint32_t *, const int *, int *, int, int);
cudaError_t L_ldm(const uint32_t *, const int *, uint32_t *, int);
cudaError_t L_cp(const int8_t *, int8_t *);
cudaError_t L_misc(const uint32_t *, uint32_t *);
static uint32_t s = 1;
static uint32_t rnd()
{
    s = s * 1664525u + 1013904223u;
    uint32_t r = s >> 8;
    s = s * 1664525u + 1013904223u;
    return r << 16 ^ s >> 8;
}
template <class T> T *up(const std::vector<T> &v)
{
    T *p;
    cudaMalloc((void **)&p, v.size() * sizeof(T));
    cudaMemcpy(p, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice);
    return p;
}
template <class T> void down(std::vector<T> &v, T *p)
{
    cudaDeviceSynchronize();
    cudaMemcpy(v.data(), p, v.size() * sizeof(T), cudaMemcpyDeviceToHost);
}
static int passed, failed;
static uint64_t H = 1469598103934665603ull;
template <class T> void hash(const std::vector<T> &v)
{
    auto p = (const unsigned char *)v.data();
    for (size_t i = 0; i < v.size() * sizeof(T); i++) {
        H = (H ^ p[i]) * 1099511628211ull;
    }
}
static void ck(const char *n, size_t bad, size_t tot)
{
    printf("%s %s: %zu of %zu differ\n", bad ? "FAIL" : "ok  ", n, bad, tot);
    bad ? failed++ : passed++;
}
static void check_launch(cudaError_t e)
{
    if (e != cudaSuccess) {
        printf("launch: %s\n", cudaGetErrorString(e));
        exit(2);
    }
}

// D = A * B + C of one trial from the registers of the 32 lanes; returns how many results differ.
static size_t check_mma(const uint32_t *A, const uint32_t *B, const int *C, const int *D)
{
    int8_t a[16][32], b[8][32];
    uint32_t d[16][8];
    for (int l = 0; l < 32; l++) {
        for (int n = 0; n < 16; n++) {
            const Element f = fragment_a(l, n);
            a[f.i][f.k] = (int8_t)(A[l * 4 + n / 4] >> 8 * (n % 4));
        }
        for (int n = 0; n < 8; n++) {
            const Element f = fragment_b(l, n);
            b[f.i][f.k] = (int8_t)(B[l * 2 + n / 4] >> 8 * (n % 4));
        }
        for (int n = 0; n < 4; n++) {
            d[fragment_c(l, n).i][fragment_c(l, n).k] = (uint32_t)C[l * 4 + n];
        }
    }
    for (int m = 0; m < 16; m++) {
        for (int n = 0; n < 8; n++) {
            for (int k = 0; k < 32; k++) {
                d[m][n] += (uint32_t)(a[m][k] * b[n][k]);
            }
        }
    }
    size_t bad = 0;
    for (int l = 0; l < 32; l++) {
        for (int n = 0; n < 4; n++) {
            bad += (uint32_t)D[l * 4 + n] != d[fragment_c(l, n).i][fragment_c(l, n).k];
        }
    }
    return bad;
}
static void run_mma(int mode, int tile)
{
    static const struct {
        const char *name;
        int trials;
    } modes[] = {
        {"one-hot A x random B", 512}, {"random A x one-hot B", 256}, {"random, wrapping C", 300}};
    const int T = modes[mode].trials;
    std::vector<uint32_t> A(T * 128), B(T * 64);
    std::vector<int> C(T * 128), D(T * 128);
    for (auto &v : A) {
        v = mode == 0 ? 0 : rnd();
    }
    for (auto &v : B) {
        v = mode == 1 ? 0 : rnd();
    }
    for (auto &v : C) {
        v = mode == 2 ? (int)rnd() : 0;
    }
    for (int t = 0; t < T;
         t++) { // one byte that is not 0, in every lane, register and byte in turn
        if (mode == 0) {
            A[t * 128 + t / 4] = 1u << 8 * (t % 4);
        } else if (mode == 1) {
            B[t * 64 + t / 4] = 0x81u << 8 * (t % 4);
        }
    }
    int *dD = up(D);
    check_launch(L_mma(up(A), up(B), up(C), dD, T, tile));
    down(D, dD);
    hash(D);
    size_t bad = 0;
    for (int t = 0; t < T; t++) {
        bad += check_mma(&A[t * 128], &B[t * 64], &C[t * 128], &D[t * 128]);
    }
    char name[80];
    snprintf(name, sizeof name, "mma %s %s", modes[mode].name, tile ? "(tile form)" : "");
    ck(name, bad, D.size());
}
static void run_ldmatrix()
{
    const int T = 64;
    std::vector<uint32_t> img(1024), out(T * 128);
    std::vector<int> row(T * 32);
    for (auto &v : img) {
        v = rnd();
    }
    for (auto &v : row) {
        v = rnd() % 256;
    }
    uint32_t *d = up(out);
    check_launch(L_ldm(up(img), up(row), d, T));
    down(out, d);
    hash(out);
    size_t bad = 0;
    const uint8_t *S = (const uint8_t *)img.data();
    for (int t = 0; t < T; t++) {
        for (int l = 0; l < 32; l++) {
            for (int r = 0; r < 4; r++) {
                uint32_t v = 0;
                for (int b = 0; b < 4; b++) {
                    const LdsmSource q = ldmatrix_source(l, r, b);
                    v |= (uint32_t)S[row[t * 32 + q.lane] * 16 + q.byte] << 8 * b;
                }
                bad += v != out[(t * 32 + l) * 4 + r];
            }
        }
    }
    ck("ldmatrix.x4 random rows", bad, out.size());
}
static void run_cp_async()
{
    std::vector<int8_t> src(1024), out(1024);
    for (auto &v : src) {
        v = (int8_t)(rnd() | 1);
    }
    int8_t *d = up(out);
    check_launch(L_cp(up(src), d));
    down(out, d);
    hash(out);
    size_t bad = 0;
    for (int l = 0; l < 32; l++) {
        for (int i = 0; i < 16; i++) {
            const int a = (l + 7) & 31, b = (l + 9) & 31;
            bad += out[l * 16 + i] != (a % 3 ? src[a * 16 + i] : 0);
            bad += out[512 + l * 16 + i] != (b % 5 ? src[512 + (31 - b) * 16 + i] : 0);
        }
    }
    ck("cp.async 16 with zero fill, two groups", bad, 1024);
}

int main()
{
    for (int mode = 0; mode < 3; mode++) {
        run_mma(mode, 0);
        run_mma(mode, 1);
    }
    run_ldmatrix();
    run_cp_async();
    for (int t = 0; t < 200; t++) {
        std::vector<uint32_t> x(96), o(11 * 32);
        for (auto &v : x) {
            v = rnd();
        }
        uint32_t *d = up(o);
        check_launch(L_misc(up(x), d));
        down(o, d);
        hash(o);
    }
    printf("shfl, dp4a, fma, div, sqrt, rcp, cvt, f16: 70400 values hashed\nhash of every result "
           "%016llx\n%d passed, %d failed\n",
           (unsigned long long)H, passed, failed);
    return failed != 0;
}
