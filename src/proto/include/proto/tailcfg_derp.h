/* The map of relays (spec/control.md 6.7). */
#ifndef PROTO_TAILCFG_DERP_H
#define PROTO_TAILCFG_DERP_H

#include "proto/tailcfg_base.h"

struct tailcfg_derp_node {
        struct slice name;
        int64_t region_id;
        struct slice host_name;
        struct slice cert_name;    /* "sha256-raw:<hex>" pins the certificate; empty: host_name */
        struct slice ipv4, ipv6;   /* address text, "none" disables the family, empty: use DNS */
        int64_t stun_port;         /* 0: 3478, -1: no STUN */
        bool stun_only;
        int64_t derp_port;         /* 0: 443 */
        bool insecure_for_tests;
        struct slice stun_test_ip;
        bool can_port80;
};

struct tailcfg_derp_nodes {
        const struct tailcfg_derp_node *items;
        size_t count;
};

struct tailcfg_derp_region {
        int64_t region_id; /* the key in the map of regions; 900-999 are self-hosted */
        struct slice region_code, region_name;
        double latitude, longitude;
        bool avoid; /* deprecated */
        bool no_measure_no_home;
        struct tailcfg_derp_nodes nodes;
};

struct tailcfg_derp_regions {
        const struct tailcfg_derp_region *items;
        size_t count;
};

/* A factor on the measured latency of a region when the home is chosen. */
struct tailcfg_region_score {
        int64_t region_id;
        double score;
};

struct tailcfg_region_scores {
        const struct tailcfg_region_score *items;
        size_t count;
};

struct tailcfg_home_params {
        struct tailcfg_region_scores region_score; /* absent: keep; empty: reset */
};

struct tailcfg_derp_map {
        const struct tailcfg_home_params *home_params; /* NULL: keep (65) */
        struct tailcfg_derp_regions regions;           /* absent: keep (65); null regions are dropped */
        bool omit_default_regions;
};

/* The region of that id, or NULL. */
const struct tailcfg_derp_region *tailcfg_derp_region_find(const struct tailcfg_derp_map *map, int64_t region_id);

TAILCFG_MESSAGE(derp_node);
TAILCFG_MESSAGE(derp_region);
TAILCFG_MESSAGE(derp_map);

#endif
