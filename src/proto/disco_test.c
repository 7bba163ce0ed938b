#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "proto/disco.h"

/* Everything here is from spec/paths.md 11 unless a comment says otherwise. */

#define HEX_MAX    512
#define NONCE_HEX  "404142434445464748494a4b4c4d4e4f5051525354555657"
#define A_HEX      "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13"
#define B_HEX      "0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20"
#define S_HEX      "7b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b14"
#define TXID_HEX   "0102030405060708090a0b0c"
#define REPEAT8(x) x x x x x x x x
#define KEY33_HEX  REPEAT8("33333333")
#define ZERO32_HEX REPEAT8("00000000")

struct bytes {
        uint8_t b[HEX_MAX];
        size_t len;
};

static struct bytes unhex(const char *hex)
{
        struct bytes out = { .len = strlen(hex) / 2 };

        assert_true(out.len <= sizeof(out.b));
        assert_int_equal(hex_decode(slice_str(hex), out.b, out.len), OK);
        return out;
}

static struct slice view(const struct bytes *b) { return slice_make(b->b, b->len); }

static void assert_hex(struct slice got, const char *want)
{
        char text[2 * HEX_MAX + 1];

        assert_true(got.len <= HEX_MAX);
        hex_encode(got, text);
        assert_string_equal(text, want);
}

/* Fills nonces with 40 41 ... 57. */
static void fixed_fill(struct rng *rng, void *out, size_t n)
{
        (void)rng;
        for (size_t i = 0; i < n; i++)
                ((uint8_t *)out)[i] = (uint8_t)(0x40 + i);
}

struct pair {
        struct public_key sender;
        struct shared_key shared;
};

static struct pair make_pair(uint8_t sender, uint8_t recipient)
{
        struct secret_key sk, rk;
        struct public_key rp;
        struct pair p;

        memset(sk.b, sender, KEY_LEN);
        memset(rk.b, recipient, KEY_LEN);
        key_public(&sk, &p.sender);
        key_public(&rk, &rp);
        assert_int_equal(box_precompute(&rp, &sk, &p.shared), OK);
        return p;
}

/* Writes and seals msg, compares with the vectors, opens it again. */
static void check_vector(uint8_t sender, uint8_t recipient, const struct disco_message *msg,
        const char *plain_hex, const char *packet_hex)
{
        struct rng rng = { fixed_fill };
        struct pair p = make_pair(sender, recipient);
        uint8_t plain_buf[HEX_MAX], packet_buf[HEX_MAX], opened_buf[HEX_MAX];
        struct slice plain, packet, opened;

        assert_int_equal(disco_write(msg, plain_buf, sizeof(plain_buf), &plain), OK);
        if (plain_hex)
                assert_hex(plain, plain_hex);
        assert_int_equal(
                disco_seal(&p.sender, &p.shared, &rng, plain, packet_buf, sizeof(packet_buf), &packet), OK);
        assert_hex(packet, packet_hex);

        struct pair back = make_pair(recipient, sender);
        struct public_key from;
        assert_true(disco_is(packet));
        disco_sender(packet, &from);
        assert_true(key_equal(&from, &p.sender));
        assert_int_equal(disco_open(&back.shared, packet, opened_buf, sizeof(opened_buf), &opened), OK);
        assert_true(slice_equal(opened, plain));
}

static struct disco_txid txid(void)
{
        struct disco_txid t;

        for (uint8_t i = 0; i < DISCO_TXID_LEN; i++)
                t.b[i] = (uint8_t)(i + 1);
        return t;
}

static struct public_key key_from_hex(const char *hex)
{
        struct public_key k;

        assert_int_equal(hex_decode(slice_str(hex), k.b, KEY_LEN), OK);
        return k;
}

static void vector_ping(void **state)
{
        (void)state;
        struct disco_message m = { .type = DISCO_PING,
                .ping = { .txid = txid(), .node_key = key_from_hex(KEY33_HEX) } };

        check_vector(0x11, 0x22, &m, "0100" TXID_HEX KEY33_HEX,
                "5453f09f92ac" A_HEX NONCE_HEX "c95fb0a0b5ae35e06c3b1a241b1470704ab6b1b7e3b4feafafac7c355fe4a"
                                               "0ea8298e553636217378b36f117ab7b7d5ee7f"
                "c4c57e81b18ad19348cd7a2c3");
}

static void vector_pong(void **state)
{
        (void)state;
        struct disco_message m = { .type = DISCO_PONG,
                .pong = { .txid = txid(), .src = { ip_v4(203, 0, 113, 7), 41641 } } };

        check_vector(0x22, 0x11, &m, "0200" TXID_HEX "00000000000000000000ffffcb007107a2a9",
                "5453f09f92ac" B_HEX NONCE_HEX "c7f9f84a080663c66fda6678a2cf573149b6b1b7e3b4feafafac7c355fe49"
                                               "3d9b1abd6605051240447fa0924e94fecc4");
}

static void vector_call_me_maybe(void **state)
{
        (void)state;
        struct bytes eps = unhex("00000000000000000000ffffc0a8010aa2a9"
                                 "20010db8000000000000000000000001a2a9");
        struct disco_message m = { .type = DISCO_CALL_ME_MAYBE, .call_me_maybe = { view(&eps) } };
        struct ip_port v4 = { ip_v4(192, 168, 1, 10), 41641 };
        struct ip_port got = disco_endpoint(&m.call_me_maybe, 0);

        assert_int_equal(disco_endpoint_count(&m.call_me_maybe), 2);
        assert_true(ip_port_equal(&got, &v4));
        got = disco_endpoint(&m.call_me_maybe, 1);
        assert_int_equal(got.ip.family, IP_V6);
        check_vector(0x11, 0x22, &m, NULL,
                "5453f09f92ac" A_HEX NONCE_HEX "5708ffe6d3701a8f5395c1480ea50fab48b6b0b5e0b0fba9a8a4753fab175"
                                               "371b0a174c9705029bcb805c22498484e6dd4c"
                "f7f657981");
}

static void vector_bind(void **state)
{
        (void)state;
        struct disco_message m = { .type = DISCO_BIND,
                .bind = { .vni = 7, .generation = 1, .remote = key_from_hex(B_HEX) } };
        uint8_t geneve[GENEVE_HEADER_LEN];
        struct geneve_header h = { .control = true, .protocol = GENEVE_DISCO, .vni = 7 }, got;

        geneve_write(&h, geneve);
        assert_hex(SLICE_ARRAY(geneve), "00807a1100000700");
        assert_int_equal(geneve_parse(SLICE_ARRAY(geneve), &got), OK);
        assert_true(got.control && got.protocol == GENEVE_DISCO && got.vni == 7);
        check_vector(0x11, 0x33, &m,
                "0400"
                "00000007"
                "00000001" B_HEX ZERO32_HEX,
                "5453f09f92ac" A_HEX NONCE_HEX "3c4ef0c5d5c6d998c0fb7e1cc11466bbb584b1ed0d3d164b70fce2bb488bf"
                                               "8d3f8e99540b35159e52ad1417a0998a722607"
                "bf9de0766c3bff246da887ebc9f58174fa12c47c8046462ae220a1b504b240fef2c76f588cdfbdeb3");
}

static void geneve_hostile(void **state)
{
        (void)state;
        static const char *const bad[] = { "01007a1100000700", "00017a1100000700", "0000000000000700",
                "00007a1100000701", "40007a1200000700" };
        struct geneve_header h;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct bytes b = unhex(bad[i]);
                assert_int_equal(geneve_parse(view(&b), &h), ERR_FORMAT);
                b.len = 7;
                assert_int_equal(geneve_parse(view(&b), &h), ERR_SHORT);
        }
}

static void parse_judges_versions_and_lengths(void **state)
{
        (void)state;
        static const struct {
                const char *hex;
                enum err want;
        } cases[] = {
                { "", ERR_SHORT },
                { "01", ERR_SHORT },
                { "0100" TXID_HEX, OK },                  /* ping without key */
                { "0100" TXID_HEX "000000", OK },         /* and with padding */
                { "0107" TXID_HEX KEY33_HEX "0000", OK }, /* versions of pings are not looked at */
                { "0100"
                  "0102030405060708090a0b",
                        ERR_SHORT },
                { "0200" TXID_HEX "00000000000000000000ffffcb007107a2", ERR_SHORT },
                { "0200" TXID_HEX "00000000000000000000ffffcb007107a2a9ff", OK },
                { "0300", OK },
                { "0301"
                  "00000000000000000000ffffc0a8010aa2a9",
                        OK },
                { "0300"
                  "00000000000000000000ffffc0a8010aa2",
                        OK },
                { "0400"
                  "00000007",
                        ERR_SHORT },
                { "0700", ERR_SHORT },
                { "0701", OK },
                { "0800" A_HEX B_HEX "00000001", OK },
                { "0800" A_HEX B_HEX "000000", ERR_SHORT },
                { "0801", OK },
                { "0900"
                  "00000001",
                        ERR_SHORT },
                { "0a00", ERR_UNSUPPORTED },
                { "ff00", ERR_UNSUPPORTED },
                { "0000", ERR_UNSUPPORTED },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct bytes b = unhex(cases[i].hex);
                struct disco_message m;
                assert_int_equal(disco_parse(view(&b), &m), cases[i].want);
                if (cases[i].want == OK && m.type == DISCO_CALL_ME_MAYBE)
                        assert_int_equal(disco_endpoint_count(&m.call_me_maybe), 0);
        }
}

static void ping_key_and_padding(void **state)
{
        (void)state;
        struct bytes bare = unhex("0100" TXID_HEX "000000");
        struct bytes padded = unhex("0100" TXID_HEX KEY33_HEX "00000000");
        struct disco_message m;

        assert_int_equal(disco_parse(view(&bare), &m), OK);
        assert_true(key_is_zero(&m.ping.node_key));
        assert_int_equal(m.ping.padding, 3);
        assert_int_equal(disco_parse(view(&padded), &m), OK);
        assert_false(key_is_zero(&m.ping.node_key));
        assert_int_equal(m.ping.padding, 4);
}

/* The fixed part of a relay endpoint is 124 bytes; then whole addresses, at least one. */
static void relay_endpoint_needs_whole_addresses(void **state)
{
        (void)state;
        static const uint8_t address[DISCO_ENDPOINT_LEN] = { [10] = 0xff, 0xff, 10, 0, 0, 1, 0x10, 0x00 };
        struct disco_message m = { .type = DISCO_ALLOCATE_RESPONSE,
                .response = { .generation = 9,
                        .endpoint = { .lamport_id = 1,
                                .vni = 5,
                                .bind_lifetime_ns = 30000000000,
                                .steady_lifetime_ns = 300000000000,
                                .addrs = { SLICE_ARRAY(address) } } } };
        struct disco_message got;
        uint8_t buf[HEX_MAX];
        struct slice plain;

        assert_int_equal(disco_write(&m, buf, sizeof(buf), &plain), OK);
        assert_int_equal(plain.len, 2 + 4 + 124 + 18);
        assert_int_equal(disco_parse(plain, &got), OK);
        assert_int_equal(got.response.endpoint.steady_lifetime_ns, 300000000000);
        assert_int_equal(disco_endpoint_count(&got.response.endpoint.addrs), 1);
        plain.len--;
        assert_int_equal(disco_parse(plain, &got), ERR_FORMAT);
        plain.len -= 17;
        assert_int_equal(disco_parse(plain, &got), ERR_FORMAT);
}

static void open_refuses_what_is_not_whole(void **state)
{
        (void)state;
        struct rng rng = { fixed_fill };
        struct pair p = make_pair(0x11, 0x22), back = make_pair(0x22, 0x11);
        uint8_t buf[HEX_MAX], out[HEX_MAX];
        struct bytes plain = unhex("0300");
        struct slice packet, opened;

        assert_int_equal(disco_seal(&p.sender, &p.shared, &rng, view(&plain), buf, sizeof(buf), &packet), OK);
        assert_int_equal(packet.len, DISCO_PACKET_MIN);
        assert_int_equal(disco_open(&back.shared, packet, out, 1, &opened), ERR_LIMIT);
        assert_int_equal(
                disco_open(&back.shared, slice_first(packet, 79), out, sizeof(out), &opened), ERR_SHORT);
        assert_false(disco_is(slice_first(packet, 79)));
        for (size_t i = DISCO_HEADER_LEN; i < packet.len; i++) {
                buf[i] ^= 1;
                assert_int_equal(disco_open(&back.shared, packet, out, sizeof(out), &opened), ERR_AUTH);
                buf[i] ^= 1;
        }
        assert_int_equal(
                disco_seal(&p.sender, &p.shared, &rng, view(&plain), buf, DISCO_PACKET_MIN - 1, &packet),
                ERR_LIMIT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(vector_ping),
                cmocka_unit_test(vector_pong),
                cmocka_unit_test(vector_call_me_maybe),
                cmocka_unit_test(vector_bind),
                cmocka_unit_test(geneve_hostile),
                cmocka_unit_test(parse_judges_versions_and_lengths),
                cmocka_unit_test(ping_key_and_padding),
                cmocka_unit_test(relay_endpoint_needs_whole_addresses),
                cmocka_unit_test(open_refuses_what_is_not_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
