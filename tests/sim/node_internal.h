/* A node's memory: what a power cut leaves (disk) and what it takes. */
#ifndef SIM_NODE_INTERNAL_H
#define SIM_NODE_INTERNAL_H

#include "client/control.h"
#include "filter/filter.h"
#include "node/backend.h"
#include "path/path.h"
#include "proto/derp_client.h"
#include "sim.h"
#include "tunnel/direct.h"

enum { CACHE_ITEMS_MAX = 64, LINKS_MAX = 8 };

struct cache_item {
        char key[64]; /* "": free */
        struct buf bytes;
};

/* A peer that the tunnel knows. */
struct link {
        struct public_key key;
        struct tunnel_link *tunnel; /* NULL: unused */
        bool is_wanted;
};

struct sim_node {
        struct world *w;
        enum host_id host;
        const char *name;
        struct rng_seeded rng;
        uint64_t boots;
        char auth_key[200]; /* as the user keeps it */

        /* The disk. */
        struct buf disk_state;
        struct cache_item cache[CACHE_ITEMS_MAX];
        int64_t disk_clock_us; /* tunnel_clock() */

        /* The process; NULL and zero while it is down. */
        struct state_map state;
        struct backend *backend;
        struct control_client *control, *old_control;
        struct list requests;
        bool needs_apply;

        struct path_manager *path;
        struct public_key node_key; /* as path, tunnel and relay know it */
        struct tunnel_direct *tunnel;
        struct link links[LINKS_MAX];
        struct filter *filter;
        struct filter_flows *flows;

        struct derp_client derp;
        bool derp_exists, derp_is_ready, derp_is_broken, derp_is_wanted;
        struct stream *derp_stream;
        uint64_t derp_retry_at_us;
        unsigned live_peers, live_derps;

        uint64_t next_ping_us, pings, pongs;
};

struct now node_now(const struct sim_node *n);
/* After anything has happened: carries out what the backend asked for meanwhile. */
void node_settle(struct sim_node *n);

/* node_control.c: the control client and its requests. */
extern const struct backend_ops node_backend_ops;
void node_control_free(struct control_client **c);

/* node_path.c: paths, relay connection, tunnel, packets. */
void node_path_start(struct sim_node *n);
void node_path_stop(struct sim_node *n);
void node_path_apply(struct sim_node *n);
uint64_t node_path_deadline(const struct sim_node *n);
void node_path_run(struct sim_node *n);
/* Our endpoints as they are known now, to a control client that may be new. */
void node_tell_endpoints(struct sim_node *n);
void node_send_ping(struct sim_node *n);

/* node_derp.c */
void node_derp_send(struct sim_node *n, const struct public_key *peer, struct slice packet);
void node_derp_stop(struct sim_node *n);
void node_derp_settle(struct sim_node *n);
uint64_t node_derp_deadline(const struct sim_node *n);
void node_derp_run(struct sim_node *n);
/* What came from a peer by either way and is no disco. from as the tunnel has it. */
void node_wireguard(struct sim_node *n, struct slice datagram, const struct tunnel_source *from);

#endif
