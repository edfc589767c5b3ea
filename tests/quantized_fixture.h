// tests: a folder with a float checkpoint and a quantized model of its architecture in memory.
#ifndef OCT_QUANTIZED_FIXTURE_H
#define OCT_QUANTIZED_FIXTURE_H

#include "base/file.h"
#include "model/gpt2_model.h"

#include "model_maker.h"
#include "test_util.h"

#include <sys/stat.h>

typedef struct fixture {
    char *folder;
    char *source; // folder/src, a checkpoint
    char *out;    // folder/out, which does not exist yet
    gpt2_model *model;
} fixture;

static inline fixture make_fixture(const gpt2_config *config,
                                   const model_maker_w8a8_options *options)
{
    fixture f = {.folder = test_folder()};
    f.source = oct_path_join(f.folder, "src");
    f.out = oct_path_join(f.folder, "out");
    ck_assert_int_eq(mkdir(f.source, 0777), 0);
    assert_ok(model_maker_write(config, 3, f.source, NULL));
    assert_ok(model_maker_w8a8(&f.model, config, 4, options));
    return f;
}

static inline void close_fixture(fixture *f)
{
    gpt2_model_close(f->model);
    free(f->source);
    free(f->out);
    test_remove(f->folder);
}

#endif
