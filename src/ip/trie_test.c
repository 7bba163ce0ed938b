#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/random.h"
#include "ip/trie.h"

enum { PREFIXES = 300 };

/* The obvious twin: all prefixes in an array, the longest that contains wins. */
struct twin {
        struct ip_prefix prefix;
        void *value;
};

static void *twin_lookup(const struct twin *twins, const struct ip_addr *a)
{
        const struct twin *best = NULL;

        for (int i = 0; i < PREFIXES; i++)
                if (twins[i].value && ip_prefix_contains(&twins[i].prefix, a) &&
                        (!best || twins[i].prefix.bits > best->prefix.bits))
                        best = &twins[i];
        return best ? best->value : NULL;
}

/* Few distinct bits, so that prefixes nest and fork often. */
static struct ip_addr random_addr(struct rng *rng, bool v6)
{
        struct ip_addr a = { .family = v6 ? IP_V6 : IP_V4 };
        for (int i = 0; i < (v6 ? 16 : 4); i++)
                a.b[i] = (uint8_t)(rng_below(rng, 3) ? 0 : rng_below(rng, 4) << 6 | rng_below(rng, 2));
        return a;
}

static void agrees_with_an_array(void **state)
{
        (void)state;
        static struct twin twins[PREFIXES];
        struct rng_seeded rng;
        struct ip_trie *t = ip_trie_new();

        rng_seed(&rng, 11);
        for (int step = 0; step < 30000; step++) {
                struct twin *w = &twins[rng_below(&rng.rng, PREFIXES)];
                struct ip_addr probe = random_addr(&rng.rng, rng_below(&rng.rng, 2));
                if (w->value) {
                        assert_ptr_equal(ip_trie_remove(t, &w->prefix), w->value);
                        assert_null(ip_trie_remove(t, &w->prefix));
                        w->value = NULL;
                } else {
                        struct ip_addr a = random_addr(&rng.rng, rng_below(&rng.rng, 2));
                        w->prefix = ip_prefix_masked((struct ip_prefix){ a, (uint8_t)rng_below(&rng.rng, ip_bits(&a) + 1) });
                        w->value = w;
                        for (int i = 0; i < PREFIXES; i++) /* one owner a prefix */
                                if (&twins[i] != w && ip_prefix_equal(&twins[i].prefix, &w->prefix))
                                        twins[i].value = NULL;
                        assert_int_equal(ip_trie_insert(t, &w->prefix, w), OK);
                }
                assert_ptr_equal(ip_trie_lookup(t, &probe), twin_lookup(twins, &probe));
        }
        ip_trie_free(t);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_an_array) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
