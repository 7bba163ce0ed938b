/*
 * The packet path at run time: the TUN device on one side, UDP sockets and DERP on
 * the other, WireGuard sessions and the packet filter in between.
 *
 * Two worker threads do all of it, each to completion: one takes packets from the
 * TUN and sends them, one receives datagrams and writes the TUN. They read what
 * they need (routes, filter, peers, paths, sessions) under RCU and never wait for
 * the control thread. Everything else - disco, STUN, handshakes, DERP - they hand
 * to the control thread as events through a bounded queue, and take from it
 * through another. A full queue drops the newcomer and counts it.
 *
 * Every function below is for the one control thread, and none blocks but
 * dataplane_stop() and dataplane_rebind().
 */
#ifndef DATAPLANE_DATAPLANE_H
#define DATAPLANE_DATAPLANE_H

#include "crypto/key.h"
#include "filter/filter.h"
#include "ip/trie.h"
#include "tunnel/session.h"

struct dataplane;
struct dataplane_peer;

/* ---- start and stop ------------------------------------------------------ */

/* How a UDP socket pair is opened (spec/paths.md 2.11). */
struct dataplane_udp_options {
        uint16_t ports[3]; /* tried in this order; 0 lets the kernel choose */
        unsigned port_count;
        uint32_t mark;     /* SO_MARK, 0 for none; a refusal is not an error */
        bool no_gso, no_gro;
};

struct dataplane_options {
        int tun_fd;      /* opened with a vnet header, non-blocking */
        unsigned tun_mtu;
        bool no_tun_gro; /* write packets singly */
        struct dataplane_udp_options udp;
};

/*
 * Opens the sockets and starts the workers. On success the TUN descriptor belongs
 * to the data plane. Until a view is published every packet is dropped.
 * ERR_SYS with the reason in diag, ERR_NOMEM.
 */
enum err MUST_USE dataplane_start(const struct dataplane_options *options, struct dataplane **out,
                                  struct diag *diag);
/* Stops and joins the workers, closes TUN and sockets, frees what is left of
 * peers, sessions and the view. Events not yet taken are lost. */
void dataplane_stop(struct dataplane *dp);

/* Closes the sockets and opens others, perhaps on the same ports. On failure there
 * are none until the next try. Blocks until the workers have let go of the old
 * ones, about 1 ms. */
enum err MUST_USE dataplane_rebind(struct dataplane *dp, const struct dataplane_udp_options *options,
                                   struct diag *diag);
/* The ports in use; 0 where a family has no socket. */
void dataplane_ports(const struct dataplane *dp, uint16_t *v4, uint16_t *v6);
/* The TUN's MTU was changed; padding and batch sizes follow. */
void dataplane_set_mtu(struct dataplane *dp, unsigned mtu);
/* The largest super-packet that the TUN should hand out, so that one read becomes
 * one sendmsg (spec/dataplane.md 2.11): for IFLA_GSO_MAX_SIZE; at most
 * DATAPLANE_BATCH segments for IFLA_GSO_MAX_SEGS. */
unsigned dataplane_gso_max_bytes(unsigned mtu);
enum { DATAPLANE_BATCH = 64 };

/* ---- what the workers see ------------------------------------------------ */

/*
 * An immutable snapshot. The one given to dataplane_publish() is owned by the data
 * plane, which frees it, its trie and its filters when the next one has replaced
 * it and no worker looks at it any more. Allocate with dataplane_view_new().
 */
struct dataplane_view {
        /* Destination address -> struct dataplane_peer *, which is also the only
         * peer that may send from that address (spec/dataplane.md 1.4 (8)). */
        struct ip_trie *routes;
        struct filter *filter;        /* NULL: nothing passes */
        struct filter *jailed_filter; /* for jailed peers; NULL: nothing passes */
        struct ip_addr own4, own6;    /* our addresses; IP_NONE where we have none */
        uint16_t peerapi4, peerapi6;  /* its ports on them; 0: none */
        struct public_key disco_key;  /* ours; UDP that carries it inside is a loop */
        /* The filter is the one of shields up: TSMP rejects say so, and when it goes
         * up, running flows are forgotten. */
        bool shields_up;
};

struct dataplane_view *dataplane_view_new(void);
void dataplane_view_free(struct dataplane_view *v); /* only if never published */
/* ERR_NOMEM: v is still the caller's. */
enum err MUST_USE dataplane_publish(struct dataplane *dp, struct dataplane_view *v);

/* ---- peers --------------------------------------------------------------- */

/*
 * A peer as the workers see it. owner comes back in events. It must outlive every
 * view whose routes name it: publish a view without the peer, then remove it.
 * Removal drops its sessions. NULL: out of memory.
 */
struct dataplane_peer *dataplane_peer_new(struct dataplane *dp, const struct public_key *key, void *owner);
void dataplane_peer_remove(struct dataplane *dp, struct dataplane_peer *peer);
void *dataplane_peer_owner(const struct dataplane_peer *peer);
void dataplane_peer_set_jailed(struct dataplane_peer *peer, bool jailed);

/*
 * Where a peer's packets go (spec/paths.md 2.4): to udp while it is trusted; to
 * udp and DERP both once trusted_until_us has passed; to DERP alone without udp.
 */
struct dataplane_path {
        struct ip_port udp;        /* IP_NONE: none */
        uint64_t trusted_until_us; /* CLOCK_BOOTTIME; TIME_NEVER for static peers */
        bool derp;                 /* DATAPLANE_DERP_SEND events are of use */
};
/* ERR_NOMEM; the old path stays. */
enum err MUST_USE dataplane_peer_set_path(struct dataplane *dp, struct dataplane_peer *peer,
                                          const struct dataplane_path *path);

struct dataplane_counters {
        uint64_t tx_bytes, tx_packets; /* inner packets sent, all paths */
        uint64_t rx_bytes, rx_packets; /* inner packets received and authentic */
        uint64_t tx_udp4_bytes, tx_udp6_bytes, tx_derp_bytes; /* on the wire */
        uint64_t rx_udp4_bytes, rx_udp6_bytes, rx_derp_bytes;
        uint64_t last_sent_us, last_received_us; /* CLOCK_BOOTTIME, 0: never */
};
void dataplane_peer_counters(const struct dataplane_peer *peer, struct dataplane_counters *out);

/* Counts of the whole data plane since start. */
struct dataplane_stats {
        uint64_t tun_reads, tun_writes, udp_sends, udp_receives; /* system calls */
        uint64_t out_packets, out_bytes, in_packets, in_bytes;   /* inner, accepted */
        uint64_t out_no_peer, out_filtered, out_malformed, out_no_path, out_stage_dropped;
        uint64_t out_queue_dropped;     /* a busy flow's packets that made room for others */
        uint64_t in_unknown_session, in_malformed, in_bad_auth, in_replayed, in_bad_source, in_filtered;
        uint64_t in_socket_overflow;    /* datagrams that the kernel dropped (SO_RXQ_OVFL) */
        uint64_t events_dropped;        /* the queue to the control thread was full */
        uint64_t tun_write_errors, send_errors;
        bool udp_gso, udp_gro, tun_gro; /* in use now */
};
void dataplane_stats(const struct dataplane *dp, struct dataplane_stats *out);

/* ---- sessions ------------------------------------------------------------ */

/* Messages to s's local index are accepted from now on. Takes a reference of its
 * own. ERR_NOMEM, ERR_EXISTS. */
enum err MUST_USE dataplane_session_add(struct dataplane *dp, struct dataplane_peer *peer,
                                        struct tunnel_session *s);
/*
 * The peer's packets are sealed with s from now on (s was added); NULL: with none,
 * they are staged. With confirm something is sent at once, a keepalive if nothing
 * was staged: the key confirmation of an initiator (spec/dataplane.md 1.6).
 */
void dataplane_session_use(struct dataplane *dp, struct dataplane_peer *peer, struct tunnel_session *s,
                           bool confirm);
/* The workers forget s; the reference goes when none can hold it any more. */
void dataplane_session_remove(struct dataplane *dp, struct tunnel_session *s);
/* Seals and sends an empty message. */
void dataplane_send_keepalive(struct dataplane *dp, struct dataplane_peer *peer);
/* Drops what is staged for want of a session (the handshake was given up). */
void dataplane_drop_staged(struct dataplane *dp, struct dataplane_peer *peer);

/* ---- packets from the control thread ------------------------------------- */

/* Sends one datagram at once: disco, STUN, handshakes. ERR_NOTFOUND: no socket of
 * that family; ERR_DENIED (EPERM), ERR_LIMIT (EMSGSIZE), ERR_SYS. */
enum err MUST_USE dataplane_send_datagram(struct dataplane *dp, const struct ip_port *to,
                                          struct slice bytes);
/* A WireGuard transport message that came over DERP. Copied. ERR_LIMIT: queue full. */
enum err MUST_USE dataplane_receive_derp(struct dataplane *dp, struct slice message);
/* An IP packet as if it had been read from the TUN, but not filtered: TSMP, answers
 * of the node itself. Copied. ERR_LIMIT: queue full. */
enum err MUST_USE dataplane_send_packet(struct dataplane *dp, struct slice packet);
/* An IP packet to write to the TUN, at once. ERR_LIMIT, ERR_SYS. */
enum err MUST_USE dataplane_deliver_packet(struct dataplane *dp, struct slice packet);

/* ---- events to the control thread ---------------------------------------- */

enum dataplane_event_kind {
        DATAPLANE_DISCO,         /* bytes, from */
        DATAPLANE_STUN,          /* bytes, from */
        DATAPLANE_HANDSHAKE,     /* bytes: WireGuard message type 1, 2 or 3; from */
        DATAPLANE_DERP_SEND,     /* peer, bytes: send this over the peer's relay */
        DATAPLANE_WANT_SESSION,  /* peer: a packet waits for a session */
        DATAPLANE_TUNNEL,        /* session_index, session_events: for tunnel_event() */
        DATAPLANE_SENT,          /* peer: data was sent lately (at most one a 250 ms) */
        DATAPLANE_SOURCE,        /* peer, from: authentic messages come from a new source */
        DATAPLANE_UNREACHABLE,   /* peer, from: sending there failed with EHOSTUNREACH */
        DATAPLANE_SOCKET_ERROR,  /* errnum: sockets should be opened anew */
        DATAPLANE_TSMP,          /* peer, bytes: an inner TSMP packet, ping excepted */
        DATAPLANE_TUN_GONE,      /* errnum: the device is gone, workers idle */
};

struct dataplane_event {
        enum dataplane_event_kind kind;
        void *owner;        /* of the peer; NULL where there is none */
        struct dataplane_peer *peer;
        uint32_t session_index;
        unsigned session_events;
        struct ip_port from;
        int errnum;
        struct slice bytes; /* valid until the next call */
};

/* Readable while events wait; register it with the loop. */
int dataplane_event_fd(const struct dataplane *dp);
/* The next event, false when there is none. Call until false. TSMP pings are
 * answered inside. */
bool dataplane_next_event(struct dataplane *dp, struct dataplane_event *out);

#endif
