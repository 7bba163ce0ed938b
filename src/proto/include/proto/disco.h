/*
 * Disco: the messages by which two peers find a path to each other, sealed between
 * their disco keys, carried by UDP, by a relay (DERP), or by a peer relay (Geneve).
 * spec/paths.md 1. Pure functions.
 *
 * Packet: magic, sender's disco key, nonce, then a NaCl box of
 *         type u8 || version u8 || body.
 */
#ifndef PROTO_DISCO_H
#define PROTO_DISCO_H

#include "base/random.h"
#include "crypto/box.h"
#include "crypto/key.h"
#include "ip/addr.h"

enum {
        DISCO_MAGIC_LEN = 6,
        DISCO_HEADER_LEN = DISCO_MAGIC_LEN + KEY_LEN + BOX_NONCE_LEN, /* 62 */
        DISCO_OVERHEAD = DISCO_HEADER_LEN + BOX_TAG_LEN,              /* 78 */
        DISCO_PACKET_MIN = DISCO_OVERHEAD + 2,
        DISCO_PACKET_MAX = 65475, /* largest padded ping: a UDP datagram over IPv4 */
        DISCO_TXID_LEN = 12,
        DISCO_PING_LEN = DISCO_OVERHEAD + 2 + DISCO_TXID_LEN + KEY_LEN, /* 124, unpadded */
        DISCO_ENDPOINT_LEN = 18,
        DISCO_CHALLENGE_LEN = 32,
};

enum disco_type {
        DISCO_PING = 1,
        DISCO_PONG = 2,
        DISCO_CALL_ME_MAYBE = 3,
        DISCO_BIND = 4,
        DISCO_BIND_CHALLENGE = 5,
        DISCO_BIND_ANSWER = 6,
        DISCO_CALL_ME_MAYBE_VIA = 7,
        DISCO_ALLOCATE_REQUEST = 8,
        DISCO_ALLOCATE_RESPONSE = 9,
};

struct disco_txid {
        uint8_t b[DISCO_TXID_LEN];
};

struct disco_ping {
        struct disco_txid txid;
        struct public_key node_key; /* zero: not told (old clients) */
        size_t padding;             /* zero bytes after it, to probe a packet size */
};

struct disco_pong {
        struct disco_txid txid;
        struct ip_port src; /* of the ping, as the other side saw it */
};

/* Addresses in wire form, 18 bytes each; read by disco_endpoint(). */
struct disco_endpoints {
        struct slice wire;
};

/* Client and relay server agree on where the client's packets come from (0x04-0x06). */
struct disco_bind {
        uint32_t vni;
        uint32_t generation;
        struct public_key remote; /* disco key of the other client */
        uint8_t challenge[DISCO_CHALLENGE_LEN];
};

/* A place reserved on a relay server. */
struct disco_relay_endpoint {
        struct public_key server;
        struct public_key clients[2];
        uint64_t lamport_id;
        uint32_t vni;
        int64_t bind_lifetime_ns, steady_lifetime_ns;
        struct disco_endpoints addrs; /* at least one */
};

struct disco_allocate_request {
        struct public_key clients[2];
        uint32_t generation;
};

struct disco_allocate_response {
        uint32_t generation;
        struct disco_relay_endpoint endpoint;
};

struct disco_message {
        enum disco_type type;
        union {
                struct disco_ping ping;
                struct disco_pong pong;
                struct disco_endpoints call_me_maybe; /* may be empty */
                struct disco_bind bind;               /* the three bind messages */
                struct disco_relay_endpoint via;
                struct disco_allocate_request request;
                struct disco_allocate_response response;
        };
};

static inline size_t disco_endpoint_count(const struct disco_endpoints *e)
{
        return e->wire.len / DISCO_ENDPOINT_LEN;
}
/* The i-th address, v4-mapped ones as IPv4; i < disco_endpoint_count(). */
struct ip_port disco_endpoint(const struct disco_endpoints *e, size_t i);

/*
 * The plain message, borrowing from plain. Versions and trailing bytes are judged
 * message by message as spec 1.1 demands: a CallMeMaybe or CallMeMaybeVia of another
 * version is one without addresses. ERR_SHORT, ERR_FORMAT; ERR_UNSUPPORTED for a
 * type we do not know, which a newer peer may well send.
 */
enum err MUST_USE disco_parse(struct slice plain, struct disco_message *out);
/* The plain message into buf. ERR_LIMIT if it does not fit. */
enum err MUST_USE disco_write(const struct disco_message *msg, void *buf, size_t cap, struct slice *out);

/* Has the magic and enough bytes to be a packet of disco. */
bool disco_is(struct slice packet);
/* The disco key in the clear header; disco_is() must hold. Not authenticated. */
void disco_sender(struct slice packet, struct public_key *out);
/*
 * Opens a packet into buf. key is precomputed for the sender by box_precompute().
 * ERR_SHORT, ERR_AUTH; ERR_LIMIT if buf is too small.
 */
enum err MUST_USE disco_open(
        const struct shared_key *key, struct slice packet, void *buf, size_t cap, struct slice *plain);
/* The sealed packet into buf, which must not overlap plain: DISCO_OVERHEAD more
 * bytes than plain, nonce drawn from rng. ERR_LIMIT. */
enum err MUST_USE disco_seal(const struct public_key *sender, const struct shared_key *key, struct rng *rng,
        struct slice plain, void *buf, size_t cap, struct slice *out);

/* ---- Geneve, as peer relays use it: eight bytes, no options (spec/paths.md 8.1) ---- */

enum { GENEVE_HEADER_LEN = 8, GENEVE_DISCO = 0x7a11, GENEVE_WIREGUARD = 0x7a12 };

struct geneve_header {
        bool control;      /* between a client and the relay server itself */
        uint16_t protocol; /* GENEVE_* */
        uint32_t vni;      /* 24 bits */
};
/* ERR_SHORT; ERR_FORMAT for anything a relay of ours would not have written. */
enum err MUST_USE geneve_parse(struct slice datagram, struct geneve_header *out);
void geneve_write(const struct geneve_header *h, uint8_t out[static GENEVE_HEADER_LEN]);

#endif
