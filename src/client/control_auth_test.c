/* Logging in and out, keys that end, and servers that refuse, are busy, or lie. */
#include "test_server.h"

static void nothing_happens_without_a_goal(void **state)
{
        (void)state;
        assert_int_equal(sent_count, 0);
        assert_true(control_client_next(c) == TIME_NEVER);
        control_client_set_disco_key(c, &now, &(struct public_key){ { 1 } });
        assert_int_equal(sent_count, 0);
}

static void an_auth_key_logs_in(void **state)
{
        struct control_keys pending;

        (void)state;
        control_client_login(c, &now, 0, "tskey-1--TLsuffix");
        assert_int_equal(login_state, CONTROL_LOGGING_IN);
        assert_int_equal(open_request("/key?v=119")->transport, CONTROL_PLAIN);
        answer("/key?v=119", SERVER_KEY);
        assert_int_equal(stores, 1); /* the new key is stored before control hears of it */
        assert_false(secret_is_zero(&stored.pending));
        pending = stored;
        assert_non_null(strstr(open_request("/machine/register")->body, "\"AuthKey\":\"tskey-1\""));
        assert_non_null(strstr(open_request("/machine/register")->body, "\"Version\":119"));
        answer("/machine/register", ANSWER(""));
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
        assert_string_equal(user, "alice");
        assert_memory_equal(&stored.node, &pending.pending, sizeof(stored.node));
        assert_true(secret_is_zero(&stored.pending));
        assert_non_null(open_poll());
        assert_non_null(open_update());
}

static void a_crash_before_the_answer_reuses_the_key(void **state)
{
        struct control_keys kept;
        char first[2000];

        (void)state;
        control_client_login(c, &now, 0, "single-use");
        answer("/key?v=119", SERVER_KEY);
        snprintf(first, sizeof(first), "%s", open_request("/machine/register")->body);
        kept = stored;
        control_client_free(c);
        c = create(&kept);
        control_client_login(c, &now, 0, "single-use");
        answer("/key?v=119", SERVER_KEY);
        assert_string_equal(open_request("/machine/register")->body, first);
}

static void a_restart_registers_the_known_key_without_auth(void **state)
{
        struct control_keys keys;

        (void)state;
        log_in();
        keys = stored;
        control_client_free(c);
        c = create(&keys);
        stores = 0;
        control_client_login(c, &now, 0, NULL);
        answer("/key?v=119", SERVER_KEY);
        assert_null(strstr(open_request("/machine/register")->body, "AuthKey"));
        answer("/machine/register", ANSWER(""));
        assert_int_equal(stores, 0);
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
}

static void a_visit_logs_in(void **state)
{
        char key[2000];

        (void)state;
        control_client_login(c, &now, CONTROL_LOGIN_INTERACTIVE, NULL);
        answer("/key?v=119", SERVER_KEY);
        snprintf(key, sizeof(key), "%.130s", open_request("/machine/register")->body);
        answer("/machine/register", ANSWER(",\"AuthURL\":\"https://control.example/register/x\""));
        assert_int_equal(login_state, CONTROL_WAITS_FOR_URL);
        assert_string_equal(auth_url, "https://control.example/register/x");
        assert_true(slice_is(control_client_auth_url(c), auth_url));
        /* at once the followup, with the same key, held as long as the server likes */
        assert_non_null(strstr(open_request("/machine/register")->body, "\"Followup\":\"https://control.example/register/x\""));
        assert_int_equal(strncmp(key, open_request("/machine/register")->body, 130), 0);
        assert_true(control_client_next(c) == TIME_NEVER);
        /* the same URL again: wait a little; another one: at once */
        answer("/machine/register", ANSWER(",\"AuthURL\":\"https://control.example/register/x\""));
        assert_false(is_open("/machine/register"));
        wait_for_deadline();
        answer("/machine/register", ANSWER(",\"AuthURL\":\"https://control.example/register/y\""));
        assert_string_equal(auth_url, "https://control.example/register/y");
        answer("/machine/register", ANSWER(""));
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
        assert_int_equal(control_client_auth_url(c).len, 0);
}

static void only_https_is_visited(void **state)
{
        (void)state;
        control_client_login(c, &now, 0, NULL);
        answer("/key?v=119", SERVER_KEY);
        answer("/machine/register", ANSWER(",\"AuthURL\":\"http://control.example/x\""));
        assert_string_equal(auth_url, "");
        assert_string_not_equal(problem, "");
}

static void an_expired_key_is_rotated(void **state)
{
        struct control_keys before;

        (void)state;
        log_in();
        before = stored;
        control_client_login(c, &now, 0, NULL);
        answer("/machine/register", ANSWER(",\"NodeKeyExpired\":true"));
        assert_false(secret_is_zero(&stored.pending));
        assert_memory_equal(&stored.node, &before.node, sizeof(before.node));
        answer("/machine/register", ANSWER(""));
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
        assert_memory_equal(&stored.old_node, &before.node, sizeof(before.node));
        assert_memory_not_equal(&stored.node, &before.node, sizeof(before.node));
}

static void a_new_key_called_expired_is_given_up(void **state)
{
        struct secret_key first;

        (void)state;
        control_client_login(c, &now, 0, NULL);
        answer("/key?v=119", SERVER_KEY);
        first = stored.pending;
        answer("/machine/register", ANSWER(",\"NodeKeyExpired\":true"));
        assert_false(is_open("/machine/register"));
        assert_string_not_equal(problem, "");
        wait_for_deadline();
        assert_memory_not_equal(&first, &stored.pending, sizeof(first));
        answer("/machine/register", ANSWER(""));
        assert_string_equal(problem, "");
}

static void errors_back_off_and_grow(void **state)
{
        uint64_t waited = 0;

        (void)state;
        control_client_login(c, &now, 0, "k");
        answer("/key?v=119", SERVER_KEY);
        for (unsigned n = 1; n <= 60; n++) {
                uint64_t base = n * n * 10 < 30000 ? n * n * 10 : 30000;

                answer("/machine/register", ANSWER(",\"Error\":\"invalid pre auth key\""));
                assert_string_equal(problem, "invalid pre auth key");
                waited = wait_for_deadline();
                assert_in_range(waited, TIME_MS(base / 2), TIME_MS(base + base / 2));
        }
        answer_with("/machine/register", 500, NULL, "oops\n");
        assert_string_equal(problem, "the control server refuses (status 500): oops");
        wait_for_deadline();
        fail_request("/machine/register", ERR_CLOSED);
        assert_string_equal(problem, "no way");
        wait_for_deadline();
        answer("/machine/register", "not json");
        wait_for_deadline();
        answer("/machine/register", ANSWER(""));
        assert_string_equal(problem, "");
}

static void a_busy_server_sets_the_pace(void **state)
{
        (void)state;
        control_client_login(c, &now, 0, "k");
        answer("/key?v=119", SERVER_KEY);
        answer_with("/machine/register", 429, "17", "");
        assert_int_equal(wait_for_deadline(), TIME_S(17));
        answer_with("/machine/register", 429, "soon", "");
        assert_in_range(wait_for_deadline(), TIME_S(5), TIME_S(10));
        answer_with("/machine/register", 429, "99999", "");
        assert_in_range(wait_for_deadline(), TIME_S(5), TIME_S(10));
        assert_true(is_open("/machine/register"));
}

static void bad_server_keys_are_refused(void **state)
{
        (void)state;
        control_client_login(c, &now, 0, "k");
        answer_with("/key?v=119", 404, NULL, "nothing here");
        wait_for_deadline();
        answer("/key?v=119", "<html>");
        wait_for_deadline();
        answer("/key?v=119", "{\"publicKey\":\"mkey:" HEX64("0000") "\"}");
        assert_false(is_open("/machine/register"));
        wait_for_deadline();
        answer("/key?v=119", SERVER_KEY);
        /* a handshake that does not fit asks for the key again */
        fail_request("/machine/register", ERR_AUTH);
        wait_for_deadline();
        assert_true(is_open("/key?v=119"));
}

static void a_silent_server_times_out(void **state)
{
        (void)state;
        control_client_login(c, &now, 0, "k");
        assert_int_equal(wait_for_deadline(), TIME_S(30));
        assert_false(is_open("/key?v=119"));
        wait_for_deadline();
        answer("/key?v=119", SERVER_KEY);
        assert_int_equal(wait_for_deadline(), TIME_S(60));
        assert_false(is_open("/machine/register"));
}

static void logout_expires_the_key_and_forgets_it(void **state)
{
        (void)state;
        log_in();
        begin_poll();
        tell("{" SELF "}");
        control_client_logout(c, &now);
        assert_non_null(strstr(open_request("/machine/register")->body, "\"Expiry\":\"1970-01-01T00:02:03Z\""));
        answer("/machine/register", ANSWER(",\"NodeKeyExpired\":true"));
        assert_int_equal(login_state, CONTROL_LOGGED_OUT);
        assert_true(secret_is_zero(&stored.node));
        assert_null(open_poll());
        assert_null(open_update());
        assert_true(control_client_next(c) == TIME_NEVER);
}

static void a_nearer_expiry_leaves_the_login_alone(void **state)
{
        (void)state;
        log_in();
        control_client_expire_at(c, &now, INT64_C(1800000000000000000));
        assert_non_null(strstr(open_request("/machine/register")->body, "\"Expiry\":\"2027-01-15T08:00:00Z\""));
        answer("/machine/register", ANSWER(",\"NodeKeyExpired\":true"));
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
        assert_false(is_open("/key?v=119"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(nothing_happens_without_a_goal),
                TEST(an_auth_key_logs_in),
                TEST(a_crash_before_the_answer_reuses_the_key),
                TEST(a_restart_registers_the_known_key_without_auth),
                TEST(a_visit_logs_in),
                TEST(only_https_is_visited),
                TEST(an_expired_key_is_rotated),
                TEST(a_new_key_called_expired_is_given_up),
                TEST(errors_back_off_and_grow),
                TEST(a_busy_server_sets_the_pace),
                TEST(bad_server_keys_are_refused),
                TEST(a_silent_server_times_out),
                TEST(logout_expires_the_key_and_forgets_it),
                TEST(a_nearer_expiry_leaves_the_login_alone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
