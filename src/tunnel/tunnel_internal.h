/*
 * The inside of the engine, shared by its four files:
 *      tunnel.c     making, ending, and sorting what comes in
 *      peer.c       peers, their three session slots, the index table
 *      handshake.c  messages 1 to 3, both roles
 *      timers.c     the five timers of a peer
 */
#ifndef TUNNEL_INTERNAL_H
#define TUNNEL_INTERNAL_H

#include "base/list.h"
#include "base/table.h"
#include "cookie.h"
#include "limits.h"
#include "load.h"
#include "noise.h"
#include "session_internal.h"
#include "tunnel/tunnel.h"

struct tunnel {
        struct noise_identity self;
        const struct tunnel_ops *ops; /* borrowed, as are ctx and rng */
        void *ctx;
        struct rng *rng;
        struct table peers;   /* public key -> struct tunnel_peer */
        struct list all_peers;
        struct table indices; /* local index -> struct tunnel_index */
        struct timer_heap timers;
        struct cookie_checker checker;
        struct load load;
        uint64_t clock_slot;   /* no timestamp is made before this one, see handshake.c */
        uint64_t highest_slot; /* the latest timestamp made for anybody */
        struct tunnel_stats stats;
};

/* Our own initiation while it waits for the response. */
struct handshake {
        struct noise_initiator noise;
        struct tunnel_index index;
};

enum peer_timer {
        TIMER_RETRANSMIT,
        TIMER_KEEPALIVE,
        TIMER_NEW_HANDSHAKE,
        TIMER_PERSISTENT,
        TIMER_ZERO_KEY, /* last: firing may remove the peer */
        TIMER_COUNT,
};

struct tunnel_peer {
        struct tunnel *tunnel;
        struct list in_all;
        struct public_key key;
        struct shared_key psk;
        struct shared_key static_static; /* the agreement of both static keys, once needed */
        bool has_static_static, is_lazy;
        bool has_heard_timestamp;
        uint16_t persistent_keepalive_s;
        uint16_t attempts;              /* retransmissions of the present initiation */
        void *user;                     /* the owner's */
        struct tunnel_session *previous; /* still received on: packets on their way */
        struct tunnel_session *current;  /* sent and received on */
        struct tunnel_session *next;     /* we are its responder, not confirmed yet */
        struct activity *activity;
        struct handshake *handshake; /* NULL: none under way */
        struct cookie_jar jar;
        uint8_t heard_timestamp[TAI64N_LEN]; /* of the last initiation accepted */
        uint64_t accepted_us;                /* when that was */
        uint64_t sent_slot;                  /* the timestamp of our last initiation */
        uint64_t handshake_sent_us;          /* our last message 1 or 2 */
        uint64_t completed_us;               /* the last completed handshake */
        uint64_t handshake_tx_bytes, handshake_rx_bytes;
        struct timer timer;           /* the earliest of due_us */
        uint64_t due_us[TIMER_COUNT]; /* TIME_NEVER: not armed */
};

/* peer.c */
void peer_free(struct tunnel_peer *p);
/* Enters an index that stands for p into the table. ERR_NOMEM. */
enum err MUST_USE index_add(struct tunnel_peer *p, struct tunnel_index *index);
void index_remove(struct tunnel *t, const struct tunnel_index *index);
struct tunnel_index *index_find(const struct tunnel *t, uint32_t value);
uint32_t index_unused(struct tunnel *t);
/* Session rotation, spec/dataplane.md 1.6. Each takes over the reference. */
enum err MUST_USE peer_session_made(struct tunnel_peer *p, struct tunnel_session *s, const struct now *now);
void peer_session_confirmed(struct tunnel_peer *p, const struct now *now);
void peer_sessions_drop(struct tunnel_peer *p);
void peer_handshake_drop(struct tunnel_peer *p);
bool peer_can_send(const struct tunnel_peer *p, const struct now *now);
/* A debug line about p. */
void peer_log(const struct tunnel_peer *p, const char *what);
/* The agreement of the static keys, computed at first need. */
enum err MUST_USE peer_agree(struct tunnel_peer *p);

/* handshake.c */
void handshake_start(struct tunnel_peer *p, const struct now *now);
/* The same without setting the attempts back to zero. */
void handshake_retry(struct tunnel_peer *p, const struct now *now);
void handshake_receive(struct tunnel *t, unsigned type, struct slice datagram, const struct tunnel_source *from,
        const struct now *now);
uint64_t clock_slot_of(int64_t unix_us);
int64_t clock_slot_unix_us(uint64_t slot);

/* timers.c */
void timers_init(struct tunnel_peer *p);
void timers_fini(struct tunnel_peer *p);
void timers_initiation_sent(struct tunnel_peer *p, const struct now *now);
/* An initiation is wished for, but one may not be sent before at_us. */
void timers_initiation_due(struct tunnel_peer *p, uint64_t at_us);
void timers_session_derived(struct tunnel_peer *p, const struct now *now);
void timers_handshake_complete(struct tunnel_peer *p, const struct now *now);
/* Looks at the stamps of the packet threads. */
void timers_activity(struct tunnel_peer *p);
/* Forgets all but the persistent keepalive. */
void timers_reset(struct tunnel_peer *p);
void timers_persistent_changed(struct tunnel_peer *p, const struct now *now);

#endif
