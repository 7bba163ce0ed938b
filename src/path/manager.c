/* The engines of a path manager, joined and wired to its driver. */
#include "path_internal.h"

#include <stdlib.h>

#include "base/log.h"
#include "proto/stun.h"

static const struct log log_path = { "path" };

/* ---- the engines inside, wired to the driver ---- */

static void netcheck_sends(void *ctx, const struct ip_port *dst, struct slice request)
{
        struct path_manager *m = ctx;

        m->ops->send_udp(m->ctx, dst, request);
}

static void netcheck_probes(void *ctx, const struct netcheck_latency_probe *probe)
{
        struct path_manager *m = ctx;

        m->ops->probe_latency(m->ctx, probe);
}

static uint64_t netcheck_asks_heard(void *ctx, uint16_t region) { return path_region_heard_us(ctx, region); }

static void netcheck_done(void *ctx, const struct netcheck_report *report, const struct now *now)
{
        path_endpoints_report_done(ctx, report, now);
}

static struct netcheck_ops netcheck_ops_for(const struct path_ops *ops)
{
        return (struct netcheck_ops){
                .send_stun = netcheck_sends,
                .probe_latency = ops->probe_latency ? netcheck_probes : NULL,
                .region_heard_us = netcheck_asks_heard,
                .done = netcheck_done,
        };
}

static void portmap_sends(void *ctx, const struct ip_port *dst, struct slice datagram)
{
        struct path_manager *m = ctx;

        m->ops->send_portmap(m->ctx, dst, datagram);
}

static void portmap_asks_upnp(void *ctx, uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s)
{
        struct path_manager *m = ctx;

        m->ops->upnp(m->ctx, internal_port, external_port, lifetime_s);
}

static void portmap_changed(void *ctx, const struct ip_port *external, const struct now *now)
{
        (void)external;
        path_restun(ctx, "port mapping changed", now);
}

static const struct portmap_ops portmap_ops = {
        .send = portmap_sends,
        .upnp = portmap_asks_upnp,
        .changed = portmap_changed,
};

/* ---- life ---- */

static bool make_parts(struct path_manager *m)
{
        m->plain = malloc(PACKET_MAX);
        m->sealed = malloc(PACKET_MAX);
        m->build = malloc(PACKET_MAX);
        m->netcheck_ops = netcheck_ops_for(m->ops);
        m->netcheck = netcheck_new(&m->netcheck_ops, m, m->rng);
        if (m->ops->send_portmap)
                m->portmap = portmap_client_new(&portmap_ops, m, m->rng);
        return m->plain && m->sealed && m->build && m->netcheck && (m->portmap || !m->ops->send_portmap);
}

struct path_manager *path_manager_new(const struct path_config *config, const struct now *now)
{
        struct path_manager *m = calloc(1, sizeof(*m));

        (void)now;
        if (!m)
                return NULL;
        m->ops = config->ops;
        m->ctx = config->ctx;
        m->rng = config->rng;
        timer_heap_init(&m->timers);
        table_init(&m->peers, PATH_PEERS_MAX);
        table_init(&m->disco_keys, PATH_PEERS_MAX);
        table_init(&m->pings, PINGS_MAX);
        list_init(&m->peer_list);
        list_init(&m->user_pings);
        m->net.locals = m->locals;
        key_generate(m->rng, &m->disco_secret);
        key_public(&m->disco_secret, &m->disco_public);
        path_endpoints_init(m);
        if (make_parts(m))
                return m;
        path_manager_free(m);
        return NULL;
}

void path_manager_free(struct path_manager *m)
{
        if (!m)
                return;
        path_user_pings_free(m);
        list_each_safe(it, &m->peer_list)
                path_peer_free(container_of(it, struct path_peer, link));
        portmap_client_free(m->portmap);
        netcheck_free(m->netcheck);
        netcheck_map_fini(&m->map);
        timer_heap_fini(&m->timers);
        table_fini(&m->peers);
        table_fini(&m->disco_keys);
        table_fini(&m->pings);
        free(m->report);
        free(m->plain);
        free(m->sealed);
        free(m->build);
        key_wipe(&m->disco_secret, sizeof(m->disco_secret));
        free(m);
}

const struct public_key *path_disco_key(const struct path_manager *m) { return &m->disco_public; }

static void announce_all(struct path_manager *m)
{
        list_each(it, &m->peer_list)
                path_peer_announce(container_of(it, struct path_peer, link));
}

void path_set_node_key(struct path_manager *m, const struct public_key *key, const struct now *now)
{
        bool first = key_is_zero(&m->node_key);

        m->node_key = key ? *key : (struct public_key){ 0 };
        announce_all(m);
        if (first && key)
                path_restun(m, "first key", now);
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t path_next_deadline_us(const struct path_manager *m)
{
        uint64_t at = earlier(timer_next(&m->timers), netcheck_next_deadline_us(m->netcheck));

        return m->portmap ? earlier(at, portmap_client_next_deadline_us(m->portmap)) : at;
}

void path_run(struct path_manager *m, const struct now *now)
{
        timer_run(&m->timers, now);
        netcheck_run(m->netcheck, now);
        if (m->portmap)
                portmap_client_run(m->portmap, now);
}

/* ---- the network ---- */

static void copy_network(struct path_manager *m, const struct path_network *net)
{
        size_t n = net->local_count < PATH_LOCALS_MAX ? net->local_count : PATH_LOCALS_MAX;

        if (n)
                memcpy(m->locals, net->locals, n * sizeof(m->locals[0]));
        m->net = *net;
        m->net.locals = m->locals;
        m->net.local_count = n;
}

static void update_portmap(struct path_manager *m, const struct now *now)
{
        static const struct ip_addr none;
        bool wanted = m->net.up && !m->options.no_portmap && !m->options.only_tcp_443;

        if (!m->portmap)
                return;
        portmap_client_set_upnp(m->portmap, m->ops->upnp && !m->options.no_upnp);
        portmap_client_set_network(m->portmap, wanted ? &m->net.gateway : &none,
                wanted ? &m->net.gateway_self : &none, m->net.port_v4, now);
}

void path_set_network(struct path_manager *m, const struct path_network *net, const struct now *now)
{
        bool was_up = m->net.up;

        if (was_up && !net->up && m->portmap)
                portmap_client_forget(m->portmap);
        copy_network(m, net);
        update_portmap(m, now);
        if (!net->up)
                netcheck_stop(m->netcheck);
        if (was_up != net->up)
                announce_all(m);
        if (net->up)
                path_restun(m, "link change", now);
}

void path_rebound(struct path_manager *m, const struct now *now)
{
        log_info(&log_path, "sockets bound anew, paths start again", "peers=%zu", m->peers.count);
        list_each(it, &m->peer_list)
                path_peer_reset(container_of(it, struct path_peer, link));
        path_endpoints_forget(m);
        netcheck_forget(m->netcheck);
        path_restun(m, "rebind", now);
}

void path_socket_failed(struct path_manager *m, const struct now *now)
{
        if (!m->ops->rebind_wanted || since_us(now, m->rebind_asked_us) < REBIND_INTERVAL_US)
                return;
        m->rebind_asked_us = now->mono_us;
        m->ops->rebind_wanted(m->ctx, "sending failed");
}

void path_set_options(struct path_manager *m, const struct path_options *options, const struct now *now)
{
        bool udp_was_allowed = path_udp_allowed(m);

        m->options = *options;
        update_portmap(m, now);
        if (udp_was_allowed == path_udp_allowed(m))
                return;
        list_each(it, &m->peer_list)
                path_peer_reset(container_of(it, struct path_peer, link));
        path_restun(m, "options changed", now);
}

/* ---- packets ---- */

bool path_udp_received(
        struct path_manager *m, const struct ip_port *src, struct slice datagram, const struct now *now)
{
        struct origin from = { .udp = *src };

        if (stun_is(datagram)) {
                netcheck_received(m->netcheck, src, datagram, now);
                return true;
        }
        if (!disco_is(datagram))
                return false;
        path_disco_received(m, &from, datagram, now);
        return true;
}

bool path_derp_received(struct path_manager *m, uint16_t region, const struct public_key *src,
        struct slice packet, const struct now *now)
{
        struct origin from = { .region = region, .relay_key = src };
        struct path_peer *p = path_peer_find(m, src);

        path_region_note_heard(m, region, now);
        if (p && p->heard_region != region) {
                p->heard_region = region;
                path_peer_announce(p);
        }
        if (!disco_is(packet))
                return false;
        if (region)
                path_disco_received(m, &from, packet, now);
        return true;
}

void path_derp_peer_gone(struct path_manager *m, uint16_t region, const struct public_key *peer)
{
        struct path_peer *p = path_peer_find(m, peer);

        if (!p || p->heard_region != region)
                return;
        p->heard_region = 0;
        path_peer_announce(p);
}

/* ---- what the driver found out for us ---- */

void path_portmap_received(
        struct path_manager *m, const struct ip_port *src, struct slice datagram, const struct now *now)
{
        if (m->portmap)
                portmap_client_received(m->portmap, src, datagram, now);
}

void path_upnp_done(
        struct path_manager *m, const struct ip_port *external, uint32_t lifetime_s, const struct now *now)
{
        if (m->portmap)
                portmap_client_upnp_done(m->portmap, external, lifetime_s, now);
}

void path_latency_probed(struct path_manager *m, const struct netcheck_latency_probe *probe, enum err status,
        uint64_t latency_us, const struct now *now)
{
        netcheck_latency_probed(m->netcheck, probe, status, latency_us, now);
}

const struct netcheck_report *path_report(const struct path_manager *m) { return m->report; }

const struct path_stats *path_stats(const struct path_manager *m) { return &m->stats; }
