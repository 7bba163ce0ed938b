/*
 * The server's side of HTTP/2: nghttp2 between our buffers, a struct http_exchange a
 * stream.
 *
 * An exchange lives until both its user is done with it and its stream has closed; a
 * connection until its stream (ours) has ended. Either is freed by the connection's
 * task, when neither nghttp2 nor a handler is on the stack.
 */
#include <stdlib.h>

#include "h2_conn.h"
#include "h2_session.h"

enum {
        STREAM_WINDOW = 256 * 1024,
        CONN_WINDOW = 4 << 20,
        FRAME_ROOM = 64 * 1024,  /* ask nghttp2 for more only while a frame surely fits */
        RESETS_MAX = 256,        /* streams a client may open and abandon beyond those it lets us answer */
};

static struct h2_conn *conn_of(struct http_conn *c)
{
        return container_of(c, struct h2_conn, base);
}

/* ---- ends ---- */

static void exchange_free(struct h2_exchange *e, struct net_loop *loop)
{
        net_timer_stop(loop, &e->patience);
        list_remove(&e->link);
        buf_fini(&e->out);
        exchange_fini(&e->base);
        free(e);
}

static void conn_free(struct h2_conn *c)
{
        struct net_loop *loop = h2_loop(c);

        for (struct list *it; (it = list_pop_front(&c->exchanges));)
                exchange_free(container_of(it, struct h2_exchange, link), loop);
        net_timer_stop(loop, &c->idle);
        net_task_cancel(&c->send);
        nghttp2_session_del(c->session);
        http_conn_fini(&c->base);
        free(c);
}

static void on_task(struct net_task *task)
{
        struct h2_conn *c = container_of(task, struct h2_conn, base.task);

        if (c->dead) {
                conn_free(c);
                return;
        }
        list_each_safe(it, &c->exchanges) {
                struct h2_exchange *e = container_of(it, struct h2_exchange, link);
                if (e->stream_closed && e->base.finished)
                        exchange_free(e, h2_loop(c));
        }
        if (list_empty(&c->exchanges))
                net_timer_start(h2_loop(c), &c->idle, h2_limits(c)->idle_ms);
}

static void conn_kill(struct h2_conn *c)
{
        if (c->dead)
                return;
        c->dead = true;
        list_each(it, &c->exchanges) {
                struct h2_exchange *e = container_of(it, struct h2_exchange, link);
                net_timer_stop(h2_loop(c), &e->patience);
                exchange_abort(&e->base);
        }
        net_stream_set_handler(c->base.s, NULL, NULL);
        net_stream_close_soon(c->base.s);
        c->base.s = NULL;
        net_loop_defer(h2_loop(c), &c->base.task);
}

static void kill_op(struct http_conn *c)
{
        conn_kill(conn_of(c));
}

static const struct http_conn_ops conn_ops = { kill_op };

/* ---- sending ---- */

static void tell_writable(struct h2_conn *c)
{
        list_each_safe(it, &c->exchanges) {
                struct h2_exchange *e = container_of(it, struct h2_exchange, link);
                if (!e->wants_writable)
                        continue;
                e->wants_writable = false;
                exchange_writable(&e->base);
                if (c->dead)
                        return;
        }
}

static void send_frames(struct h2_conn *c)
{
        const uint8_t *bytes;

        while (!c->dead && net_stream_room(c->base.s) >= FRAME_ROOM) {
                ssize_t n = nghttp2_session_mem_send(c->session, &bytes);
                if (n == 0)
                        break;
                if (n < 0 || net_stream_write(c->base.s, slice_make(bytes, (size_t)n)) != OK) {
                        conn_kill(c);
                        return;
                }
        }
        if (!c->dead && !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
                conn_kill(c);
        else if (!c->dead)
                tell_writable(c);
}

static void on_send(struct net_task *task)
{
        struct h2_conn *c = container_of(task, struct h2_conn, send);

        if (!c->dead)
                send_frames(c);
}

void h2_send_soon(struct h2_conn *c)
{
        if (!c->dead)
                net_loop_defer(h2_loop(c), &c->send);
}

void h2_reset(struct h2_exchange *e, uint32_t code)
{
        (void)nghttp2_submit_rst_stream(e->conn->session, NGHTTP2_FLAG_NONE, e->stream_id, code);
        h2_send_soon(e->conn);
}

/* ---- the request ---- */

static void on_patience(struct timer *t, const struct now *now)
{
        struct h2_exchange *e = container_of(t, struct h2_exchange, patience);

        (void)now;
        h2_reset(e, NGHTTP2_CANCEL); /* its user hears of it when the stream closes */
}

static struct h2_exchange *exchange_new(struct h2_conn *c, int32_t stream_id)
{
        struct h2_exchange *e = calloc(1, sizeof(*e));

        if (!e)
                return NULL;
        exchange_init(&e->base, &h2_exchange_ops, &c->base);
        e->base.req.is_h2 = true;
        e->conn = c;
        e->stream_id = stream_id;
        e->patience.fire = on_patience;
        buf_init(&e->out, SIZE_MAX); /* h2_room() bounds it */
        list_push_back(&c->exchanges, &e->link);
        net_timer_stop(h2_loop(c), &c->idle);
        net_timer_start(h2_loop(c), &e->patience, h2_limits(c)->body_ms);
        return e;
}

static struct h2_exchange *exchange_of(nghttp2_session *session, int32_t stream_id)
{
        return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int still(const struct h2_conn *c)
{
        return c->dead ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
        if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;
        struct h2_exchange *e = exchange_new(ctx, frame->hd.stream_id);
        if (!e)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, e);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
        size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
        struct h2_exchange *e = exchange_of(session, frame->hd.stream_id);
        struct h2_conn *c = ctx;
        struct slice n = slice_make(name, name_len), v = slice_make(value, value_len);

        (void)flags;
        if (!e || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0; /* trailers are not for us */
        struct http_request *r = &e->base.req;
        e->header_bytes += name_len + value_len;
        if (e->header_bytes > h2_limits(c)->header_bytes || e->header_count >= h2_limits(c)->header_count)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        v = arena_copy(&e->base.arena, v);
        if (slice_is(n, ":method"))
                r->method = v;
        else if (slice_is(n, ":path"))
                r->target = v;
        else if (slice_is(n, ":authority") || (slice_is(n, "host") && !r->authority.len))
                r->authority = v;
        if (name_len == 0 || name[0] == ':')
                return 0;
        if (!e->headers)
                e->headers = ARENA_ARRAY(&e->base.arena, h2_limits(c)->header_count, struct http_header);
        if (e->headers)
                e->headers[e->header_count++] = (struct http_header){ arena_copy(&e->base.arena, n), v };
        r->headers = e->headers;
        r->header_count = e->header_count;
        return arena_failed(&e->base.arena) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static void on_whole(struct h2_exchange *e)
{
        if (!e->base.started)
                net_timer_stop(h2_loop(e->conn), &e->patience);
        exchange_tell_whole(&e->base);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
        struct h2_conn *c = ctx;
        struct h2_exchange *e = exchange_of(session, frame->hd.stream_id);
        bool is_end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

        if (frame->hd.type == NGHTTP2_RST_STREAM && ++c->resets > RESETS_MAX) {
                (void)nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
                return 0;
        }
        if (!e || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
                return 0;
        if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
                if (exchange_split_target(&e->base) != OK) {
                        h2_reset(e, NGHTTP2_PROTOCOL_ERROR);
                        return 0;
                }
                exchange_tell_head(&e->base);
        }
        if (is_end && !c->dead)
                on_whole(e);
        return still(c);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
        size_t len, void *ctx)
{
        struct h2_conn *c = ctx;
        struct h2_exchange *e = exchange_of(session, stream_id);

        (void)flags;
        /* The connection's window opens at once, so that one slow request holds up none. */
        (void)nghttp2_session_consume_connection(session, len);
        if (!e || !e->paused)
                (void)nghttp2_session_consume_stream(session, stream_id, len);
        else
                e->unacknowledged += len;
        if (!e)
                return 0;
        /* A collected body has body_ms for all of it, one in pieces for each. */
        if (exchange_wants_pieces(&e->base) && !e->base.started && !e->paused)
                net_timer_start(h2_loop(c), &e->patience, h2_limits(c)->body_ms);
        enum err r = exchange_body(&e->base, slice_make(data, len));
        if (r == ERR_LIMIT && !e->base.started && !e->base.finished)
                http_respond_text(&e->base, 413, "the request's body is too long\n");
        else if (r)
                h2_reset(e, NGHTTP2_INTERNAL_ERROR);
        return still(c);
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *ctx)
{
        struct h2_conn *c = ctx;
        struct h2_exchange *e = exchange_of(session, stream_id);

        if (!e)
                return 0;
        if (code == NGHTTP2_NO_ERROR && c->resets)
                c->resets--;
        e->stream_closed = true;
        net_timer_stop(h2_loop(c), &e->patience);
        exchange_abort(&e->base);
        net_loop_defer(h2_loop(c), &c->base.task);
        return still(c);
}

/* ---- the connection ---- */

static void on_stream_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct h2_conn *c = ctx;

        (void)s;
        ssize_t n = nghttp2_session_mem_recv(c->session, data.ptr, data.len);
        if (c->dead)
                return;
        if (n < 0) {
                conn_kill(c);
                return;
        }
        if (list_empty(&c->exchanges))
                net_timer_start(h2_loop(c), &c->idle, h2_limits(c)->idle_ms);
        send_frames(c);
}

static void on_stream_writable(struct net_stream *s, void *ctx)
{
        (void)s;
        send_frames(ctx);
}

static void on_stream_end(struct net_stream *s, void *ctx, enum err why)
{
        (void)s;
        (void)why;
        conn_kill(ctx);
}

static const struct net_stream_handler stream_handler = {
        .on_data = on_stream_data, .on_writable = on_stream_writable, .on_end = on_stream_end,
};

static void on_idle(struct timer *t, const struct now *now)
{
        struct h2_conn *c = container_of(t, struct h2_conn, idle);

        (void)now;
        (void)nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
        send_frames(c);
        conn_kill(c);
}

static nghttp2_session *session_new(struct h2_conn *c)
{
        nghttp2_settings_entry settings[] = {
                { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h2_limits(c)->streams },
                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
                { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h2_limits(c)->header_bytes },
        };
        static const struct h2_callbacks on = {
                .on_begin_headers = on_begin_headers,
                .on_header = on_header,
                .on_frame = on_frame,
                .on_data = on_data,
                .on_close = on_close,
        };

        return h2_session_new(nghttp2_session_server_new2, &on, c, settings, sizeof(settings) / sizeof(*settings),
                CONN_WINDOW);
}

void h2_serve(struct http_server *srv, struct net_stream *s, void *conn_ctx)
{
        struct h2_conn *c = calloc(1, sizeof(*c));

        if (!c) {
                http_conn_refuse(srv, s, conn_ctx);
                return;
        }
        http_conn_init(&c->base, &conn_ops, srv, s, conn_ctx);
        c->base.task.run = on_task;
        c->send.run = on_send;
        c->idle.fire = on_idle;
        list_init(&c->exchanges);
        c->session = session_new(c);
        if (!c->session) {
                conn_kill(c);
                return;
        }
        net_timer_start(srv->loop, &c->idle, srv->limits.header_ms);
        net_stream_set_handler(s, &stream_handler, c);
        h2_send_soon(c);
}
