/*
 * The two MACs of handshake messages (paper, 5.4.4 and 5.4.7; spec/dataplane.md 1.5).
 * mac1 shows that the sender knows whom it talks to and is asked of every message.
 * mac2 shows that it receives at the address it sends from and is asked under load
 * only: who has no valid one gets a cookie to make it with.
 */
#ifndef TUNNEL_COOKIE_H
#define TUNNEL_COOKIE_H

#include "base/random.h"
#include "messages.h"
#include "tunnel/tunnel.h"

/* The bytes that stand for a source in its cookie; private to us. */
enum { SOURCE_BYTES_MAX = 40 };
size_t source_bytes(const struct tunnel_source *source, uint8_t out[static SOURCE_BYTES_MAX]);

/* The receiver of handshakes: one an engine. */
struct cookie_checker {
        uint8_t mac1_key[BLAKE2S_LEN];
        struct shared_key reply_key;
        uint8_t secret[32]; /* of the cookies given out */
        uint64_t secret_born_us;
        bool has_secret;
};

void cookie_checker_init(struct cookie_checker *c, const struct public_key *self);

/* Where the MACs of a message lie: the last 32 bytes. */
struct macs {
        struct slice covered1, mac1, covered2, mac2;
};
struct macs macs_of(struct slice msg);

bool cookie_mac1_fits(const struct cookie_checker *c, const struct macs *m);
/* False also when no cookie was given out lately. */
bool cookie_mac2_fits(const struct cookie_checker *c, const struct macs *m, const struct tunnel_source *from,
        uint64_t now_us);
/* The answer to a message that came without mac2; sender is the index in it. */
void cookie_reply_write(struct cookie_checker *c, const struct macs *m, uint32_t sender,
        const struct tunnel_source *from, struct rng *rng, uint64_t now_us, struct msg_cookie *out);

/* The sender of handshakes: one a peer. */
struct cookie_jar {
        uint8_t cookie[MAC_LEN];
        uint8_t sent_mac1[MAC_LEN]; /* of our last message: what a reply must refer to */
        uint64_t cookie_born_us;
        bool has_cookie, has_sent;
};

/* Fills in both MACs of a message to remote and remembers the first. */
void cookie_jar_sign(struct cookie_jar *jar, const struct public_key *remote, void *msg, size_t len,
        uint64_t now_us);
/* Keeps the cookie for the next message. ERR_STATE if we sent nothing, ERR_AUTH. */
enum err MUST_USE cookie_jar_fill(struct cookie_jar *jar, const struct public_key *remote,
        const struct msg_cookie *msg, uint64_t now_us);

#endif
