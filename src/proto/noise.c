/*
 * Noise_IK_25519_ChaChaPoly_BLAKE2s as the control protocol uses it. The names below
 * (MixHash, MixKey) are those of the Noise specification, section 5.2.
 */
#include "proto/noise.h"

#include <assert.h>
#include <string.h>

#include "base/cursor.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

enum {
        INITIATION_BODY = KEY_LEN + KEY_LEN + NOISE_TAG_LEN + NOISE_TAG_LEN,
        RESPONSE_BODY = KEY_LEN + NOISE_TAG_LEN,
        PROLOGUE_MAX = 40,
};

static_assert(NOISE_INITIATION_LEN == 5 + INITIATION_BODY, "spec/control.md 2");
static_assert(NOISE_RESPONSE_LEN == 3 + RESPONSE_BODY, "spec/control.md 2");
static_assert(NOISE_RECORD_MAX == NOISE_RECORD_HEADER_LEN + NOISE_PLAIN_MAX + NOISE_TAG_LEN, "spec/control.md 2");

/* The symmetric state of both sides: hash and chaining key. */
struct symmetric {
        uint8_t *h, *ck;
};

static void mix_hash(struct symmetric s, struct slice data)
{
        blake2s_256(slice_make(s.h, NOISE_HASH_LEN), data, s.h);
}

/* The digits of the version without leading zeroes, as the prologue has them. */
static size_t format_prologue(uint16_t version, char out[static PROLOGUE_MAX])
{
        static const char text[] = "Tailscale Control Protocol v";
        char digits[5];
        size_t n = 0, len = sizeof(text) - 1;

        memcpy(out, text, len);
        do {
                digits[n++] = (char)('0' + version % 10);
                version /= 10;
        } while (version);
        while (n > 0)
                out[len++] = digits[--n];
        return len;
}

static void begin(struct symmetric s, uint16_t version, const struct public_key *server)
{
        static const char name[] = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
        char prologue[PROLOGUE_MAX];

        /* The name is longer than a hash, so it is hashed. */
        blake2s_256(SLICE_LIT(name), (struct slice){ 0 }, s.h);
        memcpy(s.ck, s.h, NOISE_HASH_LEN);
        size_t len = format_prologue(version, prologue);
        mix_hash(s, slice_make(prologue, len));
        mix_hash(s, key_slice(server));
}

/* MixKey(DH(sk, pk)): the key for the next EncryptAndHash goes to k. */
static enum err mix_key(struct symmetric s, const struct secret_key *sk, const struct public_key *pk,
        struct shared_key *k)
{
        struct shared_key dh;
        enum err e = key_agree(sk, pk, &dh);

        if (e == OK)
                kdf_blake2s(s.ck, slice_make(dh.b, KEY_LEN), s.ck, k->b, NULL);
        key_wipe(&dh, sizeof(dh));
        return e;
}

/* Each handshake key seals one message, so its nonce is zero. */
static const uint8_t zero_nonce[AEAD_NONCE_LEN];

static void encrypt_and_hash(struct symmetric s, const struct shared_key *k, struct slice plain, uint8_t *out)
{
        aead_seal(k, zero_nonce, slice_make(s.h, NOISE_HASH_LEN), plain, out);
        mix_hash(s, slice_make(out, plain.len + NOISE_TAG_LEN));
}

static enum err decrypt_and_hash(struct symmetric s, const struct shared_key *k, struct slice sealed, uint8_t *out)
{
        enum err e = aead_open(k, zero_nonce, slice_make(s.h, NOISE_HASH_LEN), sealed, out);

        if (e == OK)
                mix_hash(s, sealed);
        return e;
}

/* The keys of both directions, k1 from client to server. */
static void split(struct symmetric s, struct shared_key *k1, struct shared_key *k2)
{
        kdf_blake2s(s.ck, (struct slice){ 0 }, k1->b, k2->b, NULL);
}

void noise_session_wipe(struct noise_session *s)
{
        key_wipe(s, sizeof(*s));
}

void noise_client_wipe(struct noise_client *hs)
{
        key_wipe(hs, sizeof(*hs));
}

enum err noise_client_start(struct noise_client *hs, const struct secret_key *machine, const struct public_key *server,
        uint16_t version, struct rng *rng, uint8_t initiation[static NOISE_INITIATION_LEN])
{
        struct symmetric s = { hs->h, hs->ck };
        struct public_key machine_pub, ephemeral_pub;
        struct shared_key k;
        struct writer w = writer_of(initiation, NOISE_INITIATION_LEN);

        *hs = (struct noise_client){ .machine = *machine, .server = *server, .version = version };
        key_generate(rng, &hs->ephemeral);
        key_public(&hs->ephemeral, &ephemeral_pub);
        key_public(machine, &machine_pub);

        wr_be16(&w, version);
        wr_u8(&w, NOISE_INITIATION);
        wr_be16(&w, INITIATION_BODY);
        wr_slice(&w, key_slice(&ephemeral_pub));
        uint8_t *sealed_static = wr_reserve(&w, KEY_LEN + NOISE_TAG_LEN);
        uint8_t *tag = wr_reserve(&w, NOISE_TAG_LEN);

        begin(s, version, server);
        mix_hash(s, key_slice(&ephemeral_pub));
        enum err e = mix_key(s, &hs->ephemeral, server, &k); /* es */
        if (e != OK)
                goto out;
        encrypt_and_hash(s, &k, key_slice(&machine_pub), sealed_static);
        e = mix_key(s, machine, server, &k); /* ss */
        if (e != OK)
                goto out;
        encrypt_and_hash(s, &k, (struct slice){ 0 }, tag);
out:
        key_wipe(&k, sizeof(k));
        if (e != OK)
                noise_client_wipe(hs);
        return e;
}

enum err noise_client_finish(struct noise_client *hs, struct slice response, struct noise_session *out)
{
        struct symmetric s = { hs->h, hs->ck };
        struct public_key ephemeral;
        struct shared_key k = { 0 };
        size_t frame_len;

        *out = (struct noise_session){ .peer = hs->server, .version = hs->version };
        enum err e = noise_frame_len(response, NOISE_RESPONSE, &frame_len);
        if (e == OK && response.len != frame_len)
                e = response.len < frame_len ? ERR_SHORT : ERR_FORMAT;
        if (e != OK)
                goto out;
        memcpy(ephemeral.b, response.ptr + NOISE_RECORD_HEADER_LEN, KEY_LEN);
        mix_hash(s, key_slice(&ephemeral));
        e = mix_key(s, &hs->ephemeral, &ephemeral, &k); /* ee */
        if (e == OK)
                e = mix_key(s, &hs->machine, &ephemeral, &k); /* se */
        if (e == OK)
                e = decrypt_and_hash(s, &k, slice_after(response, NOISE_RECORD_HEADER_LEN + KEY_LEN), NULL);
        if (e != OK)
                goto out;
        split(s, &out->send.key, &out->recv.key);
        memcpy(out->hash, hs->h, NOISE_HASH_LEN);
out:
        key_wipe(&k, sizeof(k));
        noise_client_wipe(hs);
        return e;
}

/* Reads the initiation up to and with the client's static key proven. */
static enum err read_initiation(struct symmetric s, const struct secret_key *server, struct slice initiation,
        struct public_key *client_ephemeral, struct noise_session *out)
{
        struct reader r = reader_of(initiation);
        struct public_key server_pub;
        struct shared_key k = { 0 };

        if (initiation.len < NOISE_INITIATION_LEN)
                return ERR_SHORT;
        out->version = rd_be16(&r);
        uint8_t type = rd_u8(&r);
        uint16_t body_len = rd_be16(&r);
        if (initiation.len > NOISE_INITIATION_LEN || type != NOISE_INITIATION || body_len != INITIATION_BODY)
                return ERR_FORMAT;
        rd_copy(&r, client_ephemeral->b, KEY_LEN);
        struct slice sealed_static = rd_take(&r, KEY_LEN + NOISE_TAG_LEN);
        struct slice tag = rd_take(&r, NOISE_TAG_LEN);

        key_public(server, &server_pub);
        begin(s, out->version, &server_pub);
        mix_hash(s, key_slice(client_ephemeral));
        enum err e = mix_key(s, server, client_ephemeral, &k); /* es */
        if (e == OK)
                e = decrypt_and_hash(s, &k, sealed_static, out->peer.b);
        if (e == OK)
                e = mix_key(s, server, &out->peer, &k); /* ss */
        if (e == OK)
                e = decrypt_and_hash(s, &k, tag, NULL);
        key_wipe(&k, sizeof(k));
        return e;
}

enum err noise_server_respond(const struct secret_key *server, struct slice initiation, struct rng *rng,
        uint8_t response[static NOISE_RESPONSE_LEN], struct noise_session *out)
{
        uint8_t h[NOISE_HASH_LEN], ck[NOISE_HASH_LEN];
        struct symmetric s = { h, ck };
        struct public_key client_ephemeral, ephemeral_pub;
        struct secret_key ephemeral = { 0 };
        struct shared_key k = { 0 };

        *out = (struct noise_session){ 0 };
        enum err e = read_initiation(s, server, initiation, &client_ephemeral, out);
        if (e != OK)
                goto out;
        key_generate(rng, &ephemeral);
        key_public(&ephemeral, &ephemeral_pub);
        struct writer w = writer_of(response, NOISE_RESPONSE_LEN);
        wr_u8(&w, NOISE_RESPONSE);
        wr_be16(&w, RESPONSE_BODY);
        wr_slice(&w, key_slice(&ephemeral_pub));
        uint8_t *tag = wr_reserve(&w, NOISE_TAG_LEN);

        mix_hash(s, key_slice(&ephemeral_pub));
        e = mix_key(s, &ephemeral, &client_ephemeral, &k); /* ee */
        if (e == OK)
                e = mix_key(s, &ephemeral, &out->peer, &k); /* se */
        if (e != OK)
                goto out;
        encrypt_and_hash(s, &k, (struct slice){ 0 }, tag);
        split(s, &out->recv.key, &out->send.key);
        memcpy(out->hash, h, NOISE_HASH_LEN);
out:
        key_wipe(&k, sizeof(k));
        key_wipe(&ephemeral, sizeof(ephemeral));
        key_wipe(ck, sizeof(ck));
        if (e != OK)
                noise_session_wipe(out);
        return e;
}
