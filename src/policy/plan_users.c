/* Which users the tokens of a policy name, and which nodes are theirs (spec/policy.md 3). */
#include <stdlib.h>

#include "state_internal.h"

static struct slice email_domain(const struct policy_user *u)
{
        return slice_after(u->email, slice_find(u->email, '@') + 1);
}

/* The tokens of one selector follow each other: had it the user already, it came last. */
static void give(struct vec *lists, struct arena *a, const struct roster *r, const struct policy_user *u,
        struct selector *s)
{
        struct vec *list = &lists[u - r->users];
        struct selector *const *items = list->items;

        if (list->count && items[list->count - 1] == s)
                return;
        struct selector **added = VEC_PUSH(list, a, struct selector *);
        if (added)
                *added = s;
}

static struct vec *work_out(struct plan *pl, const struct roster *r, struct arena *a)
{
        struct vec *lists = ARENA_ARRAY(a, r->user_count + 1, struct vec);
        size_t matches;

        if (!lists)
                return NULL;
        VEC_EACH(struct user_token, t, &pl->user_tokens)
        {
                const struct policy_user *u = roster_find_user(r, t->text, &matches);
                if (u)
                        give(lists, a, r, u, t->selector);
        }
        for (size_t i = 0; i < r->user_count; i++) {
                const struct policy_user *u = &r->users[i];
                VEC_EACH(struct alias_selector, d, &pl->domains)
                if (slice_equal(email_domain(u), d->alias->domain))
                        give(lists, a, r, u, d->selector);
                VEC_EACH(struct alias_selector, role, &pl->roles)
                if (u->roles & role->alias->role)
                        give(lists, a, r, u, role->selector);
        }
        return arena_failed(a) ? NULL : lists;
}

enum err plan_users(struct plan *pl)
{
        pl->user_arena = ARENA_INIT(STATE_MEMORY_MAX);
        pl->user_selectors = work_out(pl, pl->roster, &pl->user_arena);
        return pl->user_selectors ? OK : ERR_NOMEM;
}

/* ---- owners and approvers -------------------------------------------------------------- */

bool node_is_named(const struct plan *pl, const struct node *n, const struct alias *a)
{
        const struct policy_user *u = n->user ? roster_user(pl->roster, n->user->user_id) : NULL;
        const struct named *group;
        size_t matches;

        switch (a->kind) {
        case ALIAS_TAG:
                for (size_t i = 0; i < n->n.tag_count; i++)
                        if (slice_equal(n->n.tags[i], a->text))
                                return true;
                return false;
        case ALIAS_USER:
                return u && roster_find_user(pl->roster, a->text, &matches) == u;
        case ALIAS_GROUP:
                group = policy_group(pl->p, a->text);
                if (u && group)
                        VEC_EACH(struct text, m, &group->members)
                if (roster_find_user(pl->roster, m->s, &matches) == u)
                        return true;
                return false;
        case ALIAS_DOMAIN:
                return u && slice_equal(email_domain(u), a->domain);
        case ALIAS_AUTOGROUP:
                return a->autogroup == AUTOGROUP_MEMBER   ? !is_tagged(n)
                       : a->autogroup == AUTOGROUP_TAGGED ? is_tagged(n)
                                                          : a->autogroup == AUTOGROUP_ROLE && u &&
                                                                    (u->roles & a->role);
        case ALIAS_PREFIX:
        case ALIAS_HOST:
        case ALIAS_WILDCARD:
                break;
        }
        return false;
}

/* ---- tokens that name two users ----------------------------------------------------------- */

struct checker {
        const struct roster *roster;
        struct policy_errors *errors;
        bool is_ambiguous;
};

static void check_user(struct checker *c, struct slice token, size_t pos)
{
        size_t matches;

        roster_find_user(c->roster, token, &matches);
        if (matches < 2)
                return;
        c->is_ambiguous = true;
        policy_error_add(c->errors, pos,
                "multiple users found: token \"%.*s\" found: %zu users; give each its own name and e-mail",
                SLICE_ARGS(token), matches);
}

static void check_texts(struct checker *c, const struct vec *texts)
{
        VEC_EACH(struct text, t, texts)
        if (slice_find(t->s, '@') < t->s.len)
                check_user(c, t->s, t->pos);
}

static void check_named(struct checker *c, const struct vec *named)
{
        VEC_EACH(struct named, n, named)
        check_texts(c, &n->members);
}

static void check_aliases(struct checker *c, const struct vec *aliases)
{
        VEC_EACH(struct alias, a, aliases)
        if (a->kind == ALIAS_USER)
                check_user(c, a->text, a->pos);
}

enum err plan_check_users(const struct policy *p, const struct roster *r, struct policy_errors *errors)
{
        struct checker c = { r, errors, false };

        check_named(&c, &p->groups);
        check_named(&c, &p->tag_owners);
        check_named(&c, &p->approve_routes);
        check_texts(&c, &p->approve_exit);
        VEC_EACH(struct grant, g, &p->grants)
        {
                check_aliases(&c, &g->src);
                check_aliases(&c, &g->dst);
        }
        VEC_EACH(struct ssh_rule, rule, &p->ssh)
        {
                check_aliases(&c, &rule->src);
                check_aliases(&c, &rule->dst);
        }
        return c.is_ambiguous ? ERR_EXISTS : OK;
}
