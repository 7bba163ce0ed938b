#include "test_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/dial.h"
#include "net/listener.h"
#include "net/udp.h"

struct server {
        struct net_listener *l;
        struct recorder r[4];
        unsigned count;
        bool close_at_once;
};

static void on_accept(void *ctx, struct net_stream *s)
{
        struct server *srv = ctx;

        if (srv->close_at_once) {
                net_stream_close(s);
                return;
        }
        assert_true(srv->count < 4);
        recorder_attach(&srv->r[srv->count++], s);
}
static const struct net_listener_calls calls = { .on_accept = on_accept };

/* In a folder of its own, which the listener makes. */
static char folder[64], sock_path[80];

static int name_folder(void **state)
{
        (void)state;
        snprintf(folder, sizeof(folder), "/tmp/weft-net-%d", (int)getpid());
        snprintf(sock_path, sizeof(sock_path), "%s/s.sock", folder);
        return 0;
}

static int remove_folder(void **state)
{
        (void)state;
        return rmdir(folder);
}

static void start_unix(struct server *srv, struct net_loop *loop)
{
        struct diag d = { "" };

        if (net_listen_unix(loop, sock_path, 0666, 2, &calls, srv, &srv->l, &d) != OK)
                fail_msg("%s", d.text);
}

static void stop(struct server *srv)
{
        for (unsigned i = 0; i < srv->count; i++)
                recorder_fini(&srv->r[i]);
        net_listener_close(srv->l);
}

static void a_pair_carries_bytes_both_ways(void **state)
{
        struct net_stream *a, *b;
        struct recorder ra, rb;

        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        assert_int_equal(net_stream_write(a, SLICE_LIT("before a handler ")), OK);
        run_for(*state, 5);
        recorder_attach(&ra, a);
        recorder_attach(&rb, b);
        rb.echo = true;
        assert_int_equal(net_stream_write(a, SLICE_LIT("and after")), OK);
        run_until(*state, recorder_has(&ra, "before a handler and after"));
        net_stream_shutdown(a);
        assert_int_equal(net_stream_write(a, SLICE_LIT("x")), ERR_CLOSED);
        run_until(*state, rb.ended == 1);
        assert_int_equal(rb.why, ERR_CLOSED);
        assert_int_equal(net_stream_write(b, SLICE_LIT("!")), OK); /* half closed */
        run_until(*state, recorder_has(&ra, "before a handler and after!"));
        recorder_fini(&rb);
        run_until(*state, ra.ended == 1);
        recorder_fini(&ra);
}

static void a_paused_reader_slows_the_writer(void **state)
{
        static uint8_t block[1000];
        struct net_stream *a, *b;
        struct recorder ra, rb;
        unsigned sent = 0;

        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        recorder_attach(&ra, a);
        recorder_attach(&rb, b);
        net_stream_pause(b);
        net_stream_set_write_limit(a, 10000);
        while (net_stream_write(a, SLICE_ARRAY(block)) == OK) {
                run_for(*state, 1);
                assert_true(++sent <= 10);
        }
        assert_int_equal(sent, 10);
        assert_int_equal(net_stream_room(a), 0);
        run_for(*state, 5);
        assert_int_equal(ra.writable, 0);
        assert_int_equal(rb.got.len, 0);
        net_stream_resume(b);
        run_until(*state, rb.got.len == 10000 && ra.writable == 1);
        recorder_fini(&ra);
        recorder_fini(&rb);
}

/* Reads a line, pushes the rest back and gives the stream to a recorder. */
static struct recorder heir;
static void first_owner_data(struct net_stream *s, void *ctx, struct slice data)
{
        size_t line = slice_find(data, '\n');

        (void)ctx;
        assert_true(line < data.len);
        net_stream_unread(s, slice_after(data, line + 1));
        recorder_attach(&heir, s);
}

static void a_stream_passes_to_another_owner_with_what_was_not_its(void **state)
{
        static const struct net_stream_handler first = { .on_data = first_owner_data };
        struct net_stream *a, *b;

        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        net_stream_set_handler(b, &first, NULL);
        assert_int_equal(net_stream_write(a, SLICE_LIT("line\nrest")), OK);
        net_stream_close_soon(a);
        run_until(*state, heir.ended == 1);
        assert_true(recorder_has(&heir, "rest"));
        recorder_fini(&heir);
}

/* A few descriptors stay free for the program's files, whatever strangers open. */
static void connections_leave_descriptors_to_the_program(void **state)
{
        struct rlimit before, low;
        struct server srv = { 0 };
        struct net_stream *s, *s2;
        struct recorder r, r2;
        struct diag d;

        start_unix(&srv, *state);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(net_dial_unix(*state, sock_path, 0, &s, &d), OK);
        recorder_attach(&r, s);
        run_until(*state, srv.count == 1);
        int next = dup(0);
        assert_true(next > 0);
        close(next);
        low = (struct rlimit){ (rlim_t)next + 5, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        assert_int_equal(net_dial_unix(*state, sock_path, 0, &s2, &d), OK);
        recorder_attach(&r2, s2);
        run_until(*state, r2.ended == 1);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(srv.count, 1);
        assert_int_equal(r.ended, 0);
        recorder_fini(&r);
        recorder_fini(&r2);
        stop(&srv);
}

static void unix_sockets_tell_who_connects(void **state)
{
        struct server srv = { 0 };
        struct net_stream *s, *s2, *s3;
        struct recorder r, r2;
        struct net_creds who;
        struct stat st;
        struct diag d;

        start_unix(&srv, *state);
        assert_int_equal(stat(sock_path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0666);
        assert_int_equal(net_dial_unix(*state, sock_path, 0, &s, &d), OK);
        recorder_attach(&r, s);
        assert_int_equal(net_stream_write(s, SLICE_LIT("hello")), OK);
        run_until(*state, srv.count == 1 && recorder_has(&srv.r[0], "hello"));
        assert_true(net_stream_creds(srv.r[0].s, &who));
        assert_int_equal(who.uid, getuid());
        assert_int_equal(who.pid, getpid());
        assert_int_equal(net_stream_peer(s).ip.family, IP_NONE);

        /* In use, full (2 at most), stale. */
        struct net_listener *other;
        assert_int_equal(net_listen_unix(*state, sock_path, 0600, 0, &calls, &srv, &other, &d), ERR_EXISTS);
        run_until(*state, net_listener_count(srv.l) == 2 || srv.count == 2); /* its probe came as a client */
        run_until(*state, srv.r[1].ended == 1);
        assert_int_equal(net_dial_unix(*state, sock_path, 0, &s2, &d), OK);
        recorder_attach(&r2, s2);
        run_until(*state, r2.ended == 1);
        recorder_fini(&r2);
        recorder_fini(&r);
        stop(&srv);
        run_for(*state, 5);
        assert_int_not_equal(access(sock_path, F_OK), 0);
        assert_int_equal(net_dial_unix(*state, sock_path, 0, &s3, &d), ERR_NOTFOUND);
        assert_non_null(strstr(d.text, sock_path));
}

static void closing_from_every_callback_is_safe(void **state)
{
        struct server srv = { .close_at_once = true };
        struct net_stream *s;
        struct recorder r;
        struct diag d;

        start_unix(&srv, *state);
        assert_int_equal(net_dial_unix(*state, sock_path, 0, &s, &d), OK);
        recorder_attach(&r, s);
        run_until(*state, r.ended == 1);
        recorder_fini(&r);
        net_listener_close(srv.l);
}

static void an_idle_stream_ends(void **state)
{
        struct net_stream *a, *b;
        struct recorder ra;

        assert_int_equal(net_stream_pair(*state, &a, &b), OK);
        recorder_attach(&ra, a);
        net_stream_set_idle_timeout(a, 30);
        for (int i = 0; i < 5; i++) {
                assert_int_equal(net_stream_write(b, SLICE_LIT("x")), OK);
                run_for(*state, 10);
        }
        assert_int_equal(ra.ended, 0);
        run_until(*state, ra.ended == 1);
        assert_int_equal(ra.why, ERR_TIMEOUT);
        assert_int_equal(net_stream_write(a, SLICE_LIT("x")), ERR_CLOSED);
        recorder_fini(&ra);
        net_stream_close(b);
}

/* Far more than any socket buffer holds, through a slow reader. */
static void big_transfers_arrive_whole_and_in_order(void **state)
{
        enum { TOTAL = 8 << 20, BLOCK = 50000 };
        static uint8_t block[BLOCK];
        struct server srv = { 0 };
        struct net_stream *s;
        struct recorder r;
        struct diag d;
        size_t sent = 0;

        start_unix(&srv, *state);
        assert_int_equal(net_dial_unix(*state, sock_path, 0, &s, &d), OK);
        recorder_attach(&r, s);
        while (sent < TOTAL) {
                for (size_t i = 0; i < BLOCK; i++)
                        block[i] = (uint8_t)((sent + i) * 31 >> 3);
                enum err e = net_stream_write(s, SLICE_ARRAY(block));
                if (e == OK)
                        sent += BLOCK;
                else
                        net_loop_run_once(*state, 1);
        }
        net_stream_close_soon(s); /* everything queued still goes out */
        run_until(*state, srv.count == 1 && srv.r[0].ended == 1);
        assert_int_equal(srv.r[0].why, ERR_CLOSED);
        assert_int_equal(srv.r[0].got.len, sent);
        for (size_t i = 0; i < sent; i += 997)
                assert_int_equal(srv.r[0].got.ptr[i], (uint8_t)(i * 31 >> 3));
        buf_fini(&r.got);
        stop(&srv);
}

struct udp_end {
        struct net_udp *u;
        unsigned count;
        bool answer;
};
static void on_packet(void *ctx, const struct ip_port *from, struct slice data)
{
        struct udp_end *e = ctx;
        e->count++;
        if (e->answer)
                assert_int_equal(net_udp_send(e->u, from, data), OK);
}

static void datagrams_go_and_come(void **state)
{
        static const struct net_udp_calls udp_calls = { on_packet };
        struct udp_end a = { .answer = true }, b = { 0 };
        struct net_udp_options o = { .bind = { .ip = ip_v4(127, 0, 0, 1) } };
        struct diag d;

        assert_int_equal(net_udp_open(*state, &o, &udp_calls, &a, &a.u, &d), OK);
        assert_int_equal(net_udp_open(*state, &o, &udp_calls, &b, &b.u, &d), OK);
        struct ip_port to = net_udp_addr(a.u);
        assert_int_equal(net_udp_send(b.u, &to, SLICE_LIT("ping")), OK);
        run_until(*state, b.count == 1);
        o.bind = to; /* in use */
        struct net_udp *c;
        assert_int_not_equal(net_udp_open(*state, &o, &udp_calls, &b, &c, &d), OK);
        assert_non_null(strstr(d.text, "127.0.0.1"));
        net_udp_close(a.u);
        net_udp_close(b.u);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_pair_carries_bytes_both_ways, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(a_paused_reader_slows_the_writer, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        a_stream_passes_to_another_owner_with_what_was_not_its, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        connections_leave_descriptors_to_the_program, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(unix_sockets_tell_who_connects, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        closing_from_every_callback_is_safe, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(an_idle_stream_ends, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(
                        big_transfers_arrive_whole_and_in_order, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(datagrams_go_and_come, loop_setup, loop_teardown),
        };
        return cmocka_run_group_tests(tests, name_folder, remove_folder);
}
