/*
 * Two nodes over a network that loses, delays, reorders and doubles at random, for
 * hours of virtual time. Whatever happens: no packet is delivered twice or altered,
 * tables stay bounded, and once the network is well both directions work again.
 * A failure prints its seed, which repeats it.
 */
#include "test_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "tunnel_internal.h"

enum { SEEDS = 25, TAGS = 20000 };

static uint8_t delivered[NET_NODES][TAGS];
static unsigned loss_percent, double_percent, late_percent;
static uint64_t late_max_us;

static int rough(struct net *n, int from, int to, struct slice datagram, uint64_t extra_us[static 2])
{
        struct rng *rng = &n->rng.rng;
        int copies = 1 + (rng_below(rng, 100) < double_percent);

        (void)from, (void)to, (void)datagram;
        if (rng_below(rng, 100) < loss_percent)
                return 0;
        for (int i = 0; i < copies; i++)
                extra_us[i] = rng_below(rng, 100) < late_percent ? rng_below(rng, late_max_us) : 0;
        return copies;
}

static size_t length_of(uint32_t tag)
{
        return 24 + tag * 37 % 1200;
}

static void note(struct node *node, struct slice packet)
{
        uint32_t tag = get_be32(packet.ptr + 20);
        uint8_t want[1500];

        assert_true(tag < TAGS);
        assert_int_equal(delivered[node->id][tag], 0);
        delivered[node->id][tag] = 1;
        assert_true(slice_equal(packet, net_packet(1 - node->id, node->id, tag, length_of(tag), want)));
}

static void say(struct net *n, int from, uint32_t *tag)
{
        uint8_t bytes[1500];

        assert_int_equal(tunnel_send_packet(n->nodes[from].direct,
                                 net_packet(from, 1 - from, *tag, length_of(*tag), bytes), &n->now), OK);
        ++*tag;
}

static void check_bounds(struct net *n)
{
        for (int i = 0; i < 2; i++) {
                const struct tunnel *t = net_engine(n, i);

                assert_true(t->indices.count <= 4);
                assert_true(t->timers.count <= 1);
        }
}

static void run_seed(uint64_t seed)
{
        static struct net n;
        uint32_t tag = 0;
        unsigned before[2];

        net_init(&n, seed);
        net_link(&n, 0, 1);
        net_link(&n, 1, 0);
        memset(delivered, 0, sizeof delivered);
        loss_percent = (unsigned)rng_below(&n.rng.rng, 60);
        double_percent = (unsigned)rng_below(&n.rng.rng, 30);
        late_percent = (unsigned)rng_below(&n.rng.rng, 60);
        late_max_us = rng_between(&n.rng.rng, 1, TIME_S(rng_below(&n.rng.rng, 4) ? 1 : 20));
        n.fate = rough;
        n.nodes[0].on_deliver = n.nodes[1].on_deliver = note;

        while (tag < 5000) { /* bursts, and pauses that let sessions age */
                uint64_t burst = rng_below(&n.rng.rng, 40);

                for (uint64_t i = 0; i < burst; i++) {
                        say(&n, (int)rng_below(&n.rng.rng, 2), &tag);
                        net_run(&n, rng_below(&n.rng.rng, TIME_MS(200)));
                }
                check_bounds(&n);
                net_run(&n, rng_below(&n.rng.rng, rng_below(&n.rng.rng, 10) ? TIME_S(30) : TIME_S(700)));
        }

        n.fate = NULL;
        say(&n, 0, &tag);
        say(&n, 1, &tag);
        net_run(&n, TIME_S(25)); /* a broken session shows after 15 s, a handshake waits 5 */
        before[0] = n.nodes[0].delivered;
        before[1] = n.nodes[1].delivered;
        for (int i = 0; i < 10; i++) {
                say(&n, 0, &tag);
                say(&n, 1, &tag);
                net_run(&n, TIME_MS(100));
        }
        assert_int_equal(n.nodes[0].delivered - before[0], 10);
        assert_int_equal(n.nodes[1].delivered - before[1], 10);
        net_run(&n, TIME_S(600));
        assert_int_equal(net_engine(&n, 0)->indices.count + net_engine(&n, 1)->indices.count, 0);
        net_fini(&n);
}

static void both_ends_agree_over_a_rough_network(void **state)
{
        (void)state;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                print_message("seed %llu\n", (unsigned long long)seed);
                run_seed(seed);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(both_ends_agree_over_a_rough_network),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
