/* Both sides of HTTP/2, each tested with the other over a pair in memory. */
#include "test_util.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/http.h"
#include "net/http_client.h"
#include "net/noise.h"
#include "noise_stream.h"

struct service {
        struct http_server *srv;
        struct http_exchange *held; /* a long poll */
        unsigned requests, aborts, conn_ends, writables;
        char seen[256];
};

static void on_abort(void *ctx, struct http_exchange *x)
{
        struct service *sv = ctx;
        if (sv->held == x)
                sv->held = NULL;
        sv->aborts++;
}
static void on_exchange_writable(void *ctx, struct http_exchange *x)
{
        (void)x;
        ((struct service *)ctx)->writables++;
}
static const struct http_watch watch = { .on_abort = on_abort, .on_writable = on_exchange_writable };

static void on_request(void *ctx, struct http_exchange *x)
{
        struct service *sv = ctx;
        const struct http_request *r = http_request(x);

        sv->requests++;
        snprintf(sv->seen, sizeof(sv->seen), "%.*s %.*s ?%.*s @%.*s x=%.*s [%.*s]", SLICE_ARGS(r->method),
                SLICE_ARGS(r->path), SLICE_ARGS(r->query), SLICE_ARGS(r->authority),
                SLICE_ARGS(http_header(x, "X-Test")), SLICE_ARGS(http_body(x)));
        if (slice_is(r->path, "/hold")) {
                sv->held = x;
                http_watch(x, &watch, sv);
                http_start(x, 200, "application/octet-stream");
        } else if (slice_is(r->path, "/echo")) {
                http_add_header_str(x, "X-Answer", "yes");
                http_respond(x, 200, "text/plain", http_body(x));
        } else {
                http_respond_text(x, 404, "none\n");
        }
}
static void on_conn_end(void *ctx, void *conn_ctx)
{
        (void)conn_ctx;
        ((struct service *)ctx)->conn_ends++;
}
static const struct http_server_calls calls = { .on_request = on_request, .on_conn_end = on_conn_end };

struct answer {
        unsigned heads, dones, status;
        struct buf body;
        enum err e;
        char header[32];
};
static void on_head(void *ctx, const struct http_response *r)
{
        struct answer *a = ctx;
        a->heads++;
        a->status = r->status;
        snprintf(a->header, sizeof(a->header), "%.*s", SLICE_ARGS(http_response_header(r, "x-answer")));
}
static void on_data(void *ctx, struct slice data) { buf_append_slice(&((struct answer *)ctx)->body, data); }
static void on_done(void *ctx, enum err e, const struct diag *d)
{
        (void)d;
        ((struct answer *)ctx)->dones++;
        ((struct answer *)ctx)->e = e;
}
static const struct http_call_events events = { on_head, on_data, on_done, NULL };

struct rig {
        struct service sv;
        struct http_client *client;
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
        assert_int_equal(http_server_new(loop, NULL, &calls, &r->sv, &r->sv.srv), OK);
        assert_int_equal(net_stream_pair(loop, &a, &b), OK);
        http_serve_h2(r->sv.srv, b, NULL);
        assert_int_equal(http_client_new(a, true, on_end, r, &r->client), OK);
}

static void rig_down(struct rig *r)
{
        http_client_free(r->client);
        http_server_free(r->sv.srv);
}

static void answer_init(struct answer *a) { *a = (struct answer){ .body = BUF_INIT(64 << 20) }; }

static void asks_and_answers(void **state)
{
        struct rig r;
        struct answer a, b, c;
        struct http_header header = { SLICE_LIT("X-Test"), SLICE_LIT("v") };

        rig_up(&r, *state);
        answer_init(&a);
        answer_init(&b);
        answer_init(&c);
        struct http_ask post = { .method = "POST",
                .target = "/echo?q=1",
                .authority = "h:80",
                .headers = &header,
                .header_count = 1,
                .body = SLICE_LIT("hello") };
        struct http_ask get_with_body = { .target = "/echo", .authority = "unused", .body = SLICE_LIT("{}") };
        struct http_ask head = { .method = "HEAD", .target = "/echo", .authority = "h" };
        assert_int_equal(http_client_call(r.client, &post, &events, &a, NULL), OK);
        run_until(*state, a.dones);
        assert_string_equal(r.sv.seen, "POST /echo ?q=1 @h:80 x=v [hello]");
        assert_int_equal(a.status, 200);
        assert_string_equal(a.header, "yes");
        assert_string_equal(buf_cstr(&a.body), "hello");
        assert_int_equal(http_client_call(r.client, &get_with_body, &events, &b, NULL), OK);
        assert_int_equal(http_client_call(r.client, &head, &events, &c, NULL), OK);
        run_until(*state, b.dones && c.dones);
        assert_string_equal(buf_cstr(&b.body), "{}");
        assert_int_equal(c.body.len, 0);
        assert_int_equal(c.e, OK);
        buf_fini(&a.body);
        buf_fini(&b.body);
        buf_fini(&c.body);
        rig_down(&r);
}

static void a_long_poll_does_not_hold_up_others(void **state)
{
        struct rig r;
        struct answer poll, quick[40];
        struct http_call *call;

        rig_up(&r, *state);
        answer_init(&poll);
        assert_int_equal(http_client_call(r.client, &(struct http_ask){ .target = "/hold", .authority = "h" },
                                 &events, &poll, &call),
                OK);
        run_until(*state, poll.heads && r.sv.held);
        for (int i = 0; i < 40; i++) {
                answer_init(&quick[i]);
                assert_int_equal(
                        http_client_call(r.client,
                                &(struct http_ask){
                                        .target = "/echo", .authority = "h", .body = SLICE_LIT("x") },
                                &events, &quick[i], NULL),
                        OK);
        }
        run_until(*state, quick[39].dones);
        assert_int_equal(http_write(r.sv.held, SLICE_LIT("one")), OK);
        run_until(*state, poll.body.len == 3);
        assert_int_equal(poll.dones, 0);
        http_call_cancel(call);
        run_until(*state, r.sv.aborts == 1);
        assert_null(r.sv.held);
        assert_int_equal(poll.dones, 0);
        for (int i = 0; i < 40; i++)
                buf_fini(&quick[i].body);
        buf_fini(&poll.body);
        rig_down(&r);
}

static void a_slow_reader_meets_backpressure(void **state)
{
        enum { TOTAL = 5 << 20 };
        struct rig r;
        struct answer a;
        struct http_call *call;
        static uint8_t chunk[50000];
        size_t sent = 0;
        unsigned refused = 0;

        rig_up(&r, *state);
        answer_init(&a);
        assert_int_equal(http_client_call(r.client, &(struct http_ask){ .target = "/hold", .authority = "h" },
                                 &events, &a, &call),
                OK);
        run_until(*state, r.sv.held && a.heads);
        http_call_pause(call, true);
        while (sent < TOTAL) {
                if (http_write(r.sv.held, SLICE_ARRAY(chunk)) == OK) {
                        sent += sizeof(chunk);
                        continue;
                }
                if (++refused == 10) /* it stayed full while the reader was paused */
                        http_call_pause(call, false);
                net_loop_run_once(*state, 5);
        }
        assert_true(refused >= 10);
        http_finish(r.sv.held);
        run_until(*state, a.dones);
        assert_int_equal(a.body.len, sent);
        assert_true(r.sv.writables > 0);
        buf_fini(&a.body);
        rig_down(&r);
}

static void a_large_body_is_refused(void **state)
{
        struct rig r;
        struct answer a;
        static uint8_t body[(1 << 20) + 1];

        rig_up(&r, *state);
        answer_init(&a);
        struct http_ask ask = {
                .method = "POST", .target = "/echo", .authority = "h", .body = SLICE_ARRAY(body)
        };
        assert_int_equal(http_client_call(r.client, &ask, &events, &a, NULL), OK);
        run_until(*state, a.heads);
        assert_int_equal(a.status, 413);
        assert_int_equal(r.sv.requests, 0);
        buf_fini(&a.body);
        rig_down(&r);
}

static void the_server_goes_away(void **state)
{
        struct rig r;
        struct answer a;

        rig_up(&r, *state);
        answer_init(&a);
        assert_int_equal(http_client_call(r.client, &(struct http_ask){ .target = "/hold", .authority = "h" },
                                 &events, &a, NULL),
                OK);
        run_until(*state, r.sv.held && a.heads);
        http_server_free(r.sv.srv);
        assert_int_equal(r.sv.aborts, 1);
        run_until(*state, a.dones && r.ended);
        assert_true(a.e != OK);
        http_client_free(r.client);
        run_for(*state, 5);
        assert_int_equal(r.sv.conn_ends, 1);
        buf_fini(&a.body);
}

/* A body in pieces, larger than every window and buffer on its way. */
enum { UPLOAD = 5 << 20 };
struct upload {
        struct http_exchange *x;
        struct http_call *call;
        size_t sent, came;
        bool finished, whole;
        unsigned refused;
};
static void upload_piece(void *ctx, struct http_exchange *x, struct slice data, bool last)
{
        struct upload *u = ctx;
        u->came += data.len;
        if (last) {
                u->whole = true;
                http_respond_text(x, 200, "thanks");
        }
}
static void upload_head(void *ctx, struct http_exchange *x)
{
        static const struct http_watch pieces = { .on_body = upload_piece };
        struct upload *u = ctx;
        u->x = x;
        http_watch(x, &pieces, u);
        http_body_pause(x, true);
}
static void upload_more(void *ctx)
{
        static uint8_t block[100000];
        struct upload *u = ctx;

        while (u->sent < UPLOAD) {
                if (http_call_write(u->call, SLICE_ARRAY(block)) != OK) {
                        u->refused++;
                        return;
                }
                u->sent += sizeof(block);
        }
        if (!u->finished)
                http_call_finish(u->call);
        u->finished = true;
}
static void upload_done(void *ctx, enum err e, const struct diag *d)
{
        (void)d;
        assert_int_equal(e, OK);
        ((struct upload *)ctx)->call = NULL;
}

static void a_body_in_pieces_goes_at_the_readers_pace(void **state)
{
        static const struct http_server_calls sink = { .on_head = upload_head };
        static const struct http_call_events up = { .on_done = upload_done, .on_writable = upload_more };
        struct http_ask ask = { .method = "PUT", .target = "/", .authority = "h", .stream_body = true };
        struct http_server *srv;
        struct http_client *client;
        struct net_stream *a, *b;
        struct upload u = { 0 };

        assert_int_equal(http_server_new(*state, NULL, &sink, &u, &srv), OK);
        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        http_serve_h2(srv, b, NULL);
        assert_int_equal(http_client_new(a, true, NULL, NULL, &client), OK);
        assert_int_equal(http_client_call(client, &ask, &up, &u, &u.call), OK);
        upload_more(&u);
        run_until(*state, u.x);
        run_for(*state, 30);
        size_t sent = u.sent;
        assert_true(sent < UPLOAD && u.refused > 0); /* nobody reads: it stands still */
        run_for(*state, 10);
        assert_int_equal(u.sent, sent);
        http_body_pause(u.x, false);
        run_until(*state, !u.call);
        assert_true(u.whole);
        assert_int_equal(u.came, u.sent);
        http_client_free(client);
        http_server_free(srv);
}

static void put_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream, struct slice payload)
{
        uint8_t head[9] = { 0, (uint8_t)(payload.len >> 8), (uint8_t)payload.len, type, flags, 0, 0,
                (uint8_t)(stream >> 8), (uint8_t)stream };
        buf_append(out, head, sizeof(head));
        buf_append_slice(out, payload);
}

/* Requests that are taken back at once, again and again (CVE-2023-44487). */
static void a_client_that_only_resets_is_sent_away(void **state)
{
        static const char head[] =
                "\x82\x87\x84\x01\x01h"; /* GET https / and authority h, by HPACK's tables */
        struct service sv = { 0 };
        struct net_stream *a, *b;
        struct recorder rec;

        assert_int_equal(http_server_new(*state, NULL, &calls, &sv, &sv.srv), OK);
        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        http_serve_h2(sv.srv, b, NULL);
        recorder_attach(&rec, a);
        struct buf out = BUF_INIT(1 << 20);
        buf_append_slice(&out, SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        put_frame(&out, 4, 0, 0, (struct slice){ 0 });
        for (uint32_t i = 0; i < 2000; i++) {
                put_frame(&out, 1, 4, 2 * i + 1, SLICE_LIT(head)); /* no END_STREAM */
                put_frame(&out, 3, 0, 2 * i + 1, SLICE_LIT("\0\0\0\x08"));
        }
        assert_int_equal(net_stream_write(a, buf_slice(&out)), OK);
        run_until(*state, rec.ended && sv.conn_ends);
        assert_int_equal(sv.requests, 0);
        buf_fini(&out);
        recorder_fini(&rec);
        http_server_free(sv.srv);
}

/* One field, named once in HPACK's table and then a thousand times by a byte each. */
static void a_head_that_grows_is_refused(void **state)
{
        static uint8_t big[3000];
        struct rig r;
        struct answer a;
        struct http_header headers[40];

        rig_up(&r, *state);
        answer_init(&a);
        memset(big, 'x', sizeof(big));
        for (unsigned i = 0; i < 40; i++)
                headers[i] = (struct http_header){ SLICE_LIT("x-bomb"), SLICE_ARRAY(big) };
        struct http_ask ask = { .target = "/echo", .authority = "h", .headers = headers, .header_count = 40 };
        assert_int_equal(http_client_call(r.client, &ask, &events, &a, NULL), OK);
        run_until(*state, a.dones);
        assert_int_not_equal(a.e, OK);
        assert_int_equal(r.sv.requests, 0);
        buf_fini(&a.body);
        rig_down(&r);
}

static void garbage_ends_the_connection(void **state)
{
        static const char *const bad[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" };

        for (size_t i = 0; i < 2; i++) {
                struct service sv = { 0 };
                struct net_stream *a, *b;
                struct recorder rec;
                assert_int_equal(http_server_new(*state, NULL, &calls, &sv, &sv.srv), OK);
                assert_int_equal(net_stream_pair(*state, &a, &b), OK);
                http_serve_h2(sv.srv, b, NULL);
                recorder_attach(&rec, a);
                assert_int_equal(net_stream_write(a, slice_str(bad[i])), OK);
                run_until(*state, rec.ended);
                recorder_fini(&rec);
                run_until(*state, sv.conn_ends);
                http_server_free(sv.srv);
        }
}

static void works_inside_noise(void **state)
{
        struct service sv = { 0 };
        struct net_stream *a, *b, *na, *nb;
        struct secret_key machine, server;
        struct public_key server_pub;
        struct noise_client hs;
        struct noise_session session;
        uint8_t initiation[NOISE_INITIATION_LEN], response[NOISE_RESPONSE_LEN];
        struct http_client *client;
        struct answer ans;
        static uint8_t body[300000];

        key_generate(net_rng(), &machine);
        key_generate(net_rng(), &server);
        key_public(&server, &server_pub);
        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        assert_int_equal(noise_client_start(&hs, &machine, &server_pub, 119, net_rng(), initiation), OK);
        assert_int_equal(
                noise_server_respond(&server, SLICE_ARRAY(initiation), net_rng(), response, &session), OK);
        assert_int_equal(net_stream_write(b, SLICE_ARRAY(response)), OK);
        assert_int_equal(noise_stream_new(b, &session, &nb), OK);
        assert_int_equal(net_noise_connect(a, &hs, &na), OK);
        assert_int_equal(http_server_new(*state, NULL, &calls, &sv, &sv.srv), OK);
        http_serve_h2(sv.srv, nb, NULL);
        assert_int_equal(http_client_new(na, true, NULL, NULL, &client), OK);
        answer_init(&ans);
        struct http_ask ask = {
                .method = "POST", .target = "/echo", .authority = "h", .body = SLICE_ARRAY(body)
        };
        assert_int_equal(http_client_call(client, &ask, &events, &ans, NULL), OK);
        run_until(*state, ans.dones);
        assert_int_equal(ans.e, OK);
        assert_int_equal(ans.body.len, sizeof(body));
        buf_fini(&ans.body);
        http_client_free(client);
        http_server_free(sv.srv);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(asks_and_answers, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        a_long_poll_does_not_hold_up_others, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(a_slow_reader_meets_backpressure, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(a_large_body_is_refused, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(the_server_goes_away, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        a_body_in_pieces_goes_at_the_readers_pace, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        a_client_that_only_resets_is_sent_away, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(a_head_that_grows_is_refused, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(garbage_ends_the_connection, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(works_inside_noise, loop_setup, loop_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
