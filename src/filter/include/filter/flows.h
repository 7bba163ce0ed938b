/*
 * The flow table of the packet filter: which UDP and SCTP conversations we began,
 * so that their answers may come in (spec/policy.md 21). Bounded; in a full set
 * the entry unused for longest makes room. Entries do not expire.
 *
 * One thread adds (the one that sends packets out), any thread may look up: the
 * entries are sequence-locked, nobody ever waits. A table outlives the filters
 * that use it, so that a new policy does not cut running conversations.
 */
#ifndef FILTER_FLOWS_H
#define FILTER_FLOWS_H

#include "ip/packet.h"

struct filter_flows;

enum { FILTER_FLOWS_MAX = 4096 }; /* the official client keeps 512 */

struct filter_flows *filter_flows_new(void); /* NULL: out of memory */
void filter_flows_free(struct filter_flows *t);

/* Remembers that p goes out, so that its answers are known. */
void filter_flows_add(struct filter_flows *t, const struct packet *p);
/* True if p answers something that went out; counts as use of the entry. */
bool filter_flows_known(struct filter_flows *t, const struct packet *p);

#endif
