/*
 * ChaCha20-Poly1305 (RFC 8439) and XChaCha20-Poly1305.
 *
 * struct aead_key is keyed once per session and direction and may not be shared
 * between threads. The bulk implementation is chosen at run time by
 * aead_select(): libipsec-mb where the CPU has it, OpenSSL otherwise, each
 * self-tested against RFC 8439 before it is used.
 */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "crypto/key.h"

enum { AEAD_TAG_LEN = 16, AEAD_NONCE_LEN = 12 };

/* One-shot forms for handshakes; out may be in.ptr. seal: in.len + 16 bytes. */
void aead_seal(const struct shared_key *k, const uint8_t nonce[static AEAD_NONCE_LEN], struct slice ad, struct slice plain, uint8_t *out);
enum err MUST_USE aead_open(const struct shared_key *k, const uint8_t nonce[static AEAD_NONCE_LEN], struct slice ad, struct slice sealed, uint8_t *out);
void xaead_seal(const struct shared_key *k, const uint8_t nonce[static 24], struct slice ad, struct slice plain, uint8_t *out);
enum err MUST_USE xaead_open(const struct shared_key *k, const uint8_t nonce[static 24], struct slice ad, struct slice sealed, uint8_t *out);

#endif
