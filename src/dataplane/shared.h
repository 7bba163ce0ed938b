/* All that the two workers and the control thread share. */
#ifndef DATAPLANE_SHARED_H
#define DATAPLANE_SHARED_H

#include <pthread.h>

#include "peer.h"
#include "ring.h"

/* From the control thread to a worker. The worker sleeps in poll() on wake_fd too. */
struct inbox {
        struct ring ring;
        int wake_fd;
        _Atomic bool is_sleeping;
};

enum command_kind {
        COMMAND_SEND_PACKET, /* sender: an IP packet */
        COMMAND_KEEPALIVE,   /* sender: peer */
        COMMAND_FLUSH,       /* sender: peer has a session now */
        COMMAND_CONFIRM,     /* sender: the same, and something must be sent */
        COMMAND_DROP_STAGED, /* sender: peer */
        COMMAND_DERP,        /* receiver: a transport message */
};

/* What lies in an inbox, followed by its bytes. peer is a reference. */
struct command {
        enum command_kind kind;
        uint32_t len;
        struct dataplane_peer *peer;
};

/* Reserves, fills and commits; wakes the worker. ERR_LIMIT when full. */
enum err MUST_USE inbox_push(struct inbox *in, enum command_kind kind, struct dataplane_peer *peer,
        struct slice bytes);
/* The next command and its bytes, NULL if there is none; inbox_pop() forgets it. */
const struct command *inbox_peek(struct inbox *in, struct slice *bytes);
void inbox_pop(struct inbox *in);
void inbox_wake(struct inbox *in);

/* From a worker to the control thread: public events, and this one of our own. */
enum { EVENT_SEND_PACKET = 1000 }; /* bytes: an IP packet for the sender */

struct event_record {
        int kind; /* enum dataplane_event_kind or above */
        int errnum;
        uint32_t session_index, len;
        unsigned session_events;
        struct dataplane_peer *peer; /* a reference, or NULL */
        struct ip_port from;
};

struct outbox {
        struct ring ring;
        _Atomic uint64_t dropped;
};

struct worker {
        struct dataplane *dp;
        pthread_t thread;
        bool is_running;
        struct inbox in;
        struct outbox out;
};

/* Each counter is written by one worker only. */
struct shared_counters {
        _Atomic uint64_t tun_reads, udp_sends, out_packets, out_bytes, out_no_peer, out_filtered,
                out_malformed, out_no_path, out_stage_dropped, out_queue_dropped, send_errors;
        _Atomic uint64_t tun_writes, udp_receives, in_packets, in_bytes, in_unknown_session, in_malformed,
                in_bad_auth, in_replayed, in_bad_source, in_filtered, in_socket_overflow, tun_write_errors;
};

struct dataplane {
        int tun_fd;
        bool no_tun_gro;
        _Atomic unsigned mtu;
        _Atomic bool stop;
        _Atomic bool tun_gro; /* merged writes still work */

        struct view_holder *_Atomic view;
        struct socket_holder *_Atomic sockets;
        /* The receiver polls the sockets outside its read section: they are closed
         * only when it has seen that they were replaced. */
        _Atomic unsigned socket_generation, seen_generation;
        struct session_table sessions;
        struct shared_counters counters;
        struct worker sender, receiver;
        struct sender *send_state;
        struct receiver *receive_state;

        int event_fd;
        _Atomic bool event_signalled;

        /* The control thread's own. */
        struct filter_flows *flows, *jailed_flows;
        bool had_shields_up;
        struct retired *retired;
        struct list peers;
        struct outbox *taken_from; /* the event last given out lies there still */
        bool receiver_is_next;
};

/* A view with the flow tables that go with it. */
struct view_holder {
        struct retired retired;
        struct dataplane_view *view;
        struct filter_flows *flows, *jailed_flows; /* borrowed */
        struct filter_flows *old_flows;            /* to be freed with it, or NULL */
};

struct socket_holder {
        struct retired retired;
        struct udp_pair pair;
};

/* Worker side: queues an event; a full queue drops and counts it. */
void event_post(struct worker *w, const struct event_record *record, struct slice bytes);
/* The same for what carries no bytes. */
void event_post_peer(
        struct worker *w, enum dataplane_event_kind kind, struct dataplane_peer *peer, int errnum);
void event_post_tunnel(
        struct worker *w, struct dataplane_peer *peer, uint32_t session_index, unsigned events);

/* Control side: frees r once no worker can see it. */
void retire(struct dataplane *dp, struct retired *r, void (*release)(struct retired *r));
void reclaim(struct dataplane *dp);

/* The two workers; NULL: out of memory. _run is the thread's function. */
struct sender *sender_new(struct worker *w);
void sender_free(struct sender *s);
void *sender_run(void *sender);
struct receiver *receiver_new(struct worker *w);
void receiver_free(struct receiver *r);
void *receiver_run(void *receiver);

uint64_t boottime_us(void);

#endif
