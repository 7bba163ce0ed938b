#include "test_net.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/disco.h"
#include "proto/portmap.h"
#include "proto/stun.h"
#include "proto/tailcfg.h"

enum { PORT = 41641, PMP_EPOCH = 1000 };

/* ---- wires ---- */

static void post(struct test_net *net, struct test_packet p, struct slice bytes, uint64_t delay_us)
{
        if (net->packet_count == NET_PACKETS_MAX)
                abort();
        p.at_us = net->now.mono_us + delay_us;
        p.len = bytes.len;
        p.bytes = malloc(bytes.len + 1);
        if (!p.bytes)
                abort();
        memcpy(p.bytes, bytes.ptr, bytes.len);
        net->packets[net->packet_count++] = p;
}

static bool is_stun_server(const struct ip_port *dst)
{
        return dst->ip.family == IP_V4 && dst->ip.b[0] == 198 && dst->port == STUN_PORT;
}

static bool same_lan(const struct test_host *a, const struct test_host *b)
{
        return a->nat != NAT_OPEN && ip_equal(&a->outside, &b->outside);
}

/* The outside source of a packet to dst; opens the way on the NAT. */
static struct ip_port translate(struct test_host *h, const struct ip_port *dst)
{
        struct ip_port src = { h->outside, PORT };

        if (h->nat == NAT_OPEN)
                return src;
        for (size_t i = 0; i < h->flow_count; i++) {
                if (ip_port_equal(&h->flows[i].dst, dst)) {
                        src.port = h->flows[i].port;
                        return src;
                }
        }
        if (h->flow_count == NET_FLOWS_MAX)
                abort();
        bool eim = h->nat == NAT_EIM_ADF || h->nat == NAT_EIM_APDF;
        src.port = eim ? 33000 : h->next_port++;
        h->flows[h->flow_count++] = (struct test_flow){ *dst, src.port };
        return src;
}

/* What came in by a forwarded port is answered from it, whatever way was open before. */
static void answer_from(struct test_host *h, const struct ip_port *src, uint16_t port)
{
        for (size_t i = 0; i < h->flow_count; i++) {
                if (ip_port_equal(&h->flows[i].dst, src)) {
                        h->flows[i].port = port;
                        return;
                }
        }
        if (h->flow_count < NET_FLOWS_MAX)
                h->flows[h->flow_count++] = (struct test_flow){ *src, port };
}

static bool lets_in(struct test_host *h, const struct ip_port *src, uint16_t port)
{
        if (h->nat == NAT_OPEN)
                return port == PORT;
        for (size_t i = 0; i < h->flow_count; i++) {
                const struct test_flow *f = &h->flows[i];
                if (f->port != port)
                        continue;
                if (!ip_valid(&f->dst.ip)) {
                        answer_from(h, src, port);
                        return true;
                }
                if (h->nat == NAT_EIM_ADF ? ip_equal(&f->dst.ip, &src->ip) : ip_port_equal(&f->dst, src))
                        return true;
        }
        return false;
}

static void route(struct test_host *h, const struct ip_port *dst, struct slice bytes)
{
        struct test_net *net = h->net;

        for (int i = 0; i < net->count; i++) {
                struct test_host *o = &net->hosts[i];
                if (o != h && same_lan(h, o) && ip_equal(&dst->ip, &o->local)) {
                        post(net, (struct test_packet){ .host = i, .src = { h->local, PORT }, .dst = *dst },
                                bytes, TIME_MS(1));
                        return;
                }
        }
        struct ip_port src = translate(h, dst);
        if (is_stun_server(dst)) {
                post(net, (struct test_packet){ .host = -1, .src = src, .dst = *dst }, bytes,
                        net->udp_delay_us);
                return;
        }
        for (int i = 0; i < net->count; i++) {
                if (ip_equal(&dst->ip, &net->hosts[i].outside) && !same_lan(h, &net->hosts[i]))
                        post(net, (struct test_packet){ .host = i, .src = src, .dst = *dst }, bytes,
                                net->udp_delay_us);
        }
}

/* ---- what a manager asks its driver ---- */

static void send_udp(void *ctx, const struct ip_port *dst, struct slice bytes)
{
        struct test_host *h = ctx;

        h->udp_sent++;
        h->stun_sent += stun_is(bytes);
        if (h->nat != NAT_BLOCKED && !h->cut)
                route(h, dst, bytes);
}

static void send_derp(
        void *ctx, uint16_t home, uint16_t heard, const struct public_key *peer, struct slice packet)
{
        struct test_host *h = ctx;

        h->relay_sent++;
        for (int i = 0; i < h->net->count; i++) {
                if (key_equal(&h->net->hosts[i].key, peer))
                        post(h->net,
                                (struct test_packet){
                                        .host = i, .region = home ? home : heard, .from = h->key },
                                packet, h->net->relay_delay_us);
        }
}

static void path_changed(
        void *ctx, const struct public_key *peer, void *peer_ctx, const struct path_best *best)
{
        struct test_host *h = ctx, *about = peer_ctx;

        (void)peer;
        h->best[about - h->net->hosts] = *best;
}

static void endpoints_changed(void *ctx, const struct path_endpoint *list, size_t n)
{
        struct test_host *h = ctx;

        h->endpoint_count = n;
        memcpy(h->endpoints, list, n * sizeof(*list));
        for (int i = 0; i < h->net->count && !h->no_news; i++) {
                if (&h->net->hosts[i] != h && h->net->hosts[i].m)
                        test_net_introduce(&h->net->hosts[i], h);
        }
}

static void netinfo_changed(void *ctx, const struct tailcfg_netinfo *info)
{
        struct test_host *h = ctx;

        (void)info;
        h->netinfos++;
}

static void home_changed(void *ctx, uint16_t region)
{
        struct test_host *h = ctx;

        h->home = region;
        for (int i = 0; i < h->net->count && !h->no_news; i++) {
                if (&h->net->hosts[i] != h && h->net->hosts[i].m)
                        test_net_introduce(&h->net->hosts[i], h);
        }
}

static void ping_result(void *ctx, const struct path_ping_result *result)
{
        struct test_host *h = ctx;

        h->ping = *result;
        h->pinged = true;
}

static void probe_latency(void *ctx, const struct netcheck_latency_probe *probe)
{
        struct test_host *h = ctx;

        (void)probe;
        h->latency_asked++;
}

/* The router answers at once: everything it says is posted as an ordinary packet
 * from the gateway, told apart by its source port. */
static void send_portmap(void *ctx, const struct ip_port *dst, struct slice bytes)
{
        struct test_host *h = ctx;
        uint8_t answer[16] = { 0 };
        struct test_packet p = { .host = (int)(h - h->net->hosts), .src = *dst };

        if (h->nat != NAT_APDM_PMP || bytes.ptr[0] != 0)
                return;
        answer[1] = (uint8_t)(bytes.ptr[1] | 0x80);
        put_be32(answer + 4, PMP_EPOCH);
        if (bytes.ptr[1] == 0) {
                memcpy(answer + 8, h->outside.b, 4);
                post(h->net, p, slice_make(answer, 12), TIME_MS(1));
                return;
        }
        put_be16(answer + 8, PORT);
        put_be16(answer + 10, 55555);
        put_be32(answer + 12, PORTMAP_LIFETIME_S);
        h->flows[h->flow_count++] = (struct test_flow){ .port = 55555 };
        post(h->net, p, slice_make(answer, 16), TIME_MS(1));
}

static uint64_t last_sent_us(void *ctx, const struct public_key *peer, void *peer_ctx)
{
        struct test_host *h = ctx;

        (void)peer;
        (void)peer_ctx;
        return h->net->workers ? h->sent_us : 0;
}

static uint64_t last_received_us(
        void *ctx, const struct public_key *peer, void *peer_ctx, const struct ip_port *from)
{
        (void)peer;
        (void)peer_ctx;
        (void)from;
        return ((struct test_host *)ctx)->received_us;
}

static const struct path_ops ops = {
        .send_udp = send_udp,
        .send_derp = send_derp,
        .path_changed = path_changed,
        .endpoints_changed = endpoints_changed,
        .netinfo_changed = netinfo_changed,
        .home_changed = home_changed,
        .ping_result = ping_result,
        .probe_latency = probe_latency,
        .send_portmap = send_portmap,
        .last_sent_us = last_sent_us,
        .last_received_us = last_received_us,
};

/* ---- making it ---- */

struct test_net *test_net_new(void)
{
        struct test_net *net = calloc(1, sizeof(*net));

        if (!net)
                abort();
        net->now = (struct now){ TIME_S(1000), 1700000000000000 };
        net->udp_delay_us = TIME_MS(10);
        net->relay_delay_us = TIME_MS(40);
        return net;
}

void test_net_free(struct test_net *net)
{
        for (int i = 0; i < net->count; i++)
                path_manager_free(net->hosts[i].m);
        for (size_t i = 0; i < net->packet_count; i++)
                free(net->packets[i].bytes);
        free(net);
}

static void settle(struct test_host *h, enum nat nat, int lan)
{
        uint8_t id = (uint8_t)(h - h->net->hosts + 1);

        h->nat = nat;
        h->outside = ip_v4(203, 0, 113, (uint8_t)(10 + lan));
        h->local = nat == NAT_OPEN ? h->outside : ip_v4(192, 168, (uint8_t)lan, (uint8_t)(id + 1));
        h->flow_count = 0;
        h->next_port = (uint16_t)(40000 + 1000 * id);
        h->interface = (struct path_local){ h->local, 24, "eth0", true };

        struct path_network net = {
                .up = true, .have_v4 = true, .port_v4 = PORT, .locals = &h->interface, .local_count = 1
        };
        if (nat == NAT_APDM_PMP) {
                net.gateway = ip_v4(192, 168, (uint8_t)lan, 1);
                net.gateway_self = h->local;
        }
        path_set_network(h->m, &net, &h->net->now);
}

struct test_host *test_host_add(struct test_net *net, enum nat nat, int lan)
{
        struct test_host *h = &net->hosts[net->count++];

        h->net = net;
        rng_seed(&h->rng, (uint64_t)net->count);
        memset(h->key.b, net->count, KEY_LEN);
        h->m = path_manager_new(&(struct path_config){ &ops, h, &h->rng.rng }, &net->now);
        if (!h->m)
                abort();
        path_set_node_key(h->m, &h->key, &net->now);
        settle(h, nat, lan);
        return h;
}

void test_host_move(struct test_host *h, enum nat nat, int lan)
{
        settle(h, nat, lan);
        path_rebound(h->m, &h->net->now);
}

void test_net_introduce(struct test_host *to, struct test_host *about)
{
        struct ip_port list[PATH_ENDPOINTS_MAX];
        struct path_peer_config config = {
                .node_key = about->key,
                .disco_key = *path_disco_key(about->m),
                .endpoints = list,
                .endpoint_count = about->endpoint_count,
                .home_region = about->home,
                .ctx = about,
        };

        for (size_t i = 0; i < about->endpoint_count; i++)
                list[i] = about->endpoints[i].addr;
        if (path_peer_set(to->m, &config, &to->net->now) != OK)
                abort();
}

static void give_map(struct test_host *h)
{
        static const struct tailcfg_derp_node nodes[2] = {
                { .name = SLICE_LIT("1a"), .ipv4 = SLICE_LIT("198.51.100.1"), .ipv6 = SLICE_LIT("none") },
                { .name = SLICE_LIT("2a"), .ipv4 = SLICE_LIT("198.51.100.2"), .ipv6 = SLICE_LIT("none") },
        };
        const struct tailcfg_derp_region regions[2] = {
                { .region_id = 1, .nodes = { &nodes[0], 1 } },
                { .region_id = 2, .nodes = { &nodes[1], 1 } },
        };
        const struct tailcfg_derp_map map = { .regions = { regions, 2 } };

        if (path_set_derp_map(h->m, &map, &h->net->now) != OK)
                abort();
}

void test_net_join(struct test_net *net)
{
        for (int i = 0; i < net->count; i++) {
                path_set_control_online(net->hosts[i].m, true, &net->now);
                give_map(&net->hosts[i]);
                for (int j = 0; j < net->count; j++) {
                        if (i != j)
                                test_net_introduce(&net->hosts[i], &net->hosts[j]);
                }
        }
}

/* ---- time ---- */

static void answer_stun(struct test_net *net, const struct test_packet *p)
{
        struct stun_txid txid;
        uint8_t response[STUN_RESPONSE_MAX];

        if (stun_request_parse(slice_make(p->bytes, p->len), &txid) != OK)
                abort();
        size_t n = stun_response_write(&txid, &p->src, response);
        for (int i = 0; i < net->count; i++) {
                struct test_host *h = &net->hosts[i];
                if (ip_equal(&h->outside, &p->src.ip) && lets_in(h, &p->dst, p->src.port))
                        post(net, (struct test_packet){ .host = i, .src = p->dst, .dst = p->src },
                                slice_make(response, n), net->udp_delay_us);
        }
}

static void deliver(struct test_net *net, struct test_packet *p)
{
        struct test_host *h = p->host < 0 ? NULL : &net->hosts[p->host];
        struct slice bytes = slice_make(p->bytes, p->len);

        if (!h)
                answer_stun(net, p);
        else if (p->region)
                path_derp_received(h->m, p->region, &p->from, bytes, &net->now);
        else if (p->src.port == PORTMAP_PORT)
                path_portmap_received(h->m, &p->src, bytes, &net->now);
        else if (h->cut || h->nat == NAT_BLOCKED)
                ;
        else if (ip_equal(&p->dst.ip, &h->local) || is_stun_server(&p->src) ||
                 lets_in(h, &p->src, p->dst.port))
                path_udp_received(h->m, &p->src, bytes, &net->now);
        free(p->bytes);
}

static uint64_t next_event_us(const struct test_net *net, size_t *packet)
{
        uint64_t at = TIME_NEVER;

        *packet = SIZE_MAX;
        for (size_t i = 0; i < net->packet_count; i++) {
                if (net->packets[i].at_us < at) {
                        at = net->packets[i].at_us;
                        *packet = i;
                }
        }
        for (int i = 0; i < net->count; i++) {
                uint64_t due = path_next_deadline_us(net->hosts[i].m);
                if (due < at) {
                        at = due;
                        *packet = SIZE_MAX;
                }
        }
        return at;
}

static void advance(struct test_net *net, uint64_t to_us)
{
        if (to_us <= net->now.mono_us)
                return;
        net->now.unix_us += (int64_t)(to_us - net->now.mono_us);
        net->now.mono_us = to_us;
}

static void run_until(struct test_net *net, uint64_t end_us)
{
        size_t at;

        for (uint64_t due; (due = next_event_us(net, &at)) <= end_us;) {
                advance(net, due);
                if (at == SIZE_MAX) {
                        for (int i = 0; i < net->count; i++)
                                path_run(net->hosts[i].m, &net->now);
                        continue;
                }
                struct test_packet p = net->packets[at];
                net->packets[at] = net->packets[--net->packet_count];
                deliver(net, &p);
        }
        advance(net, end_us);
}

/* One packet of the user from a host to another, by whatever path it has now. */
static void user_packet(struct test_host *from, struct test_host *to)
{
        struct test_net *net = from->net;
        const struct path_best *best = &from->best[to - net->hosts];

        if ((path_best_use(best, net->now.mono_us) & PATH_USE_UDP) && !from->cut && !to->cut)
                to->received_us = net->now.mono_us;
        from->sent_us = net->now.mono_us;
        if (net->workers && !best->asleep)
                return;
        from->wakes++;
        path_data_sent(from->m, &to->key, &net->now);
}

void test_net_run(struct test_net *net, uint64_t us, bool traffic)
{
        uint64_t end = net->now.mono_us + us;

        while (net->now.mono_us < end) {
                if (traffic) {
                        user_packet(&net->hosts[0], &net->hosts[1]);
                        user_packet(&net->hosts[1], &net->hosts[0]);
                }
                uint64_t step = net->now.mono_us + TIME_MS(100);
                run_until(net, step < end ? step : end);
        }
}

bool test_is_direct(const struct test_host *a, int peer)
{
        return path_best_use(&a->best[peer], a->net->now.mono_us) == PATH_USE_UDP;
}
