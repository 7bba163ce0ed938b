/* Private keys in files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"
#include "serve.h"

static enum err complain(const char *what, const char *path, struct diag *diag)
{
        return diag_set(diag, err_from_errno(errno),
                "%s %s: %s; check that its folder exists and that this user may write there", what, path,
                strerror(errno));
}

/* Written beside and renamed, so that a crash leaves no half key. */
static enum err create(
        const char *what, const char *path, struct rng *rng, struct secret_key *out, struct diag *diag)
{
        char folder[PATH_MAX], temporary[PATH_MAX + 8], text[KEY_TEXT_MAX];

        snprintf(folder, sizeof(folder), "%s", path);
        char *slash = strrchr(folder, '/');
        if (slash && slash != folder) {
                *slash = '\0';
                if (mkdir(folder, 0700) != 0 && errno != EEXIST)
                        return complain(what, path, diag);
        }
        snprintf(temporary, sizeof(temporary), "%s.new", path);
        int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                return complain(what, path, diag);
        key_generate(rng, out);
        secret_format(out, text);
        bool is_written = file_write_fd(fd, slice_str(text)) == OK && fsync(fd) == 0;
        key_wipe(text, sizeof(text));
        is_written = close(fd) == 0 && is_written;
        if (!is_written || rename(temporary, path) != 0) {
                enum err e = complain(what, path, diag);
                unlink(temporary);
                return e;
        }
        return OK;
}

enum err key_file_load(
        const char *what, const char *path, struct rng *rng, struct secret_key *out, struct diag *diag)
{
        struct buf text = BUF_INIT(256);

        enum err e = file_read(path, &text);
        if (e != OK && errno != EFBIG)
                return errno == ENOENT ? create(what, path, rng, out, diag) : complain(what, path, diag);
        if (e == OK)
                e = secret_parse(slice_trim(buf_slice(&text)), out);
        buf_wipe(&text);
        if (e != OK)
                return diag_set(diag, e,
                        "%s %s holds no key of the form privkey:<64 hex digits>; restore it from a backup",
                        what, path);
        return OK;
}
