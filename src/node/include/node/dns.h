/*
 * MagicDNS: which names the node answers itself, and whom it asks about the others
 * (spec/node.md 5.1 to 5.4). An engine; sockets and the system's settings are node_dns.c's.
 */
#ifndef NODE_DNS_H
#define NODE_DNS_H

#include "client/netmap.h"
#include "proto/dns.h"

enum { DNS_UPSTREAMS_MAX = 8, DNS_SEARCH_MAX = 16 };

/* Whom to ask. */
struct dns_upstreams {
        struct ip_port items[DNS_UPSTREAMS_MAX];
        size_t count;
};

/* What the system used before us, as its resolv.conf has it. */
struct dns_base {
        struct dns_upstreams servers;
        char search[DNS_SEARCH_MAX][DNS_NAME_MAX];
        size_t search_count;
};
/* Our own addresses and comments are left out. */
void dns_base_parse(struct slice resolv_conf, struct dns_base *out);
/* The file that sends everything to us: it keeps the search domains of both. mark is part of
 * its first line. */
void dns_resolv_conf(const struct netmap *nm, const struct dns_base *base, const char *mark, struct buf *out);

/* Whether the tailnet asks for any DNS settings of the system. */
bool dns_is_wanted(const struct netmap *nm);

/* Answers the query into reply, or leaves reply empty and says whom to ask; with neither,
 * nobody knows and SERVFAIL is in reply. Names are looked up one by one: linear. */
void dns_resolve(const struct netmap *nm, const struct dns_base *base, struct slice query, const struct dns_query *q,
        const struct now *now, struct buf *reply, struct dns_upstreams *out);

/* An answer without content. */
void dns_refuse(struct slice query, const struct dns_query *q, enum dns_rcode rcode, struct buf *reply);

#endif
