/* What `weft status` shows (spec/node.md 2.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "json/copy.h"
#include "status_rows.h"

#define MINUTE_NS (60 * INT64_C(1000000000))
enum { NOW_MINUTES = 1000000 };

static const struct ip_addr ips[] = {
        { .family = IP_V4, .b = { 100, 64, 0, 1 } }, { .family = IP_V4, .b = { 100, 64, 0, 2 } },
};
static const struct tailcfg_user_profile alice = { .id = 7, .login_name = SLICE_LIT("alice@example.org") };

/* The peer's cells, joined by '|'. */
static void row_is(const struct status_peer *peer, const char *expected)
{
        const struct status st = {
                .magic_dns_suffix = SLICE_LIT("example.net"),
                .peers = { peer, 1 },
                .users = { &alice, 1 },
        };
        const struct status_show show = { .peers = true };
        struct arena arena = ARENA_INIT(1 << 20);
        char text[STATUS_COLUMNS * STATUS_CELL_MAX];
        size_t count;

        const struct status_row *row = status_rows(&st, &show, NOW_MINUTES * MINUTE_NS, &arena, &count);
        assert_int_equal(count, 1);
        snprintf(text, sizeof text, "%s|%s|%s|%s|%s", row->cell[0], row->cell[1], row->cell[2], row->cell[3], row->cell[4]);
        assert_string_equal(text, expected);
        arena_fini(&arena);
}

static void a_peer_in_each_state(void **state)
{
        const struct status_peer plain = {
                .dns_name = SLICE_LIT("pc.example.net."), .os = SLICE_LIT("linux"), .user_id = 7, .online = true, .ips = { ips, 1 },
        };
        struct status_peer p = plain;

        (void)state;
        row_is(&p, "100.64.0.1|pc|alice@|linux|-");
        p.tx_bytes = 12;
        row_is(&p, "100.64.0.1|pc|alice@|linux|idle, tx 12 rx 0");
        p.online = false;
        p.last_seen = tailcfg_time_ns((NOW_MINUTES - 180) * MINUTE_NS);
        row_is(&p, "100.64.0.1|pc|alice@|linux|idle; offline, last seen 3h ago, tx 12 rx 0");
        p = plain;
        p.online = false;
        row_is(&p, "100.64.0.1|pc|alice@|linux|offline");
        p.exit_node_option = true;
        row_is(&p, "100.64.0.1|pc|alice@|linux|idle; offers exit node; offline");
        p = plain;
        p.active = true;
        p.relay = SLICE_LIT("nyc");
        row_is(&p, "100.64.0.1|pc|alice@|linux|active; relay \"nyc\"");
        p.peer_relay = SLICE_LIT("192.0.2.1:40000:vni:1");
        row_is(&p, "100.64.0.1|pc|alice@|linux|active; peer-relay 192.0.2.1:40000:vni:1");
        p.cur_addr = SLICE_LIT("192.0.2.9:41641");
        p.exit_node = true;
        row_is(&p, "100.64.0.1|pc|alice@|linux|active; exit node; direct 192.0.2.9:41641");
}

static void names_move_no_cursor(void **state)
{
        const struct status_peer p = {
                .host_name = SLICE_LIT("pc\n100.64.0.9"), .os = SLICE_LIT("\x1b[2Jlinux"), .user_id = 8, .online = true, .ips = { ips, 1 },
        };

        (void)state;
        row_is(&p, "100.64.0.1|(\"pc?100.64.0.9\")|-|?[2Jlinux|-");
}

static void peers_stand_by_name(void **state)
{
        const struct status_peer peers[] = {
                { .dns_name = SLICE_LIT("b.example.net."), .ips = { &ips[0], 1 } },
                { .dns_name = SLICE_LIT("a.example.net."), .ips = { &ips[1], 1 }, .active = true },
                { .dns_name = SLICE_LIT("c.example.net."), .is_sharee = true, .active = true },
                { .dns_name = SLICE_LIT("se-got.mullvad.ts.net."), .exit_node_option = true, .active = true },
        };
        const struct status st = { .self = { .dns_name = SLICE_LIT("z.other.net.") }, .peers = { peers, 4 } };
        struct status_show show = { .self = true, .peers = true };
        struct arena arena = ARENA_INIT(1 << 20);
        size_t count;

        (void)state;
        const struct status_row *rows = status_rows(&st, &show, 0, &arena, &count);
        assert_int_equal(count, 3);
        assert_string_equal(rows[0].cell[1], "z.other.net");
        assert_string_equal(rows[0].cell[4], "offline"); /* control does not hear of us */
        assert_string_equal(rows[1].cell[1], "a.example.net");
        assert_string_equal(rows[2].cell[1], "b.example.net");
        show = (struct status_show){ .peers = true, .active = true };
        rows = status_rows(&st, &show, 0, &arena, &count);
        assert_int_equal(count, 1);
        assert_string_equal(rows[0].cell[0], "100.64.0.2");
        arena_fini(&arena);
}

static void json_without_idle_peers(void **state)
{
        static const char all[] = "{\"Self\":{\"Active\":false},\"Peer\":{\"a\":{\"Active\":true,\"X\":[1,\"\\u00e9\"]},"
                                  "\"b\":{\"Active\":false},\"c\":{},\"d\":null},\"User\":{}}";
        struct arena arena = ARENA_INIT(1 << 20);
        struct buf out = BUF_INIT(1 << 16);
        struct json_reader r;
        struct json_writer w;

        (void)state;
        json_reader_init(&r, slice_str(all), &arena);
        json_writer_init(&w, &out, NULL);
        status_copy_active(&r, &w);
        assert_int_equal(json_finish(&r), OK);
        assert_string_equal(buf_cstr(&out), "{\"Self\":{\"Active\":false},\"Peer\":{\"a\":{\"Active\":true,\"X\":[1,\"\xc3\xa9\"]}},\"User\":{}}");
        buf_clear(&out);
        json_reader_init(&r, SLICE_LIT("{\"Peer\":null}"), &arena);
        json_writer_init(&w, &out, NULL);
        status_copy_active(&r, &w);
        assert_string_equal(buf_cstr(&out), "{\"Peer\":null}");
        buf_fini(&out);
        arena_fini(&arena);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_peer_in_each_state),
                cmocka_unit_test(names_move_no_cursor),
                cmocka_unit_test(peers_stand_by_name),
                cmocka_unit_test(json_without_idle_peers),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
