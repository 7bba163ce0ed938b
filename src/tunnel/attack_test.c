/* The engine among strangers: what is refused, bounded, counted, and survived. */
#include "test_pair.h"

static uint8_t captured[sizeof(struct msg_initiation)];

static void capture_initiation(struct net *n, int from, int to, struct slice datagram)
{
        (void)n, (void)from, (void)to;
        if (tunnel_message_type(datagram) == TUNNEL_INITIATION)
                memcpy(captured, datagram.ptr, sizeof captured);
}

static void a_replayed_initiation_is_refused(void **state)
{
        (void)state;
        net.on_send = capture_initiation;
        establish();
        for (int i = 0; i < 3; i++) {
                net_inject(&net, 2, 1, SLICE_ARRAY(captured), net.now.mono_us);
                net_run(&net, TIME_S(1));
        }
        assert_int_equal(stats(1)->replayed_initiation, 3);
        assert_int_equal(net.nodes[1].sent[TUNNEL_RESPONSE], 1);
}

static void a_response_counts_once(void **state)
{
        (void)state;
        tunnel_want_session(net_engine(&net, 0), peer(0, 1), &net.now);
        net_run(&net, TIME_MS(15));
        struct flight *f = container_of(net.flights.next, struct flight, in_net);

        net_inject(&net, 1, 0, slice_make(f->bytes, f->len), f->at_us + 1);
        net_run(&net, TIME_S(1));
        assert_int_equal(stats(0)->bad_handshake, 1);
        assert_int_equal(stats(0)->sessions, 1);
}

/* Initiations newer and newer, but faster than fifty a second. */
static void initiations_too_close_are_refused(void **state)
{
        (void)state;
        for (int i = 0; i < 10; i++) {
                peer(0, 1)->handshake_sent_us = 0; /* the honest engine waits five seconds */
                handshake_start(peer(0, 1), &net.now);
                net_run(&net, TIME_MS(2));
        }
        net_run(&net, TIME_S(1));
        assert_int_equal(stats(1)->flooded, 9);
        assert_int_equal(stats(1)->responses_sent, 1);
}

static void handshakes_five_seconds_apart(void **state)
{
        (void)state;
        establish();
        tunnel_peer_reset(net_engine(&net, 1), peer(1, 0)); /* 1 forgets everything at once... */
        peer(1, 0)->handshake_sent_us = net.now.mono_us - TIME_S(2);
        tunnel_want_session(net_engine(&net, 1), peer(1, 0), &net.now);
        assert_int_equal(net.nodes[1].sent[TUNNEL_INITIATION], 0);
        net_run(&net, TIME_S(3) - 1);
        assert_int_equal(net.nodes[1].sent[TUNNEL_INITIATION], 0);
        net_run(&net, TIME_MS(400)); /* ...but the wish is not forgotten */
        assert_int_equal(net.nodes[1].sent[TUNNEL_INITIATION], 1);
        assert_true(status(1, 0).has_session);
}

static void psk_must_be_the_same(void **state)
{
        const struct shared_key psk = { { 1, 2, 3 } };

        (void)state;
        tunnel_peer_set_psk(peer(0, 1), &psk);
        assert_int_equal(net_say(&net, 0, 1, 1), OK);
        net_run(&net, TIME_S(1));
        assert_false(status(0, 1).has_session);
        assert_int_equal(stats(0)->bad_handshake, 1);
        tunnel_peer_set_psk(peer(1, 0), &psk);
        net_run(&net, TIME_S(6));
        assert_int_equal(net.nodes[1].delivered, 1);
}

static void strangers(void **state)
{
        (void)state;
        net_link(&net, 2, 1); /* 1 does not know 2 */
        assert_int_equal(net_say(&net, 2, 1, 1), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(stats(1)->unknown_peer, 1);
        assert_int_equal(net.nodes[1].sent[TUNNEL_RESPONSE], 0);
        net.stranger_from = 1;
        net_run(&net, TIME_S(6));
        assert_int_equal(net.nodes[1].delivered, 1);
        assert_non_null(net.nodes[1].links[2]);
}

/* Anybody can claim a key in the first part of message 1; only its owner can seal
 * the timestamp. The claim alone must not make the peer. */
static void a_claim_without_proof_makes_no_peer(void **state)
{
        struct tunnel *victim = net_engine(&net, 1);
        struct noise_identity liar = { .public = net.nodes[2].key }; /* not its secret */
        struct shared_key wrong = { { 1 } };
        struct noise_initiator initiator;
        struct msg_initiation msg;
        struct cookie_jar jar = { 0 };

        (void)state;
        net.stranger_from = 1;
        assert_int_equal(noise_initiation_write(&liar, tunnel_public_key(victim), &wrong, 1,
                                 (uint8_t[TAI64N_LEN]){ 0x40 }, &net.rng.rng, &initiator, &msg), OK);
        cookie_jar_sign(&jar, tunnel_public_key(victim), &msg, sizeof msg, 1);
        net_inject(&net, 2, 1, MSG_SLICE(&msg), net.now.mono_us);
        net_run(&net, TIME_S(1));
        assert_int_equal(stats(1)->bad_handshake, 1);
        assert_null(net.nodes[1].links[2]);
}

static void staging_is_bounded(void **state)
{
        uint8_t bytes[1500];

        (void)state;
        for (uint32_t i = 0; i < 200; i++)
                assert_int_equal(net_say(&net, 0, 1, i), OK);
        assert_int_equal(tunnel_direct_stats(net.nodes[0].direct)->staged_dropped, 72);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].delivered, 128);
        assert_int_equal(net.nodes[1].last_tag, 199);
        assert_int_equal(tunnel_send_packet(net.nodes[0].direct, net_packet(0, 2, 1, 60, bytes), &net.now), ERR_NOTFOUND);
        assert_int_equal(tunnel_send_packet(net.nodes[0].direct, SLICE_LIT("no packet"), &net.now), ERR_FORMAT);
}

static void only_allowed_sources_are_delivered(void **state)
{
        uint8_t bytes[1500];

        (void)state;
        establish();
        net_packet(2, 1, 9, 60, bytes); /* 0 pretends to be 2 */
        assert_int_equal(tunnel_send_packet(net.nodes[0].direct, slice_make(bytes, 60), &net.now), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].delivered, 1);
        assert_int_equal(tunnel_direct_stats(net.nodes[1].direct)->bad_source, 1);

        const struct ip_prefix subnet = { ip_v4(100, 64, 0, 0), 16 };

        assert_int_equal(tunnel_link_allow(net.nodes[1].direct, net.nodes[1].links[0], &subnet), OK);
        assert_int_equal(tunnel_send_packet(net.nodes[0].direct, slice_make(bytes, 60), &net.now), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].delivered, 2);
        net_link(&net, 1, 2); /* the longer prefix is somebody else's */
        assert_int_equal(tunnel_send_packet(net.nodes[0].direct, slice_make(bytes, 60), &net.now), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].delivered, 2);
        tunnel_link_remove(net.nodes[1].direct, net.nodes[1].links[2]);
        assert_int_equal(tunnel_send_packet(net.nodes[0].direct, slice_make(bytes, 60), &net.now), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].delivered, 3);
}

/* Under load an initiation is answered by a cookie, and its repetition carries it. */
static void load_is_met_with_cookies(void **state)
{
        struct load *load = &net_engine(&net, 1)->load;

        (void)state;
        load->heavy_until_us = net.now.mono_us + TIME_S(7);
        assert_int_equal(net_say(&net, 0, 1, 1), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(stats(1)->cookies_sent, 1);
        assert_int_equal(stats(0)->cookies_received, 1);
        assert_int_equal(net.nodes[1].sent[TUNNEL_RESPONSE], 0);
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], 1); /* not repeated at once */
        net_run(&net, TIME_S(5));
        assert_int_equal(net.nodes[1].delivered, 1);
        assert_int_equal(stats(1)->cookies_sent, 1);
}

/* A flood of initiations whose mac1 fits, from many places, does not stop a peer. */
static void a_flood_does_not_lock_peers_out(void **state)
{
        struct msg_initiation msg = { .type = { 1 } };
        struct cookie_jar jar = { 0 };

        (void)state;
        for (int i = 0; i < 20000; i++) {
                rng_fill(&net.rng.rng, msg.ephemeral, sizeof msg.ephemeral);
                cookie_jar_sign(&jar, tunnel_public_key(net_engine(&net, 1)), &msg, sizeof msg, 1);
                net_inject(&net, 2, 1, MSG_SLICE(&msg), net.now.mono_us + (uint64_t)i * 500);
        }
        assert_int_equal(net_say(&net, 0, 1, 1), OK);
        net_run(&net, TIME_S(10));
        assert_int_equal(net.nodes[1].delivered, 1);
        assert_true(stats(1)->bad_handshake < 1000); /* most were never computed */
        assert_true(stats(1)->cookies_sent > 18000);
}

static void garbage_is_counted(void **state)
{
        uint8_t bytes[200] = { 1 };

        (void)state;
        establish();
        for (size_t n = 0; n < sizeof bytes; n++)
                net_inject(&net, 0, 1, slice_make(bytes, n), net.now.mono_us);
        bytes[0] = 4;
        for (size_t n = 0; n < sizeof bytes; n++)
                net_inject(&net, 0, 1, slice_make(bytes, n), net.now.mono_us);
        bytes[1] = 1; /* reserved bytes must be zero */
        net_inject(&net, 0, 1, slice_make(bytes, 100), net.now.mono_us);
        net_run(&net, TIME_S(1));
        assert_int_equal(stats(1)->malformed, 199 + 32 + 1);
        assert_int_equal(stats(1)->bad_mac1, 1);
        assert_int_equal(tunnel_direct_stats(net.nodes[1].direct)->unknown_index, 200 - 32);
        assert_int_equal(net.nodes[1].delivered, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_replayed_initiation_is_refused),
                TEST(a_response_counts_once),
                TEST(initiations_too_close_are_refused),
                TEST(handshakes_five_seconds_apart),
                TEST(psk_must_be_the_same),
                TEST(strangers),
                TEST(a_claim_without_proof_makes_no_peer),
                TEST(staging_is_bounded),
                TEST(only_allowed_sources_are_delivered),
                TEST(load_is_met_with_cookies),
                TEST(a_flood_does_not_lock_peers_out),
                TEST(garbage_is_counted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
