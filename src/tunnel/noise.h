/*
 * The handshake Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it (paper,
 * 5.4; spec/dataplane.md 1.3): pure functions from keys and messages to messages
 * and keys. They leave sender indices' meaning, timestamps' order and both MACs to
 * their callers (handshake.c, cookie.c).
 */
#ifndef TUNNEL_NOISE_H
#define TUNNEL_NOISE_H

#include "base/random.h"
#include "crypto/key.h"
#include "messages.h"
#include "session_internal.h"

struct noise_identity {
        struct secret_key secret;
        struct public_key public;
};

/* The running state: chaining key and transcript hash. Secret. */
struct noise_state {
        uint8_t chain[BLAKE2S_LEN];
        uint8_t hash[BLAKE2S_LEN];
};

/* The initiator between its message and the response. Secret. */
struct noise_initiator {
        struct noise_state state;
        struct secret_key ephemeral;
};

/* Writes all of message 1 but the MACs. static_static is the agreement of the two
 * static keys. ERR_AUTH for a degenerate public key. */
enum err MUST_USE noise_initiation_write(const struct noise_identity *self, const struct public_key *remote,
        const struct shared_key *static_static, uint32_t sender, const uint8_t timestamp[static TAI64N_LEN],
        struct rng *rng, struct noise_initiator *out, struct msg_initiation *msg);

/* The responder reads message 1 in two steps, because the agreement of the static
 * keys is known (or made) only once the sender has told its own: first who claims
 * to send it, which anybody can claim, then the timestamp, which only that one can
 * have sealed. Each is ERR_AUTH if it does not open. */
enum err MUST_USE noise_initiation_read_sender(const struct noise_identity *self,
        const struct msg_initiation *msg, struct noise_state *state, struct public_key *sender);
enum err MUST_USE noise_initiation_read_timestamp(const struct msg_initiation *msg,
        const struct shared_key *static_static, struct noise_state *state, uint8_t timestamp[static TAI64N_LEN]);

/* Message 2 after both; state is used up. */
enum err MUST_USE noise_response_write(const struct msg_initiation *initiation, const struct public_key *remote,
        const struct shared_key *psk, uint32_t sender, struct rng *rng, struct noise_state *state,
        struct msg_response *msg, struct tunnel_session_keys *keys);
/* On failure the initiator can still read another response. */
enum err MUST_USE noise_response_read(const struct noise_identity *self, const struct noise_initiator *initiator,
        const struct shared_key *psk, const struct msg_response *msg, struct tunnel_session_keys *keys);

#endif
