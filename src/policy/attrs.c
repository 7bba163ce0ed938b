/* Node attributes, auto-approval and who may own a tag (spec/policy.md 13). */
#include "state_internal.h"

static void push_attr(struct vec *v, struct arena *a, struct slice name)
{
        VEC_EACH(struct slice, old, v)
        if (slice_equal(*old, name))
                return;
        struct slice *added = VEC_PUSH(v, a, struct slice);
        if (added)
                *added = name;
}

enum err plan_attr_names(
        const struct plan *pl, const struct node *n, struct arena *a, struct tailcfg_strings *out)
{
        struct vec names = { 0 };
        size_t at = 0;

        VEC_EACH(struct node_attr, entry, &pl->p->node_attrs)
        {
                if (class_bit(pl, class_of(pl, n), SECTION_ATTR, at++))
                        VEC_EACH(struct text, name, &entry->attr)
                push_attr(&names, a, name->s);
        }
        if (pl->p->randomize_client_port)
                push_attr(&names, a, SLICE_LIT("randomize-client-port"));
        VEC_EACH(struct slice, name, &names)
        if (slice_is(*name, "funnel"))
                push_attr(
                        &names, a, SLICE_LIT("https://tailscale.com/cap/funnel-ports?ports=443,8443,10000"));
        *out = (struct tailcfg_strings){ names.items, names.count };
        return arena_failed(a) ? ERR_NOMEM : OK;
}

static bool node_in_owners(const struct plan *pl, const struct node *n, const struct vec *owners)
{
        struct arena a = ARENA_INIT(1 << 20);
        bool found = false;

        VEC_EACH(struct text, o, owners)
        {
                struct alias alias;
                const char *why;
                found = found || (alias_parse(o->s, o->pos, &alias, &a, &why) && node_is_named(pl, n, &alias));
        }
        arena_fini(&a);
        return found && (ip_valid(&n->n.ipv4) || ip_valid(&n->n.ipv6));
}

bool plan_may_approve(const struct plan *pl, const struct node *n, const struct ip_prefix *route)
{
        if (is_exit_route(route))
                return node_in_owners(pl, n, &pl->p->approve_exit);
        VEC_EACH(struct named, k, &pl->p->approve_routes)
        if (!is_exit_route(&k->prefix) && k->prefix.bits <= route->bits &&
                ip_prefix_overlaps(&k->prefix, route) && node_in_owners(pl, n, &k->members))
                return true;
        return false;
}

/* ---- who may own a tag ----------------------------------------------------------------- */

static bool is_user(const struct plan *pl, const struct policy_user *u, struct slice token)
{
        size_t matches;

        return roster_find_user(pl->roster, token, &matches) == u;
}

static bool user_in(const struct plan *pl, const struct policy_user *u, struct slice owner)
{
        const struct named *group = policy_group(pl->p, owner);

        if (!group)
                return is_user(pl, u, owner);
        VEC_EACH(struct text, m, &group->members)
        if (is_user(pl, u, m->s))
                return true;
        return false;
}

/* A tag, its owners that are tags, theirs and so on: each once, in an order that lets
 * the list grow while it is walked. */
struct tag_walk {
        const struct plan *pl;
        struct arena a;
        struct table seen;
        struct vec tags; /* const struct named * */
};

static void walk_add(struct tag_walk *w, struct slice tag)
{
        const struct named *t = policy_tag(w->pl->p, tag), **added;

        if (!t || table_get(&w->seen, t->name) ||
                table_put(&w->seen, t->name, (void *)(uintptr_t)t, NULL) != OK)
                return;
        added = VEC_PUSH(&w->tags, &w->a, const struct named *);
        if (added)
                *added = t;
}

static const struct named *walk_tag(struct tag_walk *w, size_t i)
{
        const struct named *t = ((const struct named *const *)w->tags.items)[i];

        VEC_EACH(struct text, o, &t->members)
        if (slice_has_prefix(o->s, SLICE_LIT("tag:")))
                walk_add(w, o->s);
        return t;
}

static void walk_fini(struct tag_walk *w)
{
        table_fini(&w->seen);
        arena_fini(&w->a);
}

bool plan_user_owns_tag(const struct plan *pl, int64_t user_id, struct slice tag)
{
        struct tag_walk w = { .pl = pl, .a = ARENA_INIT(64 << 20) };
        const struct policy_user *u = roster_user(pl->roster, user_id);
        bool owns = false;

        walk_add(&w, tag);
        for (size_t i = 0; u && !owns && i < w.tags.count; i++) {
                const struct named *t = walk_tag(&w, i);
                VEC_EACH(struct text, o, &t->members)
                owns = owns || (!slice_has_prefix(o->s, SLICE_LIT("tag:")) && user_in(pl, u, o->s));
        }
        walk_fini(&w);
        return owns;
}

bool plan_tags_own_tag(const struct plan *pl, const struct slice *tags, size_t count, struct slice tag)
{
        struct tag_walk w = { .pl = pl, .a = ARENA_INIT(64 << 20) };
        bool owns = false;

        walk_add(&w, tag);
        for (size_t i = 0; !owns && i < w.tags.count; i++) {
                const struct named *t = walk_tag(&w, i);
                for (size_t k = 0; k < count; k++)
                        owns |= slice_equal(tags[k], t->name);
        }
        walk_fini(&w);
        return owns;
}
