/*
 * What holds of every policy, tried on tailnets and rules made up from a seed:
 *
 *   - for new flows to a node's own addresses and approved routes, the compiled filters
 *     let through exactly what the rules, read one by one, allow;
 *   - neither the order of a map's members nor that of the nodes matters;
 *   - many changes of nodes end where one compile of the outcome begins, and whom they
 *     gave other peers, routes, attributes or ssh rules was named as touched;
 *   - one more acl, or grant without via, takes no permission away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "filter/filter.h"
#include "world.h"

enum { SEEDS = 300, PACKETS = 120, CHANGES = 12, LOCAL_MAX = ROUTES_MAX + 2 };

struct play {
        uint64_t seed;
        struct rng_seeded rng;
        struct world w;
        struct policy_state *state;
};

static unsigned pick(struct play *p, unsigned n) { return (unsigned)rng_below(&p->rng.rng, n); }

static _Noreturn void fail_world(const struct play *p, const char *what, unsigned node, const char *details)
{
        struct buf text = BUF_INIT(1 << 20);

        world_write(&p->w, false, &text);
        print_error("seed %llu, node %u: %s\n%s\n%s\n", (unsigned long long)p->seed, node, what, details, buf_cstr(&text));
        buf_fini(&text);
        fail();
        abort();
}

/* ---- states ----------------------------------------------------------------------------- */

/* The node with its lists, which move when a world is copied. */
static struct policy_node *node_at(struct world *w, unsigned place)
{
        struct world_node *n = &w->nodes[place];

        n->n.tags = n->tag_names;
        n->n.routes = n->routes;
        n->n.primary = n->primary;
        return &n->n;
}

/* turned: maps and nodes in another order. */
static struct policy_state *compile(struct world *w, bool turned)
{
        struct policy_settings settings = { SLICE_LIT("example.com"), w->users, WORLD_USERS };
        struct policy_state *st = policy_state_new();
        struct buf text = BUF_INIT(1 << 20);
        struct policy_errors errors;

        policy_errors_init(&errors);
        world_write(w, turned, &text);
        struct policy *p = policy_parse(buf_slice(&text), &settings, &errors);
        if (!p)
                fail_msg("not a policy: %.*s\n%s", SLICE_ARGS(errors.items[0].text), buf_cstr(&text));
        assert_int_equal(policy_state_set_users(st, w->users, WORLD_USERS, &errors), OK);
        assert_int_equal(policy_state_set_policy(st, p, &errors), OK);
        for (unsigned i = 0; i < WORLD_NODES; i++) {
                unsigned place = turned ? WORLD_NODES - 1 - i : i;
                if (w->nodes[place].is_there)
                        assert_int_equal(policy_state_set_node(st, node_at(w, place)), OK);
        }
        policy_errors_fini(&errors);
        buf_fini(&text);
        return st;
}

/* ---- what a node is told, as text --------------------------------------------------------- */

struct told {
        struct buf filter, ssh, peers; /* peers: with their routes; and the node's attributes */
};

static void write_peers(struct policy_state *st, unsigned node, struct arena *a, struct buf *out)
{
        struct tailcfg_strings attrs;
        struct tailcfg_prefixes routes;
        char text[IP_TEXT_MAX];

        assert_int_equal(policy_state_attrs(st, node, a, &attrs), OK);
        for (size_t i = 0; i < attrs.count; i++)
                buf_printf(out, "%.*s ", SLICE_ARGS(attrs.items[i]));
        for (unsigned peer = 1; peer <= WORLD_NODES; peer++) {
                if (!policy_state_sees(st, node, peer))
                        continue;
                assert_int_equal(policy_state_routes(st, node, peer, a, &routes), OK);
                buf_printf(out, "%u:", peer);
                for (size_t i = 0; i < routes.count; i++) {
                        ip_prefix_format(&routes.items[i], text);
                        buf_printf(out, "%s,", text);
                }
        }
}

static struct told ask(struct policy_state *st, unsigned node)
{
        struct told t = { BUF_INIT(8 << 20), BUF_INIT(8 << 20), BUF_INIT(1 << 20) };
        struct arena a = ARENA_INIT(64 << 20);
        struct tailcfg_filter_rules rules;
        struct json_writer w;

        assert_int_equal(policy_state_filter(st, node, &a, &rules), OK);
        json_writer_init(&w, &t.filter, NULL);
        tailcfg_filter_rules_write(&w, &rules);
        json_writer_init(&w, &t.ssh, NULL);
        policy_state_write_ssh(st, node, SLICE_LIT("https://control.example"), &w);
        write_peers(st, node, &a, &t.peers);
        arena_fini(&a);
        return t;
}

static void told_fini(struct told *t)
{
        buf_fini(&t->filter);
        buf_fini(&t->ssh);
        buf_fini(&t->peers);
}

static bool same(struct buf *a, struct buf *b) { return slice_equal(buf_slice(a), buf_slice(b)); }

static void must_be_same(struct play *p, struct policy_state *other, const char *what)
{
        for (unsigned i = 0; i < WORLD_NODES; i++) {
                if (!p->w.nodes[i].is_there)
                        continue;
                struct told a = ask(p->state, i + 1), b = ask(other, i + 1);
                if (!same(&a.filter, &b.filter) || !same(&a.ssh, &b.ssh) || !same(&a.peers, &b.peers))
                        fail_world(p, what, i + 1, buf_cstr(&a.filter));
                told_fini(&a);
                told_fini(&b);
        }
}

/* ---- packets ------------------------------------------------------------------------------ */

struct node_filter {
        struct filter *filter;
        struct ip_prefix local[LOCAL_MAX];
        size_t local_count;
};

static struct node_filter filter_of(struct policy_state *st, const struct world_node *n)
{
        struct arena a = ARENA_INIT(64 << 20);
        struct tailcfg_filter_rules rules;
        struct node_filter nf = { 0 };

        if (ip_valid(&n->n.ipv4))
                nf.local[nf.local_count++] = ip_host_prefix(n->n.ipv4);
        nf.local[nf.local_count++] = ip_host_prefix(n->n.ipv6);
        for (size_t i = 0; i < n->n.route_count; i++)
                if (n->routes[i].bits) /* packets that leave through an exit node have another test */
                        nf.local[nf.local_count++] = n->routes[i];
        assert_int_equal(policy_state_filter(st, n->n.id, &a, &rules), OK);
        nf.filter = filter_new(&(struct filter_options){
                .rules = rules.items, .rule_count = rules.count, .local = nf.local, .local_count = nf.local_count });
        assert_non_null(nf.filter);
        arena_fini(&a);
        return nf;
}

static bool is_local(const struct node_filter *nf, const struct ip_addr *a)
{
        for (size_t i = 0; i < nf->local_count; i++)
                if (ip_prefix_contains(&nf->local[i], a))
                        return true;
        return false;
}

struct flow {
        struct ip_addr src, dst;
        unsigned proto;
        uint16_t port;
};

static bool passes(const struct node_filter *nf, struct filter_flows *flows, const struct flow *f)
{
        static const uint8_t bytes[40];
        struct packet p = { .proto = (uint8_t)f->proto,
                .version = f->src.family,
                .tcp_flags = f->proto == IP_PROTO_TCP ? TCP_SYN : 0,
                .bytes = slice_make(bytes, sizeof(bytes)),
                .src = { f->src, 1000 },
                .dst = { f->dst, f->port } };

        return filter_accepts(filter_check_in(nf->filter, flows, NULL, &p));
}

/* Mostly of nodes, present or not. */
static struct ip_addr make_addr(struct play *p, bool v4)
{
        const struct policy_node *n = &p->w.nodes[pick(p, WORLD_NODES)].n;
        uint8_t v6[16] = { 0xfd, [3] = 1 };

        if (pick(p, 3))
                return v4 ? n->ipv4 : n->ipv6;
        v6[15] = (uint8_t)pick(p, 9);
        if (!v4)
                return ip_v6(v6);
        return pick(p, 2) ? ip_v4(10, (uint8_t)pick(p, 5), (uint8_t)pick(p, 4), 7) : ip_v4(100, 64, 0, (uint8_t)pick(p, 20));
}

static struct flow make_flow(struct play *p, const struct world_node *to)
{
        static const unsigned protos[] = { IP_PROTO_TCP, IP_PROTO_UDP, IP_PROTO_SCTP };
        bool v4 = pick(p, 2);
        struct flow f = { .src = make_addr(p, v4), .dst = make_addr(p, v4), .proto = protos[pick(p, 3)] };

        if (pick(p, 2))
                f.dst = v4 ? to->n.ipv4 : to->n.ipv6;
        f.port = (uint16_t)(pick(p, 4) ? 1 + pick(p, 40) : pick(p, 65536));
        return f;
}

static bool is_usable(const struct node_filter *nf, const struct flow *f)
{
        return ip_valid(&f->src) && ip_valid(&f->dst) && !ip_equal(&f->src, &f->dst) && is_local(nf, &f->dst);
}

/* Counts allowed packets, so that a filter that lets nothing through is noticed. */
static void try_packets(struct play *p, struct filter_flows *flows, unsigned *tried, unsigned *allowed)
{
        for (unsigned i = 0; i < WORLD_NODES; i++) {
                const struct world_node *n = &p->w.nodes[i];
                if (!n->is_there)
                        continue;
                struct node_filter nf = filter_of(p->state, n);
                for (int k = 0; k < PACKETS; k++) {
                        struct flow f = make_flow(p, n);
                        if (!is_usable(&nf, &f))
                                continue;
                        bool want = world_allows(&p->w, i, &f.src, &f.dst, f.proto, f.port);
                        if (passes(&nf, flows, &f) != want)
                                fail_world(p, want ? "a packet is dropped that the rules allow" : "a packet passes that no rule allows",
                                        i + 1, "");
                        *allowed += want;
                        ++*tried;
                }
                filter_free(nf.filter);
        }
}

static void the_filters_allow_what_the_rules_allow(void **state)
{
        struct filter_flows *flows = filter_flows_new();
        unsigned tried = 0, allowed = 0;
        static struct play p;

        for (p.seed = 1; p.seed <= *(const uint64_t *)*state; p.seed++) {
                rng_seed(&p.rng, p.seed);
                world_make(&p.w, &p.rng.rng);
                p.state = compile(&p.w, false);
                try_packets(&p, flows, &tried, &allowed);
                policy_state_free(p.state);
        }
        print_message("%u packets, %u allowed\n", tried, allowed);
        assert_true(allowed > tried / 20 && allowed < tried / 20 * 19);
        filter_flows_free(flows);
}

static void order_does_not_matter(void **state)
{
        static struct play p;

        for (p.seed = 1; p.seed <= *(const uint64_t *)*state; p.seed++) {
                rng_seed(&p.rng, p.seed);
                world_make(&p.w, &p.rng.rng);
                p.state = compile(&p.w, false);
                struct policy_state *turned = compile(&p.w, true);
                must_be_same(&p, turned, "another order means something else");
                policy_state_free(turned);
                policy_state_free(p.state);
        }
}

/* ---- changes -------------------------------------------------------------------------------- */

static void change_a_node(struct play *p)
{
        unsigned place = pick(p, WORLD_NODES);

        if (p->w.nodes[place].is_there && pick(p, 3) == 0) {
                assert_int_equal(policy_state_remove_node(p->state, place + 1), OK);
                p->w.nodes[place].is_there = false;
        } else {
                world_make_node(&p->w, place, &p->rng.rng);
                assert_int_equal(policy_state_set_node(p->state, node_at(&p->w, place)), OK);
        }
}

/* A filter may name neighbours' addresses otherwise without being touched: it opens the
 * same of the node itself. */
static void must_be_touched(struct play *p, unsigned node, struct told *before)
{
        enum { PEERS = POLICY_TOUCH_PEERS | POLICY_TOUCH_ROUTES | POLICY_TOUCH_ATTRS };
        struct told now = ask(p->state, node);
        unsigned touched = policy_state_touched(p->state, node);

        if (!same(&before->peers, &now.peers) && !(touched & PEERS))
                fail_world(p, "other peers, routes or attributes, untouched", node, buf_cstr(&before->peers));
        if (!same(&before->ssh, &now.ssh) && !(touched & POLICY_TOUCH_SSH))
                fail_world(p, "other ssh rules, untouched", node, buf_cstr(&before->ssh));
        told_fini(&now);
}

static void play_change(struct play *p)
{
        struct told before[WORLD_NODES];
        bool was_there[WORLD_NODES];

        for (unsigned i = 0; i < WORLD_NODES; i++) {
                was_there[i] = p->w.nodes[i].is_there;
                if (was_there[i])
                        before[i] = ask(p->state, i + 1);
        }
        policy_state_settle(p->state);
        change_a_node(p);
        for (unsigned i = 0; i < WORLD_NODES; i++) {
                if (was_there[i] && p->w.nodes[i].is_there)
                        must_be_touched(p, i + 1, &before[i]);
                if (was_there[i])
                        told_fini(&before[i]);
        }
        struct policy_state *fresh = compile(&p->w, false);
        must_be_same(p, fresh, "a change ends elsewhere than a compile");
        policy_state_free(fresh);
}

static void changes_end_where_a_compile_begins(void **state)
{
        static struct play p;

        for (p.seed = 1; p.seed <= *(const uint64_t *)*state; p.seed++) {
                rng_seed(&p.rng, p.seed);
                world_make(&p.w, &p.rng.rng);
                p.state = compile(&p.w, false);
                for (int i = 0; i < CHANGES; i++)
                        play_change(&p);
                policy_state_free(p.state);
        }
}

/* ---- more rules -------------------------------------------------------------------------------- */

static void try_more(struct play *p, struct policy_state *more, struct filter_flows *flows)
{
        for (unsigned i = 0; i < WORLD_NODES; i++) {
                const struct world_node *n = &p->w.nodes[i];
                if (!n->is_there)
                        continue;
                struct node_filter few = filter_of(p->state, n), many = filter_of(more, n);
                for (int k = 0; k < PACKETS; k++) {
                        struct flow f = make_flow(p, n);
                        if (is_usable(&few, &f) && passes(&few, flows, &f) && !passes(&many, flows, &f))
                                fail_world(p, "one more rule takes a permission away", i + 1, "");
                }
                filter_free(few.filter);
                filter_free(many.filter);
        }
}

static void one_more_rule_takes_nothing_away(void **state)
{
        struct filter_flows *flows = filter_flows_new();
        static struct world more;
        static struct play p;

        for (p.seed = 1; p.seed <= *(const uint64_t *)*state; p.seed++) {
                rng_seed(&p.rng, p.seed);
                world_make(&p.w, &p.rng.rng);
                if (!p.w.has_rules) /* without rules everything is allowed, with one it is not */
                        continue;
                more = p.w;
                world_add_rule(&more, &p.rng.rng);
                p.state = compile(&p.w, false);
                struct policy_state *st = compile(&more, false);
                try_more(&p, st, flows);
                policy_state_free(st);
                policy_state_free(p.state);
        }
        filter_flows_free(flows);
}

/* An argument asks for another number of seeds. */
int main(int argc, char **argv)
{
        uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : SEEDS;
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_prestate(the_filters_allow_what_the_rules_allow, &seeds),
                cmocka_unit_test_prestate(order_does_not_matter, &seeds),
                cmocka_unit_test_prestate(changes_end_where_a_compile_begins, &seeds),
                cmocka_unit_test_prestate(one_more_rule_takes_nothing_away, &seeds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
