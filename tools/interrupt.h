// tools: Ctrl-C: a signal ends the program at once where nothing can be left half done, and raises
// a flag where a library call must be wound up first.
#ifndef OCT_INTERRUPT_H
#define OCT_INTERRUPT_H

#include <stdbool.h>

// Takes over SIGINT, SIGTERM and SIGHUP, and ignores SIGPIPE and SIGXFSZ: a write to a closed pipe
// or beyond the file size limit fails.
void interrupt_install(void);

// True: a signal only raises the flag, which whoever called this must look at. False (the state at
// start): it prints "octet: interrupted" and ends the process with status 1.
void interrupt_defer(bool defer);

// Whether a signal came while deferred.
bool interrupt_pending(void);

#endif
