#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "proto/portmap.h"

/* Requests: spec/paths.md 11, internal port 41641, self 192.168.1.10. */

static void assert_hex(struct slice got, const char *want)
{
        char text[2 * PORTMAP_REQUEST_MAX + 1];

        hex_encode(got, text);
        assert_string_equal(text, want);
}

static struct slice unhex(const char *hex, uint8_t *buf, size_t cap)
{
        size_t n = strlen(hex) / 2;

        assert_true(n <= cap);
        assert_int_equal(hex_decode(slice_str(hex), buf, n), OK);
        return slice_make(buf, n);
}

static void requests(void **state)
{
        (void)state;
        uint8_t addr[PMP_ADDR_REQUEST_LEN], map[PMP_MAP_REQUEST_LEN], announce[PCP_ANNOUNCE_LEN],
                pcp[PCP_MAP_LEN];
        struct pcp_map req = {
                .client = ip_v4(192, 168, 1, 10), .internal_port = 41641, .lifetime_s = PORTMAP_LIFETIME_S
        };

        for (uint8_t i = 0; i < PCP_NONCE_LEN; i++)
                req.nonce.b[i] = (uint8_t)(0xa0 + i);
        pmp_address_request(addr);
        assert_hex(SLICE_ARRAY(addr), "0000");
        pmp_map_request(41641, 0, PORTMAP_LIFETIME_S, map);
        assert_hex(SLICE_ARRAY(map), "00010000a2a9000000001c20");
        pcp_announce(&req.client, announce);
        assert_hex(SLICE_ARRAY(announce), "020000000000000000000000000000000000ffffc0a8010a");
        pcp_map_request(&req, pcp);
        assert_hex(SLICE_ARRAY(pcp),
                "0201000000001c2000000000000000000000ffffc0a8010aa0a1a2a3a4a5a6a7a8a9aaab11000000a2a9"
                "000000000000000000000000ffff00000000");
}

/* RFC 6886 3.2 and 3.3. */
static void pmp_responses(void **state)
{
        (void)state;
        uint8_t buf[64];
        struct pmp_response r;
        struct ip_addr external = ip_v4(203, 0, 113, 9);

        assert_int_equal(pmp_response_parse(unhex("0080000000000064cb007109", buf, 64), &r), OK);
        assert_true(!r.is_map && r.epoch_s == 100 && ip_equal(&r.external, &external));
        assert_int_equal(pmp_response_parse(unhex("0081000000000065a2a9c3c500001c20", buf, 64), &r), OK);
        assert_true(
                r.is_map && r.internal_port == 41641 && r.external_port == 0xc3c5 && r.lifetime_s == 7200);
        assert_int_equal(pmp_response_parse(unhex("0081000300000065a2a9000000000000", buf, 64), &r), OK);
        assert_int_equal(r.result, PMP_NETWORK_FAILURE);

        assert_int_equal(
                pmp_response_parse(unhex("0081000000000065a2a9c3c500001c2000", buf, 64), &r), ERR_FORMAT);
        assert_int_equal(pmp_response_parse(unhex("0081000000000065a2a9c3c500001c", buf, 64), &r), ERR_SHORT);
        assert_int_equal(
                pmp_response_parse(unhex("0082000000000065a2a9c3c500001c20", buf, 64), &r), ERR_FORMAT);
        assert_int_equal(pmp_response_parse(unhex("0000", buf, 64), &r), ERR_SHORT);
        assert_int_equal(pmp_response_parse((struct slice){ 0 }, &r), ERR_SHORT);
}

#define PCP_HEADER(op, result)                                                                               \
        "02" op "00" result "00001c20"                                                                       \
        "00000064"                                                                                           \
        "000000000000000000000000"
#define PCP_MAP_BODY                                                                                         \
        "a0a1a2a3a4a5a6a7a8a9aaab"                                                                           \
        "11000000"                                                                                           \
        "a2a9"                                                                                               \
        "c3c5"                                                                                               \
        "00000000000000000000ffffcb007109"

/* RFC 6887 7.2 and 11.1. */
static void pcp_responses(void **state)
{
        (void)state;
        uint8_t buf[128];
        struct pcp_response r;
        struct ip_port external = { ip_v4(203, 0, 113, 9), 0xc3c5 };

        assert_int_equal(pcp_response_parse(unhex(PCP_HEADER("80", "00"), buf, 128), &r), OK);
        assert_true(!r.is_map && r.result == PCP_OK && r.epoch_s == 100);
        assert_int_equal(pcp_response_parse(unhex(PCP_HEADER("81", "00") PCP_MAP_BODY, buf, 128), &r), OK);
        assert_true(r.is_map && r.lifetime_s == 7200 && r.internal_port == 41641);
        assert_true(ip_port_equal(&r.external, &external));
        assert_int_equal(r.nonce.b[11], 0xab);
        assert_int_equal(
                pcp_response_parse(unhex(PCP_HEADER("81", "00") PCP_MAP_BODY "0102", buf, 128), &r), OK);
        assert_int_equal(pcp_response_parse(unhex(PCP_HEADER("81", "0c"), buf, 128), &r), OK);
        assert_int_equal(r.result, PCP_ADDRESS_MISMATCH);

        assert_int_equal(pcp_response_parse(unhex(PCP_HEADER("81", "00"), buf, 128), &r), ERR_SHORT);
        assert_int_equal(pcp_response_parse(unhex(PCP_HEADER("01", "00"), buf, 128), &r), ERR_FORMAT);
        assert_int_equal(pcp_response_parse(unhex("0081", buf, 128), &r), ERR_SHORT);
        struct slice tcp = unhex(PCP_HEADER("81", "00") PCP_MAP_BODY, buf, 128);
        buf[36] = 6;
        assert_int_equal(pcp_response_parse(tcp, &r), ERR_FORMAT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests),
                cmocka_unit_test(pmp_responses),
                cmocka_unit_test(pcp_responses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
