// LOAD: the list of a quantized model's tensors, and what must hold between them.
#include "gpt2_fields.h"

#include "base/check.h"
#include "widen.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES 128
#define K_MAX      66311 // 255 * 127 * K < 2^31 (NUMERICS.md section 3)

typedef struct walk {
    gpt2_field_fn *fn;
    void *user;
} walk;

const char *gpt2_linear_name(char *name, size_t bytes, const gpt2_config *config, int32_t index)
{
    static const char *const parts[4] = {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"};
    if (index == 4 * config->n_layer) {
        snprintf(name, bytes, "lm_head");
    } else {
        snprintf(name, bytes, "h.%d.%s", index / 4, parts[index % 4]);
    }
    return name;
}

gpt2_linear *gpt2_linear_at(gpt2_model *model, int32_t index)
{
    if (index == 4 * model->config.n_layer) {
        return &model->lm_head;
    }
    gpt2_layer *layer = &model->layers[index / 4];
    switch (index % 4) {
    case 0:
        return &layer->c_attn;
    case 1:
        return &layer->attn_c_proj;
    case 2:
        return &layer->c_fc;
    default:
        return &layer->mlp_c_proj;
    }
}

// Hands `field` over under the name "<prefix><part>.<last>".
static oct_status give(const walk *w, gpt2_field field, const char *prefix, const char *part,
                       const char *last)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s.%s", prefix, part, last);
    field.name = name;
    return w->fn(w->user, &field);
}

static gpt2_field vector(const float **slot, int64_t size, gpt2_rule rule)
{
    return (gpt2_field){
        .dtype = OCT_DTYPE_F32, .n_dims = 1, .shape = {size, 0}, .rule = rule, .f32 = slot};
}

static gpt2_field table(const float **slot, int64_t rows, int64_t columns, gpt2_rule rule)
{
    return (gpt2_field){
        .dtype = OCT_DTYPE_F32, .n_dims = 2, .shape = {rows, columns}, .rule = rule, .f32 = slot};
}

static gpt2_field codes(const int8_t **slot, int64_t rows, int64_t columns)
{
    return (gpt2_field){.dtype = OCT_DTYPE_I8,
                        .n_dims = 2,
                        .shape = {rows, columns},
                        .rule = GPT2_RULE_CODE,
                        .i8 = slot};
}

static gpt2_field scalars(float *first, float *second)
{
    return (gpt2_field){.dtype = OCT_DTYPE_F32,
                        .n_dims = 1,
                        .shape = {second == NULL ? 1 : 2, 0},
                        .rule = GPT2_RULE_STEP,
                        .scalar = {first, second}};
}

static gpt2_field zero_point(int32_t *zero)
{
    return (gpt2_field){.dtype = OCT_DTYPE_I8,
                        .n_dims = 1,
                        .shape = {1, 0},
                        .rule = GPT2_RULE_ZERO_POINT,
                        .zero = zero};
}

static oct_status walk_input(const walk *w, gpt2_input *input, const char *name)
{
    if (input->dynamic) {
        return OCT_OK; // every row finds its step
    }
    OCT_TRY(give(w, scalars(&input->step, NULL), "", name, "input_scale"));
    OCT_TRY(give(w, scalars(&input->step_0, NULL), "octet.", name, "input_scale_0"));
    OCT_TRY(give(w, scalars(&input->rho_0, &input->sigma_0), "octet.", name, "row_factors"));
    if (input->asymmetric) {
        OCT_TRY(give(w, zero_point(&input->zero), "", name, "input_zero_point"));
        OCT_TRY(give(w, zero_point(&input->zero_0), "octet.", name, "input_zero_point_0"));
    }
    return OCT_OK;
}

static oct_status walk_linear(const walk *w, gpt2_linear *l, const char *name, bool is_head,
                              bool own_table)
{
    if (own_table) {
        OCT_TRY(give(w, codes(&l->w_i8, l->n, l->k), "", name, "weight"));
        OCT_TRY(give(w, table(&l->w_step, l->n, 1, GPT2_RULE_STEP), "", name, "weight_scale"));
        gpt2_field factors = vector(&l->column_factors, l->k, GPT2_RULE_STEP);
        factors.optional = true;
        OCT_TRY(give(w, factors, "octet.", name, "column_factors"));
    }
    gpt2_field bias = vector(&l->bias, l->n, GPT2_RULE_FINITE);
    bias.optional = is_head;
    OCT_TRY(give(w, bias, "", name, "bias"));
    OCT_TRY(give(w, vector(&l->mul, l->n, GPT2_RULE_MULTIPLIER), "octet.", name, "mul"));
    return walk_input(w, &l->input, name);
}

static oct_status walk_norm(const walk *w, gpt2_norm *norm, const char *name, int32_t width)
{
    OCT_TRY(give(w, vector(&norm->gamma, width, GPT2_RULE_FINITE), "", name, "weight"));
    OCT_TRY(give(w, vector(&norm->beta, width, GPT2_RULE_FINITE), "", name, "bias"));
    OCT_TRY(give(w, vector(&norm->G, width, GPT2_RULE_FINITE), "octet.", name, "G"));
    return give(w, vector(&norm->B, width, GPT2_RULE_FINITE), "octet.", name, "B");
}

static oct_status walk_layer(const walk *w, gpt2_model *model, int32_t i)
{
    gpt2_layer *layer = &model->layers[i];
    const gpt2_config *c = &model->config;
    char name[NAME_BYTES / 2];
    snprintf(name, sizeof name, "h.%d.ln_1", i);
    OCT_TRY(walk_norm(w, &layer->ln_1, name, c->n_embd));
    snprintf(name, sizeof name, "h.%d.ln_2", i);
    OCT_TRY(walk_norm(w, &layer->ln_2, name, c->n_embd));
    for (int32_t j = 4 * i; j < 4 * i + 4; j++) {
        gpt2_linear_name(name, sizeof name, c, j);
        OCT_TRY(walk_linear(w, gpt2_linear_at(model, j), name, false, true));
    }
    const struct {
        const char *last;
        const float **slot;
        gpt2_rule rule;
    } heads[5] = {{"k_scale", &layer->k_step, GPT2_RULE_STEP},
                  {"v_scale", &layer->v_step, GPT2_RULE_STEP},
                  {"k_mul", &layer->k_mul, GPT2_RULE_STEP},
                  {"v_mul", &layer->v_mul, GPT2_RULE_STEP},
                  {"out_mul", &layer->out_mul, GPT2_RULE_MULTIPLIER}};
    snprintf(name, sizeof name, "h.%d.attn", i);
    for (int j = 0; j < 5; j++) {
        gpt2_field field = table(heads[j].slot, c->n_head, c->d_head, heads[j].rule);
        OCT_TRY(give(w, field, "octet.", name, heads[j].last));
    }
    snprintf(name, sizeof name, "h.%d.mlp", i);
    gpt2_field act_mul = vector(&layer->act_mul, c->n_inner, GPT2_RULE_MULTIPLIER);
    return give(w, act_mul, "octet.", name, "act_mul");
}

oct_status gpt2_fields_walk(gpt2_model *model, gpt2_field_fn *fn, void *user)
{
    const walk w = {fn, user};
    const gpt2_config *c = &model->config;
    OCT_TRY(give(&w, codes(&model->wte_i8, c->vocab_size, c->n_embd), "", "wte", "weight"));
    OCT_TRY(give(&w, table(&model->wte_step, c->vocab_size, 1, GPT2_RULE_STEP), "", "wte",
                 "weight_scale"));
    OCT_TRY(give(&w, table(&model->wpe, c->n_positions, c->n_embd, GPT2_RULE_FINITE), "", "wpe",
                 "weight"));
    for (int32_t i = 0; i < c->n_layer; i++) {
        OCT_TRY(walk_layer(&w, model, i));
    }
    OCT_TRY(walk_norm(&w, &model->ln_f, "ln_f", c->n_embd));
    return walk_linear(&w, &model->lm_head, "lm_head", true, !model->head_is_wte);
}

// ---- what must hold within a tensor

static oct_status check_floats(const safetensors_tensor *tensor, gpt2_rule rule)
{
    OCT_TRY(widen_check_finite(tensor));
    if (rule == GPT2_RULE_FINITE) {
        return OCT_OK;
    }
    for (size_t i = 0; i < tensor->count; i++) {
        float value;
        memcpy(&value, tensor->data + 4 * i, 4);
        OCT_REQUIRE(rule == GPT2_RULE_STEP ? value > 0 : value >= 0, OCT_ERR_FORMAT,
                    "%s: tensor %s: expected numbers %s 0, element %zu is %g", tensor->path,
                    tensor->name, rule == GPT2_RULE_STEP ? "above" : "of at least", i,
                    (double)value);
    }
    return OCT_OK;
}

static oct_status check_codes(const safetensors_tensor *tensor)
{
    // memchr reads at memory speed; a loop that stops early is not vectorised.
    const unsigned char *bad = memchr(tensor->data, 0x80, tensor->count);
    OCT_REQUIRE(bad == NULL, OCT_ERR_FORMAT,
                "%s: tensor %s: expected codes from -127 to 127, element %zu is -128", tensor->path,
                tensor->name, (size_t)(bad - tensor->data));
    return OCT_OK;
}

oct_status gpt2_check_rule(const safetensors_tensor *tensor, gpt2_rule rule)
{
    switch (rule) {
    case GPT2_RULE_CODE:
        return check_codes(tensor);
    case GPT2_RULE_ZERO_POINT:
        return OCT_OK; // any I8
    default:
        return check_floats(tensor, rule);
    }
}

// ---- what must hold between the tensors

static oct_status check_input(const gpt2_model *model, const gpt2_linear *l, int32_t index,
                              oct_status code)
{
    const gpt2_recipe *recipe = &model->recipe;
    const gpt2_input *in = &l->input;
    bool dynamic = strcmp(recipe->scheme, "w8a8-dynamic") == 0;
    bool is_mlp_c_proj = index % 4 == 3;
    OCT_REQUIRE(in->dynamic == dynamic, code, "input: expected %s, as scheme %s says, got %s",
                dynamic ? "dynamic" : "static", recipe->scheme, in->dynamic ? "dynamic" : "static");
    bool asymmetric = !dynamic && is_mlp_c_proj && recipe->zero_point;
    OCT_REQUIRE(in->asymmetric == asymmetric, code,
                "input: expected a zero point on the input of mlp.c_proj where the recipe's "
                "zero_point is true and nowhere else, got %s",
                in->asymmetric ? "one" : "none");
    if (dynamic) {
        return OCT_OK;
    }
    OCT_REQUIRE(asymmetric
                    ? in->zero >= -128 && in->zero <= 127 && in->zero_0 >= -128 && in->zero_0 <= 127
                    : in->zero == 0 && in->zero_0 == 0,
                code, "input_zero_point: expected %s, got %d and %d",
                asymmetric ? "-128 to 127" : "0 (symmetric)", in->zero, in->zero_0);
    OCT_REQUIRE(
        recipe->position_0 || (in->step_0 == in->step && in->zero_0 == in->zero), code,
        "input_scale_0: expected that of all positions (%g, zero point %d), as the recipe's "
        "position_0 is false, got %g, %d",
        (double)in->step, in->zero, (double)in->step_0, in->zero_0);
    // NUMERICS.md section 1: one division in double, rounded once.
    float rho = (float)((double)in->step / (double)in->step_0);
    float sigma = (float)((double)in->step_0 / (double)in->step);
    OCT_REQUIRE(
        in->rho_0 == rho && in->sigma_0 == sigma, code,
        "row_factors: expected (step / step_0, step_0 / step) = (%.9g, %.9g), got (%.9g, %.9g)",
        (double)rho, (double)sigma, (double)in->rho_0, (double)in->sigma_0);
    return OCT_OK;
}

static oct_status check_linear(const gpt2_model *model, const gpt2_linear *l, int32_t index,
                               oct_status code)
{
    OCT_REQUIRE(l->format == OCT_FORMAT_W8A8, code, "format: expected W8A8 (%d), got %d",
                OCT_FORMAT_W8A8, (int)l->format);
    OCT_REQUIRE(l->k <= K_MAX, code, "inputs: expected at most %d (sums are 32 bits wide), got %d",
                K_MAX, l->k);
    const char *alpha = model->recipe.alpha[index];
    bool none = strcmp(alpha, "none") == 0;
    OCT_REQUIRE(none == (l->column_factors == NULL), code,
                "column_factors: expected %s, as the recipe's alpha is %s, got %s",
                none ? "none" : "some", alpha, none ? "some" : "none");
    return check_input(model, l, index, code);
}

oct_status gpt2_check_consistent(gpt2_model *model, oct_status code)
{
    int32_t n = 4 * model->config.n_layer + 1;
    for (int32_t i = 0; i < n; i++) {
        oct_status status = check_linear(model, gpt2_linear_at(model, i), i, code);
        if (status != OCT_OK) {
            char name[NAME_BYTES];
            return oct_fail_prefix(status, "%s",
                                   gpt2_linear_name(name, sizeof name, &model->config, i));
        }
    }
    bool shared = model->config.tie_word_embeddings && model->lm_head.column_factors == NULL;
    OCT_REQUIRE(model->head_is_wte == shared, code,
                "lm_head: expected %s, got %s (tie_word_embeddings %s, %s column factors)",
                shared ? "wte's table" : "a table of its own",
                model->head_is_wte ? "wte's table" : "a table of its own",
                model->config.tie_word_embeddings ? "true" : "false",
                model->lm_head.column_factors != NULL ? "with" : "without");
    return OCT_OK;
}
