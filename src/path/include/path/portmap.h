/*
 * The port mapping client: asks the router in front of us to forward a UDP port,
 * by NAT-PMP, PCP or (through the driver) UPnP, and keeps the mapping alive.
 * spec/paths.md 6. One IPv4 mapping, for the data socket's port.
 *
 * An engine without sockets or clock; the path manager has one inside. All PCP and
 * NAT-PMP traffic goes between one socket of the driver's and port 5351 of the
 * gateway; answers from elsewhere are ignored.
 */
#ifndef PATH_PORTMAP_H
#define PATH_PORTMAP_H

#include "base/random.h"
#include "base/timer.h"
#include "ip/addr.h"

struct portmap_ops {
        void (*send)(void *ctx, const struct ip_port *dst, struct slice datagram);
        /* UPnP: make or renew a mapping, or delete it (lifetime_s 0); answered by
         * portmap_upnp_done(). external_port is a wish. Optional. */
        void (*upnp)(void *ctx, uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s);
        /* The mapping appeared, changed or went; external: IP_NONE if it went. */
        void (*changed)(void *ctx, const struct ip_port *external, const struct now *now);
};

struct portmap_client;

/* ops, ctx and rng are borrowed for the client's life. NULL: out of memory. */
struct portmap_client *portmap_client_new(const struct portmap_ops *ops, void *ctx, struct rng *rng);
/* Deletes the mapping on the router (one datagram) and frees. */
void portmap_client_free(struct portmap_client *pc);

/*
 * The gateway and our address on its network (IP_NONE: no gateway), and the port
 * to map (0: none). Another value than before releases the mapping and forgets
 * what the gateway could do. Only private IPv4 gateways are asked.
 */
void portmap_client_set_network(struct portmap_client *pc, const struct ip_addr *gateway,
        const struct ip_addr *self, uint16_t local_port, const struct now *now);
void portmap_client_set_upnp(struct portmap_client *pc, bool enabled);

/* Finds out what the gateway speaks and makes or renews the mapping when there is
 * none or it is due. Returns at once; changed() tells the result. */
void portmap_client_refresh(struct portmap_client *pc, const struct now *now);
/* Forgets everything without telling the router: the network is gone. */
void portmap_client_forget(struct portmap_client *pc);

/* The mapping if it is valid now; false: none. */
bool portmap_client_external(const struct portmap_client *pc, const struct now *now, struct ip_port *out);

/* What was seen in the last ten minutes. */
struct portmap_seen {
        bool pmp, pcp, upnp;
};
struct portmap_seen portmap_client_seen(const struct portmap_client *pc, const struct now *now);

void portmap_client_received(
        struct portmap_client *pc, const struct ip_port *src, struct slice datagram, const struct now *now);
/* external: IP_NONE if it failed. lifetime_s 0: the router keeps it for ever. */
void portmap_client_upnp_done(struct portmap_client *pc, const struct ip_port *external, uint32_t lifetime_s,
        const struct now *now);

uint64_t portmap_client_next_deadline_us(const struct portmap_client *pc);
void portmap_client_run(struct portmap_client *pc, const struct now *now);

#endif
