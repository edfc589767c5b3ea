// tests: operands of ops from a seed, on any device.
#ifndef OCT_OP_RIG_H
#define OCT_OP_RIG_H

#include "op_runner.h"

#define MAX_BUFFERS 48

// The buffers of one run; all freed together.
typedef struct rig {
    oct_device *device;
    uint64_t seed;
    oct_buf owned[MAX_BUFFERS];
    int n_owned;
} rig;

void rig_close(rig *r);
oct_buf rig_room(rig *r, size_t bytes);
oct_buf rig_put(rig *r, const void *src, size_t bytes);
oct_buf rig_rows(rig *r, int32_t rows, int32_t cols, float scale);
oct_buf rig_factors(rig *r, int32_t n, float middle);
void rig_take(rig *r, op_outputs *out, const char *name, oct_buf buf, size_t count, size_t cell);
oct_step rig_step(rig *r, const op_case *c);
oct_quant rig_quant(const op_case *c);
oct_act rig_act_room(rig *r, oct_format format, int32_t rows, int32_t cols);
void rig_take_act(rig *r, op_outputs *out, oct_format format, oct_act act, int32_t rows,
                  int32_t cols);
oct_tap rig_tap_room(rig *r, const op_case *c, int32_t cols, bool with_mul);
void rig_take_tap(rig *r, op_outputs *out, const char *name, oct_tap tap, int32_t rows,
                  int32_t cols);
oct_act rig_act(rig *r, const op_case *c);
oct_linear rig_linear(rig *r, oct_format format, int32_t n, int32_t k, bool bias);
oct_kv rig_kv_room(rig *r, const op_case *c, int32_t n_head, int32_t d_head);

#endif
