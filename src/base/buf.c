#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max)
{
        *b = BUF_INIT(max);
}

void buf_fini(struct buf *b)
{
        free(b->ptr);
        buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
        if (b->ptr)
                explicit_bzero(b->ptr, b->cap);
        buf_fini(b);
}

/* Makes room for n more bytes and a NUL behind them. */
static bool reserve(struct buf *b, size_t n)
{
        if (b->status)
                return false;
        if (n > b->max - b->len) {
                b->status = ERR_LIMIT;
                return false;
        }
        size_t need = b->len + n + 1;
        if (need <= b->cap)
                return true;

        size_t cap = b->cap ? b->cap : 64;
        while (cap < need)
                cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        uint8_t *grown = realloc(b->ptr, cap);
        if (!grown) {
                b->status = ERR_NOMEM;
                return false;
        }
        b->ptr = grown;
        b->cap = cap;
        return true;
}

uint8_t *buf_extend(struct buf *b, size_t n)
{
        if (!reserve(b, n))
                return NULL;
        uint8_t *at = b->ptr + b->len;
        b->len += n;
        return at;
}

void buf_append(struct buf *b, const void *bytes, size_t n)
{
        uint8_t *at = buf_extend(b, n);
        if (at && n)
                memcpy(at, bytes, n);
}

void buf_append_slice(struct buf *b, struct slice s)
{
        buf_append(b, s.ptr, s.len);
}

void buf_append_str(struct buf *b, const char *s)
{
        buf_append(b, s, strlen(s));
}

void buf_append_byte(struct buf *b, uint8_t c)
{
        buf_append(b, &c, 1);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
        va_list again;

        va_copy(again, ap);
        int n = vsnprintf(NULL, 0, fmt, ap);
        if (n < 0)
                b->status = ERR_FORMAT;
        else if (reserve(b, (size_t)n)) {
                vsnprintf((char *)b->ptr + b->len, (size_t)n + 1, fmt, again);
                b->len += (size_t)n;
        }
        va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        buf_vprintf(b, fmt, ap);
        va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
        if (n >= b->len) {
                b->len = 0;
                return;
        }
        if (n) {
                memmove(b->ptr, b->ptr + n, b->len - n);
                b->len -= n;
        }
}

void buf_clear(struct buf *b)
{
        b->len = 0;
        b->status = OK;
}

const char *buf_cstr(struct buf *b)
{
        if (!b->ptr) {
                enum err before = b->status;
                bool fits = reserve(b, 0);
                b->status = before;
                if (!fits)
                        return "";
        }
        b->ptr[b->len] = '\0';
        return (const char *)b->ptr;
}

enum err buf_status(const struct buf *b)
{
        return b->status;
}
