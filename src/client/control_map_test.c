/* What follows a login: the map session, our own updates, and what control asks of us. */
#include "test_server.h"

static void the_poll_builds_the_netmap(void **state)
{
        (void)state;
        log_in();
        assert_true(says(open_poll(), "\"Compress\":\"zstd\",\"KeepAlive\":true"));
        begin_poll();
        assert_int_equal(polls_up, 0);
        tell("{\"KeepAlive\":true}");
        assert_int_equal(polls_up, 1);
        tell("{" SELF ",\"Peers\":[{\"ID\":2}]}");
        assert_int_equal(netmaps, 1);
        assert_true(last_changes.is_first);
        tell("{\"KeepAlive\":true}");
        tell("{\"Domain\":\"\"}"); /* no news: not reported */
        assert_int_equal(netmaps, 1);
        tell("{\"PeersRemoved\":[2]}");
        assert_int_equal(netmaps, 2);
        assert_int_equal(netmap_peer_count(netmap), 0);
        assert_true(control_client_in_poll(c));
}

static void the_watchdog_replaces_a_silent_poll(void **state)
{
        uint64_t old;

        (void)state;
        log_in();
        answer("/machine/map", ""); /* the update */
        begin_poll();
        tell("{" SELF ",\"Peers\":[{\"ID\":2}],\"Domain\":\"d\"}");
        now.mono_us += TIME_S(119);
        control_client_run(c, &now);
        tell("{\"KeepAlive\":true}");
        old = open_poll()->id;
        assert_int_equal(wait_for_deadline(), TIME_S(120));
        assert_null(open_poll());
        assert_int_equal(polls_down, 1);
        assert_in_range(wait_for_deadline(), TIME_MS(5), TIME_MS(15));
        assert_int_not_equal(open_poll()->id, old);
        /* a session of its own: Node is needed again, what is not repeated is gone */
        begin_poll();
        tell("{" SELF ",\"Peers\":[{\"ID\":2}]}");
        assert_int_equal(last_changes.parts, NETMAP_MISC);
        assert_int_equal(netmap_peer_count(netmap), 1);
}

static void senseless_messages_end_the_poll(void **state)
{
        struct sent *poll;

        (void)state;
        log_in();
        answer("/machine/map", "");
        for (int i = 0; i < 3; i++) {
                begin_poll();
                poll = open_poll();
                if (i == 0)
                        tell("{\"Peers\":[{\"ID\":2}]}"); /* no Node */
                else if (i == 1)
                        tell("{" SELF ",\"Peers\":[{\"Key\":\"\"}]}");
                else
                        control_client_body(c, &now, poll->id, SLICE_LIT("\xff\xff\xff\xff"));
                assert_true(poll->cancelled);
                wait_for_deadline();
        }
        assert_non_null(open_poll());
        assert_int_equal(netmaps, 0);
        assert_string_not_equal(problem, "");
}

static void an_unknown_node_is_no_reason_to_log_in_again(void **state)
{
        struct sent *poll;
        uint64_t id;

        (void)state;
        log_in();
        answer("/machine/map", "");
        poll = open_poll();
        id = poll->id;
        poll->id = 0;
        control_client_response(c, &now, id, 404, slice_str(NULL));
        control_client_body(c, &now, id, SLICE_LIT("node not found"));
        control_client_end(c, &now, id, OK, NULL);
        assert_string_equal(problem, "the control server refuses (status 404): node not found");
        wait_for_deadline();
        assert_non_null(open_poll());
        assert_int_equal(count("/machine/register"), 1);
}

static void updates_coalesce(void **state)
{
        struct ip_port a = { ip_v4(1, 2, 3, 4), 5 }, b = { ip_v4(6, 7, 8, 9), 10 };
        int64_t type = TAILCFG_ENDPOINT_STUN;
        struct sent *update;
        uint64_t id;

        (void)state;
        log_in();
        update = open_update();
        control_client_set_disco_key(c, &now, &(struct public_key){ { 1 } });
        control_client_set_endpoints(c, &now, &a, &type, 1);
        control_client_set_endpoints(c, &now, &b, &type, 1);
        control_client_set_endpoints(c, &now, &b, &type, 1);
        assert_ptr_equal(open_update(), update); /* one at a time */
        id = update->id;
        update->id = 0;
        control_client_response(c, &now, id, 200, slice_str(NULL));
        control_client_end(c, &now, id, OK, NULL);
        update = open_update();
        assert_true(says(update, "\"Endpoints\":[\"6.7.8.9:10\"],\"EndpointTypes\":[2]"));
        assert_true(says(update, "\"DiscoKey\":\"discokey:01"));
        id = update->id;
        update->id = 0;
        control_client_response(c, &now, id, 503, slice_str(NULL));
        control_client_end(c, &now, id, OK, NULL);
        assert_null(open_update());
        wait_for_deadline();
        update = open_update();
        assert_non_null(update); /* tried again */
        id = update->id;
        update->id = 0;
        control_client_response(c, &now, id, 200, slice_str(NULL));
        control_client_end(c, &now, id, OK, NULL);
        assert_null(open_update());
}

static void netinfo_is_kept_when_hostinfo_changes(void **state)
{
        (void)state;
        control_client_set_netinfo(c, &now, &(struct tailcfg_netinfo){ .preferred_derp = 900 });
        control_client_set_hostinfo(c, &now, &(struct tailcfg_hostinfo){ .hostname = SLICE_LIT("h") });
        log_in();
        assert_true(says(open_poll(), "\"Hostinfo\":{\"Hostname\":\"h\",\"NetInfo\":{\"PreferredDERP\":900}}"));
}

static void a_paused_client_is_silent(void **state)
{
        (void)state;
        log_in();
        begin_poll();
        tell("{" SELF "}");
        control_client_pause(c, &now, true);
        assert_null(open_poll());
        assert_null(open_update());
        assert_true(control_client_next(c) == TIME_NEVER);
        control_client_set_disco_key(c, &now, &(struct public_key){ { 9 } });
        assert_null(open_update());
        control_client_pause(c, &now, false);
        assert_non_null(open_poll());
        assert_non_null(open_update());
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
        /* a login interrupted by a pause goes on afterwards */
        control_client_login(c, &now, 0, NULL);
        control_client_pause(c, &now, true);
        control_client_pause(c, &now, false);
        answer("/machine/register", ANSWER(""));
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
}

static void browsers_are_opened_once(void **state)
{
        (void)state;
        log_in();
        begin_poll();
        tell("{\"KeepAlive\":true,\"PopBrowserURL\":\"https://a\"}");
        assert_string_equal(popped, "https://a");
        popped[0] = '\0';
        tell("{\"KeepAlive\":true,\"PopBrowserURL\":\"https://a\"}");
        assert_string_equal(popped, "");
}

static void pings_are_answered(void **state)
{
        struct tailcfg_ping_response pong = { .type = SLICE_LIT("disco"), .latency_seconds = 0.5 };

        (void)state;
        log_in();
        begin_poll();
        tell("{\"KeepAlive\":true,\"PingRequest\":{\"URL\":\"https://x/head\"}}");
        assert_string_equal(open_request("https://x/head")->method, "HEAD");
        assert_int_equal(open_request("https://x/head")->transport, CONTROL_PLAIN);
        tell("{\"KeepAlive\":true,\"PingRequest\":{\"URL\":\"https://x/head\"}}");
        assert_int_equal(count("https://x/head"), 1);

        tell("{\"KeepAlive\":true,\"PingRequest\":{\"URL\":\"https://x/p\",\"URLIsNoise\":true,\"Types\":\"disco\",\"IP\":\"100.64.0.2\"}}");
        assert_false(is_open("https://x/p"));
        control_client_ping_reply(c, &now, asked_ping, &pong);
        assert_string_equal(open_request("https://x/p")->body, "{\"Type\":\"disco\",\"LatencySeconds\":0.5}");
        assert_int_equal(open_request("https://x/p")->transport, CONTROL_NOISE);
        answer("https://x/p", "");
        control_client_ping_reply(c, &now, asked_ping, &pong); /* twice: ignored */
        assert_int_equal(count("https://x/p"), 1);

        tell("{\"KeepAlive\":true,\"PingRequest\":{\"URL\":\"https://x/q\",\"Types\":\"TSMP\",\"IP\":\"100.64.0.2\"}}");
        now.mono_us += TIME_S(11);
        control_client_run(c, &now);
        control_client_ping_reply(c, &now, asked_ping, &pong); /* too late: ignored */
        assert_int_equal(count("https://x/q"), 0);
}

static void control_can_talk_to_the_node(void **state)
{
        (void)state;
        log_in();
        begin_poll();
        /* POST /echo with the body "abc" */
        tell("{\"KeepAlive\":true,\"PingRequest\":{\"URL\":\"https://x/1\",\"Types\":\"c2n\","
             "\"Payload\":\"UE9TVCAvZWNobyBIVFRQLzEuMQ0KQ29udGVudC1MZW5ndGg6IDMNCg0KYWJj\"}}");
        assert_string_equal(open_request("https://x/1")->body,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n\r\nabc");
        assert_int_equal(open_request("https://x/1")->transport, CONTROL_NOISE);
        /* GET /nowhere */
        tell("{\"KeepAlive\":true,\"PingRequest\":{\"URL\":\"https://x/2\",\"Types\":\"c2n\","
             "\"Payload\":\"R0VUIC9ub3doZXJlIEhUVFAvMS4xDQoNCg==\"}}");
        assert_non_null(strstr(open_request("https://x/2")->body, "400 Bad Request"));
        assert_non_null(strstr(open_request("https://x/2")->body, "unknown c2n path"));
}

static void strangers_are_ignored(void **state)
{
        (void)state;
        log_in();
        control_client_response(c, &now, 0, 200, slice_str(NULL));
        control_client_body(c, &now, 4711, SLICE_LIT("x"));
        control_client_end(c, &now, 4711, OK, NULL);
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(the_poll_builds_the_netmap),
                TEST(the_watchdog_replaces_a_silent_poll),
                TEST(senseless_messages_end_the_poll),
                TEST(an_unknown_node_is_no_reason_to_log_in_again),
                TEST(updates_coalesce),
                TEST(netinfo_is_kept_when_hostinfo_changes),
                TEST(a_paused_client_is_silent),
                TEST(browsers_are_opened_once),
                TEST(pings_are_answered),
                TEST(control_can_talk_to_the_node),
                TEST(strangers_are_ignored),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
