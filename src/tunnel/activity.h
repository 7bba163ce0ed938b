/*
 * What the packet threads leave for the timers of a peer: when it last sent and
 * heard something. All sessions of a peer share one; it goes with the last holder.
 *
 * Two timers wait for an answer: after data was received something must be sent
 * within ten seconds (the keepalive), and after data was sent something must be
 * heard within fifteen (the new handshake). Each waits from the *first* packet that
 * was not answered. The thread that moves the packet notes that moment; the control
 * thread reads it when the time has come. It sleeps while nothing waits, and promises
 * to look by a certain time while something does. The packet thread reports a wait
 * that no promise covers, and reports again should the report have been lost.
 *
 * Every field has one writing thread, but for watched_until_us, where the control
 * thread answers a report, and sent_us and heard_us, which handshake messages touch
 * too: there the two writers mean the same moment.
 */
#ifndef TUNNEL_ACTIVITY_H
#define TUNNEL_ACTIVITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wait {
        _Atomic uint64_t since_us; /* packet thread: the first packet not answered */
        _Atomic uint64_t served_us; /* control thread: up to here it has acted */
        _Atomic uint64_t watched_until_us; /* no report is needed before then */
};

struct activity {
        atomic_uint refs;
        /* the sender's, on a cache line of its own */
        _Alignas(64) _Atomic uint64_t sent_us; /* anything authentic */
        _Atomic uint64_t sent_bytes;
        struct wait handshake; /* begun by data sent, answered by heard_us */
        /* the receiver's, likewise */
        _Alignas(64) _Atomic uint64_t heard_us;
        _Atomic uint64_t heard_bytes;
        struct wait keepalive; /* begun by data heard, answered by sent_us */
};

struct activity *activity_new(void);
struct activity *activity_ref(struct activity *a);
void activity_unref(struct activity *a);

/* By the packet threads, once a batch. True: report to the control thread. */
bool activity_sent(struct activity *a, bool has_data, uint64_t bytes, uint64_t now_us);
bool activity_heard(struct activity *a, bool has_data, uint64_t bytes, uint64_t now_us);

/* By the control thread: since when an answer is due; 0 if nothing waits. */
uint64_t activity_keepalive_since(const struct activity *a);
uint64_t activity_handshake_since(const struct activity *a);
/* Whatever waits has been seen to. */
void activity_serve(struct wait *w, uint64_t now_us);
/* The control thread's promise to look at this wait by then; 0 takes it back. */
void activity_watch(struct wait *w, uint64_t until_us);

static inline uint64_t stamp_get(const _Atomic uint64_t *stamp)
{
        return atomic_load_explicit(stamp, memory_order_relaxed);
}
static inline void stamp_set(_Atomic uint64_t *stamp, uint64_t value)
{
        atomic_store_explicit(stamp, value, memory_order_relaxed);
}

#endif
