/* The REST API's statuses and shapes, as headscale's clients rely on them (spec/server.md 3). */
#include "test_world.h"

/* One after the other on one server: user 1 alice, key 1, node 1. */
static const struct {
        const char *method, *target, *body;
        int status;
        const char *contains; /* of the answer, or NULL */
} cases[] = {
        { "GET", "/api/v1/health", "", 200, "{\"databaseConnectivity\":true}" },
        { "GET", "/api/v1/user", "", 200, "{\"users\":[]}" },
        { "POST", "/api/v1/user",
                "{\"name\":\"alice\",\"displayName\":\"Alice\",\"email\":\"a@example.net\"}", 200,
                "{\"user\":{\"id\":\"1\",\"name\":\"alice\",\"createdAt\":\"2026-01-01T00:00:00Z\","
                "\"displayName\":\"Alice\","
                "\"email\":\"a@example.net\",\"providerId\":\"\",\"provider\":\"\",\"profilePicUrl\":\"\"}"
                "}" },
        { "POST", "/api/v1/user", "{\"name\":\"alice\"}", 409, "already" },
        { "POST", "/api/v1/user", "{\"name\":\"1\"}", 400, NULL },
        { "POST", "/api/v1/user", "{\"nick\":\"x\"}", 422, NULL },
        { "POST", "/api/v1/user", "{\"name\":7}", 400, NULL },
        { "POST", "/api/v1/user", "{", 400, NULL },
        { "POST", "/api/v1/user", "{\"name\":\"bob\"}", 200, "\"id\":\"2\"" },
        { "GET", "/api/v1/user?name=bob", "", 200, "{\"users\":[{\"id\":\"2\"" },
        { "GET", "/api/v1/user?email=a%40example.net", "", 200, "{\"users\":[{\"id\":\"1\"" },
        { "GET", "/api/v1/user?id=2", "", 200, "{\"users\":[{\"id\":\"2\"" },
        { "GET", "/api/v1/user?id=x", "", 400, NULL },
        { "POST", "/api/v1/user/2/rename/carol", "", 200, "\"name\":\"carol\"" },
        { "POST", "/api/v1/user/2/rename/alice", "", 409, NULL },
        { "POST", "/api/v1/user/9/rename/dave", "", 404, "\"detail\":\"renaming user\"" },
        { "DELETE", "/api/v1/user/9", "", 404, NULL },
        { "DELETE", "/api/v1/user/2", "", 200, "{}" },

        { "GET", "/api/v1/preauthkey", "", 200, "{\"preAuthKeys\":[]}" },
        { "POST", "/api/v1/preauthkey",
                "{\"user\":\"1\",\"reusable\":true,\"aclTags\":null,\"expiration\":\"2030-01-01T00:00:00Z\"}",
                200,
                "\"expiration\":\"2030-01-01T00:00:00Z\",\"createdAt\":\"2026-01-01T00:00:00Z\",\"aclTags\":["
                "]}}" },
        { "POST", "/api/v1/preauthkey", "{\"user\":\"0\"}", 400, NULL },
        { "POST", "/api/v1/preauthkey", "{\"user\":\"x\"}", 400, NULL },
        { "POST", "/api/v1/preauthkey", "{\"user\":\"9\"}", 404, NULL },
        { "POST", "/api/v1/preauthkey", "{\"user\":\"1\",\"aclTags\":[\"server\"]}", 400, NULL },
        { "POST", "/api/v1/preauthkey", "{\"aclTags\":[\"tag:server\"]}", 200, "\"user\":null" },
        { "GET", "/api/v1/preauthkey", "", 200, "-***\"" },
        { "POST", "/api/v1/preauthkey/expire", "{\"id\":\"2\"}", 200, "{}" },
        { "POST", "/api/v1/preauthkey/expire", "{\"id\":\"9\"}", 404, NULL },
        { "DELETE", "/api/v1/preauthkey?id=2", "", 200, "{}" },
        { "DELETE", "/api/v1/preauthkey?id=2", "", 404, NULL },
        { "DELETE", "/api/v1/preauthkey", "", 400, NULL },

        { "GET", "/api/v1/apikey", "", 200, "{\"apiKeys\":[]}" },
        { "POST", "/api/v1/apikey", "{\"expiration\":\"2030-01-01T00:00:00Z\"}", 200,
                "{\"apiKey\":\"hskey-api-" },
        { "GET", "/api/v1/apikey", "", 200, "\"createdAt\":\"2026-01-01T00:00:00Z\",\"lastSeen\":null}" },
        { "POST", "/api/v1/apikey/expire", "{}", 400, NULL },
        { "POST", "/api/v1/apikey/expire", "{\"id\":\"1\",\"prefix\":\"x\"}", 400, NULL },
        { "POST", "/api/v1/apikey/expire", "{\"id\":\"1\"}", 200, "{}" },
        { "DELETE", "/api/v1/apikey/0123456789ab", "", 404, NULL },
        { "DELETE", "/api/v1/apikey/0123456789ab?id=1", "", 400, NULL },

        { "GET", "/api/v1/node", "", 200, "{\"nodes\":[]}" },
        { "GET", "/api/v1/node?user=nobody", "", 404, NULL },
        { "GET", "/api/v1/node/9", "", 404, NULL },
        { "GET", "/api/v1/node/x", "", 400, NULL },
        { "POST", "/api/v1/node/backfillips?confirmed=true", "", 200, "{\"changes\":[]}" },
        { "POST", "/api/v1/node/backfillips?confirmed=false", "", 400, NULL },
        { "POST", "/api/v1/node/backfillips", "", 400, NULL },
        { "POST", "/api/v1/auth/register",
                "{\"user\":\"alice\",\"authId\":\"hskey-authreq-000000000000000000000000\"}", 404, NULL },
        { "POST", "/api/v1/auth/register", "{\"user\":\"nobody\",\"authId\":\"x\"}", 404, NULL },
        { "POST", "/api/v1/auth/reject", "{\"authId\":\"x\"}", 404, NULL },
        { "GET", "/api/v1/policy", "", 500, "no policy is set" },
        { "PUT", "/api/v1/policy", "{\"policy\":\"{}\"}", 400, "update is disabled" },
        { "POST", "/api/v1/policy/check", "{\"policy\":\"{}\"}", 200, NULL },
        { "POST", "/api/v1/policy/check", "{\"policy\":\" \"}", 400, "the policy is empty" },
        { "POST", "/api/v1/policy/check", "{\"policy\":\"{\\\"acls\\\":1}\"}", 400, NULL },
        { "POST", "/api/v1/policy/test", "", 400, "no policy is set" },
        { "DELETE", "/api/v1/policy", "", 405, NULL },
        { "POST", "/api/v1/policy/frob", "", 404, NULL },
        { "GET", "/api/v1/nothing", "", 404, NULL },
        { "GET", "/api/v2/user", "", 404, NULL },
        { "PATCH", "/api/v1/user", "", 404, NULL },
        { "GET", "/api/v1/user/1/2/3/4/5/6/7", "", 404, NULL },
        { "GET", "/api/v1/node/%zz", "", 404, NULL },
};

static void run(struct world *w, size_t i)
{
        struct buf out = BUF_INIT(1 << 20);
        int status = admin(w, cases[i].method, cases[i].target, cases[i].body, &out);

        if (status != cases[i].status || (cases[i].contains && !has(&out, cases[i].contains)))
                fail_msg("%s %s %s: %d %s", cases[i].method, cases[i].target, cases[i].body, status,
                        buf_cstr(&out));
        if (status >= 400)
                assert_true(has(&out, "\"errors\":[{\"message\":\""));
        buf_fini(&out);
}

static void statuses_and_shapes(void **state)
{
        struct world w;

        (void)state;
        world_init(&w);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
                run(&w, i);
        world_fini(&w);
}

static void addresses_follow_the_prefixes(void **state)
{
        static const char path[] = "/api/v1/node/backfillips?confirmed=true";
        struct world w;
        struct client a, b;
        struct buf out = BUF_INIT(1 << 20);
        char key[128];

        (void)state;
        world_init(&w);
        struct ip_prefix v4 = w.settings.prefix_v4, v6 = w.settings.prefix_v6;
        w.settings.prefix_v6 = (struct ip_prefix){ 0 };
        client_init(&a, &w, 1);
        client_init(&b, &w, 2);
        make_key(&w, ",\"reusable\":true", key, sizeof(key));
        client_register_with(&a, key);
        client_register_with(&b, key);
        world_sync(&w);
        client_poll(&b);
        world_pass(&w, TIME_S(1));

        w.settings.prefix_v6 = v6;
        assert_int_equal(admin(&w, "POST", path, "", &out), 200);
        assert_true(has(&out, "assigned IPv6 \\\"fd7a:115c:a1e0::1\\\" to Node(1) \\\"pc\\\""));
        assert_true(has(&out, "assigned IPv6 \\\"fd7a:115c:a1e0::2\\\" to Node(2)"));
        buf_clear(&b.stream);
        world_pass(&w, TIME_S(1));
        assert_true(has(&b.stream, "[\"100.64.0.1/32\",\"fd7a:115c:a1e0::1/128\"]"));
        assert_true(has(&b.stream, "[\"100.64.0.2/32\",\"fd7a:115c:a1e0::2/128\"]")); /* its own */
        assert_int_equal(admin(&w, "POST", path, "", &out), 200);
        assert_true(has(&out, "{\"changes\":[]}"));

        w.settings.prefix_v4 = (struct ip_prefix){ 0 };
        assert_int_equal(admin(&w, "POST", path, "", &out), 200);
        assert_true(has(&out, "removing IPv4 \\\"100.64.0.2\\\" from Node(2)"));
        assert_int_equal(admin(&w, "GET", "/api/v1/node/2", "", &out), 200);
        assert_true(has(&out, "\"ipAddresses\":[\"fd7a:115c:a1e0::2\"]"));

        w.settings.prefix_v4 = v4;
        w.settings.prefix_v4.bits = 32; /* room for one */
        assert_int_equal(admin(&w, "POST", path, "", &out), 200);
        assert_true(has(&out, "assigned IPv4"));
        assert_true(has(&out, "no IPv4 address is free for Node(2)"));
        buf_fini(&out);
        client_fini(&a);
        client_fini(&b);
        world_fini(&w);
}

static void a_node_in_full(void **state)
{
        struct world w;
        struct client a;
        struct buf out = BUF_INIT(1 << 20);
        char key[128];

        (void)state;
        world_init(&w);
        client_init(&a, &w, 1);
        a.hostinfo = "{\"Hostname\":\"Joe's Mac mini\"}";
        make_key(&w, "", key, sizeof(key));
        client_register_with(&a, key);
        world_sync(&w);
        assert_int_equal(admin(&w, "GET", "/api/v1/node/1", "", &out), 200);
        assert_true(has(&out, "{\"node\":{\"id\":\"1\",\"machineKey\":\"mkey:0100000000"));
        assert_true(has(&out, "\"ipAddresses\":[\"100.64.0.1\",\"fd7a:115c:a1e0::1\"],\"name\":\"Joe's Mac "
                              "mini\",\"user\":{\"id\":\"1\""));
        assert_true(has(&out, "\"expiry\":null,\"preAuthKey\":{\"user\":{"));
        assert_true(
                has(&out, "\"registerMethod\":\"REGISTER_METHOD_AUTH_KEY\",\"givenName\":\"joes-mac-mini\","
                          "\"online\":false,"
                          "\"approvedRoutes\":[],\"availableRoutes\":[],\"subnetRoutes\":[],\"tags\":[]}}"));

        assert_int_equal(admin(&w, "POST", "/api/v1/node/1/rename/Upper-Case", "", &out), 200);
        assert_true(has(&out, "\"givenName\":\"upper-case\""));
        assert_int_equal(admin(&w, "POST", "/api/v1/node/1/rename/-x", "", NULL), 400);
        assert_int_equal(admin(&w, "POST", "/api/v1/node/1/tags", "{\"tags\":[]}", NULL), 400);
        assert_int_equal(
                admin(&w, "POST", "/api/v1/node/1/approve_routes", "{\"routes\":[\"0.0.0.0/0\"]}", &out),
                200);
        assert_true(has(&out, "\"approvedRoutes\":[\"0.0.0.0/0\",\"::/0\"]"));
        assert_int_equal(
                admin(&w, "POST", "/api/v1/node/1/approve_routes", "{\"routes\":[\"x\"]}", NULL), 400);
        assert_int_equal(admin(&w, "POST", "/api/v1/node/1/expire",
                                 "{\"expiry\":\"2030-01-01T00:00:00Z\",\"disableExpiry\":true}", NULL),
                400);
        assert_int_equal(admin(&w, "DELETE", "/api/v1/user/1", "", NULL), 400); /* has a node */
        assert_int_equal(admin(&w, "DELETE", "/api/v1/preauthkey?id=1", "", NULL), 200);
        assert_int_equal(admin(&w, "DELETE", "/api/v1/node/1", "", NULL), 200);
        assert_int_equal(admin(&w, "DELETE", "/api/v1/user/1", "", NULL), 200);
        buf_fini(&out);
        client_fini(&a);
        world_fini(&w);
}

static void an_api_key_opens_until_it_expires(void **state)
{
        struct world w;
        struct buf out = BUF_INIT(1 << 16);
        char key[128];

        (void)state;
        world_init(&w);
        assert_int_equal(
                admin(&w, "POST", "/api/v1/apikey", "{\"expiration\":\"2026-01-01T01:00:00Z\"}", &out), 200);
        member(&out, "apiKey", key, sizeof(key));
        assert_true(server_api_key_valid(w.server, &w.now, slice_str(key)));
        key[strlen(key) - 1] ^= 1;
        assert_false(server_api_key_valid(w.server, &w.now, slice_str(key)));
        key[strlen(key) - 1] ^= 1;
        world_pass(&w, TIME_S(3601));
        assert_false(server_api_key_valid(w.server, &w.now, slice_str(key)));
        buf_fini(&out);
        world_fini(&w);
}

/* spec/server.md 11.3 */
static void host_names_become_labels(void **state)
{
        static const char *const pairs[][2] = {
                { "Joe's Mac mini", "joes-mac-mini" },
                { "Test@Host", "test-host" },
                { "mail.server", "mail-server" },
                { "My-PC!", "my-pc" },
                { "我的电脑", "" },
                { "laptop.local", "laptop" },
                { "a__b", "a--b" },
                { "--x--", "x" },
                { "host.lan.local", "host" },
                { "UPPER_case.localdomain", "upper-case" },
        };
        char out[LABEL_MAX + 1], xs[70];

        (void)state;
        for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
                name_sanitize(slice_str(pairs[i][0]), out);
                assert_string_equal(out, pairs[i][1]);
        }
        memset(xs, 'x', sizeof(xs));
        assert_int_equal(name_sanitize(slice_make(xs, sizeof(xs)), out), 63);
}

/* spec/server.md 11.7 and 11.8: names and addresses that are free again are used again. */
static void the_lowest_free_is_given(void **state)
{
        struct world w;
        struct client c[8];
        char key[128];

        (void)state;
        world_init(&w);
        assert_int_equal(ip_prefix_parse(SLICE_LIT("100.64.0.0/29"), &w.settings.prefix_v4), OK);
        make_key(&w, ",\"reusable\":true", key, sizeof(key));
        for (uint8_t i = 0; i < 8; i++)
                client_init(&c[i], &w, (uint8_t)(i + 1));
        for (size_t i = 0; i < 6; i++)
                client_register_with(&c[i], key);
        client_register_with(&c[6], key);
        world_sync(&w);
        assert_true(has(&c[6].body, "no free address"));
        assert_int_equal(w.server->tailnet.nodes.n, 6);
        assert_int_equal(admin(&w, "DELETE", "/api/v1/node/2", "", NULL), 200);
        client_register_with(&c[7], key);
        world_sync(&w);
        struct node *n = tailnet_node_by_machine(&w.server->tailnet, &c[7].machine);
        assert_non_null(n);
        assert_int_equal(n->row->ipv4.b[3], 2);
        assert_true(slice_is(n->row->given_name, "pc-1"));
        for (size_t i = 0; i < 8; i++)
                client_fini(&c[i]);
        world_fini(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(statuses_and_shapes),
                cmocka_unit_test(addresses_follow_the_prefixes),
                cmocka_unit_test(a_node_in_full),
                cmocka_unit_test(an_api_key_opens_until_it_expires),
                cmocka_unit_test(host_names_become_labels),
                cmocka_unit_test(the_lowest_free_is_given),
        };
        log_set_level(LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
