/* Bytes as text: hex, base64, base32; and whether bytes are text. */
#include "base/text.h"

size_t hex_encode(struct slice in, char *out)
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < in.len; i++) {
                *out++ = digits[in.ptr[i] >> 4];
                *out++ = digits[in.ptr[i] & 15];
        }
        *out = '\0';
        return 2 * in.len;
}

/* All ones if lo <= c <= hi, else zero; no branch on c, which may be secret. */
static unsigned in_range(unsigned c, unsigned lo, unsigned hi)
{
        return (((c - lo) | (hi - c)) >> 31) - 1;
}

/* The value of a hex digit; 0x100 for anything else. */
static unsigned hex_value(uint8_t c)
{
        unsigned digit = in_range(c, '0', '9'), upper = in_range(c, 'A', 'F'), lower = in_range(c, 'a', 'f');

        return (digit & (c - '0')) | (upper & (c - 'A' + 10u)) | (lower & (c - 'a' + 10u)) |
                (~(digit | upper | lower) & 0x100);
}

enum err hex_decode(struct slice text, uint8_t *out, size_t n)
{
        unsigned bad = 0;

        if (text.len != 2 * n)
                return ERR_FORMAT;
        for (size_t i = 0; i < n; i++) {
                unsigned hi = hex_value(text.ptr[2 * i]), lo = hex_value(text.ptr[2 * i + 1]);
                bad |= hi | lo;
                out[i] = (uint8_t)(hi << 4 | (lo & 15));
        }
        return bad & 0x100 ? ERR_FORMAT : OK;
}

size_t base64_encode(struct slice in, char *out)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        char *start = out;

        for (size_t i = 0; i < in.len; i += 3) {
                size_t left = in.len - i;
                uint32_t v = (uint32_t)in.ptr[i] << 16 | (left > 1 ? (uint32_t)in.ptr[i + 1] << 8 : 0) |
                        (left > 2 ? in.ptr[i + 2] : 0);
                *out++ = digits[v >> 18];
                *out++ = digits[v >> 12 & 63];
                *out++ = left > 1 ? digits[v >> 6 & 63] : '=';
                *out++ = left > 2 ? digits[v & 63] : '=';
        }
        *out = '\0';
        return (size_t)(out - start);
}

static int base64_value(uint8_t c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

enum err base64_decode(struct slice text, uint8_t *out, size_t cap, size_t *len)
{
        size_t n = 0;

        *len = 0;
        if (text.len % 4)
                return ERR_FORMAT;
        for (size_t i = 0; i < text.len; i += 4) {
                bool last = i + 4 == text.len;
                size_t pad = last ? (text.ptr[i + 3] == '=') + (text.ptr[i + 3] == '=' && text.ptr[i + 2] == '=') : 0;
                uint32_t v = 0;
                for (size_t k = 0; k < 4; k++) {
                        int d = k >= 4 - pad ? 0 : base64_value(text.ptr[i + k]);
                        if (d < 0)
                                return ERR_FORMAT;
                        v = v << 6 | (uint32_t)d;
                }
                if ((pad == 1 && v & 0xff) || (pad == 2 && v & 0xffff))
                        return ERR_FORMAT; /* stray bits: another text for the same bytes */
                if (n + 3 - pad > cap)
                        return ERR_LIMIT;
                for (size_t k = 0; k < 3 - pad; k++)
                        out[n++] = (uint8_t)(v >> (16 - 8 * k));
        }
        *len = n;
        return OK;
}

size_t base32_encode(struct slice in, char *out)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        char *start = out;
        uint32_t acc = 0;
        unsigned bits = 0;

        for (size_t i = 0; i < in.len; i++) {
                acc = acc << 8 | in.ptr[i];
                for (bits += 8; bits >= 5; bits -= 5)
                        *out++ = digits[acc >> (bits - 5) & 31];
        }
        if (bits)
                *out++ = digits[acc << (5 - bits) & 31];
        *out = '\0';
        return (size_t)(out - start);
}

/* How many bytes the character at p takes, of the `left` there are; 0: it is none. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
        uint8_t c = p[0];
        size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : SIZE_MAX;
        uint8_t lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        uint8_t hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;

        if (len > left)
                return 0;
        for (size_t i = 1; i < len; i++, lo = 0x80, hi = 0xbf)
                if (p[i] < lo || p[i] > hi)
                        return 0;
        return len;
}

bool utf8_valid(struct slice s)
{
        for (size_t i = 0, len; i < s.len; i += len) {
                len = utf8_len(s.ptr + i, s.len - i);
                if (!len)
                        return false;
        }
        return true;
}

/* C0 and C1: terminals obey both. */
static bool is_control(const uint8_t *p, size_t len)
{
        return len == 1 ? p[0] < 0x20 || p[0] == 0x7f : p[0] == 0xc2 && p[1] < 0xa0;
}

size_t text_printable(struct slice text, const char *keep, char *out)
{
        char *start = out;

        for (size_t i = 0; i < text.len;) {
                const uint8_t *p = text.ptr + i;
                size_t len = utf8_len(p, text.len - i);
                if (!len || (is_control(p, len) && (!p[0] || !strchr(keep, p[0])))) {
                        *out++ = '?';
                        i += len ? len : 1;
                        continue;
                }
                memcpy(out, p, len);
                out += len;
                i += len;
        }
        *out = '\0';
        return (size_t)(out - start);
}
