#include "static_node.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "shared.h"

static struct now present(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        return (struct now){ boottime_us(), (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 };
}

static void kernel_fill(struct rng *rng, void *out, size_t n)
{
        (void)rng;
        if (getrandom(out, n, 0) != (ssize_t)n)
                abort();
}

/* ---- what the tunnel engine wants ---------------------------------------- */

static void send_handshake(
        void *ctx, struct tunnel_peer *peer, const struct tunnel_source *reply_to, struct slice datagram)
{
        struct static_node *n = ctx;
        const struct static_peer *sp = peer ? tunnel_peer_user(peer) : NULL;
        const struct ip_port *to = reply_to && reply_to->via == TUNNEL_VIA_UDP ? &reply_to->addr
                                   : sp                                        ? &sp->endpoint
                                                                               : NULL;

        if (to && ip_valid(&to->ip))
                (void)!dataplane_send_datagram(n->dp, to, datagram);
        else if (n->send_derp)
                n->send_derp(n->ctx, datagram);
}

static void session_added(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s)
{
        struct static_node *n = ctx;
        struct static_peer *sp = tunnel_peer_user(peer);

        (void)!dataplane_session_add(n->dp, sp->path, s);
}

static void session_use(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s, bool confirm)
{
        struct static_node *n = ctx;
        struct static_peer *sp = tunnel_peer_user(peer);

        dataplane_session_use(n->dp, sp->path, s, confirm);
}

static void session_removed(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s)
{
        struct static_node *n = ctx;

        (void)peer;
        dataplane_session_remove(n->dp, s);
}

static void keepalive(void *ctx, struct tunnel_peer *peer)
{
        struct static_node *n = ctx;
        struct static_peer *sp = tunnel_peer_user(peer);

        dataplane_send_keepalive(n->dp, sp->path);
}

static void unreachable(void *ctx, struct tunnel_peer *peer)
{
        struct static_node *n = ctx;
        struct static_peer *sp = tunnel_peer_user(peer);

        dataplane_drop_staged(n->dp, sp->path);
}

static void set_endpoint(struct static_peer *sp, const struct ip_port *to)
{
        struct dataplane_path path = { .udp = *to, .trusted_until_us = TIME_NEVER };

        sp->endpoint = *to;
        (void)!dataplane_peer_set_path(sp->node->dp, sp->path, &path);
}

/* A peer without an endpoint is found where it called from. */
static void authenticated(void *ctx, struct tunnel_peer *peer, const struct tunnel_source *from)
{
        struct static_peer *sp = tunnel_peer_user(peer);

        (void)ctx;
        if (!ip_valid(&sp->endpoint.ip) && from->via == TUNNEL_VIA_UDP)
                set_endpoint(sp, &from->addr);
}

static void dormant(void *ctx, struct tunnel_peer *peer)
{
        (void)ctx;
        (void)peer;
}

static const struct tunnel_ops tunnel_ops = {
        .send = send_handshake,
        .session_added = session_added,
        .session_use = session_use,
        .session_removed = session_removed,
        .keepalive = keepalive,
        .unreachable = unreachable,
        .authenticated = authenticated,
        .dormant = dormant,
};

/* ---- what the data plane reports ----------------------------------------- */

static void take_event(struct static_node *n, const struct dataplane_event *e)
{
        struct static_peer *sp = e->owner;
        struct now now = present();
        struct tunnel_source from = { .via = TUNNEL_VIA_UDP, .addr = e->from };

        n->event_counts[e->kind]++;
        switch (e->kind) {
        case DATAPLANE_HANDSHAKE:
                tunnel_receive(n->tunnel, e->bytes, &from, &now);
                break;
        case DATAPLANE_WANT_SESSION:
                tunnel_want_session(n->tunnel, sp->tunnel, &now);
                break;
        case DATAPLANE_TUNNEL:
                tunnel_event(n->tunnel, e->session_index, e->session_events, &now);
                break;
        case DATAPLANE_DERP_SEND:
                if (n->send_derp)
                        n->send_derp(n->ctx, e->bytes);
                break;
        case DATAPLANE_TSMP:
                n->last_tsmp = slice_make(n->tsmp_bytes, e->bytes.len);
                memcpy(n->tsmp_bytes, e->bytes.ptr, e->bytes.len < 128 ? e->bytes.len : 128);
                break;
        case DATAPLANE_DISCO:
        case DATAPLANE_STUN:
        case DATAPLANE_SENT:
        case DATAPLANE_SOURCE:
        case DATAPLANE_UNREACHABLE:
        case DATAPLANE_SOCKET_ERROR:
        case DATAPLANE_TUN_GONE:
                break; /* of use to a path layer, which fixed endpoints need not */
        }
}

void static_node_serve(struct static_node *n, int timeout_ms)
{
        struct now now = present();
        uint64_t deadline = tunnel_deadline(n->tunnel), wait_ms = (uint64_t)timeout_ms;
        struct pollfd fd = { .fd = dataplane_event_fd(n->dp), .events = POLLIN };
        struct dataplane_event e;

        if (deadline <= now.mono_us)
                wait_ms = 0;
        else if (deadline != TIME_NEVER && (deadline - now.mono_us) / 1000 < wait_ms)
                wait_ms = (deadline - now.mono_us) / 1000 + 1;
        (void)poll(&fd, 1, (int)wait_ms);
        while (dataplane_next_event(n->dp, &e))
                take_event(n, &e);
        now = present();
        if (tunnel_deadline(n->tunnel) <= now.mono_us)
                tunnel_run(n->tunnel, &now);
}

/* ---- start and stop ------------------------------------------------------ */

enum err static_node_start(struct static_node *n, const struct dataplane_options *options,
        const struct secret_key *key, struct diag *diag)
{
        struct tunnel_config config = { .secret = *key };

        *n = (struct static_node){ .rng.fill = kernel_fill };
        enum err e = dataplane_start(options, &n->dp, diag);
        if (e)
                return e;
        n->tunnel = tunnel_new(&config, &tunnel_ops, n, &n->rng);
        key_wipe(&config, sizeof(config));
        if (n->tunnel)
                return OK;
        dataplane_stop(n->dp);
        return ERR_NOMEM;
}

void static_node_stop(struct static_node *n)
{
        tunnel_free(n->tunnel); /* takes its sessions out of the data plane */
        dataplane_stop(n->dp);
}

enum err static_node_add_peer(struct static_node *n, const struct public_key *key,
        const struct ip_port *endpoint, const struct ip_prefix *route)
{
        if (n->peer_count == STATIC_PEERS_MAX)
                return ERR_LIMIT;
        struct static_peer *sp = &n->peers[n->peer_count];
        struct tunnel_peer_config config = { .key = *key, .user = sp };

        *sp = (struct static_peer){ .node = n, .route = *route };
        sp->path = dataplane_peer_new(n->dp, key, sp);
        if (!sp->path)
                return ERR_NOMEM;
        enum err e = tunnel_peer_add(n->tunnel, &config, &sp->tunnel);
        if (e) {
                dataplane_peer_remove(n->dp, sp->path);
                return e;
        }
        if (ip_valid(&endpoint->ip))
                set_endpoint(sp, endpoint);
        n->peer_count++;
        return OK;
}

static struct filter *build_filter(const struct ip_addr *own, const char *rules_json)
{
        struct arena arena = ARENA_INIT(1 << 20);
        struct tailcfg_filter_rules rules;
        struct ip_prefix local = ip_host_prefix(*own);
        struct filter *f = NULL;

        if (tailcfg_filter_rules_decode(slice_str(rules_json), &arena, &rules) == OK) {
                struct filter_options o = {
                        .rules = rules.items, .rule_count = rules.count, .local = &local, .local_count = 1
                };
                f = filter_new(&o);
        }
        arena_fini(&arena);
        return f;
}

enum err static_node_publish(struct static_node *n, const struct ip_addr *own, const char *rules_json)
{
        struct dataplane_view *v = dataplane_view_new();

        if (!v)
                return ERR_NOMEM;
        v->routes = ip_trie_new();
        v->filter = build_filter(own, rules_json);
        *(own->family == IP_V6 ? &v->own6 : &v->own4) = *own;
        enum err e = v->routes && v->filter ? OK : ERR_NOMEM;
        for (size_t i = 0; i < n->peer_count && !e; i++)
                e = ip_trie_insert(v->routes, &n->peers[i].route, n->peers[i].path);
        if (!e)
                e = dataplane_publish(n->dp, v);
        if (e)
                dataplane_view_free(v);
        return e;
}
