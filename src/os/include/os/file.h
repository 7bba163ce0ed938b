/*
 * Files as a whole. What passes through is wiped, since it may be a key. On failure
 * errno says why, for strerror(): as the kernel left it, or EFBIG for more bytes than
 * the buffer may hold.
 */
#ifndef OS_FILE_H
#define OS_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* Appends all of the file. */
enum err MUST_USE file_read(const char *path, struct buf *out);
/* The same from a descriptor's present position; it stays open. */
enum err MUST_USE file_read_fd(int fd, struct buf *out);
/* Writes all of the bytes, or fails. */
enum err MUST_USE file_write_fd(int fd, struct slice bytes);

#endif
