// CALIBRATE: the numbering of the observed places.
#include "quant/sites.h"

#include <stdio.h>

#define LINEARS_PER_LAYER 4

int32_t site_linear_count(const gpt2_config *config)
{
    return LINEARS_PER_LAYER * config->n_layer + 1;
}

int32_t site_count(const gpt2_config *config)
{
    return site_linear_count(config) + 2 * config->n_layer;
}

quant_site site_at(const gpt2_config *config, int32_t index)
{
    static const char *const names[] = {"attn.c_attn.input",
                                        "attn.c_proj.input",
                                        "mlp.c_fc.input",
                                        "mlp.c_proj.input",
                                        "lm_head.input",
                                        "attn.k",
                                        "attn.v"};
    quant_site site = {.kind = SITE_LM_HEAD, .layer = -1, .cols = config->n_embd};
    int32_t n_linear = site_linear_count(config);
    if (index < n_linear - 1) {
        site.kind = (site_kind)(index % LINEARS_PER_LAYER);
        site.layer = index / LINEARS_PER_LAYER;
    } else if (index >= n_linear) {
        site.kind = (index - n_linear) % 2 == 0 ? SITE_K : SITE_V;
        site.layer = (index - n_linear) / 2;
    }
    if (site.kind == SITE_MLP_C_PROJ) {
        site.cols = config->n_inner;
    }
    if (site.layer < 0) {
        snprintf(site.name, sizeof site.name, "%s", names[site.kind]);
    } else {
        snprintf(site.name, sizeof site.name, "h.%d.%s", site.layer, names[site.kind]);
    }
    return site;
}

int32_t site_find(const gpt2_config *config, site_kind kind, int32_t layer)
{
    switch (kind) {
    case SITE_LM_HEAD:
        return site_linear_count(config) - 1;
    case SITE_K:
    case SITE_V:
        return site_linear_count(config) + 2 * layer + (kind == SITE_V);
    default:
        return LINEARS_PER_LAYER * layer + (int32_t)kind;
    }
}

const gpt2_linear *site_linear(const gpt2_model *model, int32_t index)
{
    quant_site site = site_at(&model->config, index);
    switch (site.kind) {
    case SITE_C_ATTN:
        return &model->layers[site.layer].c_attn;
    case SITE_ATTN_C_PROJ:
        return &model->layers[site.layer].attn_c_proj;
    case SITE_C_FC:
        return &model->layers[site.layer].c_fc;
    case SITE_MLP_C_PROJ:
        return &model->layers[site.layer].mlp_c_proj;
    case SITE_LM_HEAD:
        return &model->lm_head;
    default:
        return NULL;
    }
}
