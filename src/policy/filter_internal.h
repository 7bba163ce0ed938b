/* A filter while it is put together: filter.c, and filter_special.c for the rules that
 * only some nodes have. */
#ifndef FILTER_INTERNAL_H
#define FILTER_INTERNAL_H

#include "state_internal.h"

/* Rules that are one on the wire. */
struct group {
        struct tailcfg_strings src_ips;
        uint64_t digest; /* of these */
        int proto;
        bool is_caps;     /* capabilities: never joined with others */
        uint64_t place;   /* in the order of the result */
        struct vec dsts;  /* struct tailcfg_dst_port */
        struct vec caps;  /* struct tailcfg_cap_grant */
};

struct filter_build {
        struct plan *pl;
        const struct node *n;
        struct arena *a;
        bool is_odd;
        struct vec groups; /* struct group * */
        uint64_t next;     /* the place of the next rule that only some nodes have */
        uint64_t specials;
};

/* NULL when memory is short. */
struct group *filter_group(struct filter_build *f, const struct tailcfg_strings *src_ips, uint64_t digest,
        int proto, uint64_t place);
struct group *filter_caps_group(
        struct filter_build *f, const struct tailcfg_strings *src_ips, uint64_t place);
uint64_t filter_place(const struct filter_build *f, uint64_t digest, int proto, uint64_t place);
/* Whether a destination of that extent is kept for the node. */
bool filter_keeps(const struct filter_build *f, const struct ip_range *r);
void filter_push_dst(
        struct filter_build *f, struct group *g, struct slice text, const struct port_range *ports);
void filter_keep_caps(struct filter_build *f, struct group *g, const struct ipset *dsts, bool is_live,
        const struct tailcfg_cap *caps, size_t cap_count);

void filter_self(struct filter_build *f, const struct compiled_grant *cg);
void filter_via(struct filter_build *f, const struct compiled_grant *cg);

#endif
