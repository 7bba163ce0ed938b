#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "path/netcheck.h"
#include "proto/stun.h"
#include "proto/tailcfg.h"

enum { REGIONS = 5, PROBES_MAX = 128 };

struct probe_seen {
        struct ip_port dst;
        struct stun_txid txid;
        uint64_t at_us;
};

/* Region i has one node, 198.51.100.i and 2001:db8::i, which answers after
 * latency_ms[i]; 0: never. The NAT shows mapped_port, or another for each server. */
struct fixture {
        struct netcheck *nc;
        struct rng_seeded rng;
        struct now now;
        unsigned latency_ms[REGIONS + 1];
        bool by_destination;
        struct probe_seen probes[PROBES_MAX];
        size_t probe_count;
        unsigned done;
        struct netcheck_report report;
        struct netcheck_latency_probe asked[2 * REGIONS];
        size_t asked_count;
        uint64_t heard_us[REGIONS + 1];
};

static void send_stun(void *ctx, const struct ip_port *dst, struct slice request)
{
        struct fixture *f = ctx;

        assert_true(f->probe_count < PROBES_MAX);
        assert_int_equal(dst->port, STUN_PORT);
        struct probe_seen *p = &f->probes[f->probe_count++];
        p->dst = *dst;
        p->at_us = f->now.mono_us;
        assert_int_equal(stun_request_parse(request, &p->txid), OK);
}

static void probe_latency(void *ctx, const struct netcheck_latency_probe *probe)
{
        struct fixture *f = ctx;

        assert_true(f->asked_count < 2 * REGIONS);
        f->asked[f->asked_count++] = *probe;
}

static uint64_t region_heard(void *ctx, uint16_t region)
{
        struct fixture *f = ctx;

        return region <= REGIONS ? f->heard_us[region] : 0;
}

static void done(void *ctx, const struct netcheck_report *report, const struct now *now)
{
        struct fixture *f = ctx;

        (void)now;
        f->done++;
        f->report = *report;
}

static const struct netcheck_ops ops = { send_stun, probe_latency, region_heard, done };

static int setup(void **state)
{
        struct fixture *f = test_calloc(1, sizeof(*f));
        static struct netcheck_region regions[REGIONS];
        struct netcheck_map map = { REGIONS, regions };

        for (uint8_t i = 0; i < REGIONS; i++) {
                uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)(i + 1) };
                regions[i] = (struct netcheck_region){ .id = (uint16_t)(i + 1),
                        .node_count = 1,
                        .nodes = { { .v4 = ip_v4(198, 51, 100, (uint8_t)(i + 1)),
                                .v6 = ip_v6(v6),
                                .stun_port = STUN_PORT } } };
                f->latency_ms[i + 1] = 20u + 10u * i;
        }
        f->now.mono_us = TIME_S(100);
        rng_seed(&f->rng, 1);
        f->nc = netcheck_new(&ops, f, &f->rng.rng);
        assert_non_null(f->nc);
        assert_int_equal(netcheck_set_map(f->nc, &map), OK);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        struct fixture *f = *state;

        netcheck_free(f->nc);
        test_free(f);
        return 0;
}

static unsigned region_of(const struct ip_port *dst)
{
        return dst->ip.family == IP_V4 ? dst->ip.b[3] : dst->ip.b[15];
}

/* When the answer to probe i is due, or TIME_NEVER. */
static uint64_t answer_at(const struct fixture *f, size_t i)
{
        unsigned ms = f->latency_ms[region_of(&f->probes[i].dst)];

        return ms ? f->probes[i].at_us + TIME_MS(ms) : TIME_NEVER;
}

static void answer(struct fixture *f, size_t i)
{
        const struct probe_seen *p = &f->probes[i];
        struct ip_port mapped = p->dst;
        uint8_t response[STUN_RESPONSE_MAX];

        if (p->dst.ip.family == IP_V4)
                mapped.ip = ip_v4(203, 0, 113, 7);
        mapped.port = f->by_destination ? (uint16_t)(1000 + region_of(&p->dst)) : 1000;
        size_t n = stun_response_write(&p->txid, &mapped, response);
        (void)netcheck_received(f->nc, &p->dst, slice_make(response, n), &f->now);
}

/* Runs one report to its end; returns how long it took. */
static uint64_t run_report(struct fixture *f, struct netcheck_start how)
{
        bool answered[PROBES_MAX] = { false };
        uint64_t start = f->now.mono_us;
        unsigned before = f->done;

        f->probe_count = f->asked_count = 0;
        assert_int_equal(netcheck_start(f->nc, &how, &f->now), OK);
        while (f->done == before) {
                uint64_t at = netcheck_next_deadline_us(f->nc);
                size_t next = SIZE_MAX;
                for (size_t i = 0; i < f->probe_count; i++) {
                        if (!answered[i] && answer_at(f, i) < at) {
                                at = answer_at(f, i);
                                next = i;
                        }
                }
                assert_int_not_equal(at, TIME_NEVER);
                f->now.mono_us = at > f->now.mono_us ? at : f->now.mono_us;
                if (next == SIZE_MAX) {
                        netcheck_run(f->nc, &f->now);
                        continue;
                }
                answered[next] = true;
                answer(f, next);
        }
        assert_false(netcheck_running(f->nc));
        uint64_t took = f->now.mono_us - start;
        f->now.mono_us += TIME_S(20);
        return took;
}

static const struct netcheck_start v4_only = { .have_v4 = true };
static const struct netcheck_start dual = { .have_v4 = true, .have_v6 = true, .os_has_v6 = true };

static void full_report(void **state)
{
        struct fixture *f = *state;
        struct ip_port global = { ip_v4(203, 0, 113, 7), 1000 };
        uint64_t took = run_report(f, dual);

        assert_true(f->report.full && f->report.udp && f->report.v4 && f->report.v6 && f->report.os_has_v6);
        assert_int_equal(f->report.preferred, 1);
        assert_int_equal(f->report.mapping_varies, NETCHECK_FALSE);
        assert_true(ip_port_equal(&f->report.global_v4, &global));
        assert_int_equal(f->report.global_v6.ip.family, IP_V6);
        assert_true(f->report.latency_count >= 3);
        assert_int_equal(f->report.latency[0].region, 1);
        assert_int_equal(f->report.latency[0].any_us, TIME_MS(20));
        assert_int_equal(f->probe_count, 2 * REGIONS); /* no retry was needed */
        assert_true(took <= TIME_MS(120));             /* third answer at 40 ms, then twice as long */
}

static void second_report_asks_few(void **state)
{
        struct fixture *f = *state;

        run_report(f, v4_only);
        struct netcheck_start how = v4_only;
        how.home = 5;
        run_report(f, how);
        assert_false(f->report.full);
        assert_int_equal(f->probe_count, 4); /* the three nearest and the home */
        f->now.mono_us += TIME_S(301);
        run_report(f, how);
        assert_true(f->report.full);
        netcheck_forget(f->nc);
        run_report(f, how);
        assert_true(f->report.full);
}

static void hard_nat_is_seen(void **state)
{
        struct fixture *f = *state;

        f->by_destination = true;
        run_report(f, v4_only);
        assert_int_equal(f->report.mapping_varies, NETCHECK_TRUE);
}

/* One server tells nothing about how the NAT treats another. */
static void one_server_leaves_it_unknown(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 2; i <= REGIONS; i++)
                f->latency_ms[i] = 0;
        f->latency_ms[1] = 250; /* so slow that all retries are answered too */
        uint64_t took = run_report(f, v4_only);
        assert_int_equal(f->report.mapping_varies, NETCHECK_UNKNOWN);
        assert_true(f->report.udp);
        assert_int_equal(took, TIME_S(3));
        assert_int_equal(f->probe_count, 3 * REGIONS);
}

static void preferred_region_has_hysteresis(void **state)
{
        struct fixture *f = *state;

        run_report(f, v4_only);
        assert_int_equal(f->report.preferred, 1);
        f->now.mono_us += TIME_S(310); /* old samples are out of the window */
        f->latency_ms[1] = 28;
        f->latency_ms[2] = 20;
        run_report(f, v4_only);
        assert_int_equal(f->report.preferred, 1); /* within 10 ms */
        f->now.mono_us += TIME_S(310);
        f->latency_ms[1] = 60;
        f->latency_ms[2] = 45;
        f->latency_ms[3] = f->latency_ms[4] = f->latency_ms[5] = 100;
        run_report(f, v4_only);
        assert_int_equal(f->report.preferred, 1); /* not better by a third */
        f->now.mono_us += TIME_S(310);
        f->latency_ms[2] = 20;
        run_report(f, v4_only);
        assert_int_equal(f->report.preferred, 2);
}

static void silent_home_is_kept_while_its_relay_talks(void **state)
{
        struct fixture *f = *state;

        run_report(f, v4_only);
        f->latency_ms[1] = 0;
        f->heard_us[1] = f->now.mono_us;
        run_report(f, v4_only);
        assert_int_equal(f->report.preferred, 1);
        f->now.mono_us += TIME_S(60);
        run_report(f, v4_only);
        assert_int_equal(f->report.preferred, 2);
}

static void no_udp_measures_otherwise(void **state)
{
        struct fixture *f = *state;
        unsigned before = f->done;

        for (unsigned i = 1; i <= REGIONS; i++)
                f->latency_ms[i] = 0;
        f->probe_count = 0;
        assert_int_equal(netcheck_start(f->nc, &v4_only, &f->now), OK);
        while (f->asked_count == 0) {
                f->now.mono_us = netcheck_next_deadline_us(f->nc);
                netcheck_run(f->nc, &f->now);
        }
        assert_int_equal(f->asked_count, 2 * REGIONS);
        struct netcheck_latency_probe stale = f->asked[0];
        stale.round--;
        netcheck_latency_probed(f->nc, &stale, OK, 1, &f->now);
        for (size_t i = 0; i < f->asked_count; i++) {
                bool works = f->asked[i].region == 3 && f->asked[i].kind == NETCHECK_HTTPS;
                netcheck_latency_probed(f->nc, &f->asked[i], works ? OK : ERR_TIMEOUT, TIME_MS(30), &f->now);
        }
        assert_int_equal(f->done, before + 1);
        assert_false(f->report.udp);
        assert_false(f->report.icmp_v4);
        assert_int_equal(f->report.preferred, 3);
        assert_int_equal(f->report.latency_count, 1);
}

/* Nobody ever answers: the report ends by itself, with nothing. */
static void nothing_works(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 1; i <= REGIONS; i++)
                f->latency_ms[i] = 0;
        assert_int_equal(run_report(f, dual), TIME_S(5));
        assert_int_equal(f->report.preferred, 0);
        assert_int_equal(f->report.latency_count, 0);
}

static void foreign_answers_are_ignored(void **state)
{
        struct fixture *f = *state;
        struct stun_txid txid = { { 9 } };
        struct ip_port mapped = { ip_v4(6, 6, 6, 6), 6 };
        uint8_t response[STUN_RESPONSE_MAX];

        f->probe_count = 0;
        assert_int_equal(netcheck_start(f->nc, &v4_only, &f->now), OK);
        assert_int_equal(netcheck_start(f->nc, &v4_only, &f->now), ERR_STATE);
        netcheck_run(f->nc, &f->now);
        size_t n = stun_response_write(&txid, &mapped, response);
        assert_false(netcheck_received(f->nc, &mapped, slice_make(response, n), &f->now));
        f->now.mono_us += TIME_MS(20);
        answer(f, 0);
        n = stun_response_write(&f->probes[0].txid, &mapped, response); /* a second answer to the same */
        assert_false(netcheck_received(f->nc, &mapped, slice_make(response, n), &f->now));
        netcheck_stop(f->nc);
        assert_int_equal(f->done, 0);
}

static void map_conversion(void **state)
{
        (void)state;
        const struct tailcfg_derp_node nodes[] = {
                { .ipv4 = SLICE_LIT("1.2.3.4"), .ipv6 = SLICE_LIT("none") },
                { .host_name = SLICE_LIT("relay.example"), .stun_port = -1 },
                { .ipv4 = SLICE_LIT("2001:db8::1"), .ipv6 = SLICE_LIT("2001:db8::1"), .stun_port = 5000 },
        };
        const struct tailcfg_derp_region regions[] = {
                { .region_id = 900, .nodes = { nodes, 3 } },
                { .region_id = 70000, .nodes = { nodes, 3 } },
                { .region_id = 2, .no_measure_no_home = true, .nodes = { nodes, 1 } },
                { .region_id = -1 },
        };
        const struct tailcfg_region_score score = { 900, 0.5 };
        const struct tailcfg_home_params params = { .region_score = { &score, 1 } };
        const struct tailcfg_derp_map map = { .regions = { regions, 4 }, .home_params = &params };
        struct netcheck_map out;

        assert_int_equal(netcheck_map_convert(&map, &out), OK);
        assert_int_equal(out.count, 2); /* region numbers fit a port number */
        assert_int_equal(out.regions[0].id, 2);
        assert_true(out.regions[0].no_measure);
        const struct netcheck_region *r = &out.regions[1];
        assert_true(r->id == 900 && r->score == 0.5 && r->node_count == 3);
        assert_true(r->nodes[0].stun_port == STUN_PORT && !r->nodes[0].resolve_v4 && !r->nodes[0].resolve_v6);
        assert_false(ip_valid(&r->nodes[0].v6));
        assert_true(r->nodes[1].resolve_v4 && r->nodes[1].stun_port == 0);
        assert_true(!ip_valid(&r->nodes[2].v4) && ip_valid(&r->nodes[2].v6) && r->nodes[2].stun_port == 5000);
        netcheck_map_fini(&out);
}

/* A relay named only by its host name is probed once DNS has answered. */
static void resolved_addresses_are_used(void **state)
{
        struct fixture *f = *state;
        struct netcheck_region region = {
                .id = 1, .node_count = 1, .nodes = { { .resolve_v4 = true, .stun_port = STUN_PORT } }
        };
        struct netcheck_map map = { 1, &region };
        struct ip_addr got = ip_v4(198, 51, 100, 1);

        assert_int_equal(netcheck_set_map(f->nc, &map), OK);
        run_report(f, v4_only);
        assert_int_equal(f->probe_count, 0);
        assert_true(netcheck_set_address(f->nc, 1, 0, &got));
        assert_false(netcheck_set_address(f->nc, 1, 0, &got));
        assert_false(netcheck_set_address(f->nc, 1, 1, &got));
        run_report(f, v4_only);
        assert_int_equal(f->report.preferred, 1);
        assert_int_equal(netcheck_set_map(f->nc, &map), OK); /* the same map again: still known */
        run_report(f, v4_only);
        assert_int_equal(f->report.preferred, 1);
}

#define FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                FIXTURE(full_report),
                FIXTURE(second_report_asks_few),
                FIXTURE(hard_nat_is_seen),
                FIXTURE(one_server_leaves_it_unknown),
                FIXTURE(preferred_region_has_hysteresis),
                FIXTURE(silent_home_is_kept_while_its_relay_talks),
                FIXTURE(no_udp_measures_otherwise),
                FIXTURE(nothing_works),
                FIXTURE(foreign_answers_are_ignored),
                cmocka_unit_test(map_conversion),
                FIXTURE(resolved_addresses_are_used),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
