/* Private keys in files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve.h"

static enum err complain(const char *what, const char *path, struct diag *diag)
{
        return diag_set(diag, err_from_errno(errno),
                "%s %s: %s; check that its folder exists and that this user may write there", what, path,
                strerror(errno));
}

static enum err write_all(int fd, const char *text, size_t len)
{
        while (len) {
                ssize_t n = write(fd, text, len);
                if (n < 0)
                        return ERR_SYS;
                text += n;
                len -= (size_t)n;
        }
        return fsync(fd) == 0 ? OK : ERR_SYS;
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
        enum err e = write_all(fd, text, strlen(text));
        key_wipe(text, sizeof(text));
        if (close(fd) != 0 || e != OK || rename(temporary, path) != 0) {
                e = complain(what, path, diag);
                unlink(temporary);
                return e;
        }
        return OK;
}

enum err key_file_load(
        const char *what, const char *path, struct rng *rng, struct secret_key *out, struct diag *diag)
{
        char text[256];

        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? create(what, path, rng, out, diag) : complain(what, path, diag);
        ssize_t n = read(fd, text, sizeof(text));
        close(fd);
        if (n < 0)
                return complain(what, path, diag);
        enum err e = secret_parse(slice_trim(slice_make(text, (size_t)n)), out);
        key_wipe(text, sizeof(text));
        if (e != OK)
                return diag_set(diag, e,
                        "%s %s holds no key of the form privkey:<64 hex digits>; restore it from a backup",
                        what, path);
        return OK;
}
