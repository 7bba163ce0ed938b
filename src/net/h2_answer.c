/* The answer's half of a server's HTTP/2 stream. */
#include <stdio.h>

#include "h2_conn.h"

/* What nghttp2 has not asked for yet. */
static size_t unframed(const struct h2_exchange *e)
{
        return e->out.len - e->framed;
}

/* nghttp2 asks for the next piece of the body. */
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
                        net_timer_start(h2_loop(c), &e->patience, h2_limits(c)->write_ms);
                else
                        net_timer_stop(h2_loop(c), &e->patience);
        }
        if (e->above && unframed(e) <= h2_limits(c)->write_bytes / 2) {
                e->above = false;
                e->wants_writable = true;
        }
        if (e->out_done && unframed(e) == 0)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
}

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
        struct h2_exchange *e = h2_of(x);
        nghttp2_nv nv[RESPONSE_HEADERS_MAX + 3];
        nghttp2_data_provider provider = { { .ptr = e }, read_out };
        char status[16], date[32], length_text[24];
        size_t n = 0;

        snprintf(status, sizeof(status), "%u", x->status);
        nv[n++] = field(SLICE_LIT(":status"), slice_str(status));
        http_date(net_loop_now(h2_loop(e->conn)).unix_us, date);
        nv[n++] = field(SLICE_LIT("date"), slice_str(date));
        for (unsigned i = 0; i < x->out_count; i++)
                nv[n++] = field(lower_case(&x->arena, x->out_headers[i].name), x->out_headers[i].value);
        if (length) {
                snprintf(length_text, sizeof(length_text), "%llu", (unsigned long long)*length);
                nv[n++] = field(SLICE_LIT("content-length"), slice_str(length_text));
        }
        e->has_provider = !x->is_head_method && http_status_has_body(x->status) && !(length && *length == 0);
        net_timer_stop(h2_loop(e->conn), &e->patience);
        if (arena_failed(&x->arena) || nghttp2_submit_response(e->conn->session, e->stream_id, nv, n,
                                               e->has_provider ? &provider : NULL) != 0)
                h2_reset(e, NGHTTP2_INTERNAL_ERROR);
        h2_send_soon(e->conn);
}

static size_t h2_room(const struct http_exchange *x)
{
        const struct h2_exchange *e = h2_of(x);
        size_t max = h2_limits(e->conn)->write_bytes;
        return unframed(e) < max ? max - unframed(e) : 0;
}

static enum err h2_body(struct http_exchange *x, struct slice bytes, bool whole)
{
        struct h2_exchange *e = h2_of(x);

        if (!whole && bytes.len > h2_room(x)) {
                e->above = true;
                return ERR_LIMIT;
        }
        if (!unframed(e))
                net_timer_start(h2_loop(e->conn), &e->patience, h2_limits(e->conn)->write_ms);
        buf_append_slice(&e->out, bytes);
        if (buf_status(&e->out) != OK)
                return ERR_NOMEM;
        if (unframed(e) > h2_limits(e->conn)->write_bytes / 2)
                e->above = true;
        (void)nghttp2_session_resume_data(e->conn->session, e->stream_id);
        h2_send_soon(e->conn);
        return OK;
}

static void h2_finish(struct http_exchange *x)
{
        struct h2_exchange *e = h2_of(x);

        e->out_done = true;
        if (e->has_provider)
                (void)nghttp2_session_resume_data(e->conn->session, e->stream_id);
        if (!x->body_done) /* nobody will read the rest of the request: give it a while to end */
                net_timer_start(h2_loop(e->conn), &e->patience, h2_limits(e->conn)->body_ms);
        h2_send_soon(e->conn);
}

static void h2_cut(struct http_exchange *x)
{
        h2_reset(h2_of(x), NGHTTP2_INTERNAL_ERROR);
}

static void h2_pause(struct http_exchange *x, bool pause)
{
        struct h2_exchange *e = h2_of(x);

        e->paused = pause;
        if (pause)
                net_timer_stop(h2_loop(e->conn), &e->patience); /* it is we who make it wait */
        else
                net_timer_start(h2_loop(e->conn), &e->patience, h2_limits(e->conn)->body_ms);
        if (pause || !e->unacknowledged)
                return;
        (void)nghttp2_session_consume_stream(e->conn->session, e->stream_id, e->unacknowledged);
        e->unacknowledged = 0;
        h2_send_soon(e->conn);
}

static enum err h2_hijack(struct http_exchange *x, struct slice head, struct net_stream **out)
{
        (void)x;
        (void)head;
        *out = NULL;
        return ERR_UNSUPPORTED;
}

const struct exchange_ops h2_exchange_ops = {
        .head = h2_head,
        .body = h2_body,
        .finish = h2_finish,
        .cut = h2_cut,
        .room = h2_room,
        .pause = h2_pause,
        .hijack = h2_hijack,
};
