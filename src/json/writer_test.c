#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/writer.h"

static void writes_as_go_does(void **state)
{
        (void)state;
        struct buf out = BUF_INIT(4096);
        struct json_writer w;

        json_writer_init(&w, &out, NULL);
        json_object_open(&w);
        json_field_str(&w, "a", "<\"\\\n\x01\xe2\x80\xa8\xff\xc3\xa9>");
        json_name(&w, "list");
        json_array_open(&w);
        json_put_i64(&w, -1);
        json_put_u64(&w, UINT64_MAX);
        json_put_null(&w);
        json_put_double(&w, 0.1);
        json_put_double(&w, 3);
        json_array_open(&w);
        json_array_close(&w);
        json_array_close(&w);
        json_name(&w, "sig");
        json_put_base64(&w, SLICE_LIT("fo"));
        json_field_bool(&w, "t", true);
        json_object_close(&w);
        assert_string_equal(buf_cstr(&out),
                "{\"a\":\"\\u003c\\\"\\\\\\n\\u0001\\u2028\xef\xbf\xbd\xc3\xa9\\u003e\",\"list\":[-1,18446744073709551615,null,0.1,3,[]],"
                "\"sig\":\"Zm8=\",\"t\":true}");
        buf_fini(&out);
}

static void indents(void **state)
{
        (void)state;
        struct buf out = BUF_INIT(4096);
        struct json_writer w;

        json_writer_init(&w, &out, "  ");
        json_object_open(&w);
        json_name(&w, "empty");
        json_object_open(&w);
        json_object_close(&w);
        json_name(&w, "list");
        json_array_open(&w);
        json_put_str(&w, "x");
        json_put_bool(&w, false);
        json_array_close(&w);
        json_object_close(&w);
        assert_string_equal(buf_cstr(&out), "{\n  \"empty\": {},\n  \"list\": [\n    \"x\",\n    false\n  ]\n}");
        buf_fini(&out);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(writes_as_go_does), cmocka_unit_test(indents) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
