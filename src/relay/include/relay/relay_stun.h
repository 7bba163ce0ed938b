/*
 * The STUN server beside a relay (spec/paths.md 4): one UDP socket that tells
 * clients of the protocol how their address looks from here, and nobody else
 * anything.
 */
#ifndef RELAY_RELAY_STUN_H
#define RELAY_RELAY_STUN_H

#include "ip/addr.h"
#include "net/loop.h"

struct relay_stun;

struct relay_stun_stats {
        uint64_t answered_v4, answered_v6, refused, send_failed;
};

/* addr IPv6 unspecified takes IPv6 only: open one for each family. */
enum err MUST_USE relay_stun_start(struct net_loop *loop, const struct ip_port *addr, struct relay_stun **out,
                                   struct diag *d);
struct ip_port relay_stun_addr(const struct relay_stun *s);
const struct relay_stun_stats *relay_stun_stats(const struct relay_stun *s);
void relay_stun_stop(struct relay_stun *s); /* NULL is fine */

#endif
