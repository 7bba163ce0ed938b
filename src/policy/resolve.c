/* Tokens to sets of addresses (spec/policy.md 3 and 4). */
#include "image_internal.h"

bool is_exit_route(const struct ip_prefix *p) { return p->bits == 0; }

const struct policy_user *state_user(const struct policy_image *st, int64_t id)
{
        for (size_t i = 0; i < st->w->user_count; i++)
                if (st->w->users[i].id == id)
                        return &st->w->users[i];
        return NULL;
}

bool node_in_set(const struct policy_node *n, const struct ipset *s)
{
        return ipset_contains(s, &n->ipv4) || ipset_contains(s, &n->ipv6);
}

static void add_node(struct ipset *s, struct arena *a, const struct policy_node *n)
{
        if (ip_valid(&n->ipv4))
                ipset_add_addr(s, a, &n->ipv4);
        if (ip_valid(&n->ipv6))
                ipset_add_addr(s, a, &n->ipv6);
}

static struct slice id_key(const int64_t *id) { return slice_make(id, sizeof(*id)); }

static void index_under(struct policy_image *st, struct table *t, struct slice key, size_t node)
{
        struct indexed_nodes *entry = table_get(t, key);

        if (!entry) {
                entry = ARENA_NEW(&st->arena, struct indexed_nodes);
                if (!entry)
                        return;
                entry->key = key;
                if (table_put(t, key, entry, NULL) != OK)
                        st->arena.failed = true;
        }
        size_t *item = VEC_PUSH(&entry->nodes, &st->arena, size_t);
        if (item)
                *item = node;
}

static void add_approved(struct policy_image *st, struct table *seen, const struct ip_prefix *route)
{
        char text[IP_TEXT_MAX];
        struct slice key = slice_make(text, ip_prefix_format(route, text));

        if (table_get(seen, key))
                return;
        key = arena_copy(&st->arena, key);
        struct ip_prefix *added = VEC_PUSH(&st->approved, &st->arena, struct ip_prefix);
        if (!added || table_put(seen, key, st, NULL) != OK) {
                st->arena.failed = true;
                return;
        }
        *added = *route;
}

void state_index_nodes(struct policy_image *st)
{
        struct table routes = TABLE_INIT(0);

        for (size_t i = 0; i < st->w->node_count; i++) {
                const struct policy_node *n = &st->w->nodes[i];
                struct node_info *info = &st->nodes[i];
                info->node = n;
                add_node(is_tagged(n) ? &st->tagged : &st->member, &st->arena, n);
                for (size_t t = 0; t < n->tag_count; t++)
                        index_under(st, &st->by_tag, n->tags[t], i);
                if (!is_tagged(n) && n->user_id)
                        index_under(st, &st->by_user, id_key(&n->user_id), i);
                for (size_t r = 0; r < n->route_count; r++) {
                        if (is_exit_route(&n->routes[r])) {
                                info->is_exit = true;
                                continue;
                        }
                        struct ip_prefix *p = VEC_PUSH(&info->routes, &st->arena, struct ip_prefix);
                        if (p)
                                *p = n->routes[r];
                        add_approved(st, &routes, &n->routes[r]);
                }
        }
        ipset_sort(&st->member);
        ipset_sort(&st->tagged);
        table_fini(&routes);
}

static void add_indexed(const struct policy_image *st, const struct table *t, struct slice key,
        struct ipset *out, struct arena *a)
{
        const struct indexed_nodes *entry = table_get(t, key);

        if (entry)
                VEC_EACH(size_t, i, &entry->nodes)
        add_node(out, a, &st->w->nodes[*i]);
}

/* local@ is a user without an e-mail address. */
static struct slice strip_at(struct slice token)
{
        return token.len && token.ptr[token.len - 1] == '@' ? slice_first(token, token.len - 1) : token;
}

bool user_matches(const struct policy_user *u, struct slice token)
{
        token = strip_at(token);
        return token.len && (slice_equal(u->provider_id, token) || slice_equal(u->email, token) ||
                                    slice_equal(u->name, token));
}

static const struct policy_user *find_user(const struct policy_image *st, struct slice token, size_t *matches)
{
        const struct policy_user *found = NULL;
        struct slice bare = strip_at(token);

        *matches = 0;
        for (size_t i = 0; i < st->w->user_count; i++) {
                const struct policy_user *u = &st->w->users[i];
                if (bare.len && slice_equal(u->provider_id, bare)) {
                        *matches = 1;
                        return u;
                }
                if (user_matches(u, token)) {
                        found = u;
                        ++*matches;
                }
        }
        return *matches == 1 ? found : NULL;
}

static void add_user(const struct policy_image *st, struct slice token, struct ipset *out, struct arena *a)
{
        size_t matches;
        const struct policy_user *u = find_user(st, token, &matches);

        if (u)
                add_indexed(st, &st->by_user, id_key(&u->id), out, a);
}

static struct slice email_domain(const struct policy_user *u)
{
        return slice_after(u->email, slice_find(u->email, '@') + 1);
}

/* Untagged nodes of the users of a domain, or of a role. */
static void add_users_with(
        const struct policy_image *st, struct slice domain, unsigned role, struct ipset *out, struct arena *a)
{
        for (size_t i = 0; i < st->w->user_count; i++) {
                const struct policy_user *u = &st->w->users[i];
                if ((role && (u->roles & role)) || (domain.len && slice_equal(email_domain(u), domain)))
                        add_indexed(st, &st->by_user, id_key(&u->id), out, a);
        }
}

static void add_autogroup(
        const struct policy_image *st, const struct alias *alias, struct ipset *out, struct arena *a)
{
        switch (alias->autogroup) {
        case AUTOGROUP_INTERNET:
                ipset_add_set(out, a, &st->internet);
                break;
        case AUTOGROUP_MEMBER:
                ipset_add_set(out, a, &st->member);
                break;
        case AUTOGROUP_TAGGED:
                ipset_add_set(out, a, &st->tagged);
                break;
        case AUTOGROUP_DANGER_ALL:
                ipset_add_set(out, a, &st->all);
                break;
        case AUTOGROUP_ROLE:
                add_users_with(st, (struct slice){ 0 }, alias->role, out, a);
                break;
        case AUTOGROUP_NONE:
        case AUTOGROUP_SELF:
        case AUTOGROUP_NONROOT:
                break;
        }
}

void state_resolve_into(
        const struct policy_image *st, const struct alias *alias, struct ipset *out, struct arena *a)
{
        const struct named *group;
        const struct host *host;

        switch (alias->kind) {
        case ALIAS_PREFIX:
                ipset_add_prefix(out, a, &alias->prefix);
                break;
        case ALIAS_WILDCARD:
                ipset_add_set(out, a, &st->tailnet);
                break;
        case ALIAS_DOMAIN:
                add_users_with(st, alias->domain, 0, out, a);
                break;
        case ALIAS_USER:
                add_user(st, alias->text, out, a);
                break;
        case ALIAS_GROUP:
                group = policy_group(st->p, alias->text);
                if (group)
                        VEC_EACH(struct text, m, &group->members)
                add_user(st, m->s, out, a);
                break;
        case ALIAS_TAG:
                add_indexed(st, &st->by_tag, alias->text, out, a);
                break;
        case ALIAS_AUTOGROUP:
                add_autogroup(st, alias, out, a);
                break;
        case ALIAS_HOST:
                host = policy_host(st->p, alias->text);
                if (host)
                        ipset_add_prefix(out, a, &host->prefix);
                break;
        }
        ipset_sort(out);
}

const struct ipset *state_resolve(struct policy_image *st, const struct alias *alias)
{
        static const struct ipset empty;
        struct ipset *set = table_get(&st->sets, alias->text);

        if (set)
                return set;
        set = ARENA_NEW(&st->arena, struct ipset);
        if (!set)
                return &empty;
        state_resolve_into(st, alias, set, &st->arena);
        if (table_put(&st->sets, alias->text, set, NULL) != OK)
                st->arena.failed = true;
        return set;
}

bool node_in_owners(const struct policy_image *st, const struct policy_node *n, const struct vec *owners)
{
        struct arena a = ARENA_INIT(16 << 20);
        bool found = false;

        VEC_EACH(struct text, o, owners)
        {
                struct alias alias;
                struct ipset set = { 0 };
                const char *why;
                if (found || !alias_parse(o->s, o->pos, &alias, &a, &why))
                        continue;
                state_resolve_into(st, &alias, &set, &a);
                found = node_in_set(n, &set);
        }
        arena_fini(&a);
        return found;
}

/* --- tokens that name two users ------------------------------------------------- */

static void check_user(struct policy_image *st, struct slice token, size_t pos)
{
        size_t matches;

        find_user(st, token, &matches);
        if (matches < 2)
                return;
        st->is_ambiguous = true;
        policy_error_add(st->errors, pos,
                "multiple users found: token \"%.*s\" found: %zu users; give each its own name and e-mail",
                SLICE_ARGS(token), matches);
}

static void check_texts(struct policy_image *st, const struct vec *texts)
{
        VEC_EACH(struct text, t, texts)
        if (slice_find(t->s, '@') < t->s.len)
                check_user(st, t->s, t->pos);
}

static void check_named(struct policy_image *st, const struct vec *named)
{
        VEC_EACH(struct named, n, named)
        check_texts(st, &n->members);
}

static void check_aliases(struct policy_image *st, const struct vec *aliases)
{
        VEC_EACH(struct alias, a, aliases)
        if (a->kind == ALIAS_USER)
                check_user(st, a->text, a->pos);
}

void state_check_users(struct policy_image *st)
{
        check_named(st, &st->p->groups);
        check_named(st, &st->p->tag_owners);
        check_named(st, &st->p->approve_routes);
        check_texts(st, &st->p->approve_exit);
        VEC_EACH(struct grant, g, &st->p->grants)
        {
                check_aliases(st, &g->src);
                check_aliases(st, &g->dst);
        }
        VEC_EACH(struct ssh_rule, r, &st->p->ssh)
        {
                check_aliases(st, &r->src);
                check_aliases(st, &r->dst);
        }
}
