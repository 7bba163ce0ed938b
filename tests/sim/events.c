/* A binary heap of what will happen; ties are broken by the order of making. */
#include "sim.h"

#include <stdlib.h>

static bool is_before(const struct event *a, const struct event *b)
{
        return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void sift_up(struct events *ev, size_t i)
{
        while (i) {
                size_t parent = (i - 1) / 2;
                struct event *e = ev->heap[i];

                if (!is_before(e, ev->heap[parent]))
                        return;
                ev->heap[i] = ev->heap[parent];
                ev->heap[parent] = e;
                i = parent;
        }
}

static void sift_down(struct events *ev)
{
        for (size_t i = 0;;) {
                size_t least = i;
                struct event *e = ev->heap[i];

                for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++) {
                        if (child < ev->count && is_before(ev->heap[child], ev->heap[least]))
                                least = child;
                }
                if (least == i)
                        return;
                ev->heap[i] = ev->heap[least];
                ev->heap[least] = e;
                i = least;
        }
}

struct event *event_add(struct world *w, uint64_t at_us, void (*run)(struct world *w, struct event *e), struct slice bytes)
{
        struct events *ev = &w->events;
        struct event *e = calloc(1, sizeof(*e) + bytes.len);

        if (ev->count == ev->cap) {
                ev->cap = ev->cap ? ev->cap * 2 : 64;
                ev->heap = reallocarray(ev->heap, ev->cap, sizeof(*ev->heap));
        }
        if (!e || !ev->heap)
                abort();
        e->at_us = at_us;
        e->number = ++ev->made;
        e->run = run;
        e->len = bytes.len;
        if (bytes.len)
                memcpy(e->bytes, bytes.ptr, bytes.len);
        ev->heap[ev->count++] = e;
        sift_up(ev, ev->count - 1);
        return e;
}

uint64_t events_next(const struct events *ev)
{
        return ev->count ? ev->heap[0]->at_us : TIME_NEVER;
}

void events_run_one(struct world *w)
{
        struct events *ev = &w->events;
        struct event *e = ev->heap[0];

        ev->heap[0] = ev->heap[--ev->count];
        if (ev->count)
                sift_down(ev);
        e->run(w, e);
        free(e);
}

void events_fini(struct events *ev)
{
        for (size_t i = 0; i < ev->count; i++)
                free(ev->heap[i]);
        free(ev->heap);
        *ev = (struct events){ 0 };
}
