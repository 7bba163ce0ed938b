/*
 * The path manager: for each peer, how its packets travel now (a UDP address, a
 * relay region, or both) and how to find something better. It speaks disco with
 * the peers, learns our own endpoints (netcheck, port mapping, interfaces) and
 * chooses the home relay region. spec: docs/paths.md; spec/paths.md 1, 2, 5, 6.
 *
 * It is an engine: no sockets, no clock. One thread (the control thread) owns it
 * and makes every call; the callbacks in struct path_ops run inside those calls
 * and must not call the manager back.
 *
 * How a driver runs it
 *
 *   start      path_manager_new(), path_set_node_key(), path_set_network(),
 *              path_set_derp_map(), then the peers.
 *   time       after every call, path_next_deadline_us() may have changed; call
 *              path_run() when it has come.
 *   receiving  Datagrams of the data sockets that are disco or STUN go to
 *              path_udp_received(). Packets from a relay go to
 *              path_derp_received() first; if it returns false they are
 *              WireGuard's. A WireGuard datagram never passes through here.
 *   sending    For every peer the manager announces a struct path_best through
 *              path_changed(), and again whenever a field changes (for an active
 *              direct path that is every 3 seconds, as its trust is extended).
 *              The packet workers keep the newest copy and follow
 *              path_best_use(): no call into the manager, no lock. What the
 *              control thread itself sends (handshakes) goes through path_send().
 *   activity   While a peer is asleep (path_best.asleep) the worker that sends
 *              to it tells the control thread, which calls path_data_sent(); one
 *              pending notice a peer is enough, more are harmless. While it is
 *              awake the manager asks last_sent_us() at each heartbeat, so
 *              nobody calls per packet. A driver without that callback (the
 *              simulator) calls path_data_sent() for every packet instead.
 *   links      Link or address change: path_set_network(). After the sockets were
 *              bound anew: path_rebound().
 */
#ifndef PATH_PATH_H
#define PATH_PATH_H

#include "base/random.h"
#include "base/timer.h"
#include "crypto/key.h"
#include "ip/addr.h"
#include "path/netcheck.h"

struct tailcfg_derp_map;
struct tailcfg_netinfo;
struct path_manager;

enum {
        /* Addresses we try for one peer. When full, a new one replaces the one
         * that was heard from longest ago, never the best. */
        PATH_CANDIDATES_MAX = 64,
        PATH_PEERS_MAX = 65536,
        /* Endpoints we advertise; the first in the order of spec 2.9 win. */
        PATH_ENDPOINTS_MAX = 64,
        PATH_LOCALS_MAX = 128,
        PATH_STATICS_MAX = 16,
        PATH_USER_PINGS_MAX = 64,
        PATH_PING_SIZE_MAX = 65475, /* spec 1.2 */
};

/* ---- the answer: where packets for a peer go ---- */

struct path_best {
        struct ip_port udp;        /* family IP_NONE: no UDP address known */
        uint64_t trusted_until_us; /* through this moment UDP alone suffices */
        uint64_t latency_us;       /* of udp, as last measured; 0: unknown */
        uint16_t derp_home;        /* the peer's home region; 0: unknown */
        uint16_t derp_heard;       /* region on which it last sent to us; 0: none */
        bool asleep;               /* report the next send: path_data_sent() */
};

enum { PATH_USE_UDP = 1, PATH_USE_DERP = 2 };

/*
 * Which ways a packet sent now takes: a set of PATH_USE_*, 0 when the peer cannot
 * be reached. Both at once is normal while a UDP address is unconfirmed; the
 * receiver's replay window drops the copy (spec 2.4).
 */
static inline unsigned path_best_use(const struct path_best *b, uint64_t now_us)
{
        bool derp = b->derp_home || b->derp_heard;
        if (b->udp.ip.family == IP_NONE)
                return derp ? PATH_USE_DERP : 0;
        if (now_us <= b->trusted_until_us)
                return PATH_USE_UDP;
        return PATH_USE_UDP | (derp ? PATH_USE_DERP : 0);
}

/* ---- our own endpoints ---- */

enum path_endpoint_type { /* numbers of the control protocol */
        PATH_ENDPOINT_LOCAL = 1,
        PATH_ENDPOINT_STUN = 2,
        PATH_ENDPOINT_PORTMAP = 3,
        PATH_ENDPOINT_STUN_LOCAL_PORT = 4, /* STUN's address with our fixed port */
        PATH_ENDPOINT_EXPLICIT = 5,
};

struct path_endpoint {
        struct ip_port addr;
        enum path_endpoint_type type;
};

/* ---- what a ping of the user found ---- */

struct path_ping_result {
        uint64_t token;  /* as given to path_ping() */
        enum err status; /* OK; ERR_TIMEOUT; ERR_NOTFOUND: the peer went away */
        uint64_t latency_us;
        struct ip_port udp;   /* the address that answered; IP_NONE: a relay did */
        uint16_t derp_region; /* the region of that relay, else 0 */
};

/*
 * Callbacks. ctx is path_config.ctx; byte slices and pointers live for the call.
 * Those marked optional may be NULL.
 */
struct path_ops {
        /* Sends a datagram from the data socket of dst's family. Loss is fine;
         * report errors that matter with path_udp_failed(). */
        void (*send_udp)(void *ctx, const struct ip_port *dst, struct slice datagram);
        /*
         * Sends to peer through a relay: on the connection to home if it is open;
         * else on heard's if that is open; else connect to home (or heard when
         * home is 0) and queue, dropping the oldest of 32. Never waits.
         */
        void (*send_derp)(
                void *ctx, uint16_t home, uint16_t heard, const struct public_key *peer, struct slice packet);
        void (*path_changed)(
                void *ctx, const struct public_key *peer, void *peer_ctx, const struct path_best *best);
        /* The set of our endpoints became another: tell the control server. */
        void (*endpoints_changed)(void *ctx, const struct path_endpoint *list, size_t n);
        /* Something other than latencies changed: tell the control server. */
        void (*netinfo_changed)(void *ctx, const struct tailcfg_netinfo *info);
        /* Keep a connection to this region open from now on, and say
         * NotePreferred on all; 0: none. */
        void (*home_changed)(void *ctx, uint16_t region);
        void (*ping_result)(void *ctx, const struct path_ping_result *result); /* optional */
        /* Bind the data sockets anew, then call path_rebound(). Optional. */
        void (*rebind_wanted)(void *ctx, const char *why);
        /* When a worker last sent a packet of the user to the peer. Optional. */
        uint64_t (*last_sent_us)(void *ctx, const struct public_key *peer, void *peer_ctx);
        /* When authentic WireGuard last came from this UDP address of the peer;
         * asked in silent-disco mode only. Optional. */
        uint64_t (*last_received_us)(
                void *ctx, const struct public_key *peer, void *peer_ctx, const struct ip_port *from);
        /* Latency by HTTPS or ICMP when no UDP comes through (netcheck.h);
         * answer with path_latency_probed(). Optional. */
        void (*probe_latency)(void *ctx, const struct netcheck_latency_probe *probe);
        /* Sends from the port mapper's own IPv4 socket, whose answers go to
         * path_portmap_received(). NULL: no port mapping. */
        void (*send_portmap)(void *ctx, const struct ip_port *dst, struct slice datagram);
        /* UPnP runs on a thread of the driver: make or renew (lifetime_s > 0) or
         * delete (0) a mapping; answer with path_upnp_done(). Optional. */
        void (*upnp)(void *ctx, uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s);
};

struct path_config {
        const struct path_ops *ops; /* borrowed for the manager's life */
        void *ctx;
        struct rng *rng; /* borrowed for the manager's life */
};

/* A manager with a fresh disco key. NULL: out of memory. */
struct path_manager *path_manager_new(const struct path_config *config, const struct now *now);
/* Ends everything. The only callbacks it may make are send_portmap() and upnp(),
 * to give a port mapping back. */
void path_manager_free(struct path_manager *m);

/* The disco key to announce to the control server; made once a process. */
const struct public_key *path_disco_key(const struct path_manager *m);
/* Our node key, put into pings; NULL (logged out) silences the manager. */
void path_set_node_key(struct path_manager *m, const struct public_key *key, const struct now *now);

uint64_t path_next_deadline_us(const struct path_manager *m); /* or TIME_NEVER */
void path_run(struct path_manager *m, const struct now *now);

/* ---- the machine's network ---- */

struct path_local {
        struct ip_addr ip;
        uint8_t bits;    /* of its subnet */
        char ifname[16]; /* NUL-terminated */
        bool up;
};

/* What the link monitor knows. Addresses are given raw; the manager leaves out
 * those nobody should be told of (spec 2.9). Copied. */
struct path_network {
        bool up;                   /* some interface can carry packets */
        bool have_v4, have_v6;     /* HaveV4/HaveV6, spec 7 */
        uint16_t port_v4, port_v6; /* of the data sockets; 0: no such socket */
        uint16_t fixed_port;       /* the port the user configured, or 0 */
        const struct path_local *locals;
        size_t local_count;
        struct ip_addr gateway, gateway_self; /* IPv4, for port mapping; IP_NONE: none */
};

/* New state after a minor change, or before path_rebound() after a major one.
 * up false: forget port mappings, send nothing. */
void path_set_network(struct path_manager *m, const struct path_network *net, const struct now *now);
/* The data sockets were bound anew: every path starts again from its relay. */
void path_rebound(struct path_manager *m, const struct now *now);

/* Addresses to advertise that nobody can find out: from preferences. Copied. */
void path_set_static_endpoints(
        struct path_manager *m, const struct ip_port *list, size_t n, const struct now *now);

/* Node attributes and preferences that change how paths are sought. */
struct path_options {
        bool silent_disco; /* no heartbeats; received data extends trust (2.15) */
        bool only_tcp_443; /* no UDP of any kind (2.16) */
        bool no_portmap, no_upnp;
        bool always_stun;  /* keep endpoints fresh although idle */
        bool never_direct; /* debugging: relays only */
};
void path_set_options(struct path_manager *m, const struct path_options *options, const struct now *now);

/* ---- relays ---- */

/* map: copied; NULL: none. ERR_NOMEM leaves the old one. */
enum err MUST_USE path_set_derp_map(
        struct path_manager *m, const struct tailcfg_derp_map *map, const struct now *now);
/* The DNS answer for a relay that the map names without an address literal of a
 * family, given by its place in the region's list; the literals of the map win.
 * The driver resolves after each new map, and again when the network changed. */
void path_set_derp_address(struct path_manager *m, uint16_t region, size_t node_index,
        const struct ip_addr *addr, const struct now *now);
/* Whether the control server can hear of a new home now (2.10). */
void path_set_control_online(struct path_manager *m, bool online, const struct now *now);
/* Any frame came from this region's relay: it is alive. Cheap; call per batch. */
void path_derp_alive(struct path_manager *m, uint16_t region, const struct now *now);
/* The connection to the region's relay failed while reading. */
void path_derp_failed(struct path_manager *m, uint16_t region, const struct now *now);
/* The relay says that peer is not connected there (PeerGone). */
void path_derp_peer_gone(struct path_manager *m, uint16_t region, const struct public_key *peer);
uint16_t path_home_region(const struct path_manager *m); /* 0: none yet */

/* ---- peers ---- */

struct path_peer_config {
        struct public_key node_key;
        struct public_key disco_key; /* zero: not reachable unless wireguard_only */
        const struct ip_port *endpoints;
        size_t endpoint_count;
        uint16_t home_region; /* 0: unknown */
        bool wireguard_only;  /* an ordinary WireGuard server: no disco, no relay */
        bool expired;
        void *ctx; /* handed back in callbacks */
};

/* Adds the peer or takes over its new facts. ERR_LIMIT, ERR_NOMEM; ERR_RANGE for
 * a peer that cannot be reached (no disco key), which is removed. */
enum err MUST_USE path_peer_set(
        struct path_manager *m, const struct path_peer_config *peer, const struct now *now);
void path_peer_remove(struct path_manager *m, const struct public_key *node_key, const struct now *now);
/* A whole new list: between begin and end set every peer; the others go. */
void path_peers_begin(struct path_manager *m);
void path_peers_end(struct path_manager *m, const struct now *now);
/* The peer told its new disco key inside the tunnel (TSMP, spec 1.5). */
void path_peer_disco_changed(struct path_manager *m, const struct public_key *node_key,
        const struct public_key *disco_key, const struct now *now);

/* ---- packets ---- */

/* A datagram of a data socket. True if it was disco or STUN and is dealt with. */
bool path_udp_received(
        struct path_manager *m, const struct ip_port *src, struct slice datagram, const struct now *now);
/* A packet from a relay. True if it was disco; false: give it to WireGuard. */
bool path_derp_received(struct path_manager *m, uint16_t region, const struct public_key *src,
        struct slice packet, const struct now *now);
/* The user's traffic went to this peer (see the head of this file). */
void path_data_sent(struct path_manager *m, const struct public_key *peer, const struct now *now);
/* WireGuard authenticated a packet (at least: each handshake message) of peer that
 * came from this address: it becomes a candidate. */
void path_wireguard_from(struct path_manager *m, const struct public_key *peer, const struct ip_port *src,
        const struct now *now);
/* Sends one WireGuard message by the peer's present path and counts it as data
 * sent. ERR_NOTFOUND: no such peer, or no way to it. ERR_DENIED: expired. */
enum err MUST_USE path_send(
        struct path_manager *m, const struct public_key *peer, struct slice message, const struct now *now);
/* A data socket itself failed (EPIPE, ENOTCONN, EPERM): asks for new ones by
 * rebind_wanted(), at most every 5 seconds. */
void path_socket_failed(struct path_manager *m, const struct now *now);
/* Sending to dst failed for good (host or network unreachable): forget it as path. */
void path_udp_failed(struct path_manager *m, const struct ip_port *dst, const struct now *now);

/* ---- port mapping and probes made by the driver ---- */

void path_portmap_received(
        struct path_manager *m, const struct ip_port *src, struct slice datagram, const struct now *now);
/* external: IP_NONE if it failed. lifetime_s 0: permanent. */
void path_upnp_done(
        struct path_manager *m, const struct ip_port *external, uint32_t lifetime_s, const struct now *now);
/* status OK: latency_us is valid. */
void path_latency_probed(struct path_manager *m, const struct netcheck_latency_probe *probe, enum err status,
        uint64_t latency_us, const struct now *now);

/* ---- asking ---- */

/* Determines our endpoints anew soon ("re-STUN"). why is for the log. */
void path_restun(struct path_manager *m, const char *why, const struct now *now);

/* Pings a peer on all sensible paths; the first answer (or ERR_TIMEOUT after 5 s)
 * comes as ping_result(). size: whole packet, 0 for the smallest. ERR_NOTFOUND,
 * ERR_DENIED (expired), ERR_LIMIT, ERR_RANGE, ERR_STATE (no path to ask on). */
enum err MUST_USE path_ping(struct path_manager *m, const struct public_key *peer, size_t size,
        uint64_t token, const struct now *now);

/* ERR_NOTFOUND. */
enum err MUST_USE path_peer_best(
        const struct path_manager *m, const struct public_key *peer, struct path_best *out);
/* Up to cap candidates of a peer, for `weft debug`; returns how many there are. */
size_t path_peer_candidates(
        const struct path_manager *m, const struct public_key *peer, struct ip_port *out, size_t cap);
size_t path_endpoints(const struct path_manager *m, struct path_endpoint *out, size_t cap);
/* The last finished report; NULL before the first. Lives until the next call. */
const struct netcheck_report *path_report(const struct path_manager *m);

struct path_stats {
        uint64_t disco_dropped; /* unknown sender, bad box, malformed, misplaced */
        uint64_t pings_sent, pongs_received, pongs_unknown;
        uint64_t calls_sent, calls_received; /* CallMeMaybe */
        uint64_t candidates_replaced;        /* fresher ones took the place of stale ones */
        uint64_t restuns;
};
const struct path_stats *path_stats(const struct path_manager *m);

#endif
