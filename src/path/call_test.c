/* Call-me-maybe: whose calls are heeded, and when we call. */
#include "test_peer.h"

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                FIXTURE(forged_calls_are_dropped),
                FIXTURE(call_is_answered_by_pings_alone),
                FIXTURE(calls_are_limited),
                FIXTURE(huge_call_is_cut),
                FIXTURE(calls_wait_for_fresh_endpoints),
                FIXTURE(peer_without_endpoints_is_never_called),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
