/* What bulk.c and the implementations of the bulk AEAD share. */
#ifndef CRYPTO_BULK_INTERNAL_H
#define CRYPTO_BULK_INTERNAL_H

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

static inline void bulk_nonce(uint64_t counter, uint8_t nonce[static AEAD_NONCE_LEN])
{
        memset(nonce, 0, 4);
        for (int i = 0; i < 8; i++)
                nonce[4 + i] = (uint8_t)(counter >> 8 * i);
}

#endif
