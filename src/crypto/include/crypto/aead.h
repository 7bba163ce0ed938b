/*
 * ChaCha20-Poly1305 (RFC 8439) and XChaCha20-Poly1305, one message at a time: for
 * handshakes, records of control connections, cookies. Packets of a tunnel
 * session go through crypto/bulk.h.
 */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "crypto/key.h"

enum { AEAD_TAG_LEN = 16, AEAD_NONCE_LEN = 12, XAEAD_NONCE_LEN = 24 };

/* Sealing writes plain.len + AEAD_TAG_LEN bytes, opening AEAD_TAG_LEN fewer than it
 * was given; out may be the input's own address. Opening: ERR_SHORT, ERR_AUTH. */
void aead_seal(const struct shared_key *k, const uint8_t nonce[static AEAD_NONCE_LEN], struct slice ad,
        struct slice plain, uint8_t *out);
enum err MUST_USE aead_open(const struct shared_key *k, const uint8_t nonce[static AEAD_NONCE_LEN],
        struct slice ad, struct slice sealed, uint8_t *out);
void xaead_seal(const struct shared_key *k, const uint8_t nonce[static XAEAD_NONCE_LEN], struct slice ad,
        struct slice plain, uint8_t *out);
enum err MUST_USE xaead_open(const struct shared_key *k, const uint8_t nonce[static XAEAD_NONCE_LEN],
        struct slice ad, struct slice sealed, uint8_t *out);

#endif
