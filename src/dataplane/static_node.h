/*
 * A node without a control server: its key, peers with fixed endpoints and routes,
 * a tunnel engine and a data plane joined by a poll loop. The tests and bench/ use
 * it; it also shows in one page how the events of a data plane are served.
 */
#ifndef DATAPLANE_STATIC_NODE_H
#define DATAPLANE_STATIC_NODE_H

#include "dataplane/dataplane.h"
#include "tunnel/tunnel.h"

enum { STATIC_PEERS_MAX = 1024 };

struct static_peer {
        struct static_node *node;
        struct dataplane_peer *path;
        struct tunnel_peer *tunnel;
        struct ip_port endpoint;
        struct ip_prefix route;
};

struct static_node {
        struct dataplane *dp;
        struct tunnel *tunnel;
        struct rng rng; /* the kernel's */
        struct static_peer peers[STATIC_PEERS_MAX];
        size_t peer_count;
        /* What the tests look at. */
        unsigned event_counts[DATAPLANE_TUN_GONE + 1];
        struct slice last_tsmp; /* copied to tsmp_bytes */
        uint8_t tsmp_bytes[128];
        /* Set to carry DATAPLANE_DERP_SEND elsewhere; NULL: such messages are lost. */
        void (*send_derp)(void *ctx, struct slice message);
        void *ctx;
};

/* Starts the data plane on options and an engine with this key. */
enum err MUST_USE static_node_start(struct static_node *n, const struct dataplane_options *options,
        const struct secret_key *key, struct diag *diag);
void static_node_stop(struct static_node *n);
/* endpoint IP_NONE: the peer is behind DERP, or will call first. */
enum err MUST_USE static_node_add_peer(struct static_node *n, const struct public_key *key,
        const struct ip_port *endpoint, const struct ip_prefix *route);
/* Publishes the routes of all peers with a filter of these rules (JSON) for the
 * node's own address. */
enum err MUST_USE static_node_publish(
        struct static_node *n, const struct ip_addr *own, const char *rules_json);
/* Serves events and timers for at most timeout_ms. */
void static_node_serve(struct static_node *n, int timeout_ms);

#endif
