/* Who is answered, and what is believed. */
#include "test_peer.h"

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                FIXTURE(strangers_get_no_answer),
                FIXTURE(ping_is_answered_to_its_source),
                FIXTURE(ping_by_relay_is_answered_by_relay),
                FIXTURE(ping_teaches_only_the_owner_it_names),
                FIXTURE(hostile_packets),
                FIXTURE(pongs_must_fit_a_ping),
                FIXTURE(pong_after_the_timeout_is_late),
                FIXTURE(keys_and_removal),
                FIXTURE(broken_sockets_are_replaced_in_peace),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
