/* Which of our addresses peers are told (spec/paths.md 2.9). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "path_internal.h"

struct fixture {
        struct path_manager *m;
        struct rng_seeded rng;
        struct now now;
        unsigned told;
        struct path_endpoint list[PATH_ENDPOINTS_MAX];
        size_t count;
};

static void nothing_udp(void *ctx, const struct ip_port *dst, struct slice datagram)
{
        (void)ctx;
        (void)dst;
        (void)datagram;
}

static void endpoints_changed(void *ctx, const struct path_endpoint *list, size_t n)
{
        struct fixture *f = ctx;

        f->told++;
        f->count = n;
        memcpy(f->list, list, n * sizeof(*list));
}

static void netinfo_changed(void *ctx, const struct tailcfg_netinfo *info)
{
        (void)ctx;
        (void)info;
}

static void home_changed(void *ctx, uint16_t region)
{
        (void)ctx;
        (void)region;
}

static const struct path_ops ops = { .send_udp = nothing_udp,
        .endpoints_changed = endpoints_changed,
        .netinfo_changed = netinfo_changed,
        .home_changed = home_changed };

static int setup(void **state)
{
        struct fixture *f = test_calloc(1, sizeof(*f));

        f->now.mono_us = TIME_S(1000);
        rng_seed(&f->rng, 1);
        f->m = path_manager_new(&(struct path_config){ &ops, f, &f->rng.rng }, &f->now);
        assert_non_null(f->m);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        path_manager_free(f->m);
        test_free(f);
        return 0;
}

struct local_case {
        const char *prefix, *ifname;
        bool down;
};

static void set_locals(struct fixture *f, const struct local_case *cases, size_t n, uint16_t fixed_port)
{
        struct path_local locals[16];
        struct path_network net = { .up = true,
                .have_v4 = true,
                .have_v6 = true,
                .port_v4 = 41641,
                .port_v6 = 41642,
                .fixed_port = fixed_port,
                .locals = locals,
                .local_count = n };

        for (size_t i = 0; i < n; i++) {
                struct ip_prefix p;
                assert_int_equal(ip_prefix_parse(slice_str(cases[i].prefix), &p), OK);
                locals[i] = (struct path_local){ .ip = p.ip, .bits = p.bits, .up = !cases[i].down };
                memcpy(locals[i].ifname, cases[i].ifname, strlen(cases[i].ifname) + 1);
        }
        path_set_network(f->m, &net, &f->now);
}

static void report(struct fixture *f, const char *global_v4, enum netcheck_opt varies)
{
        struct netcheck_report r = { .mapping_varies = varies };

        if (global_v4)
                assert_int_equal(ip_port_parse(slice_str(global_v4), &r.global_v4), OK);
        path_endpoints_report_done(f->m, &r, &f->now);
}

static void assert_list(struct fixture *f, const char *const *want, size_t n)
{
        char text[IP_TEXT_MAX];

        assert_int_equal(f->count, n);
        for (size_t i = 0; i < n; i++) {
                ip_port_format(&f->list[i].addr, text);
                assert_string_equal(text, want[i]);
        }
}

#define LOCALS(f, ...)                                                                                       \
        set_locals(f, (const struct local_case[]){ __VA_ARGS__ },                                            \
                sizeof((const struct local_case[]){ __VA_ARGS__ }) / sizeof(struct local_case), 0)
#define ASSERT_LIST(f, ...)                                                                                  \
        assert_list(f, (const char *const[]){ __VA_ARGS__ },                                                 \
                sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void locals_worth_telling(void **state)
{
        struct fixture *f = *state;

        LOCALS(f, { "127.0.0.1/8", "lo", false }, { "192.168.1.5/24", "eth0", false },
                { "10.9.9.9/24", "ztabc", false }, { "10.8.8.8/24", "wt0", false },
                { "100.64.0.7/32", "tailscale0", false }, { "100.115.92.2/24", "eth2", false },
                { "172.16.0.1/16", "eth1", true }, { "fe80::1/64", "eth0", false },
                { "fd00::1/64", "eth0", false }, { "2001:db8::1/64", "eth0", false },
                { "2001:db8::2/64", "eth0", false }, { "2001:db8::3/64", "eth0", false },
                { "2001:db8:1::3/64", "eth0", false });
        report(f, NULL, NETCHECK_UNKNOWN);
        ASSERT_LIST(f, "192.168.1.5:41641", "100.115.92.2:41641", "[2001:db8::1]:41642",
                "[2001:db8::2]:41642", "[2001:db8:1::3]:41642");
}

static void last_resorts(void **state)
{
        struct fixture *f = *state;

        LOCALS(f, { "127.0.0.1/8", "lo", false }, { "169.254.3.4/16", "eth0", false },
                { "fd00::1/64", "eth0", false });
        report(f, NULL, NETCHECK_UNKNOWN);
        ASSERT_LIST(f, "169.254.3.4:41641", "[fd00::1]:41642");
        LOCALS(f, { "127.0.0.1/8", "lo", false });
        report(f, NULL, NETCHECK_UNKNOWN);
        ASSERT_LIST(f, "127.0.0.1:41641");
}

static void order_and_types(void **state)
{
        struct fixture *f = *state;
        static const struct local_case local = { "192.168.1.5/24", "eth0", false };
        struct ip_port fixed = { ip_v4(198, 18, 0, 1), 7 };

        set_locals(f, &local, 1, 4444);
        path_set_static_endpoints(f->m, &fixed, 1, &f->now);
        report(f, "203.0.113.7:1000", NETCHECK_FALSE);
        ASSERT_LIST(f, "203.0.113.7:1000", "198.18.0.1:7", "192.168.1.5:41641");
        assert_int_equal(f->list[0].type, PATH_ENDPOINT_STUN);
        assert_int_equal(f->list[1].type, PATH_ENDPOINT_EXPLICIT);
        assert_int_equal(f->list[2].type, PATH_ENDPOINT_LOCAL);
        report(f, "203.0.113.7:1000", NETCHECK_TRUE);
        ASSERT_LIST(f, "203.0.113.7:1000", "203.0.113.7:4444", "198.18.0.1:7", "192.168.1.5:41641");
        assert_int_equal(f->list[1].type, PATH_ENDPOINT_STUN_LOCAL_PORT);
}

/* Told only when the set changes; an old mapping stays for five minutes, and of
 * one address at most six. */
static void cache(void **state)
{
        struct fixture *f = *state;
        char text[32];

        LOCALS(f, { "192.168.1.5/24", "eth0", false });
        report(f, "203.0.113.7:1000", NETCHECK_FALSE);
        report(f, "203.0.113.7:1000", NETCHECK_FALSE);
        assert_int_equal(f->told, 1);
        f->now.mono_us += TIME_S(300);
        report(f, "203.0.113.7:1001", NETCHECK_FALSE);
        ASSERT_LIST(f, "203.0.113.7:1001", "203.0.113.7:1000", "192.168.1.5:41641");
        f->now.mono_us += TIME_S(11);
        report(f, "203.0.113.7:1001", NETCHECK_FALSE);
        ASSERT_LIST(f, "203.0.113.7:1001", "192.168.1.5:41641");
        for (int i = 0; i < 20; i++) {
                snprintf(text, sizeof(text), "203.0.113.7:%d", 2000 + i);
                report(f, text, NETCHECK_FALSE);
        }
        assert_int_equal(f->count, 6 + 1);
        path_endpoints_forget(f->m); /* another network */
        report(f, "198.18.5.5:1", NETCHECK_FALSE);
        ASSERT_LIST(f, "198.18.5.5:1", "192.168.1.5:41641");
}

#define FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                FIXTURE(locals_worth_telling),
                FIXTURE(last_resorts),
                FIXTURE(order_and_types),
                FIXTURE(cache),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
