/* A policy in force: what nodes are told, and what a change of it, or of them, tells. */
#include "test_world.h"

/* The policy as the API takes it. Answers the status. */
static int set_policy(struct world *w, const char *policy, struct buf *out)
{
        struct buf body = BUF_INIT(1 << 16);
        struct json_writer j;

        json_writer_init(&j, &body, NULL);
        json_object_open(&j);
        json_field_str(&j, "policy", policy);
        json_object_close(&j);
        int status = admin(w, "PUT", "/api/v1/policy", buf_cstr(&body), out);
        buf_fini(&body);
        return status;
}

/* Three nodes that poll: 1 and 2 are alice's, 3 is tag:srv; told everything so far. */
struct tailnet_of_three {
        struct world w;
        struct client a, b, srv;
};

static void begin(struct tailnet_of_three *t, const char *policy)
{
        char key[128], tagged[128];

        world_init(&t->w);
        t->w.settings.policy_in_store = true;
        if (policy)
                assert_int_equal(set_policy(&t->w, policy, NULL), 200);
        client_init(&t->a, &t->w, 1);
        client_init(&t->b, &t->w, 2);
        client_init(&t->srv, &t->w, 3);
        make_key(&t->w, ",\"reusable\":true", key, sizeof(key));
        make_key(&t->w, ",\"aclTags\":[\"tag:srv\"]", tagged, sizeof(tagged));
        client_register_with(&t->a, key);
        client_register_with(&t->b, key);
        client_register_with(&t->srv, tagged);
        world_sync(&t->w);
        struct client *all[] = { &t->a, &t->b, &t->srv };
        for (size_t i = 0; i < 3; i++)
                client_poll(all[i]);
        world_pass(&t->w, TIME_S(2));
        for (size_t i = 0; i < 3; i++) {
                assert_int_equal(all[i]->status, 0);
                all[i]->messages = 0;
        }
}

static void forget(struct tailnet_of_three *t)
{
        struct client *all[] = { &t->a, &t->b, &t->srv };

        for (size_t i = 0; i < 3; i++) {
                buf_clear(&all[i]->stream);
                all[i]->messages = 0;
        }
}

static void end(struct tailnet_of_three *t)
{
        world_fini(&t->w);
        client_fini(&t->a);
        client_fini(&t->b);
        client_fini(&t->srv);
}

/* The policy in which alice reaches tag:srv at one port, and nobody anything else. */
#define ALICE_TO_SRV(port)                             \
        "{\"tagOwners\":{\"tag:srv\":[\"alice@\"]},"     \
        "\"acls\":[{\"action\":\"accept\",\"src\":[\"alice@\"],\"dst\":[\"tag:srv:" port "\"]}]}"

static void only_who_may_talk_is_seen(void **state)
{
        struct tailnet_of_three t;

        (void)state;
        begin(&t, ALICE_TO_SRV("22"));
        assert_true(has(&t.a.stream, "\"ID\":3,"));
        assert_false(has(&t.a.stream, "\"ID\":2,"));
        assert_true(has(&t.srv.stream, "\"ID\":1,") && has(&t.srv.stream, "\"ID\":2,"));
        assert_true(has(&t.srv.stream, "\"Ports\":{\"First\":22,\"Last\":22}"));
        assert_true(has(&t.a.stream, "\"PacketFilters\":{\"base\":[]}"));
        end(&t);
}

static void a_new_port_is_told_to_whom_it_opens_and_nobody_else(void **state)
{
        struct tailnet_of_three t;

        (void)state;
        begin(&t, ALICE_TO_SRV("22"));
        forget(&t);
        assert_int_equal(set_policy(&t.w, ALICE_TO_SRV("80"), NULL), 200);
        world_pass(&t.w, TIME_S(1));
        assert_int_equal(t.srv.messages, 1);
        assert_true(has(&t.srv.stream, "\"Ports\":{\"First\":80,\"Last\":80}"));
        assert_false(has(&t.srv.stream, "\"PeersChanged\""));
        assert_false(has(&t.srv.stream, "\"PeersRemoved\""));
        assert_int_equal(t.a.messages, 0);
        assert_int_equal(t.b.messages, 0);
        end(&t);
}

/* What a node was told in between by other ways counts as well. */
static void an_attribute_comes_and_goes(void **state)
{
        static const char with[] = "{\"nodeAttrs\":[{\"target\":[\"alice@\"],\"attr\":[\"x-test\"]}]}";
        struct tailnet_of_three t;

        (void)state;
        begin(&t, "{}");
        for (int i = 0; i < 2; i++) {
                forget(&t);
                assert_int_equal(set_policy(&t.w, with, NULL), 200);
                world_pass(&t.w, TIME_S(1));
                assert_int_equal(t.a.messages, 1);
                assert_int_equal(t.srv.messages, 0);
                assert_true(has(&t.a.stream, "\"x-test\":null"));
                assert_int_equal(admin(&t.w, "POST", "/api/v1/node/1/rename/other", "", NULL), 200);
                world_pass(&t.w, TIME_S(1));
                forget(&t);
                assert_int_equal(set_policy(&t.w, "{}", NULL), 200);
                world_pass(&t.w, TIME_S(1));
                assert_int_equal(t.a.messages, 1);
                assert_true(has(&t.a.stream, "\"Node\":{"));
                assert_false(has(&t.a.stream, "x-test"));
        }
        end(&t);
}

static void peers_come_into_sight_and_go_out_of_it(void **state)
{
        struct tailnet_of_three t;

        (void)state;
        begin(&t, NULL); /* everybody sees everybody */
        assert_true(has(&t.a.stream, "\"ID\":2,"));
        forget(&t);
        assert_int_equal(set_policy(&t.w, ALICE_TO_SRV("22"), NULL), 200);
        world_pass(&t.w, TIME_S(1));
        assert_true(has(&t.a.stream, "\"PeersRemoved\":[2]"));
        assert_true(has(&t.b.stream, "\"PeersRemoved\":[1]"));
        assert_false(has(&t.srv.stream, "\"PeersRemoved\""));
        assert_false(has(&t.a.stream, "\"PeersChanged\""));
        forget(&t);
        assert_int_equal(set_policy(&t.w, "{}", NULL), 200);
        world_pass(&t.w, TIME_S(1));
        assert_true(has(&t.a.stream, "\"PeersChanged\":[{\"ID\":2,"));
        assert_true(has(&t.a.stream, "\"UserProfiles\":[{\"ID\":1,"));
        assert_false(has(&t.a.stream, "\"ID\":3,"));
        end(&t);
}

/* A tag moves a node out of sight of some and into that of others, and changes what it
 * sees itself. */
static void a_tag_moves_a_node(void **state)
{
        struct tailnet_of_three t;

        (void)state;
        begin(&t, ALICE_TO_SRV("22"));
        forget(&t);
        assert_int_equal(admin(&t.w, "POST", "/api/v1/node/2/tags", "{\"tags\":[\"tag:srv\"]}", NULL), 200);
        world_pass(&t.w, TIME_S(1));
        assert_true(has(&t.a.stream, "\"PeersChanged\":[{\"ID\":2,"));
        assert_true(has(&t.b.stream, "\"PeersRemoved\":[3]"));
        assert_true(has(&t.b.stream, "\"PeersChanged\":[{\"ID\":1,"));
        assert_true(has(&t.b.stream, "\"Ports\":{\"First\":22,\"Last\":22}"));
        assert_true(has(&t.srv.stream, "\"PeersRemoved\":[2]"));
        assert_int_equal(admin(&t.w, "POST", "/api/v1/node/1/tags", "{\"tags\":[\"tag:nope\"]}", NULL), 400);
        end(&t);
}

static void a_bad_policy_changes_nothing(void **state)
{
        struct tailnet_of_three t;
        struct buf out = BUF_INIT(1 << 16);

        (void)state;
        begin(&t, ALICE_TO_SRV("22"));
        forget(&t);
        assert_int_equal(set_policy(&t.w, "{\"acls\":[{\"action\":\"drop\"}]}", &out), 400);
        assert_int_equal(set_policy(&t.w, "{\"acls\":[],\"frob\":1}", &out), 400);
        assert_true(has(&out, "frob"));
        assert_int_equal(set_policy(&t.w, "", &out), 400);
        /* Valid, but its own test says that it is not what was meant. */
        assert_int_equal(set_policy(&t.w,
                                 "{\"acls\":[],\"tests\":[{\"src\":\"alice@\",\"accept\":[\"100.64.0.3:22\"]}]}",
                                 &out),
                400);
        world_pass(&t.w, TIME_S(1));
        assert_int_equal(t.a.messages + t.b.messages + t.srv.messages, 0);
        assert_int_equal(admin(&t.w, "GET", "/api/v1/policy", "", &out), 200);
        assert_true(has(&out, "tag:srv:22"));
        buf_fini(&out);
        end(&t);
}

static void a_full_disk_takes_a_policy_back(void **state)
{
        struct tailnet_of_three t;
        struct client admin_client;

        (void)state;
        begin(&t, "{}");
        forget(&t);
        client_init(&admin_client, &t.w, 0);
        server_api(t.w.server, &t.w.now, SLICE_LIT("PUT"), SLICE_LIT("/api/v1/policy"), (struct slice){ 0 },
                SLICE_LIT("{\"policy\":\"{\\\"acls\\\":[]}\"}"), &admin_client.call);
        store_memory_fail(t.w.store, ERR_LIMIT);
        server_store_ready(t.w.server, &t.w.now);
        assert_int_equal(admin_client.status, 503);
        world_pass(&t.w, TIME_S(1));
        assert_true(server_policy_is(t.w.server, SLICE_LIT("{}")));
        assert_true(has(&t.a.stream, "\"ID\":2,")); /* a fresh map, as before */
        client_fini(&admin_client);
        end(&t);
}

static void it_survives_a_restart(void **state)
{
        struct tailnet_of_three t;

        (void)state;
        begin(&t, "{}");
        assert_int_equal(set_policy(&t.w, "{\"acls\":[]}", NULL), 200);
        world_crash(&t.w);
        assert_true(server_policy_is(t.w.server, SLICE_LIT("{\"acls\":[]}")));
        client_reset(&t.a);
        buf_clear(&t.a.stream);
        client_poll(&t.a);
        world_pass(&t.w, TIME_S(1));
        assert_false(has(&t.a.stream, "\"Peers\""));
        assert_true(has(&t.a.stream, "\"PacketFilters\":{\"base\":[]}"));
        end(&t);
}

static void routes_are_approved_by_it(void **state)
{
        struct tailnet_of_three t;
        struct buf out = BUF_INIT(1 << 16);

        (void)state;
        begin(&t, "{\"tagOwners\":{\"tag:srv\":[\"alice@\"]},"
                  "\"autoApprovers\":{\"routes\":{\"10.0.0.0/8\":[\"tag:srv\"]},\"exitNode\":[\"alice@\"]}}");
        forget(&t);
        t.srv.hostinfo = "{\"OS\":\"linux\",\"Hostname\":\"pc\",\"RoutableIPs\":[\"10.1.0.0/16\",\"192.168.0.0/24\"]}";
        client_hang_up(&t.srv);
        client_poll(&t.srv);
        world_pass(&t.w, TIME_S(1));
        assert_int_equal(admin(&t.w, "GET", "/api/v1/node/3", "", &out), 200);
        assert_true(has(&out, "\"approvedRoutes\":[\"10.1.0.0/16\"]"));
        assert_true(has(&t.a.stream, "\"10.1.0.0/16\""));
        assert_false(has(&t.a.stream, "\"PrimaryRoutes\":[\"192.168"));
        /* A new policy approves what waits; a withdrawn one takes nothing back. */
        assert_int_equal(set_policy(&t.w, "{\"tagOwners\":{\"tag:srv\":[\"alice@\"]},\"autoApprovers\":"
                                          "{\"routes\":{\"192.168.0.0/16\":[\"tag:srv\"]}}}",
                                 NULL),
                200);
        world_pass(&t.w, TIME_S(1));
        assert_int_equal(admin(&t.w, "GET", "/api/v1/node/3", "", &out), 200);
        assert_true(has(&out, "\"approvedRoutes\":[\"10.1.0.0/16\",\"192.168.0.0/24\"]"));
        buf_fini(&out);
        end(&t);
}

/* Logs in through the page as alice, asking for a tag. Answers the approval's status. */
static int login_asking_for(struct tailnet_of_three *t, uint8_t number, const char *hostinfo, struct buf *out)
{
        struct client c;
        char url[128], body[256];

        client_init(&c, &t->w, number);
        c.hostinfo = hostinfo;
        client_register(&c, "");
        member(&c.body, "AuthURL", url, sizeof(url));
        snprintf(body, sizeof(body), "{\"user\":\"alice\",\"authId\":\"%s\"}", strrchr(url, '/') + 1);
        int status = admin(&t->w, "POST", "/api/v1/auth/register", body, out);
        client_fini(&c);
        return status;
}

static void a_device_takes_only_tags_that_its_user_owns(void **state)
{
        struct tailnet_of_three t;
        struct buf out = BUF_INIT(1 << 16);

        (void)state;
        begin(&t, "{\"tagOwners\":{\"tag:srv\":[\"alice@\"],\"tag:db\":[\"bob@\"]}}");
        assert_int_equal(login_asking_for(&t, 7, "{\"Hostname\":\"x\",\"RequestTags\":[\"tag:db\"]}", &out), 400);
        assert_true(has(&out, "requested tags are invalid or not permitted: tag:db"));
        assert_int_equal(login_asking_for(&t, 8, "{\"Hostname\":\"x\",\"RequestTags\":[\"tag:srv\"]}", &out), 200);
        assert_true(has(&out, "\"tags\":[\"tag:srv\"]"));
        buf_fini(&out);
        end(&t);
}

/* Users and nodes that come later are meant, too. */
static void a_user_who_comes_later_is_meant(void **state)
{
        struct tailnet_of_three t;
        struct client late;
        struct buf out = BUF_INIT(1 << 16);
        char key[128];

        (void)state;
        begin(&t, "{\"tagOwners\":{\"tag:srv\":[\"alice@\"]},"
                  "\"acls\":[{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":[\"tag:srv:22\"]}]}");
        assert_false(has(&t.srv.stream, "\"Peers\""));
        forget(&t);
        assert_int_equal(admin(&t.w, "POST", "/api/v1/user", "{\"name\":\"bob\"}", NULL), 200);
        assert_int_equal(admin(&t.w, "POST", "/api/v1/preauthkey", "{\"user\":\"2\"}", &out), 200);
        member(&out, "key", key, sizeof(key));
        client_init(&late, &t.w, 4);
        client_register_with(&late, key);
        world_pass(&t.w, TIME_S(1));
        assert_true(has(&t.srv.stream, "\"PeersChanged\":[{\"ID\":4,"));
        assert_true(has(&t.srv.stream, "\"SrcIPs\":[\"100.64.0.4"));
        assert_false(has(&t.a.stream, "\"ID\":4,"));
        client_fini(&late);
        buf_fini(&out);
        end(&t);
}

static void a_node_without_ipv4_sees_and_shows_none(void **state)
{
        struct tailnet_of_three t;

        (void)state;
        begin(&t, "{\"tagOwners\":{\"tag:srv\":[]}}");
        assert_true(has(&t.a.stream, "100.64.0.3"));
        forget(&t);
        assert_int_equal(set_policy(&t.w,
                                 "{\"tagOwners\":{\"tag:srv\":[]},\"nodeAttrs\":"
                                 "[{\"target\":[\"tag:srv\"],\"attr\":[\"disable-ipv4\"]}]}",
                                 NULL),
                200);
        world_pass(&t.w, TIME_S(1));
        assert_true(has(&t.a.stream, "\"PeersChanged\":[{\"ID\":3,"));
        assert_false(has(&t.a.stream, "100.64.0.3/32"));
        assert_true(has(&t.srv.stream, "\"AllowedIPs\":[\"fd7a:115c:a1e0::1/128\"]"));
        assert_false(has(&t.srv.stream, "\"Addresses\":[\"100.64"));
        end(&t);
}

/* The tailnet's settings say who administers it. */
static void roles_come_from_the_settings(void **state)
{
        static const struct slice admins[] = { SLICE_LIT("alice") };
        struct tailnet_of_three t;
        char key[128];

        (void)state;
        world_init(&t.w);
        t.w.settings.policy_in_store = true;
        t.w.settings.roles[1] = (struct server_role){ admins, 1 };
        assert_int_equal(set_policy(&t.w, "{\"nodeAttrs\":[{\"target\":[\"autogroup:admin\"],\"attr\":[\"x-admin\"]}]}", NULL), 200);
        client_init(&t.a, &t.w, 1);
        make_key(&t.w, "", key, sizeof(key));
        client_register_with(&t.a, key);
        client_poll(&t.a);
        world_pass(&t.w, TIME_S(1));
        assert_true(has(&t.a.stream, "\"x-admin\":null"));
        client_fini(&t.a);
        world_fini(&t.w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_who_may_talk_is_seen),
                cmocka_unit_test(a_new_port_is_told_to_whom_it_opens_and_nobody_else),
                cmocka_unit_test(an_attribute_comes_and_goes),
                cmocka_unit_test(peers_come_into_sight_and_go_out_of_it),
                cmocka_unit_test(a_tag_moves_a_node),
                cmocka_unit_test(a_bad_policy_changes_nothing),
                cmocka_unit_test(a_full_disk_takes_a_policy_back),
                cmocka_unit_test(it_survives_a_restart),
                cmocka_unit_test(routes_are_approved_by_it),
                cmocka_unit_test(a_device_takes_only_tags_that_its_user_owns),
                cmocka_unit_test(a_user_who_comes_later_is_meant),
                cmocka_unit_test(a_node_without_ipv4_sees_and_shows_none),
                cmocka_unit_test(roles_come_from_the_settings),
        };
        log_set_level(LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
