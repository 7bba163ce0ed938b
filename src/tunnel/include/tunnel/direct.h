/*
 * A whole tunnel on one thread: the engine and the packet path of all its
 * sessions, in the simplest form. Packets go in and come out one at a time. The
 * simulator, the tests and programs without a worker of their own use it; it is
 * built on the public interfaces of engine and sessions alone.
 */
#ifndef TUNNEL_DIRECT_H
#define TUNNEL_DIRECT_H

#include "tunnel/tunnel.h"

enum {
        TUNNEL_PACKET_MAX = 65535,          /* inner packet */
        TUNNEL_STAGED_PACKETS = 128,        /* waiting for a session, per peer; */
        TUNNEL_STAGED_BYTES = 256 * 1024,   /* beyond either the oldest is dropped */
};

struct tunnel_direct;
struct tunnel_link; /* a peer with its allowed IPs and staged packets */

/* Only stranger() may call back into the same tunnel. */
struct tunnel_direct_ops {
        /* A message for the peer; link and reply_to as peer and reply_to of
         * tunnel_ops.send. */
        void (*send)(void *ctx, struct tunnel_link *link, const struct tunnel_source *reply_to,
                struct slice datagram);
        /* An inner packet of this peer, from an address it may use. */
        void (*deliver)(void *ctx, struct tunnel_link *link, struct slice packet);
        /* Something authentic came from here; may be NULL. */
        void (*authenticated)(void *ctx, struct tunnel_link *link, const struct tunnel_source *from);
        /* As tunnel_ops.stranger: may tunnel_link_add(). May be NULL. */
        struct tunnel_link *(*stranger)(void *ctx, const struct public_key *key);
};

/* mtu bounds the padding. ops, ctx, rng are borrowed. NULL: out of memory. */
struct tunnel_direct *tunnel_direct_new(const struct tunnel_config *config, size_t mtu,
        const struct tunnel_direct_ops *ops, void *ctx, struct rng *rng);
void tunnel_direct_free(struct tunnel_direct *d);
/* For its deadline, statistics, key and so on; its peers are made by us. */
struct tunnel *tunnel_direct_engine(struct tunnel_direct *d);
/* Runs the timers that are due (tunnel_run()). */
void tunnel_direct_run(struct tunnel_direct *d, const struct now *now);

/* As tunnel_peer_add(); user is found by tunnel_link_user(). */
enum err MUST_USE tunnel_link_add(struct tunnel_direct *d, const struct tunnel_peer_config *config,
        struct tunnel_link **out);
void tunnel_link_remove(struct tunnel_direct *d, struct tunnel_link *link);
struct tunnel_peer *tunnel_link_peer(const struct tunnel_link *link);
void *tunnel_link_user(const struct tunnel_link *link);
/* Gives a prefix to this peer, taking it from any other. ERR_NOMEM. */
enum err MUST_USE tunnel_link_allow(struct tunnel_direct *d, struct tunnel_link *link, const struct ip_prefix *prefix);

/* Sends or stages an inner packet to the peer that owns its destination.
 * ERR_NOTFOUND: nobody does; ERR_FORMAT: no IP packet; ERR_NOMEM. */
enum err MUST_USE tunnel_send_packet(struct tunnel_direct *d, struct slice packet, const struct now *now);
/* Any datagram; transport messages are decrypted in place. */
void tunnel_direct_receive(struct tunnel_direct *d, uint8_t *datagram, size_t len,
        const struct tunnel_source *from, const struct now *now);

struct tunnel_direct_stats {
        uint64_t sent, delivered, keepalives_received, staged_dropped;
        uint64_t unknown_index, bad_auth, replayed, bad_inner, bad_source;
};
const struct tunnel_direct_stats *tunnel_direct_stats(const struct tunnel_direct *d);

#endif
