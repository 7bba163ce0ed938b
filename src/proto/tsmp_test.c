#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "ip/packet.h"
#include "proto/tsmp.h"

/* The vector of spec/policy.md 27: TCP .5:40000 -> .9:23 refused by the rules. */
static void reject_vector(void **state)
{
        (void)state;
        struct tsmp m = { .kind = TSMP_REJECT, .proto = 6, .reason = 'A', .src_port = 40000, .dst_port = 23 };
        struct ip_addr src = ip_v4(100, 64, 0, 9), dst = ip_v4(100, 64, 0, 5);
        uint8_t out[TSMP_PACKET_MAX];
        char hex[2 * TSMP_PACKET_MAX + 1];
        struct packet p;

        size_t len = tsmp_packet_write(&m, &src, &dst, out);
        assert_int_equal(packet_decode(slice_make(out, len), &p), OK);
        assert_int_equal(p.proto, IP_PROTO_TSMP);
        assert_true(ip_equal(&p.src.ip, &src) && ip_equal(&p.dst.ip, &dst));
        hex_encode(slice_after(p.bytes, p.l4_offset), hex);
        assert_string_equal(hex, "2106419c400017");
}

static void comes_back_as_written(void **state)
{
        (void)state;
        static const struct tsmp messages[] = {
                { .kind = TSMP_PING, .token = "12345678" },
                { .kind = TSMP_PONG, .token = "12345678", .peerapi_port = 443 },
                { .kind = TSMP_REJECT, .proto = 6, .reason = 'S', .src_port = 1, .dst_port = 2 },
                { .kind = TSMP_DISCO_KEY, .disco_key = { { 1, 2, 3 } } },
        };
        struct ip_addr a4 = ip_v4(100, 64, 0, 1), a6;
        assert_int_equal(ip_parse(SLICE_LIT("fd7a:115c:a1e0::1"), &a6), OK);
        for (size_t i = 0; i < 8; i++) {
                const struct ip_addr *a = i < 4 ? &a4 : &a6;
                uint8_t out[TSMP_PACKET_MAX];
                struct packet p;
                struct tsmp back;
                size_t len = tsmp_packet_write(&messages[i % 4], a, a, out);
                assert_int_equal(packet_decode(slice_make(out, len), &p), OK);
                struct slice body = slice_after(p.bytes, p.l4_offset);
                assert_int_equal(tsmp_parse(body, &back), OK);
                assert_memory_equal(&back, &messages[i % 4], sizeof(back));
                size_t need = messages[i % 4].kind == TSMP_PONG ? 9 : body.len; /* a pong may lack the port */
                for (size_t cut = 0; cut < need; cut++)
                        assert_int_equal(tsmp_parse(slice_first(body, cut), &back), ERR_SHORT);
        }
        struct tsmp other;
        assert_int_equal(tsmp_parse(SLICE_LIT("zz"), &other), ERR_FORMAT);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reject_vector),
                cmocka_unit_test(comes_back_as_written),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
