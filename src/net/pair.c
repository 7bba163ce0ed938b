/* Two streams that are each other's far end, in memory. */
#include <stdlib.h>

#include "loop_internal.h"
#include "net/stream_impl.h"

struct mem_stream {
        struct net_stream base;
        struct mem_stream *far; /* NULL once it is gone */
        struct buf out;         /* written here, not yet delivered there */
        struct net_task move;
        bool is_ended;          /* nothing will follow out */
};

static struct mem_stream *of(const struct net_stream *s)
{
        return container_of(s, struct mem_stream, base);
}

static void schedule(struct mem_stream *m)
{
        if (m->out.len > 0 || m->is_ended)
                net_loop_defer(m->base.loop, &m->move);
}

static void move(struct net_task *task)
{
        struct mem_stream *m = container_of(task, struct mem_stream, move);

        if (!m->far)
                return;
        if (m->out.len > 0) {
                if (!m->far->base.reading)
                        return;
                struct buf taken = m->out;
                buf_init(&m->out, SIZE_MAX);
                net_stream_emit_data(&m->far->base, buf_slice(&taken));
                buf_fini(&taken);
                net_stream_emit_drained(&m->base);
        }
        if (m->is_ended && m->out.len == 0 && m->far)
                net_stream_emit_end(&m->far->base, ERR_CLOSED, "the other side closed the connection");
}

static void mem_set_reading(struct net_stream *s, bool on)
{
        if (on && of(s)->far)
                schedule(of(s)->far);
}

static enum err mem_writev(struct net_stream *s, const struct slice *pieces, size_t n)
{
        struct mem_stream *m = of(s);

        if (!m->far) {
                net_stream_emit_end(s, ERR_SYS, "broken pipe");
                return ERR_CLOSED;
        }
        for (size_t i = 0; i < n; i++)
                buf_append_slice(&m->out, pieces[i]);
        schedule(m);
        return buf_status(&m->out);
}

static size_t mem_queued(const struct net_stream *s)
{
        return of(s)->out.len;
}

static void mem_shutdown(struct net_stream *s)
{
        of(s)->is_ended = true;
        schedule(of(s));
}

static void mem_destroy(struct net_stream *s)
{
        struct mem_stream *m = of(s);

        if (m->far) {
                m->far->far = NULL;
                net_stream_emit_end(&m->far->base, ERR_CLOSED, "the other side closed the connection");
        }
        net_task_cancel(&m->move);
        buf_fini(&m->out);
        net_stream_fini(s);
        free(m);
}

static const struct net_stream_ops mem_ops = {
        .name = "memory",
        .set_reading = mem_set_reading,
        .writev = mem_writev,
        .queued = mem_queued,
        .shutdown = mem_shutdown,
        .destroy = mem_destroy,
};

enum err net_stream_pair(struct net_loop *loop, struct net_stream **a, struct net_stream **b)
{
        struct mem_stream *m[2] = { calloc(1, sizeof(**m)), calloc(1, sizeof(**m)) };

        *a = *b = NULL;
        if (!m[0] || !m[1]) {
                free(m[0]);
                free(m[1]);
                return ERR_NOMEM;
        }
        for (int i = 0; i < 2; i++) {
                m[i]->far = m[1 - i];
                m[i]->move.run = move;
                buf_init(&m[i]->out, SIZE_MAX);
                net_stream_init(&m[i]->base, &mem_ops, loop, NULL, true);
        }
        *a = &m[0]->base;
        *b = &m[1]->base;
        return OK;
}
