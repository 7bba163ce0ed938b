/* The engine against scripted servers, bytes on one side and events on the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/derp_client.h"

static struct {
        struct now now;
        struct rng_seeded rng;
        struct derp_client client;
        struct buf out; /* what the engine wrote */
        struct secret_key server_key;
        struct public_key server_pub;
        unsigned ready, packets, gone, present, pongs, restarts, health;
        struct slice last_packet;
        enum err closed;
        const char *why;
} t;

static void on_write(void *ctx, struct slice head, struct slice tail)
{
        (void)ctx;
        buf_append_slice(&t.out, head);
        buf_append_slice(&t.out, tail);
}

static void on_ready(void *ctx, const struct public_key *server)
{
        (void)ctx;
        assert_true(key_equal(server, &t.server_pub));
        t.ready++;
}

static void on_packet(void *ctx, const struct public_key *src, struct slice packet)
{
        (void)ctx;
        (void)src;
        t.packets++;
        t.last_packet = packet;
}

static void on_gone(void *ctx, const struct public_key *peer, enum derp_gone_reason reason)
{
        (void)ctx;
        (void)peer;
        assert_int_equal(reason, DERP_GONE_NOT_HERE);
        t.gone++;
}

static void on_pong(void *ctx, const uint8_t data[static DERP_PING_LEN])
{
        (void)ctx;
        (void)data;
        t.pongs++;
}

static void on_health(void *ctx, struct slice text)
{
        (void)ctx;
        assert_true(slice_is(text, "overloaded"));
        t.health++;
}

static void on_restarting(void *ctx, const struct derp_restarting *r)
{
        (void)ctx;
        assert_int_equal(r->reconnect_in_ms, 1000);
        assert_int_equal(r->try_for_ms, 2000);
        t.restarts++;
}

static void on_closed(void *ctx, enum err e, const char *why)
{
        (void)ctx;
        assert_int_equal(t.closed, OK); /* once */
        t.closed = e;
        t.why = why;
}

static const struct derp_client_events events = {
        .write = on_write,
        .ready = on_ready,
        .packet = on_packet,
        .peer_gone = on_gone,
        .pong = on_pong,
        .health = on_health,
        .restarting = on_restarting,
        .closed = on_closed,
};

static int set_up(void **state)
{
        struct derp_client_config config = { .can_ack_pings = true, .rng = &t.rng.rng, .events = &events };

        (void)state;
        memset(&t, 0, sizeof(t));
        t.out = BUF_INIT(1 << 20);
        t.now.mono_us = TIME_S(5);
        rng_seed(&t.rng, 3);
        memset(config.key.b, 0x11, KEY_LEN);
        memset(t.server_key.b, 0x33, KEY_LEN);
        key_public(&t.server_key, &t.server_pub);
        derp_client_init(&t.client, &config);
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        derp_client_fini(&t.client);
        buf_fini(&t.out);
        return 0;
}

static void begin(const struct derp_connect *to)
{
        assert_int_equal(derp_client_start(&t.client, &t.now, to), OK);
}

static void from_server(struct slice bytes)
{
        derp_client_input(&t.client, &t.now, bytes);
}

static void from_server_text(const char *text)
{
        from_server(slice_str(text));
}

static void frame_from_server(enum derp_type type, struct slice payload)
{
        uint8_t frame[256];
        struct writer w = writer_of(frame, sizeof(frame));

        derp_frame_write(&w, type, payload);
        from_server(slice_make(frame, (size_t)(w.p - w.start)));
}

static void server_key_frame(void)
{
        uint8_t frame[DERP_SERVER_KEY_FRAME_LEN];

        derp_server_key_write(&t.server_pub, frame);
        from_server(SLICE_ARRAY(frame));
}

static void server_info_frame(const struct derp_server_info *info)
{
        uint8_t nonce[BOX_NONCE_LEN] = { 1 };
        struct buf out = BUF_INIT(1024);

        assert_int_equal(derp_server_info_write(info, &t.server_key, &t.client.public_key, nonce, &out), OK);
        from_server(buf_slice(&out));
        buf_fini(&out);
}

/* Takes the next frame off what the engine wrote. */
static void expect_frame(enum derp_type type, size_t len)
{
        assert_true(t.out.len >= DERP_HEADER_LEN + len);
        assert_int_equal(t.out.ptr[0], type);
        assert_int_equal(get_be32(t.out.ptr + 1), len);
        buf_consume(&t.out, DERP_HEADER_LEN + len);
}

static void expect_client_info(void)
{
        struct arena arena = ARENA_INIT(4096);
        struct derp_client_info info;
        struct public_key who;

        assert_true(t.out.len > DERP_HEADER_LEN);
        size_t len = get_be32(t.out.ptr + 1);
        struct slice payload = slice_first(slice_after(buf_slice(&t.out), DERP_HEADER_LEN), len);
        assert_int_equal(derp_client_info_parse(payload, &t.server_key, &arena, &who, &info), OK);
        assert_true(key_equal(&who, &t.client.public_key));
        assert_true(info.can_ack_pings);
        arena_fini(&arena);
        expect_frame(DERP_CLIENT_INFO, len);
}

static void expect_request(const char *text)
{
        size_t len = strlen(text);

        assert_true(t.out.len >= len);
        assert_memory_equal(t.out.ptr, text, len);
        buf_consume(&t.out, len);
}

#define UPGRADED "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: 2\r\n\r\n"
static const struct derp_server_info plain_info = { .version = 2 };

static void greet(const struct derp_server_info *info)
{
        begin(&(struct derp_connect){ .host = "h", .is_upgraded = true });
        server_key_frame();
        server_info_frame(info);
        assert_int_equal(t.ready, 1);
        buf_clear(&t.out);
}

/* ---- Greeting ----------------------------------------------------------- */

static void greeting_by_upgrade(void **state)
{
        (void)state;
        derp_client_note_preferred(&t.client, true);
        begin(&(struct derp_connect){ .host = "derp1.example.com", .port = 443 });
        expect_request("GET /derp HTTP/1.1\r\nHost: derp1.example.com\r\nUser-Agent: Go-http-client/1.1\r\n"
                       "Connection: Upgrade\r\nUpgrade: DERP\r\n\r\n");
        assert_int_equal(t.out.len, 0);
        for (const char *p = UPGRADED; *p; p++) /* byte by byte */
                from_server(slice_make(p, 1));
        assert_false(derp_client_can_send(&t.client));
        server_key_frame();
        expect_client_info();
        expect_frame(DERP_NOTE_PREFERRED, 1);
        assert_true(derp_client_can_send(&t.client));
        assert_int_equal(t.ready, 0);
        server_info_frame(&plain_info);
        assert_int_equal(t.ready, 1);
        assert_int_equal(t.out.len, 0);
}

static void greeting_in_one_piece(void **state)
{
        uint8_t frame[DERP_SERVER_KEY_FRAME_LEN];
        struct buf all = BUF_INIT(4096);

        (void)state;
        begin(&(struct derp_connect){ .host = "h", .port = 8443, .ideal_node = "1a" });
        expect_request("GET /derp HTTP/1.1\r\nHost: h:8443\r\nUser-Agent: Go-http-client/1.1\r\n"
                       "Connection: Upgrade\r\nIdeal-Node: 1a\r\nUpgrade: DERP\r\n\r\n");
        derp_server_key_write(&t.server_pub, frame);
        buf_append_str(&all, UPGRADED);
        buf_append(&all, frame, sizeof(frame));
        from_server(buf_slice(&all));
        buf_fini(&all);
        expect_client_info();
}

static void greeting_with_fast_start(void **state)
{
        (void)state;
        begin(&(struct derp_connect){ .host = "h", .server_key = &t.server_pub });
        expect_request("GET /derp HTTP/1.1\r\nHost: h\r\nUser-Agent: Go-http-client/1.1\r\n"
                       "Connection: Upgrade\r\nDerp-Fast-Start: 1\r\nUpgrade: DERP\r\n\r\n");
        expect_client_info();
        assert_true(derp_client_can_send(&t.client));
        server_key_frame(); /* still comes, and is passed over */
        server_info_frame(&plain_info);
        assert_int_equal(t.ready, 1);
}

static void refusals(void **state)
{
        (void)state;
        begin(&(struct derp_connect){ .host = "h" });
        from_server_text("HTTP/1.1 426 Upgrade Required\r\n\r\n");
        assert_int_equal(t.closed, ERR_DENIED);

        t.closed = OK;
        begin(&(struct derp_connect){ .host = "h" });
        from_server_text("SSH-2.0-OpenSSH\r\n\r\n");
        assert_int_equal(t.closed, ERR_FORMAT);

        t.closed = OK;
        begin(&(struct derp_connect){ .host = "h" });
        for (int i = 0; i < 9000; i++)
                from_server_text("x");
        assert_int_equal(t.closed, ERR_RANGE);

        t.closed = OK;
        begin(&(struct derp_connect){ .host = "h", .is_upgraded = true });
        frame_from_server(DERP_KEEP_ALIVE, (struct slice){ 0 });
        assert_int_equal(t.closed, ERR_FORMAT);

        t.closed = OK; /* fast start, and the answer is HTTP after all */
        begin(&(struct derp_connect){ .host = "h", .server_key = &t.server_pub });
        from_server_text("HTTP/1.1 400 Bad Request\r\n\r\n");
        assert_int_equal(t.closed, ERR_RANGE);

        struct public_key zero = { { 0 } };
        assert_int_equal(derp_client_start(&t.client, &t.now, &(struct derp_connect){ .host = "h", .server_key = &zero }), ERR_AUTH);
}

static void an_impostor_is_found_out(void **state)
{
        (void)state;
        begin(&(struct derp_connect){ .host = "h", .is_upgraded = true });
        server_key_frame();
        t.server_key.b[5] ^= 1; /* showed a key that it does not have */
        server_info_frame(&plain_info);
        assert_int_equal(t.closed, ERR_AUTH);
        assert_int_equal(t.ready, 0);
}

/* ---- Time --------------------------------------------------------------- */

static void tick_at(uint64_t us)
{
        t.now.mono_us = us;
        derp_client_tick(&t.client, &t.now);
}

static void timeouts(void **state)
{
        (void)state;
        assert_true(derp_client_deadline(&t.client) == TIME_NEVER);
        begin(&(struct derp_connect){ .host = "h" });
        tick_at(TIME_S(15) - 1);
        assert_int_equal(t.closed, OK);
        tick_at(TIME_S(15));
        assert_int_equal(t.closed, ERR_TIMEOUT);
        assert_true(derp_client_deadline(&t.client) == TIME_NEVER);

        t.closed = OK;
        greet(&plain_info);
        tick_at(TIME_S(100));
        frame_from_server(DERP_KEEP_ALIVE, (struct slice){ 0 });
        tick_at(TIME_S(219));
        assert_int_equal(t.closed, OK);
        from_server_text("\x05"); /* half a frame is no sign of life */
        tick_at(TIME_S(220));
        assert_int_equal(t.closed, ERR_TIMEOUT);
}

static void the_rate_hint_is_kept(void **state)
{
        struct derp_server_info info = { .version = 2, .bytes_per_second = 1000, .bytes_burst = 2000 };
        static const uint8_t packet[963]; /* 1000 with header and key */

        (void)state;
        greet(&info);
        assert_int_equal(derp_client_send(&t.client, &t.now, &t.server_pub, SLICE_ARRAY(packet)), OK);
        assert_int_equal(derp_client_send(&t.client, &t.now, &t.server_pub, SLICE_ARRAY(packet)), OK);
        assert_int_equal(derp_client_send(&t.client, &t.now, &t.server_pub, SLICE_ARRAY(packet)), ERR_LIMIT);
        t.now.mono_us += TIME_S(1);
        assert_int_equal(derp_client_send(&t.client, &t.now, &t.server_pub, SLICE_ARRAY(packet)), OK);
        assert_int_equal(t.client.stats.over_rate, 1);
}

/* ---- Frames ------------------------------------------------------------- */

static void frames_both_ways(void **state)
{
        static const uint8_t too_long[DERP_PACKET_MAX + 1];
        struct buf payload = BUF_INIT(1024);

        (void)state;
        assert_int_equal(derp_client_send(&t.client, &t.now, &t.server_pub, SLICE_LIT("x")), ERR_STATE);
        assert_int_equal(derp_client_ping(&t.client, too_long), ERR_STATE);
        greet(&plain_info);

        assert_int_equal(derp_client_send(&t.client, &t.now, &t.server_pub, SLICE_LIT("wg")), OK);
        expect_frame(DERP_SEND_PACKET, KEY_LEN + 2);
        assert_int_equal(derp_client_send(&t.client, &t.now, &t.server_pub, SLICE_ARRAY(too_long)), ERR_RANGE);
        assert_int_equal(derp_client_ping(&t.client, (const uint8_t *)"abcdefgh"), OK);
        expect_frame(DERP_PING, 8);
        derp_client_note_preferred(&t.client, true);
        derp_client_note_preferred(&t.client, true); /* nothing new */
        expect_frame(DERP_NOTE_PREFERRED, 1);
        derp_client_watch_conns(&t.client);
        expect_frame(DERP_WATCH_CONNS, 0);
        assert_int_equal(derp_client_close_peer(&t.client, &t.server_pub), OK);
        expect_frame(DERP_CLOSE_PEER, KEY_LEN);
        assert_int_equal(derp_client_forward(&t.client, &t.server_pub, &t.server_pub, SLICE_LIT("wg")), OK);
        expect_frame(DERP_FORWARD_PACKET, 2 * KEY_LEN + 2);
        assert_int_equal(t.out.len, 0);

        buf_append(&payload, t.server_pub.b, KEY_LEN);
        buf_append_str(&payload, "abc");
        frame_from_server(DERP_RECV_PACKET, buf_slice(&payload));
        assert_int_equal(t.packets, 1);
        frame_from_server(DERP_RECV_PACKET, SLICE_LIT("short"));
        assert_int_equal(t.packets, 1);
        buf_clear(&payload);
        buf_append(&payload, t.server_pub.b, KEY_LEN);
        buf_append_byte(&payload, DERP_GONE_NOT_HERE);
        frame_from_server(DERP_PEER_GONE, buf_slice(&payload));
        assert_int_equal(t.gone, 1);
        frame_from_server(DERP_PING, SLICE_LIT("12345678"));
        expect_frame(DERP_PONG, 8);
        frame_from_server(DERP_PONG, SLICE_LIT("12345678"));
        assert_int_equal(t.pongs, 1);
        frame_from_server(DERP_HEALTH, SLICE_LIT("overloaded"));
        assert_int_equal(t.health, 1);
        frame_from_server(DERP_RESTARTING, SLICE_LIT("\x00\x00\x03\xe8\x00\x00\x07\xd0"));
        assert_int_equal(t.restarts, 1);
        frame_from_server((enum derp_type)0x7f, SLICE_LIT("from the future"));
        assert_int_equal(t.closed, OK);
        from_server(SLICE_LIT("\x7f\x00\x10\x00\x01"));
        assert_int_equal(t.closed, ERR_RANGE);
        buf_fini(&payload);
}

static void stopped_is_silent(void **state)
{
        (void)state;
        greet(&plain_info);
        derp_client_stop(&t.client);
        frame_from_server(DERP_PING, SLICE_LIT("12345678"));
        tick_at(TIME_S(10000));
        assert_int_equal(t.closed, OK);
        assert_int_equal(t.out.len, 0);
        t.ready = 0;
        greet(&plain_info); /* and may begin anew */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(greeting_by_upgrade), TEST(greeting_in_one_piece), TEST(greeting_with_fast_start),
                TEST(refusals),            TEST(an_impostor_is_found_out), TEST(timeouts),
                TEST(the_rate_hint_is_kept), TEST(frames_both_ways),    TEST(stopped_is_silent),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
