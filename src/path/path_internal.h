/*
 * What the files of the path manager share.
 *
 *   manager.c    the object, its drivers' events, time
 *   peer.c       the table of peers, what the netmap says of them, the announced path
 *   candidate.c  the addresses tried for one peer, and better()
 *   discover.c   sends, heartbeats, trust, pings going out, CallMeMaybe
 *   receive.c    disco coming in
 *   user_ping.c  `weft ping`
 *   endpoints.c  our own endpoints: when they are determined, and from what
 *   home.c       the home relay region, what we tell the control server of the network
 */
#ifndef PATH_INTERNAL_H
#define PATH_INTERNAL_H

#include "base/list.h"
#include "base/table.h"
#include "path/path.h"
#include "path/portmap.h"
#include "proto/disco.h"

/* spec/paths.md 2.1, in microseconds. */
#define HEARTBEAT_US          TIME_S(3)
#define SESSION_ACTIVE_US     TIME_S(45)
#define TRUST_US              TIME_MS(6500)
#define PING_TIMEOUT_US       TIME_S(5)
#define PING_INTERVAL_US      TIME_S(5)
#define UPGRADE_INTERVAL_US   TIME_S(60)
#define GOOD_ENOUGH_US        TIME_MS(5)
#define ENDPOINTS_FRESH_US    TIME_S(27)
#define RESTUN_MIN_US         TIME_S(20)
#define RESTUN_MAX_US         TIME_S(26)
#define ENDPOINT_CACHE_US     TIME_S(310)
#define REBIND_INTERVAL_US    TIME_S(5)
#define PING_BACK_INTERVAL_US TIME_S(1)

enum {
        SAFE_WIRE_MTU = 1360,     /* what an unpadded ping proves (1.2) */
        PINGS_PER_PEER_MAX = 160, /* outstanding: all candidates, heartbeats, the user's */
        PINGS_MAX = 65536,
        CALLS_BURST = 5, /* CallMeMaybe accepted at once from a peer, then one a second */
        ENDPOINT_CACHE_PER_IP = 6,
        PACKET_MAX = 65536,
};

/* Time since `then`; for ever if that never was. */
static inline uint64_t since_us(const struct now *now, uint64_t then_us)
{
        if (then_us == 0)
                return TIME_NEVER;
        return now->mono_us > then_us ? now->mono_us - then_us : 0;
}

/* ---- a peer ---- */

/* One disco key of the netmap, and the peers that own it: several, when a node is
 * shared into our tailnet twice. The shared key is computed at first use. */
struct disco_key {
        struct public_key key;
        struct shared_key shared;
        bool ready;
        struct list peers; /* path_peer.by_disco */
};

struct candidate {
        struct ip_port addr;
        uint64_t pinged_us;    /* our last discovery ping */
        uint64_t heard_us;     /* last authentic packet from there that made or kept it a candidate */
        uint64_t called_us;    /* named by the CallMeMaybe in force; 0: not */
        uint64_t ponged_us;    /* last pong */
        uint64_t ping_back_us; /* our last ping in answer to one of theirs */
        uint64_t added_us;
        struct disco_txid heard_txid; /* of the last ping from there */
        bool has_txid;
        bool in_netmap;
};

/* A path and how good it is. addr.ip.family IP_NONE: no path. */
struct quality {
        struct ip_port addr;
        uint64_t latency_us;
        unsigned wire_mtu;
};

struct path_peer {
        struct path_manager *m;
        struct list link; /* path_manager.peer_list */
        struct public_key node_key;
        void *ctx;
        struct disco_key *disco;        /* NULL: wireguard_only */
        struct public_key netmap_disco; /* as the netmap last said; the peer itself may know newer */
        struct list by_disco;
        uint16_t home_region, heard_region;
        bool wireguard_only, expired;
        bool seen;         /* set since path_peers_begin() */
        bool awake;        /* heartbeats run */
        bool call_waiting; /* send CallMeMaybe once our endpoints are fresh */

        struct quality best;
        uint64_t trusted_until_us;
        uint64_t sent_us;      /* last packet or ping of the user */
        uint64_t full_ping_us; /* last round over all candidates */
        struct timer heartbeat, trust;

        unsigned calls_left; /* token bucket of CallMeMaybe */
        uint64_t calls_refilled_us;

        struct candidate *candidates;
        size_t candidate_count, candidate_cap;

        struct list pings; /* outstanding, struct ping */
        size_t ping_count;

        struct path_best announced;
};

/* A ping sent and not yet answered. */
struct ping {
        struct disco_txid txid;
        struct path_peer *peer;
        struct list link;
        struct timer timeout;
        struct ip_port to; /* IP_NONE: through the relay of region */
        uint16_t region;
        uint64_t sent_us;
        size_t size;      /* 0: unpadded */
        uint64_t user_id; /* of struct user_ping; 0: none */
};

/* A ping the user waits for; any of the pings it sent may answer it. */
struct user_ping {
        struct path_manager *m;
        struct list link;
        struct timer timeout;
        uint64_t id, token;
        struct path_peer *peer;
};

/* ---- the manager ---- */

struct region_heard {
        uint16_t region;
        uint64_t at_us;
};

struct cached_endpoint {
        struct path_endpoint endpoint;
        uint64_t seen_us;
};

/* Our own endpoints (endpoints.c). */
struct own_endpoints {
        struct path_endpoint list[PATH_ENDPOINTS_MAX];
        size_t count;
        struct cached_endpoint cache[PATH_ENDPOINTS_MAX];
        size_t cache_count;
        struct ip_port statics[PATH_STATICS_MAX];
        size_t static_count;
        uint64_t updated_us; /* last completed determination */
        bool again;          /* one more was asked for while one runs */
        bool told;           /* endpoints_changed() was called at least once */
        struct timer soon;   /* starts a determination from the next path_run() */
        struct timer periodic;
};

/* What was last told to the control server, but latencies. */
struct told_netinfo {
        bool valid;
        enum netcheck_opt mapping_varies, v6, os_has_v6, udp, icmp_v4, upnp, pmp, pcp;
        bool have_portmap;
        uint16_t home;
};

struct path_manager {
        const struct path_ops *ops;
        void *ctx;
        struct rng *rng;
        struct timer_heap timers;
        struct path_stats stats;
        struct path_options options;

        struct public_key node_key; /* zero: logged out */
        struct secret_key disco_secret;
        struct public_key disco_public;

        struct table peers; /* node key -> struct path_peer */
        struct list peer_list;
        struct table disco_keys; /* struct disco_key */
        struct table pings;      /* transaction id -> struct ping */
        struct list user_pings;
        size_t user_ping_count;
        uint64_t user_ping_last_id;

        struct path_network net; /* locals points to our copy below */
        struct path_local locals[PATH_LOCALS_MAX];
        struct own_endpoints own;
        struct netcheck_ops netcheck_ops;
        struct netcheck *netcheck;
        struct netcheck_map map;        /* .regions owned */
        struct netcheck_report *report; /* the last one; NULL before the first */
        struct portmap_client *portmap; /* NULL: the driver cannot */

        uint16_t home;
        bool control_online;
        struct region_heard heard[NETCHECK_REGIONS_MAX];
        size_t heard_count;
        struct told_netinfo told;
        uint64_t rebind_asked_us;
        uint64_t active_us; /* last packet of the user to any peer, as far as we know */

        uint8_t *plain;  /* PACKET_MAX each: one message on its way in ... */
        uint8_t *sealed; /* ... and out */
        uint8_t *build;
};

/* ---- candidate.c ---- */

bool path_quality_better(const struct quality *a, const struct quality *b);
static inline bool quality_set(const struct quality *q) { return ip_valid(&q->addr.ip); }
bool path_candidate_addr_usable(const struct ip_port *addr);
struct candidate *path_candidate_find(struct path_peer *p, const struct ip_port *addr);
/* Finds or adds; NULL: not usable, or no memory. */
struct candidate *path_candidate_add(struct path_peer *p, const struct ip_port *addr, const struct now *now);
/* Deletes those whose reasons to be kept are gone (2.3); clears a best among them. */
void path_candidates_prune(struct path_peer *p, const struct now *now);
/* Takes over the netmap's list. */
void path_candidates_from_netmap(
        struct path_peer *p, const struct ip_port *list, size_t n, const struct now *now);
/* Takes over a CallMeMaybe's list: what only the one before named is deleted. */
void path_candidates_from_call(
        struct path_peer *p, const struct disco_endpoints *list, const struct now *now);

/* ---- peer.c ---- */

struct path_peer *path_peer_find(const struct path_manager *m, const struct public_key *node_key);
void path_peer_free(struct path_peer *p);
void path_peer_clear_best(struct path_peer *p);
static inline bool peer_is_trusted(const struct path_peer *p, const struct now *now)
{
        return quality_set(&p->best) && now->mono_us <= p->trusted_until_us;
}
/* The region to reach the peer by, 0: none. */
static inline uint16_t peer_relay(const struct path_peer *p)
{
        return p->home_region ? p->home_region : p->heard_region;
}
/* Tells the driver if what path_best says became another. */
void path_peer_announce(struct path_peer *p);
struct disco_key *path_disco_key_find(const struct path_manager *m, const struct public_key *key);
/* The key to seal for and open from it; NULL: degenerate, nothing can be said. */
const struct shared_key *path_disco_key_shared(struct path_manager *m, struct disco_key *dk);

/* ---- discover.c ---- */

bool path_discovery_allowed(const struct path_manager *m);
bool path_udp_allowed(const struct path_manager *m);
/* There is a socket for that family, and we may use it. */
bool path_udp_reaches(const struct path_manager *m, const struct ip_port *to);
void path_peer_start(struct path_peer *p);
/* The user's traffic (or ping) went out: wakes the peer, looks for a path. */
void path_peer_sent(struct path_peer *p, const struct now *now);
void path_peer_full_ping(struct path_peer *p, bool call, const struct now *now);
void path_peer_call(struct path_peer *p, const struct now *now);
/* Every path history of the peer is void: sockets are new. */
void path_peer_reset(struct path_peer *p);
/* region 0: by UDP to `to`. */
void path_ping_send(struct path_peer *p, const struct ip_port *to, uint16_t region, size_t size,
        uint64_t user_id, const struct now *now);
void path_ping_free(struct ping *ping);
void path_pings_free(struct path_peer *p);
/* A pong over UDP proved the path the ping took. */
void path_proved(struct path_peer *p, const struct ping *ping, uint64_t latency_us, const struct now *now);
/* Seals msg for the peer's disco key and sends it; region 0: by UDP. */
void path_disco_send(
        struct path_peer *p, const struct disco_message *msg, const struct ip_port *to, uint16_t region);
/* CallMeMaybe for all that waited for fresh endpoints. */
void path_calls_send_waiting(struct path_manager *m, const struct now *now);

/* ---- receive.c ---- */

/* Where a packet came from. relay_key NULL: by UDP. */
struct origin {
        struct ip_port udp;
        uint16_t region;
        const struct public_key *relay_key;
};
void path_disco_received(
        struct path_manager *m, const struct origin *from, struct slice packet, const struct now *now);

/* ---- user_ping.c ---- */

void path_user_ping_answered(struct path_manager *m, const struct ping *ping, uint64_t latency_us);
void path_user_pings_drop(struct path_peer *p);
void path_user_pings_free(struct path_manager *m);

/* ---- endpoints.c ---- */

void path_endpoints_init(struct path_manager *m);
bool path_endpoints_fresh(const struct path_manager *m, const struct now *now);
void path_endpoints_report_done(
        struct path_manager *m, const struct netcheck_report *report, const struct now *now);
void path_endpoints_forget(struct path_manager *m);

/* ---- home.c ---- */

void path_home_report_done(struct path_manager *m, const struct now *now);
uint64_t path_region_heard_us(const struct path_manager *m, uint16_t region);
void path_region_note_heard(struct path_manager *m, uint16_t region, const struct now *now);

#endif
