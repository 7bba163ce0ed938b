/* A node, its owner, and patches to it (spec/control.md 6.6 and 6.10). */
#ifndef PROTO_TAILCFG_NODE_H
#define PROTO_TAILCFG_NODE_H

#include "proto/tailcfg_base.h"
#include "proto/tailcfg_dns.h"
#include "proto/tailcfg_hostinfo.h"

struct tailcfg_node {
        int64_t id; /* > 0, never reused */
        struct slice stable_id;
        struct slice name; /* MagicDNS name with its trailing dot */
        int64_t user, sharer;
        struct public_key key;
        struct tailcfg_time key_expiry; /* not set: never */
        struct slice key_signature;     /* decoded bytes */
        struct public_key machine, disco_key;
        struct tailcfg_prefixes addresses;   /* /32 and /128, IPv4 first */
        struct tailcfg_prefixes allowed_ips; /* absent: the same as addresses; empty: none */
        struct tailcfg_endpoints endpoints;
        struct slice legacy_derp; /* "127.3.3.40:<region>", for viewers < 111 */
        int64_t home_derp;
        const struct tailcfg_hostinfo *hostinfo;
        struct tailcfg_time created;
        int64_t cap; /* the peer's capability version */
        struct tailcfg_strings tags;
        struct tailcfg_prefixes primary_routes;
        struct tailcfg_time last_seen; /* meaningful while offline */
        enum tailcfg_opt_bool online;
        bool machine_authorized;
        struct tailcfg_strings capabilities; /* legacy form of cap_map */
        struct tailcfg_cap_map cap_map;
        bool unsigned_peerapi_only;
        struct slice data_plane_audit_log_id;
        bool expired;
        struct ip_addr self_v4_masq_for_this_peer, self_v6_masq_for_this_peer;
        bool is_wireguard_only; /* no disco, no DERP */
        struct tailcfg_resolvers exit_node_dns_resolvers;
        bool is_jailed; /* may not initiate to us */
};

struct tailcfg_nodes {
        const struct tailcfg_node *items;
        size_t count;
};

/* home_derp, or the region of legacy_derp, or 0. */
int64_t tailcfg_node_home_derp(const struct tailcfg_node *n);
/* allowed_ips, or addresses when the former is absent. */
struct tailcfg_prefixes tailcfg_node_allowed_ips(const struct tailcfg_node *n);
/* In cap_map or in the legacy list. */
bool tailcfg_node_has_cap(const struct tailcfg_node *n, struct slice name);

/* Absent or zero: unchanged. */
struct tailcfg_peer_change {
        int64_t node_id;
        int64_t derp_region;
        int64_t cap;
        struct tailcfg_cap_map cap_map;
        struct tailcfg_endpoints endpoints; /* empty: the peer has none */
        struct public_key key;
        struct slice key_signature;
        struct public_key disco_key;
        enum tailcfg_opt_bool online;
        struct tailcfg_time last_seen;
        struct tailcfg_time key_expiry; /* UNIX_ZERO_DATE: never expires from now on */
};

struct tailcfg_peer_changes {
        const struct tailcfg_peer_change *items;
        size_t count;
};

struct tailcfg_user_profile {
        int64_t id;
        struct slice login_name, display_name, profile_pic_url;
        struct tailcfg_strings groups;
};

struct tailcfg_user_profiles {
        const struct tailcfg_user_profile *items;
        size_t count;
};

TAILCFG_MESSAGE(node);
TAILCFG_MESSAGE(peer_change);
TAILCFG_MESSAGE(user_profile);

#endif
