/* HTTP/1.1 requests one after another over a stream. */
#include <http_parser.h>
#include <stdlib.h>

#include "http_client_internal.h"
#include "h1_head.h"

enum { WAITING_MAX = 16 };

struct h1_client {
        struct http_client base;
        http_parser parser;
        struct h1_head head;
        struct http_call *current; /* its request has been sent */
        struct net_task next;
        bool keep_alive;
};

static struct h1_client *of(struct http_client *c)
{
        return container_of(c, struct h1_client, base);
}

void h1_write_request(struct buf *out, const char *method, const char *target, const char *authority,
        const struct http_header *headers, size_t header_count, int64_t length)
{
        buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, authority);
        for (size_t i = 0; i < header_count; i++)
                buf_printf(out, "%.*s: %.*s\r\n", SLICE_ARGS(headers[i].name), SLICE_ARGS(headers[i].value));
        if (length >= 0)
                buf_printf(out, "Content-Length: %lld\r\n", (long long)length);
        buf_append_str(out, "\r\n");
}

/* ---- the response ---- */

static struct h1_client *owner(http_parser *p)
{
        return container_of(p, struct h1_client, parser);
}

static int on_field(http_parser *p, const char *at, size_t len)
{
        return h1_head_name(&owner(p)->head, slice_make(at, len)) == OK ? 0 : -1;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
        return h1_head_value(&owner(p)->head, slice_make(at, len)) == OK ? 0 : -1;
}

static int on_head(http_parser *p)
{
        struct h1_client *h = owner(p);
        struct http_call *call = h->current;
        struct slice target;

        if (!call)
                return -1;
        if (h1_head_copy(&h->head, &call->arena, &call->response_headers, &call->response_count, &target) !=
                OK)
                return -1;
        h1_head_fini(&h->head);
        h1_head_init(&h->head, RESPONSE_HEAD_MAX, RESPONSE_FIELDS_MAX);
        call->status = p->status_code;
        bool has_no_body = strcmp(call->method, "HEAD") == 0;
        if (p->status_code >= 200)
                call_head(call); /* may cancel the call */
        return has_no_body;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
        struct h1_client *h = owner(p);

        if (h->current)
                call_data(h->current, slice_make(at, len));
        return h->base.freed ? -1 : 0;
}

static int on_message(http_parser *p)
{
        struct h1_client *h = owner(p);
        struct http_call *call = h->current;

        if (p->status_code < 200) /* 100 Continue, 103: the answer is still to come */
                return 0;
        h->keep_alive = http_should_keep_alive(p) && !p->upgrade;
        h->current = NULL;
        if (call && call->paused)
                net_stream_resume(h->base.s); /* for the next one */
        if (call)
                call_done(call, OK, NULL);
        if (!h->base.freed)
                net_loop_defer(net_stream_loop(h->base.s), &h->next);
        return h->base.freed ? -1 : 0;
}

static const http_parser_settings settings = {
        .on_header_field = on_field,
        .on_header_value = on_value,
        .on_headers_complete = on_head,
        .on_body = on_body,
        .on_message_complete = on_message,
};

static void parse(struct h1_client *h, struct slice bytes)
{
        size_t used = http_parser_execute(&h->parser, &settings, (const char *)bytes.ptr, bytes.len);

        if (h->base.freed)
                return;
        if (used != bytes.len || HTTP_PARSER_ERRNO(&h->parser) != HPE_OK)
                client_end(&h->base, ERR_FORMAT, "the answer is not HTTP");
}

/* ---- requests ---- */

static void send_next(struct h1_client *h)
{
        struct http_client *c = &h->base;
        struct buf request = BUF_INIT(CALL_BODY_MAX + RESPONSE_HEAD_MAX);

        if (h->current || c->ended || list_empty(&c->calls))
                return;
        struct http_call *call = container_of(c->calls.next, struct http_call, link);
        bool has_body =
                call->body.len > 0 || (strcmp(call->method, "GET") != 0 && strcmp(call->method, "HEAD") != 0);
        h1_write_request(&request, call->method, call->target, call->authority, call->headers,
                call->header_count, has_body ? (int64_t)call->body.len : -1);
        buf_append_slice(&request, buf_slice(&call->body));
        enum err e = buf_status(&request);
        if (!e) {
                if (net_stream_room(c->s) < request.len)
                        net_stream_set_write_limit(c->s, request.len + NET_WRITE_LIMIT);
                e = net_stream_write(c->s, buf_slice(&request));
        }
        buf_wipe(&request);
        if (e) {
                client_end(c, e, "the request cannot be sent");
                return;
        }
        h->current = call;
        if (call->paused)
                net_stream_pause(c->s);
}

static void on_next(struct net_task *task)
{
        struct h1_client *h = container_of(task, struct h1_client, next);

        if (h->base.freed || h->base.ended)
                return;
        if (!h->keep_alive)
                client_end(&h->base, ERR_CLOSED, "the server closes the connection after its answer");
        else
                send_next(h);
}

static enum err h1_start(struct http_call *call)
{
        struct h1_client *h = of(call->client);

        if (call->stream_body)
                return ERR_UNSUPPORTED;
        if (call->client->call_count > WAITING_MAX + 1)
                return ERR_LIMIT;
        net_loop_defer(net_stream_loop(call->client->s), &h->next);
        return OK;
}

static void h1_resume_body(struct http_call *call)
{
        (void)call; /* bodies are sent whole */
}

static void h1_pause(struct http_call *call, bool pause)
{
        if (of(call->client)->current != call)
                return;
        if (pause)
                net_stream_pause(call->client->s);
        else
                net_stream_resume(call->client->s);
}

static void on_cancelled(struct net_task *task)
{
        struct h1_client *h = container_of(task, struct h1_client, next);

        if (!h->base.freed)
                client_end(&h->base, ERR_CLOSED, "a call was cancelled");
}

/* What is under way cannot be taken back: the connection ends with it. */
static void h1_cancel(struct http_call *call)
{
        struct h1_client *h = of(call->client);

        if (h->current != call)
                return;
        h->current = NULL;
        h->next.run = on_cancelled;
        net_loop_defer(net_stream_loop(h->base.s), &h->next);
}

static void h1_destroy(struct http_client *c)
{
        struct h1_client *h = of(c);

        net_task_cancel(&h->next);
        h1_head_fini(&h->head);
        free(h);
}

static const struct http_client_ops h1_ops = { h1_start, h1_resume_body, h1_pause, h1_cancel, h1_destroy };

static void on_stream_data(struct net_stream *s, void *ctx, struct slice data)
{
        (void)s;
        parse(ctx, data);
}

static void on_stream_end(struct net_stream *s, void *ctx, enum err why)
{
        struct h1_client *h = ctx;

        if (why == ERR_CLOSED && h->current)
                (void)http_parser_execute(
                        &h->parser, &settings, NULL, 0); /* a body that ends with the connection */
        if (!h->base.freed)
                client_end(&h->base, why, net_stream_why(s));
}

static const struct net_stream_handler stream_handler = { .on_data = on_stream_data,
        .on_end = on_stream_end };

enum err h1_client_new(struct net_stream *s, void (*on_end)(void *ctx, enum err why, const struct diag *d),
        void *ctx, struct http_client **out)
{
        struct h1_client *h = calloc(1, sizeof(*h));

        *out = NULL;
        if (!h) {
                net_stream_close(s);
                return ERR_NOMEM;
        }
        client_init(&h->base, &h1_ops, s, on_end, ctx);
        http_parser_init(&h->parser, HTTP_RESPONSE);
        h1_head_init(&h->head, RESPONSE_HEAD_MAX, RESPONSE_FIELDS_MAX);
        h->next.run = on_next;
        h->keep_alive = true;
        net_stream_set_handler(s, &stream_handler, h);
        *out = &h->base;
        return OK;
}
