/* The filter a node is sent: the rules of everybody, of autogroup:self and of via,
 * reduced to what can concern the node, and those that say the same of their sources
 * made one (spec/policy.md 9, 10). */
#include <stdlib.h>

#include "filter_internal.h"

/* ---- which of the rules that say the same of their sources comes first ----------------- */

struct leader {
        uint64_t digest;
        int64_t proto;
        size_t at;
};

static bool is_live_rule(const struct rule *r)
{
        if (r->src->tokens.count == 0)
                return false;
        VEC_EACH(struct rule_dst, d, &r->dsts)
        if (d->selector->set.count)
                return true;
        return false;
}

static struct slice leader_key(const struct leader *l)
{
        return slice_make(l, offsetof(struct leader, at));
}

/* Brings all sources up to date, and says for each rule which is the first like it. */
static enum err find_leaders(struct plan *pl)
{
        struct arena *a = &pl->leader_arena;

        if (pl->has_leaders && pl->leaders_built == *pl->clock)
                return OK;
        pl->has_leaders = false;
        table_fini(&pl->leaders);
        arena_fini(a);
        a->max = STATE_MEMORY_MAX;
        pl->leader_of = ARENA_ARRAY(a, pl->rules.count + 1, size_t);
        VEC_EACH(struct rule *, at, &pl->rules)
        {
                const struct rule *r = *at;
                if (source_build(pl, r->src) != OK || (r->back && source_build(pl, r->back) != OK))
                        return ERR_NOMEM;
                if (!pl->leader_of)
                        return ERR_NOMEM;
                pl->leader_of[r->at] = r->at;
                if (!r->ip || !is_live_rule(r))
                        continue;
                struct leader *l = ARENA_NEW(a, struct leader), *first;
                if (!l)
                        return ERR_NOMEM;
                *l = (struct leader){ r->src->digest, r->ip->proto, r->at };
                first = table_get(&pl->leaders, leader_key(l));
                if (first)
                        pl->leader_of[r->at] = first->at;
                else if (table_put(&pl->leaders, leader_key(l), l, NULL) != OK)
                        return ERR_NOMEM;
        }
        pl->leaders_built = *pl->clock;
        pl->has_leaders = true;
        return OK;
}

/* ---- groups: rules of the result ---------------------------------------------------------- */

/* Places of rules in order: behind rule i of everybody there is room for those that
 * only some nodes have. */
static uint64_t place_of(size_t rule) { return (uint64_t)(rule + 1) << 20; }

struct group *filter_group(struct filter_build *f, const struct tailcfg_strings *src_ips, uint64_t digest,
        int proto, uint64_t place)
{
        VEC_EACH(struct group *, at, &f->groups)
        {
                struct group *g = *at;
                if (g->is_caps || g->digest != digest || g->proto != proto ||
                        !slices_equal(g->src_ips.items, g->src_ips.count, src_ips->items, src_ips->count))
                        continue;
                g->place = place < g->place ? place : g->place;
                return g;
        }
        struct group *g = ARENA_NEW(f->a, struct group);
        struct group **added = g ? VEC_PUSH(&f->groups, f->a, struct group *) : NULL;
        if (!added)
                return NULL;
        *g = (struct group){ .src_ips = *src_ips, .digest = digest, .proto = proto, .place = place };
        *added = g;
        return g;
}

struct group *filter_caps_group(struct filter_build *f, const struct tailcfg_strings *src_ips, uint64_t place)
{
        struct group *g = ARENA_NEW(f->a, struct group);
        struct group **added = g ? VEC_PUSH(&f->groups, f->a, struct group *) : NULL;

        if (!added)
                return NULL;
        *g = (struct group){ .src_ips = *src_ips, .proto = -1, .place = place, .is_caps = true };
        *added = g;
        return g;
}

/* A rule that only some nodes have may say the same as one of everybody that comes
 * earlier. */
uint64_t filter_place(const struct filter_build *f, uint64_t digest, int proto, uint64_t place)
{
        struct leader key = { digest, proto, 0 };
        const struct leader *l = table_get(&f->pl->leaders, leader_key(&key));

        return l && place_of(l->at) < place ? place_of(l->at) : place;
}

/* ---- destinations ----------------------------------------------------------------------------- */

void filter_push_dst(
        struct filter_build *f, struct group *g, struct slice text, const struct port_range *ports)
{
        struct tailcfg_dst_port *d = VEC_PUSH(&g->dsts, f->a, struct tailcfg_dst_port);

        if (d)
                *d = (struct tailcfg_dst_port){ .ip = text, .ports = { ports->first, ports->last } };
}

static void push_prefix_dst(
        struct filter_build *f, struct group *g, const struct ip_prefix *p, const struct ip_spec *ip)
{
        struct slice text = prefix_text(p, false, f->a);

        VEC_EACH(struct port_range, ports, &ip->ports)
        filter_push_dst(f, g, text, ports);
}

bool filter_keeps(const struct filter_build *f, const struct ip_range *r)
{
        struct ipset one = { (struct ip_range *)(uintptr_t)r, 1, 1 };

        return node_in_set(f->n, &one) || via_range_applies(f->n, r) ||
               (f->n->is_exit && ipset_covers_range(&f->pl->internet, r));
}

/* Whether nothing but the node's own addresses can be of concern to it in the set. */
static bool only_own(const struct filter_build *f, bool is_live)
{
        bool is_router = f->n->route_count || f->n->is_exit;

        return !is_router || (is_live && !f->is_odd && f->pl->roster->outside_count == 0);
}

static void keep_set(struct filter_build *f, struct group *g, const struct selector *s, const struct ip_spec *ip)
{
        const struct ip_addr *own[] = { &f->n->n.ipv4, &f->n->n.ipv6 };
        struct ip_prefix p;

        if (only_own(f, s->is_live)) {
                for (size_t i = 0; i < 2; i++)
                        if (ipset_prefix_of(&s->set, own[i], &p))
                                push_prefix_dst(f, g, &p, ip);
                return;
        }
        for (size_t i = 0; i < s->set.count; i++) {
                struct ip_range rest = s->set.items[i];
                bool done = false;
                while (ip_range_next_prefix(&rest, &done, &p)) {
                        struct ip_range r = ip_range_of(&p);
                        if (filter_keeps(f, &r))
                                push_prefix_dst(f, g, &p, ip);
                }
        }
}

/* The official service writes these as ranges, not as prefixes. */
static void keep_internet(struct filter_build *f, struct group *g, const struct ip_spec *ip)
{
        for (size_t i = 0; i < f->pl->internet.count; i++) {
                const struct ip_range *r = &f->pl->internet.items[i];
                if (!filter_keeps(f, r))
                        continue;
                struct slice text = ip_range_text(r, f->a);
                VEC_EACH(struct port_range, ports, &ip->ports)
                filter_push_dst(f, g, text, ports);
        }
}

static void keep_ip(struct filter_build *f, const struct rule *r)
{
        struct group *g = r->src->tokens.count ? filter_group(f, &r->src->tokens, r->src->digest, r->ip->proto,
                                                         place_of(f->pl->leader_of[r->at]))
                                               : NULL;

        if (!g)
                return;
        VEC_EACH(struct rule_dst, d, &r->dsts)
        {
                if (d->is_any)
                        VEC_EACH(struct port_range, ports, &r->ip->ports)
                filter_push_dst(f, g, SLICE_LIT("*"), ports);
                else if (d->is_internet) keep_internet(f, g, r->ip);
                else keep_set(f, g, d->selector, r->ip);
        }
}

/* ---- capabilities --------------------------------------------------------------------------------- */

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

void filter_keep_caps(struct filter_build *f, struct group *g, const struct ipset *dsts, bool is_live,
        const struct tailcfg_cap *caps, size_t cap_count)
{
        const struct ip_addr *own[] = { &f->n->n.ipv4, &f->n->n.ipv6 };
        struct vec kept = { 0 };

        for (size_t i = 0; i < 2; i++) {
                struct ip_prefix host = ip_host_prefix(*own[i]);
                if (ipset_contains(dsts, own[i]))
                        push_prefix(&kept, f->a, &host);
        }
        for (size_t i = 0; !only_own(f, is_live) && i < dsts->count; i++) {
                struct ip_range rest = dsts->items[i];
                struct ip_prefix p;
                bool done = false;
                while (ip_range_next_prefix(&rest, &done, &p)) {
                        struct ip_range r = ip_range_of(&p);
                        if (via_range_applies(f->n, &r))
                                push_prefix(&kept, f->a, &p);
                }
        }
        struct tailcfg_cap_grant *out = kept.count ? VEC_PUSH(&g->caps, f->a, struct tailcfg_cap_grant) : NULL;
        if (!out)
                return;
        qsort(kept.items, kept.count, sizeof(struct ip_prefix), by_prefix);
        out->dsts = (struct tailcfg_prefixes){ kept.items, kept.count };
        out->cap_map = (struct tailcfg_cap_map){ caps, cap_count };
}

static void keep_caps(struct filter_build *f, const struct rule *r)
{
        struct group *g = filter_caps_group(f, &r->src->tokens, place_of(r->at));

        if (!g)
                return;
        if (r->back)
                filter_keep_caps(f, g, &r->back->set, false, r->caps, r->cap_count);
        else
                VEC_EACH(struct rule_dst, d, &r->dsts)
        filter_keep_caps(f, g, &d->selector->set, d->selector->is_live, r->caps, r->cap_count);
}

/* ---- the result ------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
        const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;

        return x->place < y->place ? -1 : x->place > y->place;
}

static void emit(struct filter_build *f, struct tailcfg_filter_rules *out)
{
        struct vec rules = { 0 };

        if (f->groups.count)
                qsort(f->groups.items, f->groups.count, sizeof(struct group *), by_place);
        VEC_EACH(struct group *, at, &f->groups)
        {
                const struct group *g = *at;
                struct tailcfg_filter_rule *r =
                        g->dsts.count || g->caps.count ? VEC_PUSH(&rules, f->a, struct tailcfg_filter_rule) : NULL;
                if (!r)
                        continue;
                r->src_ips = g->src_ips;
                r->dst_ports = (struct tailcfg_dst_ports){ g->dsts.items, g->dsts.count };
                r->cap_grant = (struct tailcfg_cap_grants){ g->caps.items, g->caps.count };
                int64_t *proto = g->proto >= 0 ? ARENA_NEW(f->a, int64_t) : NULL;
                if (proto) {
                        *proto = g->proto;
                        r->ip_proto = (struct tailcfg_ints){ proto, 1 };
                }
        }
        *out = (struct tailcfg_filter_rules){ rules.count ? rules.items : TAILCFG_EMPTY, rules.count };
}

/* The rules of everybody that have the node among their destinations. */
static void keep_rules(struct filter_build *f, const struct class *c)
{
        const uint64_t *words = c->bits + f->pl->begin[SECTION_DST];
        struct rule *const *rules = f->pl->rules.items;

        for (size_t w = 0; w < f->pl->begin[SECTION_ORIGIN] - f->pl->begin[SECTION_DST]; w++) {
                for (uint64_t left = words[w]; left; left &= left - 1) {
                        const struct rule *r = rules[w * 64 + (size_t)__builtin_ctzll(left)];
                        if (r->ip)
                                keep_ip(f, r);
                        else
                                keep_caps(f, r);
                }
        }
}

enum err plan_filter(
        struct plan *pl, const struct node *n, struct arena *a, struct tailcfg_filter_rules *out)
{
        const struct seat *seat = plan_seat(pl, n);
        struct filter_build f = { .pl = pl, .n = n, .a = a, .is_odd = seat->is_odd };
        enum err e = find_leaders(pl);

        if (e != OK)
                return e;
        keep_rules(&f, seat->class);
        VEC_EACH(struct compiled_grant, cg, &pl->grants)
        {
                f.next = place_of(cg->first_rule + cg->rule_count - 1) + ++f.specials;
                if (cg->has_self && !cg->g->via.count && n->user)
                        filter_self(&f, cg);
                if (cg->g->via.count && class_bit(pl, seat->class, SECTION_CARRY, cg->via_at))
                        filter_via(&f, cg);
        }
        emit(&f, out);
        return arena_failed(a) ? ERR_NOMEM : OK;
}
