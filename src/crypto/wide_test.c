/* The authenticator by itself: the AEAD's tests cannot choose its keys, and the
 * hard cases of its arithmetic lie where all bits are set. */
#include "wide.c"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sodium.h>

enum { TEXT_MAX = 1500 };

static uint8_t texts[GROUP][TEXT_MAX];

/* The input of RFC 8439, 2.8, without associated data, under libsodium's Poly1305. */
static void want_tag(const uint8_t *text, size_t len, const uint8_t *key, uint8_t tag[AEAD_TAG_LEN])
{
        uint8_t input[TEXT_MAX + 2 * POLY_BLOCK] = { 0 };
        const size_t padded = (len + POLY_BLOCK - 1) / POLY_BLOCK * POLY_BLOCK;

        memcpy(input, text, len);
        put_le64(input + padded + 8, len);
        crypto_onetimeauth(tag, input, padded + POLY_BLOCK, key);
}

static void check(struct bulk_wide *w, const size_t lens[], size_t n)
{
        struct bulk_packet packets[GROUP];
        uint8_t want[AEAD_TAG_LEN];

        for (size_t i = 0; i < n; i++)
                packets[i] = (struct bulk_packet){ .text = texts[i], .len = lens[i] };
        mac_all(w, packets, n);
        for (size_t i = 0; i < n; i++) {
                want_tag(texts[i], lens[i], w->keys[i], want);
                assert_memory_equal(w->tags[i], want, AEAD_TAG_LEN);
        }
}

static int setup(void **state)
{
        *state = bulk_wide_new();
        return 0;
}

static int teardown(void **state)
{
        bulk_wide_free(*state);
        return 0;
}

static void all_bits_set(void **state)
{
        struct bulk_wide *w = *state;
        size_t lens[GROUP];

        if (!w)
                skip(); /* another CPU */
        memset(texts, 0xff, sizeof(texts));
        for (size_t len = 0; len <= 400; len++) {
                for (size_t i = 0; i < GROUP; i++) {
                        lens[i] = len + (i % 3) * (len % 5);
                        /* r as large as its clamp allows, then small ones, for which
                         * the sum ends near the modulus. */
                        memset(w->keys[i], 0, WIDE_BLOCK);
                        memset(w->keys[i], i < 8 ? 0xff : 0, POLY_BLOCK);
                        w->keys[i][0] |= (uint8_t)i;
                        memset(w->keys[i] + POLY_BLOCK, i % 2 ? 0xff : 0, POLY_BLOCK);
                }
                check(w, lens, GROUP);
        }
}

static void random_keys_texts_and_lengths(void **state)
{
        struct bulk_wide *w = *state;
        struct rng_seeded rng;
        size_t lens[GROUP];

        if (!w)
                skip();
        rng_seed(&rng, 3);
        for (int round = 0; round < 2000; round++) {
                rng_fill(&rng.rng, w->keys, sizeof(w->keys));
                rng_fill(&rng.rng, texts, sizeof(texts));
                for (size_t i = 0; i < GROUP; i++)
                        lens[i] = (size_t)(rng_u64(&rng.rng) % (round % 2 ? TEXT_MAX + 1 : 70));
                check(w, lens, 1 + (size_t)(rng_u64(&rng.rng) % GROUP));
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(all_bits_set, setup, teardown),
                cmocka_unit_test_setup_teardown(random_keys_texts_and_lengths, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
