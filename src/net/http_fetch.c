/* One request and its answer: dial, ask, collect, close. */
#include <stdio.h>
#include <stdlib.h>

#include "http_client_internal.h"

enum { DEFAULT_BODY = 1 << 20, DEFAULT_MS = 30000 };

struct http_fetch {
        struct net_loop *loop;
        struct http_url url;
        char *url_text, *method;
        struct http_header *headers;
        size_t header_count;
        struct buf body, answer;
        struct arena arena;
        const struct http_fetch_events *ev;
        void *ctx;
        struct net_dial *dial;
        struct http_client *client;
        struct timer timer;
        struct net_task begin;
        char *unix_path;
        struct http_response response;
};

static void fetch_free(struct http_fetch *f)
{
        net_dial_cancel(f->dial);
        http_client_free(f->client);
        net_timer_stop(f->loop, &f->timer);
        net_task_cancel(&f->begin);
        buf_wipe(&f->body);
        buf_fini(&f->answer);
        arena_fini(&f->arena);
        free(f->url_text);
        free(f);
}

static void finish(struct http_fetch *f, enum err e, const char *why)
{
        struct http_fetch_result result = { .e = e, .response = f->response, .body = buf_slice(&f->answer) };
        const struct http_fetch_events *ev = f->ev;
        void *ctx = f->ctx;

        if (e)
                (void)diag_set(&result.diag, e, "%s", why);
        /* The result borrows what f holds: f goes after the call, and calls back no more. */
        net_dial_cancel(f->dial);
        f->dial = NULL;
        http_client_free(f->client);
        f->client = NULL;
        net_timer_stop(f->loop, &f->timer);
        ev->on_done(ctx, &result);
        fetch_free(f);
}

static void on_head(void *ctx, const struct http_response *r)
{
        struct http_fetch *f = ctx;
        struct http_header *copy = ARENA_ARRAY(&f->arena, r->header_count + 1, struct http_header);

        f->response = (struct http_response){ r->status, copy, copy ? r->header_count : 0 };
        for (size_t i = 0; i < f->response.header_count; i++)
                copy[i] = (struct http_header){ arena_copy(&f->arena, r->headers[i].name),
                        arena_copy(&f->arena, r->headers[i].value) };
        if (f->ev->on_data)
                net_timer_stop(f->loop, &f->timer);
        if (f->ev->on_head)
                f->ev->on_head(f->ctx, r);
}

static void on_data(void *ctx, struct slice data)
{
        struct http_fetch *f = ctx;

        if (f->ev->on_data) {
                f->ev->on_data(f->ctx, data);
                return;
        }
        buf_append_slice(&f->answer, data);
        if (buf_status(&f->answer) != OK)
                finish(f, ERR_LIMIT, "the answer is too long");
}

static void on_done(void *ctx, enum err e, const struct diag *d)
{
        finish(ctx, e, d->text);
}

static const struct http_call_events call_events = {
        .on_head = on_head, .on_data = on_data, .on_done = on_done
};

static void ask(struct http_fetch *f, struct net_stream *s)
{
        struct http_ask a = { .method = f->method,
                .target = f->url.target,
                .authority = f->url.authority,
                .scheme = f->url.is_https ? "https" : "http",
                .headers = f->headers,
                .header_count = f->header_count,
                .body = buf_slice(&f->body) };
        enum err e = http_client_new(s, tls_chose_h2(s), NULL, NULL, &f->client);

        if (!e)
                e = http_client_call(f->client, &a, &call_events, f, NULL);
        if (e)
                finish(f, e, "the request cannot be sent");
}

static void on_dialed(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct http_fetch *f = ctx;

        f->dial = NULL;
        if (e)
                finish(f, e, d->text);
        else
                ask(f, s);
}

static void on_begin(struct net_task *task)
{
        struct http_fetch *f = container_of(task, struct http_fetch, begin);
        struct net_stream *s;
        struct diag d = { "" };
        enum err e = net_dial_unix(f->loop, f->unix_path, 0, &s, &d);

        if (e)
                finish(f, e, d.text);
        else
                ask(f, s);
}

static void on_time(struct timer *t, const struct now *now)
{
        (void)now;
        finish(container_of(t, struct http_fetch, timer), ERR_TIMEOUT, "the server does not answer");
}

static enum err copy_options(struct http_fetch *f, const struct http_fetch_options *o)
{
        f->url_text = strdup(o->url);
        if (!f->url_text)
                return ERR_NOMEM;
        enum err e = http_url_parse(f->url_text, &f->url);
        if (e)
                return e;
        f->method = arena_cstr(&f->arena, slice_str(o->method ? o->method : "GET"));
        f->headers = ARENA_ARRAY(&f->arena, o->header_count + 1, struct http_header);
        for (size_t i = 0; i < o->header_count && f->headers; i++)
                f->headers[i] = (struct http_header){ arena_copy(&f->arena, o->headers[i].name),
                        arena_copy(&f->arena, o->headers[i].value) };
        f->header_count = o->header_count;
        f->unix_path = o->unix_path ? arena_cstr(&f->arena, slice_str(o->unix_path)) : NULL;
        buf_append_slice(&f->body, o->body);
        return arena_failed(&f->arena) ? ERR_NOMEM : buf_status(&f->body);
}

static enum err start_dial(struct http_fetch *f, const struct http_fetch_options *o)
{
        struct net_dial_options dial = o->dial ? *o->dial : (struct net_dial_options){ 0 };
        struct tls_client_options tls = dial.tls ? *dial.tls : (struct tls_client_options){ 0 };

        if (f->unix_path) {
                net_loop_defer(f->loop, &f->begin);
                return OK;
        }
        dial.host = f->url.host;
        dial.port = f->url.port;
        tls.offer_h2 = o->offer_h2;
        dial.tls = f->url.is_https ? &tls : NULL;
        return net_dial_start(f->loop, &dial, on_dialed, f, &f->dial);
}

enum err http_fetch_start(struct net_loop *loop, const struct http_fetch_options *o,
        const struct http_fetch_events *ev, void *ctx, struct http_fetch **out)
{
        struct http_fetch *f = calloc(1, sizeof(*f));

        if (out)
                *out = NULL;
        if (!f)
                return ERR_NOMEM;
        f->loop = loop;
        f->ev = ev;
        f->ctx = ctx;
        f->begin.run = on_begin;
        f->timer.fire = on_time;
        arena_init(&f->arena, 8 * RESPONSE_HEAD_MAX);
        buf_init(&f->body, CALL_BODY_MAX);
        buf_init(&f->answer, o->max_body ? o->max_body : DEFAULT_BODY);
        enum err e = copy_options(f, o);
        if (!e)
                e = start_dial(f, o);
        if (e) {
                fetch_free(f);
                return e;
        }
        net_timer_start(loop, &f->timer, o->timeout_ms ? o->timeout_ms : DEFAULT_MS);
        if (out)
                *out = f;
        return OK;
}

void http_fetch_cancel(struct http_fetch *f)
{
        if (f)
                fetch_free(f);
}
