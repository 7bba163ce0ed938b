#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"
#include "ip/packet.h"

static uint8_t bytes[256];

static struct slice from_hex(const char *hex)
{
        size_t n = strlen(hex) / 2;
        assert_int_equal(hex_decode(slice_str(hex), bytes, n), OK);
        return slice_make(bytes, n);
}

static void decodes_tcp(void **state)
{
        (void)state;
        struct packet p;
        struct slice s = from_hex("45000032123440004006600f64400001644000029c4001bb000003e80000000750180200c8a70000"
                                  "00010203040506070809ffff");
        char text[IP_TEXT_MAX];

        assert_int_equal(packet_decode(s, &p), OK);
        assert_int_equal(p.bytes.len, 50); /* cut to what the header says */
        assert_int_equal(p.proto, IP_PROTO_TCP);
        assert_int_equal(p.tcp_flags, TCP_ACK | TCP_PSH);
        assert_int_equal(p.data_offset, 40);
        ip_port_format(&p.dst, text);
        assert_string_equal(text, "100.64.0.2:443");
}

static void decodes_v6(void **state)
{
        (void)state;
        struct packet p;
        const char *udp = "60000000000a1140fd7a000000000000000000000000000100000000000000000000000000000002"
                          "14e90035000a00006869";

        assert_int_equal(packet_decode(from_hex(udp), &p), OK);
        assert_int_equal(p.proto, IP_PROTO_UDP);
        assert_int_equal(p.src.port, 5353);
        assert_int_equal(p.data_offset, 48);
        bytes[6] = 60; /* destination options: not looked into */
        assert_int_equal(packet_decode(slice_make(bytes, 50), &p), OK);
        assert_int_equal(p.proto, 60);
        assert_int_equal(p.src.port, 0);
}

static void judges_fragments(void **state)
{
        (void)state;
        struct packet p;
        struct slice s = from_hex("4500001c0000000040110000644000016440000214e9003500080000");

        assert_int_equal(packet_decode(s, &p), OK);
        assert_int_equal(p.proto, IP_PROTO_UDP);
        bytes[7] = 1; /* would overlap the transport header */
        assert_int_equal(packet_decode(s, &p), OK);
        assert_int_equal(p.proto, IP_PROTO_UNKNOWN);
        bytes[7] = 10;
        assert_int_equal(packet_decode(s, &p), OK);
        assert_int_equal(p.proto, IP_PROTO_FRAGMENT);
        bytes[7] = 0;
        bytes[9] = 6; /* too short for TCP */
        assert_int_equal(packet_decode(s, &p), OK);
        assert_int_equal(p.proto, IP_PROTO_UNKNOWN);
        bytes[9] = 255;
        assert_int_equal(packet_decode(s, &p), OK);
        assert_int_equal(p.proto, IP_PROTO_UNKNOWN);
}

static void refuses_what_is_no_packet(void **state)
{
        (void)state;
        struct packet p;
        struct slice s = from_hex("4500001c0000000040110000644000016440000214e9003500080000");

        for (size_t n = 0; n < s.len; n++)
                assert_int_equal(packet_decode(slice_first(s, n), &p), ERR_SHORT);
        bytes[0] = 0x44;
        assert_int_equal(packet_decode(s, &p), ERR_FORMAT);
        bytes[0] = 0x55;
        assert_int_equal(packet_decode(s, &p), ERR_FORMAT);
        assert_int_equal(p.version, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(decodes_tcp), cmocka_unit_test(decodes_v6), cmocka_unit_test(judges_fragments),
                cmocka_unit_test(refuses_what_is_no_packet),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
