/* The worked case of spec/policy.md 27, HuJSON, and errors with their places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "policy/hujson.h"
#include "policy/state.h"

static const char worked[] =
        "{\"tagOwners\":{\"tag:srv\":[\"ann@example.com\"],\"tag:rtr\":[\"ann@example.com\"]},\n"
        " \"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:*\","
        "\"tag:srv:22,80-81\"]},\n"
        "         {\"action\":\"accept\",\"src\":[\"*\"],\"proto\":\"udp\",\"dst\":[\"10.1.2.0/24:53\"]}],\n"
        " \"grants\":[{\"src\":[\"bob@example.org\"],\"dst\":[\"tag:srv\"],\"app\":{\"tailscale.com/cap/"
        "drive\":"
        "[{\"shares\":[\"*\"],\"access\":\"ro\"}]}}], // who may write is another matter\n}\n";

struct tailnet {
        struct policy_user users[2];
        struct policy_node nodes[5];
        struct slice srv, rtr;
        struct ip_prefix route;
        struct policy_state *st;
        struct policy_errors errors;
};

static struct ip_addr ula(uint8_t last)
{
        uint8_t b[16] = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 };

        b[15] = last;
        return ip_v6(b);
}

static int setup(void **state)
{
        static const uint8_t last[] = { 1, 2, 5, 9, 11 };
        static struct tailnet t;

        memset(&t, 0, sizeof(t));
        t.users[0] = (struct policy_user){
                .id = 1, .name = SLICE_LIT("ann"), .email = SLICE_LIT("ann@example.com")
        };
        t.users[1] = (struct policy_user){
                .id = 2, .name = SLICE_LIT("bob"), .email = SLICE_LIT("bob@example.org")
        };
        t.srv = SLICE_LIT("tag:srv");
        t.rtr = SLICE_LIT("tag:rtr");
        t.route = (struct ip_prefix){ ip_v4(10, 1, 0, 0), 16 };
        for (size_t i = 0; i < 5; i++)
                t.nodes[i] = (struct policy_node){ .id = (int64_t)i + 1,
                        .user_id = i < 2    ? 1
                                   : i == 2 ? 2
                                            : 0,
                        .ipv4 = ip_v4(100, 64, 0, last[i]),
                        .ipv6 = ula(last[i]) };
        t.nodes[3].tags = &t.srv;
        t.nodes[4].tags = &t.rtr;
        t.nodes[3].tag_count = t.nodes[4].tag_count = 1;
        t.nodes[4].routes = t.nodes[4].primary = &t.route;
        t.nodes[4].route_count = t.nodes[4].primary_count = 1;
        policy_errors_init(&t.errors);
        struct policy *p = policy_parse(
                slice_str(worked), &(struct policy_settings){ .users = t.users, .user_count = 2 }, &t.errors);
        t.st = policy_state_new();
        if (!p || !t.st || policy_state_set_users(t.st, t.users, 2, &t.errors) != OK ||
                policy_state_set_policy(t.st, p, &t.errors) != OK)
                return -1;
        for (size_t i = 0; i < 5; i++)
                if (policy_state_set_node(t.st, &t.nodes[i]) != OK)
                        return -1;
        *state = &t;
        return 0;
}

static int teardown(void **state)
{
        struct tailnet *t = *state;

        policy_state_free(t->st);
        policy_errors_fini(&t->errors);
        return 0;
}

static void filter_is(struct tailnet *t, size_t node, const char *want)
{
        struct arena a = ARENA_INIT(1 << 20);
        struct buf json = BUF_INIT(1 << 20);
        struct json_writer w;
        struct tailcfg_filter_rules rules;

        assert_int_equal(policy_state_filter(t->st, t->nodes[node].id, &a, &rules), OK);
        json_writer_init(&w, &json, NULL);
        tailcfg_filter_rules_write(&w, &rules);
        assert_string_equal(buf_cstr(&json), want);
        buf_fini(&json);
        arena_fini(&a);
}

static void test_filters(void **state)
{
        filter_is(*state, 0,
                "[{\"SrcIPs\":[\"100.64.0.1-100.64.0.2\",\"fd7a:115c:a1e0::1-fd7a:115c:a1e0::2\"],"
                "\"DstPorts\":["
                "{\"IP\":\"100.64.0.1\",\"Ports\":{\"First\":0,\"Last\":65535}},"
                "{\"IP\":\"fd7a:115c:a1e0::1\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]");
        filter_is(*state, 4,
                "[{\"SrcIPs\":[\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\",\"fd7a:115c:"
                "a1e0::/48\","
                "\"10.1.0.0/16\"],\"DstPorts\":[{\"IP\":\"10.1.2.0/"
                "24\",\"Ports\":{\"First\":53,\"Last\":53}}],\"IPProto\":[17]}]");
}

static void test_peers(void **state)
{
        struct tailnet *t = *state;
        static const char *const sees[] = { ".1.11", "1..11", "...11", "111.1", "1111." };
        struct arena a = ARENA_INIT(1 << 20);

        for (size_t i = 0; i < 5; i++) {
                for (size_t j = 0; j < 5; j++)
                        assert_int_equal(
                                policy_state_sees(t->st, t->nodes[i].id, t->nodes[j].id), sees[i][j] == '1');
                struct tailcfg_prefixes routes;
                assert_int_equal(policy_state_routes(t->st, t->nodes[i].id, 5, &a, &routes), OK);
                assert_int_equal(routes.count, 1);
                assert_true(ip_prefix_equal(&routes.items[0], &t->route));
        }
        arena_fini(&a);
}

/* A change reaches the look-ups and is noted until it is settled. */
static void test_changes(void **state)
{
        struct tailnet *t = *state;
        struct policy_touched touched = { 0 };
        size_t seen = 0, count;

        policy_state_settle(t->st);
        assert_false(policy_state_next_touched(t->st, &touched));
        assert_int_equal(policy_state_set_node(t->st, &t->nodes[3]), OK); /* as it was */
        assert_false(policy_state_next_touched(t->st, &touched));
        t->nodes[3].tag_count = 0; /* the server is nobody's now, and bob no longer reaches it */
        assert_int_equal(policy_state_set_node(t->st, &t->nodes[3]), OK);
        assert_false(policy_state_sees(t->st, 3, 4));
        assert_true(policy_state_touched(t->st, 3) & POLICY_TOUCH_PEERS);
        assert_true(policy_state_touched(t->st, 4) & POLICY_TOUCH_FILTER);
        assert_int_equal(policy_state_remove_node(t->st, 4), OK);
        assert_int_equal(policy_state_remove_node(t->st, 4), ERR_NOTFOUND);
        assert_int_equal(policy_state_class(t->st, 4), POLICY_NO_CLASS);
        assert_int_equal(policy_state_touched(t->st, 4), 0);
        for (uint32_t c = 0; c < policy_state_class_limit(t->st); c++) {
                const int64_t *nodes = policy_state_class_nodes(t->st, c, &count);
                for (size_t i = 0; i < count; i++)
                        assert_int_equal(policy_state_class(t->st, nodes[i]), c);
                seen += count;
        }
        assert_int_equal(seen, 4);
}

/* Devices whose user is not known are not each other's. */
static void test_nobodys_devices(void **state)
{
        static const char text[] = "{\"ssh\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
                                   "\"dst\":[\"autogroup:self\"],\"users\":[\"root\"]}]}";
        struct policy_state *st = policy_state_new();
        struct policy_errors errors;
        struct buf json = BUF_INIT(4096);
        struct json_writer w;

        (void)state;
        policy_errors_init(&errors);
        struct policy *p = policy_parse(slice_str(text), &(struct policy_settings){ 0 }, &errors);
        assert_non_null(p);
        assert_int_equal(policy_state_set_policy(st, p, &errors), OK);
        for (uint8_t i = 1; i <= 2; i++) {
                struct policy_node n = { .id = i, .ipv4 = ip_v4(100, 64, 0, i) };
                assert_int_equal(policy_state_set_node(st, &n), OK);
        }
        json_writer_init(&w, &json, NULL);
        policy_state_write_ssh(st, 1, SLICE_LIT("https://x"), &w);
        assert_string_equal(buf_cstr(&json), "{\"rules\":[]}");
        buf_fini(&json);
        policy_errors_fini(&errors);
        policy_state_free(st);
}

static void test_hujson(void **state)
{
        static const struct {
                const char *text, *want; /* want NULL: refused */
        } cases[] = {
                { "[1,]", "[1 ]" },
                { "{\"a\":\"//\",}//x\n", "{\"a\":\"//\" }   \n" },
                { "/*a\n*/1", "   \n  1" },
                { "[1,/*,*/]", "[1      ]" },
                { "[,]", "[,]" },
                { "[1,,]", "[1,,]" },
                { "1//x", NULL },
                { "1/*x", NULL },
        };
        char out[64];
        size_t pos;
        const char *why;

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct slice text = slice_str(cases[i].text);
                enum err e = hujson_to_json(text, (uint8_t *)out, &pos, &why);
                out[text.len] = '\0';
                assert_int_equal(e == OK, cases[i].want != NULL);
                if (cases[i].want)
                        assert_string_equal(out, cases[i].want);
        }
}

static void test_all_errors(void **state)
{
        static const char text[] = "{\n\t\"acls\": [{\"action\": \"deny\", \"src\": [\"tag:x\"], \"dst\": "
                                   "[\"a:b:c\"]}],\n\t\"bogus\": 1\n}";
        struct policy_errors errors;
        struct buf shown = BUF_INIT(4096);

        (void)state;
        policy_errors_init(&errors);
        assert_null(policy_parse(slice_str(text), &(struct policy_settings){ 0 }, &errors));
        assert_int_equal(errors.count, 3);
        assert_int_equal(errors.items[0].line, 2);
        assert_int_equal(errors.items[2].line, 3);
        assert_int_equal(errors.items[2].column, 2);
        assert_true(slice_is(errors.items[2].text, "unknown field: \"bogus\""));
        policy_errors_show(&errors, slice_str(text), "p.hujson", &shown);
        assert_non_null(strstr(
                buf_cstr(&shown), "p.hujson:3:2: unknown field: \"bogus\"\n  \t\"bogus\": 1\n  \t^\n"));
        buf_fini(&shown);
        policy_errors_fini(&errors);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_filters, setup, teardown),
                cmocka_unit_test_setup_teardown(test_peers, setup, teardown),
                cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
                cmocka_unit_test(test_nobodys_devices),
                cmocka_unit_test(test_hujson),
                cmocka_unit_test(test_all_errors),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
