/*
 * The node's connections to relays, one a region (spec/paths.md 2.10, 3.1, 3.4): the
 * home region's is kept open and dialled again for ever, others are opened by the
 * first packet and closed when they have been idle.
 */
#ifndef NODE_DERP_POOL_H
#define NODE_DERP_POOL_H

#include "net/loop.h"
#include "proto/derp_client.h"
#include "proto/tailcfg_derp.h"

struct derp_pool;

/* region is that of the connection. None may free the pool. */
struct derp_pool_events {
        void (*packet)(void *ctx, uint16_t region, const struct public_key *src, struct slice packet);
        void (*peer_gone)(void *ctx, uint16_t region, const struct public_key *peer);
        void (*alive)(void *ctx, uint16_t region);  /* bytes came in */
        void (*failed)(void *ctx, uint16_t region); /* an open connection broke */
        void (*count_changed)(void *ctx);           /* derp_pool_ready() */
};

struct derp_pool *derp_pool_new(struct net_loop *loop, uint32_t mark, const struct derp_pool_events *events,
        void *ctx);
void derp_pool_free(struct derp_pool *p);

/* The node's identity; NULL: logged out, everything is closed. */
void derp_pool_set_key(struct derp_pool *p, const struct secret_key *key);
/* Copied. Connections to regions that changed or went are closed. */
void derp_pool_set_map(struct derp_pool *p, const struct tailcfg_derp_map *map);
void derp_pool_set_home(struct derp_pool *p, uint16_t region);
/* As struct path_ops.send_derp says (path/path.h). */
void derp_pool_send(struct derp_pool *p, uint16_t home, uint16_t heard, const struct public_key *dst,
        struct slice packet);
/* The network changed or was gone: all are closed, home is dialled at once. */
void derp_pool_reset(struct derp_pool *p);
void derp_pool_set_network_up(struct derp_pool *p, bool up);

/* How many are logged in. */
unsigned derp_pool_ready(const struct derp_pool *p);
/* Why the home relay cannot be reached, a sentence, or "". */
const char *derp_pool_trouble(const struct derp_pool *p);

#endif
