#include "crypto/key.h"

#include <assert.h>
#include <sodium.h>

#include "base/text.h"

static_assert(crypto_scalarmult_curve25519_BYTES == KEY_LEN, "X25519 keys are 32 bytes");

#define SECRET_PREFIX "privkey:"

enum err crypto_init(void)
{
        return sodium_init() < 0 ? ERR_SYS : OK;
}

void key_generate(struct rng *rng, struct secret_key *out)
{
        rng_fill(rng, out->b, KEY_LEN);
        key_clamp(out);
}

void key_clamp(struct secret_key *sk)
{
        sk->b[0] &= 248;
        sk->b[31] = (uint8_t)((sk->b[31] & 127) | 64);
}

void key_public(const struct secret_key *sk, struct public_key *out)
{
        crypto_scalarmult_curve25519_base(out->b, sk->b);
}

void key_wipe(void *key, size_t len)
{
        sodium_memzero(key, len);
}

bool key_equal(const struct public_key *a, const struct public_key *b)
{
        return memcmp(a->b, b->b, KEY_LEN) == 0;
}

bool key_is_zero(const struct public_key *k)
{
        return sodium_is_zero(k->b, KEY_LEN) == 1;
}

bool secret_is_zero(const struct secret_key *k)
{
        return sodium_is_zero(k->b, KEY_LEN) == 1;
}

bool secret_equal(const void *a, const void *b, size_t len)
{
        return sodium_memcmp(a, b, len) == 0;
}

enum err key_agree(const struct secret_key *sk, const struct public_key *pk, struct shared_key *out)
{
        /* libsodium refuses the all-zero result itself */
        if (crypto_scalarmult_curve25519(out->b, sk->b, pk->b) == 0)
                return OK;
        key_wipe(out, sizeof *out);
        return ERR_AUTH;
}

size_t key_format(const char *prefix, const struct public_key *k, char out[static KEY_TEXT_MAX])
{
        size_t n = strlen(prefix);

        assert(n + 2 * KEY_LEN < KEY_TEXT_MAX);
        memcpy(out, prefix, n);
        return n + hex_encode(key_slice(k), out + n);
}

static enum err parse_prefixed(const char *prefix, struct slice text, uint8_t out[static KEY_LEN])
{
        size_t n = strlen(prefix);

        if (text.len != n + 2 * KEY_LEN || !slice_has_prefix(text, slice_str(prefix)))
                return ERR_FORMAT;
        return hex_decode(slice_after(text, n), out, KEY_LEN);
}

enum err key_parse(const char *prefix, struct slice text, struct public_key *out)
{
        return parse_prefixed(prefix, text, out->b);
}

size_t key_format_short(const struct public_key *k, char out[static 8])
{
        char base64[48];

        base64_encode(key_slice(k), base64);
        out[0] = '[';
        memcpy(out + 1, base64, 5);
        out[6] = ']';
        out[7] = '\0';
        return 7;
}

void secret_format(const struct secret_key *k, char out[static KEY_TEXT_MAX])
{
        size_t n = sizeof SECRET_PREFIX - 1;

        memcpy(out, SECRET_PREFIX, n);
        /* libsodium's encoder takes the same time for every digit */
        sodium_bin2hex(out + n, KEY_TEXT_MAX - n, k->b, KEY_LEN);
}

enum err secret_parse(struct slice text, struct secret_key *out)
{
        return parse_prefixed(SECRET_PREFIX, text, out->b);
}
