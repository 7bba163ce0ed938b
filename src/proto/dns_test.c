#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/text.h"
#include "proto/dns.h"

static uint8_t bytes[1024];

static struct slice hex(const char *text)
{
        size_t len = strlen(text) / 2;

        assert_int_equal(hex_decode(slice_str(text), bytes, len), OK);
        return slice_make(bytes, len);
}

static void assert_answer(struct slice query, const struct dns_answer *a, const char *expected)
{
        struct buf out = BUF_INIT(4096);
        struct dns_query q;
        char text[2048];

        assert_int_equal(dns_query_parse(query, &q), OK);
        assert_int_equal(dns_answer_write(query, &q, a, &out), OK);
        assert_true(out.len * 2 < sizeof text);
        hex_encode(buf_slice(&out), text);
        assert_string_equal(text, expected);
        buf_fini(&out);
}

static const char foo[] = "12340100000100000000000003666f6f076578616d706c65027473036e65740000010001";
static const char nope[] = "123401000001000000000000046e6f7065076578616d706c65027473036e65740000010001";

/* spec/node.md 14 */
static void vectors(void **state)
{
        struct ip_addr ip;
        struct dns_query q;

        (void)state;
        assert_int_equal(dns_query_parse(hex(foo), &q), OK);
        assert_string_equal(q.name, "foo.example.ts.net");
        assert_true(q.id == 0x1234 && q.type == DNS_A && q.class == DNS_CLASS_IN && q.udp_size == DNS_UDP_MIN);
        assert_int_equal(ip_parse(SLICE_LIT("100.64.0.1"), &ip), OK);
        assert_answer(hex(foo), &(struct dns_answer){ .addrs = &ip, .addr_count = 1 },
                "12348580000100010000000003666f6f076578616d706c65027473036e6574000001000103666f6f076578616d706c65027473036e"
                "6574000001000100000005000464400001");
        assert_answer(hex(nope), &(struct dns_answer){ .rcode = DNS_NXDOMAIN, .zone = SLICE_LIT("example.ts.net"), .serial = 0x68000000 },
                "123485830001000000010000046e6f7065076578616d706c65027473036e65740000010001076578616d706c65027473036e65740000"
                "0600010000000a0034076578616d706c65027473036e657400076578616d706c65027473036e657400680000000000000a0000000a"
                "0000000a0000000a");
}

static void hostile_queries(void **state)
{
        struct dns_query q;

        (void)state;
        assert_int_equal(dns_query_parse(hex("123401000001"), &q), ERR_SHORT);
        assert_int_equal(dns_query_parse(hex("12348180000100000000000003666f6f0000010001"), &q), ERR_STATE);
        /* two questions, a name that runs out, a pointer, no question */
        assert_int_equal(dns_query_parse(hex("12340100000200000000000003666f6f0000010001"), &q), ERR_FORMAT);
        assert_int_equal(dns_query_parse(hex("12340100000100000000000009666f6f0000010001"), &q), ERR_FORMAT);
        assert_int_equal(dns_query_parse(hex("123401000001000000000000c00c00010001"), &q), ERR_FORMAT);
        assert_int_equal(dns_query_parse(hex("123401000000000000000000"), &q), ERR_FORMAT);
        /* a dot and a zero within labels are no host names */
        assert_int_equal(dns_query_parse(hex("123401000001000000000000036f2e6f0000010001"), &q), OK);
        assert_true(q.is_odd && q.name[0] == '\0');
        /* every shorter form of a good query */
        struct slice whole = hex(foo);
        for (size_t n = 0; n < whole.len; n++)
                assert_int_not_equal(dns_query_parse(slice_first(whole, n), &q), OK);
}

static void the_size_that_a_client_takes(void **state)
{
        struct dns_query q;

        (void)state;
        assert_int_equal(dns_query_parse(hex("12340100000100000000000103666f6f00000100010000290500000000000000"), &q), OK);
        assert_int_equal(q.udp_size, 0x500);
        assert_int_equal(dns_query_parse(hex("12340100000100000000000103666f6f0000010001000029ffff00000000000000"), &q), OK);
        assert_int_equal(q.udp_size, DNS_UDP_MAX);
        assert_int_equal(dns_query_parse(hex("12340100000100000000000103666f6f0000010001000029001000000000000000"), &q), OK);
        assert_int_equal(q.udp_size, DNS_UDP_MIN);
}

static void answers_of_others(void **state)
{
        uint8_t query[64];
        struct dns_query q;
        struct buf out = BUF_INIT(4096);
        struct slice asked = hex(foo);

        (void)state;
        memcpy(query, asked.ptr, asked.len);
        asked.ptr = query;
        assert_int_equal(dns_query_parse(asked, &q), OK);
        assert_true(dns_is_answer(hex("12348180000100000000000003464f4f076578616d706c65027473036e65740000010001"), asked, &q));
        assert_false(dns_is_answer(hex("12358180000100000000000003666f6f076578616d706c65027473036e65740000010001"), asked, &q));
        assert_false(dns_is_answer(hex("12340100000100000000000003666f6f076578616d706c65027473036e65740000010001"), asked, &q));
        assert_false(dns_is_answer(hex("12348180000100000000000003666f70076578616d706c65027473036e65740000010001"), asked, &q));
        assert_int_equal(dns_truncate(hex("12348180000100010000000003666f6f076578616d706c65027473036e65740000010001c00c"), &q, &out), OK);
        assert_true(dns_is_truncated(buf_slice(&out)) && out.len == asked.len);
        assert_int_equal(out.ptr[7], 0);
        buf_fini(&out);
}

static void names_of_addresses(void **state)
{
        struct ip_addr ip;
        char text[IP_TEXT_MAX];

        (void)state;
        assert_int_equal(dns_reverse_parse("1.0.64.100.in-addr.arpa", &ip), OK);
        ip_format(&ip, text);
        assert_string_equal(text, "100.64.0.1");
        assert_int_equal(dns_reverse_parse("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa", &ip), OK);
        ip_format(&ip, text);
        assert_string_equal(text, "fd7a:115c:a1e0::1");
        assert_int_equal(dns_reverse_parse("64.100.in-addr.arpa", &ip), ERR_FORMAT);
        assert_int_equal(dns_reverse_parse("256.0.64.100.in-addr.arpa", &ip), ERR_FORMAT);
        assert_int_equal(dns_reverse_parse("5.1.0.64.100.in-addr.arpa", &ip), ERR_FORMAT);
        assert_int_equal(dns_reverse_parse("x.0.0.0.ip6.arpa", &ip), ERR_FORMAT);
        assert_int_equal(dns_reverse_parse("example.net", &ip), ERR_FORMAT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(vectors), cmocka_unit_test(hostile_queries), cmocka_unit_test(the_size_that_a_client_takes),
                cmocka_unit_test(answers_of_others), cmocka_unit_test(names_of_addresses),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
