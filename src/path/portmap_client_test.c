#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "path/portmap.h"
#include "proto/portmap.h"

enum { PORT = 41641, OUTSIDE_PORT = 5000 };

struct fixture {
        struct portmap_client *pc;
        struct rng_seeded rng;
        struct now now;
        uint8_t sent[16][PORTMAP_REQUEST_MAX];
        size_t sent_len[16], sent_count;
        unsigned changed, upnp_asked;
        uint32_t upnp_lifetime;
        struct ip_port external;
};

static const struct ip_addr gateway = { IP_V4, { 192, 168, 1, 1 }, 0 };
static const struct ip_addr self = { IP_V4, { 192, 168, 1, 10 }, 0 };

static void send(void *ctx, const struct ip_port *dst, struct slice datagram)
{
        struct fixture *f = ctx;

        assert_true(ip_equal(&dst->ip, &gateway) && dst->port == PORTMAP_PORT);
        assert_true(f->sent_count < 16);
        memcpy(f->sent[f->sent_count], datagram.ptr, datagram.len);
        f->sent_len[f->sent_count++] = datagram.len;
}

static void upnp(void *ctx, uint16_t internal_port, uint16_t external_port, uint32_t lifetime_s)
{
        struct fixture *f = ctx;

        (void)external_port;
        assert_int_equal(internal_port, PORT);
        f->upnp_asked++;
        f->upnp_lifetime = lifetime_s;
}

static void changed(void *ctx, const struct ip_port *external, const struct now *now)
{
        struct fixture *f = ctx;

        (void)now;
        f->changed++;
        f->external = *external;
}

static const struct portmap_ops ops = { send, upnp, changed };

static int setup(void **state)
{
        struct fixture *f = test_calloc(1, sizeof(*f));

        f->now.mono_us = TIME_S(100);
        rng_seed(&f->rng, 1);
        f->pc = portmap_client_new(&ops, f, &f->rng.rng);
        assert_non_null(f->pc);
        portmap_client_set_upnp(f->pc, true);
        portmap_client_set_network(f->pc, &gateway, &self, PORT, &f->now);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        f->sent_count = 0;
        portmap_client_free(f->pc);
        test_free(f);
        return 0;
}

static void advance(struct fixture *f, uint64_t us)
{
        uint64_t end = f->now.mono_us + us;

        for (uint64_t at; (at = portmap_client_next_deadline_us(f->pc)) <= end;) {
                f->now.mono_us = at;
                portmap_client_run(f->pc, &f->now);
        }
        f->now.mono_us = end;
}

static void from(struct fixture *f, struct ip_addr ip, uint16_t port, struct slice bytes)
{
        struct ip_port src = { ip, port };

        portmap_client_received(f->pc, &src, bytes, &f->now);
}

static void pmp_answer(struct fixture *f, bool map, uint16_t result, uint32_t epoch)
{
        uint8_t b[16] = { 0, map ? 0x81 : 0x80 };

        put_be16(b + 2, result);
        put_be32(b + 4, epoch);
        if (!map) {
                memcpy(b + 8, (uint8_t[]){ 203, 0, 113, 9 }, 4);
        } else {
                put_be16(b + 8, PORT);
                put_be16(b + 10, OUTSIDE_PORT);
                put_be32(b + 12, PORTMAP_LIFETIME_S);
        }
        from(f, gateway, PORTMAP_PORT, slice_make(b, map ? 16 : 12));
}

static void pcp_answer(struct fixture *f, bool map, uint8_t result, const uint8_t *nonce)
{
        uint8_t b[PCP_MAP_LEN] = { 2, map ? 0x81 : 0x80, 0, result };

        put_be32(b + 4, PORTMAP_LIFETIME_S);
        put_be32(b + 8, 77);
        if (nonce)
                memcpy(b + 24, nonce, PCP_NONCE_LEN);
        b[36] = 17;
        put_be16(b + 40, PORT);
        put_be16(b + 42, OUTSIDE_PORT);
        struct ip_addr external = ip_v4(203, 0, 113, 9);
        ip_to_mapped16(&external, b + 44);
        from(f, gateway, PORTMAP_PORT, slice_make(b, map ? PCP_MAP_LEN : PCP_ANNOUNCE_LEN));
}

static void map_by_pmp(struct fixture *f)
{
        portmap_client_refresh(f->pc, &f->now);
        pmp_answer(f, false, PMP_OK, 1000);
        advance(f, TIME_MS(250));
        pmp_answer(f, true, PMP_OK, 1000);
}

static void pmp(void **state)
{
        struct fixture *f = *state;
        struct ip_port external, want = { ip_v4(203, 0, 113, 9), OUTSIDE_PORT };

        portmap_client_refresh(f->pc, &f->now);
        assert_int_equal(f->sent_count, 2); /* NAT-PMP, PCP */
        assert_int_equal(f->sent_len[0], PMP_ADDR_REQUEST_LEN);
        assert_int_equal(f->sent_len[1], PCP_ANNOUNCE_LEN);
        portmap_client_refresh(f->pc, &f->now); /* one round at a time */
        assert_int_equal(f->sent_count, 2);
        pmp_answer(f, false, PMP_OK, 1000);
        advance(f, TIME_MS(250));
        assert_int_equal(f->sent_count, 3);
        assert_int_equal(f->sent_len[2], PMP_MAP_REQUEST_LEN);
        pmp_answer(f, true, PMP_OK, 1000);
        assert_int_equal(f->changed, 1);
        assert_true(portmap_client_external(f->pc, &f->now, &external));
        assert_true(ip_port_equal(&external, &want));
        assert_true(portmap_client_seen(f->pc, &f->now).pmp);

        /* Halfway it is renewed, asking for the same port; the same answer is no news. */
        f->sent_count = 0;
        advance(f, TIME_S(3600));
        assert_true(f->sent_count > 0);
        advance(f, TIME_MS(1));
        pmp_answer(f, false, PMP_OK, 4600);
        advance(f, TIME_MS(250));
        pmp_answer(f, true, PMP_OK, 4600);
        assert_int_equal(f->changed, 1);
        assert_int_equal(get_be16(f->sent[f->sent_count - 1] + 6), OUTSIDE_PORT);

        /* Never answered again, it runs out. */
        advance(f, TIME_S(7201));
        assert_false(portmap_client_external(f->pc, &f->now, &external));
        assert_int_equal(f->changed, 2);
        assert_false(ip_valid(&f->external.ip));
}

static void pcp_keeps_its_nonce(void **state)
{
        struct fixture *f = *state;
        uint8_t nonce[PCP_NONCE_LEN], wrong[PCP_NONCE_LEN] = { 0 };

        portmap_client_refresh(f->pc, &f->now);
        pcp_answer(f, false, PCP_OK, NULL);
        advance(f, TIME_MS(250));
        assert_int_equal(f->sent_len[2], PCP_MAP_LEN);
        memcpy(nonce, f->sent[2] + 24, PCP_NONCE_LEN);
        pcp_answer(f, true, PCP_OK, wrong);
        assert_int_equal(f->changed, 0);
        pcp_answer(f, true, PCP_OK, nonce);
        assert_int_equal(f->changed, 1);

        f->sent_count = 0;
        portmap_client_set_network(f->pc, &gateway, &self, PORT + 1, &f->now);
        assert_int_equal(f->sent_count, 1); /* deleted: lifetime 0, same nonce */
        assert_int_equal(get_be32(f->sent[0] + 4), 0);
        assert_memory_equal(f->sent[0] + 24, nonce, PCP_NONCE_LEN);
        assert_int_equal(f->changed, 2);
}

static void upnp_when_nothing_answers(void **state)
{
        struct fixture *f = *state;
        struct ip_port external = { ip_v4(203, 0, 113, 9), OUTSIDE_PORT }, got;

        portmap_client_refresh(f->pc, &f->now);
        advance(f, TIME_MS(250));
        assert_int_equal(f->upnp_asked, 1);
        assert_int_equal(f->upnp_lifetime, PORTMAP_LIFETIME_S);
        portmap_client_upnp_done(f->pc, &external, 0, &f->now); /* a permanent lease */
        assert_true(portmap_client_external(f->pc, &f->now, &got));
        advance(f, TIME_S(3601));
        assert_true(f->upnp_asked >= 2); /* looked after once an hour all the same */
}

static void a_no_is_a_no(void **state)
{
        struct fixture *f = *state;

        portmap_client_refresh(f->pc, &f->now);
        pmp_answer(f, false, PMP_OK, 1000);
        advance(f, TIME_MS(250));
        pmp_answer(f, true, PMP_REFUSED, 1000);
        advance(f, TIME_S(10));
        assert_int_equal(f->upnp_asked, 0);
        assert_int_equal(f->changed, 0);
}

static void router_restart_loses_the_mapping(void **state)
{
        struct fixture *f = *state;

        map_by_pmp(f);
        assert_int_equal(f->changed, 1);
        pmp_answer(f, false, PMP_OK, 5);
        assert_int_equal(f->changed, 2);
        assert_false(ip_valid(&f->external.ip));
}

static void only_the_gateway_is_heard(void **state)
{
        struct fixture *f = *state;
        uint8_t b[12] = { 0, 0x80, [4] = 0, 0, 3, 232, 203, 0, 113, 9 };

        portmap_client_refresh(f->pc, &f->now);
        from(f, ip_v4(192, 168, 1, 2), PORTMAP_PORT, SLICE_ARRAY(b));
        from(f, gateway, 4242, SLICE_ARRAY(b));
        assert_false(portmap_client_seen(f->pc, &f->now).pmp);
        for (size_t n = 0; n < sizeof(b); n++)
                from(f, gateway, PORTMAP_PORT, slice_make(b, n));
        assert_false(portmap_client_seen(f->pc, &f->now).pmp);
        from(f, gateway, PORTMAP_PORT, SLICE_ARRAY(b));
        assert_true(portmap_client_seen(f->pc, &f->now).pmp);
}

static void public_gateways_are_not_asked(void **state)
{
        struct fixture *f = *state;
        struct ip_addr public_gateway = ip_v4(203, 0, 113, 1);

        portmap_client_set_network(f->pc, &public_gateway, &self, PORT, &f->now);
        portmap_client_refresh(f->pc, &f->now);
        assert_int_equal(f->sent_count, 0);
}

#define FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                FIXTURE(pmp),
                FIXTURE(pcp_keeps_its_nonce),
                FIXTURE(upnp_when_nothing_answers),
                FIXTURE(a_no_is_a_no),
                FIXTURE(router_restart_loses_the_mapping),
                FIXTURE(only_the_gateway_is_heard),
                FIXTURE(public_gateways_are_not_asked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
