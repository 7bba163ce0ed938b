/* Nodes and their owners as the wire has them. */
#include <stdlib.h>

#include "mapper_internal.h"

static int compare_prefixes(const void *a, const void *b) { return ip_prefix_compare(a, b); }

static struct tailcfg_prefixes addresses_of(struct arena *a, const struct node *n)
{
        struct ip_prefix *list = ARENA_ARRAY(a, 2, struct ip_prefix);
        size_t count = 0;

        if (!list)
                return (struct tailcfg_prefixes){ TAILCFG_EMPTY, 0 };
        if (ip_valid(&n->row->ipv4))
                list[count++] = ip_host_prefix(n->row->ipv4);
        if (ip_valid(&n->row->ipv6))
                list[count++] = ip_host_prefix(n->row->ipv6);
        return (struct tailcfg_prefixes){ list, count };
}

static bool approved(const struct node *n, const struct ip_prefix *p)
{
        for (size_t i = 0; i < n->row->n_approved_routes; i++) {
                if (ip_prefix_equal(&n->row->approved_routes[i], p))
                        return true;
        }
        return false;
}

/* Addresses, routes it is primary for, approved exit routes; sorted. */
static struct tailcfg_prefixes allowed_ips_of(
        struct arena *a, const struct node *n, const struct tailcfg_prefixes *addresses)
{
        struct ip_prefix *list =
                ARENA_ARRAY(a, addresses->count + n->n_primary + n->n_announced + 1, struct ip_prefix);
        size_t count = 0;

        if (!list)
                return *addresses;
        for (size_t i = 0; i < addresses->count; i++)
                list[count++] = addresses->items[i];
        for (size_t i = 0; i < n->n_primary; i++)
                list[count++] = n->primary[i];
        for (size_t i = 0; i < n->n_announced; i++) {
                if (routes_is_exit(&n->announced[i]) && approved(n, &n->announced[i]))
                        list[count++] = n->announced[i];
        }
        qsort(list, count, sizeof(list[0]), compare_prefixes);
        return (struct tailcfg_prefixes){ list, count };
}

static struct tailcfg_strings tags_of(struct arena *a, const struct node *n)
{
        struct slice rest = n->row->tags, tag;
        size_t count = 0, max = 1;

        if (rest.len == 0)
                return (struct tailcfg_strings){ 0 };
        for (size_t i = 0; i < rest.len; i++)
                max += rest.ptr[i] == ',';
        struct slice *list = ARENA_ARRAY(a, max, struct slice);
        while (list && slice_split(&rest, ',', &tag))
                list[count++] = tag;
        return (struct tailcfg_strings){ list, count };
}

/* What the node itself and its peers are both told. */
static void describe_node(
        const struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *out)
{
        struct tailcfg_hostinfo *hostinfo = ARENA_NEW(a, struct tailcfg_hostinfo);
        bool expired = node_is_expired(s, n);

        *out = (struct tailcfg_node){
                .id = n->id,
                .stable_id = slice_str(arena_printf(a, "%lld", (long long)n->id)),
                .name = mapper_fqdn(s->settings, a, n->row->given_name),
                .user = node_is_tagged(n) ? TAGGED_DEVICES_ID : n->row->user_id,
                .key = n->row->node_key,
                .key_expiry = time_of_us(node_expiry(n)),
                .machine = n->row->machine_key,
                .disco_key = n->disco_key,
                .addresses = addresses_of(a, n),
                .endpoints = { n->endpoints, n->n_endpoints },
                .home_derp = n->home_derp,
                .hostinfo = hostinfo,
                .created = time_of_us(n->row->created_us),
                .cap = n->cap_version,
                .tags = tags_of(a, n),
                .primary_routes = { n->primary, n->n_primary },
                .online = tailcfg_opt(n->online),
                .machine_authorized = !expired,
                .expired = expired,
        };
        out->allowed_ips = allowed_ips_of(a, n, &out->addresses);
        if (!n->online)
                out->last_seen = time_of_us(n->last_seen_us);
        if (hostinfo && n->hostinfo_peer.len && tailcfg_hostinfo_decode(n->hostinfo_peer, a, hostinfo) != OK)
                *hostinfo = (struct tailcfg_hostinfo){ 0 };
}

/* Exit nodes that may be suggested to users (spec/policy.md, section 0). */
static void add_peer_caps(struct tailcfg_node *peer)
{
        static const struct tailcfg_cap suggest[] = { { .name = SLICE_LIT("suggest-exit-node") } };

        for (size_t i = 0; i < peer->allowed_ips.count; i++) {
                if (routes_is_exit(&peer->allowed_ips.items[i]))
                        peer->cap_map = (struct tailcfg_cap_map){ suggest, 1 };
        }
}

struct slice mapper_peer_json(const struct server *s, struct node *n)
{
        if (n->peer_json.len == 0) {
                struct arena a = ARENA_INIT(4 << 20);
                struct tailcfg_node peer;
                struct json_writer w;

                describe_node(s, n, &a, &peer);
                add_peer_caps(&peer);
                json_writer_init(&w, &n->peer_json, NULL);
                tailcfg_node_write(&w, &peer);
                if (arena_failed(&a) || buf_status(&n->peer_json) != OK)
                        buf_fini(&n->peer_json);
                arena_fini(&a);
        }
        return buf_slice(&n->peer_json);
}

/* Attributes of the node itself (spec/control.md 9). */
static void add_self_caps(
        const struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *self)
{
        enum { MAX_CAPS = 4 };
        struct tailcfg_cap *caps = ARENA_ARRAY(a, MAX_CAPS, struct tailcfg_cap);
        struct slice *update = ARENA_NEW(a, struct slice);
        size_t count = 0;

        if (!caps || !update)
                return;
        if (!node_is_tagged(n))
                caps[count++].name = SLICE_LIT("https://tailscale.com/cap/is-admin");
        caps[count++].name = SLICE_LIT("https://tailscale.com/cap/ssh");
        if (s->settings->taildrop)
                caps[count++].name = SLICE_LIT("https://tailscale.com/cap/file-sharing");
        *update = s->settings->auto_update ? SLICE_LIT("true") : SLICE_LIT("false");
        caps[count++] = (struct tailcfg_cap){ SLICE_LIT("default-auto-update"), { update, 1 } };
        self->cap_map = (struct tailcfg_cap_map){ caps, count };
}

void mapper_describe_self(
        const struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *self)
{
        describe_node(s, n, a, self);
        add_self_caps(s, n, a, self);
}

static bool has_profile(const struct tailcfg_user_profile *list, size_t n, int64_t id)
{
        for (size_t i = 0; i < n; i++) {
                if (list[i].id == id)
                        return true;
        }
        return false;
}

static struct tailcfg_user_profile profile_of(const struct server *s, int64_t id)
{
        const struct store_user *user = tailnet_user(&s->tailnet, id);

        if (!user)
                return (struct tailcfg_user_profile){ .id = TAGGED_DEVICES_ID,
                        .login_name = SLICE_LIT("tagged-devices"),
                        .display_name = SLICE_LIT("Tagged Devices") };
        return (struct tailcfg_user_profile){ .id = user->id,
                .login_name = user->name,
                .display_name = user->display_name.len ? user->display_name : user->name,
                .profile_pic_url = user->picture_url };
}

struct tailcfg_user_profiles mapper_profiles_since(const struct server *s, uint32_t viewer_class,
        const struct node *viewer, uint64_t cursor, struct arena *a)
{
        const struct tailnet *t = &s->tailnet;
        struct tailcfg_user_profile *list = ARENA_ARRAY(a, t->users.n + 1, struct tailcfg_user_profile);
        size_t count = 0;

        if (!list)
                return (struct tailcfg_user_profiles){ 0 };
        for (const struct list *it = t->changed.prev; it != &t->changed; it = it->prev) {
                const struct node *n = container_of(it, const struct node, changed);
                if (n->changed_seq <= cursor)
                        break;
                if (n->seq[CHANGE_NODE] <= cursor ||
                        (n != viewer && !policy_view_sees(s->policy, viewer_class, n->row)))
                        continue;
                int64_t owner = tailnet_user(t, n->row->user_id) && !node_is_tagged(n) ? n->row->user_id
                                                                                       : TAGGED_DEVICES_ID;
                if (!has_profile(list, count, owner) && count <= t->users.n)
                        list[count++] = profile_of(s, owner);
        }
        return (struct tailcfg_user_profiles){ list, count };
}
