#include "net/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "loop_internal.h"
#include "stream_internal.h"

struct net_udp {
        uv_udp_t handle;
        struct net_loop *loop;
        const struct net_udp_calls *calls;
        void *ctx;
        bool is_closed;
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
        struct net_udp *u = handle->data;

        (void)suggested;
        *buf = uv_buf_init((char *)u->loop->read_buf, LOOP_READ_BYTES);
}

static void on_recv(
        uv_udp_t *handle, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
        struct net_udp *u = handle->data;
        struct ip_port addr;

        (void)flags;
        /* n == 0 without an address: nothing more to read. Errors (ICMP) are of no use here. */
        if (n < 0 || !from || u->is_closed)
                return;
        if (!sockaddr_to_ip((const struct sockaddr_storage *)from, &addr))
                return;
        u->calls->on_packet(u->ctx, &addr, slice_make(buf->base, (size_t)n));
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void net_udp_close(struct net_udp *u)
{
        if (!u)
                return;
        u->is_closed = true;
        uv_close((uv_handle_t *)&u->handle, on_closed);
}

static int set_options(struct net_udp *u, const struct net_udp_options *o)
{
        uv_os_fd_t fd;
        int status = uv_fileno((uv_handle_t *)&u->handle, &fd);

        if (status == 0 && o->mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &o->mark, sizeof(o->mark)) != 0)
                status = uv_translate_sys_error(errno);
        if (status == 0 && o->broadcast)
                status = uv_udp_set_broadcast(&u->handle, 1);
        return status;
}

enum err net_udp_open(struct net_loop *loop, const struct net_udp_options *o,
        const struct net_udp_calls *calls, void *ctx, struct net_udp **out, struct diag *d)
{
        struct net_udp *u = calloc(1, sizeof(*u));
        struct sockaddr_storage ss;
        char text[IP_TEXT_MAX];

        *out = NULL;
        if (!u)
                return diag_set(d, ERR_NOMEM, "out of memory");
        u->loop = loop;
        u->calls = calls;
        u->ctx = ctx;
        sockaddr_from_ip(&o->bind, &ss);
        int status = uv_udp_init_ex(&loop->uv, &u->handle, ss.ss_family);
        if (status != 0) {
                free(u);
                return diag_set(
                        d, net_err_from_uv(status), "cannot open a UDP socket: %s", uv_strerror(status));
        }
        u->handle.data = u;
        status = set_options(u, o);
        if (status == 0)
                status = uv_udp_bind(
                        &u->handle, (struct sockaddr *)&ss, o->bind.ip.family == IP_V6 ? UV_UDP_IPV6ONLY : 0);
        if (status == 0)
                status = uv_udp_recv_start(&u->handle, on_alloc, on_recv);
        if (status != 0) {
                net_udp_close(u);
                ip_port_format(&o->bind, text);
                return diag_set(
                        d, net_err_from_uv(status), "cannot open UDP %s: %s", text, uv_strerror(status));
        }
        *out = u;
        return OK;
}

enum err net_udp_send(struct net_udp *u, const struct ip_port *to, struct slice data)
{
        struct sockaddr_storage ss;
        uv_buf_t buf = uv_buf_init((char *)data.ptr, (unsigned)data.len);

        sockaddr_from_ip(to, &ss);
        int status = uv_udp_try_send(&u->handle, &buf, 1, (struct sockaddr *)&ss);
        if (status >= 0)
                return OK;
        return status == UV_EAGAIN || status == UV_ENOBUFS ? ERR_LIMIT : net_err_from_uv(status);
}

struct ip_port net_udp_addr(const struct net_udp *u)
{
        struct sockaddr_storage ss;
        int len = sizeof(ss);
        struct ip_port a = { 0 };

        if (uv_udp_getsockname(&u->handle, (struct sockaddr *)&ss, &len) == 0)
                (void)sockaddr_to_ip(&ss, &a);
        return a;
}
