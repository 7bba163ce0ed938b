/* Node attributes, auto-approval and who may own a tag (spec/policy.md 13). */
#include "image_internal.h"

static void push_attr(struct vec *v, struct arena *a, struct slice name)
{
        VEC_EACH(struct slice, old, v)
        if (slice_equal(*old, name))
                return;
        struct slice *added = VEC_PUSH(v, a, struct slice);
        if (added)
                *added = name;
}

enum err policy_image_attrs(
        const struct policy_image *st, size_t node, struct arena *a, struct tailcfg_strings *out)
{
        struct vec names = { 0 };

        VEC_EACH(struct node_attr, entry, &st->p->node_attrs)
        {
                bool targeted = false;
                VEC_EACH(struct alias, t, &entry->target)
                {
                        const struct ipset *set = table_get(&st->sets, t->text);
                        targeted |= set && node_in_set(st->nodes[node].node, set);
                }
                if (targeted)
                        VEC_EACH(struct text, name, &entry->attr)
                push_attr(&names, a, name->s);
        }
        if (st->p->randomize_client_port)
                push_attr(&names, a, SLICE_LIT("randomize-client-port"));
        VEC_EACH(struct slice, name, &names)
        if (slice_is(*name, "funnel"))
                push_attr(
                        &names, a, SLICE_LIT("https://tailscale.com/cap/funnel-ports?ports=443,8443,10000"));
        *out = (struct tailcfg_strings){ names.items, names.count };
        return arena_failed(a) ? ERR_NOMEM : OK;
}

bool policy_image_may_approve(const struct policy_image *st, size_t node, const struct ip_prefix *route)
{
        const struct policy_node *n = st->nodes[node].node;

        if (is_exit_route(route))
                return node_in_owners(st, n, &st->p->approve_exit);
        VEC_EACH(struct named, k, &st->p->approve_routes)
        if (!is_exit_route(&k->prefix) && k->prefix.bits <= route->bits &&
                ip_prefix_overlaps(&k->prefix, route) && node_in_owners(st, n, &k->members))
                return true;
        return false;
}

bool policy_image_tag_exists(const struct policy_image *st, struct slice tag)
{
        return policy_tag(st->p, tag) != NULL;
}

static bool user_in(const struct policy_image *st, const struct policy_user *u, struct slice owner)
{
        const struct named *group = policy_group(st->p, owner);

        if (!group)
                return user_matches(u, owner);
        VEC_EACH(struct text, m, &group->members)
        if (user_matches(u, m->s))
                return true;
        return false;
}

/* Owners of tags that own the tag own it too; a tag met again adds nothing. */
static bool user_owns(
        const struct policy_image *st, const struct policy_user *u, struct slice tag, struct table *seen)
{
        const struct named *t = policy_tag(st->p, tag);

        if (!t || table_get(seen, t->name) || seen->count >= 64 ||
                table_put(seen, t->name, (void *)(uintptr_t)t, NULL) != OK)
                return false;
        VEC_EACH(struct text, o, &t->members)
        if (slice_has_prefix(o->s, SLICE_LIT("tag:")) ? user_owns(st, u, o->s, seen) : user_in(st, u, o->s))
                return true;
        return false;
}

bool policy_image_user_owns_tag(const struct policy_image *st, int64_t user_id, struct slice tag)
{
        struct table seen = TABLE_INIT(0);
        const struct policy_user *u = state_user(st, user_id);
        bool owns = u && user_owns(st, u, tag, &seen);

        table_fini(&seen);
        return owns;
}

/* Whether one of the tags is the tag, or owns it, or owns one that does. */
static bool chain_reaches(const struct policy_image *st, const struct slice *tags, size_t count,
        struct slice tag, struct table *seen)
{
        const struct named *t = policy_tag(st->p, tag);

        for (size_t i = 0; i < count; i++)
                if (slice_equal(tags[i], tag))
                        return true;
        if (!t || table_get(seen, t->name) || table_put(seen, t->name, (void *)(uintptr_t)t, NULL) != OK)
                return false;
        VEC_EACH(struct text, o, &t->members)
        if (slice_has_prefix(o->s, SLICE_LIT("tag:")) && chain_reaches(st, tags, count, o->s, seen))
                return true;
        return false;
}

bool policy_image_tags_own_tag(
        const struct policy_image *st, const struct slice *tags, size_t count, struct slice tag)
{
        struct table seen = TABLE_INIT(64);
        bool reached = policy_tag(st->p, tag) && chain_reaches(st, tags, count, tag, &seen);

        table_fini(&seen);
        return reached;
}
