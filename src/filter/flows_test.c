#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "filter/flows.h"

/* What goes out on flow n, and its answer. */
static struct packet out_packet(uint32_t n)
{
        return (struct packet){
                .version = 4, .proto = IP_PROTO_UDP,
                .src = { ip_v4_u32(0x64400009), 1000 },
                .dst = { ip_v4_u32(0x64500000 + n), 53 },
        };
}

static struct packet answer(uint32_t n)
{
        struct packet p = out_packet(n);
        struct ip_port src = p.src;

        p.src = p.dst;
        p.dst = src;
        return p;
}

static bool known(struct filter_flows *t, uint32_t n)
{
        struct packet p = answer(n);

        return filter_flows_known(t, &p);
}

static void add(struct filter_flows *t, uint32_t n)
{
        struct packet p = out_packet(n);

        filter_flows_add(t, &p);
}

static void is_bounded_and_keeps_what_is_used(void **state)
{
        (void)state;
        struct filter_flows *t = filter_flows_new();
        unsigned left = 0;

        add(t, 0);
        for (uint32_t n = 1; n <= 10 * FILTER_FLOWS_MAX; n++) {
                add(t, n);
                assert_true(known(t, n));
                assert_true(known(t, 0)); /* asked for all the time */
        }
        for (uint32_t n = 1; n <= 10 * FILTER_FLOWS_MAX; n++)
                left += known(t, n);
        assert_in_range(left, FILTER_FLOWS_MAX / 2, FILTER_FLOWS_MAX);
        assert_true(known(t, 10 * FILTER_FLOWS_MAX));
        filter_flows_free(t);
}

static atomic_bool stop;

static void *look_up(void *arg)
{
        uintptr_t false_hits = 0;

        while (!atomic_load(&stop)) {
                for (uint32_t n = 0; n < 512; n++)
                        false_hits += known(arg, 0x10000 + n); /* never added */
        }
        return (void *)false_hits;
}

static void is_read_while_it_changes(void **state)
{
        (void)state;
        struct filter_flows *t = filter_flows_new();
        pthread_t thread;
        void *false_hits;

        assert_int_equal(pthread_create(&thread, NULL, look_up, t), 0);
        for (uint32_t n = 0; n < 200000; n++)
                add(t, n % 0x10000);
        atomic_store(&stop, true);
        pthread_join(thread, &false_hits);
        assert_null(false_hits);
        filter_flows_free(t);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(is_bounded_and_keeps_what_is_used),
                cmocka_unit_test(is_read_while_it_changes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
