/* One connection of the pool, to the relay of a region, and what waits for it. */
#ifndef NODE_DERP_CONN_H
#define NODE_DERP_CONN_H

#include "base/list.h"
#include "base/log.h"
#include "derp_pool.h"
#include "net/dial.h"

extern const struct log derp_log;

struct derp_pool {
        struct net_loop *loop;
        uint32_t mark;
        const struct derp_pool_events *events;
        void *ctx;
        bool has_key, is_up;
        struct secret_key key;
        struct arena arena;
        struct tailcfg_derp_map map;
        uint16_t home;
        struct list conns;
        unsigned count;
        struct timer idle_timer;
        char trouble[256];
};

struct derp_conn {
        struct list link;
        struct derp_pool *pool;
        uint16_t region;
        struct net_dial *dial;
        struct net_stream *stream;
        struct derp_client engine;
        bool is_ready;
        unsigned attempt;         /* failures in a row; also picks the node of the region */
        size_t node_index;
        uint64_t used_us;         /* last packet in either direction */
        struct list queue;
        unsigned queued;
        struct timer timer;       /* while connected: the engine's; else: dial again */
        struct net_task close_task; /* the engine may not be stopped from its own calls */
        const char *close_why;
};

/* A connection that will be dialled from the loop; NULL without memory. */
struct derp_conn *derp_conn_new(struct derp_pool *p, uint16_t region);
void derp_conn_free(struct derp_conn *c);
bool derp_conn_is_home(const struct derp_conn *c);
/* Sends, or queues and has it dialled. */
void derp_conn_send(struct derp_conn *c, const struct public_key *dst, struct slice packet);

#endif
