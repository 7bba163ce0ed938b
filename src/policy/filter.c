/* The filter a node is sent: its rules reduced to what can concern it, and those that
 * say the same of their sources made one (spec/policy.md 9, 10). */
#include <stdlib.h>

#include "image_internal.h"

struct group {
        const struct rule *first;
        struct vec dsts; /* struct tailcfg_dst_port */
        struct vec caps; /* struct tailcfg_cap_grant */
};

static bool keeps_dst(const struct policy_image *st, const struct node_info *n, const struct rule_dst *d)
{
        if (d->is_any)
                return true;
        struct ipset own = { (struct ip_range *)(uintptr_t)&d->range, 1, 1 };
        if (node_in_set(n->node, &own))
                return true;
        VEC_EACH(struct ip_prefix, route, &n->routes)
        if (ipset_overlaps_prefix(&own, route))
                return true;
        return n->is_exit && ipset_covers_range(&st->internet, &d->range);
}

static void keep_dsts(const struct policy_image *st, const struct node_info *n, const struct rule *r,
        struct group *g, struct arena *a)
{
        VEC_EACH(struct rule_dst, d, &r->dsts)
        {
                struct tailcfg_dst_port *out =
                        keeps_dst(st, n, d) ? VEC_PUSH(&g->dsts, a, struct tailcfg_dst_port) : NULL;
                if (out)
                        *out = (struct tailcfg_dst_port){ .ip = d->text,
                                .ports = { d->ports.first, d->ports.last } };
        }
}

static void push_prefix(struct vec *v, struct arena *a, const struct ip_prefix *p)
{
        VEC_EACH(struct ip_prefix, old, v)
        if (ip_prefix_equal(old, p))
                return;
        struct ip_prefix *added = VEC_PUSH(v, a, struct ip_prefix);
        if (added)
                *added = *p;
}

static int by_prefix(const void *a, const void *b) { return ip_prefix_compare(a, b); }

static void keep_caps(const struct node_info *n, const struct rule *r, struct group *g, struct arena *a)
{
        const struct ip_addr *own[] = { &n->node->ipv4, &n->node->ipv6 };

        VEC_EACH(struct rule_cap, c, &r->caps)
        {
                struct vec dsts = { 0 };
                for (size_t i = 0; i < 2; i++) {
                        struct ip_prefix host = ip_host_prefix(*own[i]);
                        if (ipset_contains(c->dsts, own[i]))
                                push_prefix(&dsts, a, &host);
                }
                for (size_t i = 0; n->routes.count && i < c->dsts->count; i++) {
                        struct ip_range rest = c->dsts->items[i];
                        struct ip_prefix p;
                        bool done = false;
                        while (ip_range_next_prefix(&rest, &done, &p))
                                VEC_EACH(struct ip_prefix, route, &n->routes)
                        if (ip_prefix_overlaps(route, &p))
                                push_prefix(&dsts, a, &p);
                }
                struct tailcfg_cap_grant *out =
                        dsts.count ? VEC_PUSH(&g->caps, a, struct tailcfg_cap_grant) : NULL;
                if (!out)
                        continue;
                qsort(dsts.items, dsts.count, sizeof(struct ip_prefix), by_prefix);
                out->dsts = (struct tailcfg_prefixes){ dsts.items, dsts.count };
                out->cap_map = (struct tailcfg_cap_map){ c->cap_map, c->cap_count };
        }
}

/* A node that a rule cannot concern is told so by one look at all its destinations. */
static bool concerns(const struct node_info *n, const struct rule *r)
{
        return n->routes.count || n->is_exit || node_in_set(n->node, &r->dst);
}

static struct group *group_for(struct table *groups, struct vec *order, const struct rule *r, struct arena *a)
{
        struct group *g = r->caps.count ? NULL : table_get(groups, r->merge_key);

        if (g)
                return g;
        g = ARENA_NEW(a, struct group);
        struct group **added = g ? VEC_PUSH(order, a, struct group *) : NULL;
        if (!added)
                return NULL;
        g->first = r;
        *added = g;
        if (r->caps.count == 0 && table_put(groups, r->merge_key, g, NULL) != OK)
                a->failed = true;
        return g;
}

static void emit(const struct vec *order, struct arena *a, struct tailcfg_filter_rules *out)
{
        struct vec rules = { 0 };

        VEC_EACH(struct group *, at, order)
        {
                const struct group *g = *at;
                struct tailcfg_filter_rule *r = NULL;
                if (g->dsts.count || g->caps.count)
                        r = VEC_PUSH(&rules, a, struct tailcfg_filter_rule);
                if (!r)
                        continue;
                r->src_ips = g->first->src_ips;
                r->dst_ports = (struct tailcfg_dst_ports){ g->dsts.items, g->dsts.count };
                r->cap_grant = (struct tailcfg_cap_grants){ g->caps.items, g->caps.count };
                int64_t *proto = g->first->proto >= 0 ? ARENA_NEW(a, int64_t) : NULL;
                if (proto) {
                        *proto = g->first->proto;
                        r->ip_proto = (struct tailcfg_ints){ proto, 1 };
                }
        }
        *out = (struct tailcfg_filter_rules){ rules.count ? rules.items : TAILCFG_EMPTY, rules.count };
}

enum err policy_image_filter(
        const struct policy_image *st, size_t node, struct arena *a, struct tailcfg_filter_rules *out)
{
        const struct node_info *n = &st->nodes[node];
        struct table groups = TABLE_INIT(0);
        struct vec order = { 0 };

        VEC_EACH(struct rule *, at, state_rules_of(st, node))
        {
                const struct rule *r = *at;
                struct group *g = r->is_silent ? NULL : group_for(&groups, &order, r, a);
                if (!g || !concerns(n, r))
                        continue;
                keep_dsts(st, n, r, g, a);
                keep_caps(n, r, g, a);
        }
        table_fini(&groups);
        emit(&order, a, out);
        return arena_failed(a) ? ERR_NOMEM : OK;
}
