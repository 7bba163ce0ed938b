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

bool node_is_own_address(const struct tailcfg_node *node, const struct ip_prefix *p)
{
        for (size_t i = 0; i < node->addresses.count; i++)
                if (ip_prefix_equal(&node->addresses.items[i], p))
                        return true;
        return false;
}

/* Whether packets for this prefix go to the node: its own addresses always, subnets
 * if they are accepted, everything if it is the exit node (spec/node.md 4.2). */
bool node_accepts_prefix(const struct prefs *prefs, const struct tailcfg_node *node, const struct ip_prefix *p)
{
        if (ip_prefix_is_default(p))
                return is_exit_node(prefs, node);
        return node_is_own_address(node, p) || prefs->route_all;
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
                        if (node_accepts_prefix(backend_prefs(n->backend), node, &allowed.items[k]) &&
                            ip_trie_insert(trie, &allowed.items[k], p->packets) != OK)
                                log_error(&node_log, "out of memory for a route", NULL);
        }
}

static struct filter *make_filter(const struct node *n, struct arena *arena, bool jailed)
{
        const struct netmap *nm = backend_netmap(n->backend);
        const struct tailcfg_filter_rules *rules = netmap_filter(nm);
        const struct prefs *prefs = backend_prefs(n->backend);
        const struct tailcfg_prefixes local = node_local_prefixes(n, arena);
        size_t count = netmap_peer_count(nm);
        struct filter_peer *peers = ARENA_ARRAY(arena, count + 1, struct filter_peer);

        if (!peers || !local.items)
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
        const struct filter_options options = {
                .rules = rules && !jailed ? rules->items : NULL,
                .rule_count = rules && !jailed ? rules->count : 0,
                .local = local.items,
                .local_count = local.count,
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
        if (!n->is_stopping) {
                node_set_routes(n, false);
                node_set_firewall(n, false);
                node_check_forwarding(n, false);
                node_names_apply(n, false);
        }
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
        node_set_routes(n, true);
        node_set_firewall(n, true);
        node_check_forwarding(n, true);
        node_names_apply(n, true);
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
