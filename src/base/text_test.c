#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/text.h"

static void hex(void **state)
{
        (void)state;
        uint8_t out[2];
        char text[5];
        const uint8_t bytes[] = { 0x0a, 0xff };

        assert_int_equal(hex_encode(SLICE_ARRAY(bytes), text), 4);
        assert_string_equal(text, "0aff");
        assert_int_equal(hex_decode(SLICE_LIT("0AfF"), out, 2), OK);
        assert_memory_equal(out, bytes, 2);
        for (unsigned c = 0; c < 256; c++) {
                uint8_t pair[2] = { (uint8_t)c, '0' };
                bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
                assert_int_equal(hex_decode(SLICE_ARRAY(pair), out, 1), digit ? OK : ERR_FORMAT);
        }
        assert_int_equal(hex_decode(SLICE_LIT("0af"), out, 2), ERR_FORMAT);
}

static void base64(void **state)
{
        (void)state;
        static const struct {
                const char *plain, *text;
        } cases[] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foobar", "Zm9vYmFy" } };
        char text[16];
        uint8_t out[16];
        size_t len;

        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) { /* RFC 4648, section 10 */
                base64_encode(slice_str(cases[i].plain), text);
                assert_string_equal(text, cases[i].text);
                assert_int_equal(base64_decode(slice_str(text), out, sizeof(out), &len), OK);
                assert_true(slice_is(slice_make(out, len), cases[i].plain));
        }
        static const char *const bad[] = { "Zg", "Zg=", "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v\n", "Zm_v" };
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_int_equal(base64_decode(slice_str(bad[i]), out, sizeof(out), &len), ERR_FORMAT);
        assert_int_equal(base64_decode(SLICE_LIT("Zm9v"), out, 2, &len), ERR_LIMIT);
        base32_encode(SLICE_LIT("foobar"), text);
        assert_string_equal(text, "MZXW6YTBOI");
}

static void numbers(void **state)
{
        (void)state;
        uint64_t u;
        int64_t i;
        double d;

        assert_int_equal(parse_u64(SLICE_LIT("18446744073709551615"), UINT64_MAX, &u), OK);
        assert_true(u == UINT64_MAX);
        assert_int_equal(parse_u64(SLICE_LIT("18446744073709551616"), UINT64_MAX, &u), ERR_RANGE);
        assert_int_equal(parse_u64(SLICE_LIT("65536"), 65535, &u), ERR_RANGE);
        assert_int_equal(parse_u64(SLICE_LIT(""), 9, &u), ERR_FORMAT);
        assert_int_equal(parse_u64(SLICE_LIT(" 1"), 9, &u), ERR_FORMAT);
        assert_int_equal(parse_i64(SLICE_LIT("-9223372036854775808"), &i), OK);
        assert_true(i == INT64_MIN);
        assert_int_equal(parse_i64(SLICE_LIT("-9223372036854775809"), &i), ERR_RANGE);
        assert_int_equal(parse_i64(SLICE_LIT("--1"), &i), ERR_FORMAT);
        assert_int_equal(parse_double(SLICE_LIT("-1.5e2"), &d), OK);
        assert_true(d == -150.0);
        assert_int_equal(parse_double(SLICE_LIT("inf"), &d), ERR_FORMAT);
        assert_int_equal(parse_double(SLICE_LIT("1e999"), &d), ERR_RANGE);
}

static void durations(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                int64_t ns;
                const char *out;
        } good[] = {
                { "0", 0, "0s" }, { "800ms", 800000000, "800ms" }, { "1h30m", 5400000000000, "1h30m0s" },
                { "1.5s", 1500000000, "1.5s" }, { "-2m", -120000000000, "-2m0s" }, { "1us", 1000, "1\xc2\xb5s" },
                { ".5h", 1800000000000, "30m0s" }, { "1m1ms", 60001000000, "1m0.001s" },
        };
        static const char *const bad[] = { "", "5", "s", "1x", "1h 2m", ".s", "-" };
        int64_t ns;
        char text[32];

        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
                assert_int_equal(duration_parse(slice_str(good[i].text), &ns), OK);
                assert_true(ns == good[i].ns);
                duration_format(ns, text);
                assert_string_equal(text, good[i].out);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_int_equal(duration_parse(slice_str(bad[i]), &ns), ERR_FORMAT);
        assert_int_equal(duration_parse(SLICE_LIT("9999999999h"), &ns), ERR_RANGE);
        duration_format(INT64_MIN, text);
        assert_string_equal(text, "-2562047h47m16.854775808s");

        assert_int_equal(prom_duration_parse(SLICE_LIT("1d12h"), &ns), OK);
        assert_true(ns == 129600000000000);
        assert_int_equal(prom_duration_parse(SLICE_LIT("90d"), &ns), OK);
        assert_int_equal(prom_duration_parse(SLICE_LIT("5ms"), &ns), OK);
        assert_true(ns == 5000000);
        assert_int_equal(prom_duration_parse(SLICE_LIT("12h1d"), &ns), ERR_FORMAT);
        assert_int_equal(prom_duration_parse(SLICE_LIT("1.5d"), &ns), ERR_FORMAT);
        assert_int_equal(prom_duration_parse(SLICE_LIT("999y"), &ns), ERR_RANGE);
}

static void dates(void **state)
{
        (void)state;
        static const struct {
                const char *text;
                int64_t ns;
                const char *out;
        } good[] = {
                { "1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z" },
                { "2026-01-01T00:00:00.5+01:00", 1767222000500000000, "2025-12-31T23:00:00.5Z" },
                { "2024-02-29T23:59:59.123456789Z", 1709251199123456789, "2024-02-29T23:59:59.123456789Z" },
                { "1969-12-31T23:59:59.9Z", -100000000, "1969-12-31T23:59:59.9Z" },
                { "0001-01-01T00:00:00Z", UNIX_ZERO_DATE, "0001-01-01T00:00:00Z" },
        };
        static const char *const bad[] = { "", "2026-01-01", "2023-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
                "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+1:00",
                "2026-01-01 00:00:00Z" };
        int64_t ns;
        char text[40];

        for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
                assert_int_equal(rfc3339_parse(slice_str(good[i].text), &ns), OK);
                assert_true(ns == good[i].ns);
                rfc3339_format(ns, text);
                assert_string_equal(text, good[i].out);
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_int_equal(rfc3339_parse(slice_str(bad[i]), &ns), ERR_FORMAT);
        assert_int_equal(rfc3339_parse(SLICE_LIT("9999-01-01T00:00:00Z"), &ns), ERR_RANGE);
}

static void utf8(void **state)
{
        (void)state;
        assert_true(utf8_valid(SLICE_LIT("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
        assert_false(utf8_valid(SLICE_LIT("\xc0\x80")));
        assert_false(utf8_valid(SLICE_LIT("\xed\xa0\x80")));
        assert_false(utf8_valid(SLICE_LIT("\xf4\x90\x80\x80")));
        assert_false(utf8_valid(SLICE_LIT("\xe2\x82")));
        assert_false(utf8_valid(SLICE_LIT("\x80")));
}

static void what_a_terminal_may_see(void **state)
{
        static const struct {
                const char *text, *keep, *out;
        } cases[] = {
                { "plain", "", "plain" }, { "", "", "" }, { "J\xc3\xb6rg \xe2\x9c\x93", "", "J\xc3\xb6rg \xe2\x9c\x93" },
                { "\x1b[2Jx\x7f", "", "?[2Jx?" }, { "a\nb\tc\r", "\n\t", "a\nb\tc?" }, { "a\nb", "", "a?b" },
                { "\xc2\x9b" "2J", "", "?2J" },       /* CSI as one character */
                { "\xc3", "", "?" }, { "\xff\xc0\x80z", "", "???z" },
        };
        char out[64];

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                assert_int_equal(text_printable(slice_str(cases[i].text), cases[i].keep, out), strlen(cases[i].out));
                assert_string_equal(out, cases[i].out);
        }
        assert_int_equal(text_printable(slice_make("a\0b", 3), "\n", out), 3);
        assert_string_equal(out, "a?b");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hex), cmocka_unit_test(base64), cmocka_unit_test(numbers),
                cmocka_unit_test(durations), cmocka_unit_test(dates), cmocka_unit_test(utf8),
                cmocka_unit_test(what_a_terminal_may_see),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
