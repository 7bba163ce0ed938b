/*
 * Hashes and MACs: BLAKE2s (RFC 7693) for Noise and WireGuard, their HKDF over
 * HMAC-BLAKE2s, and SHA-256.
 */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include "base/slice.h"

enum { BLAKE2S_LEN = 32, MAC_LEN = 16, SHA256_LEN = 32 };

struct blake2s {
        uint32_t h[8], t[2];
        uint8_t block[64];
        size_t fill, out_len;
};
/* key may be empty (at most 32 bytes); out_len is a parameter of the hash. */
void blake2s_init(struct blake2s *s, size_t out_len, struct slice key);
void blake2s_update(struct blake2s *s, struct slice bytes);
void blake2s_final(struct blake2s *s, uint8_t *out);

/* HASH(a || b) */
void blake2s_256(struct slice a, struct slice b, uint8_t out[static BLAKE2S_LEN]);
/* Keyed BLAKE2s with a 16-byte digest, not a cut HMAC (spec/dataplane.md 6.1). */
void blake2s_mac(struct slice key, struct slice bytes, uint8_t out[static MAC_LEN]);
void hmac_blake2s(struct slice key, struct slice bytes, uint8_t out[static BLAKE2S_LEN]);
/* KDFn of WireGuard and of Noise's HKDF: n of 1..3 outputs, unused ones NULL. */
void kdf_blake2s(const uint8_t key[static BLAKE2S_LEN], struct slice input, uint8_t *t1, uint8_t *t2, uint8_t *t3);

void sha256(struct slice bytes, uint8_t out[static SHA256_LEN]);

#endif
