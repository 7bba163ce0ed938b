#include "ring.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Before each record stands a 64-bit word with its length. A record that would
 * run over the end of the array begins at its start instead, and a word SKIP fills
 * the gap. All positions are multiples of 8, so a word never wraps.
 */
enum { WORD = 8 };
#define SKIP UINT32_MAX

enum err ring_init(struct ring *r, uint32_t size)
{
        assert(size >= 64 && (size & (size - 1)) == 0);
        r->bytes = aligned_alloc(64, size);
        if (!r->bytes)
                return ERR_NOMEM;
        r->size = size;
        atomic_init(&r->head, 0);
        atomic_init(&r->tail, 0);
        return OK;
}

void ring_fini(struct ring *r)
{
        free(r->bytes);
        r->bytes = NULL;
}

static uint32_t footprint(uint32_t len) { return WORD + ((len + WORD - 1) & ~(uint32_t)(WORD - 1)); }

static void put_word(struct ring *r, uint32_t position, uint32_t value)
{
        memcpy(r->bytes + (position & (r->size - 1)), &value, sizeof(value));
}

static uint32_t get_word(const struct ring *r, uint32_t position)
{
        uint32_t value;

        memcpy(&value, r->bytes + (position & (r->size - 1)), sizeof(value));
        return value;
}

/* Where a record of this footprint goes: at tail, or past the end at the start. */
static uint32_t place(const struct ring *r, uint32_t tail, uint32_t need)
{
        uint32_t to_end = r->size - (tail & (r->size - 1));

        return need <= to_end ? tail : tail + to_end;
}

void *ring_reserve(struct ring *r, uint32_t len)
{
        if (len > r->size / 2)
                return NULL;
        uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
        uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
        uint32_t at = place(r, tail, footprint(len));

        if (at + footprint(len) - head > r->size)
                return NULL;
        return r->bytes + (at & (r->size - 1)) + WORD;
}

void ring_commit(struct ring *r, uint32_t len)
{
        uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
        uint32_t at = place(r, tail, footprint(len));

        if (at != tail)
                put_word(r, tail, SKIP);
        put_word(r, at, len);
        atomic_store_explicit(&r->tail, at + footprint(len), memory_order_seq_cst);
}

struct slice ring_peek(struct ring *r)
{
        uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

        if (head == atomic_load_explicit(&r->tail, memory_order_seq_cst))
                return (struct slice){ 0 };
        if (get_word(r, head) == SKIP) {
                head += r->size - (head & (r->size - 1));
                atomic_store_explicit(&r->head, head, memory_order_release);
        }
        return slice_make(r->bytes + (head & (r->size - 1)) + WORD, get_word(r, head));
}

void ring_release(struct ring *r)
{
        uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

        atomic_store_explicit(&r->head, head + footprint(get_word(r, head)), memory_order_release);
}

bool ring_empty(const struct ring *r)
{
        return atomic_load_explicit(&r->head, memory_order_relaxed) ==
               atomic_load_explicit(&r->tail, memory_order_seq_cst);
}
