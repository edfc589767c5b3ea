// The CPU backend: limits of the processor for benchmarks to divide by.
#include "cpu/cpu_device.h"

#include <string.h>

oct_status cpu_limits(oct_device *device, size_t bytes, oct_limits *out)
{
    (void)device;
    (void)bytes;
    memset(out, 0, sizeof *out);
    return OCT_FAIL(OCT_ERR_DEVICE, "limits: not measured yet");
}
