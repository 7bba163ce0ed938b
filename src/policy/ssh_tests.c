/* The policy's own tests of its ssh rules (spec/policy.md 15). */
#include <stdlib.h>

#include "state_internal.h"

struct ssh_run {
        struct plan *pl;
        const struct ssh_test *test;
        struct policy_errors *errors;
        struct arena a;
        struct alias src;
        struct vec sources; /* struct ip_addr */
        struct vec dsts;    /* struct node *, by id */
        bool failed;
};

static void fail(struct ssh_run *t, size_t pos, const char *why, struct slice what)
{
        t->failed = true;
        policy_error_add(t->errors, pos, "test(s) failed: ssh: %.*s: %s%s%.*s", SLICE_ARGS(t->test->src.s),
                why, what.len ? ": " : "", SLICE_ARGS(what));
}

static bool is_wide(const struct plan *pl, const struct alias *d)
{
        const struct host *h = d->kind == ALIAS_HOST ? policy_host(pl->p, d->text) : NULL;

        return d->autogroup == AUTOGROUP_INTERNET || d->kind == ALIAS_WILDCARD ||
               (d->kind == ALIAS_PREFIX && !ip_prefix_is_host(&d->prefix)) ||
               (h && !ip_prefix_is_host(&h->prefix));
}

/* False, with an error, if the text cannot be a destination at all. */
static bool read_dst(struct ssh_run *t, const struct text *text, struct alias *d)
{
        const char *why = "out of memory";

        if (!alias_parse(text->s, text->pos, d, &t->a, &why)) {
                fail(t, text->pos, why, text->s);
                return false;
        }
        if (is_wide(t->pl, d))
                policy_error_add(t->errors, text->pos, "SSH tests dst contains disallowed element \"%.*s\"",
                        SLICE_ARGS(text->s));
        else if (d->kind == ALIAS_TAG && !policy_tag(t->pl->p, d->text))
                policy_error_add(t->errors, text->pos, "SSH tests dst contains unknown tag \"%.*s\"",
                        SLICE_ARGS(text->s));
        else
                return true;
        t->failed = true;
        return false;
}

static int by_id(const void *a, const void *b)
{
        const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

        return x->n.id < y->n.id ? -1 : x->n.id > y->n.id;
}

static void push_nodes(struct ssh_run *t, const struct ipset *set, struct vec *out)
{
        size_t before = out->count;

        for (size_t i = 0; i < t->pl->roster->slots.count; i++) {
                struct node *n = roster_slot(t->pl->roster, i);
                struct node **added = n && node_in_set(n, set) ? VEC_PUSH(out, &t->a, struct node *) : NULL;
                if (added)
                        *added = n;
        }
        if (out->count > before)
                qsort((struct node **)out->items + before, out->count - before, sizeof(struct node *), by_id);
}

static void find_dsts(struct ssh_run *t, const struct text *text)
{
        struct alias d;
        struct ipset set = { 0 };
        size_t before = t->dsts.count;

        if (!read_dst(t, text, &d))
                return;
        bool own = d.autogroup == AUTOGROUP_SELF && t->src.kind == ALIAS_USER;
        plan_resolve(t->pl, own ? &t->src : &d, &set, &t->a);
        /* The official service fails every bare IPv6 destination. */
        if (d.kind != ALIAS_PREFIX || d.prefix.ip.family == IP_V4)
                push_nodes(t, &set, &t->dsts);
        if (t->dsts.count == before)
                fail(t, text->pos, "the destination selects no node", text->s);
}

static void push_source(struct ssh_run *t, const struct ipset *set, const struct ip_addr *a)
{
        struct ip_addr *added = ipset_contains(set, a) ? VEC_PUSH(&t->sources, &t->a, struct ip_addr) : NULL;

        if (added)
                *added = *a;
}

static void find_sources(struct ssh_run *t)
{
        struct ipset set = { 0 };
        struct vec nodes = { 0 };
        const char *why = "out of memory";

        if (!alias_parse(t->test->src.s, t->test->src.pos, &t->src, &t->a, &why)) {
                fail(t, t->test->src.pos, why, SLICE_LIT(""));
                return;
        }
        plan_resolve(t->pl, &t->src, &set, &t->a);
        push_nodes(t, &set, &nodes);
        VEC_EACH(struct node *, n, &nodes)
        {
                push_source(t, &set, &(*n)->n.ipv4);
                push_source(t, &set, &(*n)->n.ipv6);
        }
        if (t->sources.count == 0)
                fail(t, t->test->src.pos, "the source selects no node", SLICE_LIT(""));
}

static bool rule_maps(const struct ssh_compiled *c, struct slice user)
{
        if (user.len == 0)
                return false;
        if (c->is_local)
                return slice_equal(c->local, user);
        VEC_EACH(struct slice, u, &c->users)
        if (slice_equal(*u, user))
                return true;
        return c->nonroot && !slice_is(user, "root");
}

static bool rules_let_in(
        const struct vec *rules, const struct ip_addr *src, struct slice user, bool check_only)
{
        VEC_EACH(struct ssh_compiled, c, rules)
        {
                if ((check_only && !c->rule->is_check) || !rule_maps(c, user))
                        continue;
                VEC_EACH(struct ip_addr, p, &c->principals)
                if (ip_equal(p, src))
                        return true;
        }
        return false;
}

/* Every user from every source at every destination. */
static void expect(struct ssh_run *t, const struct node *node, const struct vec *rules, const struct vec *users,
        bool want, bool check_only)
{
        VEC_EACH(struct text, u, users)
        {
                bool as_wanted = true;
                VEC_EACH(struct ip_addr, src, &t->sources)
                as_wanted &= rules_let_in(rules, src, u->s, check_only) == want;
                if (!as_wanted)
                        policy_error_add(t->errors, u->pos,
                                "test(s) failed: ssh: %.*s as \"%.*s\" to node %lld: expected %s",
                                SLICE_ARGS(t->test->src.s), SLICE_ARGS(u->s),
                                (long long)node->n.id,
                                check_only ? "a check"
                                : want     ? "ALLOWED, got DENIED"
                                           : "DENIED, got ALLOWED");
                t->failed |= !as_wanted;
        }
}

static void run_nodes(struct ssh_run *t)
{
        VEC_EACH(struct node *, node, &t->dsts)
        {
                struct vec rules = { 0 };
                plan_compile_ssh(t->pl, *node, &rules, &t->a);
                expect(t, *node, &rules, &t->test->accept, true, false);
                expect(t, *node, &rules, &t->test->deny, false, false);
                expect(t, *node, &rules, &t->test->check, true, true);
        }
}

static bool run_test(struct plan *pl, const struct ssh_test *test, struct policy_errors *errors)
{
        struct ssh_run t = { .pl = pl, .test = test, .errors = errors, .a = ARENA_INIT(256 << 20) };

        if (test->src.s.len == 0) {
                policy_error_add(errors, test->pos, "SSH tests entry must have a non-empty src");
                t.failed = true;
        } else {
                find_sources(&t);
        }
        if (test->dst.count == 0)
                fail(&t, test->pos, "dst must be specified", SLICE_LIT(""));
        if (test->accept.count + test->deny.count + test->check.count == 0)
                fail(&t, test->pos, "one of accept, deny and check must be specified", SLICE_LIT(""));
        VEC_EACH(struct text, d, &test->dst)
        find_dsts(&t, d);
        if (!t.failed)
                run_nodes(&t);
        if (arena_failed(&t.a))
                fail(&t, test->pos, "out of memory", SLICE_LIT(""));
        arena_fini(&t.a);
        return !t.failed;
}

bool plan_run_ssh_tests(struct plan *pl, struct policy_errors *errors)
{
        bool ok = true;

        VEC_EACH(struct ssh_test, t, &pl->p->ssh_tests)
        ok &= run_test(pl, t, errors);
        return ok;
}
