/*
 * libsodium rather than OpenSSL: its one-shot calls need no context, allocate
 * nothing and cannot fail, and a handshake's few bytes gain nothing from speed.
 */
#include "crypto/aead.h"

#include <assert.h>
#include <sodium.h>

static_assert(AEAD_TAG_LEN == crypto_aead_chacha20poly1305_ietf_ABYTES, "RFC 8439 tag");
static_assert(AEAD_NONCE_LEN == crypto_aead_chacha20poly1305_ietf_NPUBBYTES, "RFC 8439 nonce");
static_assert(XAEAD_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "XChaCha20 nonce");

void aead_seal(const struct shared_key *k, const uint8_t nonce[static AEAD_NONCE_LEN], struct slice ad,
        struct slice plain, uint8_t *out)
{
        crypto_aead_chacha20poly1305_ietf_encrypt(
                out, NULL, plain.ptr, plain.len, ad.ptr, ad.len, NULL, nonce, k->b);
}

enum err aead_open(const struct shared_key *k, const uint8_t nonce[static AEAD_NONCE_LEN], struct slice ad,
        struct slice sealed, uint8_t *out)
{
        if (sealed.len < AEAD_TAG_LEN)
                return ERR_SHORT;
        if (crypto_aead_chacha20poly1305_ietf_decrypt(
                    out, NULL, NULL, sealed.ptr, sealed.len, ad.ptr, ad.len, nonce, k->b) != 0)
                return ERR_AUTH;
        return OK;
}

void xaead_seal(const struct shared_key *k, const uint8_t nonce[static XAEAD_NONCE_LEN], struct slice ad,
        struct slice plain, uint8_t *out)
{
        crypto_aead_xchacha20poly1305_ietf_encrypt(
                out, NULL, plain.ptr, plain.len, ad.ptr, ad.len, NULL, nonce, k->b);
}

enum err xaead_open(const struct shared_key *k, const uint8_t nonce[static XAEAD_NONCE_LEN], struct slice ad,
        struct slice sealed, uint8_t *out)
{
        if (sealed.len < AEAD_TAG_LEN)
                return ERR_SHORT;
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(
                    out, NULL, NULL, sealed.ptr, sealed.len, ad.ptr, ad.len, nonce, k->b) != 0)
                return ERR_AUTH;
        return OK;
}
