/* A policy made ready for the nodes of a roster. */
#include <stdlib.h>

#include "state_internal.h"

/* ---- selectors --------------------------------------------------------------------- */

/* Fixed selectors have names that no token has. */
static struct selector *new_selector(struct plan *pl, struct slice text)
{
        struct selector *s = ARENA_NEW(&pl->arena, struct selector);
        struct selector **added = s ? VEC_PUSH(&pl->selectors, &pl->arena, struct selector *) : NULL;

        if (!added)
                return NULL;
        *added = s;
        s->text = text;
        if (table_put(&pl->by_text, text, s, NULL) == OK)
                return s;
        pl->arena.failed = true;
        return NULL;
}

/* One that stands for the same addresses whatever the nodes. */
static struct selector *fixed_selector(struct plan *pl, const char *text, const struct ipset *set)
{
        struct selector *s = table_get(&pl->by_text, slice_str(text));

        if (s || !(s = new_selector(pl, slice_str(text))))
                return s;
        s->set = *set;
        struct selector **added = VEC_PUSH(&pl->fixed, &pl->arena, struct selector *);
        if (added)
                *added = s;
        return s;
}

static void add_literal(struct plan *pl, struct selector *s, const struct ip_prefix *p)
{
        struct literal *l = VEC_PUSH(&pl->literals, &pl->arena, struct literal);

        ipset_add_prefix(&s->set, &pl->arena, p);
        if (l)
                *l = (struct literal){ ip_range_of(p), s, SIZE_MAX };
}

static void add_token(struct plan *pl, struct selector *s, struct slice text)
{
        struct user_token *t = VEC_PUSH(&pl->user_tokens, &pl->arena, struct user_token);

        if (t)
                *t = (struct user_token){ text, s };
}

static void add_alias(struct plan *pl, struct vec *to, const struct alias *a, struct selector *s)
{
        struct alias_selector *added = VEC_PUSH(to, &pl->arena, struct alias_selector);

        if (added)
                *added = (struct alias_selector){ a, s };
}

static struct selector *autogroup(struct plan *pl, const struct alias *a)
{
        struct selector *s;

        switch (a->autogroup) {
        case AUTOGROUP_INTERNET:
                return fixed_selector(pl, ":internet", &pl->internet);
        case AUTOGROUP_DANGER_ALL:
                return fixed_selector(pl, ":all", &pl->all);
        case AUTOGROUP_MEMBER:
        case AUTOGROUP_TAGGED:
        case AUTOGROUP_ROLE:
                s = new_selector(pl, a->text);
                if (!s)
                        return NULL;
                s->is_live = true;
                if (a->autogroup == AUTOGROUP_MEMBER)
                        pl->member = s;
                else if (a->autogroup == AUTOGROUP_TAGGED)
                        pl->tagged = s;
                else
                        add_alias(pl, &pl->roles, a, s);
                return s;
        case AUTOGROUP_NONE:
        case AUTOGROUP_SELF:
        case AUTOGROUP_NONROOT:
                break;
        }
        return NULL;
}

static struct selector *wildcard(struct plan *pl, enum selector_role role)
{
        struct selector *s;

        if (role == ROLE_DST)
                return fixed_selector(pl, ":all", &pl->all);
        if (role == ROLE_TAILNET)
                return fixed_selector(pl, ":tailnet", &pl->tailnet);
        s = fixed_selector(pl, ":sources", &pl->tailnet);
        if (s)
                s->takes_routes = true;
        return s;
}

static void add_members(struct plan *pl, struct selector *s, const struct named *group)
{
        if (group)
                VEC_EACH(struct text, m, &group->members)
        add_token(pl, s, m->s);
}

struct selector *plan_selector(struct plan *pl, const struct alias *a, enum selector_role role)
{
        struct selector *s;
        const struct host *host;

        if (a->kind == ALIAS_WILDCARD)
                return wildcard(pl, role);
        s = table_get(&pl->by_text, a->text);
        if (s)
                return s;
        if (a->kind == ALIAS_AUTOGROUP)
                return autogroup(pl, a);
        s = new_selector(pl, a->text);
        if (!s)
                return NULL;
        s->is_live = a->kind != ALIAS_PREFIX && a->kind != ALIAS_HOST;
        switch (a->kind) {
        case ALIAS_PREFIX:
                add_literal(pl, s, &a->prefix);
                break;
        case ALIAS_HOST:
                host = policy_host(pl->p, a->text);
                if (host)
                        add_literal(pl, s, &host->prefix);
                break;
        case ALIAS_USER:
                add_token(pl, s, a->text);
                break;
        case ALIAS_GROUP:
                add_members(pl, s, policy_group(pl->p, a->text));
                break;
        case ALIAS_DOMAIN:
                add_alias(pl, &pl->domains, a, s);
                break;
        case ALIAS_TAG:
        case ALIAS_AUTOGROUP:
        case ALIAS_WILDCARD:
                break; /* found by the text of the tag; done above */
        }
        return s;
}

void plan_use(struct plan *pl, struct selector *s, enum section section, size_t bit, bool by_route)
{
        struct use *u = s ? VEC_PUSH(&s->uses, &pl->arena, struct use) : NULL;

        if (u)
                *u = (struct use){ section, (uint32_t)bit, by_route };
}

/* ---- the sets that are the same everywhere -------------------------------------------- */

static void add_range(struct ipset *s, struct arena *a, const char *first, const char *last)
{
        struct ip_prefix p, q;

        if (ip_prefix_parse(slice_str(first), &p) != OK || ip_prefix_parse(slice_str(last), &q) != OK)
                abort(); /* the constants below are prefixes */
        struct ip_range r = ip_range_of(&p);
        r.last = ip_range_of(&q).last;
        ipset_add(s, a, r);
}

static void fixed_sets(struct plan *pl)
{
        struct arena *a = &pl->arena;

        add_range(&pl->tailnet, a, "100.64.0.0/32", "100.115.91.255/32");
        add_range(&pl->tailnet, a, "100.115.94.0/32", "100.127.255.255/32");
        add_range(&pl->tailnet, a, "fd7a:115c:a1e0::/48", "fd7a:115c:a1e0::/48");
        add_range(&pl->internet, a, "0.0.0.0/32", "9.255.255.255/32");
        add_range(&pl->internet, a, "11.0.0.0/32", "100.63.255.255/32");
        add_range(&pl->internet, a, "100.128.0.0/32", "169.253.255.255/32");
        add_range(&pl->internet, a, "169.255.0.0/32", "172.15.255.255/32");
        add_range(&pl->internet, a, "172.32.0.0/32", "192.167.255.255/32");
        add_range(&pl->internet, a, "192.169.0.0/32", "255.255.255.255/32");
        add_range(&pl->internet, a, "2000::/3", "2000::/3");
        add_range(&pl->all, a, "0.0.0.0/0", "0.0.0.0/0");
        add_range(&pl->all, a, "::/0", "::/0");
}

/* ---- the plan ---------------------------------------------------------------------------- */

/* Bits of a section, whole words. */
static void lay_out(struct plan *pl)
{
        const size_t counts[SECTIONS] = {
                [SECTION_SRC] = pl->rules.count,
                [SECTION_DST] = pl->rules.count,
                [SECTION_ORIGIN] = pl->grants.count,
                [SECTION_VIA_SRC] = pl->via_count,
                [SECTION_VIA_DST] = pl->via_dst_count,
                [SECTION_CARRY] = pl->via_count,
                [SECTION_SSH_SRC] = pl->ssh.count,
                [SECTION_SSH_DST] = pl->ssh.count,
                [SECTION_ATTR] = pl->p->node_attrs.count,
        };

        for (size_t s = 0; s < SECTIONS; s++)
                pl->begin[s + 1] = pl->begin[s] + (counts[s] + 63) / 64;
}

static enum err seat_all(struct plan *pl)
{
        size_t slots = pl->roster->slots.count;
        enum err e = slots == 0 || heap_reserve(&pl->seats, slots, sizeof(struct seat)) ? OK : ERR_NOMEM;

        pl->is_bulk = true;
        for (size_t i = 0; i < slots && e == OK; i++) {
                struct node *n = roster_slot(pl->roster, i);
                if (n)
                        e = seat_node(pl, n);
        }
        VEC_EACH(struct selector *, s, &pl->selectors)
        if ((*s)->is_live)
                ipset_sort(&(*s)->set);
        pl->is_bulk = false;
        return e;
}

enum err plan_new(const struct policy *p, const struct roster *r, uint64_t *clock, struct plan **out)
{
        struct plan *pl = calloc(1, sizeof(*pl));
        enum err e;

        *out = NULL;
        if (!pl)
                return ERR_NOMEM;
        pl->arena = ARENA_INIT(STATE_MEMORY_MAX);
        pl->p = p;
        pl->roster = r;
        pl->clock = clock;
        pl->key = BUF_INIT(CLASS_KEY_MAX);
        fixed_sets(pl);
        plan_grants(pl);
        plan_ssh(pl);
        plan_attrs(pl);
        literals_finish(pl);
        lay_out(pl);
        e = plan_users(pl);
        if (e == OK && arena_failed(&pl->arena))
                e = ERR_NOMEM;
        if (e == OK)
                e = seat_all(pl);
        if (e == OK)
                *out = pl;
        else
                plan_free(pl);
        return e;
}

void plan_free(struct plan *pl)
{
        if (!pl)
                return;
        for (size_t i = 0; i < pl->seats.count; i++)
                seat_fini(&((struct seat *)pl->seats.items)[i]);
        free(pl->seats.items);
        for (size_t i = 0; i < pl->class_by_id.count; i++) {
                struct class *c = class_at(pl, i);
                if (!c)
                        continue;
                class_free(c);
        }
        free(pl->class_by_id.items);
        free(pl->free_classes.items);
        free(pl->scratch.items);
        buf_fini(&pl->key);
        VEC_EACH(struct selector *, s, &pl->selectors)
        if ((*s)->is_live)
                free((*s)->set.items);
        VEC_EACH(struct source *, s, &pl->sources)
        arena_fini(&(*s)->arena);
        for (size_t i = 0; i < pl->ssh.count; i++)
                arena_fini(&((struct ssh_plan *)pl->ssh.items)[i].arena);
        table_fini(&pl->leaders);
        arena_fini(&pl->leader_arena);
        table_fini(&pl->classes);
        table_fini(&pl->by_text);
        arena_fini(&pl->user_arena);
        arena_fini(&pl->arena);
        free(pl);
}

/* --- what a token stands for ------------------------------------------------------------- */

static void resolve_node(struct ipset *out, struct arena *arena, const struct node *n)
{
        ipset_add_addr(out, arena, &n->n.ipv4);
        ipset_add_addr(out, arena, &n->n.ipv6);
}

static void resolve_user(const struct plan *pl, struct slice token, struct ipset *out, struct arena *arena)
{
        size_t matches;
        const struct policy_user *u = roster_find_user(pl->roster, token, &matches);
        const struct user_nodes *own = u ? roster_of_user(pl->roster, u->id) : NULL;

        for (size_t i = 0; own && i < own->nodes.count; i++)
                resolve_node(out, arena, ((struct node *const *)own->nodes.items)[i]);
}

static void resolve_group(const struct plan *pl, struct slice name, struct ipset *out, struct arena *arena)
{
        const struct named *group = policy_group(pl->p, name);

        if (group)
                VEC_EACH(struct text, m, &group->members)
        resolve_user(pl, m->s, out, arena);
}

/* Those that only a look at every node finds. */
static void resolve_nodes(const struct plan *pl, const struct alias *a, struct ipset *out, struct arena *arena)
{
        for (size_t i = 0; i < pl->roster->slots.count; i++) {
                const struct node *n = roster_slot(pl->roster, i);
                if (n && node_is_named(pl, n, a))
                        resolve_node(out, arena, n);
        }
}

static void resolve_autogroup(const struct plan *pl, const struct alias *a, struct ipset *out, struct arena *arena)
{
        switch (a->autogroup) {
        case AUTOGROUP_INTERNET:
                ipset_add_set(out, arena, &pl->internet);
                return;
        case AUTOGROUP_DANGER_ALL:
                ipset_add_set(out, arena, &pl->all);
                return;
        case AUTOGROUP_MEMBER:
        case AUTOGROUP_TAGGED:
        case AUTOGROUP_ROLE:
                resolve_nodes(pl, a, out, arena);
                return;
        case AUTOGROUP_NONE:
        case AUTOGROUP_SELF:
        case AUTOGROUP_NONROOT:
                return;
        }
}

/* For tests and approvals, which may name what no rule names. */
void plan_resolve(const struct plan *pl, const struct alias *a, struct ipset *out, struct arena *arena)
{
        const struct host *host;

        switch (a->kind) {
        case ALIAS_WILDCARD:
                ipset_add_set(out, arena, &pl->tailnet);
                break;
        case ALIAS_PREFIX:
                ipset_add_prefix(out, arena, &a->prefix);
                break;
        case ALIAS_HOST:
                host = policy_host(pl->p, a->text);
                if (host)
                        ipset_add_prefix(out, arena, &host->prefix);
                break;
        case ALIAS_USER:
                resolve_user(pl, a->text, out, arena);
                break;
        case ALIAS_GROUP:
                resolve_group(pl, a->text, out, arena);
                break;
        case ALIAS_AUTOGROUP:
                resolve_autogroup(pl, a, out, arena);
                break;
        case ALIAS_TAG:
        case ALIAS_DOMAIN:
                resolve_nodes(pl, a, out, arena);
                break;
        }
        ipset_sort(out);
}
