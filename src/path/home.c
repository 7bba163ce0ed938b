/* The home relay region, and what the control server is told of our network
 * (spec/paths.md 2.9, 2.10). */
#include "path_internal.h"

#include <stdio.h>

#include "base/log.h"
#include "proto/tailcfg.h"

static const struct log log_path = { "path" };

/* ---- which relays are alive ---- */

static struct region_heard *heard_slot(struct path_manager *m, uint16_t region)
{
        for (size_t i = 0; i < m->heard_count; i++) {
                if (m->heard[i].region == region)
                        return &m->heard[i];
        }
        if (m->heard_count == NETCHECK_REGIONS_MAX)
                return NULL;
        m->heard[m->heard_count] = (struct region_heard){ .region = region };
        return &m->heard[m->heard_count++];
}

void path_region_note_heard(struct path_manager *m, uint16_t region, const struct now *now)
{
        struct region_heard *slot = heard_slot(m, region);

        if (slot)
                slot->at_us = now->mono_us;
}

uint64_t path_region_heard_us(const struct path_manager *m, uint16_t region)
{
        for (size_t i = 0; i < m->heard_count; i++) {
                if (m->heard[i].region == region)
                        return m->heard[i].at_us;
        }
        return 0;
}

void path_derp_alive(struct path_manager *m, uint16_t region, const struct now *now)
{
        path_region_note_heard(m, region, now);
}

void path_derp_failed(struct path_manager *m, uint16_t region, const struct now *now)
{
        (void)region;
        path_restun(m, "relay connection failed", now);
}

/* ---- choosing the home ---- */

static const struct netcheck_region *region_in_map(const struct path_manager *m, uint16_t id)
{
        for (size_t i = 0; i < m->map.count; i++) {
                if (m->map.regions[i].id == id)
                        return &m->map.regions[i];
        }
        return NULL;
}

static uint16_t random_region(struct path_manager *m)
{
        size_t usable = 0;

        for (size_t i = 0; i < m->map.count; i++)
                usable += !m->map.regions[i].no_measure;
        if (usable == 0)
                return 0;
        size_t pick = (size_t)rng_below(m->rng, usable);
        for (size_t i = 0; i < m->map.count; i++) {
                if (!m->map.regions[i].no_measure && pick-- == 0)
                        return m->map.regions[i].id;
        }
        return 0;
}

static void set_home(struct path_manager *m, uint16_t region)
{
        if (m->home == region)
                return;
        log_info(&log_path, "home relay region chosen", "region=%u before=%u", region, m->home);
        m->home = region;
        m->ops->home_changed(m->ctx, region);
}

static void choose_home(struct path_manager *m)
{
        uint16_t preferred = m->report->preferred;

        if (m->home && !m->control_online)
                return; /* peers could not learn of the move */
        if (preferred)
                set_home(m, preferred);
        else if (!m->home)
                set_home(m, random_region(m));
}

uint16_t path_home_region(const struct path_manager *m) { return m->home; }

void path_set_control_online(struct path_manager *m, bool online, const struct now *now)
{
        bool came = online && !m->control_online;

        (void)now;
        m->control_online = online;
        if (came && m->report) /* a move that was put off */
                path_home_report_done(m, now);
}

/* ---- NetInfo ---- */

static enum tailcfg_opt_bool opt(enum netcheck_opt v)
{
        switch (v) {
        case NETCHECK_UNKNOWN:
                return TAILCFG_UNSET;
        case NETCHECK_FALSE:
                return TAILCFG_FALSE;
        case NETCHECK_TRUE:
                return TAILCFG_TRUE;
        }
        return TAILCFG_UNSET;
}

static enum netcheck_opt known(bool v) { return v ? NETCHECK_TRUE : NETCHECK_FALSE; }

static struct told_netinfo summarize(const struct path_manager *m, const struct now *now)
{
        const struct netcheck_report *r = m->report;
        struct ip_port mapped;
        struct told_netinfo t = {
                .valid = true,
                .mapping_varies = r->mapping_varies,
                .v6 = known(r->v6),
                .os_has_v6 = known(r->os_has_v6),
                .udp = known(r->udp),
                .icmp_v4 = known(r->icmp_v4),
                .upnp = r->upnp,
                .pmp = r->pmp,
                .pcp = r->pcp,
                .have_portmap = m->portmap && portmap_client_external(m->portmap, now, &mapped),
                .home = m->home,
        };

        return t;
}

static bool told_equal(const struct told_netinfo *a, const struct told_netinfo *b)
{
        return a->valid == b->valid && a->mapping_varies == b->mapping_varies && a->v6 == b->v6 &&
               a->os_has_v6 == b->os_has_v6 && a->udp == b->udp && a->icmp_v4 == b->icmp_v4 &&
               a->upnp == b->upnp && a->pmp == b->pmp && a->pcp == b->pcp &&
               a->have_portmap == b->have_portmap && a->home == b->home;
}

struct latency_text {
        char region[16];
};

static void add_latency(
        struct tailcfg_derp_latency *out, struct latency_text *text, uint16_t region, int family, uint64_t us)
{
        int n = snprintf(text->region, sizeof(text->region), "%u-v%d", region, family);

        *out = (struct tailcfg_derp_latency){ slice_make(text->region, (size_t)n), (double)us / 1e6 };
}

static void tell(struct path_manager *m, const struct told_netinfo *t)
{
        struct tailcfg_derp_latency latencies[2 * NETCHECK_REGIONS_MAX];
        struct latency_text texts[2 * NETCHECK_REGIONS_MAX];
        const struct netcheck_report *r = m->report;
        size_t n = 0;

        for (size_t i = 0; i < r->latency_count; i++) {
                const struct netcheck_latency *l = &r->latency[i];
                if (l->v4_us) {
                        add_latency(&latencies[n], &texts[n], l->region, 4, l->v4_us);
                        n++;
                }
                if (l->v6_us) {
                        add_latency(&latencies[n], &texts[n], l->region, 6, l->v6_us);
                        n++;
                }
        }
        struct tailcfg_netinfo info = {
                .mapping_varies_by_dest_ip = opt(t->mapping_varies),
                .working_ipv6 = opt(t->v6),
                .os_has_ipv6 = opt(t->os_has_v6),
                .working_udp = opt(t->udp),
                .working_icmpv4 = opt(t->icmp_v4),
                .have_port_map = t->have_portmap,
                .upnp = opt(t->upnp),
                .pmp = opt(t->pmp),
                .pcp = opt(t->pcp),
                .preferred_derp = t->home,
                .derp_latency = { latencies, n },
        };
        m->ops->netinfo_changed(m->ctx, &info);
}

void path_home_report_done(struct path_manager *m, const struct now *now)
{
        choose_home(m);
        struct told_netinfo t = summarize(m, now);
        if (told_equal(&t, &m->told))
                return;
        m->told = t;
        tell(m, &t);
}

/* ---- the map ---- */

enum err path_set_derp_map(struct path_manager *m, const struct tailcfg_derp_map *map, const struct now *now)
{
        struct netcheck_map next = { 0 };
        enum err e = map ? netcheck_map_convert(map, &next) : OK;

        if (e != OK)
                return e;
        e = netcheck_set_map(m->netcheck, &next);
        if (e != OK) {
                netcheck_map_fini(&next);
                return e;
        }
        netcheck_map_fini(&m->map);
        m->map = next;
        if (m->home && !region_in_map(m, m->home))
                set_home(m, 0);
        path_restun(m, "relay map changed", now);
        return OK;
}

void path_set_derp_address(struct path_manager *m, uint16_t region, size_t node_index,
        const struct ip_addr *addr, const struct now *now)
{
        if (netcheck_set_address(m->netcheck, region, node_index, addr))
                path_restun(m, "relay address resolved", now);
}
