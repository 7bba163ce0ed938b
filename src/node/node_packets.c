/* Packet path, WireGuard engine, path manager and relays, talking to each other. */
#include <errno.h>

#include "node_internal.h"
#include "proto/tsmp.h"

/* ---- WireGuard ------------------------------------------------------------------------ */

static struct tunnel_peer *tunnel_of(struct node *n, struct node_peer *p)
{
        const struct tunnel_peer_config config = { .key = p->key, .is_lazy = true, .user = p };

        if (!p->tunnel && tunnel_peer_add(n->tunnel, &config, &p->tunnel) != OK)
                p->tunnel = NULL;
        return p->tunnel;
}

/* Answers go back the way the question came; the rest by the peer's best path. */
static void tunnel_send(void *ctx, struct tunnel_peer *peer, const struct tunnel_source *reply_to, struct slice datagram)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        if (reply_to && reply_to->via == TUNNEL_VIA_UDP) {
                if (dataplane_send_datagram(n->packets, &reply_to->addr, datagram) != OK)
                        log_debug(&node_log, "handshake answer not sent", NULL);
                return;
        }
        if (reply_to && reply_to->via == TUNNEL_VIA_DERP) {
                derp_pool_send(n->relays, 0, reply_to->region, &reply_to->from, datagram);
                return;
        }
        if (peer && path_send(n->path, tunnel_peer_key(peer), datagram, &now) != OK)
                log_debug(&node_log, "no path for a handshake", NULL);
}

static struct node_peer *owner_of(const struct tunnel_peer *peer)
{
        return tunnel_peer_user(peer);
}

static void session_added(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s)
{
        struct node *n = ctx;

        if (dataplane_session_add(n->packets, owner_of(peer)->packets, s) != OK)
                log_error(&node_log, "out of memory for a session", NULL);
}

static void session_use(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s, bool confirm)
{
        struct node *n = ctx;

        dataplane_session_use(n->packets, owner_of(peer)->packets, s, confirm);
        node_tell_disco_key(n, tunnel_peer_key(peer));
        if (!n->live_peers)
                node_update_live(n);
}

static void session_removed(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s)
{
        struct node *n = ctx;

        (void)peer;
        dataplane_session_remove(n->packets, s);
}

static void keepalive(void *ctx, struct tunnel_peer *peer)
{
        struct node *n = ctx;

        dataplane_send_keepalive(n->packets, owner_of(peer)->packets);
}

static void unreachable(void *ctx, struct tunnel_peer *peer)
{
        struct node *n = ctx;

        dataplane_drop_staged(n->packets, owner_of(peer)->packets);
}

static void authenticated(void *ctx, struct tunnel_peer *peer, const struct tunnel_source *from)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        if (from->via == TUNNEL_VIA_UDP)
                path_wireguard_from(n->path, tunnel_peer_key(peer), &from->addr, &now);
}

static struct tunnel_peer *stranger(void *ctx, const struct public_key *key)
{
        struct node *n = ctx;
        struct node_peer *p = node_find_peer(n, key);

        return p ? tunnel_of(n, p) : NULL;
}

static void dormant(void *ctx, struct tunnel_peer *peer)
{
        (void)ctx;
        owner_of(peer)->tunnel = NULL;
}

const struct tunnel_ops node_tunnel_ops = {
        .send = tunnel_send,
        .session_added = session_added,
        .session_use = session_use,
        .session_removed = session_removed,
        .keepalive = keepalive,
        .unreachable = unreachable,
        .authenticated = authenticated,
        .stranger = stranger,
        .dormant = dormant,
};

/* ---- paths ---------------------------------------------------------------------------------- */

static void path_send_udp(void *ctx, const struct ip_port *dst, struct slice datagram)
{
        struct node *n = ctx;
        enum err err = dataplane_send_datagram(n->packets, dst, datagram);

        if (err && err != ERR_NOTFOUND)
                log_debug(&node_log, "datagram not sent", "why=\"%s\"", err_str(err));
}

static void path_send_derp(void *ctx, uint16_t home, uint16_t heard, const struct public_key *peer, struct slice packet)
{
        struct node *n = ctx;

        derp_pool_send(n->relays, home, heard, peer, packet);
}

static void path_changed(void *ctx, const struct public_key *peer, void *peer_ctx, const struct path_best *best)
{
        struct node *n = ctx;
        struct node_peer *p = peer_ctx;
        const struct dataplane_path path = {
                .udp = best->udp,
                .trusted_until_us = best->trusted_until_us,
                .derp = best->derp_home || best->derp_heard,
        };

        (void)peer;
        if (!p)
                return;
        bool was_direct = ip_valid(&p->best.udp.ip), is_direct = ip_valid(&best->udp.ip);
        if (was_direct != is_direct || (is_direct && !ip_port_equal(&p->best.udp, &best->udp))) {
                char key[8], to[IP_TEXT_MAX] = "relay";
                key_format_short(&p->key, key);
                if (is_direct)
                        ip_port_format(&best->udp, to);
                log_debug(&node_log, "path changed", "peer=%s path=%s", key, to);
        }
        p->best = *best;
        if (p->wants_session && path_best_use(best, node_now(n).mono_us))
                net_loop_defer(n->loop, &n->want_task);
        if (dataplane_peer_set_path(n->packets, p->packets, &path) != OK)
                log_error(&node_log, "out of memory for a path", NULL);
}

static void endpoints_changed(void *ctx, const struct path_endpoint *list, size_t count)
{
        struct node *n = ctx;
        const struct now now = node_now(n);
        struct ip_port addrs[PATH_ENDPOINTS_MAX];
        int64_t types[PATH_ENDPOINTS_MAX];

        if (!n->control)
                return;
        for (size_t i = 0; i < count && i < PATH_ENDPOINTS_MAX; i++) {
                addrs[i] = list[i].addr;
                types[i] = list[i].type;
        }
        control_client_set_endpoints(control_io_client(n->control), &now, addrs, types,
                count < PATH_ENDPOINTS_MAX ? count : PATH_ENDPOINTS_MAX);
        node_touch(n);
}

static void netinfo_changed(void *ctx, const struct tailcfg_netinfo *info)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        arena_fini(&n->netinfo_memory);
        n->has_netinfo = tailcfg_netinfo_copy(&n->netinfo_memory, &n->netinfo, info) == OK;
        if (n->control)
                control_client_set_netinfo(control_io_client(n->control), &now, info);
        node_touch(n);
}

static void home_changed(void *ctx, uint16_t region)
{
        struct node *n = ctx;

        log_info(&node_log, "home relay chosen", "region=%u", region);
        derp_pool_set_home(n->relays, region);
}

static void ping_result(void *ctx, const struct path_ping_result *r)
{
        node_ping_result(ctx, r);
}

static void rebind_wanted(void *ctx, const char *why)
{
        struct node *n = ctx;

        log_debug(&node_log, "sockets are to be opened anew", "why=\"%s\"", why);
        net_loop_defer(n->loop, &n->rebind_task);
}

static uint64_t last_sent_us(void *ctx, const struct public_key *peer, void *peer_ctx)
{
        struct dataplane_counters counters;
        struct node_peer *p = peer_ctx;

        (void)ctx;
        (void)peer;
        if (!p)
                return 0;
        dataplane_peer_counters(p->packets, &counters);
        return counters.last_sent_us;
}

static uint64_t last_received_us(void *ctx, const struct public_key *peer, void *peer_ctx, const struct ip_port *from)
{
        struct dataplane_counters counters;
        struct node_peer *p = peer_ctx;

        (void)ctx;
        (void)peer;
        (void)from;
        if (!p)
                return 0;
        dataplane_peer_counters(p->packets, &counters);
        return counters.last_received_us;
}

const struct path_ops node_path_ops = {
        .send_udp = path_send_udp,
        .send_derp = path_send_derp,
        .path_changed = path_changed,
        .endpoints_changed = endpoints_changed,
        .netinfo_changed = netinfo_changed,
        .home_changed = home_changed,
        .ping_result = ping_result,
        .rebind_wanted = rebind_wanted,
        .last_sent_us = last_sent_us,
        .last_received_us = last_received_us,
        .probe_latency = node_probe_latency,
        .send_portmap = node_portmap_send,
        .upnp = node_upnp_ask,
};

/* ---- relays ----------------------------------------------------------------------------------- */

static void relay_packet(void *ctx, uint16_t region, const struct public_key *src, struct slice packet)
{
        struct node *n = ctx;
        const struct now now = node_now(n);
        const struct tunnel_source from = { .via = TUNNEL_VIA_DERP, .region = region, .from = *src };

        node_touch(n);
        if (path_derp_received(n->path, region, src, packet, &now) || !node_find_peer(n, src))
                return;
        switch (tunnel_message_type(packet)) {
        case TUNNEL_INITIATION:
        case TUNNEL_RESPONSE:
        case TUNNEL_COOKIE:
                tunnel_receive(n->tunnel, packet, &from, &now);
                return;
        case TUNNEL_TRANSPORT:
                if (dataplane_receive_derp(n->packets, packet) != OK)
                        log_debug(&node_log, "packet of a relay dropped", NULL);
                return;
        }
}

static void relay_peer_gone(void *ctx, uint16_t region, const struct public_key *peer)
{
        struct node *n = ctx;

        path_derp_peer_gone(n->path, region, peer);
}

static void relay_alive(void *ctx, uint16_t region)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        path_derp_alive(n->path, region, &now);
}

static void relay_failed(void *ctx, uint16_t region)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        path_derp_failed(n->path, region, &now);
        node_touch(n);
}

static void relay_count_changed(void *ctx)
{
        struct node *n = ctx;

        if (!n->engine_on)
                return;
        node_update_live(n);
        backend_set_warning(n->backend, WARN_RELAY, derp_pool_trouble(n->relays));
}

const struct derp_pool_events node_relay_events = {
        .packet = relay_packet,
        .peer_gone = relay_peer_gone,
        .alive = relay_alive,
        .failed = relay_failed,
        .count_changed = relay_count_changed,
};

/* ---- packet path --------------------------------------------------------------------------------- */

static void tsmp_message(struct node *n, struct node_peer *p, struct slice bytes, const struct now *now)
{
        struct packet packet;
        struct tsmp m;

        if (packet_decode(bytes, &packet) != OK ||
            tsmp_parse(slice_after(packet.bytes, packet.l4_offset), &m) != OK)
                return;
        switch (m.kind) {
        case TSMP_PONG:
                node_tsmp_pong(n, m.token);
                return;
        case TSMP_DISCO_KEY:
                path_peer_disco_changed(n->path, &p->key, &m.disco_key, now);
                return;
        case TSMP_PING:
        case TSMP_REJECT:
                return;
        }
}

/* A handshake that goes nowhere would only be tried again seconds later; one that
 * waits for the first path begins with it. */
static void want_session(struct node *n, struct node_peer *p, const struct now *now)
{
        p->wants_session = !path_best_use(&p->best, now->mono_us);
        if (!p->wants_session && tunnel_of(n, p))
                tunnel_want_session(n->tunnel, p->tunnel, now);
}

void node_want_sessions(struct node *n)
{
        const struct now now = node_now(n);
        struct node_peer *p;

        for (size_t i = 0; (p = table_next(&n->peers, &i));)
                if (p->wants_session)
                        want_session(n, p, &now);
        node_touch(n);
}

static void handle(struct node *n, const struct dataplane_event *e, const struct now *now)
{
        struct node_peer *p = e->owner;
        const struct tunnel_source from = { .via = TUNNEL_VIA_UDP, .addr = e->from };

        switch (e->kind) {
        case DATAPLANE_DISCO:
        case DATAPLANE_STUN:
                path_udp_received(n->path, &e->from, e->bytes, now);
                return;
        case DATAPLANE_HANDSHAKE:
                tunnel_receive(n->tunnel, e->bytes, &from, now);
                return;
        case DATAPLANE_DERP_SEND:
                if (p)
                        derp_pool_send(n->relays, p->best.derp_home, p->best.derp_heard, &p->key, e->bytes);
                return;
        case DATAPLANE_WANT_SESSION:
                if (!p)
                        return;
                path_data_sent(n->path, &p->key, now);
                want_session(n, p, now);
                return;
        case DATAPLANE_TUNNEL:
                tunnel_event(n->tunnel, e->session_index, e->session_events, now);
                return;
        case DATAPLANE_SENT:
                if (p)
                        path_data_sent(n->path, &p->key, now);
                return;
        case DATAPLANE_SOURCE:
                if (p)
                        path_wireguard_from(n->path, &p->key, &e->from, now);
                return;
        case DATAPLANE_UNREACHABLE:
                path_udp_failed(n->path, &e->from, now);
                return;
        case DATAPLANE_SOCKET_ERROR:
                log_debug(&node_log, "socket error", "why=\"%s\"", strerror(e->errnum));
                path_socket_failed(n->path, now);
                return;
        case DATAPLANE_TSMP:
                if (p)
                        tsmp_message(n, p, e->bytes, now);
                return;
        case DATAPLANE_TUN_GONE:
                n->options.failed(n->options.ctx, "the TUN device is gone: another program removed it");
                return;
        }
}

void node_packets_ready(void *ctx, int events)
{
        enum { BATCH = 256 };
        struct node *n = ctx;
        const struct now now = node_now(n);
        struct dataplane_event e;

        (void)events;
        for (int i = 0; i < BATCH && dataplane_next_event(n->packets, &e); i++)
                handle(n, &e, &now);
        node_touch(n);
}
