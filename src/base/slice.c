#include "base/slice.h"

static uint8_t ascii_lower(uint8_t c)
{
        return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static bool is_space(uint8_t c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

int slice_compare(struct slice a, struct slice b)
{
        size_t n = a.len < b.len ? a.len : b.len;
        int order = n ? memcmp(a.ptr, b.ptr, n) : 0;

        if (order)
                return order;
        return (a.len > b.len) - (a.len < b.len);
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
        if (a.len != b.len)
                return false;
        for (size_t i = 0; i < a.len; i++)
                if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
                        return false;
        return true;
}

bool slices_equal(const struct slice *a, size_t a_count, const struct slice *b, size_t b_count)
{
        if (a_count != b_count)
                return false;
        for (size_t i = 0; i < a_count; i++)
                if (!slice_equal(a[i], b[i]))
                        return false;
        return true;
}

bool slice_has_prefix(struct slice s, struct slice prefix)
{
        return s.len >= prefix.len && slice_equal(slice_first(s, prefix.len), prefix);
}

bool slice_has_suffix(struct slice s, struct slice suffix)
{
        return s.len >= suffix.len && slice_equal(slice_after(s, s.len - suffix.len), suffix);
}

size_t slice_find(struct slice s, uint8_t c)
{
        const uint8_t *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
        return at ? (size_t)(at - s.ptr) : s.len;
}

struct slice slice_first(struct slice s, size_t n)
{
        return (struct slice){ s.ptr, n < s.len ? n : s.len };
}

struct slice slice_after(struct slice s, size_t n)
{
        if (n >= s.len)
                return (struct slice){ s.ptr ? s.ptr + s.len : NULL, 0 };
        return (struct slice){ s.ptr + n, s.len - n };
}

struct slice slice_trim(struct slice s)
{
        while (s.len && is_space(s.ptr[0]))
                s = slice_after(s, 1);
        while (s.len && is_space(s.ptr[s.len - 1]))
                s.len--;
        return s;
}

bool slice_split(struct slice *rest, uint8_t sep, struct slice *field)
{
        if (!rest->ptr)
                return false;
        size_t n = slice_find(*rest, sep);
        *field = slice_first(*rest, n);
        /* NULL marks "no field follows"; an empty rest after a separator is one more. */
        *rest = n < rest->len ? slice_after(*rest, n + 1) : (struct slice){ NULL, 0 };
        return true;
}
