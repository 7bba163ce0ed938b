/* What bulk.c and the implementations of the bulk AEAD share. */
#ifndef CRYPTO_BULK_INTERNAL_H
#define CRYPTO_BULK_INTERNAL_H

#include <assert.h>

#include "crypto/aead.h"
#include "crypto/bulk.h"

enum bulk_direction { BULK_SEAL, BULK_OPEN };

void bulk_openssl_run(struct bulk_key *k, enum bulk_direction dir, struct bulk_packet *packets, size_t n);
void bulk_openssl_forget(struct bulk_key *k);

/* The manager of one thread; NULL when the library or the CPU does not offer it. */
struct bulk_ipsec_mb;
struct bulk_ipsec_mb *bulk_ipsec_mb_new(void);
void bulk_ipsec_mb_free(struct bulk_ipsec_mb *mb);
void bulk_ipsec_mb_run(struct bulk_ipsec_mb *mb, const struct bulk_key *k, enum bulk_direction dir,
        struct bulk_packet *packets, size_t n);

/* Our own kernel, for one thread. NULL: none for this CPU, or out of memory. */
struct bulk_wide;
struct bulk_wide *bulk_wide_new(void);
void bulk_wide_free(struct bulk_wide *w);
const char *bulk_wide_name(const struct bulk_wide *w);
void bulk_wide_run(struct bulk_wide *w, const struct bulk_key *k, enum bulk_direction dir,
        struct bulk_packet *packets, size_t n);

/* In constant time, and inline: the general comparison goes byte by byte, which
 * shows at a million tags a second. */
static inline bool bulk_tags_equal(const uint8_t *a, const uint8_t *b)
{
        uint64_t x[2], y[2];

        static_assert(sizeof(x) == AEAD_TAG_LEN, "two words");
        memcpy(x, a, sizeof(x));
        memcpy(y, b, sizeof(y));
        uint64_t difference = (x[0] ^ y[0]) | (x[1] ^ y[1]);
        __asm__("" : "+r"(difference)); /* both words are compared before anything is decided */
        return difference == 0;
}

static inline void bulk_nonce(uint64_t counter, uint8_t nonce[static AEAD_NONCE_LEN])
{
        memset(nonce, 0, 4);
        for (int i = 0; i < 8; i++)
                nonce[4 + i] = (uint8_t)(counter >> 8 * i);
}

#endif
