// The CPU backend: its device object and the tables of ops, one table per instruction set.
#ifndef OCT_CPU_DEVICE_H
#define OCT_CPU_DEVICE_H

#include "base/check.h"
#include "base/thread_team.h"
#include "octet/backend.h"

// Scores of one query row that the FP32 attention holds at a time = the longest context it takes.
#define CPU_MAX_POSITIONS 65536

typedef struct cpu_device {
    oct_device base; // first: an oct_device * is a cpu_device *
    oct_team *team;  // owned
    const char *isa;
    float *scores; // [n_threads][CPU_MAX_POSITIONS] owned; scratch of the FP32 attention
} cpu_device;

static inline cpu_device *cpu_of(oct_device *device)
{
    return (cpu_device *)device;
}

// The address of a buffer; NULL where it is absent.
static inline void *cpu_ptr(oct_buf buf)
{
    return buf.mem == NULL ? NULL : (char *)buf.mem + buf.offset;
}

// The same sources compiled per instruction set: cpu_<op>.c gives <op>_scalar, <op>_avx2, ...
#ifndef CPU_ISA
#define CPU_ISA scalar
#endif
#define CPU_JOIN_(a, b) a##_##b
#define CPU_JOIN(a, b)  CPU_JOIN_(a, b)
#define CPU_FN(name)    CPU_JOIN(name, CPU_ISA)

oct_status CPU_FN(cpu_linear_plan)(oct_device *device, oct_format format, int32_t n_rows, int32_t n,
                                   int32_t k, char *text, size_t size);
// Refuses: the instruction set (--isa) is the only choice here.
oct_status cpu_linear_force(oct_device *device, oct_format format, const char *choice);
oct_status CPU_FN(cpu_embed)(oct_device *device, const oct_embed_args *args);
oct_status CPU_FN(cpu_norm)(oct_device *device, const oct_norm_args *args);
oct_status CPU_FN(cpu_linear)(oct_device *device, const oct_linear_args *args);
oct_status CPU_FN(cpu_attend)(oct_device *device, const oct_attend_args *args);
oct_status CPU_FN(cpu_score)(oct_device *device, const oct_score_args *args);
oct_status cpu_sample(oct_device *device, const oct_sample_args *args);
oct_status cpu_observe(oct_device *device, const oct_observe_args *args);

// One weight layout for all instruction sets. INT8: [N/16][K64/4][16][4], K64 = K rounded up to 64;
// F32: [N/16][K][16]; N rounded up to 16, the rest zero.
size_t cpu_linear_bytes(oct_device *device, oct_format format, int32_t n, int32_t k);
oct_status cpu_linear_pack(oct_device *device, oct_buf dst, oct_format format, int32_t n, int32_t k,
                           const void *src);

// Limits of the processor, by the instructions of cpu_limits.c (one build for each instruction
// set).
oct_status cpu_limits(oct_device *device, size_t bytes, oct_limits *out);

#define CPU_PANEL 16 // rows of W (columns of the product) in a panel

static inline int32_t cpu_k64(int32_t k)
{
    return (k + 63) / 64 * 64;
}
// Element (n, k) of a packed weight.
static inline size_t cpu_packed_i8(int32_t n, int32_t k, int32_t k_total)
{
    return ((size_t)(n / 16) * (size_t)(cpu_k64(k_total) / 4) + (size_t)(k / 4)) * 64 +
           (size_t)(n % 16) * 4 + (size_t)(k % 4);
}
static inline size_t cpu_packed_f32(int32_t n, int32_t k, int32_t k_total)
{
    return ((size_t)(n / 16) * (size_t)k_total + (size_t)k) * 16 + (size_t)(n % 16);
}

extern const oct_ops cpu_ops_scalar;
#ifdef CPU_HAVE_X86
extern const oct_ops cpu_ops_avx2;
extern const oct_ops cpu_ops_avx512vnni;
#endif

#endif
