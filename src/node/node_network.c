/* The network around the machine: interfaces, sockets anew, addresses of relays. */
#include <stdio.h>
#include <stdlib.h>

#include "node_internal.h"

enum { NETWORK_MEMORY = 1 << 20, SETTLE_MS = 1000 };

/* ---- what the interfaces say (spec/paths.md 7) -------------------------------------- */

static bool is_ours(const struct node *n, const struct os_interface *i)
{
        return n->has_tun && i->index == n->tun.ifindex;
}

/* Interfaces whose addresses nobody should be told of: other overlays. */
static bool is_overlay(const char *name)
{
        return strncmp(name, "tailscale", 9) == 0 || strncmp(name, "wg", 2) == 0;
}

static void describe(const struct node *n, const struct os_network *net, struct path_network *out,
        struct path_local *locals)
{
        for (size_t i = 0; i < net->count; i++) {
                const struct os_interface *itf = &net->interfaces[i];
                if (is_ours(n, itf) || is_overlay(itf->name))
                        continue;
                for (size_t k = 0; k < itf->address_count && out->local_count < PATH_LOCALS_MAX; k++) {
                        const struct ip_addr *ip = &itf->addresses[k].ip;
                        struct path_local *l = &locals[out->local_count++];
                        *l = (struct path_local){ .ip = *ip, .bits = itf->addresses[k].bits, .up = itf->is_up };
                        snprintf(l->ifname, sizeof l->ifname, "%s", itf->name);
                        if (!itf->is_up || itf->is_loopback)
                                continue;
                        out->have_v4 |= ip->family == IP_V4 && !ip_is_link_local(ip);
                        out->have_v6 |= ip_is_far_v6(ip);
                }
        }
        out->up = out->have_v4 || out->have_v6;
        out->locals = locals;
}

/* All that makes a change a major one (spec/paths.md 7): where the default route
 * points, which interfaces are up, and their addresses. */
static uint64_t fingerprint(const struct os_network *net, const struct path_network *described)
{
        struct buf b = BUF_INIT(NETWORK_MEMORY);

        buf_append(&b, &net->default_v4, sizeof net->default_v4);
        buf_append(&b, &net->default_v6, sizeof net->default_v6);
        for (size_t i = 0; i < described->local_count; i++) {
                const struct path_local *l = &described->locals[i];
                if (!l->up || ip_is_link_local(&l->ip))
                        continue;
                buf_append_str(&b, l->ifname);
                buf_append(&b, l->ip.b, sizeof l->ip.b);
                buf_append_byte(&b, l->bits);
        }
        uint64_t hash = hash_bytes(buf_slice(&b));
        buf_fini(&b);
        return hash;
}

static void read_network(struct node *n, bool rebound)
{
        struct arena arena = ARENA_INIT(NETWORK_MEMORY);
        struct path_local *locals = ARENA_ARRAY(&arena, PATH_LOCALS_MAX, struct path_local);
        const struct now now = node_now(n);
        struct path_network net = { .fixed_port = n->options.port };
        struct os_network seen;
        struct diag diag;

        if (!locals || os_network_read(&arena, &seen, &diag) != OK) {
                backend_set_warning(n->backend, WARN_NETWORK, locals ? diag.text : "out of memory for the interfaces");
                arena_fini(&arena);
                return;
        }
        describe(n, &seen, &net, locals);
        backend_set_warning(n->backend, WARN_NETWORK, net.up ? NULL : "the network is down: no interface of this machine that is "
                "up has an address to reach others from");
        node_find_gateway(&net);
        upnp_set_network(n->upnp, &net.gateway, &net.gateway_self);
        dataplane_ports(n->packets, &net.port_v4, &net.port_v6);
        path_set_network(n->path, &net, &now);
        derp_pool_set_network_up(n->relays, net.up);
        uint64_t print = fingerprint(&seen, &net);
        bool moved = n->network_print && print != n->network_print && net.up && (seen.default_v4 || seen.default_v6);
        if (moved || !n->network_print)
                n->network_print = print;
        if (n->engine_on)
                net_loop_defer(n->loop, &n->apply_task); /* local networks beside an exit node, ports in the firewall */
        arena_fini(&arena);
        if (rebound)
                path_rebound(n->path, &now);
        else if (moved)
                node_rebind(n, "the network changed");
        node_touch(n);
}

/* ---- sockets anew (spec/paths.md 2.17) ------------------------------------------------- */

void node_rebind(struct node *n, const char *why)
{
        const struct now now = node_now(n);
        uint16_t v4, v6;
        struct diag diag;

        n->rebound_us = now.mono_us;
        log_info(&node_log, "sockets opened anew", "why=\"%s\"", why);
        dataplane_ports(n->packets, &v4, &v6);
        const struct dataplane_udp_options options = {
                .ports = { n->options.port ? n->options.port : v4, v4, 0 },
                .port_count = 3,
                .mark = ROUTER_MARK,
        };
        enum err err = dataplane_rebind(n->packets, &options, &diag);
        backend_set_warning(n->backend, WARN_SOCKET, err ? diag.text : NULL);
        derp_pool_reset(n->relays);
        if (n->control)
                control_io_network_changed(n->control);
        read_network(n, true);
        node_resolve_relays(n);
}

/* ---- addresses of relays that the map only names ---------------------------------------------- */

static void resolve_free(struct relay_resolve *r)
{
        list_remove(&r->link);
        r->node->resolve_count--;
        free(r);
}

static void resolved(void *ctx, enum err e, const struct ip_addr *addrs, size_t count, const struct diag *d)
{
        struct relay_resolve *r = ctx;
        struct node *n = r->node;
        const struct now now = node_now(n);

        if (e)
                log_debug(&node_log, "relay has no address", "region=%u why=\"%s\"", r->region, d->text);
        for (size_t i = 0; !e && i < count; i++)
                path_set_derp_address(n->path, r->region, r->index, &addrs[i], &now);
        resolve_free(r);
        node_touch(n);
}

static void resolve(struct node *n, uint16_t region, size_t index, struct slice name)
{
        struct relay_resolve *r = n->resolve_count < NODE_RESOLVES_MAX ? calloc(1, sizeof *r) : NULL;
        char host[256];

        if (!r || name.len >= sizeof host) {
                free(r);
                return;
        }
        *r = (struct relay_resolve){ .node = n, .region = region, .index = index };
        memcpy(host, name.ptr, name.len);
        host[name.len] = 0;
        list_push_back(&n->resolves, &r->link);
        n->resolve_count++;
        const struct net_resolve_options options = { .name = host, .mark = ROUTER_MARK };
        if (net_resolve_start(n->loop, &options, resolved, r, &r->resolve) != OK)
                resolve_free(r);
}

static void cancel_resolves(struct node *n)
{
        list_each_safe (it, &n->resolves) {
                struct relay_resolve *r = container_of(it, struct relay_resolve, link);
                net_resolve_cancel(r->resolve);
                resolve_free(r);
        }
}

void node_resolve_relays(struct node *n)
{
        const struct tailcfg_derp_map *map = netmap_derp_map(backend_netmap(n->backend));
        struct ip_addr ip;

        cancel_resolves(n);
        for (size_t i = 0; map && i < map->regions.count; i++) {
                const struct tailcfg_derp_region *r = &map->regions.items[i];
                for (size_t k = 0; k < r->nodes.count; k++) {
                        const struct tailcfg_derp_node *node = &r->nodes.items[k];
                        bool has_literal = ip_parse(node->ipv4, &ip) == OK || ip_parse(node->ipv6, &ip) == OK;
                        if (!has_literal && node->host_name.len && r->region_id > 0 && r->region_id < 65536)
                                resolve(n, (uint16_t)r->region_id, k, node->host_name);
                }
        }
}

/* ---- how far they are when UDP is blocked ---------------------------------------------------- */

static void latency_probed(void *ctx, const struct netcheck_latency_probe *probe, enum err status, uint64_t latency_us)
{
        struct node *n = ctx;
        const struct now now = node_now(n);

        path_latency_probed(n->path, probe, status, latency_us, &now);
        node_touch(n);
}

void node_probe_latency(void *ctx, const struct netcheck_latency_probe *probe)
{
        struct node *n = ctx;

        if (n->probes)
                latency_probe_start(n->probes, netmap_derp_map(backend_netmap(n->backend)), probe);
}

/* ---- the monitor --------------------------------------------------------------------------- */

static void monitor_ready(void *ctx, int events)
{
        struct node *n = ctx;

        (void)events;
        if (!os_monitor_drain(n->monitor, n->has_tun ? n->tun.ifindex : 0))
                return;
        if (timer_armed(&n->monitor_timer)) { /* act first, then hold for a second */
                n->monitor_pending = true;
                return;
        }
        read_network(n, false);
        net_timer_start(n->loop, &n->monitor_timer, SETTLE_MS);
}

static void monitor_settled(struct timer *t, const struct now *now)
{
        struct node *n = container_of(t, struct node, monitor_timer);

        (void)now;
        if (!n->monitor_pending)
                return;
        n->monitor_pending = false;
        read_network(n, false);
}

enum err node_network_start(struct node *n, struct diag *diag)
{
        n->probes = latency_probes_new(n->loop, ROUTER_MARK, latency_probed, n);
        if (!n->probes)
                return diag_set(diag, ERR_NOMEM, "out of memory");
        n->monitor_timer.fire = monitor_settled;
        n->monitor = os_monitor_new(diag);
        if (!n->monitor)
                return ERR_SYS;
        enum err err = net_poll_start(n->loop, os_monitor_fd(n->monitor), NET_POLL_READ, monitor_ready, n,
                &n->monitor_poll);
        if (err)
                return diag_set(diag, err, "cannot watch the network: %s", err_str(err));
        read_network(n, false);
        return OK;
}

void node_network_stop(struct node *n)
{
        net_timer_stop(n->loop, &n->monitor_timer);
        net_poll_stop(n->monitor_poll);
        if (n->monitor)
                os_monitor_free(n->monitor);
        cancel_resolves(n);
        latency_probes_free(n->probes);
        n->probes = NULL;
}
