/* The rules that only some nodes have: of autogroup:self, among the devices of one
 * user, and of via, on the node that others go through (spec/policy.md 9). */
#include "filter_internal.h"

/* ---- autogroup:self ------------------------------------------------------------------ */

static struct node *device(const struct filter_build *f, size_t i)
{
        return ((struct node *const *)f->n->user->nodes.items)[i];
}

static void add_addresses(struct ipset *s, struct arena *a, const struct node *n)
{
        if (ip_valid(&n->n.ipv4))
                ipset_add_addr(s, a, &n->n.ipv4);
        if (ip_valid(&n->n.ipv6))
                ipset_add_addr(s, a, &n->n.ipv6);
}

static void keep_device(
        struct filter_build *f, struct group *g, const struct node *n, const struct ip_spec *ip)
{
        const struct ip_addr *own[] = { &n->n.ipv4, &n->n.ipv6 };

        VEC_EACH(struct port_range, ports, &ip->ports)
        {
                for (size_t i = 0; i < 2; i++) {
                        struct ip_prefix p = ip_host_prefix(*own[i]);
                        struct ip_range r = ip_range_of(&p);
                        if (ip_valid(own[i]) && filter_keeps(f, &r))
                                filter_push_dst(f, g, prefix_text(&p, false, f->a), ports);
                }
        }
}

/* One entry per device of the user, then the companions, whose direction is reversed. */
static void self_app(struct filter_build *f, const struct compiled_grant *cg,
        const struct tailcfg_strings *src_ips, const struct ipset *src, const struct ipset *all)
{
        struct group *g = filter_caps_group(f, src_ips, f->next++);
        struct tailcfg_strings all_ips = set_tokens(all, f->a);

        for (size_t i = 0; g && i < f->n->user->nodes.count; i++) {
                struct ipset one = { 0 };
                add_addresses(&one, f->a, device(f, i));
                ipset_sort(&one);
                filter_keep_caps(f, g, &one, true, cg->caps, cg->g->app.count);
        }
        for (int relay = 0; relay < 2; relay++) {
                VEC_EACH(struct app_cap, cap, &cg->g->app)
                {
                        if (!slice_is(cap->name, relay ? "tailscale.com/cap/relay" : "tailscale.com/cap/drive"))
                                continue;
                        struct group *back = filter_caps_group(f, &all_ips, f->next++);
                        if (back)
                                filter_keep_caps(f, back, src, true, companion_of(cap), 1);
                }
        }
}

void filter_self(struct filter_build *f, const struct compiled_grant *cg)
{
        struct ipset src = { 0 }, all = { 0 };

        for (size_t i = 0; i < f->n->user->nodes.count; i++) {
                const struct node *n = device(f, i);
                if (class_bit(f->pl, class_of(f->pl, n), SECTION_ORIGIN, cg->at))
                        add_addresses(&src, f->a, n);
                add_addresses(&all, f->a, n);
        }
        if (src.count == 0)
                return;
        ipset_sort(&src);
        ipset_sort(&all);
        struct tailcfg_strings src_ips = set_tokens(&src, f->a);
        uint64_t digest = tokens_digest(&src_ips);
        VEC_EACH(struct ip_spec, ip, &cg->g->ip)
        {
                uint64_t place = filter_place(f, digest, ip->proto, f->next++);
                struct group *g = filter_group(f, &src_ips, digest, ip->proto, place);
                if (g && !f->is_odd && f->pl->roster->outside_count == 0)
                        keep_device(f, g, f->n, ip);
                else if (g)
                        for (size_t i = 0; i < f->n->user->nodes.count; i++)
                                keep_device(f, g, device(f, i), ip);
        }
        if (cg->g->app.count)
                self_app(f, cg, &src_ips, &src, &all);
}

/* ---- via -------------------------------------------------------------------------------- */

static void push_range(
        struct filter_build *f, struct group *g, const struct ip_range *range, const struct ip_spec *ip)
{
        struct ip_range rest = *range;
        struct ip_prefix p;
        bool done = false;

        while (ip_range_next_prefix(&rest, &done, &p)) {
                struct ip_range r = ip_range_of(&p);
                struct slice text = prefix_text(&p, true, f->a);
                if (filter_keeps(f, &r))
                        VEC_EACH(struct port_range, ports, &ip->ports)
                filter_push_dst(f, g, text, ports);
        }
}

void filter_via(struct filter_build *f, const struct compiled_grant *cg)
{
        if (source_build(f->pl, cg->src) != OK) {
                f->a->failed = true;
                return;
        }
        VEC_EACH(struct ip_spec, ip, &cg->g->ip)
        {
                uint64_t place = filter_place(f, cg->src->digest, ip->proto, f->next++);
                struct group *g = cg->src->tokens.count ? filter_group(f, &cg->src->tokens, cg->src->digest,
                                                                  ip->proto, place)
                                                        : NULL;
                if (!g)
                        continue;
                VEC_EACH(struct rule_dst, d, &cg->dsts)
                {
                        const struct ipset *set = &d->selector->set;
                        bool of_routes = !d->is_internet && !d->selector->is_live;
                        for (size_t i = 0; i < set->count; i++)
                                if ((of_routes && via_range_applies(f->n, &set->items[i])) ||
                                        (d->is_internet && f->n->is_exit))
                                        push_range(f, g, &set->items[i], ip);
                }
        }
}
