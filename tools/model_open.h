// tools: a model directory made ready: its tokenizer, a device, the engine; with the errors that
// users make told plainly.
#ifndef OCT_MODEL_OPEN_H
#define OCT_MODEL_OPEN_H

#include "command.h"
#include "octet/octet.h"

#include <stdbool.h>

// True if `dir` is a directory with a config.json; else prints what it is. `role` names the
// argument in the message ("MODEL").
bool model_check(const char *dir, const char *role);

// True if `path` is a file that can be read; else prints why not.
bool model_check_text(const char *path, const char *role);

// Opens the device that the options ask for; without any, cuda where it can be opened, else cpu.
// *out is owned by the caller (oct_device_close). Prints the reason and returns false on failure.
bool model_device_open(oct_device **out, oct_device_info *info, const command_common *common);

// "FP32" or "INT8".
const char *model_format_name(oct_format format);

#endif
