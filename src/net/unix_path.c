#include "unix_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "loop_internal.h"
#include "net/dial.h"
#include "stream_internal.h"

static enum err fill(const char *path, struct sockaddr_un *un, struct diag *d)
{
        size_t len = strlen(path);

        if (len == 0 || len >= sizeof(un->sun_path))
                return diag_set(d, ERR_RANGE,
                        "socket path %s is longer than %zu characters; choose a shorter one", path,
                        sizeof(un->sun_path) - 1);
        memset(un, 0, sizeof(*un));
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, path, len);
        return OK;
}

static int new_socket(void)
{
        return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Where too many wait to be let in already, waits in line with them. */
static int connect_patiently(int s, const struct sockaddr_un *un, unsigned patience_ms)
{
        const struct timeval patience = { patience_ms / 1000, patience_ms % 1000 * 1000 };

        if (connect(s, (const struct sockaddr *)un, sizeof(*un)) == 0)
                return 0;
        if (errno != EAGAIN || !patience_ms)
                return -1;
        if (setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 || fcntl(s, F_SETFL, 0) != 0)
                return -1;
        int status = connect(s, (const struct sockaddr *)un, sizeof(*un));
        return status == 0 ? fcntl(s, F_SETFL, O_NONBLOCK) : status;
}

enum err unix_path_connect(const char *path, unsigned patience_ms, int *fd, struct diag *d)
{
        struct sockaddr_un un;
        enum err e = fill(path, &un, d);

        if (e != OK)
                return e;
        int s = new_socket();
        if (s < 0)
                return diag_set(d, err_from_errno(errno), "cannot open a socket: %s", strerror(errno));
        if (connect_patiently(s, &un, patience_ms) != 0) {
                e = diag_set(d, errno == EAGAIN ? ERR_LIMIT : err_from_errno(errno), "cannot connect to %s: %s", path, strerror(errno));
                close(s);
                return e;
        }
        *fd = s;
        return OK;
}

/* Frees the path for us: what is dead goes, what lives is respected. */
static enum err clear_stale(const char *path, struct diag *d)
{
        struct stat st;
        int fd;

        if (lstat(path, &st) != 0)
                return OK;
        if (!S_ISSOCK(st.st_mode))
                return diag_set(d, ERR_EXISTS, "%s exists and is no socket; move it away", path);
        enum err e = unix_path_connect(path, 0, &fd, NULL);
        if (e == OK)
                close(fd);
        if (e == OK || e == ERR_LIMIT) {
                return diag_set(d, ERR_EXISTS, "another program listens on %s (address already in use): stop it", path);
        }
        if (unlink(path) != 0)
                return diag_set(d, err_from_errno(errno), "cannot remove the stale socket %s: %s", path,
                        strerror(errno));
        return OK;
}

static enum err make_parent(const char *path, struct diag *d)
{
        char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
        const char *slash = strrchr(path, '/');

        if (!slash || slash == path)
                return OK;
        snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
        if (mkdir(dir, 0755) != 0 && errno != EEXIST)
                return diag_set(d, err_from_errno(errno), "cannot create %s: %s", dir, strerror(errno));
        return OK;
}

enum err unix_path_bind(const char *path, unsigned mode, int *fd, struct diag *d)
{
        struct sockaddr_un un;
        enum err e = fill(path, &un, d);

        if (e == OK)
                e = make_parent(path, d);
        if (e == OK)
                e = clear_stale(path, d);
        if (e != OK)
                return e;
        int s = new_socket();
        if (s < 0)
                return diag_set(d, err_from_errno(errno), "cannot open a socket: %s", strerror(errno));
        /* Nobody can connect before listen(), so the mode is set in time. */
        if (bind(s, (struct sockaddr *)&un, sizeof(un)) != 0 || chmod(path, (mode_t)mode) != 0) {
                e = diag_set(d, err_from_errno(errno), "cannot bind %s: %s", path, strerror(errno));
                close(s);
                return e;
        }
        *fd = s;
        return OK;
}

enum err net_dial_unix(struct net_loop *loop, const char *path, unsigned patience_ms, struct net_stream **out, struct diag *d)
{
        int fd;

        *out = NULL;
        enum err e = unix_path_connect(path, patience_ms, &fd, d);
        if (e != OK)
                return e;
        struct sock_stream *s = sock_stream_new(loop, true);
        if (!s) {
                close(fd);
                return diag_set(d, ERR_NOMEM, "out of memory");
        }
        int status = uv_pipe_open((uv_pipe_t *)sock_stream_handle(s), fd);
        if (status != 0) {
                close(fd);
                sock_stream_discard(s);
                return diag_set(d, net_err_from_uv(status), "cannot use the socket %s: %s", path,
                        uv_strerror(status));
        }
        *out = sock_stream_opened(s, NULL);
        return OK;
}
