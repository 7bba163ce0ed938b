/* The addresses a peer may be reached at, and which of two paths is better. */
#include "path_internal.h"

#include <stdlib.h>

/* ---- which of two paths is better (spec 2.8) ---- */

/* What kind of address it is, in points of a hundred of latency. */
static int address_points(const struct ip_addr *ip)
{
        int points = ip->family == IP_V6 ? 10 : 0;

        if (ip_is_loopback(ip))
                return points + 50;
        if (ip_is_link_local(ip))
                return points + 30;
        if (ip_is_private(ip))
                return points + 20;
        return points;
}

/* Integer division on purpose: other clients do, and both ends should agree. In
 * nanoseconds for the same reason, whatever our clock counts in. */
static int latency_points(uint64_t fast_us, uint64_t slow_us)
{
        uint64_t fast_ns = fast_us * 1000, slow_ns = slow_us * 1000;

        return (int)(100 - fast_ns * 100 / slow_ns);
}

bool path_quality_better(const struct quality *a, const struct quality *b)
{
        int a_points = 0, b_points = 0;

        if (!quality_set(a))
                return false;
        if (!quality_set(b))
                return true;
        if (ip_port_equal(&a->addr, &b->addr))
                return a->wire_mtu > b->wire_mtu;

        if (a->latency_us > b->latency_us)
                b_points = latency_points(b->latency_us, a->latency_us);
        else if (b->latency_us > 0)
                a_points = latency_points(a->latency_us, b->latency_us);
        a_points += address_points(&a->addr.ip);
        b_points += address_points(&b->addr.ip);

        if (a_points <= 1 && b_points == 0)
                return false; /* one percent is noise: stay */
        return a_points > b_points;
}

/* ---- the addresses of one peer (spec 2.3) ---- */

bool path_candidate_addr_usable(const struct ip_port *addr)
{
        const struct ip_addr *ip = &addr->ip;

        if (!ip_valid(ip) || addr->port == 0)
                return false;
        if (ip->family == IP_V4 && ip->b[0] == 255)
                return false;
        return !ip_is_unspecified(ip) && !ip_is_multicast(ip);
}

struct candidate *path_candidate_find(struct path_peer *p, const struct ip_port *addr)
{
        for (size_t i = 0; i < p->candidate_count; i++) {
                if (ip_port_equal(&p->candidates[i].addr, addr))
                        return &p->candidates[i];
        }
        return NULL;
}

static bool is_best(const struct path_peer *p, const struct candidate *c)
{
        return quality_set(&p->best) && ip_port_equal(&p->best.addr, &c->addr);
}

static void delete_at(struct path_peer *p, size_t i)
{
        if (is_best(p, &p->candidates[i]))
                path_peer_clear_best(p);
        p->candidates[i] = p->candidates[--p->candidate_count];
}

/* An address that answers is one of the peer's, though it may be silent otherwise. */
static bool has_reason(const struct candidate *c, const struct now *now)
{
        return c->called_us || c->in_netmap || since_us(now, c->heard_us) <= SESSION_ACTIVE_US ||
               since_us(now, c->ponged_us) <= SESSION_ACTIVE_US;
}

void path_candidates_prune(struct path_peer *p, const struct now *now)
{
        for (size_t i = p->candidate_count; i-- > 0;) {
                if (!has_reason(&p->candidates[i], now))
                        delete_at(p, i);
        }
}

static uint64_t last_sign_of_life(const struct candidate *c)
{
        uint64_t at = c->added_us;

        at = c->heard_us > at ? c->heard_us : at;
        at = c->called_us > at ? c->called_us : at;
        return c->ponged_us > at ? c->ponged_us : at;
}

/* The slot to give to a newcomer when the table is full. */
static struct candidate *stalest(struct path_peer *p)
{
        struct candidate *found = NULL;

        for (size_t i = 0; i < p->candidate_count; i++) {
                struct candidate *c = &p->candidates[i];
                if (is_best(p, c))
                        continue;
                if (!found || last_sign_of_life(c) < last_sign_of_life(found))
                        found = c;
        }
        return found;
}

static struct candidate *new_slot(struct path_peer *p, const struct now *now)
{
        if (p->candidate_count == PATH_CANDIDATES_MAX)
                path_candidates_prune(p, now);
        if (p->candidate_count == PATH_CANDIDATES_MAX) {
                p->m->stats.candidates_replaced++;
                return stalest(p);
        }
        if (p->candidate_count == p->candidate_cap) {
                size_t cap = p->candidate_cap ? p->candidate_cap * 2 : 4;
                struct candidate *grown = realloc(p->candidates, cap * sizeof(*grown));
                if (!grown)
                        return NULL;
                p->candidates = grown;
                p->candidate_cap = cap;
        }
        return &p->candidates[p->candidate_count++];
}

struct candidate *path_candidate_add(struct path_peer *p, const struct ip_port *addr, const struct now *now)
{
        struct candidate *c = path_candidate_find(p, addr);

        if (c || !path_candidate_addr_usable(addr))
                return c;
        c = new_slot(p, now);
        if (c)
                *c = (struct candidate){ .addr = *addr, .added_us = now->mono_us };
        return c;
}

void path_candidates_from_netmap(
        struct path_peer *p, const struct ip_port *list, size_t n, const struct now *now)
{
        n = n < PATH_CANDIDATES_MAX ? n : PATH_CANDIDATES_MAX;
        for (size_t i = 0; i < p->candidate_count; i++)
                p->candidates[i].in_netmap = false;
        for (size_t i = 0; i < n; i++) {
                struct candidate *c = path_candidate_add(p, &list[i], now);
                if (c)
                        c->in_netmap = true;
        }
        path_candidates_prune(p, now);
}

/* Link-local addresses of the peer's links mean nothing on ours. */
static bool call_may_name(const struct ip_port *addr)
{
        return !(addr->ip.family == IP_V6 && ip_is_link_local(&addr->ip));
}

void path_candidates_from_call(struct path_peer *p, const struct disco_endpoints *list, const struct now *now)
{
        size_t n = disco_endpoint_count(list);

        n = n < PATH_CANDIDATES_MAX ? n : PATH_CANDIDATES_MAX;
        for (size_t i = 0; i < p->candidate_count; i++)
                p->candidates[i].called_us = 0;
        for (size_t i = 0; i < n; i++) {
                struct ip_port addr = disco_endpoint(list, i);
                struct candidate *c = call_may_name(&addr) ? path_candidate_add(p, &addr, now) : NULL;
                if (c)
                        c->called_us = now->mono_us;
        }
        path_candidates_prune(p, now);
}
