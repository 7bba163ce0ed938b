/* What clients get from the relay, and what slow and many of them do to it. */
#include "test_world.h"

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(packets_reach_their_node),
                TEST(the_greeting_has_ten_seconds),
                TEST(keep_alives_come_every_minute),
                TEST(peer_gone_goes_to_receivers),
                TEST(unknown_destinations),
                TEST(the_last_writer_is_active),
                TEST(full_queues_drop_their_oldest),
                TEST(queues_are_bounded_in_bytes),
                TEST(a_stuck_receiver_is_closed),
                TEST(a_slow_watcher_misses_nothing),
                TEST(admission_may_take_its_time),
                TEST(the_rate_limit_delays_and_drops_nothing),
                TEST(random_walk),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
