// tests: runs each op on seeded operands and takes everything it wrote.
#include "op_rig.h"

#include "test_util.h"

void run_embed(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = rig_step(&r, c);
    oct_linear wte = rig_linear(&r, c->format, c->n, c->k, false);
    oct_buf x = rig_room(&r, (size_t)c->rows * (size_t)c->k * 4);
    oct_embed_args args = {&step, &wte, rig_factors(&r, c->n, 0.01f),
                           rig_rows(&r, c->first_position + c->rows, c->k, 0.1f), x};
    assert_ok(device->ops->embed(device, &args));
    rig_take(&r, out, "x", x, (size_t)c->rows * (size_t)c->k, 4);
    rig_close(&r);
}

void run_norm(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = rig_step(&r, c);
    oct_norm_args args = {
        .step = &step,
        .n_rows = c->rows,
        .cols = c->k,
        .x = rig_rows(&r, c->rows, c->k, 1.0f),
        .G = rig_factors(&r, c->k, c->dynamic ? 1.0f : 40.0f),
        .B = rig_rows(&r, 1, c->k, c->dynamic ? 0.3f : 10.0f),
        .eps = 1e-5f,
        .quant = rig_quant(c),
        .out = rig_act_room(&r, c->format, c->rows, c->k),
        .tap = rig_tap_room(&r, c, c->k, true),
    };
    assert_ok(device->ops->norm(device, &args));
    rig_take_act(&r, out, c->format, args.out, c->rows, c->k);
    rig_take(&r, out, "x", args.x, (size_t)c->rows * (size_t)c->k, 4);
    rig_take(&r, out, "G", args.G, (size_t)c->k, 4);
    rig_take(&r, out, "B", args.B, (size_t)c->k, 4);
    rig_take_tap(&r, out, "tap", args.tap, c->rows, c->k);
    rig_close(&r);
}

void run_linear(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = rig_step(&r, c);
    oct_linear w = rig_linear(&r, c->format, c->n, c->k, c->bias);
    size_t cells = (size_t)c->rows * (size_t)c->n;
    oct_linear_args args = {
        .step = &step,
        .n_rows = c->rows,
        .linear = &w,
        .in = rig_act(&r, c),
        .epilogue = (oct_epilogue)c->epilogue,
        .activation = (oct_activation)c->activation,
        .quant = rig_quant(c),
        .tap = rig_tap_room(&r, c, c->n, false),
    };
    switch (args.epilogue) {
    case OCT_EPILOGUE_STORE:
    case OCT_EPILOGUE_RESIDUAL:
        args.out = rig_rows(&r, c->rows, c->n, 1.0f);
        break;
    case OCT_EPILOGUE_GELU:
        args.act = rig_act_room(&r, c->format, c->rows, c->n);
        args.act_mul = rig_factors(&r, c->n, c->dynamic ? 1.0f : 30.0f);
        args.waiting = rig_room(&r, cells * 4);
        args.tap_activation = rig_tap_room(&r, c, c->n, false);
        break;
    case OCT_EPILOGUE_QKV:
        args.q = rig_room(&r, cells / 3 * 4);
        args.kv = rig_kv_room(&r, c, 2, c->n / 6);
        args.layer = 1;
        args.k_mul = rig_factors(&r, c->n / 3, 30.0f);
        args.v_mul = rig_factors(&r, c->n / 3, 30.0f);
        break;
    }
    assert_ok(device->ops->linear(device, &args));
    if (args.out.mem != NULL) {
        rig_take(&r, out, "out", args.out, cells, 4);
    }
    if (args.act.data.mem != NULL) {
        rig_take_act(&r, out, c->format, args.act, c->rows, c->n);
    }
    if (args.q.mem != NULL) {
        size_t cell = c->format == OCT_FORMAT_F32 ? 4 : 2;
        rig_take(&r, out, "q", args.q, cells / 3, cell);
        size_t page = oct_kv_page_bytes(c->format, 2, 2, c->n / 6);
        oct_buf pages = {args.kv.pool.mem, args.kv.pool.offset + page}; // page 0 takes the trash
        rig_take(&r, out, "pool", pages, 64 * page, 1);
    }
    rig_take_tap(&r, out, "tap", args.tap, c->rows, c->n);
    rig_take_tap(&r, out, "tap_activation", args.tap_activation, c->rows, c->n);
    rig_take(&r, out, "in", args.in.data, (size_t)c->rows * oct_act_stride(c->format, c->k), 1);
    rig_take(&r, out, "mul", w.mul, (size_t)c->n, 4);
    rig_close(&r);
}

// The cache is filled by op linear (identity of layouts is tested there and by the model suites).
void run_attend(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    int32_t H = c->n, D = c->k, C = H * D, seen = c->first_position + c->rows;
    op_case whole = *c;
    whole.rows = seen;
    whole.first_position = 0;
    whole.padding = false;
    whole.k = 32;
    whole.n = 64;
    oct_step all = rig_step(&r, &whole);
    oct_linear w = rig_linear(&r, c->format, 3 * C, 32, true);
    op_case in = whole;
    oct_linear_args fill = {
        .step = &all,
        .n_rows = seen,
        .linear = &w,
        .in = rig_act(&r, &in),
        .epilogue = OCT_EPILOGUE_QKV,
        .q = rig_room(&r, (size_t)seen * (size_t)C * 4),
        .kv = rig_kv_room(&r, c, H, D),
        .layer = 1,
        .k_mul = rig_factors(&r, C, 60.0f),
        .v_mul = rig_factors(&r, C, 60.0f),
    };
    assert_ok(device->ops->linear(device, &fill));
    op_case mine = *c;
    mine.n = 64;
    oct_step step = rig_step(&r, &mine);
    size_t q_row = (size_t)C * (c->format == OCT_FORMAT_F32 ? 4 : 2);
    oct_attend_args args = {
        .step = &step,
        .q = {fill.q.mem, fill.q.offset + (size_t)c->first_position * q_row},
        .kv = fill.kv,
        .layer = 1,
        .scale = 0.25f,
        .k_step = rig_factors(&r, C, 0.05f),
        .out_mul = rig_factors(&r, C, c->dynamic ? 1.0f : 2.0f),
        .quant = rig_quant(c),
        .waiting = rig_room(&r, (size_t)c->rows * (size_t)C * 4),
        .out = rig_act_room(&r, c->format, c->rows, C),
        .tap = rig_tap_room(&r, c, C, true),
    };
    assert_ok(device->ops->attend(device, &args));
    rig_take_act(&r, out, c->format, args.out, c->rows, C);
    rig_take_tap(&r, out, "tap", args.tap, c->rows, C);
    rig_take(&r, out, "q", args.q, (size_t)c->rows * (size_t)C, q_row / (size_t)C);
    rig_take(&r, out, "pool", args.kv.pool, 65 * oct_kv_page_bytes(c->format, 2, H, D), 1);
    rig_take(&r, out, "k_step", args.k_step, (size_t)C, 4);
    rig_take(&r, out, "out_mul", args.out_mul, (size_t)C, 4);
    rig_close(&r);
}

// Logits rows 0..R-1 of rows 0..R-1; every third has no target.
static oct_step put_logit_step(rig *r, const op_case *c)
{
    oct_step step = rig_step(r, c);
    size_t rows = (size_t)c->rows;
    int32_t *row = calloc(rows, 4), *slot = calloc(rows, 4), *target = calloc(rows, 4);
    int32_t *sample = calloc(rows, 4), history[2 * 8] = {0}, n_history[2] = {0, 8};
    int64_t *index = calloc(rows, 8);
    for (size_t i = 0; i < rows; i++) {
        row[i] = (int32_t)i;
        slot[i] = (int32_t)(i % 2);
        target[i] = i % 3 == 2 ? -1 : (int32_t)(test_random(&r->seed) % (uint64_t)c->n);
        sample[i] = i % 4 != 3;
        index[i] = (int64_t)i * 1000003;
    }
    for (int i = 8; i < 16; i++) {
        history[i] = (int32_t)(test_random(&r->seed) % (uint64_t)c->n);
    }
    step.n_logits = c->rows;
    step.logit_row = rig_put(r, row, rows * 4);
    step.logit_slot = rig_put(r, slot, rows * 4);
    step.target = rig_put(r, target, rows * 4);
    step.index = rig_put(r, index, rows * 8);
    step.sample = rig_put(r, sample, rows * 4);
    step.history = rig_put(r, history, sizeof history);
    step.n_history = rig_put(r, n_history, sizeof n_history);
    step.max_history = 8;
    free(row);
    free(slot);
    free(target);
    free(sample);
    free(index);
    return step;
}

void run_score(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = put_logit_step(&r, c);
    oct_score_args args = {&step, c->n, rig_rows(&r, c->rows, c->n, 3.0f),
                           rig_room(&r, 2 * sizeof(oct_score_sums)),
                           rig_room(&r, (size_t)c->rows * 4)};
    assert_ok(device->ops->score(device, &args));
    rig_take(&r, out, "sums", args.sums, 2 * sizeof(oct_score_sums) / 8, 8);
    rig_take(&r, out, "nll", args.nll, (size_t)c->rows, 4);
    rig_take(&r, out, "logits", args.logits, (size_t)c->rows * (size_t)c->n, 4);
    rig_take(&r, out, "target", step.target, (size_t)c->rows, 4);
    rig_close(&r);
}

void run_sample(oct_device *device, const op_case *c, const oct_sampling *sampling, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    oct_step step = put_logit_step(&r, c);
    oct_sampling both[2] = {*sampling, *sampling};
    both[1].seed ^= 0x1234567800000000u;
    step.sampling = rig_put(&r, both, sizeof both);
    oct_sample_args args = {&step, c->n, rig_rows(&r, c->rows, c->n, 2.0f),
                            rig_room(&r, (size_t)c->rows * (size_t)c->n * 8),
                            rig_room(&r, (size_t)c->rows * 4)};
    assert_ok(device->ops->sample(device, &args));
    rig_take(&r, out, "token", args.token, (size_t)c->rows, 4);
    rig_take(&r, out, "logits", args.logits, (size_t)c->rows * (size_t)c->n, 4);
    rig_take(&r, out, "history", step.history, 16, 4);
    rig_close(&r);
}

void run_observe(oct_device *device, const op_case *c, op_outputs *out)
{
    rig r = {device, c->seed, {{0}}, 0};
    op_case ids = *c;
    ids.n = 64;
    oct_step step = rig_step(&r, &ids);
    size_t cols = (size_t)c->k, rows = (size_t)c->rows;
    int32_t *map = calloc(rows, 4);
    for (size_t t = 0; t < rows; t++) {
        map[t] = t % 3 == 1 ? (int32_t)(t / 3) : -1;
    }
    oct_observe_args args = {
        .step = &step,
        .n_rows = c->rows,
        .cols = c->k,
        .x = rig_rows(&r, c->rows, c->k, 1.0f),
        .min_0 = rig_room(&r, cols * 4),
        .max_0 = rig_room(&r, cols * 4),
        .min = rig_room(&r, cols * 4),
        .max = rig_room(&r, cols * 4),
        .bucket_absmax = rig_room(&r, 12),
        .bins = rig_room(&r, 2048 * 8),
        .column_factors = rig_factors(&r, c->k, 1.5f),
        .absmax = 2500.0f,
        .moments = rig_room(&r, 24),
        .moment_mul = 0x1p3f,
        .row_map = rig_put(&r, map, rows * 4),
        .rows_out = rig_room(&r, (rows / 3 + 1) * cols * 4),
    };
    assert_ok(device->ops->observe(device, &args));
    rig_take(&r, out, "min_0", args.min_0, cols, 4);
    rig_take(&r, out, "max_0", args.max_0, cols, 4);
    rig_take(&r, out, "min", args.min, cols, 4);
    rig_take(&r, out, "max", args.max, cols, 4);
    rig_take(&r, out, "bucket_absmax", args.bucket_absmax, 3, 4);
    rig_take(&r, out, "bins", args.bins, 2048, 8);
    rig_take(&r, out, "moments", args.moments, 3, 8);
    rig_take(&r, out, "rows_out", args.rows_out, (rows / 3 + 1) * cols, 4);
    rig_take(&r, out, "x", args.x, rows * cols, 4);
    rig_take(&r, out, "cs", args.column_factors, cols, 4);
    free(map);
    rig_close(&r);
}
