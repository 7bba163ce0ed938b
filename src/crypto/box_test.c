#include "crypto/box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "test_hex.h"

static struct shared_key shared_of_spec(void)
{
        struct secret_key a, b;
        struct public_key pub_a, pub_b;
        struct shared_key from_a, from_b;

        memset(a.b, 0x11, KEY_LEN);
        memset(b.b, 0x22, KEY_LEN);
        key_public(&a, &pub_a);
        key_public(&b, &pub_b);
        assert_int_equal(box_precompute(&pub_b, &a, &from_a), OK);
        assert_int_equal(box_precompute(&pub_a, &b, &from_b), OK);
        assert_memory_equal(from_a.b, from_b.b, KEY_LEN);
        return from_a;
}

/* spec/paths.md 11: the disco ping of A to B */
static void seals_and_opens_the_spec_ping(void **state)
{
        struct shared_key k = shared_of_spec();
        uint8_t want_key[KEY_LEN], nonce[BOX_NONCE_LEN], plain[46], want[62], sealed[62], opened[46];

        (void)state;
        unhex("8abe7c8ae6800b76d4f5986b04b77f6e9b4f332403c90df02428336e8bd9b525", want_key, KEY_LEN);
        assert_memory_equal(k.b, want_key, KEY_LEN);
        for (size_t i = 0; i < sizeof nonce; i++)
                nonce[i] = (uint8_t)(0x40 + i);
        unhex("01000102030405060708090a0b0c", plain, 14);
        memset(plain + 14, 0x33, 32);
        unhex("c95fb0a0b5ae35e06c3b1a241b1470704ab6b1b7e3b4feafafac7c355fe4a0ea"
              "8298e553636217378b36f117ab7b7d5ee7fc4c57e81b18ad19348cd7a2c3",
                want, sizeof want);
        box_seal(&k, nonce, SLICE_ARRAY(plain), sealed);
        assert_memory_equal(sealed, want, sizeof want);
        assert_int_equal(box_open(&k, nonce, SLICE_ARRAY(sealed), opened), OK);
        assert_memory_equal(opened, plain, sizeof plain);
}

static void refuses_what_was_altered_or_cut(void **state)
{
        struct shared_key k = shared_of_spec();
        uint8_t nonce[BOX_NONCE_LEN] = { 0 }, sealed[BOX_TAG_LEN + 3], out[3];

        (void)state;
        box_seal(&k, nonce, SLICE_LIT("abc"), sealed);
        for (size_t n = 0; n < BOX_TAG_LEN; n++)
                assert_int_equal(box_open(&k, nonce, slice_make(sealed, n), out), ERR_SHORT);
        assert_int_equal(box_open(&k, nonce, slice_make(sealed, sizeof sealed - 1), out), ERR_AUTH);
        for (size_t i = 0; i < sizeof sealed; i++) {
                sealed[i] ^= 1;
                assert_int_equal(box_open(&k, nonce, SLICE_ARRAY(sealed), out), ERR_AUTH);
                sealed[i] ^= 1;
        }
        assert_int_equal(box_open(&k, nonce, SLICE_ARRAY(sealed), out), OK);
}

static void refuses_a_degenerate_key(void **state)
{
        struct secret_key sk = { { 8, [31] = 64 } };
        struct public_key zero = { 0 };
        struct shared_key k;

        (void)state;
        assert_int_equal(box_precompute(&zero, &sk, &k), ERR_AUTH);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(seals_and_opens_the_spec_ping),
                cmocka_unit_test(refuses_what_was_altered_or_cut),
                cmocka_unit_test(refuses_a_degenerate_key),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
