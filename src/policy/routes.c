/* Which routes of a peer a viewer is given (spec/policy.md 12). */
#include <stdlib.h>

#include "image_internal.h"

struct route_view {
        const struct policy_image *st;
        const struct node_info *viewer, *peer;
        struct arena *a;
        struct vec include, exclude, use_primary; /* struct ip_prefix */
};

static bool has(const struct vec *v, const struct ip_prefix *p)
{
        VEC_EACH(struct ip_prefix, x, v)
        if (ip_prefix_equal(x, p))
                return true;
        return false;
}

static void add(struct vec *v, struct arena *a, const struct ip_prefix *p)
{
        struct ip_prefix *added = has(v, p) ? NULL : VEC_PUSH(v, a, struct ip_prefix);

        if (added)
                *added = *p;
}

static void drop(struct vec *v, const struct ip_prefix *p)
{
        struct ip_prefix *items = v->items;
        size_t kept = 0;

        for (size_t i = 0; i < v->count; i++)
                if (!ip_prefix_equal(&items[i], p))
                        items[kept++] = items[i];
        v->count = kept;
}

static bool overlaps_any(const struct ipset *s, const struct vec *routes)
{
        VEC_EACH(struct ip_prefix, r, routes)
        if (ipset_overlaps_prefix(s, r))
                return true;
        return false;
}

static bool route_ok(const struct route_view *v, const struct ip_prefix *r)
{
        const struct node_info *n = v->viewer;

        VEC_EACH(struct rule *, at, state_rules_of(v->st, (size_t)(n - v->st->nodes)))
        {
                const struct rule *m = *at;
                if (ipset_overlaps_prefix(&m->dst, r) &&
                        (node_in_set(n->node, m->src) || overlaps_any(m->src, &n->routes)))
                        return true;
                if (ipset_overlaps_prefix(m->src, r) &&
                        (node_in_set(n->node, &m->dst) || overlaps_any(&m->dst, &n->routes) ||
                                (n->is_exit && ipset_covers(&m->dst, &v->st->internet))))
                        return true;
        }
        return false;
}

/* Whether the grant's destination takes in the route. Exit routes only match
 * autogroup:internet: `*` is the tailnet, which no default route is part of. */
static bool grant_has_route(
        const struct policy_image *st, const struct compiled_grant *cg, const struct ip_prefix *r)
{
        if (is_exit_route(r))
                return cg->has_internet;
        return ipset_overlaps_prefix(&cg->dst_all, r) ||
               (cg->has_internet && !cg->g->via.count && ipset_overlaps_prefix(&st->internet, r));
}

static void via_result(struct route_view *v)
{
        VEC_EACH(struct compiled_grant, cg, &v->st->grants)
        {
                if (!cg->g->via.count || !node_in_set(v->viewer->node, &cg->src))
                        continue;
                struct vec *to = node_carries_via(v->peer->node, cg->g) ? &v->include : &v->exclude;
                for (size_t i = 0; i < v->peer->node->route_count; i++)
                        if (grant_has_route(v->st, cg, &v->peer->node->routes[i]))
                                add(to, v->a, &v->peer->node->routes[i]);
        }
}

static bool serves(const struct policy_node *n, const struct ip_prefix *r)
{
        for (size_t i = 0; i < n->route_count; i++)
                if (ip_prefix_equal(&n->routes[i], r))
                        return true;
        return false;
}

static const struct policy_node *elected(
        const struct policy_image *st, const struct grant *g, const struct ip_prefix *r)
{
        for (size_t i = 0; i < st->w->node_count; i++)
                if (node_carries_via(&st->w->nodes[i], g) && serves(&st->w->nodes[i], r))
                        return &st->w->nodes[i];
        return NULL;
}

static void elect_via(struct route_view *v)
{
        VEC_EACH(struct compiled_grant, cg, &v->st->grants)
        {
                if (!cg->g->via.count || !node_in_set(v->viewer->node, &cg->src))
                        continue;
                for (size_t i = 0; i < v->include.count;) {
                        struct ip_prefix r = ((struct ip_prefix *)v->include.items)[i];
                        if (is_exit_route(&r) || !grant_has_route(v->st, cg, &r) ||
                                elected(v->st, cg->g, &r) == v->peer->node) {
                                i++;
                                continue;
                        }
                        drop(&v->include, &r);
                        add(&v->exclude, v->a, &r);
                }
        }
}

/* What an ordinary rule reaches as well is served by its primary, and excluded nowhere. */
static void ordinary_rules(struct route_view *v)
{
        VEC_EACH(struct compiled_grant, cg, &v->st->grants)
        {
                if (cg->g->via.count || !node_in_set(v->viewer->node, &cg->src))
                        continue;
                VEC_EACH(struct ip_prefix, r, &v->include)
                if (grant_has_route(v->st, cg, r))
                        add(&v->use_primary, v->a, r);
                for (size_t i = 0; i < v->exclude.count;) {
                        struct ip_prefix r = ((struct ip_prefix *)v->exclude.items)[i];
                        if (grant_has_route(v->st, cg, &r))
                                drop(&v->exclude, &r);
                        else
                                i++;
                }
        }
}

static bool is_primary(const struct policy_node *n, const struct ip_prefix *r)
{
        for (size_t i = 0; i < n->primary_count; i++)
                if (ip_prefix_equal(&n->primary[i], r))
                        return true;
        return false;
}

static int by_prefix(const void *a, const void *b) { return ip_prefix_compare(a, b); }

enum err policy_image_routes(const struct policy_image *st, size_t viewer, size_t peer, struct arena *a,
        struct tailcfg_prefixes *out)
{
        struct route_view v = { .st = st, .viewer = &st->nodes[viewer], .peer = &st->nodes[peer], .a = a };
        const struct policy_node *p = v.peer->node;
        struct vec routes = { 0 };

        if (st->has_via)
                via_result(&v);
        if (v.include.count || v.exclude.count) {
                elect_via(&v);
                ordinary_rules(&v);
        }
        for (size_t i = 0; i < p->route_count; i++) {
                const struct ip_prefix *r = &p->routes[i];
                bool offered = is_exit_route(r) || is_primary(p, r);
                if (offered && !has(&v.exclude, r) && route_ok(&v, r))
                        add(&routes, a, r);
                if (!is_exit_route(r) && is_primary(p, r) && serves(v.viewer->node, r))
                        add(&routes, a, r);
        }
        VEC_EACH(struct ip_prefix, r, &v.include)
        if (is_primary(p, r) || !has(&v.use_primary, r))
                add(&routes, a, r);
        if (routes.count)
                qsort(routes.items, routes.count, sizeof(struct ip_prefix), by_prefix);
        *out = (struct tailcfg_prefixes){ routes.items, routes.count };
        return arena_failed(a) ? ERR_NOMEM : OK;
}
