/* For tests: two nodes that know each other, in a fresh network for each test. */
#ifndef TUNNEL_TEST_PAIR_H
#define TUNNEL_TEST_PAIR_H

#include "test_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tunnel_internal.h"

static struct net net;

static inline int setup(void **state)
{
        (void)state;
        net_init(&net, 1);
        net_link(&net, 0, 1);
        net_link(&net, 1, 0);
        return 0;
}

static inline int teardown(void **state)
{
        (void)state;
        net_fini(&net);
        return 0;
}

static inline struct tunnel_peer *peer(int from, int to)
{
        return tunnel_link_peer(net.nodes[from].links[to]);
}

static inline const struct tunnel_stats *stats(int id)
{
        return tunnel_stats(net_engine(&net, id));
}

static inline struct tunnel_peer_status status(int from, int to)
{
        struct tunnel_peer_status s;

        tunnel_peer_status(peer(from, to), &net.now, &s);
        return s;
}

static inline int drop_all(struct net *n, int from, int to, struct slice datagram, uint64_t extra_us[static 2])
{
        (void)n, (void)from, (void)to, (void)datagram, (void)extra_us;
        return 0;
}

static inline int drop_transport(struct net *n, int from, int to, struct slice datagram, uint64_t extra_us[static 2])
{
        (void)n, (void)from, (void)to, (void)extra_us;
        return tunnel_message_type(datagram) == TUNNEL_TRANSPORT ? 0 : 1;
}

static inline void establish(void)
{
        assert_int_equal(net_say(&net, 0, 1, 1), OK);
        net_run(&net, TIME_MS(100));
        assert_int_equal(net.nodes[1].delivered, 1);
        assert_true(status(0, 1).has_session);
        assert_true(status(1, 0).has_session);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
