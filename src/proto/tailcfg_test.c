#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/tailcfg.h"

#include "base/text.h"

#define HEX64(d) d d d d d d d d d d d d d d d d /* d: four digits */
#define NODEKEY "nodekey:" HEX64("0a1B")
#define ZEROKEY "nodekey:" HEX64("0000")

static struct arena arena;
static struct buf out = { .max = 1 << 20 };

static int set_up(void **state)
{
        (void)state;
        arena_init(&arena, 1 << 20);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        arena_fini(&arena);
        buf_fini(&out);
        return 0;
}

/* Writes m with the given function and returns the text. */
#define WRITTEN(type, m)                                        \
        ({                                                      \
                struct json_writer w_;                          \
                buf_clear(&out);                                \
                json_writer_init(&w_, &out, NULL);              \
                tailcfg_##type##_write(&w_, (m));               \
                assert_int_equal(buf_status(&out), OK);         \
                buf_cstr(&out);                                 \
        })

#define DECODE(type, text, m) assert_int_equal(tailcfg_##type##_decode(slice_str(text), &arena, (m)), OK)
#define REFUSE(type, text)                                                                              \
        do {                                                                                            \
                struct tailcfg_##type m_;                                                               \
                assert_int_not_equal(tailcfg_##type##_decode(slice_str(text), &arena, &m_), OK);        \
        } while (0)
/* What was read is written back letter by letter, copied and found equal. */
#define SURVIVES(type, text)                                                                            \
        do {                                                                                            \
                struct tailcfg_##type m_, copy_;                                                        \
                struct arena other_ = ARENA_INIT(1 << 20);                                              \
                DECODE(type, text, &m_);                                                                \
                assert_string_equal(WRITTEN(type, &m_), text);                                          \
                assert_int_equal(tailcfg_##type##_copy(&other_, &copy_, &m_), OK);                      \
                assert_true(tailcfg_##type##_equal(&m_, &copy_));                                       \
                assert_string_equal(WRITTEN(type, &copy_), text);                                       \
                arena_fini(&other_);                                                                    \
        } while (0)

static void register_request_of_a_modern_node(void **state)
{
        /* the shape of spec/control.md 13 */
        static const char text[] =
                "{\"Version\":145,\"NodeKey\":\"nodekey:" HEX64("0a1b") "\",\"OldNodeKey\":\"" ZEROKEY "\","
                "\"NLKey\":\"nlpub:" HEX64("77ff") "\",\"Auth\":{\"AuthKey\":\"k\"},"
                "\"Expiry\":\"0001-01-01T00:00:00Z\",\"Followup\":\"\","
                "\"Hostinfo\":{\"BackendLogID\":\"b\",\"OS\":\"linux\",\"Hostname\":\"h\"},\"NodeKeySignature\":null}";
        struct tailcfg_register_request m;

        (void)state;
        SURVIVES(register_request, text);
        DECODE(register_request, text, &m);
        assert_int_equal(m.version, 145);
        assert_false(key_is_zero(&m.node_key));
        assert_true(key_is_zero(&m.old_node_key));
        assert_true(slice_is(m.auth->auth_key, "k"));
        assert_false(m.expiry.set);
        assert_true(slice_is(m.hostinfo->os, "linux"));
        assert_null(m.hostinfo->net_info);
}

static void logout_is_a_register_with_a_past_expiry(void **state)
{
        struct tailcfg_register_request m;

        (void)state;
        DECODE(register_request, "{\"Expiry\":\"1970-01-01T02:02:03+02:00\",\"NodeKey\":\"" NODEKEY "\"}", &m);
        assert_true(m.expiry.set);
        assert_int_equal(m.expiry.unix_ns, 123 * INT64_C(1000000000));
}

static void register_response_writes_every_member(void **state)
{
        struct tailcfg_register_response m = { .machine_authorized = true };

        (void)state;
        m.user = (struct tailcfg_user){ .id = 1, .display_name = SLICE_LIT("a") };
        m.login = (struct tailcfg_login){ .id = 1, .login_name = SLICE_LIT("a"), .display_name = SLICE_LIT("a") };
        assert_string_equal(WRITTEN(register_response, &m),
                "{\"User\":{\"ID\":1,\"DisplayName\":\"a\"},\"Login\":{\"ID\":1,\"Provider\":\"\",\"LoginName\":\"a\","
                "\"DisplayName\":\"a\"},\"NodeKeyExpired\":false,\"MachineAuthorized\":true,\"AuthURL\":\"\","
                "\"NodeKeySignature\":null,\"Error\":\"\"}");
        SURVIVES(register_response,
                "{\"User\":{\"ID\":1,\"DisplayName\":\"\"},\"Login\":{\"ID\":0,\"Provider\":\"\",\"LoginName\":\"\","
                "\"DisplayName\":\"\"},\"NodeKeyExpired\":true,\"MachineAuthorized\":false,\"AuthURL\":\"https://a/b\","
                "\"NodeKeySignature\":\"AAEC\",\"Error\":\"no\"}");
}

static void key_response(void **state)
{
        struct tailcfg_key_response m;

        (void)state;
        SURVIVES(key_response, "{\"legacyPublicKey\":\"mkey:" HEX64("0000") "\",\"publicKey\":\"mkey:" HEX64("12ab") "\"}");
        DECODE(key_response, "{\"publicKey\":\"mkey:" HEX64("12ab") "\"}", &m);
        assert_true(key_is_zero(&m.legacy_public_key));
}

static void minimal_first_map_message(void **state)
{
        /* spec/control.md 13, with the writer's order of members */
        static const char text[] =
                "{\"Node\":{\"ID\":1,\"StableID\":\"1\",\"Name\":\"h.example.net.\",\"User\":1,"
                "\"Key\":\"nodekey:" HEX64("0a1b") "\",\"Machine\":\"mkey:" HEX64("0a1b") "\",\"Addresses\":[\"100.64.0.1/32\"],"
                "\"Hostinfo\":{},\"Online\":true,\"MachineAuthorized\":true},"
                "\"DERPMap\":{\"Regions\":{\"900\":{\"RegionID\":900,\"RegionCode\":\"x\",\"RegionName\":\"x\","
                "\"Nodes\":[{\"Name\":\"900a\",\"RegionID\":900,\"HostName\":\"derp.example.net\"}]}},\"omitDefaultRegions\":true},"
                "\"DNSConfig\":{},\"Domain\":\"example.net\",\"PacketFilters\":{\"base\":[]},"
                "\"UserProfiles\":[{\"ID\":1,\"LoginName\":\"a\",\"DisplayName\":\"a\"}],"
                "\"ControlTime\":\"2026-01-01T00:00:00Z\"}";
        struct tailcfg_map_response m;

        (void)state;
        SURVIVES(map_response, text);
        DECODE(map_response, text, &m);
        assert_int_equal(m.node->online, TAILCFG_TRUE);
        assert_null(m.peers.items);
        assert_non_null(m.packet_filters.items[0].rules.items);
        assert_int_equal(m.packet_filters.items[0].rules.count, 0);
        assert_null(m.packet_filter.items);
        assert_ptr_equal(tailcfg_derp_region_find(m.derp_map, 900), &m.derp_map->regions.items[0]);
        assert_null(tailcfg_derp_region_find(m.derp_map, 1));
        assert_int_equal(m.control_time.unix_ns, INT64_C(1767225600000000000));
}

static void absent_null_and_empty_stay_apart(void **state)
{
        struct tailcfg_map_response m;
        struct tailcfg_node n;

        (void)state;
        DECODE(map_response, "{\"PacketFilter\":null,\"Health\":[],\"SSHPolicy\":null,\"TKAInfo\":null,"
                             "\"PacketFilters\":{\"*\":null,\"a\":[]},\"DisplayMessages\":{\"x\":null}}", &m);
        assert_null(m.packet_filter.items);
        assert_non_null(m.health.items);
        assert_int_equal(m.health.count, 0);
        assert_int_equal(m.ssh_policy.len, 0);
        assert_null(m.tka_info);
        assert_null(m.packet_filters.items[0].rules.items);
        assert_non_null(m.packet_filters.items[1].rules.items);
        assert_null(m.display_messages.items[0].message);

        DECODE(node, "{\"Addresses\":[\"100.64.0.1/32\"],\"AllowedIPs\":[],\"Online\":false}", &n);
        assert_int_equal(tailcfg_node_allowed_ips(&n).count, 0);
        assert_int_equal(n.online, TAILCFG_FALSE);
        DECODE(node, "{\"Addresses\":[\"100.64.0.1/32\"],\"AllowedIPs\":null,\"Online\":null}", &n);
        assert_int_equal(tailcfg_node_allowed_ips(&n).count, 1);
        assert_int_equal(n.online, TAILCFG_UNSET);

        m = (struct tailcfg_map_response){ .health.items = TAILCFG_EMPTY, .packet_filter.items = TAILCFG_EMPTY };
        assert_string_equal(WRITTEN(map_response, &m), "{\"PacketFilter\":[],\"Health\":[]}");
}

static void patches_keep_what_clears(void **state)
{
        struct tailcfg_peer_change c;

        (void)state;
        DECODE(peer_change, "{\"NodeID\":9007199254740993,\"KeyExpiry\":\"0001-01-01T00:00:00Z\",\"Endpoints\":[]}", &c);
        assert_int_equal(c.node_id, INT64_C(9007199254740993)); /* more than a double holds */
        assert_true(c.key_expiry.set);
        assert_int_equal(c.key_expiry.unix_ns, UNIX_ZERO_DATE);
        assert_non_null(c.endpoints.items);
        SURVIVES(peer_change, "{\"NodeID\":7,\"DERPRegion\":2,\"Endpoints\":[],\"Online\":false,\"KeyExpiry\":\"0001-01-01T00:00:00Z\"}");
        SURVIVES(peer_change, "{\"NodeID\":7,\"Cap\":119,\"CapMap\":{\"a\":[1,{\"b\":null}],\"c\":null},"
                              "\"Endpoints\":[\"1.2.3.4:41641\",\"[fd7a::1]:41641\"]}");
}

static void map_request_both_ways(void **state)
{
        struct tailcfg_map_request m;

        (void)state;
        SURVIVES(map_request, "{\"Version\":119,\"Compress\":\"zstd\",\"KeepAlive\":true,\"NodeKey\":\"nodekey:" HEX64("0a1b") "\","
                "\"DiscoKey\":\"discokey:" HEX64("00c1") "\",\"Stream\":true,\"Hostinfo\":{\"OS\":\"linux\",\"ShieldsUp\":true,"
                "\"RoutableIPs\":[\"0.0.0.0/0\",\"::/0\"],\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":1}],"
                "\"NetInfo\":{\"WorkingUDP\":false,\"PreferredDERP\":900,\"DERPLatency\":{\"900-v4\":0.0125}},"
                "\"TPM\":{\"FirmwareVersion\":18446744073709551615}},"
                "\"Endpoints\":[\"10.0.0.2:41641\"],\"EndpointTypes\":[1]}");
        /* servers must take null for whatever may be absent (trap 26) */
        DECODE(map_request, "{\"Version\":113,\"NodeKey\":\"" NODEKEY "\",\"Hostinfo\":null,\"Endpoints\":null}", &m);
        assert_null(m.hostinfo);
        assert_null(m.endpoints.items);
}

static void other_messages_survive(void **state)
{
        (void)state;
        SURVIVES(map_response, "{\"KeepAlive\":true}");
        SURVIVES(map_response, "{\"PeersRemoved\":[3,4],\"PeersChangedPatch\":[{\"NodeID\":5}],\"PeerSeenChange\":{\"12\":true},"
                "\"OnlineChange\":{\"-1\":false},\"CollectServices\":false,\"SSHPolicy\":{\"rules\": [] }}");
        SURVIVES(map_response, "{\"PingRequest\":{\"URL\":\"https://a/b\",\"URLIsNoise\":true,\"Types\":\"c2n\",\"Payload\":\"R0VU\"},"
                "\"DisplayMessages\":{\"a\":{\"Title\":\"t\",\"Text\":\"x\",\"Severity\":\"high\",\"PrimaryAction\":{\"URL\":\"u\",\"Label\":\"l\"}},\"*\":null},"
                "\"TKAInfo\":{\"Disabled\":true},\"Debug\":{\"SleepSeconds\":1.5,\"Exit\":3},"
                "\"ControlDialPlan\":{\"Candidates\":[{\"IP\":\"1.2.3.4\",\"DialTimeoutSec\":5,\"Priority\":1}]},"
                "\"ClientVersion\":{\"RunningLatest\":true},\"DefaultAutoUpdate\":true}");
        SURVIVES(dns_config, "{\"Resolvers\":[{\"Addr\":\"9.9.9.9\",\"BootstrapResolution\":[\"1.1.1.1\"],\"UseWithExitNode\":true}],"
                "\"Routes\":{\"corp.example\":null,\"x.\":[]},\"Domains\":[\"example.net\"],\"Proxied\":true,\"Nameservers\":[\"8.8.8.8\"],"
                "\"ExtraRecords\":[{\"Name\":\"a\",\"Value\":\"1.2.3.4\"}]}");
        SURVIVES(derp_map, "{\"HomeParams\":{\"RegionScore\":{\"900\":0.5}},\"Regions\":null}");
        SURVIVES(derp_map, "{\"HomeParams\":{\"RegionScore\":{}},\"Regions\":{}}");
        SURVIVES(ping_response, "{\"Type\":\"disco\",\"LatencySeconds\":0.25,\"PeerAPIPort\":80}");
        SURVIVES(filter_rules, "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}],\"IPProto\":[6]},"
                "{\"SrcIPs\":null,\"CapGrant\":[{\"Dsts\":[\"100.64.0.1/32\"],\"CapMap\":{\"c\":null}}]}]");
        SURVIVES(user_profile, "{\"ID\":1,\"LoginName\":\"a\",\"DisplayName\":\"b \\u003cc\\u003e\",\"Groups\":[\"g\"]}");
}

static void derp_map_drops_null_regions_and_trusts_the_key(void **state)
{
        struct tailcfg_derp_map m;

        (void)state;
        DECODE(derp_map, "{\"Regions\":{\"1\":null,\"2\":{\"RegionID\":5},\"-3\":{}}}", &m);
        assert_int_equal(m.regions.count, 2);
        assert_int_equal(m.regions.items[0].region_id, 2);
        assert_int_equal(m.regions.items[1].region_id, -3);
}

static void names_match_in_any_case_and_strangers_are_skipped(void **state)
{
        struct tailcfg_map_response m;

        (void)state;
        DECODE(map_response, "{\"keepalive\":true,\"Future\":{\"a\":[1,2,{}]},\"DOMAIN\":\"d\"}", &m);
        assert_true(m.keep_alive);
        assert_true(slice_is(m.domain, "d"));
}

static void bad_values_fail_the_message(void **state)
{
        (void)state;
        REFUSE(node, "{\"Key\":\"mkey:" HEX64("0a1b") "\"}");
        REFUSE(node, "{\"Key\":\"\"}");
        REFUSE(node, "{\"DiscoKey\":\"\"}");
        REFUSE(node, "{\"Key\":\"nodekey:" "12" "\"}");
        REFUSE(node, "{\"KeyExpiry\":\"\"}");
        REFUSE(node, "{\"KeyExpiry\":\"tomorrow\"}");
        REFUSE(node, "{\"Addresses\":[\"100.64.0.1\"]}");
        REFUSE(node, "{\"Endpoints\":[\"1.2.3.4\"]}");
        REFUSE(node, "{\"Online\":\"true\"}");
        REFUSE(node, "{\"ID\":1.5}");
        REFUSE(node, "{\"ID\":\"1\"}");
        REFUSE(node, "{\"KeySignature\":\"*\"}");
        REFUSE(node, "[]");
        REFUSE(node, "{} x");
        REFUSE(node, "{\"ID\":1");
        REFUSE(map_response, "{\"OnlineChange\":{\"x\":true}}");
        REFUSE(map_response, "{\"PacketFilter\":[{\"DstPorts\":[{\"Ports\":{\"First\":65536}}]}]}");
}

static void memory_is_bounded(void **state)
{
        struct arena small = ARENA_INIT(4096);
        struct tailcfg_map_response m;

        (void)state;
        assert_int_not_equal(tailcfg_map_response_decode(
                SLICE_LIT("{\"Peers\":[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}]}"), &small, &m), OK);
        arena_fini(&small);
}

static void filter_texts(void **state)
{
        struct tailcfg_match m;
        struct tailcfg_filter_rules rules;

        (void)state;
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("*"), &m), OK);
        assert_int_equal(m.kind, TAILCFG_MATCH_ANY);
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("100.64.0.7"), &m), OK);
        assert_int_equal(m.kind, TAILCFG_MATCH_PREFIX);
        assert_int_equal(m.prefix.bits, 32);
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("10.0.0.0/8"), &m), OK);
        assert_int_equal(m.prefix.bits, 8);
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("10.0.0.1/8"), &m), ERR_FORMAT);
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("10.0.0.1-10.0.0.9"), &m), OK);
        assert_int_equal(m.kind, TAILCFG_MATCH_RANGE);
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("10.0.0.9-10.0.0.1"), &m), ERR_FORMAT);
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("10.0.0.9-fd7a::1"), &m), ERR_FORMAT);
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("cap:a/b-c"), &m), OK);
        assert_int_equal(m.kind, TAILCFG_MATCH_CAP);
        assert_true(slice_is(m.cap, "a/b-c"));
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("cap:"), &m), ERR_FORMAT);
        assert_int_equal(tailcfg_match_parse(SLICE_LIT(""), &m), ERR_FORMAT);
        assert_int_equal(tailcfg_match_parse(SLICE_LIT("host"), &m), ERR_FORMAT);

        DECODE(filter_rules, "[{\"SrcIPs\":[\"*\"],\"SrcBits\":[8]}]", &rules);
        assert_true(tailcfg_filter_is_legacy(&rules));
        DECODE(filter_rules, "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Bits\":8}]}]", &rules);
        assert_true(tailcfg_filter_is_legacy(&rules));
        DECODE(filter_rules, "[{\"SrcIPs\":[\"bogus\"],\"SrcBits\":null}]", &rules);
        assert_false(tailcfg_filter_is_legacy(&rules));
        assert_true(slice_is(rules.items[0].src_ips.items[0], "bogus"));
}

static void legacy_derp_home(void **state)
{
        struct tailcfg_node n;

        (void)state;
        DECODE(node, "{\"DERP\":\"127.3.3.40:12\"}", &n);
        assert_int_equal(tailcfg_node_home_derp(&n), 12);
        DECODE(node, "{\"DERP\":\"127.3.3.40:12\",\"HomeDERP\":7}", &n);
        assert_int_equal(tailcfg_node_home_derp(&n), 7);
        DECODE(node, "{\"DERP\":\"1.2.3.4:12\"}", &n);
        assert_int_equal(tailcfg_node_home_derp(&n), 0);
        DECODE(node, "{\"Capabilities\":[\"a\"],\"CapMap\":{\"b\":null}}", &n);
        assert_true(tailcfg_node_has_cap(&n, SLICE_LIT("a")));
        assert_true(tailcfg_node_has_cap(&n, SLICE_LIT("b")));
        assert_false(tailcfg_node_has_cap(&n, SLICE_LIT("c")));
}

static void equality_sees_every_difference(void **state)
{
        struct tailcfg_node a, b;

        (void)state;
        DECODE(node, "{\"ID\":1,\"Hostinfo\":{\"OS\":\"linux\"},\"Tags\":[\"tag:a\"]}", &a);
        DECODE(node, "{\"ID\":1,\"Hostinfo\":{\"OS\":\"linux\"},\"Tags\":[\"tag:a\"]}", &b);
        assert_true(tailcfg_node_equal(&a, &b));
        DECODE(node, "{\"ID\":1,\"Hostinfo\":{\"OS\":\"plan9\"},\"Tags\":[\"tag:a\"]}", &b);
        assert_false(tailcfg_node_equal(&a, &b));
        DECODE(node, "{\"ID\":1,\"Tags\":[\"tag:a\"]}", &b);
        assert_false(tailcfg_node_equal(&a, &b));
        DECODE(node, "{\"ID\":1,\"Hostinfo\":{\"OS\":\"linux\"},\"Tags\":[\"tag:b\"]}", &b);
        assert_false(tailcfg_node_equal(&a, &b));
        DECODE(node, "{\"ID\":1,\"Hostinfo\":{\"OS\":\"linux\"},\"Tags\":[]}", &b);
        assert_false(tailcfg_node_equal(&a, &b));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(register_request_of_a_modern_node, set_up, tear_down),
                cmocka_unit_test_setup_teardown(logout_is_a_register_with_a_past_expiry, set_up, tear_down),
                cmocka_unit_test_setup_teardown(register_response_writes_every_member, set_up, tear_down),
                cmocka_unit_test_setup_teardown(key_response, set_up, tear_down),
                cmocka_unit_test_setup_teardown(minimal_first_map_message, set_up, tear_down),
                cmocka_unit_test_setup_teardown(absent_null_and_empty_stay_apart, set_up, tear_down),
                cmocka_unit_test_setup_teardown(patches_keep_what_clears, set_up, tear_down),
                cmocka_unit_test_setup_teardown(map_request_both_ways, set_up, tear_down),
                cmocka_unit_test_setup_teardown(other_messages_survive, set_up, tear_down),
                cmocka_unit_test_setup_teardown(derp_map_drops_null_regions_and_trusts_the_key, set_up, tear_down),
                cmocka_unit_test_setup_teardown(names_match_in_any_case_and_strangers_are_skipped, set_up, tear_down),
                cmocka_unit_test_setup_teardown(bad_values_fail_the_message, set_up, tear_down),
                cmocka_unit_test_setup_teardown(memory_is_bounded, set_up, tear_down),
                cmocka_unit_test_setup_teardown(filter_texts, set_up, tear_down),
                cmocka_unit_test_setup_teardown(legacy_derp_home, set_up, tear_down),
                cmocka_unit_test_setup_teardown(equality_sees_every_difference, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
