/* Durations as Go and as Prometheus write them, and dates of RFC 3339. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"

struct unit {
        const char *name;
        int64_t ns;
};

#define SECOND_NS 1000000000LL

/* Cuts digits off the front of *text. ERR_FORMAT if there are none. */
static enum err take_digits(struct slice *text, struct slice *digits)
{
        size_t n = 0;

        while (n < text->len && text->ptr[n] >= '0' && text->ptr[n] <= '9')
                n++;
        *digits = slice_first(*text, n);
        *text = slice_after(*text, n);
        return n ? OK : ERR_FORMAT;
}

/* Cuts the longest unit name off the front of *text; -1 if none fits. */
static int take_unit(struct slice *text, const struct unit *units, size_t count)
{
        int best = -1;

        for (size_t i = 0; i < count; i++) {
                struct slice name = slice_str(units[i].name);
                if (slice_has_prefix(*text, name) && (best < 0 || name.len > strlen(units[best].name)))
                        best = (int)i;
        }
        if (best >= 0)
                *text = slice_after(*text, strlen(units[best].name));
        return best;
}

enum err duration_parse(struct slice text, int64_t *ns)
{
        static const struct unit units[] = {
                { "ns", 1 }, { "us", 1000 }, { "\xc2\xb5s", 1000 }, { "\xce\xbcs", 1000 }, { "ms", 1000000 },
                { "s", SECOND_NS }, { "m", 60 * SECOND_NS }, { "h", 3600 * SECOND_NS },
        };
        bool negative = text.len && text.ptr[0] == '-';
        int64_t total = 0;

        if (text.len && (text.ptr[0] == '-' || text.ptr[0] == '+'))
                text = slice_after(text, 1);
        if (slice_is(text, "0")) {
                *ns = 0;
                return OK;
        }
        if (text.len == 0)
                return ERR_FORMAT;
        while (text.len) {
                struct slice whole, fraction = { 0 };
                uint64_t n = 0;
                bool has_whole = take_digits(&text, &whole) == OK;
                if (text.len && text.ptr[0] == '.') {
                        text = slice_after(text, 1);
                        if (take_digits(&text, &fraction) != OK && !has_whole)
                                return ERR_FORMAT;
                } else if (!has_whole) {
                        return ERR_FORMAT;
                }
                int u = take_unit(&text, units, sizeof(units) / sizeof(*units));
                if (u < 0)
                        return ERR_FORMAT;
                if (has_whole && parse_u64(whole, INT64_MAX, &n) != OK)
                        return ERR_RANGE;
                int64_t part;
                if (__builtin_mul_overflow((int64_t)n, units[u].ns, &part))
                        return ERR_RANGE;
                int64_t scale = units[u].ns;
                for (size_t i = 0; i < fraction.len && scale; i++) {
                        scale /= 10;
                        part += (fraction.ptr[i] - '0') * scale;
                }
                if (part < 0 || __builtin_add_overflow(total, part, &total))
                        return ERR_RANGE;
        }
        *ns = negative ? -total : total;
        return OK;
}

/* "1.5" without trailing zeroes: v / unit, as Go prints durations. */
static size_t format_fraction(uint64_t v, uint64_t unit, char *out, size_t cap)
{
        int n = snprintf(out, cap, "%" PRIu64, v / unit);
        uint64_t rest = v % unit;

        if (rest == 0)
                return (size_t)n;
        out[n++] = '.';
        for (; rest; rest %= unit) {
                unit /= 10;
                out[n++] = (char)('0' + rest / unit);
        }
        out[n] = '\0';
        return (size_t)n;
}

size_t duration_format(int64_t ns, char out[static 32])
{
        uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
        size_t n = 0;

        if (v == 0)
                return (size_t)snprintf(out, 32, "0s");
        if (ns < 0)
                out[n++] = '-';
        if (v < SECOND_NS) {
                uint64_t unit = v < 1000 ? 1 : v < 1000000 ? 1000 : 1000000;
                n += format_fraction(v, unit, out + n, 32 - n);
                return n + (size_t)snprintf(out + n, 32 - n, unit == 1 ? "ns" : unit == 1000 ? "\xc2\xb5s" : "ms");
        }
        uint64_t minutes = v / (60 * SECOND_NS);
        if (minutes >= 60)
                n += (size_t)snprintf(out + n, 32 - n, "%" PRIu64 "h", minutes / 60);
        if (minutes)
                n += (size_t)snprintf(out + n, 32 - n, "%" PRIu64 "m", minutes % 60);
        n += format_fraction(v % (60 * SECOND_NS), SECOND_NS, out + n, 32 - n);
        return n + (size_t)snprintf(out + n, 32 - n, "s");
}

enum err prom_duration_parse(struct slice text, int64_t *ns)
{
        static const struct unit units[] = { /* in the only order they may appear */
                { "y", 365 * 86400 * SECOND_NS }, { "w", 7 * 86400 * SECOND_NS }, { "d", 86400 * SECOND_NS },
                { "h", 3600 * SECOND_NS }, { "m", 60 * SECOND_NS }, { "s", SECOND_NS }, { "ms", 1000000 },
        };
        int last = -1;
        int64_t total = 0;

        if (text.len == 0)
                return ERR_FORMAT;
        if (slice_is(text, "0")) {
                *ns = 0;
                return OK;
        }
        while (text.len) {
                struct slice digits;
                uint64_t n;
                int64_t part;
                if (take_digits(&text, &digits) != OK)
                        return ERR_FORMAT;
                int u = take_unit(&text, units, sizeof(units) / sizeof(*units));
                if (u <= last)
                        return ERR_FORMAT;
                last = u;
                if (parse_u64(digits, INT64_MAX, &n) != OK || __builtin_mul_overflow((int64_t)n, units[u].ns, &part) ||
                        __builtin_add_overflow(total, part, &total))
                        return ERR_RANGE;
        }
        *ns = total;
        return OK;
}

/* ---- dates ---- */

/*
 * Days since 1970-01-01 of a proleptic Gregorian date and back, by counting from
 * 1 March of year 0, where the leap day is the last of its year.
 */
static int64_t days_from_date(int64_t y, unsigned m, unsigned d)
{
        y -= m <= 2;
        int64_t era = (y >= 0 ? y : y - 399) / 400;
        int64_t yoe = y - era * 400;
        int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
        return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_from_days(int64_t days, int64_t *y, unsigned *m, unsigned *d)
{
        days += 719468;
        int64_t era = (days >= 0 ? days : days - 146096) / 146097;
        int64_t doe = days - era * 146097;
        int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        int64_t mp = (5 * doy + 2) / 153;
        *d = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
        *m = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
        *y = yoe + era * 400 + (*m <= 2);
}

static unsigned days_in_month(unsigned y, unsigned m)
{
        static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        return m == 2 && leap ? 29 : days[m - 1];
}

/* Exactly n digits at the front of *text, then the byte `then` (0: nothing). */
static bool take_number(struct slice *text, size_t n, char then, unsigned *out)
{
        uint64_t v;

        if (text->len < n + (then != 0) || parse_u64(slice_first(*text, n), 9999, &v) != OK)
                return false;
        if (then && text->ptr[n] != (uint8_t)then)
                return false;
        *text = slice_after(*text, n + (then != 0));
        *out = (unsigned)v;
        return true;
}

/* "Z" or "+hh:mm", seconds east of Greenwich. */
static bool take_zone(struct slice *text, int *seconds)
{
        unsigned h, m;

        if (text->len == 1 && (text->ptr[0] == 'Z' || text->ptr[0] == 'z')) {
                *seconds = 0;
                return true;
        }
        if (text->len != 6 || (text->ptr[0] != '+' && text->ptr[0] != '-'))
                return false;
        int sign = text->ptr[0] == '-' ? -1 : 1;
        *text = slice_after(*text, 1);
        if (!take_number(text, 2, ':', &h) || !take_number(text, 2, 0, &m) || h > 23 || m > 59)
                return false;
        *seconds = sign * (int)(h * 3600 + m * 60);
        return true;
}

enum err rfc3339_parse(struct slice text, int64_t *unix_ns)
{
        unsigned year, month, day, hour, minute, second;
        int zone;
        int64_t nanos = 0, ns;

        if (!take_number(&text, 4, '-', &year) || !take_number(&text, 2, '-', &month) || !take_number(&text, 2, 'T', &day) ||
                !take_number(&text, 2, ':', &hour) || !take_number(&text, 2, ':', &minute) || !take_number(&text, 2, 0, &second))
                return ERR_FORMAT;
        if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 59)
                return ERR_FORMAT;
        if (text.len && text.ptr[0] == '.') {
                struct slice digits;
                text = slice_after(text, 1);
                if (take_digits(&text, &digits) != OK || digits.len > 9)
                        return ERR_FORMAT;
                for (size_t i = 0; i < 9; i++)
                        nanos = nanos * 10 + (i < digits.len ? digits.ptr[i] - '0' : 0);
        }
        if (!take_zone(&text, &zone))
                return ERR_FORMAT;
        int64_t s = days_from_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone;
        if (s == -62135596800 && nanos == 0) {
                *unix_ns = UNIX_ZERO_DATE;
                return OK;
        }
        if (__builtin_mul_overflow(s, SECOND_NS, &ns) || __builtin_add_overflow(ns, nanos, &ns))
                return ERR_RANGE;
        *unix_ns = ns;
        return OK;
}

size_t rfc3339_format(int64_t unix_ns, char out[static 40])
{
        if (unix_ns == UNIX_ZERO_DATE)
                return (size_t)snprintf(out, 40, "0001-01-01T00:00:00Z");
        int64_t s = unix_ns / SECOND_NS, nanos = unix_ns % SECOND_NS, year;
        unsigned month, day;

        if (nanos < 0) {
                nanos += SECOND_NS;
                s--;
        }
        int64_t days = s >= 0 ? s / 86400 : -((86399 - s) / 86400);
        unsigned clock = (unsigned)(s - days * 86400);
        date_from_days(days, &year, &month, &day);
        size_t n = (size_t)snprintf(out, 40, "%04d-%02u-%02uT%02u:%02u:%02u", (int)year, month, day, clock / 3600,
                clock / 60 % 60, clock % 60);
        if (nanos) {
                n += (size_t)snprintf(out + n, 40 - n, ".%09u", (unsigned)nanos);
                while (out[n - 1] == '0')
                        n--;
        }
        out[n++] = 'Z';
        out[n] = '\0';
        return n;
}
