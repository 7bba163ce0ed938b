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

static void wide_agrees(void **state)
{
        struct bulk *bulk = bulk_new(BULK_WIDE);

        (void)state;
        if (!bulk)
                skip(); /* another CPU */
        agrees_with_one_shot_aead(bulk);
        bulk_free(bulk);
}

/* Sealed by one, opened by the other, in any number, at any length and address:
 * equal lengths as well as mixed ones, and nothing beside the packets is touched. */
enum { GAP = 8, PLACE = TEXT_MAX + AEAD_TAG_LEN + GAP + 64 };

struct twins {
        uint8_t room[2][BATCH * PLACE];
        struct bulk_packet packets[2][BATCH];
        size_t count;
};

static void twins_fill(struct twins *t, struct rng *rng)
{
        const size_t same = rng_u64(rng) % (TEXT_MAX + 1);
        const unsigned kind = (unsigned)(rng_u64(rng) % 3);

        rng_fill(rng, t->room[0], sizeof(t->room[0]));
        memcpy(t->room[1], t->room[0], sizeof(t->room[0]));
        t->count = 1 + (size_t)(rng_u64(rng) % BATCH);
        for (size_t i = 0; i < t->count; i++) {
                const size_t at = i * PLACE + (size_t)(rng_u64(rng) % 64);
                const size_t any = (size_t)(rng_u64(rng) % (TEXT_MAX + 1));
                const size_t len = kind == 0 ? same : kind == 1 ? any : any % 66;
                const uint64_t counter = rng_u64(rng);

                for (int k = 0; k < 2; k++)
                        t->packets[k][i] = (struct bulk_packet){ t->room[k] + at, len, counter, false };
        }
}

static void wide_equals_openssl(void **state)
{
        struct bulk *bulks[2] = { bulk_new(BULK_OPENSSL), bulk_new(BULK_WIDE) };
        static struct twins t;
        struct rng_seeded rng;

        (void)state;
        if (!bulks[1]) {
                bulk_free(bulks[0]);
                skip();
        }
        rng_seed(&rng, 11);
        for (int round = 0; round < 300; round++) {
                struct bulk_key seal_keys[2], open_keys[2];
                struct shared_key key;

                rng_fill(&rng.rng, key.b, KEY_LEN);
                twins_fill(&t, &rng.rng);
                for (int k = 0; k < 2; k++) {
                        bulk_key_init(&seal_keys[k], &key);
                        bulk_key_init(&open_keys[k], &key);
                        bulk_seal(bulks[k], &seal_keys[k], t.packets[k], t.count);
                }
                assert_memory_equal(t.room[0], t.room[1], sizeof(t.room[0]));
                const size_t spoilt = (size_t)(rng_u64(&rng.rng) % t.count);
                for (int k = 0; k < 2; k++) {
                        const struct bulk_packet *p = &t.packets[k][spoilt];
                        p->text[(p->len + AEAD_TAG_LEN) * (round % 10) / 10] ^= (uint8_t)(1 << round % 8);
                        bulk_open(bulks[k], &open_keys[k], t.packets[k], t.count);
                        for (size_t i = 0; i < t.count; i++)
                                assert_int_equal(t.packets[k][i].is_ok, i != spoilt);
                        bulk_key_fini(&seal_keys[k]);
                        bulk_key_fini(&open_keys[k]);
                }
                const struct bulk_packet *a = &t.packets[0][spoilt], *b = &t.packets[1][spoilt];
                memcpy(a->text, b->text, a->len); /* garbage, each its own */
                assert_memory_equal(t.room[0], t.room[1], sizeof(t.room[0]));
        }
        bulk_free(bulks[0]);
        bulk_free(bulks[1]);
}

/* RFC 8439, A.1, test vector 2: the second block under key and nonce zero. */
static void seals_with_the_stream_of_the_rfc(void **state)
{
        static const enum bulk_choice choices[] = { BULK_OPENSSL, BULK_IPSEC_MB, BULK_WIDE };
        uint8_t want[64];

        (void)state;
        unhex("9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
                  "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f", want, sizeof(want));
        for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
                struct bulk *bulk = bulk_new(choices[i]);
                struct bulk_key key;
                uint8_t text[64 + AEAD_TAG_LEN] = { 0 };
                struct bulk_packet p = { text, 64, 0, false };

                bulk_key_init(&key, &(struct shared_key){ { 0 } });
                if (bulk) {
                        bulk_seal(bulk, &key, &p, 1);
                        assert_memory_equal(text, want, sizeof(want));
                }
                bulk_key_fini(&key);
                bulk_free(bulk);
        }
}

/* Sessions live on across the change of implementation. */
static void auto_changes_under_heavy_traffic_only(void **state)
{
        struct bulk *bulk = bulk_new(BULK_AUTO), *mb = bulk_new(BULK_IPSEC_MB), *wide = bulk_new(BULK_WIDE);
        const char *light = wide ? bulk_name(wide) : "openssl", *heavy = wide || !mb ? light : "ipsec-mb";
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
        assert_string_equal(bulk_name(bulk), light);
        for (int i = 0; i < 100; i++) {
                bulk_seal(bulk, &seal_key, b.packets, BATCH);
                bulk_open(bulk, &open_key, b.packets, BATCH);
                for (size_t k = 0; k < BATCH; k++)
                        assert_true(b.packets[k].is_ok);
        }
        assert_string_equal(bulk_name(bulk), heavy);
        bulk_key_fini(&seal_key);
        bulk_key_fini(&open_key);
        bulk_free(bulk);
        bulk_free(mb);
        bulk_free(wide);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(openssl_agrees),
                cmocka_unit_test(ipsec_mb_agrees),
                cmocka_unit_test(wide_agrees),
                cmocka_unit_test(wide_equals_openssl),
                cmocka_unit_test(seals_with_the_stream_of_the_rfc),
                cmocka_unit_test(auto_changes_under_heavy_traffic_only),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
