/* The REST API on sockets: the Unix socket trusts who may open it, the world needs a key. */
#include "serve.h"

void serve_api_request(struct serve *sv, struct http_exchange *x)
{
        const struct http_request *r = http_request(x);
        struct now now = net_loop_now(sv->loop);
        struct server_call *call = serve_call_new(sv, x);

        if (!call)
                return;
        server_api(sv->server, &now, r->method, r->path, r->query, http_body(x), call);
        serve_rearm(sv);
}

static bool has_key(struct serve *sv, struct http_exchange *x)
{
        struct slice authorization = http_header(x, "Authorization"), scheme = SLICE_LIT("Bearer ");
        struct now now = net_loop_now(sv->loop);

        return slice_has_prefix(authorization, scheme) &&
               server_api_key_valid(sv->server, &now, slice_after(authorization, scheme.len));
}

void serve_api_remote(struct serve *sv, struct http_exchange *x)
{
        if (has_key(sv, x))
                serve_api_request(sv, x);
        else
                http_respond_text(x, 401, "Unauthorized\n");
}

/* A policy as a JSON string: escaping may double it. */
static void make_room(struct http_exchange *x)
{
        if (slice_has_prefix(http_request(x)->path, SLICE_LIT("/api/v1/policy")))
                http_set_body_limit(x, 2 * (size_t)POLICY_TEXT_MAX + 1024);
}

void serve_api_remote_head(void *ctx, struct http_exchange *x)
{
        if (has_key(ctx, x))
                make_room(x);
}

static void on_head(void *ctx, struct http_exchange *x)
{
        (void)ctx;
        make_room(x);
}

static void on_request(void *ctx, struct http_exchange *x) { serve_api_request(ctx, x); }

const struct http_server_calls serve_local_calls = { .on_head = on_head, .on_request = on_request };
