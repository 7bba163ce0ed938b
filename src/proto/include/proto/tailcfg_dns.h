/* DNS settings of a tailnet (spec/control.md 6.8). */
#ifndef PROTO_TAILCFG_DNS_H
#define PROTO_TAILCFG_DNS_H

#include "proto/tailcfg_base.h"

struct tailcfg_resolver {
        struct slice addr; /* "ip", "ip:port", "https://..." or "http://..." */
        struct tailcfg_addrs bootstrap_resolution;
        bool use_with_exit_node; /* 125 */
};

struct tailcfg_resolvers {
        const struct tailcfg_resolver *items;
        size_t count;
};

/* Names below suffix; no resolvers: answered by the node's own resolver. */
struct tailcfg_dns_route {
        struct slice suffix;
        struct tailcfg_resolvers resolvers;
};

struct tailcfg_dns_routes {
        const struct tailcfg_dns_route *items;
        size_t count;
};

struct tailcfg_dns_record {
        struct slice name;
        struct slice type; /* empty: A or AAAA, as the value says */
        struct slice value;
};

struct tailcfg_dns_records {
        const struct tailcfg_dns_record *items;
        size_t count;
};

struct tailcfg_dns_config {
        struct tailcfg_resolvers resolvers; /* global, in place of the local ones */
        struct tailcfg_dns_routes routes;
        struct tailcfg_resolvers fallback_resolvers; /* only where split DNS needs a default */
        struct tailcfg_strings domains;              /* search domains without trailing dot */
        bool proxied;                                /* MagicDNS */
        struct tailcfg_addrs nameservers;            /* legacy, 9..13 */
        struct tailcfg_strings cert_domains;
        struct tailcfg_dns_records extra_records;
        struct tailcfg_strings exit_node_filtered_set;
};

TAILCFG_MESSAGE(resolver);
TAILCFG_MESSAGE(dns_config);

#endif
