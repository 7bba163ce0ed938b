/* A node's packet path on one thread: path manager, tunnel, filter, echo requests. */
#include "node_internal.h"

#include <stdlib.h>

#include "ip/checksum.h"

/* ---- what the path manager asks for ---- */

static void on_send_udp(void *ctx, const struct ip_port *dst, struct slice datagram)
{
        struct sim_node *n = ctx;

        net_send(n->w, n->host, NODE_PORT, dst, datagram);
}

static void on_send_derp(void *ctx, uint16_t home, uint16_t heard, const struct public_key *peer, struct slice packet)
{
        (void)home;
        (void)heard;
        node_derp_send(ctx, peer, packet);
}

static void on_path_changed(void *ctx, const struct public_key *peer, void *peer_ctx, const struct path_best *best)
{
        (void)ctx;
        (void)peer;
        (void)peer_ctx;
        (void)best; /* asked for when needed: path_peer_best() */
}

static void tell_endpoints(struct sim_node *n, const struct path_endpoint *list, size_t count)
{
        struct now now = node_now(n);
        struct ip_port addrs[PATH_ENDPOINTS_MAX];
        int64_t types[PATH_ENDPOINTS_MAX];

        for (size_t i = 0; i < count; i++) {
                addrs[i] = list[i].addr;
                types[i] = list[i].type;
        }
        if (n->control)
                control_client_set_endpoints(n->control, &now, addrs, types, count);
}

static void on_endpoints(void *ctx, const struct path_endpoint *list, size_t count)
{
        tell_endpoints(ctx, list, count);
}

void node_tell_endpoints(struct sim_node *n)
{
        struct path_endpoint list[PATH_ENDPOINTS_MAX];

        tell_endpoints(n, list, path_endpoints(n->path, list, PATH_ENDPOINTS_MAX));
}

static void on_netinfo(void *ctx, const struct tailcfg_netinfo *info)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        if (n->control)
                control_client_set_netinfo(n->control, &now, info);
}

static void on_home(void *ctx, uint16_t region)
{
        struct sim_node *n = ctx;

        n->derp_is_wanted = region != 0;
}

static const struct path_ops path_ops = {
        .send_udp = on_send_udp,
        .send_derp = on_send_derp,
        .path_changed = on_path_changed,
        .endpoints_changed = on_endpoints,
        .netinfo_changed = on_netinfo,
        .home_changed = on_home,
};

/* ---- packets of the user: echo requests and their replies ---- */

enum { ECHO_LEN = 20 + 8 + 8, ICMP_ECHO_REPLY = 0, ICMP_ECHO_REQUEST = 8 };

static void write_echo(uint8_t out[static ECHO_LEN], uint8_t type, const struct ip_addr *src, const struct ip_addr *dst, uint64_t number)
{
        struct writer w = writer_of(out, ECHO_LEN);

        wr_be16(&w, 0x4500);
        wr_be16(&w, ECHO_LEN);
        wr_be32(&w, 0);
        wr_be32(&w, 0x40010000); /* TTL 64, ICMP, checksum to come */
        wr_bytes(&w, src->b, 4);
        wr_bytes(&w, dst->b, 4);
        put_be16(out + 10, checksum_finish(checksum_add(0, slice_make(out, 20))));
        wr_u8(&w, type);
        wr_zero(&w, 7);
        wr_be64(&w, number);
        put_be16(out + 22, checksum_finish(checksum_add(0, slice_make(out + 20, ECHO_LEN - 20))));
}

static void send_packet(struct sim_node *n, struct slice bytes)
{
        struct now now = node_now(n);
        struct packet p;

        if (!n->tunnel || packet_decode(bytes, &p))
                return;
        if (!filter_accepts(filter_check_out(n->flows, &p)))
                world_fail(n->w, "%s may not even send", n->name);
        if (tunnel_send_packet(n->tunnel, bytes, &now) == ERR_NOMEM)
                abort();
}

static const struct ip_addr *own_address(const struct sim_node *n)
{
        const struct tailcfg_node *self = netmap_self(backend_netmap(n->backend));

        return self && self->addresses.count ? &self->addresses.items[0].ip : NULL;
}

void node_send_ping(struct sim_node *n)
{
        const struct tailcfg_node *peer = netmap_peer_at(backend_netmap(n->backend), 0);
        const struct ip_addr *own = own_address(n);
        uint8_t echo[ECHO_LEN];

        if (!n->tunnel || !own || !peer || !peer->addresses.count)
                return;
        write_echo(echo, ICMP_ECHO_REQUEST, own, &peer->addresses.items[0].ip, ++n->pings);
        send_packet(n, SLICE_ARRAY(echo));
}

/* A reply leaves in a turn of its own: the tunnel may not be called from its calls. */
static void send_later(struct world *w, struct event *e)
{
        struct sim_node *n = e->ctx;

        (void)w;
        if (e->id == n->boots && n->backend)
                send_packet(n, slice_make(e->bytes, e->len));
}

static void on_deliver(void *ctx, struct tunnel_link *link, struct slice bytes)
{
        struct sim_node *n = ctx;
        uint8_t reply[ECHO_LEN];
        struct packet p;
        struct event *e;

        (void)link;
        if (packet_decode(bytes, &p) || !n->filter || !filter_accepts(filter_check_in(n->filter, n->flows, NULL, &p)))
                return;
        if (bytes.len != ECHO_LEN) {
                world_fail(n->w, "%s was delivered a packet of %zu bytes that nobody sent", n->name, bytes.len);
                return;
        }
        if (!packet_is_echo_request(&p)) {
                n->pongs++;
                return;
        }
        write_echo(reply, ICMP_ECHO_REPLY, &p.dst.ip, &p.src.ip, get_be32(bytes.ptr + ECHO_LEN - 4));
        e = event_add(n->w, n->w->now_us, send_later, SLICE_ARRAY(reply));
        e->ctx = n;
        e->id = n->boots;
}

/* ---- the tunnel ---- */

static struct link *link_of(struct tunnel_link *t)
{
        return tunnel_link_user(t);
}

static void on_tunnel_send(void *ctx, struct tunnel_link *t, const struct tunnel_source *reply_to, struct slice datagram)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        if (t) /* without a path it is lost, as anywhere on the way */
                (void)!path_send(n->path, &link_of(t)->key, datagram, &now);
        else if (reply_to && reply_to->via == TUNNEL_VIA_UDP)
                net_send(n->w, n->host, NODE_PORT, &reply_to->addr, datagram);
        else if (reply_to)
                node_derp_send(n, &reply_to->from, datagram);
}

static void on_authenticated(void *ctx, struct tunnel_link *t, const struct tunnel_source *from)
{
        struct sim_node *n = ctx;
        struct now now = node_now(n);

        if (from->via == TUNNEL_VIA_UDP)
                path_wireguard_from(n->path, &link_of(t)->key, &from->addr, &now);
}

static const struct tunnel_direct_ops tunnel_ops = {
        .send = on_tunnel_send, .deliver = on_deliver, .authenticated = on_authenticated,
};

void node_wireguard(struct sim_node *n, struct slice datagram, const struct tunnel_source *from)
{
        struct now now = node_now(n);
        uint8_t *copy;

        if (!n->tunnel || !datagram.len)
                return;
        copy = malloc(datagram.len);
        if (!copy)
                abort();
        memcpy(copy, datagram.ptr, datagram.len);
        tunnel_direct_receive(n->tunnel, copy, datagram.len, from, &now);
        free(copy);
        n->disk_clock_us = tunnel_clock(tunnel_direct_engine(n->tunnel));
}

void sim_node_datagram(struct sim_node *n, const struct ip_port *src, uint16_t port, struct slice datagram)
{
        struct tunnel_source from = { .via = TUNNEL_VIA_UDP, .addr = *src };
        struct now now = node_now(n);

        if (port != NODE_PORT)
                return;
        if (!path_udp_received(n->path, src, datagram, &now))
                node_wireguard(n, datagram, &from);
        node_settle(n);
}

/* ---- the engines follow the backend ---- */

void node_path_start(struct sim_node *n)
{
        const struct path_config config = { .ops = &path_ops, .ctx = n, .rng = &n->rng.rng };
        const struct path_local local = { .ip = n->w->hosts[n->host].ip, .bits = 24, .ifname = "eth0", .up = true };
        const struct path_network network = {
                .up = true, .have_v4 = true, .port_v4 = NODE_PORT, .locals = &local, .local_count = 1,
        };
        struct now now = node_now(n);

        n->path = path_manager_new(&config, &now);
        n->flows = filter_flows_new();
        if (!n->path || !n->flows)
                abort();
        path_set_network(n->path, &network, &now);
}

static void drop_tunnel(struct sim_node *n)
{
        if (!n->tunnel)
                return;
        n->disk_clock_us = tunnel_clock(tunnel_direct_engine(n->tunnel));
        tunnel_direct_free(n->tunnel);
        n->tunnel = NULL;
        memset(n->links, 0, sizeof(n->links));
}

void node_path_stop(struct sim_node *n)
{
        drop_tunnel(n);
        node_derp_stop(n);
        path_manager_free(n->path);
        filter_free(n->filter);
        filter_flows_free(n->flows);
        n->path = NULL;
        n->filter = NULL;
        n->flows = NULL;
        n->node_key = (struct public_key){ 0 };
        n->derp_is_wanted = false;
        n->derp_retry_at_us = 0;
}

static void use_node_key(struct sim_node *n)
{
        const struct secret_key *secret = &backend_prefs(n->backend)->persist.node_key;
        struct tunnel_config config = { .secret = *secret, .clock_floor_unix_us = n->disk_clock_us };
        struct now now = node_now(n);
        struct public_key key;

        key_public(secret, &key);
        if (n->tunnel && key_equal(&key, &n->node_key))
                return;
        n->node_key = key;
        path_set_node_key(n->path, &key, &now);
        node_derp_stop(n);
        if (n->tunnel)
                tunnel_set_secret(tunnel_direct_engine(n->tunnel), secret);
        else
                n->tunnel = tunnel_direct_new(&config, 1280, &tunnel_ops, n, &n->rng.rng);
        key_wipe(&config, sizeof(config));
        if (!n->tunnel)
                abort();
}

static struct link *find_link(struct sim_node *n, const struct public_key *key)
{
        for (size_t i = 0; i < LINKS_MAX; i++) {
                if (n->links[i].tunnel && key_equal(&n->links[i].key, key))
                        return &n->links[i];
        }
        return NULL;
}

static struct link *add_link(struct sim_node *n, const struct public_key *key)
{
        for (size_t i = 0; i < LINKS_MAX; i++) {
                struct link *l = &n->links[i];
                const struct tunnel_peer_config config = { .key = *key, .user = l };

                if (l->tunnel)
                        continue;
                l->key = *key;
                return tunnel_link_add(n->tunnel, &config, &l->tunnel) ? NULL : l;
        }
        return NULL;
}

static void set_peer(struct sim_node *n, const struct tailcfg_node *node)
{
        struct now now = node_now(n);
        const struct path_peer_config path = {
                .node_key = node->key,
                .disco_key = node->disco_key,
                .endpoints = node->endpoints.items,
                .endpoint_count = node->endpoints.count,
                .home_region = (uint16_t)node->home_derp,
                .expired = node->expired,
        };
        struct link *l = find_link(n, &node->key);

        if (!l)
                l = add_link(n, &node->key);
        if (!l) {
                world_fail(n->w, "%s has no room for a peer", n->name);
                return;
        }
        l->is_wanted = true;
        for (size_t i = 0; i < node->allowed_ips.count; i++) {
                if (tunnel_link_allow(n->tunnel, l->tunnel, &node->allowed_ips.items[i]))
                        abort();
        }
        if (path_peer_set(n->path, &path, &now))
                world_say(n->w, "%s: the peer cannot be reached yet", n->name);
}

static void set_peers(struct sim_node *n)
{
        const struct netmap *nm = backend_netmap(n->backend);
        struct now now = node_now(n);

        for (size_t i = 0; i < LINKS_MAX; i++)
                n->links[i].is_wanted = false;
        path_peers_begin(n->path);
        for (size_t i = 0; backend_wants_engine(n->backend) && i < netmap_peer_count(nm); i++)
                set_peer(n, netmap_peer_at(nm, i));
        path_peers_end(n->path, &now);
        for (size_t i = 0; i < LINKS_MAX; i++) {
                struct link *l = &n->links[i];

                if (!l->tunnel || l->is_wanted)
                        continue;
                tunnel_link_remove(n->tunnel, l->tunnel);
                l->tunnel = NULL;
        }
}

static void set_filter(struct sim_node *n)
{
        const struct tailcfg_node *self = netmap_self(backend_netmap(n->backend));
        const struct tailcfg_filter_rules *rules = netmap_filter(backend_netmap(n->backend));
        const struct filter_options options = {
                .rules = rules->items,
                .rule_count = rules->count,
                .local = self->addresses.items,
                .local_count = self->addresses.count,
        };

        filter_free(n->filter);
        n->filter = filter_new(&options);
        if (!n->filter)
                abort();
}

void node_path_apply(struct sim_node *n)
{
        struct now now = node_now(n);

        if (!backend_wants_engine(n->backend)) {
                if (n->tunnel)
                        set_peers(n);
                return;
        }
        use_node_key(n);
        if (path_set_derp_map(n->path, netmap_derp_map(backend_netmap(n->backend)), &now))
                abort();
        set_peers(n);
        set_filter(n);
}

static uint64_t tunnel_due(const struct sim_node *n)
{
        return n->tunnel ? tunnel_deadline(tunnel_direct_engine(n->tunnel)) : TIME_NEVER;
}

uint64_t node_path_deadline(const struct sim_node *n)
{
        uint64_t at = path_next_deadline_us(n->path);

        if (tunnel_due(n) < at)
                at = tunnel_due(n);
        return node_derp_deadline(n) < at ? node_derp_deadline(n) : at;
}

void node_path_run(struct sim_node *n)
{
        struct now now = node_now(n);

        if (path_next_deadline_us(n->path) <= n->w->now_us)
                path_run(n->path, &now);
        if (tunnel_due(n) <= n->w->now_us)
                tunnel_direct_run(n->tunnel, &now);
        node_derp_run(n);
}
