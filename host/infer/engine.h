// LOAD: a model on a device: immutable, shareable between threads and batches.
#ifndef OCT_ENGINE_H
#define OCT_ENGINE_H

#include "model/gpt2_model.h"
#include "octet/backend.h"
#include "octet/octet.h"

typedef struct engine_norm {
    oct_buf G, B;    // [C] f32
    oct_buf tap_mul; // [C] f32: cs * step, from the op's unit to real; absent in F32
    oct_quant quant; // input of the linear it feeds
} engine_norm;

typedef struct engine_layer {
    engine_norm ln_1, ln_2;
    oct_linear c_attn, attn_c_proj, c_fc, mlp_c_proj;
    oct_quant attn_quant;  // input of attn.c_proj
    oct_quant act_quant;   // input of mlp.c_proj
    oct_buf k_step, k_mul; // [C] f32; W8A8 only, as all below
    oct_buf v_step, v_mul; // [C] f32
    oct_buf out_mul;       // [C] f32
    oct_buf act_mul;       // [F] f32
    float attention_scale; // F32
} engine_layer;

struct oct_engine {
    oct_device *device; // borrowed
    gpt2_config config;
    oct_format format;
    oct_linear wte;       // [V][C]
    oct_buf wte_step;     // [V] f32; W8A8
    oct_buf wpe;          // [P][C] f32
    engine_layer *layers; // [L] owned
    engine_norm ln_f;
    oct_linear lm_head;   // [V][C]; shares wte's weight where the model does
    oct_buf *allocations; // [n_allocations] owned device memory
    int32_t n_allocations, max_allocations;
    size_t weight_bytes; // device memory of all of it
};

// Uploads a host model (FP32, folded FP32, or W8A8). `model` is borrowed during the call only;
// `device` must outlive the engine. Errors: OCT_ERR_NOMEM, OCT_ERR_DEVICE, OCT_ERR_SHAPE (a format
// the backend does not have, by name).
oct_status oct_engine_from_model(oct_engine **out, oct_device *device, const gpt2_model *model);

#endif
