// mma with every mix of s8 and u8 in both shapes, and all forms of ldmatrix, against plain C.
#include "cuda_test.h"

#define MMA(NAME, SHAPE, TA, TB)                                                                   \
    __global__ void NAME(const uint32_t *a, const uint32_t *b, const int *c, int *d)               \
    {                                                                                              \
        const int l = threadIdx.x;                                                                 \
        int r0, r1, r2, r3;                                                                        \
        asm volatile(MMA_##SHAPE(TA, TB)                                                           \
                     : "=r"(r0), "=r"(r1), "=r"(r2), "=r"(r3)                                      \
                     : "r"(a[l * 4]), "r"(a[l * 4 + 1]), "r"(a[l * 4 + 2]), "r"(a[l * 4 + 3]),     \
                       "r"(b[l * 2]), "r"(b[l * 2 + 1]), "r"(c[l * 4]), "r"(c[l * 4 + 1]),         \
                       "r"(c[l * 4 + 2]), "r"(c[l * 4 + 3]));                                      \
        d[l * 4] = r0, d[l * 4 + 1] = r1, d[l * 4 + 2] = r2, d[l * 4 + 3] = r3;                    \
    }
#define MMA_32(TA, TB)                                                                             \
    "mma.sync.aligned.m16n8k32.row.col.s32." #TA "." #TB                                           \
    ".s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
#define MMA_16(TA, TB)                                                                             \
    "mma.sync.aligned.m16n8k16.row.col.s32." #TA "." #TB                                           \
    ".s32 {%0,%1,%2,%3}, {%4,%5}, {%8}, {%10,%11,%12,%13};"
MMA(mma32_ss, 32, s8, s8)
MMA(mma32_us, 32, u8, s8)
MMA(mma32_su, 32, s8, u8)
MMA(mma32_uu, 32, u8, u8)
MMA(mma16_ss, 16, s8, s8)
MMA(mma16_us, 16, u8, s8)

using Kernel = void (*)(const uint32_t *, const uint32_t *, const int *, int *);
static void test_mma(const char *name, Kernel kernel, int K, bool ua, bool ub)
{
    size_t wrong = 0;
    for (int trial = 0; trial < 20; trial++) {
        std::vector<uint32_t> a(128), b(64);
        std::vector<int> c(128);
        for (auto &v : a) {
            v = rnd();
        }
        for (auto &v : b) {
            v = rnd();
        }
        for (auto &v : c) {
            v = (int)rnd();
        }
        int *d;
        CK(cudaMalloc((void **)&d, 512));
        kernel<<<1, 32>>>(upload(a), upload(b), upload(c), d);
        auto got = download(d, 128);
        int A[16][32], B[8][32];
        auto byte = [](uint32_t v, int e, bool u) {
            return u ? (int)(uint8_t)(v >> 8 * e) : (int)(int8_t)(v >> 8 * e);
        };
        for (int l = 0; l < 32; l++) {
            const int group = l >> 2, thread = l & 3;
            for (int r = 0; r < K / 8; r++) {
                for (int e = 0; e < 4; e++) {
                    A[group + (r % 2 ? 8 : 0)][thread * 4 + e + (r / 2 ? 16 : 0)] =
                        byte(a[l * 4 + r], e, ua);
                }
            }
            for (int r = 0; r < K / 16; r++) {
                for (int e = 0; e < 4; e++) {
                    B[group][thread * 4 + e + r * 16] = byte(b[l * 2 + r], e, ub);
                }
            }
        }
        for (int l = 0; l < 32; l++) {
            for (int r = 0; r < 4; r++) {
                const int m = (l >> 2) + (r < 2 ? 0 : 8), n = (l & 3) * 2 + (r & 1);
                uint32_t s = (uint32_t)c[l * 4 + r];
                for (int k = 0; k < K; k++) {
                    s += (uint32_t)(A[m][k] * B[n][k]);
                }
                wrong += (uint32_t)got[l * 4 + r] != s;
            }
        }
        cudaFree(d);
    }
    report(name, wrong, 20 * 128);
}

__global__ void ldmatrix_forms(const uint16_t *image, uint32_t *out)
{
    __shared__ __align__(128) uint16_t s[32][8];
    const int l = threadIdx.x;
    for (int k = 0; k < 8; k++) {
        s[l][k] = image[l * 8 + k];
    }
    __syncthreads();
    const unsigned row = (unsigned)__cvta_generic_to_shared(&s[l][0]);
    uint32_t r[4];
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(row));
    out[l] = r[0];
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(row));
    out[32 + l] = r[1];
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row));
    for (int k = 0; k < 4; k++) {
        out[64 + 32 * k + l] = r[k];
    }
}

int main()
{
    test_mma("mma.m16n8k32 s8 s8", mma32_ss, 32, false, false);
    test_mma("mma.m16n8k32 u8 s8", mma32_us, 32, true, false);
    test_mma("mma.m16n8k32 s8 u8", mma32_su, 32, false, true);
    test_mma("mma.m16n8k32 u8 u8", mma32_uu, 32, true, true);
    test_mma("mma.m16n8k16 s8 s8", mma16_ss, 16, false, false);
    test_mma("mma.m16n8k16 u8 s8", mma16_us, 16, true, false);

    std::vector<uint16_t> image(256);
    for (auto &v : image) {
        v = (uint16_t)rnd();
    }
    uint32_t *out;
    CK(cudaMalloc((void **)&out, 6 * 32 * 4));
    ldmatrix_forms<<<1, 32>>>(upload(image), out);
    auto got = download(out, 6 * 32);
    size_t wrong = 0;
    auto pair = [](uint16_t lo, uint16_t hi) { return lo | (uint32_t)hi << 16; };
    for (int l = 0; l < 32; l++) {
        auto at = [&](int matrix, int row, int col) { return image[(matrix * 8 + row) * 8 + col]; };
        const int i = l / 4, j = l % 4 * 2;
        wrong += got[l] != pair(at(0, i, j), at(0, i, j + 1));
        wrong += got[32 + l] != pair(at(1, i, j), at(1, i, j + 1));
        for (int m = 0; m < 4; m++) {
            wrong += got[64 + 32 * m + l] != pair(at(m, j, i), at(m, j + 1, i));
        }
    }
    report("ldmatrix x1, x2, x4.trans", wrong, 192);
    return finish();
}
