/*
 * The status of a node as the LocalAPI gives it and `weft status --json` prints it,
 * with the official field names (spec/node.md 2.4). The daemon fills and writes it,
 * the command line parses it.
 *
 * Plain data; texts and arrays live in an arena of whoever fills it, or are borrowed
 * from the netmap for as long as the writing takes. Absent, null and empty are as in
 * proto/tailcfg_base.h; a date that is absent is written as the zero date.
 */
#ifndef NODE_STATUS_H
#define NODE_STATUS_H

#include "proto/tailcfg_node.h"

/* What spec/node.md 2.4 calls TaildropTarget, as far as we say it: files cannot be sent yet. */
enum { STATUS_TAILDROP_UNSUPPORTED = 7 };

struct status_peer {
        struct slice stable_id;
        int64_t node_id;
        struct public_key key;
        struct slice host_name, dns_name, os;
        int64_t user_id, sharer_user_id;
        struct tailcfg_addrs ips;
        struct tailcfg_prefixes allowed_ips;
        struct tailcfg_strings tags;
        struct tailcfg_prefixes primary_routes;
        struct tailcfg_strings addrs; /* endpoints */
        struct slice cur_addr;        /* direct address in use, or "" */
        struct slice relay;           /* code of its home region */
        struct slice peer_relay;      /* address and VNI of the peer that relays, or "" */
        uint64_t rx_bytes, tx_bytes;
        struct tailcfg_time created, last_write, last_seen, last_handshake;
        bool online, exit_node, exit_node_option, active;
        struct tailcfg_strings peerapi_urls;
        int64_t taildrop_target;
        struct slice no_file_sharing_reason;
        struct tailcfg_strings capabilities; /* the names of cap_map, as older clients read them */
        struct tailcfg_cap_map cap_map;
        bool is_sharee;                      /* only seen because something is shared with it */
        bool in_network_map, in_magic_sock, in_engine, expired;
        struct tailcfg_time key_expiry;
};

struct status_exit_node {
        struct slice id;
        bool online;
        struct tailcfg_prefixes ips;
};

struct status_tailnet {
        struct slice name, magic_dns_suffix;
        bool magic_dns_enabled;
};

struct status_peers {
        const struct status_peer *items;
        size_t count;
};

struct status_users {
        const struct tailcfg_user_profile *items;
        size_t count;
};

struct status {
        struct slice version;
        bool tun;
        struct slice backend_state;
        bool have_node_key;
        struct slice auth_url;
        struct tailcfg_addrs ips;
        struct status_peer self;
        const struct status_exit_node *exit_node; /* the one in use, or NULL */
        struct tailcfg_strings health;
        struct slice magic_dns_suffix;
        const struct status_tailnet *tailnet; /* NULL: none yet */
        struct tailcfg_strings cert_domains;
        struct slice extra_records; /* JSON; empty: null */
        struct status_peers peers;
        struct status_users users;
        struct slice client_version; /* JSON; empty: null */
};

void status_write(struct json_writer *w, const struct status *s);
/* Arrays come from the arena, texts from it or from json. Unknown members are
 * skipped. ERR_FORMAT and the like for what is not a status. */
enum err MUST_USE status_decode(struct slice json, struct arena *arena, struct status *out);

#endif
