#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"

static void grows_to_its_maximum(void **state)
{
        (void)state;
        struct buf b = BUF_INIT(10);

        assert_string_equal(buf_cstr(&b), "");
        buf_printf(&b, "%d-%s", 12, "abc");
        assert_true(slice_is(buf_slice(&b), "12-abc"));
        buf_append_str(&b, "defg");
        assert_int_equal(buf_status(&b), OK);
        assert_string_equal(buf_cstr(&b), "12-abcdefg");
        buf_append_byte(&b, 'h');
        assert_int_equal(buf_status(&b), ERR_LIMIT);
        buf_append(&b, "", 0);
        assert_int_equal(b.len, 10);
        buf_clear(&b);
        assert_int_equal(buf_status(&b), OK);
        buf_fini(&b);
}

static void consumes_from_the_front(void **state)
{
        (void)state;
        struct buf b = BUF_INIT(100);

        buf_append_str(&b, "hello world");
        buf_consume(&b, 6);
        assert_true(slice_is(buf_slice(&b), "world"));
        buf_consume(&b, 99);
        assert_int_equal(b.len, 0);
        assert_non_null(buf_extend(&b, 100));
        assert_null(buf_extend(&b, 1));
        buf_wipe(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(grows_to_its_maximum), cmocka_unit_test(consumes_from_the_front) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
