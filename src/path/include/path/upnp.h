/*
 * UPnP for the path manager: what path_ops.upnp asks, done by miniupnpc on a thread
 * of the loop's pool, because that library waits (spec/paths.md 6). This is the one
 * part of path/ with I/O, and an archive of its own.
 *
 *     path_ops.upnp      -> upnp_ask()
 *     upnp_calls.done    -> path_upnp_done()
 *     path_set_network() -> upnp_set_network(), with the same gateway
 *
 * Everything is called on the loop's thread, and so is done().
 */
#ifndef PATH_UPNP_H
#define PATH_UPNP_H

#include "ip/addr.h"
#include "net/loop.h"

struct upnp;

struct upnp_calls {
        /* A mapping was made or renewed; external IP_NONE: it was not. lifetime_s 0:
         * the router keeps it for ever. Not called for deletions. */
        void (*done)(void *ctx, const struct ip_port *external, uint32_t lifetime_s);
};

/* calls and ctx are borrowed for the object's life. ERR_NOMEM. */
enum err MUST_USE upnp_new(
        struct net_loop *loop, const struct upnp_calls *calls, void *ctx, struct upnp **out);
/* done() is not called any more; a request that runs ends by itself. */
void upnp_free(struct upnp *u);

/* The only router to be asked, and our address on its network. IP_NONE: none. */
void upnp_set_network(struct upnp *u, const struct ip_addr *gateway, const struct ip_addr *self);

/* Makes or renews (lifetime_s > 0) or deletes (0) the mapping of a UDP port. One
 * request runs at a time; of those asked meanwhile the last is run after it. */
void upnp_ask(struct upnp *u, uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s);

#endif
