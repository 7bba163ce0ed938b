/* One HTTP/2 connection of a server; shared by its reading and its writing half. */
#ifndef NET_H2_CONN_H
#define NET_H2_CONN_H

#include <nghttp2/nghttp2.h>

#include "http_internal.h"

struct h2_conn {
        struct http_conn base;
        nghttp2_session *session;
        struct list exchanges;
        struct net_task send;
        struct timer idle;
        unsigned resets;
        bool dead;            /* freed soon */
};

struct h2_exchange {
        struct http_exchange base;
        struct h2_conn *conn; /* NULL once the connection is dead */
        struct list link;
        int32_t stream_id;
        struct http_header *headers;
        size_t header_count, header_bytes;
        struct buf out;        /* of the answer's body */
        size_t framed;         /* bytes of out that have gone into frames */
        bool out_done, has_provider, stream_closed, paused, above, wants_writable;
        size_t unacknowledged; /* came while paused */
        struct timer patience; /* for the request's body, then for progress of the answer */
};

extern const struct exchange_ops h2_exchange_ops;

static inline struct h2_exchange *h2_of(const struct http_exchange *x)
{
        return container_of(x, struct h2_exchange, base);
}

static inline const struct http_limits *h2_limits(const struct h2_conn *c)
{
        return &c->base.srv->limits;
}

static inline struct net_loop *h2_loop(const struct h2_conn *c)
{
        return c->base.srv->loop;
}

/* Frames go out before the loop next waits. */
void h2_send_soon(struct h2_conn *c);
/* Ends one stream with an error the client can see. */
void h2_reset(struct h2_exchange *e, uint32_t code);

#endif
