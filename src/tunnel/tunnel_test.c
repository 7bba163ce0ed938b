/* The engine in conversation: two or three nodes on virtual time. */
#include "test_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tunnel_internal.h"

static struct net net;

static int setup(void **state)
{
        (void)state;
        net_init(&net, 1);
        net_link(&net, 0, 1);
        net_link(&net, 1, 0);
        return 0;
}

static int teardown(void **state)
{
        (void)state;
        net_fini(&net);
        return 0;
}

static struct tunnel_peer *peer(int from, int to)
{
        return tunnel_link_peer(net.nodes[from].links[to]);
}

static const struct tunnel_stats *stats(int id)
{
        return tunnel_stats(net_engine(&net, id));
}

static struct tunnel_peer_status status(int from, int to)
{
        struct tunnel_peer_status s;

        tunnel_peer_status(peer(from, to), &net.now, &s);
        return s;
}

static int drop_all(struct net *n, int from, int to, struct slice datagram, uint64_t extra_us[static 2])
{
        (void)n, (void)from, (void)to, (void)datagram, (void)extra_us;
        return 0;
}

static int drop_transport(struct net *n, int from, int to, struct slice datagram, uint64_t extra_us[static 2])
{
        (void)n, (void)from, (void)to, (void)extra_us;
        return tunnel_message_type(datagram) == TUNNEL_TRANSPORT ? 0 : 1;
}

static void establish(void)
{
        assert_int_equal(net_say(&net, 0, 1, 1), OK);
        net_run(&net, TIME_MS(100));
        assert_int_equal(net.nodes[1].delivered, 1);
        assert_true(status(0, 1).has_session);
        assert_true(status(1, 0).has_session);
}

static void first_packet_shakes_hands_and_arrives(void **state)
{
        (void)state;
        establish();
        assert_int_equal(net.nodes[1].last_tag, 1);
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], 1);
        assert_int_equal(net.nodes[1].sent[TUNNEL_RESPONSE], 1);
        assert_int_equal(net.nodes[0].sent[TUNNEL_TRANSPORT], 1); /* the data itself confirms */
        assert_int_equal(net_say(&net, 1, 0, 2), OK);
        net_run(&net, TIME_MS(100));
        assert_int_equal(net.nodes[0].last_tag, 2);
        assert_int_equal(net.nodes[1].sent[TUNNEL_INITIATION], 0);
        assert_int_equal(status(0, 1).tx_bytes, sizeof(struct msg_initiation) + 64 + TUNNEL_OVERHEAD);
        assert_int_equal(status(1, 0).rx_bytes, status(0, 1).tx_bytes);
        assert_true(status(0, 1).last_handshake_us != 0);
}

/* Without staged data the initiator confirms by a keepalive, so that the responder's
 * staged packets need not wait. */
static void responder_waits_for_the_confirmation(void **state)
{
        (void)state;
        tunnel_want_session(net_engine(&net, 0), peer(0, 1), &net.now);
        net_run(&net, TIME_MS(15)); /* message 1 has arrived */
        assert_int_equal(net_say(&net, 1, 0, 7), OK);
        assert_int_equal(net.nodes[1].sent[TUNNEL_TRANSPORT], 0);
        net_run(&net, TIME_MS(10)); /* message 2 has */
        assert_int_equal(net.nodes[0].sent[TUNNEL_TRANSPORT], 1);
        assert_int_equal(net.nodes[1].sent[TUNNEL_TRANSPORT], 0);
        net_run(&net, TIME_MS(20));
        assert_int_equal(net.nodes[0].last_tag, 7);
        assert_int_equal(net.nodes[1].sent[TUNNEL_INITIATION], 0);
}

static void initiation_is_sent_twenty_times(void **state)
{
        uint64_t start_us = net.now.mono_us;

        (void)state;
        net.fate = drop_all;
        assert_int_equal(net_say(&net, 0, 1, 1), OK);
        for (unsigned k = 1; k < 20; k++) {
                uint64_t before_us = net.nodes[0].last_sent_us[TUNNEL_INITIATION];

                assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], k);
                net_run(&net, TIME_MS(5333) - (net.now.mono_us - before_us));
                assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], k + 1);
                assert_true(net.nodes[0].last_sent_us[TUNNEL_INITIATION] - before_us >= TIME_S(5));
        }
        assert_in_range(net.now.mono_us - start_us, TIME_S(95), TIME_S(102));
        net_run(&net, TIME_S(1000));
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], 20);

        /* given up, not dead: what was staged is gone, the next packet starts anew */
        net.fate = NULL;
        assert_int_equal(net_say(&net, 0, 1, 2), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].delivered, 1);
        assert_int_equal(net.nodes[1].last_tag, 2);
}

static void keepalive_after_ten_seconds_of_silence(void **state)
{
        (void)state;
        establish();
        net.nodes[1].sent[TUNNEL_TRANSPORT] = 0;
        net_run(&net, TIME_MS(9800));
        assert_int_equal(net.nodes[1].sent[TUNNEL_TRANSPORT], 0);
        net_run(&net, TIME_MS(200));
        assert_int_equal(net.nodes[1].sent[TUNNEL_TRANSPORT], 1);
        assert_int_equal(net.nodes[1].last_sent_us[TUNNEL_TRANSPORT], TIME_S(1010) + TIME_MS(30));
        net_run(&net, TIME_S(300)); /* keepalives are not answered by keepalives */
        assert_int_equal(net.nodes[1].sent[TUNNEL_TRANSPORT], 1);
        assert_int_equal(net.nodes[0].sent[TUNNEL_TRANSPORT], 1);
}

static void an_answer_in_time_makes_the_keepalive_needless(void **state)
{
        (void)state;
        establish();
        net_run(&net, TIME_S(5));
        assert_int_equal(net_say(&net, 1, 0, 2), OK);
        net_run(&net, TIME_MS(9900));
        assert_int_equal(net.nodes[1].sent[TUNNEL_TRANSPORT], 1);
        assert_int_equal(net.nodes[0].sent[TUNNEL_TRANSPORT], 1);
        net_run(&net, TIME_S(1)); /* now 0 owes an answer to that */
        assert_int_equal(net.nodes[0].sent[TUNNEL_TRANSPORT], 2);
        assert_int_equal(net.nodes[1].sent[TUNNEL_TRANSPORT], 1);
}

static void silence_after_data_starts_a_handshake(void **state)
{
        uint64_t sent_us;

        (void)state;
        establish();
        net_run(&net, TIME_S(30));
        net.fate = drop_transport;
        sent_us = net.now.mono_us;
        assert_int_equal(net_say(&net, 0, 1, 2), OK);
        net_run(&net, TIME_S(6));
        assert_int_equal(net_say(&net, 0, 1, 3), OK); /* does not put it off */
        net_run(&net, TIME_S(9) - 1);
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], 1);
        net_run(&net, TIME_MS(334));
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], 2);
        assert_in_range(net.nodes[0].last_sent_us[TUNNEL_INITIATION] - sent_us, TIME_S(15), TIME_MS(15333));
}

static void initiator_renews_an_old_session_when_it_sends(void **state)
{
        (void)state;
        establish();
        net_run(&net, TIME_S(119));
        assert_int_equal(net_say(&net, 0, 1, 2), OK);
        net_run(&net, TIME_MS(500));
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], 1);
        net_run(&net, TIME_S(1));
        assert_int_equal(net_say(&net, 1, 0, 3), OK); /* the responder leaves it to the initiator */
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION] + net.nodes[1].sent[TUNNEL_INITIATION], 1);
        assert_int_equal(net_say(&net, 0, 1, 4), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], 2);
        assert_int_equal(net.nodes[1].delivered, 3);
        assert_int_equal(net.nodes[0].delivered, 1);
        assert_non_null(peer(0, 1)->previous);
        assert_non_null(peer(1, 0)->previous);
}

static void initiator_that_only_listens_renews_once_late(void **state)
{
        (void)state;
        establish();
        for (int i = 0; i < 17; i++) {
                net_run(&net, TIME_MS(9700));
                assert_int_equal(net_say(&net, 1, 0, 2), OK);
        }
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], 2); /* its keepalives are sent packets too */
}

static void everything_is_wiped_after_nine_minutes(void **state)
{
        (void)state;
        establish();
        net_run(&net, TIME_MS(539900));
        assert_non_null(peer(0, 1)->current);
        net_run(&net, TIME_S(1));
        assert_null(peer(0, 1)->current);
        assert_null(peer(1, 0)->current);
        assert_int_equal(net_engine(&net, 0)->indices.count, 0);
        assert_int_equal(tunnel_deadline(net_engine(&net, 0)), TIME_NEVER);
        assert_int_equal(net_say(&net, 1, 0, 5), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[0].last_tag, 5);
}

static void crossing_initiations_both_complete_at_once(void **state)
{
        (void)state;
        assert_int_equal(net_say(&net, 0, 1, 1), OK);
        assert_int_equal(net_say(&net, 1, 0, 2), OK);
        net_run(&net, TIME_MS(100));
        assert_int_equal(net.nodes[1].delivered, 1);
        assert_int_equal(net.nodes[0].delivered, 1);
        net_run(&net, TIME_S(60));
        assert_int_equal(net.nodes[0].sent[TUNNEL_INITIATION], 1);
        assert_int_equal(net.nodes[1].sent[TUNNEL_INITIATION], 1);
        for (uint32_t i = 0; i < 10; i++) {
                assert_int_equal(net_say(&net, 0, 1, i), OK);
                assert_int_equal(net_say(&net, 1, 0, i), OK);
                net_run(&net, TIME_S(1));
        }
        assert_int_equal(net.nodes[1].delivered, 11);
        assert_int_equal(net.nodes[0].delivered, 11);
}

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

static void the_clock_may_go_back(void **state)
{
        (void)state;
        establish();
        net.now.unix_us -= (int64_t)TIME_S(86400);
        tunnel_peer_reset(net_engine(&net, 0), peer(0, 1));
        assert_int_equal(net_say(&net, 0, 1, 2), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].last_tag, 2);
        assert_true(tunnel_clock(net_engine(&net, 0)) > net.now.unix_us);

        /* a later run of the program that kept tunnel_clock() is not refused either */
        struct tunnel_config config = { .secret = net_secret(0),
                .clock_floor_unix_us = tunnel_clock(net_engine(&net, 0)) };

        tunnel_direct_free(net.nodes[0].direct);
        net_node_start_with(&net, 0, &config);
        net_link(&net, 0, 1);
        assert_int_equal(net_say(&net, 0, 1, 3), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].last_tag, 3);

        /* nor is a peer that is forgotten and met again */
        tunnel_link_remove(net.nodes[0].direct, net.nodes[0].links[1]);
        net_link(&net, 0, 1);
        assert_int_equal(net_say(&net, 0, 1, 4), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].last_tag, 4);
        assert_int_equal(stats(1)->replayed_initiation, 0);
}

static void clock_slots_survive_the_round_trip(void **state)
{
        (void)state;
        for (uint64_t slot = 102000000000; slot < 102000000000 + 600; slot++)
                assert_int_equal(clock_slot_of(clock_slot_unix_us(slot)), slot);
        assert_int_equal(clock_slot_of(-5), 0);
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

static void another_secret_ends_sending(void **state)
{
        const struct secret_key other = net_secret(2);

        (void)state;
        establish();
        tunnel_set_secret(net_engine(&net, 0), &other);
        assert_false(status(0, 1).has_session);
        assert_int_equal(net_say(&net, 0, 1, 2), OK); /* 1 does not know that key */
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].delivered, 1);
        assert_int_equal(stats(1)->unknown_peer, 1);
}

static void a_restarted_peer_is_found_again(void **state)
{
        const struct secret_key secret = net_secret(1);

        (void)state;
        establish();
        net_run(&net, TIME_S(1));
        tunnel_direct_free(net.nodes[1].direct);
        net_node_start(&net, 1, &secret);
        net_link(&net, 1, 0);
        assert_int_equal(net_say(&net, 0, 1, 2), OK); /* lost: 1 does not know the session */
        net_run(&net, TIME_MS(15400));
        assert_int_equal(net_say(&net, 0, 1, 3), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].last_tag, 3);
        /* told of the restart, it does not lose anything */
        tunnel_direct_free(net.nodes[1].direct);
        net_node_start(&net, 1, &secret);
        net_link(&net, 1, 0);
        net_run(&net, TIME_S(5));
        tunnel_peer_reset(net_engine(&net, 0), peer(0, 1));
        assert_int_equal(net_say(&net, 0, 1, 4), OK);
        net_run(&net, TIME_S(1));
        assert_int_equal(net.nodes[1].last_tag, 4);
}

static void persistent_keepalive(void **state)
{
        (void)state;
        tunnel_peer_set_persistent_keepalive(net_engine(&net, 0), peer(0, 1), 25, &net.now);
        net_run(&net, TIME_S(1));
        assert_true(status(0, 1).has_session);
        net.nodes[0].sent[TUNNEL_TRANSPORT] = 0;
        net_run(&net, TIME_S(100));
        assert_int_equal(net.nodes[0].sent[TUNNEL_TRANSPORT], 4);
        net_run(&net, TIME_S(1000));
        assert_in_range(net.nodes[0].sent[TUNNEL_TRANSPORT], 38, 52);
        tunnel_peer_set_persistent_keepalive(net_engine(&net, 0), peer(0, 1), 0, &net.now);
        net.nodes[0].sent[TUNNEL_TRANSPORT] = 0;
        net_run(&net, TIME_S(100));
        assert_int_equal(net.nodes[0].sent[TUNNEL_TRANSPORT], 0);
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

static void peers_are_refused_for_a_reason(void **state)
{
        struct tunnel_peer_config config = { .key = net.nodes[1].key };
        struct tunnel_peer *p;

        (void)state;
        assert_int_equal(tunnel_peer_add(net_engine(&net, 0), &config, &p), ERR_EXISTS);
        config.key = net.nodes[0].key;
        assert_int_equal(tunnel_peer_add(net_engine(&net, 0), &config, &p), ERR_AUTH);
        config.key = (struct public_key){ 0 };
        assert_int_equal(tunnel_peer_add(net_engine(&net, 0), &config, &p), ERR_AUTH);
}

static void an_idle_peer_is_small(void **state)
{
        (void)state;
        assert_true(sizeof(struct tunnel_peer) <= 512);
        assert_true(sizeof(struct tunnel_session) <= 1600);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(first_packet_shakes_hands_and_arrives),
                TEST(responder_waits_for_the_confirmation),
                TEST(initiation_is_sent_twenty_times),
                TEST(keepalive_after_ten_seconds_of_silence),
                TEST(an_answer_in_time_makes_the_keepalive_needless),
                TEST(silence_after_data_starts_a_handshake),
                TEST(initiator_renews_an_old_session_when_it_sends),
                TEST(initiator_that_only_listens_renews_once_late),
                TEST(everything_is_wiped_after_nine_minutes),
                TEST(crossing_initiations_both_complete_at_once),
                TEST(a_replayed_initiation_is_refused),
                TEST(a_response_counts_once),
                TEST(initiations_too_close_are_refused),
                TEST(handshakes_five_seconds_apart),
                TEST(the_clock_may_go_back),
                TEST(clock_slots_survive_the_round_trip),
                TEST(psk_must_be_the_same),
                TEST(strangers),
                TEST(a_claim_without_proof_makes_no_peer),
                TEST(staging_is_bounded),
                TEST(only_allowed_sources_are_delivered),
                TEST(another_secret_ends_sending),
                TEST(a_restarted_peer_is_found_again),
                TEST(persistent_keepalive),
                TEST(load_is_met_with_cookies),
                TEST(a_flood_does_not_lock_peers_out),
                TEST(garbage_is_counted),
                TEST(peers_are_refused_for_a_reason),
                TEST(an_idle_peer_is_small),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
