#include "bulk_internal.h"

#include <stdlib.h>

/* Heavy traffic: this many batches of this many packets or more. A node that only
 * pings and chats never gets there. */
enum { HEAVY_BATCH = 8, HEAVY_BATCHES = 64 };

/* A packet alone would leave our kernel's lanes empty: OpenSSL is faster then. */
enum { WIDE_LEAST = 2 };

struct bulk {
        enum bulk_choice choice;
        struct bulk_wide *wide;   /* does the work if there; */
        struct bulk_ipsec_mb *mb; /* else this; both NULL: OpenSSL */
        unsigned heavy_batches;   /* seen so far, while this may still change that */
};

static void run(struct bulk *b, struct bulk_key *k, enum bulk_direction dir, struct bulk_packet *packets,
        size_t n)
{
        if (b->wide && n >= WIDE_LEAST)
                bulk_wide_run(b->wide, k, dir, packets, n);
        else if (b->mb)
                bulk_ipsec_mb_run(b->mb, k, dir, packets, n);
        else
                bulk_openssl_run(k, dir, packets, n);
}

/*
 * The vectors of RFC 8439 have associated data, so they cannot be tried directly:
 * its text is sealed under its key, and the one-shot AEAD says what must come out.
 */
static bool self_test(struct bulk *b)
{
        static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you only "
                                   "one tip for the future, sunscreen would be it.";
        enum { LEN = sizeof text - 1, COUNT = 21, SPOILT = 7 };
        struct shared_key key;
        struct bulk_key sealing, opening;
        struct bulk_packet packets[COUNT];
        uint8_t buf[COUNT][LEN + AEAD_TAG_LEN], want[LEN + AEAD_TAG_LEN], nonce[AEAD_NONCE_LEN];
        bool passed = true;

        for (size_t i = 0; i < KEY_LEN; i++)
                key.b[i] = (uint8_t)(0x80 + i);
        bulk_key_init(&sealing, &key);
        bulk_key_init(&opening, &key);
        for (size_t i = 0; i < COUNT; i++) { /* a few whole ones, then shorter and shorter */
                memcpy(buf[i], text, LEN);
                packets[i] = (struct bulk_packet){ buf[i], i < 10 ? LEN : LEN - 11 * (i - 10),
                        UINT64_C(0x0706050403020100) + i, false };
        }
        run(b, &sealing, BULK_SEAL, packets, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
                bulk_nonce(packets[i].counter, nonce);
                aead_seal(&key, nonce, (struct slice){ 0 }, slice_make(text, packets[i].len), want);
                passed &= packets[i].is_ok && memcmp(buf[i], want, packets[i].len + AEAD_TAG_LEN) == 0;
        }
        buf[SPOILT][LEN] ^= 1; /* a tag */
        run(b, &opening, BULK_OPEN, packets, COUNT);
        for (size_t i = 0; i < COUNT; i++)
                passed &= i == SPOILT ? !packets[i].is_ok :
                                        packets[i].is_ok && memcmp(buf[i], text, packets[i].len) == 0;
        bulk_key_fini(&sealing);
        bulk_key_fini(&opening);
        return passed;
}

static bool use_wide(struct bulk *b)
{
        b->wide = bulk_wide_new();
        if (b->wide && self_test(b))
                return true;
        bulk_wide_free(b->wide);
        b->wide = NULL;
        return false;
}

/* Goes over to libipsec-mb if it is there and right; else stays with OpenSSL. */
static bool use_ipsec_mb(struct bulk *b)
{
        b->mb = bulk_ipsec_mb_new();
        if (b->mb && self_test(b))
                return true;
        bulk_ipsec_mb_free(b->mb);
        b->mb = NULL;
        return false;
}

static bool use(struct bulk *b)
{
        switch (b->choice) {
        case BULK_AUTO:
                return use_wide(b) || self_test(b);
        case BULK_OPENSSL:
                return self_test(b);
        case BULK_IPSEC_MB:
                return use_ipsec_mb(b);
        case BULK_WIDE:
                return use_wide(b);
        }
        return false;
}

struct bulk *bulk_new(enum bulk_choice choice)
{
        struct bulk *b = calloc(1, sizeof *b);

        if (!b)
                return NULL;
        b->choice = choice;
        if (use(b))
                return b;
        bulk_free(b);
        return NULL;
}

void bulk_free(struct bulk *b)
{
        if (!b)
                return;
        bulk_wide_free(b->wide);
        bulk_ipsec_mb_free(b->mb);
        free(b);
}

const char *bulk_name(const struct bulk *b)
{
        if (b->wide)
                return bulk_wide_name(b->wide);
        return b->mb ? "ipsec-mb" : "openssl";
}

void bulk_key_init(struct bulk_key *k, const struct shared_key *key)
{
        *k = (struct bulk_key){ .key = *key };
}

void bulk_key_fini(struct bulk_key *k)
{
        bulk_openssl_forget(k);
        key_wipe(&k->key, sizeof k->key);
}

static void note_batch(struct bulk *b, size_t n)
{
        if (n < HEAVY_BATCH || b->choice != BULK_AUTO || b->wide || b->heavy_batches == HEAVY_BATCHES)
                return;
        if (++b->heavy_batches == HEAVY_BATCHES)
                use_ipsec_mb(b);
}

void bulk_seal(struct bulk *b, struct bulk_key *k, struct bulk_packet *packets, size_t n)
{
        note_batch(b, n);
        run(b, k, BULK_SEAL, packets, n);
}

void bulk_open(struct bulk *b, struct bulk_key *k, struct bulk_packet *packets, size_t n)
{
        note_batch(b, n);
        run(b, k, BULK_OPEN, packets, n);
}
