/* Decimal numbers. */
#include <errno.h>
#include <stdlib.h>

#include "base/text.h"

enum err parse_u64(struct slice text, uint64_t max, uint64_t *out)
{
        uint64_t v = 0;

        if (text.len == 0)
                return ERR_FORMAT;
        for (size_t i = 0; i < text.len; i++) {
                unsigned d = (unsigned)text.ptr[i] - '0';
                if (d > 9)
                        return ERR_FORMAT;
                if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, d, &v))
                        return ERR_RANGE;
        }
        if (v > max)
                return ERR_RANGE;
        *out = v;
        return OK;
}

enum err parse_i64(struct slice text, int64_t *out)
{
        bool negative = text.len && text.ptr[0] == '-';
        uint64_t v;
        enum err e = parse_u64(slice_after(text, negative), (uint64_t)INT64_MAX + negative, &v);

        if (e == OK)
                *out = negative ? (int64_t)(0 - v) : (int64_t)v;
        return e;
}

enum err parse_double(struct slice text, double *out)
{
        char copy[64], *end;

        if (text.len == 0 || text.len >= sizeof(copy))
                return ERR_FORMAT;
        for (size_t i = 0; i < text.len; i++) { /* strtod would take "inf", hex and spaces */
                uint8_t c = text.ptr[i];
                if (!((c >= '0' && c <= '9') || (c && strchr("+-.eE", c))))
                        return ERR_FORMAT;
                copy[i] = (char)c;
        }
        copy[text.len] = '\0';
        errno = 0;
        double v = strtod(copy, &end);
        if (*end)
                return ERR_FORMAT;
        if (errno == ERANGE && (v > 1 || v < -1))
                return ERR_RANGE;
        *out = v;
        return OK;
}
