/* The small text forms of HTTP: lists, escapes, dates, status lines. */
#include <stdio.h>
#include <time.h>

#include "http_internal.h"

struct slice http_find_header(const struct http_header *headers, size_t count, const char *name)
{
        struct slice want = slice_str(name);

        for (size_t i = 0; i < count; i++) {
                if (slice_equal_nocase(headers[i].name, want))
                        return headers[i].value;
        }
        return (struct slice){ 0 };
}

bool http_list_has(const struct http_header *headers, size_t count, const char *name, const char *token)
{
        struct slice want = slice_str(name), item;

        for (size_t i = 0; i < count; i++) {
                struct slice rest = headers[i].value;
                if (!slice_equal_nocase(headers[i].name, want))
                        continue;
                while (slice_split(&rest, ',', &item)) {
                        if (slice_equal_nocase(slice_trim(item), slice_str(token)))
                                return true;
                }
        }
        return false;
}

static int hex_digit(uint8_t c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unescape(struct arena *a, struct slice text, bool plus_is_space, struct slice *out)
{
        uint8_t *p = arena_alloc(a, text.len + 1);
        size_t n = 0;

        if (!p)
                return false;
        for (size_t i = 0; i < text.len; i++) {
                uint8_t c = text.ptr[i];
                if (c == '%') {
                        if (text.len - i < 3)
                                return false;
                        int hi = hex_digit(text.ptr[i + 1]), lo = hex_digit(text.ptr[i + 2]);
                        if (hi < 0 || lo < 0)
                                return false;
                        c = (uint8_t)(hi << 4 | lo);
                        i += 2;
                } else if (c == '+' && plus_is_space) {
                        c = ' ';
                }
                p[n++] = c;
        }
        *out = slice_make(p, n);
        return true;
}

bool http_unescape(struct arena *a, struct slice text, struct slice *out)
{
        return unescape(a, text, false, out);
}

bool http_query(struct http_exchange *x, const char *name, struct slice *value)
{
        struct slice rest = x->req.query, pair, key;

        while (slice_split(&rest, '&', &pair)) {
                size_t eq = slice_find(pair, '=');
                if (!unescape(&x->arena, slice_first(pair, eq), true, &key) || !slice_is(key, name))
                        continue;
                return unescape(&x->arena, slice_after(pair, eq < pair.len ? eq + 1 : eq), true, value);
        }
        return false;
}

void http_date(int64_t unix_us, char out[static 32])
{
        static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
        static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
                "Oct", "Nov", "Dec" };
        time_t t = (time_t)(unix_us / 1000000);
        struct tm tm;

        gmtime_r(&t, &tm); /* not strftime: names of days follow the locale there */
        snprintf(out, 32, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
                months[tm.tm_mon], (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

bool http_token_valid(struct slice s)
{
        static const char others[] = "!#$%&'*+-.^_`|~";

        for (size_t i = 0; i < s.len; i++) {
                uint8_t c = s.ptr[i];
                bool is_alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
                if (!is_alnum && !memchr(others, c, sizeof(others) - 1))
                        return false;
        }
        return s.len > 0;
}

bool http_value_valid(struct slice s)
{
        for (size_t i = 0; i < s.len; i++) {
                if ((s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
                        return false;
        }
        return true;
}

bool http_status_has_body(unsigned status)
{
        return status >= 200 && status != 204 && status != 304;
}

const char *http_status_text(unsigned status)
{
        switch (status) {
        case 100: return "Continue";
        case 101: return "Switching Protocols";
        case 200: return "OK";
        case 201: return "Created";
        case 202: return "Accepted";
        case 204: return "No Content";
        case 206: return "Partial Content";
        case 301: return "Moved Permanently";
        case 302: return "Found";
        case 303: return "See Other";
        case 304: return "Not Modified";
        case 307: return "Temporary Redirect";
        case 308: return "Permanent Redirect";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 406: return "Not Acceptable";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 410: return "Gone";
        case 411: return "Length Required";
        case 412: return "Precondition Failed";
        case 413: return "Content Too Large";
        case 414: return "URI Too Long";
        case 415: return "Unsupported Media Type";
        case 416: return "Range Not Satisfiable";
        case 417: return "Expectation Failed";
        case 421: return "Misdirected Request";
        case 422: return "Unprocessable Content";
        case 426: return "Upgrade Required";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 502: return "Bad Gateway";
        case 503: return "Service Unavailable";
        case 504: return "Gateway Timeout";
        case 505: return "HTTP Version Not Supported";
        }
        return "";
}
