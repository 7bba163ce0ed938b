/*
 * Packet filter rules as control sends them (spec/control.md 6.9). They apply to
 * traffic that arrives at the node that receives the rules.
 *
 * Sources and destinations stay text in the rule: a text that does not parse costs
 * its entry, not the message. tailcfg_match_parse() reads one; whoever compiles a
 * filter skips (and logs at debug) what it refuses.
 */
#ifndef PROTO_TAILCFG_FILTER_H
#define PROTO_TAILCFG_FILTER_H

#include "proto/tailcfg_base.h"

struct tailcfg_port_range {
        uint16_t first, last; /* inclusive */
};

struct tailcfg_dst_port {
        struct slice ip;
        bool has_bits; /* the forbidden legacy member was there */
        struct tailcfg_port_range ports;
};

struct tailcfg_dst_ports {
        const struct tailcfg_dst_port *items;
        size_t count;
};

struct tailcfg_cap_grant {
        struct tailcfg_prefixes dsts;
        struct tailcfg_strings caps; /* legacy: capabilities without values */
        struct tailcfg_cap_map cap_map;
};

struct tailcfg_cap_grants {
        const struct tailcfg_cap_grant *items;
        size_t count;
};

/* Either dst_ports or cap_grant, never both. */
struct tailcfg_filter_rule {
        struct tailcfg_strings src_ips;
        bool has_src_bits; /* the forbidden legacy member was there: refuse the filter */
        struct tailcfg_dst_ports dst_ports;
        struct tailcfg_ints ip_proto; /* none: TCP, UDP, ICMPv4, ICMPv6; ignore values outside 0..255 */
        struct tailcfg_cap_grants cap_grant;
};

struct tailcfg_filter_rules {
        const struct tailcfg_filter_rule *items;
        size_t count;
};

enum tailcfg_match_kind {
        TAILCFG_MATCH_ANY,    /* "*" */
        TAILCFG_MATCH_PREFIX, /* an address or a CIDR without host bits */
        TAILCFG_MATCH_RANGE,  /* "a-b", one family, a <= b */
        TAILCFG_MATCH_CAP,    /* "cap:<name>": peers that have the capability; sources only */
};

struct tailcfg_match {
        enum tailcfg_match_kind kind;
        struct ip_prefix prefix;
        struct ip_addr first, last;
        struct slice cap;
};

/* ERR_FORMAT for anything that is none of the forms above. */
enum err MUST_USE tailcfg_match_parse(struct slice text, struct tailcfg_match *out);
/* True if the rules must be refused as a whole: SrcBits or Bits are present. */
bool tailcfg_filter_is_legacy(const struct tailcfg_filter_rules *rules);

TAILCFG_MESSAGE(filter_rule);
/* A list of rules: null or absent reads as items == NULL. */
TAILCFG_MESSAGE(filter_rules);

#endif
