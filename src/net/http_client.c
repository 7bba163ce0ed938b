/* The parts of an HTTP client that do not depend on the version. */
#include <stdio.h>
#include <stdlib.h>

#include "http_client_internal.h"
#include "http_internal.h"

static void call_free(struct http_call *call)
{
        list_remove(&call->link);
        call->client->call_count--;
        buf_wipe(&call->body);
        arena_fini(&call->arena);
        free(call);
}

static void reap(struct net_task *task)
{
        struct http_client *c = container_of(task, struct http_client, reaper);

        for (struct list *it; (it = list_pop_front(&c->calls));)
                call_free(container_of(it, struct http_call, link));
        c->ops->destroy(c);
}

void client_init(struct http_client *c, const struct http_client_ops *ops, struct net_stream *s,
        void (*on_end)(void *ctx, enum err why, const struct diag *d), void *ctx)
{
        c->ops = ops;
        c->s = s;
        c->on_end = on_end;
        c->ctx = ctx;
        c->reaper.run = reap;
        list_init(&c->calls);
}

enum err http_client_new(struct net_stream *s, bool h2,
        void (*on_end)(void *ctx, enum err why, const struct diag *d), void *ctx, struct http_client **out)
{
        return h2 ? h2_client_new(s, on_end, ctx, out) : h1_client_new(s, on_end, ctx, out);
}

void http_client_free(struct http_client *c)
{
        if (!c || c->freed)
                return;
        struct net_loop *loop = net_stream_loop(c->s);

        c->freed = c->ended = true;
        net_stream_set_handler(c->s, NULL, NULL);
        net_stream_close_soon(c->s);
        c->s = NULL;
        net_loop_defer(loop, &c->reaper);
}

bool http_client_is_alive(const struct http_client *c)
{
        return !c->ended;
}

unsigned http_client_calls(const struct http_client *c)
{
        return c->call_count;
}

/* ---- calls ---- */

static enum err copy_ask(struct http_call *call, const struct http_ask *ask)
{
        struct arena *a = &call->arena;

        call->method = arena_cstr(a, slice_str(ask->method ? ask->method : "GET"));
        call->target = arena_cstr(a, slice_str(ask->target && *ask->target ? ask->target : "/"));
        call->authority = arena_cstr(a, slice_str(ask->authority));
        call->scheme = arena_cstr(a, slice_str(ask->scheme ? ask->scheme : "https"));
        call->headers = ARENA_ARRAY(a, ask->header_count + 1, struct http_header);
        for (size_t i = 0; i < ask->header_count && call->headers; i++) {
                if (!http_token_valid(ask->headers[i].name) || !http_value_valid(ask->headers[i].value))
                        return ERR_FORMAT;
                call->headers[i] = (struct http_header){ arena_copy(a, ask->headers[i].name),
                        arena_copy(a, ask->headers[i].value) };
        }
        call->header_count = ask->header_count;
        call->stream_body = ask->stream_body;
        call->body_done = !ask->stream_body;
        buf_init(&call->body, ask->stream_body ? CALL_STREAM_MAX : CALL_BODY_MAX);
        buf_append_slice(&call->body, ask->body);
        return arena_failed(a) ? ERR_NOMEM : buf_status(&call->body);
}

enum err http_client_call(struct http_client *c, const struct http_ask *ask,
        const struct http_call_events *ev, void *ctx, struct http_call **out)
{
        if (out)
                *out = NULL;
        if (c->ended)
                return ERR_CLOSED;
        struct http_call *call = calloc(1, sizeof(*call));
        if (!call)
                return ERR_NOMEM;
        call->client = c;
        call->ev = ev;
        call->ctx = ctx;
        arena_init(&call->arena, 4 * RESPONSE_HEAD_MAX);
        list_push_back(&c->calls, &call->link);
        c->call_count++;
        enum err e = copy_ask(call, ask);
        if (!e)
                e = c->ops->start(call);
        if (e) {
                call_free(call);
                return e;
        }
        if (out)
                *out = call;
        return OK;
}

enum err http_call_write(struct http_call *call, struct slice bytes)
{
        if (call->body_done || call->client->ended)
                return ERR_CLOSED;
        if (bytes.len > call->body.max - call->body.len) {
                call->above = true;
                return ERR_LIMIT;
        }
        buf_append_slice(&call->body, bytes);
        if (call->body.len > call->body.max / 2)
                call->above = true;
        if (buf_status(&call->body) != OK)
                return ERR_NOMEM;
        call->client->ops->resume_body(call);
        return OK;
}

void http_call_finish(struct http_call *call)
{
        call->body_done = true;
        call->client->ops->resume_body(call);
}

void http_call_pause(struct http_call *call, bool pause)
{
        if (call->paused == pause)
                return;
        call->paused = pause;
        call->client->ops->pause(call, pause);
}

void http_call_cancel(struct http_call *call)
{
        struct http_client *c = call->client;

        c->ops->cancel(call);
        call_free(call);
}

/* ---- events ---- */

struct slice http_response_header(const struct http_response *r, const char *name)
{
        return http_find_header(r->headers, r->header_count, name);
}

bool call_add_field(struct http_call *call, struct slice name, struct slice value)
{
        if (!call->response_headers)
                call->response_headers = ARENA_ARRAY(&call->arena, RESPONSE_FIELDS_MAX, struct http_header);
        call->response_bytes += name.len + value.len;
        if (!call->response_headers || call->response_count == RESPONSE_FIELDS_MAX ||
                call->response_bytes > RESPONSE_HEAD_MAX)
                return false;
        call->response_headers[call->response_count++] =
                (struct http_header){ arena_copy(&call->arena, name), arena_copy(&call->arena, value) };
        return !arena_failed(&call->arena);
}

void call_head(struct http_call *call)
{
        struct http_response r = { call->status, call->response_headers, call->response_count };

        call->head_told = true;
        if (!call->client->freed && call->ev->on_head)
                call->ev->on_head(call->ctx, &r);
}

void call_data(struct http_call *call, struct slice data)
{
        if (!call->client->freed && data.len && call->ev->on_data)
                call->ev->on_data(call->ctx, data);
}

void call_writable(struct http_call *call)
{
        if (!call->client->freed && call->ev->on_writable)
                call->ev->on_writable(call->ctx);
}

void call_done(struct http_call *call, enum err e, const char *why)
{
        struct http_client *c = call->client;
        const struct http_call_events *ev = call->ev;
        void *ctx = call->ctx;
        struct diag d = { "" };

        if (c->freed) /* the reaper has it */
                return;
        if (e)
                (void)diag_set(&d, e, "%s", why && *why ? why : err_str(e));
        call_free(call);
        if (ev->on_done)
                ev->on_done(ctx, e, &d);
}

void client_end(struct http_client *c, enum err why, const char *text)
{
        struct diag d;

        if (c->ended)
                return;
        c->ended = true;
        (void)diag_set(&d, why, "%s", text && *text ? text : err_str(why));
        while (!c->freed && !list_empty(&c->calls))
                call_done(container_of(c->calls.next, struct http_call, link), why == OK ? ERR_CLOSED : why,
                        d.text);
        if (!c->freed && c->on_end)
                c->on_end(c->ctx, why, &d);
}
