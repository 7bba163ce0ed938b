/*
 * The DERP server's engine: who is connected, what goes to whom, and what is
 * dropped when somebody is too slow (spec/paths.md 3.4 to 3.8). It is given
 * connections, their bytes and the time; it returns bytes by callback. relay_io
 * puts it on sockets; the tests and the simulator run it on virtual time.
 *
 * A connection passes three states: greeting (10 s for ClientInfo), admission
 * (the owner is asked and may take its time; reading stands still), running.
 * Connections are known by node key. Several may share a key: the last one that
 * sent anything is the active one and gets the packets (3.6).
 *
 * Nothing here grows with what a stranger sends: a connection holds at most one
 * frame that is not complete, two queues of RELAY_QUEUE_LEN packets while its
 * stream is full, and RELAY_FLOWS_MAX notes about who wrote to it.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "base/list.h"
#include "base/timer.h"
#include "proto/derp.h"

enum {
        RELAY_GREETING_S = 10,
        RELAY_KEEP_ALIVE_S = 60,
        RELAY_KEEP_ALIVE_JITTER_S = 5,  /* fixed per connection */
        RELAY_WRITE_TIMEOUT_S = 2,
        RELAY_MESH_WRITE_TIMEOUT_S = 30,
        RELAY_QUEUE_LEN = 32,           /* packets, of each kind */
        RELAY_QUEUE_BYTES = 128 << 10,  /* of each kind */
        RELAY_FLOWS_MAX = 1024,         /* senders remembered per receiver */
        RELAY_FLOWS_TOTAL_MAX = 1 << 20,
        RELAY_BURST_MIN = 65568,        /* rate limit: at least one frame of any size */
};

struct relay;
struct relay_conn;

/* Why a connection ended, for counters and logs. */
enum relay_end {
        RELAY_END_CLIENT,     /* the other side closed, or the stream broke */
        RELAY_END_GREETING,   /* no or no proper ClientInfo in time */
        RELAY_END_DENIED,     /* not admitted */
        RELAY_END_PROTOCOL,   /* a frame that may not be */
        RELAY_END_TRUST,      /* a mesh frame without the mesh key */
        RELAY_END_SLOW,       /* took nothing for the write timeout */
        RELAY_END_CLOSE_PEER, /* a mesh neighbour asked for it */
        RELAY_END_STOP,       /* the relay stops */
        RELAY_END_MEMORY,
};
enum { RELAY_END_COUNT = RELAY_END_MEMORY + 1 };
const char *relay_end_name(enum relay_end why);

/* What the engine asks of its surroundings; io is what relay_accept() was given. */
struct relay_calls {
        /* Bytes for the stream in order: head, then tail (may be empty), both borrowed.
         * They are always taken. False: hold on until relay_conn_writable(). */
        bool (*write)(void *io, struct slice head, struct slice tail);
        /* Bytes taken and not yet handed to the kernel. */
        size_t (*queued)(void *io);
        /* Stop reading from the stream, or begin again. */
        void (*set_reading)(void *io, bool on);
        /* The engine is done with the connection, which is invalid from now on: close
         * the stream. Not called for relay_conn_end(). */
        void (*close)(void *io, enum relay_end why);
        /* May this node use the relay? Answer by relay_conn_admit(), now or later, or
         * not at all if the connection ends before. NULL admits everyone. Mesh
         * neighbours are not asked about. */
        void (*admit)(void *ctx, struct relay_conn *conn, const struct public_key *node, const struct ip_addr *source);
};

struct relay_rate {
        uint64_t bytes_per_second; /* per client, of what it sends; 0: no limit */
        uint64_t burst_bytes;      /* raised to RELAY_BURST_MIN */
};

struct relay_config {
        struct secret_key key;
        const struct derp_mesh_key *mesh_key; /* copied; NULL: no mesh */
        struct relay_rate rate;
        unsigned max_conns;                   /* 0: no bound of the engine's own */
        struct rng *rng;                      /* borrowed */
        const struct relay_calls *calls;      /* borrowed */
        void *ctx;                            /* for admit */
};

enum err MUST_USE relay_new(const struct relay_config *config, struct relay **out);
/* Closes every connection; forwarders must have been cleared. NULL is fine. */
void relay_free(struct relay *r);

const struct public_key *relay_public_key(const struct relay *r);
/* From now on, for connections that exist as well. */
void relay_set_rate(struct relay *r, const struct relay_rate *rate);

/* A stream whose upgrade is through: the ServerKey frame goes out at once.
 * is_not_ideal: the client said that it wanted another node of the region.
 * ERR_LIMIT at max_conns, ERR_NOMEM. */
enum err MUST_USE relay_accept(struct relay *r, const struct now *now, const struct ip_port *remote,
                               bool is_not_ideal, void *io, struct relay_conn **out);
/* What relay_accept() was given. */
void *relay_conn_io(const struct relay_conn *c);
/* May end the connection, by calls->close. */
void relay_conn_input(struct relay_conn *c, const struct now *now, struct slice bytes);
/* The stream has room again after write() said no. */
void relay_conn_writable(struct relay_conn *c, const struct now *now);
void relay_conn_admit(struct relay_conn *c, const struct now *now, bool allow);
/* The stream has ended; c is invalid after this. */
void relay_conn_end(struct relay_conn *c, const struct now *now);

uint64_t relay_deadline(const struct relay *r); /* TIME_NEVER without connections */
void relay_tick(struct relay *r, const struct now *now);

/* ---- Mesh (3.7) --------------------------------------------------------- */

/*
 * A connection of ours, as client, to a neighbour of the region: the way to nodes
 * that are connected there. forward() sends a ForwardPacket or drops it. Zero the
 * rest before first use.
 */
struct relay_forwarder {
        void (*forward)(struct relay_forwarder *f, const struct public_key *src, const struct public_key *dst,
                        struct slice packet);
        struct list routes; /* the engine's */
};
/* The neighbour has this node (PeerPresent), or has it no more (PeerGone). Of
 * several forwarders for a key the first one is used. */
enum err MUST_USE relay_route_add(struct relay *r, const struct now *now, struct relay_forwarder *f,
                                  const struct public_key *node);
void relay_route_remove(struct relay *r, const struct now *now, struct relay_forwarder *f,
                        const struct public_key *node);
/* The connection to the neighbour is lost: all its nodes. */
void relay_routes_clear(struct relay *r, const struct now *now, struct relay_forwarder *f);

/* ---- Counters ----------------------------------------------------------- */

enum relay_drop {
        RELAY_DROP_UNKNOWN_DEST,
        RELAY_DROP_UNKNOWN_DEST_ON_FWD,
        RELAY_DROP_GONE_DISCONNECTED, /* was still queued when its receiver left */
        RELAY_DROP_QUEUE_HEAD,        /* the oldest of a full queue */
        RELAY_DROP_QUEUE_TAIL,        /* the new one, for lack of memory */
};
enum { RELAY_DROP_COUNT = RELAY_DROP_QUEUE_TAIL + 1 };
const char *relay_drop_name(enum relay_drop why); /* as upstream's metric labels */

enum { RELAY_DISCO, RELAY_OTHER, RELAY_KINDS };

struct relay_stats {
        uint64_t conns, peak_conns; /* now, and most at once */
        uint64_t nodes;             /* different keys connected here */
        uint64_t routes;            /* nodes known through the mesh, counted per neighbour */
        uint64_t homes;             /* connections that call this relay their home */
        uint64_t watchers;
        uint64_t accepts, logins, refused;
        uint64_t packets_in[RELAY_KINDS], packets_out, bytes_in, bytes_out;
        uint64_t forwarded_in, forwarded_out;
        uint64_t dropped[RELAY_DROP_COUNT][RELAY_KINDS];
        uint64_t peer_gone_disconnected, peer_gone_not_here;
        uint64_t pings, keep_alives, unknown_frames;
        uint64_t ended[RELAY_END_COUNT];
};
const struct relay_stats *relay_stats(const struct relay *r);

#endif
