/*
 * Sets of addresses as sorted, disjoint, inclusive ranges, IPv4 before IPv6: what
 * the tokens of a policy stand for. Built in an arena; read-only once sorted.
 */
#ifndef POLICY_IPSET_H
#define POLICY_IPSET_H

#include "base/arena.h"
#include "ip/addr.h"

__extension__ typedef unsigned __int128 ip_num;

struct ip_range {
        uint8_t family; /* IP_V4 or IP_V6 */
        ip_num first, last;
};

struct ipset {
        struct ip_range *items;
        size_t count, cap;
};

struct ip_range ip_range_of(const struct ip_prefix *p);
bool ip_range_overlaps(const struct ip_range *a, const struct ip_range *b);
bool ip_range_equal(const struct ip_range *a, const struct ip_range *b);

/* Adding leaves the set unsorted; ipset_sort() sorts it and joins what overlaps or
 * touches. Out of memory is remembered by the arena. */
void ipset_add(struct ipset *s, struct arena *a, struct ip_range r);
void ipset_add_prefix(struct ipset *s, struct arena *a, const struct ip_prefix *p);
void ipset_add_addr(struct ipset *s, struct arena *a, const struct ip_addr *addr);
void ipset_add_set(struct ipset *s, struct arena *a, const struct ipset *other);
void ipset_sort(struct ipset *s);

/* One range into a sorted set, one address out of it. Both keep it sorted and joined,
 * and may need room for one more range, which the caller has seen to. */
void ipset_put(struct ipset *s, const struct ip_range *r);
void ipset_cut(struct ipset *s, uint8_t family, ip_num num);

/* The rest asks sorted sets. */
bool ipset_contains(const struct ipset *s, const struct ip_addr *a);
bool ipset_overlaps_range(const struct ipset *s, const struct ip_range *r);
bool ipset_overlaps_prefix(const struct ipset *s, const struct ip_prefix *p);
bool ipset_overlaps(const struct ipset *a, const struct ipset *b);
/* Whether every address of the range, of the set, is in s. */
bool ipset_covers_range(const struct ipset *s, const struct ip_range *r);
bool ipset_covers(const struct ipset *s, const struct ipset *part);
bool ipset_equal(const struct ipset *a, const struct ipset *b);

/* The largest prefix that begins at r->first and does not go beyond r->last; moves
 * r->first behind it. False once the range is used up:
 *     while (ip_range_next_prefix(&rest, &done, &prefix)) ... */
bool ip_range_next_prefix(struct ip_range *r, bool *done, struct ip_prefix *out);

/* Of the prefixes that the set falls into by ip_range_next_prefix(), the one that
 * contains the address. False if none does. */
bool ipset_prefix_of(const struct ipset *s, const struct ip_addr *a, struct ip_prefix *out);

/* "a", "net/len" or "a-b"; as many as there are ranges, in the arena. */
struct slice ip_range_text(const struct ip_range *r, struct arena *a);

#endif
