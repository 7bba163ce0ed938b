/*
 * The relay on the event loop: connections for the engine of relay.h, the HTTP
 * endpoints of a DERP node (spec/paths.md 3.9), admission by HTTP, the mesh
 * links and /bootstrap-dns. It owns no listener: it answers requests of any HTTP
 * server, so that weft-relay and the embedded relay of weft-control are the same.
 *
 *     relay_io_new(&config, &io, &diag);
 *     in the server's on_request:  if (relay_io_handle(io, x)) return;
 *
 * All of it belongs to the loop's thread.
 */
#ifndef RELAY_RELAY_IO_H
#define RELAY_RELAY_IO_H

#include "net/http.h"
#include "net/loop.h"
#include "relay/relay.h"

struct relay_io;

enum relay_admission {
        RELAY_ADMIT_ALL,
        RELAY_ADMIT_ASK,   /* config.ask */
        RELAY_ADMIT_URL,   /* POST to config.verify_url (3.8 b) */
        RELAY_ADMIT_LOCAL, /* the node daemon on this machine (3.8 a), through config.local_socket */
};

struct relay_io_config {
        struct net_loop *loop;                /* borrowed */
        struct secret_key key;
        const struct derp_mesh_key *mesh_key; /* NULL: no mesh */
        struct relay_rate rate;
        unsigned max_conns;                   /* 0: no bound but the listener's */

        enum relay_admission admission;
        /* May this node use the relay? Answer with relay_io_answer() and the ticket,
         * at once or later; a ticket whose connection has ended meanwhile is ignored. */
        void (*ask)(void *ctx, uint64_t ticket, const struct public_key *node, const struct ip_addr *source);
        void *ctx;
        const char *verify_url;
        bool verify_fail_open;                /* admit when the URL cannot be reached */
        const char *local_socket;

        /* At "/": NULL or "" the relay's own page, "blank" an empty one, else a URL to
         * redirect to. */
        const char *home;
        /* Reverse proxies whose word about the client's address counts. Borrowed. */
        const struct ip_prefix *trusted_proxies;
        size_t trusted_proxy_count;
};

/* ERR_NOMEM, ERR_FORMAT (verify_url). Texts are copied. */
enum err MUST_USE relay_io_new(const struct relay_io_config *config, struct relay_io **out, struct diag *d);
/* Closes all connections and links. NULL is fine. */
void relay_io_free(struct relay_io *io);

/*
 * Answers the request if its path is the relay's, and says so: /derp, /derp/probe,
 * /derp/latency-check, /bootstrap-dns, /generate_204. x is gone or kept then. Call
 * it from on_request; on a connection that cannot be upgraded (HTTP/2) /derp
 * answers 426.
 */
bool relay_io_handle(struct relay_io *io, struct http_exchange *x);
/* The pages of a relay that stands alone: /robots.txt, /, /metrics (to loopback
 * only), 404 for everything else. Always answers. */
void relay_io_handle_site(struct relay_io *io, struct http_exchange *x);
/* The captive-portal check alone, for a plain HTTP port. */
bool relay_io_handle_204(struct http_exchange *x);

void relay_io_answer(struct relay_io *io, uint64_t ticket, bool allow);

/* For counters, rate and key; do not feed it. */
struct relay *relay_io_engine(struct relay_io *io);
/* Prometheus text of the counters, names beginning with prefix, e.g. "weft_relay_". */
void relay_io_metrics(struct relay_io *io, const char *prefix, struct buf *out);

enum { RELAY_BOOTSTRAP_NAMES_MAX = 256, RELAY_LINKS_MAX = 16 };
/* The names whose addresses /bootstrap-dns tells; resolved now and every 10 min.
 * Replaces those set before. ERR_LIMIT, ERR_NOMEM. */
enum err MUST_USE relay_io_set_bootstrap_names(struct relay_io *io, const char *const *names, size_t count);

/*
 * Links to a neighbour of the region and keeps the link alive (3.7), dialing again
 * 5 s after each loss; needs config.mesh_key. where is "host[:port]", or
 * "http://host[:port]" for one without TLS; dial_name (may be NULL) is where to
 * connect instead of host. A neighbour that turns out to be ourselves is dropped.
 * ERR_FORMAT, ERR_STATE (no mesh key), ERR_LIMIT.
 */
enum err MUST_USE relay_io_mesh_with(struct relay_io *io, const char *where, const char *dial_name, struct diag *d);
/* Links that are up. */
unsigned relay_io_mesh_links(const struct relay_io *io);

#endif
