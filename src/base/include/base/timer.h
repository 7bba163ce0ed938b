/*
 * Deadlines on a binary heap. Engines own one heap each, tell their driver the
 * next deadline, and run what is due when the driver calls with the time.
 *
 * Times are microseconds of a monotonic clock that counts suspend (CLOCK_BOOTTIME)
 * whose zero means nothing. TIME_NEVER is later than every deadline.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "base/err.h"
#include "base/slice.h"

#define TIME_NEVER UINT64_MAX
#define TIME_MS(n) ((uint64_t)(n) * 1000)
#define TIME_S(n) ((uint64_t)(n) * 1000000)

/*
 * The present, as told to an engine. mono_us drives every timer and age;
 * unix_us (microseconds since 1970, may jump either way) only what compares with
 * dates of other machines: key expiry, TAI64N, certificates.
 */
struct now {
        uint64_t mono_us;
        int64_t unix_us;
};

struct timer {
        uint64_t at_us; /* when it is due; meaningless while not armed */
        size_t slot;    /* index in the heap + 1; 0 while not armed */
        void (*fire)(struct timer *t, const struct now *now);
};

struct timer_heap {
        struct timer **items;
        size_t count, cap;
};

void timer_heap_init(struct timer_heap *h);
/* Frees the heap; armed timers become unarmed. */
void timer_heap_fini(struct timer_heap *h);

/* Arms t, or moves it if already armed. The timer's memory stays the caller's.
 * Out of memory stops the process: a lost deadline cannot be handled. */
void timer_arm(struct timer_heap *h, struct timer *t, uint64_t at_us);
void timer_cancel(struct timer_heap *h, struct timer *t);
static inline bool timer_armed(const struct timer *t) { return t->slot != 0; }
/* The earliest deadline, or TIME_NEVER. */
uint64_t timer_next(const struct timer_heap *h);
/* Fires everything due at now, earliest first. A callback may arm and cancel
 * any timer, its own too. Runs at most as many callbacks as were armed at the
 * start, so one that arms itself for the past cannot hold the loop. */
void timer_run(struct timer_heap *h, const struct now *now);

#endif
