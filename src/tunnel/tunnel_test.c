/* The engine in conversation: sessions begin, are renewed, kept alive and forgotten. */
#include "test_pair.h"

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
                TEST(the_clock_may_go_back),
                TEST(clock_slots_survive_the_round_trip),
                TEST(another_secret_ends_sending),
                TEST(a_restarted_peer_is_found_again),
                TEST(persistent_keepalive),
                TEST(peers_are_refused_for_a_reason),
                TEST(an_idle_peer_is_small),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
