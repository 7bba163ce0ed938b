#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gso.h"

static void runs(void **state)
{
        (void)state;
        static const struct {
                uint32_t lens[6];
                size_t n, expected;
        } rows[] = {
                { { 5 }, 0, 0 },
                { { 5 }, 1, 1 },
                { { 5, 5, 5 }, 3, 3 },
                { { 5, 5, 3, 5 }, 4, 3 },
                { { 5, 5, 3, 3 }, 4, 3 },
                { { 5, 5, 6 }, 3, 2 },
                { { 3, 5 }, 2, 1 },
                { { 40000, 30000 }, 2, 1 },
                { { 40000, 25507 }, 2, 2 },
                { { 70000, 5 }, 2, 1 },
        };
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                assert_int_equal(gso_run(rows[i].lens, rows[i].n, GSO_BYTES_MAX_V4), rows[i].expected);

        uint32_t many[100];
        for (size_t i = 0; i < 100; i++)
                many[i] = 64;
        assert_int_equal(gso_run(many, 100, GSO_BYTES_MAX_V4), GSO_SEGMENTS_MAX);
        for (size_t i = 0; i < 100; i++)
                many[i] = 1312;
        assert_int_equal(gso_run(many, 100, GSO_BYTES_MAX_V4), 49);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(runs) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
