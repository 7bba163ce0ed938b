/* Real kernel objects in a network namespace of the test's own; needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "os/monitor.h"
#include "os/priv.h"

struct outcome {
        bool is_done;
        enum err e;
        struct tun_device dev;
        struct diag d;
};

static void on_tun(void *ctx, enum err e, const struct tun_device *dev, const struct diag *d)
{
        *(struct outcome *)ctx = (struct outcome){ true, e, *dev, *d };
}

static void on_done(void *ctx, enum err e, const struct diag *d)
{
        *(struct outcome *)ctx = (struct outcome){ .is_done = true, .e = e, .d = *d };
}

static void wait_for(struct priv *p, struct outcome *o)
{
        while (!o->is_done) {
                struct pollfd pfd = { priv_fd(p), POLLIN, 0 };
                assert_true(poll(&pfd, 1, 10000) == 1);
                assert_int_equal(priv_ready(p), OK);
        }
        if (o->e)
                print_message("%s\n", o->d.text);
}

static bool has_address(const char *name, const char *address)
{
        struct arena arena = ARENA_INIT(1 << 20);
        struct os_network net;
        struct diag d;
        char text[IP_TEXT_MAX];
        bool found = false;

        assert_int_equal(os_network_read(&arena, &net, &d), OK);
        for (size_t i = 0; i < net.count; i++)
                for (size_t k = 0; k < net.interfaces[i].address_count; k++) {
                        ip_prefix_format(&net.interfaces[i].addresses[k], text);
                        found |= strcmp(net.interfaces[i].name, name) == 0 && strcmp(text, address) == 0;
                }
        arena_fini(&arena);
        return found;
}

static void sets_up_a_device_and_its_routes(void **state)
{
        (void)state;
        struct priv *p;
        struct outcome o = { 0 };
        struct diag d;
        struct ip_prefix address, routes[700];
        struct tun_options options = { .name = "wefttest0", .mtu = 1280, .gso_max_bytes = 60000, .gso_max_segs = 64 };
        struct os_monitor *monitor = os_monitor_new(&d);

        assert_non_null(monitor);
        assert_int_equal(priv_start(&p, &d), OK);
        assert_int_equal(priv_tun_open(p, &options, on_tun, &o), OK);
        wait_for(p, &o);
        assert_int_equal(o.e, OK);
        assert_true(o.dev.fd >= 0 && o.dev.has_vnet_hdr && o.dev.ifindex);
        assert_string_equal(o.dev.name, "wefttest0");
        assert_true(os_monitor_drain(monitor, 0));
        struct tun_device dev = o.dev;

        assert_int_equal(ip_prefix_parse(SLICE_LIT("100.64.0.1/32"), &address), OK);
        for (unsigned i = 0; i < 700; i++)
                routes[i] = ip_host_prefix(ip_v4_u32(0x64410000 + i));
        struct router_config want = { dev.ifindex, &address, 1, routes, 700, NULL, 0, true };
        o = (struct outcome){ 0 };
        assert_int_equal(priv_router_set(p, NULL, &want, on_done, &o), OK);
        wait_for(p, &o);
        assert_int_equal(o.e, OK);
        assert_true(has_address("wefttest0", "100.64.0.1/32"));

        o = (struct outcome){ 0 };
        assert_int_equal(priv_tun_open(p, &options, on_tun, &o), OK);
        wait_for(p, &o);
        assert_int_equal(o.e, ERR_EXISTS);
        assert_true(o.dev.fd < 0);

        o = (struct outcome){ 0 };
        assert_int_equal(priv_router_set(p, &want, NULL, on_done, &o), OK);
        priv_stop(p);
        assert_true(o.is_done);
        close(dev.fd);
        assert_false(has_address("wefttest0", "100.64.0.1/32"));
        os_monitor_free(monitor);
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(sets_up_a_device_and_its_routes) };

        if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0 || access("/dev/net/tun", R_OK) != 0) {
                printf("skipped: needs root, network namespaces and /dev/net/tun\n");
                return 77;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
