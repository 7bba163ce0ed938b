#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cursor.h"

static void reads_fields_in_order(void **state)
{
        (void)state;
        const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
        struct reader r = reader_of(SLICE_ARRAY(bytes));

        assert_int_equal(rd_u8(&r), 1);
        assert_int_equal(rd_be16(&r), 0x0203);
        assert_int_equal(rd_le32(&r), 0x07060504);
        assert_true(rd_be64(&r) == 0x08090a0b0c0d0e0fu);
        assert_int_equal(rd_finish(&r), OK);
}

static void remembers_its_first_failure(void **state)
{
        (void)state;
        const uint8_t bytes[] = { 1, 2, 3 };
        struct reader r = reader_of(SLICE_ARRAY(bytes));
        uint8_t out[4] = { 9, 9, 9, 9 };

        rd_copy(&r, out, 4);
        assert_int_equal(out[0], 0);
        assert_int_equal(rd_u8(&r), 0);
        assert_int_equal(rd_left(&r), 0);
        assert_int_equal(rd_finish(&r), ERR_SHORT);
        assert_int_equal(rd_finish_open(&r), ERR_SHORT);

        r = reader_of(SLICE_ARRAY(bytes));
        assert_null(rd_take(&r, SIZE_MAX).ptr);

        r = reader_of(SLICE_ARRAY(bytes));
        rd_skip(&r, 1);
        assert_int_equal(rd_finish(&r), ERR_FORMAT);
        assert_int_equal(rd_finish_open(&r), OK);
}

static void nests(void **state)
{
        (void)state;
        const uint8_t bytes[] = { 2, 7, 8, 9 };
        struct reader r = reader_of(SLICE_ARRAY(bytes));
        struct reader sub = rd_sub(&r, rd_u8(&r));

        assert_int_equal(rd_be16(&sub), 0x0708);
        assert_int_equal(rd_finish(&sub), OK);
        assert_int_equal(rd_u8(&r), 9);
        sub = rd_sub(&r, 1);
        assert_int_equal(rd_u8(&sub), 0);
        assert_int_equal(rd_finish(&sub), ERR_SHORT);
}

static void empty_input(void **state)
{
        (void)state;
        struct reader r = reader_of((struct slice){ 0 });
        assert_int_equal(rd_rest(&r).len, 0);
        assert_int_equal(rd_finish(&r), OK);
}

static void writes_up_to_capacity(void **state)
{
        (void)state;
        uint8_t buf[8];
        struct slice out;
        struct writer w = writer_of(buf, sizeof(buf));

        wr_be16(&w, 0x0102);
        wr_le32(&w, 0x06050403);
        wr_le16(&w, 0x0807);
        assert_int_equal(wr_finish(&w, &out), OK);
        assert_memory_equal(out.ptr, "\1\2\3\4\5\6\7\10", 8);
        wr_zero(&w, 1);
        assert_int_equal(wr_finish(&w, &out), ERR_LIMIT);
        assert_int_equal(out.len, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_fields_in_order), cmocka_unit_test(remembers_its_first_failure),
                cmocka_unit_test(nests), cmocka_unit_test(empty_input), cmocka_unit_test(writes_up_to_capacity),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
