#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "os/router.h"

static char story[1024];

static void note(void *ctx, const struct router_change *c)
{
        static const char *const names[] = { "?", "+addr", "-addr", "+route", "-route", "+throw", "-throw", "+rules", "-rules" };
        char text[IP_TEXT_MAX] = "";
        size_t n = strlen(story);

        (void)ctx;
        ip_prefix_format(&c->prefix, text);
        snprintf(story + n, sizeof(story) - n, "%s%s ", names[c->op], text);
}

static struct ip_prefix prefix(const char *text)
{
        struct ip_prefix p;
        assert_int_equal(ip_prefix_parse(slice_str(text), &p), OK);
        return p;
}

static const char *diff(const struct router_config *from, const struct router_config *to)
{
        story[0] = '\0';
        assert_int_equal(router_diff(from, to, note, NULL), OK);
        return story;
}

static void adds_before_it_removes(void **state)
{
        (void)state;
        struct ip_prefix a1 = prefix("100.64.0.1/32"), a2 = prefix("100.64.0.2/32");
        struct ip_prefix routes1[] = { prefix("100.64.0.9/32"), prefix("100.64.0.8/32"), prefix("100.64.0.8/32") };
        struct ip_prefix routes2[] = { prefix("100.64.0.9/32"), prefix("10.0.0.0/8") };
        struct ip_prefix lan = prefix("192.168.1.0/24");
        struct router_config one = { 7, &a1, 1, routes1, 3, NULL, 0, true };
        struct router_config two = { 7, &a2, 1, routes2, 2, &lan, 1, true };

        assert_string_equal(diff(NULL, &one), "+rules +addr100.64.0.1/32 +route100.64.0.8/32 +route100.64.0.9/32 ");
        assert_string_equal(diff(&one, &two), "+throw192.168.1.0/24 +addr100.64.0.2/32 +route10.0.0.0/8 -route100.64.0.8/32 "
                                              "-addr100.64.0.1/32 ");
        assert_string_equal(diff(&two, &two), "");
        assert_string_equal(diff(&two, NULL), "-throw192.168.1.0/24 -route10.0.0.0/8 -route100.64.0.9/32 -addr100.64.0.2/32 -rules ");
}

static void bounds_a_wish(void **state)
{
        (void)state;
        struct ip_prefix p = prefix("10.0.0.0/8");
        struct router_config big = { 1, NULL, 0, &p, ROUTER_PREFIX_MAX + 1, NULL, 0, false };
        assert_int_equal(router_diff(NULL, &big, note, NULL), ERR_LIMIT);
}

static void survives_the_channel(void **state)
{
        (void)state;
        struct router_change in = { ROUTER_ROUTE_ADD, 42, prefix("fd7a:115c:a1e0::/48") }, out;
        uint8_t bytes[ROUTER_CHANGE_LEN];
        struct slice s;
        struct writer w = writer_of(bytes, sizeof(bytes));

        router_change_write(&w, &in);
        assert_int_equal(wr_finish(&w, &s), OK);
        assert_int_equal(s.len, ROUTER_CHANGE_LEN);
        struct reader r = reader_of(s);
        router_change_read(&r, &out);
        assert_int_equal(rd_finish(&r), OK);
        assert_true(out.op == in.op && out.ifindex == in.ifindex && ip_prefix_equal(&out.prefix, &in.prefix));
        bytes[2] = 129;
        r = reader_of(s);
        router_change_read(&r, &out);
        assert_int_equal(rd_finish(&r), ERR_SHORT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(adds_before_it_removes), cmocka_unit_test(bounds_a_wish), cmocka_unit_test(survives_the_channel),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
