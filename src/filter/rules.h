/* A compiled filter from the inside: what rules.c builds and check.c reads. */
#ifndef FILTER_RULES_H
#define FILTER_RULES_H

#include "filter/filter.h"
#include "ranges.h"

struct filter_dst {
        struct addr_range range;
        uint16_t first_port, last_port;
};

/* One rule as far as it concerns one address family. */
struct filter_match {
        uint64_t protos[4]; /* a bit for each protocol number */
        struct addr_set srcs;
        struct addr_set cap_srcs; /* peers that have a capability the rule names */
        const struct filter_dst *dsts;
        size_t dst_count;
};

struct filter_cap {
        const struct addr_set *srcs;
        struct addr_range dst;
        struct slice name;
        const struct slice *values;
        size_t value_count;
};

struct filter {
        uint64_t id; /* of this filter among all of the process, for the verdict caches */
        bool is_invalid;
        struct arena arena; /* of everything below */
        struct filter_family {
                struct addr_set local;
                struct filter_match *matches;
                size_t match_count;
                struct filter_cap *caps;
                size_t cap_count;
        } families[FAMILIES];
};

#endif
