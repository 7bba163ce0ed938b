/* The client against a real server of its protocol over loopback: /key, Noise, HTTP/2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/control_io.h"

#include <stdio.h>

#include "net/http.h"
#include "net/noise.h"
#include "proto/map_frame.h"

static struct net_loop *loop;
static struct http_server *outer, *inner;
static struct net_listener *listener;
static struct secret_key server_key, machine_key;
static struct public_key seen_machine;
static char server_url[64];
static struct http_exchange *poll;
static unsigned registers, updates, polls, wrong_key_once;

static struct netmap *netmap;
static struct control_io *io;
static enum control_login_state login;
static unsigned netmaps, problems;
static bool speaks_no_http; /* the server, inside Noise */
static unsigned connections;

static void inner_request(void *ctx, struct http_exchange *x)
{
        struct buf frame = BUF_INIT(1000);
        struct slice body = http_body(x);
        static const char first[] = "{\"Node\":{\"ID\":1,\"Name\":\"a.b.\",\"Addresses\":[\"100.64.0.1/32\"]}}";

        (void)ctx;
        if (slice_is(http_request(x)->path, "/machine/register")) {
                registers++;
                http_respond(x, 200, "application/json", SLICE_LIT("{\"MachineAuthorized\":true}"));
                return;
        }
        if (!memmem(body.ptr, body.len, "\"Stream\":true", 13)) {
                updates++;
                http_respond(x, 200, NULL, SLICE_LIT(""));
                return;
        }
        polls++;
        poll = x;
        http_start(x, 200, NULL);
        assert_int_equal(map_frame_write(SLICE_LIT(first), &frame), OK);
        assert_int_equal(http_write(x, buf_slice(&frame)), OK);
        buf_fini(&frame);
}

static void accept_noise(struct http_exchange *x)
{
        struct net_noise_peer peer;
        struct net_stream *s;
        static const char early[] = "{\"nodeKeyChallenge\":\"chalpub:0000000000000000000000000000000000000000000000000000000000000000\"}";

        if (net_noise_accept(x, &server_key, SLICE_LIT(early), NULL, NULL, &peer, &s))
                return;
        seen_machine = peer.machine_key;
        assert_int_equal(peer.version, 119);
        connections++;
        if (speaks_no_http) {
                assert_int_equal(net_stream_write(s, SLICE_LIT("this does not begin an HTTP/2 connection")), OK);
                net_stream_close_soon(s);
                return;
        }
        http_serve_h2(inner, s, NULL);
}

static void outer_request(void *ctx, struct http_exchange *x)
{
        struct public_key pub;
        char text[KEY_TEXT_MAX], json[300];

        (void)ctx;
        if (slice_is(http_request(x)->path, "/ts2021")) {
                accept_noise(x);
                return;
        }
        assert_true(slice_is(http_request(x)->target, "/key?v=119"));
        key_public(wrong_key_once ? &machine_key : &server_key, &pub);
        wrong_key_once = 0;
        key_format("mkey:", &pub, text);
        snprintf(json, sizeof(json), "{\"publicKey\":\"%s\"}", text);
        http_respond(x, 200, "application/json", slice_str(json));
}

static void on_login(void *ctx, enum control_login_state state)
{
        (void)ctx;
        login = state;
}

static void on_netmap(void *ctx, const struct netmap_changes *changes)
{
        (void)ctx;
        (void)changes;
        netmaps++;
}

static void on_problem(void *ctx, const char *text)
{
        (void)ctx;
        problems += *text != 0;
}

static const struct control_calls calls = { .login_changed = on_login, .netmap_changed = on_netmap, .problem = on_problem };

static int set_up(void **state)
{
        static const struct http_server_calls outer_calls = { .on_request = outer_request };
        static const struct http_server_calls inner_calls = { .on_request = inner_request };
        const struct ip_port any = { ip_v4(127, 0, 0, 1), 0 };
        struct control_config config = { .calls = &calls };
        struct control_io_options options = { .server_url = server_url, .machine_key = &machine_key, .client = &config };
        struct diag d;

        (void)state;
        registers = updates = polls = netmaps = wrong_key_once = problems = connections = 0;
        speaks_no_http = false;
        poll = NULL;
        login = CONTROL_LOGGED_OUT;
        assert_int_equal(net_loop_new(&loop), OK);
        key_generate(net_rng(), &server_key);
        key_generate(net_rng(), &machine_key);
        assert_int_equal(http_server_new(loop, NULL, &outer_calls, NULL, &outer), OK);
        assert_int_equal(http_server_new(loop, NULL, &inner_calls, NULL, &inner), OK);
        assert_int_equal(http_server_listen(outer, &any, NULL, &listener, &d), OK);
        snprintf(server_url, sizeof(server_url), "http://127.0.0.1:%u/", net_listener_addr(listener).port);
        netmap = netmap_new();
        config.netmap = netmap;
        assert_int_equal(control_io_new(loop, &options, &io, &d), OK);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        control_io_free(io);
        http_server_free(inner);
        http_server_free(outer);
        net_listener_close(listener);
        netmap_free(netmap);
        net_loop_free(loop);
        return 0;
}

/* Turns the loop until *counter has come to want; fails after ten seconds. */
static void wait_for(const unsigned *counter, unsigned want)
{
        uint64_t end = net_clock().mono_us + TIME_S(10);

        while (*counter < want && net_clock().mono_us < end)
                net_loop_run_once(loop, 50);
        assert_true(*counter >= want);
}

static void begin_login(void)
{
        struct now now = net_loop_now(loop);

        control_client_login(control_io_client(io), &now, 0, "k");
        control_io_poke(io);
}

static void logs_in_and_gets_its_map(void **state)
{
        struct public_key pub;
        struct now now;

        (void)state;
        begin_login();
        wait_for(&netmaps, 1);
        wait_for(&updates, 1);
        assert_int_equal(login, CONTROL_LOGGED_IN);
        assert_int_equal(registers, 1);
        assert_int_equal(netmap_self(netmap)->id, 1);
        key_public(&machine_key, &pub);
        assert_true(key_equal(&pub, &seen_machine));
        /* news go beside the long poll, on the same connection */
        now = net_loop_now(loop);
        control_client_set_disco_key(control_io_client(io), &now, &pub);
        control_io_poke(io);
        wait_for(&updates, 2);
        assert_int_equal(polls, 1);
}

static void a_cut_poll_is_begun_again(void **state)
{
        (void)state;
        begin_login();
        wait_for(&netmaps, 1);
        http_cut(poll);
        wait_for(&polls, 2);
        control_io_network_changed(io);
        wait_for(&polls, 3);
        assert_int_equal(registers, 1);
}

static void a_wrong_server_key_is_asked_for_again(void **state)
{
        (void)state;
        wrong_key_once = 1;
        begin_login();
        wait_for(&registers, 1);
        assert_int_equal(wrong_key_once, 0);
}

/* One attempt, one problem, one pause: a server or a proxy that ends every connection
 * at once is not dialled in a storm. */
static void a_server_that_hangs_up_is_a_problem(void **state)
{
        (void)state;
        speaks_no_http = true;
        begin_login();
        wait_for(&problems, 3);
        assert_in_range(connections, 3, 12);
        speaks_no_http = false;
        wait_for(&netmaps, 1);
}

static void bad_urls_are_explained(void **state)
{
        struct control_config config = { .calls = &calls, .netmap = netmap };
        struct control_io_options options = { .server_url = "ftp://x", .machine_key = &machine_key, .client = &config };
        struct control_io *none;
        struct diag d;

        (void)state;
        assert_int_not_equal(control_io_new(loop, &options, &none, &d), OK);
        assert_null(none);
        assert_non_null(strstr(d.text, "ftp://x"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(logs_in_and_gets_its_map, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_cut_poll_is_begun_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_wrong_server_key_is_asked_for_again, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_server_that_hangs_up_is_a_problem, set_up, tear_down),
                cmocka_unit_test_setup_teardown(bad_urls_are_explained, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
