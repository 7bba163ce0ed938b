#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop_internal.h"
#include "stream_internal.h"

/* More than any layer produces between being paused and stopping. */
enum { UNREAD_MAX = 16 << 20, LINGER_MS = 10 * 1000 };

static void deliver(struct net_task *task);
static void linger_step(struct net_stream *s);

static bool lingers(const struct net_stream *s)
{
        return list_linked(&s->linger);
}

void net_stream_init(struct net_stream *s, const struct net_stream_ops *ops, struct net_loop *loop,
        struct net_stream *lower, bool is_open)
{
        s->ops = ops;
        s->loop = loop;
        s->lower = lower;
        s->is_open = is_open;
        s->open_told = is_open;
        s->write_limit = NET_WRITE_LIMIT;
        s->deliver.run = deliver;
        buf_init(&s->unread, UNREAD_MAX);
}

void net_stream_fini(struct net_stream *s)
{
        net_task_cancel(&s->deliver);
        net_timer_stop(s->loop, &s->idle);
        list_remove(&s->linger);
        buf_fini(&s->unread);
        free(s->why);
        s->why = NULL;
}

static void update_reading(struct net_stream *s)
{
        bool want = !s->closed && s->handler && !s->paused && s->end == OK && s->unread.len == 0;

        if (want != s->reading) {
                s->reading = want;
                s->ops->set_reading(s, want);
        }
}

static void touch(struct net_stream *s)
{
        if (s->idle_ms)
                s->active_us = net_loop_now(s->loop).mono_us;
}

/* Whether deliver() has something to say. */
static bool is_pending(const struct net_stream *s)
{
        if (!s->handler)
                return false;
        if (s->is_open && !s->open_told)
                return true;
        if (s->unread.len > 0 && !s->paused)
                return true;
        return s->end != OK && !s->end_told;
}

static void schedule(struct net_stream *s)
{
        if (is_pending(s))
                net_loop_defer(s->loop, &s->deliver);
}

void net_stream_set_handler(struct net_stream *s, const struct net_stream_handler *h, void *ctx)
{
        assert(!s->closed);
        s->handler = h;
        s->ctx = ctx;
        update_reading(s);
        schedule(s);
}

/* ---- events ---- */

static void tell_open(struct net_stream *s)
{
        if (!s->is_open || s->open_told || !s->handler)
                return;
        s->open_told = true;
        if (s->handler->on_open)
                s->handler->on_open(s, s->ctx);
}

static void tell_data(struct net_stream *s, struct slice bytes)
{
        if (s->handler->on_data)
                s->handler->on_data(s, s->ctx, bytes);
}

static void tell_unread(struct net_stream *s)
{
        if (s->closed || !s->handler || s->paused || s->unread.len == 0)
                return;
        struct buf taken = s->unread;
        buf_init(&s->unread, UNREAD_MAX);
        tell_data(s, buf_slice(&taken));
        buf_fini(&taken);
}

static void tell_end(struct net_stream *s)
{
        if (s->closed || !s->handler || s->end == OK || s->end_told)
                return;
        /* Bytes go before a good end; a broken stream says so even to a paused user. */
        if (s->unread.len > 0 && !(s->paused && s->end != ERR_CLOSED))
                return;
        s->end_told = true;
        if (s->handler->on_end)
                s->handler->on_end(s, s->ctx, s->end);
}

static void deliver(struct net_task *task)
{
        struct net_stream *s = container_of(task, struct net_stream, deliver);

        if (s->closed) {
                s->ops->destroy(s);
                return;
        }
        tell_open(s);
        tell_unread(s);
        tell_end(s);
        if (!s->closed)
                update_reading(s);
}

void net_stream_emit_open(struct net_stream *s)
{
        if (s->closed || s->is_open)
                return;
        s->is_open = true;
        tell_open(s);
}

void net_stream_emit_data(struct net_stream *s, struct slice bytes)
{
        if (s->closed || s->end != OK || bytes.len == 0)
                return;
        touch(s);
        if (s->handler && !s->paused && s->unread.len == 0 && s->open_told) {
                tell_data(s, bytes);
                if (!s->closed)
                        update_reading(s);
                return;
        }
        net_stream_unread_after(s, bytes);
        schedule(s);
        update_reading(s);
}

void net_stream_emit_end(struct net_stream *s, enum err why, const char *why_fmt, ...)
{
        if (s->closed || s->end != OK)
                return;
        assert(why != OK);
        s->end = why;
        if (why_fmt) {
                va_list ap;
                va_start(ap, why_fmt);
                if (vasprintf(&s->why, why_fmt, ap) < 0)
                        s->why = NULL;
                va_end(ap);
        }
        net_timer_stop(s->loop, &s->idle);
        if (lingers(s)) {
                linger_step(s);
                return;
        }
        update_reading(s);
        /* Later, so that a layer may break its stream while the user is writing. */
        schedule(s);
}

void net_stream_emit_drained(struct net_stream *s)
{
        if (s->closed)
                return;
        touch(s);
        if (lingers(s)) {
                linger_step(s);
                return;
        }
        if (!s->above || s->ops->queued(s) > s->write_limit / 2)
                return;
        s->above = false;
        if (s->handler && s->handler->on_writable)
                s->handler->on_writable(s, s->ctx);
}

/* ---- writing ---- */

enum err net_stream_writev(struct net_stream *s, const struct slice *pieces, size_t n)
{
        size_t total = 0;

        assert(!s->closed);
        if (s->shut || (s->end != OK && s->end != ERR_CLOSED))
                return ERR_CLOSED;
        for (size_t i = 0; i < n; i++)
                total += pieces[i].len;
        if (total == 0)
                return OK;
        if (total > net_stream_room(s)) {
                s->above = true;
                return ERR_LIMIT;
        }
        enum err e = s->ops->writev(s, pieces, n);
        if (s->ops->queued(s) > s->write_limit / 2)
                s->above = true;
        return e;
}

enum err net_stream_write(struct net_stream *s, struct slice bytes)
{
        return net_stream_writev(s, &bytes, 1);
}

size_t net_stream_queued(const struct net_stream *s)
{
        return s->ops->queued(s);
}

size_t net_stream_room(const struct net_stream *s)
{
        size_t queued = s->ops->queued(s);
        return queued < s->write_limit ? s->write_limit - queued : 0;
}

void net_stream_set_write_limit(struct net_stream *s, size_t bytes)
{
        s->write_limit = bytes;
}

void net_stream_shutdown(struct net_stream *s)
{
        if (s->shut || s->closed)
                return;
        s->shut = true;
        s->ops->shutdown(s);
}

/* ---- reading ---- */

void net_stream_pause(struct net_stream *s)
{
        s->paused = true;
        update_reading(s);
}

void net_stream_resume(struct net_stream *s)
{
        s->paused = false;
        update_reading(s);
        schedule(s);
}

void net_stream_unread(struct net_stream *s, struct slice bytes)
{
        if (bytes.len == 0)
                return;
        /* In front of what waits already. */
        struct buf joined = BUF_INIT(UNREAD_MAX);
        buf_append_slice(&joined, bytes);
        buf_append_slice(&joined, buf_slice(&s->unread));
        buf_fini(&s->unread);
        s->unread = joined;
        if (buf_status(&s->unread) != OK)
                net_stream_emit_end(s, ERR_NOMEM, "out of memory");
        update_reading(s);
}

void net_stream_unread_after(struct net_stream *s, struct slice bytes)
{
        buf_append_slice(&s->unread, bytes);
        if (buf_status(&s->unread) != OK)
                net_stream_emit_end(s, ERR_NOMEM, "out of memory");
}

static void on_idle(struct timer *t, const struct now *now)
{
        struct net_stream *s = container_of(t, struct net_stream, idle);
        uint64_t due_us = s->active_us + TIME_MS(s->idle_ms);

        if (now->mono_us < due_us)
                net_timer_start_at(s->loop, t, due_us);
        else
                net_stream_emit_end(
                        s, ERR_TIMEOUT, "no traffic for %llu s", (unsigned long long)s->idle_ms / 1000);
}

void net_stream_set_idle_timeout(struct net_stream *s, uint64_t ms)
{
        s->idle_ms = ms;
        s->active_us = net_loop_now(s->loop).mono_us;
        s->idle.fire = on_idle;
        if (ms && s->end == OK)
                net_timer_start(s->loop, &s->idle, ms);
        else
                net_timer_stop(s->loop, &s->idle);
}

/* ---- the end ---- */

void net_stream_close(struct net_stream *s)
{
        if (!s)
                return;
        assert(!s->closed);
        s->closed = true;
        s->handler = NULL;
        net_timer_stop(s->loop, &s->idle);
        list_remove(&s->linger);
        update_reading(s);
        if (s->lower) {
                net_stream_close(s->lower);
                s->lower = NULL;
        }
        net_loop_defer(s->loop, &s->deliver); /* destroys */
}

/* Reads on to the end: closing a socket with unread bytes would reset the connection
 * and take the last bytes we sent with it. */
static const struct net_stream_handler linger_handler;

static void linger_step(struct net_stream *s)
{
        bool is_broken = s->end != OK && s->end != ERR_CLOSED;

        if (is_broken || (s->end != OK && s->ops->queued(s) == 0))
                net_stream_close(s);
}

static void on_linger_time(struct timer *t, const struct now *now)
{
        (void)now;
        net_stream_close(container_of(t, struct net_stream, idle));
}

void stream_linger_end(struct list *link)
{
        net_stream_close(container_of(link, struct net_stream, linger));
}

void net_stream_close_soon(struct net_stream *s)
{
        if (!s)
                return;
        buf_fini(&s->unread);
        s->handler = &linger_handler;
        s->paused = false;
        s->idle_ms = 0;
        s->idle.fire = on_linger_time;
        net_timer_start(s->loop, &s->idle, LINGER_MS);
        list_push_back(&s->loop->lingering, &s->linger);
        net_stream_shutdown(s);
        if (s->closed)
                return;
        update_reading(s);
        linger_step(s);
}

/* ---- facts ---- */

struct net_loop *net_stream_loop(const struct net_stream *s)
{
        return s->loop;
}

struct ip_port net_stream_peer(const struct net_stream *s)
{
        struct ip_port a = { 0 };

        for (; s; s = s->lower) {
                if (s->ops->peer) {
                        s->ops->peer(s, &a);
                        break;
                }
        }
        return a;
}

struct ip_port net_stream_local(const struct net_stream *s)
{
        struct ip_port a = { 0 };

        for (; s; s = s->lower) {
                if (s->ops->local) {
                        s->ops->local(s, &a);
                        break;
                }
        }
        return a;
}

bool net_stream_is_open(const struct net_stream *s)
{
        return s->is_open && (s->end == OK || s->end == ERR_CLOSED);
}

struct net_stream *net_stream_lower(const struct net_stream *s)
{
        return s->lower;
}

const char *net_stream_why(const struct net_stream *s)
{
        if (s->why)
                return s->why;
        return s->end == OK ? "" : err_str(s->end);
}
