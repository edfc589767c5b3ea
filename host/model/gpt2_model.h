// LOAD: a GPT-2 model in host memory, as FP32 checkpoint or as INT8 codes with all their
// multipliers; read from and written to a Hugging Face directory; its layout is listed in
// gpt2_fields.c.
//
// Orientation: every weight here is [out][in] (transposed from Hugging Face's Conv1D when an FP32
// file is read). c_attn's rows are q, k, v.
#ifndef OCT_GPT2_MODEL_H
#define OCT_GPT2_MODEL_H

#include "base/arena.h"
#include "model/gpt2_config.h"

// How the input of a quantized linear is coded (NUMERICS.md section 2). real = (q - zero) * step *
// column factor.
typedef struct gpt2_input {
    bool dynamic;    // one step per row, found at run time; all below is then false and 0
    bool asymmetric; // codes [-128, 127] with a zero point; else [-127, 127] and zero = 0
    float step;      // input_scale
    float step_0;    // input_scale_0: of position 0 (= step where it has none of its own)
    int32_t zero;    // input_zero_point
    int32_t zero_0;  // input_zero_point_0
    float rho_0;     // step / step_0
    float sigma_0;   // step_0 / step
} gpt2_input;

typedef struct gpt2_linear {
    oct_format format;           // F32: w_f32, bias; W8A8: all others
    int32_t n, k;                // outputs, inputs
    const float *w_f32;          // [n][k]
    const int8_t *w_i8;          // [n][k] codes, column factors multiplied in before rounding
    const float *w_step;         // [n] weight_scale
    const float *mul;            // [n] step_x * w_step, rounded once (dynamic: w_step)
    const float *bias;           // [n] or NULL (lm_head usually has none)
    const float *column_factors; // [k] cs, or NULL: all 1
    gpt2_input input;
} gpt2_linear;

typedef struct gpt2_norm {
    const float *gamma; // [C] in a quantized file gamma / cs, for other readers
    const float *beta;  // [C] likewise
    const float *G;     // [C] gamma / (cs * step) of the linear it feeds; F32: = gamma
    const float *B;     // [C] beta / (cs * step); F32: = beta
} gpt2_norm;

typedef struct gpt2_layer {
    gpt2_norm ln_1, ln_2;
    gpt2_linear c_attn;      // [3C][C]
    gpt2_linear attn_c_proj; // [C][C]
    gpt2_linear c_fc;        // [F][C]
    gpt2_linear mlp_c_proj;  // [C][F]
    const float *k_step;     // [H*D] k_scale, frozen per head; W8A8 only, like the next five
    const float *v_step;     // [H*D] v_scale
    const float *k_mul;      // [H*D] 1 / k_step
    const float *v_mul;      // [H*D] 1 / v_step
    const float *out_mul;    // [H*D] v_step / (cs * step) of attn.c_proj's input (dynamic: step 1)
    const float *act_mul;    // [F] 1 / (step * cs) of mlp.c_proj's input (dynamic: step 1)
    float attention_scale;   // F32: factor of q.k, 1 once folded; W8A8: 1, folded into c_attn
} gpt2_layer;

// How a quantized model came to be; `octet.recipe` of its config.json.
typedef struct gpt2_recipe {
    char scheme[16];             // "w8a8" or "w8a8-dynamic"
    char calibrator[32];         // "minmax", "percentile:99.999"
    bool zero_point, position_0; // ingredients that were on
    bool gptq;
    int32_t blocks;     // calibration sequences used
    const char **alpha; // [4 * L + 1] "none", "0.4", ...: c_attn, attn.c_proj, c_fc, mlp.c_proj of
                        // each layer, lm_head
    char calibration_sha256[65]; // of the ids used, u32 little endian, in order; hex
    int32_t numerics_version;
} gpt2_recipe;

typedef struct gpt2_model {
    gpt2_config config;
    oct_format format;
    const float *wte_f32;  // [V][C] F32
    const int8_t *wte_i8;  // [V][C] W8A8
    const float *wte_step; // [V] W8A8
    const float *wpe;      // [P][C] always float
    gpt2_layer *layers;    // [L]
    gpt2_norm ln_f;
    gpt2_linear
        lm_head; // [V][C]; where head_is_wte its w_f32 or w_i8 (and w_step) are wte's own pointers
    bool head_is_wte;   // tied and without column factors: one table serves both
    gpt2_recipe recipe; // W8A8 only
    oct_arena arena;    // owns all of the above
    void *mapping; // owned by the loader: mapped files that pointers may lead into; NULL if none
} gpt2_model;

// Reads `dir`: FP32/FP16/BF16 checkpoint (single file or sharded index, names with or without
// "transformer.") or a quantized directory (its config.json has the key "octet"). Every tensor is
// fetched by name with its expected dtype and shape; a mismatch says both. Refuses NaN and infinity
// in weights, format or numerics versions newer than its own (with both numbers), K > 66311, codes
// of -128 in weights. *out is owned by the caller. Errors: OCT_ERR_IO, OCT_ERR_FORMAT,
// OCT_ERR_NOMEM.
oct_status gpt2_model_load(gpt2_model **out, const char *dir);

// An empty model of this architecture for someone to fill from its arena: layers allocated,
// formats, n, k and attention_scale set, all pointers NULL. *out is owned. Errors: OCT_ERR_NOMEM.
oct_status gpt2_model_new(gpt2_model **out, const gpt2_config *config, oct_format format);

// Frees the model; accepts NULL and half-built ones.
void gpt2_model_close(gpt2_model *model);

// Writes a W8A8 model as a directory: config.json (that of source_dir plus quantization_config and
// octet, and with scale_attn_weights and scale_attn_by_inverse_layer_idx false, because those
// factors are folded into c_attn), model.safetensors, calibration.json (`statistics_json`, a whole
// JSON text; NULL = none) and the tokenizer files of source_dir. Everything goes to a temporary
// directory beside out_dir, is synced, and is renamed at the end; a failure (a full disk) leaves
// nothing behind. An existing out_dir is an error unless `force` (then it is replaced at the end;
// only a directory that looks like a model, or an empty one, is ever replaced, and never source_dir
// itself). Errors: OCT_ERR_IO, OCT_ERR_ARG, OCT_ERR_FORMAT, OCT_ERR_NOMEM.
oct_status gpt2_model_write(const gpt2_model *model, const char *statistics_json,
                            const char *source_dir, const char *out_dir, bool force);

// The part of gpt2_model_write that needs no model: may out_dir be written? For a command that
// works for minutes before it writes. Errors: OCT_ERR_ARG (exists, is not a model, is source_dir),
// OCT_ERR_IO (no folder above it).
oct_status gpt2_model_check_target(const char *source_dir, const char *out_dir, bool force);

// Bytes of all parameters by part, as stored in the format `format` would have them (for
// `inspect`): FP32 4 bytes a parameter, "f16" 2, W8A8 codes + multipliers as written.
typedef struct gpt2_footprint {
    size_t embeddings, positions, attention, mlp, norms, head; // bytes
    size_t kv_per_token; // bytes of K and V of one token, all layers
    size_t total;        // sum of the first six
} gpt2_footprint;

// bytes_per_weight: 4 (FP32), 2 (FP16) or 1 (INT8 with its steps and multipliers in FP32).
void gpt2_model_footprint(const gpt2_model *model, int bytes_per_weight, gpt2_footprint *out);

#endif
