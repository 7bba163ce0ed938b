/* One request that turns its stream into something else, answered by 101. */
#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>

#include "h1_head.h"
#include "http_client_internal.h"

enum { DEFAULT_MS = 10000 };

struct http_upgrading {
        struct net_stream *s;
        http_parser parser;
        struct h1_head head;
        struct arena arena;
        struct timer timer;
        struct net_task failed; /* what went wrong before the first byte */
        bool is_head_done;
        void *owned; /* freed with it: what done()'s ctx is for a WebSocket */
        void (*done)(void *ctx, enum err e, struct net_stream *s, const struct http_response *r,
                const struct diag *d);
        void *ctx;
};

static void upgrade_free(struct http_upgrading *u)
{
        struct net_loop *loop = net_stream_loop(u->s);

        net_timer_stop(loop, &u->timer);
        net_task_cancel(&u->failed);
        h1_head_fini(&u->head);
        free(u->owned);
        free(u);
}

static void finish(struct http_upgrading *u, enum err e, const char *why)
{
        struct http_response r = { u->is_head_done ? u->parser.status_code : 0, NULL, 0 };
        struct arena arena = u->arena;
        struct http_header *headers = NULL;
        struct slice target;
        struct diag d = { "" };
        struct net_stream *s = u->s;
        void *ctx = u->ctx, *owned = u->owned;
        void (*done)(void *, enum err, struct net_stream *, const struct http_response *,
                const struct diag *) = u->done;

        if (u->is_head_done && h1_head_copy(&u->head, &arena, &headers, &r.header_count, &target) == OK)
                r.headers = headers;
        if (e)
                (void)diag_set(&d, e, "%s", why);
        u->owned = NULL;
        upgrade_free(u);
        net_stream_set_handler(s, NULL, NULL);
        if (e) {
                net_stream_close(s);
                s = NULL;
        }
        done(ctx, e, s, &r, &d);
        free(owned);
        arena_fini(&arena);
}

static struct http_upgrading *owner(http_parser *p)
{
        return container_of(p, struct http_upgrading, parser);
}

static int on_field(http_parser *p, const char *at, size_t len)
{
        return h1_head_name(&owner(p)->head, slice_make(at, len)) == OK ? 0 : -1;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
        return h1_head_value(&owner(p)->head, slice_make(at, len)) == OK ? 0 : -1;
}

/* Stops the parser behind the head: what follows is no HTTP, or of no interest. */
static int on_head(http_parser *p)
{
        owner(p)->is_head_done = true;
        http_parser_pause(p, 1);
        return 0;
}

static const http_parser_settings settings = {
        .on_header_field = on_field, .on_header_value = on_value, .on_headers_complete = on_head
};

static void on_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct http_upgrading *u = ctx;
        size_t used = http_parser_execute(&u->parser, &settings, (const char *)data.ptr, data.len);
        char why[96];

        if (!u->is_head_done) {
                if (HTTP_PARSER_ERRNO(&u->parser) != HPE_OK)
                        finish(u, ERR_FORMAT, "the answer is not HTTP");
                return;
        }
        if (u->parser.status_code != 101) {
                snprintf(why, sizeof(why), "the server answers %u instead of switching protocols",
                        u->parser.status_code);
                finish(u, ERR_DENIED, why);
                return;
        }
        /* Paused in on_headers_complete, the parser has not counted the last line feed. */
        struct slice rest = slice_after(data, used);
        if (rest.len && rest.ptr[0] == '\n')
                rest = slice_after(rest, 1);
        net_stream_unread(s, rest);
        finish(u, OK, NULL);
}

static void on_end(struct net_stream *s, void *ctx, enum err why)
{
        finish(ctx, why, net_stream_why(s));
}

static void on_time(struct timer *t, const struct now *now)
{
        (void)now;
        finish(container_of(t, struct http_upgrading, timer), ERR_TIMEOUT, "the server does not answer");
}

static void on_failed(struct net_task *task)
{
        finish(container_of(task, struct http_upgrading, failed), ERR_LIMIT, "the request does not fit");
}

static const struct net_stream_handler handler = { .on_data = on_data, .on_end = on_end };

enum err http_upgrade_start(struct net_stream *s, const struct http_ask *ask, unsigned timeout_ms,
        void (*done)(void *ctx, enum err e, struct net_stream *s, const struct http_response *r,
                const struct diag *d),
        void *ctx, struct http_upgrading **out)
{
        struct http_upgrading *u = calloc(1, sizeof(*u));
        struct buf request = BUF_INIT(RESPONSE_HEAD_MAX);

        if (out)
                *out = NULL;
        if (!u) {
                net_stream_close(s);
                return ERR_NOMEM;
        }
        u->s = s;
        u->done = done;
        u->ctx = ctx;
        u->timer.fire = on_time;
        u->failed.run = on_failed;
        arena_init(&u->arena, 4 * RESPONSE_HEAD_MAX);
        h1_head_init(&u->head, RESPONSE_HEAD_MAX, RESPONSE_FIELDS_MAX);
        http_parser_init(&u->parser, HTTP_RESPONSE);
        net_stream_set_handler(s, &handler, u);
        net_timer_start(net_stream_loop(s), &u->timer, timeout_ms ? timeout_ms : DEFAULT_MS);

        const char *method = ask->method ? ask->method : "GET";
        bool is_get = strcmp(method, "GET") == 0 && ask->body.len == 0;
        h1_write_request(&request, method, ask->target, ask->authority, ask->headers, ask->header_count,
                is_get ? -1 : (int64_t)ask->body.len);
        buf_append_slice(&request, ask->body);
        if (buf_status(&request) != OK || net_stream_write(s, buf_slice(&request)) != OK)
                net_loop_defer(net_stream_loop(s), &u->failed);
        buf_fini(&request);
        if (out)
                *out = u;
        return OK;
}

void http_upgrade_own(struct http_upgrading *u, void *memory)
{
        u->owned = memory;
}

void http_upgrade_cancel(struct http_upgrading *u)
{
        if (!u)
                return;
        struct net_stream *s = u->s;
        arena_fini(&u->arena);
        upgrade_free(u);
        net_stream_close(s);
}
