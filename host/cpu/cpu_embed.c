// The CPU backend, op embed: token and position embeddings (NUMERICS.md sections 6 and 7).
#include "cpu/cpu_device.h"
#include "octet/numerics.h"

static void embed_rank(void *user, int rank, int size)
{
    const oct_embed_args *args = user;
    const int32_t *id = cpu_ptr(args->step->id), *position = cpu_ptr(args->step->position);
    const float *wpe = cpu_ptr(args->wpe), *wte_step = cpu_ptr(args->wte_step);
    const void *weight = cpu_ptr(args->wte->weight);
    int32_t cols = args->wte->k;
    int64_t begin, end;
    oct_team_range(args->step->n_rows, 1, rank, size, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        float *x = (float *)cpu_ptr(args->x) + (size_t)t * (size_t)cols;
        int32_t n = position[t] < 0 ? 0 : id[t], pos = position[t] < 0 ? 0 : position[t];
        const float *p = wpe + (size_t)pos * (size_t)cols;
        for (int32_t c = 0; c < cols; c++) {
            if (args->wte->format == OCT_FORMAT_F32) {
                // Section 7: x = wte[id] + wpe[pos], one addition.
                x[c] = oct_add(((const float *)weight)[cpu_packed_f32(n, c, cols)], p[c]);
            } else {
                // Section 6: x = fma((f32) wte_q[id][c], step[id], wpe[pos][c]).
                float code = ((const int8_t *)weight)[cpu_packed_i8(n, c, cols)];
                x[c] = oct_fma(code, wte_step[n], p[c]);
            }
        }
    }
}

oct_status CPU_FN(cpu_embed)(oct_device *device, const oct_embed_args *args)
{
    oct_team_run(cpu_of(device)->team, embed_rank, (void *)args);
    return OCT_OK;
}
