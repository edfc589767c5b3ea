// tests: the program that writes planted variants of a model, for benchmarks: plant_models SOURCE
// TEXT OUT makes OUT/<variant> for every variant of plant.h.
#include "plant.h"

#include "octet/octet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void file_name(char *out, size_t bytes, const char *folder, const char *variant)
{
    int n = snprintf(out, bytes, "%s/%s", folder, variant);
    for (char *c = out + (n > 0 ? strlen(folder) + 1 : 0); *c != 0; c++) {
        *c = *c == ' ' || *c == '/' ? '-' : *c;
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: plant_models SOURCE TEXT OUT\n");
        return 2;
    }
    oct_device *device = NULL;
    oct_tokenizer *tokenizer = NULL;
    gpt2_model *source = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    mkdir(argv[3], 0777);
    oct_status status = oct_device_open(&device, NULL);
    status = status != OCT_OK ? status : oct_tokenizer_open(&tokenizer, argv[1]);
    status =
        status != OCT_OK ? status : oct_tokenizer_encode_file(tokenizer, argv[2], &ids, &n_ids);
    status = status != OCT_OK ? status : gpt2_model_load(&source, argv[1]);
    for (int i = 0; i < PLANT_VARIANTS && status == OCT_OK; i++) {
        char path[4096];
        gpt2_model *planted = NULL;
        file_name(path, sizeof path, argv[3], plant_variants[i].name);
        status = plant_model(&planted, source, device, plant_variants[i].kinds, ids, n_ids);
        status = status != OCT_OK ? status : plant_write(planted, argv[1], path);
        gpt2_model_close(planted);
    }
    if (status != OCT_OK) {
        fprintf(stderr, "plant_models: %s\n", oct_last_error());
    }
    gpt2_model_close(source);
    free(ids);
    oct_tokenizer_close(tokenizer);
    oct_device_close(device);
    return status == OCT_OK ? 0 : 1;
}
