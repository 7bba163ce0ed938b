#include "fair.h"

#include <stdlib.h>

#include "base/cursor.h"

enum { FLOWS = 64, ENTRIES = FAIR_LARGE + FAIR_SMALL, NONE = 0xffff };

/* Entries below FAIR_LARGE own a large slot, the others a small one. */
struct entry {
        struct fair_packet p;
        uint16_t next;
};

struct flow {
        uint16_t first, last; /* entries, in their order */
        uint16_t next;        /* flow in the same list */
        bool is_listed;
        int32_t credit; /* bytes it may still take in this turn */
        uint32_t bytes;
};

/* Flows waiting for their turn: those that began to speak just now, and the others. */
enum { FRESH, OLD, LISTS };

struct fair_queue {
        uint8_t *large, *small;
        uint16_t free_large, free_small; /* lists of entries; the last one freed is the warmest */
        uint16_t taken;                  /* the entry that fair_take() gave out */
        uint32_t count, bytes;           /* what waits */
        uint16_t first[LISTS], last[LISTS]; /* flow */
        struct flow flows[FLOWS];
        struct entry entries[ENTRIES];
};

static uint8_t *slot_of(const struct fair_queue *q, uint16_t e)
{
        return e < FAIR_LARGE ? q->large + (size_t)e * FAIR_LARGE_LEN
                              : q->small + (size_t)(e - FAIR_LARGE) * FAIR_SMALL_LEN;
}

static void release(struct fair_queue *q, uint16_t e)
{
        uint16_t *list = e < FAIR_LARGE ? &q->free_large : &q->free_small;

        q->entries[e].next = *list;
        *list = e;
}

static uint16_t grab(struct fair_queue *q, uint16_t *list)
{
        uint16_t e = *list;

        *list = q->entries[e].next;
        return e;
}

struct fair_queue *fair_new(void)
{
        struct fair_queue *q = calloc(1, sizeof(*q));

        if (!q)
                return NULL;
        q->large = malloc((size_t)FAIR_LARGE * FAIR_LARGE_LEN);
        q->small = malloc((size_t)FAIR_SMALL * FAIR_SMALL_LEN);
        if (!q->large || !q->small) {
                fair_free(q);
                return NULL;
        }
        q->free_large = q->free_small = q->taken = NONE;
        q->first[FRESH] = q->first[OLD] = NONE;
        for (uint16_t i = 0; i < FLOWS; i++)
                q->flows[i] = (struct flow){ .first = NONE, .last = NONE, .next = NONE };
        for (uint16_t e = ENTRIES; e-- > 0;)
                release(q, e);
        return q;
}

void fair_free(struct fair_queue *q)
{
        if (!q)
                return;
        free(q->large);
        free(q->small);
        free(q);
}

bool fair_empty(const struct fair_queue *q) { return q->count == 0; }

/* ---- the flows ----------------------------------------------------------- */

static void list_add(struct fair_queue *q, int list, uint16_t flow)
{
        q->flows[flow].next = NONE;
        if (q->first[list] == NONE)
                q->first[list] = flow;
        else
                q->flows[q->last[list]].next = flow;
        q->last[list] = flow;
}

static void list_pop(struct fair_queue *q, int list) { q->first[list] = q->flows[q->first[list]].next; }

static uint16_t flow_of(const struct packet *p)
{
        bool is_v6 = p->version == 6;
        const uint8_t *addrs = p->bytes.ptr + (is_v6 ? 8 : 12);
        uint32_t h = p->proto ^ (uint32_t)p->src.port << 16 ^ p->dst.port;

        for (size_t i = 0; i < (is_v6 ? 32u : 8u); i += 4)
                h = (h ^ get_be32(addrs + i)) * 0x9e3779b1u;
        return (uint16_t)(h >> 26);
}

static_assert(FLOWS == 1 << (32 - 26), "flow_of() takes the top bits");

static uint16_t pop_packet(struct fair_queue *q, struct flow *f)
{
        uint16_t e = f->first;

        f->first = q->entries[e].next;
        f->bytes -= (uint32_t)q->entries[e].p.packet.bytes.len;
        q->bytes -= (uint32_t)q->entries[e].p.packet.bytes.len;
        q->count--;
        return e;
}

/* The flow that holds the most gives up its oldest, until a large slot is free and
 * the whole is not too much. */
static uint64_t make_room(struct fair_queue *q)
{
        uint64_t dropped = 0;

        while (q->count > 0 && (q->free_large == NONE || q->bytes > FAIR_BYTES_MAX)) {
                struct flow *most = &q->flows[0];
                for (unsigned i = 1; i < FLOWS; i++)
                        if (q->flows[i].bytes > most->bytes)
                                most = &q->flows[i];
                release(q, pop_packet(q, most));
                dropped++;
        }
        return dropped;
}

/* ---- in and out ---------------------------------------------------------- */

uint8_t *fair_reserve(struct fair_queue *q)
{
        /* fair_add() sees to it that a large slot is free. */
        return q->free_small == NONE ? NULL : slot_of(q, q->free_large);
}

enum err fair_add(struct fair_queue *q, size_t len, uint64_t *dropped)
{
        uint8_t *bytes = slot_of(q, q->free_large);
        enum err e = ERR_SHORT;
        struct packet p;

        if (len <= VNET_LEN || (e = packet_decode(slice_make(bytes + VNET_LEN, len - VNET_LEN), &p)))
                return e;
        uint16_t at = grab(q, len <= FAIR_SMALL_LEN ? &q->free_small : &q->free_large);
        struct entry *entry = &q->entries[at];
        struct flow *f = &q->flows[flow_of(&p)];
        entry->p = (struct fair_packet){ vnet_read(bytes), p };
        entry->next = NONE;
        if (at >= FAIR_LARGE)
                entry->p.packet.bytes.ptr = memcpy(slot_of(q, at), p.bytes.ptr, p.bytes.len);
        if (f->first == NONE)
                f->first = at;
        else
                q->entries[f->last].next = at;
        f->last = at;
        f->bytes += (uint32_t)p.bytes.len;
        q->bytes += (uint32_t)p.bytes.len;
        q->count++;
        if (!f->is_listed) {
                f->is_listed = true;
                f->credit = FAIR_QUANTUM;
                list_add(q, FRESH, (uint16_t)(f - q->flows));
        }
        *dropped += make_room(q);
        return OK;
}

const struct fair_packet *fair_take(struct fair_queue *q)
{
        if (q->taken != NONE)
                release(q, q->taken);
        q->taken = NONE;
        for (;;) {
                int list = q->first[FRESH] != NONE ? FRESH : OLD;
                uint16_t i = q->first[list];
                if (i == NONE)
                        return NULL;
                struct flow *f = &q->flows[i];
                if (f->first == NONE && list == OLD) {
                        list_pop(q, list);
                        f->is_listed = false;
                } else if (f->first == NONE || f->credit <= 0) {
                        /* To the end of the others, also when it has nothing left: else it
                         * could come back as a fresh one at once and starve them. */
                        list_pop(q, list);
                        if (f->credit <= 0)
                                f->credit += FAIR_QUANTUM;
                        list_add(q, OLD, i);
                } else {
                        q->taken = pop_packet(q, f);
                        f->credit -= (int32_t)q->entries[q->taken].p.packet.bytes.len;
                        return &q->entries[q->taken].p;
                }
        }
}
