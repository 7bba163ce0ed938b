/*
 * A path manager under random events: the input is a script of one byte a step,
 * with operands behind it. Two peers' real keys seal some of what comes in, so
 * that the fuzzer gets past the box. Nothing may crash, and bounds must hold.
 */
#include <stdlib.h>

#include "base/cursor.h"
#include "path/path.h"
#include "proto/disco.h"
#include "proto/tailcfg.h"

#include "fuzz.h"

struct world {
        struct path_manager *m;
        struct rng_seeded rng;
        struct now now;
        uint8_t last_txid[DISCO_TXID_LEN]; /* of our newest ping to peer 0, as far as it can be opened */
        struct netcheck_latency_probe probe;
        struct ip_port stun_dst;
        uint8_t stun[64];
        size_t stun_len;
};

static struct secret_key disco_secret(unsigned who)
{
        struct secret_key k;

        memset(k.b, (int)(0x80 + who), KEY_LEN);
        return k;
}

static struct public_key node_key(unsigned who)
{
        struct public_key k;

        memset(k.b, (int)(1 + who), KEY_LEN);
        return k;
}

static void learn(struct world *w, struct slice packet)
{
        static uint8_t buf[1 << 16];
        struct secret_key sk = disco_secret(0);
        struct shared_key shared;
        struct slice plain;
        struct disco_message msg;

        if (box_precompute(path_disco_key(w->m), &sk, &shared) != OK)
                return;
        if (disco_open(&shared, packet, buf, sizeof(buf), &plain) != OK)
                return;
        if (disco_parse(plain, &msg) != OK)
                abort(); /* ours are well formed */
        if (msg.type == DISCO_PING)
                memcpy(w->last_txid, msg.ping.txid.b, DISCO_TXID_LEN);
}

static void send_udp(void *ctx, const struct ip_port *dst, struct slice bytes)
{
        struct world *w = ctx;

        if (!ip_valid(&dst->ip) || dst->port == 0)
                abort();
        if (bytes.len > 0 && bytes.len <= sizeof(w->stun)) {
                memcpy(w->stun, bytes.ptr, bytes.len);
                w->stun_len = bytes.len;
                w->stun_dst = *dst;
        }
        learn(w, bytes);
}

static void send_derp(
        void *ctx, uint16_t home, uint16_t heard, const struct public_key *peer, struct slice packet)
{
        (void)peer;
        if (!home && !heard)
                abort();
        learn(ctx, packet);
}

static void path_changed(
        void *ctx, const struct public_key *peer, void *peer_ctx, const struct path_best *best)
{
        (void)ctx;
        (void)peer;
        (void)peer_ctx;
        (void)best;
}

static void endpoints_changed(void *ctx, const struct path_endpoint *list, size_t n)
{
        (void)ctx;
        (void)list;
        if (n > PATH_ENDPOINTS_MAX)
                abort();
}

static void netinfo_changed(void *ctx, const struct tailcfg_netinfo *info)
{
        (void)ctx;
        (void)info;
}

static void home_changed(void *ctx, uint16_t region)
{
        (void)ctx;
        (void)region;
}

static void ping_result(void *ctx, const struct path_ping_result *result)
{
        (void)ctx;
        (void)result;
}

static void probe_latency(void *ctx, const struct netcheck_latency_probe *probe)
{
        ((struct world *)ctx)->probe = *probe;
}

static void send_portmap(void *ctx, const struct ip_port *dst, struct slice datagram)
{
        (void)ctx;
        (void)dst;
        (void)datagram;
}

static void upnp(void *ctx, uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s)
{
        (void)ctx;
        (void)internal_port;
        (void)external_port;
        (void)lifetime_s;
}

static const struct path_ops ops = { .send_udp = send_udp,
        .send_derp = send_derp,
        .path_changed = path_changed,
        .endpoints_changed = endpoints_changed,
        .netinfo_changed = netinfo_changed,
        .home_changed = home_changed,
        .ping_result = ping_result,
        .probe_latency = probe_latency,
        .send_portmap = send_portmap,
        .upnp = upnp };

/* ---- operands ---- */

static struct ip_port rd_addr(struct reader *r)
{
        uint8_t n = rd_u8(r);

        if (n & 1)
                return rd_ip_port18(r);
        return (struct ip_port){ ip_v4(203, 0, 113, n), rd_be16(r) };
}

static struct slice rd_some(struct reader *r)
{
        size_t n = rd_u8(r);

        return rd_take(r, n < rd_left(r) ? n : rd_left(r));
}

static void advance(struct world *w, uint64_t us)
{
        uint64_t end = w->now.mono_us + us;

        for (unsigned rounds = 0; rounds < 1000; rounds++) {
                uint64_t at = path_next_deadline_us(w->m);
                if (at > end)
                        break;
                if (at > w->now.mono_us)
                        w->now.mono_us = at;
                path_run(w->m, &w->now);
        }
        if (w->now.mono_us < end)
                w->now.mono_us = end;
}

/* ---- steps ---- */

static void set_peer(struct world *w, struct reader *r)
{
        struct ip_port endpoints[100];
        size_t n = rd_u8(r) % 100;
        uint8_t flags = rd_u8(r);
        unsigned who = flags & 3;
        struct secret_key sk = disco_secret(flags >> 2 & 1);
        struct path_peer_config c = { .node_key = node_key(who),
                .endpoints = endpoints,
                .endpoint_count = n,
                .home_region = rd_u8(r) & 3,
                .expired = flags & 8,
                .wireguard_only = flags & 16 };

        for (size_t i = 0; i < n; i++)
                endpoints[i] = rd_addr(r);
        if (!(flags & 32))
                key_public(&sk, &c.disco_key);
        (void)!path_peer_set(w->m, &c, &w->now);
}

/* Sealed by a peer's key: either what the script says, or a pong to our last ping. */
static void sealed(struct world *w, struct reader *r)
{
        uint8_t flags = rd_u8(r), buf[2048], pong_buf[64];
        struct secret_key sk = disco_secret(flags & 1);
        struct public_key sender, relay_key = node_key(flags >> 1 & 3);
        struct ip_port src = rd_addr(r);
        struct slice plain = rd_some(r), packet;
        struct shared_key shared;

        if (flags & 8) {
                struct disco_message pong = { .type = DISCO_PONG, .pong = { .src = src } };
                memcpy(pong.pong.txid.b, w->last_txid, DISCO_TXID_LEN);
                if (disco_write(&pong, pong_buf, sizeof(pong_buf), &plain) != OK)
                        return;
        }
        key_public(&sk, &sender);
        if (box_precompute(path_disco_key(w->m), &sk, &shared) != OK)
                abort();
        if (disco_seal(&sender, &shared, &w->rng.rng, plain, buf, sizeof(buf), &packet) != OK)
                return;
        if (flags & 16)
                path_derp_received(w->m, rd_u8(r), &relay_key, packet, &w->now);
        else
                path_udp_received(w->m, &src, packet, &w->now);
}

static void set_network(struct world *w, struct reader *r)
{
        struct path_local locals[4];
        uint8_t flags = rd_u8(r);
        struct path_network net = { .up = flags & 1,
                .have_v4 = flags & 2,
                .have_v6 = flags & 4,
                .port_v4 = rd_be16(r),
                .port_v6 = rd_be16(r),
                .fixed_port = rd_u8(r),
                .locals = locals,
                .local_count = flags >> 6 };

        for (size_t i = 0; i < net.local_count; i++)
                locals[i] = (struct path_local){ rd_addr(r).ip, rd_u8(r) & 127, "eth0", true };
        if (flags & 8) {
                net.gateway = ip_v4(192, 168, 1, 1);
                net.gateway_self = ip_v4(192, 168, 1, 2);
        }
        path_set_network(w->m, &net, &w->now);
        if (flags & 16)
                path_rebound(w->m, &w->now);
}

static void set_map(struct world *w, struct reader *r)
{
        static const struct tailcfg_derp_node nodes[2] = {
                { .ipv4 = SLICE_LIT("198.51.100.1"), .ipv6 = SLICE_LIT("2001:db8::1") },
                { .host_name = SLICE_LIT("relay.example") },
        };
        uint8_t flags = rd_u8(r);
        struct tailcfg_derp_region regions[3];
        struct tailcfg_derp_map map = { .regions = { regions, flags & 3 } };

        for (size_t i = 0; i < (flags & 3); i++)
                regions[i] = (struct tailcfg_derp_region){ .region_id = rd_u8(r) & 3,
                        .no_measure_no_home = flags & 4,
                        .nodes = { nodes, flags >> 3 & 1 ? 2 : 1 } };
        if (path_set_derp_map(w->m, flags & 64 ? NULL : &map, &w->now) != OK)
                abort();
}

static void stun_answer(struct world *w, struct reader *r)
{
        uint8_t buf[128];
        struct slice tail = rd_some(r);

        if (w->stun_len < 20 || tail.len + 20 > sizeof(buf))
                return;
        memcpy(buf, w->stun, 20);
        buf[0] = 1;
        put_be16(buf + 2, (uint16_t)tail.len);
        memcpy(buf + 20, tail.ptr ? tail.ptr : buf, tail.len);
        path_udp_received(w->m, &w->stun_dst, slice_make(buf, 20 + tail.len), &w->now);
}

static void step(struct world *w, struct reader *r)
{
        uint8_t op = rd_u8(r);
        unsigned who = op >> 6;
        struct public_key key = node_key(who);
        struct ip_port addr;

        switch (op & 31) {
        case 0:
        case 1:
                advance(w, TIME_MS(1) << (rd_u8(r) & 31));
                return;
        case 2:
                set_peer(w, r);
                return;
        case 3:
                path_peer_remove(w->m, &key, &w->now);
                return;
        case 4:
        case 5:
        case 6:
                sealed(w, r);
                return;
        case 7:
                path_data_sent(w->m, &key, &w->now);
                return;
        case 8:
                (void)!path_send(w->m, &key, rd_some(r), &w->now);
                return;
        case 9:
                (void)!path_ping(w->m, &key, rd_be16(r), 1, &w->now);
                return;
        case 10:
                set_network(w, r);
                return;
        case 11:
                set_map(w, r);
                return;
        case 12:
                stun_answer(w, r);
                return;
        case 13:
                addr = rd_addr(r);
                path_udp_received(w->m, &addr, rd_some(r), &w->now);
                return;
        case 14:
                path_portmap_received(
                        w->m, &(struct ip_port){ ip_v4(192, 168, 1, 1), 5351 }, rd_some(r), &w->now);
                return;
        case 15:
                addr = rd_addr(r);
                path_upnp_done(w->m, &addr, rd_be32(r), &w->now);
                return;
        case 16:
                w->probe.region = rd_u8(r) & 3;
                path_latency_probed(w->m, &w->probe, rd_u8(r) & 1 ? OK : ERR_TIMEOUT, rd_be32(r), &w->now);
                return;
        case 17:
                addr = rd_addr(r);
                path_wireguard_from(w->m, &key, &addr, &w->now);
                return;
        case 18:
                addr = rd_addr(r);
                path_udp_failed(w->m, &addr, &w->now);
                return;
        case 19:
                path_set_options(w->m,
                        &(struct path_options){ .silent_disco = who & 1, .only_tcp_443 = who & 2 }, &w->now);
                return;
        case 20:
                path_peers_begin(w->m);
                set_peer(w, r);
                path_peers_end(w->m, &w->now);
                return;
        case 21:
                path_set_node_key(w->m, who ? &key : NULL, &w->now);
                return;
        case 22:
                path_set_control_online(w->m, who & 1, &w->now);
                return;
        case 23:
                path_derp_peer_gone(w->m, rd_u8(r) & 3, &key);
                return;
        case 24:
                path_derp_failed(w->m, rd_u8(r) & 3, &w->now);
                return;
        case 25:
                addr = rd_addr(r);
                path_set_derp_address(w->m, rd_u8(r) & 3, rd_u8(r) & 3, &addr.ip, &w->now);
                return;
        case 26:
                addr = rd_addr(r);
                path_set_static_endpoints(w->m, &addr, 1, &w->now);
                return;
        case 27:
                path_socket_failed(w->m, &w->now);
                return;
        default:
                return;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct reader r = reader_of(slice_make(data, len));
        struct world w = { .now = { TIME_S(1000), 0 } };
        struct public_key own = node_key(99);

        rng_seed(&w.rng, 1);
        w.m = path_manager_new(&(struct path_config){ &ops, &w, &w.rng.rng }, &w.now);
        if (!w.m)
                return 0;
        path_set_node_key(w.m, &own, &w.now);
        for (unsigned steps = 0; steps < 500 && rd_left(&r) > 0; steps++)
                step(&w, &r);
        for (unsigned who = 0; who < 4; who++) {
                struct public_key key = node_key(who);
                if (path_peer_candidates(w.m, &key, NULL, 0) > PATH_CANDIDATES_MAX)
                        abort();
        }
        path_manager_free(w.m);
        return 0;
}
