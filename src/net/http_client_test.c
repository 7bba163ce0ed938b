#include "test_util.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/http_client.h"
#include "net/listener.h"

/* The user of calls, keeping what happens. */
struct answer {
        unsigned heads, dones;
        unsigned status;
        struct buf body;
        enum err e;
        struct diag d;
        char type[64];
        struct http_client *free_on_head;
};

static void on_head(void *ctx, const struct http_response *r)
{
        struct answer *a = ctx;
        a->heads++;
        a->status = r->status;
        snprintf(a->type, sizeof(a->type), "%.*s", SLICE_ARGS(http_response_header(r, "content-type")));
        if (a->free_on_head)
                http_client_free(a->free_on_head);
}
static void on_data(void *ctx, struct slice data) { buf_append_slice(&((struct answer *)ctx)->body, data); }
static void on_done(void *ctx, enum err e, const struct diag *d)
{
        struct answer *a = ctx;
        a->dones++;
        a->e = e;
        a->d = *d;
}
static const struct http_call_events events = { on_head, on_data, on_done, NULL };

static void answer_init(struct answer *a) { *a = (struct answer){ .body = BUF_INIT(1 << 20) }; }

struct rig {
        struct http_client *client;
        struct recorder server;
        unsigned ended;
};

static void on_end(void *ctx, enum err why, const struct diag *d)
{
        (void)why;
        (void)d;
        ((struct rig *)ctx)->ended++;
}

static void rig_up(struct rig *r, struct net_loop *loop)
{
        struct net_stream *a, *b;

        *r = (struct rig){ 0 };
        assert_int_equal(net_stream_pair(loop, &a, &b), OK);
        recorder_attach(&r->server, b);
        assert_int_equal(http_client_new(a, false, on_end, r, &r->client), OK);
}

static void rig_down(struct rig *r)
{
        http_client_free(r->client);
        recorder_fini(&r->server);
}

static void say(struct rig *r, const char *text)
{
        assert_int_equal(net_stream_write(r->server.s, slice_str(text)), OK);
}

static void asks_one_after_another(void **state)
{
        struct rig r;
        struct answer one, two;
        struct http_ask get = { .target = "/a?b=1", .authority = "x.test" };
        struct http_ask post = {
                .method = "POST", .target = "/p", .authority = "x.test", .body = SLICE_LIT("{}")
        };

        answer_init(&one);
        answer_init(&two);
        rig_up(&r, *state);
        assert_int_equal(http_client_call(r.client, &get, &events, &one, NULL), OK);
        assert_int_equal(http_client_call(r.client, &post, &events, &two, NULL), OK);
        run_until(*state, recorder_has(&r.server, "GET /a?b=1 HTTP/1.1\r\nHost: x.test\r\n\r\n"));
        buf_clear(&r.server.got);
        say(&r, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: "
                "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        run_until(*state, one.dones);
        assert_int_equal(one.e, OK);
        assert_int_equal(one.status, 200);
        assert_string_equal(one.type, "text/plain");
        assert_string_equal(buf_cstr(&one.body), "abcde");
        run_until(*state,
                recorder_has(&r.server, "POST /p HTTP/1.1\r\nHost: x.test\r\nContent-Length: 2\r\n\r\n{}"));
        say(&r, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: "
                "0\r\n\r\n");
        run_until(*state, two.dones && r.ended);
        assert_int_equal(two.status, 404);
        assert_int_equal(two.heads, 1);
        assert_false(http_client_is_alive(r.client));
        assert_int_equal(http_client_call(r.client, &get, &events, &one, NULL), ERR_CLOSED);
        buf_fini(&one.body);
        buf_fini(&two.body);
        rig_down(&r);
}

static void a_body_may_end_with_the_connection(void **state)
{
        struct rig r;
        struct answer a;

        answer_init(&a);
        rig_up(&r, *state);
        assert_int_equal(
                http_client_call(r.client, &(struct http_ask){ .authority = "x" }, &events, &a, NULL), OK);
        say(&r, "HTTP/1.0 200 OK\r\n\r\nto the end");
        net_stream_shutdown(r.server.s);
        run_until(*state, a.dones);
        assert_int_equal(a.e, OK);
        assert_string_equal(buf_cstr(&a.body), "to the end");
        buf_fini(&a.body);
        rig_down(&r);
}

static void fails_in_words(void **state)
{
        static const char *const bad[] = { "SSH-2.0-x\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "" };

        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                struct rig r;
                struct answer a;
                answer_init(&a);
                rig_up(&r, *state);
                assert_int_equal(
                        http_client_call(r.client, &(struct http_ask){ .authority = "x" }, &events, &a, NULL),
                        OK);
                run_until(*state, r.server.got.len);
                if (*bad[i])
                        say(&r, bad[i]);
                else
                        net_stream_shutdown(r.server.s);
                run_until(*state, a.dones);
                assert_true(a.e != OK && a.d.text[0]);
                buf_fini(&a.body);
                rig_down(&r);
        }
}

static void may_be_freed_from_its_callback(void **state)
{
        struct rig r;
        struct answer a;

        answer_init(&a);
        rig_up(&r, *state);
        a.free_on_head = r.client;
        assert_int_equal(
                http_client_call(r.client, &(struct http_ask){ .authority = "x" }, &events, &a, NULL), OK);
        say(&r, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        run_until(*state, a.heads);
        run_for(*state, 10);
        assert_int_equal(a.dones, 0);
        assert_int_equal(a.body.len, 0);
        buf_fini(&a.body);
        recorder_fini(&r.server);
}

static void refuses_fields_that_would_split_the_request(void **state)
{
        struct rig r;
        struct answer a;
        struct http_header evil = { SLICE_LIT("X"), SLICE_LIT("a\r\nY: b") };

        answer_init(&a);
        rig_up(&r, *state);
        struct http_ask ask = { .authority = "x", .headers = &evil, .header_count = 1 };
        assert_int_equal(http_client_call(r.client, &ask, &events, &a, NULL), ERR_FORMAT);
        rig_down(&r);
}

/* ---- upgrades ---- */

struct upgraded {
        unsigned calls, status;
        enum err e;
        struct net_stream *s;
        char protocol[32];
};

static void on_upgraded(
        void *ctx, enum err e, struct net_stream *s, const struct http_response *r, const struct diag *d)
{
        struct upgraded *u = ctx;
        (void)d;
        u->calls++;
        u->e = e;
        u->s = s;
        u->status = r->status;
        snprintf(u->protocol, sizeof(u->protocol), "%.*s", SLICE_ARGS(http_response_header(r, "upgrade")));
}

static void upgrade(void **state, const char *answer, struct upgraded *u, struct recorder *server)
{
        struct net_stream *a, *b;
        struct http_header headers[] = { { SLICE_LIT("Connection"), SLICE_LIT("upgrade") },
                { SLICE_LIT("Upgrade"), SLICE_LIT("x") } };
        struct http_ask ask = { .method = "POST",
                .target = "/ts2021",
                .authority = "h:80",
                .headers = headers,
                .header_count = 2 };

        *u = (struct upgraded){ 0 };
        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        recorder_attach(server, b);
        assert_int_equal(http_upgrade_start(a, &ask, 0, on_upgraded, u, NULL), OK);
        run_until(*state, recorder_has(server, "POST /ts2021 HTTP/1.1\r\nHost: h:80\r\nConnection: "
                                               "upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n"));
        for (size_t i = 0; answer[i]; i++) { /* a byte at a time, and the end in one piece */
                size_t n = i < 20 ? 1 : strlen(answer + i);
                assert_int_equal(net_stream_write(b, slice_make(answer + i, n)), OK);
                net_loop_run_once(*state, 1);
                i += n - 1;
        }
        run_until(*state, u->calls);
}

static void hands_over_what_follows_the_head(void **state)
{
        static const char *const rests[] = { "\nrest", "rest", "" };

        for (size_t i = 0; i < 3; i++) {
                struct upgraded u;
                struct recorder server, client;
                char text[128];
                snprintf(text, sizeof(text),
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n%s",
                        rests[i]);
                upgrade(state, text, &u, &server);
                assert_int_equal(u.e, OK);
                assert_string_equal(u.protocol, "x");
                recorder_attach(&client, u.s);
                assert_int_equal(net_stream_write(server.s, SLICE_LIT("!")), OK);
                snprintf(text, sizeof(text), "%s!", rests[i]);
                run_until(*state, recorder_has(&client, text));
                recorder_fini(&client);
                recorder_fini(&server);
        }
}

static void a_refused_upgrade_names_the_status(void **state)
{
        struct upgraded u;
        struct recorder server;

        upgrade(state, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", &u, &server);
        assert_int_equal(u.e, ERR_DENIED);
        assert_int_equal(u.status, 403);
        assert_null(u.s);
        recorder_fini(&server);
}

/* ---- fetching ---- */

static void serve(struct net_stream *s, void *ctx, struct slice data)
{
        (void)ctx;
        (void)data;
        assert_int_equal(
                net_stream_write(s, SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")), OK);
        net_stream_close_soon(s);
}
static const struct net_stream_handler serve_handler = { .on_data = serve };
static void on_accept(void *ctx, struct net_stream *s) { net_stream_set_handler(s, &serve_handler, ctx); }
static const struct net_listener_calls accepting = { .on_accept = on_accept };

struct fetched {
        unsigned calls, status;
        enum err e;
        char body[32], why[512];
};

static void on_fetched(void *ctx, const struct http_fetch_result *r)
{
        struct fetched *f = ctx;
        f->calls++;
        f->e = r->e;
        f->status = r->response.status;
        snprintf(f->body, sizeof(f->body), "%.*s", SLICE_ARGS(r->body));
        snprintf(f->why, sizeof(f->why), "%s", r->diag.text);
}
static const struct http_fetch_events fetching = { .on_done = on_fetched };

static void fetches(void **state)
{
        struct net_listener *l;
        struct diag d;
        struct ip_port at = { ip_v4(127, 0, 0, 1), 0 };
        struct fetched f = { 0 };
        char url[64];

        assert_int_equal(net_listen_tcp(*state, &at, 4, &accepting, NULL, &l, &d), OK);
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", net_listener_addr(l).port);
        assert_int_equal(
                http_fetch_start(*state, &(struct http_fetch_options){ .url = url }, &fetching, &f, NULL),
                OK);
        run_until(*state, f.calls);
        assert_int_equal(f.e, OK);
        assert_string_equal(f.body, "hello");
        f.calls = 0;
        assert_int_equal(http_fetch_start(*state, &(struct http_fetch_options){ .url = url, .max_body = 3 },
                                 &fetching, &f, NULL),
                OK);
        run_until(*state, f.calls);
        assert_int_equal(f.e, ERR_LIMIT);
        net_listener_close(l);

        struct http_fetch *handle;
        f.calls = 0;
        assert_int_equal(
                http_fetch_start(*state, &(struct http_fetch_options){ .url = url }, &fetching, &f, &handle),
                OK);
        http_fetch_cancel(handle);
        assert_int_equal(
                http_fetch_start(*state, &(struct http_fetch_options){ .url = url }, &fetching, &f, NULL),
                OK);
        run_until(*state, f.calls);
        assert_true(f.e != OK && strstr(f.why, "refused"));
        assert_int_equal(http_fetch_start(*state, &(struct http_fetch_options){ .url = "ftp://x" }, &fetching,
                                 &f, NULL),
                ERR_FORMAT);
}

static void urls(void **state)
{
        (void)state;
        static const struct {
                const char *url, *host, *authority, *target;
                unsigned port;
                bool https;
        } good[] = {
                { "http://h", "h", "h", "", 80, false },
                { "https://h:8443/a?b", "h", "h:8443", "/a?b", 8443, true },
                { "http://[::1]:81/", "::1", "[::1]:81", "/", 81, false },
                { "https://h?x=1", "h", "h", "?x=1", 443, true },
        };
        static const char *const bad[] = { "", "h", "ftp://h", "http://", "http://:80", "http://h:0",
                "http://h:65536", "http://h:x", "http://u@h/", "http://h/a b", "http://[::1/",
                "http://h\r\nX: y/" };
        struct http_url u;

        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
                assert_int_equal(http_url_parse(good[i].url, &u), OK);
                assert_string_equal(u.host, good[i].host);
                assert_string_equal(u.authority, good[i].authority);
                assert_string_equal(u.target, good[i].target);
                assert_int_equal(u.port, good[i].port);
                assert_int_equal(u.is_https, good[i].https);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_int_equal(http_url_parse(bad[i], &u), ERR_FORMAT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(asks_one_after_another, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        a_body_may_end_with_the_connection, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(fails_in_words, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(may_be_freed_from_its_callback, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        refuses_fields_that_would_split_the_request, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(hands_over_what_follows_the_head, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        a_refused_upgrade_names_the_status, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(fetches, loop_setup, loop_teardown),
                cmocka_unit_test(urls),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
