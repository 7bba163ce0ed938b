/* What the packet path is to be, worked out from the backend: peers, routes, filter. */
#include <stdlib.h>

#include "filter/filter.h"
#include "node_internal.h"

/* ---- peers ------------------------------------------------------------------------- */

struct node_peer *node_find_peer(const struct node *n, const struct public_key *key)
{
        return table_get(&n->peers, key_slice(key));
}

/* The workers must not see it any more: a view without it was published. */
static void peer_free(struct node *n, struct node_peer *p)
{
        table_remove(&n->peers, key_slice(&p->key));
        if (p->tunnel)
                tunnel_peer_remove(n->tunnel, p->tunnel);
        dataplane_peer_remove(n->packets, p->packets);
        free(p);
}

static struct node_peer *peer_new(struct node *n, const struct public_key *key)
{
        struct node_peer *p = calloc(1, sizeof *p);

        if (!p)
                return NULL;
        p->key = *key;
        p->packets = dataplane_peer_new(n->packets, key, p);
        if (!p->packets || table_put(&n->peers, key_slice(&p->key), p, NULL) != OK) {
                if (p->packets)
                        dataplane_peer_remove(n->packets, p->packets);
                free(p);
                return NULL;
        }
        return p;
}

static void set_peer(struct node *n, const struct tailcfg_node *node, const struct now *now)
{
        struct node_peer *p = node_find_peer(n, &node->key);

        if (!p)
                p = peer_new(n, &node->key);
        if (!p) {
                log_error(&node_log, "out of memory for a peer", NULL);
                return;
        }
        p->generation = n->generation;
        dataplane_peer_set_jailed(p->packets, node->is_jailed);
        const struct path_peer_config config = {
                .node_key = node->key,
                .disco_key = node->disco_key,
                .endpoints = node->endpoints.items,
                .endpoint_count = node->endpoints.count,
                .home_region = (uint16_t)tailcfg_node_home_derp(node),
                .wireguard_only = node->is_wireguard_only,
                .expired = node->expired,
                .ctx = p,
        };
        enum err err = path_peer_set(n->path, &config, now);
        if (err)
                log_debug(&node_log, "peer without a path", "node=%lld why=\"%s\"", (long long)node->id, err_str(err));
}

/* ---- which addresses belong to whom ---------------------------------------------------- */

static bool is_exit_node(const struct prefs *p, const struct tailcfg_node *node)
{
        struct ip_addr ip;

        if (p->exit_node_id.len)
                return slice_equal(p->exit_node_id, node->stable_id);
        if (!p->exit_node_ip.len || ip_parse(p->exit_node_ip, &ip) != OK)
                return false;
        for (size_t i = 0; i < node->addresses.count; i++)
                if (ip_equal(&node->addresses.items[i].ip, &ip))
                        return true;
        return false;
}

static bool is_own_address(const struct tailcfg_node *node, const struct ip_prefix *p)
{
        for (size_t i = 0; i < node->addresses.count; i++)
                if (ip_prefix_equal(&node->addresses.items[i], p))
                        return true;
        return false;
}

/* Whether packets for this prefix go to the node: its own addresses always, subnets
 * if they are accepted, everything if it is the exit node (spec/node.md 4.2). */
static bool accepts_prefix(const struct prefs *prefs, const struct tailcfg_node *node, const struct ip_prefix *p)
{
        if (ip_prefix_is_default(p))
                return is_exit_node(prefs, node);
        return is_own_address(node, p) || prefs->route_all;
}

/* ---- the view ------------------------------------------------------------------------------ */

static void add_routes(struct node *n, struct ip_trie *trie)
{
        const struct netmap *nm = backend_netmap(n->backend);

        for (size_t i = 0; i < netmap_peer_count(nm); i++) {
                const struct tailcfg_node *node = netmap_peer_at(nm, i);
                const struct tailcfg_prefixes allowed = tailcfg_node_allowed_ips(node);
                struct node_peer *p = node_find_peer(n, &node->key);
                for (size_t k = 0; p && !node->expired && k < allowed.count; k++)
                        if (accepts_prefix(backend_prefs(n->backend), node, &allowed.items[k]) &&
                            ip_trie_insert(trie, &allowed.items[k], p->packets) != OK)
                                log_error(&node_log, "out of memory for a route", NULL);
        }
}

static struct filter *make_filter(const struct node *n, struct arena *arena, bool jailed)
{
        const struct netmap *nm = backend_netmap(n->backend);
        const struct tailcfg_node *self = netmap_self(nm);
        const struct tailcfg_filter_rules *rules = netmap_filter(nm);
        const struct prefs *prefs = backend_prefs(n->backend);
        size_t count = netmap_peer_count(nm), local_count = self->addresses.count;
        struct filter_peer *peers = ARENA_ARRAY(arena, count + 1, struct filter_peer);
        struct ip_prefix *local = ARENA_ARRAY(arena, local_count + prefs->advertise_routes.count + 1, struct ip_prefix);

        if (!peers || !local)
                return NULL;
        for (size_t i = 0; i < count; i++) {
                const struct tailcfg_node *node = netmap_peer_at(nm, i);
                const struct tailcfg_prefixes allowed = tailcfg_node_allowed_ips(node);
                struct slice *caps = ARENA_ARRAY(arena, node->cap_map.count + 1, struct slice);
                for (size_t k = 0; caps && k < node->cap_map.count; k++)
                        caps[k] = node->cap_map.items[k].name;
                peers[i] = (struct filter_peer){
                        .addresses = node->addresses.items,
                        .address_count = node->addresses.count,
                        .allowed_ips = allowed.items,
                        .allowed_ip_count = allowed.count,
                        .caps = caps,
                        .cap_count = caps ? node->cap_map.count : 0,
                        .unsigned_peerapi_only = node->unsigned_peerapi_only,
                };
        }
        if (local_count)
                memcpy(local, self->addresses.items, local_count * sizeof *local);
        local_count += prefs_routes(prefs, local + local_count, prefs->advertise_routes.count);
        const struct filter_options options = {
                .rules = rules && !jailed ? rules->items : NULL,
                .rule_count = rules && !jailed ? rules->count : 0,
                .local = local,
                .local_count = local_count,
                .peers = peers,
                .peer_count = count,
                .shields_up = prefs->shields_up,
        };
        return filter_new(&options);
}

static void publish(struct node *n, bool on)
{
        struct dataplane_view *v = dataplane_view_new();
        struct arena arena = ARENA_INIT(64 << 20);

        if (!v)
                goto fail;
        v->routes = ip_trie_new();
        if (!v->routes)
                goto fail;
        if (on) {
                const struct tailcfg_node *self = netmap_self(backend_netmap(n->backend));
                for (size_t i = 0; i < self->addresses.count; i++) {
                        const struct ip_addr *ip = &self->addresses.items[i].ip;
                        struct ip_addr *own = ip->family == IP_V4 ? &v->own4 : &v->own6;
                        if (!ip_valid(own))
                                *own = *ip;
                }
                add_routes(n, v->routes);
                v->filter = make_filter(n, &arena, false);
                v->jailed_filter = make_filter(n, &arena, true);
                v->disco_key = *path_disco_key(n->path);
                v->shields_up = backend_prefs(n->backend)->shields_up;
        }
        if (dataplane_publish(n->packets, v) != OK)
                goto fail;
        arena_fini(&arena);
        return;
fail:
        log_error(&node_log, "out of memory: the packet path stays as it was", NULL);
        if (v)
                dataplane_view_free(v);
        arena_fini(&arena);
}

/* ---- addresses and routes of the machine ------------------------------------------------------ */

static void routes_free(struct node_routes *r)
{
        free(r->addresses);
        free(r->routes);
        *r = (struct node_routes){ 0 };
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

/* spec/node.md 4.2: a host route an IPv4 peer, one /48 for IPv6; accepted subnets; the
 * service address; with an exit node both default routes, found or not. */
static void collect_routes(struct node *n, struct node_routes *r)
{
        static const struct ip_prefix v4_range = { { IP_V4, { 100, 64 }, 0 }, 10 };
        static const struct ip_prefix v6_range = { { IP_V6, { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 }, 0 }, 48 };
        static const struct ip_prefix service = { { IP_V4, { 100, 100, 100, 100 }, 0 }, 32 };
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
                        bool own = is_own_address(node, p);
                        bool covered = own && (p->ip.family == IP_V6 || peers > HOST_ROUTES_MAX) && ip_is_tailscale(&p->ip);
                        if (!ip_prefix_is_default(p) && !covered && accepts_prefix(prefs, node, p))
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

static struct router_config wish(const struct node *n, const struct node_routes *r)
{
        return (struct router_config){
                .ifindex = n->tun.ifindex,
                .addresses = r->addresses,
                .address_count = r->address_count,
                .routes = r->routes,
                .route_count = r->route_count,
                .has_rules = r->address_count > 0,
        };
}

static void routed(void *ctx, enum err e, const struct diag *d)
{
        struct node *n = ctx;

        if (!n->is_stopping)
                backend_set_warning(n->backend, WARN_ROUTER, e ? d->text : NULL);
}

static bool same_routes(const struct node_routes *a, const struct node_routes *b)
{
        if (a->address_count != b->address_count || a->route_count != b->route_count)
                return false;
        for (size_t i = 0; i < a->address_count; i++)
                if (!ip_prefix_equal(&a->addresses[i], &b->addresses[i]))
                        return false;
        for (size_t i = 0; i < a->route_count; i++)
                if (!ip_prefix_equal(&a->routes[i], &b->routes[i]))
                        return false;
        return true;
}

static void set_routes(struct node *n, bool on)
{
        const struct netmap *nm = backend_netmap(n->backend);
        struct node_routes r = { 0 };

        if (on) {
                const struct tailcfg_node *self = netmap_self(nm);
                size_t max = 4 + prefs_has_exit_node(backend_prefs(n->backend));
                for (size_t i = 0; i < netmap_peer_count(nm); i++)
                        max += tailcfg_node_allowed_ips(netmap_peer_at(nm, i)).count;
                r.addresses = calloc(self->addresses.count + 1, sizeof *r.addresses);
                r.routes = calloc(max + 2 < NODE_ROUTES_MAX ? max + 2 : NODE_ROUTES_MAX, sizeof *r.routes);
                if (!r.addresses || !r.routes) {
                        routes_free(&r);
                        return;
                }
                for (size_t i = 0; i < self->addresses.count; i++)
                        r.addresses[r.address_count++] = ip_host_prefix(self->addresses.items[i].ip);
                collect_routes(n, &r);
        }
        if (same_routes(&r, &n->routes)) {
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

/* ---- all together --------------------------------------------------------------------------- */

static void remove_stale_peers(struct node *n)
{
        struct node_peer **stale = malloc((n->peers.count + 1) * sizeof *stale), *p;
        size_t count = 0;

        if (!stale) {
                log_error(&node_log, "out of memory: old peers stay for now", NULL);
                return;
        }
        for (size_t i = 0; (p = table_next(&n->peers, &i));)
                if (p->generation != n->generation)
                        stale[count++] = p;
        while (count)
                peer_free(n, stale[--count]);
        free(stale);
}

static void set_key(struct node *n, const struct secret_key *key, const struct now *now)
{
        struct public_key public;

        if (secret_equal(key, &n->engine_key, sizeof *key))
                return;
        n->engine_key = *key;
        if (secret_is_zero(key)) {
                path_set_node_key(n->path, NULL, now);
                derp_pool_set_key(n->relays, NULL);
                return;
        }
        key_public(key, &public);
        tunnel_set_secret(n->tunnel, key);
        path_set_node_key(n->path, &public, now);
        derp_pool_set_key(n->relays, key);
}

void node_engine_off(struct node *n)
{
        static const struct secret_key none;
        const struct now now = node_now(n);

        if (!n->engine_on)
                return;
        n->engine_on = false;
        n->generation++;
        if (!n->is_stopping)
                set_routes(n, false);
        publish(n, false);
        path_peers_begin(n->path);
        path_peers_end(n->path, &now);
        remove_stale_peers(n);
        set_key(n, &none, &now);
        derp_pool_set_home(n->relays, 0);
        node_update_live(n);
        log_info(&node_log, "packet path off", NULL);
}

static void set_options(struct node *n, const struct now *now)
{
        const struct tailcfg_node *self = netmap_self(backend_netmap(n->backend));
        const struct path_options options = {
                .silent_disco = tailcfg_node_has_cap(self, SLICE_LIT("silent-disco")),
                .only_tcp_443 = tailcfg_node_has_cap(self, SLICE_LIT("only-tcp-443")),
                .no_portmap = n->options.no_portmap,
                .no_upnp = n->options.no_upnp,
                .always_stun = tailcfg_node_has_cap(self, SLICE_LIT("debug-always-stun")),
                .never_direct = n->options.no_direct,
        };

        path_set_options(n->path, &options, now);
}

void node_apply(struct node *n)
{
        const struct netmap *nm = backend_netmap(n->backend);
        const struct now now = node_now(n);

        if (!n->packets)
                return;
        if (!backend_wants_engine(n->backend)) {
                node_engine_off(n);
                return;
        }
        if (!n->engine_on)
                log_info(&node_log, "packet path on", "peers=%zu", netmap_peer_count(nm));
        bool was_on = n->engine_on;
        n->engine_on = true;
        n->generation++;
        set_options(n, &now);
        set_key(n, &backend_prefs(n->backend)->persist.node_key, &now);
        path_peers_begin(n->path);
        for (size_t i = 0; i < netmap_peer_count(nm); i++)
                set_peer(n, netmap_peer_at(nm, i), &now);
        path_peers_end(n->path, &now);
        publish(n, true);
        remove_stale_peers(n); /* after a view without them */
        set_routes(n, true);
        if (n->relay_map_dirty || !was_on) {
                n->relay_map_dirty = false;
                if (path_set_derp_map(n->path, netmap_derp_map(nm), &now) != OK)
                        log_error(&node_log, "out of memory for the relay map", NULL);
                derp_pool_set_map(n->relays, netmap_derp_map(nm));
                derp_pool_set_home(n->relays, path_home_region(n->path));
                node_resolve_relays(n);
        }
        node_update_live(n);
        node_touch(n);
}

void node_update_live(struct node *n)
{
        const struct now now = node_now(n);
        struct tunnel_peer_status st;
        struct node_peer *p;
        unsigned live = 0;

        for (size_t i = 0; (p = table_next(&n->peers, &i));) {
                if (!p->tunnel)
                        continue;
                tunnel_peer_status(p->tunnel, &now, &st);
                live += st.has_session;
        }
        n->live_peers = live;
        backend_set_live(n->backend, live, derp_pool_ready(n->relays), &now);
}
