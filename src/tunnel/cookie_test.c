#include "cookie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "limits.h"
#include "load.h"
#include "test_script.h"

static const struct tunnel_source spec_source = {
        .via = TUNNEL_VIA_UDP, .addr = { { IP_V4, { 192, 0, 2, 1 }, 0 }, 51820 }
};

/* Message 1 of spec/dataplane.md 5, whose responder is the checker. */
static void spec_message(struct msg_initiation *msg)
{
        unhex("010000004433221164b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466158a0e4ca242"
              "d151ca97ab90159a98b67e616625e68b4065d357376b6598e644ad7d678c0295d22de4cb43d5135581ed36346bfa"
              "7cf42a122a39f89343735c6e7519870d57c98fa0f7d43177e5e0601e22a56e85de148b21af37da03000000000000"
              "00000000000000000000", msg, sizeof *msg);
}

static struct public_key spec_responder(void)
{
        const struct secret_key sk = spec_secret(0x21);
        struct public_key pk;

        key_public(&sk, &pk);
        return pk;
}

static void matches_the_spec(void **state)
{
        const struct public_key responder = spec_responder();
        struct cookie_checker checker;
        struct cookie_jar jar = { 0 };
        struct msg_initiation msg;
        struct msg_cookie reply, want;
        uint8_t script[32 + XAEAD_NONCE_LEN], source[SOURCE_BYTES_MAX], want_bytes[MAC_LEN];
        struct script_rng rng = script_of(script, sizeof script);
        struct macs macs;

        (void)state;
        for (size_t i = 0; i < 32; i++)
                script[i] = (uint8_t)i; /* the cookie secret */
        for (size_t i = 0; i < XAEAD_NONCE_LEN; i++)
                script[32 + i] = (uint8_t)i;
        cookie_checker_init(&checker, &responder);
        unhex("5c5cbbfd0c782a2539047315dc2b629f825570bc6a8686d245dd060463b85e1b", source, 32);
        assert_memory_equal(checker.mac1_key, source, 32);
        assert_int_equal(source_bytes(&spec_source, source), 6);
        unhex("c00002016cca", want_bytes, 6);
        assert_memory_equal(source, want_bytes, 6);

        spec_message(&msg);
        cookie_jar_sign(&jar, &responder, &msg, sizeof msg, TIME_S(1)); /* the same mac1 again */
        macs = macs_of(MSG_SLICE(&msg));
        assert_true(cookie_mac1_fits(&checker, &macs));
        assert_false(cookie_mac2_fits(&checker, &macs, &spec_source, TIME_S(1)));

        cookie_reply_write(&checker, &macs, 0x11223344, &spec_source, &rng.rng, TIME_S(1), &reply);
        unhex("0300000044332211000102030405060708090a0b0c0d0e0f1011121314151617"
              "c2e9c1c2ac14bad90bafc05345e58ca944c1aaf8b3fd250fdfa3993130979d36", &want, sizeof want);
        assert_memory_equal(&reply, &want, sizeof want);

        assert_int_equal(cookie_jar_fill(&jar, &responder, &reply, TIME_S(2)), OK);
        assert_int_equal(cookie_jar_fill(&jar, &responder, &reply, TIME_S(2)), ERR_STATE); /* once */
        cookie_jar_sign(&jar, &responder, &msg, sizeof msg, TIME_S(3));
        unhex("2d60285e51688f2fe5a0b6efa350a94e", want_bytes, MAC_LEN);
        assert_memory_equal(msg.mac2, want_bytes, MAC_LEN);
        assert_true(cookie_mac2_fits(&checker, &macs, &spec_source, TIME_S(3)));
}

static void cookies_age(void **state)
{
        const struct public_key responder = spec_responder();
        struct cookie_checker checker;
        struct cookie_jar jar = { 0 };
        struct msg_initiation msg;
        struct msg_cookie reply;
        struct rng_seeded rng;
        struct macs macs = macs_of(MSG_SLICE(&msg));

        (void)state;
        rng_seed(&rng, 5);
        spec_message(&msg);
        cookie_checker_init(&checker, &responder);
        cookie_jar_sign(&jar, &responder, &msg, sizeof msg, TIME_S(10));
        cookie_reply_write(&checker, &macs, 1, &spec_source, &rng.rng, TIME_S(10), &reply);
        assert_int_equal(cookie_jar_fill(&jar, &responder, &reply, TIME_S(10)), OK);
        cookie_jar_sign(&jar, &responder, &msg, sizeof msg, TIME_S(124));
        assert_true(cookie_mac2_fits(&checker, &macs, &spec_source, TIME_S(129)));
        assert_false(cookie_mac2_fits(&checker, &macs, &spec_source, TIME_S(130))); /* another secret now */
        cookie_jar_sign(&jar, &responder, &msg, sizeof msg, TIME_S(125));
        for (size_t i = 0; i < MAC_LEN; i++)
                assert_int_equal(msg.mac2[i], 0);
}

static void a_cookie_is_for_one_message_and_one_source(void **state)
{
        const struct public_key responder = spec_responder();
        struct tunnel_source others[6];
        struct cookie_checker checker;
        struct cookie_jar jar = { 0 }, other_jar = { 0 };
        struct msg_initiation msg, other;
        struct msg_cookie reply;
        struct rng_seeded rng;
        struct macs macs = macs_of(MSG_SLICE(&msg));

        (void)state;
        rng_seed(&rng, 6);
        spec_message(&msg);
        other = msg;
        other.enc_static[0] ^= 1;
        cookie_checker_init(&checker, &responder);
        for (size_t i = 0; i < 6; i++)
                others[i] = spec_source;
        others[0].addr.port++;
        others[1].addr.ip.b[3]++;
        others[2].via = TUNNEL_VIA_PEER_RELAY;
        others[3].via = TUNNEL_VIA_PEER_RELAY;
        others[3].vni = 7;
        others[4].via = TUNNEL_VIA_DERP;
        others[5].via = TUNNEL_VIA_DERP;
        others[5].from.b[0] = 1;
        for (size_t i = 2; i < 6; i++) {
                cookie_jar_sign(&jar, &responder, &msg, sizeof msg, TIME_S(1));
                cookie_jar_sign(&other_jar, &responder, &other, sizeof other, TIME_S(1));
                cookie_reply_write(&checker, &macs, 1, &others[i], &rng.rng, TIME_S(1), &reply);
                assert_int_equal(cookie_jar_fill(&other_jar, &responder, &reply, TIME_S(1)), ERR_AUTH);
                assert_int_equal(cookie_jar_fill(&jar, &responder, &reply, TIME_S(1)), OK);
                cookie_jar_sign(&jar, &responder, &msg, sizeof msg, TIME_S(1));
                for (size_t k = 0; k < 6; k++)
                        assert_int_equal(cookie_mac2_fits(&checker, &macs, &others[k], TIME_S(1)), k == i);
        }
}

static void load_begins_and_ends(void **state)
{
        struct load load = { 0 };
        uint64_t now_us = TIME_S(100);
        int light = 0;

        (void)state;
        while (!load_is_heavy(&load, now_us))
                light++;
        assert_int_equal(light, 128);
        assert_true(load_is_heavy(&load, now_us + TIME_MS(900)));
        assert_false(load_is_heavy(&load, now_us + TIME_S(2)));
        load_fini(&load);
}

static int admitted(struct load *load, const struct tunnel_source *from, uint64_t now_us, int tries)
{
        int n = 0;

        for (int i = 0; i < tries; i++)
                n += load_admits(load, from, now_us);
        return n;
}

static void each_source_has_its_bucket(void **state)
{
        struct load load = { 0 };
        struct tunnel_source a = { .via = TUNNEL_VIA_DERP, .region = 1 }, b = a, v6 = spec_source;
        const uint64_t now_us = TIME_S(100);

        (void)state;
        b.from.b[31] = 1;
        assert_int_equal(admitted(&load, &a, now_us, 50), 5);
        assert_int_equal(admitted(&load, &b, now_us, 50), 5); /* another sender at the same relay */
        assert_int_equal(admitted(&load, &a, now_us, 50), 0);
        assert_int_equal(admitted(&load, &a, now_us + TIME_MS(100), 50), 2);
        assert_int_equal(admitted(&load, &a, now_us + TIME_S(5), 50), 5);

        v6.addr.ip = ip_v6((const uint8_t[16]){ 0x20, 1, 0xd, 0xb8, [15] = 1 });
        assert_int_equal(admitted(&load, &v6, now_us, 50), 5);
        v6.addr.ip.b[15] = 2; /* the same /64 */
        assert_int_equal(admitted(&load, &v6, now_us, 50), 0);
        v6.addr.ip.b[7] = 2;
        assert_int_equal(admitted(&load, &v6, now_us, 50), 5);
        load_fini(&load);
}

static void many_sources_stay_bounded(void **state)
{
        struct load load = { 0 };
        struct tunnel_source from = spec_source;
        int first = 0;

        (void)state;
        for (uint32_t i = 0; i < 20000; i++) {
                from.addr.ip = ip_v4_u32(0x0a000000 + i);
                first += load_admits(&load, &from, TIME_S(100));
        }
        assert_true(first > 3000 && first <= 4096); /* the table is full, the rest waits */
        from.addr.ip = ip_v4_u32(0x0b000000);
        assert_true(load_admits(&load, &from, TIME_S(101)));
        load_fini(&load);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(matches_the_spec),
                cmocka_unit_test(cookies_age),
                cmocka_unit_test(a_cookie_is_for_one_message_and_one_source),
                cmocka_unit_test(load_begins_and_ends),
                cmocka_unit_test(each_source_has_its_bucket),
                cmocka_unit_test(many_sources_stay_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
