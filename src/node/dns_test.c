#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "node/dns.h"

#define HEX64(d) d d d d d d d d d d d d d d d d /* d: four digits */
#define NODE(id, name, v4, v6)                                                                                  \
        "{\"ID\":" id ",\"StableID\":\"n" id "\",\"Name\":\"" name ".example.net.\",\"Key\":\"nodekey:" HEX64("000" id) \
        "\",\"Addresses\":[\"" v4 "/32\",\"" v6 "/128\"]}"

static struct netmap *nm;
static struct dns_base base;

static int set_up(void **state)
{
        static const char json[] =
                "{\"Node\":" NODE("1", "a", "100.64.0.1", "fd7a:115c:a1e0::1") ",\"Peers\":[" NODE("2", "b", "100.64.0.2", "fd7a:115c:a1e0::2") "],"
                "\"DNSConfig\":{\"Proxied\":true,\"Domains\":[\"example.net\"],"
                "\"Resolvers\":[{\"Addr\":\"9.9.9.9\"},{\"Addr\":\"https://dns.example/x\"}],"
                "\"Routes\":{\"corp.test\":[{\"Addr\":\"10.0.0.1:5353\"}],\"eu.corp.test\":[{\"Addr\":\"10.0.0.2\"}],\"local.test\":null},"
                "\"ExtraRecords\":[{\"Name\":\"printer.corp.test\",\"Value\":\"192.168.1.9\"}]}}";
        struct arena arena = ARENA_INIT(1 << 20);
        const struct now now = { .mono_us = 1, .unix_us = INT64_C(1767225600000000) };
        struct tailcfg_map_response m;

        (void)state;
        nm = netmap_new();
        assert_int_equal(tailcfg_map_response_decode(SLICE_LIT(json), &arena, &m), OK);
        assert_int_equal(netmap_apply(nm, &m, &now, NULL), OK);
        arena_fini(&arena);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        netmap_free(nm);
        return 0;
}

/* "NXDOMAIN", addresses in hexadecimal, "empty", or "ask" and whom. */
static const char *resolve(const char *name, uint16_t type)
{
        static char text[256];
        const struct now now = { .mono_us = 1, .unix_us = INT64_C(1767225600000000) };
        struct buf query = BUF_INIT(512), reply = BUF_INIT(4096);
        struct slice rest = slice_str(name), label;
        struct dns_upstreams up;
        struct dns_query q;

        buf_append(&query, "\x12\x34\x01\0\0\1\0\0\0\0\0\0", 12);
        while (slice_split(&rest, '.', &label)) {
                buf_append_byte(&query, (uint8_t)label.len);
                buf_append_slice(&query, label);
        }
        const uint8_t tail[] = { 0, 0, (uint8_t)type, 0, 1 };
        buf_append(&query, tail, sizeof tail);
        assert_int_equal(dns_query_parse(buf_slice(&query), &q), OK);
        dns_resolve(nm, &base, buf_slice(&query), &q, &now, &reply, &up);
        text[0] = '\0';
        if (!reply.len) {
                for (size_t i = 0; i < up.count; i++) {
                        char at[IP_TEXT_MAX];
                        ip_port_format(&up.items[i], at);
                        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "ask ", at);
                }
        } else if (dns_rcode_of(buf_slice(&reply)) == DNS_OK) {
                snprintf(text, sizeof text, "%u answers", (unsigned)(reply.ptr[6] << 8 | reply.ptr[7]));
        } else {
                snprintf(text, sizeof text, "rcode %d", (int)dns_rcode_of(buf_slice(&reply)));
        }
        buf_fini(&query);
        buf_fini(&reply);
        return text;
}

static void who_answers(void **state)
{
        static const struct {
                const char *name;
                uint16_t type;
                const char *expected;
        } cases[] = {
                { "b.example.net", DNS_A, "1 answers" },
                { "B.Example.NET", DNS_A, "1 answers" },
                { "b.example.net", DNS_AAAA, "0 answers" }, /* kept back: both have IPv4 */
                { "a.example.net", DNS_AAAA, "1 answers" },
                { "a.example.net", DNS_ANY, "2 answers" },
                { "b.example.net", 16, "0 answers" },
                { "b.example.net", DNS_NS, "rcode 4" },
                { "c.example.net", DNS_A, "rcode 3" },
                { "x.b.example.net", DNS_A, "rcode 3" },
                { "hidden.onion", DNS_A, "rcode 3" },
                { "2.0.64.100.in-addr.arpa", DNS_PTR, "1 answers" },
                { "9.0.64.100.in-addr.arpa", DNS_PTR, "rcode 3" },
                { "9.9.9.9.in-addr.arpa", DNS_PTR, "ask 9.9.9.9:53" },
                { "printer.corp.test", DNS_A, "1 answers" },
                { "other.corp.test", DNS_A, "ask 10.0.0.1:5353" },
                { "x.eu.corp.test", DNS_A, "ask 10.0.0.2:53" }, /* the longest suffix */
                { "notcorp.test", DNS_A, "ask 9.9.9.9:53" },
                { "x.local.test", DNS_A, "rcode 3" }, /* for us to answer, and unknown */
                { "example.org", DNS_A, "ask 9.9.9.9:53" },
                { "we.ird!name", DNS_A, "ask 9.9.9.9:53" },
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
                assert_string_equal(resolve(cases[i].name, cases[i].type), cases[i].expected);
}

static void without_settings_nobody_knows(void **state)
{
        (void)state;
        netmap_free(nm);
        nm = netmap_new();
        assert_string_equal(resolve("example.org", DNS_A), "rcode 2");
        assert_false(dns_is_wanted(nm));
}

static void the_file_of_the_system(void **state)
{
        struct buf text = BUF_INIT(4096);

        (void)state;
        dns_base_parse(SLICE_LIT("# nameserver 1.1.1.1\ndomain old.test\nsearch home.arpa\tlan\n"
                                 "nameserver 192.168.1.1\nnameserver 100.100.100.100\nnameserver fe80::1%eth0\n nameserver  9.9.9.9 # x"), &base);
        assert_int_equal(base.servers.count, 2);
        assert_int_equal(base.search_count, 2);
        dns_resolv_conf(nm, &base, "by us", &text);
        assert_non_null(strstr(buf_cstr(&text), "nameserver 100.100.100.100\nsearch example.net home.arpa lan\n"));
        buf_fini(&text);
        base = (struct dns_base){ 0 };
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(who_answers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(without_settings_nobody_knows, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_file_of_the_system, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
