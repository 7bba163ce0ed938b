/* The verdict on one packet. */
#include "flow_key.h"
#include "rules.h"

#include <assert.h>

/* 169.254.169.254, the metadata service of clouds, is the one link-local address
 * that may be reached through a tunnel. */
static bool is_forbidden_link_local(const struct ip_addr *a)
{
        return ip_is_link_local(a) && !(a->family == IP_V4 && ip_v4_to_u32(a) == 0xa9fea9fe);
}

/* What holds in both directions and before any rule; FILTER_OUT: go on. */
static enum filter_verdict check_first(const struct packet *p)
{
        if (p->version == 0)
                return FILTER_TOO_SHORT;
        if (p->proto == IP_PROTO_UNKNOWN)
                return FILTER_UNKNOWN_PROTO;
        if (ip_is_multicast(&p->dst.ip))
                return FILTER_MULTICAST;
        if (is_forbidden_link_local(&p->dst.ip))
                return FILTER_LINK_LOCAL;
        if (p->proto == IP_PROTO_FRAGMENT)
                return FILTER_FRAGMENT;
        return FILTER_OUT;
}

/* ---- rules --------------------------------------------------------------- */

static bool match_covers_proto(const struct filter_match *m, uint8_t proto)
{
        return m->protos[proto / 64] >> proto % 64 & 1;
}

static bool match_covers_src(const struct filter_match *m, struct addr_num src)
{
        return addr_set_contains(&m->srcs, src) || addr_set_contains(&m->cap_srcs, src);
}

/* A rule for all ports from first to last. */
static bool rules_accept(const struct filter_family *f, const struct packet *p, uint16_t first, uint16_t last)
{
        struct addr_num src = addr_num_of(&p->src.ip), dst = addr_num_of(&p->dst.ip);

        for (size_t i = 0; i < f->match_count; i++) {
                const struct filter_match *m = &f->matches[i];
                if (!match_covers_proto(m, p->proto) || !match_covers_src(m, src))
                        continue;
                for (size_t k = 0; k < m->dst_count; k++) {
                        const struct filter_dst *d = &m->dsts[k];
                        if (first >= d->first_port && last <= d->last_port &&
                                addr_range_contains(&d->range, dst))
                                return true;
                }
        }
        return false;
}

/* Ping follows any rule for the pair of addresses, whatever its protocol and ports. */
static bool rules_accept_icmp(const struct filter_family *f, const struct packet *p)
{
        struct addr_num src = addr_num_of(&p->src.ip), dst = addr_num_of(&p->dst.ip);

        for (size_t i = 0; i < f->match_count; i++) {
                const struct filter_match *m = &f->matches[i];
                if (addr_set_contains(&m->cap_srcs, src))
                        return true;
                if (!addr_set_contains(&m->srcs, src))
                        continue;
                for (size_t k = 0; k < m->dst_count; k++) {
                        if (addr_range_contains(&m->dsts[k].range, dst))
                                return true;
                }
        }
        return false;
}

/* ---- verdicts ------------------------------------------------------------ */

static bool is_icmp(const struct packet *p)
{
        return p->proto == (p->version == 4 ? IP_PROTO_ICMP4 : IP_PROTO_ICMP6);
}

static bool has_flow_state(const struct packet *p)
{
        return p->proto == IP_PROTO_UDP || p->proto == IP_PROTO_SCTP;
}

static bool is_tcp_syn(const struct packet *p) { return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN; }

/* The table of spec/policy.md 21, but for the flow table. */
static enum filter_verdict check_rules(const struct filter *f, const struct packet *p)
{
        const struct filter_family *family = &f->families[family_index(&p->dst.ip)];

        if (!addr_set_contains(&family->local, addr_num_of(&p->dst.ip)))
                return FILTER_NOT_LOCAL;
        if (is_icmp(p)) {
                if (packet_is_icmp_reply(p))
                        return FILTER_ICMP_REPLY;
                return rules_accept_icmp(family, p) ? FILTER_ICMP : FILTER_NO_RULE;
        }
        if (p->proto == IP_PROTO_TCP) {
                if (!is_tcp_syn(p))
                        return FILTER_TCP_NON_SYN;
                return rules_accept(family, p, p->dst.port, p->dst.port) ? FILTER_TCP : FILTER_NO_RULE;
        }
        if (has_flow_state(p))
                return rules_accept(family, p, p->dst.port, p->dst.port) ? FILTER_RULE : FILTER_NO_RULE;
        if (p->proto == IP_PROTO_TSMP)
                return FILTER_TSMP;
        /* a protocol without ports needs a rule for all of them */
        return rules_accept(family, p, 0, UINT16_MAX) ? FILTER_OTHER : FILTER_NO_RULE;
}

/* Only acceptance is remembered: a packet of ours may open what was refused. */
static enum filter_verdict check_rules_cached(
        const struct filter *f, struct filter_cache *cache, const struct packet *p)
{
        bool is_cacheable = (p->proto == IP_PROTO_TCP && !is_tcp_syn(p)) || p->proto == IP_PROTO_UDP;

        if (!cache || !is_cacheable)
                return check_rules(f, p);
        struct flow_key key = flow_key_of(p, &p->src, &p->dst);
        uint64_t h = (key.words[0] ^ key.words[1] ^ key.words[2] * 3 ^ key.words[3] * 5 ^ key.words[4] * 7) *
                     UINT64_C(0x9e3779b97f4a7c15);
        struct filter_cache_entry *e = &cache->entries[h >> 57];
        if (e->filter_id == f->id && memcmp(e->words, key.words, sizeof(key.words)) == 0)
                return e->verdict;

        enum filter_verdict v = check_rules(f, p);
        if (filter_accepts(v)) {
                e->filter_id = f->id;
                memcpy(e->words, key.words, sizeof(key.words));
                e->verdict = (uint8_t)v;
        }
        return v;
}

static_assert(
        sizeof(((struct filter_cache *)0)->entries) / sizeof(struct filter_cache_entry) == 1 << (64 - 57),
        "the hash takes the top bits");

enum filter_verdict filter_check_in(const struct filter *f, struct filter_flows *flows,
        struct filter_cache *cache, const struct packet *p)
{
        enum filter_verdict v = check_first(p);

        if (v != FILTER_OUT)
                return v;
        v = check_rules_cached(f, cache, p);
        if (v == FILTER_NO_RULE && has_flow_state(p) && filter_flows_known(flows, p))
                return FILTER_FLOW;
        return v;
}

enum filter_verdict filter_check_out(struct filter_flows *flows, const struct packet *p)
{
        enum filter_verdict v = check_first(p);

        if (v == FILTER_OUT && has_flow_state(p))
                filter_flows_add(flows, p);
        return v;
}

const char *filter_verdict_text(enum filter_verdict v)
{
        switch (v) {
        case FILTER_NO_RULE:
                return "no rules matched";
        case FILTER_TOO_SHORT:
                return "too short";
        case FILTER_UNKNOWN_PROTO:
                return "unknown proto";
        case FILTER_MULTICAST:
                return "multicast";
        case FILTER_LINK_LOCAL:
                return "link-local-unicast";
        case FILTER_NOT_LOCAL:
                return "destination not allowed";
        case FILTER_FRAGMENT:
                return "fragment";
        case FILTER_ICMP_REPLY:
                return "icmp response ok";
        case FILTER_ICMP:
                return "icmp ok";
        case FILTER_TCP_NON_SYN:
                return "tcp non-syn";
        case FILTER_TCP:
                return "tcp ok";
        case FILTER_FLOW:
                return "cached";
        case FILTER_RULE:
                return "ok";
        case FILTER_TSMP:
                return "tsmp ok";
        case FILTER_OTHER:
                return "other-portless ok";
        case FILTER_OUT:
                return "ok out";
        }
        return "?";
}

/* ---- capabilities -------------------------------------------------------- */

void filter_caps(const struct filter *f, const struct ip_addr *src, const struct ip_addr *dst,
        void (*visit)(void *ctx, struct slice name, const struct slice *values, size_t count), void *ctx)
{
        if (src->family != dst->family)
                return;
        const struct filter_family *family = &f->families[family_index(src)];
        struct addr_num from = addr_num_of(src), to = addr_num_of(dst);

        for (size_t i = 0; i < family->cap_count; i++) {
                const struct filter_cap *cap = &family->caps[i];
                if (addr_range_contains(&cap->dst, to) && addr_set_contains(cap->srcs, from))
                        visit(ctx, cap->name, cap->values, cap->value_count);
        }
}
