/* Signals (loop.h). */
#include <stdlib.h>

#include "loop_internal.h"

struct net_signal {
        uv_signal_t handle;
        void (*caught)(void *ctx, int signum);
        void *ctx;
};

static void on_signal(uv_signal_t *handle, int signum)
{
        struct net_signal *sig = handle->data;
        sig->caught(sig->ctx, signum);
}

enum err net_signal_start(struct net_loop *loop, int signum, void (*caught)(void *ctx, int signum), void *ctx,
        struct net_signal **out)
{
        struct net_signal *sig = calloc(1, sizeof(*sig));

        *out = NULL;
        if (!sig)
                return ERR_NOMEM;
        sig->caught = caught;
        sig->ctx = ctx;
        int status = uv_signal_init(&loop->uv, &sig->handle);
        if (status != 0) {
                free(sig);
                return net_err_from_uv(status);
        }
        sig->handle.data = sig;
        status = uv_signal_start(&sig->handle, on_signal, signum);
        if (status != 0) {
                net_signal_stop(sig);
                return net_err_from_uv(status);
        }
        *out = sig;
        return OK;
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void net_signal_stop(struct net_signal *sig)
{
        if (!sig)
                return;
        uv_signal_stop(&sig->handle);
        uv_close((uv_handle_t *)&sig->handle, on_closed);
}
