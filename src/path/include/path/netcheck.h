/*
 * netcheck: measures what the network around us is like, by asking the STUN
 * servers of the relay map from the data socket: our public addresses, whether
 * UDP works at all, which relay region is nearest. spec/paths.md 5.
 *
 * An engine without sockets or clock, owned by one thread. The path manager has
 * one inside; a program that only wants a report drives one directly:
 * netcheck_start(), then feed netcheck_received() and netcheck_run() until done().
 */
#ifndef PATH_NETCHECK_H
#define PATH_NETCHECK_H

#include "base/random.h"
#include "base/timer.h"
#include "ip/addr.h"

enum {
        NETCHECK_REGIONS_MAX = 256, /* further regions of a map are left out */
        NETCHECK_NODES_MAX = 8,     /* of one region */
        NETCHECK_EXTRA_MAX = 4,     /* further mappings worth telling */
};

/* A fact that may not be known (yet). */
enum netcheck_opt { NETCHECK_UNKNOWN = 0, NETCHECK_FALSE, NETCHECK_TRUE };

/* ---- the relay map as netcheck needs it ---- */

struct netcheck_node {
        struct ip_addr v4, v6;       /* IP_NONE: this family is not probed */
        bool resolve_v4, resolve_v6; /* the address is to come from DNS */
        uint16_t stun_port;          /* 0: no STUN here */
};

struct netcheck_region {
        uint16_t id;
        bool avoid;      /* never the home, unless it is already */
        bool no_measure; /* neither probed nor home */
        double score;    /* factor on its latency; 0: none */
        size_t node_count;
        struct netcheck_node nodes[NETCHECK_NODES_MAX];
};

struct netcheck_map {
        size_t count;
        struct netcheck_region *regions; /* by rising id */
};

struct tailcfg_derp_map;
/* Converts the relay map; the result is released by netcheck_map_fini(). Host
 * names without literals stay unprobed until netcheck_set_address(). ERR_NOMEM. */
enum err MUST_USE netcheck_map_convert(const struct tailcfg_derp_map *map, struct netcheck_map *out);
void netcheck_map_fini(struct netcheck_map *map);

/* ---- the report ---- */

/* Latencies of one region in microseconds; 0: no answer. */
struct netcheck_latency {
        uint16_t region;
        uint64_t any_us, v4_us, v6_us;
};

struct netcheck_report {
        uint64_t at_us;
        bool full;
        bool udp;     /* some STUN server answered */
        bool v4, v6;  /* over this family */
        bool icmp_v4; /* a relay answered an ICMP echo */
        bool os_has_v6;
        enum netcheck_opt mapping_varies;         /* the NAT maps by destination (IPv4) */
        enum netcheck_opt upnp, pmp, pcp;         /* set by the path manager */
        struct ip_port global_v4, global_v6;      /* IP_NONE: unknown */
        struct ip_port extra[NETCHECK_EXTRA_MAX]; /* other mappings seen twice or more */
        size_t extra_count;
        uint16_t preferred; /* region to make home; 0: nothing measurable */
        size_t latency_count;
        struct netcheck_latency latency[NETCHECK_REGIONS_MAX]; /* by rising id */
};

/* ---- the engine ---- */

enum netcheck_probe_kind { NETCHECK_HTTPS, NETCHECK_ICMP };

/* A latency to be measured by the driver, because UDP does not come through. */
struct netcheck_latency_probe {
        uint64_t round; /* of the report; stale answers are ignored */
        uint16_t region;
        enum netcheck_probe_kind kind;
};

struct netcheck_ops {
        void (*send_stun)(void *ctx, const struct ip_port *dst, struct slice request);
        void (*probe_latency)(void *ctx, const struct netcheck_latency_probe *probe); /* optional */
        /* When a relay of the region was last heard from; 0: never. Optional. */
        uint64_t (*region_heard_us)(void *ctx, uint16_t region);
        /* The report is complete. The engine may be started again from here. */
        void (*done)(void *ctx, const struct netcheck_report *report, const struct now *now);
};

struct netcheck;

/* ops, rng and ctx are borrowed for the engine's life. NULL: out of memory. */
struct netcheck *netcheck_new(const struct netcheck_ops *ops, void *ctx, struct rng *rng);
void netcheck_free(struct netcheck *nc);

/* Takes a copy of the map. A running report is given up. ERR_NOMEM. */
enum err MUST_USE netcheck_set_map(struct netcheck *nc, const struct netcheck_map *map);
/* The DNS answer for a node with resolve_v4 or resolve_v6; used from the next
 * report on. True if it was news. */
bool netcheck_set_address(
        struct netcheck *nc, uint16_t region, size_t node_index, const struct ip_addr *addr);

struct netcheck_start {
        bool have_v4, have_v6; /* families to probe */
        bool os_has_v6;
        bool no_udp; /* no STUN and no ICMP: HTTPS only */
        bool force_full;
        uint16_t home; /* the present home region, or 0 */
};
/* Begins a report. ERR_STATE: one is running, or there is no map. */
enum err MUST_USE netcheck_start(
        struct netcheck *nc, const struct netcheck_start *how, const struct now *now);
bool netcheck_running(const struct netcheck *nc);
/* Gives up without a report. */
void netcheck_stop(struct netcheck *nc);
/* The next report is a full one: the network changed. */
void netcheck_forget(struct netcheck *nc);

/* A STUN response for us? True if it was one of ours (or a copy of one). */
bool netcheck_received(
        struct netcheck *nc, const struct ip_port *src, struct slice datagram, const struct now *now);
void netcheck_latency_probed(struct netcheck *nc, const struct netcheck_latency_probe *probe, enum err status,
        uint64_t latency_us, const struct now *now);

uint64_t netcheck_next_deadline_us(const struct netcheck *nc);
void netcheck_run(struct netcheck *nc, const struct now *now);

#endif
