/*
 * What the files of the engine share.
 *
 *      relay ---- peers (by node key) ---- conns      connections here, active one first
 *                                     \--- routes     the same node through the mesh
 *                                      \-- flows      receivers of its packets
 *
 * A peer exists as long as it has a connection or a route. A flow joins a peer to
 * one connection that got a packet from it, for PeerGone; it goes with either.
 * Connections that end are unlinked at once and freed when the engine returns to
 * its caller, because a frame of theirs may still be in work up the stack.
 */
#ifndef RELAY_INTERNAL_H
#define RELAY_INTERNAL_H

#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "relay/relay.h"

struct relay_peer {
        struct public_key key;
        struct list conns;  /* struct relay_conn.of_peer; the front one is active */
        struct list routes; /* struct route.of_peer; the front one is used */
        struct list flows;  /* struct flow.of_peer */
};

struct relay {
        struct secret_key key;
        struct public_key public_key;
        bool has_mesh_key;
        struct derp_mesh_key mesh_key;
        struct relay_rate rate;
        unsigned max_conns;
        struct rng *rng;
        const struct relay_calls *calls;
        void *ctx;

        struct timer_heap timers;
        struct table peers;   /* node key -> struct relay_peer */
        struct table flows;   /* struct flow_key -> struct flow */
        struct list conns;    /* struct relay_conn.link */
        struct list watchers; /* struct relay_conn.watching */
        struct list ended;    /* struct relay_conn.link, to be freed */
        unsigned depth;       /* calls into the engine under way */
        struct relay_stats stats;
};

enum conn_state { CONN_GREETING, CONN_ADMISSION, CONN_RUNNING, CONN_ENDED };

struct packet {
        struct list link;
        struct public_key src;
        uint32_t len;
        uint8_t bytes[];
};

struct packet_queue {
        struct list packets;
        unsigned count;
        size_t bytes;
};

struct relay_conn {
        struct relay *relay;
        void *io;
        struct list link;
        struct ip_port remote;
        enum conn_state state;
        bool is_mesh, is_prober, is_not_ideal, is_home;
        bool is_congested;      /* write() said no: queue */
        bool is_held;           /* reading stands still: admission or rate limit */
        bool is_pong_due;       /* one waits in control */
        bool takes_disco_next;  /* whose turn it is when both queues have something */
        bool is_doomed;         /* ends at its deadline, which is now, for this reason: */
        enum relay_end doom;

        struct public_key key;
        struct relay_peer *peer; /* once running */
        struct list of_peer;
        struct list watching;

        struct derp_decoder decoder;
        struct buf held;         /* input that came while is_held */
        struct buf control;      /* small frames that go before packets once there is room */
        struct packet_queue queues[RELAY_KINDS];

        struct timer deadline;   /* greeting, then keep-alive */
        uint64_t keep_alive_us;  /* this connection's interval */
        struct timer write_deadline;
        size_t write_mark;       /* queued() when write_deadline was set */
        struct timer rate_pause;
        double rate_tokens;      /* bytes; negative: reading pauses */
        uint64_t rate_at_us;
        unsigned gone_tokens;    /* PeerGone(not here): 1 a second, burst 3 */
        uint64_t gone_at_us;

        struct list flows;       /* struct flow.of_conn, oldest first */
        unsigned flow_count;
        const struct relay_peer *last_from; /* spares the flow look-up in a run of packets */
};

extern const struct log relay_log;

/* relay.c */
void relay_enter(struct relay *r);
void relay_leave(struct relay *r);
/* Ends c from inside. */
void relay_conn_close(struct relay_conn *c, const struct now *now, enum relay_end why);

/* login.c */
void relay_login(struct relay_conn *c, const struct now *now, struct slice payload);

/* input.c: frames; holding and resuming the input */
void relay_input_bytes(struct relay_conn *c, const struct now *now, struct slice bytes);
void relay_input_hold(struct relay_conn *c);
void relay_input_resume(struct relay_conn *c, const struct now *now);
void relay_input_rate_resume(struct timer *t, const struct now *now);

/* output.c */
void relay_output_init(struct relay_conn *c);
void relay_output_fini(struct relay_conn *c);
/* A small frame, before any packet that waits. */
void relay_output_control(struct relay_conn *c, const struct now *now, struct slice frame);
void relay_output_packet(struct relay_conn *c, const struct now *now, const struct public_key *src, struct slice packet);
void relay_output_drain(struct relay_conn *c, const struct now *now);
void relay_output_expired(struct timer *t, const struct now *now);

/* route.c */
struct relay_peer *relay_peer_find(const struct relay *r, const struct public_key *key);
struct relay_peer *relay_peer_obtain(struct relay *r, const struct public_key *key); /* NULL: no memory */
/* Frees it if nothing is left of it, and tells those who got packets from it. */
void relay_peer_release(struct relay *r, const struct now *now, struct relay_peer *p);
void relay_flows_clear(struct relay_conn *c);
static inline struct relay_conn *relay_peer_active(const struct relay_peer *p)
{
        return list_empty(&p->conns) ? NULL : container_of(p->conns.next, struct relay_conn, of_peer);
}
/* From a client of ours; and from a neighbour, which is never passed on. */
void relay_route_send(struct relay_conn *from, const struct now *now, struct slice payload);
void relay_route_forwarded(struct relay_conn *from, const struct now *now, struct slice payload);

/* mesh.c */
/* p has a route. */
struct relay_forwarder *relay_mesh_forwarder(const struct relay_peer *p);
void relay_mesh_watch(struct relay_conn *c, const struct now *now);
void relay_mesh_present(struct relay *r, const struct now *now, const struct relay_conn *c);
void relay_mesh_gone(struct relay *r, const struct now *now, const struct public_key *key);
void relay_mesh_close_peer(struct relay *r, const struct now *now, const struct public_key *key);

#endif
