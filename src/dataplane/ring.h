/*
 * A bounded queue of byte records between exactly two threads, one that writes and
 * one that reads; neither ever waits for the other. A record lies in one piece. A
 * full queue refuses the newcomer.
 */
#ifndef DATAPLANE_RING_H
#define DATAPLANE_RING_H

#include <stdalign.h>
#include <stdatomic.h>

#include "base/err.h"
#include "base/slice.h"

struct ring {
        uint8_t *bytes;
        uint32_t size; /* a power of two */
        /* Positions count bytes since the start and wrap by themselves; each is
         * written by one side only and sits in a cache line of its own. */
        _Alignas(64) _Atomic uint32_t tail; /* the writer's */
        _Alignas(64) _Atomic uint32_t head; /* the reader's */
};

/* size: a power of two, at most 2^30. ERR_NOMEM. */
enum err MUST_USE ring_init(struct ring *r, uint32_t size);
void ring_fini(struct ring *r);

/* Room for a record of len bytes, 8-byte aligned, or NULL if there is none now.
 * Nobody sees it before ring_commit(), which takes the same len. */
void *ring_reserve(struct ring *r, uint32_t len);
void ring_commit(struct ring *r, uint32_t len);

/* The oldest record, {NULL, 0} if there is none; it stays until ring_release(). */
struct slice ring_peek(struct ring *r);
void ring_release(struct ring *r);
/* As seen by either side. */
bool ring_empty(const struct ring *r);

#endif
