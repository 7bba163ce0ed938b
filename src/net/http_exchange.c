/* One request and its answer, the part that does not depend on the HTTP version. */
#include <assert.h>
#include <stdlib.h>

#include "http_internal.h"

void exchange_init(struct http_exchange *x, const struct exchange_ops *ops, struct http_conn *conn)
{
        x->ops = ops;
        x->conn = conn;
        x->body_limit = conn->srv->limits.body_bytes;
        arena_init(&x->arena, EXCHANGE_ARENA_MAX);
        buf_init(&x->body, x->body_limit);
}

void exchange_fini(struct http_exchange *x)
{
        arena_fini(&x->arena);
        buf_fini(&x->body);
}

/* Origin form, or absolute form (RFC 9112, 3.2.2), whose authority replaces Host. */
enum err exchange_split_target(struct http_exchange *x)
{
        struct http_request *r = &x->req;
        struct slice rest = r->target;

        x->is_head_method = slice_is(r->method, "HEAD");
        if (slice_is(r->method, "CONNECT"))
                return OK; /* the target is an authority; no path */
        if (slice_has_prefix(rest, SLICE_LIT("http://")) || slice_has_prefix(rest, SLICE_LIT("https://"))) {
                rest = slice_after(rest, slice_find(rest, '/') + 2);
                size_t end = slice_find(rest, '/');
                r->authority = slice_first(rest, end);
                rest = end < rest.len ? slice_after(rest, end) : SLICE_LIT("/");
        } else if (!slice_has_prefix(rest, SLICE_LIT("/")) && !slice_is(rest, "*")) {
                return ERR_FORMAT;
        }
        rest = slice_first(rest, slice_find(rest, '#'));
        size_t mark = slice_find(rest, '?');
        r->path = slice_first(rest, mark);
        if (mark < rest.len)
                r->query = slice_after(rest, mark + 1);
        return OK;
}

void exchange_tell_head(struct http_exchange *x)
{
        struct http_server *srv = x->conn->srv;

        if (!srv->calls->on_head)
                return;
        x->head_told = true;
        srv->calls->on_head(srv->ctx, x);
}

bool exchange_wants_pieces(const struct http_exchange *x)
{
        return x->watch && x->watch->on_body;
}

enum err exchange_body(struct http_exchange *x, struct slice bytes)
{
        if (x->finished || x->started)
                return OK; /* answered already: nobody wants it */
        if (exchange_wants_pieces(x)) {
                x->watch->on_body(x->watch_ctx, x, bytes, false);
                return OK;
        }
        if (bytes.len > x->body_limit - x->body.len)
                return ERR_LIMIT;
        buf_append_slice(&x->body, bytes);
        return buf_status(&x->body);
}

void exchange_tell_whole(struct http_exchange *x)
{
        struct http_server *srv = x->conn->srv;

        x->body_done = true;
        if (x->finished || x->started)
                return;
        if (exchange_wants_pieces(x)) {
                x->watch->on_body(x->watch_ctx, x, (struct slice){ 0 }, true);
                return;
        }
        x->head_told = true;
        srv->calls->on_request(srv->ctx, x);
}

void exchange_abort(struct http_exchange *x)
{
        if (x->finished)
                return;
        x->finished = true;
        if (x->head_told && x->watch && x->watch->on_abort)
                x->watch->on_abort(x->watch_ctx, x);
}

void exchange_writable(struct http_exchange *x)
{
        if (!x->finished && x->started && x->watch && x->watch->on_writable)
                x->watch->on_writable(x->watch_ctx, x);
}

/* ---- the request ---- */

const struct http_request *http_request(const struct http_exchange *x)
{
        return &x->req;
}

struct slice http_header(const struct http_exchange *x, const char *name)
{
        return http_find_header(x->req.headers, x->req.header_count, name);
}

struct slice http_body(const struct http_exchange *x)
{
        return buf_slice(&x->body);
}

struct arena *http_arena(struct http_exchange *x)
{
        return &x->arena;
}

struct net_stream *http_stream(const struct http_exchange *x)
{
        return x->conn->s;
}

void *http_conn_ctx(const struct http_exchange *x)
{
        return x->conn->ctx;
}

void http_set_body_limit(struct http_exchange *x, size_t bytes)
{
        x->body_limit = bytes;
        x->body.max = bytes;
}

void http_watch(struct http_exchange *x, const struct http_watch *w, void *ctx)
{
        assert(!x->finished);
        x->watch = w;
        x->watch_ctx = ctx;
}

void http_body_pause(struct http_exchange *x, bool pause)
{
        if (!x->finished && !x->body_done)
                x->ops->pause(x, pause);
}

bool http_wants_upgrade(const struct http_exchange *x, const char *protocol)
{
        return http_list_has(x->req.headers, x->req.header_count, "Upgrade", protocol) &&
               http_list_has(x->req.headers, x->req.header_count, "Connection", "upgrade");
}

static bool is_trusted(struct ip_addr a, const struct ip_prefix *trusted, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                if (ip_prefix_contains(&trusted[i], &a))
                        return true;
        }
        return false;
}

/* The rightmost address that no proxy of ours has. Repeated headers are one list. */
static bool forwarded_for(const struct http_exchange *x, const struct ip_prefix *trusted, size_t count,
        struct ip_addr *out)
{
        for (size_t i = x->req.header_count; i-- > 0;) {
                struct slice list = x->req.headers[i].value;
                if (!slice_equal_nocase(x->req.headers[i].name, SLICE_LIT("X-Forwarded-For")))
                        continue;
                while (list.len > 0) {
                        size_t cut = list.len;
                        while (cut > 0 && list.ptr[cut - 1] != ',')
                                cut--;
                        if (ip_parse(slice_trim(slice_after(list, cut)), out) != OK)
                                return false;
                        *out = ip_unmap(*out);
                        if (!is_trusted(*out, trusted, count))
                                return true;
                        list = slice_first(list, cut ? cut - 1 : 0);
                }
        }
        return false;
}

struct ip_addr http_client_ip(const struct http_exchange *x, const struct ip_prefix *trusted, size_t count)
{
        static const char *const single[] = { "True-Client-IP", "X-Real-IP" };
        struct ip_addr peer = net_stream_peer(x->conn->s).ip, told;

        if (!is_trusted(peer, trusted, count))
                return peer;
        for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
                if (ip_parse(slice_trim(http_header(x, single[i])), &told) == OK)
                        return ip_unmap(told);
        }
        return forwarded_for(x, trusted, count, &told) ? told : peer;
}

/* ---- the answer ---- */

void http_add_header(struct http_exchange *x, const char *name, struct slice value)
{
        assert(!x->started && !x->finished);
        assert(x->out_count < RESPONSE_HEADERS_MAX);
        /* Response splitting would be a bug of ours, never an input's right. */
        if (!http_token_valid(slice_str(name)) || !http_value_valid(value))
                abort();
        struct http_header *h = &x->out_headers[x->out_count];
        h->name = arena_copy(&x->arena, slice_str(name));
        h->value = arena_copy(&x->arena, value);
        if (!arena_failed(&x->arena))
                x->out_count++;
}

void http_add_header_str(struct http_exchange *x, const char *name, const char *value)
{
        http_add_header(x, name, slice_str(value));
}

static void set_status(struct http_exchange *x, unsigned status, const char *content_type)
{
        assert(!x->started && !x->finished);
        assert(status >= 200 && status <= 599);
        if (content_type)
                http_add_header_str(x, "Content-Type", content_type);
        x->status = status;
}

void http_respond(struct http_exchange *x, unsigned status, const char *content_type, struct slice body)
{
        uint64_t length = body.len;

        set_status(x, status, content_type);
        x->started = true;
        x->ops->head(x, &length);
        if (!x->is_head_method && http_status_has_body(status) && body.len > 0)
                (void)x->ops->body(x, body, true); /* a broken stream tells its connection */
        http_finish(x);
}

void http_respond_text(struct http_exchange *x, unsigned status, const char *text)
{
        http_respond(x, status, "text/plain; charset=utf-8", slice_str(text));
}

void http_start(struct http_exchange *x, unsigned status, const char *content_type)
{
        set_status(x, status, content_type);
        x->started = true;
        x->ops->head(x, NULL);
}

enum err http_write(struct http_exchange *x, struct slice bytes)
{
        assert(x->started && !x->finished);
        if (bytes.len == 0 || x->is_head_method || !http_status_has_body(x->status))
                return OK;
        return x->ops->body(x, bytes, false);
}

size_t http_room(const struct http_exchange *x)
{
        return x->ops->room(x);
}

void http_finish(struct http_exchange *x)
{
        assert(x->started && !x->finished);
        x->finished = true;
        x->ops->finish(x);
}

void http_cut(struct http_exchange *x)
{
        assert(!x->finished);
        x->finished = true;
        x->ops->cut(x);
}

enum err http_hijack(struct http_exchange *x, struct net_stream **out)
{
        assert(!x->started && !x->finished);
        *out = NULL;
        return x->ops->hijack(x, (struct slice){ 0 }, out);
}

enum err http_upgrade(struct http_exchange *x, const char *protocol, struct net_stream **out)
{
        struct buf head = BUF_INIT(64 * 1024);

        assert(!x->started && !x->finished);
        *out = NULL;
        buf_printf(&head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n",
                protocol);
        for (unsigned i = 0; i < x->out_count; i++)
                buf_printf(&head, "%.*s: %.*s\r\n", SLICE_ARGS(x->out_headers[i].name),
                        SLICE_ARGS(x->out_headers[i].value));
        buf_append_str(&head, "\r\n");
        enum err e = buf_status(&head);
        if (e == OK)
                e = x->ops->hijack(x, buf_slice(&head), out);
        buf_fini(&head);
        return e;
}
