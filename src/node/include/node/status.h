/*
 * The status of a node as the LocalAPI gives it and `weft status --json` prints it,
 * with the official field names (spec/node.md 2.4). The daemon fills and writes it,
 * the command line parses it: both directions are here.
 *
 * Plain data; texts and arrays live in an arena of whoever fills it, or are borrowed
 * from the netmap for as long as the writing takes.
 */
#ifndef NODE_STATUS_H
#define NODE_STATUS_H

#include "proto/tailcfg_node.h"

/* The zero date of the protocol stands for "never" in all times of a status. */
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
        struct tailcfg_strings addrs; /* endpoint texts; items NULL: null */
        struct slice cur_addr;        /* direct address in use, or "" */
        struct slice relay;           /* code of its home region */
        uint64_t rx_bytes, tx_bytes;
        int64_t created_ns, last_write_ns, last_seen_ns, last_handshake_ns;
        bool online, exit_node, exit_node_option, active;
        struct tailcfg_cap_map cap_map;
        bool in_network_map, in_magic_sock, in_engine, expired;
        int64_t key_expiry_ns; /* UNIX_ZERO_DATE: none */
};

struct status_user {
        int64_t id;
        struct slice login_name, display_name, profile_pic_url;
};

struct status {
        struct slice version;
        bool tun;
        struct slice backend_state;
        bool have_node_key;
        struct slice auth_url;
        struct tailcfg_addrs ips; /* items NULL: null */
        struct status_peer self;
        bool has_exit_node;
        struct slice exit_node_id;
        bool exit_node_online;
        struct tailcfg_prefixes exit_node_ips;
        struct tailcfg_strings health;
        struct slice magic_dns_suffix;
        bool has_tailnet;
        struct slice tailnet_name;
        bool magic_dns_enabled;
        struct tailcfg_strings cert_domains;
        const struct status_peer *peers;
        size_t peer_count;
        const struct status_user *users;
        size_t user_count;
};

/* Time members start as UNIX_ZERO_DATE, everything else zero. */
void status_peer_init(struct status_peer *p);

void status_write(struct json_writer *w, const struct status *s);
/* Arrays come from the arena, texts from it or from json. Unknown members are
 * skipped. ERR_FORMAT and the like for what is not a status. */
enum err MUST_USE status_decode(struct slice json, struct arena *arena, struct status *out);

#endif
