/* The three loops on virtual time, against a server that is a few lines of this file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/control.h"

#include <stdio.h>

#include "proto/map_frame.h"

#define HEX64(d) d d d d d d d d d d d d d d d d /* d: four digits */
#define SERVER_KEY "{\"legacyPublicKey\":\"mkey:" HEX64("0000") "\",\"publicKey\":\"mkey:" HEX64("5e01") "\"}"
#define SELF "\"Node\":{\"ID\":1,\"Name\":\"a.b.\",\"Key\":\"nodekey:" HEX64("0001") "\",\"Addresses\":[\"100.64.0.1/32\"]}"
#define ANSWER(members) "{\"User\":{},\"Login\":{\"LoginName\":\"alice\"},\"MachineAuthorized\":true" members "}"

struct sent {
        uint64_t id;
        enum control_transport transport;
        char method[8], url[100], body[2000];
        bool cancelled;
};

static struct sent sent[200]; /* every request, in order */
static size_t sent_count;
static struct control_client *c;
static struct netmap *netmap;
static struct rng_seeded rng;
static struct now now;

static enum control_login_state login_state;
static char auth_url[100], problem[300], user[50], popped[50];
static struct control_keys stored;
static unsigned stores, netmaps, polls_up, polls_down;
static struct netmap_changes last_changes;
static uint64_t asked_ping;

static void wire_request(void *ctx, const struct control_request *rq)
{
        struct sent *s = &sent[sent_count++ % 200];

        (void)ctx;
        s->id = rq->id;
        s->transport = rq->transport;
        s->cancelled = false;
        snprintf(s->method, sizeof(s->method), "%s", rq->method);
        snprintf(s->url, sizeof(s->url), "%.*s", SLICE_ARGS(rq->url));
        snprintf(s->body, sizeof(s->body), "%.*s", SLICE_ARGS(rq->body));
}

static void wire_cancel(void *ctx, uint64_t id)
{
        (void)ctx;
        for (size_t i = 0; i < sent_count; i++) {
                if (sent[i].id == id)
                        sent[i].cancelled = true;
        }
}

static const struct control_wire wire = { wire_request, wire_cancel };

static void on_login(void *ctx, enum control_login_state state)
{
        (void)ctx;
        login_state = state;
}

static void on_auth_url(void *ctx, struct slice url)
{
        (void)ctx;
        snprintf(auth_url, sizeof(auth_url), "%.*s", SLICE_ARGS(url));
}

static void on_keys(void *ctx, const struct control_keys *keys)
{
        (void)ctx;
        stored = *keys;
        stores++;
}

static void on_registered(void *ctx, const struct tailcfg_register_response *r)
{
        (void)ctx;
        snprintf(user, sizeof(user), "%.*s", SLICE_ARGS(r->login.login_name));
}

static void on_problem(void *ctx, const char *text)
{
        (void)ctx;
        snprintf(problem, sizeof(problem), "%s", text);
}

static void on_netmap(void *ctx, const struct netmap_changes *changes)
{
        (void)ctx;
        last_changes = *changes;
        netmaps++;
}

static void on_poll(void *ctx, bool is_up)
{
        (void)ctx;
        polls_up += is_up;
        polls_down += !is_up;
}

static void on_pop(void *ctx, struct slice url)
{
        (void)ctx;
        snprintf(popped, sizeof(popped), "%.*s", SLICE_ARGS(url));
}

static void on_ping(void *ctx, uint64_t id, struct slice type, const struct ip_addr *ip)
{
        (void)ctx;
        (void)ip;
        assert_true(slice_is(type, "disco") || slice_is(type, "TSMP"));
        asked_ping = id;
}

static const struct control_calls calls = {
        .login_changed = on_login,
        .auth_url = on_auth_url,
        .keys_changed = on_keys,
        .registered = on_registered,
        .problem = on_problem,
        .netmap_changed = on_netmap,
        .poll_changed = on_poll,
        .pop_browser = on_pop,
        .ping = on_ping,
};

static struct control_client *create(const struct control_keys *keys)
{
        const struct control_config config = {
                .server_url = "https://control.example",
                .calls = &calls,
                .wire = &wire,
                .rng = &rng.rng,
                .netmap = netmap,
                .keys = *keys,
        };

        return control_client_new(&config);
}

static int set_up(void **state)
{
        const struct control_keys none = { 0 };

        (void)state;
        sent_count = 0;
        stores = netmaps = polls_up = polls_down = 0;
        login_state = CONTROL_LOGGED_OUT;
        auth_url[0] = problem[0] = user[0] = popped[0] = '\0';
        stored = none;
        now = (struct now){ .mono_us = TIME_S(1000), .unix_us = INT64_C(1767225600000000) };
        rng_seed(&rng, 7);
        netmap = netmap_new();
        c = create(&none);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        control_client_free(c);
        netmap_free(netmap);
        return 0;
}

/* The last request to that URL that is still open; fails the test if there is none. */
static struct sent *open_request(const char *url)
{
        for (size_t i = sent_count; i-- > 0;) {
                if (!strcmp(sent[i].url, url) && !sent[i].cancelled && sent[i].id)
                        return &sent[i];
        }
        print_error("no open request to %s\n", url);
        fail();
        return NULL;
}

static bool is_open(const char *url)
{
        for (size_t i = 0; i < sent_count; i++) {
                if (!strcmp(sent[i].url, url) && !sent[i].cancelled && sent[i].id)
                        return true;
        }
        return false;
}

static size_t count(const char *url)
{
        size_t n = 0;

        for (size_t i = 0; i < sent_count; i++)
                n += !strcmp(sent[i].url, url);
        return n;
}

static void answer_with(const char *url, unsigned status, const char *retry_after, const char *body)
{
        struct sent *s = open_request(url);
        uint64_t id = s->id;

        s->id = 0;
        control_client_response(c, &now, id, status, slice_str(retry_after));
        control_client_body(c, &now, id, slice_str(body));
        control_client_end(c, &now, id, OK, NULL);
}

static void answer(const char *url, const char *body)
{
        answer_with(url, 200, NULL, body);
}

static void fail_request(const char *url, enum err e)
{
        struct sent *s = open_request(url);
        uint64_t id = s->id;

        s->id = 0;
        control_client_end(c, &now, id, e, "no way");
}

static struct sent *open_poll(void)
{
        for (size_t i = sent_count; i-- > 0;) {
                if (sent[i].id && !sent[i].cancelled && strstr(sent[i].body, "\"Stream\":true"))
                        return &sent[i];
        }
        return NULL;
}

static struct sent *open_update(void)
{
        for (size_t i = sent_count; i-- > 0;) {
                if (sent[i].id && !sent[i].cancelled && strstr(sent[i].body, "\"OmitPeers\":true"))
                        return &sent[i];
        }
        return NULL;
}

static bool says(const struct sent *s, const char *text)
{
        return s && strstr(s->body, text);
}

/* A map message on the open poll. */
static void tell(const char *json)
{
        struct buf frame = BUF_INIT(1 << 16);
        uint64_t id = open_poll()->id;

        assert_int_equal(map_frame_write(slice_str(json), &frame), OK);
        control_client_body(c, &now, id, buf_slice(&frame));
        buf_fini(&frame);
}

static void begin_poll(void)
{
        assert_non_null(open_poll());
        control_client_response(c, &now, open_poll()->id, 200, slice_str(NULL));
}

/* Lets time pass up to the client's next deadline; returns how long. */
static uint64_t wait_for_deadline(void)
{
        uint64_t at = control_client_next(c), waited;

        assert_true(at != TIME_NEVER);
        waited = at > now.mono_us ? at - now.mono_us : 0;
        now.mono_us += waited;
        now.unix_us += (int64_t)waited;
        control_client_run(c, &now);
        return waited;
}

static void log_in(void)
{
        control_client_login(c, &now, 0, "tskey-1--TLsuffix");
        answer("/key?v=119", SERVER_KEY);
        answer("/machine/register", ANSWER(""));
        assert_int_equal(login_state, CONTROL_LOGGED_IN);
}

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
