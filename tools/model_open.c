// tools: a model directory made ready: its tokenizer, a device, the engine; with the errors that
// users make told plainly.
#include "model_open.h"

#include "console.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool model_check(const char *dir, const char *role)
{
    struct stat info;
    if (stat(dir, &info) != 0) {
        console_fail("%s: cannot open the model directory '%s': %s", role, dir, strerror(errno));
        return false;
    }
    if (!S_ISDIR(info.st_mode)) {
        console_fail("%s: expected a model directory, but '%s' is a file", role, dir);
        return false;
    }
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/config.json", dir);
    if (n < (int)sizeof path && stat(path, &info) != 0 && errno == ENOENT) {
        console_fail("%s: '%s' is not a model directory: it has no config.json", role, dir);
        return false;
    }
    return true;
}

bool model_check_text(const char *path, const char *role)
{
    struct stat info;
    if (stat(path, &info) != 0 || access(path, R_OK) != 0) {
        console_fail("%s: cannot read '%s': %s", role, path, strerror(errno));
        return false;
    }
    if (S_ISDIR(info.st_mode)) {
        console_fail("%s: expected a text file, but '%s' is a directory", role, path);
        return false;
    }
    return true;
}

bool model_device_open(oct_device **out, oct_device_info *info, const command_common *common)
{
    static const char *const choice[] = {"cuda", "cpu"};
    oct_device_options options = OCT_DEVICE_OPTIONS_INIT;
    options.n_threads = common->n_threads;
    oct_status status = OCT_ERR_DEVICE;
    *out = NULL;
    // An instruction set is the CPU's.
    bool asked = common->device != NULL || common->isa != NULL;
    for (int i = asked ? 1 : 0; i < 2 && status != OCT_OK; i++) {
        options.name = common->device != NULL ? common->device : choice[i];
        options.isa = strcmp(options.name, "cpu") == 0 ? common->isa : NULL;
        status = oct_device_open(out, &options);
        if (status != OCT_OK && i == 0 && common->verbose > 0) {
            console_log(NULL, OCT_LOG_INFO, "device", oct_last_error());
        }
    }
    if (status == OCT_OK) {
        status = (*out)->table->info(*out, info);
    }
    if (status != OCT_OK) {
        console_fail_status(status);
        oct_device_close(*out);
        *out = NULL;
        return false;
    }
    if (common->verbose > 0) {
        char text[256];
        snprintf(text, sizeof text, "%s: %s, %s, %d threads", info->name, info->processor,
                 info->isa, info->n_threads);
        console_log(NULL, OCT_LOG_INFO, "device", text);
    }
    return true;
}

const char *model_format_name(oct_format format)
{
    return format == OCT_FORMAT_F32 ? "FP32" : "INT8";
}
