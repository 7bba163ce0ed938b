/* Literal addresses and prefixes, found by what they contain or overlap. Two prefixes
 * are apart, or one contains the other: in the order of their first addresses, the
 * wider first, those that contain one are its parent, the parent's parent and so on. */
#include <stdlib.h>

#include "state_internal.h"

static int by_first_then_wide(const void *a, const void *b)
{
        const struct ip_range *x = &((const struct literal *)a)->range,
                              *y = &((const struct literal *)b)->range;

        if (x->family != y->family)
                return x->family < y->family ? -1 : 1;
        if (x->first != y->first)
                return x->first < y->first ? -1 : 1;
        return x->last > y->last ? -1 : x->last < y->last;
}

static bool contains(const struct ip_range *r, uint8_t family, ip_num num)
{
        return r->family == family && r->first <= num && num <= r->last;
}

void literals_finish(struct plan *pl)
{
        struct literal *items = pl->literals.items;

        if (pl->literals.count == 0)
                return;
        qsort(items, pl->literals.count, sizeof(*items), by_first_then_wide);
        for (size_t i = 1; i < pl->literals.count; i++) {
                size_t parent = i - 1;
                while (parent != SIZE_MAX &&
                        !contains(&items[parent].range, items[i].range.family, items[i].range.last))
                        parent = items[parent].parent;
                items[i].parent = parent;
        }
}

/* The first that begins behind the address. */
static size_t behind(const struct plan *pl, uint8_t family, ip_num num)
{
        const struct literal *items = pl->literals.items;
        size_t lo = 0, hi = pl->literals.count;

        while (lo < hi) {
                size_t mid = (lo + hi) / 2;
                const struct ip_range *r = &items[mid].range;
                if (r->family < family || (r->family == family && r->first <= num))
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

void literals_containing(const struct plan *pl, uint8_t family, ip_num num,
        void (*visit)(void *ctx, struct selector *s), void *ctx)
{
        const struct literal *items = pl->literals.items;
        size_t next = behind(pl, family, num);

        for (size_t i = next ? next - 1 : SIZE_MAX; i != SIZE_MAX; i = items[i].parent)
                if (contains(&items[i].range, family, num))
                        visit(ctx, items[i].selector);
}

void literals_overlapping(const struct plan *pl, const struct ip_range *range,
        void (*visit)(void *ctx, struct selector *s), void *ctx)
{
        const struct literal *items = pl->literals.items;
        size_t next = behind(pl, range->family, range->first);

        literals_containing(pl, range->family, range->first, visit, ctx);
        for (; next < pl->literals.count; next++) {
                if (items[next].range.family != range->family || items[next].range.first > range->last)
                        return;
                visit(ctx, items[next].selector);
        }
}
