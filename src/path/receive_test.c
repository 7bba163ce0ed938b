/* One manager and a scripted peer that may lie: who is answered, and what is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "path/path.h"
#include "proto/disco.h"
#include "proto/stun.h"
#include "proto/tailcfg.h"

enum { KEPT = 256, PEER_REGION = 7 };

struct sent {
        struct ip_port dst; /* by UDP, or */
        uint16_t region;    /* by relay */
        struct public_key peer;
        struct disco_message msg; /* its slices point into plain */
        uint8_t plain[1500];
        size_t packet_len;
};

/* The node key of identity i is 32 bytes of i; its disco secret 32 bytes of 0x80+i. */
struct fixture {
        struct path_manager *m;
        struct rng_seeded rng;
        struct now now;
        struct sent sent[KEPT];
        size_t sent_count, stun_count;
        struct stun_txid stun;
        struct ip_port stun_dst;
        struct path_best best;
        struct path_endpoint endpoints[PATH_ENDPOINTS_MAX];
        size_t endpoint_count;
        unsigned rebinds;
};

static struct public_key node_key(uint8_t who)
{
        struct public_key k;

        memset(k.b, who, KEY_LEN);
        return k;
}

static struct secret_key disco_secret(uint8_t who)
{
        struct secret_key k;

        memset(k.b, 0x80 + who, KEY_LEN);
        return k;
}

static struct public_key disco_public(uint8_t who)
{
        struct secret_key sk = disco_secret(who);
        struct public_key k;

        key_public(&sk, &k);
        return k;
}

static struct ip_port addr(uint8_t host, uint16_t port)
{
        return (struct ip_port){ ip_v4(203, 0, 113, host), port };
}

/* Opens what the manager sends to any of the identities. */
static void record(struct fixture *f, struct slice packet, struct sent *s)
{
        struct slice plain;

        assert_true(packet.len <= 1500);
        s->packet_len = packet.len;
        for (uint8_t who = 1; who < 8; who++) {
                struct secret_key sk = disco_secret(who);
                struct shared_key shared;
                assert_int_equal(box_precompute(path_disco_key(f->m), &sk, &shared), OK);
                if (disco_open(&shared, packet, s->plain, sizeof(s->plain), &plain) != OK)
                        continue;
                assert_int_equal(disco_parse(plain, &s->msg), OK);
                f->sent_count++;
                return;
        }
        fail_msg("sent to nobody we know");
}

static void send_udp(void *ctx, const struct ip_port *dst, struct slice bytes)
{
        struct fixture *f = ctx;

        if (stun_is(bytes)) {
                f->stun_count++;
                f->stun_dst = *dst;
                memcpy(f->stun.b, bytes.ptr + 8, STUN_TXID_LEN);
                return;
        }
        assert_true(f->sent_count < KEPT);
        f->sent[f->sent_count].dst = *dst;
        f->sent[f->sent_count].region = 0;
        record(f, bytes, &f->sent[f->sent_count]);
}

static void send_derp(
        void *ctx, uint16_t home, uint16_t heard, const struct public_key *peer, struct slice packet)
{
        struct fixture *f = ctx;

        assert_true(f->sent_count < KEPT);
        f->sent[f->sent_count].region = home ? home : heard;
        f->sent[f->sent_count].peer = *peer;
        record(f, packet, &f->sent[f->sent_count]);
}

static void path_changed(
        void *ctx, const struct public_key *peer, void *peer_ctx, const struct path_best *best)
{
        struct fixture *f = ctx;

        (void)peer;
        (void)peer_ctx;
        f->best = *best;
}

static void endpoints_changed(void *ctx, const struct path_endpoint *list, size_t n)
{
        struct fixture *f = ctx;

        memcpy(f->endpoints, list, n * sizeof(*list));
        f->endpoint_count = n;
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

static void rebind_wanted(void *ctx, const char *why)
{
        struct fixture *f = ctx;

        (void)why;
        f->rebinds++;
}

static const struct path_ops ops = {
        .rebind_wanted = rebind_wanted,
        .send_udp = send_udp,
        .send_derp = send_derp,
        .path_changed = path_changed,
        .endpoints_changed = endpoints_changed,
        .netinfo_changed = netinfo_changed,
        .home_changed = home_changed,
};

static void set_peer(
        struct fixture *f, uint8_t who, uint8_t disco_of, const struct ip_port *endpoints, size_t n)
{
        struct path_peer_config c = { .node_key = node_key(who),
                .disco_key = disco_public(disco_of),
                .endpoints = endpoints,
                .endpoint_count = n,
                .home_region = PEER_REGION };

        assert_int_equal(path_peer_set(f->m, &c, &f->now), OK);
}

static void advance(struct fixture *f, uint64_t us)
{
        uint64_t end = f->now.mono_us + us;

        for (uint64_t at; (at = path_next_deadline_us(f->m)) <= end;) {
                if (at > f->now.mono_us)
                        f->now.mono_us = at;
                path_run(f->m, &f->now);
        }
        f->now.mono_us = end;
}

static int setup(void **state)
{
        static const struct path_local local = { { IP_V4, { 192, 168, 1, 2 }, 0 }, 24, "eth0", true };
        struct fixture *f = test_calloc(1, sizeof(*f));
        struct public_key own = node_key(0x77);
        struct path_network net = {
                .up = true, .have_v4 = true, .port_v4 = 41641, .locals = &local, .local_count = 1
        };

        f->now.mono_us = TIME_S(100);
        rng_seed(&f->rng, 1);
        f->m = path_manager_new(&(struct path_config){ &ops, f, &f->rng.rng }, &f->now);
        assert_non_null(f->m);
        path_set_node_key(f->m, &own, &f->now);
        path_set_network(f->m, &net, &f->now);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        path_manager_free(f->m);
        test_free(f);
        return 0;
}

/* A packet of identity `who` to the manager. */
static struct slice seal(
        struct fixture *f, uint8_t who, const struct disco_message *msg, uint8_t buf[static 2048])
{
        uint8_t plain_buf[1500];
        struct secret_key sk = disco_secret(who);
        struct public_key sender = disco_public(who);
        struct shared_key shared;
        struct slice plain, packet;

        assert_int_equal(box_precompute(path_disco_key(f->m), &sk, &shared), OK);
        assert_int_equal(disco_write(msg, plain_buf, sizeof(plain_buf), &plain), OK);
        assert_int_equal(disco_seal(&sender, &shared, &f->rng.rng, plain, buf, 2048, &packet), OK);
        return packet;
}

static void by_udp(struct fixture *f, uint8_t who, const struct disco_message *msg, struct ip_port src)
{
        uint8_t buf[2048];

        assert_true(path_udp_received(f->m, &src, seal(f, who, msg, buf), &f->now));
}

static void by_relay(struct fixture *f, uint8_t who, const struct disco_message *msg, uint8_t relay_key)
{
        uint8_t buf[2048];
        struct public_key key = node_key(relay_key);

        assert_true(path_derp_received(f->m, 3, &key, seal(f, who, msg, buf), &f->now));
}

static struct disco_message ping_of(uint8_t who, uint8_t id)
{
        struct disco_message m = { .type = DISCO_PING, .ping = { .node_key = node_key(who) } };

        memset(m.ping.txid.b, id, DISCO_TXID_LEN);
        return m;
}

static struct disco_message call_of(const struct ip_port *list, size_t n, uint8_t *wire, size_t cap)
{
        struct disco_message m = { .type = DISCO_CALL_ME_MAYBE };
        struct writer w = writer_of(wire, cap);

        for (size_t i = 0; i < n; i++)
                wr_ip_port18(&w, &list[i]);
        assert_int_equal(wr_finish(&w, &m.call_me_maybe.wire), OK);
        return m;
}

static const struct sent *last(const struct fixture *f)
{
        assert_true(f->sent_count > 0);
        return &f->sent[f->sent_count - 1];
}

/* ---- pings ---- */

static void strangers_get_no_answer(void **state)
{
        struct fixture *f = *state;
        struct disco_message ping = ping_of(2, 1);

        set_peer(f, 1, 1, NULL, 0);
        by_udp(f, 2, &ping, addr(9, 9));
        by_relay(f, 2, &ping, 2);
        by_relay(f, 2, &ping, 1);
        assert_int_equal(f->sent_count, 0);
        assert_int_equal(path_stats(f->m)->disco_dropped, 3);
}

static void ping_is_answered_to_its_source(void **state)
{
        struct fixture *f = *state;
        struct disco_message ping = ping_of(1, 1);
        struct ip_port src = addr(9, 9);

        set_peer(f, 1, 1, NULL, 0);
        ping.ping.padding = 900;
        by_udp(f, 1, &ping, src);
        assert_int_equal(f->sent_count, 1);
        assert_int_equal(last(f)->msg.type, DISCO_PONG);
        assert_true(ip_port_equal(&last(f)->dst, &src));
        assert_true(ip_port_equal(&last(f)->msg.pong.src, &src));
        assert_memory_equal(&last(f)->msg.pong.txid, &ping.ping.txid, DISCO_TXID_LEN);
        assert_int_equal(last(f)->packet_len, 110); /* a pong is never padded */
        assert_int_equal(path_peer_candidates(f->m, &(struct public_key){ 0 }, NULL, 0), 0);
        struct public_key k = node_key(1);
        assert_int_equal(path_peer_candidates(f->m, &k, NULL, 0), 1);

        by_udp(f, 1, &ping, src); /* a copy, as raw sockets make them */
        assert_int_equal(f->sent_count, 1);
        ping = ping_of(1, 2);
        by_udp(f, 1, &ping, src);
        assert_int_equal(f->sent_count, 2);
}

static void ping_by_relay_is_answered_by_relay(void **state)
{
        struct fixture *f = *state;
        struct disco_message ping = ping_of(1, 1);
        struct ip_port magic = { ip_v4(127, 3, 3, 40), 3 };

        set_peer(f, 1, 1, NULL, 0);
        by_relay(f, 1, &ping, 1);
        assert_int_equal(last(f)->msg.type, DISCO_PONG);
        assert_int_equal(last(f)->region, 3);
        assert_true(ip_port_equal(&last(f)->msg.pong.src, &magic));
        struct public_key k = node_key(1);
        assert_int_equal(path_peer_candidates(f->m, &k, NULL, 0), 0);
        assert_int_equal(f->best.derp_heard, 3);
        path_derp_peer_gone(f->m, 3, &k);
        assert_int_equal(f->best.derp_heard, 0);
}

/* A node shared twice: one disco key, two node keys, and the ping says which. */
static void ping_teaches_only_the_owner_it_names(void **state)
{
        struct fixture *f = *state;
        struct disco_message ping = ping_of(2, 1);
        struct public_key one = node_key(1), two = node_key(2);

        set_peer(f, 1, 1, NULL, 0);
        set_peer(f, 2, 1, NULL, 0);
        by_udp(f, 1, &ping, addr(9, 9));
        assert_int_equal(f->sent_count, 1);
        assert_int_equal(path_peer_candidates(f->m, &one, NULL, 0), 0);
        assert_int_equal(path_peer_candidates(f->m, &two, NULL, 0), 1);
}

static void hostile_packets(void **state)
{
        struct fixture *f = *state;
        struct ip_port src = addr(9, 9);
        struct disco_message ping = ping_of(1, 1);
        uint8_t buf[2048], junk[1500];
        struct public_key relay_key = node_key(1);

        set_peer(f, 1, 1, NULL, 0);
        struct slice packet = seal(f, 1, &ping, buf);
        for (size_t n = 0; n < packet.len; n++) {
                (void)path_udp_received(f->m, &src, slice_make(buf, n), &f->now);
                (void)path_derp_received(f->m, 3, &relay_key, slice_make(buf, n), &f->now);
        }
        for (size_t i = 6; i < packet.len; i++) {
                buf[i] ^= 0x10;
                assert_true(path_udp_received(f->m, &src, packet, &f->now));
                buf[i] ^= 0x10;
        }
        rng_fill(&f->rng.rng, junk, sizeof(junk));
        assert_false(path_udp_received(f->m, &src, SLICE_ARRAY(junk), &f->now));
        static uint8_t huge[70000];
        memcpy(huge, buf, packet.len);
        assert_true(path_udp_received(f->m, &src, SLICE_ARRAY(huge), &f->now));
        assert_int_equal(f->sent_count, 0);
}

/* ---- CallMeMaybe ---- */

static void forged_calls_are_dropped(void **state)
{
        struct fixture *f = *state;
        uint8_t wire[64];
        struct ip_port victim = addr(66, 53);
        struct disco_message call = call_of(&victim, 1, wire, sizeof(wire));

        set_peer(f, 1, 1, NULL, 0);
        set_peer(f, 2, 2, NULL, 0);
        by_udp(f, 1, &call, addr(9, 9)); /* never by UDP */
        by_relay(f, 2, &call, 1);        /* peer 2's box in peer 1's name */
        by_relay(f, 1, &call, 2);
        by_relay(f, 1, &call, 5); /* a stranger who copied a packet */
        assert_int_equal(f->sent_count, 0);
        assert_int_equal(path_stats(f->m)->disco_dropped, 4);
}

static void call_is_answered_by_pings_alone(void **state)
{
        struct fixture *f = *state;
        uint8_t wire[64];
        struct ip_port list[2] = { addr(1, 10), addr(2, 20) };
        struct disco_message call = call_of(list, 2, wire, sizeof(wire));

        set_peer(f, 1, 1, NULL, 0);
        by_relay(f, 1, &call, 1);
        assert_int_equal(f->sent_count, 2);
        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(f->sent[i].msg.type, DISCO_PING);
                assert_int_equal(f->sent[i].packet_len, DISCO_PING_LEN);
        }
        call.call_me_maybe.wire.len = 0;
        by_relay(f, 1, &call, 1); /* an empty one is valid, and takes all back */
        struct public_key k = node_key(1);
        assert_int_equal(path_peer_candidates(f->m, &k, NULL, 0), 0);
}

static void calls_are_limited(void **state)
{
        struct fixture *f = *state;
        uint8_t wire[64];
        struct ip_port where = addr(1, 10);
        struct disco_message call = call_of(&where, 1, wire, sizeof(wire));

        set_peer(f, 1, 1, NULL, 0);
        for (int i = 0; i < 50; i++)
                by_relay(f, 1, &call, 1);
        assert_int_equal(path_stats(f->m)->calls_received, 5);
        advance(f, TIME_S(2));
        for (int i = 0; i < 50; i++)
                by_relay(f, 1, &call, 1);
        assert_int_equal(path_stats(f->m)->calls_received, 7);
}

static void huge_call_is_cut(void **state)
{
        struct fixture *f = *state;
        uint8_t wire[70 * DISCO_ENDPOINT_LEN];
        struct ip_port list[70];
        struct public_key k = node_key(1);

        for (uint8_t i = 0; i < 70; i++)
                list[i] = addr(i, 100);
        struct disco_message call = call_of(list, 70, wire, sizeof(wire));
        set_peer(f, 1, 1, NULL, 0);
        by_relay(f, 1, &call, 1);
        assert_int_equal(path_peer_candidates(f->m, &k, NULL, 0), PATH_CANDIDATES_MAX);
        assert_int_equal(f->sent_count, PATH_CANDIDATES_MAX);
}

/* ---- pongs ---- */

static void pongs_must_fit_a_ping(void **state)
{
        struct fixture *f = *state;
        struct ip_port where = addr(1, 10);
        struct public_key k = node_key(1);

        set_peer(f, 1, 1, &where, 1);
        set_peer(f, 2, 2, NULL, 0);
        path_data_sent(f->m, &k, &f->now);
        assert_int_equal(f->sent[0].msg.type, DISCO_PING);
        struct disco_message pong = { .type = DISCO_PONG,
                .pong = { .txid = f->sent[0].msg.ping.txid, .src = addr(5, 5) } };

        advance(f, TIME_MS(20));
        by_relay(f, 1, &pong, 1);   /* proves nothing of the UDP path */
        by_udp(f, 2, &pong, where); /* not whom we asked */
        assert_int_equal(f->best.udp.ip.family, IP_NONE);
        by_udp(f, 1, &pong, addr(4, 4)); /* from another address: the pinged one counts */
        assert_true(ip_port_equal(&f->best.udp, &where));
        assert_int_equal(f->best.latency_us, TIME_MS(20));
        assert_int_equal(f->best.trusted_until_us, f->now.mono_us + TIME_MS(6500));

        uint64_t until = f->best.trusted_until_us;
        advance(f, TIME_S(1));
        by_udp(f, 1, &pong, where); /* replayed */
        assert_int_equal(f->best.trusted_until_us, until);
        assert_int_equal(path_stats(f->m)->pongs_received, 1);
        assert_int_equal(path_stats(f->m)->pongs_unknown, 3);
}

static void pong_after_the_timeout_is_late(void **state)
{
        struct fixture *f = *state;
        struct ip_port where = addr(1, 10);
        struct public_key k = node_key(1);

        set_peer(f, 1, 1, &where, 1);
        path_data_sent(f->m, &k, &f->now);
        struct disco_message pong = { .type = DISCO_PONG,
                .pong = { .txid = f->sent[0].msg.ping.txid, .src = where } };
        advance(f, TIME_S(5));
        by_udp(f, 1, &pong, where);
        assert_int_equal(f->best.udp.ip.family, IP_NONE);
}

/* ---- what we call with must be fresh ---- */

static void give_map(struct fixture *f)
{
        static const struct tailcfg_derp_node node = {
                .name = SLICE_LIT("7a"), .ipv4 = SLICE_LIT("198.51.100.1"), .ipv6 = SLICE_LIT("none")
        };
        static const struct tailcfg_derp_region region = { .region_id = PEER_REGION, .nodes = { &node, 1 } };
        const struct tailcfg_derp_map map = { .regions = { &region, 1 } };

        assert_int_equal(path_set_derp_map(f->m, &map, &f->now), OK);
}

static void answer_stun(struct fixture *f, struct ip_port mapped)
{
        uint8_t response[STUN_RESPONSE_MAX];
        size_t n = stun_response_write(&f->stun, &mapped, response);

        assert_true(path_udp_received(f->m, &f->stun_dst, slice_make(response, n), &f->now));
}

static unsigned calls_sent(const struct fixture *f)
{
        unsigned n = 0;

        for (size_t i = 0; i < f->sent_count; i++)
                n += f->sent[i].msg.type == DISCO_CALL_ME_MAYBE;
        return n;
}

static void calls_wait_for_fresh_endpoints(void **state)
{
        struct fixture *f = *state;
        struct ip_port where = addr(1, 10), mapped = addr(200, 3333);
        struct public_key k = node_key(1);

        give_map(f);
        set_peer(f, 1, 1, &where, 1);
        path_data_sent(f->m, &k, &f->now);
        assert_int_equal(calls_sent(f), 0); /* we do not know our own endpoints yet */
        advance(f, TIME_MS(1));
        assert_int_equal(f->stun_count, 1);
        answer_stun(f, mapped);
        assert_int_equal(calls_sent(f), 1);
        assert_int_equal(last(f)->region, PEER_REGION);
        assert_true(key_equal(&last(f)->peer, &k));

        struct ip_port told = disco_endpoint(&last(f)->msg.call_me_maybe, 0);
        assert_int_equal(disco_endpoint_count(&last(f)->msg.call_me_maybe), 2); /* STUN and local */
        assert_true(ip_port_equal(&told, &mapped));
        assert_int_equal(f->endpoint_count, 2);
        assert_int_equal(f->endpoints[0].type, PATH_ENDPOINT_STUN);
        assert_int_equal(f->endpoints[1].type, PATH_ENDPOINT_LOCAL);

        advance(f, TIME_S(6)); /* fresh enough: goes at once with the next round */
        assert_int_equal(calls_sent(f), 2);
        assert_int_equal(f->stun_count, 1);
}

static void peer_without_endpoints_is_never_called(void **state)
{
        struct fixture *f = *state;
        struct public_key k = node_key(1);

        give_map(f);
        set_peer(f, 1, 1, NULL, 0);
        path_data_sent(f->m, &k, &f->now);
        advance(f, TIME_MS(1));
        answer_stun(f, addr(200, 3333));
        advance(f, TIME_S(30));
        assert_int_equal(f->sent_count, 0);
}

static void keys_and_removal(void **state)
{
        struct fixture *f = *state;
        struct public_key k = node_key(1), new_disco = disco_public(3);
        struct disco_message ping = ping_of(1, 1);
        struct path_peer_config unreachable = { .node_key = k };

        set_peer(f, 1, 1, NULL, 0);
        path_peer_disco_changed(f->m, &k, &new_disco, &f->now);
        by_udp(f, 1, &ping, addr(9, 9));
        assert_int_equal(f->sent_count, 0);
        by_udp(f, 3, &ping, addr(9, 9));
        assert_int_equal(f->sent_count, 1);
        set_peer(f, 1, 1, NULL, 0); /* the netmap has not heard of it yet */
        ping = ping_of(1, 2);
        by_udp(f, 3, &ping, addr(9, 9));
        assert_int_equal(f->sent_count, 2);

        path_peers_begin(f->m);
        set_peer(f, 2, 2, NULL, 0);
        path_peers_end(f->m, &f->now);
        struct path_best b;
        assert_int_equal(path_peer_best(f->m, &k, &b), ERR_NOTFOUND);
        assert_int_equal(path_peer_set(f->m, &unreachable, &f->now), ERR_RANGE);

        path_set_node_key(f->m, NULL, &f->now); /* logged out */
        ping = ping_of(2, 5);
        by_udp(f, 2, &ping, addr(9, 9));
        assert_int_equal(f->sent_count, 2);
}

static void broken_sockets_are_replaced_in_peace(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < 100; i++)
                path_socket_failed(f->m, &f->now);
        assert_int_equal(f->rebinds, 1);
        advance(f, TIME_S(5));
        path_socket_failed(f->m, &f->now);
        assert_int_equal(f->rebinds, 2);
}

#define FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                FIXTURE(strangers_get_no_answer),
                FIXTURE(ping_is_answered_to_its_source),
                FIXTURE(ping_by_relay_is_answered_by_relay),
                FIXTURE(ping_teaches_only_the_owner_it_names),
                FIXTURE(hostile_packets),
                FIXTURE(forged_calls_are_dropped),
                FIXTURE(call_is_answered_by_pings_alone),
                FIXTURE(calls_are_limited),
                FIXTURE(huge_call_is_cut),
                FIXTURE(pongs_must_fit_a_ping),
                FIXTURE(pong_after_the_timeout_is_late),
                FIXTURE(calls_wait_for_fresh_endpoints),
                FIXTURE(peer_without_endpoints_is_never_called),
                FIXTURE(keys_and_removal),
                FIXTURE(broken_sockets_are_replaced_in_peace),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
