// LOAD: the tensors of a quantized directory. Codes stay in the mapped file (any alignment will do
// for bytes), floats are copied into the arena; every element is checked against its tensor's rule.
#include "gpt2_load.h"

#include "base/check.h"
#include "gpt2_fields.h"
#include "json_file.h"
#include "widen.h"

#include <stdio.h>
#include <string.h>

typedef struct loader {
    gpt2_model *model;
    safetensors *st;
    const char *prefix; // of names that are neither lm_head's nor octet's: "" or "transformer."
} loader;

// gpt2_fields_walk's callback: fetches one tensor and puts it where the field says.
static oct_status load_field(void *user, const gpt2_field *field)
{
    loader *l = user;
    bool plain = strncmp(field->name, "octet.", 6) == 0 || strncmp(field->name, "lm_head.", 8) == 0;
    char name[GPT2_NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", plain ? "" : l->prefix, field->name);
    if (field->optional && safetensors_find(l->st, name) == NULL) {
        return OCT_OK;
    }
    const safetensors_tensor *tensor;
    OCT_TRY(safetensors_get(l->st, name, SAFETENSORS_IS(field->dtype), field->n_dims, field->shape,
                            &tensor));
    OCT_TRY(gpt2_check_rule(tensor, field->rule));
    if (field->i8 != NULL) {
        *field->i8 = (const int8_t *)tensor->data;
        return OCT_OK;
    }
    if (field->zero != NULL) {
        const int8_t *codes = (const int8_t *)tensor->data;
        *field->zero = (int32_t)codes[0];
        return OCT_OK;
    }
    if (field->f32 != NULL) {
        float *values = oct_arena_alloc(&l->model->arena, tensor->count, sizeof *values);
        OCT_REQUIRE(values != NULL, OCT_ERR_NOMEM, "out of memory: tensor %s", name);
        widen_copy(values, tensor);
        *field->f32 = values;
        return OCT_OK;
    }
    for (size_t i = 0; i < tensor->count; i++) {
        memcpy(field->scalar[i], tensor->data + 4 * i, 4);
    }
    return OCT_OK;
}

// Nothing may be in the file that the recipe does not account for: it would have an effect
// elsewhere.
static oct_status check_leftovers(const loader *l)
{
    for (size_t i = 0; i < safetensors_count(l->st); i++) {
        const safetensors_tensor *tensor = safetensors_at(l->st, i);
        OCT_REQUIRE(
            tensor->used, OCT_ERR_FORMAT,
            "%s: tensor %s: expected no such tensor in a %s model with %d layers and zero_point "
            "%s",
            tensor->path, json_show_string(tensor->name).text, l->model->recipe.scheme,
            l->model->config.n_layer, l->model->recipe.zero_point ? "true" : "false");
    }
    return OCT_OK;
}

oct_status gpt2_load_w8a8(gpt2_model *model, safetensors *st)
{
    loader l = {model, st, NULL};
    OCT_TRY(gpt2_find_prefix(&l.prefix, st));
    model->head_is_wte = safetensors_find(st, "lm_head.weight") == NULL;
    OCT_TRY(gpt2_fields_walk(model, load_field, &l));
    OCT_TRY(check_leftovers(&l));
    if (model->head_is_wte) {
        model->lm_head.w_i8 = model->wte_i8;
        model->lm_head.w_step = model->wte_step;
    }
    oct_status status = gpt2_check_consistent(model, OCT_ERR_FORMAT);
    return status == OCT_OK ? OCT_OK : oct_fail_prefix(status, "%s", safetensors_where(st));
}
