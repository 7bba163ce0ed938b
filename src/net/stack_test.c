/*
 * All layers at once, over loopback: a node's way to its control server (TCP, TLS, HTTP
 * upgrade or WebSocket, Noise, HTTP/2) and to a relay without an answer to its upgrade;
 * and programs of others, where they are installed.
 */
#include "test_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "net/http_client.h"
#include "net/noise.h"
#include "net/websocket.h"

struct world {
        struct net_loop *loop;
        struct buf cert, key;
        struct tls_server *tls;
        struct http_server *outer, *inner;
        struct net_listener *plain, *secure;
        struct secret_key server_key, machine_key;
        struct public_key server_pub, machine_pub;
        unsigned polls;              /* requests that came through Noise */
        struct net_noise_peer peer;  /* who made the last of them */
        struct recorder relay;       /* a hijacked stream */
        /* the client's side */
        struct noise_client hs;
        char handshake[2 * NOISE_INITIATION_LEN];
        struct net_stream *s;
        struct http_client *client;
        struct buf body;
        unsigned dials, upgrades, dones, status;
        struct diag diag;
};

/* ---- the server ---- */

static void on_inner(void *ctx, struct http_exchange *x)
{
        struct world *w = ctx;

        w->polls++;
        w->peer = *(struct net_noise_peer *)http_conn_ctx(x);
        http_start(x, 200, NULL);
        for (int i = 0; i < 3; i++)
                assert_int_equal(http_write(x, http_body(x)), OK);
        http_finish(x);
}

static void on_inner_end(void *ctx, void *conn_ctx)
{
        (void)ctx;
        free(conn_ctx);
}

static void accept_noise(struct world *w, struct http_exchange *x)
{
        struct net_noise_peer *peer = calloc(1, sizeof(*peer));
        struct net_stream *s;

        if (net_noise_accept(
                    x, &w->server_key, SLICE_LIT("{\"nodeKeyChallenge\":\"\"}"), NULL, NULL, peer, &s) == OK)
                http_serve_h2(w->inner, s, peer);
        else
                free(peer);
}

static void on_outer(void *ctx, struct http_exchange *x)
{
        struct world *w = ctx;
        struct slice path = http_request(x)->path;

        if (slice_is(path, "/ts2021"))
                accept_noise(w, x);
        else if (slice_is(path, "/derp") && http_header(x, "Derp-Fast-Start").ptr) {
                struct net_stream *s;
                assert_int_equal(http_hijack(x, &s), OK);
                recorder_attach(&w->relay, s);
        } else
                http_respond(x, 200, "text/plain", http_body(x).len ? http_body(x) : SLICE_LIT("hello\n"));
}

static const struct http_server_calls outer_calls = { .on_request = on_outer };
static const struct http_server_calls inner_calls = { .on_request = on_inner, .on_conn_end = on_inner_end };
static struct world world;

static int setup(void **state)
{
        struct world *w = &world;
        struct ip_port any = { .ip = ip_v4(127, 0, 0, 1) };

        *w = (struct world){ .cert = BUF_INIT(8192), .key = BUF_INIT(8192), .body = BUF_INIT(1 << 20) };
        assert_int_equal(net_loop_new(&w->loop), OK);
        assert_int_equal(tls_make_self_signed("127.0.0.1", &w->cert, &w->key, NULL), OK);
        struct tls_server_options o = {
                .cert_pem = buf_slice(&w->cert), .key_pem = buf_slice(&w->key), .offer_h2 = true
        };
        assert_int_equal(tls_server_new(&o, &w->tls, &w->diag), OK);
        key_generate(net_rng(), &w->server_key);
        key_generate(net_rng(), &w->machine_key);
        key_public(&w->server_key, &w->server_pub);
        key_public(&w->machine_key, &w->machine_pub);
        assert_int_equal(http_server_new(w->loop, NULL, &outer_calls, w, &w->outer), OK);
        assert_int_equal(http_server_new(w->loop, NULL, &inner_calls, w, &w->inner), OK);
        assert_int_equal(http_server_listen(w->outer, &any, NULL, &w->plain, &w->diag), OK);
        assert_int_equal(http_server_listen(w->outer, &any, w->tls, &w->secure, &w->diag), OK);
        *state = w;
        return 0;
}

static int teardown(void **state)
{
        struct world *w = *state;

        http_client_free(w->client);
        recorder_fini(&w->relay);
        net_listener_close(w->plain);
        net_listener_close(w->secure);
        http_server_free(w->inner);
        http_server_free(w->outer);
        tls_server_free(w->tls);
        net_loop_free(w->loop);
        buf_fini(&w->cert);
        buf_wipe(&w->key);
        buf_fini(&w->body);
        return 0;
}

/* ---- the client ---- */

static void on_dialed(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct world *w = ctx;

        if (e != OK)
                fail_msg("%s", d->text);
        w->s = s;
        w->dials++;
}

static void dial(struct world *w, bool is_secure)
{
        struct tls_client_options tls = { .ca_pem = buf_slice(&w->cert) };
        struct net_dial_options o = {
                .host = "127.0.0.1",
                .port = net_listener_addr(is_secure ? w->secure : w->plain).port,
                .tls = is_secure ? &tls : NULL,
        };
        assert_int_equal(net_dial_start(w->loop, &o, on_dialed, w, NULL), OK);
        run_until(w->loop, w->dials == 1);
}

static void begin_handshake(struct world *w)
{
        uint8_t initiation[NOISE_INITIATION_LEN];

        assert_int_equal(
                noise_client_start(&w->hs, &w->machine_key, &w->server_pub, 145, net_rng(), initiation), OK);
        base64_encode(SLICE_ARRAY(initiation), w->handshake);
}

static void on_websocket(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct world *w = ctx;

        if (e != OK)
                fail_msg("%s", d->text);
        w->s = s;
        w->upgrades++;
}

static void on_upgraded(
        void *ctx, enum err e, struct net_stream *s, const struct http_response *r, const struct diag *d)
{
        (void)r;
        on_websocket(ctx, e, s, d);
}

static void on_head(void *ctx, const struct http_response *r)
{
        ((struct world *)ctx)->status = r->status;
}
static void on_data(void *ctx, struct slice data)
{
        buf_append_slice(&((struct world *)ctx)->body, data);
}
static void on_done(void *ctx, enum err e, const struct diag *d)
{
        if (e != OK)
                fail_msg("%s", d->text);
        ((struct world *)ctx)->dones++;
}

/* Noise and HTTP/2 on what is upgraded already, and one request through all of it. */
static void ask_through_noise(struct world *w, bool is_early_expected)
{
        static const struct http_call_events events = {
                .on_head = on_head, .on_data = on_data, .on_done = on_done
        };
        struct http_ask ask = { .method = "GET",
                .target = "/machine/map",
                .authority = "unused",
                .body = SLICE_LIT("{body of a GET}") };
        struct net_stream *s;

        assert_int_equal(net_noise_connect(w->s, &w->hs, &s), OK);
        run_until(w->loop, net_stream_is_open(s));
        assert_int_equal(net_noise_early(s).len > 0, is_early_expected);
        assert_int_equal(http_client_new(s, true, NULL, NULL, &w->client), OK);
        assert_int_equal(http_client_call(w->client, &ask, &events, w, NULL), OK);
        run_until(w->loop, w->dones == 1);
        assert_int_equal(w->status, 200);
        assert_true(slice_is(buf_slice(&w->body), "{body of a GET}{body of a GET}{body of a GET}"));
        assert_int_equal(w->polls, 1);
        assert_int_equal(w->peer.version, 145);
        assert_true(key_equal(&w->peer.machine_key, &w->machine_pub));
}

static void to_control(struct world *w, bool is_secure)
{
        dial(w, is_secure);
        begin_handshake(w);
        struct http_header headers[] = {
                { SLICE_LIT("Connection"), SLICE_LIT("upgrade") },
                { SLICE_LIT("Upgrade"), SLICE_LIT("tailscale-control-protocol") },
                { SLICE_LIT("X-Tailscale-Handshake"), slice_str(w->handshake) },
        };
        struct http_ask ask = { .method = "POST",
                .target = "/ts2021",
                .authority = "127.0.0.1:80",
                .headers = headers,
                .header_count = 3 };
        assert_int_equal(http_upgrade_start(w->s, &ask, 1000, on_upgraded, w, NULL), OK);
        run_until(w->loop, w->upgrades == 1);
        ask_through_noise(w, true);
}

static void the_way_to_control_in_the_clear(void **state) { to_control(*state, false); }
static void the_way_to_control_in_tls(void **state) { to_control(*state, true); }

static void the_way_to_control_of_a_browser(void **state)
{
        struct world *w = *state;
        struct buf target = BUF_INIT(1024);

        dial(w, true);
        begin_handshake(w);
        buf_append_str(&target, "/ts2021?X-Tailscale-Handshake=");
        for (const char *from = w->handshake; *from; from++) {
                if (*from == '+' || *from == '/' || *from == '=')
                        buf_printf(&target, "%%%02X", (unsigned)*from);
                else
                        buf_append_byte(&target, (uint8_t)*from);
        }
        assert_int_equal(
                ws_connect(w->s, "h", buf_cstr(&target), "tailscale-control-protocol", 1000, on_websocket, w, NULL), OK);
        run_until(w->loop, w->upgrades == 1);
        ask_through_noise(w, false);
        buf_fini(&target);
}

/* DERP's fast start: the first frame leaves with the request, no head ever comes. */
static void a_relay_may_answer_without_a_head(void **state)
{
        struct world *w = *state;
        struct recorder r;

        dial(w, true);
        recorder_attach(&r, w->s);
        assert_int_equal(
                net_stream_write(w->s, SLICE_LIT("GET /derp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
                                                 "Derp-Fast-Start: 1\r\nUpgrade: DERP\r\n\r\nframe")),
                OK);
        run_until(w->loop, w->relay.s && recorder_has(&w->relay, "frame"));
        assert_true(tls_is_1_3(w->relay.s));
        assert_int_equal(net_stream_write(w->relay.s, SLICE_LIT("answer")), OK);
        run_until(w->loop, recorder_has(&r, "answer"));
        recorder_fini(&r);
}

/* ---- other people's clients ---- */

struct command {
        char line[512];
        char out[4096];
};

static void run_command(void *ctx)
{
        struct command *c = ctx;
        FILE *f = popen(c->line, "r");
        size_t n = f ? fread(c->out, 1, sizeof(c->out) - 1, f) : 0;

        c->out[n] = '\0';
        if (f)
                pclose(f);
}
static unsigned commands_done;
static void command_done(void *ctx)
{
        (void)ctx;
        commands_done++;
}

static const char *shell(struct world *w, const char *line)
{
        static const struct net_work_calls calls = { run_command, command_done, NULL };
        static struct command c;
        struct net_work *work;

        snprintf(c.line, sizeof(c.line), "%s 2>&1", line);
        commands_done = 0;
        assert_int_equal(net_work_start(w->loop, &calls, &c, &work), OK);
        run_until(w->loop, commands_done == 1);
        return c.out;
}

static void curl_is_served_by_every_version(void **state)
{
        struct world *w = *state;
        char line[256];
        unsigned plain = net_listener_addr(w->plain).port, secure = net_listener_addr(w->secure).port;

        if (access("/usr/bin/curl", X_OK) != 0)
                skip();
        snprintf(line, sizeof(line), "curl -sS --noproxy '*' http://127.0.0.1:%u/a http://127.0.0.1:%u/b",
                plain, plain);
        assert_string_equal(shell(w, line), "hello\nhello\n");
        snprintf(line, sizeof(line),
                "head -c 300000 /dev/zero | curl -sS --noproxy '*' -T - http://127.0.0.1:%u/ | wc -c", plain);
        assert_string_equal(shell(w, line), "300000\n"); /* chunked, Expect: 100-continue */
        snprintf(line, sizeof(line),
                "curl -sSk --http1.1 -w '%%{http_version}' --noproxy '*' https://127.0.0.1:%u/", secure);
        assert_string_equal(shell(w, line), "hello\n1.1");
        snprintf(line, sizeof(line),
                "head -c 900000 /dev/zero | curl -sSk -w '%%{http_version}' --noproxy '*' -T - "
                "https://127.0.0.1:%u/ | tail -c 2",
                secure);
        assert_memory_equal(shell(w, line), "\0" "2", 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(the_way_to_control_in_the_clear),
                TEST(the_way_to_control_in_tls),
                TEST(the_way_to_control_of_a_browser),
                TEST(a_relay_may_answer_without_a_head),
                TEST(curl_is_served_by_every_version),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
