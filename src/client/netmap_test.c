#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/netmap.h"

#include <stdio.h>

#define HEX64(d) d d d d d d d d d d d d d d d d /* d: four digits */
#define NODEKEY(d) "nodekey:" HEX64(d)
#define DISCO(d) "discokey:" HEX64(d)
#define SELF "\"Node\":{\"ID\":1,\"Name\":\"a.example.net.\",\"Key\":\"" NODEKEY("0001") "\",\"Addresses\":[\"100.64.0.1/32\"]}"
#define PEER2 "{\"ID\":2,\"StableID\":\"n2\",\"Key\":\"" NODEKEY("0002") "\",\"Addresses\":[\"100.64.0.2/32\"]}"
#define PEER3 "{\"ID\":3,\"StableID\":\"n3\",\"Key\":\"" NODEKEY("0003") "\",\"Addresses\":[\"100.64.0.3/32\"],\"AllowedIPs\":[]}"

static struct netmap *nm;
static struct now now = { .mono_us = 1, .unix_us = INT64_C(1767225600000000) }; /* 2026-01-01 */
static const struct netmap_changes *changes;

static enum err apply(const char *json)
{
        struct arena arena = ARENA_INIT(1 << 20);
        struct tailcfg_map_response m;
        enum err e;

        assert_int_equal(tailcfg_map_response_decode(slice_str(json), &arena, &m), OK);
        e = netmap_apply(nm, &m, &now, &changes);
        arena_fini(&arena); /* the map must not borrow from the message */
        return e;
}

static int set_up(void **state)
{
        (void)state;
        nm = netmap_new();
        assert_int_equal(apply("{" SELF ",\"Peers\":[" PEER2 "," PEER3 "]}"), OK);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        netmap_free(nm);
        return 0;
}

static void the_first_message_needs_node(void **state)
{
        struct netmap *kept = nm;

        (void)state;
        nm = netmap_new();
        assert_int_equal(apply("{\"Peers\":[" PEER2 "]}"), ERR_FORMAT);
        assert_int_equal(netmap_peer_count(nm), 0);
        assert_int_equal(apply("{" SELF "}"), OK);
        assert_true(changes->is_first);
        assert_true(changes->parts & NETMAP_SELF);
        netmap_free(nm);
        nm = kept;
}

static void the_first_map_reports_everything(void **state)
{
        (void)state;
        assert_int_equal(changes->peer_count, 2);
        assert_int_equal(changes->peers[0].what, NETMAP_PEER_ADDED);
        assert_int_equal(changes->peers[1].id, 3);
        assert_true(slice_is(netmap_magic_dns_suffix(nm), "example.net"));
        assert_int_equal(netmap_peer_at(nm, 0)->allowed_ips.count, 1); /* absent: the addresses */
        assert_int_equal(netmap_peer_at(nm, 1)->allowed_ips.count, 0); /* []: none */
        assert_ptr_equal(netmap_peer_by_key(nm, &netmap_peer_at(nm, 0)->key), netmap_peer_by_id(nm, 2));
        assert_false(netmap_has_filter(nm));
}

static void an_empty_list_of_peers_changes_nothing(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"Peers\":[]}"), OK);
        assert_int_equal(changes->parts, 0);
        assert_int_equal(netmap_peer_count(nm), 2);
}

static void a_full_list_replaces_and_silences_deltas(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"Peers\":[" PEER3 "],\"PeersRemoved\":[3]}"), OK);
        assert_int_equal(netmap_peer_count(nm), 1);
        assert_int_equal(changes->peer_count, 1);
        assert_int_equal(changes->peers[0].what, NETMAP_PEER_REMOVED);
        assert_true(slice_is(changes->peers[0].old_stable_id, "n2"));
        assert_null(changes->peers[0].node);
}

static void removed_comes_before_changed(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"PeersChanged\":[" PEER2 "],\"PeersRemoved\":[2,3,77]}"), OK);
        assert_int_equal(netmap_peer_count(nm), 1);
        assert_int_equal(changes->peer_count, 1); /* 2 came back as it was: no change */
        assert_int_equal(changes->peers[0].id, 3);
}

static void changed_peers_are_inserted_in_order(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"PeersChanged\":[{\"ID\":9},{\"ID\":-4}]}"), OK);
        assert_int_equal(netmap_peer_count(nm), 4);
        assert_int_equal(netmap_peer_at(nm, 0)->id, -4);
        assert_int_equal(netmap_peer_at(nm, 3)->id, 9);
}

static void patches_touch_only_what_they_name(void **state)
{
        const struct tailcfg_node *n;

        (void)state;
        assert_int_equal(apply("{\"PeersChangedPatch\":[{\"NodeID\":2,\"DERPRegion\":900,\"Endpoints\":[\"1.2.3.4:5\"],"
                               "\"KeyExpiry\":\"2027-01-01T00:00:00Z\"},{\"NodeID\":55,\"Online\":true}]}"), OK);
        assert_int_equal(changes->parts, NETMAP_PEERS);
        assert_int_equal(changes->peer_count, 1);
        assert_int_equal(changes->peers[0].what, NETMAP_PEER_DERP | NETMAP_PEER_ENDPOINTS | NETMAP_PEER_OTHER);
        n = netmap_peer_by_id(nm, 2);
        assert_int_equal(n->home_derp, 900);
        assert_int_equal(n->endpoints.count, 1);
        assert_true(n->key_expiry.set);

        assert_int_equal(apply("{\"PeersChangedPatch\":[{\"NodeID\":2,\"Endpoints\":[],\"KeyExpiry\":\"0001-01-01T00:00:00Z\"}]}"), OK);
        n = netmap_peer_by_id(nm, 2);
        assert_int_equal(n->endpoints.count, 0);
        assert_false(n->key_expiry.set);
        assert_int_equal(n->home_derp, 900);

        assert_int_equal(apply("{\"PeersChangedPatch\":[{\"NodeID\":2,\"Key\":\"" NODEKEY("00aa") "\",\"Online\":false}]}"), OK);
        assert_int_equal(changes->peers[0].what, NETMAP_PEER_KEY | NETMAP_PEER_ONLINE);
        assert_int_equal(changes->peers[0].old_key.b[1], 2);
        assert_null(netmap_peer_by_key(nm, &changes->peers[0].old_key));
        assert_non_null(netmap_peer_by_key(nm, &netmap_peer_by_id(nm, 2)->key));
}

static void a_new_expiry_ends_expired(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"PeersChanged\":[{\"ID\":2,\"Expired\":true,\"KeyExpiry\":\"2025-01-01T00:00:00Z\"}]}"), OK);
        assert_true(netmap_peer_by_id(nm, 2)->expired);
        assert_int_equal(apply("{\"PeersChangedPatch\":[{\"NodeID\":2,\"Online\":true}]}"), OK);
        assert_true(netmap_peer_by_id(nm, 2)->expired);
        assert_int_equal(apply("{\"PeersChangedPatch\":[{\"NodeID\":2,\"KeyExpiry\":\"0001-01-01T00:00:00Z\"}]}"), OK);
        assert_false(netmap_peer_by_id(nm, 2)->expired);
}

static void seen_and_online_have_shortcuts(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"PeerSeenChange\":{\"2\":true},\"OnlineChange\":{\"2\":true,\"3\":false}}"), OK);
        assert_int_equal(changes->peer_count, 2);
        assert_int_equal(netmap_peer_by_id(nm, 2)->last_seen.unix_ns, now.unix_us * 1000);
        assert_int_equal(netmap_peer_by_id(nm, 3)->online, TAILCFG_FALSE);
        assert_int_equal(apply("{\"PeerSeenChange\":{\"2\":false}}"), OK);
        assert_false(netmap_peer_by_id(nm, 2)->last_seen.set);
}

#define DISCO_PATCH(d, rest) "{\"PeersChangedPatch\":[{\"NodeID\":2,\"DiscoKey\":\"" DISCO(d) "\"" rest "}]}"

static void an_offline_patch_does_not_bring_back_an_old_disco_key(void **state)
{
        struct public_key known;

        (void)state;
        assert_int_equal(apply(DISCO_PATCH("0001", ",\"LastSeen\":\"2026-01-01T00:00:00Z\"")), OK);
        known = netmap_peer_by_id(nm, 2)->disco_key;
        assert_int_equal(apply(DISCO_PATCH("0002", ",\"Online\":false,\"LastSeen\":\"2026-01-01T00:00:00Z\"")), OK);
        assert_true(key_equal(&known, &netmap_peer_by_id(nm, 2)->disco_key));
        assert_int_equal(netmap_peer_by_id(nm, 2)->online, TAILCFG_UNSET); /* dropped whole */
        assert_int_equal(apply(DISCO_PATCH("0002", ",\"Online\":false,\"LastSeen\":\"2026-01-01T00:00:01Z\"")), OK);
        assert_false(key_equal(&known, &netmap_peer_by_id(nm, 2)->disco_key));
        assert_int_equal(apply(DISCO_PATCH("0003", "")), OK);
        assert_int_equal(netmap_peer_by_id(nm, 2)->disco_key.b[1], 3);
}

#define LISTED(d, rest) "{\"Peers\":[{\"ID\":2,\"Key\":\"" NODEKEY("0002") "\",\"DiscoKey\":\"" DISCO(d) "\"" rest "}]}"

static void nor_does_a_full_list(void **state)
{
        (void)state;
        assert_int_equal(apply(LISTED("0001", ",\"Online\":true,\"LastSeen\":\"2026-01-01T00:00:00Z\"")), OK);
        assert_int_equal(apply(LISTED("0002", ",\"LastSeen\":\"2026-01-01T00:00:00Z\"")), OK);
        assert_int_equal(netmap_peer_by_id(nm, 2)->disco_key.b[1], 1);
        assert_int_equal(apply(LISTED("0002", ",\"Online\":true")), OK);
        assert_int_equal(netmap_peer_by_id(nm, 2)->disco_key.b[1], 2);
        assert_int_equal(apply(LISTED("0003", ",\"LastSeen\":\"2026-01-02T00:00:00Z\"")), OK);
        assert_int_equal(netmap_peer_by_id(nm, 2)->disco_key.b[1], 3);
}

static void a_new_session_starts_empty_but_reports_only_differences(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"PacketFilter\":[],\"DNSConfig\":{\"Proxied\":true},\"Domain\":\"d\",\"Health\":[\"h\"]}"), OK);
        netmap_begin_session(nm);
        assert_int_equal(apply("{" SELF ",\"Peers\":[" PEER2 "],\"DNSConfig\":{\"Proxied\":true},\"Domain\":\"d\"}"), OK);
        assert_int_equal(changes->parts, NETMAP_PEERS | NETMAP_FILTER | NETMAP_HEALTH);
        assert_int_equal(changes->peer_count, 1);
        assert_int_equal(changes->peers[0].id, 3);
        assert_false(netmap_has_filter(nm));
        /* a session without any peers */
        netmap_begin_session(nm);
        assert_int_equal(apply("{" SELF "}"), OK);
        assert_int_equal(netmap_peer_count(nm), 0);
        assert_null(netmap_dns(nm));
}

#define RULE(src) "{\"SrcIPs\":[\"" src "\"]}"

static const char *sources(void)
{
        static char text[100];
        size_t n = 0;

        text[0] = '\0';
        for (size_t i = 0; i < netmap_filter(nm)->count; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s ", SLICE_ARGS(netmap_filter(nm)->items[i].src_ips.items[0]));
        return text;
}

static void filters_are_joined_by_name(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"PacketFilter\":[" RULE("b") "]}"), OK);
        assert_int_equal(changes->parts, NETMAP_FILTER);
        assert_string_equal(sources(), "b ");
        assert_int_equal(apply("{\"PacketFilters\":{\"z\":[" RULE("z") "],\"a\":[" RULE("a1") "," RULE("a2") "]}}"), OK);
        assert_string_equal(sources(), "a1 a2 b z ");
        assert_int_equal(apply("{\"PacketFilters\":{\"a\":[" RULE("a1") "," RULE("a2") "]}}"), OK);
        assert_int_equal(changes->parts, 0);
        assert_int_equal(apply("{\"PacketFilter\":[" RULE("x") "],\"PacketFilters\":{\"base\":[" RULE("y") "],\"z\":null}}"), OK);
        assert_string_equal(sources(), "a1 a2 y ");
        assert_int_equal(apply("{\"PacketFilters\":{\"n\":[" RULE("n") "],\"*\":null}}"), OK);
        assert_string_equal(sources(), "n ");
        assert_int_equal(apply("{\"PacketFilter\":null}"), OK);
        assert_string_equal(sources(), "n ");
        assert_int_equal(apply("{\"PacketFilters\":{\"n\":null}}"), OK);
        assert_string_equal(sources(), "");
        assert_true(netmap_has_filter(nm)); /* blocks everything, but was sent */
        assert_int_equal(apply("{\"PacketFilters\":{\"n\":[{\"SrcIPs\":[\"*\"],\"SrcBits\":[0]}]}}"), OK);
        assert_string_equal(sources(), "");
}

static void derp_maps_come_in_parts(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"DERPMap\":{\"HomeParams\":{\"RegionScore\":{\"1\":0.5}},\"Regions\":{\"1\":{},\"2\":null},\"omitDefaultRegions\":true}}"), OK);
        assert_int_equal(changes->parts, NETMAP_DERP_MAP);
        assert_int_equal(netmap_derp_map(nm)->regions.count, 1);
        assert_int_equal(apply("{\"DERPMap\":{\"Regions\":null}}"), OK);
        assert_int_equal(changes->parts, 0);
        assert_true(netmap_derp_map(nm)->omit_default_regions);
        assert_int_equal(apply("{\"DERPMap\":{\"HomeParams\":{\"RegionScore\":{}},\"Regions\":null}}"), OK);
        assert_int_equal(netmap_derp_map(nm)->home_params->region_score.count, 0);
        assert_int_equal(netmap_derp_map(nm)->regions.count, 1);
        assert_int_equal(apply("{\"DERPMap\":{\"Regions\":{\"3\":{},\"4\":{}}}}"), OK);
        assert_int_equal(netmap_derp_map(nm)->regions.count, 2);
        assert_false(netmap_derp_map(nm)->omit_default_regions);
}

static void profiles_add_up(void **state)
{
        (void)state;
        assert_int_equal(apply("{\"UserProfiles\":[{\"ID\":5,\"LoginName\":\"five\"},{\"ID\":2,\"LoginName\":\"two\"}]}"), OK);
        assert_int_equal(apply("{\"UserProfiles\":[{\"ID\":2,\"LoginName\":\"zwei\"}]}"), OK);
        assert_int_equal(changes->parts, NETMAP_USERS);
        assert_true(slice_is(netmap_user(nm, 5)->login_name, "five"));
        assert_true(slice_is(netmap_user(nm, 2)->login_name, "zwei"));
        assert_null(netmap_user(nm, 3));
}

static void messages_and_health(void **state)
{
#define MESSAGE(t) "{\"Title\":\"" t "\",\"Text\":\"\",\"Severity\":\"low\"}"
        (void)state;
        assert_int_equal(apply("{\"Health\":[\"bad\"],\"DisplayMessages\":{\"a\":" MESSAGE("A") ",\"b\":" MESSAGE("B") "}}"), OK);
        assert_int_equal(changes->parts, NETMAP_HEALTH);
        assert_int_equal(apply("{\"DisplayMessages\":{\"a\":null,\"c\":" MESSAGE("C") "}}"), OK);
        assert_int_equal(netmap_display_messages(nm)->count, 2);
        assert_int_equal(netmap_health(nm)->count, 1);
        assert_int_equal(apply("{\"Health\":[],\"DisplayMessages\":{\"*\":null}}"), OK);
        assert_int_equal(netmap_display_messages(nm)->count, 0);
        assert_int_equal(netmap_health(nm)->count, 0);
}

static void lock_state_is_sticky(void **state)
{
        (void)state;
        assert_false(netmap_tka_enabled(nm));
        assert_int_equal(apply("{\"TKAInfo\":{\"Head\":\"ABC\"}}"), OK);
        assert_true(netmap_tka_enabled(nm));
        assert_int_equal(apply("{\"Domain\":\"d\"}"), OK);
        assert_true(netmap_tka_enabled(nm));
        assert_int_equal(apply("{\"TKAInfo\":{\"Disabled\":true}}"), OK);
        assert_false(netmap_tka_enabled(nm));
        assert_int_equal(netmap_tka_head(nm).len, 0);
}

static void peers_expire_by_the_clock_of_control(void **state)
{
        struct now later = now;
        int64_t next;

        (void)state;
        assert_int_equal(apply("{\"ControlTime\":\"2026-01-01T01:00:00Z\",\"PeersChangedPatch\":[{\"NodeID\":2,"
                               "\"Endpoints\":[\"1.2.3.4:5\"],\"KeyExpiry\":\"2026-01-01T02:00:00Z\"}]}"), OK);
        netmap_expire_peers(nm, &later, &next, &changes);
        assert_int_equal(changes->parts, 0);
        assert_int_equal(next, now.unix_us + (int64_t)TIME_S(3600)); /* on our clock, an hour behind */
        later.unix_us = next;
        netmap_expire_peers(nm, &later, &next, &changes);
        assert_int_equal(changes->peer_count, 1);
        assert_true(netmap_peer_by_id(nm, 2)->expired);
        assert_int_equal(netmap_peer_by_id(nm, 2)->endpoints.count, 0);
        assert_int_equal(next, INT64_MAX);
        now.unix_us = later.unix_us;
        assert_int_equal(apply("{\"PeersChangedPatch\":[{\"NodeID\":2,\"KeyExpiry\":\"2027-01-01T00:00:00Z\"}]}"), OK);
        assert_false(netmap_peer_by_id(nm, 2)->expired);
        assert_int_equal(netmap_peer_by_id(nm, 2)->endpoints.count, 1);
        now.unix_us = INT64_C(1767225600000000);
}

/* A directory of items in memory. */
static struct item {
        char key[32];
        struct buf bytes;
} items[20];

static struct item *item_of(struct slice key)
{
        struct item *unused = NULL;

        for (size_t i = 0; i < 20; i++) {
                if (slice_is(key, items[i].key))
                        return &items[i];
                if (!items[i].key[0])
                        unused = &items[i];
        }
        return unused;
}

static void item_put(void *ctx, struct slice key, struct slice bytes)
{
        struct item *it = item_of(key);

        (void)ctx;
        snprintf(it->key, sizeof(it->key), "%.*s", SLICE_ARGS(key));
        buf_fini(&it->bytes);
        it->bytes.max = 1 << 20;
        buf_append_slice(&it->bytes, bytes);
}

static void item_remove(void *ctx, struct slice key)
{
        struct item *it = item_of(key);

        (void)ctx;
        it->key[0] = '\0';
        buf_fini(&it->bytes);
}

static const struct netmap_store store = { item_put, item_remove, NULL };

static void the_cache_brings_the_map_back(void **state)
{
        struct netmap *live = nm;

        (void)state;
        assert_int_equal(netmap_save(nm, NULL, &store), OK);
        assert_int_equal(apply("{\"PeersRemoved\":[3],\"PacketFilters\":{\"q\":[" RULE("s") "]},\"DNSConfig\":{\"Proxied\":true},"
                               "\"UserProfiles\":[{\"ID\":5}],\"Domain\":\"dom\",\"TKAInfo\":{\"Head\":\"X\"},\"SSHPolicy\":{\"rules\":[]},"
                               "\"DERPMap\":{\"Regions\":{\"1\":{\"RegionID\":1}}}}"), OK);
        assert_int_equal(netmap_save(nm, changes, &store), OK);
        assert_int_equal(item_of(SLICE_LIT("peer-n3"))->key[0], '\0');

        nm = netmap_new();
        for (size_t i = 0; i < 20; i++) {
                if (items[i].key[0])
                        assert_int_equal(netmap_load(nm, slice_str(items[i].key), buf_slice(&items[i].bytes)), OK);
        }
        assert_int_equal(netmap_self(nm)->id, 1);
        assert_int_equal(netmap_peer_count(nm), 1);
        assert_string_equal(sources(), "s ");
        assert_true(netmap_dns(nm)->proxied);
        assert_non_null(netmap_user(nm, 5));
        assert_true(slice_is(netmap_domain(nm), "dom"));
        assert_true(netmap_tka_enabled(nm));
        assert_true(slice_is(netmap_ssh_policy(nm), "{\"rules\":[]}"));
        assert_int_equal(netmap_derp_map(nm)->regions.count, 1);
        /* the same map from the wire is no news */
        assert_int_equal(apply("{" SELF ",\"Peers\":[" PEER2 "],\"PacketFilters\":{\"q\":[" RULE("s") "]},\"DNSConfig\":{\"Proxied\":true},"
                               "\"Domain\":\"dom\",\"TKAInfo\":{\"Head\":\"X\"},\"SSHPolicy\":{\"rules\":[]},"
                               "\"DERPMap\":{\"Regions\":{\"1\":{\"RegionID\":1}}}}"), OK);
        assert_int_equal(changes->parts, 0);
        netmap_free(nm);
        nm = live;
        assert_int_equal(netmap_load(nm, SLICE_LIT("self"), SLICE_LIT("{\"Node\":")), ERR_SHORT);
        assert_int_equal(netmap_load(nm, SLICE_LIT("bogus"), SLICE_LIT("{}")), ERR_FORMAT);
        for (size_t i = 0; i < 20; i++)
                buf_fini(&items[i].bytes);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(the_first_message_needs_node, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_first_map_reports_everything, set_up, tear_down),
                cmocka_unit_test_setup_teardown(an_empty_list_of_peers_changes_nothing, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_full_list_replaces_and_silences_deltas, set_up, tear_down),
                cmocka_unit_test_setup_teardown(removed_comes_before_changed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(changed_peers_are_inserted_in_order, set_up, tear_down),
                cmocka_unit_test_setup_teardown(patches_touch_only_what_they_name, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_new_expiry_ends_expired, set_up, tear_down),
                cmocka_unit_test_setup_teardown(seen_and_online_have_shortcuts, set_up, tear_down),
                cmocka_unit_test_setup_teardown(an_offline_patch_does_not_bring_back_an_old_disco_key, set_up, tear_down),
                cmocka_unit_test_setup_teardown(nor_does_a_full_list, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_new_session_starts_empty_but_reports_only_differences, set_up, tear_down),
                cmocka_unit_test_setup_teardown(filters_are_joined_by_name, set_up, tear_down),
                cmocka_unit_test_setup_teardown(derp_maps_come_in_parts, set_up, tear_down),
                cmocka_unit_test_setup_teardown(profiles_add_up, set_up, tear_down),
                cmocka_unit_test_setup_teardown(messages_and_health, set_up, tear_down),
                cmocka_unit_test_setup_teardown(lock_state_is_sticky, set_up, tear_down),
                cmocka_unit_test_setup_teardown(peers_expire_by_the_clock_of_control, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_cache_brings_the_map_back, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
