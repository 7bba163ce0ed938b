/* What the machine's kernel is to do for us: addresses, routes, firewall rules, and what a
 * subnet router or exit node needs besides (spec/node.md 4). */
#include <stdio.h>
#include <stdlib.h>

#include "node_internal.h"

enum { NETWORK_MEMORY = 1 << 20 };

static const struct ip_prefix service = { { IP_V4, { 100, 100, 100, 100 }, 0 }, 32 };

/* ---- addresses and routes ------------------------------------------------------------- */

static void routes_free(struct node_routes *r)
{
        free(r->addresses);
        free(r->routes);
        free(r->throws);
        *r = (struct node_routes){ 0 };
}

void node_routes_fini(struct node *n)
{
        routes_free(&n->routes);
}

static void add_prefix(struct ip_prefix *list, size_t *count, const struct ip_prefix *p)
{
        if (*count < NODE_ROUTES_MAX)
                list[(*count)++] = ip_prefix_masked(*p);
}

static int by_prefix(const void *a, const void *b)
{
        return ip_prefix_compare(a, b);
}

/* Two peers may offer the same subnet. */
static void sort_unique(struct ip_prefix *list, size_t *count)
{
        size_t kept = 0;

        qsort(list, *count, sizeof *list, by_prefix);
        for (size_t i = 0; i < *count; i++)
                if (kept == 0 || !ip_prefix_equal(&list[kept - 1], &list[i]))
                        list[kept++] = list[i];
        *count = kept;
}

/* The networks that this machine is in, but for the tailnet. In the arena; NULL: none known. */
static struct ip_prefix *local_networks(const struct node *n, struct arena *arena, size_t *count)
{
        struct os_network net;
        struct diag d;
        size_t max = 0;

        *count = 0;
        if (os_network_read(arena, &net, &d) != OK)
                return NULL;
        for (size_t i = 0; i < net.count; i++)
                max += net.interfaces[i].address_count;
        struct ip_prefix *list = ARENA_ARRAY(arena, max + 1, struct ip_prefix);
        for (size_t i = 0; list && i < net.count; i++) {
                const struct os_interface *itf = &net.interfaces[i];
                if (!itf->is_up || itf->is_loopback || (n->has_tun && itf->index == n->tun.ifindex))
                        continue;
                for (size_t k = 0; k < itf->address_count; k++) {
                        const struct ip_prefix *p = &itf->addresses[k];
                        if (!ip_prefix_is_host(p) && !ip_is_link_local(&p->ip) && !ip_is_tailscale(&p->ip))
                                list[(*count)++] = ip_prefix_masked(*p);
                }
        }
        return list;
}

/* spec/node.md 4.2: a host route an IPv4 peer, one /48 for IPv6; accepted subnets; the
 * service address; with an exit node both default routes, found or not. */
static void collect_routes(struct node *n, struct node_routes *r)
{
        static const struct ip_prefix v4_range = { { IP_V4, { 100, 64 }, 0 }, 10 };
        static const struct ip_prefix v6_range = { { IP_V6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 }, 0 }, 48 };
        enum { HOST_ROUTES_MAX = 10000 };
        const struct netmap *nm = backend_netmap(n->backend);
        const struct prefs *prefs = backend_prefs(n->backend);
        size_t peers = netmap_peer_count(nm);

        add_prefix(r->routes, &r->route_count, &service);
        add_prefix(r->routes, &r->route_count, &v6_range);
        if (peers > HOST_ROUTES_MAX)
                add_prefix(r->routes, &r->route_count, &v4_range);
        for (size_t i = 0; i < peers; i++) {
                const struct tailcfg_node *node = netmap_peer_at(nm, i);
                const struct tailcfg_prefixes allowed = tailcfg_node_allowed_ips(node);
                for (size_t k = 0; k < allowed.count; k++) {
                        const struct ip_prefix *p = &allowed.items[k];
                        bool own = node_is_own_address(node, p);
                        bool covered = own && (p->ip.family == IP_V6 || peers > HOST_ROUTES_MAX) && ip_is_tailscale(&p->ip);
                        if (!ip_prefix_is_default(p) && !covered && node_accepts_prefix(prefs, node, p))
                                add_prefix(r->routes, &r->route_count, p);
                }
        }
        if (prefs_has_exit_node(prefs)) {
                const struct ip_prefix all4 = { { .family = IP_V4 }, 0 }, all6 = { { .family = IP_V6 }, 0 };
                add_prefix(r->routes, &r->route_count, &all4);
                add_prefix(r->routes, &r->route_count, &all6);
        }
        sort_unique(r->routes, &r->route_count);
}

/* What an exit node must not take over: never what belongs to one cable, and not the local
 * networks if the user wants to reach them. */
static bool collect_throws(struct node *n, struct node_routes *r)
{
        static const struct ip_prefix link4 = { { IP_V4, { 169, 254 }, 0 }, 16 }, link6 = { { IP_V6, { 0xfe, 0x80 }, 0 }, 10 };
        const struct prefs *prefs = backend_prefs(n->backend);
        struct arena arena = ARENA_INIT(NETWORK_MEMORY);
        struct ip_prefix *local = NULL;
        size_t count = 0;

        if (!prefs_has_exit_node(prefs))
                return true;
        if (prefs->exit_node_allow_lan)
                local = local_networks(n, &arena, &count);
        r->throws = calloc(count + 2, sizeof *r->throws);
        if (r->throws) {
                add_prefix(r->throws, &r->throw_count, &link4);
                add_prefix(r->throws, &r->throw_count, &link6);
                for (size_t i = 0; i < count; i++)
                        add_prefix(r->throws, &r->throw_count, &local[i]);
                sort_unique(r->throws, &r->throw_count);
        }
        arena_fini(&arena);
        return r->throws;
}

static bool collect(struct node *n, struct node_routes *r)
{
        const struct netmap *nm = backend_netmap(n->backend);
        const struct tailcfg_node *self = netmap_self(nm);
        size_t max = 8; /* the range, the service address, two defaults */

        for (size_t i = 0; i < netmap_peer_count(nm); i++)
                max += tailcfg_node_allowed_ips(netmap_peer_at(nm, i)).count;
        r->addresses = calloc(self->addresses.count + 2, sizeof *r->addresses);
        r->routes = calloc(max < NODE_ROUTES_MAX ? max : NODE_ROUTES_MAX, sizeof *r->routes);
        if (!r->addresses || !r->routes)
                return false;
        for (size_t i = 0; i < self->addresses.count; i++)
                r->addresses[r->address_count++] = ip_host_prefix(self->addresses.items[i].ip);
        r->addresses[r->address_count++] = service; /* where MagicDNS answers */
        collect_routes(n, r);
        return collect_throws(n, r);
}

static struct router_config wish(const struct node *n, const struct node_routes *r)
{
        return (struct router_config){
                .ifindex = n->tun.ifindex,
                .addresses = r->addresses,
                .address_count = r->address_count,
                .routes = r->routes,
                .route_count = r->route_count,
                .throws = r->throws,
                .throw_count = r->throw_count,
                .has_rules = r->address_count > 0,
        };
}

static void routed(void *ctx, enum err e, const struct diag *d)
{
        struct node *n = ctx;

        if (n->is_stopping)
                return;
        backend_set_warning(n->backend, WARN_ROUTER, e ? d->text : NULL);
        node_names_listen(n);
}

static bool same_list(const struct ip_prefix *a, size_t a_count, const struct ip_prefix *b, size_t b_count)
{
        for (size_t i = 0; a_count == b_count && i < a_count; i++)
                if (!ip_prefix_equal(&a[i], &b[i]))
                        return false;
        return a_count == b_count;
}

static bool same_routes(const struct node_routes *a, const struct node_routes *b)
{
        return same_list(a->addresses, a->address_count, b->addresses, b->address_count) &&
               same_list(a->routes, a->route_count, b->routes, b->route_count) &&
               same_list(a->throws, a->throw_count, b->throws, b->throw_count);
}

void node_set_routes(struct node *n, bool on)
{
        struct node_routes r = { 0 };

        if ((on && !collect(n, &r)) || same_routes(&r, &n->routes)) {
                routes_free(&r);
                return;
        }
        const struct router_config from = wish(n, &n->routes), to = wish(n, &r);
        enum err err = priv_router_set(n->options.priv, n->routes.address_count ? &from : NULL,
                r.address_count ? &to : NULL, routed, n);
        if (err) {
                struct diag diag;
                diag_set(&diag, err, "cannot set routes: %s", err_str(err));
                routed(n, err, &diag);
        }
        routes_free(&n->routes);
        n->routes = r;
}

/* ---- the firewall ------------------------------------------------------------------------- */

static void firewall_set(void *ctx, enum err e, const struct diag *d)
{
        struct node *n = ctx;

        if (!n->is_stopping)
                backend_set_warning(n->backend, WARN_FIREWALL, e ? d->text : NULL);
}

static void describe_firewall(const struct node *n, struct firewall_config *c)
{
        const struct prefs *prefs = backend_prefs(n->backend);
        const struct tailcfg_node *self = netmap_self(backend_netmap(n->backend));

        c->mode = prefs->netfilter_mode >= FIREWALL_OFF && prefs->netfilter_mode <= FIREWALL_ON ?
                (uint8_t)prefs->netfilter_mode : FIREWALL_ON;
        c->snat = !prefs->no_snat;
        c->stateful = prefs->no_stateful_filtering == TRI_FALSE && prefs->advertise_routes.count;
        c->keep_cgnat = tailcfg_node_has_cap(self, SLICE_LIT("disable-linux-cgnat-drop-rule"));
        dataplane_ports(n->packets, &c->port_v4, &c->port_v6);
        c->own[c->own_count++] = service.ip;
        for (size_t i = 0; i < self->addresses.count && c->own_count < FIREWALL_OWN_MAX; i++)
                c->own[c->own_count++] = self->addresses.items[i].ip;
}

void node_set_firewall(struct node *n, bool on)
{
        struct firewall_config c;

        memset(&c, 0, sizeof c); /* compared as bytes below */
        snprintf(c.tun, sizeof c.tun, "%s", n->tun.name);
        if (on)
                describe_firewall(n, &c);
        if (memcmp(&c, &n->firewall, sizeof c) == 0)
                return;
        n->firewall = c;
        enum err err = priv_firewall_set(n->options.priv, &c, firewall_set, n);
        if (err) {
                struct diag diag;
                diag_set(&diag, err, "cannot set firewall rules: %s", err_str(err));
                firewall_set(n, err, &diag);
        }
}

/* ---- forwarding for others -------------------------------------------------------------------- */

static bool is_on(const char *path)
{
        FILE *f = fopen(path, "re");
        int c = f ? getc(f) : EOF;

        if (f)
                fclose(f);
        return c != '0'; /* a kernel without the switch has nothing to forward either */
}

/* spec/node.md 4.2. The daemon does not change the switches: they are the host's policy. */
void node_check_forwarding(struct node *n, bool on)
{
        const struct prefs *prefs = backend_prefs(n->backend);
        bool v4 = false, v6 = false;
        struct ip_prefix p;

        for (size_t i = 0; on && i < prefs->advertise_routes.count; i++)
                if (ip_prefix_parse(prefs->advertise_routes.items[i], &p) == OK)
                        *(p.ip.family == IP_V4 ? &v4 : &v6) = true;
        v4 = v4 && !is_on("/proc/sys/net/ipv4/ip_forward");
        v6 = v6 && !is_on("/proc/sys/net/ipv6/conf/all/forwarding");
        const char *warning = v4 ? "advertised routes do not work: this machine does not forward IPv4; "
                                   "set net.ipv4.ip_forward=1 with sysctl(8)" :
                              v6 ? "advertised routes do not work: this machine does not forward IPv6; "
                                   "set net.ipv6.conf.all.forwarding=1 with sysctl(8)" : NULL;
        backend_set_warning(n->backend, WARN_FORWARDING, warning);
}

/* Never through an exit node, unless it advertises them by themselves (spec/node.md 4.2). */
static const struct ip_prefix private_networks[] = {
        { { IP_V4, { 192, 168 }, 0 }, 16 },
        { { IP_V4, { 172, 16 }, 0 }, 12 },
        { { IP_V4, { 10 }, 0 }, 8 },
        { { IP_V4, { 169, 254 }, 0 }, 16 },
        { { IP_V4, { 224 }, 0 }, 4 },
        { { IP_V4, { 100, 64 }, 0 }, 10 },
        { { IP_V6, { 0xfe, 0x80 }, 0 }, 10 },
        { { IP_V6, { 0xff }, 0 }, 8 },
        { { IP_V6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 }, 0 }, 48 },
};
enum { PRIVATE_COUNT = sizeof private_networks / sizeof *private_networks, LOCAL_MAX = 8192 };

struct cut {
        struct ip_prefix *out;
        size_t count;
        const struct ip_prefix *holes;
        size_t hole_count;
};

/* All of `whole` that no hole covers, as prefixes: a half that a hole touches is halved again. */
static void cut_out(struct cut *c, struct ip_prefix whole)
{
        bool touched = false;

        for (size_t i = 0; i < c->hole_count; i++) {
                if (!ip_prefix_overlaps(&c->holes[i], &whole))
                        continue;
                if (c->holes[i].bits <= whole.bits)
                        return;
                touched = true;
        }
        if (!touched) {
                if (c->count < LOCAL_MAX)
                        c->out[c->count++] = whole;
                return;
        }
        struct ip_prefix low = whole, high = whole;
        low.bits++;
        high.bits++;
        high.ip.b[whole.bits / 8] |= (uint8_t)(0x80 >> whole.bits % 8);
        cut_out(c, low);
        cut_out(c, high);
}

static void add_default(const struct node *n, struct arena *arena, const struct ip_prefix *whole, struct cut *c)
{
        size_t count;
        struct ip_prefix *local = local_networks(n, arena, &count);
        struct ip_prefix *holes = ARENA_ARRAY(arena, count + PRIVATE_COUNT, struct ip_prefix);

        if (!local || !holes)
                return; /* rather no exit node than one into the local network */
        memcpy(holes, private_networks, sizeof private_networks);
        memcpy(holes + PRIVATE_COUNT, local, count * sizeof *local);
        c->holes = holes;
        c->hole_count = count + PRIVATE_COUNT;
        cut_out(c, *whole);
}

struct tailcfg_prefixes node_local_prefixes(const struct node *n, struct arena *arena)
{
        const struct prefs *prefs = backend_prefs(n->backend);
        const struct tailcfg_node *self = netmap_self(backend_netmap(n->backend));
        struct cut c = { .out = ARENA_ARRAY(arena, LOCAL_MAX, struct ip_prefix) };
        struct ip_prefix *routes = ARENA_ARRAY(arena, prefs->advertise_routes.count + 1, struct ip_prefix);

        if (!c.out || !routes)
                return (struct tailcfg_prefixes){ 0 };
        for (size_t i = 0; i < self->addresses.count && i < LOCAL_MAX / 2; i++)
                c.out[c.count++] = self->addresses.items[i];
        size_t count = prefs_routes(prefs, routes, prefs->advertise_routes.count);
        for (size_t i = 0; i < count && c.count < LOCAL_MAX; i++) {
                if (ip_prefix_is_default(&routes[i]))
                        add_default(n, arena, &routes[i], &c);
                else
                        c.out[c.count++] = routes[i];
        }
        return (struct tailcfg_prefixes){ c.out, c.count };
}
