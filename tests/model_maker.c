// tests: random GPT-2 models.
#include "model_maker.h"

#include "base/check.h"
#include "base/file.h"
#include "model/safetensors.h"

#include "test_util.h"

#include <jansson.h>

gpt2_config model_maker_config(int32_t n_layer, int32_t n_head, int32_t n_embd, int32_t n_positions,
                               int32_t vocab_size)
{
    return (gpt2_config){
        .n_layer = n_layer,
        .n_head = n_head,
        .n_embd = n_embd,
        .d_head = n_embd / n_head,
        .n_inner = 4 * n_embd,
        .n_positions = n_positions,
        .vocab_size = vocab_size,
        .activation = OCT_ACTIVATION_GELU_NEW,
        .layer_norm_epsilon = 1e-5f,
        .scale_attn_weights = true,
        .tie_word_embeddings = true,
        .bos_token_id = -1,
        .eos_token_id = -1,
    };
}

// Not Check's assertions: benchmarks and fuzzers make models outside a test.
static void must(bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "model_maker: expected %s\n", what);
        abort();
    }
}

// ---- checkpoints on disk

typedef struct maker {
    oct_arena arena;
    uint64_t state;
    const gpt2_config *config;
    model_maker_options options;
    safetensors_entry *entries; // [n]
    size_t n, room;
} maker;

static void *allocate(oct_arena *arena, size_t count, size_t size)
{
    void *p = oct_arena_alloc(arena, count, size);
    must(p != NULL, oct_last_error());
    return p;
}

// A half near the value: the lower bits cut off, subnormals to zero. Any half will do for a random
// weight.
static uint16_t truncate_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t sign = bits >> 16 & 0x8000u, exponent = bits >> 23 & 255u;
    if (exponent <= 112) {
        return (uint16_t)sign;
    }
    must(exponent < 112 + 31, "values within the range of halves");
    return (uint16_t)(sign | (exponent - 112) << 10 | (bits >> 13 & 0x3FFu));
}

// Values mean + deviation * normal, in the wanted dtype.
static const void *random_values(maker *m, size_t count, float mean, float deviation)
{
    size_t width = oct_dtype_bytes(m->options.dtype);
    unsigned char *data = allocate(&m->arena, count, width);
    for (size_t i = 0; i < count; i++) {
        float value = mean + deviation * test_normal(&m->state);
        if (m->options.dtype == OCT_DTYPE_F32) {
            memcpy(data + 4 * i, &value, 4);
        } else if (m->options.dtype == OCT_DTYPE_F16) {
            uint16_t half = truncate_half(value);
            memcpy(data + 2 * i, &half, 2);
        } else {
            uint32_t bits;
            memcpy(&bits, &value, 4);
            uint16_t upper = (uint16_t)(bits >> 16); // truncated: any BF16 value will do
            memcpy(data + 2 * i, &upper, 2);
        }
    }
    return data;
}

static void add(maker *m, const char *name, int n_dims, int64_t d0, int64_t d1, float mean,
                float deviation)
{
    must(m->n < m->room, "room for every tensor");
    bool head = strncmp(name, "lm_head.", 8) == 0;
    char *full = allocate(&m->arena, 128, 1);
    snprintf(full, 128, "%s%s", m->options.prefix_transformer && !head ? "transformer." : "", name);
    size_t count = (size_t)d0 * (size_t)(n_dims == 2 ? d1 : 1);
    m->entries[m->n++] = (safetensors_entry){
        full, m->options.dtype, n_dims, {d0, d1}, random_values(m, count, mean, deviation)};
}

static void add_layer(maker *m, int i)
{
    static const char *const norms[2] = {"ln_1", "ln_2"};
    int64_t c = m->config->n_embd, f = m->config->n_inner;
    const struct {
        const char *name;
        int64_t k, n;
    } linears[4] = {
        {"attn.c_attn", c, 3 * c}, {"attn.c_proj", c, c}, {"mlp.c_fc", c, f}, {"mlp.c_proj", f, c}};
    char name[64];
    for (int j = 0; j < 2; j++) {
        snprintf(name, sizeof name, "h.%d.%s.weight", i, norms[j]);
        add(m, name, 1, c, 0, 1.0f, 0.2f);
        snprintf(name, sizeof name, "h.%d.%s.bias", i, norms[j]);
        add(m, name, 1, c, 0, 0.0f, 0.1f);
    }
    for (int j = 0; j < 4; j++) {
        snprintf(name, sizeof name, "h.%d.%s.weight", i, linears[j].name);
        add(m, name, 2, linears[j].k, linears[j].n, 0.0f, 1.0f / sqrtf((float)linears[j].k));
        snprintf(name, sizeof name, "h.%d.%s.bias", i, linears[j].name);
        add(m, name, 1, linears[j].n, 0, 0.0f, 0.1f);
    }
    if (m->options.mask_buffers) {
        snprintf(name, sizeof name, "h.%d.attn.bias", i);
        add(m, name, 2, m->config->n_positions, m->config->n_positions, 1.0f, 0.0f);
        snprintf(name, sizeof name, "h.%d.attn.masked_bias", i);
        add(m, name, 1, 1, 0, -1e4f, 0.0f);
    }
}

static oct_status write_config(const maker *m, bool tied, const char *dir)
{
    static const char *const activations[] = {"gelu_new", "gelu", "relu"};
    const gpt2_config *c = m->config;
    json_t *root =
        json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b, s:b, s:b}",
                  "model_type", "gpt2", "architectures", "GPT2LMHeadModel", "n_layer", c->n_layer,
                  "n_head", c->n_head, "n_embd", c->n_embd, "n_inner", c->n_inner, "n_positions",
                  c->n_positions, "vocab_size", c->vocab_size, "activation_function",
                  activations[c->activation], "layer_norm_epsilon", (double)c->layer_norm_epsilon,
                  "scale_attn_weights", c->scale_attn_weights, "scale_attn_by_inverse_layer_idx",
                  c->scale_attn_by_inverse_layer_idx, "tie_word_embeddings", tied);
    must(root != NULL, "memory for config.json");
    json_object_set_new(root, "bos_token_id",
                        c->bos_token_id < 0 ? json_null() : json_integer(c->bos_token_id));
    json_object_set_new(root, "eos_token_id",
                        c->eos_token_id < 0 ? json_null() : json_integer(c->eos_token_id));
    char *text = json_dumps(root, JSON_INDENT(1));
    char *path = oct_path_join(dir, "config.json");
    must(text != NULL && path != NULL, "memory for config.json");
    oct_status status = oct_file_write(path, text, strlen(text));
    free(path);
    free(text);
    json_decref(root);
    return status;
}

// Entry i goes to shard i modulo n_shards, so that every layer is spread over all of them.
static oct_status write_shards(maker *m, const char *dir, int n_shards)
{
    json_t *weight_map = json_object();
    safetensors_entry *part = allocate(&m->arena, m->n, sizeof *part);
    oct_status status = OCT_OK;
    for (int shard = 0; shard < n_shards && status == OCT_OK; shard++) {
        char name[64];
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", shard + 1, n_shards);
        size_t n = 0;
        for (size_t i = (size_t)shard; i < m->n; i += (size_t)n_shards) {
            part[n++] = m->entries[i];
            json_object_set_new(weight_map, m->entries[i].name, json_string(name));
        }
        char *path = oct_path_join(dir, name);
        status = safetensors_write(path, part, n);
        free(path);
    }
    json_t *index =
        json_pack("{s:{s:i}, s:o}", "metadata", "total_size", 0, "weight_map", weight_map);
    char *text = json_dumps(index, JSON_INDENT(1));
    char *path = oct_path_join(dir, "model.safetensors.index.json");
    if (status == OCT_OK) {
        status = oct_file_write(path, text, strlen(text));
    }
    free(path);
    free(text);
    json_decref(index);
    return status;
}

oct_status model_maker_write(const gpt2_config *config, uint64_t seed, const char *dir,
                             const model_maker_options *options)
{
    maker m = {.state = seed, .config = config};
    if (options != NULL) {
        m.options = *options;
    }
    m.room = (size_t)config->n_layer * 14 + 6;
    m.entries = allocate(&m.arena, m.room, sizeof *m.entries);
    int64_t c = config->n_embd, v = config->vocab_size;
    bool tied = config->tie_word_embeddings && !m.options.untied_head;
    // Deviation 3/sqrt(C) gives logits of deviation about 3, as trained models have.
    add(&m, "wte.weight", 2, v, c, 0.0f, 3.0f / sqrtf((float)c));
    add(&m, "wpe.weight", 2, config->n_positions, c, 0.0f, 0.1f);
    for (int i = 0; i < config->n_layer; i++) {
        add_layer(&m, i);
    }
    add(&m, "ln_f.weight", 1, c, 0, 1.0f, 0.2f);
    add(&m, "ln_f.bias", 1, c, 0, 0.0f, 0.1f);
    if (!tied) {
        add(&m, "lm_head.weight", 2, v, c, 0.0f, 3.0f / sqrtf((float)c));
    }
    if (m.options.head_bias) {
        add(&m, "lm_head.bias", 1, v, 0, 0.0f, 0.1f);
    }
    oct_status status = write_config(&m, tied, dir);
    if (status == OCT_OK && m.options.n_shards > 1) {
        status = write_shards(&m, dir, m.options.n_shards);
    } else if (status == OCT_OK) {
        char *path = oct_path_join(dir, "model.safetensors");
        status = safetensors_write(path, m.entries, m.n);
        free(path);
    }
    oct_arena_free(&m.arena);
    return status;
}

// ---- quantized models in memory

typedef struct quantized_maker {
    gpt2_model *model;
    uint64_t state;
    model_maker_w8a8_options options;
} quantized_maker;

static float *floats(quantized_maker *q, size_t n)
{
    return allocate(&q->model->arena, n, sizeof(float));
}

// n values from `low` to `high`, uniform in the logarithm: steps and factors differ by factors.
static float *random_steps(quantized_maker *q, size_t n, float low, float high)
{
    float *values = floats(q, n);
    for (size_t i = 0; i < n; i++) {
        float u = 0.5f + 0.5f * test_uniform(&q->state);
        values[i] = low * powf(high / low, u);
    }
    return values;
}

static float *random_normals(quantized_maker *q, size_t n, float mean, float deviation)
{
    float *values = floats(q, n);
    for (size_t i = 0; i < n; i++) {
        values[i] = mean + deviation * test_normal(&q->state);
    }
    return values;
}

// Codes as rounding a normal row to absmax / 127 gives them: deviation about 40, both ends present.
static int8_t *random_codes(quantized_maker *q, size_t n)
{
    int8_t *codes = allocate(&q->model->arena, n, 1);
    for (size_t i = 0; i < n; i++) {
        float code = 40.0f * test_normal(&q->state);
        codes[i] = (int8_t)(code > 127 ? 127 : code < -127 ? -127 : code);
    }
    return codes;
}

// out[i] = a[i] / (b[i] * step), the product exact in double, rounded once (NUMERICS.md section 1);
// a NULL: 1.
static const float *quotients(quantized_maker *q, size_t n, const float *a, const float *b,
                              float step)
{
    float *out = floats(q, n);
    for (size_t i = 0; i < n; i++) {
        double denominator = (b == NULL ? 1.0 : (double)b[i]) * (double)step;
        out[i] = (float)((a == NULL ? 1.0 : (double)a[i]) / denominator);
    }
    return out;
}

static void fill_input(quantized_maker *q, gpt2_input *input, float range, bool asymmetric)
{
    if (q->options.dynamic) {
        *input = (gpt2_input){.dynamic = true};
        return;
    }
    input->asymmetric = asymmetric && !q->options.no_zero_point;
    input->step = range * (1.0f + 0.1f * test_uniform(&q->state)) / (input->asymmetric ? 255 : 127);
    input->step_0 = q->options.no_position_0 ? input->step : input->step * 1.7f;
    if (input->asymmetric) {
        input->zero = -117;
        input->zero_0 = q->options.no_position_0 ? input->zero : -122;
    }
    input->rho_0 = (float)((double)input->step / (double)input->step_0);
    input->sigma_0 = (float)((double)input->step_0 / (double)input->step);
}

// range: largest magnitude expected of the input divided by its column factors.
static void fill_linear(quantized_maker *q, gpt2_linear *l, float range, bool asymmetric)
{
    size_t n = (size_t)l->n, k = (size_t)l->k;
    if (!q->options.no_column_factors) {
        l->column_factors = random_steps(q, k, 0.5f, 2.0f);
    }
    l->w_i8 = random_codes(q, n * k);
    // A code's deviation is 40: rows of deviation about 1/sqrt(K).
    float w_step = 1.0f / (40.0f * sqrtf((float)k));
    l->w_step = random_steps(q, n, 0.8f * w_step, 1.25f * w_step);
    fill_input(q, &l->input, range, asymmetric);
}

// What follows from the input's step: mul.
static void fill_mul(quantized_maker *q, gpt2_linear *l)
{
    float *mul = floats(q, (size_t)l->n);
    for (int32_t i = 0; i < l->n; i++) {
        mul[i] = l->input.dynamic ? l->w_step[i] : l->input.step * l->w_step[i];
    }
    l->mul = mul;
}

static void fill_norm(quantized_maker *q, gpt2_norm *norm, const gpt2_linear *next)
{
    size_t width = (size_t)next->k;
    const float *gamma = random_normals(q, width, 1.0f, 0.2f);
    const float *beta = random_normals(q, width, 0.0f, 0.1f);
    float step = next->input.dynamic ? 1.0f : next->input.step;
    norm->gamma = quotients(q, width, gamma, next->column_factors, 1.0f);
    norm->beta = quotients(q, width, beta, next->column_factors, 1.0f);
    norm->G = quotients(q, width, gamma, next->column_factors, step);
    norm->B = quotients(q, width, beta, next->column_factors, step);
}

static void fill_layer(quantized_maker *q, gpt2_layer *layer)
{
    size_t width = (size_t)layer->attn_c_proj.k, inner = (size_t)layer->mlp_c_proj.k;
    gpt2_linear *const linears[4] = {&layer->c_attn, &layer->attn_c_proj, &layer->c_fc,
                                     &layer->mlp_c_proj};
    static const float ranges[4] = {8.0f, 6.0f, 8.0f, 6.0f};
    for (int i = 0; i < 4; i++) {
        fill_linear(q, linears[i], ranges[i], i == 3);
        linears[i]->bias = random_normals(q, (size_t)linears[i]->n, 0.0f, 0.1f);
        fill_mul(q, linears[i]);
    }
    fill_norm(q, &layer->ln_1, &layer->c_attn);
    fill_norm(q, &layer->ln_2, &layer->c_fc);
    layer->k_step = random_steps(q, width, 3.0f / 127, 5.0f / 127);
    layer->v_step = random_steps(q, width, 3.0f / 127, 5.0f / 127);
    layer->k_mul = quotients(q, width, NULL, layer->k_step, 1.0f);
    layer->v_mul = quotients(q, width, NULL, layer->v_step, 1.0f);
    float o_step = q->options.dynamic ? 1.0f : layer->attn_c_proj.input.step;
    float f_step = q->options.dynamic ? 1.0f : layer->mlp_c_proj.input.step;
    layer->out_mul = quotients(q, width, layer->v_step, layer->attn_c_proj.column_factors, o_step);
    layer->act_mul = quotients(q, inner, NULL, layer->mlp_c_proj.column_factors, f_step);
}

static void fill_recipe(quantized_maker *q)
{
    gpt2_recipe *r = &q->model->recipe;
    snprintf(r->scheme, sizeof r->scheme, q->options.dynamic ? "w8a8-dynamic" : "w8a8");
    snprintf(r->calibrator, sizeof r->calibrator, "minmax");
    r->zero_point = !q->options.no_zero_point;
    r->position_0 = !q->options.no_position_0;
    r->blocks = 128;
    r->numerics_version = OCT_NUMERICS_VERSION;
    memset(r->calibration_sha256, 'a', 64);
    size_t n = 4 * (size_t)q->model->config.n_layer + 1;
    r->alpha = allocate(&q->model->arena, n, sizeof *r->alpha);
    for (size_t i = 0; i < n; i++) {
        r->alpha[i] = q->options.no_column_factors ? "none" : i % 2 == 0 ? "0.7" : "0.55";
    }
}

oct_status model_maker_w8a8(gpt2_model **out, const gpt2_config *config, uint64_t seed,
                            const model_maker_w8a8_options *options)
{
    OCT_TRY(gpt2_model_new(out, config, OCT_FORMAT_W8A8));
    quantized_maker q = {.model = *out, .state = seed};
    if (options != NULL) {
        q.options = *options;
    }
    gpt2_model *model = *out;
    // Folded into c_attn, as quantization does.
    model->config.scale_attn_weights = model->config.scale_attn_by_inverse_layer_idx = false;
    size_t width = (size_t)config->n_embd, vocab = (size_t)config->vocab_size;
    float table_step = 3.0f / (40.0f * sqrtf((float)width));
    model->wte_i8 = random_codes(&q, vocab * width);
    model->wte_step = random_steps(&q, vocab, 0.8f * table_step, 1.25f * table_step);
    model->wpe = random_normals(&q, (size_t)config->n_positions * width, 0.0f, 0.1f);
    for (int32_t i = 0; i < config->n_layer; i++) {
        fill_layer(&q, &model->layers[i]);
    }
    gpt2_linear *head = &model->lm_head;
    fill_linear(&q, head, 8.0f, false);
    model->head_is_wte = config->tie_word_embeddings && head->column_factors == NULL;
    if (model->head_is_wte) {
        head->w_i8 = model->wte_i8;
        head->w_step = model->wte_step;
    }
    if (q.options.head_bias) {
        head->bias = random_normals(&q, vocab, 0.0f, 0.1f);
    }
    fill_mul(&q, head);
    fill_norm(&q, &model->ln_f, head);
    fill_recipe(&q);
    return OCT_OK;
}
