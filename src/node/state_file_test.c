#include "test_util.h"

#include "node/state_file.h"

static void the_official_form_is_read_and_written(void **state)
{
        static const char text[] = "{\n  \"_current-profile\": \"cHJvZmlsZS0xYWIz\",\n  \"profile-1ab3\": \"e30=\"\n}";
        struct buf out = BUF_INIT(1 << 16);
        struct state_map m;
        struct diag diag;

        (void)state;
        state_map_init(&m);
        assert_int_equal(state_map_parse(&m, SLICE_LIT(text), &diag), OK);
        assert_slice(state_map_get(&m, "_current-profile"), "profile-1ab3");
        assert_slice(state_map_get(&m, "profile-1ab3"), "{}");
        assert_null(state_map_get(&m, "nothing").ptr);
        assert_int_equal(state_map_write(&m, &out), OK);
        assert_text(&out, text);
        state_map_fini(&m);
        buf_fini(&out);
}

static void only_changes_make_it_dirty(void **state)
{
        struct state_map m;

        (void)state;
        state_map_init(&m);
        assert_int_equal(state_map_put(&m, "b", SLICE_LIT("1")), OK);
        assert_int_equal(state_map_put(&m, "a", SLICE_LIT("")), OK);
        assert_true(m.dirty);
        m.dirty = false;
        assert_int_equal(state_map_put(&m, "b", SLICE_LIT("1")), OK);
        state_map_remove(&m, "c");
        assert_false(m.dirty);
        assert_true(state_map_has(&m, "a"));
        state_map_remove(&m, "a");
        assert_true(m.dirty);
        assert_int_equal(m.count, 1);
        state_map_fini(&m);
}

static void damage_is_named(void **state)
{
        static const char *const bad[] = { "{", "[]", "{\"a\":1}", "{\"a\":\"*\"}", "{\"a\":\"e30=\"} {}", "{\"a\":\"e3\"}" };
        struct state_map m;
        struct diag diag;

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                state_map_init(&m);
                assert_int_not_equal(state_map_parse(&m, slice_str(bad[i]), &diag), OK);
                assert_non_null(strstr(diag.text, "damaged"));
                state_map_fini(&m);
        }
        state_map_init(&m);
        assert_int_equal(state_map_parse(&m, SLICE_LIT(" \n"), &diag), OK);
        assert_int_equal(m.count, 0);
        state_map_fini(&m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_official_form_is_read_and_written),
                cmocka_unit_test(only_changes_make_it_dirty),
                cmocka_unit_test(damage_is_named),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
