// LOAD, CPU backend: weights into the one packed layout that all instruction sets read.
#include "cpu/cpu_device.h"

#include <string.h>

static int32_t round_up(int32_t x, int32_t multiple)
{
    return (x + multiple - 1) / multiple * multiple;
}

size_t cpu_linear_bytes(oct_device *device, oct_format format, int32_t n, int32_t k)
{
    (void)device;
    size_t rows = (size_t)round_up(n, CPU_PANEL);
    return format == OCT_FORMAT_F32 ? rows * (size_t)k * sizeof(float) : rows * (size_t)cpu_k64(k);
}

typedef struct pack_job {
    void *dst;
    const void *src; // [n][k]
    oct_format format;
    int32_t n, k;
} pack_job;

static void pack_rank(void *user, int rank, int size)
{
    const pack_job *job = user;
    int64_t begin, end;
    oct_team_range(job->n, CPU_PANEL, rank, size, &begin, &end);
    for (int32_t n = (int32_t)begin; n < (int32_t)end; n++) {
        if (job->format == OCT_FORMAT_F32) {
            const float *row = (const float *)job->src + (size_t)n * (size_t)job->k;
            float *dst = job->dst;
            for (int32_t k = 0; k < job->k; k++) {
                dst[cpu_packed_f32(n, k, job->k)] = row[k];
            }
        } else {
            const int8_t *row = (const int8_t *)job->src + (size_t)n * (size_t)job->k;
            int8_t *dst = job->dst;
            for (int32_t k = 0; k < job->k; k++) {
                dst[cpu_packed_i8(n, k, job->k)] = row[k];
            }
        }
    }
}

oct_status cpu_linear_pack(oct_device *device, oct_buf dst, oct_format format, int32_t n, int32_t k,
                           const void *src)
{
    memset(cpu_ptr(dst), 0, cpu_linear_bytes(device, format, n, k));
    pack_job job = {cpu_ptr(dst), src, format, n, k};
    oct_team_run(cpu_of(device)->team, pack_rank, &job);
    return OCT_OK;
}

oct_status cpu_linear_force(oct_device *device, oct_format format, const char *choice)
{
    (void)device;
    (void)format;
    OCT_REQUIRE(choice == NULL, OCT_ERR_ARG,
                "the CPU backend chooses by instruction set alone, got \"%s\"", choice);
    return OCT_OK;
}
