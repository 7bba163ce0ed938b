/*
 * The engine with real clients (proto/derp_client.h) on virtual time: each node is
 * a client engine, two buffers for the stream between, and what it was told.
 */
#ifndef RELAY_TEST_WORLD_H
#define RELAY_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/derp_client.h"
#include "relay/relay.h"

enum { STREAM_ROOM = 16 << 10, STREAM_MAX = 64 << 20, NODES_MAX = 80 };

struct node {
        struct derp_client client;
        struct relay_conn *conn; /* NULL: closed */
        struct buf to_relay, to_node;
        bool is_stuck;    /* takes nothing from its stream */
        bool is_blocked;  /* the relay was told to hold on */
        bool is_reading;  /* the relay reads from it */
        int end;          /* enum relay_end, -1 while open */
        unsigned ready, packets, gone_disconnected, gone_not_here, present, pongs;
        struct public_key last_src, last_gone;
        size_t last_len;
        uint8_t last_byte;
        struct derp_peer_present last_present;
};

static struct {
        struct now now;
        struct rng_seeded rng;
        struct relay *relay;
        struct node nodes[NODES_MAX];
        unsigned count;
        bool asks;                     /* admission is asked for */
        struct relay_conn *asked;
        struct ip_addr asked_source;
} world;

/* ---- The relay's surroundings ------------------------------------------- */

static inline bool relay_write(void *io, struct slice head, struct slice tail)
{
        struct node *n = io;

        buf_append_slice(&n->to_node, head);
        buf_append_slice(&n->to_node, tail);
        assert_int_equal(buf_status(&n->to_node), OK);
        n->is_blocked = n->to_node.len >= STREAM_ROOM;
        return !n->is_blocked;
}

static inline size_t relay_queued(void *io)
{
        return ((struct node *)io)->to_node.len;
}

static inline void relay_set_reading(void *io, bool on)
{
        ((struct node *)io)->is_reading = on;
}

static inline void relay_close(void *io, enum relay_end why)
{
        struct node *n = io;

        n->conn = NULL;
        n->end = (int)why;
}

static inline void relay_admit(void *ctx, struct relay_conn *conn, const struct public_key *node, const struct ip_addr *source)
{
        (void)ctx;
        (void)node;
        world.asked = conn;
        world.asked_source = *source;
}

static const struct relay_calls calls = { relay_write, relay_queued, relay_set_reading, relay_close, NULL };
static const struct relay_calls asking_calls = { relay_write, relay_queued, relay_set_reading, relay_close, relay_admit };

/* ---- The nodes ---------------------------------------------------------- */

static inline void node_write(void *ctx, struct slice head, struct slice tail)
{
        struct node *n = ctx;

        buf_append_slice(&n->to_relay, head);
        buf_append_slice(&n->to_relay, tail);
}

static inline void node_ready(void *ctx, const struct public_key *server)
{
        assert_true(key_equal(server, relay_public_key(world.relay)));
        ((struct node *)ctx)->ready++;
}

static inline void node_packet(void *ctx, const struct public_key *src, struct slice packet)
{
        struct node *n = ctx;

        n->packets++;
        n->last_src = *src;
        n->last_len = packet.len;
        n->last_byte = packet.len ? packet.ptr[packet.len - 1] : 0;
}

static inline void node_gone(void *ctx, const struct public_key *peer, enum derp_gone_reason reason)
{
        struct node *n = ctx;

        n->last_gone = *peer;
        if (reason == DERP_GONE_NOT_HERE)
                n->gone_not_here++;
        else
                n->gone_disconnected++;
}

static inline void node_present(void *ctx, const struct derp_peer_present *peer)
{
        struct node *n = ctx;

        n->present++;
        n->last_present = *peer;
}

static inline void node_pong(void *ctx, const uint8_t data[static DERP_PING_LEN])
{
        assert_memory_equal(data, "12345678", DERP_PING_LEN);
        ((struct node *)ctx)->pongs++;
}

static inline void node_closed(void *ctx, enum err e, const char *why)
{
        (void)ctx;
        print_message("client closed: %s: %s\n", err_str(e), why);
}

static const struct derp_client_events events = {
        .write = node_write,
        .ready = node_ready,
        .packet = node_packet,
        .peer_gone = node_gone,
        .peer_present = node_present,
        .pong = node_pong,
        .closed = node_closed,
};

/* Moves what is on the way until nothing moves any more. */
static inline void settle(void)
{
        bool moved = true;

        while (moved) {
                moved = false;
                for (unsigned i = 0; i < world.count; i++) {
                        struct node *n = &world.nodes[i];
                        if (n->conn && n->is_reading && n->to_relay.len) {
                                struct buf b = n->to_relay;
                                n->to_relay = BUF_INIT(STREAM_MAX);
                                relay_conn_input(n->conn, &world.now, buf_slice(&b));
                                buf_fini(&b);
                                moved = true;
                        }
                        if (!n->is_stuck && n->to_node.len) {
                                struct buf b = n->to_node;
                                n->to_node = BUF_INIT(STREAM_MAX);
                                derp_client_input(&n->client, &world.now, buf_slice(&b));
                                buf_fini(&b);
                                if (n->is_blocked && n->conn) {
                                        n->is_blocked = false;
                                        relay_conn_writable(n->conn, &world.now);
                                }
                                moved = true;
                        }
                }
        }
}

/* Runs the clock on, stopping at every deadline of the relay. */
static inline void pass(uint64_t us)
{
        uint64_t until = world.now.mono_us + us;

        for (;;) {
                uint64_t next = relay_deadline(world.relay);
                if (next > until)
                        break;
                if (next > world.now.mono_us)
                        world.now.mono_us = next;
                relay_tick(world.relay, &world.now);
                settle();
        }
        world.now.mono_us = until;
        settle();
}

static inline struct public_key key_no(uint8_t id)
{
        struct secret_key sk;
        struct public_key pk;

        memset(sk.b, id, KEY_LEN);
        key_public(&sk, &pk);
        return pk;
}

static inline struct node *connect_with(uint8_t id, const struct derp_mesh_key *mesh, bool greets)
{
        struct derp_client_config config = {
                .mesh_key = mesh, .can_ack_pings = true, .rng = &world.rng.rng, .events = &events,
        };
        struct ip_port remote = { ip_v4(192, 0, 2, id), 1000 };
        struct derp_connect to = { .host = "relay", .is_upgraded = true };

        assert_true(world.count < NODES_MAX);
        struct node *n = &world.nodes[world.count++];
        *n = (struct node){ .to_relay = BUF_INIT(STREAM_MAX), .to_node = BUF_INIT(STREAM_MAX), .is_reading = true, .end = -1 };
        memset(config.key.b, id, KEY_LEN);
        config.ctx = n;
        derp_client_init(&n->client, &config);
        assert_int_equal(derp_client_start(&n->client, &world.now, &to), OK);
        assert_int_equal(relay_accept(world.relay, &world.now, &remote, false, n, &n->conn), OK);
        if (greets)
                settle();
        else
                n->is_stuck = true;
        return n;
}

static inline struct node *connect_node(uint8_t id)
{
        struct node *n = connect_with(id, NULL, true);

        assert_int_equal(n->ready, 1);
        return n;
}

static inline void disconnect(struct node *n)
{
        relay_conn_end(n->conn, &world.now);
        n->conn = NULL;
        settle();
}

static inline void send_to(struct node *n, uint8_t id, struct slice packet)
{
        struct public_key dst = key_no(id);

        assert_int_equal(derp_client_send(&n->client, &world.now, &dst, packet), OK);
}

static inline struct slice disco_packet(void)
{
        static uint8_t packet[80] = { 0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac };

        return SLICE_ARRAY(packet);
}

static const struct derp_mesh_key mesh_key = { { 1, 2, 3 } };

static inline void start(const struct relay_calls *with, uint64_t rate)
{
        struct relay_config config = {
                .mesh_key = &mesh_key, .rng = &world.rng.rng, .calls = with, .rate = { rate, 0 },
        };

        memset(&world, 0, sizeof(world));
        rng_seed(&world.rng, 1);
        world.now.mono_us = TIME_S(1000);
        memset(config.key.b, 0x77, KEY_LEN);
        assert_int_equal(relay_new(&config, &world.relay), OK);
}

static inline int set_up(void **state)
{
        (void)state;
        start(&calls, 0);
        return 0;
}

static inline int tear_down(void **state)
{
        (void)state;
        relay_free(world.relay);
        for (unsigned i = 0; i < world.count; i++) {
                assert_null(world.nodes[i].conn);
                derp_client_fini(&world.nodes[i].client);
                buf_fini(&world.nodes[i].to_relay);
                buf_fini(&world.nodes[i].to_node);
        }
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
