#include "rules.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"

static const struct log log_filter = { "filter" };

enum { ARENA_MAX = 256 << 20 }; /* for a rule set of about a million entries */

/* A rule being compiled, both families at once. */
struct rule_sets {
        struct addr_set srcs[FAMILIES], cap_srcs[FAMILIES];
        struct filter_dst *dsts[FAMILIES];
        size_t dst_counts[FAMILIES];
};

static struct addr_range range_between(const struct ip_addr *first, const struct ip_addr *last)
{
        return (struct addr_range){ addr_num_of(first), addr_num_of(last) };
}

static const struct addr_range everything[FAMILIES] = {
        { { 0, 0 }, { 0, UINT32_MAX } },
        { { 0, 0 }, { UINT64_MAX, UINT64_MAX } },
};

/* ---- sources ------------------------------------------------------------- */

static bool peer_has_cap(const struct filter_peer *peer, struct slice cap)
{
        if (peer->unsigned_peerapi_only)
                return false;
        for (size_t i = 0; i < peer->cap_count; i++) {
                if (slice_equal(peer->caps[i], cap))
                        return true;
        }
        return false;
}

/* "cap:NAME": the own addresses, not the routes, of the peers that have it. */
static void add_cap_sources(
        const struct filter_options *o, struct arena *a, struct slice cap, struct rule_sets *sets)
{
        for (size_t i = 0; i < o->peer_count; i++) {
                const struct filter_peer *peer = &o->peers[i];
                for (size_t k = 0; peer_has_cap(peer, cap) && k < peer->address_count; k++) {
                        struct ip_prefix host = ip_host_prefix(peer->addresses[k].ip);
                        addr_set_add(&sets->cap_srcs[family_index(&host.ip)], a, addr_range_of(&host));
                }
        }
}

static void add_source(
        const struct filter_options *o, struct arena *a, struct slice text, struct rule_sets *sets)
{
        struct tailcfg_match m;

        if (tailcfg_match_parse(text, &m) != OK) {
                log_debug(&log_filter, "skipping a bad source", "text=%.*s", SLICE_ARGS(text));
                return;
        }
        switch (m.kind) {
        case TAILCFG_MATCH_ANY:
                for (unsigned f = 0; f < FAMILIES; f++)
                        addr_set_add(&sets->srcs[f], a, everything[f]);
                break;
        case TAILCFG_MATCH_PREFIX:
                addr_set_add(&sets->srcs[family_index(&m.prefix.ip)], a, addr_range_of(&m.prefix));
                break;
        case TAILCFG_MATCH_RANGE:
                addr_set_add(&sets->srcs[family_index(&m.first)], a, range_between(&m.first, &m.last));
                break;
        case TAILCFG_MATCH_CAP:
                add_cap_sources(o, a, m.cap, sets);
                break;
        }
}

static void add_sources(const struct filter_options *o, struct arena *a,
        const struct tailcfg_filter_rule *rule, struct rule_sets *sets)
{
        for (size_t i = 0; i < rule->src_ips.count; i++)
                add_source(o, a, rule->src_ips.items[i], sets);
        for (unsigned f = 0; f < FAMILIES; f++) {
                addr_set_sort(&sets->srcs[f]);
                addr_set_sort(&sets->cap_srcs[f]);
        }
}

/* ---- destinations and protocols ------------------------------------------ */

static void add_dst(struct rule_sets *sets, unsigned family, struct addr_range range,
        const struct tailcfg_port_range *ports)
{
        sets->dsts[family][sets->dst_counts[family]++] =
                (struct filter_dst){ range, ports->first, ports->last };
}

static void add_dst_port(const struct tailcfg_dst_port *dp, struct rule_sets *sets)
{
        struct tailcfg_match m;

        if (tailcfg_match_parse(dp->ip, &m) != OK || m.kind == TAILCFG_MATCH_CAP) {
                log_debug(&log_filter, "skipping a bad destination", "text=%.*s", SLICE_ARGS(dp->ip));
        } else if (m.kind == TAILCFG_MATCH_ANY) {
                for (unsigned f = 0; f < FAMILIES; f++)
                        add_dst(sets, f, everything[f], &dp->ports);
        } else if (m.kind == TAILCFG_MATCH_PREFIX) {
                add_dst(sets, family_index(&m.prefix.ip), addr_range_of(&m.prefix), &dp->ports);
        } else {
                add_dst(sets, family_index(&m.first), range_between(&m.first, &m.last), &dp->ports);
        }
}

static void set_proto(uint64_t protos[static 4], unsigned proto)
{
        protos[proto / 64] |= UINT64_C(1) << proto % 64;
}

/* An empty list means the usual four; one whose every entry is out of range matches nothing. */
static void read_protos(const struct tailcfg_ints *list, uint64_t protos[static 4])
{
        if (list->count == 0) {
                set_proto(protos, IP_PROTO_TCP);
                set_proto(protos, IP_PROTO_UDP);
                set_proto(protos, IP_PROTO_ICMP4);
                set_proto(protos, IP_PROTO_ICMP6);
        }
        for (size_t i = 0; i < list->count; i++) {
                if (list->items[i] >= 0 && list->items[i] <= UINT8_MAX)
                        set_proto(protos, (unsigned)list->items[i]);
        }
}

static void add_matches(struct filter *f, const struct tailcfg_filter_rule *rule, struct rule_sets *sets)
{
        for (unsigned i = 0; i < FAMILIES; i++) {
                sets->dsts[i] = ARENA_ARRAY(&f->arena, rule->dst_ports.count, struct filter_dst);
                if (!sets->dsts[i])
                        return;
        }
        for (size_t i = 0; i < rule->dst_ports.count; i++)
                add_dst_port(&rule->dst_ports.items[i], sets);
        for (unsigned i = 0; i < FAMILIES; i++) {
                struct filter_family *family = &f->families[i];
                if (sets->dst_counts[i] == 0 || sets->srcs[i].count + sets->cap_srcs[i].count == 0)
                        continue;
                struct filter_match *m = &family->matches[family->match_count++];
                read_protos(&rule->ip_proto, m->protos);
                m->srcs = sets->srcs[i];
                m->cap_srcs = sets->cap_srcs[i];
                m->dsts = sets->dsts[i];
                m->dst_count = sets->dst_counts[i];
        }
}

/* ---- capability grants --------------------------------------------------- */

static const struct slice *copy_values(struct arena *a, const struct tailcfg_raws *values)
{
        struct slice *out = ARENA_ARRAY(a, values->count, struct slice);

        for (size_t i = 0; out && i < values->count; i++)
                out[i] = arena_copy(a, values->items[i]);
        return out;
}

static void add_grant(struct filter *f, const struct rule_sets *sets, const struct ip_prefix *dst,
        struct slice name, const struct tailcfg_raws *values)
{
        unsigned i = family_index(&dst->ip);
        struct filter_family *family = &f->families[i];

        if (sets->srcs[i].count == 0)
                return;
        struct filter_cap *cap = &family->caps[family->cap_count++];
        struct addr_set *srcs = ARENA_NEW(&f->arena, struct addr_set);
        if (srcs)
                *srcs = sets->srcs[i];
        *cap = (struct filter_cap){
                .srcs = srcs,
                .dst = addr_range_of(dst),
                .name = arena_copy(&f->arena, name),
                .values = values ? copy_values(&f->arena, values) : NULL,
                .value_count = values ? values->count : 0,
        };
}

static void add_grants(struct filter *f, const struct tailcfg_filter_rule *rule, const struct rule_sets *sets)
{
        for (size_t i = 0; i < rule->cap_grant.count; i++) {
                const struct tailcfg_cap_grant *g = &rule->cap_grant.items[i];
                for (size_t d = 0; d < g->dsts.count; d++) {
                        for (size_t k = 0; k < g->caps.count; k++)
                                add_grant(f, sets, &g->dsts.items[d], g->caps.items[k], NULL);
                        for (size_t k = 0; k < g->cap_map.count; k++)
                                add_grant(f, sets, &g->dsts.items[d], g->cap_map.items[k].name,
                                        &g->cap_map.items[k].values);
                }
        }
}

static size_t count_grants(const struct filter_options *o)
{
        size_t n = 0;

        for (size_t r = 0; r < o->rule_count; r++) {
                for (size_t i = 0; i < o->rules[r].cap_grant.count; i++) {
                        const struct tailcfg_cap_grant *g = &o->rules[r].cap_grant.items[i];
                        n += g->dsts.count * (g->caps.count + g->cap_map.count);
                }
        }
        return n;
}

/* ---- the whole ----------------------------------------------------------- */

/* A peer that the tailnet lock did not sign may only reach our PeerAPI; rules that
 * would let it in come from a server that must not be believed. */
static bool admits_unsigned_peer(const struct filter_options *o, const struct rule_sets *sets)
{
        for (size_t i = 0; i < o->peer_count; i++) {
                const struct filter_peer *peer = &o->peers[i];
                for (size_t k = 0; peer->unsigned_peerapi_only && k < peer->allowed_ip_count; k++) {
                        struct addr_range r = addr_range_of(&peer->allowed_ips[k]);
                        if (addr_set_overlaps(&sets->srcs[family_index(&peer->allowed_ips[k].ip)], &r))
                                return true;
                }
        }
        return false;
}

static void add_rule(struct filter *f, const struct filter_options *o, const struct tailcfg_filter_rule *rule)
{
        struct rule_sets sets = { 0 };

        add_sources(o, &f->arena, rule, &sets);
        if (rule->dst_ports.count > 0) {
                f->is_invalid |= admits_unsigned_peer(o, &sets);
                add_matches(f, rule, &sets);
        }
        add_grants(f, rule, &sets);
}

static void add_rules(struct filter *f, const struct filter_options *o)
{
        size_t grants = count_grants(o);

        for (unsigned i = 0; i < FAMILIES; i++) {
                f->families[i].matches = ARENA_ARRAY(&f->arena, o->rule_count, struct filter_match);
                f->families[i].caps = ARENA_ARRAY(&f->arena, grants, struct filter_cap);
        }
        for (size_t i = 0; i < o->rule_count && !arena_failed(&f->arena); i++)
                add_rule(f, o, &o->rules[i]);
        if (!f->is_invalid)
                return;
        for (unsigned i = 0; i < FAMILIES; i++)
                f->families[i].match_count = f->families[i].cap_count = 0;
}

struct filter *filter_new(const struct filter_options *o)
{
        static _Atomic uint64_t last_id;
        struct filter *f = calloc(1, sizeof(*f));
        struct tailcfg_filter_rules rules = { o->rules, o->rule_count };

        if (!f)
                return NULL;
        f->id = atomic_fetch_add(&last_id, 1) + 1;
        arena_init(&f->arena, ARENA_MAX);
        for (size_t i = 0; i < o->local_count; i++)
                addr_set_add(&f->families[family_index(&o->local[i].ip)].local, &f->arena,
                        addr_range_of(&o->local[i]));
        for (unsigned i = 0; i < FAMILIES; i++)
                addr_set_sort(&f->families[i].local);
        if (tailcfg_filter_is_legacy(&rules))
                f->is_invalid = true;
        else if (!o->shields_up && o->rule_count > 0)
                add_rules(f, o);
        if (!arena_failed(&f->arena))
                return f;
        filter_free(f);
        return NULL;
}

void filter_free(struct filter *f)
{
        if (!f)
                return;
        arena_fini(&f->arena);
        free(f);
}

bool filter_is_invalid(const struct filter *f) { return f->is_invalid; }
