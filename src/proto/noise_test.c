#include "proto/noise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "base/text.h"

/* All values: spec/control.md, section 13. */
static const char server_priv[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e5f";
static const char server_pub[] = "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f";
static const char machine_priv[] = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e7f";
static const char machine_pub[] = "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254";
static const char machine_eph[] = "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f";
static const char server_eph[] = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f";
static const char initiation_hex[] =
        "0091010060675dd574ed7789310b3d2e7681f3790b466c773b1521fecf36577958371ea52f3205a116d3845b90db700e5d"
        "edc6393be2a3b8fabfcf7d8a8bec1d537aeb089d96010a0b836fb7401de4ce22e72eff9856a8ddbf5658227f5c194c4eb5"
        "3dca14";
static const char response_hex[] =
        "02003079a631eede1bf9c98f12032cdeadd0e7a079398fc786b88cc846ec89af85a51a110fc628b67594d0acfed834a5e2"
        "c6e1";

struct fixed_rng {
        struct rng rng;
        const char *hex;
};
static void fixed_fill(struct rng *rng, void *out, size_t n)
{
        struct fixed_rng *f = (struct fixed_rng *)rng;
        assert_int_equal(hex_decode(slice_str(f->hex), out, n), OK);
}

static size_t unhex(const char *hex, uint8_t *out)
{
        size_t n = strlen(hex) / 2;
        assert_int_equal(hex_decode(slice_str(hex), out, n), OK);
        return n;
}
static void assert_hex(const void *bytes, size_t n, const char *hex)
{
        char *text = malloc(2 * n + 1);
        hex_encode(slice_make(bytes, n), text);
        assert_string_equal(text, hex);
        free(text);
}

/* Both sides of a connection with the keys of the vectors. */
struct two_sides {
        struct noise_session client, server;
        uint8_t initiation[NOISE_INITIATION_LEN], response[NOISE_RESPONSE_LEN];
};

static void connect_both(struct two_sides *t, uint16_t version)
{
        struct fixed_rng client_rng = { { fixed_fill }, machine_eph }, server_rng = { { fixed_fill }, server_eph };
        struct secret_key machine, server;
        struct public_key pub;
        struct noise_client hs;

        unhex(machine_priv, machine.b);
        unhex(server_priv, server.b);
        unhex(server_pub, pub.b);
        assert_int_equal(noise_client_start(&hs, &machine, &pub, version, &client_rng.rng, t->initiation), OK);
        assert_int_equal(
                noise_server_respond(&server, SLICE_ARRAY(t->initiation), &server_rng.rng, t->response, &t->server), OK);
        assert_int_equal(noise_client_finish(&hs, SLICE_ARRAY(t->response), &t->client), OK);
        assert_true(secret_is_zero(&hs.machine));
}

static void the_handshake_gives_the_bytes_of_the_spec(void **state)
{
        struct two_sides t;

        (void)state;
        connect_both(&t, 145);
        assert_hex(t.initiation, sizeof(t.initiation), initiation_hex);
        assert_hex(t.response, sizeof(t.response), response_hex);
        assert_hex(t.server.peer.b, KEY_LEN, machine_pub);
        assert_hex(t.client.peer.b, KEY_LEN, server_pub);
        assert_int_equal(t.server.version, 145);
        assert_hex(t.client.hash, 32, "b921d5e89819ae47c5a43b7c2b4ad1edabd5d003c3b99af62231477de3e0c76a");
        assert_memory_equal(t.client.hash, t.server.hash, 32);
        assert_hex(t.client.send.key.b, 32, "a2cf01188a1f44ab7ba092e7718fe85f5d6991265468c3dceaad47bea2e15e18");
        assert_hex(t.client.recv.key.b, 32, "244d6c255019d59e8f914e32e36ec8143082ad8ada3dab51fa7b72a3c1f70f94");
        assert_memory_equal(&t.client.send.key, &t.server.recv.key, 32);
        assert_memory_equal(&t.client.recv.key, &t.server.send.key, 32);
}

static void versions_are_bound_into_the_prologue(void **state)
{
        struct two_sides t, u;

        (void)state;
        connect_both(&t, 0);
        connect_both(&u, 65535);
        assert_memory_not_equal(t.client.hash, u.client.hash, 32);
        assert_int_equal(u.server.version, 65535);
}

/* Every byte of both messages matters, and every shorter prefix is refused. */
static void altered_handshakes_are_refused(void **state)
{
        struct fixed_rng rng = { { fixed_fill }, machine_eph };
        struct secret_key server, machine;
        struct public_key pub;
        struct two_sides t;
        struct noise_session out;
        struct noise_client hs;
        uint8_t response[NOISE_RESPONSE_LEN], copy[NOISE_INITIATION_LEN + 1] = { 0 };

        (void)state;
        connect_both(&t, 145);
        unhex(server_priv, server.b);
        unhex(machine_priv, machine.b);
        unhex(server_pub, pub.b);
        for (size_t i = 0; i < NOISE_INITIATION_LEN; i++) {
                memcpy(copy, t.initiation, NOISE_INITIATION_LEN);
                copy[i] ^= 0x01;
                assert_int_not_equal(noise_server_respond(&server, slice_make(copy, NOISE_INITIATION_LEN), &rng.rng,
                                             response, &out), OK);
                assert_int_equal(
                        noise_server_respond(&server, slice_make(t.initiation, i), &rng.rng, response, &out), ERR_SHORT);
        }
        memcpy(copy, t.initiation, NOISE_INITIATION_LEN);
        assert_int_equal(noise_server_respond(&server, SLICE_ARRAY(copy), &rng.rng, response, &out), ERR_FORMAT);

        for (size_t i = 0; i < NOISE_RESPONSE_LEN; i++) {
                assert_int_equal(noise_client_start(&hs, &machine, &pub, 145, &rng.rng, copy), OK);
                memcpy(response, t.response, sizeof(response));
                response[i] ^= 0x01;
                assert_int_not_equal(noise_client_finish(&hs, SLICE_ARRAY(response), &out), OK);
                assert_int_equal(noise_client_start(&hs, &machine, &pub, 145, &rng.rng, copy), OK);
                assert_int_equal(noise_client_finish(&hs, slice_make(t.response, i), &out), ERR_SHORT);
        }
        /* A degenerate server key. */
        assert_int_equal(noise_client_start(&hs, &machine, &(struct public_key){ 0 }, 145, &rng.rng, copy), ERR_AUTH);
}

static void check_record(struct noise_cipher *send, struct noise_cipher *recv, struct slice plain, const char *hex)
{
        uint8_t record[NOISE_RECORD_MAX], back[NOISE_PLAIN_MAX];
        size_t len, back_len;

        assert_int_equal(noise_seal(send, plain, record, &len), OK);
        if (hex)
                assert_hex(record, len, hex);
        assert_int_equal(noise_open(recv, slice_make(record, len), back, &back_len), OK);
        assert_int_equal(back_len, plain.len);
        assert_memory_equal(back, plain.len ? plain.ptr : back, plain.len);
}

static void records_give_the_bytes_of_the_spec(void **state)
{
        static const char json[] =
                "{\"nodeKeyChallenge\":\"chalpub:493e82fc74464a59268817623d2053c5eb8e2cc4a988b4fee179ec6b010d531d\"}";
        struct two_sides t;
        struct noise_cipher *k1 = &t.client.send, *k1r = &t.server.recv, *k2 = &t.server.send, *k2r = &t.client.recv;
        uint8_t settings[9], early[9];
        size_t len;

        (void)state;
        connect_both(&t, 145);
        unhex("000000040000000000", settings);
        noise_early_head(sizeof(json) - 1, early);
        check_record(k2, k2r, slice_make(early, 5), "04001543b1f58153f5cb53f0c24ad37c583c10b7f55526a3");
        check_record(k2, k2r, slice_make(early + 5, 4), "040014411eb9683e6b4ac39c03b186a27fef0ec49b104d");
        check_record(k2, k2r, SLICE_LIT(json),
                "04006f3ae10c345ad7f905743a1a13bfa8a21ed651b6d4c0dc5b236cbc66c8702682f66fd456c871114686e66ab1fc0facc2e2"
                "653c67ebb7aa692a2913147659e2207d9d4d06a23526bf16cdfb63aaee4c564ef48dfcf20cf11daab46bd837e1842ce7a058ec"
                "f1238d891d4b79250a1279cb");
        check_record(k2, k2r, SLICE_ARRAY(settings), "04001903d13155c0fef6743228179539787575ee46d3fa739a1b4931");
        check_record(k1, k1r, SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
                "0400283d4b065cb25cf50fe0b4a8b57dae683a736da4b8127a9d60dc0a5473e52912161994db019b504a62");
        check_record(k1, k1r, SLICE_ARRAY(settings), "04001938f3ef2434fca36de1a49b0ead1ee7b4589dbcaeb714843b92");
        check_record(k1, k1r, (struct slice){ 0 }, "040010fecb19f1cc2fa1f0c9e0c40522d8aa00");
        k1->counter = k1r->counter = 256;
        check_record(k1, k1r, SLICE_ARRAY(settings), "040019207dbe20f3f857e63bd146d8af8ec02360197b8083a69379fc");

        /* The same with a little-endian counter must be refused. */
        uint8_t wrong[64], plain[64];
        size_t n = unhex("04001976ff68b6288404b9e2a0825a8c67ac092bb93819edec81f850", wrong);
        k1r->counter = 1;
        assert_int_equal(noise_open(k1r, slice_make(wrong, n), plain, &len), ERR_AUTH);
        assert_int_equal(noise_open(k1r, slice_make(wrong, n), plain, &len), ERR_STATE);
}

static void records_keep_their_bounds(void **state)
{
        static uint8_t plain[NOISE_PLAIN_MAX + 1], record[NOISE_RECORD_MAX + 1];
        struct two_sides t;
        size_t len;

        (void)state;
        connect_both(&t, 145);
        assert_int_equal(noise_seal(&t.client.send, SLICE_ARRAY(plain), record, &len), ERR_RANGE);
        assert_int_equal(noise_seal(&t.client.send, slice_make(plain, NOISE_PLAIN_MAX), record, &len), OK);
        assert_int_equal(len, NOISE_RECORD_MAX);
        t.client.send.counter = UINT64_MAX;
        assert_int_equal(noise_seal(&t.client.send, slice_make(plain, 1), record, &len), ERR_STATE);
        t.client.send.counter = 0;
        assert_int_equal(noise_seal(&t.client.send, slice_make(plain, 1), record, &len), ERR_STATE);

        assert_int_equal(noise_frame_len(SLICE_LIT(""), NOISE_RECORD, &len), ERR_SHORT);
        assert_int_equal(noise_frame_len(SLICE_LIT("\x04\x00"), NOISE_RECORD, &len), ERR_SHORT);
        assert_int_equal(noise_frame_len(SLICE_LIT("\x03"), NOISE_RECORD, &len), ERR_FORMAT);
        assert_int_equal(noise_frame_len(SLICE_LIT("\x04\x0f\xfd"), NOISE_RECORD, &len), OK);
        assert_int_equal(len, NOISE_RECORD_MAX);
        assert_int_equal(noise_frame_len(SLICE_LIT("\x04\x0f\xfe"), NOISE_RECORD, &len), ERR_FORMAT);
        assert_int_equal(noise_frame_len(SLICE_LIT("\x04\x00\x0f"), NOISE_RECORD, &len), ERR_FORMAT);
        assert_int_equal(noise_frame_len(SLICE_LIT("\x02\x00\x31"), NOISE_RESPONSE, &len), ERR_FORMAT);
}

static void early_payload_heads_are_told_from_http2(void **state)
{
        uint32_t len;
        (void)state;
        assert_int_equal(noise_early_parse(SLICE_LIT("\xff\xff\xffTS\0\0\0\x5f"), &len), OK);
        assert_int_equal(len, 95);
        assert_int_equal(noise_early_parse(SLICE_LIT("\0\0\0\x04\0\0\0\0\0"), &len), ERR_NOTFOUND);
        assert_int_equal(noise_early_parse(SLICE_LIT("\xff\xff\xffTS\0\0\0"), &len), ERR_SHORT);
        assert_int_equal(noise_early_parse(SLICE_LIT("\xff\xff\xffTS\0\xa0\0\0"), &len), OK);
        assert_int_equal(noise_early_parse(SLICE_LIT("\xff\xff\xffTS\0\xa0\0\1"), &len), ERR_LIMIT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_handshake_gives_the_bytes_of_the_spec),
                cmocka_unit_test(versions_are_bound_into_the_prologue),
                cmocka_unit_test(altered_handshakes_are_refused),
                cmocka_unit_test(records_give_the_bytes_of_the_spec),
                cmocka_unit_test(records_keep_their_bounds),
                cmocka_unit_test(early_payload_heads_are_told_from_http2),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
