/* A peer as the workers see it, and the sessions by which they know it. */
#ifndef DATAPLANE_PEER_H
#define DATAPLANE_PEER_H

#include "base/list.h"
#include "rcu.h"
#include "udp.h"

/* Replaced whole when the path layer changes its mind. */
struct peer_path {
        struct retired retired;
        struct dataplane_path config;
        struct udp_address to;
};

/* A packet that waits for a session, already cut to size. */
struct staged_packet {
        struct staged_packet *next;
        uint32_t len;
        uint8_t bytes[];
};

enum {
        STAGE_PACKETS = 128,          /* of one peer; then the oldest is dropped */
        STAGE_BYTES = 256 << 10,
        STAGE_BYTES_ALL = 8 << 20,    /* of all peers; then the newcomer is dropped */
};

struct peer_counters {
        _Atomic uint64_t tx_bytes, tx_packets, tx_udp4_bytes, tx_udp6_bytes, tx_derp_bytes, last_sent_us;
        _Atomic uint64_t rx_bytes, rx_packets, rx_udp4_bytes, rx_udp6_bytes, rx_derp_bytes, last_received_us;
};

struct dataplane_peer {
        struct retired retired;
        _Atomic unsigned refs; /* the control thread's, and one for each queued record */
        struct public_key key;
        void *owner;
        struct list in_all;   /* struct dataplane.peers */
        struct list sessions; /* struct session_entry.of_peer */
        bool is_removed;      /* the control thread drops events of such a peer */

        _Atomic bool jailed;
        struct peer_path *_Atomic path;
        struct tunnel_session *_Atomic session; /* to seal with; NULL: none */
        struct peer_counters counters;

        /* The sender's own. */
        struct staged_packet *stage_first, *stage_last;
        unsigned stage_count;
        const struct tunnel_session *refused; /* too old to seal with; only compared */
        uint32_t stage_bytes;
        uint64_t sent_event_us, want_event_us, unreachable_event_us;
        unsigned batch_group; /* 1 + index of its group in the batch being filled; 0: none */

        /* The receiver's own. */
        struct ip_port source;
        uint64_t source_event_us;
};

static inline void peer_ref(struct dataplane_peer *p) { atomic_fetch_add(&p->refs, 1); }
void peer_unref(struct dataplane_peer *p); /* the last one frees; any thread */

/*
 * Local index -> session and peer. Written by the control thread, read by the
 * receiver inside its read section. Indices are random, so their low bits hash.
 */
enum { SESSION_BUCKETS = 4096 };

struct session_entry {
        struct retired retired;
        uint32_t index;
        struct tunnel_session *session; /* a reference */
        struct dataplane_peer *peer;
        struct session_entry *_Atomic next;
        struct list of_peer;
};

struct session_table {
        struct session_entry *_Atomic buckets[SESSION_BUCKETS];
};

struct session_entry *session_find(struct session_table *t, uint32_t index);
void session_insert(struct session_table *t, struct session_entry *e);
void session_unlink(struct session_table *t, struct session_entry *e);

#endif
