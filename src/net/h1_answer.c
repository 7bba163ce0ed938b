/* The writing half of an HTTP/1.1 server connection. */
#include <inttypes.h>
#include <stdio.h>

#include "h1_conn.h"

struct h1_conn *h1_of(const struct http_exchange *x)
{
        return container_of(x->conn, struct h1_conn, base);
}

/* Whatever its size: what one answer holds exists already. */
static enum err write_whole(struct h1_conn *c, const struct slice *pieces, size_t n)
{
        struct net_stream *s = c->base.s;
        size_t total = 0;

        for (size_t i = 0; i < n; i++)
                total += pieces[i].len;
        size_t limit = c->base.srv->limits.write_bytes;
        if (net_stream_room(s) < total)
                net_stream_set_write_limit(s, net_stream_queued(s) + total);
        enum err e = net_stream_writev(s, pieces, n);
        net_stream_set_write_limit(s, limit);
        c->written += total;
        return e;
}

static void put_head(struct h1_conn *c, struct http_exchange *x, const uint64_t *length, struct buf *out)
{
        char date[32];

        http_date(net_loop_now(c->base.srv->loop).unix_us, date);
        buf_printf(out, "HTTP/1.1 %u %s\r\nDate: %s\r\n", x->status, http_status_text(x->status), date);
        for (unsigned i = 0; i < x->out_count; i++)
                buf_printf(out, "%.*s: %.*s\r\n", SLICE_ARGS(x->out_headers[i].name),
                        SLICE_ARGS(x->out_headers[i].value));
        if (!http_status_has_body(x->status))
                ;
        else if (length)
                buf_printf(out, "Content-Length: %" PRIu64 "\r\n", *length);
        else if (c->is_chunked)
                buf_append_str(out, "Transfer-Encoding: chunked\r\n");
        if (http_find_header(x->out_headers, x->out_count, "Connection").ptr)
                ; /* the user has said it */
        else if (!c->keep_alive)
                buf_append_str(out, "Connection: close\r\n");
        else if (c->parser.http_minor == 0)
                buf_append_str(out, "Connection: keep-alive\r\n");
        buf_append_str(out, "\r\n");
}

static void h1_head_out(struct http_exchange *x, const uint64_t *length)
{
        struct h1_conn *c = h1_of(x);
        struct buf out = BUF_INIT(256 * 1024);

        /* A body nobody has read stands between us and the next request; HTTP/1.0 knows
         * the end of an unannounced body only by the end of the connection. */
        c->is_chunked = !length && c->parser.http_minor > 0 && http_status_has_body(x->status);
        if (!x->body_done || c->base.srv->closing ||
                (!length && !c->is_chunked && http_status_has_body(x->status)))
                c->keep_alive = false;
        if (http_list_has(x->out_headers, x->out_count, "Connection", "close"))
                c->keep_alive = false;
        put_head(c, x, length, &out);
        struct slice bytes = buf_slice(&out);
        if (buf_status(&out) == OK)
                (void)write_whole(c, &bytes, 1); /* a broken stream says so by itself */
        buf_fini(&out);
        h1_arm(c);
}

static enum err h1_body_out(struct http_exchange *x, struct slice bytes, bool whole)
{
        struct h1_conn *c = h1_of(x);
        char size[24];
        struct slice pieces[3] = { { 0 }, bytes, { 0 } };

        if (c->is_chunked) {
                snprintf(size, sizeof(size), "%zx\r\n", bytes.len);
                pieces[0] = slice_str(size);
                pieces[2] = SLICE_LIT("\r\n");
        }
        if (whole)
                return write_whole(c, pieces, 3);
        enum err e = net_stream_writev(c->base.s, pieces, 3);
        if (e == OK)
                c->written += pieces[0].len + bytes.len + pieces[2].len;
        return e;
}

static void h1_finish(struct http_exchange *x)
{
        struct h1_conn *c = h1_of(x);
        struct slice last = SLICE_LIT("0\r\n\r\n");

        if (c->is_chunked && !x->is_head_method)
                (void)write_whole(c, &last, 1);
        net_loop_defer(c->base.srv->loop, &c->base.task);
}

static void h1_cut(struct http_exchange *x)
{
        h1_die(h1_of(x), false);
}

static size_t h1_room(const struct http_exchange *x)
{
        enum { CHUNK_OVERHEAD = 32 };
        size_t room = net_stream_room(h1_of(x)->base.s);
        return room > CHUNK_OVERHEAD ? room - CHUNK_OVERHEAD : 0;
}

static void h1_pause(struct http_exchange *x, bool pause)
{
        struct h1_conn *c = h1_of(x);

        c->body_paused = pause;
        if (pause)
                net_stream_pause(c->base.s);
        else
                net_stream_resume(c->base.s);
        h1_arm(c);
}

/* The bytes behind the request go back into the stream for its next owner. */
static enum err h1_hijack(struct http_exchange *x, struct slice head, struct net_stream **out)
{
        struct h1_conn *c = h1_of(x);
        struct net_stream *s = c->base.s;

        if (head.len > 0) {
                enum err e = write_whole(c, &head, 1);
                if (e != OK)
                        return e;
        }
        net_stream_set_handler(s, NULL, NULL);
        net_stream_set_write_limit(s, NET_WRITE_LIMIT);
        net_stream_resume(s);
        net_stream_unread(s, c->rest);
        net_stream_unread(s, buf_slice(&c->pending));
        c->base.s = NULL;
        x->finished = true;
        h1_die(c, false);
        *out = s;
        return OK;
}

const struct exchange_ops h1_exchange_ops = {
        .head = h1_head_out,
        .body = h1_body_out,
        .finish = h1_finish,
        .cut = h1_cut,
        .room = h1_room,
        .pause = h1_pause,
        .hijack = h1_hijack,
};
