#include "ranges.h"

#include <stdlib.h>

#include "base/cursor.h"

static uint64_t get_be64(const uint8_t *p) { return (uint64_t)get_be32(p) << 32 | get_be32(p + 4); }

static bool less(struct addr_num a, struct addr_num b)
{
        return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

static struct addr_num successor(struct addr_num a)
{
        a.lo++;
        a.hi += a.lo == 0;
        return a;
}

struct addr_num addr_num_of(const struct ip_addr *a)
{
        if (a->family == IP_V4)
                return (struct addr_num){ 0, ip_v4_to_u32(a) };
        return (struct addr_num){ get_be64(a->b), get_be64(a->b + 8) };
}

struct addr_range addr_range_of(const struct ip_prefix *p)
{
        struct ip_prefix masked = ip_prefix_masked(*p);
        struct addr_range r = { addr_num_of(&masked.ip), addr_num_of(&masked.ip) };
        unsigned host_bits = ip_bits(&masked.ip) - masked.bits;

        if (host_bits >= 64) {
                r.last.lo = UINT64_MAX;
                r.last.hi |= host_bits == 128 ? UINT64_MAX : (UINT64_C(1) << (host_bits - 64)) - 1;
        } else {
                r.last.lo |= (UINT64_C(1) << host_bits) - 1;
        }
        return r;
}

bool addr_range_contains(const struct addr_range *r, struct addr_num a)
{
        return !less(a, r->first) && !less(r->last, a);
}

void addr_set_add(struct addr_set *s, struct arena *a, struct addr_range range)
{
        if (s->count == s->cap) {
                size_t cap = s->cap ? s->cap * 2 : 4;
                struct addr_range *grown = ARENA_ARRAY(a, cap, struct addr_range);
                if (!grown)
                        return; /* the arena remembers */
                if (s->count)
                        memcpy(grown, s->ranges, s->count * sizeof(*grown));
                s->ranges = grown;
                s->cap = cap;
        }
        s->ranges[s->count++] = range;
}

static int by_first(const void *a, const void *b)
{
        const struct addr_range *x = a, *y = b;

        return less(x->first, y->first) ? -1 : less(y->first, x->first);
}

void addr_set_sort(struct addr_set *s)
{
        size_t kept = 0;

        if (s->count == 0)
                return;
        qsort(s->ranges, s->count, sizeof(s->ranges[0]), by_first);
        for (size_t i = 1; i < s->count; i++) {
                struct addr_range *last = &s->ranges[kept], *next = &s->ranges[i];
                struct addr_num after = successor(last->last);
                bool last_is_end = after.hi == 0 && after.lo == 0;
                if (last_is_end || !less(after, next->first)) {
                        if (less(last->last, next->last))
                                last->last = next->last;
                } else {
                        s->ranges[++kept] = *next;
                }
        }
        s->count = kept + 1;
}

/* The index of the first range that does not end before a. */
static size_t lower_bound(const struct addr_set *s, struct addr_num a)
{
        size_t lo = 0, hi = s->count;

        while (lo < hi) {
                size_t mid = (lo + hi) / 2;
                if (less(s->ranges[mid].last, a))
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

bool addr_set_contains(const struct addr_set *s, struct addr_num a)
{
        size_t i = lower_bound(s, a);

        return i < s->count && addr_range_contains(&s->ranges[i], a);
}

bool addr_set_overlaps(const struct addr_set *s, const struct addr_range *r)
{
        size_t i = lower_bound(s, r->first);

        return i < s->count && !less(r->last, s->ranges[i].first);
}
