/*
 * TCP and Unix sockets as streams.
 *
 * What is written in a round is gathered in `out` and leaves in one system call when
 * the round ends, so that a 101 head and the first bytes behind it share a segment.
 * What the kernel does not take at once moves to `flight` and goes out piece by piece
 * as the socket becomes writable; `out` gathers on meanwhile.
 */
#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "loop_internal.h"
#include "stream_internal.h"

enum {
        FLUSH_AT = 64 * 1024,    /* do not wait for the end of the round beyond this */
        PIECE_BYTES = 64 * 1024, /* given to the kernel at a time; each is progress */
        KEEPALIVE_S = 30,
};

struct sock_stream {
        struct net_stream base;
        union {
                uv_handle_t handle;
                uv_stream_t stream;
                uv_tcp_t tcp;
                uv_pipe_t pipe;
        } h;
        bool is_unix;
        struct buf out, flight;
        size_t flight_off;      /* bytes of flight that the kernel has */
        bool is_writing;        /* write_req is in use */
        uv_write_t write_req;
        uv_shutdown_t shutdown_req;
        bool wants_shutdown, shutdown_sent;
        struct net_task flush;
        struct conn_count *count;
};

static void flush(struct sock_stream *s);

static struct sock_stream *of(const struct net_stream *s)
{
        return container_of(s, struct sock_stream, base);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
        struct sock_stream *s = handle->data;

        (void)suggested;
        *buf = uv_buf_init((char *)s->base.loop->read_buf, LOOP_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
        struct sock_stream *s = stream->data;

        if (n > 0)
                net_stream_emit_data(&s->base, slice_make(buf->base, (size_t)n));
        else if (n == UV_EOF)
                net_stream_emit_end(&s->base, ERR_CLOSED, "the other side closed the connection");
        else if (n < 0)
                net_stream_emit_end(&s->base, net_err_from_uv((int)n), "%s", uv_strerror((int)n));
}

static void sock_set_reading(struct net_stream *base, bool on)
{
        struct sock_stream *s = of(base);

        if (!on) {
                uv_read_stop(&s->h.stream);
                return;
        }
        int status = uv_read_start(&s->h.stream, on_alloc, on_read);
        if (status != 0)
                net_stream_emit_end(base, net_err_from_uv(status), "%s", uv_strerror(status));
}

/* ---- writing ---- */

static void broken(struct sock_stream *s, int status)
{
        buf_fini(&s->out);
        buf_fini(&s->flight);
        s->flight_off = 0;
        net_stream_emit_end(&s->base, net_err_from_uv(status), "%s", uv_strerror(status));
}

static void on_shut(uv_shutdown_t *req, int status)
{
        (void)req;
        (void)status; /* a peer that has gone needs no end from us */
}

static void on_written(uv_write_t *req, int status)
{
        struct sock_stream *s = req->data;

        s->is_writing = false;
        if (s->base.closed)
                return;
        if (status != 0) {
                broken(s, status);
                return;
        }
        flush(s);
        net_stream_emit_drained(&s->base);
}

/* Starts on flight, which has bytes left. */
static void write_piece(struct sock_stream *s)
{
        size_t left = s->flight.len - s->flight_off;
        size_t n = left < PIECE_BYTES ? left : PIECE_BYTES;
        uv_buf_t piece = uv_buf_init((char *)s->flight.ptr + s->flight_off, (unsigned)n);

        s->write_req.data = s;
        int status = uv_write(&s->write_req, &s->h.stream, &piece, 1, on_written);
        if (status != 0) {
                broken(s, status);
                return;
        }
        s->is_writing = true;
        s->flight_off += n;
}

/* As much of flight as the kernel takes now. */
static int write_now(struct sock_stream *s)
{
        while (s->flight_off < s->flight.len) {
                size_t left = s->flight.len - s->flight_off;
                uv_buf_t piece = uv_buf_init((char *)s->flight.ptr + s->flight_off, (unsigned)left);
                int n = uv_try_write(&s->h.stream, &piece, 1);
                if (n < 0)
                        return n == UV_EAGAIN ? 0 : n;
                s->flight_off += (size_t)n;
        }
        return 0;
}

static void flush(struct sock_stream *s)
{
        if (s->is_writing || s->base.closed)
                return;
        while (s->flight.len > 0 || s->out.len > 0) {
                if (s->flight.len == 0) {
                        s->flight = s->out;
                        buf_init(&s->out, SIZE_MAX); /* the common part bounds it */
                }
                int status = write_now(s);
                if (status != 0) {
                        broken(s, status);
                        return;
                }
                if (s->flight_off < s->flight.len) {
                        write_piece(s);
                        return;
                }
                buf_fini(&s->flight);
                s->flight_off = 0;
        }
        if (s->wants_shutdown && !s->shutdown_sent) {
                s->shutdown_sent = true;
                (void)uv_shutdown(&s->shutdown_req, &s->h.stream, on_shut);
        }
}

static void flush_task(struct net_task *task)
{
        struct sock_stream *s = container_of(task, struct sock_stream, flush);

        flush(s);
        net_stream_emit_drained(&s->base);
}

static enum err sock_writev(struct net_stream *base, const struct slice *pieces, size_t n)
{
        struct sock_stream *s = of(base);

        for (size_t i = 0; i < n; i++)
                buf_append_slice(&s->out, pieces[i]);
        if (buf_status(&s->out) != OK) {
                net_stream_emit_end(base, ERR_NOMEM, "out of memory");
                return ERR_NOMEM;
        }
        if (s->out.len >= FLUSH_AT)
                flush(s);
        else
                net_loop_defer(base->loop, &s->flush);
        return OK;
}

static size_t sock_queued(const struct net_stream *base)
{
        const struct sock_stream *s = of(base);
        size_t in_kernel_queue = s->is_writing ? uv_stream_get_write_queue_size(&s->h.stream) : 0;

        return s->out.len + (s->flight.len - s->flight_off) + in_kernel_queue;
}

static void sock_shutdown(struct net_stream *base)
{
        struct sock_stream *s = of(base);

        s->wants_shutdown = true;
        net_loop_defer(base->loop, &s->flush);
}

/* ---- facts ---- */

static void sock_peer(const struct net_stream *base, struct ip_port *out)
{
        struct sockaddr_storage ss;
        int len = sizeof(ss);

        *out = (struct ip_port){ 0 };
        if (!of(base)->is_unix && uv_tcp_getpeername(&of(base)->h.tcp, (struct sockaddr *)&ss, &len) == 0)
                (void)sockaddr_to_ip(&ss, out);
}

static void sock_local(const struct net_stream *base, struct ip_port *out)
{
        struct sockaddr_storage ss;
        int len = sizeof(ss);

        *out = (struct ip_port){ 0 };
        if (!of(base)->is_unix && uv_tcp_getsockname(&of(base)->h.tcp, (struct sockaddr *)&ss, &len) == 0)
                (void)sockaddr_to_ip(&ss, out);
}

/* ---- life ---- */

void conn_count_release(struct conn_count *count)
{
        if (--count->refs == 0)
                free(count);
}

static void sock_free(struct sock_stream *s)
{
        if (s->count) {
                s->count->live--;
                conn_count_release(s->count);
        }
        net_task_cancel(&s->flush);
        buf_fini(&s->out);
        buf_fini(&s->flight);
        net_stream_fini(&s->base);
        free(s);
}

static void on_closed(uv_handle_t *handle)
{
        sock_free(handle->data);
}

static void sock_destroy(struct net_stream *base)
{
        struct sock_stream *s = of(base);

        net_task_cancel(&s->flush);
        uv_close(&s->h.handle, on_closed);
}

static const struct net_stream_ops sock_ops = {
        .name = "socket",
        .set_reading = sock_set_reading,
        .writev = sock_writev,
        .queued = sock_queued,
        .shutdown = sock_shutdown,
        .destroy = sock_destroy,
        .peer = sock_peer,
        .local = sock_local,
};

struct sock_stream *sock_stream_new(struct net_loop *loop, bool is_unix)
{
        struct sock_stream *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        int status = is_unix ? uv_pipe_init(&loop->uv, &s->h.pipe, 0) : uv_tcp_init(&loop->uv, &s->h.tcp);
        if (status != 0) {
                free(s);
                return NULL;
        }
        s->is_unix = is_unix;
        s->h.handle.data = s;
        s->flush.run = flush_task;
        buf_init(&s->out, SIZE_MAX);
        net_stream_init(&s->base, &sock_ops, loop, NULL, true);
        return s;
}

uv_stream_t *sock_stream_handle(struct sock_stream *s)
{
        return &s->h.stream;
}

const struct net_stream *sock_stream_base(const struct sock_stream *s)
{
        return &s->base;
}

struct net_stream *sock_stream_opened(struct sock_stream *s, struct conn_count *count)
{
        if (count) {
                s->count = count;
                count->refs++;
                count->live++;
        }
        if (!s->is_unix) {
                uv_tcp_nodelay(&s->h.tcp, 1);
                uv_tcp_keepalive(&s->h.tcp, 1, KEEPALIVE_S);
        }
        return &s->base;
}

void sock_stream_discard(struct sock_stream *s)
{
        uv_close(&s->h.handle, on_closed);
}

bool net_stream_creds(const struct net_stream *s, struct net_creds *out)
{
        while (s->lower)
                s = s->lower;
        if (s->ops != &sock_ops || !of(s)->is_unix)
                return false;
        struct ucred cred;
        socklen_t len = sizeof(cred);
        uv_os_fd_t fd;
        if (uv_fileno(&of(s)->h.handle, &fd) != 0 ||
                getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
                return false;
        *out = (struct net_creds){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid };
        return true;
}
