#include "test_util.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/dial.h"
#include "net/listener.h"
#include "net/udp.h"
#include "proxy.h"

struct server {
        struct net_listener *l;
        struct net_stream *raw; /* not wrapped in TLS */
        struct recorder r;
        struct tls_server *tls;
};

static void on_accept(void *ctx, struct net_stream *s)
{
        struct server *srv = ctx;

        if (srv->tls)
                assert_int_equal(tls_accept(srv->tls, s, &s), OK);
        recorder_attach(&srv->r, s);
}
static const struct net_listener_calls calls = { .on_accept = on_accept };

static uint16_t serve(struct server *srv, struct net_loop *loop, const char *ip)
{
        struct diag d = { "" };
        struct ip_port at = { 0 };

        assert_int_equal(ip_parse(slice_str(ip), &at.ip), OK);
        if (net_listen_tcp(loop, &at, 8, &calls, srv, &srv->l, &d) != OK)
                fail_msg("%s", d.text);
        return net_listener_addr(srv->l).port;
}

static void stop(struct server *srv)
{
        if (srv->r.s)
                recorder_fini(&srv->r);
        net_listener_close(srv->l);
        tls_server_free(srv->tls);
}

struct outcome {
        unsigned calls;
        enum err e;
        struct net_stream *s;
        struct diag d;
};

static void on_done(void *ctx, enum err e, struct net_stream *s, const struct diag *d)
{
        struct outcome *o = ctx;
        o->calls++;
        o->e = e;
        o->s = s;
        o->d = *d;
}

static void dial(void **state, const struct net_dial_options *options, struct outcome *o)
{
        *o = (struct outcome){ 0 };
        assert_int_equal(net_dial_start(*state, options, on_done, o, NULL), OK);
        assert_int_equal(o->calls, 0);
        run_until(*state, o->calls);
}

static void connects_to_a_literal(void **state)
{
        struct server srv = { 0 };
        struct outcome o;
        struct recorder r;

        dial(state,
                &(struct net_dial_options){ .host = "127.0.0.1", .port = serve(&srv, *state, "127.0.0.1") },
                &o);
        assert_int_equal(o.e, OK);
        recorder_attach(&r, o.s);
        assert_int_equal(net_stream_write(r.s, SLICE_LIT("hello")), OK);
        run_until(*state, recorder_has(&srv.r, "hello"));
        recorder_fini(&r);
        stop(&srv);
}

static void finds_localhost_in_the_hosts_file(void **state)
{
        struct server srv = { 0 };
        struct outcome o;

        dial(state,
                &(struct net_dial_options){ .host = "localhost", .port = serve(&srv, *state, "127.0.0.1") },
                &o);
        assert_int_equal(o.e, OK);
        net_stream_close(o.s);
        run_until(*state, srv.r.s);
        stop(&srv);
}

static void takes_the_address_that_answers(void **state)
{
        struct server srv = { 0 };
        struct outcome o;
        struct ip_addr addrs[] = { ip_v4(127, 0, 0, 2), ip_v4(127, 0, 0, 1) };
        uint16_t port = serve(&srv, *state, "127.0.0.1"); /* nobody listens on 127.0.0.2 */

        dial(state,
                &(struct net_dial_options){ .host = "x.test", .port = port, .addrs = addrs, .addr_count = 2 },
                &o);
        assert_int_equal(o.e, OK);
        net_stream_close(o.s);
        run_until(*state, srv.r.s);
        stop(&srv);
}

static void says_why_it_failed(void **state)
{
        struct outcome o;

        dial(state, &(struct net_dial_options){ .host = "127.0.0.1", .port = 1 }, &o);
        assert_int_equal(o.calls, 1);
        assert_true(o.e != OK && o.s == NULL);
        assert_non_null(strstr(o.d.text, "127.0.0.1:1: connection refused"));
        dial(state, &(struct net_dial_options){ .host = "127.0.0.1", .port = 1, .only_v6 = true }, &o);
        assert_true(o.e != OK);
}

static void speaks_tls(void **state)
{
        struct server srv = { 0 };
        struct outcome o;
        struct diag d;
        struct buf cert = BUF_INIT(1 << 16), key = BUF_INIT(1 << 16);

        assert_int_equal(tls_make_self_signed("relay.test", &cert, &key, NULL), OK);
        assert_int_equal(tls_server_new(&(struct tls_server_options){ .cert_pem = buf_slice(&cert),
                                                .key_pem = buf_slice(&key) },
                                 &srv.tls, &d),
                OK);
        struct ip_addr here = ip_v4(127, 0, 0, 1);
        struct tls_client_options trusting = { .ca_pem = buf_slice(&cert) }, strict = { 0 };
        struct net_dial_options options = { .host = "relay.test",
                .port = serve(&srv, *state, "127.0.0.1"),
                .addrs = &here,
                .addr_count = 1,
                .tls = &trusting };
        dial(state, &options, &o);
        assert_int_equal(o.e, OK);
        assert_true(tls_is(o.s));
        net_stream_close(o.s);
        run_until(*state, srv.r.ended);
        recorder_fini(&srv.r);

        options.tls = &strict;
        dial(state, &options, &o);
        assert_int_equal(o.e, ERR_AUTH);
        assert_non_null(strstr(o.d.text, "relay.test"));
        run_until(*state, srv.r.ended);
        stop(&srv);
        buf_fini(&cert);
        buf_fini(&key);
}

static void goes_through_a_proxy(void **state)
{
        struct server srv = { 0 };
        struct outcome o = { 0 };
        char url[64];

        snprintf(url, sizeof(url), "http://me:secret@127.0.0.1:%u", serve(&srv, *state, "127.0.0.1"));
        setenv("HTTP_PROXY", url, 1);
        struct net_dial_options options = { .host = "control.test", .port = 80, .use_proxy = true };
        assert_int_equal(net_dial_start(*state, &options, on_done, &o, NULL), OK);
        run_until(*state, srv.r.got.len && strstr(buf_cstr(&srv.r.got), "\r\n\r\n"));
        assert_string_equal(buf_cstr(&srv.r.got),
                "CONNECT control.test:80 HTTP/1.1\r\nHost: control.test:80\r\n"
                "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n");
        assert_int_equal(net_stream_write(srv.r.s, SLICE_LIT("HTTP/1.1 200 OK\r\n\r\nfirst bytes")), OK);
        run_until(*state, o.calls);
        assert_int_equal(o.e, OK);
        struct recorder r;
        recorder_attach(&r, o.s);
        run_until(*state, recorder_has(&r, "first bytes"));
        recorder_fini(&r);
        run_until(*state, srv.r.ended);
        recorder_fini(&srv.r);

        o = (struct outcome){ 0 };
        assert_int_equal(net_dial_start(*state, &options, on_done, &o, NULL), OK);
        run_until(*state, srv.r.s && srv.r.got.len);
        assert_int_equal(net_stream_write(srv.r.s, SLICE_LIT("HTTP/1.1 403 No\r\n\r\n")), OK);
        run_until(*state, o.calls);
        assert_int_equal(o.e, ERR_DENIED);
        unsetenv("HTTP_PROXY");
        stop(&srv);
}

static void the_environment_chooses_the_proxy(void **state)
{
        (void)state;
        struct proxy p;
        struct diag d;

        setenv("HTTPS_PROXY", "http://p.test:3128/", 1);
        setenv("NO_PROXY", "skip.test, .inner.test,10.0.0.0/8", 1);
        static const struct {
                const char *host;
                bool proxied;
        } cases[] = { { "a.test", true }, { "skip.test", false }, { "b.skip.test", false },
                { "noskip.test", true }, { "x.inner.test", false }, { "10.1.2.3", false },
                { "11.1.2.3", true }, { "127.0.0.1", false }, { "localhost", false } };
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                assert_int_equal(proxy_from_environment(cases[i].host, true, &p, &d), OK);
                assert_int_equal(p.host[0] != '\0', cases[i].proxied);
        }
        assert_int_equal(proxy_from_environment("a.test", true, &p, &d), OK);
        assert_string_equal(p.host, "p.test");
        assert_int_equal(p.port, 3128);
        assert_int_equal(proxy_from_environment("a.test", false, &p, &d), OK);
        assert_string_equal(p.host, "");
        setenv("HTTPS_PROXY", "socks5://x:1", 1);
        assert_int_equal(proxy_from_environment("a.test", true, &p, &d), ERR_FORMAT);
        unsetenv("HTTPS_PROXY");
        unsetenv("NO_PROXY");
}

static void can_be_cancelled_at_any_time(void **state)
{
        struct outcome o = { 0 };
        struct net_dial *d;
        struct ip_addr nowhere = ip_v4(127, 0, 0, 1);

        struct net_dial_options options = { .host = "x.test", .port = 1, .addrs = &nowhere, .addr_count = 1 };
        assert_int_equal(net_dial_start(*state, &options, on_done, &o, &d), OK);
        net_dial_cancel(d);
        options.addr_count = 0;
        assert_int_equal(net_dial_start(*state, &options, on_done, &o, &d), OK);
        net_loop_run_once(*state, 1);
        net_dial_cancel(d);
        run_for(*state, 20);
        assert_int_equal(o.calls, 0);
        net_dial_cancel(NULL);
}

/* A name server of our own: answers A with 192.0.2.7, everything else with no data. */

struct name_server {
        struct net_udp *udp;
        unsigned asked;
};

static void on_question(void *ctx, const struct ip_port *from, struct slice question)
{
        struct name_server *ns = ctx;
        uint8_t reply[512];
        struct slice out;
        struct writer w = writer_of(reply, sizeof(reply));

        ns->asked++;
        if (question.len < 17)
                return;
        size_t end = 12;
        while (end < question.len && question.ptr[end])
                end += question.ptr[end] + 1u;
        if (end + 5 > question.len)
                return;
        bool is_a = get_be16(question.ptr + end + 1) == 1;
        wr_bytes(&w, question.ptr, 2);
        wr_be16(&w, 0x8180);
        wr_be16(&w, 1);
        wr_be16(&w, is_a);
        wr_be32(&w, 0);
        wr_bytes(&w, question.ptr + 12, end + 5 - 12);
        if (is_a) {
                wr_be16(&w, 0xc00c);
                wr_be32(&w, 0x00010001);
                wr_be32(&w, 60);
                wr_be16(&w, 4);
                wr_bytes(&w, "\xc0\x00\x02\x07", 4);
        }
        assert_int_equal(wr_finish(&w, &out), OK);
        assert_int_equal(net_udp_send(ns->udp, from, out), OK);
}

static const struct net_udp_calls udp_calls = { on_question };

struct found {
        unsigned calls;
        enum err e;
        size_t count;
        struct ip_addr first;
};

static void on_found(void *ctx, enum err e, const struct ip_addr *addrs, size_t count, const struct diag *d)
{
        (void)d;
        *(struct found *)ctx = (struct found){ ((struct found *)ctx)->calls + 1, e, count,
                count ? addrs[0] : (struct ip_addr){ 0 } };
}

static void asks_a_name_server(void **state)
{
        struct name_server ns = { 0 };
        struct found f = { 0 };
        struct diag d;
        struct net_udp_options bind = { .bind = { ip_v4(127, 0, 0, 1), 0 } };
        struct ip_addr want = ip_v4(192, 0, 2, 7);

        if (net_udp_open(*state, &bind, &udp_calls, &ns, &ns.udp, &d) != OK)
                fail_msg("%s", d.text);
        struct ip_port at = net_udp_addr(ns.udp);
        struct net_resolve_options o = { .name = "host.example.test", .servers = &at, .server_count = 1 };
        assert_int_equal(net_resolve_start(*state, &o, on_found, &f, NULL), OK);
        run_until(*state, f.calls);
        assert_int_equal(f.e, OK);
        assert_int_equal(f.count, 1);
        assert_true(ip_equal(&f.first, &want));
        assert_true(ns.asked >= 1);

        struct net_resolve *r;
        assert_int_equal(net_resolve_start(*state, &o, on_found, &f, &r), OK);
        net_loop_run_once(*state, 1);
        net_resolve_cancel(r);
        run_for(*state, 20);
        assert_int_equal(f.calls, 1);
        net_udp_close(ns.udp);

        o.timeout_ms = 300; /* nobody answers there now */
        assert_int_equal(net_resolve_start(*state, &o, on_found, &f, NULL), OK);
        run_until(*state, f.calls == 2);
        assert_true(f.e != OK);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(connects_to_a_literal, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(finds_localhost_in_the_hosts_file, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(takes_the_address_that_answers, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(says_why_it_failed, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(speaks_tls, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(goes_through_a_proxy, loop_setup, loop_teardown),
                cmocka_unit_test(the_environment_chooses_the_proxy),
                cmocka_unit_test_setup_teardown(can_be_cancelled_at_any_time, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(asks_a_name_server, loop_setup, loop_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
