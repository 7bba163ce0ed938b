#include "test_util.h"

#include "net/noise.h"
#include "noise_stream.h"

struct noise_pair {
        struct recorder client, server;
};

static struct secret_key fresh(struct public_key *pub)
{
        struct secret_key sk;
        key_generate(net_rng(), &sk);
        key_public(&sk, pub);
        return sk;
}

/* Both ends after a real handshake; early: what the server sends first. */
static void connect_pair(struct noise_pair *p, struct net_loop *loop, struct slice early)
{
        struct net_stream *a, *b, *s;
        struct public_key machine_pub, server_pub;
        struct secret_key machine = fresh(&machine_pub), server = fresh(&server_pub);
        struct noise_client hs;
        struct noise_session session;
        uint8_t initiation[NOISE_INITIATION_LEN], response[NOISE_RESPONSE_LEN];

        assert_int_equal(net_stream_pair(loop, &a, &b), OK);
        assert_int_equal(noise_client_start(&hs, &machine, &server_pub, 119, net_rng(), initiation), OK);
        assert_int_equal(
                noise_server_respond(&server, SLICE_ARRAY(initiation), net_rng(), response, &session), OK);
        assert_true(key_equal(&session.peer, &machine_pub));
        assert_int_equal(net_stream_write(b, SLICE_ARRAY(response)), OK);
        assert_int_equal(noise_stream_new(b, &session, &s), OK);
        if (early.len)
                assert_int_equal(net_stream_write(s, early), OK);
        recorder_attach(&p->server, s);
        assert_int_equal(net_noise_connect(a, &hs, &s), OK);
        recorder_attach(&p->client, s);
}

static void release(struct noise_pair *p)
{
        recorder_fini(&p->client);
        recorder_fini(&p->server);
}

static void early_payload_comes_before_the_rest(void **state)
{
        struct noise_pair p;

        connect_pair(&p, *state, SLICE_LIT("\xff\xff\xffTS\0\0\0\x07{\"a\":1}rest"));
        assert_int_equal(net_stream_write(p.client.s, SLICE_LIT("before")), OK);
        run_until(*state,
                p.client.opened && recorder_has(&p.client, "rest") && recorder_has(&p.server, "before"));
        assert_true(slice_is(net_noise_early(p.client.s), "{\"a\":1}"));
        release(&p);
}

static void a_server_may_send_none(void **state)
{
        struct noise_pair p;

        connect_pair(&p, *state, SLICE_LIT("0123456789abc"));
        run_until(*state, recorder_has(&p.client, "0123456789abc"));
        assert_int_equal(net_noise_early(p.client.s).len, 0);
        release(&p);

        connect_pair(&p, *state, SLICE_LIT("\xff\xff\xffTS\0\0\0\0more"));
        run_until(*state, recorder_has(&p.client, "more"));
        release(&p);
}

static void carries_much_both_ways(void **state)
{
        enum { TOTAL = 3 << 20 };
        struct noise_pair p;
        static uint8_t bytes[TOTAL];
        size_t sent = 0;

        for (size_t i = 0; i < TOTAL; i++)
                bytes[i] = (uint8_t)(i * 7 >> 3);
        connect_pair(&p, *state, SLICE_LIT("123456789"));
        p.server.echo = false;
        while (sent < TOTAL) {
                size_t n = TOTAL - sent < 99999 ? TOTAL - sent : 99999;
                if (net_stream_write(p.client.s, slice_make(bytes + sent, n)) == OK)
                        sent += n;
                else
                        net_loop_run_once(*state, 1);
        }
        run_until(*state, p.server.got.len == TOTAL);
        assert_memory_equal(p.server.got.ptr, bytes, TOTAL);
        net_stream_shutdown(p.client.s);
        run_until(*state, p.server.ended);
        assert_int_equal(p.server.why, ERR_CLOSED);
        release(&p);
}

static void pieces_become_one_record(void **state)
{
        struct noise_pair p;
        struct slice pieces[] = { SLICE_LIT("a"), SLICE_LIT(""), SLICE_LIT("bc"), SLICE_LIT("") };

        connect_pair(&p, *state, SLICE_LIT("123456789"));
        run_until(*state, p.client.opened);
        size_t before = net_stream_queued(p.client.s);
        assert_int_equal(net_stream_writev(p.client.s, pieces, 4), OK);
        assert_int_equal(net_stream_queued(p.client.s) - before, 3 + 19);
        run_until(*state, recorder_has(&p.server, "abc"));
        release(&p);
}

static void a_wrong_response_ends_it(void **state)
{
        static const struct {
                struct slice bytes;
                enum err why;
        } cases[] = {
                { SLICE_LIT("\x03\0\x09go away!!"), ERR_DENIED },
                { SLICE_LIT("\x02\0\x30xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), ERR_AUTH },
                { SLICE_LIT("\x04\0\x30xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), ERR_FORMAT },
                { SLICE_LIT("\x02"), ERR_AUTH },
        };
        struct net_stream *a, *b, *s;
        struct public_key pub;
        struct secret_key machine = fresh(&pub);
        struct noise_client hs;
        uint8_t initiation[NOISE_INITIATION_LEN];
        struct recorder r;

        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                assert_int_equal(net_stream_pair(*state, &a, &b), OK);
                assert_int_equal(noise_client_start(&hs, &machine, &pub, 119, net_rng(), initiation), OK);
                assert_int_equal(net_noise_connect(a, &hs, &s), OK);
                recorder_attach(&r, s);
                assert_int_equal(net_stream_write(b, cases[i].bytes), OK);
                net_stream_shutdown(b);
                run_until(*state, r.ended);
                assert_int_equal(r.why, cases[i].why);
                assert_int_equal(r.opened, 0);
                recorder_fini(&r);
                net_stream_close(b);
        }
}

static void a_foreign_record_ends_it(void **state)
{
        struct noise_pair p;

        connect_pair(&p, *state, SLICE_LIT("123456789"));
        run_until(*state, p.client.opened);
        assert_int_equal(
                net_stream_write(net_stream_lower(p.client.s), SLICE_LIT("\x04\0\x14garbage garbage garb")),
                OK);
        run_until(*state, p.server.ended);
        assert_int_equal(p.server.why, ERR_AUTH);
        release(&p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        early_payload_comes_before_the_rest, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(a_server_may_send_none, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(carries_much_both_ways, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(pieces_become_one_record, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(a_wrong_response_ends_it, loop_setup, loop_teardown),
                cmocka_unit_test_setup_teardown(a_foreign_record_ends_it, loop_setup, loop_teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
