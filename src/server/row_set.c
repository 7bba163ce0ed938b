/* Rows sorted by id in one array: found by bisection, walked in the order of the ids. */
#include <stdlib.h>

#include "state.h"

/* The index of the first row whose id is not below. */
static size_t lower_bound(const struct row_set *set, int64_t id)
{
        size_t lo = 0, hi = set->n;

        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                if (*set->items[mid] < id)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

void *row_set_get(const struct row_set *set, int64_t id)
{
        size_t i = lower_bound(set, id);

        return i < set->n && *set->items[i] == id ? set->items[i] : NULL;
}

void *row_set_put(struct row_set *set, void *row)
{
        int64_t id = *(const int64_t *)row;
        size_t i = lower_bound(set, id);

        if (id > set->last_id)
                set->last_id = id;
        if (i < set->n && *set->items[i] == id) {
                void *old = set->items[i];
                set->items[i] = row;
                return old;
        }
        if (set->n == set->cap) {
                size_t cap = set->cap ? set->cap * 2 : 16;
                int64_t **items = realloc(set->items, cap * sizeof(int64_t *));
                if (!items)
                        abort();
                set->items = items;
                set->cap = cap;
        }
        memmove(&set->items[i + 1], &set->items[i], (set->n - i) * sizeof(set->items[0]));
        set->items[i] = row;
        set->n++;
        return NULL;
}

void *row_set_remove(struct row_set *set, int64_t id)
{
        size_t i = lower_bound(set, id);

        if (i == set->n || *set->items[i] != id)
                return NULL;
        void *old = set->items[i];
        set->n--;
        memmove(&set->items[i], &set->items[i + 1], (set->n - i) * sizeof(set->items[0]));
        return old;
}
