#include "activity.h"

#include <stdlib.h>
#include <string.h>

#include "limits.h"

struct activity *activity_new(void)
{
        struct activity *a = aligned_alloc(_Alignof(struct activity), sizeof *a);

        if (!a)
                return NULL;
        memset(a, 0, sizeof *a);
        atomic_init(&a->refs, 1);
        return a;
}

struct activity *activity_ref(struct activity *a)
{
        atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
        return a;
}

void activity_unref(struct activity *a)
{
        if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1)
                free(a);
}

static uint64_t waiting_since(const struct wait *w, uint64_t answered_us)
{
        /* pairs with activity_watch(): see there */
        uint64_t since = atomic_load(&w->since_us);

        return since > answered_us && since > stamp_get(&w->served_us) ? since : 0;
}

/* Begins a wait unless one is on. True if it has to be reported. */
static bool wait_note(struct wait *w, uint64_t answered_us, uint64_t now_us)
{
        uint64_t served_us = stamp_get(&w->served_us);
        uint64_t floor_us = answered_us > served_us ? answered_us : served_us;

        if (stamp_get(&w->since_us) <= floor_us) /* within one microsecond it still came after */
                atomic_store(&w->since_us, now_us > floor_us ? now_us : floor_us + 1);
        if (now_us <= atomic_load(&w->watched_until_us))
                return false;
        stamp_set(&w->watched_until_us, now_us + REPORT_AGAIN);
        return true;
}

static void add_bytes(_Atomic uint64_t *sum, uint64_t bytes)
{
        stamp_set(sum, stamp_get(sum) + bytes); /* one writer, so no locked addition */
}

bool activity_sent(struct activity *a, bool has_data, uint64_t bytes, uint64_t now_us)
{
        stamp_set(&a->sent_us, now_us);
        add_bytes(&a->sent_bytes, bytes);
        return has_data && wait_note(&a->handshake, stamp_get(&a->heard_us), now_us);
}

bool activity_heard(struct activity *a, bool has_data, uint64_t bytes, uint64_t now_us)
{
        stamp_set(&a->heard_us, now_us);
        add_bytes(&a->heard_bytes, bytes);
        return has_data && wait_note(&a->keepalive, stamp_get(&a->sent_us), now_us);
}

uint64_t activity_keepalive_since(const struct activity *a)
{
        return waiting_since(&a->keepalive, stamp_get(&a->sent_us));
}

uint64_t activity_handshake_since(const struct activity *a)
{
        return waiting_since(&a->handshake, stamp_get(&a->heard_us));
}

void activity_serve(struct wait *w, uint64_t now_us)
{
        stamp_set(&w->served_us, now_us);
}

/*
 * A packet thread stores since_us and then reads the promise; the control thread
 * takes the promise back and must then read since_us once more. These accesses are
 * sequentially consistent, so at least one of the two sees the other's store.
 */
void activity_watch(struct wait *w, uint64_t until_us)
{
        atomic_store(&w->watched_until_us, until_us);
}
