/* What the connections of an HTTP server share, whichever version they speak. */
#include <stdlib.h>

#include "base/log.h"
#include "http_internal.h"

static const struct log lg = { "http" };

static void set_defaults(struct http_limits *l)
{
        static const struct http_limits defaults = {
                .header_bytes = 32 << 10,
                .header_count = 128,
                .body_bytes = 1 << 20,
                .write_bytes = 1 << 20,
                .streams = 250,
                .connections = NET_MAX_CONNECTIONS,
                .header_ms = 10 * 1000,
                .body_ms = 30 * 1000,
                .idle_ms = 120 * 1000,
                .write_ms = 120 * 1000,
        };

#define DEFAULT(member) l->member = l->member ? l->member : defaults.member
        DEFAULT(header_bytes);
        DEFAULT(header_count);
        DEFAULT(body_bytes);
        DEFAULT(write_bytes);
        DEFAULT(streams);
        DEFAULT(connections);
        DEFAULT(header_ms);
        DEFAULT(body_ms);
        DEFAULT(idle_ms);
        DEFAULT(write_ms);
#undef DEFAULT
}

enum err http_server_new(struct net_loop *loop, const struct http_limits *limits,
        const struct http_server_calls *calls, void *ctx, struct http_server **out)
{
        struct http_server *srv = calloc(1, sizeof(*srv));

        *out = NULL;
        if (!srv)
                return ERR_NOMEM;
        srv->loop = loop;
        if (limits)
                srv->limits = *limits;
        set_defaults(&srv->limits);
        srv->calls = calls;
        srv->ctx = ctx;
        srv->refs = 1;
        list_init(&srv->conns);
        *out = srv;
        return OK;
}

void http_server_release(struct http_server *srv)
{
        if (--srv->refs > 0)
                return;
        http_listening_free(srv);
        free(srv);
}

static void tell_end(struct http_conn *c)
{
        if (c->end_told)
                return;
        c->end_told = true;
        if (c->srv->calls->on_conn_end)
                c->srv->calls->on_conn_end(c->srv->ctx, c->ctx);
}

/* The user's context may go right after this: everything is told before it returns,
 * though connections are freed later. */
void http_server_free(struct http_server *srv)
{
        if (!srv)
                return;
        srv->closing = true;
        for (struct list *node; (node = list_pop_front(&srv->conns));) {
                struct http_conn *c = container_of(node, struct http_conn, link);
                c->ops->kill(c);
                tell_end(c);
        }
        http_server_release(srv);
}

unsigned http_server_connections(const struct http_server *srv)
{
        return srv->conn_count;
}

void http_conn_init(struct http_conn *c, const struct http_conn_ops *ops, struct http_server *srv,
        struct net_stream *s, void *conn_ctx)
{
        *c = (struct http_conn){ .ops = ops, .srv = srv, .s = s, .ctx = conn_ctx };
        srv->refs++;
        srv->conn_count++;
        list_push_back(&srv->conns, &c->link);
}

void http_conn_leave(struct http_conn *c)
{
        net_task_cancel(&c->task);
        list_remove(&c->link);
        c->srv->conn_count--;
        http_server_release(c->srv);
}

void http_conn_fini(struct http_conn *c)
{
        tell_end(c);
        http_conn_leave(c);
}

void http_conn_refuse(struct http_server *srv, struct net_stream *s, void *conn_ctx)
{
        net_stream_close(s);
        if (srv->calls->on_conn_end)
                srv->calls->on_conn_end(srv->ctx, conn_ctx);
}

static bool is_full(const struct http_server *srv)
{
        return srv->closing || srv->conn_count >= srv->limits.connections;
}

static void serve(struct http_server *srv, struct net_stream *s, void *conn_ctx, bool is_h2)
{
        if (is_full(srv)) {
                log_debug(&lg, "connection refused", "connections=%u", srv->conn_count);
                http_conn_refuse(srv, s, conn_ctx);
        } else if (is_h2) {
                h2_serve(srv, s, conn_ctx);
        } else {
                h1_serve(srv, s, conn_ctx);
        }
}

void http_serve_h2(struct http_server *srv, struct net_stream *s, void *conn_ctx)
{
        serve(srv, s, conn_ctx, true);
}

/* A TLS stream that has chosen HTTP/2 already; one still shaking hands tells h1_conn.c. */
void http_serve(struct http_server *srv, struct net_stream *s, void *conn_ctx)
{
        serve(srv, s, conn_ctx, net_stream_is_open(s) && tls_chose_h2(s));
}
