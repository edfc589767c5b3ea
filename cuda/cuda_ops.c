// CUDA backend: the ops table: arguments of backend.h become launches; one NVTX range an op.
#include "cuda_device.h"
#include "pick_tile.h"

#include <nvtx3/nvToolsExt.h>

#include <stdlib.h>
#include <string.h>

static int32_t padded_k(oct_format format, int32_t k)
{
    return format == OCT_FORMAT_F32 ? (k + 3) / 4 * 4 : (k + 63) / 64 * 64;
}

// A launcher's return value as a status.
static oct_status launched(oct_device *device, int error, const char *kernel, int32_t m, int32_t n,
                           int32_t k)
{
    const oct_host *host = cuda_of(device)->host;
    nvtxRangePop();
    if (error == LAUNCH_ERR_SHAPE) {
        return cuda_fail(host, OCT_ERR_SHAPE, "%s: shape not supported: %d, %d, %d", kernel, m, n,
                         k);
    }
    return error == 0 ? OCT_OK : cuda_status(host, (cudaError_t)error, kernel);
}

static launch_step step_of(const oct_step *s)
{
    return (launch_step){
        .id = cuda_ptr(s->id),
        .position = cuda_ptr(s->position),
        .slot = cuda_ptr(s->slot),
        .page_table = cuda_ptr(s->page_table),
        .logit_row = cuda_ptr(s->logit_row),
        .logit_slot = cuda_ptr(s->logit_slot),
        .target = cuda_ptr(s->target),
        .sample = cuda_ptr(s->sample),
        .index = cuda_ptr(s->index),
        .sampling = cuda_ptr(s->sampling),
        .history = cuda_ptr(s->history),
        .n_history = cuda_ptr(s->n_history),
        .n_rows = s->n_rows,
        .n_logits = s->n_logits,
        .max_pages = s->max_pages,
        .max_history = s->max_history,
    };
}

static launch_act act_of(const oct_act *act)
{
    return (launch_act){cuda_ptr(act->data), cuda_ptr(act->row_step), cuda_ptr(act->row_zero)};
}

static launch_kv kv_of(const oct_kv *kv)
{
    return (launch_kv){cuda_ptr(kv->pool), (int32_t)kv->format, kv->n_page,
                       kv->n_layer,        kv->n_head,          kv->d_head};
}

static size_t cuda_linear_bytes(oct_device *device, oct_format format, int32_t n, int32_t k)
{
    (void)device;
    return (size_t)n * (size_t)padded_k(format, k) * (format == OCT_FORMAT_F32 ? 4u : 1u);
}

// Rows with zeros behind K.
static oct_status cuda_linear_pack(oct_device *device, oct_buf dst, oct_format format, int32_t n,
                                   int32_t k, const void *src)
{
    cuda_device *cuda = cuda_of(device);
    size_t width = format == OCT_FORMAT_F32 ? 4 : 1, row = (size_t)k * width;
    size_t pitch = (size_t)padded_k(format, k) * width;
    OCT_CUDA(cuda->host, cudaMemsetAsync(cuda_ptr(dst), 0, pitch * (size_t)n, cuda->stream));
    OCT_CUDA(cuda->host, cudaMemcpy2DAsync(cuda_ptr(dst), pitch, src, row, row, (size_t)n,
                                           cudaMemcpyHostToDevice, cuda->stream));
    OCT_CUDA(cuda->host, cudaStreamSynchronize(cuda->stream));
    return OCT_OK;
}

static oct_status cuda_embed(oct_device *device, const oct_embed_args *a)
{
    launch_embed args = {
        .step = step_of(a->step),
        .format = (int32_t)a->wte->format,
        .cols = a->wte->k,
        .wte = cuda_ptr(a->wte->weight),
        .wte_step = cuda_ptr(a->wte_step),
        .wpe = cuda_ptr(a->wpe),
        .x = cuda_ptr(a->x),
    };
    nvtxRangePushA("embed");
    int error = oct_launch_embed(&args, cuda_of(device)->stream);
    return launched(device, error, "embed", a->step->n_rows, a->wte->k, 0);
}

static oct_status cuda_norm(oct_device *device, const oct_norm_args *a)
{
    launch_norm args = {
        .step = step_of(a->step),
        .n_rows = a->n_rows,
        .cols = a->cols,
        .rows = cuda_ptr(a->rows),
        .x = cuda_ptr(a->x),
        .G = cuda_ptr(a->G),
        .B = cuda_ptr(a->B),
        .eps = a->eps,
        .quant = a->quant,
        .out = act_of(&a->out),
        .tap = cuda_ptr(a->tap.out),
        .tap_mul = cuda_ptr(a->tap.column_mul),
    };
    nvtxRangePushA("norm");
    int error = oct_launch_norm_quant(&args, cuda_of(device)->stream);
    return launched(device, error, "norm_quant", a->n_rows, a->cols, 0);
}

static oct_status quantize_rows(oct_device *device, const float *waiting, launch_act out,
                                int32_t n_rows, int32_t cols)
{
    launch_quantize_rows args = {n_rows, cols, waiting, out};
    nvtxRangePushA("quantize_rows");
    int error = oct_launch_quantize_rows(&args, cuda_of(device)->stream);
    return launched(device, error, "quantize_rows", n_rows, cols, 0);
}

static launch_linear linear_of(const oct_linear_args *a)
{
    const oct_linear *w = a->linear;
    return (launch_linear){
        .step = step_of(a->step),
        .n_rows = a->n_rows,
        .n = w->n,
        .k = w->k,
        .format = (int32_t)w->format,
        .weight = cuda_ptr(w->weight),
        .mul = cuda_ptr(w->mul),
        .colsum = cuda_ptr(w->colsum),
        .bias = cuda_ptr(w->bias),
        .in = act_of(&a->in),
        .epilogue = (int32_t)a->epilogue,
        .out = cuda_ptr(a->out),
        .act = act_of(&a->act),
        .quant = a->quant,
        .act_mul = cuda_ptr(a->act_mul),
        .activation = (int32_t)a->activation,
        .waiting = cuda_ptr(a->waiting),
        .q = cuda_ptr(a->q),
        .kv = kv_of(&a->kv),
        .layer = a->layer,
        .k_mul = cuda_ptr(a->k_mul),
        .v_mul = cuda_ptr(a->v_mul),
        .tap = cuda_ptr(a->tap.out),
        .tap_activation = cuda_ptr(a->tap_activation.out),
    };
}

static oct_status cuda_linear(oct_device *device, const oct_linear_args *a)
{
    cuda_device *cuda = cuda_of(device);
    launch_linear args = linear_of(a);
    const char *kernel = "gemm_f32";
    int error;
    nvtxRangePushA("linear");
    if (a->linear->format == OCT_FORMAT_F32) {
        error = oct_launch_gemm_f32(&args, cuda->stream);
    } else {
        pick_linear pick = pick_linear_tile(
            a->n_rows, args.n, args.k, cuda->properties.multiProcessorCount, cuda->partial_bytes);
        if (pick.product == PICK_GEMV) {
            kernel = "gemv_i8";
            error = oct_launch_gemv_i8(&args, &pick.tile, cuda->partial, cuda->stream);
        } else {
            kernel = "gemm_i8";
            error = oct_launch_gemm_i8(&args, &pick.tile, cuda->stream);
        }
    }
    oct_status status = launched(device, error, kernel, a->n_rows, args.n, args.k);
    bool dynamic = a->quant.dynamic && a->quant.format == OCT_FORMAT_W8A8;
    if (status != OCT_OK || a->epilogue != OCT_EPILOGUE_GELU || !dynamic) {
        return status;
    }
    return quantize_rows(device, args.waiting, args.act, a->n_rows, args.n);
}

static oct_status cuda_attend(oct_device *device, const oct_attend_args *a)
{
    cuda_device *cuda = cuda_of(device);
    int32_t T = a->step->n_rows, H = a->kv.n_head, D = a->kv.d_head;
    launch_attend args = {
        .step = step_of(a->step),
        .q = cuda_ptr(a->q),
        .kv = kv_of(&a->kv),
        .layer = a->layer,
        .scale = a->scale,
        .k_step = cuda_ptr(a->k_step),
        .out_mul = cuda_ptr(a->out_mul),
        .quant = a->quant,
        .waiting = cuda_ptr(a->waiting),
        .out = act_of(&a->out),
        .tap = cuda_ptr(a->tap.out),
        .tap_mul = cuda_ptr(a->tap.column_mul),
    };
    const char *kernel = "attend_f32";
    int error;
    nvtxRangePushA("attend");
    if (a->kv.format == OCT_FORMAT_F32) {
        error = oct_launch_attend_f32(&args, cuda->stream);
    } else if (pick_attend_decode(T)) {
        int32_t splits = pick_attend_splits(
            T, H, D, a->step->max_pages, cuda->properties.multiProcessorCount, cuda->attend_bytes);
        kernel = "attend_decode_i8";
        error = oct_launch_attend_decode_i8(&args, splits, cuda->attend_scratch, cuda->stream);
    } else {
        kernel = "attend_prefill_i8";
        error = oct_launch_attend_prefill_i8(&args, cuda->stream);
    }
    oct_status status = launched(device, error, kernel, T, H, D);
    if (status != OCT_OK || !a->quant.dynamic || a->quant.format == OCT_FORMAT_F32) {
        return status;
    }
    return quantize_rows(device, args.waiting, args.out, T, H * D);
}

static oct_status cuda_score(oct_device *device, const oct_score_args *a)
{
    launch_score args = {step_of(a->step), a->vocab, cuda_ptr(a->logits), cuda_ptr(a->sums),
                         cuda_ptr(a->nll)};
    nvtxRangePushA("score");
    int error = oct_launch_score(&args, cuda_of(device)->stream);
    return launched(device, error, "score", a->step->n_logits, a->vocab, 0);
}

static oct_status cuda_sample(oct_device *device, const oct_sample_args *a)
{
    launch_sample args = {step_of(a->step), a->vocab, cuda_ptr(a->logits), cuda_ptr(a->scratch),
                          cuda_ptr(a->token)};
    nvtxRangePushA("sample");
    int error = oct_launch_sample(&args, cuda_of(device)->stream);
    return launched(device, error, "sample", a->step->n_logits, a->vocab, 0);
}

static oct_status cuda_observe(oct_device *device, const oct_observe_args *a)
{
    launch_observe args = {
        .step = step_of(a->step),
        .n_rows = a->n_rows,
        .cols = a->cols,
        .x = cuda_ptr(a->x),
        .min_0 = cuda_ptr(a->min_0),
        .max_0 = cuda_ptr(a->max_0),
        .min = cuda_ptr(a->min),
        .max = cuda_ptr(a->max),
        .bucket_absmax = cuda_ptr(a->bucket_absmax),
        .bins = cuda_ptr(a->bins),
        .column_factors = cuda_ptr(a->column_factors),
        .absmax = a->absmax,
        .moments = cuda_ptr(a->moments),
        .moment_mul = a->moment_mul,
        .row_map = cuda_ptr(a->row_map),
        .rows_out = cuda_ptr(a->rows_out),
    };
    nvtxRangePushA("observe");
    int error = oct_launch_observe(&args, cuda_of(device)->stream);
    return launched(device, error, "observe", a->n_rows, a->cols, 0);
}

const oct_ops cuda_ops = {
    .abi = OCT_BACKEND_ABI,
    .size = sizeof(oct_ops),
    .linear_bytes = cuda_linear_bytes,
    .linear_pack = cuda_linear_pack,
    .embed = cuda_embed,
    .norm = cuda_norm,
    .linear = cuda_linear,
    .attend = cuda_attend,
    .score = cuda_score,
    .sample = cuda_sample,
    .observe = cuda_observe,
};
