/* The policy's own tests of its rules (spec/policy.md 14). */
#include "state_internal.h"

struct test_run {
        struct plan *pl;
        const struct policy_test *test;
        struct policy_errors *errors;
        struct arena a;
        struct vec sources; /* struct ip_range: one for each address */
        int proto;
        bool failed;
};

static void fail(struct test_run *t, const struct text *dst, const char *why)
{
        t->failed = true;
        if (dst)
                policy_error_add(t->errors, dst->pos, "test(s) failed: %.*s -> %.*s: %s",
                        SLICE_ARGS(t->test->src.s), SLICE_ARGS(dst->s), why);
        else
                policy_error_add(
                        t->errors, t->test->pos, "test(s) failed: %.*s: %s", SLICE_ARGS(t->test->src.s), why);
}

static bool names_nodes(const struct alias *a)
{
        return a->kind != ALIAS_PREFIX && a->kind != ALIAS_HOST && a->kind != ALIAS_WILDCARD;
}

static void push_source(struct test_run *t, const struct ip_addr *a)
{
        struct ip_prefix p = ip_host_prefix(*a);
        struct ip_range *r = ip_valid(a) ? VEC_PUSH(&t->sources, &t->a, struct ip_range) : NULL;

        if (r)
                *r = ip_range_of(&p);
}

/* Each address of a node by itself, so that no half-allowed source hides in a range. */
static void find_sources(struct test_run *t)
{
        struct alias alias;
        struct ipset set = { 0 };
        const char *why;

        if (!alias_parse(t->test->src.s, t->test->src.pos, &alias, &t->a, &why))
                return;
        plan_resolve(t->pl, &alias, &set, &t->a);
        for (size_t i = 0; names_nodes(&alias) && i < t->pl->roster->slots.count; i++) {
                const struct node *n = roster_slot(t->pl->roster, i);
                if (!n || !node_in_set(n, &set))
                        continue;
                push_source(t, &n->n.ipv4);
                push_source(t, &n->n.ipv6);
        }
        for (size_t i = 0; !names_nodes(&alias) && i < set.count; i++) {
                struct ip_range *r = VEC_PUSH(&t->sources, &t->a, struct ip_range);
                if (r)
                        *r = set.items[i];
        }
}

static bool proto_fits(const struct test_run *t, int proto)
{
        if (proto == -1)
                return true;
        return t->proto == -1 ? proto == 6 || proto == 17 || proto == 1 || proto == 58 : proto == t->proto;
}

static bool rule_allows(const struct test_run *t, const struct rule *r, const struct ip_range *src,
        const struct ipset *dst, uint16_t port)
{
        bool at_port = false;

        if (!proto_fits(t, r->ip->proto) || !ipset_overlaps_range(&r->src->meaning, src))
                return false;
        VEC_EACH(struct port_range, ports, &r->ip->ports)
        at_port |= ports->first <= port && port <= ports->last;
        if (at_port)
                VEC_EACH(struct rule_dst, d, &r->dsts)
        if (ipset_overlaps(dst, &d->selector->set))
                return true;
        return false;
}

static bool is_allowed(const struct test_run *t, const struct ipset *dst, uint16_t port)
{
        VEC_EACH(struct ip_range, src, &t->sources)
        {
                bool allowed = false;
                VEC_EACH(struct rule *, r, &t->pl->rules)
                allowed = allowed || ((*r)->ip && rule_allows(t, *r, src, dst, port));
                if (!allowed)
                        return false;
        }
        return true;
}

/* What a test may name as its destination: one port of something that is no network. */
static const char *read_dst(struct test_run *t, const struct text *text, struct alias *alias, uint16_t *port)
{
        struct slice host, ports;
        struct vec ranges = { 0 };
        const char *why = "out of memory";

        if (!host_port_parse(text->s, &host, &ports, &t->a, &why) ||
                !ports_parse(ports, &ranges, &t->a, &why) ||
                !alias_parse(host, text->pos, alias, &t->a, &why))
                return why;
        const struct port_range *r = ranges.items;
        if (ranges.count != 1 || r->first != r->last)
                return "a test's destination must name one single port";
        *port = r->first;
        if (alias->kind == ALIAS_PREFIX && slice_find(host, '/') < host.len)
                return "a test's destination cannot be a CIDR";
        const struct host *h = alias->kind == ALIAS_HOST ? policy_host(t->pl->p, host) : NULL;
        if (h && !ip_prefix_is_host(&h->prefix))
                return "a test's destination cannot be a CIDR";
        if (alias->autogroup == AUTOGROUP_INTERNET)
                return "autogroup:internet cannot be a test's destination";
        return NULL;
}

static void run_dst(struct test_run *t, const struct text *text, bool want)
{
        struct alias alias;
        struct ipset dst = { 0 };
        uint16_t port = 0;
        const char *why = read_dst(t, text, &alias, &port);

        if (why) {
                fail(t, text, why);
                return;
        }
        plan_resolve(t->pl, &alias, &dst, &t->a);
        if (t->sources.count == 0)
                fail(t, text, "the source is no address of this tailnet");
        else if (dst.count == 0)
                fail(t, text, "the destination is no address of this tailnet");
        else if (is_allowed(t, &dst, port) != want)
                fail(t, text, want ? "expected ALLOWED, got DENIED" : "expected DENIED, got ALLOWED");
}

static bool run_test(
        struct plan *pl, const struct policy_test *test, struct policy_errors *errors)
{
        struct test_run t = { .pl = pl, .test = test, .errors = errors, .a = ARENA_INIT(64 << 20) };
        const char *why = "out of memory";

        if (!proto_parse(test->proto.s, true, &t.proto, &t.a, &why))
                fail(&t, NULL, why);
        else if (t.proto != -1 && !proto_has_ports(t.proto))
                fail(&t, NULL, "the protocol of a test must be tcp, udp or sctp");
        else if (test->accept.count == 0 && test->deny.count == 0)
                fail(&t, NULL, "a test needs accept or deny");
        if (!t.failed) {
                find_sources(&t);
                VEC_EACH(struct text, d, &test->accept)
                run_dst(&t, d, true);
                VEC_EACH(struct text, d, &test->deny)
                run_dst(&t, d, false);
        }
        if (arena_failed(&t.a))
                fail(&t, NULL, "out of memory");
        arena_fini(&t.a);
        return !t.failed;
}

bool plan_run_tests(struct plan *pl, struct policy_errors *errors)
{
        bool ok = true;

        VEC_EACH(struct rule *, r, &pl->rules)
        if (pl->p->tests.count && source_build(pl, (*r)->src) != OK) {
                policy_error_add(errors, 0, "test(s) failed: out of memory");
                return false;
        }
        VEC_EACH(struct policy_test, t, &pl->p->tests)
        ok &= run_test(pl, t, errors);
        return ok;
}
