/* Folders in which something changes (loop.h). */
#include <stdlib.h>

#include "loop_internal.h"

struct net_watch {
        uv_fs_event_t handle;
        void (*changed)(void *ctx);
        void *ctx;
};

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
        struct net_watch *watch = handle->data;

        (void)name;
        (void)events;
        if (status == 0)
                watch->changed(watch->ctx);
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

enum err net_watch_start(struct net_loop *loop, const char *folder, void (*changed)(void *ctx), void *ctx,
        struct net_watch **out)
{
        struct net_watch *watch = calloc(1, sizeof(*watch));

        *out = NULL;
        if (!watch)
                return ERR_NOMEM;
        watch->changed = changed;
        watch->ctx = ctx;
        int status = uv_fs_event_init(&loop->uv, &watch->handle);
        if (status != 0) {
                free(watch);
                return net_err_from_uv(status);
        }
        watch->handle.data = watch;
        status = uv_fs_event_start(&watch->handle, on_event, folder, 0);
        if (status != 0) {
                net_watch_stop(watch);
                return net_err_from_uv(status);
        }
        *out = watch;
        return OK;
}

void net_watch_stop(struct net_watch *watch)
{
        if (watch)
                uv_close((uv_handle_t *)&watch->handle, on_closed);
}
