#include "test_util.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/http.h"
#include "net/http_client.h"

/* A server with a few behaviours, chosen by path, and one client's raw end. */
struct site {
        struct net_loop *loop;
        struct http_server *srv;
        struct recorder client;
        struct http_exchange *kept; /* /wait */
        struct net_stream *taken;   /* /take, /upgrade */
        struct recorder taker;
        struct buf pieces;          /* /pieces */
        unsigned requests, aborts, conn_ends;
};

static void on_abort(void *ctx, struct http_exchange *x)
{
        struct site *w = ctx;
        assert_ptr_equal(w->kept, x);
        w->kept = NULL;
        w->aborts++;
}
static void on_piece(void *ctx, struct http_exchange *x, struct slice data, bool last)
{
        struct site *w = ctx;
        buf_append_slice(&w->pieces, data);
        if (last)
                http_respond_text(x, 200, "got it");
}
static const struct http_watch keep_watch = { .on_abort = on_abort };
static const struct http_watch piece_watch = { .on_body = on_piece };

static void on_head(void *ctx, struct http_exchange *x)
{
        struct site *w = ctx;
        struct slice path = http_request(x)->path;

        if (slice_is(path, "/pieces"))
                http_watch(x, &piece_watch, w);
        else if (slice_is(path, "/early"))
                http_respond_text(x, 403, "no");
        else if (slice_is(path, "/large"))
                http_set_body_limit(x, 1 << 20);
}

static void on_request(void *ctx, struct http_exchange *x)
{
        struct site *w = ctx;
        struct slice path = http_request(x)->path, value;

        w->requests++;
        if (slice_is(path, "/echo")) {
                http_add_header_str(x, "X-Method", "seen");
                http_respond(x, 200, "text/plain", http_body(x));
        } else if (slice_is(path, "/query")) {
                assert_true(http_query(x, "a b", &value));
                http_respond(x, 200, NULL, value);
        } else if (slice_is(path, "/stream")) {
                http_start(x, 200, "text/plain");
                assert_int_equal(http_write(x, SLICE_LIT("one")), OK);
                assert_int_equal(http_write(x, SLICE_LIT("twotwo")), OK);
                http_finish(x);
        } else if (slice_is(path, "/big")) {
                static uint8_t big[3 << 20];
                http_respond(x, 200, NULL, SLICE_ARRAY(big));
        } else if (slice_is(path, "/wait")) {
                w->kept = x;
                http_watch(x, &keep_watch, w);
        } else if (slice_is(path, "/cut")) {
                http_cut(x);
        } else if (slice_is(path, "/take")) {
                assert_int_equal(http_hijack(x, &w->taken), OK);
                recorder_attach(&w->taker, w->taken);
        } else if (slice_is(path, "/upgrade")) {
                assert_true(http_wants_upgrade(x, "derp"));
                http_add_header_str(x, "Derp-Version", "2");
                assert_int_equal(http_upgrade(x, "DERP", &w->taken), OK);
                recorder_attach(&w->taker, w->taken);
        } else if (slice_is(path, "/last")) {
                http_add_header_str(x, "Connection", "close");
                http_respond_text(x, 200, "last");
        } else if (slice_is(path, "/large")) {
                http_respond_text(x, 200, "taken");
        } else {
                http_respond_text(x, 404, "no such page");
        }
}

static void on_conn_end(void *ctx, void *conn_ctx)
{
        struct site *w = ctx;
        assert_ptr_equal(conn_ctx, &w->requests);
        w->conn_ends++;
}
static const struct http_server_calls calls = { on_head, on_request, on_conn_end };
static const struct http_limits limits = {
        .header_bytes = 2048,
        .header_count = 10,
        .body_bytes = 100,
        .header_ms = 60,
        .body_ms = 60,
        .idle_ms = 300,
        .write_ms = 200,
};

static void open_conn(struct site *w)
{
        struct net_stream *a, *b;
        assert_int_equal(net_stream_pair(w->loop, &a, &b), OK);
        recorder_attach(&w->client, b);
        http_serve(w->srv, a, &w->requests);
}

static int setup(void **state)
{
        struct site *w = calloc(1, sizeof(*w));
        assert_int_equal(net_loop_new(&w->loop), OK);
        w->pieces = BUF_INIT(1 << 20);
        assert_int_equal(http_server_new(w->loop, &limits, &calls, w, &w->srv), OK);
        open_conn(w);
        *state = w;
        return 0;
}
static int teardown(void **state)
{
        struct site *w = *state;
        recorder_fini(&w->client);
        if (w->taken)
                recorder_fini(&w->taker);
        http_server_free(w->srv);
        net_loop_free(w->loop);
        buf_fini(&w->pieces);
        free(w);
        return 0;
}

static void reconnect(struct site *w)
{
        recorder_fini(&w->client);
        open_conn(w);
}
static void say(struct site *w, const char *text)
{
        assert_int_equal(net_stream_write(w->client.s, slice_str(text)), OK);
}
/* The client has read a text containing all of it by now. */
static bool heard(struct site *w, const char *text)
{
        return strstr(buf_cstr(&w->client.got), text) != NULL;
}
#define expect(w, text) run_until((w)->loop, heard((w), (text)))
/* An answer that ends the connection. */
static void expect_end(struct site *w, const char *text)
{
        run_until(w->loop, w->client.ended == 1);
        if (!heard(w, text))
                fail_msg("wanted %s, got %s", text, buf_cstr(&w->client.got));
}

static void requests_follow_each_other(void **state)
{
        struct site *w = *state;

        say(w, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(w, "X-Method: seen\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n");
        assert_true(heard(w, "HTTP/1.1 200 OK\r\nDate: "));
        buf_clear(&w->client.got);
        /* A body in two ways, and two requests in one flight, with GET and body. */
        say(w, "GET /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloPOST /echo HTTP/1.1\r\nhost: "
               "h\r\n"
               "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: t\r\n\r\nGET "
               "/stream HTTP/1.1\r\nHost: h\r\n\r\n");
        expect(w, "\r\n\r\nhelloHTTP/1.1 200 OK");
        expect(w, "Content-Length: 7\r\n\r\nabcdefg");
        expect(w, "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n6\r\ntwotwo\r\n0\r\n\r\n");
        buf_clear(&w->client.got);
        say(w, "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\nGET /query?c=d&a+b=x%2Fy+z HTTP/1.1\r\nHost: "
               "h\r\n\r\n");
        expect(w, "Content-Length: 5\r\n\r\nx/y z");
        assert_false(heard(w, "one"));
        assert_int_equal(w->requests, 6);
        say(w, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        expect_end(w, "HTTP/1.1 404 Not Found");
        run_until(w->loop, w->conn_ends == 0 || w->conn_ends == 1);
}

static void every_cut_of_the_bytes_is_the_same_request(void **state)
{
        struct site *w = *state;
        static const char text[] = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /x "
                                   "HTTP/1.1\r\nHost: h\r\n\r\n";

        for (size_t i = 1; i < sizeof(text) - 1; i++) {
                assert_int_equal(net_stream_write(w->client.s, slice_make(text, i)), OK);
                for (int round = 0; round < 3; round++)
                        net_loop_run_once(w->loop, 0);
                say(w, text + i);
                expect(w, "no such page");
                assert_true(heard(w, "\r\n\r\nabc"));
                buf_clear(&w->client.got);
        }
        assert_int_equal(w->requests, 2 * (sizeof(text) - 2));
}

static void bad_requests_are_refused(void **state)
{
        static const struct {
                const char *request, *answer;
        } cases[] = {
                { "GARBAGE\r\n\r\n", " 400 " },
                { "GET / HTTP/1.1\r\n\r\n", " 400 " },
                { "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", " 400 " },
                { "GET nonsense HTTP/1.1\r\nHost: a\r\n\r\n", " 400 " },
                { "GET / HTTP/1.1\r\nHost : a\r\n\r\n", " 400 " },
                { "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", " 400 " },
                { "GET / HTTP/2.0\r\nHost: a\r\n\r\n", " 505 " },
                { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                        " 400 " },
                { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", " 400 " },
                { "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", " 400 " },
                { "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", " 400 " },
                { "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", " 413 " },
                { "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n66\r\n", NULL },
                { "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", " 403 " },
                { "GET / HTTP/1.1\r\nHost: a\r\n1: \r\n2: \r\n3: \r\n4: \r\n5: \r\n6: \r\n7: \r\n8: \r\n9: "
                  "\r\n10: \r\n\r\n",
                        " 431 " },
        };
        struct site *w = *state;
        char filler[3000];

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                reconnect(w);
                say(w, cases[i].request);
                if (!cases[i].answer) { /* a chunk too large comes only with its bytes */
                        memset(filler, 'x', 102);
                        filler[102] = '\0';
                        say(w, filler);
                }
                expect_end(w, cases[i].answer ? cases[i].answer : " 413 ");
        }
        memset(filler, 'x', sizeof(filler) - 1);
        filler[sizeof(filler) - 1] = '\0';
        reconnect(w);
        say(w, "GET /");
        say(w, filler);
        expect_end(w, " 414 ");
        reconnect(w);
        say(w, "GET / HTTP/1.1\r\nX: ");
        say(w, filler);
        expect_end(w, " 431 ");
        assert_int_equal(w->requests, 0);
}

static void slow_clients_are_not_waited_for(void **state)
{
        struct site *w = *state;

        say(w, "GET / HT");
        expect_end(w, " 408 ");
        reconnect(w);
        say(w, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
        expect_end(w, " 408 ");
        reconnect(w);
        run_until(w->loop, w->client.ended == 1); /* idle */
        assert_int_equal(w->client.got.len, 0);
        reconnect(w);
        net_stream_pause(w->client.s); /* never reads its answer */
        say(w, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
        unsigned before = w->conn_ends;
        run_until(w->loop, w->conn_ends > before);
}

static void answers_may_come_later_or_never(void **state)
{
        struct site *w = *state;

        say(w, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
        run_until(w->loop, w->kept);
        run_for(w->loop, 10);
        assert_int_equal(w->client.got.len, 0);
        http_start(w->kept, 200, NULL);
        assert_int_equal(http_write(w->kept, SLICE_LIT("later")), OK);
        expect(w, "later");
        http_finish(w->kept);
        expect(w, "no such page"); /* the second request waited its turn */
        w->kept = NULL;
        say(w, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
        run_until(w->loop, w->kept);
        reconnect(w); /* the client goes */
        run_until(w->loop, w->aborts == 1);
        say(w, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
        run_until(w->loop, w->kept);
        /* The server's end tells its exchanges too (teardown); a cut tells the client. */
        http_cut(w->kept);
        run_until(w->loop, w->client.ended == 1);
        reconnect(w);
        say(w, "GET /cut HTTP/1.1\r\nHost: h\r\n\r\n");
        expect_end(w, "");
        reconnect(w);
        say(w, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
        run_until(w->loop, w->kept);
}

static void bodies_come_in_pieces_if_wanted(void **state)
{
        struct site *w = *state;
        char body[301];

        memset(body, 'b', 300);
        body[300] = '\0';
        say(w, "POST /pieces HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 300\r\n\r\n");
        expect(w, "HTTP/1.1 100 Continue\r\n\r\n");
        say(w, body);
        expect(w, "got it");
        assert_int_equal(w->pieces.len, 300);
        say(w, "POST /large HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n");
        say(w, body);
        expect(w, "taken");
}

static void a_connection_can_be_taken_with_what_follows(void **state)
{
        struct site *w = *state;

        say(w, "GET /upgrade HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: "
               "DERP\r\n\r\nfirst bytes");
        run_until(w->loop, w->taken && recorder_has(&w->taker, "first bytes"));
        expect(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: "
                  "2\r\n\r\n");
        assert_int_equal(w->conn_ends, 1);
        buf_clear(&w->client.got);
        assert_int_equal(net_stream_write(w->taken, SLICE_LIT("answer")), OK);
        run_until(w->loop, recorder_has(&w->client, "answer"));
        recorder_fini(&w->taker);
        w->taken = NULL;
        reconnect(w);
        say(w, "POST /take HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: "
               "x\r\n\r\nraw");
        run_until(w->loop, w->taken && recorder_has(&w->taker, "raw"));
        assert_int_equal(w->client.got.len, 0);
}

static void old_clients_are_served(void **state)
{
        struct site *w = *state;

        say(w, "GET /stream HTTP/1.0\r\n\r\n");
        expect_end(w, "Connection: close\r\n\r\nonetwotwo");
        reconnect(w);
        say(w, "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        expect(w, "Connection: keep-alive\r\n\r\n");
        assert_int_equal(w->client.ended, 0);
        buf_clear(&w->client.got);
        say(w, "GET /last HTTP/1.1\r\nHost: h\r\n\r\n");
        expect_end(w, "Connection: close\r\n");
        assert_null(strstr(strstr(buf_cstr(&w->client.got), "Connection:") + 1, "Connection:"));
}

struct addr_site {
        struct ip_addr seen;
};
static void on_addr_request(void *ctx, struct http_exchange *x)
{
        static const struct ip_prefix trusted[] = { { { IP_V4, { 127 }, 0 }, 8 },
                { { IP_V4, { 10 }, 0 }, 8 } };
        struct addr_site *a = ctx;
        a->seen = http_client_ip(x, trusted, 2);
        http_respond_text(x, 200, "ok");
}
static void on_fetched(void *ctx, const struct http_fetch_result *r)
{
        assert_int_equal(r->e, OK);
        assert_int_equal(r->response.status, 200);
        ++*(unsigned *)ctx;
}

static void the_client_behind_proxies_is_found(void **state)
{
        static const struct {
                const char *name, *value, *ip;
        } cases[] = {
                { "X-Other", "1.2.3.4", "127.0.0.1" },
                { "X-Real-IP", "1.2.3.4", "1.2.3.4" },
                { "X-Forwarded-For", "6.6.6.6, 1.2.3.4, 10.0.0.1", "1.2.3.4" },
                { "X-Forwarded-For", "1.2.3.4, nonsense, 10.0.0.1", "127.0.0.1" },
                { "X-Forwarded-For", "10.0.0.2,10.0.0.1", "127.0.0.1" },
                { "True-Client-IP", "2001:db8::1", "2001:db8::1" },
        };
        static const struct http_server_calls addr_calls = { .on_request = on_addr_request };
        static const struct http_fetch_events events = { .on_done = on_fetched };
        struct site *w = *state;
        struct addr_site a;
        struct http_server *srv;
        struct net_listener *l;
        struct ip_port any = { .ip = ip_v4(127, 0, 0, 1) };
        char url[64], text[IP_TEXT_MAX];
        unsigned done = 0;

        assert_int_equal(http_server_new(w->loop, NULL, &addr_calls, &a, &srv), OK);
        assert_int_equal(http_server_listen(srv, &any, NULL, &l, NULL), OK);
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/", net_listener_addr(l).port);
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                struct http_header h = { slice_str(cases[i].name), slice_str(cases[i].value) };
                struct http_fetch_options o = { .url = url, .headers = &h, .header_count = 1 };
                assert_int_equal(http_fetch_start(w->loop, &o, &events, &done, NULL), OK);
                run_until(w->loop, done == i + 1);
                ip_format(&a.seen, text);
                assert_string_equal(text, cases[i].ip);
        }
        net_listener_close(l);
        http_server_free(srv);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(requests_follow_each_other),
                TEST(every_cut_of_the_bytes_is_the_same_request),
                TEST(bad_requests_are_refused),
                TEST(slow_clients_are_not_waited_for),
                TEST(answers_may_come_later_or_never),
                TEST(bodies_come_in_pieces_if_wanted),
                TEST(a_connection_can_be_taken_with_what_follows),
                TEST(old_clients_are_served),
                TEST(the_client_behind_proxies_is_found),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
