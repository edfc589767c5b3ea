// QUANTIZE: oct_quantize, from a checkpoint's directory to a quantized one.
#include "base/check.h"
#include "quant/progress.h"
#include "quant/quantize.h"

#include <stdlib.h>

oct_status oct_quantize(const char *model_dir, const char *out_dir, oct_device *device,
                        const int32_t *ids, size_t n_ids, const oct_quantize_options *options,
                        oct_quantize_result *result)
{
    double started = quant_seconds();
    bool force = options != NULL && options->force;
    OCT_TRY(gpt2_model_check_target(model_dir, out_dir, force)); // before minutes of work
    gpt2_model *fp32 = NULL;
    gpt2_model *model = NULL;
    char *statistics = NULL;
    oct_status status = OCT_OK;
    OCT_TRY_GOTO(gpt2_model_load(&fp32, model_dir), end);
    OCT_TRY_GOTO(
        quant_quantize_model(fp32, device, ids, n_ids, options, NULL, &model, &statistics, result),
        end);
    OCT_TRY_GOTO(gpt2_model_write(model, statistics, model_dir, out_dir, force), end);
    if (result != NULL) {
        result->total_seconds = quant_seconds() - started;
    }
end:
    free(statistics);
    gpt2_model_close(model);
    gpt2_model_close(fp32);
    return status;
}
