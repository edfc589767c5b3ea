// benchmarks: what each ingredient of the quantization recipe is worth, as a markdown table: models
// in columns, recipes in rows, perplexity against FP32 in percent and mean KL divergence in nats in
// the cells.
//
//   plant_models models/tales-8m VALID_TEXT /tmp/planted
//   bench_recipe VALID_TEXT TEST_TEXT BLOCKS TOKENS /tmp/planted/plain /tmp/planted/massive ...
//
// calibrates on BLOCKS blocks of VALID_TEXT and scores the first TOKENS tokens of TEST_TEXT.
#include "octet/octet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LN_FED  (OCT_KIND_C_ATTN | OCT_KIND_C_FC)
#define MAX_DIR 4096

typedef struct recipe {
    const char *name;
    const char *scheme, *calibrator, *smooth;
    unsigned no_smooth;
    bool zero_point, position_0;
} recipe;

static const recipe recipes[] = {
    {"the recipe", "w8a8", "minmax", "auto", 0, true, true},
    {"no factors: c_attn, c_fc", "w8a8", "minmax", "auto", LN_FED, true, true},
    {"no factors: attn.c_proj", "w8a8", "minmax", "auto", OCT_KIND_ATTN_C_PROJ, true, true},
    {"no factors: mlp.c_proj", "w8a8", "minmax", "auto", OCT_KIND_MLP_C_PROJ, true, true},
    {"no factors: lm_head", "w8a8", "minmax", "auto", OCT_KIND_LM_HEAD, true, true},
    {"no factors at all", "w8a8", "minmax", "none", 0, true, true},
    {"alpha 0.7, no search", "w8a8", "minmax", "0.7", 0, true, true},
    {"no zero point", "w8a8", "minmax", "auto", 0, false, true},
    {"no step for position 0", "w8a8", "minmax", "auto", 0, true, false},
    {"percentile 99.999", "w8a8", "percentile:99.999", "auto", 0, true, true},
    {"percentile 99.99", "w8a8", "percentile:99.99", "auto", 0, true, true},
    {"dynamic", "w8a8-dynamic", "minmax", "auto", 0, true, true},
    {"dynamic, no factors", "w8a8-dynamic", "minmax", "none", 0, true, true},
    {"plain minmax: all off", "w8a8", "minmax", "none", 0, false, false},
};
#define N_RECIPES (sizeof recipes / sizeof recipes[0])

typedef struct bench {
    oct_device *device;
    int32_t *valid, *test;
    size_t n_valid, n_test;
    int32_t blocks;
    char out[MAX_DIR]; // where quantized models go, one after the other
} bench;

static void must(oct_status status, const char *what)
{
    if (status != OCT_OK) {
        fprintf(stderr, "bench_recipe: %s: %s\n", what, oct_last_error());
        exit(1);
    }
}

static void encode(const char *model, const char *path, int32_t **ids, size_t *n_ids)
{
    oct_tokenizer *tokenizer = NULL;
    must(oct_tokenizer_open(&tokenizer, model), model);
    must(oct_tokenizer_encode_file(tokenizer, path, ids, n_ids), path);
    oct_tokenizer_close(tokenizer);
}

static oct_perplexity_result measure(const bench *b, const char *model, const recipe *r)
{
    oct_quantize_options options = OCT_QUANTIZE_OPTIONS_INIT;
    options.scheme = r->scheme;
    options.calibrator = r->calibrator;
    options.smooth = r->smooth;
    options.no_smooth = r->no_smooth;
    options.zero_point = r->zero_point;
    options.position_0 = r->position_0;
    options.blocks = b->blocks;
    options.force = true;
    must(oct_quantize(model, b->out, b->device, b->valid, b->n_valid, &options, NULL), model);
    oct_engine *baseline = NULL;
    oct_engine *engine = NULL;
    must(oct_engine_open(&baseline, b->device, model), model);
    must(oct_engine_open(&engine, b->device, b->out), b->out);
    oct_perplexity_options score = OCT_PERPLEXITY_OPTIONS_INIT;
    score.baseline = baseline;
    oct_perplexity_result result;
    must(oct_perplexity(engine, b->test, b->n_test, &score, &result), b->out);
    oct_engine_close(engine);
    oct_engine_close(baseline);
    return result;
}

// 1234.5 -> "+1.2e+03", 0.107 -> "+0.11".
static void print_cell(double percent, double kl)
{
    const char *format = percent < 100.0 ? "%+.2f (%.4f)" : "%+.0f (%.3f)";
    printf(" | ");
    printf(format, percent, kl);
    fflush(stdout);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void print_table(const bench *b, char **models, int n_models)
{
    double *fp32 = calloc((size_t)n_models, sizeof *fp32);
    printf("| change of perplexity in %% (mean KL in nats)");
    for (int m = 0; m < n_models; m++) {
        printf(" | %s", base_name(models[m]));
    }
    printf(" |\n|---");
    for (int m = 0; m < n_models; m++) {
        printf("|---");
    }
    printf("|\n");
    for (size_t i = 0; i < N_RECIPES; i++) {
        printf("| %s", recipes[i].name);
        for (int m = 0; m < n_models; m++) {
            oct_perplexity_result r = measure(b, models[m], &recipes[i]);
            print_cell(100.0 * (r.perplexity * __builtin_exp(-r.baseline_nats_per_token) - 1.0),
                       r.mean_kl);
            fp32[m] = __builtin_exp(r.baseline_nats_per_token);
        }
        printf(" |\n");
    }
    printf("| FP32 perplexity");
    for (int m = 0; m < n_models; m++) {
        printf(" | %.3f", fp32[m]);
    }
    printf(" |\n");
    free(fp32);
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: bench_recipe VALID_TEXT TEST_TEXT BLOCKS TOKENS MODEL...\n");
        return 2;
    }
    bench b = {.blocks = (int32_t)atoi(argv[3])};
    char folder[] = "/tmp/bench-recipe-XXXXXX";
    if (mkdtemp(folder) == NULL) {
        fprintf(stderr, "bench_recipe: no temporary folder\n");
        return 1;
    }
    snprintf(b.out, sizeof b.out, "%s/quantized", folder);
    must(oct_device_open(&b.device, NULL), "device");
    encode(argv[5], argv[1], &b.valid, &b.n_valid);
    encode(argv[5], argv[2], &b.test, &b.n_test);
    size_t tokens = (size_t)atoll(argv[4]);
    b.n_test = tokens < b.n_test ? tokens : b.n_test;
    printf("Calibrated on %d blocks of %s, scored on %zu tokens of %s.\n\n", b.blocks,
           base_name(argv[1]), b.n_test, base_name(argv[2]));
    print_table(&b, argv + 5, argc - 5);
    char command[MAX_DIR + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    int removed = system(command);
    oct_device_close(b.device);
    free(b.valid);
    free(b.test);
    return removed == 0 ? 0 : 1;
}
