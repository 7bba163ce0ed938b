#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"
#include "proto/stun.h"

/* Vectors of spec/paths.md 11. */
static const struct stun_txid txid = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 } };
#define REQUEST_HEX "000100142112a4420102030405060708090a0b0c802200087461696c6e6f646580280004b32c370f"
#define V4_HEX "0101000c2112a4420102030405060708090a0b0c00200008000183bbea12d545"
#define V4_MAPPED_HEX "010100182112a4420102030405060708090a0b0c00200014000283bb2112a442010203040506f8f7c20a7a0b"
#define V6_HEX "010100182112a4420102030405060708090a0b0c00200014000283bb0113a9fa0102030405060708090a0b0d"

struct message {
        uint8_t b[256];
        size_t len;
};

static struct message unhex(const char *hex)
{
        struct message m = { .len = strlen(hex) / 2 };

        assert_int_equal(hex_decode(slice_str(hex), m.b, m.len), OK);
        return m;
}

static struct slice slice_of(const struct message *m)
{
        return slice_make(m->b, m->len);
}

static struct ip_port addr(const char *text)
{
        struct ip_port a;

        assert_int_equal(ip_port_parse(slice_str(text), &a), OK);
        return a;
}

static void request_vector(void **state)
{
        struct message want = unhex(REQUEST_HEX);
        uint8_t got[STUN_REQUEST_LEN];
        struct stun_txid parsed;

        (void)state;
        stun_request_write(&txid, got);
        assert_int_equal(want.len, sizeof(got));
        assert_memory_equal(got, want.b, sizeof(got));
        assert_true(stun_is(slice_of(&want)));
        assert_int_equal(stun_request_parse(slice_of(&want), &parsed), OK);
        assert_memory_equal(&parsed, &txid, sizeof(txid));
}

static void request_refused(void **state)
{
        struct message m = unhex(REQUEST_HEX);
        struct stun_txid parsed;

        (void)state;
        for (size_t len = 0; len < m.len; len++)
                assert_int_not_equal(stun_request_parse(slice_make(m.b, len), &parsed), OK);
        for (size_t i = 0; i < m.len; i++) { /* every bit is covered by some check */
                if (i >= 8 && i < 20)
                        continue; /* the transaction id: only the fingerprint sees it */
                m.b[i] ^= 0x10;
                assert_int_not_equal(stun_request_parse(slice_of(&m), &parsed), OK);
                m.b[i] ^= 0x10;
        }
        m.b[9] ^= 1;
        assert_int_equal(stun_request_parse(slice_of(&m), &parsed), ERR_AUTH);
        m.b[9] ^= 1;
        m.b[m.len++] = 0; /* bytes after the declared end */
        assert_int_not_equal(stun_request_parse(slice_of(&m), &parsed), OK);
}

static void response_vectors(void **state)
{
        static const struct {
                const char *seen, *hex;
        } cases[] = {
                { "203.0.113.7:41641", V4_HEX },
                { "[::ffff:203.0.113.7]:41641", V4_HEX },
                { "[2001:db8::1]:41641", V6_HEX },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct message want = unhex(cases[i].hex);
                struct ip_port seen = addr(cases[i].seen), got;
                struct stun_txid got_txid;
                uint8_t out[STUN_RESPONSE_MAX];

                assert_int_equal(stun_response_write(&txid, &seen, out), want.len);
                assert_memory_equal(out, want.b, want.len);
                assert_int_equal(stun_response_parse(slice_of(&want), &got_txid, &got), OK);
                assert_memory_equal(&got_txid, &txid, sizeof(txid));
                seen.ip = ip_unmap(seen.ip);
                assert_true(ip_port_equal(&got, &seen));
        }
}

/* What a Go server on a dual-stack socket tells an IPv4 client. */
static void response_mapped_is_ipv4(void **state)
{
        struct message m = unhex(V4_MAPPED_HEX);
        struct ip_port got, want = addr("203.0.113.7:41641");
        struct stun_txid got_txid;

        (void)state;
        assert_int_equal(stun_response_parse(slice_of(&m), &got_txid, &got), OK);
        assert_true(ip_port_equal(&got, &want));
}

static void response_attributes(void **state)
{
        static const struct {
                const char *hex;
                enum err want;
                const char *addr;
        } cases[] = {
                /* unknown attribute with padding, then the old number of XOR-MAPPED-ADDRESS */
                { "010100142112a4420102030405060708090a0b0c" "80fe0001aa000000" "80200008000183bbea12d545", OK, "203.0.113.7:41641" },
                /* MAPPED-ADDRESS counts only without the other */
                { "0101000c2112a4420102030405060708090a0b0c" "000100080001a2a9cb007107", OK, "203.0.113.7:41641" },
                { "010100182112a4420102030405060708090a0b0c" "00200008000183bbea12d545" "00010008000100010a000001", OK, "203.0.113.7:41641" },
                { "010100002112a4420102030405060708090a0b0c", ERR_NOTFOUND, NULL },
                /* the length field cuts the attribute off */
                { "010100002112a4420102030405060708090a0b0c" "00200008000183bbea12d545", ERR_NOTFOUND, NULL },
                { "010100202112a4420102030405060708090a0b0c" "00200008000183bbea12d545", ERR_SHORT, NULL },
                { "0101000c2112a4420102030405060708090a0b0c" "00200008000383bbea12d545", ERR_FORMAT, NULL },
                { "010100082112a4420102030405060708090a0b0c" "00200004000183bb", ERR_SHORT, NULL },
                { "010100082112a4420102030405060708090a0b0c" "0020ffff000183bb", ERR_SHORT, NULL },
                { "011100002112a4420102030405060708090a0b0c", ERR_FORMAT, NULL },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct message m = unhex(cases[i].hex);
                struct stun_txid t;
                struct ip_port got;

                assert_int_equal(stun_response_parse(slice_of(&m), &t, &got), cases[i].want);
                if (cases[i].addr) {
                        struct ip_port want = addr(cases[i].addr);
                        assert_true(ip_port_equal(&got, &want));
                }
        }
}

static void not_stun(void **state)
{
        static const uint8_t wireguard[32] = { 4, 0, 0, 0 };
        static const uint8_t disco[64] = { 0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac };

        (void)state;
        assert_false(stun_is((struct slice){ 0 }));
        assert_false(stun_is(SLICE_ARRAY(wireguard)));
        assert_false(stun_is(SLICE_ARRAY(disco)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(request_vector),          cmocka_unit_test(request_refused),
                cmocka_unit_test(response_vectors),        cmocka_unit_test(response_mapped_is_ipv4),
                cmocka_unit_test(response_attributes),     cmocka_unit_test(not_stun),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
