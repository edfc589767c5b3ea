// LOAD: writes a quantized model directory: all of it, or nothing.
#include "gpt2_write.h"

#include "base/check.h"
#include "base/file.h"
#include "base/logging.h"
#include "gpt2_fields.h"
#include "json_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_TRIES 100

// What a reader of the directory needs besides config and weights; copied where the source has
// them.
static const char *const copied_files[] = {
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
};

static oct_status fail_errno(const char *path, const char *action)
{
    int error = errno;
    return OCT_FAIL(OCT_ERR_IO, "%s: cannot %s: %s", path, action, strerror(error));
}

// May the directory `path` be replaced? Only if it is empty, or has a config.json and no folders.
static oct_status check_replaceable(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return fail_errno(path, "open the folder");
    }
    bool empty = true, has_config = false, has_folder = false;
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        struct stat info;
        empty = false;
        has_config = has_config || strcmp(entry->d_name, "config.json") == 0;
        has_folder = has_folder ||
                     fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
                     S_ISDIR(info.st_mode);
    }
    closedir(folder);
    OCT_REQUIRE(
        empty || (has_config && !has_folder), OCT_ERR_ARG,
        "%s: expected a model (config.json and no folders) or an empty folder to replace, got "
        "%s",
        path, has_folder ? "a folder with folders in it" : "a folder without config.json");
    return OCT_OK;
}

oct_status gpt2_model_check_target(const char *source_dir, const char *out_dir, bool force)
{
    struct stat out, source;
    OCT_REQUIRE(*out_dir != 0, OCT_ERR_ARG, "output: expected a path, got an empty text");
    if (lstat(out_dir, &out) != 0) {
        if (errno != ENOENT) {
            return fail_errno(out_dir, "look at it");
        }
        char *above = oct_path_folder(out_dir);
        OCT_REQUIRE(above != NULL, OCT_ERR_NOMEM, "out of memory: %s", out_dir);
        oct_status status = access(above, W_OK) == 0 ? OCT_OK : fail_errno(above, "write to it");
        free(above);
        return status;
    }
    OCT_REQUIRE(force, OCT_ERR_ARG,
                "%s: expected a path that does not exist yet, it does (--force "
                "replaces it)",
                out_dir);
    OCT_REQUIRE(S_ISDIR(out.st_mode), OCT_ERR_ARG, "%s: expected a folder to replace, got %s",
                out_dir, S_ISLNK(out.st_mode) ? "a link" : "a file");
    OCT_REQUIRE(stat(source_dir, &source) != 0 || source.st_dev != out.st_dev ||
                    source.st_ino != out.st_ino,
                OCT_ERR_ARG, "%s: expected another folder than the source, got the same", out_dir);
    return check_replaceable(out_dir);
}

// Makes "<out_dir>.tmp-<pid>-<n>"; *out is owned (free).
static oct_status make_temporary(char **out, const char *out_dir)
{
    size_t bytes = strlen(out_dir) + 48;
    char *path = malloc(bytes);
    OCT_REQUIRE(path != NULL, OCT_ERR_NOMEM, "out of memory: %s", out_dir);
    for (int i = 0; i < TEMPORARY_TRIES; i++) {
        snprintf(path, bytes, "%s.tmp-%ld-%d", out_dir, (long)getpid(), i);
        if (mkdir(path, 0777) == 0) {
            *out = path;
            return OCT_OK;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    oct_status status = fail_errno(path, "make the folder");
    free(path);
    return status;
}

static oct_status copy_file(const char *source_dir, const char *name, const char *dir)
{
    char *from = oct_path_join(source_dir, name), *to = oct_path_join(dir, name);
    oct_status status = OCT_OK;
    if (from == NULL || to == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: %s", name);
    } else if (oct_file_exists(from)) {
        status = oct_file_copy(from, to);
    }
    free(from);
    free(to);
    return status;
}

// Writes all files into the existing folder `dir`.
static oct_status write_files(const gpt2_model *model, const char *statistics_json,
                              const char *source_dir, const char *dir)
{
    char *config = oct_path_join(dir, "config.json");
    char *tensors = oct_path_join(dir, "model.safetensors");
    char *statistics = oct_path_join(dir, "calibration.json");
    oct_status status = OCT_OK;
    if (config == NULL || tensors == NULL || statistics == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: %s", dir);
        goto done;
    }
    OCT_TRY_GOTO(gpt2_write_config(model, source_dir, config), done);
    OCT_TRY_GOTO(gpt2_write_tensors(model, tensors), done);
    if (statistics_json != NULL) {
        OCT_TRY_GOTO(oct_file_write(statistics, statistics_json, strlen(statistics_json)), done);
    }
    for (size_t i = 0; i < sizeof copied_files / sizeof copied_files[0]; i++) {
        OCT_TRY_GOTO(copy_file(source_dir, copied_files[i], dir), done);
    }
    status = oct_folder_sync(dir);
done:
    free(config);
    free(tensors);
    free(statistics);
    return status;
}

// Puts the finished folder `temporary` in the place of out_dir. What out_dir was before, if
// anything, is removed.
static oct_status install(const char *temporary, const char *out_dir)
{
    struct stat info;
    if (lstat(out_dir, &info) != 0) {
        return rename(temporary, out_dir) == 0 ? OCT_OK : fail_errno(out_dir, "rename the result");
    }
    size_t bytes = strlen(temporary) + 8;
    char *aside = malloc(bytes);
    OCT_REQUIRE(aside != NULL, OCT_ERR_NOMEM, "out of memory: %s", out_dir);
    snprintf(aside, bytes, "%s.old", temporary);
    oct_status status = OCT_OK;
    if (rename(out_dir, aside) != 0) {
        status = fail_errno(out_dir, "move the old model aside");
    } else if (rename(temporary, out_dir) != 0) {
        status = fail_errno(out_dir, "rename the result");
        (void)rename(aside,
                     out_dir); // as it was; if this fails too, the message's path leads there
    } else if (oct_folder_remove(aside) != OCT_OK) {
        // The new model stands: not a failure of the command.
        oct_log(OCT_LOG_WARN, "load", "the old model could not be removed: %s", oct_last_error());
    }
    free(aside);
    return status;
}

static oct_status write_directory(const gpt2_model *model, const char *statistics_json,
                                  const char *source_dir, const char *out_dir)
{
    char *above = oct_path_folder(out_dir);
    OCT_REQUIRE(above != NULL, OCT_ERR_NOMEM, "out of memory: %s", out_dir);
    char *temporary = NULL;
    oct_status status = make_temporary(&temporary, out_dir);
    if (status == OCT_OK) {
        status = write_files(model, statistics_json, source_dir, temporary);
        if (status == OCT_OK) {
            status = install(temporary, out_dir);
        }
        if (status == OCT_OK) {
            status = oct_folder_sync(above);
        } else {
            char text[1024]; // the reason, which a failing removal would overwrite
            snprintf(text, sizeof text, "%s", oct_last_error());
            (void)oct_folder_remove(temporary);
            status = OCT_FAIL(status, "%s", text);
        }
    }
    free(temporary);
    free(above);
    return status;
}

static oct_status check_model(const gpt2_model *model, const char *statistics_json)
{
    OCT_REQUIRE(model->format == OCT_FORMAT_W8A8 && model->recipe.alpha != NULL, OCT_ERR_ARG,
                "model to write: expected a W8A8 model with a recipe, got format %d",
                (int)model->format);
    OCT_REQUIRE(strlen(model->recipe.calibration_sha256) == 64 && *model->recipe.calibrator != 0 &&
                    model->recipe.blocks >= 0 &&
                    model->recipe.numerics_version == OCT_NUMERICS_VERSION,
                OCT_ERR_ARG,
                "recipe: expected a calibrator, a sha256 of 64 digits and numerics version %d, got "
                "\"%s\", \"%s\" and %d",
                OCT_NUMERICS_VERSION, model->recipe.calibrator, model->recipe.calibration_sha256,
                model->recipe.numerics_version);
    if (statistics_json != NULL) {
        json_t *parsed;
        OCT_TRY(json_text_parse(&parsed, statistics_json, strlen(statistics_json), "statistics"));
        json_decref(parsed);
    }
    return gpt2_check_consistent((gpt2_model *)(uintptr_t)model, OCT_ERR_ARG);
}

oct_status gpt2_model_write(const gpt2_model *model, const char *statistics_json,
                            const char *source_dir, const char *out_dir, bool force)
{
    OCT_TRY(check_model(model, statistics_json));
    // Without trailing slashes the name of the temporary folder lies beside it and not within.
    char *target = strdup(out_dir);
    OCT_REQUIRE(target != NULL, OCT_ERR_NOMEM, "out of memory: %s", out_dir);
    for (size_t n = strlen(target); n > 1 && target[n - 1] == '/'; n--) {
        target[n - 1] = 0;
    }
    oct_status status = gpt2_model_check_target(source_dir, target, force);
    if (status == OCT_OK) {
        status = write_directory(model, statistics_json, source_dir, target);
    }
    free(target);
    return status;
}
