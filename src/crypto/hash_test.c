#include "crypto/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "test_hex.h"

static void check(const uint8_t *got, const char *want_hex, size_t n)
{
        uint8_t want[BLAKE2S_LEN];

        unhex(want_hex, want, n);
        assert_memory_equal(got, want, n);
}

static void blake2s_of_abc(void **state) /* RFC 7693, appendix B */
{
        uint8_t out[BLAKE2S_LEN];

        (void)state;
        blake2s_256(SLICE_LIT("abc"), (struct slice){ 0 }, out);
        check(out, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982", sizeof out);
        blake2s_256(SLICE_LIT("a"), SLICE_LIT("bc"), out);
        check(out, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982", sizeof out);
}

/* The deterministic test input of RFC 7693, appendix E. */
static struct slice selftest_seq(uint8_t *out, size_t len, uint32_t seed)
{
        uint32_t a = 0xdead4bad * seed, b = 1;

        for (size_t i = 0; i < len; i++) {
                uint32_t t = a + b;

                a = b;
                b = t;
                out[i] = (uint8_t)(t >> 24);
        }
        return slice_make(out, len);
}

/* Digest lengths, keys and block boundaries, folded into one digest. */
static void blake2s_passes_rfc7693_self_test(void **state)
{
        static const size_t digest_lens[] = { 16, 20, 28, 32 };
        static const size_t input_lens[] = { 0, 3, 64, 65, 255, 1024 };
        uint8_t in[1024], key[32], out[BLAKE2S_LEN];
        struct blake2s all, s;

        (void)state;
        blake2s_init(&all, BLAKE2S_LEN, (struct slice){ 0 });
        for (size_t d = 0; d < 4; d++) {
                for (size_t i = 0; i < 6; i++) {
                        const size_t out_len = digest_lens[d], in_len = input_lens[i];
                        struct slice input = selftest_seq(in, in_len, (uint32_t)in_len);

                        blake2s_init(&s, out_len, (struct slice){ 0 });
                        blake2s_update(&s, input);
                        blake2s_final(&s, out);
                        blake2s_update(&all, slice_make(out, out_len));

                        blake2s_init(&s, out_len, selftest_seq(key, out_len, (uint32_t)out_len));
                        for (size_t k = 0; k < in_len; k++) /* byte by byte, for the buffering */
                                blake2s_update(&s, slice_make(input.ptr + k, 1));
                        blake2s_final(&s, out);
                        blake2s_update(&all, slice_make(out, out_len));
                }
        }
        blake2s_final(&all, out);
        check(out, "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe", sizeof out);
}

static void mac_is_keyed_blake2s_of_16_bytes(void **state) /* spec/dataplane.md 5, cookie */
{
        uint8_t secret[32], source[6], out[MAC_LEN];

        (void)state;
        for (size_t i = 0; i < sizeof secret; i++)
                secret[i] = (uint8_t)i;
        unhex("c00002016cca", source, sizeof source);
        blake2s_mac(SLICE_ARRAY(secret), SLICE_ARRAY(source), out);
        check(out, "06fc4064540b2f5953eabe5127727206", sizeof out);
}

/* Expected values from Python's hmac and hashlib. */
static void hmac_and_kdf(void **state)
{
        uint8_t long_key[70], key[BLAKE2S_LEN], t1[BLAKE2S_LEN], t2[BLAKE2S_LEN], t3[BLAKE2S_LEN];

        (void)state;
        memset(long_key, 'k', sizeof long_key);
        hmac_blake2s(SLICE_ARRAY(long_key), SLICE_LIT("hello"), t1);
        check(t1, "77a1070a7a7f5638acde35dcd5d1b40624cf1ac92383544948ea29f2c45c1688", sizeof t1);

        for (size_t i = 0; i < sizeof key; i++)
                key[i] = (uint8_t)i;
        kdf_blake2s(key, SLICE_LIT("input"), t1, t2, t3);
        check(t1, "87b7f70b24183c6db5dc4f6d9f4c47cdb203321aa2a0bef714896adb3107a040", sizeof t1);
        check(t2, "538a02e1eb2e31b7e4d4b82476d1fe2acf50085d3fb584537279195f5d1f5824", sizeof t2);
        check(t3, "9ad858025593be88de0f9442a589cfe84a88dc19e4753d93684d1c5efc4837f9", sizeof t3);

        kdf_blake2s(key, SLICE_LIT("input"), key, NULL, NULL); /* the key may be replaced by T1 */
        assert_memory_equal(key, t1, sizeof key);
}

static void sha256_of_abc(void **state) /* FIPS 180-4 example */
{
        uint8_t out[SHA256_LEN];

        (void)state;
        sha256(SLICE_LIT("abc"), out);
        check(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", sizeof out);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(blake2s_of_abc),
                cmocka_unit_test(blake2s_passes_rfc7693_self_test),
                cmocka_unit_test(mac_is_keyed_blake2s_of_16_bytes),
                cmocka_unit_test(hmac_and_kdf),
                cmocka_unit_test(sha256_of_abc),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
