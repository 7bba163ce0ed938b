/*
 * The LocalAPI on its Unix socket: HTTP, who may do what, the watchers of the bus and
 * the answers that take time (spec/node.md 1.9, 3). What the endpoints say is in
 * node/localapi.h.
 */
#ifndef NODE_LOCALAPI_SERVER_H
#define NODE_LOCALAPI_SERVER_H

#include "net/loop.h"
#include "node/localapi.h"

struct localapi_server;
struct localapi_ping; /* a ping that somebody waits for */

struct localapi_server_ops {
        /* Begins a ping; localapi_server_pong() ends it, also from within. */
        void (*ping)(void *ctx, struct localapi_ping *ping, const struct ip_addr *ip, enum localapi_ping_type type,
                size_t size);
        void (*engine_counts)(void *ctx, struct notify_engine *out);
};

/* Listens at path. The backend is borrowed; it may be given later, until then requests
 * wait. ERR_EXISTS: another daemon answers there, or something else is in the way. */
enum err MUST_USE localapi_server_start(struct net_loop *loop, const char *path, const struct localapi_server_ops *ops,
        void *ctx, struct localapi_server **out, struct diag *diag);
void localapi_server_stop(struct localapi_server *s);
void localapi_server_set_backend(struct localapi_server *s, struct backend *b);

/* For backend_ops.notify. */
void localapi_server_notify(struct localapi_server *s, const struct notify *n);

/* The end of a ping; the pointer is then invalid. result->ip is filled in here. Once
 * the asker has gone, pings end by themselves: do not keep them past this call. */
void localapi_server_pong(struct localapi_server *s, uint64_t token, struct localapi_ping_result *result);
uint64_t localapi_ping_token(const struct localapi_ping *ping);

#endif
