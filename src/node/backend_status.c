/* What the backend tells of itself: state, status, Hostinfo, whois. */
#include "backend_internal.h"
#include "base/text.h"
#include "filter/filter.h"

enum ipn_state backend_state(const struct backend *b) { return b->ipn; }
const struct prefs *backend_prefs(const struct backend *b) { return prefs_of(b); }
const struct profiles *backend_profiles(const struct backend *b) { return &b->profiles; }
const struct netmap *backend_netmap(const struct backend *b) { return b->netmap; }
const struct secret_key *backend_machine_key(const struct backend *b) { return &b->machine_key; }
struct slice backend_auth_url(const struct backend *b) { return buf_slice(&b->auth_url); }
bool backend_in_poll(const struct backend *b) { return b->in_poll; }

void backend_hostinfo(const struct backend *b, struct arena *arena, struct tailcfg_hostinfo *out)
{
        const struct prefs *p = prefs_of(b);
        const struct backend_host *h = &b->host;
        struct ip_prefix *routes = ARENA_ARRAY(arena, p->advertise_routes.count + 1, struct ip_prefix);

        *out = (struct tailcfg_hostinfo){
                .ipn_version = SLICE_LIT(WEFT_VERSION),
                .os = SLICE_LIT("linux"),
                .os_version = slice_str(h->os_version),
                .distro = slice_str(h->distro),
                .distro_version = slice_str(h->distro_version),
                .machine = slice_str(h->machine),
                .app = SLICE_LIT("weft"),
                .hostname = p->hostname.len ? p->hostname : slice_str(h->hostname),
                .container = tailcfg_opt(h->is_container),
                .userspace = tailcfg_opt(!h->has_tun),
                .userspace_router = tailcfg_opt(!h->has_tun),
                .shields_up = p->shields_up,
                .no_logs_no_support = true,
                .exit_node_id = p->exit_node_id,
                .request_tags = { p->advertise_tags.items, p->advertise_tags.count },
        };
        if (routes) {
                out->routable_ips.items = routes;
                out->routable_ips.count = prefs_routes(p, routes, p->advertise_routes.count);
        }
}

struct tailcfg_strings backend_health(const struct backend *b, struct arena *arena)
{
        const struct tailcfg_strings *control = netmap_health(b->netmap);
        size_t max = WARN_COUNT + (control ? control->count : 0), n = 0;
        struct slice *items = ARENA_ARRAY(arena, max + 1, struct slice);

        for (size_t i = 0; items && i < WARN_COUNT; i++)
                if (b->warnings[i])
                        items[n++] = slice_str(b->warnings[i]);
        for (size_t i = 0; items && control && i < control->count; i++)
                items[n++] = control->items[i];
        return (struct tailcfg_strings){ items, n };
}

/* ---- status -------------------------------------------------------------------- */

static struct tailcfg_addrs node_ips(const struct tailcfg_node *n, struct arena *arena)
{
        struct ip_addr *ips = ARENA_ARRAY(arena, n->addresses.count + 1, struct ip_addr);
        size_t count = 0;

        for (size_t i = 0; ips && i < n->addresses.count; i++)
                if (ip_prefix_is_host(&n->addresses.items[i]))
                        ips[count++] = n->addresses.items[i].ip;
        return (struct tailcfg_addrs){ ips, count };
}

/* Lists that are left out when there is nothing in them. */
static struct tailcfg_strings some_strings(struct tailcfg_strings l) { return l.count ? l : (struct tailcfg_strings){ 0 }; }
static struct tailcfg_prefixes some_prefixes(struct tailcfg_prefixes l) { return l.count ? l : (struct tailcfg_prefixes){ 0 }; }

static bool offers_exit(const struct tailcfg_node *n)
{
        const struct tailcfg_prefixes allowed = tailcfg_node_allowed_ips(n);

        for (size_t i = 0; i < allowed.count; i++)
                if (ip_prefix_is_default(&allowed.items[i]))
                        return true;
        return false;
}

static bool is_exit_node(const struct prefs *p, const struct tailcfg_node *n)
{
        struct ip_addr ip;

        if (p->exit_node_id.len)
                return slice_equal(p->exit_node_id, n->stable_id);
        if (!p->exit_node_ip.len || ip_parse(p->exit_node_ip, &ip) != OK)
                return false;
        for (size_t i = 0; i < n->addresses.count; i++)
                if (ip_equal(&n->addresses.items[i].ip, &ip))
                        return true;
        return false;
}

/* The part that control knows; live facts come from the engine. */
static void peer_status(const struct backend *b, const struct tailcfg_node *n, struct arena *arena,
        struct status_peer *out)
{
        const struct tailcfg_derp_map *relays = netmap_derp_map(b->netmap);
        const struct tailcfg_derp_region *home =
                relays ? tailcfg_derp_region_find(relays, tailcfg_node_home_derp(n)) : NULL;

        *out = (struct status_peer){ .taildrop_target = STATUS_TAILDROP_UNSUPPORTED };
        out->stable_id = n->stable_id;
        out->node_id = n->id;
        out->key = n->key;
        out->dns_name = n->name;
        if (n->hostinfo) {
                out->host_name = n->hostinfo->hostname;
                out->os = n->hostinfo->os;
                out->is_sharee = n->hostinfo->sharee_node;
        }
        out->user_id = n->user;
        out->sharer_user_id = n->sharer;
        out->ips = node_ips(n, arena);
        out->allowed_ips = some_prefixes(tailcfg_node_allowed_ips(n));
        out->tags = some_strings(n->tags);
        out->primary_routes = some_prefixes(n->primary_routes);
        if (home)
                out->relay = home->region_code;
        out->created = n->created;
        out->last_seen = n->last_seen;
        out->online = n->online == TAILCFG_TRUE;
        out->exit_node = is_exit_node(prefs_of(b), n);
        out->exit_node_option = offers_exit(n);
        out->in_network_map = true;
        out->expired = n->expired;
        out->key_expiry = n->key_expiry;
}

static void self_caps(const struct tailcfg_cap_map *map, struct arena *arena, struct status_peer *out)
{
        struct slice *names = map->count ? ARENA_ARRAY(arena, map->count, struct slice) : NULL;

        if (!names)
                return;
        for (size_t i = 0; i < map->count; i++)
                names[i] = map->items[i].name;
        out->capabilities = (struct tailcfg_strings){ names, map->count };
        out->cap_map = *map;
}

static void self_status(const struct backend *b, struct arena *arena, struct status *out)
{
        const struct tailcfg_node *self = netmap_self(b->netmap);

        out->self.taildrop_target = STATUS_TAILDROP_UNSUPPORTED;
        if (self) {
                peer_status(b, self, arena, &out->self);
                self_caps(&self->cap_map, arena, &out->self);
                out->self.online = b->in_poll;
                out->self.exit_node = false;
                out->ips = out->self.ips;
        }
        if (!self && backend_has_node_key(b))
                key_public(&prefs_of(b)->persist.node_key, &out->self.key);
        if (!out->self.host_name.len)
                out->self.host_name = prefs_of(b)->hostname.len ? prefs_of(b)->hostname : slice_str(b->host.hostname);
        out->self.os = SLICE_LIT("linux");
        b->ops->fill_self(b->ctx, arena, &out->self);
}

static void peers_status(const struct backend *b, struct arena *arena, struct status *out)
{
        size_t count = netmap_peer_count(b->netmap);
        struct status_peer *peers = count ? ARENA_ARRAY(arena, count, struct status_peer) : NULL;

        for (size_t i = 0; peers && i < count; i++) {
                const struct tailcfg_node *n = netmap_peer_at(b->netmap, i);
                peer_status(b, n, arena, &peers[i]);
                b->ops->fill_peer(b->ctx, n, arena, &peers[i]);
                struct status_exit_node *exit_node = peers[i].exit_node ? ARENA_NEW(arena, struct status_exit_node) : NULL;
                if (exit_node) {
                        *exit_node = (struct status_exit_node){ n->stable_id, peers[i].online, some_prefixes(n->addresses) };
                        out->exit_node = exit_node;
                }
        }
        out->peers = (struct status_peers){ peers, peers ? count : 0 };
}

static void add_user(const struct backend *b, struct tailcfg_user_profile *users, size_t *n, int64_t id)
{
        const struct tailcfg_user_profile *u = id ? netmap_user(b->netmap, id) : NULL;

        for (size_t i = 0; i < *n; i++)
                if (users[i].id == id)
                        return;
        if (u)
                users[(*n)++] = *u;
}

/* Those users that own one of the nodes shown. */
static void users_status(const struct backend *b, struct arena *arena, struct status *out)
{
        size_t n = 0;
        struct tailcfg_user_profile *users = ARENA_ARRAY(arena, 2 * out->peers.count + 1, struct tailcfg_user_profile);

        if (!users || !netmap_self(b->netmap))
                return;
        add_user(b, users, &n, out->self.user_id);
        for (size_t i = 0; i < out->peers.count; i++) {
                add_user(b, users, &n, out->peers.items[i].user_id);
                add_user(b, users, &n, out->peers.items[i].sharer_user_id);
        }
        out->users = (struct status_users){ users, n };
}

void backend_status(const struct backend *b, bool with_peers, const struct now *now, struct arena *arena,
        struct status *out)
{
        const struct tailcfg_dns_config *dns = netmap_dns(b->netmap);
        struct status_tailnet *tailnet = ARENA_NEW(arena, struct status_tailnet);

        (void)now;
        if (tailnet)
                *tailnet = (struct status_tailnet){ netmap_domain(b->netmap), netmap_magic_dns_suffix(b->netmap), dns && dns->proxied };
        *out = (struct status){
                .version = SLICE_LIT(WEFT_VERSION),
                .tun = b->host.has_tun,
                .backend_state = slice_str(ipn_state_name(b->ipn)),
                .have_node_key = backend_has_node_key(b),
                .auth_url = buf_slice(&b->auth_url),
                .health = backend_health(b, arena),
                .magic_dns_suffix = netmap_magic_dns_suffix(b->netmap),
                .tailnet = netmap_self(b->netmap) ? tailnet : NULL,
        };
        if (dns)
                out->cert_domains = dns->cert_domains;
        self_status(b, arena, out);
        if (with_peers)
                peers_status(b, arena, out);
        users_status(b, arena, out);
}

/* ---- whois ---------------------------------------------------------------------- */

struct cap_collector {
        struct arena *arena;
        struct tailcfg_cap *items;
        size_t count, cap;
};

static void collect_cap(void *ctx, struct slice name, const struct slice *values, size_t count)
{
        struct cap_collector *c = ctx;
        struct slice *copies = ARENA_ARRAY(c->arena, count + 1, struct slice);

        if (c->count == c->cap) {
                size_t more = c->cap ? 2 * c->cap : 8;
                struct tailcfg_cap *grown = ARENA_ARRAY(c->arena, more, struct tailcfg_cap);
                if (!grown)
                        return;
                if (c->count)
                        memcpy(grown, c->items, c->count * sizeof *grown);
                c->items = grown;
                c->cap = more;
        }
        if (!copies)
                return;
        for (size_t i = 0; i < count; i++)
                copies[i] = arena_copy(c->arena, values[i]);
        c->items[c->count++] = (struct tailcfg_cap){ arena_copy(c->arena, name), { copies, count } };
}

/* Compiled for this one question: whois is asked rarely. */
static struct tailcfg_cap_map granted_caps(const struct backend *b, const struct tailcfg_node *from,
        struct arena *arena)
{
        const struct tailcfg_node *self = netmap_self(b->netmap);
        const struct tailcfg_filter_rules *rules = netmap_filter(b->netmap);
        struct cap_collector c = { .arena = arena };

        if (!self || !rules || !rules->count || from == self)
                return (struct tailcfg_cap_map){ 0 };
        const struct filter_options options = {
                .rules = rules->items,
                .rule_count = rules->count,
                .local = self->addresses.items,
                .local_count = self->addresses.count,
        };
        struct filter *f = filter_new(&options);
        for (size_t i = 0; f && i < from->addresses.count; i++)
                for (size_t k = 0; k < self->addresses.count; k++)
                        if (from->addresses.items[i].ip.family == self->addresses.items[k].ip.family)
                                filter_caps(f, &from->addresses.items[i].ip, &self->addresses.items[k].ip, collect_cap,
                                        &c);
        filter_free(f);
        return (struct tailcfg_cap_map){ c.items, c.count };
}

static enum err whois(const struct backend *b, const struct tailcfg_node *n, struct arena *arena,
        struct backend_whois *out)
{
        if (!n)
                return ERR_NOTFOUND;
        const struct tailcfg_user_profile *u = netmap_user(b->netmap, n->user);
        *out = (struct backend_whois){ .node = n, .caps = granted_caps(b, n, arena) };
        if (u)
                out->user = *u;
        return OK;
}

enum err backend_whois_ip(const struct backend *b, const struct ip_addr *ip, struct arena *arena,
        struct backend_whois *out)
{
        return whois(b, netmap_node_by_ip(b->netmap, ip), arena, out);
}

enum err backend_whois_key(const struct backend *b, const struct public_key *key, struct arena *arena,
        struct backend_whois *out)
{
        const struct tailcfg_node *self = netmap_self(b->netmap);

        return whois(b, self && key_equal(&self->key, key) ? self : netmap_peer_by_key(b->netmap, key), arena, out);
}
