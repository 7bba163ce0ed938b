/* What users ask of the running node: live facts for the status, and pings. */
#include <stdio.h>

#include "base/text.h"
#include "node_internal.h"
#include "proto/tsmp.h"

enum { ACTIVE_US = 120 * 1000000, TSMP_PATIENCE_US = 10 * 1000000 };

/* ---- status ---------------------------------------------------------------------- */

/* A moment of the monotonic clock as a date. */
static struct tailcfg_time date_of(const struct now *now, uint64_t mono_us)
{
        if (!mono_us || mono_us > now->mono_us)
                return (struct tailcfg_time){ 0 };
        return tailcfg_time_ns((now->unix_us - (int64_t)(now->mono_us - mono_us)) * 1000);
}

static void fill_addrs(const struct node *n, const struct node_peer *p, struct arena *arena, struct status_peer *out)
{
        struct ip_port list[PATH_CANDIDATES_MAX];
        size_t count = path_peer_candidates(n->path, &p->key, list, PATH_CANDIDATES_MAX);
        struct slice *texts = ARENA_ARRAY(arena, PATH_CANDIDATES_MAX, struct slice);
        char text[IP_TEXT_MAX];

        for (size_t i = 0; texts && i < count && i < PATH_CANDIDATES_MAX; i++) {
                ip_port_format(&list[i], text);
                texts[out->addrs.count++] = arena_copy(arena, slice_str(text));
        }
        out->addrs.items = texts;
}

void node_fill_peer(void *ctx, const struct tailcfg_node *peer, struct arena *arena, struct status_peer *out)
{
        struct node *n = ctx;
        const struct now now = node_now(n);
        const struct node_peer *p = node_find_peer(n, &peer->key);
        struct dataplane_counters counters;
        struct tunnel_peer_status st = { 0 };
        char text[IP_TEXT_MAX];

        if (!p)
                return;
        dataplane_peer_counters(p->packets, &counters);
        if (p->tunnel)
                tunnel_peer_status(p->tunnel, &now, &st);
        out->in_magic_sock = true;
        out->in_engine = p->tunnel != NULL;
        out->rx_bytes = counters.rx_bytes;
        out->tx_bytes = counters.tx_bytes;
        out->last_write = date_of(&now, counters.last_sent_us);
        out->last_handshake = date_of(&now, st.last_handshake_us);
        out->active = counters.last_sent_us && now.mono_us - counters.last_sent_us < ACTIVE_US;
        fill_addrs(n, p, arena, out);
        if (path_best_use(&p->best, now.mono_us) == PATH_USE_UDP) {
                ip_port_format(&p->best.udp, text);
                out->cur_addr = arena_copy(arena, slice_str(text));
        }
}

void node_fill_self(void *ctx, struct arena *arena, struct status_peer *out)
{
        struct node *n = ctx;
        struct path_endpoint list[PATH_ENDPOINTS_MAX];
        const struct tailcfg_derp_map *map = netmap_derp_map(backend_netmap(n->backend));
        const struct tailcfg_derp_region *home = NULL;
        struct slice *texts = ARENA_ARRAY(arena, PATH_ENDPOINTS_MAX, struct slice);
        char text[IP_TEXT_MAX];

        if (!n->path)
                return;
        size_t count = path_endpoints(n->path, list, PATH_ENDPOINTS_MAX);
        for (size_t i = 0; texts && i < count && i < PATH_ENDPOINTS_MAX; i++) {
                ip_port_format(&list[i].addr, text);
                texts[out->addrs.count++] = arena_copy(arena, slice_str(text));
        }
        out->addrs.items = texts;
        if (map)
                home = tailcfg_derp_region_find(map, path_home_region(n->path));
        if (home)
                out->relay = home->region_code;
        out->in_network_map = netmap_self(backend_netmap(n->backend)) != NULL;
}

/* ---- pings ------------------------------------------------------------------------- */

/* Tokens of pings that the control server asked for; others are the LocalAPI's. */
#define CONTROL_PING ((uint64_t)1 << 63)

static struct node_ping *recall(struct node *n, uint64_t token)
{
        for (size_t i = 0; i < PATH_USER_PINGS_MAX; i++)
                if (n->pings[i].token == token)
                        return &n->pings[i];
        return NULL;
}

static void answer_control(struct node *n, uint64_t token, const struct localapi_ping_result *r)
{
        const struct now now = node_now(n);
        const struct node_ping *asked = recall(n, token);
        char ip[IP_TEXT_MAX];

        if (!n->control || !asked)
                return;
        ip_format(&asked->ip, ip);
        const struct tailcfg_ping_response response = {
                .type = asked->type == PING_TSMP ? SLICE_LIT("TSMP") : SLICE_LIT("disco"),
                .ip = slice_str(ip),
                .node_ip = r->node_ip,
                .node_name = r->node_name,
                .err = r->err,
                .latency_seconds = (double)r->latency_us / 1e6,
                .endpoint = r->endpoint,
                .derp_region_id = r->derp_region,
                .derp_region_code = r->derp_code,
                .is_local_ip = r->is_local_ip,
        };
        control_client_ping_reply(control_io_client(n->control), &now, token & ~CONTROL_PING, &response);
        node_touch(n);
}

/* A node that stops ends the pings of its engine after the LocalAPI and its askers have gone. */
static void answer(struct node *n, uint64_t token, struct localapi_ping_result *r)
{
        if (token & CONTROL_PING)
                answer_control(n, token, r);
        else if (n->api)
                localapi_server_pong(n->api, token, r);
}

static void answer_error(struct node *n, uint64_t token, const char *text)
{
        struct localapi_ping_result r = { .err = slice_str(text) };

        answer(n, token, &r);
}

/* The control server is told of pongs and mistakes only (spec/control.md 5.2). */
static void answer_timeout(struct node *n, uint64_t token, const char *text)
{
        if (!(token & CONTROL_PING))
                answer_error(n, token, text);
}

static const struct tailcfg_node *owner_of_ip(const struct netmap *nm, const struct ip_addr *ip)
{
        const struct tailcfg_node *node = netmap_node_by_ip(nm, ip);

        for (size_t i = 0; !node && i < netmap_peer_count(nm); i++) {
                const struct tailcfg_prefixes allowed = tailcfg_node_allowed_ips(netmap_peer_at(nm, i));
                for (size_t k = 0; k < allowed.count && !node; k++)
                        if (!ip_prefix_is_default(&allowed.items[k]) && ip_prefix_contains(&allowed.items[k], ip))
                                node = netmap_peer_at(nm, i);
        }
        return node;
}

/* Whom the ping was for, if that is not forgotten. */
static void fill_target(struct node *n, uint64_t token, char ip[static IP_TEXT_MAX], struct localapi_ping_result *out)
{
        const struct node_ping *asked = recall(n, token);
        const struct tailcfg_node *node = asked ? netmap_peer_by_key(backend_netmap(n->backend), &asked->key) : NULL;
        struct slice name, rest;

        if (!node)
                return;
        if (node->addresses.count)
                ip_format(&node->addresses.items[0].ip, ip);
        rest = node->name;
        if (!slice_split(&rest, '.', &name) || !name.len)
                name = node->hostinfo ? node->hostinfo->hostname : name;
        out->node_name = name;
        out->node_ip = slice_str(ip);
}

/* A message to the node with that address, from our address of its family.
 * ERR_NOTFOUND if we have none. */
static enum err send_tsmp(struct node *n, const struct tsmp *m, const struct ip_addr *to)
{
        const struct tailcfg_node *self = netmap_self(backend_netmap(n->backend));
        uint8_t packet[TSMP_PACKET_MAX];

        for (size_t i = 0; self && i < self->addresses.count; i++) {
                const struct ip_addr *src = &self->addresses.items[i].ip;
                if (src->family != to->family)
                        continue;
                size_t len = tsmp_packet_write(m, src, to, packet);
                return dataplane_send_packet(n->packets, slice_make(packet, len));
        }
        return ERR_NOTFOUND;
}

void node_tell_disco_key(struct node *n, const struct public_key *peer)
{
        const struct tailcfg_node *them = netmap_peer_by_key(backend_netmap(n->backend), peer);
        const struct tsmp m = { .kind = TSMP_DISCO_KEY, .disco_key = *path_disco_key(n->path) };

        if (them && them->addresses.count && send_tsmp(n, &m, &them->addresses.items[0].ip) != OK)
                log_debug(&node_log, "disco key not told", NULL);
}

static void ping_tsmp(struct node *n, uint64_t token, const struct ip_addr *ip)
{
        const struct now now = node_now(n);
        struct tsmp_ping *free_slot = NULL;

        for (size_t i = 0; i < NODE_TSMP_PINGS_MAX && !free_slot; i++)
                if (!n->tsmp[i].in_use)
                        free_slot = &n->tsmp[i];
        if (!free_slot) {
                answer_error(n, token, "too many pings at once");
                return;
        }
        struct tsmp m = { .kind = TSMP_PING };
        rng_fill(net_rng(), m.token, sizeof m.token);
        enum err err = send_tsmp(n, &m, ip);
        if (err == ERR_NOTFOUND) {
                answer_error(n, token, "this node has no address of that family");
                return;
        }
        if (err)
                log_debug(&node_log, "ping not sent", NULL);
        *free_slot = (struct tsmp_ping){ .in_use = true, .request = token, .sent_us = now.mono_us };
        memcpy(free_slot->token, m.token, sizeof m.token);
}

void node_tsmp_pong(struct node *n, const uint8_t token[static 8])
{
        struct localapi_ping_result r = { .endpoint = { 0 } };
        char ip[IP_TEXT_MAX] = "";

        for (size_t i = 0; i < NODE_TSMP_PINGS_MAX; i++) {
                struct tsmp_ping *p = &n->tsmp[i];
                if (!p->in_use || memcmp(p->token, token, sizeof p->token) != 0)
                        continue;
                p->in_use = false;
                r.latency_us = node_now(n).mono_us - p->sent_us;
                fill_target(n, p->request, ip, &r);
                answer(n, p->request, &r);
                return;
        }
}

void node_tsmp_expire(struct node *n, const struct now *now)
{
        for (size_t i = 0; i < NODE_TSMP_PINGS_MAX; i++) {
                struct tsmp_ping *p = &n->tsmp[i];
                if (!p->in_use || now->mono_us - p->sent_us < TSMP_PATIENCE_US)
                        continue;
                p->in_use = false;
                answer_timeout(n, p->request, "no answer");
        }
}

void node_ping_result(struct node *n, const struct path_ping_result *p)
{
        const struct tailcfg_derp_map *map = netmap_derp_map(backend_netmap(n->backend));
        struct localapi_ping_result r = { .latency_us = p->latency_us, .derp_region = p->derp_region };
        char endpoint[IP_TEXT_MAX], ip[IP_TEXT_MAX] = "";

        if (p->status == ERR_TIMEOUT)
                answer_timeout(n, p->token, "timed out");
        else if (p->status)
                answer_error(n, p->token, err_str(p->status));
        if (p->status)
                return;
        fill_target(n, p->token, ip, &r);
        if (ip_valid(&p->udp.ip)) {
                ip_port_format(&p->udp, endpoint);
                r.endpoint = slice_str(endpoint);
        } else if (map) {
                const struct tailcfg_derp_region *region = tailcfg_derp_region_find(map, p->derp_region);
                if (region)
                        r.derp_code = region->region_code;
        }
        answer(n, p->token, &r);
}

static const char *refusal(enum err e)
{
        switch ((int)e) {
        case ERR_NOTFOUND:
                return "this peer cannot be reached: it has told no disco key";
        case ERR_DENIED:
                return "the peer's key has expired";
        case ERR_LIMIT:
                return "too many pings at once";
        case ERR_RANGE:
                return "a ping of that size is not possible";
        }
        return "no path to ask on yet";
}

static void begin_ping(struct node *n, uint64_t token, const struct ip_addr *ip, enum localapi_ping_type type, size_t size)
{
        const struct now now = node_now(n);
        const struct netmap *nm = backend_netmap(n->backend);
        const struct tailcfg_node *target = owner_of_ip(nm, ip);
        char text[IP_TEXT_MAX], why[128];

        ip_format(ip, text);
        /* A ring: what was asked long ago is of no interest. */
        struct node_ping *asked = &n->pings[n->next_ping++ % PATH_USER_PINGS_MAX];
        *asked = (struct node_ping){ .token = token, .ip = *ip, .type = type };
        if (!n->engine_on) {
                answer_error(n, token, "the node is not running");
        } else if (!target) {
                snprintf(why, sizeof why, "no matching peer for %s", text);
                answer_error(n, token, why);
        } else if (target == netmap_self(nm)) {
                struct localapi_ping_result r = { .is_local_ip = true };
                snprintf(why, sizeof why, "%s is local Tailscale IP", text);
                r.err = slice_str(why);
                r.node_name = target->name;
                answer(n, token, &r);
        } else {
                asked->key = target->key;
                enum err err = OK;
                if (type == PING_TSMP)
                        ping_tsmp(n, token, ip);
                else
                        err = path_ping(n->path, &target->key, size, token, &now);
                if (err)
                        answer_error(n, token, refusal(err));
                node_touch(n);
        }
}

static void ping_for_user(void *ctx, struct localapi_ping *ping, const struct ip_addr *ip, enum localapi_ping_type type,
        size_t size)
{
        begin_ping(ctx, localapi_ping_token(ping), ip, type, size);
}

void node_ping_for_control(struct node *n, uint64_t ping_id, struct slice type, const struct ip_addr *ip)
{
        if (slice_is(type, "disco"))
                begin_ping(n, ping_id | CONTROL_PING, ip, PING_DISCO, 0);
        else if (slice_is(type, "TSMP"))
                begin_ping(n, ping_id | CONTROL_PING, ip, PING_TSMP, 0);
        else
                log_debug(&node_log, "the control server asks for a ping of unknown kind", NULL);
}

static void engine_counts(void *ctx, struct notify_engine *out)
{
        struct node *n = ctx;
        struct dataplane_stats stats = { 0 };

        if (n->packets)
                dataplane_stats(n->packets, &stats);
        *out = (struct notify_engine){
                .rx_bytes = stats.in_bytes,
                .tx_bytes = stats.out_bytes,
                .live_peers = n->live_peers,
                .live_derps = n->relays ? derp_pool_ready(n->relays) : 0,
        };
}

const struct localapi_server_ops node_api_ops = { .ping = ping_for_user, .engine_counts = engine_counts };
