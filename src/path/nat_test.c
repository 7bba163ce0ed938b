/* Pairs of path managers behind NATs of every kind (spec/paths.md 9), and what
 * happens when their networks change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test_net.h"

static const char *const nat_names[NAT_KINDS] = { "open", "EIM+ADF", "EIM+APDF", "APDM", "APDM+PMP",
        "blocked" };

static struct test_net *make_pair(enum nat a, enum nat b)
{
        struct test_net *net = test_net_new();

        test_host_add(net, a, 1);
        test_host_add(net, b, 2);
        test_net_join(net);
        return net;
}

static bool expect_direct(enum nat a, enum nat b)
{
        if (a == NAT_BLOCKED || b == NAT_BLOCKED)
                return false;
        if (a == NAT_APDM_PMP || b == NAT_APDM_PMP)
                return true;
        if (a == NAT_APDM)
                return b == NAT_OPEN || b == NAT_EIM_ADF;
        if (b == NAT_APDM)
                return a == NAT_OPEN || a == NAT_EIM_ADF;
        return true;
}

static void matrix(void **state)
{
        (void)state;
        for (enum nat a = 0; a < NAT_KINDS; a++) {
                for (enum nat b = 0; b < NAT_KINDS; b++) {
                        struct test_net *net = make_pair(a, b);
                        test_net_run(net, TIME_S(30), true);
                        bool want = expect_direct(a, b);
                        bool got = test_is_direct(&net->hosts[0], 1) && test_is_direct(&net->hosts[1], 0);
                        if (got != want)
                                fail_msg("%s x %s: direct=%d, expected %d", nat_names[a], nat_names[b], got,
                                        want);
                        if (!want)
                                assert_int_equal(path_best_use(&net->hosts[0].best[1], net->now.mono_us) &
                                                         PATH_USE_DERP,
                                        PATH_USE_DERP);
                        test_net_free(net);
                }
        }
}

static void easy_pair_is_direct_within_a_second(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_EIM_APDF, NAT_EIM_APDF);

        test_net_run(net, TIME_S(5), false); /* netcheck and the control server */
        test_net_run(net, TIME_S(1), true);
        assert_true(test_is_direct(&net->hosts[0], 1));
        assert_true(test_is_direct(&net->hosts[1], 0));
        test_net_free(net);
}

/* Nobody is told any endpoint by the control server: CallMeMaybe alone must do. */
static void call_me_maybe_is_enough(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_EIM_APDF, NAT_OPEN);

        net->hosts[0].no_news = true;
        test_net_run(net, TIME_S(20), true);
        assert_true(test_is_direct(&net->hosts[1], 0));
        test_net_free(net);
}

static void same_lan_uses_private_addresses(void **state)
{
        (void)state;
        struct test_net *net = test_net_new();

        test_host_add(net, NAT_APDM, 5);
        test_host_add(net, NAT_APDM, 5);
        test_net_join(net);
        test_net_run(net, TIME_S(10), true);
        assert_true(test_is_direct(&net->hosts[0], 1));
        assert_true(ip_is_private(&net->hosts[0].best[1].udp.ip));
        test_net_free(net);
}

static void lost_path_is_left_and_found_again(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_OPEN, NAT_EIM_APDF);
        struct test_host *a = &net->hosts[0];

        test_net_run(net, TIME_S(10), true);
        assert_true(test_is_direct(a, 1));
        a->cut = true;
        uint64_t cut_us = net->now.mono_us;
        while (test_is_direct(a, 1))
                test_net_run(net, TIME_MS(100), true);
        assert_int_equal(path_best_use(&a->best[1], net->now.mono_us), PATH_USE_UDP | PATH_USE_DERP);
        assert_in_range(net->now.mono_us - cut_us, TIME_MS(3400), TIME_MS(6600));
        while (path_best_use(&a->best[1], net->now.mono_us) != PATH_USE_DERP)
                test_net_run(net, TIME_MS(100), true);
        assert_in_range(net->now.mono_us - cut_us, TIME_MS(4900), TIME_MS(8100));
        a->cut = false;
        test_net_run(net, TIME_S(7), true);
        assert_true(test_is_direct(a, 1));
        test_net_free(net);
}

static void roaming(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_EIM_APDF, NAT_EIM_APDF);
        struct test_host *a = &net->hosts[0];

        test_net_run(net, TIME_S(10), true);
        struct ip_port before = net->hosts[1].best[0].udp;
        test_host_move(a, NAT_EIM_APDF, 7);
        assert_int_equal(path_best_use(&a->best[1], net->now.mono_us), PATH_USE_DERP);
        test_net_run(net, TIME_S(15), true);
        assert_true(test_is_direct(a, 1));
        assert_true(test_is_direct(&net->hosts[1], 0));
        assert_false(ip_port_equal(&before, &net->hosts[1].best[0].udp));
        for (size_t i = 0; i < a->endpoint_count; i++)
                assert_false(ip_equal(&a->endpoints[i].addr.ip, &before.ip)); /* none of the old network */
        test_net_free(net);
}

static void idle_peers_are_left_alone(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_EIM_APDF, NAT_EIM_APDF);
        struct test_host *a = &net->hosts[0];

        test_net_run(net, TIME_S(10), true);
        assert_false(a->best[1].asleep);
        test_net_run(net, TIME_S(60), false);
        assert_true(a->best[1].asleep);
        unsigned before = a->udp_sent + a->relay_sent;
        test_net_run(net, TIME_S(600), false);
        assert_int_equal(a->udp_sent + a->relay_sent, before);
        test_net_run(net, TIME_S(3), true);
        assert_true(test_is_direct(a, 1));
        test_net_free(net);
}

/* The machine slept for a day: every deadline is long past at once. */
static void clock_jump(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_EIM_APDF, NAT_OPEN);
        struct test_host *a = &net->hosts[0];

        test_net_run(net, TIME_S(10), true);
        net->now.mono_us += TIME_S(86400);
        net->now.unix_us -= TIME_S(3600); /* and the date was set back */
        assert_int_equal(path_best_use(&a->best[1], net->now.mono_us), PATH_USE_UDP | PATH_USE_DERP);
        test_net_run(net, TIME_S(10), true);
        assert_true(test_is_direct(a, 1));
        test_net_free(net);
}

static void workers_need_no_call_for_each_packet(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_EIM_APDF, NAT_EIM_APDF);
        struct test_host *a = &net->hosts[0];

        net->workers = true;
        test_net_run(net, TIME_S(120), true);
        assert_true(test_is_direct(a, 1));
        assert_int_equal(a->wakes, 1);
        test_net_run(net, TIME_S(60), false);
        assert_true(a->best[1].asleep);
        test_net_run(net, TIME_S(5), true);
        assert_true(test_is_direct(a, 1));
        assert_int_equal(a->wakes, 2);
        test_net_free(net);
}

/* Without heartbeats the user's packets are what keeps a path trusted. */
static void silent_disco(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_OPEN, NAT_EIM_APDF);
        struct test_host *a = &net->hosts[0];

        net->workers = true;
        for (int i = 0; i < 2; i++)
                path_set_options(net->hosts[i].m, &(struct path_options){ .silent_disco = true }, &net->now);
        test_net_run(net, TIME_S(10), true);
        assert_true(test_is_direct(a, 1));
        uint64_t pings = path_stats(a->m)->pings_sent;
        test_net_run(net, TIME_S(40), true);
        assert_true(test_is_direct(a, 1));
        assert_int_equal(path_stats(a->m)->pings_sent, pings);
        a->cut = true;
        test_net_run(net, TIME_S(20), true);
        assert_int_equal(path_best_use(&a->best[1], net->now.mono_us), PATH_USE_DERP);
        test_net_free(net);
}

static void blocked_udp_still_finds_a_home(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_BLOCKED, NAT_OPEN);
        struct test_host *a = &net->hosts[0];

        test_net_run(net, TIME_S(10), false);
        assert_true(a->latency_asked > 0);
        assert_int_not_equal(a->home, 0);
        assert_false(path_report(a->m)->udp);
        assert_true(a->netinfos > 0);
        test_net_free(net);
}

static void user_ping_tells_the_way(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_EIM_APDF, NAT_EIM_APDF);
        struct test_host *a = &net->hosts[0];

        test_net_run(net, TIME_S(5), false);
        assert_int_equal(path_ping(a->m, &net->hosts[1].key, 0, 7, &net->now), OK);
        test_net_run(net, TIME_S(1), false);
        assert_true(a->pinged);
        assert_int_equal(a->ping.status, OK);
        assert_int_equal(a->ping.token, 7);
        assert_true(a->ping.derp_region != 0 || ip_valid(&a->ping.udp.ip));

        test_net_run(net, TIME_S(5), true);
        a->pinged = false;
        assert_int_equal(path_ping(a->m, &net->hosts[1].key, 0, 8, &net->now), OK);
        test_net_run(net, TIME_S(1), false);
        assert_true(a->pinged && ip_valid(&a->ping.udp.ip) && a->ping.latency_us == TIME_MS(20));

        net->hosts[1].nat = NAT_BLOCKED;
        net->relay_delay_us = TIME_S(60);
        a->pinged = false;
        assert_int_equal(path_ping(a->m, &net->hosts[1].key, 0, 9, &net->now), OK);
        test_net_run(net, TIME_S(6), false);
        assert_true(a->pinged && a->ping.status == ERR_TIMEOUT && a->ping.token == 9);
        assert_int_equal(
                path_ping(a->m, &net->hosts[1].key, PATH_PING_SIZE_MAX + 1, 1, &net->now), ERR_RANGE);
        assert_int_equal(path_ping(a->m, &a->key, 0, 1, &net->now), ERR_NOTFOUND);
        test_net_free(net);
}

static void tcp_443_only_sends_no_udp(void **state)
{
        (void)state;
        struct test_net *net = make_pair(NAT_OPEN, NAT_OPEN);
        struct test_host *a = &net->hosts[0];

        path_set_options(a->m, &(struct path_options){ .only_tcp_443 = true }, &net->now);
        test_net_run(net, TIME_S(30), true);
        assert_int_equal(a->udp_sent, 0);
        assert_int_equal(path_best_use(&a->best[1], net->now.mono_us), PATH_USE_DERP);
        assert_int_equal(a->endpoint_count, 0);
        test_net_free(net);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(matrix),
                cmocka_unit_test(easy_pair_is_direct_within_a_second),
                cmocka_unit_test(call_me_maybe_is_enough),
                cmocka_unit_test(same_lan_uses_private_addresses),
                cmocka_unit_test(lost_path_is_left_and_found_again),
                cmocka_unit_test(roaming),
                cmocka_unit_test(idle_peers_are_left_alone),
                cmocka_unit_test(clock_jump),
                cmocka_unit_test(workers_need_no_call_for_each_packet),
                cmocka_unit_test(silent_disco),
                cmocka_unit_test(blocked_udp_still_finds_a_home),
                cmocka_unit_test(user_ping_tells_the_way),
                cmocka_unit_test(tcp_443_only_sends_no_udp),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
