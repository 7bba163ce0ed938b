/* The rules of one node: autogroup:self and via in their places among the global ones
 * (spec/policy.md 9). */
#include "image_internal.h"

static void push_rule(struct policy_image *st, struct node_info *info, const struct rule *r)
{
        const struct rule **added = VEC_PUSH(&info->own_rules, &st->arena, const struct rule *);

        if (added)
                *added = r;
}

static void push_special(struct policy_image *st, struct node_info *info, const struct rule *r)
{
        const struct rule **added = VEC_PUSH(&info->special, &st->arena, const struct rule *);

        if (added)
                *added = r;
        push_rule(st, info, r);
}

static struct rule *own_rule(
        struct policy_image *st, const struct tailcfg_strings *src_ips, const struct ipset *src, int proto)
{
        struct rule *r = ARENA_NEW(&st->arena, struct rule);

        if (r)
                *r = (struct rule){ .src_ips = *src_ips, .src = src, .proto = proto };
        return r;
}

/* --- autogroup:self ------------------------------------------------------------------ */

static const struct vec *nodes_of_user(const struct policy_image *st, int64_t user_id)
{
        static const struct vec none;
        const struct indexed_nodes *entry = table_get(&st->by_user, slice_make(&user_id, sizeof(user_id)));

        return entry ? &entry->nodes : &none;
}

static void node_addresses(const struct policy_node *n, struct ipset *s, struct arena *a)
{
        if (ip_valid(&n->ipv4))
                ipset_add_addr(s, a, &n->ipv4);
        if (ip_valid(&n->ipv6))
                ipset_add_addr(s, a, &n->ipv6);
        ipset_sort(s);
}

static void push_cap(struct policy_image *st, struct rule *r, const struct policy_node *n,
        const struct tailcfg_cap *caps, size_t count)
{
        struct ipset *dsts = ARENA_NEW(&st->arena, struct ipset);
        struct rule_cap *c = dsts ? VEC_PUSH(&r->caps, &st->arena, struct rule_cap) : NULL;

        if (!c)
                return;
        node_addresses(n, dsts, &st->arena);
        *c = (struct rule_cap){ dsts, caps, count };
}

/* The app part: one entry per device of the user, then the companions, whose
 * direction is reversed. */
static void self_app(struct policy_image *st, struct node_info *info, const struct compiled_grant *cg,
        const struct vec *own, const struct tailcfg_strings *src_ips, const struct ipset *src)
{
        struct rule *r = own_rule(st, src_ips, src, -1);
        struct ipset *all = ARENA_NEW(&st->arena, struct ipset);

        if (!r || !all)
                return;
        VEC_EACH(size_t, i, own)
        {
                push_cap(st, r, &st->w->nodes[*i], cg->cap_map, cg->g->app.count);
                node_addresses(&st->w->nodes[*i], all, &st->arena);
        }
        rule_finish(r, &st->arena);
        push_special(st, info, r);
        struct tailcfg_strings all_tokens = set_tokens(all, &st->arena);
        VEC_EACH(struct app_cap, cap, &cg->g->app)
        {
                const struct tailcfg_cap *companion = companion_of(cap);
                struct rule *back = companion ? own_rule(st, &all_tokens, all, -1) : NULL;
                struct rule_cap *c = back ? VEC_PUSH(&back->caps, &st->arena, struct rule_cap) : NULL;
                if (!c)
                        continue;
                *c = (struct rule_cap){ src, companion, 1 };
                rule_finish(back, &st->arena);
                push_special(st, info, back);
        }
}

static void self_rules(struct policy_image *st, struct node_info *info, const struct compiled_grant *cg)
{
        const struct vec *own = nodes_of_user(st, info->node->user_id);
        struct ipset *src = ARENA_NEW(&st->arena, struct ipset);

        if (!src)
                return;
        VEC_EACH(size_t, i, own)
        if (node_in_set(&st->w->nodes[*i], &cg->src))
                node_addresses(&st->w->nodes[*i], src, &st->arena);
        if (src->count == 0)
                return;
        struct tailcfg_strings src_ips = set_tokens(src, &st->arena);
        VEC_EACH(struct ip_spec, ip, &cg->g->ip)
        {
                struct rule *r = own_rule(st, &src_ips, src, ip->proto);
                if (!r)
                        return;
                VEC_EACH(size_t, i, own)
                rule_add_self_dsts(r, &st->arena, &st->w->nodes[*i], ip);
                rule_finish(r, &st->arena);
                push_special(st, info, r);
        }
        if (cg->g->app.count)
                self_app(st, info, cg, own, &src_ips, src);
}

/* --- via -------------------------------------------------------------------------------- */

bool node_carries_via(const struct policy_node *n, const struct grant *g)
{
        VEC_EACH(struct alias, v, &g->via)
        for (size_t i = 0; i < n->tag_count; i++)
                if (slice_equal(v->text, n->tags[i]))
                        return true;
        return false;
}

static bool overlaps_routes(const struct node_info *info, const struct ip_range *r)
{
        VEC_EACH(struct ip_prefix, p, &info->routes)
        {
                struct ip_range route = ip_range_of(p);
                if (ip_range_overlaps(&route, r))
                        return true;
        }
        return false;
}

static void via_dsts(struct policy_image *st, const struct node_info *info, const struct compiled_grant *cg,
        struct rule *r, const struct ip_spec *ip)
{
        VEC_EACH(struct alias, d, &cg->g->dst)
        {
                const struct ipset *set = state_resolve(st, d);
                bool literal = d->kind == ALIAS_PREFIX || d->kind == ALIAS_HOST || d->kind == ALIAS_WILDCARD;
                for (size_t i = 0; literal && i < set->count; i++) {
                        struct ipset one = { &set->items[i], 1, 1 };
                        if (overlaps_routes(info, &set->items[i]))
                                rule_add_dsts(r, &st->arena, &one, ip, true);
                }
                if (d->autogroup == AUTOGROUP_INTERNET && info->is_exit)
                        rule_add_dsts(r, &st->arena, &st->internet, ip, true);
        }
}

/* A via grant without ip sends nothing, but its routes are seen as if it did. */
static void via_rules(struct policy_image *st, struct node_info *info, const struct compiled_grant *cg)
{
        static struct port_range none_ports;
        static const struct ip_spec no_ip = { -1, { &none_ports, 1, 1 } };
        struct vec silent = { (void *)(uintptr_t)&no_ip, 1, 1 };
        const struct vec *specs = cg->g->ip.count ? &cg->g->ip : &silent;

        if (!node_carries_via(info->node, cg->g) || cg->via_src_ips.count == 0)
                return;
        VEC_EACH(struct ip_spec, ip, specs)
        {
                struct rule *r = own_rule(st, &cg->via_src_ips, &cg->src_meaning, ip->proto);
                if (!r)
                        return;
                via_dsts(st, info, cg, r, ip);
                if (r->dsts.count == 0)
                        continue;
                r->is_silent = specs == &silent;
                rule_finish(r, &st->arena);
                push_special(st, info, r);
        }
}

void state_compile_node(struct policy_image *st, size_t node)
{
        struct node_info *info = &st->nodes[node];
        bool is_persons = !is_tagged(info->node) && info->node->user_id;

        info->has_rules = (st->has_self && is_persons) || (st->has_via && is_tagged(info->node));
        if (!info->has_rules)
                return;
        VEC_EACH(struct compiled_grant, cg, &st->grants)
        {
                VEC_EACH(struct rule, r, &cg->rules)
                push_rule(st, info, r);
                if (cg->has_self && is_persons && !cg->g->via.count)
                        self_rules(st, info, cg);
                if (cg->g->via.count)
                        via_rules(st, info, cg);
        }
}
