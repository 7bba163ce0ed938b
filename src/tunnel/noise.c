#include "noise.h"

#include "tunnel/tunnel.h"

static const uint8_t nonce_zero[AEAD_NONCE_LEN];
#define EMPTY ((struct slice){ 0 })

static void mix_hash(struct noise_state *s, struct slice bytes)
{
        blake2s_256(SLICE_ARRAY(s->hash), bytes, s->hash);
}

/* key may be NULL where the step yields none. */
static void mix_key(struct noise_state *s, struct slice input, struct shared_key *key)
{
        kdf_blake2s(s->chain, input, s->chain, key ? key->b : NULL, NULL);
}

static enum err mix_agreement(struct noise_state *s, const struct secret_key *sk, const uint8_t pk[static KEY_LEN],
        struct shared_key *key)
{
        struct public_key remote;
        struct shared_key shared;

        memcpy(remote.b, pk, KEY_LEN);
        if (key_agree(sk, &remote, &shared) != OK)
                return ERR_AUTH;
        mix_key(s, SLICE_ARRAY(shared.b), key);
        key_wipe(&shared, sizeof shared);
        return OK;
}

static void mix_psk(struct noise_state *s, const struct shared_key *psk, struct shared_key *key)
{
        uint8_t tau[BLAKE2S_LEN];

        kdf_blake2s(s->chain, SLICE_ARRAY(psk->b), s->chain, tau, key->b);
        mix_hash(s, SLICE_ARRAY(tau));
        key_wipe(tau, sizeof tau);
}

static void seal_and_mix(struct noise_state *s, const struct shared_key *key, struct slice plain, uint8_t *out)
{
        aead_seal(key, nonce_zero, SLICE_ARRAY(s->hash), plain, out);
        mix_hash(s, slice_make(out, plain.len + AEAD_TAG_LEN));
}

static enum err open_and_mix(struct noise_state *s, const struct shared_key *key, struct slice sealed, uint8_t *out)
{
        enum err e = aead_open(key, nonce_zero, SLICE_ARRAY(s->hash), sealed, out);

        mix_hash(s, sealed);
        return e;
}

/* Both sides begin with the name of the protocol and the responder's static key. */
static void state_init(struct noise_state *s, const struct public_key *responder)
{
        blake2s_256(SLICE_LIT("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"), EMPTY, s->chain);
        blake2s_256(SLICE_ARRAY(s->chain), SLICE_LIT("WireGuard v1 zx2c4 Jason@zx2c4.com"), s->hash);
        mix_hash(s, key_slice(responder));
}

static void mix_ephemeral(struct noise_state *s, const uint8_t pk[static KEY_LEN])
{
        mix_hash(s, slice_make(pk, KEY_LEN));
        mix_key(s, slice_make(pk, KEY_LEN), NULL);
}

static void split(const struct noise_state *s, struct shared_key *to_responder, struct shared_key *to_initiator)
{
        kdf_blake2s(s->chain, EMPTY, to_responder->b, to_initiator->b, NULL);
}

enum err noise_initiation_write(const struct noise_identity *self, const struct public_key *remote,
        const struct shared_key *static_static, uint32_t sender, const uint8_t timestamp[static TAI64N_LEN],
        struct rng *rng, struct noise_initiator *out, struct msg_initiation *msg)
{
        struct noise_state *s = &out->state;
        struct public_key ephemeral;
        struct shared_key key;
        enum err e;

        *msg = (struct msg_initiation){ 0 };
        put_le32(msg->type, TUNNEL_INITIATION);
        put_le32(msg->sender, sender);
        key_generate(rng, &out->ephemeral);
        key_public(&out->ephemeral, &ephemeral);
        memcpy(msg->ephemeral, ephemeral.b, KEY_LEN);

        state_init(s, remote);
        mix_ephemeral(s, msg->ephemeral);
        e = mix_agreement(s, &out->ephemeral, remote->b, &key);
        if (e != OK)
                goto out;
        seal_and_mix(s, &key, key_slice(&self->public), msg->enc_static);
        mix_key(s, SLICE_ARRAY(static_static->b), &key);
        seal_and_mix(s, &key, slice_make(timestamp, TAI64N_LEN), msg->enc_timestamp);
out:
        key_wipe(&key, sizeof key);
        if (e != OK)
                key_wipe(out, sizeof *out);
        return e;
}

enum err noise_initiation_read_sender(const struct noise_identity *self, const struct msg_initiation *msg,
        struct noise_state *s, struct public_key *sender)
{
        struct shared_key key;
        enum err e;

        state_init(s, &self->public);
        mix_ephemeral(s, msg->ephemeral);
        e = mix_agreement(s, &self->secret, msg->ephemeral, &key);
        if (e == OK)
                e = open_and_mix(s, &key, SLICE_ARRAY(msg->enc_static), sender->b);
        key_wipe(&key, sizeof key);
        return e;
}

enum err noise_initiation_read_timestamp(const struct msg_initiation *msg, const struct shared_key *static_static,
        struct noise_state *s, uint8_t timestamp[static TAI64N_LEN])
{
        struct shared_key key;
        enum err e;

        mix_key(s, SLICE_ARRAY(static_static->b), &key);
        e = open_and_mix(s, &key, SLICE_ARRAY(msg->enc_timestamp), timestamp);
        key_wipe(&key, sizeof key);
        return e;
}

enum err noise_response_write(const struct msg_initiation *initiation, const struct public_key *remote,
        const struct shared_key *psk, uint32_t sender, struct rng *rng, struct noise_state *s,
        struct msg_response *msg, struct tunnel_session_keys *keys)
{
        struct secret_key secret;
        struct public_key ephemeral;
        struct shared_key key;
        enum err e;

        *msg = (struct msg_response){ 0 };
        put_le32(msg->type, TUNNEL_RESPONSE);
        put_le32(msg->sender, sender);
        memcpy(msg->receiver, initiation->sender, sizeof msg->receiver);
        key_generate(rng, &secret);
        key_public(&secret, &ephemeral);
        memcpy(msg->ephemeral, ephemeral.b, KEY_LEN);

        mix_ephemeral(s, msg->ephemeral);
        e = mix_agreement(s, &secret, initiation->ephemeral, NULL);
        if (e == OK)
                e = mix_agreement(s, &secret, remote->b, NULL);
        if (e != OK)
                goto out;
        mix_psk(s, psk, &key);
        seal_and_mix(s, &key, EMPTY, msg->enc_empty);
        split(s, &keys->receive, &keys->send);
out:
        key_wipe(&key, sizeof key);
        key_wipe(&secret, sizeof secret);
        key_wipe(s, sizeof *s);
        return e;
}

enum err noise_response_read(const struct noise_identity *self, const struct noise_initiator *initiator,
        const struct shared_key *psk, const struct msg_response *msg, struct tunnel_session_keys *keys)
{
        struct noise_state s = initiator->state;
        struct shared_key key;
        uint8_t nothing[1];
        enum err e;

        mix_ephemeral(&s, msg->ephemeral);
        e = mix_agreement(&s, &initiator->ephemeral, msg->ephemeral, NULL);
        if (e == OK)
                e = mix_agreement(&s, &self->secret, msg->ephemeral, NULL);
        if (e != OK)
                goto out;
        mix_psk(&s, psk, &key);
        e = open_and_mix(&s, &key, SLICE_ARRAY(msg->enc_empty), nothing);
        if (e == OK)
                split(&s, &keys->send, &keys->receive);
out:
        key_wipe(&key, sizeof key);
        key_wipe(&s, sizeof s);
        return e;
}
