#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/reader.h"

static struct arena arena;
static struct json_reader r;

static struct json_reader *on(const char *text)
{
        arena_fini(&arena);
        arena_init(&arena, 1 << 16);
        json_reader_init(&r, slice_str(text), &arena);
        return &r;
}

static void walks_an_object(void **state)
{
        (void)state;
        struct slice name;
        int64_t version = 0, sum = 0;
        bool stream = false;

        on(" {\"Version\":119, \"Skip\":{\"a\":[1,{}]}, \"Stream\" : true,\"N\":[1,2,3] } ");
        json_object_begin(&r);
        while (json_member(&r, &name)) {
                if (slice_is(name, "Version"))
                        version = json_i64(&r);
                else if (slice_is(name, "Stream"))
                        stream = json_bool(&r);
                else if (slice_is(name, "N"))
                        for (json_array_begin(&r); json_element(&r);)
                                sum += json_i64(&r);
                else
                        json_skip(&r);
        }
        assert_int_equal(json_finish(&r), OK);
        assert_int_equal(version, 119);
        assert_int_equal(sum, 6);
        assert_true(stream);
}

static void unescapes(void **state)
{
        (void)state;
        on("\"a\\u0000\\n\\u00e9\\ud83d\\ude00\\ud83d!\\/\"");
        struct slice s = json_string(&r);
        assert_int_equal(json_finish(&r), OK);
        assert_true(slice_equal(s, SLICE_LIT("a\0\n\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd!/")));
        assert_true(slice_is((on("\"plain\""), json_string(&r)), "plain"));
}

static void numbers(void **state)
{
        (void)state;
        assert_true((on("18446744073709551615"), json_u64(&r)) == UINT64_MAX);
        assert_true((on("-9223372036854775808"), json_i64(&r)) == INT64_MIN);
        assert_true((on("-0.5e1"), json_double(&r)) == -5.0);
        on("1.5");
        json_i64(&r);
        assert_int_equal(json_finish(&r), ERR_RANGE);
        on("18446744073709551616");
        json_u64(&r);
        assert_int_equal(json_finish(&r), ERR_RANGE);
}

static void null_is_not_a_value(void **state)
{
        (void)state;
        assert_true(json_take_null(on("null")));
        assert_false(json_take_null(on("1")));
        assert_int_equal(json_peek(&r), JSON_NUMBER);
}

static void refuses_malformed_text(void **state)
{
        (void)state;
        static const char *const bad[] = { "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
                "[1 2]", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\t\"", "01", "-", "1.", "1e", "tru", "nul", "nulll", "1 1",
                "[}", "{]", "+1", "\"\xec\xec\"", "{\"\xff\":1}", "\"\\", ".5", "{\"a\" 1}", "[,1]", "{,}" };

        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                on(bad[i]);
                json_skip(&r);
                if (json_finish(&r) == OK && !strchr(bad[i], '\\'))
                        fail_msg("accepted: %s", bad[i]);
        }
        on("\"\\x\"");
        json_string(&r);
        assert_int_equal(json_finish(&r), ERR_FORMAT);
}

static void bounds_depth(void **state)
{
        (void)state;
        char text[300];

        memset(text, '[', 64);
        memset(text + 64, ']', 64);
        text[128] = '\0';
        on(text);
        json_skip(&r);
        assert_int_equal(json_finish(&r), OK);
        memset(text, '[', 299);
        text[299] = '\0';
        on(text);
        json_skip(&r);
        assert_int_equal(json_finish(&r), ERR_LIMIT);
}

static void returns_raw_text(void **state)
{
        (void)state;
        on("[ {\"a\" : [1]} , 2]");
        json_array_begin(&r);
        assert_true(json_element(&r));
        assert_true(slice_is(json_raw(&r), "{\"a\" : [1]}"));
}

static int release(void **state)
{
        (void)state;
        arena_fini(&arena);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(walks_an_object), cmocka_unit_test(unescapes), cmocka_unit_test(numbers),
                cmocka_unit_test(null_is_not_a_value), cmocka_unit_test(refuses_malformed_text),
                cmocka_unit_test(bounds_depth), cmocka_unit_test(returns_raw_text),
        };
        return cmocka_run_group_tests(tests, NULL, release);
}
