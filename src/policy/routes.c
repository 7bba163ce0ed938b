/* Which routes of a peer a viewer is given (spec/policy.md 12). */
#include <stdlib.h>

#include "state_internal.h"

struct route_view {
        struct plan *pl;
        const struct node *viewer, *peer;
        const struct class *viewer_class;
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

static bool has_family(const struct selector *s, uint8_t family)
{
        const struct ipset *set = &s->set;

        return set->count && (set->items[0].family == family || set->items[set->count - 1].family == family);
}

static bool source_has_family(const struct route_view *v, const struct rule *r, uint8_t family)
{
        const struct served *served = v->pl->roster->served.items;

        VEC_EACH(struct selector *, s, &r->src->selectors)
        if (has_family(*s, family))
                return true;
        for (size_t i = 0; r->src->has_any && i < v->pl->roster->served.count; i++)
                if (served[i].prefix.ip.family == family)
                        return true;
        return false;
}

static bool dst_has_family(const struct rule *r, uint8_t family)
{
        VEC_EACH(struct rule_dst, d, &r->dsts)
        if (has_family(d->selector, family))
                return true;
        return false;
}

/* Whether the viewer itself, or where its routes lead, is a destination; not just
 * because it is an exit node. */
static bool has_dst(const struct route_view *v, const struct rule *r)
{
        const struct seat *seat = plan_seat(v->pl, v->viewer);

        if (!class_bit(v->pl, v->viewer_class, SECTION_DST, r->at))
                return false;
        if (!v->viewer->is_exit || r->covers_internet || !r->covers_default)
                return true;
        VEC_EACH(struct rule_dst, d, &r->dsts)
        for (size_t i = 0; i < seat->count; i++)
                if (seat_selectors(seat)[i] == d->selector)
                        return true;
        return false;
}

/* A default route overlaps whatever there is of its family. */
static bool exit_route_ok(const struct route_view *v, const struct ip_prefix *r)
{
        VEC_EACH(struct rule *, at, &v->pl->rules)
        {
                const struct rule *m = *at;
                bool is_src = class_bit(v->pl, v->viewer_class, SECTION_SRC, m->at);
                if ((is_src && dst_has_family(m, r->ip.family)) ||
                        (has_dst(v, m) && source_has_family(v, m, r->ip.family)))
                        return true;
        }
        return false;
}

static bool ordinary_route_ok(const struct route_view *v, const struct ip_prefix *r)
{
        const struct plan *pl = v->pl;
        size_t words = pl->begin[SECTION_DST];
        uint64_t *of_route = ARENA_ARRAY(v->a, 2 * words + 1, uint64_t);
        const uint64_t *src = v->viewer_class->bits + pl->begin[SECTION_SRC],
                       *dst = v->viewer_class->bits + pl->begin[SECTION_DST];

        if (!of_route)
                return false;
        route_bits(v->pl, r, of_route);
        for (size_t i = 0; i < words; i++) {
                if (src[i] & of_route[words + i])
                        return true;
                for (uint64_t both = dst[i] & of_route[i]; both; both &= both - 1)
                        if (has_dst(v, ((struct rule *const *)pl->rules.items)[i * 64 +
                                               (size_t)__builtin_ctzll(both)]))
                                return true;
        }
        return false;
}

/* The rules that only the viewer has: of autogroup:self, whose addresses a route may
 * reach, and of via. */
static bool self_route_ok(const struct route_view *v, const struct ip_prefix *r)
{
        const struct user_nodes *own = v->viewer->user;

        if (!v->pl->has_self || !own)
                return false;
        VEC_EACH(struct compiled_grant, cg, &v->pl->grants)
        {
                bool is_src = class_bit(v->pl, v->viewer_class, SECTION_ORIGIN, cg->at);
                if (!cg->has_self || cg->g->via.count)
                        continue;
                for (size_t i = 0; i < own->nodes.count; i++) {
                        const struct node *o = ((struct node *const *)own->nodes.items)[i];
                        bool o_src = class_bit(v->pl, class_of(v->pl, o), SECTION_ORIGIN, cg->at);
                        bool overlaps = ip_prefix_contains(r, &o->n.ipv4) || ip_prefix_contains(r, &o->n.ipv6);
                        if (overlaps && (is_src || o_src))
                                return true;
                }
        }
        return false;
}

static bool via_route_ok(const struct route_view *v, const struct ip_prefix *r)
{
        struct ip_range route = ip_range_of(r);

        VEC_EACH(struct compiled_grant, cg, &v->pl->grants)
        {
                size_t bit = cg->via_dst_at;
                if (!cg->g->via.count || !class_bit(v->pl, v->viewer_class, SECTION_CARRY, cg->via_at))
                        continue;
                bool is_src = class_bit(v->pl, v->viewer_class, SECTION_VIA_SRC, cg->via_at);
                bool from_route = source_build(v->pl, cg->src) == OK &&
                                  ipset_overlaps_range(&cg->src->meaning, &route);
                VEC_EACH(struct rule_dst, d, &cg->dsts)
                {
                        const struct ipset *set = &d->selector->set;
                        bool is_dst = class_bit(v->pl, v->viewer_class, SECTION_VIA_DST, bit++);
                        for (size_t i = 0; i < set->count; i++) {
                                bool sent = d->is_internet ? v->viewer->is_exit
                                                           : !d->selector->is_live &&
                                                                     via_range_applies(v->viewer, &set->items[i]);
                                if (sent && ((is_src && ip_range_overlaps(&set->items[i], &route)) ||
                                                    (is_dst && from_route)))
                                        return true;
                        }
                }
        }
        return false;
}

static bool route_ok(const struct route_view *v, const struct ip_prefix *r)
{
        return (is_exit_route(r) ? exit_route_ok(v, r) : ordinary_route_ok(v, r)) || self_route_ok(v, r) ||
               (v->pl->has_via && via_route_ok(v, r));
}

/* Whether the grant's destination takes in the route. Exit routes only match
 * autogroup:internet: `*` is the tailnet, which no default route is part of. */
static bool grant_has_route(
        const struct plan *pl, const struct compiled_grant *cg, const struct ip_prefix *r)
{
        if (is_exit_route(r))
                return cg->has_internet;
        VEC_EACH(struct rule_dst, d, &cg->dsts)
        if (!d->is_internet && ipset_overlaps_prefix(&d->selector->set, r))
                return true;
        return cg->has_internet && !cg->g->via.count && ipset_overlaps_prefix(&pl->internet, r);
}

static bool is_origin(const struct route_view *v, const struct compiled_grant *cg)
{
        return class_bit(v->pl, v->viewer_class, SECTION_ORIGIN, cg->at);
}

static void via_result(struct route_view *v)
{
        const struct policy_node *p = &v->peer->n;

        VEC_EACH(struct compiled_grant, cg, &v->pl->grants)
        {
                if (!cg->g->via.count || !is_origin(v, cg))
                        continue;
                struct vec *to = node_carries_via(v->peer, cg->g) ? &v->include : &v->exclude;
                for (size_t i = 0; i < p->route_count; i++)
                        if (grant_has_route(v->pl, cg, &p->routes[i]))
                                add(to, v->a, &p->routes[i]);
        }
}

/* Of the nodes with a via tag of the grant that serve the route, that of the lowest id. */
static const struct node *elected(
        const struct plan *pl, const struct grant *g, const struct ip_prefix *r)
{
        const struct served *s = roster_served(pl->roster, r);

        for (size_t i = 0; s && i < s->nodes.count; i++) {
                const struct node *n = ((struct node *const *)s->nodes.items)[i];
                if (node_carries_via(n, g))
                        return n;
        }
        return NULL;
}

static void elect_via(struct route_view *v)
{
        VEC_EACH(struct compiled_grant, cg, &v->pl->grants)
        {
                if (!cg->g->via.count || !is_origin(v, cg))
                        continue;
                for (size_t i = 0; i < v->include.count;) {
                        struct ip_prefix r = ((struct ip_prefix *)v->include.items)[i];
                        if (is_exit_route(&r) || !grant_has_route(v->pl, cg, &r) ||
                                elected(v->pl, cg->g, &r) == v->peer) {
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
        VEC_EACH(struct compiled_grant, cg, &v->pl->grants)
        {
                if (cg->g->via.count || !is_origin(v, cg))
                        continue;
                VEC_EACH(struct ip_prefix, r, &v->include)
                if (grant_has_route(v->pl, cg, r))
                        add(&v->use_primary, v->a, r);
                for (size_t i = 0; i < v->exclude.count;) {
                        struct ip_prefix r = ((struct ip_prefix *)v->exclude.items)[i];
                        if (grant_has_route(v->pl, cg, &r))
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

enum err plan_routes(struct plan *pl, const struct node *viewer, const struct node *peer, struct arena *a,
        struct tailcfg_prefixes *out)
{
        struct route_view v = {
                .pl = pl, .viewer = viewer, .peer = peer, .viewer_class = class_of(pl, viewer), .a = a
        };
        const struct policy_node *p = &peer->n;
        struct vec routes = { 0 };

        if (pl->has_via)
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
                if (!is_exit_route(r) && is_primary(p, r) && node_serves(viewer, r))
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
