/*
 * WebSocket as a byte stream: wslay between our buffers.
 *
 * The handshake's two halves (server: an HTTP exchange, client: http_upgrade_start())
 * end in ws_stream_new() over the stream that remains.
 */
#include <stdio.h>
#include <stdlib.h>
#include <wslay/wslay.h>

/* OpenSSL has a type of the name of one of our results. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/sha.h>
#undef ERR_STATE

#include "base/text.h"
#include "http_client_internal.h"
#include "http_internal.h"
#include "net/stream_impl.h"
#include "net/websocket.h"

/* RFC 6455, section 1.3 */
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum { IN_MAX = 1 << 20, MESSAGE_MAX = 1 << 20, PONGS_MAX = 64 * 1024, KEY_TEXT = 24, ACCEPT_TEXT = 28 };

/* The official client reads no longer message than 32 KiB (seen with 1.80 to 1.102), and DERP frames may be twice that. */
enum { SENT_MAX = 32 * 1024 };

struct ws_stream {
        struct net_stream base;
        wslay_event_context_ptr ws;
        struct buf in;        /* frames' bytes that wslay has not taken yet */
        struct buf out;       /* frames the lower stream had no room for */
        struct net_task pump; /* goes on reading, outside the user's call */
        enum err lower_end;
        bool closing;         /* our close frame is queued */
};

static struct ws_stream *of(const struct net_stream *s)
{
        return container_of(s, struct ws_stream, base);
}

/* ---- sending ---- */

static void flush(struct ws_stream *w)
{
        if (w->base.closed || !w->base.lower)
                return;
        (void)wslay_event_send(w->ws);
        size_t room = net_stream_room(w->base.lower), part = w->out.len < room ? w->out.len : room;
        if (part && net_stream_write(w->base.lower, slice_first(buf_slice(&w->out), part)) == OK)
                buf_consume(&w->out, part);
        if (w->out.len == 0)
                buf_fini(&w->out); /* connections idle for hours */
        if (w->closing && w->out.len == 0 && !wslay_event_want_write(w->ws))
                net_stream_shutdown(w->base.lower);
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *user)
{
        struct ws_stream *w = user;

        (void)ctx;
        (void)flags;
        buf_append(&w->out, data, len);
        return buf_status(&w->out) == OK ? (ssize_t)len : -1;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *user)
{
        (void)ctx;
        (void)user;
        rng_fill(net_rng(), buf, len);
        return 0;
}

static enum err ws_writev(struct net_stream *s, const struct slice *pieces, size_t n)
{
        struct ws_stream *w = of(s);
        struct buf whole = BUF_INIT(SIZE_MAX);

        for (size_t i = 0; i < n; i++)
                buf_append_slice(&whole, pieces[i]);
        bool ok = buf_status(&whole) == OK;
        for (size_t at = 0, part; ok && at < whole.len; at += part) {
                part = whole.len - at < SENT_MAX ? whole.len - at : SENT_MAX;
                struct wslay_event_msg message = { WSLAY_BINARY_FRAME, whole.ptr + at, part };
                ok = wslay_event_queue_msg(w->ws, &message) == 0;
        }
        buf_fini(&whole);
        if (!ok) {
                net_stream_emit_end(s, ERR_CLOSED, "the WebSocket takes no more messages");
                return ERR_CLOSED;
        }
        flush(w);
        return OK;
}

static size_t ws_queued(const struct net_stream *s)
{
        const struct ws_stream *w = of(s);
        return w->out.len + wslay_event_get_queued_msg_length(w->ws) +
               (s->lower ? net_stream_queued(s->lower) : 0);
}

static void say_close(struct ws_stream *w, unsigned code, const char *reason)
{
        if (w->closing)
                return;
        w->closing = true;
        (void)wslay_event_queue_close(w->ws, (uint16_t)code, (const uint8_t *)reason, strlen(reason));
        flush(w);
}

static void ws_shutdown(struct net_stream *s)
{
        say_close(of(s), WSLAY_CODE_NORMAL_CLOSURE, "");
}

/* ---- receiving ---- */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
        struct ws_stream *w = user;
        size_t n = w->in.len < len ? w->in.len : len;

        (void)flags;
        if (n == 0 || (!w->base.reading && !w->base.closed)) {
                wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
                return -1;
        }
        memcpy(buf, w->in.ptr, n);
        buf_consume(&w->in, n);
        if (w->in.len == 0)
                buf_fini(&w->in);
        return (ssize_t)n;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
        struct ws_stream *w = user;

        (void)ctx;
        if (arg->opcode == WSLAY_BINARY_FRAME)
                net_stream_emit_data(&w->base, slice_make(arg->msg, arg->msg_length));
        else if (arg->opcode == WSLAY_CONNECTION_CLOSE)
                net_stream_emit_end(&w->base, ERR_CLOSED, "the other side closed the WebSocket");
        else if (!wslay_is_ctrl_frame(arg->opcode))
                net_stream_emit_end(&w->base, ERR_FORMAT, "a WebSocket message that is not binary");
}

static void step(struct ws_stream *w)
{
        /* A frame that breaks the rules stops wslay's reading; so does a close frame, but
         * that one has ended the stream already. */
        if (wslay_event_recv(w->ws) != 0 || !wslay_event_get_read_enabled(w->ws))
                net_stream_emit_end(&w->base, ERR_FORMAT, "malformed WebSocket frame");
        if (w->base.closed)
                return;
        flush(w); /* pongs, the answer to a close */
        if (w->out.len > w->base.write_limit + PONGS_MAX) {
                net_stream_emit_end(&w->base, ERR_LIMIT, "the other side sends pings and takes no pongs");
                return;
        }
        if (w->lower_end && (w->base.reading || w->in.len == 0))
                net_stream_emit_end(&w->base, w->lower_end, "%s", net_stream_why(w->base.lower));
}

static void on_lower_data(struct net_stream *lower, void *ctx, struct slice data)
{
        struct ws_stream *w = ctx;

        (void)lower;
        buf_append_slice(&w->in, data);
        if (buf_status(&w->in) != OK)
                net_stream_emit_end(&w->base, ERR_LIMIT, "more came than is read");
        else
                step(w);
}

static void on_lower_writable(struct net_stream *lower, void *ctx)
{
        struct ws_stream *w = ctx;

        (void)lower;
        flush(w);
        net_stream_emit_drained(&w->base);
}

static void on_lower_end(struct net_stream *lower, void *ctx, enum err why)
{
        struct ws_stream *w = ctx;

        (void)lower;
        w->lower_end = why;
        step(w);
}

static const struct net_stream_handler lower_handler = {
        .on_data = on_lower_data, .on_writable = on_lower_writable, .on_end = on_lower_end,
};

static void on_pump(struct net_task *task)
{
        struct ws_stream *w = container_of(task, struct ws_stream, pump);

        if (!w->base.closed)
                step(w);
}

static void ws_set_reading(struct net_stream *s, bool on)
{
        if (!s->lower)
                return;
        if (on) {
                net_stream_resume(s->lower);
                net_loop_defer(s->loop, &of(s)->pump);
        } else {
                net_stream_pause(s->lower);
        }
}

static void ws_destroy(struct net_stream *s)
{
        struct ws_stream *w = of(s);

        net_task_cancel(&w->pump);
        net_stream_fini(s);
        wslay_event_context_free(w->ws);
        buf_fini(&w->in);
        buf_fini(&w->out);
        free(w);
}

static const struct net_stream_ops ws_ops = {
        .name = "websocket",
        .set_reading = ws_set_reading,
        .writev = ws_writev,
        .queued = ws_queued,
        .shutdown = ws_shutdown,
        .destroy = ws_destroy,
};

/* Takes lower, on failure too. */
static enum err ws_stream_new(struct net_stream *lower, bool is_server, struct net_stream **out)
{
        static const struct wslay_event_callbacks callbacks = {
                .recv_callback = on_recv,
                .send_callback = on_send,
                .genmask_callback = on_mask,
                .on_msg_recv_callback = on_message,
        };
        struct ws_stream *w = calloc(1, sizeof(*w));

        *out = NULL;
        if (!w || (is_server ? wslay_event_context_server_init(&w->ws, &callbacks, w)
                             : wslay_event_context_client_init(&w->ws, &callbacks, w)) != 0) {
                free(w);
                net_stream_close(lower);
                return ERR_NOMEM;
        }
        wslay_event_config_set_max_recv_msg_length(w->ws, MESSAGE_MAX);
        w->pump.run = on_pump;
        buf_init(&w->in, IN_MAX);
        buf_init(&w->out, SIZE_MAX); /* the common part bounds it */
        net_stream_init(&w->base, &ws_ops, net_stream_loop(lower), lower, true);
        net_stream_set_handler(lower, &lower_handler, w);
        *out = &w->base;
        return OK;
}

void ws_close(struct net_stream *s, unsigned code, const char *reason)
{
        if (s->ops == &ws_ops)
                say_close(of(s), code, reason);
        net_stream_close_soon(s);
}

/* ---- handshakes ---- */

static void accept_text(struct slice key, char out[static ACCEPT_TEXT + 1])
{
        uint8_t digest[SHA_DIGEST_LENGTH];
        char text[KEY_TEXT + sizeof(ACCEPT_GUID)];

        snprintf(text, sizeof(text), "%.*s%s", (int)KEY_TEXT, (const char *)key.ptr, ACCEPT_GUID);
        SHA1((const uint8_t *)text, strlen(text), digest);
        base64_encode(SLICE_ARRAY(digest), out);
}

bool ws_is_handshake(const struct http_exchange *x)
{
        return http_wants_upgrade(x, "websocket");
}

bool ws_offers(const struct http_exchange *x, const char *subprotocol)
{
        return http_list_has(x->req.headers, x->req.header_count, "Sec-WebSocket-Protocol", subprotocol);
}

enum err ws_accept(struct http_exchange *x, const char *subprotocol, struct net_stream **out)
{
        struct slice key = http_header(x, "Sec-WebSocket-Key");
        char accept[ACCEPT_TEXT + 1];
        struct net_stream *lower;

        *out = NULL;
        if (!slice_is(http_request(x)->method, "GET") || !ws_is_handshake(x) || key.len != KEY_TEXT ||
                !slice_is(http_header(x, "Sec-WebSocket-Version"), "13") ||
                (subprotocol && !ws_offers(x, subprotocol))) {
                http_add_header_str(x, "Sec-WebSocket-Version", "13");
                http_respond_text(x, 400, "not a WebSocket handshake for this endpoint\n");
                return ERR_FORMAT;
        }
        accept_text(key, accept);
        http_add_header_str(x, "Sec-WebSocket-Accept", accept);
        if (subprotocol)
                http_add_header_str(x, "Sec-WebSocket-Protocol", subprotocol);
        enum err e = http_upgrade(x, "websocket", &lower);
        if (e) {
                http_cut(x);
                return e;
        }
        return ws_stream_new(lower, true, out);
}

/* What the client must remember until the answer. */
struct ws_connecting {
        char accept[ACCEPT_TEXT + 1];
        char subprotocol[64];
        void (*done)(void *ctx, enum err e, struct net_stream *s, const struct diag *d);
        void *ctx;
};

static bool is_good_answer(const struct ws_connecting *c, const struct http_response *r)
{
        return http_list_has(r->headers, r->header_count, "Upgrade", "websocket") &&
                slice_is(http_response_header(r, "Sec-WebSocket-Accept"), c->accept) &&
                slice_is(http_response_header(r, "Sec-WebSocket-Protocol"), c->subprotocol);
}

static void on_answer(
        void *ctx, enum err e, struct net_stream *s, const struct http_response *r, const struct diag *d)
{
        struct ws_connecting *c = ctx;
        struct diag why = *d;

        if (!e && !is_good_answer(c, r)) {
                net_stream_close(s);
                s = NULL;
                e = diag_set(&why, ERR_FORMAT, "the server's WebSocket handshake is wrong");
        }
        if (!e)
                e = ws_stream_new(s, false, &s);
        c->done(c->ctx, e, e ? NULL : s, &why);
}

enum err ws_connect(struct net_stream *s, const char *authority, const char *target, const char *subprotocol,
        unsigned timeout_ms, void (*done)(void *ctx, enum err e, struct net_stream *s, const struct diag *d),
        void *ctx, struct http_upgrading **out)
{
        uint8_t nonce[16];
        char key[KEY_TEXT + 1];
        struct ws_connecting *c = calloc(1, sizeof(*c));

        if (out)
                *out = NULL;
        if (!c) {
                net_stream_close(s);
                return ERR_NOMEM;
        }
        rng_fill(net_rng(), nonce, sizeof(nonce));
        base64_encode(SLICE_ARRAY(nonce), key);
        accept_text(slice_str(key), c->accept);
        snprintf(c->subprotocol, sizeof(c->subprotocol), "%s", subprotocol ? subprotocol : "");
        c->done = done;
        c->ctx = ctx;
        struct http_header headers[] = {
                { SLICE_LIT("Connection"), SLICE_LIT("Upgrade") },
                { SLICE_LIT("Upgrade"), SLICE_LIT("websocket") },
                { SLICE_LIT("Sec-WebSocket-Version"), SLICE_LIT("13") },
                { SLICE_LIT("Sec-WebSocket-Key"), slice_str(key) },
                { SLICE_LIT("Sec-WebSocket-Protocol"), slice_str(c->subprotocol) },
        };
        struct http_ask ask = { .target = target,
                .authority = authority,
                .headers = headers,
                .header_count = subprotocol ? 5 : 4 };
        struct http_upgrading *u;
        enum err e = http_upgrade_start(s, &ask, timeout_ms, on_answer, c, &u);
        if (e) {
                free(c);
                return e;
        }
        http_upgrade_own(u, c);
        if (out)
                *out = u;
        return OK;
}
