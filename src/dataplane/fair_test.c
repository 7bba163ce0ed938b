#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "base/random.h"
#include "fair.h"

/* A UDP packet of len bytes from this port, numbered. */
static enum err add(struct fair_queue *q, uint16_t port, uint32_t number, size_t len, uint64_t *dropped)
{
        uint8_t *at = fair_reserve(q);

        assert_non_null(at);
        memset(at, 0, VNET_LEN + 40);
        uint8_t *ip = at + VNET_LEN;
        ip[0] = 0x45;
        put_be16(ip + 2, (uint16_t)len);
        ip[8] = 64;
        ip[9] = IP_PROTO_UDP;
        put_be32(ip + 12, 0x64400001);
        put_be32(ip + 16, 0x64400002);
        put_be16(ip + 20, port);
        put_be16(ip + 22, 53);
        put_be16(ip + 24, (uint16_t)(len - 20));
        put_be32(ip + 28, number);
        return fair_add(q, VNET_LEN + len, dropped);
}

static uint32_t number_of(const struct fair_packet *p) { return get_be32(p->packet.bytes.ptr + 28); }

static void test_order_within_a_flow(void **state)
{
        struct fair_queue *q = fair_new();
        uint64_t dropped = 0;

        (void)state;
        for (uint32_t i = 0; i < 20; i++)
                assert_int_equal(add(q, 7, i, i % 3 == 0 ? 60000 : 100, &dropped), OK);
        for (uint32_t i = 0; i < 20; i++)
                assert_int_equal(number_of(fair_take(q)), i);
        assert_null(fair_take(q));
        assert_true(fair_empty(q));
        assert_int_equal(dropped, 0);
        fair_free(q);
}

static void test_newcomer_goes_first(void **state)
{
        struct fair_queue *q = fair_new();
        uint64_t dropped = 0;

        (void)state;
        for (uint32_t i = 0; i < 20; i++)
                assert_int_equal(add(q, 7, i, 60000, &dropped), OK);
        for (uint32_t i = 0; i < 3; i++) /* the bulk flow has had its first turn */
                assert_int_equal(number_of(fair_take(q)), i);
        assert_int_equal(add(q, 9, 1000, 84, &dropped), OK);
        assert_int_equal(number_of(fair_take(q)), 1000);
        assert_int_equal(number_of(fair_take(q)), 3);
        fair_free(q);
}

static void test_bulk_flow_makes_room_itself(void **state)
{
        struct fair_queue *q = fair_new();
        uint64_t dropped = 0;

        (void)state;
        assert_int_equal(add(q, 9, 1000, 84, &dropped), OK);
        for (uint32_t i = 0; i < 100; i++)
                assert_int_equal(add(q, 7, i, 60000, &dropped), OK);
        assert_int_equal(dropped, 100 - FAIR_BYTES_MAX / 60000);
        assert_int_equal(number_of(fair_take(q)), 1000);
        assert_int_equal(number_of(fair_take(q)), dropped); /* its oldest went */
        fair_free(q);
}

static void test_slots_run_out(void **state)
{
        struct fair_queue *q = fair_new();
        uint64_t dropped = 0;

        (void)state;
        for (uint32_t i = 0; i < 200; i++)
                assert_int_equal(add(q, 7, i, 3000, &dropped), OK);
        assert_int_equal(dropped, 200 - (FAIR_LARGE - 1));
        assert_int_equal(number_of(fair_take(q)), dropped);
        fair_free(q);
}

static void test_small_packets_wait_outside(void **state)
{
        struct fair_queue *q = fair_new();
        uint64_t dropped = 0;

        (void)state;
        for (uint32_t i = 0; i < FAIR_SMALL; i++)
                assert_int_equal(add(q, 7, i, 64, &dropped), OK);
        assert_null(fair_reserve(q));
        assert_int_equal(number_of(fair_take(q)), 0);
        assert_null(fair_reserve(q)); /* what was taken is still in use */
        assert_int_equal(number_of(fair_take(q)), 1);
        assert_non_null(fair_reserve(q));
        assert_int_equal(dropped, 0);
        fair_free(q);
}

static void test_junk_is_forgotten(void **state)
{
        struct fair_queue *q = fair_new();
        uint64_t dropped = 0;

        (void)state;
        for (int i = 0; i < 1000; i++) {
                memset(fair_reserve(q), 0, 100);
                assert_int_not_equal(fair_add(q, i % 100, &dropped), OK);
        }
        assert_true(fair_empty(q));
        fair_free(q);
}

/* Whatever comes and goes: each flow's packets leave in order, none is lost but
 * those that were counted. */
static void test_random(void **state)
{
        enum { PORTS = 6 };
        struct fair_queue *q = fair_new();
        uint32_t next_in[PORTS] = { 0 }, last_out[PORTS] = { 0 };
        uint64_t in = 0, out = 0, dropped = 0;
        struct rng_seeded rng;

        (void)state;
        rng_seed(&rng, 6);
        for (int i = 0; i < 200000; i++) {
                const struct fair_packet *p;
                if (rng_u32(&rng.rng) % 2 && fair_reserve(q)) {
                        uint32_t port = rng_u32(&rng.rng) % PORTS;
                        size_t len = rng_u32(&rng.rng) % 3 ? 40 + rng_u32(&rng.rng) % 1500 : 50000;
                        assert_int_equal(add(q, (uint16_t)(100 + port), ++next_in[port], len, &dropped), OK);
                        in++;
                } else if ((p = fair_take(q))) {
                        uint32_t port = p->packet.src.port - 100u;
                        assert_true(number_of(p) > last_out[port]);
                        last_out[port] = number_of(p);
                        out++;
                }
        }
        while (fair_take(q))
                out++;
        assert_true(fair_empty(q));
        assert_int_equal(in, out + dropped);
        fair_free(q);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order_within_a_flow),
                cmocka_unit_test(test_newcomer_goes_first),
                cmocka_unit_test(test_bulk_flow_makes_room_itself),
                cmocka_unit_test(test_slots_run_out),
                cmocka_unit_test(test_small_packets_wait_outside),
                cmocka_unit_test(test_junk_is_forgotten),
                cmocka_unit_test(test_random),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
