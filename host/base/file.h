// base: files: read-only mappings, whole small files, checked and atomic writing, flat folders.
//
// Every failure names the path and the system's reason. Paths are borrowed for the call.
#ifndef OCT_FILE_H
#define OCT_FILE_H

#include "octet/types.h"

#include <stdbool.h>

// A regular file mapped for reading. The caller must not outlive changes made to the file in place
// (nobody who replaces a file by rename makes such changes).
typedef struct oct_file_map {
    const unsigned char *data; // [size], NULL for an empty file
    size_t size;               // bytes
} oct_file_map;                // zero-initialised = closed

// Errors: OCT_ERR_IO (absent, unreadable, not a regular file).
oct_status oct_file_map_open(oct_file_map *out, const char *path);

// Unmaps; the map is closed and usable again. Accepts closed ones.
void oct_file_map_close(oct_file_map *map);

// Reads a whole file of at most max_bytes. *out is owned (free), has *out_bytes bytes and a NUL
// after them. Errors: OCT_ERR_IO, OCT_ERR_FORMAT (larger than max_bytes), OCT_ERR_NOMEM.
oct_status oct_file_read(char **out, size_t *out_bytes, const char *path, size_t max_bytes);

// True if `path` is a regular file or a link to one.
bool oct_file_exists(const char *path);

// "dir/name" with one slash between; owned (free); NULL when out of memory (the last error is set).
char *oct_path_join(const char *dir, const char *name);

// The folder that `path` lies in ("." for a bare name); owned (free); NULL when out of memory.
char *oct_path_folder(const char *path);

// A new file being written in pieces.
typedef struct oct_writer {
    int fd;           // -1 once closed
    const char *path; // borrowed until closed
} oct_writer;

// Creates `path`, which must not exist. Errors: OCT_ERR_IO.
oct_status oct_writer_open(oct_writer *out, const char *path);

// Appends; a partly written piece is continued, a full disk is an error. Errors: OCT_ERR_IO.
oct_status oct_writer_put(oct_writer *writer, const void *data, size_t bytes);

// Syncs to the disk and closes; an error of either is reported. Closed writers are accepted.
oct_status oct_writer_close(oct_writer *writer);

// After a failure: closes if need be and removes the file, leaving the last error alone. After
// OCT_OK: nothing.
void oct_writer_discard(oct_writer *writer, oct_status status);

// Writes `path` in one step: temporary name beside it, sync, rename, sync of the folder. On failure
// an older file of that name stands as it was and nothing else is left. Errors: OCT_ERR_IO,
// OCT_ERR_NOMEM.
oct_status oct_file_write(const char *path, const void *data, size_t bytes);

// Copies a regular file to `to`, which must not exist, and syncs it. Errors: OCT_ERR_IO.
oct_status oct_file_copy(const char *from, const char *to);

// Makes renames and new names within the folder durable. Errors: OCT_ERR_IO.
oct_status oct_folder_sync(const char *path);

// Removes the files of a folder that has no folders in it, then the folder. Stops at the first
// failure. Does not touch the last error on success. Errors: OCT_ERR_IO.
oct_status oct_folder_remove(const char *path);

#endif
