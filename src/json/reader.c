#include "json/reader.h"

#include "base/text.h"

void json_reader_init(struct json_reader *r, struct slice text, struct arena *arena)
{
        *r = (struct json_reader){ .text = text, .arena = arena };
}

void json_fail(struct json_reader *r, enum err e, const char *why)
{
        if (r->status)
                return;
        r->status = e;
        r->error = why;
        r->error_pos = r->pos;
}

static int peek_byte(struct json_reader *r)
{
        while (r->pos < r->text.len) {
                uint8_t c = r->text.ptr[r->pos];
                if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
                        return c;
                r->pos++;
        }
        return -1;
}

static void want_byte(struct json_reader *r, char c, const char *why)
{
        if (r->status)
                return;
        int next = peek_byte(r);
        if (next < 0)
                json_fail(r, ERR_SHORT, "the text ends too early");
        else if (next != c)
                json_fail(r, ERR_FORMAT, why);
        else
                r->pos++;
}

enum json_type json_peek(struct json_reader *r)
{
        if (r->status)
                return JSON_NONE;
        int c = peek_byte(r);
        switch (c) {
        case '{':
                return JSON_OBJECT;
        case '[':
                return JSON_ARRAY;
        case '"':
                return JSON_STRING;
        case 't':
        case 'f':
                return JSON_BOOL;
        case 'n':
                return JSON_NULL;
        default:
                return c == '-' || (c >= '0' && c <= '9') ? JSON_NUMBER : JSON_NONE;
        }
}

static bool take_word(struct json_reader *r, const char *word)
{
        struct slice w = slice_str(word);

        if (r->status)
                return false;
        peek_byte(r);
        if (!slice_has_prefix(slice_after(r->text, r->pos), w))
                return false;
        r->pos += w.len;
        return true;
}

bool json_take_null(struct json_reader *r)
{
        return take_word(r, "null");
}

/* Nesting: one bit a level says whether an item was read there already. */

static void level_open(struct json_reader *r, char c, const char *why)
{
        want_byte(r, c, why);
        if (r->status)
                return;
        if (r->depth >= JSON_DEPTH_MAX) {
                json_fail(r, ERR_LIMIT, "nested too deeply");
                return;
        }
        r->has_items &= ~(1ull << r->depth);
        r->depth++;
}

/* True if an item follows; consumes the comma before it or the closing byte. */
static bool level_next(struct json_reader *r, char close)
{
        if (r->status)
                return false;
        uint64_t bit = 1ull << (r->depth - 1);
        int c = peek_byte(r);

        if (c == close) {
                r->pos++;
                r->depth--;
                return false;
        }
        if (r->has_items & bit) {
                want_byte(r, ',', "a comma or the end was expected");
                c = r->status ? close : peek_byte(r);
                if (!r->status && c == close)
                        json_fail(r, ERR_FORMAT, "nothing follows the comma");
        }
        if (!r->status && c < 0)
                json_fail(r, ERR_SHORT, "the text ends too early");
        r->has_items |= bit;
        return !r->status;
}

void json_object_begin(struct json_reader *r)
{
        level_open(r, '{', "an object was expected");
}

void json_array_begin(struct json_reader *r)
{
        level_open(r, '[', "an array was expected");
}

bool json_member(struct json_reader *r, struct slice *name)
{
        *name = (struct slice){ 0 };
        if (!level_next(r, '}'))
                return false;
        *name = json_string(r);
        want_byte(r, ':', "a colon was expected");
        return !r->status;
}

bool json_element(struct json_reader *r)
{
        return level_next(r, ']');
}

/* Strings. */

static bool hex4(struct slice s, uint32_t *out)
{
        uint8_t b[2];

        if (s.len < 4 || hex_decode(slice_first(s, 4), b, 2) != OK)
                return false;
        *out = (uint32_t)b[0] << 8 | b[1];
        return true;
}

static size_t utf8_put(uint32_t c, uint8_t *out)
{
        if (c < 0x80) {
                out[0] = (uint8_t)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (uint8_t)(0xc0 | c >> 6);
                out[1] = (uint8_t)(0x80 | (c & 63));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (uint8_t)(0xe0 | c >> 12);
                out[1] = (uint8_t)(0x80 | (c >> 6 & 63));
                out[2] = (uint8_t)(0x80 | (c & 63));
                return 3;
        }
        out[0] = (uint8_t)(0xf0 | c >> 18);
        out[1] = (uint8_t)(0x80 | (c >> 12 & 63));
        out[2] = (uint8_t)(0x80 | (c >> 6 & 63));
        out[3] = (uint8_t)(0x80 | (c & 63));
        return 4;
}

enum { REPLACEMENT = 0xfffd };

/* The character of a \u escape at the front of s; *used counts what follows "\u".
 * A surrogate without its other half becomes U+FFFD, as Go decodes it. */
static bool take_unicode(struct slice s, uint32_t *c, size_t *used)
{
        uint32_t low;

        if (!hex4(s, c))
                return false;
        *used = 4;
        if (*c < 0xd800 || *c > 0xdfff)
                return true;
        struct slice rest = slice_after(s, 4);
        bool paired = *c < 0xdc00 && slice_has_prefix(rest, SLICE_LIT("\\u")) && hex4(slice_after(rest, 2), &low) &&
                low >= 0xdc00 && low <= 0xdfff;
        if (!paired) {
                *c = REPLACEMENT;
                return true;
        }
        *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
        *used = 10;
        return true;
}

/* Unescapes into the arena; the result is never longer than the escaped text. */
static struct slice unescape(struct json_reader *r, struct slice raw)
{
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        uint8_t *out = r->arena ? arena_alloc(r->arena, raw.len) : NULL;
        size_t n = 0;

        if (!out) {
                json_fail(r, ERR_NOMEM, "no room for an escaped string");
                return (struct slice){ 0 };
        }
        for (size_t i = 0; i < raw.len;) {
                uint8_t c = raw.ptr[i++];
                if (c != '\\') {
                        out[n++] = c;
                        continue;
                }
                c = raw.ptr[i++]; /* the scan saw to it that something follows */
                const char *at = strchr(from, c);
                uint32_t code;
                size_t used;
                if (c && at) {
                        out[n++] = (uint8_t)to[at - from];
                } else if (c == 'u' && take_unicode(slice_after(raw, i), &code, &used)) {
                        n += utf8_put(code, out + n);
                        i += used;
                } else {
                        json_fail(r, ERR_FORMAT, "unknown escape in a string");
                        return (struct slice){ 0 };
                }
        }
        return slice_make(out, n);
}

/* The text between the quotes, escapes as they stand. */
static struct slice scan_string(struct json_reader *r, bool *escaped)
{
        size_t start = r->pos;
        uint8_t bits = 0;

        *escaped = false;
        for (size_t i = start; i < r->text.len; i++) {
                uint8_t c = r->text.ptr[i];
                if (c == '"') {
                        struct slice raw = slice_make(r->text.ptr + start, i - start);
                        if (bits & 0x80 && !utf8_valid(raw)) {
                                json_fail(r, ERR_FORMAT, "a string is not UTF-8");
                                return (struct slice){ 0 };
                        }
                        r->pos = i + 1;
                        return raw;
                }
                bits |= c;
                if (c < 0x20) {
                        r->pos = i;
                        json_fail(r, ERR_FORMAT, "control character in a string");
                        return (struct slice){ 0 };
                }
                if (c == '\\') {
                        *escaped = true;
                        i++;
                }
        }
        json_fail(r, ERR_SHORT, "a string does not end");
        return (struct slice){ 0 };
}

struct slice json_string(struct json_reader *r)
{
        bool escaped;

        want_byte(r, '"', "a string was expected");
        if (r->status)
                return (struct slice){ 0 };
        struct slice raw = scan_string(r, &escaped);
        return escaped && !r->status ? unescape(r, raw) : raw;
}

bool json_bool(struct json_reader *r)
{
        if (take_word(r, "true"))
                return true;
        if (!take_word(r, "false"))
                json_fail(r, ERR_FORMAT, "true or false was expected");
        return false;
}

/* Numbers. */

static size_t digits_at(struct slice s, size_t i)
{
        size_t n = 0;
        while (i + n < s.len && s.ptr[i + n] >= '0' && s.ptr[i + n] <= '9')
                n++;
        return n;
}

/* The text of a number by the grammar of RFC 8259, section 6. */
static struct slice scan_number(struct json_reader *r)
{
        if (json_peek(r) != JSON_NUMBER) {
                json_fail(r, ERR_FORMAT, "a number was expected");
                return (struct slice){ 0 };
        }
        struct slice s = slice_after(r->text, r->pos);
        size_t i = s.ptr[0] == '-', n = digits_at(s, i);
        bool good = n == 1 || (n > 1 && s.ptr[i] != '0');

        i += n;
        if (good && i < s.len && s.ptr[i] == '.') {
                n = digits_at(s, i + 1);
                good = n > 0;
                i += 1 + n;
        }
        if (good && i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
                i++;
                i += i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-');
                n = digits_at(s, i);
                good = n > 0;
                i += n;
        }
        if (!good) {
                json_fail(r, ERR_FORMAT, "malformed number");
                return (struct slice){ 0 };
        }
        r->pos += i;
        return slice_first(s, i);
}

int64_t json_i64(struct json_reader *r)
{
        struct slice s = scan_number(r);
        int64_t v = 0;

        if (!r->status && parse_i64(s, &v) != OK)
                json_fail(r, ERR_RANGE, "an integer was expected");
        return r->status ? 0 : v;
}

uint64_t json_u64(struct json_reader *r)
{
        struct slice s = scan_number(r);
        uint64_t v = 0;

        if (!r->status && parse_u64(s, UINT64_MAX, &v) != OK)
                json_fail(r, ERR_RANGE, "a non-negative integer was expected");
        return r->status ? 0 : v;
}

double json_double(struct json_reader *r)
{
        struct slice s = scan_number(r);
        double v = 0;

        if (!r->status && parse_double(s, &v) != OK)
                json_fail(r, ERR_RANGE, "the number is too large");
        return r->status ? 0 : v;
}

/* Depth is bounded by JSON_DEPTH_MAX, so recursion is too. */
void json_skip(struct json_reader *r)
{
        struct slice name;
        bool escaped;

        switch (json_peek(r)) {
        case JSON_OBJECT:
                json_object_begin(r);
                while (json_member(r, &name))
                        json_skip(r);
                return;
        case JSON_ARRAY:
                json_array_begin(r);
                while (json_element(r))
                        json_skip(r);
                return;
        case JSON_STRING:
                want_byte(r, '"', "");
                scan_string(r, &escaped);
                return;
        case JSON_NUMBER:
                scan_number(r);
                return;
        case JSON_BOOL:
                json_bool(r);
                return;
        case JSON_NULL:
                if (!json_take_null(r))
                        json_fail(r, ERR_FORMAT, "null was expected");
                return;
        case JSON_NONE:
                json_fail(r, r->pos < r->text.len ? ERR_FORMAT : ERR_SHORT, "a value was expected");
        }
}

struct slice json_raw(struct json_reader *r)
{
        peek_byte(r);
        size_t start = r->pos;
        json_skip(r);
        return r->status ? (struct slice){ 0 } : slice_make(r->text.ptr + start, r->pos - start);
}

enum err json_finish(struct json_reader *r)
{
        if (!r->status && peek_byte(r) >= 0)
                json_fail(r, ERR_FORMAT, "something follows the value");
        return r->status;
}
