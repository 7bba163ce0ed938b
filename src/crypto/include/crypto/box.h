/*
 * NaCl box: X25519, XSalsa20-Poly1305 with the 16-byte tag in front of the
 * ciphertext (spec/paths.md, notation). Used by disco and by the DERP greeting.
 */
#ifndef CRYPTO_BOX_H
#define CRYPTO_BOX_H

#include "crypto/key.h"

enum { BOX_NONCE_LEN = 24, BOX_TAG_LEN = 16 };

/* The precomputed shared key of a pair. ERR_AUTH for a degenerate public key. */
enum err MUST_USE box_precompute(const struct public_key *pk, const struct secret_key *sk, struct shared_key *out);
/* out: plain.len + BOX_TAG_LEN bytes. */
void box_seal(const struct shared_key *k, const uint8_t nonce[static BOX_NONCE_LEN], struct slice plain, uint8_t *out);
/* out: boxed.len - BOX_TAG_LEN bytes. ERR_SHORT, ERR_AUTH. */
enum err MUST_USE box_open(const struct shared_key *k, const uint8_t nonce[static BOX_NONCE_LEN], struct slice boxed, uint8_t *out);

#endif
