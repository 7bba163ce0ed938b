/* HTTP/2 requests, many at once, over a stream: nghttp2 between our buffers. */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "h2_session.h"
#include "http_client_internal.h"

enum {
        CALLS_MAX = 256 + 250,
        STREAM_WINDOW = 1 << 20,
        CONN_WINDOW = 16 << 20,
        FRAME_ROOM = 64 * 1024, /* ask nghttp2 for more only while a frame surely fits */
        NAMES_MAX = 64,
};

struct h2_client {
        struct http_client base;
        nghttp2_session *session;
        struct net_task send;
};

static struct h2_client *of(struct http_client *c)
{
        return container_of(c, struct h2_client, base);
}

/* ---- sending ---- */

/* One call at a time, from the start: its user may end any of the others. */
static void tell_writable(struct h2_client *h)
{
        for (struct list *it = h->base.calls.next;
                !h->base.freed && !h->base.ended && it != &h->base.calls;) {
                struct http_call *call = container_of(it, struct http_call, link);
                it = it->next;
                if (!call->wants_writable)
                        continue;
                call->wants_writable = false;
                call_writable(call);
                it = h->base.calls.next;
        }
}

static void send_frames(struct h2_client *h)
{
        const uint8_t *bytes;

        while (!h->base.freed && !h->base.ended && net_stream_room(h->base.s) >= FRAME_ROOM) {
                ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
                if (n == 0)
                        break;
                if (n < 0 || net_stream_write(h->base.s, slice_make(bytes, (size_t)n)) != OK) {
                        client_end(&h->base, ERR_CLOSED,
                                n < 0 ? nghttp2_strerror((int)n) : net_stream_why(h->base.s));
                        return;
                }
        }
        if (!h->base.freed && !h->base.ended && !nghttp2_session_want_read(h->session) &&
                !nghttp2_session_want_write(h->session))
                client_end(&h->base, ERR_CLOSED, "the server closed the connection");
        tell_writable(h);
}

static void on_send(struct net_task *task)
{
        struct h2_client *h = container_of(task, struct h2_client, send);

        if (!h->base.freed)
                send_frames(h);
}

static void send_soon(struct h2_client *h)
{
        if (h->base.s)
                net_loop_defer(net_stream_loop(h->base.s), &h->send);
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t cap,
        uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
        struct http_call *call = source->ptr;
        size_t n = call->body.len < cap ? call->body.len : cap;

        (void)session;
        (void)stream_id;
        (void)ctx;
        if (n == 0 && !call->body_done)
                return NGHTTP2_ERR_DEFERRED;
        if (n) {
                memcpy(buf, call->body.ptr, n);
                buf_consume(&call->body, n);
        }
        if (call->above && call->body.len <= CALL_STREAM_MAX / 2) {
                call->above = false;
                call->wants_writable = call->stream_body;
        }
        if (call->body_done && call->body.len == 0)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
}

static nghttp2_nv field(const char *name, struct slice value)
{
        return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value.ptr, strlen(name),
                value.len, NGHTTP2_NV_FLAG_NONE };
}

static enum err h2_start(struct http_call *call)
{
        struct h2_client *h = of(call->client);
        nghttp2_nv nv[NAMES_MAX];
        nghttp2_data_provider provider = { { .ptr = call }, read_body };
        bool has_body = call->stream_body || call->body.len > 0;
        char length[24];
        size_t n = 0;

        if (call->client->call_count > CALLS_MAX || call->header_count > NAMES_MAX - 8)
                return ERR_LIMIT;
        nv[n++] = field(":method", slice_str(call->method));
        nv[n++] = field(":scheme", slice_str(call->scheme));
        nv[n++] = field(":authority", slice_str(call->authority));
        nv[n++] = field(":path", slice_str(call->target));
        for (size_t i = 0; i < call->header_count; i++) {
                char *name = arena_cstr(&call->arena, call->headers[i].name);
                for (char *p = name; p && *p; p++)
                        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
                nv[n++] = field(name, call->headers[i].value);
        }
        if (arena_failed(&call->arena))
                return ERR_NOMEM;
        if (has_body && !call->stream_body) {
                snprintf(length, sizeof(length), "%zu", call->body.len);
                nv[n++] = field("content-length", slice_str(length));
        }
        call->stream_id = nghttp2_submit_request(h->session, NULL, nv, n, has_body ? &provider : NULL, call);
        if (call->stream_id < 0)
                return ERR_CLOSED;
        send_soon(h);
        return OK;
}

static void h2_resume_body(struct http_call *call)
{
        (void)nghttp2_session_resume_data(of(call->client)->session, call->stream_id);
        send_soon(of(call->client));
}

static void h2_pause(struct http_call *call, bool pause)
{
        struct h2_client *h = of(call->client);

        if (pause || !call->unacknowledged)
                return;
        (void)nghttp2_session_consume_stream(h->session, call->stream_id, call->unacknowledged);
        call->unacknowledged = 0;
        send_soon(h);
}

static void h2_cancel(struct http_call *call)
{
        struct h2_client *h = of(call->client);

        (void)nghttp2_session_set_stream_user_data(h->session, call->stream_id, NULL);
        (void)nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
        send_soon(h);
}

static void h2_destroy(struct http_client *c)
{
        struct h2_client *h = of(c);

        net_task_cancel(&h->send);
        nghttp2_session_del(h->session);
        free(h);
}

static const struct http_client_ops h2_ops = { h2_start, h2_resume_body, h2_pause, h2_cancel, h2_destroy };

/* ---- receiving ---- */

static struct http_call *call_of(nghttp2_session *session, int32_t stream_id)
{
        return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
        size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
        struct http_call *call = call_of(session, frame->hd.stream_id);
        struct slice n = slice_make(name, name_len), v = slice_make(value, value_len);

        (void)flags;
        (void)ctx;
        if (!call || call->head_told) /* trailers are not for us */
                return 0;
        if (slice_is(n, ":status")) {
                call->status = 0; /* nghttp2 has checked that these are three digits */
                for (size_t i = 0; i < v.len; i++)
                        call->status = call->status * 10 + (v.ptr[i] - '0');
                return 0;
        }
        return call_add_field(call, n, v) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
        struct http_call *call = call_of(session, frame->hd.stream_id);
        struct h2_client *h = ctx;

        if (frame->hd.type != NGHTTP2_HEADERS || !call || call->head_told)
                return 0;
        if (call->status < 200) { /* an interim answer: the next head counts */
                call->response_count = 0;
                return 0;
        }
        call_head(call);
        return h->base.freed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
        size_t len, void *ctx)
{
        struct http_call *call = call_of(session, stream_id);
        struct h2_client *h = ctx;

        (void)flags;
        /* The connection's window opens at once, so that one slow call holds up none. */
        (void)nghttp2_session_consume_connection(session, len);
        if (!call || !call->paused)
                (void)nghttp2_session_consume_stream(session, stream_id, len);
        else
                call->unacknowledged += len;
        if (call)
                call_data(call, slice_make(data, len));
        return h->base.freed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *ctx)
{
        struct http_call *call = call_of(session, stream_id);
        struct h2_client *h = ctx;
        char why[96];

        if (!call)
                return 0;
        snprintf(why, sizeof(why), "the server ended the request: %s", nghttp2_http2_strerror(code));
        if (code == NGHTTP2_NO_ERROR && call->head_told)
                call_done(call, OK, NULL);
        else
                call_done(call, code == NGHTTP2_REFUSED_STREAM ? ERR_LIMIT : ERR_CLOSED, why);
        return h->base.freed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void on_stream_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct h2_client *h = ctx;

        (void)s;
        ssize_t n = nghttp2_session_mem_recv(h->session, data.ptr, data.len);
        if (h->base.freed)
                return;
        if (n < 0)
                client_end(&h->base, ERR_FORMAT, nghttp2_strerror((int)n));
        else
                send_frames(h);
}

static void on_stream_writable(struct net_stream *s, void *ctx)
{
        struct h2_client *h = ctx;

        (void)s;
        send_frames(h);
}

static void on_stream_end(struct net_stream *s, void *ctx, enum err why)
{
        struct h2_client *h = ctx;

        client_end(&h->base, why, net_stream_why(s));
}

static const struct net_stream_handler stream_handler = {
        .on_data = on_stream_data, .on_writable = on_stream_writable, .on_end = on_stream_end,
};

static nghttp2_session *session_new(struct h2_client *h)
{
        static const nghttp2_settings_entry settings[] = {
                { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
                { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, RESPONSE_HEAD_MAX },
        };
        static const struct h2_callbacks on = {
                .on_header = on_header,
                .on_frame = on_frame,
                .on_data = on_data,
                .on_close = on_close,
        };

        return h2_session_new(nghttp2_session_client_new2, &on, h, settings, sizeof(settings) / sizeof(*settings),
                CONN_WINDOW);
}

enum err h2_client_new(struct net_stream *s, void (*on_end)(void *ctx, enum err why, const struct diag *d),
        void *ctx, struct http_client **out)
{
        struct h2_client *h = calloc(1, sizeof(*h));

        *out = NULL;
        if (h)
                h->session = session_new(h);
        if (!h || !h->session) {
                free(h);
                net_stream_close(s);
                return ERR_NOMEM;
        }
        client_init(&h->base, &h2_ops, s, on_end, ctx);
        h->send.run = on_send;
        net_stream_set_handler(s, &stream_handler, h);
        send_soon(h);
        *out = &h->base;
        return OK;
}
