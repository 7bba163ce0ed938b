/*
 * A round: find out what the gateway speaks (250 ms, unless known), then ask it for
 * the mapping (250 ms), then fall back to UPnP. A "no" ends the round: the router
 * understood and refuses. The next refresh begins another one (spec/paths.md 6).
 */
#include "path/portmap.h"

#include <stdlib.h>

#include "base/log.h"
#include "proto/portmap.h"

#define WAIT_US        TIME_MS(250)
#define UPNP_WAIT_US   TIME_S(5)
#define TRUSTED_US     TIME_S(600)  /* a service seen since then needs no probe */
#define PROBE_AGE_US   TIME_S(5)    /* a probe this young that found nothing is believed */
#define PERMANENT_US   TIME_S(3600) /* when to look again at a mapping without end */
#define RENEW_MIN_US   TIME_S(60)   /* whatever short lifetime the router gives */
#define LIFETIME_MAX_S (24 * 3600u)

static const struct log log_portmap = { "portmap" };

enum service { SERVICE_NONE, SERVICE_PMP, SERVICE_PCP, SERVICE_UPNP };
enum phase { PHASE_IDLE, PHASE_PROBE, PHASE_MAP, PHASE_UPNP };

struct mapping {
        enum service by; /* SERVICE_NONE: there is none */
        struct ip_port external;
        uint64_t good_until_us, renew_us;
        uint32_t epoch_s;
};

struct portmap_client {
        const struct portmap_ops *ops;
        void *ctx;
        struct rng *rng;
        bool upnp_enabled;

        struct ip_addr gateway, self;
        uint16_t local_port;

        enum phase phase;
        enum service asking; /* in PHASE_MAP */
        uint64_t phase_ends_us;
        uint64_t probed_us;
        uint64_t pmp_seen_us, pcp_seen_us, upnp_seen_us;

        struct ip_addr pmp_external; /* the router's address; IP_NONE: not known */
        struct pcp_nonce nonce;      /* of the mapping: renewal and deletion repeat it */
        uint16_t last_external_port; /* asked for again */
        struct mapping mapping;
};

struct portmap_client *portmap_client_new(const struct portmap_ops *ops, void *ctx, struct rng *rng)
{
        struct portmap_client *pc = calloc(1, sizeof(*pc));

        if (!pc)
                return NULL;
        pc->ops = ops;
        pc->ctx = ctx;
        pc->rng = rng;
        return pc;
}

/* ---- requests ---- */

static void send(struct portmap_client *pc, struct slice request)
{
        struct ip_port dst = { pc->gateway, PORTMAP_PORT };

        pc->ops->send(pc->ctx, &dst, request);
}

static void send_pmp_address(struct portmap_client *pc)
{
        uint8_t request[PMP_ADDR_REQUEST_LEN];

        pmp_address_request(request);
        send(pc, SLICE_ARRAY(request));
}

static void send_pmp_map(struct portmap_client *pc, uint32_t lifetime_s)
{
        uint8_t request[PMP_MAP_REQUEST_LEN];

        pmp_map_request(pc->local_port, lifetime_s ? pc->last_external_port : 0, lifetime_s, request);
        send(pc, SLICE_ARRAY(request));
}

static void send_pcp_map(struct portmap_client *pc, uint32_t lifetime_s)
{
        struct pcp_map map = { pc->self, pc->nonce, pc->local_port, pc->last_external_port, lifetime_s };
        uint8_t request[PCP_MAP_LEN];

        pcp_map_request(&map, request);
        send(pc, SLICE_ARRAY(request));
}

static void send_probes(struct portmap_client *pc)
{
        uint8_t announce[PCP_ANNOUNCE_LEN];

        send_pmp_address(pc);
        pcp_announce(&pc->self, announce);
        send(pc, SLICE_ARRAY(announce));
}

/* ---- the mapping ---- */

static void enter(struct portmap_client *pc, enum phase phase, uint64_t ends_us)
{
        pc->phase = phase;
        pc->phase_ends_us = ends_us;
}

static void tell(struct portmap_client *pc, const struct now *now)
{
        pc->ops->changed(pc->ctx, &pc->mapping.external, now);
}

static void lose_mapping(struct portmap_client *pc, const struct now *now)
{
        if (pc->mapping.by == SERVICE_NONE)
                return;
        pc->mapping = (struct mapping){ 0 };
        tell(pc, now);
}

static void delete_on_router(struct portmap_client *pc)
{
        switch (pc->mapping.by) {
        case SERVICE_NONE:
                return;
        case SERVICE_PMP:
                send_pmp_map(pc, 0);
                return;
        case SERVICE_PCP:
                send_pcp_map(pc, 0);
                return;
        case SERVICE_UPNP:
                if (pc->ops->upnp)
                        pc->ops->upnp(pc->ctx, pc->local_port, pc->mapping.external.port, 0);
                return;
        }
}

static void take_mapping(struct portmap_client *pc, enum service by, const struct ip_port *external,
        uint32_t lifetime_s, uint32_t epoch_s, const struct now *now)
{
        bool news = pc->mapping.by == SERVICE_NONE || !ip_port_equal(&pc->mapping.external, external);
        uint32_t life = lifetime_s > LIFETIME_MAX_S ? LIFETIME_MAX_S : lifetime_s;
        uint64_t renew_in = TIME_S(life) / 2;

        pc->mapping = (struct mapping){
                .by = by,
                .external = *external,
                .good_until_us = now->mono_us + TIME_S(life),
                .renew_us = now->mono_us + (renew_in > RENEW_MIN_US ? renew_in : RENEW_MIN_US),
                .epoch_s = epoch_s,
        };
        pc->last_external_port = external->port;
        enter(pc, PHASE_IDLE, 0);
        if (!news)
                return;
        char text[IP_TEXT_MAX];
        ip_port_format(external, text);
        log_info(&log_portmap, "the router forwards a port to us", "external=%s lifetime_s=%u", text, life);
        tell(pc, now);
}

static void forget_gateway(struct portmap_client *pc)
{
        pc->pmp_seen_us = pc->pcp_seen_us = pc->upnp_seen_us = pc->probed_us = 0;
        pc->pmp_external = (struct ip_addr){ 0 };
        enter(pc, PHASE_IDLE, 0);
}

void portmap_client_forget(struct portmap_client *pc)
{
        pc->mapping = (struct mapping){ 0 };
        forget_gateway(pc);
}

void portmap_client_free(struct portmap_client *pc)
{
        if (!pc)
                return;
        delete_on_router(pc);
        free(pc);
}

/* ---- a round ---- */

static bool seen_lately(uint64_t seen_us, const struct now *now)
{
        return seen_us && now->mono_us - seen_us <= TRUSTED_US;
}

struct portmap_seen portmap_client_seen(const struct portmap_client *pc, const struct now *now)
{
        return (struct portmap_seen){
                .pmp = seen_lately(pc->pmp_seen_us, now),
                .pcp = seen_lately(pc->pcp_seen_us, now),
                .upnp = seen_lately(pc->upnp_seen_us, now),
        };
}

static void ask_upnp(struct portmap_client *pc, const struct now *now)
{
        if (!pc->upnp_enabled || !pc->ops->upnp) {
                enter(pc, PHASE_IDLE, 0);
                return;
        }
        enter(pc, PHASE_UPNP, now->mono_us + UPNP_WAIT_US);
        pc->ops->upnp(pc->ctx, pc->local_port, pc->last_external_port, PORTMAP_LIFETIME_S);
}

/* Routers that speak both implement NAT-PMP best. */
static void ask_mapping(struct portmap_client *pc, const struct now *now)
{
        struct portmap_seen seen = portmap_client_seen(pc, now);

        if (!seen.pmp && !seen.pcp) {
                ask_upnp(pc, now);
                return;
        }
        enter(pc, PHASE_MAP, now->mono_us + WAIT_US);
        if (seen.pmp) {
                pc->asking = SERVICE_PMP;
                if (!ip_valid(&pc->pmp_external))
                        send_pmp_address(pc);
                send_pmp_map(pc, PORTMAP_LIFETIME_S);
                return;
        }
        pc->asking = SERVICE_PCP;
        if (pc->mapping.by != SERVICE_PCP)
                rng_fill(pc->rng, pc->nonce.b, PCP_NONCE_LEN);
        send_pcp_map(pc, PORTMAP_LIFETIME_S);
}

static bool mapping_due(const struct portmap_client *pc, const struct now *now)
{
        return pc->mapping.by == SERVICE_NONE || now->mono_us >= pc->mapping.renew_us;
}

static void start_round(struct portmap_client *pc, const struct now *now)
{
        struct portmap_seen seen = portmap_client_seen(pc, now);
        bool probed_lately = pc->probed_us && now->mono_us - pc->probed_us < PROBE_AGE_US;
        if (seen.pmp || seen.pcp || probed_lately) {
                ask_mapping(pc, now);
                return;
        }
        pc->probed_us = now->mono_us;
        enter(pc, PHASE_PROBE, now->mono_us + WAIT_US);
        send_probes(pc);
}

void portmap_client_refresh(struct portmap_client *pc, const struct now *now)
{
        if (ip_valid(&pc->gateway) && pc->local_port && pc->phase == PHASE_IDLE && mapping_due(pc, now))
                start_round(pc, now);
}

void portmap_client_set_network(struct portmap_client *pc, const struct ip_addr *gateway,
        const struct ip_addr *self, uint16_t local_port, const struct now *now)
{
        static const struct ip_addr none;
        bool usable = gateway->family == IP_V4 && self->family == IP_V4 && ip_is_private(gateway);

        gateway = usable ? gateway : &none;
        self = usable ? self : &none;
        if (ip_equal(gateway, &pc->gateway) && ip_equal(self, &pc->self) && local_port == pc->local_port)
                return;
        delete_on_router(pc);
        lose_mapping(pc, now);
        forget_gateway(pc);
        pc->gateway = *gateway;
        pc->self = *self;
        pc->local_port = local_port;
}

void portmap_client_set_upnp(struct portmap_client *pc, bool enabled) { pc->upnp_enabled = enabled; }

bool portmap_client_external(const struct portmap_client *pc, const struct now *now, struct ip_port *out)
{
        if (pc->mapping.by == SERVICE_NONE || now->mono_us >= pc->mapping.good_until_us)
                return false;
        *out = pc->mapping.external;
        return true;
}

/* ---- answers ---- */

/* A router whose clock of mappings went back has forgotten them. */
static void check_epoch(struct portmap_client *pc, enum service by, uint32_t epoch_s, const struct now *now)
{
        if (pc->mapping.by != by || epoch_s >= pc->mapping.epoch_s)
                return;
        log_info(&log_portmap, "the router restarted and lost our mapping", NULL);
        lose_mapping(pc, now);
}

static bool external_is_usable(const struct ip_port *external)
{
        return external->ip.family == IP_V4 && !ip_is_unspecified(&external->ip) &&
               !ip_is_loopback(&external->ip) && external->port != 0;
}

/* The mapped port came; the address may come in a packet of its own, before or after. */
static void pmp_mapped(struct portmap_client *pc, const struct pmp_response *r, const struct now *now)
{
        struct ip_port external = { pc->pmp_external, r->external_port };

        if (pc->phase != PHASE_MAP || pc->asking != SERVICE_PMP || r->internal_port != pc->local_port)
                return;
        if (r->result != PMP_OK || r->lifetime_s == 0) {
                enter(pc, PHASE_IDLE, 0);
                return;
        }
        if (external_is_usable(&external))
                take_mapping(pc, SERVICE_PMP, &external, r->lifetime_s, r->epoch_s, now);
        else
                pc->last_external_port = r->external_port; /* the next round has the address */
}

static void pmp_received(struct portmap_client *pc, const struct pmp_response *r, const struct now *now)
{
        check_epoch(pc, SERVICE_PMP, r->epoch_s, now);
        if (r->is_map) {
                pmp_mapped(pc, r, now);
                return;
        }
        if (r->result != PMP_OK) {
                pc->pmp_seen_us = 0;
                return;
        }
        pc->pmp_seen_us = now->mono_us;
        pc->pmp_external = r->external;
        if (ip_is_unspecified(&r->external))
                pc->pmp_external = (struct ip_addr){ 0 };
        else if (pc->phase == PHASE_MAP && pc->asking == SERVICE_PMP)
                send_pmp_map(pc, PORTMAP_LIFETIME_S); /* its answer may have come too early */
}

static void pcp_received(struct portmap_client *pc, const struct pcp_response *r, const struct now *now)
{
        check_epoch(pc, SERVICE_PCP, r->epoch_s, now);
        if (!r->is_map) {
                pc->pcp_seen_us = r->result == PCP_OK ? now->mono_us : 0;
                return;
        }
        if (pc->phase != PHASE_MAP || pc->asking != SERVICE_PCP)
                return;
        if (r->result != PCP_OK) {
                enter(pc, PHASE_IDLE, 0);
                return;
        }
        bool ours =
                memcmp(&r->nonce, &pc->nonce, sizeof(r->nonce)) == 0 && r->internal_port == pc->local_port;
        if (ours && r->lifetime_s && external_is_usable(&r->external))
                take_mapping(pc, SERVICE_PCP, &r->external, r->lifetime_s, r->epoch_s, now);
}

void portmap_client_received(
        struct portmap_client *pc, const struct ip_port *src, struct slice datagram, const struct now *now)
{
        struct pmp_response pmp;
        struct pcp_response pcp;

        if (!ip_valid(&pc->gateway) || !ip_equal(&src->ip, &pc->gateway) || src->port != PORTMAP_PORT)
                return;
        if (pmp_response_parse(datagram, &pmp) == OK)
                pmp_received(pc, &pmp, now);
        else if (pcp_response_parse(datagram, &pcp) == OK)
                pcp_received(pc, &pcp, now);
        if (pc->phase == PHASE_PROBE && pc->pmp_seen_us && pc->pcp_seen_us)
                ask_mapping(pc, now);
}

void portmap_client_upnp_done(
        struct portmap_client *pc, const struct ip_port *external, uint32_t lifetime_s, const struct now *now)
{
        if (pc->phase != PHASE_UPNP)
                return;
        enter(pc, PHASE_IDLE, 0);
        if (!external_is_usable(external))
                return;
        pc->upnp_seen_us = now->mono_us;
        uint32_t life = lifetime_s ? lifetime_s : (uint32_t)(2 * PERMANENT_US / TIME_S(1));
        take_mapping(pc, SERVICE_UPNP, external, life, 0, now);
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t portmap_client_next_deadline_us(const struct portmap_client *pc)
{
        bool idle = pc->phase == PHASE_IDLE;
        uint64_t at = idle ? TIME_NEVER : pc->phase_ends_us;

        if (pc->mapping.by == SERVICE_NONE)
                return at;
        at = earlier(at, pc->mapping.good_until_us);
        return idle ? earlier(at, pc->mapping.renew_us) : at;
}

static void phase_ended(struct portmap_client *pc, const struct now *now)
{
        switch (pc->phase) {
        case PHASE_IDLE:
                return;
        case PHASE_PROBE:
                ask_mapping(pc, now);
                return;
        case PHASE_MAP:
                ask_upnp(pc, now);
                return;
        case PHASE_UPNP:
                enter(pc, PHASE_IDLE, 0);
                return;
        }
}

void portmap_client_run(struct portmap_client *pc, const struct now *now)
{
        if (pc->mapping.by != SERVICE_NONE && now->mono_us >= pc->mapping.good_until_us)
                lose_mapping(pc, now);
        if (pc->phase != PHASE_IDLE && now->mono_us >= pc->phase_ends_us)
                phase_ended(pc, now);
        if (pc->phase == PHASE_IDLE && pc->mapping.by != SERVICE_NONE &&
                now->mono_us >= pc->mapping.renew_us) {
                /* If this fails the mapping stays until it runs out, and halfway
                 * to there is the next time to try. */
                uint64_t left = pc->mapping.good_until_us - now->mono_us;
                pc->mapping.renew_us = now->mono_us + left / 2 + RENEW_MIN_US;
                start_round(pc, now);
        }
}
