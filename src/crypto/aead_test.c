#include "crypto/aead.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "test_hex.h"

static const char sunscreen[] = "Ladies and Gentlemen of the class of '99: If I could offer you only "
                                "one tip for the future, sunscreen would be it.";
enum { PLAIN_LEN = sizeof sunscreen - 1, SEALED_LEN = PLAIN_LEN + AEAD_TAG_LEN };

static struct shared_key rfc_key(void)
{
        struct shared_key k;

        for (size_t i = 0; i < KEY_LEN; i++)
                k.b[i] = (uint8_t)(0x80 + i);
        return k;
}

static void matches_rfc8439(void **state) /* section 2.8.2 */
{
        struct shared_key k = rfc_key();
        uint8_t nonce[AEAD_NONCE_LEN], ad[12], want[SEALED_LEN], buf[SEALED_LEN];

        (void)state;
        unhex("070000004041424344454647", nonce, sizeof nonce);
        unhex("50515253c0c1c2c3c4c5c6c7", ad, sizeof ad);
        unhex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
              "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
              "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
              "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
                want, sizeof want);
        memcpy(buf, sunscreen, PLAIN_LEN);
        aead_seal(&k, nonce, SLICE_ARRAY(ad), slice_make(buf, PLAIN_LEN), buf); /* in place */
        assert_memory_equal(buf, want, sizeof want);
        assert_int_equal(aead_open(&k, nonce, SLICE_ARRAY(ad), SLICE_ARRAY(buf), buf), OK);
        assert_memory_equal(buf, sunscreen, PLAIN_LEN);
}

static void matches_xchacha_draft(void **state) /* draft-irtf-cfrg-xchacha-03, A.3.1 */
{
        struct shared_key k = rfc_key();
        uint8_t nonce[XAEAD_NONCE_LEN], ad[12], want[SEALED_LEN], buf[SEALED_LEN];

        (void)state;
        unhex("404142434445464748494a4b4c4d4e4f5051525354555657", nonce, sizeof nonce);
        unhex("50515253c0c1c2c3c4c5c6c7", ad, sizeof ad);
        unhex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
              "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
              "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
              "21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49",
                want, sizeof want);
        xaead_seal(&k, nonce, SLICE_ARRAY(ad), slice_make(sunscreen, PLAIN_LEN), buf);
        assert_memory_equal(buf, want, sizeof want);
        assert_int_equal(xaead_open(&k, nonce, SLICE_ARRAY(ad), SLICE_ARRAY(buf), buf), OK);
        assert_memory_equal(buf, sunscreen, PLAIN_LEN);
}

static void refuses_what_was_altered_or_cut(void **state)
{
        struct shared_key k = rfc_key();
        const uint8_t nonce[XAEAD_NONCE_LEN] = { 0 };
        uint8_t a[AEAD_TAG_LEN + 4], x[AEAD_TAG_LEN + 4], out[4];

        (void)state;
        aead_seal(&k, nonce, SLICE_LIT("ad"), SLICE_LIT("text"), a);
        xaead_seal(&k, nonce, SLICE_LIT("ad"), SLICE_LIT("text"), x);
        for (size_t i = 0; i < sizeof a; i++) {
                a[i] ^= 0x80;
                x[i] ^= 0x80;
                assert_int_equal(aead_open(&k, nonce, SLICE_LIT("ad"), SLICE_ARRAY(a), out), ERR_AUTH);
                assert_int_equal(xaead_open(&k, nonce, SLICE_LIT("ad"), SLICE_ARRAY(x), out), ERR_AUTH);
                a[i] ^= 0x80;
                x[i] ^= 0x80;
        }
        assert_int_equal(aead_open(&k, nonce, SLICE_LIT("AD"), SLICE_ARRAY(a), out), ERR_AUTH);
        for (size_t n = 0; n < AEAD_TAG_LEN; n++) {
                assert_int_equal(aead_open(&k, nonce, SLICE_LIT("ad"), slice_make(a, n), out), ERR_SHORT);
                assert_int_equal(xaead_open(&k, nonce, SLICE_LIT("ad"), slice_make(x, n), out), ERR_SHORT);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(matches_rfc8439),
                cmocka_unit_test(matches_xchacha_draft),
                cmocka_unit_test(refuses_what_was_altered_or_cut),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
