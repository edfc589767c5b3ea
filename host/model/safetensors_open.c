// LOAD: finds and maps the safetensors files of a model folder: one file, or the shards that an
// index lists.
#include "safetensors_table.h"

#include "base/check.h"
#include "json_file.h"

#include <stdlib.h>
#include <string.h>

#define MODEL_FILE "model.safetensors"
#define INDEX_FILE "model.safetensors.index.json"
#define SHARDS_MAX 10000

// Maps `dir`/`name` and adds its tensors. *out_path: the file's path, in the arena.
static oct_status add_file(safetensors *st, const char *dir, const char *name,
                           const char **out_path)
{
    char *joined = oct_path_join(dir, name);
    const char *path = joined == NULL ? NULL : safetensors_copy_text(st, joined);
    free(joined);
    OCT_REQUIRE(path != NULL, OCT_ERR_NOMEM, "out of memory: path of %s", name);
    *out_path = path;
    oct_file_map *map = &st->files[st->n_files];
    OCT_TRY(oct_file_map_open(map, path));
    st->n_files++;
    return safetensors_parse_file(st, map->data, map->size, path);
}

// A shard's name must be a plain file name: an index must not lead out of its folder.
static oct_status check_shard_name(const char *tensor, const json_t *file)
{
    const char *name = json_string_value(file);
    OCT_REQUIRE(name != NULL && *name != 0 && strchr(name, '/') == NULL && name[0] != '.',
                OCT_ERR_FORMAT, "weight_map: %s: expected the name of a file beside it, got %s",
                json_show_string(tensor).text, json_show(file).text);
    return OCT_OK;
}

// Maps each file of the weight map once; `paths` (owned by the caller) becomes {file name: path}.
static oct_status add_shards(safetensors *st, json_t *weight_map, const char *dir, json_t *paths)
{
    const char *tensor;
    json_t *file;
    json_object_foreach(weight_map, tensor, file)
    {
        OCT_TRY(check_shard_name(tensor, file));
        const char *name = json_string_value(file);
        if (json_object_get(paths, name) != NULL) {
            continue;
        }
        OCT_REQUIRE(st->n_files < SHARDS_MAX, OCT_ERR_FORMAT,
                    "weight_map: expected at most %d files", SHARDS_MAX);
        const char *path;
        OCT_TRY(add_file(st, dir, name, &path));
        OCT_REQUIRE(json_object_set_new_nocheck(paths, name, json_string_nocheck(path)) == 0,
                    OCT_ERR_NOMEM, "out of memory: list of shards");
    }
    return OCT_OK;
}

// Keeps of every shard what the index places there, and requires that all of it is there.
static oct_status keep_listed(safetensors *st, json_t *weight_map, const json_t *paths)
{
    size_t kept = 0;
    for (size_t i = 0; i < st->n_tensors; i++) {
        const char *file = json_string_value(json_object_get(weight_map, st->tensors[i].name));
        const char *path = file == NULL ? NULL : json_string_value(json_object_get(paths, file));
        if (path != NULL && strcmp(path, st->tensors[i].path) == 0) {
            st->tensors[kept++] = st->tensors[i];
        }
    }
    st->n_tensors = kept;
    safetensors_sort(st);
    const char *tensor;
    json_t *file;
    json_object_foreach(weight_map, tensor, file)
    {
        OCT_REQUIRE(safetensors_find(st, tensor) != NULL, OCT_ERR_FORMAT,
                    "weight_map: expected tensor %s in %s, it is not there",
                    json_show_string(tensor).text, json_show(file).text);
    }
    return OCT_OK;
}

static oct_status open_sharded(safetensors *st, const char *dir, const char *index_path)
{
    json_t *index;
    OCT_TRY(json_file_read(&index, index_path));
    json_t *weight_map = json_object_get(index, "weight_map");
    json_t *paths = json_object();
    oct_status status = OCT_OK;
    if (!json_is_object(weight_map) || json_object_size(weight_map) == 0) {
        status =
            OCT_FAIL(OCT_ERR_FORMAT, "%s: weight_map: expected an object of file names, got %s",
                     index_path, json_show(weight_map).text);
        goto done;
    }
    st->where = safetensors_copy_text(st, index_path);
    st->files = calloc(SHARDS_MAX, sizeof *st->files);
    if (st->where == NULL || st->files == NULL || paths == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: list of shards");
        goto done;
    }
    status = add_shards(st, weight_map, dir, paths);
    if (status == OCT_OK) {
        status = keep_listed(st, weight_map, paths);
    }
    if (status != OCT_OK) {
        oct_fail_prefix(status, "%s", index_path);
    }
done:
    json_decref(paths);
    json_decref(index);
    return status;
}

static oct_status open_single(safetensors *st, const char *dir)
{
    st->files = calloc(1, sizeof *st->files);
    OCT_REQUIRE(st->files != NULL, OCT_ERR_NOMEM, "out of memory: list of files");
    OCT_TRY(add_file(st, dir, MODEL_FILE, &st->where));
    safetensors_sort(st);
    return OCT_OK;
}

oct_status safetensors_open(safetensors **out, const char *dir)
{
    *out = NULL;
    safetensors *st = calloc(1, sizeof *st);
    char *file = oct_path_join(dir, MODEL_FILE);
    char *index = oct_path_join(dir, INDEX_FILE);
    oct_status status = OCT_OK;
    if (st == NULL || file == NULL || index == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: %s", dir);
    } else if (oct_file_exists(file)) {
        status = open_single(st, dir);
    } else if (oct_file_exists(index)) {
        status = open_sharded(st, dir, index);
    } else {
        status = OCT_FAIL(OCT_ERR_IO, "%s: expected %s or %s, found neither", dir, MODEL_FILE,
                          INDEX_FILE);
    }
    free(file);
    free(index);
    if (status != OCT_OK) {
        safetensors_close(st);
        return status;
    }
    *out = st;
    return OCT_OK;
}
