/* Neighbours of the region, and those who only say that they are: trust and hostile input. */
#include "test_world.h"

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(watchers_see_who_is_here),
                TEST(packets_through_the_mesh),
                TEST(close_peer_closes_all_of_it),
                TEST(bad_frames_end_their_connection),
                TEST(bad_frames_of_neighbours),
                TEST(unknown_frames_are_skipped),
                TEST(garbage_instead_of_a_greeting),
                TEST(a_foreign_mesh_key_gives_no_trust),
                TEST(flows_are_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
