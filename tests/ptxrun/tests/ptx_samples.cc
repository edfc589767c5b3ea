// Checks the three kernels against plain C, bit for bit, and prints a hash of every result.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>
#include "sample_exp.h"
#include "sample_kernels.h"
#define CK(x)                                                                                      \
    do {                                                                                           \
        cudaError_t e_ = (x);                                                                      \
        if (e_) {                                                                                  \
            printf("%s:%d %s -> %s\n", __FILE__, __LINE__, #x, cudaGetErrorString(e_));            \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
static uint32_t rs = 12345;
static uint32_t rnd()
{
    rs ^= rs << 13;
    rs ^= rs >> 17;
    rs ^= rs << 5;
    return rs;
}
static float frnd()
{
    return (int)(rnd() % 20001 - 10000) / 10000.0f;
}
static double now()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}
template <class T> struct Dev {
    T *p = nullptr;
    size_t n;
    Dev(size_t n_) : n(n_) { CK(cudaMalloc((void **)&p, n * sizeof(T))); }
    Dev(const std::vector<T> &v) : Dev(v.size())
    {
        CK(cudaMemcpy(p, v.data(), n * sizeof(T), cudaMemcpyHostToDevice));
    }
    ~Dev() { cudaFree(p); }
    std::vector<T> get()
    {
        std::vector<T> v(n);
        CK(cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
        return v;
    }
};
static int passed = 0, failed = 0;
static void check(const char *what, size_t bad, size_t n, uint64_t h)
{
    printf("%s %-44s %zu of %zu differ  hash %016llx\n", bad ? "FAIL" : "ok  ", what, bad, n,
           (unsigned long long)h);
    bad ? failed++ : passed++;
}
template <class T> static uint64_t fnv(const std::vector<T> &v)
{
    uint64_t h = 1469598103934665603ull;
    const unsigned char *p = (const unsigned char *)v.data();
    for (size_t i = 0; i < v.size() * sizeof(T); i++) {
        h = (h ^ p[i]) * 1099511628211ull;
    }
    return h;
}
static void t_gemm(int M, int N, int K, bool extreme)
{
    std::vector<int8_t> X((size_t)M * K), W((size_t)N * K);
    std::vector<float> sx(M), sw(N), bias(N);
    for (auto &v : X) {
        v = extreme ? -128 : (int8_t)rnd();
    }
    for (auto &v : W) {
        v = extreme ? -128 : (int8_t)rnd();
    }
    for (auto &v : sx) {
        v = 0.01f + fabsf(frnd()) * 0.01f;
    }
    for (auto &v : sw) {
        v = 0.002f + fabsf(frnd()) * 0.001f;
    }
    for (auto &v : bias) {
        v = frnd();
    }
    Dev<int8_t> dX(X), dW(W);
    Dev<float> dsx(sx), dsw(sw), db(bias);
    Dev<__half> dY((size_t)M * N);
    Dev<int> dA((size_t)M * N);
    cudaStream_t st;
    CK(cudaStreamCreate(&st));
    CK(gemm_w8a8(dX.p, dW.p, dsx.p, dsw.p, db.p, dY.p, dA.p, M, N, K, st));
    CK(cudaStreamSynchronize(st));
    auto Y = dY.get();
    auto A = dA.get();
    size_t bad = 0, badh = 0;
    for (int m = 0; m < M; m++) {
        for (int n = 0; n < N; n++) {
            int a = 0;
            for (int k = 0; k < K; k++) {
                a += (int)X[(size_t)m * K + k] * (int)W[(size_t)n * K + k];
            }
            bad += a != A[(size_t)m * N + n];
            float y = (float)a * sx[m];
            y = y * sw[n];
            y = y + bias[n];
            __half h = __float2half_rn(y);
            badh += memcmp(&h, &Y[(size_t)m * N + n], 2) != 0;
        }
    }
    char t[100];
    snprintf(t, 100, "gemm %dx%dx%d%s s32", M, N, K, extreme ? " all -128" : "");
    check(t, bad, A.size(), fnv(A));
    snprintf(t, 100, "gemm %dx%dx%d%s f16", M, N, K, extreme ? " all -128" : "");
    check(t, badh, Y.size(), fnv(Y));
    CK(cudaStreamDestroy(st));
}
static float tree(float *v, bool mx)
{
    for (int o = 16; o; o >>= 1) {
        float t[32];
        for (int i = 0; i < 32; i++) {
            t[i] = mx ? fmaxf(v[i], v[i ^ o]) : v[i] + v[i ^ o];
        }
        memcpy(v, t, sizeof t);
    }
    return v[0];
}
static void t_ln(int M, int N)
{
    std::vector<__half> x((size_t)M * N);
    std::vector<float> g(N), b(N);
    for (auto &v : x) {
        v = __float2half_rn(frnd() * 4);
    }
    for (auto &v : g) {
        v = 1 + frnd() * .3f;
    }
    for (auto &v : b) {
        v = frnd() * .1f;
    }
    Dev<__half> dx(x);
    Dev<float> dg(g), db(b), ds(M);
    Dev<int8_t> dq((size_t)M * N);
    CK(ln_quant(dx.p, dg.p, db.p, dq.p, ds.p, M, N, 1e-5f, 0));
    CK(cudaDeviceSynchronize());
    auto q = dq.get();
    auto s = ds.get();
    size_t bad = 0, bads = 0;
    std::vector<float> y(N);
    for (int m = 0; m < M; m++) {
        float l[32] = {};
        for (int i = 0; i < N / 2; i++) {
            float a = __half2float(x[(size_t)m * N + 2 * i]),
                  c = __half2float(x[(size_t)m * N + 2 * i + 1]);
            y[2 * i] = a;
            y[2 * i + 1] = c;
            l[i % 32] = l[i % 32] + (a + c);
        }
        float mean = tree(l, false) / (float)N;
        float v2[32] = {};
        for (int i = 0; i < N; i++) {
            float d = y[i] - mean;
            v2[i / 2 % 32] = __builtin_fmaf(d, d, v2[i / 2 % 32]);
        }
        float var = tree(v2, false) / (float)N, r = 1.0f / sqrtf(var + 1e-5f), mx[32] = {};
        for (int i = 0; i < N; i++) {
            float t = (y[i] - mean) * r;
            y[i] = __builtin_fmaf(t, g[i], b[i]);
            mx[i / 2 % 32] = fmaxf(mx[i / 2 % 32], fabsf(y[i]));
        }
        float mm = tree(mx, true), sc = mm / 127.f, inv = 127.f / mm;
        bads += memcmp(&sc, &s[m], 4) != 0;
        for (int i = 0; i < N; i++) {
            int v = (int)rintf(y[i] * inv);
            v = v < -127 ? -127 : v > 127 ? 127 : v;
            bad += v != q[(size_t)m * N + i];
        }
    }
    char t[100];
    snprintf(t, 100, "ln_quant %dx%d s8", M, N);
    check(t, bad, q.size(), fnv(q));
    snprintf(t, 100, "ln_quant %dx%d scales", M, N);
    check(t, bads, s.size(), fnv(s));
}
static void t_attn(int H, int T, int S, bool graph)
{
    const int D = 64;
    std::vector<int8_t> q(H * D), k((size_t)H * T * D), v((size_t)H * T * D);
    std::vector<float> sq(H), sk((size_t)H * T), sv((size_t)H * T);
    for (auto &e : q) {
        e = rnd();
    }
    for (auto &e : k) {
        e = rnd();
    }
    for (auto &e : v) {
        e = rnd();
    }
    for (auto &e : sq) {
        e = .02f + .01f * fabsf(frnd());
    }
    for (auto &e : sk) {
        e = .01f + .005f * fabsf(frnd());
    }
    for (auto &e : sv) {
        e = .01f + .005f * fabsf(frnd());
    }
    Dev<int8_t> dq(q), dk(k), dv(v);
    Dev<float> dsq(sq), dsk(sk), dsv(sv), dp((size_t)H * S * (D + 2));
    Dev<__half> dout(H * D);
    Dev<int> dc(H), ds((size_t)H * T);
    cudaStream_t st;
    CK(cudaStreamCreate(&st));
    CK(cudaMemsetAsync(dc.p, 0, H * 4, st));
    if (graph) {
        cudaGraph_t g;
        cudaGraphExec_t x;
        CK(cudaStreamBeginCapture(st, cudaStreamCaptureModeGlobal));
        CK(attn_decode(dq.p, dsq.p, dk.p, dsk.p, dv.p, dsv.p, dout.p, dp.p, dc.p, ds.p, H, T, S,
                       st));
        CK(cudaStreamEndCapture(st, &g));
        CK(cudaGraphInstantiate(&x, g, 0));
        for (int i = 0; i < 3; i++) {
            CK(cudaGraphLaunch(x, st));
        }
        CK(cudaStreamSynchronize(st));
        CK(cudaGraphExecDestroy(x));
        CK(cudaGraphDestroy(g));
    } else {
        CK(attn_decode(dq.p, dsq.p, dk.p, dsk.p, dv.p, dsv.p, dout.p, dp.p, dc.p, ds.p, H, T, S,
                       st));
        CK(cudaStreamSynchronize(st));
    }
    auto o = dout.get();
    auto sc = ds.get();
    size_t bad = 0, bads = 0;
    int per = (T + S - 1) / S;
    for (int h = 0; h < H; h++) {
        std::vector<float> M(S), L(S), A((size_t)S * D);
        for (int s = 0; s < S; s++) {
            int t0 = s * per, n = T - t0 < per ? T - t0 : per;
            std::vector<float> p(per);
            float mx = -3e38f;
            for (int t = 0; t < n; t++) {
                int a = 0;
                for (int d = 0; d < D; d++) {
                    a += q[h * D + d] * k[((size_t)h * T + t0 + t) * D + d];
                }
                bads += a != sc[(size_t)h * T + t0 + t];
                float f = (float)a * sq[h];
                f = f * sk[(size_t)h * T + t0 + t];
                f = f * .125f;
                p[t] = f;
                mx = fmaxf(mx, f);
            }
            float e[128] = {};
            for (int t = 0; t < n; t++) {
                float x = det_exp(p[t] - mx);
                e[t % 128] += x;
                p[t] = x * sv[(size_t)h * T + t0 + t];
            }
            float sum = (tree(e, 0) + tree(e + 32, 0)) + (tree(e + 64, 0) + tree(e + 96, 0));
            M[s] = mx;
            L[s] = sum;
            for (int d = 0; d < D; d++) {
                float a[2] = {};
                for (int t = 0; t < n; t++) {
                    a[t & 1] =
                        __builtin_fmaf(p[t], (float)v[((size_t)h * T + t0 + t) * D + d], a[t & 1]);
                }
                A[s * D + d] = a[0] + a[1];
            }
        }
        float m = -3e38f;
        for (int s = 0; s < S; s++) {
            m = fmaxf(m, M[s]);
        }
        for (int d = 0; d < D; d++) {
            float num = 0, den = 0;
            for (int s = 0; s < S; s++) {
                float c = det_exp(M[s] - m);
                num = __builtin_fmaf(A[s * D + d], c, num);
                den = __builtin_fmaf(L[s], c, den);
            }
            __half r = __float2half_rn(num / den);
            bad += memcmp(&r, &o[h * D + d], 2) != 0;
        }
    }
    char t[100];
    snprintf(t, 100, "attn H%d T%d S%d%s scores s32", H, T, S, graph ? " graph x3" : "");
    check(t, bads, sc.size(), fnv(sc));
    snprintf(t, 100, "attn H%d T%d S%d%s out f16", H, T, S, graph ? " graph x3" : "");
    check(t, bad, o.size(), fnv(o));
    CK(cudaStreamDestroy(st));
}
static void bench(int M, int N, int K, int it)
{
    Dev<int8_t> dX((size_t)M * K), dW((size_t)N * K);
    Dev<float> s(M > N ? M : N);
    Dev<__half> dY((size_t)M * N);
    CK(cudaMemset(dX.p, 1, (size_t)M * K));
    CK(cudaMemset(dW.p, 1, (size_t)N * K));
    CK(cudaMemset(s.p, 0, s.n * 4));
    gemm_w8a8(dX.p, dW.p, s.p, s.p, s.p, dY.p, nullptr, M, N, K, 0);
    cudaDeviceSynchronize();
    double t = now();
    for (int i = 0; i < it; i++) {
        gemm_w8a8(dX.p, dW.p, s.p, s.p, s.p, dY.p, nullptr, M, N, K, 0);
    }
    cudaDeviceSynchronize();
    t = (now() - t) / it;
    double tiles = (double)((M + 63) / 64) * ((N + 63) / 64) * 64 * 64 * K;
    printf("bench gemm %dx%dx%d: %.3f ms, useful %.3f GMAC/s, executed %.3f GMAC/s\n", M, N, K,
           t * 1e3, (double)M * N * K / t * 1e-9, tiles / t * 1e-9);
}
static void bench2()
{
    {
        int M = 16, N = 768;
        Dev<__half> x((size_t)M * N);
        Dev<float> g(N), s(M);
        Dev<int8_t> q((size_t)M * N);
        CK(cudaMemset(x.p, 1, x.n * 2));
        CK(cudaMemset(g.p, 0, N * 4));
        double t = now();
        for (int i = 0; i < 20; i++) {
            ln_quant(x.p, g.p, g.p, q.p, s.p, M, N, 1e-5f, 0);
        }
        cudaDeviceSynchronize();
        printf("bench ln_quant 16x768: %.3f ms\n", (now() - t) / 20 * 1e3);
    }
    {
        int H = 12, T = 128, S = 2;
        Dev<int8_t> q(H * 64), k((size_t)H * T * 64);
        Dev<float> s((size_t)H * T), p((size_t)H * S * 66);
        Dev<__half> o(H * 64);
        Dev<int> c(H);
        CK(cudaMemset(c.p, 0, H * 4));
        CK(cudaMemset(k.p, 1, k.n));
        CK(cudaMemset(q.p, 1, q.n));
        CK(cudaMemset(s.p, 0, s.n * 4));
        double t = now();
        for (int i = 0; i < 20; i++) {
            attn_decode(q.p, s.p, k.p, s.p, k.p, s.p, o.p, p.p, c.p, nullptr, H, T, S, 0);
        }
        cudaDeviceSynchronize();
        printf("bench attn_decode 12 heads T=128 (one token): %.3f ms\n", (now() - t) / 20 * 1e3);
    }
}
static void fwd(const char *nm, int L, int D, int V, int T)
{
    int H = D / 64;
    size_t F = 4 * (size_t)D;
    Dev<int8_t> w((size_t)V * D > F * D ? (size_t)V * D : F * D), x((size_t)64 * F),
        kv((size_t)H * T * 64);
    Dev<float> s((size_t)(V > (int)F ? V : (int)F) + 64);
    Dev<__half> y((size_t)64 * V + 64 * F);
    Dev<int> c(H);
    Dev<float> p((size_t)H * 66);
    CK(cudaMemset(w.p, 1, w.n));
    CK(cudaMemset(x.p, 1, x.n));
    CK(cudaMemset(s.p, 0, s.n * 4));
    CK(cudaMemset(y.p, 0, y.n * 2));
    CK(cudaMemset(c.p, 0, c.n * 4));
    CK(cudaMemset(kv.p, 1, kv.n));
    double tg = 0, tl = 0, ta = 0, th = 0;
    auto G = [&](int N, int K) {
        double t = now();
        CK(gemm_w8a8(x.p, w.p, s.p, s.p, s.p, y.p, nullptr, T, N, K, 0));
        tg += now() - t;
    };
    double t0 = now();
    for (int l = 0; l < L; l++) {
        for (int i = 0; i < 2; i++) {
            double t = now();
            CK(ln_quant(y.p, s.p, s.p, x.p, s.p, T, D, 1e-5f, 0));
            tl += now() - t;
        }
        G(3 * D, D);
        G(D, D);
        G((int)F, D);
        G(D, (int)F);
        double t = now();
        for (int q = 0; q < T; q++) {
            CK(attn_decode(x.p, s.p, kv.p, s.p, kv.p, s.p, y.p, p.p, c.p, nullptr, H, q + 1, 1, 0));
        }
        ta += now() - t;
    }
    {
        double t = now();
        CK(gemm_w8a8(x.p, w.p, s.p, s.p, s.p, y.p, nullptr, T, V, D, 0));
        th = now() - t;
    }
    printf("fwd %s L%d D%d V%d, %d tokens: %.3f s  (block gemms %.3f, lm head %.3f, ln %.3f, "
           "attention "
           "%.3f)\n",
           nm, L, D, V, T, now() - t0, tg, th, tl, ta);
}
int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "fwd")) {
        fwd("3M", 4, 256, 1024, 16);
        fwd("124M", 12, 768, 50258, 16);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "bench")) {
        bench(64, 64, 1024, 200);
        bench(16, 768, 768, 20);
        bench(16, 3072, 768, 10);
        bench(64, 3072, 768, 10);
        bench(256, 768, 3072, 5);
        bench2();
        return 0;
    }
    t_gemm(64, 64, 64, false);
    t_gemm(64, 64, 192, false);
    t_gemm(1, 66, 128, false);
    t_gemm(130, 200, 256, false);
    t_gemm(16, 64, 3072, true);
    t_ln(5, 128);
    t_ln(9, 768);
    t_attn(3, 1, 1, false);
    t_attn(12, 100, 3, false);
    t_attn(4, 128, 2, true);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
