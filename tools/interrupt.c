// tools: Ctrl-C: a signal ends the program at once where nothing can be left half done, and raises
// a flag where a library call must be wound up first.
#include "interrupt.h"

#include "command.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

// A handler has no argument of its own.
static volatile sig_atomic_t deferred;
static volatile sig_atomic_t pending;

static void handle(int signal_number)
{
    (void)signal_number;
    pending = 1;
    if (!deferred) {
        static const char text[] = "octet: interrupted\n";
        // Nothing is left to do about a failure.
        ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
        (void)written;
        _exit(COMMAND_FAILED);
    }
}

void interrupt_install(void)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    // Scripts start background jobs with SIGINT ignored; `kill -INT` shall reach them all the same.
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    sigaction(SIGHUP, NULL, &before);
    if (before.sa_handler != SIG_IGN) { // not under nohup
        sigaction(SIGHUP, &action, NULL);
    }
    // What these say comes back as the error of a write.
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
}

void interrupt_defer(bool defer)
{
    deferred = defer ? 1 : 0;
}

bool interrupt_pending(void)
{
    return pending != 0;
}
