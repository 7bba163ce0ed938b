#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "coalesce.h"
#include "ip/checksum.h"

/* One row: a TCP (or UDP) packet of a flow and the item it must end up in. */
struct row {
        uint32_t seq;
        uint16_t payload;
        uint8_t flags;
        uint8_t item;
        uint8_t sport, tos, ttl, option;
        uint32_t ack;
        bool is_udp, bad_checksum;
};

enum { PSH = TCP_ACK | TCP_PSH };

#define ROW(seq_, payload_, ...) { .seq = seq_, .payload = payload_, __VA_ARGS__ }

static uint8_t pool[COALESCE_PACKETS][1600];

static struct packet make(uint8_t *b, const struct row *row)
{
        size_t l4 = row->is_udp ? 8 : 20 + (row->option ? 12 : 0), len = 20 + l4 + row->payload;
        uint8_t proto = row->is_udp ? IP_PROTO_UDP : IP_PROTO_TCP;
        struct packet p;

        memset(b, row->payload & 0xff, len);
        memset(b, 0, 20 + l4);
        b[0] = 0x45;
        b[1] = row->tos;
        put_be16(b + 2, (uint16_t)len);
        b[6] = 0x40;
        b[8] = row->ttl ? row->ttl : 64;
        b[9] = proto;
        put_be32(b + 12, 0x64400001);
        put_be32(b + 16, 0x64400002);
        put_be16(b + 10, checksum_finish(checksum_add(0, slice_make(b, 20))));
        put_be16(b + 20, row->sport);
        put_be16(b + 22, 443);
        if (row->is_udp) {
                put_be16(b + 24, (uint16_t)(l4 + row->payload));
        } else {
                put_be32(b + 24, row->seq);
                put_be32(b + 28, row->ack);
                b[32] = (uint8_t)(l4 / 4 << 4);
                b[33] = row->flags ? row->flags : TCP_ACK;
                if (row->option)
                        b[40] = row->option;
        }
        uint64_t sum = checksum_pseudo(slice_make(b + 12, 4), slice_make(b + 16, 4), proto, (uint32_t)(len - 20));
        sum = checksum_add(sum, slice_make(b + 20, len - 20));
        put_be16(b + 20 + (row->is_udp ? 6 : 16), checksum_finish(sum));
        if (row->bad_checksum)
                b[len - 1] ^= 1;
        assert_int_equal(packet_decode(slice_make(b, len), &p), OK);
        return p;
}

/* Adds the rows in order and finds each packet in the item the table names. */
static void check(const struct row *rows, size_t n)
{
        static struct coalescer c;
        unsigned items = 0;

        coalesce_reset(&c);
        for (size_t i = 0; i < n; i++) {
                struct packet p = make(pool[i], &rows[i]);
                coalesce_add(&c, &p);
                if (rows[i].item >= items)
                        items = rows[i].item + 1u;
        }
        assert_int_equal(c.item_count, items);
        for (unsigned i = 0; i < items; i++) {
                for (unsigned k = c.items[i].first + 1u; k; k = c.packets[k - 1].next) {
                        if (rows[k - 1].item != i)
                                fail_msg("packet %u is in item %u, not %u", k - 1, i, rows[k - 1].item);
                }
        }
}
#define CHECK(rows) check(rows, sizeof(rows) / sizeof(rows[0]))

static void tcp_runs(void **state)
{
        (void)state;
        static const struct row in_order[] = { ROW(0, 100), ROW(100, 100), ROW(200, 100) };
        static const struct row wraps[] = { ROW(0xffffff9c, 100), ROW(0, 100), ROW(100, 100) };
        static const struct row gap[] = { ROW(0, 100), ROW(200, 100, .item = 1) };
        static const struct row short_tail[] = { ROW(0, 100), ROW(100, 50), ROW(150, 100, .item = 1) };
        static const struct row longer[] = { ROW(0, 100), ROW(100, 101, .item = 1) };
        static const struct row psh_ends[] = { ROW(0, 100), ROW(100, 100, .flags = PSH), ROW(200, 100, .item = 1) };
        static const struct row swapped[] = { ROW(100, 100), ROW(0, 100), ROW(200, 100) };
        static const struct row swapped_short[] = { ROW(100, 50), ROW(0, 100), ROW(150, 10, .item = 1) };
        static const struct row swapped_psh[] = { ROW(100, 50), ROW(0, 100, .flags = PSH, .item = 1) };
        CHECK(in_order);
        CHECK(wraps);
        CHECK(gap);
        CHECK(short_tail);
        CHECK(longer);
        CHECK(psh_ends);
        CHECK(swapped);
        CHECK(swapped_short);
        CHECK(swapped_psh);
}

static void tcp_that_must_stay_apart(void **state)
{
        (void)state;
        static const struct row other_ack[] = { ROW(0, 100), ROW(100, 100, .ack = 1, .item = 1) };
        static const struct row other_tos[] = { ROW(0, 100), ROW(100, 100, .tos = 3, .item = 1) };
        static const struct row other_ttl[] = { ROW(0, 100), ROW(100, 100, .ttl = 63, .item = 1) };
        static const struct row other_option[] = { ROW(0, 9, .option = 1), ROW(9, 9, .option = 2, .item = 1) };
        static const struct row new_option[] = { ROW(0, 9), ROW(9, 9, .option = 2, .item = 1) };
        static const struct row damaged[] = { ROW(0, 100), ROW(100, 100, .bad_checksum = true, .item = 1) };
        static const struct row damaged_first[] = { ROW(0, 100, .bad_checksum = true), ROW(100, 100, .item = 1) };
        static const struct row pure_ack[] = { ROW(0, 100), ROW(100, 0, .item = 1), ROW(100, 100, .item = 2) };
        static const struct row fin[] = { ROW(0, 100), ROW(100, 9, .flags = TCP_ACK | TCP_FIN, .item = 1) };
        static const struct row two_flows[] = {
                ROW(0, 100), ROW(0, 100, .sport = 1, .item = 1), ROW(100, 100), ROW(100, 100, .sport = 1, .item = 1)
        };
        CHECK(other_ack);
        CHECK(other_tos);
        CHECK(other_ttl);
        CHECK(other_option);
        CHECK(new_option);
        CHECK(damaged);
        CHECK(damaged_first);
        CHECK(pure_ack);
        CHECK(fin);
        CHECK(two_flows);
}

static void udp_runs(void **state)
{
        (void)state;
        static const struct row equal[] = { ROW(0, 100, .is_udp = true), ROW(0, 100, .is_udp = true),
                ROW(0, 60, .is_udp = true), ROW(0, 60, .is_udp = true, .item = 1) };
        static const struct row longer[] = { ROW(0, 60, .is_udp = true), ROW(0, 100, .is_udp = true, .item = 1) };
        CHECK(equal);
        CHECK(longer);
}

static void bounds(void **state)
{
        (void)state;
        static struct row many[COALESCE_SEGMENTS + 1], big[50];

        for (size_t i = 0; i <= COALESCE_SEGMENTS; i++)
                many[i] = (struct row){ .seq = (uint32_t)i, .payload = 1, .item = i == COALESCE_SEGMENTS };
        CHECK(many);
        for (size_t i = 0; i < 50; i++) /* 46 x 1400 + 40 is the last below 64 KiB */
                big[i] = (struct row){ .seq = (uint32_t)i * 1400, .payload = 1400, .item = i >= 46 };
        CHECK(big);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tcp_runs),
                cmocka_unit_test(tcp_that_must_stay_apart),
                cmocka_unit_test(udp_runs),
                cmocka_unit_test(bounds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
