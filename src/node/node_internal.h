/*
 * The parts of a running node and how they are joined.
 *
 *   node.c          birth, death, TUN, timers
 *   node_control.c  backend <-> control client, disk
 *   node_engine.c   what the packet path is to be: peers, view, routes, relays
 *   node_packets.c  packet path, WireGuard engine, paths and relays among each other
 *   node_network.c  interfaces, sockets anew, addresses of relays, suspend
 *   node_routes.c   what the kernel is to do: routes, firewall
 *   node_names.c    MagicDNS; the resolver itself is node_dns.c
 *   node_portmap.c  the router in front of us
 *   node_local.c    what users ask: live status, pings
 *
 * All of it runs on the loop's thread; only the packet workers do not.
 */
#ifndef NODE_NODE_INTERNAL_H
#define NODE_NODE_INTERNAL_H

#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "client/control_io.h"
#include "dataplane/dataplane.h"
#include "derp_pool.h"
#include "localapi_server.h"
#include "net/dial.h"
#include "net/udp.h"
#include "node/backend.h"
#include "node/node.h"
#include "node_dns.h"
#include "os/monitor.h"
#include "path/latency_probe.h"
#include "path/path.h"
#include "path/upnp.h"
#include "tunnel/tunnel.h"

enum {
        NODE_TSMP_PINGS_MAX = 16,
        NODE_RESOLVES_MAX = 64,
        NODE_ROUTES_MAX = ROUTER_PREFIX_MAX,
};

/* A peer of the netmap while the engine runs. */
struct node_peer {
        struct public_key key;
        struct dataplane_peer *packets;
        struct tunnel_peer *tunnel; /* NULL until first used, and again when dormant */
        struct path_best best;
        unsigned generation;        /* of the last netmap that had it */
        bool wants_session;         /* a packet waits, and there was no way to the peer yet */
};

struct tsmp_ping {
        bool in_use;
        uint8_t token[8];
        uint64_t request, sent_us;
};

struct node_ping {
        uint64_t token; /* of the request */
        struct public_key key; /* zero: nobody's */
        struct ip_addr ip;
        enum localapi_ping_type type;
};

/* The address of one relay being looked up. */
struct relay_resolve {
        struct list link;
        struct node *node;
        struct net_resolve *resolve;
        uint16_t region;
        size_t index;
};

/* Addresses and routes that were last asked for. */
struct node_routes {
        struct ip_prefix *addresses, *routes, *throws;
        size_t address_count, route_count, throw_count;
};

struct node {
        struct net_loop *loop;
        struct node_options options;
        char *host_texts; /* of backend_host */

        struct state_map state;
        struct backend *backend;
        struct localapi_server *api;
        struct control_io *control;
        struct control_io *old_control; /* to be freed from the loop */
        struct net_task free_control;

        struct net_poll *priv_poll;
        struct tun_device tun;
        bool has_tun;
        bool is_stopping;

        struct dataplane *packets;
        struct net_poll *packets_poll;
        struct tunnel *tunnel;
        int64_t saved_clock_us;       /* tunnel_clock() as the state file has it */
        struct path_manager *path;
        struct derp_pool *relays;
        struct latency_probes *probes;
        struct arena netinfo_memory;
        struct tailcfg_netinfo netinfo; /* the last one, for a new control client */
        bool has_netinfo;
        struct net_udp *portmap;      /* socket of the port mapper; NULL until used */
        struct upnp *upnp;

        struct os_monitor *monitor;
        struct net_poll *monitor_poll;
        struct timer monitor_timer;   /* events are looked at once a second */
        bool monitor_pending;
        uint64_t network_print;       /* hash of the network that paths were made for */

        struct table peers;           /* by node key */
        unsigned generation;
        bool engine_on;
        bool relay_map_dirty;
        struct secret_key engine_key; /* zero: none */
        struct node_routes routes;
        struct firewall_config firewall; /* as last asked for */
        struct node_dns *names;
        enum os_dns_kind names_kind;  /* the system's settings as last asked for */
        struct buf names_text;
        unsigned names_restored, names_pending; /* times that others rewrote the file; changes under way */
        bool names_rewritten;         /* the file was not ours a moment ago */

        struct net_task apply_task;   /* the packet path follows the backend */
        struct timer backend_timer, path_timer, tunnel_timer, tick_timer;
        struct net_task arm_task;     /* deadlines of the engines may have moved */
        struct net_task rebind_task;
        struct net_task want_task;    /* a peer that packets wait for can be reached now */
        uint64_t rebound_us, last_tick_us;
        int64_t last_tick_unix_us;

        struct tsmp_ping tsmp[NODE_TSMP_PINGS_MAX];
        struct node_ping pings[PATH_USER_PINGS_MAX];
        size_t next_ping;
        struct list resolves;
        unsigned resolve_count;
        unsigned live_peers;
};

extern const struct log node_log;
extern const struct backend_ops node_backend_ops;
extern const struct path_ops node_path_ops;
extern const struct tunnel_ops node_tunnel_ops;
extern const struct derp_pool_events node_relay_events;
extern const struct localapi_server_ops node_api_ops;

static inline struct now node_now(const struct node *n)
{
        return net_loop_now(n->loop);
}

/* Every call into an engine may move its deadline; this looks at all of them before
 * the loop waits again. */
void node_touch(struct node *n);

struct node_peer *node_find_peer(const struct node *n, const struct public_key *key);

/* node_routes.c: brings the kernel into line with the backend, or undoes all of it. */
void node_set_routes(struct node *n, bool on);
void node_routes_fini(struct node *n);
void node_set_firewall(struct node *n, bool on);
/* Warns of advertised routes that the kernel does not forward. */
void node_check_forwarding(struct node *n, bool on);
/* What the packet filter takes for ours: own addresses and advertised routes; of an exit
 * node's default routes what is no private network. In the arena. */
struct tailcfg_prefixes node_local_prefixes(const struct node *n, struct arena *arena);

/* node_names.c: MagicDNS, and the system's settings that lead to it. */
enum err MUST_USE node_names_start(struct node *n);
void node_names_stop(struct node *n);
void node_names_listen(struct node *n); /* its address is there */
void node_names_apply(struct node *n, bool on);
void node_names_tick(struct node *n);

/* node_engine.c: brings the packet path into line with the backend. */
bool node_is_own_address(const struct tailcfg_node *node, const struct ip_prefix *p);
bool node_accepts_prefix(const struct prefs *prefs, const struct tailcfg_node *node, const struct ip_prefix *p);
void node_apply(struct node *n);
/* Removes all peers and everything that could carry packets. */
void node_engine_off(struct node *n);
void node_update_live(struct node *n);

/* node_packets.c */
void node_packets_ready(void *ctx, int events);
void node_want_sessions(struct node *n);

/* node_network.c */
enum err MUST_USE node_network_start(struct node *n, struct diag *diag);
void node_network_stop(struct node *n);
void node_rebind(struct node *n, const char *why);
void node_resolve_relays(struct node *n);
void node_probe_latency(void *ctx, const struct netcheck_latency_probe *probe);

/* node_portmap.c */
void node_find_gateway(struct path_network *net); /* net->locals are there already */
void node_portmap_send(void *ctx, const struct ip_port *dst, struct slice datagram);
void node_upnp_ask(void *ctx, uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s);
enum err MUST_USE node_portmap_start(struct node *n);
void node_portmap_stop(struct node *n);

/* node_control.c */
void node_control_free_now(struct node *n);

/* node_local.c */
void node_fill_peer(void *ctx, const struct tailcfg_node *node, struct arena *arena, struct status_peer *out);
void node_fill_self(void *ctx, struct arena *arena, struct status_peer *out);
/* Tells a peer our disco key inside the tunnel: it may have the one of our last start
 * and nobody else to ask (spec/paths.md 1.5). */
void node_tell_disco_key(struct node *n, const struct public_key *peer);
void node_tsmp_pong(struct node *n, const uint8_t token[static 8]);
void node_tsmp_expire(struct node *n, const struct now *now);
/* The control server wants to know; types that we do not have get no answer. */
void node_ping_for_control(struct node *n, uint64_t ping_id, struct slice type, const struct ip_addr *ip);
void node_ping_result(struct node *n, const struct path_ping_result *r);

#endif
