// LOAD: collects a quantized model's tensors and streams them to a file.
#include "gpt2_write.h"

#include "base/check.h"
#include "gpt2_fields.h"

#include <stdlib.h>
#include <string.h>

typedef struct collector {
    oct_arena arena;            // names and single values
    safetensors_entry *entries; // [room], malloc'ed
    size_t n, room;
} collector;

// The bytes of a field's tensor; single values are gathered in the arena. NULL: absent, or out of
// memory.
static const void *field_data(collector *c, const gpt2_field *field)
{
    if (field->i8 != NULL) {
        return *field->i8;
    }
    if (field->f32 != NULL) {
        return *field->f32;
    }
    if (field->zero != NULL) {
        int8_t *zero = oct_arena_alloc(&c->arena, 1, 1);
        if (zero != NULL) {
            *zero = (int8_t)*field->zero; // in range: checked before the walk
        }
        return zero;
    }
    float *values = oct_arena_alloc(&c->arena, 2, sizeof *values);
    for (int i = 0; values != NULL && i < 2 && field->scalar[i] != NULL; i++) {
        values[i] = *field->scalar[i];
    }
    return values;
}

// What the loader would refuse must not be written.
static oct_status check_values(const safetensors_entry *entry, gpt2_rule rule)
{
    safetensors_tensor tensor = {.name = entry->name,
                                 .dtype = (int)entry->dtype,
                                 .count = 1,
                                 .data = entry->data,
                                 .path = "model to write"};
    for (int i = 0; i < entry->n_dims; i++) {
        tensor.count *= (size_t)entry->shape[i];
    }
    return gpt2_check_rule(&tensor, rule);
}

static oct_status collect(void *user, const gpt2_field *field)
{
    collector *c = user;
    const void *data = field_data(c, field);
    if (data == NULL && field->optional) {
        return OCT_OK;
    }
    OCT_REQUIRE(data != NULL, OCT_ERR_ARG, "tensor %s: expected data, the model has none",
                field->name);
    if (c->n == c->room) {
        size_t room = c->room == 0 ? 256 : c->room * 2;
        safetensors_entry *grown = realloc(c->entries, room * sizeof *grown);
        OCT_REQUIRE(grown != NULL, OCT_ERR_NOMEM, "out of memory: table of %zu tensors", room);
        c->entries = grown;
        c->room = room;
    }
    size_t bytes = strlen(field->name) + 1;
    char *name = oct_arena_alloc(&c->arena, bytes, 1);
    OCT_REQUIRE(name != NULL, OCT_ERR_NOMEM, "out of memory: names of tensors");
    memcpy(name, field->name, bytes);
    safetensors_entry *entry = &c->entries[c->n++];
    *entry = (safetensors_entry){.name = name,
                                 .dtype = field->dtype,
                                 .n_dims = field->n_dims,
                                 .shape = {field->shape[0], field->shape[1]},
                                 .data = data};
    return check_values(entry, field->rule);
}

oct_status gpt2_write_tensors(const gpt2_model *model, const char *path)
{
    collector c = {0};
    // The walk hands out places so that the loader can fill them; here they are only read.
    oct_status status = gpt2_fields_walk((gpt2_model *)(uintptr_t)model, collect, &c);
    if (status == OCT_OK) {
        status = safetensors_write(path, c.entries, c.n);
    }
    free(c.entries);
    oct_arena_free(&c.arena);
    return status;
}
