/*
 * Sets of addresses of one family as sorted, disjoint, inclusive ranges. A rule's
 * sources can be thousands; membership is a binary search.
 */
#ifndef FILTER_RANGES_H
#define FILTER_RANGES_H

#include "base/arena.h"
#include "ip/addr.h"

/* An address as a number; IPv4 has hi 0. */
struct addr_num {
        uint64_t hi, lo;
};

struct addr_range {
        struct addr_num first, last;
};

struct addr_set {
        struct addr_range *ranges;
        size_t count, cap;
};

enum { FAMILIES = 2 };
static inline unsigned family_index(const struct ip_addr *a) { return a->family == IP_V6; }

struct addr_num addr_num_of(const struct ip_addr *a);
struct addr_range addr_range_of(const struct ip_prefix *p);
bool addr_range_contains(const struct addr_range *r, struct addr_num a);

/* Adds a range; the set must be sorted before it is asked. */
void addr_set_add(struct addr_set *s, struct arena *a, struct addr_range range);
/* Sorts, joins what overlaps or touches. */
void addr_set_sort(struct addr_set *s);
bool addr_set_contains(const struct addr_set *s, struct addr_num a);
bool addr_set_overlaps(const struct addr_set *s, const struct addr_range *r);

#endif
