#include "test_util.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "crypto/hash.h"
#include "net/tls.h"

/* A server identity for "relay.test" and both ends of a pair with TLS on them. */
struct tls_pair {
        struct buf cert, key;
        uint8_t pin[32];
        struct tls_server *server;
        struct recorder a, b; /* a: client, b: server */
};

static void identity(struct tls_pair *p, const char *host, struct slice extra)
{
        struct diag d = { "" };

        p->cert = BUF_INIT(1 << 16);
        p->key = BUF_INIT(1 << 16);
        assert_int_equal(tls_make_self_signed(host, &p->cert, &p->key, p->pin), OK);
        struct tls_server_options o = {
                .cert_pem = buf_slice(&p->cert), .key_pem = buf_slice(&p->key), .extra_chain_der = extra
        };
        if (tls_server_new(&o, &p->server, &d) != OK)
                fail_msg("%s", d.text);
}

static void connect_pair(struct tls_pair *p, struct net_loop *loop, const struct tls_client_options *o)
{
        struct net_stream *a, *b, *ta, *tb;
        struct diag d = { "" };

        assert_int_equal(net_stream_pair(loop, &a, &b), OK);
        assert_int_equal(tls_accept(p->server, b, &tb), OK);
        recorder_attach(&p->b, tb);
        if (tls_connect(o, a, &ta, &d) != OK)
                fail_msg("%s", d.text);
        recorder_attach(&p->a, ta);
}

static void release(struct tls_pair *p)
{
        recorder_fini(&p->a);
        recorder_fini(&p->b);
        tls_server_free(p->server);
        buf_fini(&p->cert);
        buf_fini(&p->key);
}

static void carries_bytes_both_ways(void **state)
{
        struct tls_pair p;

        identity(&p, "relay.test", (struct slice){ 0 });
        connect_pair(&p, *state,
                &(struct tls_client_options){ .server_name = "relay.test", .ca_pem = buf_slice(&p.cert) });
        assert_int_equal(net_stream_write(p.a.s, SLICE_LIT("early")), OK);
        run_until(*state, p.a.opened && recorder_has(&p.b, "early"));
        assert_int_equal(net_stream_write(p.b.s, SLICE_LIT("answer")), OK);
        run_until(*state, recorder_has(&p.a, "answer"));
        assert_true(tls_is(p.a.s) && tls_is_1_3(p.a.s) && !tls_chose_h2(p.a.s));
        net_stream_shutdown(p.b.s);
        run_until(*state, p.a.ended);
        assert_int_equal(p.a.why, ERR_CLOSED);
        release(&p);
}

static void carries_much_under_backpressure(void **state)
{
        enum { TOTAL = 8 << 20, PIECE = 100000 };
        struct tls_pair p;
        static uint8_t piece[PIECE];
        size_t sent = 0;

        identity(&p, "relay.test", (struct slice){ 0 });
        connect_pair(&p, *state,
                &(struct tls_client_options){ .server_name = "relay.test", .ca_pem = buf_slice(&p.cert) });
        run_until(*state, p.a.opened);
        net_stream_pause(p.b.s);
        while (sent < TOTAL) {
                for (size_t i = 0; i < PIECE; i++)
                        piece[i] = (uint8_t)((sent + i) * 31);
                if (net_stream_write(p.a.s, slice_make(piece, PIECE)) == OK) {
                        sent += PIECE;
                } else {
                        net_stream_resume(p.b.s); /* the first refusal: let it flow */
                        net_loop_run_once(*state, 5);
                }
        }
        run_until(*state, p.b.got.len == sent);
        for (size_t i = 0; i < sent; i++)
                if (p.b.got.ptr[i] != (uint8_t)(i * 31))
                        fail_msg("byte %zu differs", i);
        assert_true(p.a.writable > 0);
        release(&p);
}

static void expect_refusal(
        void **state, const char *host, const struct tls_client_options *o, enum err why, const char *words)
{
        struct tls_pair p;

        identity(&p, host, (struct slice){ 0 });
        connect_pair(&p, *state, o);
        run_until(*state, p.a.ended);
        assert_int_equal(p.a.why, why);
        assert_int_equal(p.a.opened, 0);
        if (!strstr(net_stream_why(p.a.s), words))
                fail_msg("%s", net_stream_why(p.a.s));
        release(&p);
}

static void refuses_a_stranger(void **state)
{
        uint8_t wrong[32] = { 1 };

        expect_refusal(state, "relay.test", &(struct tls_client_options){ .server_name = "relay.test" },
                ERR_AUTH, "cannot be trusted");
        expect_refusal(state, "relay.test",
                &(struct tls_client_options){ .server_name = "relay.test", .pin_sha256 = wrong }, ERR_AUTH,
                "pinned");
}

static void believes_a_pin(void **state)
{
        struct tls_pair p;

        identity(&p, "203.0.113.3", (struct slice){ 0 });
        connect_pair(&p, *state,
                &(struct tls_client_options){ .server_name = "203.0.113.3", .pin_sha256 = p.pin });
        run_until(*state, p.a.opened);
        release(&p);

        identity(&p, "203.0.113.3", (struct slice){ 0 });
        connect_pair(&p, *state,
                &(struct tls_client_options){ .server_name = "203.0.113.4", .pin_sha256 = p.pin });
        run_until(*state, p.a.ended);
        assert_non_null(strstr(net_stream_why(p.a.s), "not for 203.0.113.4"));
        release(&p);
}

static void obeys_what_it_is_told(void **state)
{
        struct tls_pair p;
        const struct tls_client_options ways[] = {
                { .server_name = "other.test", .insecure = true },
                { .server_name = "other.test", .log_only = true },
                { .server_name = "other.test", .verify_name = "relay.test" },
        };

        for (size_t i = 0; i < 3; i++) {
                struct tls_client_options o = ways[i];
                identity(&p, "relay.test", (struct slice){ 0 });
                if (o.verify_name)
                        o.ca_pem = buf_slice(&p.cert);
                connect_pair(&p, *state, &o);
                run_until(*state, p.a.opened);
                release(&p);
        }
        identity(&p, "relay.test", (struct slice){ 0 });
        connect_pair(&p, *state,
                &(struct tls_client_options){ .server_name = "other.test", .ca_pem = buf_slice(&p.cert) });
        run_until(*state, p.a.ended);
        assert_int_equal(p.a.why, ERR_AUTH);
        release(&p);
}

static void shows_the_derp_key(void **state)
{
        struct tls_pair p;
        struct secret_key secret;
        struct public_key key, found;
        struct buf der = BUF_INIT(1 << 16);
        char name[256];
        uint32_t serial;

        key_generate(net_rng(), &secret);
        key_public(&secret, &key);
        assert_int_equal(tls_make_derp_metacert(&key, 2, net_clock().unix_us / 1000000, &der), OK);
        identity(&p, "203.0.113.3", buf_slice(&der));
        connect_pair(&p, *state,
                &(struct tls_client_options){ .server_name = "203.0.113.3", .pin_sha256 = p.pin });
        run_until(*state, p.a.opened);
        assert_int_equal(tls_find_peer_cert(p.a.s, "derpkey", name, &serial), OK);
        assert_int_equal(serial, 2);
        assert_int_equal(key_parse("derpkey", slice_str(name), &found), OK);
        assert_true(key_equal(&key, &found));
        assert_int_equal(tls_find_peer_cert(p.a.s, "nothing", name, &serial), ERR_NOTFOUND);
        release(&p);
        buf_fini(&der);
}

static void survives_garbage_and_silence(void **state)
{
        struct tls_pair p;
        struct net_stream *a, *b, *tb;

        identity(&p, "relay.test", (struct slice){ 0 });
        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        assert_int_equal(tls_accept(p.server, b, &tb), OK);
        recorder_attach(&p.b, tb);
        recorder_attach(&p.a, a);
        assert_int_equal(net_stream_write(a, SLICE_LIT("GET / HTTP/1.1\r\n\r\n")), OK);
        run_until(*state, p.b.ended);
        assert_int_equal(p.b.why, ERR_FORMAT);
        release(&p);

        identity(&p, "relay.test", (struct slice){ 0 });
        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        assert_int_equal(tls_accept(p.server, b, &tb), OK);
        recorder_attach(&p.b, tb);
        recorder_attach(&p.a, a);
        net_stream_shutdown(a);
        run_until(*state, p.b.ended);
        assert_int_equal(p.b.why, ERR_FORMAT);
        release(&p);
}

static void on_data_close(struct net_stream *s, void *ctx, struct slice data)
{
        (void)data;
        net_stream_close(s);
        *(struct net_stream **)ctx = NULL;
}

static void may_be_closed_from_its_own_callback(void **state)
{
        static const struct net_stream_handler closing = { .on_data = on_data_close };
        struct tls_pair p;

        identity(&p, "relay.test", (struct slice){ 0 });
        connect_pair(&p, *state,
                &(struct tls_client_options){ .server_name = "relay.test", .ca_pem = buf_slice(&p.cert) });
        run_until(*state, p.a.opened && p.b.opened);
        net_stream_set_handler(p.b.s, &closing, &p.b.s);
        assert_int_equal(net_stream_write(p.a.s, SLICE_LIT("bye")), OK);
        run_until(*state, p.b.s == NULL && p.a.ended);
        release(&p);
}

static void says_what_is_wrong_with_its_files(void **state)
{
        (void)state;
        struct tls_server *t;
        struct diag d = { "" };

        assert_int_equal(tls_server_new(&(struct tls_server_options){ .cert_file = "/nonexistent.crt",
                                                .key_file = "/x.key" },
                                 &t, &d),
                ERR_FORMAT);
        assert_string_equal(d.text, "cannot read the certificate /nonexistent.crt: No such file or directory");
        assert_null(t);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(carries_bytes_both_ways, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(carries_much_under_backpressure, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(refuses_a_stranger, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(believes_a_pin, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(obeys_what_it_is_told, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(shows_the_derp_key, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(survives_garbage_and_silence, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        may_be_closed_from_its_own_callback, loop_setup, loop_teardown),
                cmocka_unit_test(says_what_is_wrong_with_its_files),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
