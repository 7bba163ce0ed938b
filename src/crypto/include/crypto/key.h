/*
 * Keys. Every secret of the product is a struct secret_key; there is no function
 * that prints one, comparison is constant-time, and key_wipe() is called before
 * its memory goes. Public keys are plain 32-byte values.
 *
 * Text forms (spec/control.md 6.1): "mkey:", "nodekey:", "discokey:", "chalpub:"
 * for public keys, "privkey:" for machine and node secrets, each with 64 hex digits.
 */
#ifndef CRYPTO_KEY_H
#define CRYPTO_KEY_H

#include "base/err.h"
#include "base/random.h"
#include "base/slice.h"

enum { KEY_LEN = 32 };

/* X25519: node (WireGuard), machine, disco, DERP and challenge keys. */
struct public_key {
        uint8_t b[KEY_LEN];
};
struct secret_key {
        uint8_t b[KEY_LEN];
};
/* The result of a key agreement or derivation; a secret as well. */
struct shared_key {
        uint8_t b[KEY_LEN];
};

/* Lets the library pick the fastest code for this CPU. Each program calls it once
 * at start, before threads; without it everything works, but slower. ERR_SYS. */
enum err MUST_USE crypto_init(void);

/* A fresh clamped X25519 secret. */
void key_generate(struct rng *rng, struct secret_key *out);
/* Clears and sets the bits that every X25519 secret has so (RFC 7748, section 5). */
void key_clamp(struct secret_key *sk);
void key_public(const struct secret_key *sk, struct public_key *out);
void key_wipe(void *key, size_t len);
bool key_equal(const struct public_key *a, const struct public_key *b);
bool key_is_zero(const struct public_key *k);
bool secret_is_zero(const struct secret_key *k);
bool secret_equal(const void *a, const void *b, size_t len); /* constant time */

static inline struct slice key_slice(const struct public_key *k)
{
        return (struct slice){ k->b, KEY_LEN };
}

/* X25519. ERR_AUTH if the result is all zero (RFC 7748, section 6.1). */
enum err MUST_USE key_agree(const struct secret_key *sk, const struct public_key *pk, struct shared_key *out);

#define KEY_TEXT_MAX 80
/* prefix, e.g. "nodekey:"; out gets prefix and 64 hex digits. */
size_t key_format(const char *prefix, const struct public_key *k, char out[static KEY_TEXT_MAX]);
/* ERR_FORMAT on another prefix, length or digit. */
enum err MUST_USE key_parse(const char *prefix, struct slice text, struct public_key *out);
/* "[" + 5 base64 characters + "]", as logs and tables show keys. */
size_t key_format_short(const struct public_key *k, char out[static 8]);
/* "privkey:" text for the state file only. out holds a secret: wipe it. */
void secret_format(const struct secret_key *k, char out[static KEY_TEXT_MAX]);
enum err MUST_USE secret_parse(struct slice text, struct secret_key *out);

#endif
