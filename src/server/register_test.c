/* Who becomes a node, stays one, and is one no longer: keys, pages, tags, expiry; durably. */
#include "test_world.h"

static void a_single_use_key_registers_once(void **state)
{
        struct world w;
        struct client a, b;
        char key[128];

        (void)state;
        two_clients(&w, &a, &b);
        make_key(&w, "", key, sizeof(key));
        client_register_with(&a, key);
        assert_int_equal(a.status, 0); /* not before it is on disk */
        client_register_with(&b, key); /* in between: spent already */
        world_sync(&w);
        assert_int_equal(a.status, 200);
        assert_true(has(&a.body, "\"MachineAuthorized\":true"));
        assert_true(has(&b.body, "authkey already used"));
        assert_int_equal(w.server->tailnet.nodes.n, 1);

        /* The same node comes again with its spent key: a container that restarts. */
        client_register_with(&a, key);
        world_sync(&w);
        assert_true(has(&a.body, "\"Error\":\"\""));
        client_register_with(&b, "hskey-auth-0123456789ab-nonsense");
        assert_true(has(&b.body, "invalid pre auth key"));
        two_clients_end(&w, &a, &b);
}

static void a_crash_before_durability_spends_nothing(void **state)
{
        struct world w;
        struct client a, b;
        char key[128];

        (void)state;
        two_clients(&w, &a, &b);
        make_key(&w, "", key, sizeof(key));
        client_register_with(&a, key);
        world_crash(&w);
        assert_int_equal(w.server->tailnet.nodes.n, 0);
        client_register_with(&b, key);
        world_sync(&w);
        assert_true(has(&b.body, "\"MachineAuthorized\":true"));
        world_crash(&w);
        assert_int_equal(w.server->tailnet.nodes.n, 1);
        client_register_with(&a, key);
        assert_true(has(&a.body, "authkey already used"));
        two_clients_end(&w, &a, &b);
}

static void a_full_disk_refuses_and_takes_back(void **state)
{
        struct world w;
        struct client a, b;
        char key[128];

        (void)state;
        two_clients(&w, &a, &b);
        make_key(&w, ",\"reusable\":true", key, sizeof(key));
        client_register_with(&a, key);
        world_pass(&w, TIME_S(2));
        client_poll(&a);
        world_pass(&w, TIME_S(2));
        unsigned before = a.messages;
        buf_clear(&a.stream);

        client_register_with(&b, key);
        store_memory_fail(w.store, ERR_LIMIT);
        server_store_ready(w.server, &w.now);
        assert_true(has(&b.body, "cannot store"));
        assert_int_equal(w.server->tailnet.nodes.n, 1);
        world_pass(&w, TIME_S(1));
        assert_int_equal(a.messages, before + 1); /* one fresh map, without the node that never was */
        assert_true(has(&a.stream, "\"Node\":"));
        assert_false(has(&a.stream, "\"PeersChanged\""));

        client_register_with(&b, key); /* space was made */
        world_sync(&w);
        assert_true(has(&b.body, "\"MachineAuthorized\":true"));
        two_clients_end(&w, &a, &b);
}

static void another_machine_learns_nothing(void **state)
{
        struct world w;
        struct client a, b, thief;

        (void)state;
        two_nodes(&w, &a, &b);
        client_init(&thief, &w, 9);
        thief.node_key = a.node_key;
        client_poll(&thief);
        assert_int_equal(thief.status, 404);
        client_register(&thief, "");
        assert_true(has(&thief.body, "different machine key"));
        client_register(&thief, "\"Expiry\":\"1970-01-01T00:02:03Z\",");
        assert_true(has(&thief.body, "different machine key"));
        client_fini(&thief);
        two_clients_end(&w, &a, &b);
}

static void an_ephemeral_node_goes_when_it_stays_away(void **state)
{
        struct world w;
        struct client a;
        char key[128];

        (void)state;
        world_init(&w);
        client_init(&a, &w, 1);
        make_key(&w, ",\"ephemeral\":true", key, sizeof(key));
        client_register_with(&a, key);
        world_sync(&w);
        client_poll(&a);
        world_pass(&w, TIME_S(3600));
        assert_int_equal(w.server->tailnet.nodes.n, 1);
        client_hang_up(&a);
        world_pass(&w, TIME_S(60));
        assert_int_equal(w.server->tailnet.nodes.n, 1);
        world_pass(&w, TIME_S(100));
        assert_int_equal(w.server->tailnet.nodes.n, 0);
        client_fini(&a);
        world_fini(&w);
}

static void a_login_page_is_approved(void **state)
{
        struct world w;
        struct client a, wait;
        char url[128], extra[256], body[256];

        (void)state;
        world_init(&w);
        client_init(&a, &w, 1);
        client_init(&wait, &w, 1);
        assert_int_equal(admin(&w, "POST", "/api/v1/user", "{\"name\":\"alice\"}", NULL), 200);
        client_register(&a, "");
        member(&a.body, "AuthURL", url, sizeof(url));
        assert_int_equal(strncmp(url, "http://control.test:8080/register/hskey-authreq-", 48), 0);
        snprintf(extra, sizeof(extra), "\"Followup\":\"%s\",", url);
        client_register(&wait, extra);
        assert_int_equal(wait.status, 0);
        snprintf(body, sizeof(body), "{\"user\":\"alice\",\"authId\":\"%s\"}", strrchr(url, '/') + 1);
        assert_int_equal(admin(&w, "POST", "/api/v1/auth/register", body, NULL), 200);
        assert_true(has(&wait.body, "\"MachineAuthorized\":true"));
        assert_int_equal(admin(&w, "POST", "/api/v1/auth/register", body, NULL), 404);

        /* A page that nobody visits is replaced by another. */
        struct client b;
        client_init(&b, &w, 2);
        client_register(&b, "");
        member(&b.body, "AuthURL", url, sizeof(url));
        snprintf(extra, sizeof(extra), "\"Followup\":\"%s\",", url);
        client_register(&b, extra);
        world_pass(&w, TIME_S(16 * 60));
        assert_int_equal(b.status, 200);
        assert_false(has(&b.body, url));
        assert_true(has(&b.body, "/register/hskey-authreq-"));
        client_fini(&a);
        client_fini(&b);
        client_fini(&wait);
        world_fini(&w);
}

static void a_new_node_key_keeps_the_node(void **state)
{
        struct world w;
        struct client a, b;
        char key[128];

        (void)state;
        two_nodes(&w, &a, &b);
        make_key(&w, "", key, sizeof(key));
        client_hang_up(&b);
        b.node_key.b[5] = 77;
        client_register_with(&b, key);
        world_pass(&w, TIME_S(1));
        assert_true(has(&b.body, "\"Error\":\"\""));
        assert_int_equal(w.server->tailnet.nodes.n, 2);
        assert_true(has(&a.stream, "\"PeersChangedPatch\":[{\"NodeID\":2,"));
        assert_true(has(&a.stream, "\"Key\":\"nodekey:0201000000"));
        two_clients_end(&w, &a, &b);
}

static void tags_make_a_node_nobodys(void **state)
{
        struct world w;
        struct client a, b;

        (void)state;
        two_nodes(&w, &a, &b);
        struct buf out = BUF_INIT(1 << 20);
        assert_int_equal(
                admin(&w, "POST", "/api/v1/node/2/tags", "{\"tags\":[\"tag:b\",\"tag:a\",\"tag:b\"]}", &out),
                200);
        assert_true(has(&out, "\"tags\":[\"tag:a\",\"tag:b\"]"));
        assert_true(has(&out, "\"user\":null"));
        assert_int_equal(admin(&w, "POST", "/api/v1/node/2/tags", "{\"tags\":[\"Server\"]}", NULL), 400);
        world_pass(&w, TIME_S(1));
        assert_true(has(&a.stream, "\"Tags\":[\"tag:a\",\"tag:b\"]"));
        assert_true(has(&a.stream, "2147455555"));
        assert_true(has(&a.stream, "tagged-devices"));
        buf_fini(&out);
        two_clients_end(&w, &a, &b);
}

static void key_expiry_is_told_and_undone(void **state)
{
        struct world w;
        struct client a, b;

        (void)state;
        two_nodes(&w, &a, &b);
        assert_int_equal(
                admin(&w, "POST", "/api/v1/node/2/expire", "{\"expiry\":\"2026-01-01T00:10:00Z\"}", NULL),
                200);
        world_pass(&w, TIME_S(60));
        assert_true(has(&a.stream, "\"KeyExpiry\":\"2026-01-01T00:10:00Z\""));
        assert_false(has(&a.stream, "\"Expired\":true"));
        world_pass(&w, TIME_S(700));
        assert_true(has(&a.stream, "\"Expired\":true"));
        client_register(&b, "");
        assert_true(has(&b.body, "\"NodeKeyExpired\":true"));
        two_clients_end(&w, &a, &b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_single_use_key_registers_once),
                cmocka_unit_test(a_crash_before_durability_spends_nothing),
                cmocka_unit_test(a_full_disk_refuses_and_takes_back),
                cmocka_unit_test(another_machine_learns_nothing),
                cmocka_unit_test(an_ephemeral_node_goes_when_it_stays_away),
                cmocka_unit_test(a_login_page_is_approved),
                cmocka_unit_test(a_new_node_key_keeps_the_node),
                cmocka_unit_test(tags_make_a_node_nobodys),
                cmocka_unit_test(key_expiry_is_told_and_undone),
        };
        log_set_level(LOG_ERROR);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
