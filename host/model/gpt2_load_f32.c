// LOAD: a float checkpoint as Hugging Face transformers saves it: widened to f32, Conv1D weights
// transposed.
#include "gpt2_load.h"

#include "base/check.h"
#include "base/logging.h"
#include "json_file.h"
#include "widen.h"

#include <stdio.h>
#include <string.h>

typedef struct loader {
    gpt2_model *model;
    safetensors *st;
    const char *prefix; // "" or "transformer."
} loader;

// Fetches a float tensor and checks that it is finite.
static oct_status fetch(loader *l, const char *name, int n_dims, int64_t d0, int64_t d1,
                        const safetensors_tensor **out)
{
    int64_t shape[2] = {d0, d1};
    OCT_TRY(safetensors_get(l->st, name, SAFETENSORS_FLOATS, n_dims, shape, out));
    return widen_check_finite(*out);
}

static oct_status allocate(loader *l, float **out, const safetensors_tensor *tensor)
{
    // The tensor's bytes are in the file, so the size is bounded by what was read.
    *out = oct_arena_alloc(&l->model->arena, tensor->count, sizeof **out);
    return *out != NULL ? OCT_OK : oct_fail_prefix(OCT_ERR_NOMEM, "%s", tensor->name);
}

// out = the tensor [d0] (n_dims 1) or [d0][d1] (n_dims 2), as it is.
static oct_status load_plain(loader *l, const float **out, const char *name, int n_dims, int64_t d0,
                             int64_t d1)
{
    const safetensors_tensor *tensor;
    float *values;
    OCT_TRY(fetch(l, name, n_dims, d0, d1, &tensor));
    OCT_TRY(allocate(l, &values, tensor));
    widen_copy(values, tensor);
    *out = values;
    return OCT_OK;
}

// Weight [in][out] of the file becomes [out][in]; bias [out].
static oct_status load_conv1d(loader *l, gpt2_linear *linear, int32_t layer, const char *part)
{
    char name[GPT2_NAME_BYTES];
    snprintf(name, sizeof name, "%sh.%d.%s.weight", l->prefix, layer, part);
    const safetensors_tensor *tensor;
    float *values;
    OCT_TRY(fetch(l, name, 2, linear->k, linear->n, &tensor));
    OCT_TRY(allocate(l, &values, tensor));
    widen_transpose(values, tensor, (size_t)linear->k, (size_t)linear->n);
    linear->w_f32 = values;
    snprintf(name, sizeof name, "%sh.%d.%s.bias", l->prefix, layer, part);
    return load_plain(l, &linear->bias, name, 1, linear->n, 0);
}

static oct_status load_norm(loader *l, gpt2_norm *norm, const char *part)
{
    char name[GPT2_NAME_BYTES];
    int32_t width = l->model->config.n_embd;
    snprintf(name, sizeof name, "%s%s.weight", l->prefix, part);
    OCT_TRY(load_plain(l, &norm->gamma, name, 1, width, 0));
    snprintf(name, sizeof name, "%s%s.bias", l->prefix, part);
    OCT_TRY(load_plain(l, &norm->beta, name, 1, width, 0));
    norm->G = norm->gamma;
    norm->B = norm->beta;
    return OCT_OK;
}

static oct_status load_layer(loader *l, int32_t i)
{
    gpt2_layer *layer = &l->model->layers[i];
    char part[GPT2_NAME_BYTES];
    snprintf(part, sizeof part, "h.%d.ln_1", i);
    OCT_TRY(load_norm(l, &layer->ln_1, part));
    snprintf(part, sizeof part, "h.%d.ln_2", i);
    OCT_TRY(load_norm(l, &layer->ln_2, part));
    OCT_TRY(load_conv1d(l, &layer->c_attn, i, "attn.c_attn"));
    OCT_TRY(load_conv1d(l, &layer->attn_c_proj, i, "attn.c_proj"));
    OCT_TRY(load_conv1d(l, &layer->c_fc, i, "mlp.c_fc"));
    OCT_TRY(load_conv1d(l, &layer->mlp_c_proj, i, "mlp.c_proj"));
    // The causal mask that early checkpoints hold: a constant of the architecture.
    char name[GPT2_NAME_BYTES];
    snprintf(name, sizeof name, "%sh.%d.attn.bias", l->prefix, i);
    (void)safetensors_skip(l->st, name);
    snprintf(name, sizeof name, "%sh.%d.attn.masked_bias", l->prefix, i);
    (void)safetensors_skip(l->st, name);
    return OCT_OK;
}

// A tied head is wte. Where the file has a head all the same, the config is honoured, as
// transformers does.
static oct_status load_head(loader *l, const safetensors_tensor *wte)
{
    gpt2_model *model = l->model;
    const gpt2_config *c = &model->config;
    const safetensors_tensor *head = safetensors_find(l->st, "lm_head.weight");
    if (c->tie_word_embeddings) {
        model->head_is_wte = true;
        model->lm_head.w_f32 = model->wte_f32;
        if (head != NULL) {
            OCT_TRY(fetch(l, "lm_head.weight", 2, c->vocab_size, c->n_embd, &head));
            if (head->dtype != wte->dtype || memcmp(head->data, wte->data, wte->bytes) != 0) {
                oct_log(OCT_LOG_WARN, "load",
                        "%s: lm_head.weight differs from wte.weight and is ignored, because "
                        "config.json has tie_word_embeddings true",
                        head->path);
            }
        }
    } else {
        OCT_TRY(
            load_plain(l, &model->lm_head.w_f32, "lm_head.weight", 2, c->vocab_size, c->n_embd));
    }
    if (safetensors_find(l->st, "lm_head.bias") != NULL) {
        OCT_TRY(load_plain(l, &model->lm_head.bias, "lm_head.bias", 1, c->vocab_size, 0));
    }
    return OCT_OK;
}

// A tensor nobody asked for: within the trunk it means another network (a layer more than
// config.json says, cross attention, an adapter) and is refused; beside it (another head) it has no
// effect.
static oct_status check_leftovers(const loader *l)
{
    size_t n_prefix = strlen(l->prefix);
    for (size_t i = 0; i < safetensors_count(l->st); i++) {
        const safetensors_tensor *tensor = safetensors_at(l->st, i);
        if (tensor->used) {
            continue;
        }
        bool trunk = strncmp(tensor->name, l->prefix, n_prefix) == 0 &&
                     strncmp(tensor->name + n_prefix, "h.", 2) == 0;
        OCT_REQUIRE(!trunk, OCT_ERR_FORMAT,
                    "%s: tensor %s: expected no such tensor in a GPT-2 of %d layers", tensor->path,
                    json_show_string(tensor->name).text, l->model->config.n_layer);
        oct_log(OCT_LOG_WARN, "load", "%s: tensor %s is not part of GPT-2 and is ignored",
                tensor->path, json_show_string(tensor->name).text);
    }
    return OCT_OK;
}

oct_status gpt2_load_f32(gpt2_model *model, safetensors *st)
{
    loader l = {model, st, NULL};
    OCT_TRY(gpt2_find_prefix(&l.prefix, st));
    const gpt2_config *c = &model->config;
    char name[GPT2_NAME_BYTES];
    const safetensors_tensor *wte;
    snprintf(name, sizeof name, "%swte.weight", l.prefix);
    OCT_TRY(load_plain(&l, &model->wte_f32, name, 2, c->vocab_size, c->n_embd));
    wte = safetensors_find(st, name);
    snprintf(name, sizeof name, "%swpe.weight", l.prefix);
    OCT_TRY(load_plain(&l, &model->wpe, name, 2, c->n_positions, c->n_embd));
    for (int32_t i = 0; i < c->n_layer; i++) {
        OCT_TRY(load_layer(&l, i));
    }
    OCT_TRY(load_norm(&l, &model->ln_f, "ln_f"));
    OCT_TRY(load_head(&l, wte));
    return check_leftovers(&l);
}
