/*
 * Pre-auth keys and API keys: "hskey-KIND-" + 12 characters that name the key + "-" +
 * 64 that are the secret (spec/server.md 3.3). Only SHA-256 of the secret is kept:
 * 256 random bits need no slow hash.
 */
#include <stdio.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "state.h"

void key_mint(struct server *s, const char *kind, struct new_key *out)
{
        uint8_t name[KEY_PREFIX_LEN / 2], secret[KEY_SECRET_LEN / 2];
        char name_text[KEY_PREFIX_LEN + 1], secret_text[KEY_SECRET_LEN + 1];

        rng_fill(s->rng, name, sizeof(name));
        rng_fill(s->rng, secret, sizeof(secret));
        hex_encode(SLICE_ARRAY(name), name_text);
        hex_encode(SLICE_ARRAY(secret), secret_text);
        int at = snprintf(out->text, sizeof(out->text), "hskey-%s-", kind);
        snprintf(out->text + at, sizeof(out->text) - (size_t)at, "%s-%s", name_text, secret_text);
        out->prefix = slice_make(out->text + at, KEY_PREFIX_LEN);
        sha256(slice_make(secret_text, KEY_SECRET_LEN), out->hash);
        key_wipe(secret, sizeof(secret));
        key_wipe(secret_text, sizeof(secret_text));
}

/* Cuts a key's text into its two parts; purely positional. */
static bool split(struct slice text, const char *kind, struct slice *prefix, struct slice *secret)
{
        struct slice begin = slice_str(kind);

        if (!slice_has_prefix(text, begin))
                return false;
        text = slice_after(text, begin.len);
        if (text.len != KEY_PREFIX_LEN + 1 + KEY_SECRET_LEN || text.ptr[KEY_PREFIX_LEN] != '-')
                return false;
        *prefix = slice_first(text, KEY_PREFIX_LEN);
        *secret = slice_after(text, KEY_PREFIX_LEN + 1);
        return true;
}

static bool secret_fits(struct slice secret, struct slice hash)
{
        uint8_t digest[SHA256_LEN];

        sha256(secret, digest);
        return hash.len == sizeof(digest) && secret_equal(hash.ptr, digest, sizeof(digest));
}

/* Clients append "--TL<lock signature>" to keys of locked tailnets and strip it
 * themselves; some send it all the same. */
static struct slice without_lock_suffix(struct slice text)
{
        for (size_t i = 0; i + 4 <= text.len; i++) {
                if (memcmp(text.ptr + i, "--TL", 4) == 0)
                        return slice_first(text, i);
        }
        return text;
}

struct store_auth_key *key_find_auth(struct server *s, struct slice text)
{
        const struct row_set *keys = &s->tailnet.auth_keys;
        struct slice prefix, secret;

        if (!split(without_lock_suffix(text), "hskey-auth-", &prefix, &secret))
                return NULL;
        for (size_t i = 0; i < keys->n; i++) {
                struct store_auth_key *key = (struct store_auth_key *)keys->items[i];
                if (slice_equal(key->prefix, prefix))
                        return secret_fits(secret, key->hash) ? key : NULL;
        }
        return NULL;
}

const char *key_auth_refusal(const struct server *s, const struct store_auth_key *key)
{
        if (key->revoked_us)
                return "authkey revoked";
        if (key->expires_us && key->expires_us <= s->now.unix_us)
                return "authkey expired";
        if (key->used && !key->reusable)
                return "authkey already used";
        return NULL;
}

struct store_api_key *key_find_api_prefix(struct server *s, struct slice prefix)
{
        const struct row_set *keys = &s->tailnet.api_keys;

        for (size_t i = 0; i < keys->n; i++) {
                struct store_api_key *key = (struct store_api_key *)keys->items[i];
                if (slice_equal(key->prefix, prefix))
                        return key;
        }
        return NULL;
}

bool server_api_key_valid(struct server *s, const struct now *now, struct slice text)
{
        struct slice prefix, secret;

        if (!split(text, "hskey-api-", &prefix, &secret))
                return false;
        const struct store_api_key *key = key_find_api_prefix(s, prefix);
        return key && (!key->expires_us || key->expires_us > now->unix_us) && secret_fits(secret, key->hash);
}
