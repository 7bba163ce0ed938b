/*
 * Whole relays on loopback, and clients that reach them in every way there is:
 * upgrade, fast start over TLS, WebSocket, through a neighbour.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/dial.h"
#include "net/udp.h"
#include "net/websocket.h"
#include "proto/derp_client.h"
#include "proto/stun.h"
#include "relay/relay_server.h"
#include "relay/relay_stun.h"

enum { PATIENCE = 500 }; /* rounds of 10 ms */

static struct net_loop *loop;
static const struct derp_mesh_key mesh_key = { { 4, 2 } };

/* ---- Relays ------------------------------------------------------------- */

struct host {
        struct relay_io *io;
        struct relay_server *server;
        struct tls_server *tls;
        uint16_t port;
        unsigned asked;
        uint64_t ticket;
};

static void on_ask(void *ctx, uint64_t ticket, const struct public_key *node, const struct ip_addr *source)
{
        struct host *h = ctx;

        assert_false(key_is_zero(node));
        assert_true(ip_is_loopback(source));
        h->asked++;
        h->ticket = ticket;
}

static void host_start(struct host *h, uint8_t id, struct relay_io_config *config, bool uses_tls)
{
        struct diag d;
        struct buf cert = BUF_INIT(65536), key = BUF_INIT(65536), metacert = BUF_INIT(65536);

        *h = (struct host){ 0 };
        config->loop = loop;
        memset(config->key.b, id, KEY_LEN);
        config->mesh_key = &mesh_key;
        config->ask = on_ask;
        config->ctx = h;
        assert_int_equal(relay_io_new(config, &h->io, &d), OK);
        if (uses_tls) {
                assert_int_equal(tls_make_self_signed("127.0.0.1", &cert, &key, NULL), OK);
                assert_int_equal(tls_make_derp_metacert(relay_public_key(relay_io_engine(h->io)), DERP_VERSION, 1700000000, &metacert), OK);
                struct tls_server_options options = {
                        .cert_pem = buf_slice(&cert), .key_pem = buf_slice(&key), .extra_chain_der = buf_slice(&metacert),
                };
                assert_int_equal(tls_server_new(&options, &h->tls, &d), OK);
        }
        struct relay_server_config server = {
                .loop = loop, .io = h->io, .addr = { .ip = ip_v4(127, 0, 0, 1) }, .tls = h->tls, .serves_derp = true, .plain_port = -1,
        };
        assert_int_equal(relay_server_start(&server, &h->server, &d), OK);
        h->port = relay_server_addr(h->server).port;
        buf_fini(&cert);
        buf_fini(&key);
        buf_fini(&metacert);
}

static void host_stop(struct host *h)
{
        relay_server_stop(h->server);
        relay_io_free(h->io);
        tls_server_free(h->tls);
}

/* ---- Clients ------------------------------------------------------------ */

struct node {
        struct derp_client client;
        struct net_stream *stream;
        struct http_upgrading *upgrading;
        bool is_tls, is_websocket, is_closed, knew_key;
        unsigned ready, packets, gone;
        size_t last_len;
};

static void node_write(void *ctx, struct slice head, struct slice tail)
{
        struct slice pieces[] = { head, tail };

        assert_int_equal(net_stream_writev(((struct node *)ctx)->stream, pieces, 2), OK);
}

static void node_ready(void *ctx, const struct public_key *server)
{
        (void)server;
        ((struct node *)ctx)->ready++;
}

static void node_packet(void *ctx, const struct public_key *src, struct slice packet)
{
        struct node *n = ctx;

        (void)src;
        n->packets++;
        n->last_len = packet.len;
}

static void node_gone(void *ctx, const struct public_key *peer, enum derp_gone_reason reason)
{
        (void)peer;
        (void)reason;
        ((struct node *)ctx)->gone++;
}

static void node_closed(void *ctx, enum err e, const char *why)
{
        print_message("closed: %s: %s\n", err_str(e), why);
        ((struct node *)ctx)->is_closed = true;
}

static const struct derp_client_events events = {
        .write = node_write, .ready = node_ready, .packet = node_packet, .peer_gone = node_gone, .closed = node_closed,
};

static void on_data(struct net_stream *s, void *ctx, struct slice data)
{
        struct now now = net_loop_now(loop);

        (void)s;
        derp_client_input(&((struct node *)ctx)->client, &now, data);
}

static void on_end(struct net_stream *s, void *ctx, enum err why)
{
        (void)s;
        (void)why;
        ((struct node *)ctx)->is_closed = true;
}

static const struct net_stream_handler handler = { .on_data = on_data, .on_end = on_end };

static void begin(struct node *n, bool is_upgraded, const struct public_key *server_key)
{
        struct derp_connect to = { .host = "127.0.0.1", .port = 1, .is_upgraded = is_upgraded, .server_key = server_key };
        struct now now = net_loop_now(loop);

        net_stream_set_handler(n->stream, &handler, n);
        assert_int_equal(derp_client_start(&n->client, &now, &to), OK);
}

static void on_websocket(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct node *n = ctx;

        if (e != OK)
                fail_msg("%s", d->text);
        n->upgrading = NULL;
        n->stream = s;
        begin(n, true, NULL);
}

static void on_dialed(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct node *n = ctx;
        struct public_key key;
        char name[256];
        uint32_t serial;

        if (e != OK)
                fail_msg("%s", d->text);
        if (n->is_websocket) {
                assert_int_equal(ws_connect(s, "127.0.0.1", "/derp", "derp", 1000, on_websocket, n, &n->upgrading), OK);
                return;
        }
        n->stream = s;
        if (n->is_tls && tls_find_peer_cert(s, "derpkey", name, &serial) == OK)
                n->knew_key = derp_metacert_parse(slice_str(name), serial, &key) == OK;
        begin(n, false, n->knew_key ? &key : NULL);
}

static void connect_node(struct node *n, const struct host *h, uint8_t id, bool uses_tls, bool uses_websocket)
{
        struct derp_client_config config = { .can_ack_pings = true, .rng = net_rng(), .events = &events, .ctx = n };
        struct tls_client_options tls = { .insecure = true };
        struct net_dial_options dial = { .host = "127.0.0.1", .port = h->port, .tls = uses_tls ? &tls : NULL };

        *n = (struct node){ .is_tls = uses_tls, .is_websocket = uses_websocket };
        memset(config.key.b, id, KEY_LEN);
        derp_client_init(&n->client, &config);
        assert_int_equal(net_dial_start(loop, &dial, on_dialed, n, NULL), OK);
}

static void disconnect(struct node *n)
{
        net_stream_close(n->stream);
        derp_client_fini(&n->client);
}

static void send_to(struct node *from, const struct node *to, size_t len)
{
        static const uint8_t packet[DERP_PACKET_MAX];
        struct now now = net_loop_now(loop);

        assert_int_equal(derp_client_send(&from->client, &now, &to->client.public_key, slice_make(packet, len)), OK);
}

#define WAIT_FOR(condition)                                              \
        do {                                                             \
                for (int round = 0; !(condition) && round < PATIENCE; round++) \
                        net_loop_run_once(loop, 10);                     \
                assert_true(condition);                                  \
        } while (0)

static int set_up(void **state)
{
        (void)state;
        return net_loop_new(&loop) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
        (void)state;
        net_loop_free(loop);
        return 0;
}

/* ---- Tests -------------------------------------------------------------- */

static void every_way_in(void **state)
{
        struct relay_io_config config = { 0 };
        struct host plain, tls;
        struct node nodes[4];

        (void)state;
        host_start(&plain, 1, &config, false);
        host_start(&tls, 2, &config, true);
        connect_node(&nodes[0], &plain, 11, false, false);
        connect_node(&nodes[1], &plain, 12, false, true);
        connect_node(&nodes[2], &tls, 13, true, false);
        connect_node(&nodes[3], &tls, 14, true, true);
        for (int i = 0; i < 4; i++)
                WAIT_FOR(nodes[i].ready == 1);
        assert_true(nodes[2].knew_key); /* fast start */
        send_to(&nodes[0], &nodes[1], 1400);
        send_to(&nodes[1], &nodes[0], 0);
        send_to(&nodes[2], &nodes[3], DERP_PACKET_MAX);
        send_to(&nodes[3], &nodes[2], 100);
        for (int i = 0; i < 4; i++)
                WAIT_FOR(nodes[i].packets == 1);
        assert_int_equal(nodes[3].last_len, DERP_PACKET_MAX);
        net_stream_close(nodes[0].stream);
        nodes[0].stream = NULL;
        WAIT_FOR(nodes[1].gone == 1);
        for (int i = 0; i < 4; i++)
                disconnect(&nodes[i]);
        host_stop(&plain);
        host_stop(&tls);
}

static void a_mesh_of_two(void **state)
{
        struct relay_io_config config = { 0 };
        struct host left, right;
        struct node a, b;
        char where[64];
        struct diag d;

        (void)state;
        host_start(&left, 1, &config, false);
        host_start(&right, 2, &config, false);
        snprintf(where, sizeof(where), "http://127.0.0.1:%u", right.port);
        assert_int_equal(relay_io_mesh_with(left.io, where, NULL, &d), OK);
        snprintf(where, sizeof(where), "http://localhost:%u", left.port);
        assert_int_equal(relay_io_mesh_with(right.io, where, "127.0.0.1", &d), OK);
        assert_int_equal(relay_io_mesh_with(right.io, "no host", NULL, &d), ERR_FORMAT);
        snprintf(where, sizeof(where), "http://127.0.0.1:%u", right.port);
        assert_int_equal(relay_io_mesh_with(right.io, where, NULL, &d), OK); /* itself: given up */
        connect_node(&a, &left, 11, false, false);
        connect_node(&b, &right, 12, false, false);
        WAIT_FOR(a.ready && b.ready && relay_io_mesh_links(left.io) == 1 && relay_io_mesh_links(right.io) == 1);
        WAIT_FOR(relay_stats(relay_io_engine(left.io))->routes >= 1 && relay_stats(relay_io_engine(right.io))->routes >= 1);
        send_to(&a, &b, 500);
        WAIT_FOR(b.packets == 1);
        send_to(&b, &a, 600);
        WAIT_FOR(a.packets == 1);
        disconnect(&b);
        WAIT_FOR(a.gone == 1);
        disconnect(&a);
        host_stop(&left);
        host_stop(&right);
}

static void the_owner_is_asked(void **state)
{
        struct relay_io_config config = { .admission = RELAY_ADMIT_ASK };
        struct host h;
        struct node good, bad, impatient;

        (void)state;
        host_start(&h, 1, &config, false);
        connect_node(&good, &h, 11, false, false);
        WAIT_FOR(h.asked == 1);
        relay_io_answer(h.io, h.ticket + 1, true); /* nobody has that ticket */
        assert_int_equal(good.ready, 0);
        relay_io_answer(h.io, h.ticket, true);
        WAIT_FOR(good.ready == 1);
        connect_node(&bad, &h, 12, false, false);
        WAIT_FOR(h.asked == 2);
        relay_io_answer(h.io, h.ticket, false);
        WAIT_FOR(bad.is_closed);
        connect_node(&impatient, &h, 13, false, false);
        WAIT_FOR(h.asked == 3);
        disconnect(&impatient); /* not seen before the answer: reading stands still */
        relay_io_answer(h.io, h.ticket, true);
        WAIT_FOR(relay_stats(relay_io_engine(h.io))->conns == 1);
        relay_io_answer(h.io, h.ticket, true); /* a ticket of the past */
        disconnect(&good);
        disconnect(&bad);
        host_stop(&h);
}

/* ---- Admission by URL: the verifier is an HTTP server of our own ---------- */

static const char *verifier_answer;
static char verifier_saw[256];

static void on_verify(void *ctx, struct http_exchange *x)
{
        (void)ctx;
        snprintf(verifier_saw, sizeof(verifier_saw), "%.*s", SLICE_ARGS(http_body(x)));
        http_respond(x, 200, "application/json", slice_str(verifier_answer));
}

static void a_url_is_asked(void **state)
{
        static const struct http_server_calls calls = { .on_request = on_verify };
        struct ip_port any = { .ip = ip_v4(127, 0, 0, 1) };
        struct relay_io_config config = { .admission = RELAY_ADMIT_URL };
        struct http_server *verifier;
        struct net_listener *listener;
        struct host h;
        struct node n;
        char url[64];
        struct diag d;

        (void)state;
        assert_int_equal(http_server_new(loop, NULL, &calls, NULL, &verifier), OK);
        assert_int_equal(http_server_listen(verifier, &any, NULL, &listener, &d), OK);
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/verify", net_listener_addr(listener).port);
        config.verify_url = url;
        config.verify_fail_open = true;
        host_start(&h, 1, &config, false);

        verifier_answer = "{\"Allow\":true}";
        connect_node(&n, &h, 11, false, false);
        WAIT_FOR(n.ready == 1);
        assert_memory_equal(verifier_saw, "{\"NodePublic\":\"nodekey:", 23);
        assert_non_null(strstr(verifier_saw, "\"Source\":\"127.0.0.1\"}"));
        disconnect(&n);

        static const char *const refusals[] = { "{\"Allow\":false}", "{}", "yes", "" };
        for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
                verifier_answer = refusals[i];
                connect_node(&n, &h, 11, false, false);
                WAIT_FOR(n.is_closed);
                assert_int_equal(n.ready, 0);
                disconnect(&n);
        }
        net_listener_close(listener); /* out of reach: fails open */
        connect_node(&n, &h, 11, false, false);
        WAIT_FOR(n.ready == 1);
        disconnect(&n);
        host_stop(&h);
        http_server_free(verifier);
}

/* ---- Admission by the node daemon of this machine ------------------------- */

static unsigned whois_status;

static void on_whois(void *ctx, struct http_exchange *x)
{
        struct slice addr;

        (void)ctx;
        assert_true(slice_is(http_request(x)->path, "/localapi/v0/whois"));
        assert_true(http_query(x, "addr", &addr));
        assert_true(slice_has_prefix(addr, SLICE_LIT("nodekey:")));
        http_respond(x, whois_status, "application/json", SLICE_LIT("{}"));
}

static void on_local_accept(void *ctx, struct net_stream *s)
{
        http_serve(ctx, s, NULL);
}

static void the_local_node_is_asked(void **state)
{
        static const struct http_server_calls calls = { .on_request = on_whois };
        static const struct net_listener_calls accept_calls = { .on_accept = on_local_accept };
        char path[] = "/tmp/weft-relay-io-XXXXXX", socket_path[64];
        struct relay_io_config config = { .admission = RELAY_ADMIT_LOCAL, .local_socket = socket_path };
        struct http_server *daemon;
        struct net_listener *listener;
        struct host h;
        struct node n;
        struct diag d;

        (void)state;
        assert_non_null(mkdtemp(path));
        snprintf(socket_path, sizeof(socket_path), "%s/daemon.sock", path);
        assert_int_equal(http_server_new(loop, NULL, &calls, NULL, &daemon), OK);
        assert_int_equal(net_listen_unix(loop, socket_path, 0600, 0, &accept_calls, daemon, &listener, &d), OK);
        host_start(&h, 1, &config, false);

        whois_status = 200;
        connect_node(&n, &h, 11, false, false);
        WAIT_FOR(n.ready == 1);
        disconnect(&n);
        whois_status = 404;
        connect_node(&n, &h, 12, false, false);
        WAIT_FOR(n.is_closed);
        assert_int_equal(n.ready, 0);
        disconnect(&n);
        net_listener_close(listener); /* no daemon: nobody is let in */
        connect_node(&n, &h, 11, false, false);
        WAIT_FOR(n.is_closed);
        assert_int_equal(n.ready, 0);
        disconnect(&n);
        host_stop(&h);
        http_server_free(daemon);
        assert_int_equal(rmdir(path), 0);
}

/* ---- STUN ----------------------------------------------------------------- */

static struct ip_port mapped;

static void on_stun_answer(void *ctx, const struct ip_port *from, struct slice data)
{
        struct stun_txid txid;

        (void)ctx;
        (void)from;
        assert_int_equal(stun_response_parse(data, &txid, &mapped), OK);
        assert_int_equal(txid.b[0], 7);
}

static void stun_tells_our_address(void **state)
{
        static const struct net_udp_calls calls = { on_stun_answer };
        struct net_udp_options options = { .bind = { .ip = ip_v4(127, 0, 0, 1) } };
        struct stun_txid txid = { { 7 } };
        uint8_t request[STUN_REQUEST_LEN];
        struct relay_stun *server;
        struct net_udp *udp;
        struct diag d;

        (void)state;
        assert_int_equal(relay_stun_start(loop, &options.bind, &server, &d), OK);
        assert_int_equal(net_udp_open(loop, &options, &calls, NULL, &udp, &d), OK);
        struct ip_port to = relay_stun_addr(server), self = net_udp_addr(udp);
        assert_int_equal(net_udp_send(udp, &to, SLICE_LIT("hello")), OK);
        stun_request_write(&txid, request);
        assert_int_equal(net_udp_send(udp, &to, SLICE_ARRAY(request)), OK);
        WAIT_FOR(ip_valid(&mapped.ip));
        assert_true(ip_port_equal(&mapped, &self));
        assert_int_equal(relay_stun_stats(server)->refused, 1);
        assert_int_equal(relay_stun_stats(server)->answered_v4, 1);
        net_udp_close(udp);
        relay_stun_stop(server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(every_way_in), TEST(a_mesh_of_two),          TEST(the_owner_is_asked),
                TEST(a_url_is_asked), TEST(the_local_node_is_asked), TEST(stun_tells_our_address),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
