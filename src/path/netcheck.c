#include "netcheck_internal.h"

#include <stdlib.h>

#include "base/log.h"

static const struct log log_netcheck = { "netcheck" };

struct netcheck *netcheck_new(const struct netcheck_ops *ops, void *ctx, struct rng *rng)
{
        struct netcheck *nc = calloc(1, sizeof(*nc));

        if (!nc)
                return NULL;
        nc->ops = ops;
        nc->ctx = ctx;
        nc->rng = rng;
        return nc;
}

void netcheck_free(struct netcheck *nc)
{
        if (!nc)
                return;
        netcheck_stop(nc);
        netcheck_map_fini(&nc->map);
        free(nc->regions);
        free(nc);
}

bool netcheck_running(const struct netcheck *nc) { return nc->phase != PHASE_IDLE; }

void netcheck_stop(struct netcheck *nc)
{
        free(nc->probes);
        nc->probes = NULL;
        nc->probe_count = nc->next_probe = 0;
        nc->phase = PHASE_IDLE;
}

void netcheck_forget(struct netcheck *nc) { nc->have_last = false; }

/* ---- start ---- */

static bool wants_full(const struct netcheck *nc, const struct netcheck_start *how, const struct now *now)
{
        return how->force_full || !nc->have_last || now->mono_us - nc->last_full_us > FULL_INTERVAL_US;
}

static void clear_running(struct netcheck *nc)
{
        for (size_t i = 0; i < nc->map.count; i++) {
                struct region_state *r = &nc->regions[i];
                r->any_us = r->v4_us = r->v6_us = 0;
                r->ended_v4 = r->ended_v6 = false;
        }
        nc->mapping_count = 0;
        nc->first_v4 = (struct ip_port){ 0 };
        nc->enough_us = 0;
        nc->latency_pending = 0;
        nc->next_probe = 0;
}

enum err netcheck_start(struct netcheck *nc, const struct netcheck_start *how, const struct now *now)
{
        if (netcheck_running(nc) || nc->map.count == 0)
                return ERR_STATE;
        nc->how = *how;
        if (how->no_udp)
                nc->how.have_v4 = nc->how.have_v6 = false;
        clear_running(nc);
        nc->report =
                (struct netcheck_report){ .full = wants_full(nc, how, now), .os_has_v6 = how->os_has_v6 };
        if (netcheck_plan(nc, now) != OK) {
                netcheck_stop(nc);
                return ERR_NOMEM;
        }
        nc->round++;
        nc->started_us = now->mono_us;
        nc->phase = PHASE_STUN;
        return OK;
}

/* ---- finish ---- */

static void fill_report(struct netcheck *nc, const struct now *now)
{
        struct netcheck_report *r = &nc->report;

        r->at_us = now->mono_us;
        for (size_t i = 0; i < nc->map.count; i++) {
                const struct region_state *s = &nc->regions[i];
                if (s->any_us)
                        r->latency[r->latency_count++] = (struct netcheck_latency){ nc->map.regions[i].id,
                                s->any_us, s->v4_us, s->v6_us };
        }
        for (size_t i = 0; i < nc->mapping_count && r->extra_count < NETCHECK_EXTRA_MAX; i++) {
                const struct mapping *m = &nc->mappings[i];
                bool global =
                        ip_port_equal(&m->addr, &r->global_v4) || ip_port_equal(&m->addr, &r->global_v6);
                if (m->seen >= 2 && !global)
                        r->extra[r->extra_count++] = m->addr;
        }
}

static void finish(struct netcheck *nc, const struct now *now)
{
        fill_report(nc, now);
        netcheck_history_add(nc, now);
        nc->report.preferred = netcheck_choose_preferred(nc, now);
        if (nc->report.preferred)
                nc->last_preferred = nc->report.preferred;
        nc->have_last = true;
        if (nc->report.full)
                nc->last_full_us = now->mono_us;
        nc->last_had_v6 = nc->report.v6;
        netcheck_stop(nc);
        log_debug(&log_netcheck, "report", "udp=%d v4=%d v6=%d varies=%d preferred=%u regions=%zu",
                nc->report.udp, nc->report.v4, nc->report.v6, nc->report.mapping_varies, nc->report.preferred,
                nc->report.latency_count);
        nc->ops->done(nc->ctx, &nc->report, now);
}

/* ---- STUN ---- */

static struct region_state *state_of(struct netcheck *nc, const struct probe *p)
{
        return &nc->regions[p->region];
}

/* A probe that would teach nothing is not sent, nor are the rest of its set. */
static bool is_worth_sending(struct netcheck *nc, const struct probe *p)
{
        const struct region_state *r = state_of(nc, p);

        if (p->v6 ? r->ended_v6 : r->ended_v4)
                return false;
        if (!r->any_us)
                return true;
        return p->v6 ? !nc->report.v6 : nc->report.mapping_varies == NETCHECK_UNKNOWN;
}

static void send_probe(struct netcheck *nc, struct probe *p, const struct now *now)
{
        const struct netcheck_node *node = &nc->map.regions[p->region].nodes[p->node];
        struct ip_port dst = { p->v6 ? node->v6 : node->v4, node->stun_port };
        uint8_t request[STUN_REQUEST_LEN];

        if (!is_worth_sending(nc, p)) {
                *(p->v6 ? &state_of(nc, p)->ended_v6 : &state_of(nc, p)->ended_v4) = true;
                return;
        }
        p->sent_us = now->mono_us;
        rng_fill(nc->rng, p->txid.b, STUN_TXID_LEN);
        stun_request_write(&p->txid, request);
        nc->ops->send_stun(nc->ctx, &dst, SLICE_ARRAY(request));
}

static void send_due(struct netcheck *nc, const struct now *now)
{
        while (nc->next_probe < nc->probe_count && nc->probes[nc->next_probe].due_us <= now->mono_us)
                send_probe(nc, &nc->probes[nc->next_probe++], now);
}

static struct probe *probe_of(struct netcheck *nc, const struct stun_txid *txid)
{
        for (size_t i = 0; i < nc->next_probe; i++) {
                struct probe *p = &nc->probes[i];
                if (p->sent_us && !p->answered && memcmp(&p->txid, txid, sizeof(*txid)) == 0)
                        return p;
        }
        return NULL;
}

static void note_mapping(struct netcheck *nc, const struct ip_port *addr)
{
        for (size_t i = 0; i < nc->mapping_count; i++) {
                if (ip_port_equal(&nc->mappings[i].addr, addr)) {
                        nc->mappings[i].seen++;
                        return;
                }
        }
        if (nc->mapping_count < MAPPINGS_MAX)
                nc->mappings[nc->mapping_count++] = (struct mapping){ *addr, 1 };
}

/*
 * Whether the NAT gives each destination a mapping of its own shows only in the
 * answers of two servers: a second answer of the same server proves nothing.
 */
static void compare_v4(struct netcheck *nc, const struct probe *p, const struct ip_port *mapped)
{
        const struct ip_addr *server = &nc->map.regions[p->region].nodes[p->node].v4;
        struct netcheck_report *r = &nc->report;

        if (!ip_valid(&nc->first_v4.ip)) {
                nc->first_v4 = *mapped;
                nc->first_v4_server = *server;
                r->global_v4 = *mapped;
        } else if (!ip_port_equal(&nc->first_v4, mapped)) {
                r->mapping_varies = NETCHECK_TRUE;
        } else if (r->mapping_varies == NETCHECK_UNKNOWN && !ip_equal(&nc->first_v4_server, server)) {
                r->mapping_varies = NETCHECK_FALSE;
        }
}

static void note_latency(uint64_t *slot, uint64_t us)
{
        if (*slot == 0 || us < *slot)
                *slot = us;
}

static size_t regions_answered(const struct netcheck *nc)
{
        size_t n = 0;

        for (size_t i = 0; i < nc->map.count; i++)
                n += nc->regions[i].any_us != 0;
        return n;
}

static uint64_t slowest(const struct netcheck *nc)
{
        uint64_t max = 0;

        for (size_t i = 0; i < nc->map.count; i++)
                max = nc->regions[i].any_us > max ? nc->regions[i].any_us : max;
        return max;
}

static void answered(
        struct netcheck *nc, struct probe *p, const struct ip_port *mapped, const struct now *now)
{
        struct region_state *r = state_of(nc, p);
        uint64_t us = now->mono_us > p->sent_us ? now->mono_us - p->sent_us : 1;

        p->answered = true;
        note_latency(&r->any_us, us);
        note_latency(p->v6 ? &r->v6_us : &r->v4_us, us);
        *(p->v6 ? &r->ended_v6 : &r->ended_v4) = true;
        nc->report.udp = true;
        note_mapping(nc, mapped);
        if (p->v6) {
                nc->report.v6 = true;
                nc->report.global_v6 = *mapped;
        } else {
                nc->report.v4 = true;
                compare_v4(nc, p, mapped);
        }
        if (!nc->enough_us && regions_answered(nc) >= ENOUGH_REGIONS)
                nc->enough_us = now->mono_us + slowest(nc) * (nc->report.full ? 2 : 1);
}

static bool all_sets_ended(const struct netcheck *nc)
{
        for (size_t i = 0; i < nc->probe_count; i++) {
                const struct probe *p = &nc->probes[i];
                const struct region_state *r = &nc->regions[p->region];
                if (!(p->v6 ? r->ended_v6 : r->ended_v4))
                        return false;
        }
        return true;
}

bool netcheck_received(
        struct netcheck *nc, const struct ip_port *src, struct slice datagram, const struct now *now)
{
        struct stun_txid txid;
        struct ip_port mapped;

        (void)src; /* a proxy may answer for the server: the id alone decides */
        if (nc->phase != PHASE_STUN || stun_response_parse(datagram, &txid, &mapped) != OK)
                return false;
        struct probe *p = probe_of(nc, &txid);
        if (!p || mapped.ip.family != (p->v6 ? IP_V6 : IP_V4) || mapped.port == 0)
                return false;
        answered(nc, p, &mapped, now);
        if (all_sets_ended(nc))
                finish(nc, now);
        return true;
}

/* ---- latency without UDP ---- */

static void ask_latency(struct netcheck *nc, uint16_t region, enum netcheck_probe_kind kind)
{
        struct netcheck_latency_probe probe = { nc->round, region, kind };

        nc->latency_pending++;
        nc->ops->probe_latency(nc->ctx, &probe);
}

static void start_latency_phase(struct netcheck *nc, const struct now *now)
{
        nc->phase = PHASE_LATENCY;
        for (size_t i = 0; i < nc->map.count && nc->ops->probe_latency; i++) {
                const struct netcheck_region *r = &nc->map.regions[i];
                if (r->no_measure || r->avoid)
                        continue;
                ask_latency(nc, r->id, NETCHECK_HTTPS);
                if (!nc->how.no_udp)
                        ask_latency(nc, r->id, NETCHECK_ICMP);
        }
        if (nc->latency_pending == 0)
                finish(nc, now);
}

void netcheck_latency_probed(struct netcheck *nc, const struct netcheck_latency_probe *probe, enum err status,
        uint64_t latency_us, const struct now *now)
{
        if (nc->phase != PHASE_LATENCY || probe->round != nc->round || nc->latency_pending == 0)
                return;
        for (size_t i = 0; i < nc->map.count && status == OK; i++) {
                if (nc->map.regions[i].id != probe->region)
                        continue;
                note_latency(&nc->regions[i].any_us, latency_us ? latency_us : 1);
                if (probe->kind == NETCHECK_ICMP)
                        nc->report.icmp_v4 = true;
        }
        if (--nc->latency_pending == 0)
                finish(nc, now);
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t stun_phase_ends_us(const struct netcheck *nc)
{
        uint64_t end = nc->started_us + STUN_PHASE_US;

        if (nc->probe_count == 0)
                end = nc->started_us;
        return nc->enough_us ? earlier(end, nc->enough_us) : end;
}

uint64_t netcheck_next_deadline_us(const struct netcheck *nc)
{
        uint64_t at;

        switch (nc->phase) {
        case PHASE_IDLE:
                return TIME_NEVER;
        case PHASE_STUN:
                at = stun_phase_ends_us(nc);
                return nc->next_probe < nc->probe_count ? earlier(at, nc->probes[nc->next_probe].due_us) : at;
        case PHASE_LATENCY:
                return nc->started_us + REPORT_US;
        }
        return TIME_NEVER;
}

void netcheck_run(struct netcheck *nc, const struct now *now)
{
        if (now->mono_us < netcheck_next_deadline_us(nc))
                return;
        if (nc->phase == PHASE_STUN) {
                send_due(nc, now);
                if (!all_sets_ended(nc) && now->mono_us < stun_phase_ends_us(nc))
                        return;
                if (nc->report.udp)
                        finish(nc, now);
                else
                        start_latency_phase(nc, now);
        } else if (nc->phase == PHASE_LATENCY) {
                finish(nc, now);
        }
}
