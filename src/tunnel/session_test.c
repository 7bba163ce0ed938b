/* The two ends of one session, without the engine that makes them. */
#include "session_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/cursor.h"
#include "base/text.h"
#include "limits.h"

enum { BATCH = 150, ROOM = 1600 };

struct end {
        struct tunnel_session *session;
        struct activity *activity;
};
static struct bulk *bulk;
static uint8_t room[BATCH][ROOM];

static void key_from(const char *hex, struct shared_key *k)
{
        assert_int_equal(hex_decode(slice_str(hex), k->b, KEY_LEN), OK);
}

/* Both ends with the transport keys of spec/dataplane.md 5. */
static void ends_init(struct end *initiator, struct end *responder, uint64_t now_us)
{
        struct tunnel_session_keys i, r;

        key_from("c5f330b6dc92c8bd4124800733b33cd9d7e5dd2ac8c782e1b558f9b2b60804d8", &i.send);
        key_from("df0e53eac779a4c1ab023907c8dda549efdbf8ca9a4ce931ba1d27a2a8be73f9", &i.receive);
        r.send = i.receive;
        r.receive = i.send;
        initiator->activity = activity_new();
        responder->activity = activity_new();
        initiator->session = session_new(&i, true, 0x11223344, 0x55667788, initiator->activity, now_us);
        responder->session = session_new(&r, false, 0x55667788, 0x11223344, responder->activity, now_us);
        assert_non_null(initiator->session);
        assert_non_null(responder->session);
}

static void end_fini(struct end *e)
{
        tunnel_session_unref(e->session);
        activity_unref(e->activity);
}

static unsigned send(struct end *e, struct tunnel_packet *packets, size_t n, uint64_t now_us)
{
        uint64_t first;

        assert_int_equal(tunnel_session_reserve(e->session, n, now_us, &first), OK);
        return tunnel_session_seal(e->session, bulk, first, packets, n, now_us);
}

static struct tunnel_packet packet_of(size_t slot, struct slice text)
{
        if (text.len > 0)
                memcpy(room[slot] + TUNNEL_HEADER_LEN, text.ptr, text.len);
        return (struct tunnel_packet){ .msg = room[slot], .plain_len = (uint32_t)text.len };
}

static void check_msg(const struct tunnel_packet *p, const char *hex)
{
        uint8_t want[ROOM];
        size_t n = TUNNEL_OVERHEAD + p->plain_len;

        assert_int_equal(hex_decode(slice_str(hex), want, n), OK);
        assert_memory_equal(p->msg, want, n);
}

static void makes_the_messages_of_the_spec(void **state)
{
        struct end i, r;
        struct tunnel_packet p[2];
        uint8_t icmp[32] = { 0 };

        (void)state;
        assert_int_equal(hex_decode(SLICE_LIT("4500001c000100004001b25d64400001644000020800e5ca12340001"),
                                 icmp, 28), OK);
        ends_init(&i, &r, TIME_S(1));
        p[0] = packet_of(0, (struct slice){ 0 });
        p[1] = packet_of(1, SLICE_ARRAY(icmp));
        assert_int_equal(send(&i, p, 2, TIME_S(1)), TUNNEL_ACTIVITY);
        check_msg(&p[0], "04000000887766550000000000000000fd3ffdf38f1bfad20a6fdb169d83d3d3");
        check_msg(&p[1], "04000000887766550100000000000000d2b8605b6b839cdfcbedbb9572567c48"
                         "277c1e878df1e7d59691bd959932dac0edf3c27a915813cc72bd9a0a447af6e4");

        assert_int_equal(tunnel_session_open(r.session, bulk, p, 2, TIME_S(1)),
                TUNNEL_FIRST_RECEIVE | TUNNEL_ACTIVITY);
        assert_int_equal(p[0].status, OK);
        assert_int_equal(p[1].status, OK);
        assert_memory_equal(p[1].msg + TUNNEL_HEADER_LEN, icmp, sizeof icmp);

        p[0] = packet_of(0, SLICE_ARRAY(icmp));
        send(&r, p, 1, TIME_S(1));
        check_msg(&p[0], "0400000044332211000000000000000028bd147cd32c05003aa0533cd29b9ef1"
                         "134b09a5f80c367ba9a023b4e56201b12937a9e0ddb98a13dd66181b70aef911");
        end_fini(&i);
        end_fini(&r);
}

static void opens_each_message_once_in_any_order(void **state)
{
        struct end i, r;
        struct tunnel_packet p[BATCH], again[BATCH];
        static uint8_t copy[BATCH][ROOM];
        struct rng_seeded rng;

        (void)state;
        rng_seed(&rng, 3);
        ends_init(&i, &r, TIME_S(1));
        for (size_t k = 0; k < BATCH; k++)
                p[k] = packet_of(k, slice_make("0123456789abcdef", k % 17));
        send(&i, p, BATCH, TIME_S(2));
        memcpy(copy, room, sizeof copy);
        for (size_t k = BATCH - 1; k > 0; k--) {
                size_t other = rng_below(&rng.rng, k + 1);
                struct tunnel_packet t = p[k];

                p[k] = p[other];
                p[other] = t;
        }
        for (size_t k = 0; k < BATCH; k++)
                again[k] = (struct tunnel_packet){ .msg = copy[k], .plain_len = (uint32_t)(k % 17) };
        copy[7][TUNNEL_HEADER_LEN] ^= 1;
        tunnel_session_open(r.session, bulk, p, BATCH, TIME_S(2));
        tunnel_session_open(r.session, bulk, again, BATCH, TIME_S(2));
        for (size_t k = 0; k < BATCH; k++) {
                assert_int_equal(p[k].status, OK);
                assert_memory_equal(p[k].msg + TUNNEL_HEADER_LEN, "0123456789abcdef", p[k].plain_len);
                assert_int_equal(again[k].status, k == 7 ? ERR_AUTH : ERR_REPLAY);
        }
        end_fini(&i);
        end_fini(&r);
}

static void ages(void **state)
{
        struct end i, r;
        struct tunnel_packet p = packet_of(0, (struct slice){ 0 });
        uint64_t counter, born_us = TIME_S(1000);

        (void)state;
        ends_init(&i, &r, born_us);
        assert_int_equal(send(&i, &p, 1, born_us + REKEY_AFTER_TIME), 0);
        tunnel_session_open(r.session, bulk, &p, 1, born_us + REKEY_AFTER_TIME);
        p = packet_of(0, (struct slice){ 0 });
        assert_int_equal(send(&i, &p, 1, born_us + REKEY_AFTER_TIME + 1), TUNNEL_WANT_REKEY);
        p = packet_of(0, (struct slice){ 0 });
        assert_int_equal(send(&i, &p, 1, born_us + REKEY_AFTER_TIME + 2), 0); /* said just now */
        p = packet_of(0, (struct slice){ 0 });
        assert_int_equal(send(&i, &p, 1, born_us + REKEY_AFTER_TIME + TIME_S(6)), TUNNEL_WANT_REKEY);

        /* the responder never asks, the initiator once when it only listens */
        p = packet_of(0, (struct slice){ 0 });
        assert_int_equal(send(&r, &p, 1, born_us + TIME_S(166)), 0);
        assert_int_equal(tunnel_session_open(i.session, bulk, &p, 1, born_us + TIME_S(166)),
                TUNNEL_WANT_REKEY);
        p = packet_of(0, (struct slice){ 0 });
        send(&r, &p, 1, born_us + TIME_S(170));
        assert_int_equal(tunnel_session_open(i.session, bulk, &p, 1, born_us + TIME_S(170)), 0);

        p = packet_of(0, (struct slice){ 0 });
        send(&r, &p, 1, born_us + TIME_S(179));
        assert_int_equal(tunnel_session_open(i.session, bulk, &p, 1, born_us + TIME_S(180)), 0);
        assert_int_equal(p.status, ERR_STATE);
        assert_int_equal(tunnel_session_reserve(i.session, 1, born_us + TIME_S(180), &counter), ERR_STATE);
        end_fini(&i);
        end_fini(&r);
}

static void says_again_what_was_not_heard(void **state)
{
        struct end i, r;
        struct tunnel_packet p;
        const unsigned both = TUNNEL_FIRST_RECEIVE | TUNNEL_ACTIVITY;
        static const struct {
                uint64_t at_ms;
                bool says;
        } rows[] = { { 0, true }, { 1, false }, { 999, false }, { 1001, true }, { 1500, false }, { 2500, true } };

        (void)state;
        ends_init(&i, &r, TIME_S(1));
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
                uint64_t now_us = TIME_S(2) + TIME_MS(rows[k].at_ms);

                p = packet_of(0, SLICE_LIT("0123456789abcdef"));
                assert_int_equal(send(&i, &p, 1, now_us), rows[k].says ? TUNNEL_ACTIVITY : 0);
                assert_int_equal(tunnel_session_open(r.session, bulk, &p, 1, now_us), rows[k].says ? both : 0);
        }
        /* heard: no more of it */
        activity_watch(&i.activity->handshake, TIME_S(100));
        activity_watch(&r.activity->keepalive, TIME_S(100));
        atomic_store(&r.session->is_confirmed, true);
        p = packet_of(0, SLICE_LIT("0123456789abcdef"));
        assert_int_equal(send(&i, &p, 1, TIME_S(10)), 0);
        assert_int_equal(tunnel_session_open(r.session, bulk, &p, 1, TIME_S(10)), 0);
        end_fini(&i);
        end_fini(&r);
}

static void wears_out(void **state)
{
        struct end i, r;
        struct tunnel_packet p = packet_of(0, (struct slice){ 0 });
        uint64_t counter;

        (void)state;
        ends_init(&i, &r, TIME_S(1));
        r.session->tx.next_counter = REKEY_AFTER_MESSAGES - 1;
        assert_int_equal(send(&r, &p, 1, TIME_S(2)), 0);
        p = packet_of(0, (struct slice){ 0 });
        assert_int_equal(send(&r, &p, 1, TIME_S(2)), TUNNEL_WANT_REKEY);
        r.session->tx.next_counter = REJECT_AFTER_MESSAGES - 2;
        assert_int_equal(tunnel_session_reserve(r.session, 2, TIME_S(2), &counter), OK);
        assert_int_equal(tunnel_session_reserve(r.session, 1, TIME_S(2), &counter), ERR_STATE);
        session_revoke(i.session);
        assert_int_equal(tunnel_session_reserve(i.session, 1, TIME_S(2), &counter), ERR_STATE);
        end_fini(&i);
        end_fini(&r);
}

static void padding(void **state)
{
        static const struct {
                size_t len, mtu, padded;
        } rows[] = { { 0, 1280, 0 }, { 1, 1280, 16 }, { 16, 1280, 16 }, { 17, 0, 32 }, { 1280, 1280, 1280 },
                { 1279, 1280, 1280 }, { 1420, 1420, 1420 }, { 1418, 1420, 1420 }, { 1500, 1420, 1500 } };

        (void)state;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
                assert_int_equal(tunnel_padded_len(rows[i].len, rows[i].mtu), rows[i].padded);
}

static void inner_packet_is_cut_by_its_header(void **state)
{
        uint8_t v4[64] = { 0x45 }, v6[64] = { 0x60 };
        struct slice packet;

        (void)state;
        assert_int_equal(tunnel_inner_packet((struct slice){ 0 }, &packet), ERR_SHORT);
        put_be16(v4 + 2, 28);
        assert_int_equal(tunnel_inner_packet(slice_make(v4, 32), &packet), OK);
        assert_int_equal(packet.len, 28);
        assert_int_equal(tunnel_inner_packet(slice_make(v4, 27), &packet), ERR_FORMAT);
        assert_int_equal(tunnel_inner_packet(slice_make(v4, 19), &packet), ERR_FORMAT);
        put_be16(v4 + 2, 19);
        assert_int_equal(tunnel_inner_packet(slice_make(v4, 32), &packet), ERR_FORMAT);
        put_be16(v6 + 4, 8);
        assert_int_equal(tunnel_inner_packet(slice_make(v6, 64), &packet), OK);
        assert_int_equal(packet.len, 48);
        assert_int_equal(tunnel_inner_packet(slice_make(v6, 47), &packet), ERR_FORMAT);
        assert_int_equal(tunnel_inner_packet(slice_make(v6, 39), &packet), ERR_FORMAT);
        put_be16(v6 + 4, 0xfff0); /* 40 more would wrap 16 bits */
        assert_int_equal(tunnel_inner_packet(slice_make(v6, 64), &packet), ERR_FORMAT);
        v4[0] = 0x50;
        assert_int_equal(tunnel_inner_packet(slice_make(v4, 64), &packet), ERR_FORMAT);
}

static int setup(void **state)
{
        (void)state;
        bulk = bulk_new(BULK_AUTO);
        return bulk ? 0 : -1;
}

static int teardown(void **state)
{
        (void)state;
        bulk_free(bulk);
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(makes_the_messages_of_the_spec),
                cmocka_unit_test(opens_each_message_once_in_any_order),
                cmocka_unit_test(ages),
                cmocka_unit_test(says_again_what_was_not_heard),
                cmocka_unit_test(wears_out),
                cmocka_unit_test(padding),
                cmocka_unit_test(inner_packet_is_cut_by_its_header),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
