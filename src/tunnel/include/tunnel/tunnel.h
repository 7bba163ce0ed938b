/*
 * The WireGuard engine: peers, handshakes, cookies, timers and session rotation
 * (spec/dataplane.md 1). It runs on the control thread, does no I/O, and never
 * touches a packet of user data: those belong to the holders of the sessions it
 * hands out (tunnel/session.h). tunnel/direct.h joins both on one thread.
 *
 *      datagrams of type 1-3 --> tunnel_receive()   send() --> datagrams
 *      events of sessions    --> tunnel_event()     session_*() --> packet path
 *      packet without session -> tunnel_want_session()
 *
 * Peers are known by their public key alone. Where datagrams go is decided by the
 * path layer: the engine tells it of authentic sources and never keeps an address
 * (spec/dataplane.md 1.12).
 */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include "base/random.h"
#include "base/timer.h"
#include "crypto/key.h"
#include "ip/addr.h"
#include "tunnel/session.h"

enum tunnel_message {
        TUNNEL_INITIATION = 1,
        TUNNEL_RESPONSE = 2,
        TUNNEL_COOKIE = 3,
        TUNNEL_TRANSPORT = 4,
};

/* By length and first four bytes alone; 0 for what is no WireGuard message. */
unsigned tunnel_message_type(struct slice datagram);

/*
 * Where a datagram came from. Cookies and the limit on handshakes under load go by
 * it, so each relayed sender must be one of its own (spec/dataplane.md 1.5).
 */
struct tunnel_source {
        enum { TUNNEL_VIA_UDP, TUNNEL_VIA_DERP, TUNNEL_VIA_PEER_RELAY } via;
        struct ip_port addr;    /* UDP, peer relay */
        uint32_t vni;           /* peer relay */
        uint16_t region;        /* DERP */
        struct public_key from; /* DERP: the sender's node key */
};

struct tunnel;
struct tunnel_peer;

/* What the engine tells its owner. All are called on the control thread, from
 * within a call of the owner's. They may call the engine, but must not remove the peer
 * they are told of. */
struct tunnel_ops {
        /* A handshake message. peer is NULL for a cookie reply, which must go to
         * `reply_to`; otherwise reply_to is where the message being answered came
         * from, or NULL, and the path layer decides. */
        void (*send)(void *ctx, struct tunnel_peer *peer, const struct tunnel_source *reply_to,
                struct slice datagram);
        /* Packets may arrive on s from now on: take a reference, add it to the
         * receiver's table. Always before session_use() of the same session, and
         * before the message that lets the peer use it. */
        void (*session_added)(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s);
        /* Send with s from now on: staged packets, or if there are none and
         * confirm is set, a keepalive at once (the peer waits for it). */
        void (*session_use)(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s, bool confirm);
        /* s has left all slots: drop the references. */
        void (*session_removed)(void *ctx, struct tunnel_peer *peer, struct tunnel_session *s);
        /* Send an empty packet on the session in use, unless data is staged. */
        void (*keepalive)(void *ctx, struct tunnel_peer *peer);
        /* The peer does not answer, or has been silent for long: drop what is staged. */
        void (*unreachable)(void *ctx, struct tunnel_peer *peer);
        /* An authentic handshake message came from here. Never called for
         * transport messages: the receiver knows their source. */
        void (*authenticated)(void *ctx, struct tunnel_peer *peer, const struct tunnel_source *from);
        /* A stranger proved to own key. The owner may tunnel_peer_add() it and
         * return it; NULL refuses. May be NULL: only known peers. */
        struct tunnel_peer *(*stranger)(void *ctx, const struct public_key *key);
        /* All keys of a peer were wiped after nine quiet minutes. A lazily added
         * peer is removed right after this returns; do not remove it here. */
        void (*dormant)(void *ctx, struct tunnel_peer *peer);
};

struct tunnel_config {
        struct secret_key secret;     /* the node's key */
        int64_t clock_floor_unix_us;  /* tunnel_clock() of an earlier run, or 0 */
};

/* ops, ctx and rng are borrowed for the engine's life. NULL: out of memory. */
struct tunnel *tunnel_new(const struct tunnel_config *config, const struct tunnel_ops *ops, void *ctx,
        struct rng *rng);
/* Removes all peers, wipes and frees. */
void tunnel_free(struct tunnel *t);

/* Another node key: every session may not be sent on any more, handshakes under
 * way are forgotten, and each peer shakes hands again when there is traffic. */
void tunnel_set_secret(struct tunnel *t, const struct secret_key *secret);
const struct public_key *tunnel_public_key(const struct tunnel *t);

/* The latest wall clock that handshakes have used, 0 if none. Peers refuse an
 * earlier one: keep it over restarts where the clock is not trusted. */
int64_t tunnel_clock(const struct tunnel *t);

/* The next time tunnel_run() is due, TIME_NEVER if none. Changes with each call. */
uint64_t tunnel_deadline(const struct tunnel *t);
void tunnel_run(struct tunnel *t, const struct now *now);

/* A datagram of type 1 to 3. Whatever is wrong with it is counted and dropped. */
void tunnel_receive(struct tunnel *t, struct slice datagram, const struct tunnel_source *from,
        const struct now *now);
/* What sealing or opening on the session with this index returned. Stale indices
 * are ignored. */
void tunnel_event(struct tunnel *t, uint32_t index, unsigned events, const struct now *now);

struct tunnel_peer_config {
        struct public_key key;
        struct shared_key psk;         /* all zero: none */
        uint16_t persistent_keepalive_s; /* 0: none */
        bool is_lazy;                  /* removed when dormant */
        void *user;                    /* the owner's, see tunnel_peer_user() */
};

/* ERR_EXISTS, ERR_LIMIT, ERR_NOMEM, ERR_AUTH for our own or a zero key. */
enum err MUST_USE tunnel_peer_add(struct tunnel *t, const struct tunnel_peer_config *config,
        struct tunnel_peer **out);
/* Its sessions are removed (session_removed) and its keys wiped. */
void tunnel_peer_remove(struct tunnel *t, struct tunnel_peer *p);
struct tunnel_peer *tunnel_peer_find(const struct tunnel *t, const struct public_key *key);
const struct public_key *tunnel_peer_key(const struct tunnel_peer *p);
void *tunnel_peer_user(const struct tunnel_peer *p);
/* Both take effect with the next handshake, or from now. */
void tunnel_peer_set_psk(struct tunnel_peer *p, const struct shared_key *psk);
void tunnel_peer_set_persistent_keepalive(struct tunnel *t, struct tunnel_peer *p, uint16_t seconds,
        const struct now *now);

/* There is a packet for p and no session to send it on: shake hands, unless that
 * is under way or a handshake message went out less than five seconds ago (then
 * as soon as these are over). Counts as a fresh wish: attempts start at zero. */
void tunnel_want_session(struct tunnel *t, struct tunnel_peer *p, const struct now *now);
/* The peer is known to have restarted: forget the sessions, so that the next
 * packet of the user shakes hands instead of being lost. */
void tunnel_peer_reset(struct tunnel *t, struct tunnel_peer *p);

struct tunnel_peer_status {
        uint64_t last_handshake_us; /* mono_us of the last completed one; 0: none */
        uint64_t last_sent_us, last_received_us; /* of anything authentic */
        uint64_t tx_bytes, rx_bytes; /* of transport and handshake messages, headers included */
        bool has_session;           /* one that may be sent on */
};
void tunnel_peer_status(const struct tunnel_peer *p, const struct now *now, struct tunnel_peer_status *out);

struct tunnel_stats {
        uint64_t malformed, bad_mac1, bad_handshake, unknown_peer, replayed_initiation, flooded;
        uint64_t cookies_sent, cookies_received, initiations_sent, responses_sent, sessions;
};
const struct tunnel_stats *tunnel_stats(const struct tunnel *t);

#endif
