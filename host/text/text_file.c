// TOKENIZE: reads a whole file.
#include "text/text_file.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static oct_status fail_io(const char *path, const char *what, int error)
{
    char buffer[128];
    return OCT_FAIL(OCT_ERR_IO, "%.512s: cannot %s: %s", path, what,
                    strerror_r(error, buffer, sizeof buffer));
}

// Reads to the end; *text grows and is the caller's even on failure.
static oct_status read_all(int fd, const char *path, size_t max_bytes, size_t capacity, char **text,
                           size_t *n_bytes)
{
    for (;;) {
        if (*text == NULL || *n_bytes == capacity) {
            capacity = *text == NULL ? capacity : capacity + capacity / 2;
            char *grown = realloc(*text, capacity + 1);
            OCT_REQUIRE(grown != NULL, OCT_ERR_NOMEM, "%.512s: out of memory for %zu bytes", path,
                        capacity);
            *text = grown;
        }
        ssize_t got = read(fd, *text + *n_bytes, capacity - *n_bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail_io(path, "read", errno);
        }
        if (got == 0) {
            (*text)[*n_bytes] = 0;
            return OCT_OK;
        }
        *n_bytes += (size_t)got;
        OCT_REQUIRE(*n_bytes <= max_bytes, OCT_ERR_FORMAT,
                    "%.512s: expected at most %zu bytes, got more", path, max_bytes);
    }
}

oct_status text_file_read(const char *path, size_t max_bytes, char **text, size_t *n_bytes)
{
    *text = NULL;
    *n_bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_io(path, "open", errno);
    }
    oct_status status;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        status = fail_io(path, "read", errno);
    } else if (info.st_size > 0 && (uint64_t)info.st_size > max_bytes) {
        status = OCT_FAIL(OCT_ERR_FORMAT, "%.512s: expected at most %zu bytes, got %lld", path,
                          max_bytes, (long long)info.st_size);
    } else {
        // One byte more than the file has, so that its end is seen without growing.
        size_t capacity = S_ISREG(info.st_mode) ? (size_t)info.st_size + 1 : 65536;
        status = read_all(fd, path, max_bytes, capacity, text, n_bytes);
    }
    close(fd);
    if (status != OCT_OK) {
        free(*text);
        *text = NULL;
        *n_bytes = 0;
    }
    return status;
}
