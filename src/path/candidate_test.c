#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "path_internal.h"

static struct quality quality(const char *addr, unsigned latency_ms)
{
        struct quality q = { .latency_us = TIME_MS(latency_ms), .wire_mtu = SAFE_WIRE_MTU };

        if (addr)
                assert_int_equal(ip_port_parse(slice_str(addr), &q.addr), OK);
        return q;
}

/* The checks of spec/paths.md 2.8, and both ends of each of its rules. */
static void better(void **state)
{
        (void)state;
        static const struct {
                const char *a;
                unsigned a_ms;
                const char *b;
                unsigned b_ms;
                bool want;
        } cases[] = {
                { "8.8.8.8:1", 100, "8.8.4.4:1", 101, false },
                { "8.8.8.8:1", 100, "8.8.4.4:1", 103, true },
                { "10.0.0.1:1", 100, "8.8.4.4:1", 91, true },
                { "10.0.0.1:1", 100, "8.8.4.4:1", 30, false },
                { "[2001::5]:1", 100, "8.8.4.4:1", 91, true },
                { "192.168.0.1:1", 100, "[2001::5]:1", 101, true },
                { "[fe80::1]:1", 101, "[::1]:1", 100, false },
                { NULL, 0, "8.8.4.4:1", 100, false },
                { "8.8.8.8:1", 100, NULL, 0, true },
                { NULL, 0, NULL, 0, false },
                { "8.8.8.8:1", 50, "8.8.8.8:1", 100, false },     /* the same address is no better */
                { "100.64.0.1:1", 100, "8.8.4.4:1", 100, false }, /* carrier NAT counts as public */
                { "169.254.0.1:1", 100, "10.0.0.1:1", 100, true },
                { "127.0.0.1:1", 100, "169.254.0.1:1", 100, true },
                { "[fd00::1]:1", 100, "10.0.0.1:1", 100, true },
                { "8.8.8.8:1", 0, "8.8.4.4:1", 0, false },
                { "8.8.8.8:1", 0, "8.8.4.4:1", 1, true },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct quality a = quality(cases[i].a, cases[i].a_ms), b = quality(cases[i].b, cases[i].b_ms);
                if (path_quality_better(&a, &b) != cases[i].want)
                        fail_msg("case %zu", i);
        }

        struct quality narrow = quality("8.8.8.8:1", 100), wide = narrow;
        wide.wire_mtu = 1500;
        assert_true(path_quality_better(&wide, &narrow));
        assert_false(path_quality_better(&narrow, &wide));
}

/* Never are two paths each better than the other: peers would flap. */
static void better_is_antisymmetric(void **state)
{
        (void)state;
        static const char *const addrs[] = { "8.8.8.8:1", "10.0.0.1:1", "[2001::5]:1", "[fe80::1]:1",
                "[fd00::1]:1", "127.0.0.1:1" };
        enum { N = sizeof(addrs) / sizeof(addrs[0]) };

        for (size_t i = 0; i < N; i++) {
                for (size_t j = 0; j < N; j++) {
                        for (unsigned ms = 0; ms < 300; ms++) {
                                struct quality a = quality(addrs[i], ms), b = quality(addrs[j], 100);
                                assert_false(path_quality_better(&a, &b) && path_quality_better(&b, &a));
                        }
                }
        }
}

static struct ip_port addr(unsigned i)
{
        return (struct ip_port){ ip_v4(203, 0, (uint8_t)(i >> 8), (uint8_t)i), 1000 };
}

static struct now at_s(uint64_t s) { return (struct now){ TIME_S(s), 0 }; }

static void unusable_addresses(void **state)
{
        (void)state;
        static const char *const bad[] = { "0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:1", "[::]:1",
                "[ff02::1]:1", "1.2.3.4:0" };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct ip_port a;
                assert_int_equal(ip_port_parse(slice_str(bad[i]), &a), OK);
                assert_false(path_candidate_addr_usable(&a));
        }
        assert_false(path_candidate_addr_usable(&(struct ip_port){ .port = 1 }));
}

struct fixture {
        struct path_manager m;
        struct path_peer p;
};

static int setup(void **state)
{
        struct fixture *f = test_calloc(1, sizeof(*f));

        f->p.m = &f->m;
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        free(f->p.candidates);
        test_free(f);
        return 0;
}

static void full_table_keeps_the_fresh_and_the_best(void **state)
{
        struct path_peer *p = &((struct fixture *)*state)->p;
        struct now now = at_s(100);

        for (unsigned i = 0; i < PATH_CANDIDATES_MAX; i++) {
                struct ip_port a = addr(i);
                struct candidate *c = path_candidate_add(p, &a, &now);
                assert_non_null(c);
                c->in_netmap = true;
                now.mono_us += 1000;
        }
        struct ip_port oldest = addr(0), second = addr(1), newcomer = addr(9999);
        p->best.addr = oldest;
        assert_non_null(path_candidate_add(p, &newcomer, &now));
        assert_int_equal(p->candidate_count, PATH_CANDIDATES_MAX);
        assert_non_null(path_candidate_find(p, &oldest)); /* the best stays */
        assert_null(path_candidate_find(p, &second));
        assert_int_equal(p->m->stats.candidates_replaced, 1);
}

static void delete_rule(void **state)
{
        struct path_peer *p = &((struct fixture *)*state)->p;
        struct now now = at_s(100);
        struct ip_port in_map = addr(1), pinged = addr(2), both = addr(3);
        struct ip_port map[2] = { in_map, both };

        path_candidates_from_netmap(p, map, 2, &now);
        path_candidate_add(p, &pinged, &now)->heard_us = now.mono_us;
        path_candidate_find(p, &both)->heard_us = now.mono_us;
        p->best.addr = pinged;

        now = at_s(145);
        path_candidates_prune(p, &now);
        assert_int_equal(p->candidate_count, 3);
        now = at_s(146);
        path_candidates_prune(p, &now);
        assert_null(path_candidate_find(p, &pinged)); /* silent for more than 45 s */
        assert_false(quality_set(&p->best));
        assert_int_equal(p->candidate_count, 2);
        path_candidates_from_netmap(p, map, 1, &now);
        assert_int_equal(p->candidate_count, 1);
        assert_non_null(path_candidate_find(p, &in_map));
}

static void call_replaces_the_call_before(void **state)
{
        struct path_peer *p = &((struct fixture *)*state)->p;
        struct now now = at_s(100);
        uint8_t wire[4 * DISCO_ENDPOINT_LEN];
        struct ip_port list[4] = { addr(1), addr(2), addr(3) }, in_map = addr(9);
        struct writer w = writer_of(wire, sizeof(wire));

        assert_int_equal(ip_port_parse(SLICE_LIT("[fe80::1]:5"), &list[3]), OK);
        for (size_t i = 0; i < 4; i++)
                wr_ip_port18(&w, &list[i]);
        path_candidates_from_netmap(p, &in_map, 1, &now);
        path_candidates_from_call(p, &(struct disco_endpoints){ SLICE_ARRAY(wire) }, &now);
        assert_int_equal(p->candidate_count, 4); /* without the link-local one */
        now = at_s(1000);
        path_candidates_prune(p, &now);
        assert_int_equal(p->candidate_count, 4); /* a call does not age */
        path_candidates_from_call(p, &(struct disco_endpoints){ slice_make(wire, DISCO_ENDPOINT_LEN) }, &now);
        assert_int_equal(p->candidate_count, 2);
        assert_non_null(path_candidate_find(p, &list[0]));
        assert_non_null(path_candidate_find(p, &in_map));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(better),
                cmocka_unit_test(better_is_antisymmetric),
                cmocka_unit_test(unusable_addresses),
                cmocka_unit_test_setup_teardown(full_table_keeps_the_fresh_and_the_best, setup, teardown),
                cmocka_unit_test_setup_teardown(delete_rule, setup, teardown),
                cmocka_unit_test_setup_teardown(call_replaces_the_call_before, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
