/* Nodes and their owners as the wire has them. */
#include <stdlib.h>

#include "mapper_internal.h"

static int compare_prefixes(const void *a, const void *b) { return ip_prefix_compare(a, b); }

static struct tailcfg_prefixes addresses_of(struct arena *a, const struct node *n, bool without_ipv4)
{
        struct ip_prefix *list = ARENA_ARRAY(a, 2, struct ip_prefix);
        size_t count = 0;

        if (!list)
                return (struct tailcfg_prefixes){ TAILCFG_EMPTY, 0 };
        if (ip_valid(&n->row->ipv4) && !n->view.no_ipv4 && !without_ipv4)
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
static void describe_node(const struct server *s, const struct node *n, bool without_ipv4, struct arena *a,
        struct tailcfg_node *out)
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
                .addresses = addresses_of(a, n, without_ipv4),
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

/* A node of the class other than n; 0 if there is none. */
static int64_t a_viewer(const struct server *s, uint32_t class, const struct node *n)
{
        size_t count;
        const int64_t *ids = policy_state_class_nodes(s->policy, class, &count);

        for (size_t i = 0; i < count; i++) {
                if (ids[i] != n->id)
                        return ids[i];
        }
        return 0;
}

/* The routes of a peer are what the policy lets this class of viewers see of them. */
static void show_routes(
        struct server *s, struct view view, const struct node *n, struct arena *a, struct tailcfg_node *peer)
{
        struct tailcfg_prefixes routes = { 0 };
        int64_t viewer = a_viewer(s, view.policy_class, n);

        if (viewer && policy_state_routes(s->policy, viewer, n->id, a, &routes) != OK)
                routes = (struct tailcfg_prefixes){ 0 };
        struct ip_prefix *allowed = ARENA_ARRAY(a, peer->addresses.count + routes.count + 1, struct ip_prefix);
        struct ip_prefix *primary = ARENA_ARRAY(a, routes.count + 1, struct ip_prefix);
        size_t n_allowed = 0, n_primary = 0;
        if (!allowed || !primary)
                return;
        for (size_t i = 0; i < peer->addresses.count; i++)
                allowed[n_allowed++] = peer->addresses.items[i];
        for (size_t i = 0; i < routes.count; i++) {
                allowed[n_allowed++] = routes.items[i];
                if (!routes_is_exit(&routes.items[i]))
                        primary[n_primary++] = routes.items[i];
        }
        qsort(allowed, n_allowed, sizeof(allowed[0]), compare_prefixes);
        peer->allowed_ips = (struct tailcfg_prefixes){ allowed, n_allowed };
        peer->primary_routes = (struct tailcfg_prefixes){ n_primary ? primary : NULL, n_primary };
}

static bool is_cached(const struct server *s, struct view view, const struct node *n)
{
        if (n->peer_json.len == 0 || n->peer_json_view.no_ipv4 != view.no_ipv4)
                return false;
        return n->n_announced == 0 ||
               (view_equal(n->peer_json_view, view) && n->peer_json_policy == s->tailnet.policy_seq);
}

struct slice mapper_peer_json(struct server *s, struct view view, struct node *n)
{
        if (!is_cached(s, view, n)) {
                struct arena a = ARENA_INIT(4 << 20);
                struct tailcfg_node peer;
                struct json_writer w;

                buf_clear(&n->peer_json);
                n->peer_json_view = view;
                n->peer_json_policy = s->tailnet.policy_seq;
                describe_node(s, n, view.no_ipv4, &a, &peer);
                if (n->n_announced)
                        show_routes(s, view, n, &a, &peer);
                add_peer_caps(&peer);
                json_writer_init(&w, &n->peer_json, NULL);
                tailcfg_node_write(&w, &peer);
                if (arena_failed(&a) || buf_status(&n->peer_json) != OK)
                        buf_fini(&n->peer_json);
                arena_fini(&a);
        }
        return buf_slice(&n->peer_json);
}

static bool has_cap(const struct tailcfg_cap *caps, size_t n, struct slice name)
{
        for (size_t i = 0; i < n; i++) {
                if (slice_equal(caps[i].name, name))
                        return true;
        }
        return false;
}

/* Attributes of the node itself (spec/control.md 9, spec/policy.md 13). */
static void add_self_caps(struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *self)
{
        enum { OWN_CAPS = 4 };
        struct tailcfg_strings attrs = { 0 };
        size_t count = 0;

        if (policy_state_attrs(s->policy, n->id, a, &attrs) != OK)
                attrs = (struct tailcfg_strings){ 0 };
        struct tailcfg_cap *caps = ARENA_ARRAY(a, OWN_CAPS + attrs.count, struct tailcfg_cap);
        struct slice *update = ARENA_NEW(a, struct slice);
        if (!caps || !update)
                return;
        if (!node_is_tagged(n))
                caps[count++].name = SLICE_LIT("https://tailscale.com/cap/is-admin");
        caps[count++].name = SLICE_LIT("https://tailscale.com/cap/ssh");
        if (s->settings->taildrop)
                caps[count++].name = SLICE_LIT("https://tailscale.com/cap/file-sharing");
        *update = s->settings->auto_update ? SLICE_LIT("true") : SLICE_LIT("false");
        caps[count++] = (struct tailcfg_cap){ SLICE_LIT("default-auto-update"), { update, 1 } };
        for (size_t i = 0; i < attrs.count; i++) {
                if (!has_cap(caps, count, attrs.items[i]))
                        caps[count++].name = attrs.items[i];
        }
        self->cap_map = (struct tailcfg_cap_map){ caps, count };
}

void mapper_describe_self(
        struct server *s, const struct node *n, struct arena *a, struct tailcfg_node *self)
{
        describe_node(s, n, false, a, self);
        add_self_caps(s, n, a, self);
}

struct profile_list mapper_profiles_begin(const struct server *s, struct arena *a)
{
        size_t room = s->tailnet.users.n + 1;
        struct tailcfg_user_profile *items = ARENA_ARRAY(a, room, struct tailcfg_user_profile);

        return (struct profile_list){ items, 0, items ? room : 0 };
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

void mapper_profiles_add(const struct server *s, struct profile_list *list, const struct node *n)
{
        bool owned = !node_is_tagged(n) && tailnet_user(&s->tailnet, n->row->user_id);
        int64_t owner = owned ? n->row->user_id : TAGGED_DEVICES_ID;

        for (size_t i = 0; i < list->count; i++) {
                if (list->items[i].id == owner)
                        return;
        }
        if (list->count < list->room)
                list->items[list->count++] = profile_of(s, owner);
}

struct tailcfg_user_profiles mapper_all_profiles(
        const struct server *s, const struct node *viewer, struct arena *a)
{
        struct profile_list list = mapper_profiles_begin(s, a);

        for (size_t i = 0; i < s->tailnet.nodes.n; i++) {
                const struct node *n = (const struct node *)s->tailnet.nodes.items[i];
                if (n == viewer || mapper_sees(s, viewer->view, n))
                        mapper_profiles_add(s, &list, n);
        }
        return (struct tailcfg_user_profiles){ list.items, list.count };
}

void mapper_write_filter(struct server *s, const struct node *n, struct arena *a, struct json_writer *w)
{
        struct tailcfg_filter_rules rules = { TAILCFG_EMPTY, 0 };

        if (policy_state_filter(s->policy, n->id, a, &rules) != OK)
                rules = (struct tailcfg_filter_rules){ TAILCFG_EMPTY, 0 }; /* nothing gets in */
        json_name(w, "PacketFilters");
        json_object_open(w);
        json_name(w, "base");
        tailcfg_filter_rules_write(w, &rules);
        json_object_close(w);
}

void mapper_write_ssh(struct server *s, const struct node *n, struct json_writer *w)
{
        json_name(w, "SSHPolicy");
        policy_state_write_ssh(s->policy, n->id, s->settings->server_url, w);
}

uint64_t mapper_digest(struct server *s, const struct node *n, enum change what)
{
        struct arena a = ARENA_INIT(16 << 20);
        struct buf json = BUF_INIT(MESSAGE_MAX);
        struct tailcfg_node self;
        struct json_writer w;
        uint64_t digest = 0;

        json_writer_init(&w, &json, NULL);
        json_object_open(&w);
        if (what == CHANGE_FILTER) {
                mapper_write_filter(s, n, &a, &w);
        } else if (what == CHANGE_SSH) {
                mapper_write_ssh(s, n, &w);
        } else {
                mapper_describe_self(s, n, &a, &self);
                json_name(&w, "Node");
                tailcfg_node_write(&w, &self);
        }
        if (!arena_failed(&a) && buf_status(&json) == OK)
                digest = hash_bytes(buf_slice(&json));
        buf_fini(&json);
        arena_fini(&a);
        return digest;
}
