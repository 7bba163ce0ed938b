#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "ranges.h"

static struct addr_range prefix_range(const char *text)
{
        struct ip_prefix p;

        assert_int_equal(ip_prefix_parse(slice_str(text), &p), OK);
        return addr_range_of(&p);
}

static bool contains(const struct addr_set *s, const char *text)
{
        struct ip_addr a;

        assert_int_equal(ip_parse(slice_str(text), &a), OK);
        return addr_set_contains(s, addr_num_of(&a));
}

static void ends_of_prefixes(void **state)
{
        (void)state;
        static const char *const rows[][5] = { /* prefix, first, last, before, after */
                { "100.64.0.0/10", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0" },
                { "10.0.0.1/32", "10.0.0.1", "10.0.0.1", "10.0.0.0", "10.0.0.2" },
                { "fd7a:115c:a1e0::/48", "fd7a:115c:a1e0::", "fd7a:115c:a1e0:ffff:ffff:ffff:ffff:ffff",
                        "fd7a:115c:a1df:ffff::", "fd7a:115c:a1e1::" },
                { "2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", "2001:db7::", "2001:db8:0:1::" },
                { "2001:db8::1/128", "2001:db8::1", "2001:db8::1", "2001:db8::", "2001:db8::2" },
        };
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct arena a = ARENA_INIT(4096);
                struct addr_set s = { 0 };
                addr_set_add(&s, &a, prefix_range(rows[i][0]));
                addr_set_sort(&s);
                assert_true(contains(&s, rows[i][1]));
                assert_true(contains(&s, rows[i][2]));
                assert_false(contains(&s, rows[i][3]));
                assert_false(contains(&s, rows[i][4]));
                arena_fini(&a);
        }
}

static void joins_neighbours(void **state)
{
        (void)state;
        struct arena a = ARENA_INIT(4096);
        struct addr_set s = { 0 };

        addr_set_add(&s, &a, prefix_range("::/0"));
        addr_set_add(&s, &a, prefix_range("ff00::/8"));
        addr_set_sort(&s);
        assert_int_equal(s.count, 1);
        s.count = 0;
        addr_set_add(&s, &a, prefix_range("10.0.1.0/24"));
        addr_set_add(&s, &a, prefix_range("10.0.0.0/24"));
        addr_set_add(&s, &a, prefix_range("10.0.3.0/24"));
        addr_set_sort(&s);
        assert_int_equal(s.count, 2);
        arena_fini(&a);
}

/* Against the obvious: a map of 256 addresses. */
static void agrees_with_a_slow_twin(void **state)
{
        (void)state;
        struct rng_seeded rng;

        rng_seed(&rng, 4);
        for (int round = 0; round < 500; round++) {
                struct arena a = ARENA_INIT(1 << 16);
                struct addr_set s = { 0 };
                bool map[256] = { false };
                uint64_t n = rng_below(&rng.rng, 12);
                for (uint64_t i = 0; i < n; i++) {
                        uint64_t first = rng_below(&rng.rng, 256), last = rng_between(&rng.rng, first, 255);
                        if (last - first > 30)
                                last = first + 30;
                        addr_set_add(&s, &a, (struct addr_range){ { 0, first }, { 0, last } });
                        for (uint64_t k = first; k <= last; k++)
                                map[k] = true;
                }
                addr_set_sort(&s);
                for (uint64_t k = 0; k < 256; k++) {
                        struct addr_range one = { { 0, k }, { 0, k } };
                        assert_int_equal(addr_set_contains(&s, one.first), map[k]);
                        assert_int_equal(addr_set_overlaps(&s, &one), map[k]);
                }
                arena_fini(&a);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ends_of_prefixes),
                cmocka_unit_test(joins_neighbours),
                cmocka_unit_test(agrees_with_a_slow_twin),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
