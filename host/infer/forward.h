// PREFILL, DECODE: the only forward pass, and the taps through which calibration, dumps and
// comparisons look into it.
#ifndef OCT_FORWARD_H
#define OCT_FORWARD_H

#include "infer/engine.h"

// Named intermediates in order of appearance; layer -1 where there is none. All [rows][cols] f32 in
// real units:
//   "embed" [T][C]; per layer "ln_1" [T][C], "c_attn" [T][3C] (q, k, v), "attn" [T][C] (input of
//   attn.c_proj), "attn.c_proj" [T][C], "attn_residual" [T][C], "ln_2" [T][C], "c_fc" [T][F], "act"
//   [T][F] (input of mlp.c_proj), "mlp.c_proj" [T][C], "block" [T][C]; "ln_f" [R][C], "logits"
//   [R][V].
typedef struct oct_tap_sink {
    void *user;
    // Where the backend shall write the value; mem == NULL: not wanted.
    oct_buf (*want)(void *user, const char *name, int32_t layer, int32_t rows, int32_t cols);
    // Called behind the op that writes it: more work (observe, copy) may be queued on it now.
    oct_status (*ready)(void *user, const char *name, int32_t layer, oct_buf value, int32_t rows,
                        int32_t cols);
} oct_tap_sink;

// Device buffers of one step, sized by the plan (infer/plan.h).
typedef struct oct_workspace {
    oct_buf x;       // [T][C] f32 residual stream
    oct_buf q;       // [T][C] f32 (half for W8A8)
    oct_act act_c;   // [T][C] output of LayerNorm and of attention
    oct_act act_f;   // [T][F] output of the activation
    oct_act act_h;   // [R][C] output of ln_f
    oct_buf waiting; // [T][max(C, F)] f32; dynamic W8A8 only: rows between maximum and rounding
    oct_buf logits;  // [R][V] f32; absent = stop behind ln_f (calibration needs no logits)
} oct_workspace;

// Queues one step on the engine's device: embed, L layers, and where step->n_logits > 0 ln_f and
// lm_head on the rows of step->logit_row. `sink` NULL = no taps. `kv` has the engine's format.
oct_status oct_forward(const oct_engine *engine, const oct_step *step, const oct_kv *kv,
                       const oct_workspace *work, const oct_tap_sink *sink);

#endif
