#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum err file_read_fd(int fd, struct buf *out)
{
        uint8_t piece[16384];
        ssize_t n = 1;

        while (n && buf_status(out) == OK) {
                n = read(fd, piece, sizeof piece);
                if (n < 0 && errno != EINTR)
                        return err_from_errno(errno);
                if (n > 0)
                        buf_append(out, piece, (size_t)n);
                explicit_bzero(piece, sizeof piece);
        }
        if (buf_status(out) != OK)
                errno = buf_status(out) == ERR_LIMIT ? EFBIG : ENOMEM;
        return buf_status(out);
}

enum err file_read(const char *path, struct buf *out)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return err_from_errno(errno);
        enum err e = file_read_fd(fd, out);
        int why = errno;
        close(fd);
        errno = why;
        return e;
}

enum err file_write_fd(int fd, struct slice bytes)
{
        while (bytes.len) {
                ssize_t n = write(fd, bytes.ptr, bytes.len);
                if (n < 0 && errno != EINTR)
                        return err_from_errno(errno);
                bytes = slice_after(bytes, n > 0 ? (size_t)n : 0);
        }
        return OK;
}
