/* What a node says about itself and its network (spec/control.md 6.5). */
#ifndef PROTO_TAILCFG_HOSTINFO_H
#define PROTO_TAILCFG_HOSTINFO_H

#include "proto/tailcfg_base.h"

/* proto: "tcp", "udp", "peerapi4", "peerapi6" or "peerapi-dns-proxy"; for peerapi
 * the port is where the node's PeerAPI listens, the only place peers learn it. */
struct tailcfg_service {
        struct slice proto;
        uint16_t port;
        struct slice description;
};

struct tailcfg_services {
        const struct tailcfg_service *items;
        size_t count;
};

struct tailcfg_location {
        struct slice country, country_code, city, city_code;
        double latitude, longitude;
        int64_t priority;
};

struct tailcfg_tpm {
        struct slice manufacturer, vendor;
        int64_t model;
        uint64_t firmware_version; /* uses all 64 bits */
        int64_t spec_revision;
        struct slice family_indicator;
};

/* Round-trip time to a relay region over one family. */
struct tailcfg_derp_latency {
        struct slice region; /* "<region id>-v4" or "-v6" */
        double seconds;
};

struct tailcfg_derp_latencies {
        const struct tailcfg_derp_latency *items;
        size_t count;
};

struct tailcfg_netinfo {
        enum tailcfg_opt_bool mapping_varies_by_dest_ip;
        enum tailcfg_opt_bool working_ipv6, os_has_ipv6, working_udp, working_icmpv4;
        bool have_port_map;
        enum tailcfg_opt_bool upnp, pmp, pcp;
        int64_t preferred_derp; /* home region, 0: none */
        struct slice link_type; /* "wired", "wifi", "mobile" */
        struct tailcfg_derp_latencies derp_latency;
        struct slice firewall_mode;
};

struct tailcfg_hostinfo {
        struct slice ipn_version, frontend_log_id, backend_log_id;
        struct slice os, os_version, env, distro, distro_version, distro_code_name, app;
        struct slice package, device_model, push_device_token;
        struct slice hostname; /* first DNS label as the user wrote it */
        struct slice machine, go_arch, go_arch_var, go_version, cloud;
        enum tailcfg_opt_bool container, desktop, userspace, userspace_router, app_connector, state_encrypted;
        bool shields_up, sharee_node, no_logs_no_support, remote_config;
        bool wire_ingress, ingress_enabled, allows_update, peer_relay;
        struct tailcfg_prefixes routable_ips; /* advertised routes */
        struct tailcfg_strings request_tags;
        struct tailcfg_strings wol_macs;
        struct tailcfg_services services;
        const struct tailcfg_netinfo *net_info; /* absent in a request: keep the stored one */
        struct tailcfg_strings ssh_host_keys;   /* present: the node runs the SSH server */
        struct slice services_hash, exit_node_id;
        const struct tailcfg_location *location;
        const struct tailcfg_tpm *tpm;
};

TAILCFG_MESSAGE(netinfo);
TAILCFG_MESSAGE(hostinfo);

#endif
