#include "base/cursor.h"

/* The next n bytes, or NULL (and the reader failed) if there are fewer. */
static const uint8_t *advance(struct reader *r, size_t n)
{
        if (r->failed || n > (size_t)(r->end - r->p)) {
                r->failed = true;
                return NULL;
        }
        const uint8_t *at = r->p;
        if (n)
                r->p += n;
        return at;
}

uint8_t rd_u8(struct reader *r)
{
        const uint8_t *p = advance(r, 1);
        return p ? p[0] : 0;
}

uint16_t rd_be16(struct reader *r)
{
        const uint8_t *p = advance(r, 2);
        return p ? get_be16(p) : 0;
}

uint32_t rd_be32(struct reader *r)
{
        const uint8_t *p = advance(r, 4);
        return p ? get_be32(p) : 0;
}

uint64_t rd_be64(struct reader *r)
{
        const uint8_t *p = advance(r, 8);
        return p ? (uint64_t)get_be32(p) << 32 | get_be32(p + 4) : 0;
}

uint16_t rd_le16(struct reader *r)
{
        const uint8_t *p = advance(r, 2);
        return p ? get_le16(p) : 0;
}

uint32_t rd_le32(struct reader *r)
{
        const uint8_t *p = advance(r, 4);
        return p ? get_le32(p) : 0;
}

uint64_t rd_le64(struct reader *r)
{
        const uint8_t *p = advance(r, 8);
        return p ? get_le64(p) : 0;
}

struct slice rd_take(struct reader *r, size_t n)
{
        const uint8_t *p = advance(r, n);
        return (struct slice){ p, p ? n : 0 };
}

struct slice rd_rest(struct reader *r)
{
        return rd_take(r, rd_left(r));
}

void rd_copy(struct reader *r, void *out, size_t n)
{
        const uint8_t *p = advance(r, n);
        if (p && n)
                memcpy(out, p, n);
        else if (n)
                memset(out, 0, n);
}

void rd_skip(struct reader *r, size_t n)
{
        (void)advance(r, n);
}

struct reader rd_sub(struct reader *r, size_t n)
{
        struct slice s = rd_take(r, n);
        struct reader sub = reader_of(s);
        sub.failed = r->failed;
        return sub;
}

enum err rd_finish(const struct reader *r)
{
        if (r->failed)
                return ERR_SHORT;
        return r->p == r->end ? OK : ERR_FORMAT;
}

enum err rd_finish_open(const struct reader *r)
{
        return r->failed ? ERR_SHORT : OK;
}

uint8_t *wr_reserve(struct writer *w, size_t n)
{
        if (w->failed || n > (size_t)(w->end - w->p)) {
                w->failed = true;
                return NULL;
        }
        uint8_t *at = w->p;
        w->p += n;
        return at;
}

void wr_u8(struct writer *w, uint8_t v)
{
        uint8_t *p = wr_reserve(w, 1);
        if (p)
                p[0] = v;
}

void wr_be16(struct writer *w, uint16_t v)
{
        uint8_t *p = wr_reserve(w, 2);
        if (p)
                put_be16(p, v);
}

void wr_be32(struct writer *w, uint32_t v)
{
        uint8_t *p = wr_reserve(w, 4);
        if (p)
                put_be32(p, v);
}

void wr_be64(struct writer *w, uint64_t v)
{
        wr_be32(w, (uint32_t)(v >> 32));
        wr_be32(w, (uint32_t)v);
}

void wr_le16(struct writer *w, uint16_t v)
{
        wr_u8(w, (uint8_t)v);
        wr_u8(w, (uint8_t)(v >> 8));
}

void wr_le32(struct writer *w, uint32_t v)
{
        uint8_t *p = wr_reserve(w, 4);
        if (p)
                put_le32(p, v);
}

void wr_le64(struct writer *w, uint64_t v)
{
        uint8_t *p = wr_reserve(w, 8);
        if (p)
                put_le64(p, v);
}

void wr_bytes(struct writer *w, const void *bytes, size_t n)
{
        uint8_t *p = wr_reserve(w, n);
        if (p && n)
                memcpy(p, bytes, n);
}

void wr_slice(struct writer *w, struct slice s)
{
        wr_bytes(w, s.ptr, s.len);
}

void wr_zero(struct writer *w, size_t n)
{
        uint8_t *p = wr_reserve(w, n);
        if (p && n)
                memset(p, 0, n);
}

enum err wr_finish(const struct writer *w, struct slice *out)
{
        *out = slice_make(w->start, w->failed ? 0 : (size_t)(w->p - w->start));
        return w->failed ? ERR_LIMIT : OK;
}
