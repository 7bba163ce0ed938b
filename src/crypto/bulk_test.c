#include "crypto/bulk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "crypto/aead.h"
#include "test_hex.h"

enum { BATCH = 70, TEXT_MAX = 1500 };

/* Lengths around every block boundary a fast implementation may trip over. */
static size_t length_of(size_t i)
{
        static const size_t lens[] = { 0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512,
                513, 1023, 1024, 1025, 1279, 1280, 1281, 1420, 1500 };

        return lens[i % (sizeof lens / sizeof lens[0])];
}

struct batch {
        struct bulk_packet packets[BATCH];
        uint8_t text[BATCH][TEXT_MAX + AEAD_TAG_LEN];
        uint8_t plain[BATCH][TEXT_MAX];
        struct shared_key key;
};

static void batch_fill(struct batch *b, uint64_t seed)
{
        struct rng_seeded rng;

        rng_seed(&rng, seed);
        rng_fill(&rng.rng, b->key.b, KEY_LEN);
        for (size_t i = 0; i < BATCH; i++) {
                rng_fill(&rng.rng, b->plain[i], TEXT_MAX);
                memcpy(b->text[i], b->plain[i], TEXT_MAX);
                b->packets[i] = (struct bulk_packet){ b->text[i], length_of(i), rng_u64(&rng.rng), false };
        }
}

static void agrees_with_one_shot_aead(struct bulk *bulk)
{
        static struct batch b;
        struct bulk_key seal_key, open_key;
        uint8_t want[TEXT_MAX + AEAD_TAG_LEN], nonce[AEAD_NONCE_LEN] = { 0 };

        batch_fill(&b, 7);
        bulk_key_init(&seal_key, &b.key);
        bulk_key_init(&open_key, &b.key);
        bulk_seal(bulk, &seal_key, b.packets, BATCH);
        for (size_t i = 0; i < BATCH; i++) {
                const struct bulk_packet *p = &b.packets[i];

                for (int k = 0; k < 8; k++)
                        nonce[4 + k] = (uint8_t)(p->counter >> 8 * k);
                aead_seal(&b.key, nonce, (struct slice){ 0 }, slice_make(b.plain[i], p->len), want);
                assert_true(p->is_ok);
                assert_memory_equal(p->text, want, p->len + AEAD_TAG_LEN);
        }
        for (size_t i = 0; i < BATCH; i += 3) /* spoil a third: text if there is any, or tag */
                b.text[i][i % 2 ? b.packets[i].len : 0] ^= 4;
        bulk_open(bulk, &open_key, b.packets, BATCH);
        for (size_t i = 0; i < BATCH; i++) {
                assert_int_equal(b.packets[i].is_ok, i % 3 != 0);
                if (i % 3 != 0)
                        assert_memory_equal(b.text[i], b.plain[i], b.packets[i].len);
        }
        bulk_key_fini(&seal_key);
        bulk_key_fini(&open_key);
        assert_true(secret_is_zero((const struct secret_key *)(const void *)&seal_key.key));
}

static void openssl_agrees(void **state)
{
        struct bulk *bulk = bulk_new(BULK_OPENSSL);

        (void)state;
        assert_non_null(bulk);
        assert_string_equal(bulk_name(bulk), "openssl");
        agrees_with_one_shot_aead(bulk);
        bulk_free(bulk);
}

static void ipsec_mb_agrees(void **state)
{
        struct bulk *bulk = bulk_new(BULK_IPSEC_MB);

        (void)state;
        if (!bulk)
                skip(); /* another CPU, or the library is not installed */
        assert_string_equal(bulk_name(bulk), "ipsec-mb");
        agrees_with_one_shot_aead(bulk);
        bulk_free(bulk);
}

/* Sessions live on across the change of implementation. */
static void auto_changes_under_heavy_traffic_only(void **state)
{
        struct bulk *bulk = bulk_new(BULK_AUTO), *mb = bulk_new(BULK_IPSEC_MB);
        static struct batch b;
        struct bulk_key seal_key, open_key;

        (void)state;
        batch_fill(&b, 9);
        bulk_key_init(&seal_key, &b.key);
        bulk_key_init(&open_key, &b.key);
        for (int i = 0; i < 1000; i++) {
                bulk_seal(bulk, &seal_key, b.packets, 2);
                bulk_open(bulk, &open_key, b.packets, 2);
                assert_true(b.packets[0].is_ok && b.packets[1].is_ok);
        }
        assert_string_equal(bulk_name(bulk), "openssl");
        for (int i = 0; i < 100; i++) {
                bulk_seal(bulk, &seal_key, b.packets, BATCH);
                bulk_open(bulk, &open_key, b.packets, BATCH);
                for (size_t k = 0; k < BATCH; k++)
                        assert_true(b.packets[k].is_ok);
        }
        assert_string_equal(bulk_name(bulk), mb ? "ipsec-mb" : "openssl");
        bulk_key_fini(&seal_key);
        bulk_key_fini(&open_key);
        bulk_free(bulk);
        bulk_free(mb);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(openssl_agrees),
                cmocka_unit_test(ipsec_mb_agrees),
                cmocka_unit_test(auto_changes_under_heavy_traffic_only),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
