#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "filter/filter.h"

enum { SYN = TCP_SYN, SYN_ACK = TCP_SYN | TCP_ACK };

/* A packet without bytes but for the ICMP type: the filter looks at the view. */
static struct packet make(unsigned proto, const char *src, const char *dst, uint8_t flags_or_type)
{
        static uint8_t icmp[8];
        struct packet p = { .proto = (uint8_t)proto };

        assert_int_equal(ip_port_parse(slice_str(src), &p.src), OK);
        assert_int_equal(ip_port_parse(slice_str(dst), &p.dst), OK);
        p.version = p.src.ip.family;
        if (proto == IP_PROTO_TCP)
                p.tcp_flags = flags_or_type;
        icmp[0] = flags_or_type;
        p.bytes = slice_make(icmp, sizeof(icmp));
        return p;
}

struct fixture {
        struct arena arena;
        struct filter_flows *flows;
        struct filter *filter;
        struct filter_cache cache;
};

static const struct filter_peer peers[] = {
        {
                .addresses = (const struct ip_prefix[]){ { { .family = IP_V4, .b = { 100, 64, 0, 7 } }, 32 } },
                .address_count = 1,
                .allowed_ips = (const struct ip_prefix[]){ { { .family = IP_V4, .b = { 100, 64, 0, 7 } }, 32 } },
                .allowed_ip_count = 1,
                .caps = (const struct slice[]){ { (const uint8_t *)"ssh-in", 6 } },
                .cap_count = 1,
        },
};

/* Own addresses of the vectors in spec/policy.md 27. */
static void build_with(struct fixture *fx, const char *rules_json, bool shields_up, const struct filter_peer *list,
        size_t peer_count)
{
        struct tailcfg_filter_rules rules;
        struct ip_prefix local[3];

        *fx = (struct fixture){ .arena = ARENA_INIT(1 << 20), .flows = filter_flows_new() };
        assert_int_equal(tailcfg_filter_rules_decode(slice_str(rules_json), &fx->arena, &rules), OK);
        assert_int_equal(ip_prefix_parse(SLICE_LIT("100.64.0.9/32"), &local[0]), OK);
        assert_int_equal(ip_prefix_parse(SLICE_LIT("fd7a:115c:a1e0::9/128"), &local[1]), OK);
        assert_int_equal(ip_prefix_parse(SLICE_LIT("169.254.169.254/32"), &local[2]), OK);
        struct filter_options o = {
                .rules = rules.items, .rule_count = rules.count,
                .local = local, .local_count = 3,
                .peers = list, .peer_count = peer_count,
                .shields_up = shields_up,
        };
        fx->filter = filter_new(&o);
        assert_non_null(fx->filter);
}

static void build(struct fixture *fx, const char *rules_json) { build_with(fx, rules_json, false, peers, 1); }

static void done(struct fixture *fx)
{
        filter_free(fx->filter);
        filter_flows_free(fx->flows);
        arena_fini(&fx->arena);
}

/* Asked twice: the second answer may come from the cache and must not differ. */
#define IN(fx, expected, ...)                                                                              \
        do {                                                                                               \
                struct packet p_ = make(__VA_ARGS__);                                                      \
                assert_string_equal(filter_verdict_text(filter_check_in((fx)->filter, (fx)->flows,         \
                                            &(fx)->cache, &p_)), expected);                                \
                assert_string_equal(filter_verdict_text(filter_check_in((fx)->filter, (fx)->flows,         \
                                            &(fx)->cache, &p_)), expected);                                \
        } while (0)

#define OUT(fx, expected, ...)                                                                             \
        do {                                                                                               \
                struct packet p_ = make(__VA_ARGS__);                                                      \
                assert_string_equal(filter_verdict_text(filter_check_out((fx)->flows, &p_)), expected);    \
        } while (0)

#define ALL_PORTS "\"Ports\":{\"First\":0,\"Last\":65535}"

static const char ssh_rule[] =
        "[{\"SrcIPs\":[\"100.64.0.5\"],\"DstPorts\":[{\"IP\":\"100.64.0.9\",\"Ports\":{\"First\":22,\"Last\":22}}],"
        "\"IPProto\":[6]}]";

static void verdicts_of_the_spec(void **state)
{
        (void)state;
        struct fixture fx;

        build(&fx, ssh_rule);
        IN(&fx, "tcp ok", IP_PROTO_TCP, "100.64.0.5:1", "100.64.0.9:22", SYN);
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.64.0.5:1", "100.64.0.9:23", SYN);
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.64.0.6:1", "100.64.0.9:22", SYN);
        IN(&fx, "tcp non-syn", IP_PROTO_TCP, "100.64.0.6:1", "100.64.0.9:9", SYN_ACK);
        IN(&fx, "tcp non-syn", IP_PROTO_TCP, "100.64.0.6:1", "100.64.0.9:9", TCP_ACK);
        IN(&fx, "icmp ok", IP_PROTO_ICMP4, "100.64.0.5:0", "100.64.0.9:0", 8);
        IN(&fx, "no rules matched", IP_PROTO_ICMP4, "100.64.0.6:0", "100.64.0.9:0", 8);
        IN(&fx, "icmp response ok", IP_PROTO_ICMP4, "100.64.0.6:0", "100.64.0.9:0", 0);
        IN(&fx, "icmp response ok", IP_PROTO_ICMP4, "100.64.0.6:0", "100.64.0.9:0", 3);
        IN(&fx, "no rules matched", IP_PROTO_ICMP6, "100.64.0.5:0", "100.64.0.9:0", 129);
        IN(&fx, "no rules matched", IP_PROTO_UDP, "100.64.0.5:1", "100.64.0.9:22", 0);
        IN(&fx, "destination not allowed", IP_PROTO_TCP, "100.64.0.5:1", "10.1.2.3:22", SYN);
        IN(&fx, "fragment", IP_PROTO_FRAGMENT, "100.64.0.6:0", "10.9.9.9:0", 0);
        IN(&fx, "unknown proto", IP_PROTO_UNKNOWN, "100.64.0.6:0", "100.64.0.9:0", 0);
        IN(&fx, "tsmp ok", IP_PROTO_TSMP, "100.64.0.6:0", "100.64.0.9:0", 0);
        IN(&fx, "no rules matched", 47, "100.64.0.5:0", "100.64.0.9:0", 0);
        IN(&fx, "multicast", IP_PROTO_UDP, "100.64.0.5:1", "224.0.0.1:1", 0);
        IN(&fx, "link-local-unicast", IP_PROTO_UDP, "100.64.0.5:1", "169.254.1.1:1", 0);
        IN(&fx, "no rules matched", IP_PROTO_UDP, "100.64.0.5:1", "169.254.169.254:1", 0);
        OUT(&fx, "multicast", IP_PROTO_UDP, "100.64.0.9:1", "224.0.0.1:1", 0);
        OUT(&fx, "link-local-unicast", IP_PROTO_UDP, "100.64.0.9:1", "169.254.1.1:1", 0);
        OUT(&fx, "ok out", IP_PROTO_UDP, "100.64.0.9:1", "169.254.169.254:1", 0);
        OUT(&fx, "link-local-unicast", IP_PROTO_UDP, "[fd7a:115c:a1e0::9]:1", "[fe80::1]:1", 0);
        done(&fx);
}

static void answers_to_what_went_out(void **state)
{
        (void)state;
        struct fixture fx;

        build(&fx, ssh_rule);
        IN(&fx, "no rules matched", IP_PROTO_UDP, "100.64.0.6:53", "100.64.0.9:1000", 0);
        OUT(&fx, "ok out", IP_PROTO_UDP, "100.64.0.9:1000", "100.64.0.6:53", 0);
        IN(&fx, "cached", IP_PROTO_UDP, "100.64.0.6:53", "100.64.0.9:1000", 0);
        IN(&fx, "no rules matched", IP_PROTO_UDP, "100.64.0.6:54", "100.64.0.9:1000", 0);
        IN(&fx, "no rules matched", IP_PROTO_SCTP, "100.64.0.6:53", "100.64.0.9:1000", 0);
        OUT(&fx, "ok out", IP_PROTO_SCTP, "[fd7a:115c:a1e0::9]:1000", "[fd7a:115c:a1e0::6]:53", 0);
        IN(&fx, "cached", IP_PROTO_SCTP, "[fd7a:115c:a1e0::6]:53", "[fd7a:115c:a1e0::9]:1000", 0);
        done(&fx);
}

static void shields_up_lets_only_answers_in(void **state)
{
        (void)state;
        struct fixture fx;

        build_with(&fx, ssh_rule, true, NULL, 0);
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.64.0.5:1", "100.64.0.9:22", SYN);
        IN(&fx, "no rules matched", IP_PROTO_ICMP4, "100.64.0.5:0", "100.64.0.9:0", 8);
        IN(&fx, "tcp non-syn", IP_PROTO_TCP, "100.64.0.5:22", "100.64.0.9:9", SYN_ACK);
        IN(&fx, "fragment", IP_PROTO_FRAGMENT, "100.64.0.6:0", "10.9.9.9:0", 0);
        OUT(&fx, "ok out", IP_PROTO_UDP, "100.64.0.9:1000", "100.64.0.6:53", 0);
        IN(&fx, "cached", IP_PROTO_UDP, "100.64.0.6:53", "100.64.0.9:1000", 0);
        assert_false(filter_is_invalid(fx.filter));
        done(&fx);
}

static void forms_of_sources_and_destinations(void **state)
{
        (void)state;
        struct fixture fx;

        build(&fx,
                "[{\"SrcIPs\":[\"100.64.0.0-100.115.91.255\",\"bogus\",\"10.0.0.1/8\"],"
                "\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":80,\"Last\":81}}]},"
                "{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"fd7a:115c:a1e0::/48\"," ALL_PORTS "}],"
                "\"IPProto\":[47,6,999]},"
                "{\"SrcIPs\":[\"cap:ssh-in\"],\"DstPorts\":[{\"IP\":\"100.64.0.9\",\"Ports\":{\"First\":22,\"Last\":22}}]},"
                "{\"SrcIPs\":[\"100.127.0.1\"],\"DstPorts\":[{\"IP\":\"*\"," ALL_PORTS "}],"
                "\"IPProto\":[999]}]");
        IN(&fx, "tcp ok", IP_PROTO_TCP, "100.115.91.255:1", "100.64.0.9:80", SYN);
        IN(&fx, "ok", IP_PROTO_UDP, "100.64.0.0:1", "100.64.0.9:81", 0);
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.115.92.0:1", "100.64.0.9:80", SYN);
        IN(&fx, "no rules matched", IP_PROTO_TCP, "10.0.0.1:1", "100.64.0.9:80", SYN);
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.64.0.1:1", "100.64.0.9:82", SYN);
        IN(&fx, "tcp ok", IP_PROTO_TCP, "[2001:db8::1]:1", "[fd7a:115c:a1e0::9]:7", SYN);
        IN(&fx, "other-portless ok", 47, "[2001:db8::1]:0", "[fd7a:115c:a1e0::9]:0", 0);
        IN(&fx, "no rules matched", IP_PROTO_UDP, "[2001:db8::1]:1", "[fd7a:115c:a1e0::9]:7", 0);
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.127.0.1:1", "100.64.0.9:80", SYN);
        IN(&fx, "tcp ok", IP_PROTO_TCP, "100.64.0.7:1", "100.64.0.9:22", SYN);
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.64.0.6:1", "100.64.0.9:22", SYN);
        IN(&fx, "no rules matched", IP_PROTO_ICMP4, "100.120.0.1:0", "100.64.0.9:0", 8);
        done(&fx);
}

static void rules_that_must_not_be_believed(void **state)
{
        (void)state;
        struct fixture fx;
        struct filter_peer unsigned_peer = peers[0];

        build(&fx, "[{\"SrcIPs\":[\"*\"],\"SrcBits\":[0],\"DstPorts\":[{\"IP\":\"*\"," ALL_PORTS "}]}]");
        assert_true(filter_is_invalid(fx.filter));
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.64.0.5:1", "100.64.0.9:22", SYN);
        done(&fx);

        unsigned_peer.unsigned_peerapi_only = true;
        build_with(&fx, ssh_rule, false, &unsigned_peer, 1);
        assert_false(filter_is_invalid(fx.filter)); /* the rule does not name it */
        done(&fx);
        build_with(&fx, "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\"," ALL_PORTS "}]}]", false,
                &unsigned_peer, 1);
        assert_true(filter_is_invalid(fx.filter));
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.64.0.5:1", "100.64.0.9:22", SYN);
        done(&fx);
        build_with(&fx, "[{\"SrcIPs\":[\"cap:ssh-in\"],\"DstPorts\":[{\"IP\":\"*\"," ALL_PORTS "}]}]",
                false, &unsigned_peer, 1);
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.64.0.7:1", "100.64.0.9:22", SYN);
        done(&fx);
}

static void collect(void *ctx, struct slice name, const struct slice *values, size_t count)
{
        struct buf *b = ctx;

        buf_printf(b, "%.*s=", SLICE_ARGS(name));
        for (size_t i = 0; i < count; i++)
                buf_printf(b, "%.*s", SLICE_ARGS(values[i]));
        buf_append_str(b, ";");
}

static void assert_caps(struct fixture *fx, const char *src, const char *dst, const char *expected)
{
        struct buf b = BUF_INIT(1024);
        struct ip_addr from, to;

        assert_int_equal(ip_parse(slice_str(src), &from), OK);
        assert_int_equal(ip_parse(slice_str(dst), &to), OK);
        filter_caps(fx->filter, &from, &to, collect, &b);
        assert_string_equal(buf_cstr(&b), expected);
        buf_fini(&b);
}

static void grants(void **state)
{
        (void)state;
        struct fixture fx;

        build(&fx,
                "[{\"SrcIPs\":[\"100.64.0.5\",\"fd7a:115c:a1e0::5\"],\"CapGrant\":[{\"Dsts\":[\"100.64.0.9/32\",\"fd7a:115c:a1e0::9/128\"],"
                "\"CapMap\":{\"drive\":[{\"access\":\"ro\"},1],\"wol\":null}}]},"
                "{\"SrcIPs\":[\"*\"],\"CapGrant\":[{\"Dsts\":[\"100.64.0.0/10\"],\"Caps\":[\"debug\"]}]}]");
        assert_caps(&fx, "100.64.0.5", "100.64.0.9", "drive={\"access\":\"ro\"}1;wol=;debug=;");
        assert_caps(&fx, "fd7a:115c:a1e0::5", "fd7a:115c:a1e0::9", "drive={\"access\":\"ro\"}1;wol=;");
        assert_caps(&fx, "100.64.0.6", "100.64.0.9", "debug=;");
        assert_caps(&fx, "100.64.0.5", "fd7a:115c:a1e0::9", "");
        assert_caps(&fx, "100.64.0.6", "10.0.0.1", "");
        IN(&fx, "no rules matched", IP_PROTO_TCP, "100.64.0.5:1", "100.64.0.9:22", SYN);
        done(&fx);
}

/* A cached verdict must not outlive its filter. */
static void cache_notices_a_new_filter(void **state)
{
        (void)state;
        struct fixture a, b;
        static const char udp_rule[] =
                "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\"," ALL_PORTS "}]}]";

        build(&a, udp_rule);
        build(&b, ssh_rule);
        IN(&a, "ok", IP_PROTO_UDP, "100.64.0.5:1", "100.64.0.9:7", 0);
        b.cache = a.cache;
        IN(&b, "no rules matched", IP_PROTO_UDP, "100.64.0.5:1", "100.64.0.9:7", 0);
        done(&a);
        done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(verdicts_of_the_spec),
                cmocka_unit_test(answers_to_what_went_out),
                cmocka_unit_test(shields_up_lets_only_answers_in),
                cmocka_unit_test(forms_of_sources_and_destinations),
                cmocka_unit_test(rules_that_must_not_be_believed),
                cmocka_unit_test(grants),
                cmocka_unit_test(cache_notices_a_new_filter),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
