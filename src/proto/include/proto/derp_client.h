/*
 * The client's side of one DERP connection (spec/paths.md 3.1, 3.4): a sans-I/O
 * engine that is given the bytes of a connected stream (TCP or TLS) and the time,
 * and gives back bytes to write and events. The node runs one per region it is
 * connected to, and a relay one per mesh neighbour.
 *
 *     derp_client_init(&c, &config);
 *     derp_client_start(&c, now, &(struct derp_connect){ .host = "derp1.example.com", .port = 443 });
 *     on bytes:     derp_client_input(&c, now, bytes);
 *     on deadline:  derp_client_tick(&c, now);        at derp_client_deadline(&c)
 *
 * One connection, one engine: after `closed` it does nothing more until
 * derp_client_start() begins anew on another stream. It queues nothing; when the
 * stream is full, hold packets back before derp_client_send().
 */
#ifndef PROTO_DERP_CLIENT_H
#define PROTO_DERP_CLIENT_H

#include "base/timer.h"
#include "proto/derp.h"

enum {
        DERP_LOGIN_TIMEOUT_S = 10,      /* from start to ServerInfo */
        DERP_READ_TIMEOUT_S = 120,      /* servers send a KeepAlive every 65 s or sooner */
};

/*
 * What happens. Any member but write and closed may be NULL. A callback may call
 * the sending functions of the same engine; it must not free or restart it.
 */
struct derp_client_events {
        /* Bytes for the stream, in order: head, then tail (often empty). Both are
         * borrowed and gone when the callback returns. */
        void (*write)(void *ctx, struct slice head, struct slice tail);
        /* The server has proved its key and accepted us. */
        void (*ready)(void *ctx, const struct public_key *server);
        void (*packet)(void *ctx, const struct public_key *src, struct slice packet);
        void (*peer_gone)(void *ctx, const struct public_key *peer, enum derp_gone_reason reason);
        void (*peer_present)(void *ctx, const struct derp_peer_present *peer); /* after watch_conns */
        void (*pong)(void *ctx, const uint8_t data[static DERP_PING_LEN]);
        /* The server's complaint about itself; empty: healthy again. */
        void (*health)(void *ctx, struct slice text);
        void (*restarting)(void *ctx, const struct derp_restarting *r);
        /* The connection is of no more use: close the stream. why is one static
         * phrase. ERR_TIMEOUT, ERR_FORMAT, ERR_RANGE, ERR_AUTH, ERR_NOMEM,
         * ERR_DENIED (the HTTP upgrade was refused). Not called for
         * derp_client_stop(). */
        void (*closed)(void *ctx, enum err e, const char *why);
};

struct derp_client_config {
        struct secret_key key;                  /* the node key; a relay's own key in a mesh */
        const struct derp_mesh_key *mesh_key;   /* copied; NULL outside a mesh */
        bool can_ack_pings, is_prober;          /* can_ack_pings: true for every node */
        struct rng *rng;                        /* borrowed; nonces */
        const struct derp_client_events *events; /* borrowed */
        void *ctx;
};

/* The server a stream leads to. The texts are used during the call only. */
struct derp_connect {
        const char *host;                    /* for the Host header: the node's HostName */
        uint16_t port;                       /* 0 or 443: left out of it */
        const char *ideal_node;              /* Nodes[0].Name if this is not Nodes[0], else NULL */
        const struct public_key *server_key; /* from the TLS chain (metacert): fast start; else NULL */
        bool is_upgraded;                    /* a WebSocket: no HTTP request, frames at once */
};

enum derp_client_state {
        DERP_CLIENT_IDLE,
        DERP_CLIENT_HTTP,        /* request sent, 101 awaited */
        DERP_CLIENT_SERVER_KEY,  /* its first frame awaited */
        DERP_CLIENT_SERVER_INFO, /* ClientInfo sent; we may send, the server is not proven yet */
        DERP_CLIENT_READY,
        DERP_CLIENT_CLOSED,
};

struct derp_client {
        struct secret_key key;
        struct public_key public_key, server_key;
        bool has_mesh_key, can_ack_pings, is_prober;
        struct derp_mesh_key mesh_key;
        struct rng *rng;
        const struct derp_client_events *events;
        void *ctx;

        enum derp_client_state state;
        struct derp_decoder decoder;
        struct buf http;         /* the response head so far */
        bool is_fast_start;
        bool is_preferred, wants_watch; /* asked for before the greeting was through */
        uint64_t deadline_us;

        /* The server's hint how fast we may send (ServerInfo); rate 0: none. */
        uint64_t rate_bytes, burst_bytes, refill_us;
        double tokens;

        struct {
                uint64_t packets_in, packets_out, bytes_in, bytes_out, over_rate;
        } stats;
};

void derp_client_init(struct derp_client *c, const struct derp_client_config *config);
/* Wipes the key, frees what is left. */
void derp_client_fini(struct derp_client *c);

/* Begins on a fresh stream: writes the request, and with a known server key the
 * ClientInfo in the same flight. ERR_AUTH for an impossible server key. */
enum err MUST_USE derp_client_start(struct derp_client *c, const struct now *now, const struct derp_connect *to);
/* Ends without an event: the stream was closed by either side. */
void derp_client_stop(struct derp_client *c);

void derp_client_input(struct derp_client *c, const struct now *now, struct slice bytes);
/* When to call derp_client_tick(); TIME_NEVER while idle or closed. */
uint64_t derp_client_deadline(const struct derp_client *c);
void derp_client_tick(struct derp_client *c, const struct now *now);

/* ClientInfo is sent: packets may follow. */
bool derp_client_can_send(const struct derp_client *c);

/* ERR_STATE before the greeting, ERR_RANGE over DERP_PACKET_MAX, ERR_LIMIT when
 * the server's rate hint says to drop it. */
enum err MUST_USE derp_client_send(struct derp_client *c, const struct now *now, const struct public_key *dst,
                                   struct slice packet);
/* Whether this is our home relay; kept and said again at each start. */
void derp_client_note_preferred(struct derp_client *c, bool is_home);
enum err MUST_USE derp_client_ping(struct derp_client *c, const uint8_t data[static DERP_PING_LEN]);

/* Mesh only (3.7); the server hangs up on clients without the mesh key. */
void derp_client_watch_conns(struct derp_client *c); /* kept, as note_preferred */
enum err MUST_USE derp_client_forward(struct derp_client *c, const struct public_key *src,
                                      const struct public_key *dst, struct slice packet);
enum err MUST_USE derp_client_close_peer(struct derp_client *c, const struct public_key *peer);

#endif
