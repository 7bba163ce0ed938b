#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "c2n.h"

static void requests_are_taken_apart(void **state)
{
        struct control_c2n rq;

        (void)state;
        assert_int_equal(c2n_request_parse(SLICE_LIT("POST /debug/x?a=1&b HTTP/1.1\r\nHost: h\r\ncontent-length:  3\r\n\r\nabcdef"), &rq), OK);
        assert_true(slice_is(rq.method, "POST"));
        assert_true(slice_is(rq.path, "/debug/x"));
        assert_true(slice_is(rq.query, "a=1&b"));
        assert_true(slice_is(rq.body, "abc"));
        assert_int_equal(c2n_request_parse(SLICE_LIT("GET / HTTP/1.0\n\n"), &rq), OK);
        assert_int_equal(rq.query.len + rq.body.len, 0);
}

static void others_are_refused(void **state)
{
        static const struct {
                const char *text;
                enum err e;
        } cases[] = {
                { "", ERR_SHORT },
                { "GET / HTTP/1.1\r\nHost: h\r\n", ERR_SHORT },
                { "GET / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc", ERR_SHORT },
                { "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", ERR_FORMAT },
                { "GET / HTTP/2\r\n\r\n", ERR_FORMAT },
                { "GET x HTTP/1.1\r\n\r\n", ERR_FORMAT },
                { "GET\r\n\r\n", ERR_FORMAT },
                { "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ERR_UNSUPPORTED },
        };
        struct control_c2n rq;

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                assert_int_equal(c2n_request_parse(slice_str(cases[i].text), &rq), cases[i].e);
}

static void responses_are_whole(void **state)
{
        struct buf out = BUF_INIT(1000);

        (void)state;
        c2n_response_write(&out, 204, NULL, (struct slice){ 0 });
        assert_string_equal(buf_cstr(&out), "HTTP/1.1 204 No Content\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        buf_fini(&out);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_are_taken_apart),
                cmocka_unit_test(others_are_refused),
                cmocka_unit_test(responses_are_whole),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
