// The tensor instructions of sm_75: mma.m8n8k16 in every mix of signs, wrapping and saturating, and
// ldmatrix in all its forms, against plain C. One-hot operands show that every byte of every
// register has its place.
#include "cuda_test.h"

#define MMA8(NAME, SATFINITE, TA, TB)                                                              \
    __global__ void NAME(const uint32_t *a, const uint32_t *b, const int *c, int *d)               \
    {                                                                                              \
        const int l = (int)threadIdx.x, t = (int)blockIdx.x * 32 + l;                              \
        int r0, r1;                                                                                \
        asm volatile("mma.sync.aligned.m8n8k16.row.col" SATFINITE ".s32." #TA "." #TB              \
                     ".s32 {%0,%1}, {%2}, {%3}, {%4,%5};"                                          \
                     : "=r"(r0), "=r"(r1)                                                          \
                     : "r"(a[t]), "r"(b[t]), "r"(c[2 * t]), "r"(c[2 * t + 1]));                    \
        d[2 * t] = r0, d[2 * t + 1] = r1;                                                          \
    }
MMA8(mma_ss, "", s8, s8)
MMA8(mma_us, "", u8, s8)
MMA8(mma_su, "", s8, u8)
MMA8(mma_uu, "", u8, u8)
MMA8(mma_sat, ".satfinite", s8, s8)

using Kernel = void (*)(const uint32_t *, const uint32_t *, const int *, int *);

static int byte_of(uint32_t v, int e, bool u)
{
    return u ? (int)(uint8_t)(v >> 8 * e) : (int)(int8_t)(v >> 8 * e);
}

static void test_mma(const char *name, Kernel kernel, bool ua, bool ub, bool saturate)
{
    const int trials = 300;
    std::vector<uint32_t> a(trials * 32), b(trials * 32);
    std::vector<int> c(trials * 64);
    for (auto &v : a) {
        v = rnd();
    }
    for (auto &v : b) {
        v = rnd();
    }
    for (auto &v : c) {
        v = rnd() % 4   ? (int)rnd()
            : rnd() % 2 ? INT32_MAX - (int)(rnd() % 1000)
                        : INT32_MIN + (int)(rnd() % 1000);
    }
    for (int t = 0; t < 256; t++) { // one byte that is not 0, first in A, then in B
        std::vector<uint32_t> &one = t < 128 ? a : b;
        for (int l = 0; l < 32; l++) {
            one[t * 32 + l] = l == t % 128 / 4 ? 0x83u << 8 * (t % 4) : 0;
        }
    }
    int *d;
    CK(cudaMalloc((void **)&d, c.size() * 4));
    kernel<<<trials, 32>>>(upload(a), upload(b), upload(c), d);
    auto got = download(d, c.size());
    size_t wrong = 0;
    for (int t = 0; t < trials; t++) {
        for (int l = 0; l < 32; l++) {
            for (int r = 0; r < 2; r++) {
                // Row m of A lies in lanes 4m..4m+3, column n of B in lanes 4n..4n+3, four k each.
                const int m = l / 4, n = l % 4 * 2 + r;
                int64_t sum = c[(t * 32 + l) * 2 + r];
                for (int k = 0; k < 16; k++) {
                    sum += (int64_t)byte_of(a[t * 32 + 4 * m + k / 4], k % 4, ua) *
                           byte_of(b[t * 32 + 4 * n + k / 4], k % 4, ub);
                }
                if (saturate) {
                    sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
                }
                wrong += got[(t * 32 + l) * 2 + r] != (int)(uint32_t)sum;
            }
        }
    }
    report(name, wrong, got.size());
}

// Six results a lane and form: x1, x1.trans, x2 (2), x2.trans (2), x4 (4), x4.trans (4).
__global__ void ldmatrix_forms(const uint16_t *image, uint32_t *out)
{
    __shared__ __align__(128) uint16_t s[32][8];
    const int l = (int)threadIdx.x;
    for (int k = 0; k < 8; k++) {
        s[l][k] = image[l * 8 + k];
    }
    __syncthreads();
    const unsigned row = (unsigned)__cvta_generic_to_shared(&s[l][0]);
    uint32_t r[14];
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(r[1])
                 : "r"(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[2]), "=r"(r[3])
                 : "r"(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[4]), "=r"(r[5])
                 : "r"(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[6]), "=r"(r[7]), "=r"(r[8]), "=r"(r[9])
                 : "r"(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[10]), "=r"(r[11]), "=r"(r[12]), "=r"(r[13])
                 : "r"(row));
    for (int k = 0; k < 14; k++) {
        out[k * 32 + l] = r[k];
    }
}
static void test_ldmatrix()
{
    std::vector<uint16_t> image(256);
    for (size_t k = 0; k < image.size(); k++) {
        image[k] = (uint16_t)(k * 257 + 1); // all different
    }
    uint32_t *out;
    CK(cudaMalloc((void **)&out, 14 * 32 * 4));
    ldmatrix_forms<<<1, 32>>>(upload(image), out);
    auto got = download(out, 14 * 32);
    static const struct {
        int matrix;
        bool trans;
    } forms[14] = {{0, false}, {0, true},  {0, false}, {1, false}, {0, true}, {1, true}, {0, false},
                   {1, false}, {2, false}, {3, false}, {0, true},  {1, true}, {2, true}, {3, true}};
    size_t wrong = 0;
    for (int f = 0; f < 14; f++) {
        for (int l = 0; l < 32; l++) {
            const int i = l / 4, j = l % 4 * 2;
            auto at = [&](int row, int col) {
                return (uint32_t)image[(forms[f].matrix * 8 + row) * 8 + col];
            };
            const uint32_t want =
                forms[f].trans ? at(j, i) | at(j + 1, i) << 16 : at(i, j) | at(i, j + 1) << 16;
            wrong += got[f * 32 + l] != want;
        }
    }
    report("ldmatrix x1, x2, x4, each also .trans", wrong, got.size());
}

int main()
{
    test_mma("mma.m8n8k16 s8 s8", mma_ss, false, false, false);
    test_mma("mma.m8n8k16 u8 s8", mma_us, true, false, false);
    test_mma("mma.m8n8k16 s8 u8", mma_su, false, true, false);
    test_mma("mma.m8n8k16 u8 u8", mma_uu, true, true, false);
    test_mma("mma.m8n8k16 satfinite", mma_sat, false, false, true);
    test_ldmatrix();
    return finish();
}
