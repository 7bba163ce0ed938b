#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/random.h"
#include "base/table.h"

enum { KEYS = 512 };

/* Against a plain array: random puts, removes and gets agree with it throughout. */
static void agrees_with_an_array(void **state)
{
        (void)state;
        static uint16_t keys[KEYS];
        static void *expect[KEYS];
        struct rng_seeded rng;
        struct table t = TABLE_INIT(0);
        size_t count = 0;

        rng_seed(&rng, 1);
        for (int step = 0; step < 200000; step++) {
                size_t k = rng_below(&rng.rng, KEYS);
                keys[k] = (uint16_t)k;
                struct slice key = slice_make(&keys[k], sizeof(keys[k]));
                void *old;
                switch (rng_below(&rng.rng, 3)) {
                case 0:
                        assert_int_equal(table_put(&t, key, &expect[step % KEYS], &old), OK);
                        assert_ptr_equal(old, expect[k]);
                        count += !expect[k];
                        expect[k] = &expect[step % KEYS];
                        break;
                case 1:
                        assert_ptr_equal(table_remove(&t, key), expect[k]);
                        count -= !!expect[k];
                        expect[k] = NULL;
                        break;
                default:
                        assert_ptr_equal(table_get(&t, key), expect[k]);
                }
                assert_int_equal(t.count, count);
        }
        size_t seen = 0;
        for (size_t i = 0; table_next(&t, &i);)
                seen++;
        assert_int_equal(seen, count);
        table_fini(&t);
}

static void keeps_its_bound(void **state)
{
        (void)state;
        struct table t = TABLE_INIT(2);
        int v;

        assert_int_equal(table_put(&t, SLICE_LIT("a"), &v, NULL), OK);
        assert_int_equal(table_put(&t, SLICE_LIT("b"), &v, NULL), OK);
        assert_int_equal(table_put(&t, SLICE_LIT("c"), &v, NULL), ERR_LIMIT);
        assert_int_equal(table_put(&t, SLICE_LIT("b"), &v, NULL), OK);
        assert_null(table_get(&t, SLICE_LIT("c")));
        table_fini(&t);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_an_array), cmocka_unit_test(keeps_its_bound) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
