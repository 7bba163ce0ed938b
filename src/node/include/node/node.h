/*
 * A running node: the backend engine joined with everything that touches the
 * system - control connection, relays, sockets and TUN, routes, disk, LocalAPI.
 * One per process, on the loop of its owner.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "net/loop.h"
#include "os/priv.h"

struct node;

struct node_options {
        const char *state_path;  /* the state file; NULL: nothing outlives the process */
        const char *state_dir;   /* for the netmap cache; NULL: none */
        const char *socket_path; /* of the LocalAPI */
        const char *tun_name;
        uint16_t port;           /* UDP; 0: the kernel chooses */
        uint32_t mtu;            /* of the TUN */
        bool no_direct;          /* relays only: for tests of relayed paths */
        bool no_portmap, no_upnp;
        struct priv *priv;       /* who opens the TUN and sets routes; taken, on failure too */
        /* The node cannot go on; a sentence. It is stopped by its owner. */
        void (*failed)(void *ctx, const char *why);
        /* The LocalAPI answers. */
        void (*ready)(void *ctx);
        void *ctx;
};

/* Strings are borrowed for the node's life. On failure *diag says what to do. */
enum err MUST_USE node_start(struct net_loop *loop, const struct node_options *options, struct node **out,
        struct diag *diag);
/* Stops the privileged process, which takes routes and addresses away, ends all
 * connections and threads, and frees. NULL is fine. */
void node_stop(struct node *n);

#endif
