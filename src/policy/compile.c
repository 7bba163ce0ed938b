/* Grants to filter rules: the part that holds for every node (spec/policy.md 9). */
#include <stdlib.h>

#include "image_internal.h"

/* --- rules ---------------------------------------------------------------------- */

static void push_slice(struct vec *v, struct arena *a, struct slice s)
{
        struct slice *added = VEC_PUSH(v, a, struct slice);

        if (added)
                *added = s;
}

static void push_tokens(struct vec *v, struct arena *a, const struct ipset *s)
{
        for (size_t i = 0; i < s->count; i++)
                push_slice(v, a, ip_range_text(&s->items[i], a));
}

static struct tailcfg_strings as_strings(const struct vec *v)
{
        return (struct tailcfg_strings){ v->count ? v->items : TAILCFG_EMPTY, v->count };
}

struct tailcfg_strings set_tokens(const struct ipset *s, struct arena *a)
{
        struct vec v = { 0 };

        push_tokens(&v, a, s);
        return as_strings(&v);
}

static void push_dst(struct rule *r, struct arena *a, struct slice text, struct ip_range range, bool is_any,
        const struct ip_spec *ip)
{
        VEC_EACH(struct port_range, ports, &ip->ports)
        {
                struct rule_dst *d = VEC_PUSH(&r->dsts, a, struct rule_dst);
                if (d)
                        *d = (struct rule_dst){ text, range, is_any, *ports };
        }
}

static struct slice prefix_text(const struct ip_prefix *p, bool cidr_form, struct arena *a)
{
        char text[IP_TEXT_MAX];

        if (!cidr_form && ip_prefix_is_host(p))
                ip_format(&p->ip, text);
        else
                ip_prefix_format(p, text);
        return arena_copy(a, slice_str(text));
}

void rule_add_dsts(
        struct rule *r, struct arena *a, const struct ipset *set, const struct ip_spec *ip, bool cidr_form)
{
        for (size_t i = 0; i < set->count; i++) {
                struct ip_range rest = set->items[i];
                struct ip_prefix p;
                bool done = false;
                while (ip_range_next_prefix(&rest, &done, &p))
                        push_dst(r, a, prefix_text(&p, cidr_form, a), ip_range_of(&p), false, ip);
        }
}

/* The official service writes these as ranges, not as prefixes. */
static void add_internet_dsts(
        struct rule *r, struct arena *a, const struct ipset *internet, const struct ip_spec *ip)
{
        for (size_t i = 0; i < internet->count; i++)
                push_dst(r, a, ip_range_text(&internet->items[i], a), internet->items[i], false, ip);
}

void rule_add_self_dsts(
        struct rule *r, struct arena *a, const struct policy_node *n, const struct ip_spec *ip)
{
        const struct ip_addr *own[] = { &n->ipv4, &n->ipv6 };

        VEC_EACH(struct port_range, ports, &ip->ports)
        {
                for (size_t i = 0; i < 2; i++) {
                        struct ip_prefix p = ip_host_prefix(*own[i]);
                        struct rule_dst *d = ip_valid(own[i]) ? VEC_PUSH(&r->dsts, a, struct rule_dst) : NULL;
                        if (d)
                                *d = (struct rule_dst){ prefix_text(&p, false, a), ip_range_of(&p), false,
                                        *ports };
                }
        }
}

void rule_finish(struct rule *r, struct arena *a)
{
        struct buf key = BUF_INIT(64 << 20);

        VEC_EACH(struct rule_dst, d, &r->dsts)
        {
                if (d->is_any) {
                        struct ip_prefix v4 = { { .family = IP_V4 }, 0 }, v6 = { { .family = IP_V6 }, 0 };
                        ipset_add_prefix(&r->dst, a, &v4);
                        ipset_add_prefix(&r->dst, a, &v6);
                } else {
                        ipset_add(&r->dst, a, d->range);
                }
        }
        VEC_EACH(struct rule_cap, c, &r->caps)
        ipset_add_set(&r->dst, a, c->dsts);
        ipset_sort(&r->dst);
        buf_printf(&key, "%d", r->proto);
        for (size_t i = 0; i < r->src_ips.count; i++) {
                buf_append_byte(&key, ',');
                buf_append_slice(&key, r->src_ips.items[i]);
        }
        if (buf_status(&key) != OK)
                a->failed = true;
        r->merge_key = arena_copy(a, buf_slice(&key));
        buf_fini(&key);
}

/* --- sources ---------------------------------------------------------------------- */

static bool has_token(const struct vec *tokens, struct slice text)
{
        VEC_EACH(struct slice, t, tokens)
        if (slice_equal(*t, text))
                return true;
        return false;
}

static void push_routes(struct policy_image *st, struct vec *tokens, struct ipset *meaning)
{
        VEC_EACH(struct ip_prefix, p, &st->approved)
        {
                push_slice(tokens, &st->arena, prefix_text(p, true, &st->arena));
                ipset_add_prefix(meaning, &st->arena, p);
        }
}

static void compile_sources(struct policy_image *st, struct compiled_grant *cg)
{
        struct vec tokens = { 0 };
        bool any = false, everything = false;

        VEC_EACH(struct alias, s, &cg->g->src)
        {
                any |= s->kind == ALIAS_WILDCARD;
                everything |= s->autogroup == AUTOGROUP_DANGER_ALL;
                ipset_add_set(&cg->src, &st->arena, state_resolve(st, s));
        }
        ipset_sort(&cg->src);
        ipset_add_set(&cg->src_meaning, &st->arena, &cg->src);
        if (everything)
                push_slice(&tokens, &st->arena, SLICE_LIT("*"));
        else
                push_tokens(&tokens, &st->arena, &cg->src);
        if (any && !everything)
                push_routes(st, &tokens, &cg->src_meaning);
        ipset_sort(&cg->src_meaning);
        cg->via_src_ips = as_strings(&tokens);
        /* Beside `*` the other sources are named again where they are not yet. */
        struct vec full = { 0 };
        VEC_EACH(struct slice, t, &tokens)
        push_slice(&full, &st->arena, *t);
        if (any && !everything) {
                VEC_EACH(struct alias, s, &cg->g->src)
                {
                        const struct ipset *set = state_resolve(st, s);
                        for (size_t i = 0; s->kind != ALIAS_WILDCARD && i < set->count; i++) {
                                struct slice text = ip_range_text(&set->items[i], &st->arena);
                                if (!has_token(&full, text))
                                        push_slice(&full, &st->arena, text);
                        }
                }
        }
        cg->src_ips = as_strings(&full);
}

/* --- rules of one grant ------------------------------------------------------------- */

static struct rule *new_rule(struct policy_image *st, struct compiled_grant *cg, const struct ip_spec *ip)
{
        struct rule *r = VEC_PUSH(&cg->rules, &st->arena, struct rule);

        if (r)
                *r = (struct rule){
                        .src_ips = cg->src_ips, .src = &cg->src_meaning, .proto = ip ? ip->proto : -1
                };
        return r;
}

static void compile_ip(struct policy_image *st, struct compiled_grant *cg, const struct ip_spec *ip)
{
        static const struct ip_range none;
        struct rule *r;

        if (cg->src_ips.count == 0 || !(r = new_rule(st, cg, ip)))
                return;
        VEC_EACH(struct alias, d, &cg->g->dst)
        {
                if (d->kind == ALIAS_WILDCARD)
                        push_dst(r, &st->arena, SLICE_LIT("*"), none, true, ip);
                else if (d->autogroup == AUTOGROUP_INTERNET)
                        add_internet_dsts(r, &st->arena, &st->internet, ip);
                else if (d->autogroup != AUTOGROUP_SELF)
                        rule_add_dsts(r, &st->arena, state_resolve(st, d), ip, false);
        }
        if (r->dsts.count == 0)
                cg->rules.count--;
        else
                rule_finish(r, &st->arena);
}

const struct tailcfg_cap *companion_of(const struct app_cap *cap)
{
        static const struct tailcfg_cap drive = { .name = SLICE_LIT("tailscale.com/cap/drive-sharer") };
        static const struct tailcfg_cap relay = { .name = SLICE_LIT("tailscale.com/cap/relay-target") };

        if (slice_is(cap->name, "tailscale.com/cap/drive"))
                return &drive;
        return slice_is(cap->name, "tailscale.com/cap/relay") ? &relay : NULL;
}

static void compile_companion(
        struct policy_image *st, struct compiled_grant *cg, const struct tailcfg_cap *cap)
{
        struct rule *r = new_rule(st, cg, NULL);
        struct rule_cap *c = r ? VEC_PUSH(&r->caps, &st->arena, struct rule_cap) : NULL;
        struct ipset *src = ARENA_NEW(&st->arena, struct ipset);
        struct vec tokens = { 0 };
        bool any = false;

        if (!c || !src)
                return;
        VEC_EACH(struct alias, d, &cg->g->dst)
        any |= d->kind == ALIAS_WILDCARD;
        ipset_add_set(src, &st->arena, &cg->dst_all);
        ipset_sort(src);
        push_tokens(&tokens, &st->arena, src);
        if (any)
                push_routes(st, &tokens, src);
        ipset_sort(src);
        r->src = src;
        r->src_ips = as_strings(&tokens);
        *c = (struct rule_cap){ &cg->src, cap, 1 };
        rule_finish(r, &st->arena);
}

static const struct tailcfg_cap *make_cap_map(struct policy_image *st, const struct vec *app)
{
        struct tailcfg_cap *caps = ARENA_ARRAY(&st->arena, app->count, struct tailcfg_cap), *c = caps;

        VEC_EACH(struct app_cap, from, app)
        {
                if (!caps)
                        return NULL;
                *c++ = (struct tailcfg_cap){ from->name, { from->values.items, from->values.count } };
        }
        return caps;
}

static void compile_app(struct policy_image *st, struct compiled_grant *cg)
{
        struct rule *r;

        if (cg->dst_sets.count == 0 || !cg->cap_map || !(r = new_rule(st, cg, NULL)))
                return;
        VEC_EACH(struct ipset *, set, &cg->dst_sets)
        {
                struct rule_cap *c = VEC_PUSH(&r->caps, &st->arena, struct rule_cap);
                if (c)
                        *c = (struct rule_cap){ *set, cg->cap_map, cg->g->app.count };
        }
        rule_finish(r, &st->arena);
        for (const char *const *order =
                        (const char *const[]){ "tailscale.com/cap/drive", "tailscale.com/cap/relay", NULL };
                *order; order++)
                VEC_EACH(struct app_cap, cap, &cg->g->app)
        if (slice_is(cap->name, *order))
                compile_companion(st, cg, companion_of(cap));
}

static void compile_grant(struct policy_image *st, const struct grant *g)
{
        struct compiled_grant *cg = VEC_PUSH(&st->grants, &st->arena, struct compiled_grant);

        if (!cg)
                return;
        cg->g = g;
        compile_sources(st, cg);
        VEC_EACH(struct alias, d, &g->dst)
        {
                cg->has_internet |= d->autogroup == AUTOGROUP_INTERNET;
                if (d->autogroup == AUTOGROUP_SELF) {
                        cg->has_self = st->has_self = true;
                        continue;
                }
                const struct ipset *set = state_resolve(st, d),
                                   **added = VEC_PUSH(&cg->dst_sets, &st->arena, const struct ipset *);
                if (added)
                        *added = set;
                if (d->autogroup != AUTOGROUP_INTERNET)
                        ipset_add_set(&cg->dst_all, &st->arena, set);
        }
        ipset_sort(&cg->dst_all);
        st->has_via |= g->via.count != 0;
}

/* Rules point into their grant, so they are made once all grants have their place. */
static void compile_rules(struct policy_image *st, struct compiled_grant *cg)
{
        const struct grant *g = cg->g;

        if (g->app.count)
                cg->cap_map = make_cap_map(st, &g->app);
        if (g->via.count || g->src.count == 0 || g->dst.count == 0)
                return;
        VEC_EACH(struct ip_spec, ip, &g->ip)
        compile_ip(st, cg, ip);
        if (g->app.count)
                compile_app(st, cg);
}

/* --- the state -------------------------------------------------------------------------- */

static void add_range(struct ipset *s, struct arena *a, const char *prefix_text_or_range, const char *last)
{
        struct ip_prefix p, q;

        if (ip_prefix_parse(slice_str(prefix_text_or_range), &p) != OK ||
                ip_prefix_parse(slice_str(last), &q) != OK)
                abort(); /* the constants below are prefixes */
        struct ip_range r = ip_range_of(&p);
        r.last = ip_range_of(&q).last;
        ipset_add(s, a, r);
}

void state_fixed_sets(struct policy_image *st)
{
        struct arena *a = &st->arena;

        add_range(&st->tailnet, a, "100.64.0.0/32", "100.115.91.255/32");
        add_range(&st->tailnet, a, "100.115.94.0/32", "100.127.255.255/32");
        add_range(&st->tailnet, a, "fd7a:115c:a1e0::/48", "fd7a:115c:a1e0::/48");
        add_range(&st->internet, a, "0.0.0.0/32", "9.255.255.255/32");
        add_range(&st->internet, a, "11.0.0.0/32", "100.63.255.255/32");
        add_range(&st->internet, a, "100.128.0.0/32", "169.253.255.255/32");
        add_range(&st->internet, a, "169.255.0.0/32", "172.15.255.255/32");
        add_range(&st->internet, a, "172.32.0.0/32", "192.167.255.255/32");
        add_range(&st->internet, a, "192.169.0.0/32", "255.255.255.255/32");
        add_range(&st->internet, a, "2000::/3", "2000::/3");
        add_range(&st->all, a, "0.0.0.0/0", "0.0.0.0/0");
        add_range(&st->all, a, "::/0", "::/0");
}

/* Where there are no acls and no grants, everybody in the tailnet may reach
 * everything; without a policy at all, so may whoever sends us packets (section 8). */
static void compile_default(struct policy_image *st)
{
        struct grant *g = ARENA_NEW(&st->arena, struct grant);
        struct alias *src = g ? VEC_PUSH(&g->src, &st->arena, struct alias) : NULL;
        struct alias *dst = g ? VEC_PUSH(&g->dst, &st->arena, struct alias) : NULL;
        struct ip_spec *ip = g ? VEC_PUSH(&g->ip, &st->arena, struct ip_spec) : NULL;
        struct port_range *ports = ip ? VEC_PUSH(&ip->ports, &st->arena, struct port_range) : NULL;

        if (!src || !dst || !ports)
                return;
        *dst = *src = (struct alias){ .kind = ALIAS_WILDCARD, .text = SLICE_LIT("*") };
        if (st->p->is_empty)
                *src = (struct alias){ .kind = ALIAS_AUTOGROUP,
                        .text = SLICE_LIT("autogroup:danger-all"),
                        .autogroup = AUTOGROUP_DANGER_ALL };
        ip->proto = -1;
        *ports = (struct port_range){ 0, 65535 };
        compile_grant(st, g);
}

void state_compile(struct policy_image *st)
{
        VEC_EACH(struct grant, g, &st->p->grants)
        compile_grant(st, g);
        if (!st->p->has_rules)
                compile_default(st);
        for (size_t i = 0; i < st->grants.count; i++)
                compile_rules(st, &((struct compiled_grant *)st->grants.items)[i]);
        VEC_EACH(struct compiled_grant, cg, &st->grants)
        {
                VEC_EACH(struct rule, r, &cg->rules)
                {
                        const struct rule **added = VEC_PUSH(&st->rules, &st->arena, const struct rule *);
                        if (added)
                                *added = r;
                }
        }
}
