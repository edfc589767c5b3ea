// LOAD: opens a device by name: the embedded CPU backend, or the plug-in liboctet_<name>.so.
#include "base/check.h"
#include "base/logging.h"
#include "octet/octet.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static oct_status host_fail(oct_status code, const char *text)
{
    return OCT_FAIL(code, "%s", text);
}

static void host_log(oct_log_level level, const char *subsystem, const char *text)
{
    oct_log(level, subsystem, "%s", text);
}

static const oct_host host = {OCT_BACKEND_ABI, sizeof host, host_fail, host_log};

static oct_status open_plug_in(oct_device **out, const oct_device_options *options)
{
    char file[64];
    for (const char *c = options->name; *c != 0; c++) {
        OCT_REQUIRE(isalnum((unsigned char)*c) && c - options->name < 32, OCT_ERR_ARG,
                    "device: expected a name such as cpu, got \"%.40s\"", options->name);
    }
    snprintf(file, sizeof file, "liboctet_%s.so", options->name);
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    OCT_REQUIRE(library != NULL, OCT_ERR_DEVICE, "device %s: %s", options->name, dlerror());
    // The plug-in stays loaded: its threads and contexts may outlive the device object.
    oct_backend_open_fn *open_backend;
    *(void **)(&open_backend) = dlsym(library, OCT_BACKEND_OPEN_SYMBOL);
    OCT_REQUIRE(open_backend != NULL, OCT_ERR_DEVICE, "device %s: %s has no %s", options->name,
                file, OCT_BACKEND_OPEN_SYMBOL);
    oct_status status = open_backend(out, &host, 0);
    if (status != OCT_OK) {
        return oct_fail_prefix(status, "device %s", options->name);
    }
    const oct_device_table *table = (*out)->table;
    const oct_ops *ops = (*out)->ops;
    if (table->abi != OCT_BACKEND_ABI || table->size != sizeof *table ||
        ops->abi != OCT_BACKEND_ABI || ops->size != sizeof *ops) {
        uint32_t abi = table->abi;
        table->close(*out);
        *out = NULL;
        return OCT_FAIL(OCT_ERR_DEVICE, "device %s: expected interface %d, %s has %u",
                        options->name, OCT_BACKEND_ABI, file, abi);
    }
    return OCT_OK;
}

oct_status oct_device_open(oct_device **out, const oct_device_options *options)
{
    *out = NULL;
    oct_device_options given = OCT_DEVICE_OPTIONS_INIT;
    if (options != NULL) {
        OCT_REQUIRE(options->struct_size == sizeof given, OCT_ERR_ARG,
                    "oct_device_options: expected struct_size %zu, got %zu", sizeof given,
                    options->struct_size);
        given = *options;
    }
    if (given.name == NULL || strcmp(given.name, "cpu") == 0) {
        return oct_cpu_device_open(out, given.n_threads, given.isa);
    }
    return open_plug_in(out, &given);
}

void oct_device_close(oct_device *device)
{
    if (device != NULL) {
        device->table->close(device);
    }
}
