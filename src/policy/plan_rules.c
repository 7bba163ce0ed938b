/* Grants, ssh rules and attributes as selectors and bits (spec/policy.md 9). What holds
 * for every node becomes rules; autogroup:self and via are worked out for the nodes
 * that have them. */
#include "state_internal.h"

/* ---- sources ------------------------------------------------------------------------ */

static void push_selector(struct vec *v, struct arena *a, struct selector *s)
{
        struct selector **added = s ? VEC_PUSH(v, a, struct selector *) : NULL;

        if (added)
                *added = s;
}


/* Rules that name the same sources share them. */
static struct source *intern(struct plan *pl, struct source *s, struct table *known)
{
        struct buf key = BUF_INIT(16 << 20);
        uint8_t marks = (uint8_t)(s->kind * 4 + s->has_any * 2 + s->has_everything);

        buf_append_byte(&key, marks);
        if (s->selectors.count)
                buf_append(&key, s->selectors.items, s->selectors.count * sizeof(struct selector *));
        struct source *old = buf_status(&key) == OK ? table_get(known, buf_slice(&key)) : NULL;
        if (!old) {
                struct slice kept = arena_copy(&pl->arena, buf_slice(&key));
                struct source **added = VEC_PUSH(&pl->sources, &pl->arena, struct source *);
                s->arena = ARENA_INIT(256 << 20);
                if (added)
                        *added = s;
                if (!kept.ptr || table_put(known, kept, s, NULL) != OK)
                        pl->arena.failed = true;
        }
        buf_fini(&key);
        return old ? old : s;
}

static struct source *grant_source(struct plan *pl, const struct grant *g, struct table *known)
{
        struct source *s = ARENA_NEW(&pl->arena, struct source);

        if (!s)
                return NULL;
        s->kind = g->via.count ? SOURCE_VIA : SOURCE_PLAIN;
        VEC_EACH(struct alias, a, &g->src)
        {
                s->has_any |= a->kind == ALIAS_WILDCARD;
                s->has_everything |= a->autogroup == AUTOGROUP_DANGER_ALL;
                push_selector(&s->selectors, &pl->arena, plan_selector(pl, a, ROLE_SRC));
        }
        return intern(pl, s, known);
}

/* The destinations as sources: companions go the other way. */
static struct source *back_source(struct plan *pl, const struct grant *g, struct table *known)
{
        struct source *s = ARENA_NEW(&pl->arena, struct source);

        if (!s)
                return NULL;
        s->kind = SOURCE_BACK;
        VEC_EACH(struct alias, a, &g->dst)
        {
                s->has_any |= a->kind == ALIAS_WILDCARD;
                if (a->autogroup != AUTOGROUP_SELF && a->autogroup != AUTOGROUP_INTERNET)
                        push_selector(&s->selectors, &pl->arena, plan_selector(pl, a, ROLE_SRC));
        }
        return intern(pl, s, known);
}

static void use_all(
        struct plan *pl, const struct vec *selectors, enum section section, size_t bit, bool by_route)
{
        VEC_EACH(struct selector *, s, selectors)
        plan_use(pl, *s, section, bit, by_route);
}

/* ---- rules --------------------------------------------------------------------------- */

static void find_covers(struct plan *pl, struct rule *r)
{
        struct ipset all = { 0 };

        VEC_EACH(struct rule_dst, d, &r->dsts)
        if (!d->selector->is_live)
                ipset_add_set(&all, &pl->arena, &d->selector->set);
        ipset_sort(&all);
        r->covers_internet = ipset_covers(&all, &pl->internet);
        r->covers_default = r->covers_internet || ipset_covers_range(&all, &pl->all.items[0]) ||
                            ipset_covers_range(&all, &pl->all.items[1]);
}

static struct rule *new_rule(struct plan *pl, struct compiled_grant *cg, struct source *src)
{
        struct rule *r = ARENA_NEW(&pl->arena, struct rule);
        struct rule **added = r ? VEC_PUSH(&pl->rules, &pl->arena, struct rule *) : NULL;

        if (!added)
                return NULL;
        *added = r;
        r->at = pl->rules.count - 1;
        r->src = src;
        cg->rule_count++;
        use_all(pl, &src->selectors, SECTION_SRC, r->at, true);
        return r;
}

static void add_dst(struct plan *pl, struct rule *r, const struct alias *a, enum selector_role role)
{
        struct selector *s = plan_selector(pl, a, role);
        struct rule_dst *d = s ? VEC_PUSH(&r->dsts, &pl->arena, struct rule_dst) : NULL;

        if (!d)
                return;
        *d = (struct rule_dst){ s, role == ROLE_DST && a->kind == ALIAS_WILDCARD,
                a->autogroup == AUTOGROUP_INTERNET };
        plan_use(pl, s, SECTION_DST, r->at, true);
}

static void plan_ip(struct plan *pl, struct compiled_grant *cg, const struct ip_spec *ip)
{
        struct rule *r = new_rule(pl, cg, cg->src);

        if (!r)
                return;
        r->ip = ip;
        VEC_EACH(struct alias, d, &cg->g->dst)
        if (d->autogroup != AUTOGROUP_SELF)
                add_dst(pl, r, d, ROLE_DST);
        find_covers(pl, r);
}

const struct tailcfg_cap *companion_of(const struct app_cap *cap)
{
        static const struct tailcfg_cap drive = { .name = SLICE_LIT("tailscale.com/cap/drive-sharer") };
        static const struct tailcfg_cap relay = { .name = SLICE_LIT("tailscale.com/cap/relay-target") };

        if (slice_is(cap->name, "tailscale.com/cap/drive"))
                return &drive;
        return slice_is(cap->name, "tailscale.com/cap/relay") ? &relay : NULL;
}

static void plan_companion(struct plan *pl, struct compiled_grant *cg, const struct tailcfg_cap *cap,
        struct source *back)
{
        struct rule *r = new_rule(pl, cg, back);

        if (!r)
                return;
        r->back = cg->src;
        r->caps = cap;
        r->cap_count = 1;
        VEC_EACH(struct alias, s, &cg->g->src)
        add_dst(pl, r, s, ROLE_TAILNET);
        find_covers(pl, r);
}

static const struct tailcfg_cap *make_caps(struct plan *pl, const struct vec *app)
{
        struct tailcfg_cap *caps = ARENA_ARRAY(&pl->arena, app->count, struct tailcfg_cap), *c = caps;

        if (caps)
                VEC_EACH(struct app_cap, from, app)
        *c++ = (struct tailcfg_cap){ from->name, { from->values.items, from->values.count } };
        return caps;
}

static void plan_app(struct plan *pl, struct compiled_grant *cg, struct table *known)
{
        struct source *back = back_source(pl, cg->g, known);
        struct rule *r = back && cg->dsts.count ? new_rule(pl, cg, cg->src) : NULL;

        if (!r)
                return;
        r->caps = cg->caps;
        r->cap_count = cg->g->app.count;
        VEC_EACH(struct alias, d, &cg->g->dst)
        if (d->autogroup != AUTOGROUP_SELF)
                add_dst(pl, r, d, ROLE_TAILNET);
        find_covers(pl, r);
        /* The drive's companion comes before the relay's. */
        for (int relay = 0; relay < 2; relay++) {
                VEC_EACH(struct app_cap, cap, &cg->g->app)
                if (slice_is(cap->name, relay ? "tailscale.com/cap/relay" : "tailscale.com/cap/drive"))
                        plan_companion(pl, cg, companion_of(cap), back);
        }
}

/* ---- grants ---------------------------------------------------------------------------- */

static void plan_dsts(struct plan *pl, struct compiled_grant *cg)
{
        VEC_EACH(struct alias, a, &cg->g->dst)
        {
                cg->has_internet |= a->autogroup == AUTOGROUP_INTERNET;
                if (a->autogroup == AUTOGROUP_SELF) {
                        cg->has_self = pl->has_self = true;
                        continue;
                }
                struct selector *s = plan_selector(pl, a, ROLE_TAILNET);
                struct rule_dst *d = s ? VEC_PUSH(&cg->dsts, &pl->arena, struct rule_dst) : NULL;
                if (d)
                        *d = (struct rule_dst){ s, false, a->autogroup == AUTOGROUP_INTERNET };
        }
}

static void plan_via(struct plan *pl, struct compiled_grant *cg)
{
        pl->has_via = true;
        cg->via_at = pl->via_count++;
        cg->via_dst_at = pl->via_dst_count;
        use_all(pl, &cg->src->selectors, SECTION_VIA_SRC, cg->via_at, true);
        VEC_EACH(struct rule_dst, d, &cg->dsts)
        plan_use(pl, d->selector, SECTION_VIA_DST, pl->via_dst_count++, true);
        VEC_EACH(struct alias, v, &cg->g->via)
        plan_use(pl, plan_selector(pl, v, ROLE_TAILNET), SECTION_CARRY, cg->via_at, false);
}

static void plan_grant(struct plan *pl, const struct grant *g, struct table *known)
{
        struct compiled_grant *cg = VEC_PUSH(&pl->grants, &pl->arena, struct compiled_grant);

        if (!cg)
                return;
        cg->g = g;
        cg->at = pl->grants.count - 1;
        cg->first_rule = pl->rules.count;
        cg->src = grant_source(pl, g, known);
        if (!cg->src)
                return;
        use_all(pl, &cg->src->selectors, SECTION_ORIGIN, cg->at, false);
        plan_dsts(pl, cg);
        if (g->app.count)
                cg->caps = make_caps(pl, &g->app);
        if (g->via.count) {
                plan_via(pl, cg);
                return;
        }
        if (g->src.count == 0 || g->dst.count == 0)
                return;
        VEC_EACH(struct ip_spec, ip, &g->ip)
        plan_ip(pl, cg, ip);
        if (g->app.count && cg->caps)
                plan_app(pl, cg, known);
}

/* Where there are no acls and no grants, everybody in the tailnet may reach
 * everything; without a policy at all, so may whoever sends us packets (section 8). */
static const struct grant *default_grant(struct plan *pl)
{
        struct grant *g = ARENA_NEW(&pl->arena, struct grant);
        struct alias *src = g ? VEC_PUSH(&g->src, &pl->arena, struct alias) : NULL;
        struct alias *dst = g ? VEC_PUSH(&g->dst, &pl->arena, struct alias) : NULL;
        struct ip_spec *ip = g ? VEC_PUSH(&g->ip, &pl->arena, struct ip_spec) : NULL;
        struct port_range *ports = ip ? VEC_PUSH(&ip->ports, &pl->arena, struct port_range) : NULL;

        if (!src || !dst || !ports)
                return NULL;
        *dst = *src = (struct alias){ .kind = ALIAS_WILDCARD, .text = SLICE_LIT("*") };
        if (pl->p->is_empty)
                *src = (struct alias){ .kind = ALIAS_AUTOGROUP,
                        .text = SLICE_LIT("autogroup:danger-all"),
                        .autogroup = AUTOGROUP_DANGER_ALL };
        ip->proto = -1;
        *ports = (struct port_range){ 0, 65535 };
        return g;
}

void plan_grants(struct plan *pl)
{
        struct table known = TABLE_INIT(0);
        const struct grant *g = pl->p->has_rules ? NULL : default_grant(pl);

        VEC_EACH(struct grant, each, &pl->p->grants)
        plan_grant(pl, each, &known);
        if (g)
                plan_grant(pl, g, &known);
        table_fini(&known);
}

/* ---- ssh and attributes ------------------------------------------------------------------ */

void plan_ssh(struct plan *pl)
{
        struct slice domain;

        VEC_EACH(struct ssh_rule, r, &pl->p->ssh)
        {
                struct ssh_plan *s = VEC_PUSH(&pl->ssh, &pl->arena, struct ssh_plan);
                size_t at = pl->ssh.count - 1;
                if (!s)
                        return;
                s->rule = r;
                s->arena = ARENA_INIT(256 << 20);
                VEC_EACH(struct alias, a, &r->src)
                {
                        struct selector *sel = plan_selector(pl, a, ROLE_TAILNET);
                        push_selector(&s->src, &pl->arena, sel);
                        plan_use(pl, sel, SECTION_SSH_SRC, at, false);
                }
                VEC_EACH(struct alias, a, &r->dst)
                {
                        s->has_self |= a->autogroup == AUTOGROUP_SELF;
                        s->has_other |= a->autogroup != AUTOGROUP_SELF;
                        plan_use(pl, plan_selector(pl, a, ROLE_TAILNET), SECTION_SSH_DST, at, false);
                }
                VEC_EACH(struct text, u, &r->users)
                s->has_localpart |= localpart_domain(u->s, &domain);
                pl->has_ssh_self |= s->has_self;
                pl->has_localpart |= s->has_localpart;
        }
}

void plan_attrs(struct plan *pl)
{
        size_t at = 0;

        VEC_EACH(struct node_attr, entry, &pl->p->node_attrs)
        {
                VEC_EACH(struct alias, t, &entry->target)
                plan_use(pl, plan_selector(pl, t, ROLE_TAILNET), SECTION_ATTR, at, false);
                at++;
        }
}
