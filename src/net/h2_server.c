/*
 * The server's side of HTTP/2: nghttp2 between our buffers, a struct http_exchange a
 * stream.
 *
 * An exchange lives until both its user is done with it and its stream has closed; a
 * connection until its stream (ours) has ended. Either is freed by the connection's
 * task, when neither nghttp2 nor a handler is on the stack.
 */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "h2_session.h"
#include "http_internal.h"

enum {
        STREAM_WINDOW = 256 * 1024,
        CONN_WINDOW = 4 << 20,
        FRAME_ROOM = 64 * 1024,  /* ask nghttp2 for more only while a frame surely fits */
        RESETS_MAX = 256,        /* streams a client may open and abandon beyond those it lets us answer */
};

struct h2_conn {
        struct http_conn base;
        nghttp2_session *session;
        struct list exchanges;
        struct net_task send;
        struct timer idle;
        unsigned resets;
        bool dead;
};

struct h2_exchange {
        struct http_exchange base;
        struct h2_conn *conn; /* NULL once the connection is dead */
        struct list link;
        int32_t stream_id;
        struct http_header *headers;
        size_t header_count, header_bytes;
        struct buf out;        /* of the answer's body */
        size_t framed;         /* bytes of out that have gone into frames */
        bool out_done, has_provider, stream_closed, paused, above, wants_writable;
        size_t unacknowledged; /* came while paused */
        struct timer patience; /* for the request's body, then for progress of the answer */
};

static const struct exchange_ops h2_exchange_ops;

static struct h2_exchange *of(const struct http_exchange *x)
{
        return container_of(x, struct h2_exchange, base);
}

static struct h2_conn *conn_of(struct http_conn *c)
{
        return container_of(c, struct h2_conn, base);
}

static const struct http_limits *limits(const struct h2_conn *c)
{
        return &c->base.srv->limits;
}

static size_t unframed(const struct h2_exchange *e)
{
        return e->out.len - e->framed;
}

static struct net_loop *loop_of(const struct h2_conn *c)
{
        return c->base.srv->loop;
}

/* -- ends -- */

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
        struct net_loop *loop = loop_of(c);

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
                        exchange_free(e, loop_of(c));
        }
        if (list_empty(&c->exchanges))
                net_timer_start(loop_of(c), &c->idle, limits(c)->idle_ms);
}

static void conn_kill(struct h2_conn *c)
{
        if (c->dead)
                return;
        c->dead = true;
        list_each(it, &c->exchanges) {
                struct h2_exchange *e = container_of(it, struct h2_exchange, link);
                net_timer_stop(loop_of(c), &e->patience);
                exchange_abort(&e->base);
        }
        net_stream_set_handler(c->base.s, NULL, NULL);
        net_stream_close_soon(c->base.s);
        c->base.s = NULL;
        net_loop_defer(loop_of(c), &c->base.task);
}

static void kill_op(struct http_conn *c)
{
        conn_kill(conn_of(c));
}

static const struct http_conn_ops conn_ops = { kill_op };

/* -- sending -- */

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

static void send_soon(struct h2_conn *c)
{
        if (!c->dead)
                net_loop_defer(loop_of(c), &c->send);
}

static ssize_t read_out(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t cap,
        uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
        struct h2_exchange *e = source->ptr;
        struct h2_conn *c = ctx;
        size_t n = unframed(e) < cap ? unframed(e) : cap;

        (void)session;
        (void)stream_id;
        if (n == 0 && !e->out_done)
                return NGHTTP2_ERR_DEFERRED;
        if (n) {
                memcpy(buf, e->out.ptr + e->framed, n);
                e->framed += n;
                if (unframed(e) == 0) {
                        buf_fini(&e->out); /* a long poll idles for hours */
                        e->framed = 0;
                } else if (e->framed >= e->out.len / 2) { /* each time would move a large answer over and over */
                        buf_consume(&e->out, e->framed);
                        e->framed = 0;
                }
                if (unframed(e))
                        net_timer_start(loop_of(c), &e->patience, limits(c)->write_ms);
                else
                        net_timer_stop(loop_of(c), &e->patience);
        }
        if (e->above && unframed(e) <= limits(c)->write_bytes / 2) {
                e->above = false;
                e->wants_writable = true;
        }
        if (e->out_done && unframed(e) == 0)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
}

static void reset(struct h2_exchange *e, uint32_t code)
{
        (void)nghttp2_submit_rst_stream(e->conn->session, NGHTTP2_FLAG_NONE, e->stream_id, code);
        send_soon(e->conn);
}

/* -- the answer -- */

static nghttp2_nv field(struct slice name, struct slice value)
{
        return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                value.len, NGHTTP2_NV_FLAG_NONE };
}

static struct slice lower_case(struct arena *a, struct slice name)
{
        char *copy = arena_cstr(a, name);

        for (char *p = copy; p && *p; p++)
                *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
        return slice_make(copy, copy ? name.len : 0);
}

static void h2_head(struct http_exchange *x, const uint64_t *length)
{
        struct h2_exchange *e = of(x);
        nghttp2_nv nv[RESPONSE_HEADERS_MAX + 3];
        nghttp2_data_provider provider = { { .ptr = e }, read_out };
        char status[16], date[32], length_text[24];
        size_t n = 0;

        snprintf(status, sizeof(status), "%u", x->status);
        nv[n++] = field(SLICE_LIT(":status"), slice_str(status));
        http_date(net_loop_now(loop_of(e->conn)).unix_us, date);
        nv[n++] = field(SLICE_LIT("date"), slice_str(date));
        for (unsigned i = 0; i < x->out_count; i++)
                nv[n++] = field(lower_case(&x->arena, x->out_headers[i].name), x->out_headers[i].value);
        if (length) {
                snprintf(length_text, sizeof(length_text), "%llu", (unsigned long long)*length);
                nv[n++] = field(SLICE_LIT("content-length"), slice_str(length_text));
        }
        e->has_provider = !x->is_head_method && http_status_has_body(x->status) && !(length && *length == 0);
        net_timer_stop(loop_of(e->conn), &e->patience);
        if (arena_failed(&x->arena) || nghttp2_submit_response(e->conn->session, e->stream_id, nv, n,
                                               e->has_provider ? &provider : NULL) != 0)
                reset(e, NGHTTP2_INTERNAL_ERROR);
        send_soon(e->conn);
}

static size_t h2_room(const struct http_exchange *x)
{
        const struct h2_exchange *e = of(x);
        size_t max = limits(e->conn)->write_bytes;
        return unframed(e) < max ? max - unframed(e) : 0;
}

static enum err h2_body(struct http_exchange *x, struct slice bytes, bool whole)
{
        struct h2_exchange *e = of(x);

        if (!whole && bytes.len > h2_room(x)) {
                e->above = true;
                return ERR_LIMIT;
        }
        if (!unframed(e))
                net_timer_start(loop_of(e->conn), &e->patience, limits(e->conn)->write_ms);
        buf_append_slice(&e->out, bytes);
        if (buf_status(&e->out) != OK)
                return ERR_NOMEM;
        if (unframed(e) > limits(e->conn)->write_bytes / 2)
                e->above = true;
        (void)nghttp2_session_resume_data(e->conn->session, e->stream_id);
        send_soon(e->conn);
        return OK;
}

static void h2_finish(struct http_exchange *x)
{
        struct h2_exchange *e = of(x);

        e->out_done = true;
        if (e->has_provider)
                (void)nghttp2_session_resume_data(e->conn->session, e->stream_id);
        if (!x->body_done) /* nobody will read the rest of the request: give it a while to end */
                net_timer_start(loop_of(e->conn), &e->patience, limits(e->conn)->body_ms);
        send_soon(e->conn);
}

static void h2_cut(struct http_exchange *x)
{
        reset(of(x), NGHTTP2_INTERNAL_ERROR);
}

static void h2_pause(struct http_exchange *x, bool pause)
{
        struct h2_exchange *e = of(x);

        e->paused = pause;
        if (pause)
                net_timer_stop(loop_of(e->conn), &e->patience); /* it is we who make it wait */
        else
                net_timer_start(loop_of(e->conn), &e->patience, limits(e->conn)->body_ms);
        if (pause || !e->unacknowledged)
                return;
        (void)nghttp2_session_consume_stream(e->conn->session, e->stream_id, e->unacknowledged);
        e->unacknowledged = 0;
        send_soon(e->conn);
}

static enum err h2_hijack(struct http_exchange *x, struct slice head, struct net_stream **out)
{
        (void)x;
        (void)head;
        *out = NULL;
        return ERR_UNSUPPORTED;
}

static const struct exchange_ops h2_exchange_ops = {
        .head = h2_head,
        .body = h2_body,
        .finish = h2_finish,
        .cut = h2_cut,
        .room = h2_room,
        .pause = h2_pause,
        .hijack = h2_hijack,
};

/* -- the request -- */

static void on_patience(struct timer *t, const struct now *now)
{
        struct h2_exchange *e = container_of(t, struct h2_exchange, patience);

        (void)now;
        reset(e, NGHTTP2_CANCEL); /* its user hears of it when the stream closes */
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
        net_timer_stop(loop_of(c), &c->idle);
        net_timer_start(loop_of(c), &e->patience, limits(c)->body_ms);
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
        if (e->header_bytes > limits(c)->header_bytes || e->header_count >= limits(c)->header_count)
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
                e->headers = ARENA_ARRAY(&e->base.arena, limits(c)->header_count, struct http_header);
        if (e->headers)
                e->headers[e->header_count++] = (struct http_header){ arena_copy(&e->base.arena, n), v };
        r->headers = e->headers;
        r->header_count = e->header_count;
        return arena_failed(&e->base.arena) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static void on_whole(struct h2_exchange *e)
{
        if (!e->base.started)
                net_timer_stop(loop_of(e->conn), &e->patience);
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
                        reset(e, NGHTTP2_PROTOCOL_ERROR);
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
                net_timer_start(loop_of(c), &e->patience, limits(c)->body_ms);
        enum err r = exchange_body(&e->base, slice_make(data, len));
        if (r == ERR_LIMIT && !e->base.started && !e->base.finished)
                http_respond_text(&e->base, 413, "the request's body is too long\n");
        else if (r)
                reset(e, NGHTTP2_INTERNAL_ERROR);
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
        net_timer_stop(loop_of(c), &e->patience);
        exchange_abort(&e->base);
        net_loop_defer(loop_of(c), &c->base.task);
        return still(c);
}

/* -- the connection -- */

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
                net_timer_start(loop_of(c), &c->idle, limits(c)->idle_ms);
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
                { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits(c)->streams },
                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
                { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)limits(c)->header_bytes },
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
        send_soon(c);
}
