/* POST /machine/map (spec/control.md 6.4, 6.10 and 7) and ping answers (5.2). */
#ifndef PROTO_TAILCFG_MAP_H
#define PROTO_TAILCFG_MAP_H

#include "proto/tailcfg_base.h"
#include "proto/tailcfg_derp.h"
#include "proto/tailcfg_dns.h"
#include "proto/tailcfg_filter.h"
#include "proto/tailcfg_hostinfo.h"
#include "proto/tailcfg_node.h"

enum tailcfg_endpoint_type {
        TAILCFG_ENDPOINT_UNKNOWN,
        TAILCFG_ENDPOINT_LOCAL,
        TAILCFG_ENDPOINT_STUN,
        TAILCFG_ENDPOINT_PORTMAP,
        TAILCFG_ENDPOINT_STUN4_LOCAL_PORT,
        TAILCFG_ENDPOINT_EXPLICIT,
};

struct tailcfg_map_request {
        int64_t version;
        struct slice compress; /* "zstd" or empty */
        bool keep_alive;
        struct public_key node_key;
        struct public_key disco_key; /* zero from light clients: do not store it */
        bool stream, omit_peers, read_only; /* section 4.3 */
        const struct tailcfg_hostinfo *hostinfo;
        struct slice map_session_handle;
        int64_t map_session_seq;
        struct tailcfg_endpoints endpoints;
        struct tailcfg_ints endpoint_types; /* parallel to endpoints, enum tailcfg_endpoint_type */
        struct slice tka_head;
        struct tailcfg_strings debug_flags;
};

struct tailcfg_ping_request {
        struct slice url;
        bool url_is_noise;
        bool log;
        struct slice types; /* comma list of disco, TSMP, ICMP, peerapi; "c2n"; or empty: HEAD url */
        struct ip_addr ip;
        struct slice payload; /* decoded bytes */
};

struct tailcfg_ping_response {
        struct slice type;
        struct slice ip, node_ip, node_name, err;
        double latency_seconds;
        struct slice endpoint, peer_relay;
        int64_t derp_region_id;
        struct slice derp_region_code;
        uint16_t peerapi_port;
        bool is_local_ip;
};

struct tailcfg_node_bool {
        int64_t node_id;
        bool value;
};

struct tailcfg_node_bools {
        const struct tailcfg_node_bool *items;
        size_t count;
};

/* rules.items == NULL: the value was null, which deletes the name; name "*" with
 * null clears all names first. */
struct tailcfg_named_filter {
        struct slice name;
        struct tailcfg_filter_rules rules;
};

struct tailcfg_named_filters {
        const struct tailcfg_named_filter *items;
        size_t count;
};

struct tailcfg_display_action {
        struct slice url, label;
};

struct tailcfg_display_message {
        struct slice title, text;
        struct slice severity; /* "high", "medium", "low" */
        bool impacts_connectivity;
        const struct tailcfg_display_action *primary_action;
};

/* message NULL: the value was null, which deletes the id; "*" clears all. */
struct tailcfg_named_display_message {
        struct slice id;
        const struct tailcfg_display_message *message;
};

struct tailcfg_named_display_messages {
        const struct tailcfg_named_display_message *items;
        size_t count;
};

struct tailcfg_tka_info {
        struct slice head;
        bool disabled;
};

struct tailcfg_debug {
        double sleep_seconds;
        bool disable_log_tail;
        int64_t exit; /* 0: absent */
};

struct tailcfg_dial_candidate {
        struct ip_addr ip;
        struct slice ace_host;
        double dial_start_delay_sec, dial_timeout_sec;
        int64_t priority; /* clients ignore it */
};

struct tailcfg_dial_candidates {
        const struct tailcfg_dial_candidate *items;
        size_t count;
};

struct tailcfg_dial_plan {
        struct tailcfg_dial_candidates candidates;
};

struct tailcfg_client_version {
        bool running_latest;
        struct slice latest_version;
        bool urgent_security_update, notify;
        struct slice notify_url, notify_text;
};

/* Absent or zero: unchanged, but for what section 7 says of single fields. */
struct tailcfg_map_response {
        struct slice map_session_handle;
        int64_t seq;
        bool keep_alive;
        const struct tailcfg_ping_request *ping_request;
        struct slice pop_browser_url;
        const struct tailcfg_node *node; /* self */
        const struct tailcfg_derp_map *derp_map;
        struct tailcfg_nodes peers; /* not empty: all there are */
        struct tailcfg_nodes peers_changed;
        struct tailcfg_ints peers_removed;
        struct tailcfg_node_bools peer_seen_change;
        struct tailcfg_node_bools online_change;
        struct tailcfg_peer_changes peers_changed_patch;
        const struct tailcfg_dns_config *dns_config;
        struct slice domain;
        enum tailcfg_opt_bool collect_services;
        struct tailcfg_filter_rules packet_filter; /* absent: keep; empty: block all */
        struct tailcfg_named_filters packet_filters;
        struct tailcfg_user_profiles user_profiles;
        struct tailcfg_strings health; /* absent: keep; empty: clear */
        struct tailcfg_named_display_messages display_messages;
        struct slice ssh_policy; /* raw JSON object; empty: keep */
        struct tailcfg_time control_time;
        const struct tailcfg_tka_info *tka_info;
        struct slice domain_audit_log_id;
        const struct tailcfg_debug *debug;
        const struct tailcfg_dial_plan *control_dial_plan;
        const struct tailcfg_client_version *client_version;
        enum tailcfg_opt_bool default_auto_update;
};

TAILCFG_MESSAGE(map_request);
TAILCFG_MESSAGE(map_response);
TAILCFG_MESSAGE(ping_request);
TAILCFG_MESSAGE(ping_response);
TAILCFG_MESSAGE(dial_plan);
TAILCFG_MESSAGE(display_message);

/* The members alone, without the braces: the server adds "Peers" and
 * "PeersChanged" itself from nodes that it serialised once and shares. */
void tailcfg_map_response_write_members(struct json_writer *w, const struct tailcfg_map_response *in);

#endif
