#include "test_util.h"

#include "net/websocket.h"

/* A server that accepts subprotocol derp at every path, and both ends of a pipe. */
struct site {
        struct net_loop *loop;
        struct http_server *srv;
        struct net_stream *raw; /* the client's end before its handshake */
        struct recorder server, client;
        enum err accepted, connected;
        unsigned answers;
        struct diag diag;
};

static void on_request(void *ctx, struct http_exchange *x)
{
        struct site *w = ctx;
        struct net_stream *s;

        assert_true(ws_is_handshake(x) || !w->answers);
        w->accepted = ws_accept(x, "derp", &s);
        if (w->accepted == OK)
                recorder_attach(&w->server, s);
}

static void on_connected(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct site *w = ctx;

        w->connected = e;
        w->diag = *d;
        w->answers++;
        if (e == OK)
                recorder_attach(&w->client, s);
}

static const struct http_server_calls calls = { .on_request = on_request };
static struct site site;

static int setup(void **state)
{
        struct net_stream *end;

        site = (struct site){ .accepted = ERR_STATE };
        assert_int_equal(net_loop_new(&site.loop), OK);
        assert_int_equal(http_server_new(site.loop, NULL, &calls, &site, &site.srv), OK);
        assert_int_equal(net_stream_pair(site.loop, &end, &site.raw), OK);
        http_serve(site.srv, end, NULL);
        *state = &site;
        return 0;
}
static int teardown(void **state)
{
        struct site *w = *state;

        recorder_fini(&w->server);
        recorder_fini(&w->client);
        http_server_free(w->srv);
        net_loop_free(w->loop);
        return 0;
}

static void connect_both(struct site *w)
{
        assert_int_equal(ws_connect(w->raw, "h", "/derp", "derp", 1000, on_connected, w, NULL), OK);
        run_until(w->loop, w->answers == 1 && w->server.s);
        assert_int_equal(w->connected, OK);
}

static void messages_are_one_run_of_bytes(void **state)
{
        struct site *w = *state;

        connect_both(w);
        assert_int_equal(net_stream_write(w->client.s, SLICE_LIT("one ")), OK);
        assert_int_equal(net_stream_write(w->client.s, SLICE_LIT("two")), OK);
        run_until(w->loop, recorder_has(&w->server, "one two"));
        w->client.echo = true;
        assert_int_equal(net_stream_write(w->server.s, SLICE_LIT("back")), OK);
        run_until(w->loop, recorder_has(&w->server, "one twoback"));
        w->client.echo = false;
        ws_close(w->server.s, 1000, "bye");
        w->server.s = NULL;
        run_until(w->loop, w->client.ended == 1);
        assert_int_equal(w->client.why, ERR_CLOSED);
}

static void much_passes_a_reader_that_pauses(void **state)
{
        enum { BLOCK = 30000, TOTAL = 100 };
        static uint8_t block[BLOCK];
        struct site *w = *state;
        unsigned sent = 0;

        connect_both(w);
        for (unsigned i = 0; i < BLOCK; i++)
                block[i] = (uint8_t)i;
        net_stream_pause(w->server.s);
        for (unsigned round = 0; sent < TOTAL; round++) {
                if (net_stream_write(w->client.s, SLICE_ARRAY(block)) == OK)
                        sent++;
                else if (round % 2)
                        net_stream_resume(w->server.s);
                else
                        net_stream_pause(w->server.s);
                net_loop_run_once(w->loop, 1);
        }
        net_stream_resume(w->server.s);
        run_until(w->loop, w->server.got.len == (size_t)BLOCK * TOTAL);
        for (unsigned i = 0; i < TOTAL; i++)
                assert_memory_equal(w->server.got.ptr + (size_t)i * BLOCK, block, BLOCK);
}

static void another_subprotocol_is_refused(void **state)
{
        struct site *w = *state;

        assert_int_equal(ws_connect(w->raw, "h", "/derp", "other", 1000, on_connected, w, NULL), OK);
        run_until(w->loop, w->answers == 1);
        assert_int_equal(w->accepted, ERR_FORMAT);
        assert_int_not_equal(w->connected, OK);
        assert_non_null(strstr(w->diag.text, "400"));
}

/* The handshake of RFC 6455, 1.3, by hand; then frames by hand. */
static void shake_hands_raw(struct site *w, struct recorder *r)
{
        recorder_attach(r, w->raw);
        assert_int_equal(
                net_stream_write(w->raw,
                        SLICE_LIT("GET /derp HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                  "Sec-WebSocket-Protocol: chat, derp\r\nSec-WebSocket-Version: 13\r\n\r\n"
                                  "\x82\x83zzzzabc")),
                OK); /* a frame in the same flight */
        run_until(w->loop, w->server.s);
        run_until(w->loop, strstr(buf_cstr(&r->got), "\r\n\r\n"));
        assert_non_null(strstr(buf_cstr(&r->got), "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert_non_null(strstr(buf_cstr(&r->got), "Sec-WebSocket-Protocol: derp\r\n"));
        run_until(w->loop, w->server.got.len == 3);
        buf_clear(&r->got);
        buf_clear(&w->server.got);
}

static void frames_are_those_of_the_rfc(void **state)
{
        struct site *w = *state;
        static struct recorder r;

        shake_hands_raw(w, &r);
        assert_int_equal(net_stream_write(w->server.s, SLICE_LIT("Hi")), OK);
        run_until(w->loop, recorder_has(&r, "\x82\x02Hi"));
        buf_clear(&r.got);
        /* Two fragments with a ping between them. */
        assert_int_equal(
                net_stream_write(w->raw, SLICE_LIT("\x02\x81zzzz\x1b\x89\x81zzzz\x1b\x80\x81zzzz\x18")), OK);
        run_until(w->loop, recorder_has(&w->server, "ab"));
        run_until(w->loop, recorder_has(&r, "\x8a\x01" "a"));
        assert_int_equal(net_stream_write(w->raw, SLICE_LIT("\x88\x80zzzz")), OK); /* close */
        run_until(w->loop, w->server.ended == 1);
        assert_int_equal(w->server.why, ERR_CLOSED);
        recorder_fini(&r);
}

static void what_is_long_goes_in_messages_that_clients_read(void **state)
{
        enum { LONG = 40000, FIRST = 32768, HEAD = 4 };
        struct site *w = *state;
        static struct recorder r;
        static uint8_t data[LONG];

        shake_hands_raw(w, &r);
        assert_int_equal(net_stream_write(w->server.s, SLICE_ARRAY(data)), OK);
        run_until(w->loop, r.got.len == LONG + 2 * HEAD);
        assert_memory_equal(r.got.ptr, "\x82\x7e\x80\x00", HEAD);
        assert_memory_equal(r.got.ptr + HEAD + FIRST, "\x82\x7e\x1c\x40", HEAD);
        recorder_fini(&r);
}

static void bad_frames_end_the_stream(void **state)
{
        static const struct slice cases[] = {
                SLICE_LIT("\x82\x01x"),                                        /* not masked */
                SLICE_LIT("\x81\x81zzzz\x1b"),                                 /* text */
                SLICE_LIT("\x83\x81zzzz\x1b"),                                 /* no such opcode */
                SLICE_LIT("\xc2\x81zzzz\x1b"),                                 /* compressed */
                SLICE_LIT("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffzzzz\x1b"), /* larger than memory */
                SLICE_LIT("\x89\xfe\x00\x80zzzz"),                             /* a ping too long */
        };
        struct site *w = *state;

        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                static struct recorder r;
                shake_hands_raw(w, &r);
                assert_int_equal(net_stream_write(w->raw, cases[i]), OK);
                run_until(w->loop, w->server.ended == 1);
                assert_int_equal(w->server.why, ERR_FORMAT);
                recorder_fini(&r);
                teardown(state);
                setup(state);
        }
        net_stream_close(w->raw);
}

/* A client that sends pings and reads none of the pongs. */
static void a_flood_of_pings_is_not_kept(void **state)
{
        static uint8_t pings[50 * 131];
        struct site *w = *state;
        static struct recorder r;

        shake_hands_raw(w, &r);
        for (size_t i = 0; i < 50; i++)
                memcpy(pings + i * 131, "\x89\xfdzzzz", 6);
        net_stream_pause(w->raw);
        for (unsigned i = 0; i < 2000 && !w->server.ended; i++) {
                (void)!net_stream_write(w->raw, SLICE_ARRAY(pings));
                net_loop_run_once(w->loop, 1);
        }
        assert_int_equal(w->server.ended, 1);
        assert_int_equal(w->server.why, ERR_LIMIT);
        recorder_fini(&r);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(messages_are_one_run_of_bytes),
                TEST(much_passes_a_reader_that_pauses),
                TEST(another_subprotocol_is_refused),
                TEST(frames_are_those_of_the_rfc),
                TEST(what_is_long_goes_in_messages_that_clients_read),
                TEST(bad_frames_end_the_stream),
                TEST(a_flood_of_pings_is_not_kept),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
