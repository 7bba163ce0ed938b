/*
 * MagicDNS at run time: a resolver at 100.100.100.100, over UDP and TCP, and the system's
 * settings that point to it (node/dns.h says what it answers).
 */
#ifndef NODE_NODE_DNS_H
#define NODE_NODE_DNS_H

#include "net/loop.h"
#include "node/dns.h"

struct node_dns;

struct node_dns_ops {
        const struct netmap *(*netmap)(void *ctx);
        /* Whether an upstream is to be asked through the tunnel. */
        bool (*is_inside)(void *ctx, const struct ip_addr *ip);
};

/* NULL: out of memory. mark: SO_MARK of questions outside the tunnel. */
struct node_dns *node_dns_new(struct net_loop *loop, uint32_t mark, const struct node_dns_ops *ops, void *ctx);
void node_dns_free(struct node_dns *d); /* NULL is fine */

/* Listens, once the address is there; does nothing if it listens already. *diag says whose
 * fault it is if not. */
enum err MUST_USE node_dns_listen(struct node_dns *d, struct diag *diag);
/* Stops; questions under way are dropped. */
void node_dns_close(struct node_dns *d);

/* The servers that the system used before us. */
void node_dns_set_base(struct node_dns *d, const struct dns_base *base);
const struct dns_base *node_dns_base(const struct node_dns *d);

#endif
