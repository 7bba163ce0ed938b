#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/map_frame.h"

#include "base/text.h"

/* spec/control.md 13: a keep-alive as Go servers frame it, with and without checksum */
static const char keep_alive[] = "{\"KeepAlive\":true}";
static const char with_checksum[] = "1f00000028b52ffd24129100007b224b656570416c697665223a747275657d0e260c10";
static const char without_checksum[] = "1b00000028b52ffd20129100007b224b656570416c697665223a747275657d";

static struct slice unhex(const char *text, uint8_t *out)
{
        size_t n = strlen(text) / 2;

        assert_int_equal(hex_decode(slice_str(text), out, n), OK);
        return slice_make(out, n);
}

static void expect_message(const char *hex)
{
        uint8_t bytes[64];
        struct map_splitter s;
        struct slice message;
        struct buf json = BUF_INIT(100);

        map_splitter_init(&s, 1000);
        assert_int_equal(map_splitter_push(&s, unhex(hex, bytes)), OK);
        assert_true(map_splitter_next(&s, &message));
        assert_int_equal(map_frame_decompress(message, &json), OK);
        assert_true(slice_is(buf_slice(&json), keep_alive));
        assert_false(map_splitter_next(&s, &message));
        buf_fini(&json);
        map_splitter_fini(&s);
}

static void reads_the_vectors(void **state)
{
        (void)state;
        expect_message(with_checksum);
        expect_message(without_checksum);
}

static void reads_what_it_writes_in_any_pieces(void **state)
{
        struct buf wire = BUF_INIT(10000), json = BUF_INIT(1000);
        struct map_splitter s;
        struct slice message;

        (void)state;
        assert_int_equal(map_frame_write(SLICE_LIT(keep_alive), &wire), OK);
        assert_int_equal(map_frame_write(SLICE_LIT("{}"), &wire), OK);
        assert_int_equal(map_frame_write_plain(SLICE_LIT("{\"a\":1}"), &wire), OK);
        map_splitter_init(&s, 1000);
        /* byte by byte: a message may arrive in any pieces */
        for (size_t i = 0; i + 1 < wire.len; i++)
                assert_int_equal(map_splitter_push(&s, slice_make(wire.ptr + i, 1)), OK);
        assert_true(map_splitter_next(&s, &message));
        assert_int_equal(map_frame_decompress(message, &json), OK);
        assert_true(slice_is(buf_slice(&json), keep_alive));
        assert_true(map_splitter_next(&s, &message));
        assert_false(map_splitter_next(&s, &message));
        assert_int_equal(map_splitter_push(&s, slice_make(wire.ptr + wire.len - 1, 1)), OK);
        assert_true(map_splitter_next(&s, &message));
        assert_true(slice_is(message, "{\"a\":1}"));
        map_splitter_fini(&s);
        buf_fini(&wire);
        buf_fini(&json);
}

static void joins_several_frames_of_one_message(void **state)
{
        struct buf frames = BUF_INIT(10000), json = BUF_INIT(1000);

        (void)state;
        assert_int_equal(map_frame_compress(SLICE_LIT("{\"Peers\":["), &frames), OK);
        assert_int_equal(map_frame_compress(SLICE_LIT(""), &frames), OK);
        assert_int_equal(map_frame_compress(SLICE_LIT("]}"), &frames), OK);
        assert_int_equal(map_frame_decompress(buf_slice(&frames), &json), OK);
        assert_true(slice_is(buf_slice(&json), "{\"Peers\":[]}"));
        /* cut anywhere but between frames it is no message */
        buf_clear(&json);
        assert_int_not_equal(map_frame_decompress(slice_first(buf_slice(&frames), frames.len - 1), &json), OK);
        buf_fini(&frames);
        buf_fini(&json);
}

static void keeps_its_bounds(void **state)
{
        struct buf big = BUF_INIT(200000), frame = BUF_INIT(200000), json = BUF_INIT(1000);
        struct map_splitter s;
        struct slice message;

        (void)state;
        memset(buf_extend(&big, 100000), 'x', 100000);
        assert_int_equal(map_frame_compress(buf_slice(&big), &frame), OK);
        assert_true(frame.len < 100); /* a bomb: small on the wire */
        assert_int_equal(map_frame_decompress(buf_slice(&frame), &json), ERR_LIMIT);
        assert_true(json.len <= 1000);
        assert_int_equal(map_frame_decompress(SLICE_LIT("not zstd at all"), &json), ERR_LIMIT);
        buf_clear(&json);
        assert_int_equal(map_frame_decompress(SLICE_LIT("not zstd at all"), &json), ERR_FORMAT);

        map_splitter_init(&s, 10);
        assert_int_equal(map_splitter_push(&s, SLICE_LIT("\x0b\0\0\0")), OK);
        assert_false(map_splitter_next(&s, &message));
        assert_int_equal(s.status, ERR_LIMIT);
        assert_int_equal(map_splitter_push(&s, SLICE_LIT("x")), ERR_LIMIT);
        map_splitter_fini(&s);
        buf_fini(&big);
        buf_fini(&frame);
        buf_fini(&json);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_the_vectors),
                cmocka_unit_test(reads_what_it_writes_in_any_pieces),
                cmocka_unit_test(joins_several_frames_of_one_message),
                cmocka_unit_test(keeps_its_bounds),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
