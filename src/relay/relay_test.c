/*
 * The engine with real clients (proto/derp_client.h) on virtual time: each node is
 * a client engine, two buffers for the stream between, and what it was told.
 */
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

static bool relay_write(void *io, struct slice head, struct slice tail)
{
        struct node *n = io;

        buf_append_slice(&n->to_node, head);
        buf_append_slice(&n->to_node, tail);
        assert_int_equal(buf_status(&n->to_node), OK);
        n->is_blocked = n->to_node.len >= STREAM_ROOM;
        return !n->is_blocked;
}

static size_t relay_queued(void *io)
{
        return ((struct node *)io)->to_node.len;
}

static void relay_set_reading(void *io, bool on)
{
        ((struct node *)io)->is_reading = on;
}

static void relay_close(void *io, enum relay_end why)
{
        struct node *n = io;

        n->conn = NULL;
        n->end = (int)why;
}

static void relay_admit(void *ctx, struct relay_conn *conn, const struct public_key *node, const struct ip_addr *source)
{
        (void)ctx;
        (void)node;
        world.asked = conn;
        world.asked_source = *source;
}

static const struct relay_calls calls = { relay_write, relay_queued, relay_set_reading, relay_close, NULL };
static const struct relay_calls asking_calls = { relay_write, relay_queued, relay_set_reading, relay_close, relay_admit };

/* ---- The nodes ---------------------------------------------------------- */

static void node_write(void *ctx, struct slice head, struct slice tail)
{
        struct node *n = ctx;

        buf_append_slice(&n->to_relay, head);
        buf_append_slice(&n->to_relay, tail);
}

static void node_ready(void *ctx, const struct public_key *server)
{
        assert_true(key_equal(server, relay_public_key(world.relay)));
        ((struct node *)ctx)->ready++;
}

static void node_packet(void *ctx, const struct public_key *src, struct slice packet)
{
        struct node *n = ctx;

        n->packets++;
        n->last_src = *src;
        n->last_len = packet.len;
        n->last_byte = packet.len ? packet.ptr[packet.len - 1] : 0;
}

static void node_gone(void *ctx, const struct public_key *peer, enum derp_gone_reason reason)
{
        struct node *n = ctx;

        n->last_gone = *peer;
        if (reason == DERP_GONE_NOT_HERE)
                n->gone_not_here++;
        else
                n->gone_disconnected++;
}

static void node_present(void *ctx, const struct derp_peer_present *peer)
{
        struct node *n = ctx;

        n->present++;
        n->last_present = *peer;
}

static void node_pong(void *ctx, const uint8_t data[static DERP_PING_LEN])
{
        assert_memory_equal(data, "12345678", DERP_PING_LEN);
        ((struct node *)ctx)->pongs++;
}

static void node_closed(void *ctx, enum err e, const char *why)
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
static void settle(void)
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
static void pass(uint64_t us)
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

static struct public_key key_no(uint8_t id)
{
        struct secret_key sk;
        struct public_key pk;

        memset(sk.b, id, KEY_LEN);
        key_public(&sk, &pk);
        return pk;
}

static struct node *connect_with(uint8_t id, const struct derp_mesh_key *mesh, bool greets)
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

static struct node *connect_node(uint8_t id)
{
        struct node *n = connect_with(id, NULL, true);

        assert_int_equal(n->ready, 1);
        return n;
}

static void disconnect(struct node *n)
{
        relay_conn_end(n->conn, &world.now);
        n->conn = NULL;
        settle();
}

static void send_to(struct node *n, uint8_t id, struct slice packet)
{
        struct public_key dst = key_no(id);

        assert_int_equal(derp_client_send(&n->client, &world.now, &dst, packet), OK);
}

static struct slice disco_packet(void)
{
        static uint8_t packet[80] = { 0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac };

        return SLICE_ARRAY(packet);
}

static const struct derp_mesh_key mesh_key = { { 1, 2, 3 } };

static void start(const struct relay_calls *with, uint64_t rate)
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

static int set_up(void **state)
{
        (void)state;
        start(&calls, 0);
        return 0;
}

static int tear_down(void **state)
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

/* ---- Ordinary clients --------------------------------------------------- */

static void packets_reach_their_node(void **state)
{
        struct node *a = connect_node(1), *b = connect_node(2);

        (void)state;
        send_to(a, 2, SLICE_LIT("hello"));
        settle();
        assert_int_equal(b->packets, 1);
        assert_int_equal(b->last_len, 5);
        assert_true(key_equal(&b->last_src, &a->client.public_key));
        assert_int_equal(a->packets, 0);
        assert_int_equal(relay_stats(world.relay)->nodes, 2);
        assert_int_equal(derp_client_ping(&a->client, (const uint8_t *)"12345678"), OK);
        derp_client_note_preferred(&a->client, true);
        settle();
        assert_int_equal(a->pongs, 1);
        assert_int_equal(relay_stats(world.relay)->homes, 1);
        disconnect(a);
        assert_int_equal(relay_stats(world.relay)->homes, 0);
}

static void the_greeting_has_ten_seconds(void **state)
{
        struct node *n = connect_with(1, NULL, false);

        (void)state;
        pass(TIME_MS(9999));
        assert_int_equal(n->end, -1);
        pass(TIME_MS(1));
        assert_int_equal(n->end, RELAY_END_GREETING);
}

static void keep_alives_come_every_minute(void **state)
{
        struct node *n = connect_node(1);

        (void)state;
        pass(TIME_S(60) - 1);
        assert_int_equal(relay_stats(world.relay)->keep_alives, 0);
        pass(TIME_S(5));
        assert_int_equal(relay_stats(world.relay)->keep_alives, 1);
        pass(TIME_S(3600));
        assert_in_range(relay_stats(world.relay)->keep_alives, 3600 / 65, 3600 / 60 + 1);
        assert_int_equal(n->client.state, DERP_CLIENT_READY);
        assert_int_equal(n->client.deadline_us > world.now.mono_us, true);
}

static void peer_gone_goes_to_receivers(void **state)
{
        struct node *a = connect_node(1), *b = connect_node(2), *c = connect_node(3);

        (void)state;
        send_to(a, 2, SLICE_LIT("x"));
        send_to(b, 1, SLICE_LIT("x"));
        settle();
        disconnect(a);
        assert_int_equal(b->gone_disconnected, 1);
        assert_true(key_equal(&b->last_gone, &a->client.public_key));
        assert_int_equal(c->gone_disconnected, 0);
        disconnect(b); /* a's notes went with it */
        assert_int_equal(c->gone_disconnected, 0);
}

static void unknown_destinations(void **state)
{
        struct node *a = connect_node(1);

        (void)state;
        send_to(a, 9, SLICE_LIT("wireguard"));
        settle();
        assert_int_equal(a->gone_not_here, 0);
        for (int i = 0; i < 1000; i++)
                send_to(a, 9, disco_packet());
        settle();
        assert_int_equal(a->gone_not_here, 3);
        pass(TIME_S(1));
        for (int i = 0; i < 10; i++)
                send_to(a, 9, disco_packet());
        settle();
        assert_int_equal(a->gone_not_here, 4);
        pass(TIME_S(3600));
        for (int i = 0; i < 10; i++)
                send_to(a, 9, disco_packet());
        settle();
        assert_int_equal(a->gone_not_here, 7);
        assert_int_equal(relay_stats(world.relay)->dropped[RELAY_DROP_UNKNOWN_DEST][RELAY_DISCO], 1020);
        assert_int_equal(relay_stats(world.relay)->dropped[RELAY_DROP_UNKNOWN_DEST][RELAY_OTHER], 1);
}

static void the_last_writer_is_active(void **state)
{
        struct node *x = connect_node(1), *old = connect_node(2), *new = connect_node(2);

        (void)state;
        send_to(x, 2, SLICE_LIT("1"));
        settle();
        assert_int_equal(new->packets, 1); /* the newest, though it has sent nothing since */
        assert_int_equal(derp_client_ping(&old->client, (const uint8_t *)"12345678"), OK);
        settle();
        send_to(x, 2, SLICE_LIT("2"));
        settle();
        assert_int_equal(old->packets, 1);
        disconnect(old);
        send_to(x, 2, SLICE_LIT("3"));
        send_to(new, 1, SLICE_LIT("4"));
        settle();
        assert_int_equal(new->packets, 2);
        assert_int_equal(x->gone_disconnected, 0); /* node 2 is still here */
        disconnect(new);
        assert_int_equal(x->gone_disconnected, 1);
}

/* ---- Slow receivers ----------------------------------------------------- */

static void full_queues_drop_their_oldest(void **state)
{
        struct node *a = connect_node(1), *b = connect_node(2);
        uint8_t packet[1000] = { 0 };

        (void)state;
        b->is_stuck = true;
        for (int i = 0; i < 100; i++) {
                packet[999] = (uint8_t)i;
                send_to(a, 2, SLICE_ARRAY(packet));
        }
        for (int i = 0; i < 40; i++)
                send_to(a, 2, disco_packet());
        settle();
        /* 16 went to the stream before it was full; 32 wait, the rest is lost. */
        assert_int_equal(relay_stats(world.relay)->dropped[RELAY_DROP_QUEUE_HEAD][RELAY_OTHER], 100 - 16 - 32);
        assert_int_equal(relay_stats(world.relay)->dropped[RELAY_DROP_QUEUE_HEAD][RELAY_DISCO], 8);
        b->is_stuck = false;
        settle();
        assert_int_equal(b->packets, 16 + 32 + 32);
        send_to(a, 2, SLICE_LIT("!"));
        settle();
        assert_int_equal(b->packets, 16 + 32 + 32 + 1);
}

static void queues_are_bounded_in_bytes(void **state)
{
        struct node *a = connect_node(1), *b = connect_node(2);
        static uint8_t packet[DERP_PACKET_MAX];

        (void)state;
        b->is_stuck = true;
        for (int i = 0; i < 10; i++)
                send_to(a, 2, SLICE_ARRAY(packet));
        settle();
        assert_int_equal(relay_stats(world.relay)->dropped[RELAY_DROP_QUEUE_HEAD][RELAY_OTHER], 10 - 1 - 2);
        b->is_stuck = false;
        settle();
        assert_int_equal(b->packets, 3);
}

static void a_stuck_receiver_is_closed(void **state)
{
        struct node *a = connect_node(1), *b = connect_node(2);
        uint8_t packet[1000] = { 0 };

        (void)state;
        b->is_stuck = true;
        for (int i = 0; i < 100; i++)
                send_to(a, 2, SLICE_ARRAY(packet));
        settle();
        pass(TIME_MS(1500));
        buf_consume(&b->to_node, 100); /* it moved a little */
        pass(TIME_MS(2400));
        assert_int_equal(b->end, -1);
        pass(TIME_MS(100));
        assert_int_equal(b->end, RELAY_END_SLOW);
        assert_int_equal(relay_stats(world.relay)->dropped[RELAY_DROP_GONE_DISCONNECTED][RELAY_OTHER], 32);
        assert_int_equal(a->end, -1);
}

static void a_slow_watcher_misses_nothing(void **state)
{
        struct node *w = connect_with(100, &mesh_key, true);
        struct relay_conn *first = w->conn;
        struct node *a = connect_node(1);
        uint8_t packet[17000] = { 0 };

        (void)state;
        derp_client_watch_conns(&w->client);
        settle();
        w->is_stuck = true;
        send_to(a, 100, SLICE_ARRAY(packet)); /* fills its stream */
        settle();
        for (uint8_t id = 2; id < 60; id++) /* more than an ordinary client's control buffer holds */
                connect_node(id);
        w->is_stuck = false;
        settle();
        assert_ptr_equal(w->conn, first);
        assert_int_equal(w->present, 2 + 58);
}

/* ---- Admission and rate ------------------------------------------------- */

static void admission_may_take_its_time(void **state)
{
        (void)state;
        tear_down(NULL);
        start(&asking_calls, 0);
        struct node *a = connect_with(1, NULL, true);
        assert_non_null(world.asked);
        assert_false(a->is_reading);
        assert_int_equal(a->ready, 0);
        assert_true(ip_equal(&world.asked_source, &(struct ip_addr){ .family = IP_V4, .b = { 192, 0, 2, 1 } }));
        send_to(a, 1, SLICE_LIT("to myself")); /* sent blindly after the greeting */
        pass(TIME_S(3));
        relay_conn_admit(world.asked, &world.now, true);
        settle();
        assert_int_equal(a->ready, 1);
        assert_int_equal(a->packets, 1);

        struct node *b = connect_with(2, NULL, true);
        relay_conn_admit(world.asked, &world.now, false);
        assert_int_equal(b->end, RELAY_END_DENIED);
        assert_int_equal(b->ready, 0);

        struct node *c = connect_with(3, NULL, true); /* nobody ever answers */
        pass(TIME_S(20));
        assert_int_equal(c->end, RELAY_END_DENIED);

        world.asked = NULL;
        struct node *m = connect_with(100, &mesh_key, true); /* neighbours are not asked about */
        assert_null(world.asked);
        assert_int_equal(m->ready, 1);
}

static void the_rate_limit_delays_and_drops_nothing(void **state)
{
        static uint8_t packet[10000];

        (void)state;
        tear_down(NULL);
        start(&calls, 100000);
        struct node *a = connect_node(1), *b = connect_node(2);
        for (int i = 0; i < 50; i++) /* 500 kB: 65 at once, the rest in 4.35 s */
                send_to(a, 2, SLICE_ARRAY(packet));
        settle();
        assert_int_equal(b->packets, 7); /* the seventh leaves the bucket in debt */
        assert_false(a->is_reading);
        pass(TIME_S(2));
        assert_in_range(b->packets, 26, 28);
        pass(TIME_MS(2500));
        assert_int_equal(b->packets, 50);
        relay_set_rate(world.relay, &(struct relay_rate){ 0 });
        pass(TIME_S(1));
        assert_true(a->is_reading);
}

/* ---- Mesh --------------------------------------------------------------- */

static struct {
        unsigned count;
        struct public_key src, dst;
        size_t len;
} forwarded;

static void record_forward(struct relay_forwarder *f, const struct public_key *src, const struct public_key *dst,
                           struct slice packet)
{
        (void)f;
        forwarded.count++;
        forwarded.src = *src;
        forwarded.dst = *dst;
        forwarded.len = packet.len;
}

static void watchers_see_who_is_here(void **state)
{
        struct node *a = connect_node(1), *w = connect_with(100, &mesh_key, true);

        (void)state;
        derp_client_watch_conns(&w->client);
        settle();
        assert_int_equal(w->present, 2); /* a and itself */
        struct node *b = connect_node(2);
        assert_int_equal(w->present, 3);
        assert_true(key_equal(&w->last_present.peer, &b->client.public_key));
        assert_int_equal(w->last_present.flags, DERP_PRESENT_REGULAR);
        assert_int_equal(w->last_present.remote.port, 1000);
        disconnect(a);
        assert_int_equal(w->gone_disconnected, 1);
        assert_int_equal(relay_stats(world.relay)->watchers, 1);
        disconnect(w);
        assert_int_equal(relay_stats(world.relay)->watchers, 0);
}

static void packets_through_the_mesh(void **state)
{
        struct relay_forwarder first = { .forward = record_forward }, second = { .forward = record_forward };
        struct node *a = connect_node(1), *m = connect_with(100, &mesh_key, true);
        struct public_key far = key_no(50), near = a->client.public_key;

        (void)state;
        memset(&forwarded, 0, sizeof(forwarded));
        assert_int_equal(relay_route_add(world.relay, &world.now, &first, &far), OK);
        assert_int_equal(relay_route_add(world.relay, &world.now, &first, &far), OK); /* twice is once */
        assert_int_equal(relay_route_add(world.relay, &world.now, &second, &far), OK);
        assert_int_equal(relay_stats(world.relay)->routes, 2);
        send_to(a, 50, SLICE_LIT("abc"));
        settle();
        assert_int_equal(forwarded.count, 1);
        assert_true(key_equal(&forwarded.src, &near) && key_equal(&forwarded.dst, &far));

        /* Inwards: delivered here, never passed on; a tells of its sender's end. */
        assert_int_equal(derp_client_forward(&m->client, &far, &near, SLICE_LIT("abcd")), OK);
        assert_int_equal(derp_client_forward(&m->client, &near, &far, disco_packet()), OK);
        settle();
        assert_int_equal(a->packets, 1);
        assert_true(key_equal(&a->last_src, &far));
        assert_int_equal(forwarded.count, 1);
        assert_int_equal(relay_stats(world.relay)->dropped[RELAY_DROP_UNKNOWN_DEST_ON_FWD][RELAY_DISCO], 1);
        assert_int_equal(m->gone_not_here, 0);
        relay_route_remove(world.relay, &world.now, &first, &far);
        settle();
        assert_int_equal(a->gone_disconnected, 0);
        relay_routes_clear(world.relay, &world.now, &second);
        settle();
        assert_int_equal(a->gone_disconnected, 1);

        /* A local connection wins over the mesh, and takes over again. */
        assert_int_equal(relay_route_add(world.relay, &world.now, &first, &far), OK);
        struct node *local = connect_node(50);
        send_to(a, 50, SLICE_LIT("x"));
        settle();
        assert_int_equal(local->packets, 1);
        disconnect(local);
        send_to(a, 50, SLICE_LIT("x"));
        settle();
        assert_int_equal(forwarded.count, 2);
        relay_routes_clear(world.relay, &world.now, &first);
}

static void close_peer_closes_all_of_it(void **state)
{
        struct node *a1 = connect_node(1), *a2 = connect_node(1), *m = connect_with(100, &mesh_key, true);

        (void)state;
        assert_int_equal(derp_client_close_peer(&m->client, &a1->client.public_key), OK);
        assert_int_equal(derp_client_close_peer(&m->client, &m->client.public_key), OK); /* itself, too */
        settle();
        assert_int_equal(a1->end, RELAY_END_CLOSE_PEER);
        assert_int_equal(a2->end, RELAY_END_CLOSE_PEER);
        assert_int_equal(m->end, RELAY_END_CLOSE_PEER);
}

/* ---- Hostile clients ---------------------------------------------------- */

static void send_raw(struct node *n, uint8_t type, uint32_t announced, size_t sent)
{
        static const uint8_t zero[70000];
        uint8_t header[DERP_HEADER_LEN] = { type };

        put_be32(header + 1, announced);
        buf_append(&n->to_relay, header, sizeof(header));
        buf_append(&n->to_relay, zero, sent);
        settle();
}

static void bad_frames_end_their_connection(void **state)
{
        static const struct {
                uint8_t type;
                uint32_t len;
                enum relay_end want;
        } cases[] = {
                { DERP_SEND_PACKET, 31, RELAY_END_PROTOCOL },
                { DERP_SEND_PACKET, KEY_LEN + DERP_PACKET_MAX + 1, RELAY_END_PROTOCOL },
                { DERP_NOTE_PREFERRED, 0, RELAY_END_PROTOCOL },
                { DERP_NOTE_PREFERRED, 2, RELAY_END_PROTOCOL },
                { DERP_PING, 7, RELAY_END_PROTOCOL },
                { DERP_PING, 1001, RELAY_END_PROTOCOL },
                { DERP_WATCH_CONNS, 0, RELAY_END_TRUST },
                { DERP_CLOSE_PEER, 32, RELAY_END_TRUST },
                { DERP_FORWARD_PACKET, 70, RELAY_END_TRUST },
                { DERP_SEND_PACKET, UINT32_MAX, RELAY_END_PROTOCOL },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct node *n = connect_node(1);
                send_raw(n, cases[i].type, cases[i].len, cases[i].len < 70000 ? cases[i].len : 0);
                assert_int_equal(n->end, (int)cases[i].want);
        }
}

static void bad_frames_of_neighbours(void **state)
{
        static const struct {
                uint8_t type;
                uint32_t len;
        } cases[] = { { DERP_WATCH_CONNS, 1 }, { DERP_CLOSE_PEER, 31 }, { DERP_CLOSE_PEER, 33 }, { DERP_FORWARD_PACKET, 63 } };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct node *n = connect_with(100, &mesh_key, true);
                send_raw(n, cases[i].type, cases[i].len, cases[i].len);
                assert_int_equal(n->end, RELAY_END_PROTOCOL);
        }
}

static void unknown_frames_are_skipped(void **state)
{
        struct node *n = connect_node(1);

        (void)state;
        send_raw(n, 0x66, 5000, 5000);
        send_raw(n, DERP_RECV_PACKET, 100, 100);
        assert_int_equal(derp_client_ping(&n->client, (const uint8_t *)"12345678"), OK);
        settle();
        assert_int_equal(n->pongs, 1);
}

static void garbage_instead_of_a_greeting(void **state)
{
        struct rng_seeded rng;

        (void)state;
        rng_seed(&rng, 7);
        for (uint8_t i = 0; i < 40; i++) {
                struct node *n = connect_with(i, NULL, false);
                uint8_t noise[3000];
                rng_fill(&rng.rng, noise, sizeof(noise));
                if (i % 2) /* a frame of the right type, sealed by nobody */
                        memcpy(noise, "\x02\x00\x00\x01\x00", DERP_HEADER_LEN);
                buf_append(&n->to_relay, noise, sizeof(noise));
                settle();
                pass(TIME_S(10)); /* an unknown type is skipped until time is up */
                assert_int_equal(n->end, RELAY_END_GREETING);
        }
        assert_int_equal(relay_stats(world.relay)->conns, 0);
}

static void a_foreign_mesh_key_gives_no_trust(void **state)
{
        static const struct derp_mesh_key foreign = { { 9 } };
        struct node *n = connect_with(1, &foreign, true);

        (void)state;
        assert_int_equal(n->ready, 1);
        derp_client_watch_conns(&n->client);
        settle();
        assert_int_equal(n->end, RELAY_END_TRUST);
}

static void flows_are_bounded(void **state)
{
        struct node *b = connect_node(2);
        struct relay_forwarder f = { .forward = record_forward };
        struct node *m = connect_with(100, &mesh_key, true);
        unsigned count = RELAY_FLOWS_MAX + 50;

        (void)state;
        for (unsigned i = 0; i < count; i++) {
                struct public_key src = { { (uint8_t)i, (uint8_t)(i >> 8), 1 } };
                assert_int_equal(relay_route_add(world.relay, &world.now, &f, &src), OK);
                assert_int_equal(derp_client_forward(&m->client, &src, &b->client.public_key, SLICE_LIT("x")), OK);
                settle();
        }
        assert_int_equal(b->packets, count);
        relay_routes_clear(world.relay, &world.now, &f);
        settle();
        assert_int_equal(b->gone_disconnected, RELAY_FLOWS_MAX);
}

/* Many nodes that come, talk, stall and go at random: no step may lose track. */
static void random_walk(void **state)
{
        struct rng_seeded rng;
        uint8_t packet[1400] = { 0 };

        (void)state;
        rng_seed(&rng, 42);
        for (int step = 0; step < 20000; step++) {
                unsigned i = (unsigned)rng_below(&rng.rng, world.count ? world.count : 1);
                struct node *n = &world.nodes[i];
                switch (rng_below(&rng.rng, 12)) {
                case 0:
                        if (world.count < NODES_MAX)
                                connect_with((uint8_t)rng_between(&rng.rng, 1, 20), rng_u32(&rng.rng) % 4 ? NULL : &mesh_key, true);
                        break;
                case 1:
                        if (n->conn && rng_u32(&rng.rng) % 8 == 0)
                                disconnect(n);
                        break;
                case 2:
                        n->is_stuck = rng_u32(&rng.rng) % 3 == 0;
                        break;
                case 3:
                        pass(rng_below(&rng.rng, TIME_S(1)));
                        break;
                case 4:
                        if (n->conn && n->client.has_mesh_key)
                                derp_client_watch_conns(&n->client);
                        break;
                default:
                        if (n->conn && derp_client_can_send(&n->client))
                                send_to(n, (uint8_t)rng_between(&rng.rng, 1, 22),
                                        rng_u32(&rng.rng) % 2 ? disco_packet() : SLICE_ARRAY(packet));
                        break;
                }
                settle();
                if (world.count == NODES_MAX) { /* begin anew with those that are left closed */
                        tear_down(NULL);
                        start(&calls, rng_u32(&rng.rng) % 2 ? 50000 : 0);
                }
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(packets_reach_their_node),      TEST(the_greeting_has_ten_seconds),
                TEST(keep_alives_come_every_minute), TEST(peer_gone_goes_to_receivers),
                TEST(unknown_destinations),          TEST(the_last_writer_is_active),
                TEST(full_queues_drop_their_oldest), TEST(queues_are_bounded_in_bytes),
                TEST(a_stuck_receiver_is_closed),    TEST(a_slow_watcher_misses_nothing),
                TEST(admission_may_take_its_time),   TEST(the_rate_limit_delays_and_drops_nothing),
                TEST(watchers_see_who_is_here),      TEST(packets_through_the_mesh),
                TEST(close_peer_closes_all_of_it),   TEST(bad_frames_end_their_connection),
                TEST(bad_frames_of_neighbours),      TEST(unknown_frames_are_skipped),
                TEST(garbage_instead_of_a_greeting), TEST(a_foreign_mesh_key_gives_no_trust),
                TEST(flows_are_bounded),             TEST(random_walk),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
