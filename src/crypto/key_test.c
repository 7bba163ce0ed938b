#include "crypto/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "test_hex.h"

static void x25519_matches_rfc7748(void **state)
{
        /* section 5.2; scalars are clamped by the function itself */
        static const struct {
                const char *scalar, *u, *product;
        } rows[] = {
                { "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552" },
                { "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957" },
        };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
                struct secret_key sk;
                struct public_key u;
                struct shared_key got;
                uint8_t want[KEY_LEN];

                unhex(rows[i].scalar, sk.b, KEY_LEN);
                unhex(rows[i].u, u.b, KEY_LEN);
                unhex(rows[i].product, want, KEY_LEN);
                assert_int_equal(key_agree(&sk, &u, &got), OK);
                assert_memory_equal(got.b, want, KEY_LEN);
        }
}

static void agreement_refuses_a_degenerate_key(void **state)
{
        struct secret_key sk = { { 8, 1, 2, 3, [31] = 64 } };
        struct public_key zero = { 0 }, one = { { 1 } };
        struct shared_key out;

        (void)state;
        assert_int_equal(key_agree(&sk, &zero, &out), ERR_AUTH);
        assert_int_equal(key_agree(&sk, &one, &out), ERR_AUTH);
}

static void public_key_of_spec_secret(void **state)
{
        struct secret_key sk;
        struct public_key pk;
        uint8_t want[KEY_LEN];

        (void)state;
        for (size_t i = 0; i < KEY_LEN; i++)
                sk.b[i] = (uint8_t)i;
        key_clamp(&sk);
        assert_int_equal(sk.b[31], 0x5f);
        key_public(&sk, &pk);
        /* spec/control.md 13: the server's static key */
        unhex("8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f", want, KEY_LEN);
        assert_memory_equal(pk.b, want, KEY_LEN);
}

static void generated_secrets_are_clamped_and_differ(void **state)
{
        struct rng_seeded rng;
        struct secret_key a, b;

        (void)state;
        rng_seed(&rng, 1);
        key_generate(&rng.rng, &a);
        key_generate(&rng.rng, &b);
        assert_int_equal(a.b[0] & 7, 0);
        assert_int_equal(a.b[31] & 0xc0, 0x40);
        assert_false(secret_equal(&a, &b, sizeof a));
        key_wipe(&a, sizeof a);
        assert_true(secret_is_zero(&a));
}

#define HEX32 "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f"

static void text_forms_round_trip(void **state)
{
        struct public_key pk, again;
        struct secret_key sk, sk_again;
        char text[KEY_TEXT_MAX], brief[8];

        (void)state;
        unhex(HEX32, pk.b, KEY_LEN);
        assert_int_equal(key_format("nodekey:", &pk, text), 72);
        assert_string_equal(text, "nodekey:" HEX32);
        assert_int_equal(key_parse("nodekey:", slice_str(text), &again), OK);
        assert_true(key_equal(&pk, &again));
        assert_int_equal(key_format_short(&pk, brief), 7);
        assert_string_equal(brief, "[j0DFr]");

        memcpy(sk.b, pk.b, KEY_LEN);
        secret_format(&sk, text);
        assert_string_equal(text, "privkey:" HEX32);
        assert_int_equal(secret_parse(slice_str(text), &sk_again), OK);
        assert_true(secret_equal(&sk, &sk_again, sizeof sk));
}

static void other_text_is_refused(void **state)
{
        static const char *const rows[] = {
                "", "nodekey:", "mkey:" HEX32, "nodekey:" HEX32 "0", "nodekey:g" HEX32, HEX32,
                "nodekey:zf40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f",
        };
        struct public_key pk;

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
                assert_int_equal(key_parse("nodekey:", slice_str(rows[i]), &pk), ERR_FORMAT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(x25519_matches_rfc7748),
                cmocka_unit_test(agreement_refuses_a_degenerate_key),
                cmocka_unit_test(public_key_of_spec_secret),
                cmocka_unit_test(generated_secrets_are_clamped_and_differ),
                cmocka_unit_test(text_forms_round_trip),
                cmocka_unit_test(other_text_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
