/* Descriptors that libuv knows nothing about (loop.h). */
#include <errno.h>
#include <stdlib.h>

#include "loop_internal.h"

struct net_poll {
        uv_poll_t handle;
        void (*ready)(void *ctx, int events);
        void *ctx;
};

static void on_ready(uv_poll_t *handle, int status, int events)
{
        struct net_poll *p = handle->data;
        int seen = 0;

        /* An error condition shows itself when the owner reads or writes. */
        if (status < 0 || (events & (UV_READABLE | UV_DISCONNECT)))
                seen |= NET_POLL_READ;
        if (events & UV_WRITABLE)
                seen |= NET_POLL_WRITE;
        p->ready(p->ctx, seen);
}

enum err net_poll_start(struct net_loop *loop, int fd, int events, void (*ready)(void *ctx, int events),
        void *ctx, struct net_poll **out)
{
        struct net_poll *p = calloc(1, sizeof(*p));

        *out = NULL;
        if (!p)
                return ERR_NOMEM;
        p->ready = ready;
        p->ctx = ctx;
        int status = uv_poll_init(&loop->uv, &p->handle, fd);
        if (status != 0) {
                free(p);
                return net_err_from_uv(status);
        }
        p->handle.data = p;
        int wanted = (events & NET_POLL_READ ? UV_READABLE : 0) | (events & NET_POLL_WRITE ? UV_WRITABLE : 0);
        status = uv_poll_start(&p->handle, wanted, on_ready);
        if (status != 0) {
                net_poll_stop(p);
                return net_err_from_uv(status);
        }
        *out = p;
        return OK;
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void net_poll_stop(struct net_poll *p)
{
        if (!p)
                return;
        uv_poll_stop(&p->handle);
        uv_close((uv_handle_t *)&p->handle, on_closed);
}
