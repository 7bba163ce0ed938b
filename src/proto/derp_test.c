#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/text.h"
#include "proto/derp.h"

/* Keys and frames of spec/paths.md 11. */
#define A_HEX "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13"
#define B_HEX "0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20"
#define NONCE_HEX "404142434445464748494a4b4c4d4e4f5051525354555657"
#define SERVER_KEY_HEX "010000002844455250f09f94917b0d47d93427f8311160781c7c733fd89f88970aef490d8aa0ee19a4cb8a1b14"
#define CLIENT_INFO_HEX                                                                       \
        "0200000068" A_HEX NONCE_HEX                                                          \
        "00b5ab2350b5c972f17c4d3ea437e706caa6c7887f497f241edfd7230ce7693af11189618915d9dfa13dec400d5ac3d1"
#define SERVER_INFO_HEX "0300000035" NONCE_HEX "ebdf7a6b45acf528f41bb8a4160a7b8bcaa6c7887f497f241edfd7235d"

static struct secret_key client_key, server_key;
static struct public_key client_pub, server_pub, peer_b;
static uint8_t nonce[BOX_NONCE_LEN];

static int set_up(void **state)
{
        (void)state;
        memset(client_key.b, 0x11, KEY_LEN);
        memset(server_key.b, 0x33, KEY_LEN);
        key_public(&client_key, &client_pub);
        key_public(&server_key, &server_pub);
        for (size_t i = 0; i < sizeof(nonce); i++)
                nonce[i] = (uint8_t)(0x40 + i);
        return hex_decode(SLICE_LIT(B_HEX), peer_b.b, KEY_LEN) == OK ? 0 : -1;
}

struct message {
        uint8_t b[512];
        size_t len;
};

static struct message unhex(const char *hex)
{
        struct message m = { .len = strlen(hex) / 2 };

        assert_true(m.len <= sizeof(m.b));
        assert_int_equal(hex_decode(slice_str(hex), m.b, m.len), OK);
        return m;
}

static void expect_bytes(struct slice got, const char *hex)
{
        struct message want = unhex(hex);

        assert_int_equal(got.len, want.len);
        assert_memory_equal(got.ptr, want.b, want.len);
}

static struct slice written(const struct writer *w)
{
        struct slice s;

        assert_int_equal(wr_finish(w, &s), OK);
        return s;
}

static struct slice payload_of(const struct message *m)
{
        return slice_after(slice_make(m->b, m->len), DERP_HEADER_LEN);
}

static void greeting_vectors(void **state)
{
        struct derp_client_info client_info = { .version = DERP_VERSION, .can_ack_pings = true };
        struct derp_server_info server_info = { .version = DERP_VERSION };
        uint8_t frame[DERP_SERVER_KEY_FRAME_LEN];
        struct buf out = BUF_INIT(1024);
        struct public_key got;

        (void)state;
        derp_server_key_write(&server_pub, frame);
        expect_bytes(SLICE_ARRAY(frame), SERVER_KEY_HEX);
        assert_int_equal(derp_server_key_parse(slice_after(SLICE_ARRAY(frame), DERP_HEADER_LEN), &got), OK);
        assert_true(key_equal(&got, &server_pub));

        assert_int_equal(derp_client_info_write(&client_info, &client_key, &server_pub, nonce, &out), OK);
        expect_bytes(buf_slice(&out), CLIENT_INFO_HEX);
        buf_clear(&out);
        assert_int_equal(derp_server_info_write(&server_info, &server_key, &client_pub, nonce, &out), OK);
        expect_bytes(buf_slice(&out), SERVER_INFO_HEX);
        buf_fini(&out);
}

static void client_info_opens(void **state)
{
        struct message m = unhex(CLIENT_INFO_HEX);
        struct arena arena = ARENA_INIT(4096);
        struct derp_client_info info;
        struct public_key who;

        (void)state;
        assert_int_equal(derp_client_info_parse(payload_of(&m), &server_key, &arena, &who, &info), OK);
        assert_true(key_equal(&who, &client_pub));
        assert_int_equal(info.version, 2);
        assert_true(info.can_ack_pings);
        assert_false(info.is_prober || info.has_mesh_key);

        for (size_t len = 0; len < m.len - DERP_HEADER_LEN; len++)
                assert_int_not_equal(derp_client_info_parse(slice_first(payload_of(&m), len), &server_key, &arena, &who, &info), OK);
        m.b[m.len - 1] ^= 1;
        assert_int_equal(derp_client_info_parse(payload_of(&m), &server_key, &arena, &who, &info), ERR_AUTH);
        arena_fini(&arena);
}

static void server_info_opens(void **state)
{
        struct message m = unhex(SERVER_INFO_HEX);
        struct derp_server_info limited = { .version = 2, .bytes_per_second = 1000, .bytes_burst = 65568 }, info;
        struct arena arena = ARENA_INIT(4096);
        struct buf out = BUF_INIT(1024);

        (void)state;
        assert_int_equal(derp_server_info_parse(payload_of(&m), &client_key, &server_pub, &arena, &info), OK);
        assert_int_equal(info.version, 2);
        assert_int_equal(info.bytes_per_second, 0);

        assert_int_equal(derp_server_info_write(&limited, &server_key, &client_pub, nonce, &out), OK);
        assert_int_equal(derp_server_info_parse(slice_after(buf_slice(&out), DERP_HEADER_LEN), &client_key, &server_pub, &arena, &info), OK);
        assert_int_equal(info.bytes_per_second, 1000);
        assert_int_equal(info.bytes_burst, 65568);
        buf_fini(&out);
        arena_fini(&arena);
}

/* Seals a client info with JSON of one's own choosing. */
static enum err parse_json(const char *json, struct derp_client_info *info, struct arena *arena)
{
        struct public_key who;
        struct shared_key k;
        uint8_t payload[512];
        struct writer w = writer_of(payload, sizeof(payload));

        assert_int_equal(box_precompute(&server_pub, &client_key, &k), OK);
        wr_bytes(&w, client_pub.b, KEY_LEN);
        wr_bytes(&w, nonce, sizeof(nonce));
        uint8_t *box = wr_reserve(&w, strlen(json) + BOX_TAG_LEN);
        assert_non_null(box);
        box_seal(&k, nonce, slice_str(json), box);
        return derp_client_info_parse(written(&w), &server_key, arena, &who, info);
}

static void client_info_json_forms(void **state)
{
        static const char mesh[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        struct arena arena = ARENA_INIT(1 << 16);
        struct derp_client_info info;
        char json[256];

        (void)state;
        assert_int_equal(parse_json("{}", &info, &arena), OK);
        assert_int_equal(parse_json("{\"Version\":2,\"IsProber\":true,\"AppName\":\"p\\u0041\",\"new\":[{}]}", &info, &arena), OK);
        assert_true(info.is_prober);
        assert_true(slice_is(info.app_name, "pA"));
        snprintf(json, sizeof(json), "{\"meshKey\":\"%s\"}", mesh);
        assert_int_equal(parse_json(json, &info, &arena), OK);
        assert_true(info.has_mesh_key);
        assert_int_equal(info.mesh_key.b[1], 0x11);

        assert_int_equal(parse_json("{\"meshKey\":\"\"}", &info, &arena), ERR_FORMAT);
        assert_int_equal(parse_json("{\"meshKey\":\"0011\"}", &info, &arena), ERR_FORMAT);
        assert_int_equal(parse_json("{\"version\":2", &info, &arena), ERR_FORMAT);
        assert_int_equal(parse_json("[]", &info, &arena), ERR_FORMAT);
        assert_int_equal(parse_json("", &info, &arena), ERR_FORMAT);
        arena_fini(&arena);
}

static void packet_and_notice_vectors(void **state)
{
        static const uint8_t wg_keepalive[4] = { 4, 0, 0, 0 };
        struct derp_peer_present present = { .peer = peer_b, .flags = DERP_PRESENT_REGULAR }, got;
        uint8_t out[128];
        struct writer w = writer_of(out, sizeof(out));

        (void)state;
        derp_packet_head_write(&w, DERP_SEND_PACKET, NULL, &peer_b, sizeof(wg_keepalive));
        wr_bytes(&w, wg_keepalive, sizeof(wg_keepalive));
        expect_bytes(written(&w), "0400000024" B_HEX "04000000");

        w = writer_of(out, sizeof(out));
        derp_packet_head_write(&w, DERP_RECV_PACKET, NULL, &client_pub, sizeof(wg_keepalive));
        wr_bytes(&w, wg_keepalive, sizeof(wg_keepalive));
        expect_bytes(written(&w), "0500000024" A_HEX "04000000");

        w = writer_of(out, sizeof(out));
        derp_packet_head_write(&w, DERP_FORWARD_PACKET, &client_pub, &peer_b, 1);
        wr_u8(&w, 0xee);
        expect_bytes(written(&w), "0a00000041" A_HEX B_HEX "ee");

        w = writer_of(out, sizeof(out));
        derp_frame_write(&w, DERP_KEEP_ALIVE, (struct slice){ 0 });
        derp_frame_write(&w, DERP_NOTE_PREFERRED, SLICE_LIT("\x01"));
        expect_bytes(written(&w), "0600000000" "070000000101");

        w = writer_of(out, sizeof(out));
        derp_peer_gone_write(&w, &peer_b, DERP_GONE_NOT_HERE);
        expect_bytes(written(&w), "0800000021" B_HEX "01");

        assert_int_equal(ip_port_parse(SLICE_LIT("203.0.113.7:41641"), &present.remote), OK);
        w = writer_of(out, sizeof(out));
        derp_peer_present_write(&w, &present);
        expect_bytes(written(&w), "0900000033" B_HEX "00000000000000000000ffffcb007107" "a2a9" "01");
        assert_int_equal(derp_peer_present_parse(slice_make(out + 5, 51), &got), OK);
        assert_true(ip_port_equal(&got.remote, &present.remote));
        assert_int_equal(got.flags, 1);
        assert_int_equal(derp_peer_present_parse(slice_make(out + 5, 50), &got), OK);
        assert_int_equal(got.flags, 0);
        assert_int_equal(derp_peer_present_parse(slice_make(out + 5, 32), &got), OK);
        assert_false(ip_valid(&got.remote.ip));
        assert_int_equal(derp_peer_present_parse(slice_make(out + 5, 31), &got), ERR_SHORT);
}

static void payloads_of_any_length(void **state)
{
        static const uint8_t zero[2 * KEY_LEN + DERP_PACKET_MAX + 1];
        struct public_key k, k2;
        struct derp_peer_gone gone;
        struct derp_restarting r;
        struct slice packet;

        (void)state;
        assert_int_equal(derp_packet_parse(slice_make(zero, KEY_LEN - 1), &k, &packet), ERR_SHORT);
        assert_int_equal(derp_packet_parse(slice_make(zero, KEY_LEN), &k, &packet), OK);
        assert_int_equal(packet.len, 0);
        assert_int_equal(derp_packet_parse(slice_make(zero, KEY_LEN + DERP_PACKET_MAX + 1), &k, &packet), ERR_RANGE);
        assert_int_equal(derp_forward_parse(slice_make(zero, 2 * KEY_LEN - 1), &k, &k2, &packet), ERR_SHORT);
        assert_int_equal(derp_forward_parse(SLICE_ARRAY(zero), &k, &k2, &packet), ERR_RANGE);

        assert_int_equal(derp_peer_gone_parse(slice_make(zero, KEY_LEN), &gone), OK); /* no reason given */
        assert_int_equal(gone.reason, DERP_GONE_DISCONNECTED);
        assert_int_equal(derp_peer_gone_parse(slice_make(zero, KEY_LEN - 1), &gone), ERR_SHORT);
        assert_int_equal(derp_restarting_parse(slice_make(zero, 7), &r), ERR_SHORT);
        assert_int_equal(derp_server_key_parse(slice_make(zero, 40), &k), ERR_FORMAT);
}

static void metacert_and_mesh_key(void **state)
{
        struct derp_mesh_key mesh;
        struct public_key got;
        char name[DERP_METACERT_NAME_LEN + 1];

        (void)state;
        derp_metacert_name(&peer_b, name);
        assert_string_equal(name, "derpkey" B_HEX);
        assert_int_equal(derp_metacert_parse(slice_str(name), 2, &got), OK);
        assert_true(key_equal(&got, &peer_b));
        assert_int_equal(derp_metacert_parse(slice_str(name), 0, &got), ERR_NOTFOUND);
        assert_int_equal(derp_metacert_parse(slice_str(name), 256, &got), ERR_NOTFOUND);
        assert_int_equal(derp_metacert_parse(SLICE_LIT("derp1.example.com"), 2, &got), ERR_NOTFOUND);
        assert_int_equal(derp_metacert_parse(SLICE_LIT("derpkey00"), 2, &got), ERR_NOTFOUND);

        assert_int_equal(derp_mesh_key_parse(SLICE_LIT(" " B_HEX "\n"), &mesh), OK);
        assert_int_equal(derp_mesh_key_parse(SLICE_LIT(""), &mesh), ERR_FORMAT);
}

/* ---- The decoder -------------------------------------------------------- */


static void add(struct buf *b, uint8_t type, size_t len)
{
        uint8_t header[DERP_HEADER_LEN] = { type };

        put_be32(header + 1, (uint32_t)len);
        buf_append(b, header, sizeof(header));
        for (size_t i = 0; i < len; i++)
                buf_append_byte(b, (uint8_t)i);
}

/* Feeds the stream in pieces of one size. */
static void decode_in_pieces(struct slice all, size_t piece, const uint8_t *types, const size_t *lens, size_t n)
{
        struct derp_decoder d;
        struct derp_frame f;
        size_t seen = 0;

        derp_decoder_init(&d, DERP_AT_SERVER);
        while (all.len) {
                struct slice in = slice_first(all, piece);
                all = slice_after(all, piece);
                while (derp_decode(&d, &in, &f) == OK) {
                        assert_true(seen < n);
                        assert_int_equal(f.type, types[seen]);
                        assert_int_equal(f.payload.len, lens[seen]);
                        for (size_t i = 0; i < f.payload.len; i++)
                                assert_int_equal(f.payload.ptr[i], (uint8_t)i);
                        seen++;
                }
                assert_int_equal(in.len, 0);
        }
        assert_int_equal(seen, n);
        derp_decoder_fini(&d);
}

static void decoder_pieces(void **state)
{
        static const uint8_t types[] = { DERP_SEND_PACKET, DERP_PING, DERP_WATCH_CONNS, DERP_SEND_PACKET };
        static const size_t lens[] = { 100, 8, 0, 700 };
        struct buf b = BUF_INIT(1 << 20);

        (void)state;
        add(&b, types[0], lens[0]);
        add(&b, 0x77, 300); /* unknown: skipped */
        add(&b, types[1], lens[1]);
        add(&b, types[2], lens[2]);
        add(&b, 0x99, 0);
        add(&b, types[3], lens[3]);
        for (size_t piece = 1; piece <= b.len; piece = piece < 50 ? piece + 1 : piece * 2)
                decode_in_pieces(buf_slice(&b), piece, types, lens, 4);
        decode_in_pieces(buf_slice(&b), b.len, types, lens, 4);
        buf_fini(&b);
}

static void decoder_limits(void **state)
{
        static const struct {
                enum derp_side side;
                uint8_t type;
                uint32_t len;
                enum err want;
        } cases[] = {
                { DERP_AT_SERVER, DERP_SEND_PACKET, KEY_LEN + DERP_PACKET_MAX, ERR_SHORT },
                { DERP_AT_SERVER, DERP_SEND_PACKET, KEY_LEN + DERP_PACKET_MAX + 1, ERR_RANGE },
                { DERP_AT_SERVER, DERP_FORWARD_PACKET, 2 * KEY_LEN + DERP_PACKET_MAX + 1, ERR_RANGE },
                { DERP_AT_SERVER, DERP_CLIENT_INFO, DERP_CLIENT_INFO_MAX + 1, ERR_RANGE },
                { DERP_AT_SERVER, DERP_NOTE_PREFERRED, 2, ERR_RANGE },
                { DERP_AT_SERVER, DERP_WATCH_CONNS, 1, ERR_RANGE },
                { DERP_AT_SERVER, DERP_CLOSE_PEER, 33, ERR_RANGE },
                { DERP_AT_SERVER, DERP_PING, DERP_PING_MAX + 1, ERR_RANGE },
                { DERP_AT_SERVER, 0x77, UINT32_MAX, ERR_SHORT },
                { DERP_AT_CLIENT, 0x77, DERP_FRAME_MAX + 1, ERR_RANGE },
                { DERP_AT_CLIENT, 0x77, DERP_FRAME_MAX, ERR_SHORT },
                { DERP_AT_CLIENT, DERP_SERVER_KEY, 1025, ERR_RANGE },
                { DERP_AT_CLIENT, DERP_RECV_PACKET, KEY_LEN + DERP_PACKET_MAX + 1, ERR_RANGE },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint8_t header[DERP_HEADER_LEN] = { cases[i].type };
                struct slice in = SLICE_ARRAY(header);
                struct derp_decoder d;
                struct derp_frame f;

                put_be32(header + 1, cases[i].len);
                derp_decoder_init(&d, cases[i].side);
                assert_int_equal(derp_decode(&d, &in, &f), cases[i].want);
                assert_int_equal(d.part.cap, 0); /* nothing is allocated for a promise */
                derp_decoder_fini(&d);
        }
}

static void disco_look(void **state)
{
        uint8_t packet[62] = { 0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac };

        (void)state;
        assert_true(derp_looks_like_disco(SLICE_ARRAY(packet)));
        assert_false(derp_looks_like_disco(slice_make(packet, 61)));
        packet[0] = 4;
        assert_false(derp_looks_like_disco(SLICE_ARRAY(packet)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(greeting_vectors),          cmocka_unit_test(client_info_opens),
                cmocka_unit_test(server_info_opens),         cmocka_unit_test(client_info_json_forms),
                cmocka_unit_test(packet_and_notice_vectors), cmocka_unit_test(payloads_of_any_length),
                cmocka_unit_test(metacert_and_mesh_key),     cmocka_unit_test(decoder_pieces),
                cmocka_unit_test(decoder_limits),            cmocka_unit_test(disco_look),
        };
        return cmocka_run_group_tests(tests, set_up, NULL);
}
