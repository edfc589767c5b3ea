// base: files over POSIX calls; every call's result is checked, because a full disk shows only
// there.
#include "file.h"

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// One write call takes at most this much: Linux stops at 2 GiB - 4 KiB.
#define WRITE_BYTES_MAX ((size_t)1 << 30)

static oct_status fail_errno(const char *path, const char *action)
{
    int error = errno;
    return OCT_FAIL(error == ENOMEM ? OCT_ERR_NOMEM : OCT_ERR_IO, "%s: cannot %s: %s", path, action,
                    strerror(error));
}

// Opens a regular file for reading. O_NONBLOCK keeps a FIFO of that name from blocking the program.
static oct_status open_regular(int *out_fd, size_t *out_size, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return fail_errno(path, "open");
    }
    struct stat info;
    if (fstat(fd, &info) != 0) {
        oct_status status = fail_errno(path, "stat");
        close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return OCT_FAIL(OCT_ERR_IO, "%s: expected a regular file, got %s", path,
                        S_ISDIR(info.st_mode) ? "a folder" : "something else");
    }
    *out_fd = fd;
    *out_size = (size_t)info.st_size;
    return OCT_OK;
}

oct_status oct_file_map_open(oct_file_map *out, const char *path)
{
    *out = (oct_file_map){NULL, 0};
    int fd;
    size_t size;
    OCT_TRY(open_regular(&fd, &size, path));
    oct_status status = OCT_OK;
    if (size > 0) {
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = fail_errno(path, "map");
        } else {
            *out = (oct_file_map){data, size};
        }
    }
    close(fd);
    return status;
}

void oct_file_map_close(oct_file_map *map)
{
    if (map->data != NULL) {
        // munmap takes a plain pointer; the mapping itself is read-only.
        munmap((void *)(uintptr_t)map->data, map->size);
    }
    *map = (oct_file_map){NULL, 0};
}

oct_status oct_file_read(char **out, size_t *out_bytes, const char *path, size_t max_bytes)
{
    *out = NULL;
    *out_bytes = 0;
    int fd = -1;
    size_t size;
    OCT_TRY(open_regular(&fd, &size, path));
    oct_status status = OCT_OK;
    char *data = NULL;
    if (size > max_bytes) {
        status = OCT_FAIL(OCT_ERR_FORMAT, "%s: expected at most %zu bytes, got %zu", path,
                          max_bytes, size);
        goto fail;
    }
    data = malloc(size + 1);
    if (data == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "%s: out of memory: %zu bytes", path, size);
        goto fail;
    }
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, data + done, size - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            status = fail_errno(path, "read");
            goto fail;
        }
        if (n == 0) {
            status = OCT_FAIL(OCT_ERR_IO, "%s: expected %zu bytes, the file ended after %zu", path,
                              size, done);
            goto fail;
        }
        done += (size_t)n;
    }
    data[size] = 0;
    close(fd);
    *out = data;
    *out_bytes = size;
    return OCT_OK;
fail:
    free(data);
    close(fd);
    return status;
}

bool oct_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

char *oct_path_join(const char *dir, const char *name)
{
    size_t n_dir = strlen(dir), n_name = strlen(name);
    while (n_dir > 1 && dir[n_dir - 1] == '/') {
        n_dir--;
    }
    char *path = malloc(n_dir + n_name + 2);
    if (path == NULL) {
        (void)OCT_FAIL(OCT_ERR_NOMEM, "out of memory: path %s/%s", dir, name);
        return NULL;
    }
    memcpy(path, dir, n_dir);
    if (n_dir > 0 && dir[n_dir - 1] != '/') {
        path[n_dir++] = '/';
    }
    memcpy(path + n_dir, name, n_name + 1);
    return path;
}

oct_status oct_writer_open(oct_writer *out, const char *path)
{
    *out = (oct_writer){open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), path};
    return out->fd >= 0 ? OCT_OK : fail_errno(path, "create");
}

oct_status oct_writer_put(oct_writer *writer, const void *data, size_t bytes)
{
    const char *next = data;
    while (bytes > 0) {
        ssize_t n = write(writer->fd, next, bytes < WRITE_BYTES_MAX ? bytes : WRITE_BYTES_MAX);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(writer->path, "write");
        }
        next += n;
        bytes -= (size_t)n;
    }
    return OCT_OK;
}

oct_status oct_writer_close(oct_writer *writer)
{
    if (writer->fd < 0) {
        return OCT_OK;
    }
    oct_status status = fsync(writer->fd) == 0 ? OCT_OK : fail_errno(writer->path, "sync");
    if (close(writer->fd) != 0 && status == OCT_OK) {
        status = fail_errno(writer->path, "close");
    }
    writer->fd = -1;
    return status;
}

void oct_writer_discard(oct_writer *writer, oct_status status)
{
    if (status == OCT_OK) {
        return;
    }
    if (writer->fd >= 0) {
        close(writer->fd);
        writer->fd = -1;
    }
    unlink(writer->path);
}

// Writes a new file and syncs it; removes what is there of it on failure.
static oct_status write_new(const char *path, const void *data, size_t bytes)
{
    oct_writer writer;
    OCT_TRY(oct_writer_open(&writer, path));
    oct_status status = oct_writer_put(&writer, data, bytes);
    if (status == OCT_OK) {
        status = oct_writer_close(&writer);
    }
    oct_writer_discard(&writer, status);
    return status;
}

char *oct_path_folder(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') {
        n--; // slashes after the name
    }
    while (n > 0 && path[n - 1] != '/') {
        n--; // the name
    }
    while (n > 1 && path[n - 1] == '/') {
        n--; // slashes before it
    }
    char *folder = malloc(n + 2);
    if (folder == NULL) {
        (void)OCT_FAIL(OCT_ERR_NOMEM, "out of memory: folder of %s", path);
        return NULL;
    }
    memcpy(folder, n == 0 ? "." : path, n == 0 ? 1 : n);
    folder[n == 0 ? 1 : n] = 0;
    return folder;
}

oct_status oct_file_write(const char *path, const void *data, size_t bytes)
{
    size_t n = strlen(path) + 32;
    char *temporary = malloc(n);
    char *folder = oct_path_folder(path);
    oct_status status = OCT_OK;
    if (temporary == NULL || folder == NULL) {
        status = OCT_FAIL(OCT_ERR_NOMEM, "out of memory: path %s", path);
        goto done;
    }
    snprintf(temporary, n, "%s.tmp-%ld", path, (long)getpid());
    // What has this name is the rest of a killed process that had our number.
    unlink(temporary);
    OCT_TRY_GOTO(write_new(temporary, data, bytes), done);
    if (rename(temporary, path) != 0) {
        status = fail_errno(path, "rename the finished file");
        unlink(temporary);
        goto done;
    }
    status = oct_folder_sync(folder);
done:
    free(temporary);
    free(folder);
    return status;
}

oct_status oct_file_copy(const char *from, const char *to)
{
    oct_file_map map;
    OCT_TRY(oct_file_map_open(&map, from));
    oct_status status = write_new(to, map.data, map.size);
    oct_file_map_close(&map);
    return status;
}

oct_status oct_folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(path, "open the folder");
    }
    oct_status status = OCT_OK;
    // Some network file systems cannot sync a folder and say EINVAL: nothing to be done, and not a
    // failure.
    if (fsync(fd) != 0 && errno != EINVAL) {
        status = fail_errno(path, "sync the folder");
    }
    close(fd);
    return status;
}

oct_status oct_folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return fail_errno(path, "open the folder");
    }
    oct_status status = OCT_OK;
    const struct dirent *entry;
    while (status == OCT_OK && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (unlinkat(dirfd(folder), entry->d_name, 0) != 0) {
            int error = errno;
            status = OCT_FAIL(OCT_ERR_IO, "%s/%s: cannot remove: %s", path, entry->d_name,
                              strerror(error));
        }
    }
    closedir(folder);
    if (status == OCT_OK && rmdir(path) != 0) {
        status = fail_errno(path, "remove the folder");
    }
    return status;
}
