// base: logging through one callback (octet/log.h is the public half).
#ifndef OCT_LOGGING_H
#define OCT_LOGGING_H

#include "octet/log.h"

void oct_log(oct_log_level level, const char *subsystem, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
