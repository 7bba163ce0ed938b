/*
 * The reading half of an HTTP/1.1 server connection, its states and its timer.
 *
 * The parser pauses itself after a head and after a message, so that the user is
 * called with no parser on the stack and may answer, upgrade or cut at will. Only
 * pieces of a body (on_body) are handed over from within.
 */
#include "h1_conn.h"

#include <stdlib.h>

#include "base/log.h"
#include "net/tls.h"

static const struct log lg = { "http" };

enum {
        PENDING_PAUSE = 64 * 1024, /* of pipelined requests; then the client waits */
        PENDING_MAX = 256 * 1024,
};

static void feed(struct h1_conn *c, struct slice data);

/* ---- the parser's callbacks ---- */

static int refuse_in_callback(struct h1_conn *c, unsigned status)
{
        c->refusal = status;
        return 1; /* the parser stops with an error */
}

static int on_target(http_parser *p, const char *at, size_t len)
{
        struct h1_conn *c = p->data;
        return h1_head_target(&c->head, slice_make(at, len)) == OK ? 0 : refuse_in_callback(c, 414);
}

static int on_name(http_parser *p, const char *at, size_t len)
{
        struct h1_conn *c = p->data;

        if (c->x)
                return 0; /* a trailer: nobody asked for it */
        return h1_head_name(&c->head, slice_make(at, len)) == OK ? 0 : refuse_in_callback(c, 431);
}

static int on_value(http_parser *p, const char *at, size_t len)
{
        struct h1_conn *c = p->data;

        if (c->x)
                return 0;
        return h1_head_value(&c->head, slice_make(at, len)) == OK ? 0 : refuse_in_callback(c, 431);
}

static int on_head_done(http_parser *p)
{
        struct h1_conn *c = p->data;

        c->seen = H1_HEAD_DONE;
        http_parser_pause(p, 1);
        return 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
        struct h1_conn *c = p->data;

        c->body_bytes += len;
        if (exchange_body(c->x, slice_make(at, len)) != OK)
                return refuse_in_callback(c, 413);
        return c->state == H1_DEAD; /* the user has cut it */
}

static int on_message_done(http_parser *p)
{
        struct h1_conn *c = p->data;

        c->seen = H1_MESSAGE_DONE;
        http_parser_pause(p, 1);
        return 0;
}

static const http_parser_settings settings = {
        .on_url = on_target,
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_headers_complete = on_head_done,
        .on_body = on_body,
        .on_message_complete = on_message_done,
};

/* ---- endings ---- */

static void free_exchange(struct h1_conn *c)
{
        if (!c->x)
                return;
        exchange_fini(c->x);
        free(c->x);
        c->x = NULL;
}

void h1_die(struct h1_conn *c, bool polite)
{
        if (c->state == H1_DEAD)
                return;
        c->state = H1_DEAD;
        net_timer_stop(c->base.srv->loop, &c->timer);
        if (c->x)
                exchange_abort(c->x);
        if (polite)
                net_stream_close_soon(c->base.s);
        else
                net_stream_close(c->base.s);
        c->base.s = NULL;
        net_loop_defer(c->base.srv->loop, &c->base.task);
}

/* Answers a request that no handler shall see to its end, then ends. */
static void refuse(struct h1_conn *c, unsigned status)
{
        struct buf out = BUF_INIT(1024);

        if (c->x && c->x->started) { /* another answer is under way */
                h1_die(c, false);
                return;
        }
        log_debug(&lg, "request refused", "status=%u", status);
        buf_printf(&out,
                "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
                "Content-Length: %zu\r\n\r\n%s",
                status, http_status_text(status), strlen(http_status_text(status)), http_status_text(status));
        bool is_sent = buf_status(&out) == OK && net_stream_write(c->base.s, buf_slice(&out)) == OK;
        buf_fini(&out);
        h1_die(c, is_sent);
}

static void destroy(struct h1_conn *c)
{
        free_exchange(c);
        h1_head_fini(&c->head);
        buf_fini(&c->pending);
        http_conn_fini(&c->base);
        free(c);
}

/* ---- one request ---- */

static void begin_request(struct h1_conn *c)
{
        http_parser_init(&c->parser, HTTP_REQUEST);
        c->parser.data = c;
        h1_head_init(&c->head, c->base.srv->limits.header_bytes, c->base.srv->limits.header_count);
        c->seen = H1_NOTHING;
        c->refusal = 0;
        c->body_bytes = 0;
        c->state = H1_HEAD;
        h1_arm(c);
}

static bool announces_body(const struct h1_conn *c)
{
        bool has_length = c->parser.content_length != UINT64_MAX && c->parser.content_length > 0;
        return (c->parser.flags & F_CHUNKED) || has_length;
}

/* The parser lets blanks in names and control characters in values pass, which other
 * readers of the same bytes may take for something else. */
static bool are_fields_valid(const struct http_exchange *x)
{
        for (size_t i = 0; i < x->req.header_count; i++) {
                if (!http_token_valid(x->req.headers[i].name) || !http_value_valid(x->req.headers[i].value))
                        return false;
        }
        return true;
}

/* RFC 9112, 3.2: exactly one Host, in HTTP/1.0 at most one. */
static bool take_host(struct h1_conn *c, struct http_exchange *x)
{
        unsigned hosts = 0;

        for (size_t i = 0; i < x->req.header_count; i++) {
                if (!slice_equal_nocase(x->req.headers[i].name, SLICE_LIT("Host")))
                        continue;
                x->req.authority = x->req.headers[i].value;
                hosts++;
        }
        return hosts == 1 || (hosts == 0 && c->parser.http_minor == 0);
}

/* The exchange from the head that has come; a status to refuse with, or 0. */
static unsigned make_exchange(struct h1_conn *c)
{
        struct http_exchange *x = calloc(1, sizeof(*x));
        struct http_header *headers;

        if (!x)
                return 503;
        exchange_init(x, &h1_exchange_ops, &c->base);
        c->x = x;
        if (c->parser.http_major != 1 || c->parser.http_minor > 1)
                return 505;
        if (h1_head_copy(&c->head, &x->arena, &headers, &x->req.header_count, &x->req.target) != OK)
                return 503;
        h1_head_fini(&c->head);
        x->req.headers = headers;
        x->req.method = slice_str(http_method_str(c->parser.method));
        if (!are_fields_valid(x) || !take_host(c, x) || exchange_split_target(x) != OK)
                return 400;
        x->body_done = !announces_body(c);
        c->keep_alive = http_should_keep_alive(&c->parser) != 0;
        c->expects_continue = slice_equal_nocase(http_header(x, "Expect"), SLICE_LIT("100-continue"));
        return 0;
}

static void head_done(struct h1_conn *c)
{
        unsigned status = make_exchange(c);

        if (status) {
                refuse(c, status);
                return;
        }
        struct http_exchange *x = c->x;
        c->state = H1_BODY;
        h1_arm(c);
        exchange_tell_head(x);
        if (c->state == H1_DEAD || x->started)
                return;
        bool is_length_known = announces_body(c) && !(c->parser.flags & F_CHUNKED);
        if (is_length_known && !exchange_wants_pieces(x) && c->parser.content_length > x->body_limit) {
                refuse(c, 413);
                return;
        }
        if (c->expects_continue && !x->body_done && c->parser.http_minor > 0) {
                if (net_stream_write(c->base.s, SLICE_LIT("HTTP/1.1 100 Continue\r\n\r\n")) != OK)
                        h1_die(c, false);
        }
}

static void message_done(struct h1_conn *c)
{
        c->state = H1_ANSWER;
        h1_arm(c);
        exchange_tell_whole(c->x);
}

/* Runs the parser over bytes until it pauses; returns how many it has had. */
static size_t run_parser(struct h1_conn *c, struct slice bytes)
{
        c->seen = H1_NOTHING;
        size_t n = http_parser_execute(&c->parser, &settings, (const char *)bytes.ptr, bytes.len);

        if (HTTP_PARSER_ERRNO(&c->parser) == HPE_PAUSED)
                http_parser_pause(&c->parser, 0);
        else if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK && c->state != H1_DEAD)
                refuse(c, c->refusal ? c->refusal : 400);
        return n;
}

static void parse_some(struct h1_conn *c)
{
        if (c->state == H1_IDLE)
                begin_request(c);
        size_t n = run_parser(c, c->rest);
        if (c->state == H1_DEAD)
                return;
        c->rest = slice_after(c->rest, n);
        if (c->seen == H1_HEAD_DONE) {
                /* Paused on the head's last line feed: whoever takes the connection over
                 * must not see it, the parser must. */
                c->rest = slice_after(c->rest, 1);
                head_done(c);
                if (c->state == H1_DEAD)
                        return;
                (void)run_parser(c, SLICE_LIT("\n"));
                if (c->state == H1_DEAD)
                        return;
        }
        if (c->seen == H1_MESSAGE_DONE)
                message_done(c);
}

/* Keeps what follows a request that is being answered. */
static void keep_pending(struct h1_conn *c, struct slice data)
{
        buf_append_slice(&c->pending, data);
        if (buf_status(&c->pending) != OK)
                h1_die(c, false);
        else if (c->pending.len >= PENDING_PAUSE)
                net_stream_pause(c->base.s);
}

static void feed(struct h1_conn *c, struct slice data)
{
        c->rest = data;
        while (c->rest.len > 0 && (c->state == H1_IDLE || c->state == H1_HEAD || c->state == H1_BODY))
                parse_some(c);
        if (c->rest.len > 0 && c->state == H1_ANSWER)
                keep_pending(c, c->rest);
        c->rest = (struct slice){ 0 };
}

/* The answer is complete. */
static void next_request(struct h1_conn *c)
{
        if (!c->keep_alive || !c->x->body_done || c->base.srv->closing) {
                h1_die(c, true);
                return;
        }
        free_exchange(c);
        c->state = H1_IDLE;
        h1_arm(c);
        struct buf pending = c->pending;
        buf_init(&c->pending, PENDING_MAX);
        net_stream_resume(c->base.s);
        feed(c, buf_slice(&pending));
        buf_fini(&pending);
}

static void run_task(struct net_task *task)
{
        struct h1_conn *c = container_of(task, struct h1_conn, base.task);

        if (c->state == H1_DEAD)
                destroy(c);
        else if (c->x && c->x->finished)
                next_request(c);
}

/* ---- the timer ---- */

static void on_time(struct timer *t, const struct now *now)
{
        struct h1_conn *c = container_of(t, struct h1_conn, timer);
        bool in_pieces = c->x && (exchange_wants_pieces(c->x) || c->x->started);
        uint64_t queued, moved;

        (void)now;
        switch (c->state) {
        case H1_IDLE:
                h1_die(c, false);
                return;
        case H1_HEAD:
                refuse(c, 408);
                return;
        case H1_BODY:
                if (!in_pieces) {
                        refuse(c, 408);
                        return;
                }
                if (c->body_bytes == c->progress && !c->body_paused) {
                        h1_die(c, false);
                        return;
                }
                c->progress = c->body_bytes;
                break;
        case H1_ANSWER:
                queued = net_stream_queued(c->base.s);
                moved = c->written - queued;
                if (queued > 0 && moved == c->progress) {
                        h1_die(c, false);
                        return;
                }
                c->progress = moved;
                break;
        case H1_DEAD:
                return;
        }
        h1_arm(c);
}

void h1_arm(struct h1_conn *c)
{
        const struct http_limits *l = &c->base.srv->limits;
        unsigned ms = 0;

        switch (c->state) {
        case H1_IDLE: ms = l->idle_ms; break;
        case H1_HEAD: ms = l->header_ms; break;
        case H1_BODY: ms = l->body_ms; break;
        case H1_ANSWER: ms = l->write_ms; break;
        case H1_DEAD: return;
        }
        net_timer_start(c->base.srv->loop, &c->timer, ms);
}

/* ---- the stream ---- */

/* TLS has agreed on HTTP/2: the connection changes hands before its first request. */
static void change_to_h2(struct h1_conn *c)
{
        struct http_server *srv = c->base.srv;
        struct net_stream *s = c->base.s;
        void *conn_ctx = c->base.ctx;

        srv->refs++; /* across the change */
        net_timer_stop(srv->loop, &c->timer);
        http_conn_leave(&c->base);
        free(c);
        h2_serve(srv, s, conn_ctx);
        http_server_release(srv);
}

static void on_open(struct net_stream *s, void *ctx)
{
        if (tls_chose_h2(s))
                change_to_h2(ctx);
}

static void on_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct h1_conn *c = ctx;

        (void)s;
        if (c->state == H1_ANSWER)
                keep_pending(c, data);
        else
                feed(c, data);
}

static void on_writable(struct net_stream *s, void *ctx)
{
        struct h1_conn *c = ctx;

        (void)s;
        if (c->x)
                exchange_writable(c->x);
}

static void on_end(struct net_stream *s, void *ctx, enum err why)
{
        struct h1_conn *c = ctx;

        (void)s;
        if (why == ERR_CLOSED && c->x && c->x->finished)
                c->keep_alive = false; /* the answer still goes out */
        else
                h1_die(c, false);
}

static const struct net_stream_handler stream_handler = { on_open, on_data, on_writable, on_end };

static void h1_kill(struct http_conn *base)
{
        struct h1_conn *c = container_of(base, struct h1_conn, base);
        h1_die(c, c->x && c->x->finished);
}

static const struct http_conn_ops conn_ops = { h1_kill };

void h1_serve(struct http_server *srv, struct net_stream *s, void *conn_ctx)
{
        struct h1_conn *c = calloc(1, sizeof(*c));

        if (!c) {
                http_conn_refuse(srv, s, conn_ctx);
                return;
        }
        http_conn_init(&c->base, &conn_ops, srv, s, conn_ctx);
        c->base.task.run = run_task;
        c->timer.fire = on_time;
        buf_init(&c->pending, PENDING_MAX);
        net_stream_set_write_limit(s, srv->limits.write_bytes);
        h1_arm(c);
        net_stream_set_handler(s, &stream_handler, c);
}
