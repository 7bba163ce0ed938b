#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "loop_internal.h"
#include "net/listener.h"
#include "stream_internal.h"
#include "unix_path.h"

static const struct log lg = { "net" };

enum {
        BACKLOG = 1024,
        AT_ONCE = 64, /* connections taken before the rest of the program has its turn */
        /* Descriptors that connections leave to the rest of the program: its files, its
         * own connections. Beyond the limit libuv would drop connections unheard. */
        DESCRIPTORS_KEPT = 8,
};

struct net_listener {
        struct net_loop *loop;
        union {
                uv_handle_t handle;
                uv_stream_t stream;
                uv_tcp_t tcp;
                uv_pipe_t pipe;
        } h;
        bool is_unix;
        char *unlink_path; /* removed on close, or NULL */
        const struct net_listener_calls *calls;
        void *ctx;
        struct conn_count *count;
        unsigned taken;         /* since the last turn of the others */
        struct net_task resume; /* takes the connection that waits for our next turn */
        struct log_limit full_limit;
};

static void on_closed(uv_handle_t *handle)
{
        struct net_listener *l = handle->data;

        conn_count_release(l->count);
        free(l->unlink_path);
        free(l);
}

/* The kernel gives the lowest free descriptor: a high one means that most are in use. */
static bool is_last_descriptor(struct sock_stream *s)
{
        struct rlimit limit;
        uv_os_fd_t fd;

        if (uv_fileno((uv_handle_t *)sock_stream_handle(s), &fd) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
                return false;
        return (rlim_t)fd + DESCRIPTORS_KEPT >= limit.rlim_cur;
}

static void refuse(struct net_listener *l, struct sock_stream *s, const char *why, unsigned live)
{
        if (log_allow(&l->full_limit, net_loop_now(l->loop).mono_us))
                log_warn(&lg, "too many connections, closing the newest", "live=%u why=\"%s\"", live, why);
        sock_stream_discard(s);
}

static void take_connection(struct net_listener *l)
{
        struct sock_stream *s = sock_stream_new(l->loop, l->is_unix);

        if (!s)
                return;
        if (uv_accept(&l->h.stream, sock_stream_handle(s)) != 0) {
                sock_stream_discard(s);
                return;
        }
        if (l->calls->admit && !l->calls->admit(l->ctx, sock_stream_base(s))) {
                sock_stream_discard(s);
                return;
        }
        if (l->count->live >= l->count->max) {
                refuse(l, s, "as many as are allowed", l->count->live);
                return;
        }
        if (is_last_descriptor(s)) {
                refuse(l, s, "few file descriptors are left; raise ulimit -n or LimitNOFILE=", l->count->live);
                return;
        }
        l->calls->on_accept(l->ctx, sock_stream_opened(s, l->count));
}

static void resume(struct net_task *task)
{
        struct net_listener *l = container_of(task, struct net_listener, resume);

        l->taken = 1;
        take_connection(l);
}

/* libuv takes connections for as long as there are any, which in a flood is for ever.
 * It stops while one that it has announced is left waiting. */
static void on_connection(uv_stream_t *server, int status)
{
        struct net_listener *l = server->data;

        if (status != 0)
                log_debug(&lg, "cannot accept", "error=\"%s\"", uv_strerror(status));
        else if (l->taken++ < AT_ONCE)
                take_connection(l);
        else
                net_loop_defer(l->loop, &l->resume);
}

static struct net_listener *listener_new(struct net_loop *loop, bool is_unix, unsigned max_connections,
        const struct net_listener_calls *calls, void *ctx)
{
        struct net_listener *l = calloc(1, sizeof(*l));
        struct conn_count *count = calloc(1, sizeof(*count));

        if (!l || !count)
                goto fail;
        int status = is_unix ? uv_pipe_init(&loop->uv, &l->h.pipe, 0) : uv_tcp_init(&loop->uv, &l->h.tcp);
        if (status != 0)
                goto fail;
        count->refs = 1;
        count->max = max_connections ? max_connections : NET_MAX_CONNECTIONS;
        l->loop = loop;
        l->is_unix = is_unix;
        l->calls = calls;
        l->ctx = ctx;
        l->count = count;
        l->h.handle.data = l;
        l->resume.run = resume;
        return l;
fail:
        free(count);
        free(l);
        return NULL;
}

/* Starts l, which is bound; on failure l is gone. */
static enum err start(
        struct net_listener *l, int status, const char *what, struct net_listener **out, struct diag *d)
{
        if (status == 0)
                status = uv_listen(&l->h.stream, BACKLOG, on_connection);
        if (status != 0) {
                net_listener_close(l);
                return diag_set(
                        d, net_err_from_uv(status), "cannot listen on %s: %s", what, uv_strerror(status));
        }
        *out = l;
        return OK;
}

static enum err listen_at(struct net_loop *loop, const struct ip_port *addr, unsigned max_connections,
        const struct net_listener_calls *calls, void *ctx, struct net_listener **out, struct diag *d)
{
        struct sockaddr_storage ss;
        char text[IP_TEXT_MAX];

        struct net_listener *l = listener_new(loop, false, max_connections, calls, ctx);
        if (!l)
                return diag_set(d, ERR_NOMEM, "out of memory");
        sockaddr_from_ip(addr, &ss);
        ip_port_format(addr, text);
        return start(l, uv_tcp_bind(&l->h.tcp, (struct sockaddr *)&ss, 0), text, out, d);
}

enum err net_listen_tcp(struct net_loop *loop, const struct ip_port *addr, unsigned max_connections,
        const struct net_listener_calls *calls, void *ctx, struct net_listener **out, struct diag *d)
{
        const struct ip_port v4 = { { .family = IP_V4 }, addr->port };
        struct diag unused;

        *out = NULL;
        enum err e = listen_at(loop, addr, max_connections, calls, ctx, out, d);
        bool may_lack_v6 = addr->ip.family == IP_V6 && ip_is_unspecified(&addr->ip) && e != ERR_EXISTS && e != ERR_DENIED;
        if (e != OK && may_lack_v6 && listen_at(loop, &v4, max_connections, calls, ctx, out, &unused) == OK)
                return OK;
        return e;
}

enum err net_listen_unix(struct net_loop *loop, const char *path, unsigned mode, unsigned max_connections,
        const struct net_listener_calls *calls, void *ctx, struct net_listener **out, struct diag *d)
{
        int fd;

        *out = NULL;
        enum err e = unix_path_bind(path, mode, &fd, d);
        if (e != OK)
                return e;
        e = net_listen_fd(loop, fd, max_connections, calls, ctx, out, d);
        if (e == OK)
                (*out)->unlink_path = strdup(path);
        else
                unlink(path);
        return e;
}

enum err net_listen_fd(struct net_loop *loop, int fd, unsigned max_connections,
        const struct net_listener_calls *calls, void *ctx, struct net_listener **out, struct diag *d)
{
        struct sockaddr_storage ss = { 0 };
        socklen_t len = sizeof(ss);

        *out = NULL;
        if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0) {
                enum err e = diag_set(
                        d, err_from_errno(errno), "descriptor %d is no socket: %s", fd, strerror(errno));
                close(fd);
                return e;
        }
        struct net_listener *l = listener_new(loop, ss.ss_family == AF_UNIX, max_connections, calls, ctx);
        if (!l) {
                close(fd);
                return diag_set(d, ERR_NOMEM, "out of memory");
        }
        int status = l->is_unix ? uv_pipe_open(&l->h.pipe, fd) : uv_tcp_open(&l->h.tcp, fd);
        if (status != 0)
                close(fd);
        return start(l, status, "the socket given", out, d);
}

struct ip_port net_listener_addr(const struct net_listener *l)
{
        struct sockaddr_storage ss;
        int len = sizeof(ss);
        struct ip_port a = { 0 };

        if (!l->is_unix && uv_tcp_getsockname(&l->h.tcp, (struct sockaddr *)&ss, &len) == 0)
                (void)sockaddr_to_ip(&ss, &a);
        return a;
}

unsigned net_listener_count(const struct net_listener *l)
{
        return l->count->live;
}

void net_listener_close(struct net_listener *l)
{
        if (!l)
                return;
        if (l->unlink_path)
                unlink(l->unlink_path);
        net_task_cancel(&l->resume);
        uv_close(&l->h.handle, on_closed);
}

void net_raise_descriptor_limit(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
                log_debug(&lg, "descriptor limit not raised", "error=\"%s\"", strerror(errno));
}
