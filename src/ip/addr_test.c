#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ip/addr.h"

static void parses_and_prints(void **state)
{
        (void)state;
        static const struct {
                const char *in, *out;
        } good[] = {
                { "100.64.0.1", "100.64.0.1" }, { "0.0.0.0", "0.0.0.0" }, { "::", "::" },
                { "FD7A:115C:a1e0:0:0::1", "fd7a:115c:a1e0::1" }, { "::ffff:1.2.3.4", "::ffff:1.2.3.4" },
                { "fe80::1%3", "fe80::1%3" }, { "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
        };
        static const char *const bad[] = { "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "1..2.3", ":::",
                "g::", "fe80::1%eth0", "1.2.3.-4", "12345::", "::1\n" };
        struct ip_addr a;
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
                assert_int_equal(ip_parse(slice_str(good[i].in), &a), OK);
                ip_format(&a, text);
                assert_string_equal(text, good[i].out);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                assert_int_equal(ip_parse(slice_str(bad[i]), &a), ERR_FORMAT);
                assert_false(ip_valid(&a));
        }
        assert_int_equal(ip_parse(SLICE_LIT("::1\0x"), &a), ERR_FORMAT);
}

static void ports(void **state)
{
        (void)state;
        static const char *const good[] = { "1.2.3.4:41641", "[fd7a::1]:0", "[::ffff:1.2.3.4]:65535", "[fe80::1%2]:9" };
        static const char *const bad[] = { "", ":80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "fd7a::1:80", "[1.2.3.4]:80",
                "[fd7a::1]", "[fd7a::1]80", "[]:1", "[:1" };
        struct ip_port a;
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
                assert_int_equal(ip_port_parse(slice_str(good[i]), &a), OK);
                ip_port_format(&a, text);
                assert_string_equal(text, good[i]);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_int_equal(ip_port_parse(slice_str(bad[i]), &a), ERR_FORMAT);
}

static struct ip_prefix prefix(const char *text)
{
        struct ip_prefix p;
        assert_int_equal(ip_prefix_parse(slice_str(text), &p), OK);
        return p;
}

static struct ip_addr addr(const char *text)
{
        struct ip_addr a;
        assert_int_equal(ip_parse(slice_str(text), &a), OK);
        return a;
}

static bool contains(const char *p, const char *a)
{
        struct ip_prefix pre = prefix(p);
        struct ip_addr ip = addr(a);
        return ip_prefix_contains(&pre, &ip);
}

static void prefixes(void **state)
{
        (void)state;
        static const char *const bad[] = { "", "1.2.3.4", "1.2.3.4/", "1.2.3.4/33", "::/129", "1.2.3.4/08", "1.2.3.4/-1", "/8",
                "fe80::%1/64" };
        struct ip_prefix p;
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_int_equal(ip_prefix_parse(slice_str(bad[i]), &p), ERR_FORMAT);
        p = ip_prefix_masked(prefix("10.1.255.3/20"));
        ip_prefix_format(&p, text);
        assert_string_equal(text, "10.1.240.0/20");
        assert_true(contains("100.64.0.0/10", "100.127.255.255"));
        assert_false(contains("100.64.0.0/10", "100.128.0.0"));
        assert_true(contains("0.0.0.0/0", "8.8.8.8"));
        assert_false(contains("0.0.0.0/0", "::1"));
        assert_true(contains("fd7a::/16", "fd7a:1::"));
        p = prefix("::/0");
        assert_true(ip_prefix_is_default(&p));
        struct ip_prefix a = prefix("10.0.0.0/8"), b = prefix("10.2.0.0/16"), c = prefix("11.0.0.0/8");
        assert_true(ip_prefix_overlaps(&a, &b) && ip_prefix_overlaps(&b, &a));
        assert_false(ip_prefix_overlaps(&a, &c));
}

static void classes(void **state)
{
        (void)state;
        struct ip_addr a;

        assert_true((a = addr("100.115.91.255"), ip_is_tailscale(&a)));
        assert_false((a = addr("100.115.92.0"), ip_is_tailscale(&a)));
        assert_false((a = addr("100.115.93.255"), ip_is_tailscale(&a)));
        assert_true((a = addr("fd7a:115c:a1e0:ab12::1"), ip_is_tailscale(&a)));
        assert_true((a = addr("172.31.0.1"), ip_is_private(&a)));
        assert_false((a = addr("172.32.0.1"), ip_is_private(&a)));
        assert_false((a = addr("100.64.0.1"), ip_is_private(&a)));
        assert_true((a = addr("fe80::1"), ip_is_link_local(&a)));
        assert_true((a = addr("2001:db8::1"), ip_is_far_v6(&a)));
        assert_true((a = addr("fd12::1"), ip_is_far_v6(&a)));
        assert_false((a = addr("fd7a:115c:a1e0::1"), ip_is_far_v6(&a)));
        assert_false((a = addr("fe80::1"), ip_is_far_v6(&a)));
        assert_false((a = addr("::1"), ip_is_far_v6(&a)));
        assert_false((a = addr("32.1.2.3"), ip_is_far_v6(&a)));
        assert_true((a = addr("169.254.1.1"), ip_is_link_local(&a)));
        assert_true((a = addr("::1"), ip_is_loopback(&a)));
        assert_true((a = addr("ff02::1"), ip_is_multicast(&a)));
        assert_true((a = addr("239.0.0.1"), ip_is_multicast(&a)));
        assert_true((a = addr("::"), ip_is_unspecified(&a)));
}

static void addresses_to_listen_on(void **state)
{
        static const struct { const char *text; struct ip_port is; } good[] = {
                { ":8080", { { .family = IP_V6 }, 8080 } },
                { "localhost:80", { { .family = IP_V4, .b = { 127, 0, 0, 1 } }, 80 } },
                { "192.0.2.1:0", { { .family = IP_V4, .b = { 192, 0, 2, 1 } }, 0 } },
        };
        static const char *const bad[] = { "", ":", "8080", "::", "::1", "localhost", "localhost:", "example.net:80", "1.2.3.4:99999" };
        struct ip_port a;

        (void)state;
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
                assert_int_equal(ip_listen_parse(slice_str(good[i].text), &a), OK);
                assert_true(ip_port_equal(&a, &good[i].is));
        }
        assert_int_equal(ip_listen_parse(SLICE_LIT("[::1]:80"), &a), OK);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
                assert_int_equal(ip_listen_parse(slice_str(bad[i]), &a), ERR_FORMAT);
}

static void mapped(void **state)
{
        (void)state;
        uint8_t bytes[18];
        struct slice out;
        struct ip_port a = { ip_v4(203, 0, 113, 7), 41641 }, b;
        struct writer w = writer_of(bytes, sizeof(bytes));

        wr_ip_port18(&w, &a);
        assert_int_equal(wr_finish(&w, &out), OK);
        assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\x00\x71\x07\xa2\xa9", 18);
        struct reader r = reader_of(out);
        b = rd_ip_port18(&r);
        assert_true(ip_port_equal(&a, &b));
        r = reader_of(slice_first(out, 17));
        b = rd_ip_port18(&r);
        assert_false(ip_valid(&b.ip));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parses_and_prints), cmocka_unit_test(ports), cmocka_unit_test(prefixes),
                cmocka_unit_test(classes), cmocka_unit_test(addresses_to_listen_on),
                cmocka_unit_test(mapped),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
