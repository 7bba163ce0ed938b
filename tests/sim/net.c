/* Datagrams on their way, and the NATs that they pass. */
#include "sim.h"

enum { LOWEST_PORT = 1024, HARD_ONE_IN = 6 };

static bool is_cut(const struct world *w, enum host_id h)
{
        return w->now_us < w->hosts[h].cut_until_us;
}

void net_init(struct world *w)
{
        for (unsigned i = 0; i < HOST_COUNT; i++) {
                struct host *h = &w->hosts[i];

                h->has_nat = i < NODE_COUNT;
                h->ip = h->has_nat ? ip_v4(192, 168, (uint8_t)(i + 1), 10) : ip_v4(203, 0, 113, (uint8_t)(10 + i));
                h->outside = h->has_nat ? ip_v4(198, 51, 100, (uint8_t)(i + 1)) : h->ip;
                h->filter = (enum nat_filter)rng_below(&w->rng.rng, NAT_ADDRESS_PORT + 1);
                h->is_hard = rng_below(&w->rng.rng, HARD_ONE_IN) == 0;
                h->keeps_port = !h->is_hard && rng_below(&w->rng.rng, 2);
                h->mapping_lifetime_us = TIME_S(rng_between(&w->rng.rng, 30, 180));
                h->next_port = (uint16_t)rng_between(&w->rng.rng, LOWEST_PORT, 40000);
        }
}

/* A hard NAT shows each destination another port: the far side must let in what comes
 * from a port that it has not sent to. */
bool net_allows_direct(const struct world *w)
{
        const struct host *a = &w->hosts[HOST_NODE_A], *b = &w->hosts[HOST_NODE_B];

        if (a->is_hard && b->is_hard)
                return false;
        if (a->is_hard)
                return b->filter != NAT_ADDRESS_PORT;
        return !b->is_hard || a->filter != NAT_ADDRESS_PORT;
}

void net_nat_reboot(struct world *w, enum host_id h)
{
        memset(w->hosts[h].mappings, 0, sizeof(w->hosts[h].mappings));
}

static bool is_alive(const struct world *w, const struct host *h, const struct nat_mapping *m)
{
        return m->inside && w->now_us - m->used_at_us < h->mapping_lifetime_us;
}

static bool port_is_taken(const struct world *w, const struct host *h, uint16_t port)
{
        for (size_t i = 0; i < NAT_MAPPINGS_MAX; i++) {
                if (is_alive(w, h, &h->mappings[i]) && h->mappings[i].outside == port)
                        return true;
        }
        return false;
}

/* The mapping of an inner port, made anew if it has none or has lost it. */
static struct nat_mapping *map_port(struct world *w, struct host *h, uint16_t inside, const struct ip_port *dst)
{
        const struct ip_port key = h->is_hard ? *dst : (struct ip_port){ 0 };
        struct nat_mapping *place = &h->mappings[0];
        uint16_t outside;

        for (size_t i = 0; i < NAT_MAPPINGS_MAX; i++) {
                struct nat_mapping *m = &h->mappings[i];

                if (is_alive(w, h, m) && m->inside == inside && ip_port_equal(&m->dst, &key))
                        return m;
                if (is_alive(w, h, place) && (!is_alive(w, h, m) || m->used_at_us < place->used_at_us))
                        place = m; /* unused, or for longest */
        }
        *place = (struct nat_mapping){ 0 };
        outside = h->keeps_port ? inside : h->next_port++;
        while (outside < LOWEST_PORT || port_is_taken(w, h, outside))
                outside = h->next_port++;
        *place = (struct nat_mapping){ .inside = inside, .outside = outside, .dst = key };
        return place;
}

static void permit(struct nat_mapping *m, const struct ip_port *dst)
{
        for (size_t i = 0; i < m->permit_count; i++) {
                if (ip_port_equal(&m->permits[i], dst))
                        return;
        }
        if (m->permit_count == NAT_PERMITS_MAX) { /* forget the oldest */
                memmove(m->permits, m->permits + 1, sizeof(m->permits) - sizeof(m->permits[0]));
                m->permit_count--;
        }
        m->permits[m->permit_count++] = *dst;
}

static bool lets_in(const struct host *h, const struct nat_mapping *m, const struct ip_port *src)
{
        if (h->filter == NAT_FULL_CONE)
                return true;
        for (size_t i = 0; i < m->permit_count; i++) {
                if (ip_equal(&m->permits[i].ip, &src->ip) && (h->filter == NAT_ADDRESS || m->permits[i].port == src->port))
                        return true;
        }
        return false;
}

/* The inner port that a packet to an outer one reaches; 0: none. */
static uint16_t enter(const struct world *w, const struct host *h, const struct ip_port *src, uint16_t port)
{
        for (size_t i = 0; i < NAT_MAPPINGS_MAX; i++) {
                const struct nat_mapping *m = &h->mappings[i];

                if (is_alive(w, h, m) && m->outside == port)
                        return lets_in(h, m, src) ? m->inside : 0;
        }
        return 0;
}

static void arrive(struct world *w, struct event *e)
{
        for (unsigned i = 0; i < HOST_COUNT; i++) {
                struct host *h = &w->hosts[i];
                uint16_t port = e->dst.port;

                if (!ip_equal(&h->outside, &e->dst.ip))
                        continue;
                if (h->has_nat)
                        port = enter(w, h, &e->src, port);
                if (!port || !h->is_up || is_cut(w, i))
                        return;
                world_note(w, i, slice_make(e->bytes, e->len));
                if (i == HOST_RELAY)
                        sim_relay_datagram(w->relay, &e->src, port, slice_make(e->bytes, e->len));
                else if (i < NODE_COUNT)
                        sim_node_datagram(w->nodes[i], &e->src, port, slice_make(e->bytes, e->len));
                return;
        }
}

static void travel(struct world *w, const struct ip_port *src, const struct ip_port *dst, struct slice datagram)
{
        struct event *e;

        if (rng_below(&w->rng.rng, 1000000) < w->loss_per_million)
                return;
        e = event_add(w, w->now_us + world_latency_us(w), arrive, datagram);
        e->src = *src;
        e->dst = *dst;
}

void net_send(struct world *w, enum host_id from, uint16_t port, const struct ip_port *dst, struct slice datagram)
{
        struct host *h = &w->hosts[from];
        struct ip_port src = { h->outside, port };

        if (is_cut(w, from))
                return;
        if (h->has_nat) {
                struct nat_mapping *m = map_port(w, h, port, dst);

                m->used_at_us = w->now_us;
                permit(m, dst);
                src.port = m->outside;
        }
        travel(w, &src, dst, datagram);
        if (rng_below(&w->rng.rng, 1000000) < w->duplicate_per_million)
                travel(w, &src, dst, datagram);
}
