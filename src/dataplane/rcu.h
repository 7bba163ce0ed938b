/*
 * What workers read while the control thread replaces it. Pointers are published
 * with release and read with acquire order; what was replaced is retired, and freed
 * once every worker has left the read section it may have been seen in (liburcu).
 */
#ifndef DATAPLANE_RCU_H
#define DATAPLANE_RCU_H

#include <stdatomic.h>
#include <urcu.h>

/* An object that waits to be freed. Embedded; at most once in a list. */
struct retired {
        struct retired *next;
        void (*release)(struct retired *r);
};

/* The thread sanitizer cannot see into liburcu: tell it what a grace period orders. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1 /* gcc's word for it */
#endif
#endif
#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char rcu_tsan_anchor;
#define rcu_note_read_end() __tsan_release(&rcu_tsan_anchor)
#define rcu_note_grace_end() __tsan_acquire(&rcu_tsan_anchor)
#else
#define rcu_note_read_end() ((void)0)
#define rcu_note_grace_end() ((void)0)
#endif

static inline void read_section_begin(void) { rcu_read_lock(); }

static inline void read_section_end(void)
{
        rcu_note_read_end();
        rcu_read_unlock();
}

static inline void wait_for_readers(void)
{
        synchronize_rcu();
        rcu_note_grace_end();
}

#define publish(where, pointer) atomic_store_explicit((where), (pointer), memory_order_release)
#define published(where) atomic_load_explicit((where), memory_order_acquire)

/* Counters have one writer: no read-modify-write is needed. */
#define count_add(counter, n)                                                                          \
        atomic_store_explicit((counter),                                                               \
                atomic_load_explicit((counter), memory_order_relaxed) + (uint64_t)(n), memory_order_relaxed)
#define count_read(counter) atomic_load_explicit((counter), memory_order_relaxed)

#endif
