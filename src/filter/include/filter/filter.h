/*
 * The packet filter of a node: who may reach us, and what (spec/policy.md 18-23).
 *
 * A filter is compiled once from the rules that the control server sent and never
 * changes afterwards, so any number of threads may ask it. It keeps copies of all
 * it needs. What changes lives beside it: the flow table (filter/flows.h), shared
 * by successive filters, and a verdict cache per thread.
 */
#ifndef FILTER_FILTER_H
#define FILTER_FILTER_H

#include "base/err.h"
#include "filter/flows.h"
#include "ip/packet.h"
#include "proto/tailcfg_filter.h"

struct filter;

/* What a filter needs to know of a peer: whose "cap:" sources it satisfies. */
struct filter_peer {
        const struct ip_prefix *addresses; /* its own, not its routes */
        size_t address_count;
        const struct ip_prefix *allowed_ips;
        size_t allowed_ip_count;
        const struct slice *caps; /* names in its capability map */
        size_t cap_count;
        bool unsigned_peerapi_only;
};

struct filter_options {
        const struct tailcfg_filter_rule *rules;
        size_t rule_count;
        /* Destinations that are ours: own addresses and advertised routes
         * (spec/policy.md 19, "local set"). */
        const struct ip_prefix *local;
        size_t local_count;
        const struct filter_peer *peers;
        size_t peer_count;
        bool shields_up; /* no rule counts; only answers come in */
};

/*
 * Compiles a filter. Bad entries of a rule are skipped, as the official client
 * does. Rules in the legacy form, or rules that would admit a peer which the
 * tailnet lock did not sign, make a filter that admits nothing: it is returned
 * all the same, and filter_is_invalid() says so (health code
 * invalid-packet-filter). NULL only when memory is short.
 */
struct filter *filter_new(const struct filter_options *options);
void filter_free(struct filter *f);
bool filter_is_invalid(const struct filter *f);

/* Why a packet was let through or not; the texts are those of the official log. */
enum filter_verdict {
        /* dropped */
        FILTER_NO_RULE,
        FILTER_TOO_SHORT,
        FILTER_UNKNOWN_PROTO,
        FILTER_MULTICAST,
        FILTER_LINK_LOCAL,
        FILTER_NOT_LOCAL, /* the destination is none of ours */
        FILTER_DROPS,     /* those before it drop, those after it accept */
        FILTER_FRAGMENT = FILTER_DROPS,
        FILTER_ICMP_REPLY,
        FILTER_ICMP,
        FILTER_TCP_NON_SYN,
        FILTER_TCP,
        FILTER_FLOW,
        FILTER_RULE,
        FILTER_TSMP,
        FILTER_OTHER,
        FILTER_OUT,
};

static inline bool filter_accepts(enum filter_verdict v) { return v >= FILTER_DROPS; }
const char *filter_verdict_text(enum filter_verdict v);

/*
 * A thread's memory of verdicts that hold for a whole flow. Zero it once; it finds
 * out by itself that the filter was replaced. Private to its thread.
 */
struct filter_cache {
        struct filter_cache_entry {
                uint64_t filter_id;
                uint64_t words[5];
                uint8_t verdict;
        } entries[128];
};

/* The verdict on a packet that arrives from the tunnel. cache may be NULL. */
enum filter_verdict filter_check_in(const struct filter *f, struct filter_flows *flows,
                                    struct filter_cache *cache, const struct packet *p);
/* The verdict on a packet that leaves; what is accepted is added to flows. */
enum filter_verdict filter_check_out(struct filter_flows *flows, const struct packet *p);

/*
 * Calls visit for every capability that rules grant src toward dst, with its
 * values (raw JSON, possibly none); the same name may come several times
 * (spec/policy.md 23). The slices live as long as the filter.
 */
void filter_caps(const struct filter *f, const struct ip_addr *src, const struct ip_addr *dst,
                 void (*visit)(void *ctx, struct slice name, const struct slice *values, size_t count),
                 void *ctx);

#endif
