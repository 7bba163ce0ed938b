#include "base/timer.h"

#include <stdlib.h>

void timer_heap_init(struct timer_heap *h)
{
        *h = (struct timer_heap){ 0 };
}

void timer_heap_fini(struct timer_heap *h)
{
        for (size_t i = 0; i < h->count; i++)
                h->items[i]->slot = 0;
        free(h->items);
        timer_heap_init(h);
}

static void put(struct timer_heap *h, size_t i, struct timer *t)
{
        h->items[i] = t;
        t->slot = i + 1;
}

static void sift_up(struct timer_heap *h, size_t i, struct timer *t)
{
        while (i > 0 && h->items[(i - 1) / 2]->at_us > t->at_us) {
                put(h, i, h->items[(i - 1) / 2]);
                i = (i - 1) / 2;
        }
        put(h, i, t);
}

static void sift_down(struct timer_heap *h, size_t i, struct timer *t)
{
        for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
                if (child + 1 < h->count && h->items[child + 1]->at_us < h->items[child]->at_us)
                        child++;
                if (h->items[child]->at_us >= t->at_us)
                        break;
                put(h, i, h->items[child]);
        }
        put(h, i, t);
}

static void place(struct timer_heap *h, size_t i, struct timer *t)
{
        if (i > 0 && h->items[(i - 1) / 2]->at_us > t->at_us)
                sift_up(h, i, t);
        else
                sift_down(h, i, t);
}

void timer_arm(struct timer_heap *h, struct timer *t, uint64_t at_us)
{
        t->at_us = at_us;
        if (timer_armed(t)) {
                place(h, t->slot - 1, t);
                return;
        }
        if (h->count == h->cap) {
                size_t cap = h->cap ? h->cap * 2 : 16;
                struct timer **grown = realloc(h->items, cap * sizeof(*grown));
                if (!grown)
                        abort();
                h->items = grown;
                h->cap = cap;
        }
        sift_up(h, h->count++, t);
}

void timer_cancel(struct timer_heap *h, struct timer *t)
{
        if (!timer_armed(t))
                return;
        size_t i = t->slot - 1;
        struct timer *last = h->items[--h->count];

        t->slot = 0;
        if (last != t)
                place(h, i, last);
}

uint64_t timer_next(const struct timer_heap *h)
{
        return h->count ? h->items[0]->at_us : TIME_NEVER;
}

/*
 * The budget is what was armed at the start: a timer that keeps arming itself for
 * the past can delay others of this round to the next, but cannot hold the loop.
 */
void timer_run(struct timer_heap *h, const struct now *now)
{
        for (size_t budget = h->count; budget > 0 && timer_next(h) <= now->mono_us; budget--) {
                struct timer *t = h->items[0];
                timer_cancel(h, t);
                t->fire(t, now);
        }
}
