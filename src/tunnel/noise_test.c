/* The handshake of spec/dataplane.md 5, both sides, byte by byte. */
#include "noise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "cookie.h"
#include "test_script.h"

#define MSG1                                                                                         \
        "010000004433221164b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466158a0e4ca242" \
        "d151ca97ab90159a98b67e616625e68b4065d357376b6598e644ad7d678c0295d22de4cb43d5135581ed36346bfa" \
        "7cf42a122a39f89343735c6e7519870d57c98fa0f7d43177e5e0601e22a56e85de148b21af37da03000000000000" \
        "00000000000000000000"
#define MSG2                                                                                         \
        "020000008877665544332211244fe3b963e899dd295baffce248d3530f3a9a7479ba063002680ebfe7adad494ff7" \
        "b7bec072de849908aeb5b9d6c249c69de6804bcaa41708857d858b2f6a3500000000000000000000000000000000"

struct side {
        struct noise_identity self;
        struct shared_key static_static, psk;
};

static void sides_init(struct side *i, struct side *r, bool has_psk)
{
        *i = *r = (struct side){ 0 };
        i->self.secret = spec_secret(0x01);
        r->self.secret = spec_secret(0x21);
        key_public(&i->self.secret, &i->self.public);
        key_public(&r->self.secret, &r->self.public);
        assert_int_equal(key_agree(&i->self.secret, &r->self.public, &i->static_static), OK);
        assert_int_equal(key_agree(&r->self.secret, &i->self.public, &r->static_static), OK);
        for (int k = 0; has_psk && k < KEY_LEN; k++)
                i->psk.b[k] = r->psk.b[k] = (uint8_t)(0x81 + k);
}

static void check(const uint8_t *got, const char *hex, size_t n)
{
        uint8_t want[256];

        unhex(hex, want, n);
        assert_memory_equal(got, want, n);
}

static void initiate(const struct side *i, const struct side *r, struct noise_initiator *out, struct msg_initiation *msg)
{
        const struct secret_key ephemeral = spec_secret(0x41);
        struct script_rng rng = script_of(ephemeral.b, KEY_LEN);
        struct cookie_jar jar = { 0 };
        uint8_t timestamp[TAI64N_LEN];

        unhex("400000006553f10a0b000000", timestamp, sizeof timestamp);
        assert_int_equal(noise_initiation_write(&i->self, &r->self.public, &i->static_static, 0x11223344,
                                 timestamp, &rng.rng, out, msg), OK);
        cookie_jar_sign(&jar, &r->self.public, msg, sizeof *msg, 1);
}

static void respond(const struct side *r, const struct msg_initiation *msg1, struct msg_response *msg2,
        struct tunnel_session_keys *keys)
{
        const struct secret_key ephemeral = spec_secret(0x61);
        struct script_rng rng = script_of(ephemeral.b, KEY_LEN);
        struct cookie_jar jar = { 0 };
        struct noise_state state;
        struct public_key sender;
        uint8_t timestamp[TAI64N_LEN];

        assert_int_equal(noise_initiation_read_sender(&r->self, msg1, &state, &sender), OK);
        assert_int_equal(noise_initiation_read_timestamp(msg1, &r->static_static, &state, timestamp), OK);
        check(timestamp, "400000006553f10a0b000000", sizeof timestamp);
        check(state.chain, "643693a7636a42b588f115bc0aae9a1db8432634b2e8d96ed67d308e74e132f5", BLAKE2S_LEN);
        check(state.hash, "dfcb34e17fbe112b228be263fcf458b56ed28fe7752fb63e1901ea470656d5eb", BLAKE2S_LEN);
        assert_int_equal(noise_response_write(msg1, &sender, &r->psk, 0x55667788, &rng.rng, &state, msg2, keys), OK);
        cookie_jar_sign(&jar, &sender, msg2, sizeof *msg2, 1);
}

static void matches_the_spec(void **test)
{
        struct side i, r;
        struct noise_initiator initiator;
        struct msg_initiation msg1;
        struct msg_response msg2;
        struct tunnel_session_keys ik, rk;

        (void)test;
        sides_init(&i, &r, false);
        check(i.static_static.b, "a84dc7c3c8f058b1b2dc4cd1e9b5dc0a7987f88b6a9564cde3391fc421159e77", KEY_LEN);
        initiate(&i, &r, &initiator, &msg1);
        check((uint8_t *)&msg1, MSG1, sizeof msg1);
        respond(&r, &msg1, &msg2, &rk);
        check((uint8_t *)&msg2, MSG2, sizeof msg2);
        assert_int_equal(noise_response_read(&i.self, &initiator, &i.psk, &msg2, &ik), OK);
        check(ik.send.b, "c5f330b6dc92c8bd4124800733b33cd9d7e5dd2ac8c782e1b558f9b2b60804d8", KEY_LEN);
        check(ik.receive.b, "df0e53eac779a4c1ab023907c8dda549efdbf8ca9a4ce931ba1d27a2a8be73f9", KEY_LEN);
        assert_memory_equal(&ik.send, &rk.receive, KEY_LEN);
        assert_memory_equal(&ik.receive, &rk.send, KEY_LEN);
}

static void matches_the_spec_with_psk(void **test)
{
        struct side i, r;
        struct noise_initiator initiator;
        struct msg_initiation msg1;
        struct msg_response msg2;
        struct tunnel_session_keys ik, rk;
        const struct shared_key no_psk = { 0 };

        (void)test;
        sides_init(&i, &r, true);
        initiate(&i, &r, &initiator, &msg1);
        respond(&r, &msg1, &msg2, &rk);
        check(msg2.enc_empty, "b97f339ff797df61fd00726e51b9a799", AEAD_TAG_LEN);
        check(msg2.mac1, "abfc0aa96fef09cbb9cc2ddbc82f1749", MAC_LEN);
        assert_int_equal(noise_response_read(&i.self, &initiator, &no_psk, &msg2, &ik), ERR_AUTH);
        assert_int_equal(noise_response_read(&i.self, &initiator, &i.psk, &msg2, &ik), OK); /* still possible */
        check(ik.send.b, "248a29611829aaf7ee8bc8e87df805c1019f08f82d80eb79b7625821ba0a1317", KEY_LEN);
        check(ik.receive.b, "848308e622b3e15e5ebc5312111efc31082e86c85e9ee93fe8c5aa7f972cc9c3", KEY_LEN);
        assert_memory_equal(&ik.send, &rk.receive, KEY_LEN);
}

/* Whatever single bit of message 1 is not under a MAC of its own is still noticed. */
static void every_byte_is_authenticated(void **test)
{
        struct side i, r;
        struct noise_initiator initiator;
        struct msg_initiation msg1;
        struct msg_response msg2;
        struct tunnel_session_keys keys;

        (void)test;
        sides_init(&i, &r, false);
        initiate(&i, &r, &initiator, &msg1);
        for (size_t at = offsetof(struct msg_initiation, ephemeral); at < offsetof(struct msg_initiation, mac1); at++) {
                struct msg_initiation bad = msg1;
                struct noise_state state;
                struct public_key sender;
                uint8_t timestamp[TAI64N_LEN];

                ((uint8_t *)&bad)[at] ^= 1;
                if (noise_initiation_read_sender(&r.self, &bad, &state, &sender) == OK)
                        assert_int_equal(noise_initiation_read_timestamp(&bad, &r.static_static, &state, timestamp),
                                ERR_AUTH);
        }
        respond(&r, &msg1, &msg2, &keys);
        for (size_t at = offsetof(struct msg_response, ephemeral); at < offsetof(struct msg_response, mac1); at++) {
                struct msg_response bad = msg2;

                ((uint8_t *)&bad)[at] ^= 1;
                assert_int_equal(noise_response_read(&i.self, &initiator, &i.psk, &bad, &keys), ERR_AUTH);
        }
}

static void degenerate_keys_abort(void **test)
{
        struct side i, r;
        struct noise_initiator initiator;
        struct msg_initiation msg1;
        struct msg_response msg2;
        struct noise_state state;
        struct public_key sender, zero = { 0 };
        struct tunnel_session_keys keys;
        struct rng_seeded rng;

        (void)test;
        rng_seed(&rng, 1);
        sides_init(&i, &r, false);
        assert_int_equal(noise_initiation_write(&i.self, &zero, &i.static_static, 1, (uint8_t[TAI64N_LEN]){ 0 },
                                 &rng.rng, &initiator, &msg1), ERR_AUTH);
        initiate(&i, &r, &initiator, &msg1);
        memset(msg1.ephemeral, 0, KEY_LEN);
        assert_int_equal(noise_initiation_read_sender(&r.self, &msg1, &state, &sender), ERR_AUTH);
        memset(&msg2, 0, sizeof msg2);
        assert_int_equal(noise_response_read(&i.self, &initiator, &i.psk, &msg2, &keys), ERR_AUTH);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(matches_the_spec),
                cmocka_unit_test(matches_the_spec_with_psk),
                cmocka_unit_test(every_byte_is_authenticated),
                cmocka_unit_test(degenerate_keys_abort),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
