// The CPU backend: memory, the thread team, and the choice of instruction set.
#include "cpu/cpu_device.h"

#include "base/logging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICE_ALIGN 256

typedef struct cpu_isa {
    const char *name;
    const oct_ops *ops;
} cpu_isa;

static bool isa_is_here(const char *name)
{
    if (strcmp(name, "scalar") == 0) {
        return true;
    }
#ifdef CPU_HAVE_X86
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(name, "avx2") == 0) {
        return avx2;
    }
    if (strcmp(name, "avx512vnni") == 0) {
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vnni");
    }
#endif
    return false;
}

// In order of preference, best last.
static const cpu_isa isas[] = {
    {"scalar", &cpu_ops_scalar},
#ifdef CPU_HAVE_X86
    {"avx2", &cpu_ops_avx2},
    {"avx512vnni", &cpu_ops_avx512vnni},
#endif
};
#define N_ISAS (sizeof isas / sizeof isas[0])

size_t oct_cpu_isas(const char **names, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < N_ISAS; i++) {
        if (isa_is_here(isas[i].name)) {
            if (n < max) {
                names[n] = isas[i].name;
            }
            n++;
        }
    }
    return n;
}

static oct_status cpu_info(oct_device *device, oct_device_info *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "cpu");
    snprintf(out->isa, sizeof out->isa, "%s", cpu_of(device)->isa);
    snprintf(out->processor, sizeof out->processor, "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file != NULL) {
        char line[512];
        while (fgets(line, sizeof line, file) != NULL) {
            const char *colon = strchr(line, ':');
            if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
                line[strcspn(line, "\n")] = 0;
                snprintf(out->processor, sizeof out->processor, "%.90s", colon + 2);
                break;
            }
        }
        fclose(file);
    }
    out->n_threads = oct_team_size(cpu_of(device)->team);
    out->memory_bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    return OCT_OK;
}

static oct_status cpu_alloc(oct_device *device, size_t bytes, oct_buf *out)
{
    (void)device;
    size_t rounded = (bytes + DEVICE_ALIGN - 1) / DEVICE_ALIGN * DEVICE_ALIGN;
    void *p =
        rounded < bytes ? NULL : aligned_alloc(DEVICE_ALIGN, rounded > 0 ? rounded : DEVICE_ALIGN);
    OCT_REQUIRE(p != NULL, OCT_ERR_NOMEM, "out of memory: %zu bytes on the CPU", bytes);
    memset(p, 0, rounded > 0 ? rounded : DEVICE_ALIGN);
    *out = (oct_buf){p, 0};
    return OCT_OK;
}

static void cpu_free(oct_device *device, oct_buf buf)
{
    (void)device;
    free(buf.mem);
}

static oct_status cpu_upload(oct_device *device, oct_buf dst, const void *src, size_t bytes)
{
    (void)device;
    if (bytes > 0) {
        memcpy(cpu_ptr(dst), src, bytes);
    }
    return OCT_OK;
}

static oct_status cpu_download(oct_device *device, void *dst, oct_buf src, size_t bytes)
{
    (void)device;
    if (bytes > 0) {
        memcpy(dst, cpu_ptr(src), bytes);
    }
    return OCT_OK;
}

static oct_status cpu_copy(oct_device *device, oct_buf dst, oct_buf src, size_t bytes)
{
    (void)device;
    memcpy(cpu_ptr(dst), cpu_ptr(src), bytes);
    return OCT_OK;
}

static oct_status cpu_zero(oct_device *device, oct_buf dst, size_t bytes)
{
    (void)device;
    memset(cpu_ptr(dst), 0, bytes);
    return OCT_OK;
}

static oct_status cpu_sync(oct_device *device)
{
    (void)device;
    return OCT_OK;
}

static void cpu_close(oct_device *device)
{
    if (device == NULL) {
        return;
    }
    cpu_device *cpu = cpu_of(device);
    oct_team_close(cpu->team);
    free(cpu->scores);
    free(cpu);
}

static const oct_device_table cpu_table = {
    .abi = OCT_BACKEND_ABI,
    .size = sizeof(oct_device_table),
    .name = "cpu",
    .info = cpu_info,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_upload,
    .download = cpu_download,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .sync = cpu_sync,
    .limits = cpu_limits,
    .close = cpu_close,
};

static oct_status pick_isa(const char *asked, const cpu_isa **out)
{
    *out = NULL;
    char known[128] = "";
    for (size_t i = 0; i < N_ISAS; i++) {
        bool here = isa_is_here(isas[i].name);
        if (asked == NULL && here) {
            *out = &isas[i];
        }
        if (asked != NULL && strcmp(asked, isas[i].name) == 0) {
            OCT_REQUIRE(here, OCT_ERR_DEVICE, "instruction set %s: this processor does not have it",
                        asked);
            *out = &isas[i];
        }
        strncat(known, i > 0 ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, isas[i].name, sizeof known - strlen(known) - 1);
    }
    OCT_REQUIRE(*out != NULL, OCT_ERR_ARG, "instruction set: expected one of %s, got \"%s\"", known,
                asked);
    return OCT_OK;
}

oct_status oct_cpu_device_open(oct_device **out, int32_t n_threads, const char *isa)
{
    *out = NULL;
    const cpu_isa *pick;
    OCT_TRY(pick_isa(isa, &pick));
    cpu_device *cpu = calloc(1, sizeof *cpu);
    OCT_REQUIRE(cpu != NULL, OCT_ERR_NOMEM, "out of memory: CPU device");
    cpu->base.table = &cpu_table;
    cpu->base.ops = pick->ops;
    cpu->isa = pick->name;
    oct_status status = oct_team_open(&cpu->team, n_threads);
    if (status == OCT_OK) {
        size_t n = (size_t)oct_team_size(cpu->team) * CPU_MAX_POSITIONS;
        cpu->scores = aligned_alloc(DEVICE_ALIGN, n * sizeof(float));
        if (cpu->scores == NULL) {
            status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: attention scores of %d threads",
                              oct_team_size(cpu->team));
        }
    }
    if (status != OCT_OK) {
        cpu_close(&cpu->base);
        return status;
    }
    oct_log(OCT_LOG_DEBUG, "plan", "cpu: %s kernels, %d threads", cpu->isa,
            oct_team_size(cpu->team));
    *out = &cpu->base;
    return OCT_OK;
}
