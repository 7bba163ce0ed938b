/* Extra DNS records from a JSON file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "serve.h"

static void records_are_read(void **state)
{
        static const char text[] = "[{\"name\":\"grafana.example.net\",\"type\":\"A\",\"value\":\"100.64.0.3\"},"
                                   "{\"Name\":\"p.example.net\",\"type\":null,\"value\":\"::1\",\"ttl\":5}]";
        struct arena a = ARENA_INIT(8 << 20);
        struct server_dns_record *r;
        struct diag diag;
        size_t n;

        (void)state;
        assert_int_equal(records_parse(slice_str(text), &a, &r, &n, &diag), OK);
        assert_int_equal(n, 2);
        assert_true(slice_is(r[0].name, "grafana.example.net"));
        assert_true(slice_is(r[0].type, "A"));
        assert_true(slice_is(r[0].value, "100.64.0.3"));
        assert_true(slice_is(r[1].name, "p.example.net"));
        assert_int_equal(r[1].type.len, 0);
        assert_int_equal(records_parse(SLICE_LIT(" [] "), &a, &r, &n, &diag), OK);
        assert_int_equal(n, 0);
        arena_fini(&a);
}

static void mistakes_are_named(void **state)
{
        static const char *const bad[] = { "", "{}", "[1]", "[{}]", "[{\"name\":\"a\"}]", "[] x",
                "[{\"name\":1,\"value\":\"100.64.0.1\"}]", "[{\"name\":\"a\",\"value\":\"100.64.0.1\"}" };

        (void)state;
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct arena a = ARENA_INIT(8 << 20);
                struct server_dns_record *r;
                struct diag diag = { "" };
                size_t n;

                assert_int_not_equal(records_parse(slice_str(bad[i]), &a, &r, &n, &diag), OK);
                assert_non_null(strstr(diag.text, "at byte"));
                arena_fini(&a);
        }
}

static void there_is_a_limit(void **state)
{
        struct buf text = BUF_INIT(4 << 20);
        struct arena a = ARENA_INIT(64 << 20);
        struct server_dns_record *r;
        struct diag diag;
        size_t n;

        (void)state;
        for (int i = 0; i < 10001; i++)
                buf_printf(&text, "%s{\"name\":\"n%d\",\"value\":\"100.64.0.1\"}", i ? "," : "[", i);
        buf_append_byte(&text, ']');
        assert_int_equal(records_parse(buf_slice(&text), &a, &r, &n, &diag), ERR_LIMIT);
        arena_fini(&a);
        buf_fini(&text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(records_are_read),
                cmocka_unit_test(mistakes_are_named),
                cmocka_unit_test(there_is_a_limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
