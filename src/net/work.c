/* Work on libuv's threads (loop.h). */
#include <stdlib.h>

#include "loop_internal.h"

struct net_work {
        uv_work_t req;
        struct net_work_calls calls;
        void *ctx;
        bool is_cancelled;
};

static void on_run(uv_work_t *req)
{
        struct net_work *w = req->data;
        w->calls.run(w->ctx);
}

static void on_done(uv_work_t *req, int status)
{
        struct net_work *w = req->data;

        if (!w->is_cancelled && status == 0)
                w->calls.done(w->ctx);
        else if (w->calls.drop)
                w->calls.drop(w->ctx);
        free(w);
}

enum err net_work_start(struct net_loop *loop, const struct net_work_calls *calls, void *ctx,
        struct net_work **out)
{
        struct net_work *w = calloc(1, sizeof(*w));

        *out = NULL;
        if (!w)
                return ERR_NOMEM;
        w->calls = *calls;
        w->ctx = ctx;
        w->req.data = w;
        int status = uv_queue_work(&loop->uv, &w->req, on_run, on_done);
        if (status != 0) {
                free(w);
                return net_err_from_uv(status);
        }
        *out = w;
        return OK;
}

void net_work_cancel(struct net_work *w)
{
        w->is_cancelled = true;
        (void)uv_cancel((uv_req_t *)&w->req); /* busy: on_done drops it later */
}
