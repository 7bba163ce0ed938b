/* What the files of relay_io share. */
#ifndef RELAY_IO_INTERNAL_H
#define RELAY_IO_INTERNAL_H

#include "base/log.h"
#include "net/http_client.h"
#include "relay/relay_io.h"

struct bootstrap;

struct relay_io {
        struct net_loop *loop;
        struct relay *engine;
        struct timer timer;    /* the engine's deadline */
        struct list conns;     /* struct io_conn.link */
        struct list asked;     /* struct io_conn.asked: waiting for admission */
        uint64_t last_ticket;

        enum relay_admission admission;
        void (*ask)(void *ctx, uint64_t ticket, const struct public_key *node, const struct ip_addr *source);
        void *ctx;
        char *verify_url, *local_socket, *home;
        bool verify_fail_open;
        const struct ip_prefix *trusted_proxies;
        size_t trusted_proxy_count;

        bool has_mesh_key;
        struct derp_mesh_key mesh_key;
        struct secret_key key;
        struct list links;     /* struct mesh_link.link */
        struct bootstrap *bootstrap; /* NULL: no names */
};

/* A client's connection: the stream, and the engine's view of it. */
struct io_conn {
        struct relay_io *io;
        struct list link;
        struct net_stream *stream;
        struct relay_conn *conn;
        size_t write_limit;
        struct list asked;         /* while admission is asked for, with this ticket: */
        uint64_t ticket;
        struct http_fetch *asking; /* by HTTP; NULL: none under way */
};

extern const struct log relay_io_log;

/* relay_io.c */
/* Sets the timer to the engine's deadline; after every call into the engine. */
void relay_io_schedule(struct relay_io *io);
/* A stream whose upgrade is through; takes it. */
void relay_io_accept(struct relay_io *io, struct net_stream *stream, const struct ip_addr *client, bool is_not_ideal);

/* relay_admit.c: relay_calls.admit */
void relay_io_admit(void *ctx, struct relay_conn *conn, const struct public_key *node, const struct ip_addr *source);

/* relay_bootstrap.c */
void relay_bootstrap_free(struct bootstrap *b);
void relay_bootstrap_answer(struct bootstrap *b, struct http_exchange *x); /* b may be NULL */

/* relay_link.c */
void relay_links_free(struct relay_io *io);

#endif
