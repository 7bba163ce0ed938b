#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/slice.h"

static void compares(void **state)
{
        (void)state;
        assert_true(slice_compare(SLICE_LIT("a"), SLICE_LIT("ab")) < 0);
        assert_true(slice_compare(SLICE_LIT("b"), SLICE_LIT("ab")) > 0);
        assert_int_equal(slice_compare((struct slice){ 0 }, SLICE_LIT("")), 0);
        assert_true(slice_equal_nocase(SLICE_LIT("NodeKey"), SLICE_LIT("nodekey")));
        assert_false(slice_equal_nocase(SLICE_LIT("[odeKey"), SLICE_LIT("{odekey")));
        assert_true(slice_has_prefix(SLICE_LIT("tag:x"), SLICE_LIT("tag:")));
        const struct slice list[] = { SLICE_LIT("a"), SLICE_LIT("b") }, other[] = { SLICE_LIT("a"), SLICE_LIT("c") };
        assert_true(slices_equal(list, 2, list, 2) && slices_equal(list, 1, other, 1) && slices_equal(NULL, 0, list, 0));
        assert_false(slices_equal(list, 2, other, 2) || slices_equal(list, 1, list, 2));
        assert_true(slice_has_suffix(SLICE_LIT("a.b"), SLICE_LIT(".b")));
        assert_false(slice_has_suffix(SLICE_LIT("b"), SLICE_LIT("a.b")));
        assert_true(slice_is(slice_trim(SLICE_LIT(" \t x y\n")), "x y"));
        assert_int_equal(slice_trim(SLICE_LIT("   ")).len, 0);
}

static void splits(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                int fields;
        } cases[] = { { "a,b", 2 }, { "a", 1 }, { "", 1 }, { ",", 2 }, { "a,,b,", 4 } };

        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                struct slice rest = slice_str(cases[i].text), field;
                int n = 0;
                while (slice_split(&rest, ',', &field))
                        n++;
                assert_int_equal(n, cases[i].fields);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(compares), cmocka_unit_test(splits) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
