/*
 * For tests: one manager and a scripted peer that may lie. What the manager sends is
 * opened and kept; what it is sent is sealed by whichever identity the test names.
 */
#ifndef PATH_TEST_PEER_H
#define PATH_TEST_PEER_H

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

static inline struct public_key node_key(uint8_t who)
{
        struct public_key k;

        memset(k.b, who, KEY_LEN);
        return k;
}

static inline struct secret_key disco_secret(uint8_t who)
{
        struct secret_key k;

        memset(k.b, 0x80 + who, KEY_LEN);
        return k;
}

static inline struct public_key disco_public(uint8_t who)
{
        struct secret_key sk = disco_secret(who);
        struct public_key k;

        key_public(&sk, &k);
        return k;
}

static inline struct ip_port addr(uint8_t host, uint16_t port)
{
        return (struct ip_port){ ip_v4(203, 0, 113, host), port };
}

/* Opens what the manager sends to any of the identities. */
static inline void record(struct fixture *f, struct slice packet, struct sent *s)
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

static inline void send_udp(void *ctx, const struct ip_port *dst, struct slice bytes)
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

static inline void send_derp(
        void *ctx, uint16_t home, uint16_t heard, const struct public_key *peer, struct slice packet)
{
        struct fixture *f = ctx;

        assert_true(f->sent_count < KEPT);
        f->sent[f->sent_count].region = home ? home : heard;
        f->sent[f->sent_count].peer = *peer;
        record(f, packet, &f->sent[f->sent_count]);
}

static inline void path_changed(
        void *ctx, const struct public_key *peer, void *peer_ctx, const struct path_best *best)
{
        struct fixture *f = ctx;

        (void)peer;
        (void)peer_ctx;
        f->best = *best;
}

static inline void endpoints_changed(void *ctx, const struct path_endpoint *list, size_t n)
{
        struct fixture *f = ctx;

        memcpy(f->endpoints, list, n * sizeof(*list));
        f->endpoint_count = n;
}

static inline void netinfo_changed(void *ctx, const struct tailcfg_netinfo *info)
{
        (void)ctx;
        (void)info;
}

static inline void home_changed(void *ctx, uint16_t region)
{
        (void)ctx;
        (void)region;
}

static inline void rebind_wanted(void *ctx, const char *why)
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

static inline void set_peer(
        struct fixture *f, uint8_t who, uint8_t disco_of, const struct ip_port *endpoints, size_t n)
{
        struct path_peer_config c = { .node_key = node_key(who),
                .disco_key = disco_public(disco_of),
                .endpoints = endpoints,
                .endpoint_count = n,
                .home_region = PEER_REGION };

        assert_int_equal(path_peer_set(f->m, &c, &f->now), OK);
}

static inline void advance(struct fixture *f, uint64_t us)
{
        uint64_t end = f->now.mono_us + us;

        for (uint64_t at; (at = path_next_deadline_us(f->m)) <= end;) {
                if (at > f->now.mono_us)
                        f->now.mono_us = at;
                path_run(f->m, &f->now);
        }
        f->now.mono_us = end;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
        struct fixture *f = *state;

        path_manager_free(f->m);
        test_free(f);
        return 0;
}

/* A packet of identity `who` to the manager. */
static inline struct slice seal(
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

static inline void by_udp(struct fixture *f, uint8_t who, const struct disco_message *msg, struct ip_port src)
{
        uint8_t buf[2048];

        assert_true(path_udp_received(f->m, &src, seal(f, who, msg, buf), &f->now));
}

static inline void by_relay(struct fixture *f, uint8_t who, const struct disco_message *msg, uint8_t relay_key)
{
        uint8_t buf[2048];
        struct public_key key = node_key(relay_key);

        assert_true(path_derp_received(f->m, 3, &key, seal(f, who, msg, buf), &f->now));
}

static inline struct disco_message ping_of(uint8_t who, uint8_t id)
{
        struct disco_message m = { .type = DISCO_PING, .ping = { .node_key = node_key(who) } };

        memset(m.ping.txid.b, id, DISCO_TXID_LEN);
        return m;
}

static inline struct disco_message call_of(const struct ip_port *list, size_t n, uint8_t *wire, size_t cap)
{
        struct disco_message m = { .type = DISCO_CALL_ME_MAYBE };
        struct writer w = writer_of(wire, cap);

        for (size_t i = 0; i < n; i++)
                wr_ip_port18(&w, &list[i]);
        assert_int_equal(wr_finish(&w, &m.call_me_maybe.wire), OK);
        return m;
}

static inline const struct sent *last(const struct fixture *f)
{
        assert_true(f->sent_count > 0);
        return &f->sent[f->sent_count - 1];
}

#define FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
