#include "json/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

void json_writer_init(struct json_writer *w, struct buf *out, const char *indent)
{
        *w = (struct json_writer){ .out = out, .indent = indent };
}

static void new_line(struct json_writer *w)
{
        if (!w->indent)
                return;
        buf_append_byte(w->out, '\n');
        for (unsigned i = 0; i < w->depth; i++)
                buf_append_str(w->out, w->indent);
}

/* What must stand before a value or a name: a comma, a line break, or nothing. */
static void before_item(struct json_writer *w)
{
        if (w->after_name) {
                w->after_name = false;
                return;
        }
        if (w->need_comma)
                buf_append_byte(w->out, ',');
        if (w->depth)
                new_line(w);
}

static void open_level(struct json_writer *w, uint8_t c)
{
        before_item(w);
        buf_append_byte(w->out, c);
        w->depth++;
        w->need_comma = false;
}

static void close_level(struct json_writer *w, uint8_t c)
{
        w->depth--;
        if (w->need_comma) /* not empty */
                new_line(w);
        buf_append_byte(w->out, c);
        w->need_comma = true;
}

void json_object_open(struct json_writer *w) { open_level(w, '{'); }
void json_object_close(struct json_writer *w) { close_level(w, '}'); }
void json_array_open(struct json_writer *w) { open_level(w, '['); }
void json_array_close(struct json_writer *w) { close_level(w, ']'); }

/* The length of the valid UTF-8 character at the front of s, or 0. */
static size_t utf8_char(struct slice s)
{
        for (size_t n = 1; n <= 4 && n <= s.len; n++)
                if (utf8_valid(slice_first(s, n)))
                        return n;
        return 0;
}

static void put_ascii(struct json_writer *w, uint8_t c)
{
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        const char *at = c ? strchr(from, c) : NULL;

        if (at) {
                buf_append_byte(w->out, '\\');
                buf_append_byte(w->out, (uint8_t)to[at - from]);
        } else if (c < 0x20 || (!w->plain_html && (c == '<' || c == '>' || c == '&'))) {
                buf_printf(w->out, "\\u%04x", c);
        } else {
                buf_append_byte(w->out, c);
        }
}

static void put_quoted(struct json_writer *w, struct slice s)
{
        buf_append_byte(w->out, '"');
        while (s.len) {
                size_t n = utf8_char(s);
                if (n == 1)
                        put_ascii(w, s.ptr[0]);
                else if (n == 0)
                        buf_append_str(w->out, "\xef\xbf\xbd"); /* U+FFFD, written as a reader of it would write it again */
                else if (n == 3 && memcmp(s.ptr, "\xe2\x80", 2) == 0 && (s.ptr[2] & 0xfe) == 0xa8)
                        buf_append_str(w->out, s.ptr[2] == 0xa8 ? "\\u2028" : "\\u2029");
                else
                        buf_append(w->out, s.ptr, n);
                s = slice_after(s, n ? n : 1);
        }
        buf_append_byte(w->out, '"');
}

void json_name_slice(struct json_writer *w, struct slice name)
{
        before_item(w);
        put_quoted(w, name);
        buf_append_str(w->out, w->indent ? ": " : ":");
        w->after_name = true;
}

void json_name(struct json_writer *w, const char *name)
{
        json_name_slice(w, slice_str(name));
}

void json_put_raw(struct json_writer *w, struct slice json)
{
        before_item(w);
        buf_append_slice(w->out, json);
        w->need_comma = true;
}

void json_put_null(struct json_writer *w) { json_put_raw(w, SLICE_LIT("null")); }
void json_put_bool(struct json_writer *w, bool v) { json_put_raw(w, slice_str(v ? "true" : "false")); }

void json_put_i64(struct json_writer *w, int64_t v)
{
        char text[24];
        json_put_raw(w, slice_make(text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)v)));
}

void json_put_u64(struct json_writer *w, uint64_t v)
{
        char text[24];
        json_put_raw(w, slice_make(text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)v)));
}

void json_put_double(struct json_writer *w, double v)
{
        char text[40];
        int n = 0;

        if (!isfinite(v)) { /* JSON has no word for it */
                json_put_null(w);
                return;
        }
        for (int digits = 1; digits <= 17; digits++) {
                n = snprintf(text, sizeof(text), "%.*g", digits, v);
                if (strtod(text, NULL) == v)
                        break;
        }
        json_put_raw(w, slice_make(text, (size_t)n));
}

void json_put_string(struct json_writer *w, struct slice v)
{
        before_item(w);
        put_quoted(w, v);
        w->need_comma = true;
}

void json_put_str(struct json_writer *w, const char *v)
{
        json_put_string(w, slice_str(v));
}

void json_put_base64(struct json_writer *w, struct slice v)
{
        enum { CHUNK = 48 }; /* a multiple of three: chunks join without padding */
        char text[CHUNK / 3 * 4 + 1];

        before_item(w);
        buf_append_byte(w->out, '"');
        for (; v.len; v = slice_after(v, CHUNK))
                buf_append(w->out, text, base64_encode(slice_first(v, CHUNK), text));
        buf_append_byte(w->out, '"');
        w->need_comma = true;
}

void json_field_str(struct json_writer *w, const char *name, const char *v)
{
        json_name(w, name);
        json_put_str(w, v);
}

void json_field_slice(struct json_writer *w, const char *name, struct slice v)
{
        json_name(w, name);
        json_put_string(w, v);
}

void json_field_i64(struct json_writer *w, const char *name, int64_t v)
{
        json_name(w, name);
        json_put_i64(w, v);
}

void json_field_bool(struct json_writer *w, const char *name, bool v)
{
        json_name(w, name);
        json_put_bool(w, v);
}
